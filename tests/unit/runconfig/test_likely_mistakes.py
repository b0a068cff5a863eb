"""What is allowed and most likely not meant is a warning: carriage returns, variables that the system overwrites."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluiceway_common.runconfig.compile import LoadResult, load, load_source
from sluiceway_common.runconfig.environment import POD_VARIABLE, run_environment, static_environment, system_variables
from sluiceway_common.runconfig.files import MappingFiles
from sluiceway_common.runconfig.when import Context
from sluiceway_executor.drivers.pod_store import MARKER

RUNTIME = {"containers": [{"image": "host"}]}
IN_COMMAND = (
    "its lines end in CR LF, which a shell takes for a part of the command; "
    "save the file with LF line ends, or take the carriage returns out"
)
IN_TEXT = "it has lines that end in CR LF; save the file with LF line ends, or take the carriage returns out"


def load_text(name: str, text: str) -> LoadResult:
    loaded = load_source(name, text.encode(), MappingFiles({}), Context())
    assert loaded.errors == ()
    return loaded


def warnings_of(task: dict[str, Any]) -> list[tuple[str, str]]:
    document = {"runs": [{"name": "r", "tasks": [{"name": "a", "runtime": RUNTIME, **task}]}]}
    found = load_text("c.json", json.dumps(document)).warnings
    return [(w.path.removeprefix("runs[0].tasks[0]."), w.message) for w in found]


# -- carriage returns --------------------------------------------------------------------------------------------------

JSONNET = """local rt = {containers: [{image: 'host'}]};
{runs: [{name: 'r', tasks: [{name: 'a', runtime: rt, steps: [{run: {name: 's', command: |||
  if true; then
    echo yes
  fi
|||}}]}]}]}
"""


def test_carriage_returns_in_a_text_block_have_a_place() -> None:
    assert load_text("c.jsonnet", JSONNET).warnings == ()
    (warning,) = load_text("c.jsonnet", JSONNET.replace("\n", "\r\n")).warnings
    assert (warning.path, warning.message) == ("runs[0].tasks[0].steps[0].run.command", IN_COMMAND)
    assert (warning.line, warning.column) == (2, 80)


def test_carriage_returns_of_an_imported_script_are_reported() -> None:
    text = "{runs: [{name: 'r', tasks: [{name: 'a', runtime: {containers: [{image: 'host'}]},\n"
    text += "steps: [{run: {name: 's', command: importstr 'x.sh'}}]}]}]}"
    loaded = load_source("c.jsonnet", text.encode(), MappingFiles({"x.sh": "true\r\n"}), Context())
    assert [(w.line, w.column, w.message) for w in loaded.warnings] == [(2, 27, IN_COMMAND)]


def test_line_ends_of_a_yaml_file_are_no_content() -> None:
    text = "runs:\n- name: r\n  tasks:\n  - name: a\n    runtime: {containers: [{image: host}]}\n"
    text += "    steps:\n    - run:\n        name: s\n        command: |\n          a\n          b\n"
    loaded = load_text("c.yml", text.replace("\n", "\r\n"))
    assert loaded.warnings == ()
    assert loaded.document["runs"][0]["tasks"][0]["steps"][0]["run"]["command"] == "a\nb\n"


@pytest.mark.parametrize(
    ("task", "path", "message"),
    [
        ({"steps": [{"run": "true\r\n"}]}, "steps[0].run", IN_COMMAND),
        ({"steps": [{"type": "run", "command": "true\r\n"}]}, "steps[0].command", IN_COMMAND),
        (
            {"steps": [{"run": "printf 'a\rb'"}]},
            "steps[0].run",
            "it holds a carriage return, which a shell takes for a part of the command; "
            "save the file with LF line ends, or take the carriage returns out",
        ),
        ({"environment": {"A": "x\r\ny"}}, "environment.A", IN_TEXT),
        ({"shell": "/bin/sh -e\r\n"}, "shell", IN_TEXT),
        ({"working_dir": "w\r\n"}, "working_dir", IN_TEXT),
        ({"labels": {"a": "b\r\n"}}, "labels.a", IN_TEXT),
    ],
)
def test_carriage_returns_are_reported_wherever_they_are(task: dict[str, Any], path: str, message: str) -> None:
    assert warnings_of(task) == [(path, message)]


# -- variables ---------------------------------------------------------------------------------------------------------


def overwritten(name: str) -> str:
    return f"`{name}` is set by the system; this value is not used, but a step's own `environment` can set it"


SYSTEM = [
    "CI", "SLUICE_RUN_ID", "SLUICE_RUN_NUMBER", "SLUICE_TASK_NAME", "SLUICE_REPOSITORY_URL", "SLUICE_GIT_REF_TYPE",
    "SLUICE_GIT_REF", "SLUICE_GIT_BRANCH", "SLUICE_GIT_TAG", "SLUICE_GIT_COMMIT_SHA", "SLUICE_PULL_REQUEST_ID",
    "SLUICE_API_URL",
]  # fmt: skip


@pytest.mark.parametrize("name", SYSTEM)
@pytest.mark.parametrize("value", ["false", {"from_variable": "X"}], ids=["text", "variable"])
def test_variable_that_the_system_overwrites_is_reported(name: str, value: Any) -> None:
    assert warnings_of({"environment": {name: value, "OTHER": "x"}}) == [(f"environment.{name}", overwritten(name))]


def test_names_of_the_system_are_those_that_it_sets() -> None:
    static = static_environment(Context(), repository_url="u")
    of_run = run_environment(run_id="i", run_number=1, task_name="t", api_url="u", agola=False)
    assert system_variables() == set(SYSTEM) == {*static, *of_run}
    assert POD_VARIABLE == MARKER


def test_variable_of_the_first_container_is_reported_too() -> None:
    containers = [{"image": "host", "environment": {"CI": "no"}}]
    assert warnings_of({"runtime": {"containers": containers}}) == [
        ("runtime.containers[0].environment.CI", overwritten("CI"))
    ]


@pytest.mark.parametrize(
    "task",
    [
        {"environment": {"CI": "true"}},
        {"environment": {"CI": None}},
        {"environment": {"SLUICE_OTHER": "x", "ci": "x", "PATH": "x", "HOME": "x", "AGOLA_GIT_REF": "x"}},
        {"steps": [{"run": {"command": "x", "environment": {"CI": "x", "SLUICE_RUN_ID": "y"}}}]},
        {"steps": [{"type": "run", "command": "x", "environment": {"CI": "x"}}]},
    ],
    ids=["the-same-value", "null", "other-names", "short-step", "long-step"],
)
def test_variable_that_is_used_is_not_reported(task: dict[str, Any]) -> None:
    assert warnings_of(task) == []


@pytest.mark.parametrize(
    ("task", "path"),
    [
        ({"environment": {"SLUICE_POD": "x"}}, "environment.SLUICE_POD"),
        (
            {"steps": [{"run": {"command": "x", "environment": {"SLUICE_POD": "x"}}}]},
            "steps[0].run.environment.SLUICE_POD",
        ),
        (
            {"steps": [{"type": "run", "command": "x", "environment": {"SLUICE_POD": "x"}}]},
            "steps[0].environment.SLUICE_POD",
        ),
    ],
    ids=["task", "short-step", "long-step"],
)
def test_variable_that_the_executor_sets_is_told_of_steps_too(task: dict[str, Any], path: str) -> None:
    assert warnings_of(task) == [(path, "`SLUICE_POD` is set by the executor; this value is not used")]


def test_names_of_agola_are_reported_for_its_folder_only() -> None:
    document = {
        "task_timeout_interval": "1h",
        "runs": [{"name": "r", "tasks": [{"name": "a", "runtime": RUNTIME, "environment": {"AGOLA_GIT_TAG": "x"}}]}],
    }
    agola = load(MappingFiles({".agola/config.json": json.dumps(document)}), Context())
    assert [w.message for w in agola.warnings] == [overwritten("AGOLA_GIT_TAG")]
    ours = load(MappingFiles({".sluice/config.json": json.dumps(document)}), Context())
    assert ours.warnings == ()


def test_variables_are_reported_beside_errors() -> None:
    document = {"runs": [{"name": "r", "tasks": [{"name": "a", "environment": {"CI": "x"}}]}]}
    loaded = load_source("c.json", json.dumps(document).encode(), MappingFiles({}), Context())
    assert [e.message for e in loaded.errors] == ["`runtime` is required"]
    assert [w.message for w in loaded.warnings] == [overwritten("CI")]


# -- other values ------------------------------------------------------------------------------------------------------

NO_GLOB = "this matches no ref: it is compared as it is; write a regular expression, such as /^release-/"
NO_END = "this matches no ref: a regular expression begins and ends with `/`"
NEVER = "this never applies: rules that only exclude match nothing; add an `include`"
NANOSECONDS = 'an integer counts nanoseconds; write "%ds" for seconds'


@pytest.mark.parametrize(
    ("task", "path", "message"),
    [
        ({"task_timeout_interval": 90}, "task_timeout_interval", NANOSECONDS % 90),
        ({"approval": {"timeout": 5}}, "approval.timeout", NANOSECONDS % 5),
        ({"resources": {"memory": 512}}, "resources.memory", 'an integer counts bytes; write "512Mi" for mebibytes'),
        ({"when": {"branch": "release/*"}}, "when.branch", NO_GLOB),
        ({"when": {"tag": ["v1", "v?"]}}, "when.tag[1]", NO_GLOB),
        ({"when": {"ref": {"include": ["x", "refs/[a-z]"]}}}, "when.ref.include[1]", NO_GLOB),
        ({"when": {"branch": {"include": "x", "exclude": "*"}}}, "when.branch.exclude", NO_GLOB),
        ({"when": {"branch": "/main"}}, "when.branch", NO_END),
        ({"when": {"branch": {"exclude": "main"}}}, "when", NEVER),
        ({"when": {"branch": [], "tag": {}}}, "when", NEVER),
    ],
)
def test_value_that_is_most_likely_not_meant_is_a_warning(task: dict[str, Any], path: str, message: str) -> None:
    assert warnings_of(task) == [(path, message)]


@pytest.mark.parametrize(
    "task",
    [
        {"task_timeout_interval": 10**9, "approval": {"timeout": "5s"}},
        {"resources": {"memory": 1 << 20}},
        {"when": {"branch": ["/^release-/", "#^x#", "main", "a/b"], "paths": ["docs/*.md", "/^x?/", "**"]}},
        {"when": {"branch": {"exclude": ["x"]}, "tag": "v1"}},
        {"when": {"paths": {"exclude": ["docs/**"]}}},
        {"when": {}},
        {"labels": {"branch": "*", "memory": "1", "when": "*"}},
    ],
)
def test_value_that_may_be_meant_is_no_warning(task: dict[str, Any]) -> None:
    assert warnings_of(task) == []
