"""Each check with its message and its place."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from sluiceway_common.runconfig.compile import MAX_PROBLEMS, LoadResult, check_document, load, load_source
from sluiceway_common.runconfig.documents import Document
from sluiceway_common.runconfig.files import MappingFiles
from sluiceway_common.runconfig.when import Context
from tests.support.drivers import ABLE

RUNTIME = {"containers": [{"image": "host"}]}
BRANCH = Context(ref_type="branch", ref="refs/heads/main", branch="main")


def load_json(document: Any) -> LoadResult:
    return load_source("config.json", json.dumps(document, indent=1).encode(), MappingFiles({}), BRANCH, drivers=ABLE)


def task(name: str = "a", **fields: Any) -> dict[str, Any]:
    return {"name": name, "runtime": RUNTIME, **fields}


def config(*tasks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"runs": [{"name": "r", "tasks": list(tasks) or [task()], **fields}]}


def step(value: Any) -> dict[str, Any]:
    return config(task(steps=[value]))


def container(**fields: Any) -> dict[str, Any]:
    return config({"name": "a", "runtime": {"containers": [{"image": "i", **fields}]}})


T = "runs[0].tasks[0]"
S = f"{T}.steps[0]"
C = f"{T}.runtime.containers[0]"

ERRORS = [
    ("top-is-no-map", [], "", "must be a map, not a list"),
    ("runs-missing", {}, "runs", "`runs` is required"),
    ("runs-empty", {"runs": []}, "runs", "must not be empty"),
    ("runs-no-list", {"runs": {}}, "runs", "must be a list, not a map"),
    ("unknown-top-field", {**config(), "run": 1}, "run", "unknown field `run`: did you mean `runs`?"),
    ("unknown-run-field", config(wen={}), "runs[0].wen", "unknown field `wen`: did you mean `when`?"),
    ("unknown-field-null", config(task(zzzzz=None)), f"{T}.zzzzz", "unknown field `zzzzz`"),
    (
        "unknown-step-field-null",
        step({"run": {"command": "x", "zzzzz": None}}),
        f"{S}.run.zzzzz",
        "unknown field `zzzzz`",
    ),
    (
        "unknown-task-field",
        config(task(dependss=[])),
        f"{T}.dependss",
        "unknown field `dependss`: did you mean `depends`?",
    ),
    ("unknown-field-far-from-all", config(task(zzzzz=[])), f"{T}.zzzzz", "unknown field `zzzzz`"),
    ("unknown-container-field", container(imgae="x"), f"{C}.imgae", "unknown field `imgae`: did you mean `image`?"),
    (
        "unknown-step-field",
        step({"run": {"comand": "x", "command": "x"}}),
        f"{S}.run.comand",
        "unknown field `comand`: did you mean `command`?",
    ),
    (
        "unknown-step-field-long-form",
        step({"type": "run", "command": "x", "tyt": True}),
        f"{S}.tyt",
        "unknown field `tyt`: did you mean `tty`?",
    ),
    (
        "unknown-registry-field",
        config(docker_registries_auth={"r.io": {"pasword": "x"}}),
        'runs[0].docker_registries_auth["r.io"].pasword',
        "unknown field `pasword`: did you mean `password`?",
    ),
    ("name-missing", {"runs": [{"tasks": [task()]}]}, "runs[0].name", "`name` is required"),
    ("name-null", config({"name": None, "runtime": RUNTIME}), f"{T}.name", "`name` is required"),
    ("name-number", config(task() | {"name": 5}), f"{T}.name", 'must be a string, not a number; quote it: "5"'),
    ("name-long", config(task("x" * 101)), f"{T}.name", "can have at most 100 characters, not 101"),
    ("name-empty", config(task("")), f"{T}.name", "must not be empty"),
    ("name-blank", config(task("  ")), f"{T}.name", "must not be empty"),
    ("name-dots", config(task("..")), f"{T}.name", '".." is not a name'),
    ("name-nul", config(task("a\0b")), f"{T}.name", '"a\\x00b" holds a control or invisible character (U+0000)'),
    ("name-newline", config(task("a\nb")), f"{T}.name", '"a\\nb" holds a control or invisible character (U+000A)'),
    (
        "name-right-to-left",
        config(task("a\u202eb")),
        f"{T}.name",
        '"a\\u202eb" holds a control or invisible character (U+202E)',
    ),
    ("name-of-4-KiB", config(task("x" * 4096)), f"{T}.name", "can have at most 100 characters, not 4096"),
    ("tasks-empty", {"runs": [{"name": "r", "tasks": []}]}, "runs[0].tasks", "must not be empty"),
    ("runtime-missing", config({"name": "a"}), f"{T}.runtime", "`runtime` is required"),
    (
        "containers-empty",
        config({"name": "a", "runtime": {"containers": []}}),
        f"{T}.runtime.containers",
        "must not be empty",
    ),
    ("image-missing", config({"name": "a", "runtime": {"containers": [{}]}}), f"{C}.image", "`image` is required"),
    ("image-empty", container(image=""), f"{C}.image", "must not be empty"),
    (
        "arch-unknown",
        config({"name": "a", "runtime": {**RUNTIME, "arch": "amd65"}}),
        f"{T}.runtime.arch",
        'unknown arch "amd65": did you mean `amd64`?',
    ),
    (
        "runtime-type",
        config({"name": "a", "runtime": {**RUNTIME, "type": "vm"}}),
        f"{T}.runtime.type",
        "must be 'pod', not \"vm\"",
    ),
    ("privileged-text", container(privileged="maybe"), f"{C}.privileged", "must be true or false, not a string"),
    (
        "privileged-of-yaml-1.1",
        container(privileged="yes"),
        f"{C}.privileged",
        'must be true or false, not "yes": write true',
    ),
    (
        "volume-relative",
        container(volumes=[{"path": "tmp", "tmpfs": {}}]),
        f"{C}.volumes[0].path",
        '"tmp" must be an absolute path without `..`',
    ),
    (
        "tmpfs-size",
        container(volumes=[{"path": "/t", "tmpfs": {"size": "big"}}]),
        f"{C}.volumes[0].tmpfs.size",
        'must be an amount such as "512Mi" or "1G", or an integer of bytes',
    ),
    (
        "cpu",
        container(resources={"cpu": "lots"}),
        f"{C}.resources.cpu",
        'must be an amount of processors such as "500m", 0.5 or 2',
    ),
    ("ready-nothing", container(ready={}), f"{C}.ready", "needs one of `command` and `port`"),
    ("ready-port", container(ready=70000), f"{C}.ready", "must be at most 65535, not 70000"),
    (
        "environment-number",
        config(task(environment={"A": 5})),
        f"{T}.environment.A",
        'must be a string, not a number; quote it: "5"',
    ),
    (
        "environment-boolean",
        config(task(environment={"A": True})),
        f"{T}.environment.A",
        'must be a string, not a boolean; quote it: "true"',
    ),
    (
        "environment-map",
        config(task(environment={"A": {"from_var": "x"}})),
        f"{T}.environment.A",
        "must be a string or {from_variable: NAME}, with nothing else in it",
    ),
    (
        "environment-name",
        config(task(environment={"A=B": "x"})),
        f'{T}.environment["A=B"]',
        '"A=B" is not the name of an environment variable',
    ),
    ("step-type-unknown", step({"rum": "x"}), S, 'unknown step type "rum": did you mean `run`?'),
    ("step-type-unknown-long-form", step({"type": "cloen"}), S, 'unknown step type "cloen": did you mean `clone`?'),
    (
        "step-two-keys",
        step({"run": "x", "always": True}),
        S,
        "a short step has one key; write {type: run, command: ..., always: ...}",
    ),
    (
        "step-three-keys",
        step({"name": "y", "run": {"command": "x"}, "always": True}),
        S,
        "a short step has one key; move `name`, `always` into `run`: {run: {name: ..., always: ...}}",
    ),
    (
        "step-null-and-a-key",
        step({"clone": None, "depth": 1}),
        S,
        "a short step has one key; move `depth` into `clone`: {clone: {depth: ...}}",
    ),
    (
        "step-with-a-type-and-a-key",
        step({"type": "run", "run": "x"}),
        S,
        "has both `type` and `run`; write {type: run, command: ...} or {run: ...}",
    ),
    (
        "shell-quotes",
        config(task(shell='bash -c "')),
        f"{T}.shell",
        '"bash -c \\"" is not a command: no closing quotation',
    ),
    (
        "shell-blank",
        step({"run": {"command": "x", "shell": "  "}}),
        f"{S}.run.shell",
        '"  " is not a command: it is blank',
    ),
    (
        "approval-of-yaml-1.1",
        config(task(approval="yes")),
        f"{T}.approval",
        'must be true or {timeout: DURATION}, not "yes": write true',
    ),
    ("abbreviated-field", container(env={}), f"{C}.env", "unknown field `env`: did you mean `environment`?"),
    ("step-text", step("make"), S, "a step must be a map such as {run: COMMAND} or {clone: {}}, not a string"),
    ("step-body", step({"clone": 5}), f"{S}.clone", "must be a map, not a number"),
    ("step-command", step({"run": 5}), f"{S}.run", 'must be a command or a map, not a number; quote it: "5"'),
    ("command-missing", step({"run": {}}), f"{S}.run.command", "`command` is required"),
    ("command-empty", step({"run": ""}), f"{S}.run", "must not be empty"),
    ("command-of-lines-unnamed", step({"run": "a\nb"}), S, "a command of several lines needs a `name`"),
    (
        "command-of-lines-unnamed-long",
        step({"type": "run", "command": "a\nb\n"}),
        S,
        "a command of several lines needs a `name`",
    ),
    ("clone-depth", step({"clone": {"depth": -1}}), f"{S}.clone.depth", "must be at least 0, not -1"),
    (
        "cache-key-long",
        step({"save_cache": {"key": "k" * 201, "contents": [{}]}}),
        f"{S}.save_cache.key",
        "a cache key can have at most 200 characters, not 201",
    ),
    (
        "restore-key-long",
        step({"restore_cache": {"keys": ["k", "k" * 201]}}),
        f"{S}.restore_cache.keys[1]",
        "a cache key can have at most 200 characters, not 201",
    ),
    (
        "paths-up",
        step({"save_to_workspace": {"contents": [{"paths": ["a/../../b"]}]}}),
        f"{S}.save_to_workspace.contents[0].paths[0]",
        '"a/../../b" leaves its folder by `..`',
    ),
    (
        "paths-absolute",
        step({"save_artifacts": {"name": "n", "paths": ["/etc/passwd"]}}),
        f"{S}.save_artifacts.paths[0]",
        '"/etc/passwd" must be a path inside its folder, without a leading / or ~',
    ),
    (
        "dest-dir-up",
        step({"save_to_workspace": {"contents": [{"dest_dir": "../x"}]}}),
        f"{S}.save_to_workspace.contents[0].dest_dir",
        '"../x" leaves its folder by `..`',
    ),
    ("artifacts-unnamed", step({"save_artifacts": {"paths": ["x"]}}), f"{S}.save_artifacts.name", "`name` is required"),
    (
        "condition-unknown",
        config(task(), task("b", depends=[{"a": ["on_succes"]}])),
        "runs[0].tasks[1].depends[0]",
        'unknown condition "on_succes": did you mean `on_success`?',
    ),
    (
        "conditions-empty",
        config(task(), task("b", depends=[{"task": "a", "conditions": []}])),
        "runs[0].tasks[1].depends[0].conditions",
        "must not be empty",
    ),
    (
        "condition-twice",
        config(task(), task("b", depends=[{"a": ["always", "always"]}])),
        "runs[0].tasks[1].depends[0]",
        'the same condition twice for "a"',
    ),
    (
        "parent-missing",
        config(task("build"), task("b", depends=["biuld"])),
        "runs[0].tasks[1].depends[0]",
        'there is no task "biuld" in this run: did you mean `build`?',
    ),
    (
        "parent-of-another-run",
        {"runs": [*config()["runs"], {"name": "s", "tasks": [task("b", depends=["a"])]}]},
        "runs[1].tasks[0].depends[0]",
        'there is no task "a" in this run',
    ),
    ("depends-on-itself", config(task(depends=["a"])), f"{T}.depends[0]", 'task "a" depends on itself'),
    (
        "dependency-twice",
        config(task(), task("b", depends=["a", {"a": ["always"]}])),
        "runs[0].tasks[1].depends[1]",
        'duplicate dependency on "a": give all conditions in one',
    ),
    (
        "task-name-twice",
        config(task(), task()),
        "runs[0].tasks[1].name",
        'duplicate task name "a": task number 1 has it already',
    ),
    (
        "run-name-twice",
        {"runs": config()["runs"] * 2},
        "runs[1].name",
        'duplicate run name "r": run number 1 has it already',
    ),
    (
        "cycle",
        config(task(depends=["c"]), task("b", depends=["a"]), task("c", depends=["b"])),
        f"{T}.depends",
        'the tasks form a cycle: "a" -> "b" -> "c" -> "a"',
    ),
    ("approval-number", config(task(approval=5)), f"{T}.approval", "must be true or {timeout: DURATION}, not a number"),
    (
        "duration-words",
        config(timeout="5 minutes"),
        "runs[0].timeout",
        '"5 minutes" is not a duration: write for example "10s", "1h30m" or "7d"',
    ),
    (
        "duration-zero",
        config(task(task_timeout_interval=0)),
        f"{T}.task_timeout_interval",
        "a duration must be longer than 0",
    ),
    ("attempts", config(task(retry={"max_attempts": 11})), f"{T}.retry.max_attempts", "must be at most 10, not 11"),
    (
        "retry-cause",
        config(task(retry={"on": ["los"]})),
        f"{T}.retry.on[0]",
        'unknown cause "los": did you mean `lost`?',
    ),
    ("priority-high", config(priority=11), "runs[0].priority", "must be at most 10, not 11"),
    ("priority-float", config(priority=1.5), "runs[0].priority", "must be an integer, not 1.5"),
    ("priority-text", config(priority="1"), "runs[0].priority", "must be an integer, not a string"),
    (
        "registry-incomplete",
        config(docker_registries_auth={"r": {"username": "u"}}),
        "runs[0].docker_registries_auth.r",
        "type basic needs `password`",
    ),
    (
        "when-unknown",
        config(when={"brnch": "x"}),
        "runs[0].when.brnch",
        "unknown field `brnch`: did you mean `branch`?",
    ),
    (
        "when-expression",
        config(when={"tag": {"exclude": ["/(/"]}}),
        "runs[0].when.tag.exclude[0]",
        '"/(/" is not a regular expression of RE2: missing ): (',
    ),
    (
        "when-look-around",
        config(when={"branch": "/a(?!b)/"}),
        "runs[0].when.branch",
        '"/a(?!b)/" is not a regular expression of RE2: look-around is not supported, since matching takes linear time',
    ),
    (
        "too-many-steps",
        step({"clone": {}}) | config(task(steps=[{"clone": {}}] * 1001)),
        f"{T}.steps",
        "can have at most 1,000 entries, not 1,001",
    ),
    (
        "too-many-tasks",
        config(*[task(f"t{i}") for i in range(2001)]),
        "runs[0].tasks",
        "can have at most 2,000 entries, not 2,001",
    ),
    (
        "too-many-runs",
        {"runs": [{"name": f"r{i}", "tasks": [task()]} for i in range(1001)]},
        "runs",
        "can have at most 1,000 entries, not 1,001",
    ),
]


@pytest.mark.parametrize(("document", "path", "message"), [pytest.param(*e[1:], id=e[0]) for e in ERRORS])
def test_fault_is_named_with_its_path_and_message(document: Any, path: str, message: str) -> None:
    loaded = load_json(document)
    assert [(e.path, e.message) for e in loaded.errors] == [(path, message)]
    assert loaded.config is None
    assert all(e.line and e.column for e in loaded.errors)


def edge_case(*edges: tuple[str, list[Any]]) -> dict[str, Any]:
    return config(*[task(name, depends=depends) for name, depends in edges])


WARNINGS = [
    (
        "implied-edge",
        edge_case(("a", []), ("b", ["a"]), ("c", ["a", "b"])),
        "runs[0].tasks[2].depends[0]",
        'the dependency on "a" is implied by another one already',
    ),
    (
        "implied-over-a-chain",
        edge_case(("a", []), ("b", ["a"]), ("c", ["b"]), ("d", ["a", "c"])),
        "runs[0].tasks[3].depends[0]",
        'the dependency on "a" is implied by another one already',
    ),
    (
        "both-must-fail",
        edge_case(("a", []), ("b", ["a"]), ("c", [{"a": ["on_failure"]}, {"b": ["on_failure"]}])),
        "runs[0].tasks[2].depends",
        'can never run: when "a" does not succeed, "b" is skipped; add `on_skipped` to the dependency on "b"',
    ),
    (
        "always-with-plain",
        edge_case(("a", []), ("b", []), ("c", ["a", {"b": ["always"]}])),
        "runs[0].tasks[2].depends",
        "mixes `always` with plain edges: after a stop the task is skipped, `always` or not",
    ),
    (
        "names-alike-by-case",
        edge_case(("build", []), ("Build", [])),
        "runs[0].tasks[1].name",
        '"Build" looks like the name of another task, "build"',
    ),
    (
        "names-alike-by-script",
        edge_case(("pay", []), ("рау", [])),
        "runs[0].tasks[1].name",
        '"рау" looks like the name of another task, "pay"',
    ),
    (
        "scripts-mixed",
        edge_case(("pаy", [])),
        "runs[0].tasks[0].name",
        '"pаy" mixes letters of scripts that look alike',
    ),
]


@pytest.mark.parametrize(("document", "path", "message"), [pytest.param(*w[1:], id=w[0]) for w in WARNINGS])
def test_doubtful_thing_is_warned_of_and_allowed(document: Any, path: str, message: str) -> None:
    loaded = load_json(document)
    assert loaded.errors == ()
    assert loaded.config is not None
    assert [(w.path, w.message) for w in loaded.warnings] == [(path, message)]


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(edge_case(("a", []), ("b", ["a"]), ("c", [{"a": ["on_failure"]}, {"b": ["on_skipped"]}])),
                     id="skipped-after-a-failure"),
        pytest.param(edge_case(("a", []), ("b", [{"a": ["on_failure"]}]), ("c", [{"a": ["on_failure"]}, "b"])),
                     id="edge-not-implied-by-success"),
        pytest.param(edge_case(("a", []), ("b", []), ("c", [{"a": ["always"]}, {"b": ["on_stopped"]}])),
                     id="all-edges-clean-up"),
    ],
)  # fmt: skip
def test_graph_that_can_run_is_not_warned_of(document: Any) -> None:
    loaded = load_json(document)
    assert (loaded.errors, loaded.warnings) == ((), ())


def test_all_faults_are_told_at_once_in_the_order_of_the_lines() -> None:
    document = config(task(dependss=[], depends=["b"]), task("b", depends=["a"], environment={"A": 1}), task("b"))
    lines = [e.line for e in load_json(document).errors]
    messages = {e.message for e in load_json(document).errors}
    assert lines == sorted(line for line in lines if line is not None)
    assert messages == {
        "unknown field `dependss`: did you mean `depends`?",
        'the tasks form a cycle: "a" -> "b" -> "a"',
        'must be a string, not a number; quote it: "1"',
        'duplicate task name "b": task number 2 has it already',
    }


def test_every_cycle_is_named() -> None:
    graph = {"a": ["b"], "b": ["a"], "c": ["d"], "d": ["e"], "e": ["c"], "f": ["e"]}
    messages = [e.message for e in load_json(edge_case(*graph.items())).errors]
    assert messages == [
        'the tasks form a cycle: "a" -> "b" -> "a"',
        'the tasks form a cycle: "c" -> "e" -> "d" -> "c"',
    ]


def test_unreadable_name_hides_no_parent_that_it_may_be() -> None:
    document = config({"nme": "a", "runtime": RUNTIME}, task("b", depends=["a"]))
    messages = [e.message for e in load_json(document).errors]
    assert messages == ["`name` is required", "unknown field `nme`: did you mean `name`?"]


def test_same_faults_have_the_same_paths_in_every_syntax() -> None:
    document = config(task(dependss=[], approval=5))
    text = json.dumps(document, indent=1).encode()
    found = {
        name: [(e.path, e.message) for e in load_source(name, text, MappingFiles({}), BRANCH, drivers=ABLE).errors]
        for name in ("c.json", "c.yml")
    }
    assert found["c.json"]
    assert sorted(found["c.json"]) == sorted(found["c.yml"])


def test_yaml_fault_has_line_and_column() -> None:
    text = b"runs:\n  - name: r\n    tasks:\n      - name: a\n"
    text += b"        runtime: {containers: [{image: host}]}\n        nope: 1\n"
    errors = load_source("c.yml", text, MappingFiles({}), BRANCH, drivers=ABLE).errors
    assert [(e.path, e.line, e.column) for e in errors] == [("runs[0].tasks[0].nope", 6, 9)]


def test_flood_of_faults_is_cut() -> None:
    loaded = load_json({"runs": [5] * 1000 + [{"name": "r", "tasks": [5] * 2000}]})
    assert len(loaded.errors) <= MAX_PROBLEMS + 1
    many = load_json(config(task(environment={f"A{i}": i for i in range(5000)})))
    assert len(many.errors) == MAX_PROBLEMS + 1
    assert many.errors[-1].message == "there is more; only the first 500 are shown"


@pytest.mark.parametrize(
    ("tasks", "more", "message"),
    [
        pytest.param(41, {"steps": [{"clone": {}}] * 1_000}, "41,000 steps in all; at most 40,000", id="steps"),
        pytest.param(40, {"steps": [{"clone": {}}] * 1_000}, None, id="as many steps as may be"),
        pytest.param(
            51, {"depends": [f"t{n}" for n in range(2_000)]}, "102,000 parents in all; at most 100,000", id="parents"
        ),
    ],
)
def test_a_run_has_a_bound_over_all_its_tasks(tasks: int, more: dict[str, Any], message: str | None) -> None:
    document = config(*(task(f"t{n}", **more) for n in range(tasks)))

    # Not written down first: as text it would be larger than a file may be.
    errors = check_document(Document(document), drivers=ABLE).errors

    counted = [error.message for error in errors if error.path == "runs[0].tasks"]
    assert counted == ([] if message is None else [f"the tasks have {message} are allowed in a run"])


def test_graph_of_many_tasks_in_one_knot_is_bounded() -> None:
    names = [f"t{i}" for i in range(300)]
    document = config(*[task(n, depends=[m for m in names if m != n][:40]) for n in names])
    messages = [e.message for e in load_json(document).errors]
    assert len([m for m in messages if m.startswith("the tasks form a cycle")]) == 50
    assert "there may be more cycles; 50 are named" in messages


def test_chain_as_long_as_the_limit_is_an_honest_graph() -> None:
    loaded = load_json(config(*[task(f"t{i}", depends=[f"t{i - 1}"] if i else []) for i in range(2000)]))
    assert (loaded.errors, loaded.warnings) == ((), ())


# Every optional field of run-config.md, and every map of names, with a value.
FULL = {
    "task_timeout_interval": "1h",
    "docker_registries_auth": {"r.io": {"type": "basic", "username": "u", "password": {"from_variable": "P"}}},
    "runs": [
        {
            "name": "r",
            "when": {"branch": {"include": ["main"], "exclude": ["x"]}, "tag": "v1", "ref": ["a"], "paths": "docs"},
            "docker_registries_auth": {"s.io": {"type": "encodedauth", "auth": "x"}},
            "task_timeout_interval": "2h",
            "timeout": "3h",
            "priority": 1,
            "tasks": [
                task("first"),
                {
                    "name": "a",
                    "runtime": {
                        "type": "pod",
                        "arch": "amd64",
                        "containers": [
                            {
                                "image": "host",
                                "environment": {"A": "x"},
                                "user": "u",
                                "privileged": True,
                                "entrypoint": "e",
                                "volumes": [{"path": "/t", "tmpfs": {"size": "1Gi"}}],
                                "resources": {"cpu": 1, "memory": "1Gi"},
                                "ready": {"port": 80},
                            },
                            {"image": "host", "ready": {"command": "x"}},
                        ],
                    },
                    "environment": {"A": "x", "B": {"from_variable": "B"}},
                    "working_dir": "w",
                    "shell": "s",
                    "user": "u",
                    "depends": [{"task": "first", "conditions": ["always"]}],
                    "ignore_failure": True,
                    "approval": {"timeout": "1d"},
                    "lock": "l",
                    "when": {"branch": "main"},
                    "docker_registries_auth": {"t.io": {"username": "u", "password": "p"}},
                    "task_timeout_interval": "4h",
                    "retry": {"max_attempts": 2, "on": ["lost"]},
                    "labels": {"a": "b"},
                    "priority": 2,
                    "resources": {"cpu": 1, "memory": "1Gi"},
                    "steps": [
                        {
                            "type": "run",
                            "command": "x",
                            "name": "n",
                            "when": {"branch": "main"},
                            "always": True,
                            "environment": {"A": "x"},
                            "working_dir": "w",
                            "shell": "s",
                            "tty": True,
                        },
                        {"run": {"command": "x", "name": "n", "environment": {"A": "x"}}},
                        {"type": "clone", "depth": 1, "recurse_submodules": True},
                    ],
                },
            ],
        }
    ],
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """List the way to each entry of each map."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        if isinstance(value, dict):
            yield (*path, key)
        yield from places(child, (*path, key))


@pytest.mark.parametrize("path", [p for p in places(FULL) if p[-1] != "run"], ids=lambda p: ".".join(map(str, p)))
def test_null_is_the_same_as_an_absent_field(path: tuple[Any, ...]) -> None:
    with_null, without = copy.deepcopy(FULL), copy.deepcopy(FULL)
    for document in (with_null, without):
        holder: Any = document
        for part in path[:-1]:
            holder = holder[part]
        if document is with_null:
            holder[path[-1]] = None
        else:
            del holder[path[-1]]
    found, expected = load_json(with_null), load_json(without)
    assert [(e.path, e.message) for e in found.errors] == [(e.path, e.message) for e in expected.errors]
    assert found.config == expected.config


@pytest.mark.parametrize(
    ("with_null", "without"),
    [
        ({"run": "x", "name": None, "clone": None}, {"run": "x"}),
        ({"clone": None}, {"clone": {}}),
        ({"clone": {}, "always": None}, {"clone": {}}),
        ({"run": {"command": "x", "type": None}}, {"run": "x"}),
    ],
)
def test_null_beside_a_short_step_is_absent(with_null: dict[str, Any], without: dict[str, Any]) -> None:
    found = load_json(step(with_null))
    assert found.errors == ()
    assert found.config == load_json(step(without)).config


def test_full_configuration_is_without_faults() -> None:
    assert load_json(FULL).errors == ()


def test_missing_configuration_names_what_was_looked_for() -> None:
    loaded = load(MappingFiles({"README.md": "x"}), BRANCH)
    assert [e.message for e in loaded.errors] == [
        "there is no run configuration; looked for .sluice/config.jsonnet, .sluice/config.json, .sluice/config.yml,"
        " .agola/config.jsonnet, .agola/config.json, .agola/config.yml"
    ]


def test_loading_changes_nothing_in_the_document() -> None:
    document = config(task(depends=[], approval=True, steps=[{"run": "x"}]))
    before = copy.deepcopy(document)
    assert load_json(document).document == before
