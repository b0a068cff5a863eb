"""A configuration with many different mistakes: all of them in one answer, each with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluiceway_common.runconfig.compile import load_source
from sluiceway_common.runconfig.files import FolderFiles
from sluiceway_common.runconfig.when import Context

FOLDER = Path(__file__).parents[2] / "fixtures" / "mistakes"
MAIN = Context(ref_type="branch", ref="refs/heads/main", branch="main", commit_sha="c" * 40)

# the path, and a word of the line that it is on
MISTAKES = [
    ("runs[0].timeot", "timeot"),
    ("runs[0].priority", "99"),
    ("runs[0].tasks[0].runtime.containers[0].image", "image"),
    ("runs[0].tasks[0].runtime.arch", "sparc"),
    ("runs[0].tasks[0].steps[0]", "runn"),
    ("runs[0].tasks[0].steps[1].run", "run"),
    ("runs[0].tasks[0].steps[2].clone.depth", "-1"),
    ("runs[0].tasks[0].steps[3].save_cache.key", "key"),
    ("runs[0].tasks[0].steps[3].save_cache.contents", "contents"),
    ("runs[0].tasks[0].retry.max_attempts", "11"),
    ("runs[0].tasks[0].retry.on[0]", "never"),
    ("runs[0].tasks[0].wait_timeout", "5parsecs"),
    ("runs[0].tasks[0].environment.A", "1"),
    ("runs[0].tasks[1].name", "build"),
    ("runs[0].tasks[1].runtime.containers", "runtime"),
    ("runs[0].tasks[1].depends[0]", "build"),
    ("runs[0].tasks[1].depends[1]", "nowhere"),
    ("runs[0].tasks[1].when.branch", "/(/"),
    ("runs[0].tasks[2].name", r"x\ny"),
    ("runs[0].tasks[2].runtime.containers[0].volumes[0].tmpfs", ""),
    ("runs[0].tasks[2].runtime.containers[0].volumes[0].path", "relative"),
    ("runs[0].tasks[2].approval", "perhaps"),
    ("runs[0].tasks[2].labels", "labels"),
    ("runs[0].tasks[2].lock", "lock"),
    ("runs[0].tasks[2].resources.memory", "lots"),
    ("runs[0].tasks[2].depends[0].conditions[0]", "on_sucess"),
    ("runs[1].name", "name"),
    ("runs[1].tasks", "tasks"),
]


@pytest.mark.parametrize("name", ["config.yml", "config.jsonnet"])
def test_all_mistakes_are_named_with_their_lines(name: str) -> None:
    content = (FOLDER / name).read_bytes()
    lines = content.decode().splitlines()
    errors = load_source(name, content, FolderFiles(FOLDER), MAIN).errors
    assert [error.path for error in errors] == [path for path, _ in MISTAKES]
    for error, (path, word) in zip(errors, MISTAKES, strict=True):
        assert error.line, path
        assert error.column, path
        # Of an object in jsonnet the place is its brace.
        shown = "".join(lines[error.line - 1 : error.line + 1])
        assert word in shown, (path, shown)
