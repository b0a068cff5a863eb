"""Configurations of Agola are accepted as they are, with a warning for each thing that is left out or chosen.

`tests/fixtures/agola` has the smallest file for each habit of public repositories; the tables here have the rest.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sluiceway_common.runconfig.agola.amounts import duration_of, quantity_of
from sluiceway_common.runconfig.agola.yaml_1_1 import text_of
from sluiceway_common.runconfig.capabilities import Capabilities
from sluiceway_common.runconfig.compile import LoadResult, load
from sluiceway_common.runconfig.durations import MAX_DURATION
from sluiceway_common.runconfig.environment import run_environment, static_environment
from sluiceway_common.runconfig.files import MappingFiles
from sluiceway_common.runconfig.step_model import STEP_MODELS
from sluiceway_common.runconfig.tasks import tasks_of_run
from sluiceway_common.runconfig.when import Context, matches

FIXTURES = Path(__file__).parents[2] / "fixtures" / "agola"
ALL = Capabilities(
    "all",
    steps=frozenset(STEP_MODELS),
    registry_images=True,
    services=True,
    privileged=True,
    entrypoint=True,
    volumes=True,
    limits_processors=True,
)
NO_TIMEOUT = "tasks without a `task_timeout_interval` have no timeout, as in Agola"
MAIN = Context(ref_type="branch", ref="refs/heads/main", branch="main", commit_sha="c" * 40)
RUNTIME = "{containers: [{image: alpine}]}"


def loaded(text: str | bytes, name: str = "config.yml", folder: str = ".agola") -> LoadResult:
    return load(MappingFiles({f"{folder}/{name}": text}), Context(), drivers=[ALL])


def task(fields: str, top: str = "") -> LoadResult:
    return loaded(f"{top}\nruns:\n- name: one\n  tasks:\n  - name: only\n    runtime: {RUNTIME}\n    {fields}\n")


def warnings(result: LoadResult) -> list[str]:
    return [str(w) for w in result.warnings if w.message != NO_TIMEOUT]


def model(result: LoadResult) -> Any:
    assert result.config is not None, [str(e) for e in result.errors]
    return result.config.runs[0].tasks[0]


EXPECTED = {
    "a01": ["7:25: runs[0].tasks[0].steps[0].name: an empty name: the step is named after its command, as in Agola"],
    "a02": ['1:1: version: unknown field "version": passed over, as in Agola'],
    "a03": [
        '8:11: runs[0].tasks[0].environment.WHO: duplicate key "WHO", given on line 7 already; the last one counts, as'
        " in Agola"
    ],
    "a04": ['5:19: runs[0].tasks[0].runtime.architecture: unknown field "architecture": passed over, as in Agola'],
    "a05": ["4:9: runs[0].tasks[0].name: the spaces at the ends of the name are left out"],
    "a06": ['7:27: runs[0].tasks[0].steps[0].dest_dir: unknown field "dest_dir": passed over, as in Agola'],
    "a08": ['5:48: runs[0].tasks[0].runtime.containers[0].auth: unknown field "auth": passed over, as in Agola'],
    "b01": ['6:9: runs[0].tasks[0].user: this is taken as the text "1000", as in Agola'],
    "b02": ['5:19: runs[0].tasks[0].runtime.arch: this is taken as the text "386", as in Agola'],
    "b03": ['4:9: runs[0].tasks[0].name: this is taken as the text "12", as in Agola'],
    "b04": [],
    "b05": [
        "6:25: runs[0].tasks[0].ignore_failure: `yes` is true, as in Agola; write true, or quote it if it is text",
    ],
    "b06": ["8:20: runs[0].tasks[1].depends[0].only: no conditions: `on_success` holds, as in Agola"],
    "b07": ["6:9: runs[0].tasks[0].task_timeout_interval: a timeout of 0 is none, as in Agola"],
    "b08": [],
    "b09": [
        "5:77: runs[0].tasks[0].runtime.containers[0].volumes[0].tmpfs.size: a size of 0 is no limit, as in Agola",
    ],
    "b10": [],
    "b11": [
        f'6:{column}: runs[0].tasks[0].environment["{name}"]: shells cannot read a variable of this name'
        for column, name in ((23, "1ST"), (31, "with space"), (48, "a/b"))
    ],
    "b12": [
        "7:14: runs[0].tasks[0].steps[0].save_cache: a `save_cache` step without `contents` saves nothing, and is left"
        " out",
        "8:13: runs[0].tasks[0].steps[1]: a `save_to_workspace` step without `contents` saves nothing, and is left out",
    ],
    "b13": [
        '1:26: docker_registries_auth["registry.test"]: a user without a password: the password is empty, as in Agola',
    ],
    "b14": [],
    "b15": [
        '1:1: Runs: "Runs" is taken for `runs`, as in Agola',
        '2:5: Runs[0].Name: "Name" is taken for `name`, as in Agola',
    ],
    "b16": ["this is YAML and not JSON, and read as such, as in Agola"],
    "b17": ["6:1: only the first YAML document of the file is read, as in Agola"],
    "b18": [],
    "b19": ["7:40: runs[0].tasks[0].steps[0].name: a name of 101 characters is shortened to 100"],
    "b20": ["7:40: runs[0].tasks[0].steps[0].name: the spaces at the ends of the name are left out"],
    "b21": ['6:45: runs[0].tasks[0].environment.A.note: unknown field "note": passed over, as in Agola'],
    "b22": ["8:20: runs[0].tasks[1].depends[0].only: a condition that is there twice counts once"],
    "b23": ["6:16: runs[0].tasks[0].when.branch: an empty text matches nothing"],
    "b24": ['1:1: x-image: unknown field "x-image": passed over, as in Agola'],
    "b25": ['4:15: the tag "!note" is passed over, and the value is text, as in Agola'],
    "m01": [
        "6:9: runs[0].tasks[0].when: a `when` without a condition never applies, as in Agola; leave it out if it is to"
        " apply always"
    ],
    "m02": [
        "6:9: runs[0].tasks[0].when: a `when` without a condition never applies, as in Agola; leave it out if it is to"
        " apply always"
    ],
    "m05": ["7:40: runs[0].tasks[0].steps[0].when: the `when` of a step is passed over, as in Agola"],
    "m06": [],
    "m07": [],
}


@pytest.mark.parametrize("path", sorted(FIXTURES.iterdir()), ids=lambda path: path.stem)
def test_file_is_accepted_with_its_warnings(path: Path) -> None:
    found = loaded(path.read_bytes(), "config.json" if path.suffix == ".json" else "config.yml")
    key = path.name[:3]
    if key == "a07":
        assert [str(e) for e in found.errors] == ["2:5: runs[0].tasks: `tasks` is required"]
        return
    assert [str(e) for e in found.errors] == []
    assert warnings(found) == EXPECTED[key]


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("[ab]*")), ids=lambda path: path.stem)
def test_same_file_elsewhere_is_as_strict_as_before(path: Path) -> None:
    found = loaded(path.read_bytes(), "config.json" if path.suffix == ".json" else "config.yml", ".sluice")
    assert found.errors


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        ("user: 1000", ("user", "1000")),
        ("user: 0644", ("user", "420")),
        ("user: 3.10", ("user", "3.1")),
        ("user: off", ("user", "false")),
        ("working_dir: 1_000", ("working_dir", "1000")),
        ("ignore_failure: On", ("ignore_failure", True)),
        ("ignore_failure: n", ("ignore_failure", False)),
        ("task_timeout_interval: +1h30m", ("task_timeout_interval", 5400 * 10**9)),
        ("task_timeout_interval: .5h", ("task_timeout_interval", 1800 * 10**9)),
        ("task_timeout_interval: 0", ("task_timeout_interval", MAX_DURATION)),
        ("task_timeout_interval: 2e9", ("task_timeout_interval", 2 * 10**9)),
        ("environment: {<<: {A: x, B: v}, A: z}", ("environment.A.text", "z")),
        ("environment: {<<: [{A: x}, {A: y}]}", ("environment.A.text", "x")),
        ("environment: {A: z, <<: {A: x}}", ("environment.A.text", "x")),
        ("environment: {on: x}", ("environment.true.text", "x")),
        ("environment: {7: x}", ("environment.7.text", "x")),
        ("Environment: {b: x}", ("environment.b.text", "x")),
        ("steps: [{run: make}]", ("steps.0.tty", True)),
        ("steps: [{run: {command: make, tty: false}}]", ("steps.0.tty", False)),
        ("steps: [{save_cache: {key: k}}, {type: run, command: x}]", ("steps.0.command", "x")),
        ("steps: [clone: ]", ("steps.0.type", "clone")),
        ("steps: [{restore_workspace: {dest_dir: ''}}]", ("steps.0.dest_dir", "")),
        ("approval: yes", ("approval.timeout", MAX_DURATION)),
        ("name: 'x '", ("name", "x")),
    ],
)
def test_value_means_what_it_means_in_agola(fields: str, value: tuple[str, object]) -> None:
    found: Any = model(task(fields))
    for part in value[0].split("."):
        if isinstance(found, dict):
            found = found[part]
        else:
            found = found[int(part)] if part.isdecimal() else getattr(found, part)
    assert found == value[1]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ("user: [a]", "7:5: runs[0].tasks[0].user: must be a string, not a list"),
        ("environment: {A: 7}", '7:19: runs[0].tasks[0].environment.A: must be a string, not a number; quote it: "7"'),
        (
            "environment: {<<: 3}",
            "7:23: runs[0].tasks[0].environment: a merge key (`<<`) needs a map or a list of maps",
        ),
        ("task_timeout_interval: 5x", "5x"),
        ("task_timeout_interval: -1h", "a duration must be longer than 0"),
        ("steps: [make]", "a step must be a map"),
        ("steps: [{type: bake}]", "unknown step type"),
        ("steps: [{save_artifacts: {paths: [a]}}]", "`name` is required"),
        ("depends: [{only: [on_nothing]}]", "unknown condition"),
        ("steps: [{save_cache: {key: k}}, {type: run}]", "runs[0].tasks[0].steps[1].command: `command` is required"),
        ("a: &a [*a]", "stands inside of what it names"),
    ],
)
def test_what_agola_refuses_too_is_an_error(fields: str, error: str) -> None:
    assert error in "\n".join(map(str, task(fields).errors))


def test_key_of_a_deploy_key_is_said_to_be_unset() -> None:
    found = warnings(task("steps: [{run: 'echo \"$AGOLA_SSHPRIVKEY\" > key'}]"))
    assert found == [
        "7:14: runs[0].tasks[0].steps[0].run: AGOLA_SSHPRIVKEY is not set: the deploy key reaches `clone` steps only"
    ]


def test_files_of_jsonnet_have_its_habits_too() -> None:
    text = json.dumps(
        {"version": "v0", "runs": [{"name": "r ", "tasks": [{"name": 1, "runtime": {"containers": [{"image": "a"}]}}]}]}
    )
    found = loaded(text, "config.jsonnet")
    assert model(found).name == "1"
    assert [w.message for w in found.warnings] == [
        NO_TIMEOUT,
        'unknown field "version": passed over, as in Agola',
        "the spaces at the ends of the name are left out",
        'this is taken as the text "1", as in Agola',
    ]


def test_broken_json_is_reported_as_json() -> None:
    (error,) = loaded('{"runs": [,]}', "config.json").errors
    assert error.message.startswith("not JSON")


def test_timeouts_are_none_unless_the_file_has_them() -> None:
    limited = task("ignore_failure: true", top="task_timeout_interval: 5m")
    assert [w.message for w in limited.warnings] == []
    for result, seconds in ((limited, 300), (task("ignore_failure: true"), MAX_DURATION // 10**9)):
        assert result.config is not None
        (made,) = tasks_of_run(result.config, "one", MAIN).tasks
        assert made.task_timeout_interval.seconds == seconds


@pytest.mark.parametrize("when", ["{}", "{branch: null}", "{branch: ''}", "{other: x}"])
def test_when_without_a_condition_never_applies(when: str) -> None:
    compiled = model(task(f"when: {when}")).when.compiled()
    for context in (MAIN, Context(ref_type="tag", tag="v1"), Context(ref_type="pull_request", ref="refs/pull/1/head")):
        assert not matches(compiled, context)


def test_null_when_applies_always() -> None:
    assert model(task("when: null")).when is None


def test_starlark_is_said_to_be_unread() -> None:
    star = ".agola/config.star is not read, though Agola reads it first: starlark is not supported"
    alone = load(MappingFiles({".agola/config.star": ""}), Context())
    assert star in alone.errors[0].message
    good = (FIXTURES / "m06-run-counter.yml").read_text()
    beside = load(MappingFiles({".agola/config.star": "", ".agola/config.yml": good}), Context(), drivers=[ALL])
    assert beside.config is not None
    assert beside.warnings[0].message.startswith(star)
    elsewhere = load(MappingFiles({".sluice/config.star": "", ".agola/config.yml": good}), Context(), drivers=[ALL])
    assert warnings(elsewhere) == []


@pytest.mark.parametrize(
    ("repository", "host", "port"),
    [
        ("https://git.test/a/b.git", "git.test", ""),
        ("https://git.test:8443/a/b", "git.test", "8443"),
        ("ssh://git@git.test:2222/a/b", "git.test", "2222"),
        ("git@git.test:a/b.git", "git.test", ""),
        ("http://[::1]:80/a", "::1", "80"),
        ("/srv/git/a", "", ""),
    ],
)
def test_names_of_its_own_are_set(repository: str, host: str, port: str) -> None:
    static = static_environment(MAIN, repository_url=repository, agola=True)
    assert (static["AGOLA_GIT_HOST"], static["AGOLA_GIT_PORT"]) == (host, port)
    assert static["AGOLA_GIT_COMMITSHA"] == MAIN.commit_sha
    run = run_environment(run_id="i", run_number=7, task_name="t", api_url="", agola=True)
    assert run["AGOLA_RUN_COUNTER"] == "7"
    plain = {
        **static_environment(MAIN, repository_url=repository),
        **run_environment(run_id="i", run_number=7, task_name="t", api_url="", agola=False),
    }
    assert not any(name.startswith("AGOLA_") for name in plain)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        (".5h", 1800 * 10**9),
        ("+1h", 3600 * 10**9),
        ("1.h", 3600 * 10**9),
        ("1h0.5s", 3600 * 10**9 + 5 * 10**8),
        ("1.5us", 1500),
        ("-1h", -3600 * 10**9),
        ("0", 0),
        ("0s", 0),
        (".h", None),
        ("1", None),
        ("1d", None),
        ("", None),
        ("+", None),
        ("1h ", None),
        ("1" * 200 + "h", None),
    ],
)
def test_durations_are_those_of_go(text: str, nanoseconds: int | None) -> None:
    assert duration_of(text) == nanoseconds


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (0, 0),
        ("1e9", 10**9),
        (1e9, 10**9),
        ("1.5Gi", 3 << 29),
        ("500m", 1),
        (".5k", 500),
        ("1E", 10**18),
        ("1Ei", 1 << 60),
        ("1e", None),
        ("1Zi", None),
        (True, None),
        ("", None),
        (None, None),
    ],
)
def test_sizes_are_quantities_of_kubernetes(value: object, size: int | None) -> None:
    assert quantity_of(value) == size


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.1, "3.1"),
        (100.0, "100"),
        (123456.0, "123456"),
        (1234567.0, "1.234567e+06"),
        (0.00001, "1e-05"),
        (3.14159265, "3.1415927"),
        (0.1, "0.1"),
        (-2.5, "-2.5"),
        (0.0, "0"),
        (1e39, "+Inf"),
        (True, "true"),
        ("x", None),
        (None, None),
    ],
)
def test_numbers_are_written_as_go_writes_them(value: object, text: str | None) -> None:
    assert text_of(value) == text
