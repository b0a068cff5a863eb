"""jsonnet in its child process: what it may reach, and how each bomb ends."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import Unavailable
from sluiceway_common.runconfig.compile import load, load_source
from sluiceway_common.runconfig.evaluation import Evaluation, EvaluationError, evaluate
from sluiceway_common.runconfig.files import FolderFiles, MappingFiles
from sluiceway_common.runconfig.when import Context
from tests.support.conditions import eventually

NOWHERE = MappingFiles({})
BRANCH = Context(ref_type="branch", ref="refs/heads/main", branch="main", commit_sha="c" * 40)
ONE_TASK = '{"runs": [{"name": "r", "tasks": [{"name": "a", "runtime": {"containers": [{"image": "host"}]}}]}]}'
PATH = ".sluice/config.jsonnet"


def test_function_is_called_with_ctx() -> None:
    output = evaluate(PATH, "function(ctx) ctx", NOWHERE, BRANCH)
    assert json.loads(output) == {
        "ref_type": "branch",
        "ref": "refs/heads/main",
        "branch": "main",
        "tag": "",
        "pull_request_id": "",
        "commit_sha": "c" * 40,
        "inputs": {},
    }


def test_value_is_taken_without_ctx() -> None:
    assert json.loads(evaluate(PATH, "{a: 1 + 1}", NOWHERE, BRANCH)) == {"a": 2}


def test_text_of_strings_passes_unchanged() -> None:
    text = '  two\n   lines \u20ac \U0001f600 \\n " \t'
    output = evaluate(PATH, "{a: importstr 't', b: [{}, '   x']}", MappingFiles({".sluice/t": text}), BRANCH)
    assert json.loads(output) == {"a": text, "b": [{}, "   x"]}


def test_imports_are_relative_to_the_importing_file() -> None:
    files = MappingFiles(
        {
            "lib/a.libsonnet": "{b: import 'deep/b.libsonnet', t: importstr '../t.txt'}",
            "lib/deep/b.libsonnet": "5",
            "t.txt": "x",
        }
    )
    output = evaluate(PATH, "import '../lib/a.libsonnet'", files, BRANCH)
    assert json.loads(output) == {"b": 5, "t": "x"}


REFUSED_IMPORTS = [
    ("absolute", "import '/etc/passwd'", '"/etc/passwd" is not a path inside the repository'),
    ("up-and-out", "importstr '../../etc/passwd'", '"../../etc/passwd" leaves the repository'),
    (
        "url",
        "import 'https://example.org/x.jsonnet'",
        "there is no file .sluice/https:/example.org/x.jsonnet in the repo",
    ),
    ("file-url", "importstr 'file:///etc/passwd'", "there is no file .sluice/file:/etc/passwd in the repository"),
    ("link-out", "importstr 'out'", '"out" is a link that leaves the repository'),
    ("linked-folder-out", "importstr 'etc/passwd'", '"etc/passwd" is a link that leaves the repository'),
    ("link-circle", "importstr 'circle'", '"circle" '),
    ("git-folder", "importstr '.git/config'", "or a part of .git"),
    ("folder", "importstr 'sub'", '"sub" is not a plain file'),
    ("pipe", "importstr 'pipe'", '"pipe" is not a plain file'),
    ("large", "importstr 'large'", "at most 1048576 are read"),
    ("backslash", "importstr '..\\\\..\\\\x'", "is not a path inside the repository"),
]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "sub").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("token")
    (tmp_path / "secret").write_text("secret")
    (root / "out").symlink_to("../secret")
    (root / "etc").symlink_to("/etc")
    (root / "circle").symlink_to("circle")
    (root / "inside").symlink_to("sub/file")
    (root / "sub" / "file").write_text("inside")
    (root / "large").write_bytes(b"x" * ((1 << 20) + 1))
    os.mkfifo(root / "pipe")
    return root


@pytest.mark.parametrize(("text", "message"), [pytest.param(*c[1:], id=c[0]) for c in REFUSED_IMPORTS])
def test_import_reaches_nothing_outside(repository: Path, text: str, message: str) -> None:
    # `url` and the like are relative to the folder of the configuration; links and files lie in the root.
    path = PATH if "//" in text or "/etc'" in text else "config.jsonnet"
    with pytest.raises(EvaluationError) as caught:
        evaluate(path, text, FolderFiles(repository), BRANCH)
    assert "couldn't open import" in caught.value.message
    assert message.replace('"../../etc', '"../../etc') in caught.value.message
    assert "secret" not in caught.value.message.replace("secret'", "")


def test_link_inside_of_the_repository_is_followed(repository: Path) -> None:
    assert json.loads(evaluate("c.jsonnet", "importstr 'inside'", FolderFiles(repository), BRANCH)) == "inside"


BOMBS = [
    ("endless-recursion", "local f(x) = f(x) + 1; f(1)", "jsonnet: max stack frames exceeded."),
    ("endless-loop", "local f(x) = f(x + 1) tailstrict; f(1)", "the evaluation took more than 5 s of processor time"),
    ("brackets", "[" * 100_000, "jsonnet: Exceeded maximum parse depth limit."),
    ("repetition", "std.length(std.repeat('a', 1000000000000))", "needed more than 512 MiB of memory"),
    ("wide-list", "std.range(1, 1000000000000)", "needed more than 512 MiB of memory"),
    ("deep-value", "local f(n) = if n == 0 then 0 else [f(n - 1)]; f(100000)", "jsonnet: max stack frames exceeded."),
    ("output-flood", "[std.join('', ['0123456789abcdef' for i in std.range(1, 64)]) for j in std.range(1, 1100)]",
     "at most 1048576 are taken"),
    ("import-of-itself", "import 'config.jsonnet'", "jsonnet: "),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), [pytest.param(*b[1:], id=b[0]) for b in BOMBS])
def test_bomb_ends_as_a_clear_error(text: str, message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        evaluate("config.jsonnet", text, MappingFiles({"config.jsonnet": text}), BRANCH)
    assert message in caught.value.message
    assert len(caught.value.message) < 3_000


def test_flood_of_imports_is_bounded() -> None:
    class Endless:
        def read(self, path: str) -> bytes | None:
            number = int(path.removeprefix("f"))
            return f"import 'f{number + 1}'".encode() if number < 50 else b"1"

    class Large:
        def read(self, path: str) -> bytes | None:
            return b" " * (1 << 20) + b"1"

    assert evaluate("f0", "import 'f1'", Endless(), BRANCH).strip() == "1"
    many = ", ".join(f"importstr 'f{i}'" for i in range(1001))
    with pytest.raises(EvaluationError, match="more than 1000 imports"):
        evaluate("f0", f"[{many}]", MappingFiles({f"f{i}": "1" for i in range(1001)}), BRANCH)
    large = ", ".join(f"importstr 'f{i}'" for i in range(30))
    with pytest.raises(EvaluationError, match="imports of more than"):
        evaluate("f0", f"[{large}]", Large(), BRANCH)


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        pytest.param("{\n a:", 2, 4, "jsonnet: unexpected end of file.", id="syntax"),
        pytest.param("{\n a: error 'no'}", 2, 5, "jsonnet: no (at config.jsonnet:2:5-15)", id="error"),
        pytest.param("import 'bad'", None, None, "jsonnet: bad:2:4: unexpected end of file.", id="in-an-import"),
        pytest.param("function(x) x", None, None,
                     "jsonnet: a configuration that is a function must take one argument named `ctx`", id="no-ctx"),
        pytest.param("{a: std.extVar('PATH')}", 1, 5,
                     "jsonnet: undefined external variable: PATH (at config.jsonnet:1:5-23)", id="no-environment"),
    ],
)  # fmt: skip
def test_fault_has_a_place(text: str, line: int | None, column: int | None, message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        evaluate("config.jsonnet", text, MappingFiles({"bad": "{\n b:"}), BRANCH)
    assert (caught.value.line, caught.value.column, caught.value.message) == (line, column, message)


def test_child_has_no_environment_and_can_open_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look into the living child: while it waits for an import, its limits are on."""
    monkeypatch.setenv("SECRET_OF_THE_SERVER", "x")
    seen: dict[str, str] = {}

    class Looking:
        def read(self, path: str) -> bytes | None:
            process = evaluation._process
            assert process is not None
            folder = Path(f"/proc/{process.pid}")
            seen["environ"] = (folder / "environ").read_text()
            seen["limits"] = (folder / "limits").read_text()
            seen["descriptors"] = " ".join(sorted(p.name for p in (folder / "fd").iterdir()))
            seen["cwd"] = str((folder / "cwd").readlink())
            return b"1"

    evaluation = Evaluation("config.jsonnet", "import 'x'", Looking(), BRANCH)
    assert evaluation.run().strip() == "1"
    limits = {line[:25].strip(): line[25:].split()[:2] for line in seen["limits"].splitlines()}
    assert seen["environ"] == ""
    assert seen["cwd"] == "/"
    assert seen["descriptors"] == "0 1 2"
    assert limits["Max open files"] == ["3", "3"]
    assert limits["Max cpu time"] == ["5", "6"]
    assert limits["Max address space"] == [str(512 << 20)] * 2
    assert limits["Max file size"] == ["0", "0"]


async def test_killed_evaluation_leaves_no_child() -> None:
    async def has_child() -> bool:
        return bool(_children())

    async def has_no_child() -> bool:
        return not _children()

    evaluation = Evaluation("c.jsonnet", "local f(x) = f(x + 1) tailstrict; f(1)", NOWHERE, BRANCH)
    running = asyncio.create_task(asyncio.to_thread(evaluation.run))
    await eventually(has_child)
    evaluation.kill()
    with pytest.raises(EvaluationError):
        await running
    await eventually(has_no_child)


def _children() -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                command = (process / "cmdline").read_bytes()
                parent = (process / "stat").read_text().rsplit(")", 1)[1].split()[1]
            except OSError:
                continue
            if b"jsonnet_child.py" in command and parent == str(os.getpid()):
                found.append(process.name)
    return found


async def test_bombs_beside_each_other_harm_nobody() -> None:
    bomb = MappingFiles({PATH: "std.range(1, 1000000000000)"})
    honest = MappingFiles({PATH: ONE_TASK})
    results = await asyncio.gather(*[asyncio.to_thread(load, files, BRANCH) for files in (bomb, honest, bomb, honest)])
    assert [bool(r.errors) for r in results] == [True, False, True, False]
    assert results[0].errors[0].message == "the evaluation needed more than 512 MiB of memory"


def test_unavailable_source_raises_instead_of_being_a_fault() -> None:
    class Nothing:
        def list(self, folder: str) -> tuple[str, ...]:
            return ()

    class Away(Nothing):
        def read(self, path: str) -> bytes | None:
            raise Unavailable("the git provider is away")

    class AwayForImports(Nothing):
        def read(self, path: str) -> bytes | None:
            if path == PATH:
                return b"import 'x'"
            raise Unavailable("the git provider is away")

    for files in (Away(), AwayForImports()):
        with pytest.raises(Unavailable):
            load(files, BRANCH)


def test_part_of_the_output_that_is_missing_has_no_place() -> None:
    errors = load_source("c.jsonnet", b"{}", NOWHERE, BRANCH).errors
    assert [(e.path, e.line, e.column) for e in errors] == [("runs", None, None)]


@pytest.mark.parametrize(
    ("there", "found"),
    [
        pytest.param([".sluice/config.yml", ".sluice/config.json", ".sluice/config.jsonnet"], ".sluice/config.jsonnet",
                     id="jsonnet-first"),
        pytest.param([".sluice/config.yml", ".sluice/config.json"], ".sluice/config.json", id="json-before-yaml"),
        pytest.param([".agola/config.jsonnet", ".sluice/config.yml"], ".sluice/config.yml", id="own-folder-first"),
        pytest.param([".agola/config.yml"], ".agola/config.yml", id="agola-folder"),
    ],
)  # fmt: skip
def test_configuration_is_found_in_order(there: list[str], found: str) -> None:
    loaded = load(MappingFiles(dict.fromkeys(there, ONE_TASK)), BRANCH)
    assert loaded.source_path == found
    assert loaded.errors == ()
    assert loaded.is_agola == found.startswith(".agola/")


def test_same_faults_have_the_same_paths_as_in_json() -> None:
    text = b'{"runs": [{"name": "r", "tasks": [{"name": "a", "runtim": 1, "approval": 5}]}]}'
    found = {
        name: [(e.path, e.message) for e in load_source(name, text, NOWHERE, BRANCH).errors]
        for name in ("c.json", "c.jsonnet")
    }
    assert len(found["c.json"]) == 3
    assert sorted(found["c.json"]) == sorted(found["c.jsonnet"])
