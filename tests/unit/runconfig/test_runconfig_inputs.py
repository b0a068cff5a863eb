"""Inputs of a run: what declarations and values may be, what a run gets, and what `when` and jsonnet see of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.api.run.v1 import definition_pb2 as api
from sluiceway_common.runconfig import inputs
from sluiceway_common.runconfig.compile import LoadResult, load_source
from sluiceway_common.runconfig.files import MappingFiles
from sluiceway_common.runconfig.input_model import Input
from sluiceway_common.runconfig.runs import explain_when, missing_inputs
from sluiceway_common.runconfig.tasks import RunTasks, tasks_of_run
from sluiceway_common.runconfig.when import Context

TASK = {"name": "a", "runtime": {"containers": [{"image": "host"}]}, "steps": [{"run": "true"}]}
JSONNET_TASKS = f"tasks: [{json.dumps(TASK)}]"


def main(values: Mapping[str, str] | None = None) -> Context:
    return Context("branch", "refs/heads/main", "main", inputs=values or {})


def document(declared: Any, task: Mapping[str, Any] = TASK) -> bytes:
    return json.dumps({"runs": [{"name": "r", "inputs": declared, "tasks": [task]}]}).encode()


def loaded(
    content: bytes | str, path: str = "c.json", files: Mapping[str, str] | None = None, **values: str
) -> LoadResult:
    text = content.encode() if isinstance(content, str) else content
    found = {name: each.encode() for name, each in (files or {}).items()}
    return load_source(path, text, MappingFiles(found), main(values))


def made(result: LoadResult, **values: str) -> RunTasks:
    assert result.config is not None, result.errors
    return tasks_of_run(result.config, "r", main(values))


def values_of(tasks: RunTasks) -> dict[str, str]:
    return {each.name: each.value for each in tasks.inputs}


BAD_DECLARATIONS = {
    "name in upper case": ({"Env": {}}, "inputs.Env", "is no name of an input"),
    "name with a hyphen": ({"a-b": {}}, "inputs.a-b", "is no name of an input"),
    "long name": ({"a" * 51: {}}, f"inputs.{'a' * 51}", "is no name of an input"),
    "type": ({"a": {"type": "strng"}}, "inputs.a.type", "did you mean `string`?"),
    "field": ({"a": {"defalt": "x"}}, "inputs.a.defalt", "did you mean `default`?"),
    "default of a boolean": (
        {"a": {"type": "boolean", "default": "true"}},
        "inputs.a.default",
        "must be true or false",
    ),
    "default of a number": ({"a": {"type": "number", "default": True}}, "inputs.a.default", "must be a number"),
    "default of a string": ({"a": {"default": 3}}, "inputs.a.default", "must be a string"),
    "choice without options": ({"a": {"type": "choice"}}, "inputs.a", "needs `options`"),
    "default that is no option": (
        {"a": {"type": "choice", "options": ["x"], "default": "y"}},
        "inputs.a.default",
        'must be one of "x"',
    ),
    "double option": ({"a": {"type": "choice", "options": ["x", "x"]}}, "inputs.a.options", "is there twice"),
    "empty option": ({"a": {"type": "choice", "options": [""]}}, "inputs.a.options", "must not be empty"),
    "options of a string": ({"a": {"options": ["x"]}}, "inputs.a.options", "only an input of type choice"),
    "pattern of a number": (
        {"a": {"type": "number", "pattern": "1"}},
        "inputs.a.pattern",
        "only an input of type string",
    ),
    "pattern": ({"a": {"pattern": "("}}, "inputs.a.pattern", "regular expression of RE2"),
    "look-around": ({"a": {"pattern": "(?=x)"}}, "inputs.a.pattern", "look-around"),
    "default that the pattern refuses": ({"a": {"pattern": "v.*", "default": "1"}}, "inputs.a.default", "must match"),
    "control character": ({"a": {"default": "\x1b[1m"}}, "inputs.a.default", "control character"),
    "too many": ({f"a{n}": {} for n in range(51)}, "inputs", "at most 50 entries"),
    "a list": ([{"name": "a"}], "inputs", "must be a map"),
}  # fmt: skip


@pytest.mark.parametrize(("declared", "path", "words"), BAD_DECLARATIONS.values(), ids=BAD_DECLARATIONS)
def test_wrong_declaration_is_an_error(declared: Any, path: str, words: str) -> None:
    (error,) = loaded(document(declared)).errors
    assert (error.path, words in error.message) == (f"runs[0].{path}", True), error


def test_fault_of_an_input_has_its_place() -> None:
    text = "runs:\n- name: r\n  inputs:\n    n: {type: number, default: abc}\n  tasks:\n  - " + json.dumps(TASK)
    (error,) = loaded(text, "c.yml").errors
    assert (error.line, error.column) == (4, 23)
    text = "function(ctx) {\n runs: [{name: 'r', inputs: {\n  n: {type: 'nmber'}},\n " + JSONNET_TASKS + "}]}"
    (error,) = loaded(text, "c.jsonnet").errors
    assert (error.path, error.line) == ("runs[0].inputs.n.type", 3)


DECLARED = {
    "text": {},
    "version": {"pattern": "v[0-9]+"},
    "count": {"type": "number"},
    "dry": {"type": "boolean"},
    "env": {"type": "choice", "options": ["dev", "prod"]},
    "full": {"type": "number", "default": 1.5},
    "must": {"required": True, "default": "x"},
}


def test_inputs_without_values_have_defaults() -> None:
    tasks = made(loaded(document(DECLARED)))
    assert values_of(tasks) == {
        "text": "",
        "version": "",
        "count": "0",
        "dry": "false",
        "env": "dev",
        "full": "1.5",
        "must": "x",
    }
    assert not tasks.are_made_with_inputs


BAD_VALUES = {
    "unknown": ({"txt": "x"}, "did you mean `text`?"),
    "pattern": ({"version": "1"}, "must match the pattern"),
    "part of the value": ({"version": "v1x"}, "must match the pattern"),
    "number": ({"count": "one"}, "must be a number"),
    "not a number": ({"count": "NaN"}, "must be a number"),
    "leading zero": ({"count": "010"}, "must be a number"),
    "empty number": ({"count": ""}, "must be a number"),
    "infinite": ({"count": "1e999"}, "must be a number"),
    "boolean": ({"dry": "yes"}, "must be true or false"),
    "option": ({"env": "prd"}, "did you mean `prod`?"),
    "NUL": ({"text": "a\0"}, "NUL"),
    "too long": ({"text": "x" * 4097}, "at most 4096 characters"),
}


@pytest.mark.parametrize(("given_", "words"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_wrong_value_is_a_fault_of_its_name(given_: dict[str, str], words: str) -> None:
    config = loaded(document(DECLARED)).config
    assert config is not None
    (fault,) = inputs.input_faults([run.declared_inputs() for run in config.runs], given_)
    (name,) = given_
    assert (fault.path, words in fault.message) == (f'inputs["{name}"]', True), fault


def test_good_values_are_those_of_the_run() -> None:
    given_ = {"text": "a\nb", "version": "v12", "count": "-1.5e3", "dry": "true", "env": "prod"}
    config = loaded(document(DECLARED)).config
    assert config is not None
    assert inputs.input_faults([run.declared_inputs() for run in config.runs], given_) == []
    assert values_of(made(loaded(document(DECLARED)), **given_)) == {**given_, "full": "1.5", "must": "x"}


@pytest.mark.parametrize("given_", [{}, {"v": ""}], ids=["none", "empty"])
def test_required_input_needs_a_value(given_: dict[str, str]) -> None:
    config = loaded(document({"v": {"required": True}})).config
    assert config is not None
    (run,) = config.runs
    (fault,) = inputs.input_faults([run.declared_inputs()], given_)
    assert (fault.path, "required" in fault.message) == ('inputs["v"]', True)
    assert "it needs a value of v" in missing_inputs(run, given_)
    assert missing_inputs(run, {"v": "1"}) == ""
    assert inputs.input_faults([run.declared_inputs()], given_, are_all_needed=False) == []


def test_runs_share_an_input_only_if_they_declare_it_alike() -> None:
    runs = [{"name": name, "inputs": {"env": {"default": name}}, "tasks": [TASK]} for name in ("a", "b")]
    (error,) = loaded(json.dumps({"runs": runs})).errors
    assert error.path == "runs[1].inputs.env"
    assert 'run "a" declares an input "env" too' in error.message
    runs[1]["inputs"] = runs[0]["inputs"]
    assert loaded(json.dumps({"runs": runs})).errors == ()


WHENS: dict[str, tuple[Any, dict[str, str], bool]] = {
    "value": ("prod", {"env": "prod"}, True),
    "another value": ("prod", {"env": "dev"}, False),
    "default": ("dev", {}, True),
    "list": (["x", "prod"], {"env": "prod"}, True),
    "expression": ("/^pr/", {"env": "prod"}, True),
    "exclude": ({"exclude": ["prod"]}, {"env": "prod"}, False),
    "only an exclude of another": ({"exclude": ["prod"]}, {"env": "dev"}, True),
}


@pytest.mark.parametrize(("rules", "given_", "runs"), WHENS.values(), ids=WHENS)
def test_when_asks_for_the_value_of_an_input(rules: Any, given_: dict[str, str], runs: bool) -> None:
    task = {**TASK, "when": {"inputs": {"env": rules}}}
    tasks = made(loaded(document({"env": DECLARED["env"]}, task)), **given_)
    assert [each.skip for each in tasks.tasks] == [not runs]
    assert tasks.are_made_with_inputs


def test_when_takes_booleans_and_numbers_as_written() -> None:
    task = {**TASK, "when": {"inputs": {"dry": False, "count": [1, 2.5]}}}
    result = loaded(document(DECLARED, task))
    assert not made(result, count="2.5").tasks[0].skip
    assert made(result, count="3").tasks[0].skip
    assert made(result, count="1", dry="true").tasks[0].skip


def test_when_explains_which_input_differs() -> None:
    config = loaded(document(DECLARED, {**TASK, "when": {"inputs": {"env": "prod"}}})).config
    assert config is not None
    found = explain_when(config.runs[0].tasks[0].when, main({"env": "dev"}), None)
    assert (found.applies, 'another value of env than "dev"' in found.sentence) == (False, True)


WRONG_WHENS: dict[str, tuple[dict[str, Any], str]] = {
    "task": ({"when": {"inputs": {"evn": "x"}}}, "runs[0].tasks[0].when.inputs.evn"),
    "step": (
        {"steps": [{"run": {"command": "x", "when": {"inputs": {"evn": "x"}}}}]},
        "runs[0].tasks[0].steps[0].run.when.inputs.evn",
    ),
}


@pytest.mark.parametrize(("fields", "path"), WRONG_WHENS.values(), ids=WRONG_WHENS)
def test_when_of_an_unknown_input_is_an_error(fields: dict[str, Any], path: str) -> None:
    (error,) = loaded(document({"env": {}}, {**TASK, **fields})).errors
    assert (error.path, error.message) == (path, 'the run declares no input "evn": did you mean `env`?')


def test_variable_of_an_input_cannot_be_set_by_a_task() -> None:
    task = {**TASK, "environment": {"SLUICE_INPUT_ENV": "x", "SLUICE_INPUT_OTHER": "x"}}
    (warning,) = loaded(document({"env": {}}, task)).warnings
    assert "`SLUICE_INPUT_ENV` is set by the system" in warning.message


# jsonnet


def test_jsonnet_gets_values_of_their_types() -> None:
    declared = json.dumps(DECLARED)
    text = f"function(ctx) {{runs: [{{name: 'r', inputs: {declared}, tasks: [{json.dumps(TASK)} + {{steps: [{{run: "
    text += "{name: 'x', command: std.manifestJsonMinified(ctx.inputs)}}]}]}]}"
    given_ = {"count": "3", "dry": "true", "env": "prod", "text": "x"}
    result = loaded(text, "c.jsonnet", None, **given_)
    command = made(result, **given_).tasks[0].steps[0].run.command
    assert json.loads(command) == {
        "text": "x",
        "version": "",
        "count": 3,
        "dry": True,
        "env": "prod",
        "full": 1.5,
        "must": "x",
    }
    assert result.is_made_with_inputs


def test_inputs_are_found_in_an_imported_file() -> None:
    library = "{runs(x): [{name: 'r', inputs: {n: {type: 'number'}}, " + JSONNET_TASKS + "}]}"
    result = loaded("function(ctx) {runs: (import 'lib').runs(ctx)}", "c.jsonnet", {"lib": library}, n="5")
    assert values_of(made(result, n="5")) == {"n": "5"}
    used = "function(ctx) {runs: [{name: 'r' + std.substr('', 0, ctx.inputs.n), inputs: {n: {type: 'number'}}, "
    result = loaded("import 'lib'", "c.jsonnet", {"lib": used + JSONNET_TASKS + "}]}"}, n="5")
    assert result.errors == ()


def test_value_that_is_not_allowed_makes_the_default() -> None:
    text = "function(ctx) {runs: [{name: 'r', inputs: {n: {type: 'number', default: 2}}, tasks: ["
    text += json.dumps(TASK) + " for x in std.range(1, ctx.inputs.n)]}]}"
    result = loaded(text, "c.jsonnet", n="many")
    assert result.document is not None
    assert len(result.document["runs"][0]["tasks"]) == 2


CIRCLES = {
    "the runs": "function(ctx) {runs: if ctx.inputs.a == '' then [] else [{name: 'r', inputs: {a: {}}}]}",
    "the inputs": "function(ctx) {runs: [{name: 'r', inputs: {a: {default: ctx.inputs.a}}}]}",
}


@pytest.mark.parametrize("text", CIRCLES.values(), ids=CIRCLES)
def test_inputs_that_depend_on_values_are_an_error(text: str) -> None:
    (error,) = loaded(text, "c.jsonnet").errors
    assert error.message.endswith("neither may depend on `ctx.inputs`")
    assert error.line == 1


def test_input_that_is_not_declared_is_an_error_of_jsonnet() -> None:
    text = "function(ctx) {runs: [{name: ctx.inputs.b, inputs: {a: {}}, " + JSONNET_TASKS + "}]}"
    (error,) = loaded(text, "c.jsonnet").errors
    assert "does not exist: b" in error.message


def test_configuration_without_inputs_is_evaluated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from sluiceway_common.runconfig.evaluation import Evaluation

    count = 0
    run = Evaluation.run

    def counted(evaluation: Evaluation) -> str:
        nonlocal count
        count += 1
        return run(evaluation)

    monkeypatch.setattr(Evaluation, "run", counted)
    assert loaded("function(ctx) {runs: [{name: 'r', " + JSONNET_TASKS + "}]}", "c.jsonnet").errors == ()
    assert count == 1


# Values


NUMBERS = st.one_of(st.integers(-(10**20), 10**20), st.floats(allow_nan=False, allow_infinity=False))


@given(NUMBERS)
def test_number_of_json_is_a_value(number: float) -> None:
    declared = api.Input(name="n", type=api.INPUT_TYPE_NUMBER)
    text = inputs.as_text(number)
    assert inputs.value_fault(declared, text) is None
    assert inputs.typed(declared, text) == number


@given(st.text(max_size=20), st.sampled_from(["string", "number", "boolean", "choice"]))
def test_allowed_text_is_kept_and_another_replaced(text: str, kind: str) -> None:
    body: dict[str, Any] = {"type": kind, **({"options": ["a", "b"]} if kind == "choice" else {})}
    declared = Input.model_validate(body).declared("x")
    value = inputs.value_of(declared, {"x": text})
    assert inputs.value_fault(declared, value) is None
    assert (value == text) or inputs.value_fault(declared, text) is not None
