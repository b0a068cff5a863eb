"""`sluice config` as people and programs call it, and the example repositories."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sluiceway_common.runconfig.compile import load
from sluiceway_common.runconfig.files import FolderFiles
from sluiceway_common.runconfig.schema import json_schema
from sluiceway_common.runconfig.tasks import tasks_of_run
from sluiceway_common.runconfig.when import Context
from tests.support.json_schema import holds

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ["pipeline", "small"]
GOOD = "{runs: [{name: 'r', tasks: [{name: 'a', runtime: {containers: [{image: 'host'}]}}]}]}"


def sluice(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sluiceway.cli.entry", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / ".sluice").mkdir()
    return tmp_path


def write(repository: Path, name: str, text: str) -> Path:
    path = repository / ".sluice" / name
    path.write_text(text)
    return path


def test_check_of_a_good_configuration_ends_with_0(repository: Path) -> None:
    write(repository, "config.jsonnet", GOOD)
    done = sluice("config", "check", repository)
    assert (done.returncode, done.stdout) == (0, ".sluice/config.jsonnet: 1 run, 1 task, no errors\n")


def test_check_names_places_and_ends_with_1(repository: Path) -> None:
    write(repository, "config.yml", "runs:\n- name: r\n  taks: []\n")
    done = sluice("config", "check", repository)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        ".sluice/config.yml:2:3: error: runs[0].tasks: `tasks` is required",
        ".sluice/config.yml:3:3: error: runs[0].taks: unknown field `taks`: did you mean `tasks`?",
    ]


@pytest.mark.parametrize("whole", [True, False], ids=["folder", "file"])
def test_check_gives_programs_json(repository: Path, whole: bool) -> None:
    path = write(repository, "config.json", '{"runs": 5}')
    done = sluice("config", "check", repository if whole else path, "-o", "json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "errors": [{"path": "runs", "line": 1, "column": 2, "message": "must be a list, not a number"}],
        "warnings": [],
    }


def test_line_and_column_are_null_when_jsonnet_has_none(repository: Path) -> None:
    write(repository, "config.jsonnet", "std.parseJson('{\"runs\": 5}')")
    done = sluice("config", "check", "-o", "json", repository)
    assert json.loads(done.stdout)["errors"][0] == {
        "path": "runs",
        "line": None,
        "column": None,
        "message": "must be a list, not a number",
    }


def test_render_gives_the_configuration_as_json_with_ctx_filled(repository: Path) -> None:
    text = (
        "function(ctx) {runs: [{name: ctx.ref_type + ' ' + ctx.ref + ' ' + ctx.tag, tasks: ("
        + GOOD
        + ").runs[0].tasks}]}"
    )
    write(repository, "config.jsonnet", text)
    done = sluice("config", "render", repository, "--tag", "v1")
    assert done.returncode == 0
    assert json.loads(done.stdout)["runs"][0]["name"] == "tag refs/tags/v1 v1"


def test_ctx_is_that_of_the_branch_that_is_checked_out(repository: Path) -> None:
    write(repository, "config.jsonnet", "function(ctx) [ctx.ref_type, ctx.branch, ctx.ref]")
    subprocess.run(["git", "init", "-q", "-b", "topic/x", repository], check=True)
    done = sluice("config", "render", repository)
    assert json.loads(done.stdout) == ["branch", "topic/x", "refs/heads/topic/x"]


def test_commit_is_read_with_at(repository: Path) -> None:
    write(repository, "config.jsonnet", GOOD)
    for command in (["init", "-q", "-b", "main"], ["add", "-A"],
                    ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", "x"]):  # fmt: skip
        subprocess.run(["git", "-C", repository, *command], check=True)
    write(repository, "config.jsonnet", "broken")
    assert sluice("config", "check", repository).returncode == 1
    assert sluice("config", "check", repository, "--at", "main").returncode == 0


@pytest.mark.parametrize(("driver", "status"), [(None, 0), ("sandbox", 0), ("host", 1)])
def test_check_says_what_a_driver_cannot_do(repository: Path, driver: str | None, status: int) -> None:
    volumes = "[{path: '/t', tmpfs: {}}]"
    write(repository, "config.jsonnet", GOOD.replace("image: 'host'", f"image: 'host', volumes: {volumes}"))
    done = sluice("config", "check", repository, *([] if driver is None else ["--driver", driver]))
    assert done.returncode == status
    assert ("volumes are not supported by the host driver" in done.stdout) is bool(status)


def test_driver_that_is_not_there_is_refused(repository: Path) -> None:
    done = sluice("config", "check", repository, "--driver", "nomad")
    assert done.returncode == 2
    assert "sandbox" in done.stderr
    assert "host" in done.stderr


@pytest.mark.parametrize("form", ["text", "mermaid", "dot"])
def test_graph_draws_the_example(form: str) -> None:
    done = sluice("config", "graph", ROOT / "examples" / "pipeline", "--format", form)
    assert done.returncode == 0
    assert "without praise" in done.stdout
    assert "on_skipped" in done.stdout


def test_schema_is_the_one_of_the_model() -> None:
    done = sluice("config", "schema")
    assert json.loads(done.stdout) == json_schema()


BAD = [
    ("no-such-path", ["check", "nowhere"], 1),
    ("empty-folder", ["check", "."], 1),
    ("other-file", ["check", "notes.txt"], 1),
    ("no-repository-for-at", ["check", ".", "--at", "main"], 1),
    ("option-as-ref", ["check", ".", "--at=--upload-pack=x"], 1),
    ("unknown-option", ["check", "--nope"], 2),
    ("unknown-run", ["graph", "good.jsonnet", "--run", "x"], 1),
    ("import-out", ["render", "out.jsonnet"], 1),
    ("binary", ["check", "binary.yml"], 1),
    ("bomb", ["check", "bomb.jsonnet"], 1),
    ("half-surrogate", ["render", "surrogate.json"], 1),
]


@pytest.mark.parametrize(("arguments", "status"), [pytest.param(*b[1:], id=b[0]) for b in BAD])
def test_no_input_gives_a_traceback(tmp_path: Path, arguments: list[str], status: int) -> None:
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "good.jsonnet").write_text(GOOD)
    (tmp_path / "out.jsonnet").write_text("importstr '../../../../../../../../etc/passwd'")
    (tmp_path / "binary.yml").write_bytes(bytes(range(256)))
    (tmp_path / "bomb.jsonnet").write_text("std.range(1, 1e12)")
    (tmp_path / "surrogate.json").write_text('{"runs": "\\ud800"}')
    done = sluice("config", *arguments, cwd=tmp_path)
    assert done.returncode == status
    assert "Traceback" not in done.stdout + done.stderr
    assert "root:" not in done.stdout + done.stderr
    assert done.stdout + done.stderr


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_is_without_faults_and_fits_the_schema(name: str) -> None:
    context = Context(ref_type="branch", ref="refs/heads/main", branch="main", commit_sha="c" * 40)
    loaded = load(FolderFiles(ROOT / "examples" / name), context)
    assert (loaded.errors, loaded.warnings) == ((), ())
    assert holds(json_schema(), loaded.document)
    assert loaded.config is not None
    for run in loaded.config.runs:
        made = tasks_of_run(loaded.config, run.name, context)
        assert made.applies
        assert made.warnings == ()
        assert {step.WhichOneof("kind") for task in made.tasks for step in task.steps} <= {"run", "clone"}
        assert {each.image for task in made.tasks for each in task.runtime.containers} == {"host"}


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (["lint.sh"], 0),
        (["test.sh", "tests.test_counting"], 0),
        (["test.sh", "tests.test_command_line"], 0),
        (["test.sh", "discover", "-s", "tests", "-t", "."], 0),
        # The check that the pipeline ignores and reports.
        (["spelling.sh"], 1),
        (["package.sh", "abc"], 0),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else str(v),
)
def test_scripts_of_the_pipeline_do_what_it_says(tmp_path: Path, script: list[str], status: int) -> None:
    project = tmp_path / "project"
    subprocess.run(["cp", "-r", ROOT / "examples" / "pipeline", project], check=True)
    done = subprocess.run(
        ["sh", f"scripts/{script[0]}", *script[1:]],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr


# -- import

IMPORTS = ROOT / "tests" / "fixtures" / "imports"


def test_import_writes_a_file_that_check_accepts(repository: Path) -> None:
    target = repository / ".sluice" / "config.jsonnet"
    source = IMPORTS / "github-actions" / "build.yml"
    done = sluice("config", "import", "github-actions", source, "--output", target)
    assert (done.returncode, done.stdout) == (0, "")
    assert "read the" in done.stderr
    assert sluice("config", "check", repository).returncode == 0
    assert target.read_text() == source.with_name("build.jsonnet").read_text()
    again = sluice("config", "import", "github-actions", source, "--output", target)
    assert again.returncode == 1
    assert "exists; choose another file" in again.stderr


def test_import_prints_a_result_with_errors_and_ends_with_1(tmp_path: Path) -> None:
    source = tmp_path / "ci.yml"
    source.write_text("empty: {}\n")
    done = sluice("config", "import", "gitlab", source)
    assert done.returncode == 0, done.stderr
    source.write_text("stages: []\n")
    done = sluice("config", "import", "gitlab", source)
    assert done.returncode == 1
    assert "runs: [" in done.stdout
    assert "result" in done.stderr


def test_import_of_no_file_says_so(tmp_path: Path) -> None:
    done = sluice("config", "import", "woodpecker", tmp_path / "missing.yml")
    assert (done.returncode, done.stdout) == (1, "")
    assert "missing.yml cannot be read: No such file or directory" in done.stderr
