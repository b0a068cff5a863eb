"""Each error of a configuration with its path and message: one table."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.run_configurations import RUNTIME, config, load_json, step, task


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
    ("id-token-no-audience", config(task(id_tokens={"A": {}})), f"{T}.id_tokens.A.aud", "`aud` is required"),
    ("id-token-empty-list", config(task(id_tokens={"A": {"aud": []}})), f"{T}.id_tokens.A.aud", "must not be empty"),
    ("id-token-empty", config(task(id_tokens={"A": {"aud": [" "]}})), f"{T}.id_tokens.A.aud[0]", "must not be empty"),
    (
        "id-token-number",
        config(task(id_tokens={"A": {"aud": 3}})),
        f"{T}.id_tokens.A.aud",
        'must be a string or a list of strings, not a number; quote it: "3"',
    ),
    (
        "id-token-of-the-system",
        config(task(id_tokens={"SLUICE_A": {"aud": "a"}})),
        f"{T}.id_tokens.SLUICE_A",
        '"SLUICE_A" is a variable of the system',
    ),
    (
        "id-token-path",
        config(task(id_tokens={"../A": {"aud": "a"}})),
        f'{T}.id_tokens["../A"]',
        '"../A" is not the name of an id token: letters, digits and _, at most 80, no digit first',
    ),
    (
        "id-token-in-the-environment",
        config(task(id_tokens={"A": {"aud": "a"}}, environment={"A_FILE": "x"})),
        f"{T}.environment.A_FILE",
        '"A_FILE" is set by an id token, too',
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
        'must be true or {timeout: DURATION, owners_only: true}, not "yes": write true',
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
    (
        "approval-number",
        config(task(approval=5)),
        f"{T}.approval",
        "must be true or {timeout: DURATION, owners_only: true}, not a number",
    ),
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
