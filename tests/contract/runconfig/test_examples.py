"""The configurations of `examples/jsonnet`: without faults, and with the runs that they are said to have."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sluiceway_common.runconfig.compile import LoadResult, load_source
from sluiceway_common.runconfig.files import FolderFiles
from sluiceway_common.runconfig.runs import missing_inputs, runs_that_apply
from sluiceway_common.runconfig.schema import json_schema
from sluiceway_common.runconfig.tasks import tasks_of_run
from sluiceway_common.runconfig.when import Context
from tests.support.installation import run_sluice
from tests.support.json_schema import holds

FOLDER = Path(__file__).parents[3] / "examples" / "jsonnet"
NAMES = sorted(path.stem for path in FOLDER.glob("*.jsonnet"))
COMMIT = "c" * 40
MAIN = Context(ref_type="branch", ref="refs/heads/main", branch="main", commit_sha=COMMIT)
TOPIC = Context(ref_type="branch", ref="refs/heads/topic", branch="topic", commit_sha=COMMIT)
PULL = Context(ref_type="pull_request", ref="refs/pull/7/head", pull_request_id="7", commit_sha=COMMIT)
VERSION = Context(ref_type="tag", ref="refs/tags/v1.2.3", tag="v1.2.3", commit_sha=COMMIT)
CANDIDATE = Context(ref_type="tag", ref="refs/tags/v1.2.3-rc1", tag="v1.2.3-rc1", commit_sha=COMMIT)


def loaded(name: str, context: Context = MAIN) -> LoadResult:
    path = f"{name}.jsonnet"
    return load_source(path, (FOLDER / path).read_bytes(), FolderFiles(FOLDER), context)


def test_there_are_thirteen_and_each_is_in_the_readme() -> None:
    text = (FOLDER / "README.md").read_text()
    assert len(NAMES) == 13
    assert [name for name in NAMES if f"[{name}.jsonnet]({name}.jsonnet)" not in text] == []


@pytest.mark.parametrize("name", NAMES)
def test_example_is_without_faults_and_fits_the_schema(name: str) -> None:
    for context in (MAIN, PULL, VERSION):
        found = loaded(name, context)
        assert (found.errors, found.warnings) == ((), ())
        assert holds(json_schema(), found.document)


@pytest.mark.parametrize(
    ("name", "context", "paths", "runs"),
    [
        ("branches_and_tags", MAIN, None, ("check", "nightly build")),
        ("branches_and_tags", TOPIC, None, ("check",)),
        ("branches_and_tags", PULL, None, ("check",)),
        ("branches_and_tags", VERSION, None, ("release",)),
        ("branches_and_tags", CANDIDATE, None, ()),
        ("approval", MAIN, None, ("deliver",)),
        ("approval", TOPIC, None, ()),
        ("monorepo", MAIN, ["web/index.html"], ("web",)),
        ("monorepo", MAIN, ["proto/a.proto"], ("api", "web", "proto")),
        ("monorepo", MAIN, ["README.md"], ()),
        ("monorepo", MAIN, None, ("api", "web", "proto")),
    ],
)
def test_runs_that_apply(name: str, context: Context, paths: list[str] | None, runs: tuple[str, ...]) -> None:
    config = loaded(name, context).config
    assert config is not None
    assert tuple(runs_that_apply(config, context, paths)) == runs


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("matrix", 7),
        ("architectures", 2),
        ("services", 1),
        ("cache", 1),
        ("workspace", 3),
        ("fan_in", 4),
        ("shared_library", 2),
        ("notify", 3),
        ("clean_up", 2),
        ("inputs", 3),
    ],
)
def test_tasks_of_the_first_run(name: str, tasks: int) -> None:
    config = loaded(name).config
    assert config is not None
    made = tasks_of_run(config, config.runs[0].name, MAIN, variables=dict.fromkeys(("chat_hook", "deploy_token"), "x"))
    assert len(made.tasks) == tasks
    assert made.warnings == ()


def test_inputs_make_the_tasks_of_a_run() -> None:
    context = replace(
        MAIN, inputs={"version": "v1.0.0", "environment": "production", "regions": "3", "dry_run": "false"}
    )
    config = loaded("inputs", context).config
    assert config is not None
    assert missing_inputs(config.runs[0], {}) != ""
    build, *regions, announce = tasks_of_run(config, "deploy", context).tasks
    assert [each.name for each in regions] == [f"deploy to region {n}" for n in (1, 2, 3)]
    assert all(each.HasField("approval") for each in regions)
    assert (build.skip, announce.skip) == (False, False)
    tried = loaded("inputs").config
    assert tried is not None
    assert [each.skip for each in tasks_of_run(tried, "deploy", MAIN).tasks] == [False, False, True]


def test_last_task_of_a_matrix_waits_for_all_cells() -> None:
    config = loaded("matrix").config
    assert config is not None
    *cells, last = tasks_of_run(config, "matrix", MAIN).tasks
    assert [each.task for each in last.depends] == [cell.name for cell in cells]
    assert {cell.runtime.containers[0].image for cell in cells} == {"python:3.11", "python:3.12", "python:3.13"}


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            ["branches_and_tags.jsonnet", "--tag", "v1.2.3-rc1"],
            [
                "branches_and_tags.jsonnet, for tag v1.2.3-rc1",
                'run check: does not start; `ref` of its `when` excludes tag v1.2.3-rc1, by "#^refs/tags/#"',
                "run nightly build: does not start; its `when` does not match tag v1.2.3-rc1",
                'run release: does not start; `tag` of its `when` excludes tag v1.2.3-rc1, by "/-rc/"',
            ],
        ),
        (
            ["monorepo.jsonnet", "--branch", "main", "--changed", "web/a", "--changed", "b"],
            [
                "monorepo.jsonnet, for branch main",
                "run api: does not start; its `paths` match none of the 2 changed files",
                "run web: starts; its `paths` match",
                "  task test",
                "run proto: does not start; its `paths` match none of the 2 changed files",
            ],
        ),
        (
            ["shared_library.jsonnet", "--pull-request-id", "7"],
            [
                "shared_library.jsonnet, for pull request 7",
                "run shared library: starts; it has no `when`",
                "  task lint",
                "  task test",
            ],
        ),
    ],
)
def test_explain_says_what_a_ref_would_start(arguments: list[str], lines: list[str]) -> None:
    name, *others = arguments
    done = run_sluice("config", "explain", FOLDER / name, *others)
    assert (done.returncode, done.stderr) == (0, "")
    first, *rest = done.stdout.splitlines()
    assert [first.rpartition("/")[2], *rest] == lines


def test_explain_of_a_broken_configuration_names_its_errors(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text('{"runs": []}')
    done = run_sluice("config", "explain", tmp_path / "broken.json")
    assert done.returncode == 1
    assert "runs" in done.stderr


def test_explain_as_json_names_skipped_tasks(tmp_path: Path) -> None:
    task = {"name": "a", "runtime": {"containers": [{"image": "host"}]}, "when": {"tag": "/./"}}
    (tmp_path / "one.json").write_text(json.dumps({"runs": [{"name": "r", "tasks": [task]}]}))
    done = run_sluice("config", "explain", tmp_path / "one.json", "--branch", "x", "-o", "json")
    assert json.loads(done.stdout) == {
        "ref": "branch x",
        "runs": [
            {
                "name": "r",
                "starts": True,
                "why": "it has no `when`",
                "tasks": [{"name": "a", "skipped": True, "why": "its `when` does not match branch x"}],
            }
        ],
    }
