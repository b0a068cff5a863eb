"""A hint to quote a value repeats what the file says: the value that was read may have another spelling."""

from __future__ import annotations

import pytest

from sluiceway_common.runconfig.compile import LoadResult, load_source
from sluiceway_common.runconfig.files import MappingFiles
from sluiceway_common.runconfig.when import Context
from tests.support.drivers import ABLE


def load_text(name: str, text: str) -> LoadResult:
    return load_source(name, text.encode(), MappingFiles({}), Context(), drivers=ABLE)


# Each is a number or a boolean in the core schema of YAML 1.2.2 (section 10.3.2), and reads as another text.
YAML_SCALARS = [
    "3.10", "1.0", "1.", ".5", "1e3", "1E+2", "1.5e-3", "0644", "007", "0o17", "0x1F", "0xff", "+1", "-0", "+0.10",
    "5", "-5", "123456789012345678901234567890", "0.1000000000000000055", "true", "True", "FALSE",
]  # fmt: skip


@pytest.mark.parametrize("scalar", YAML_SCALARS)
@pytest.mark.parametrize(
    ("task", "path"),
    [
        ("environment: {A: #}", "environment.A"),
        ("labels: {a: #}", "labels.a"),
        ("user: #", "user"),
        ("lock: #", "lock"),
        ("environment: {A: {from_variable: #}}", "environment.A.from_variable"),
        ("steps: [{run: #}]", "steps[0].run"),
        ("steps: [{run: {command: #}}]", "steps[0].run.command"),
        ("steps: [{type: run, command: x, environment: {A: #}}]", "steps[0].environment.A"),
        ("steps: [{restore_cache: {keys: [a, #]}}]", "steps[0].restore_cache.keys[1]"),
        ("depends: [#]", "depends[0]"),
        ("when: {branch: #}", "when.branch"),
        ("when: {tag: [#]}", "when.tag[0]"),
        ("when: {ref: {include: #}}", "when.ref.include"),
        ("docker_registries_auth: {r: {username: #, password: x}}", "docker_registries_auth.r.username"),
        ("environment: {A: !!str x, B: &b #, C: x}", "environment.B"),
    ],
    ids=lambda value: value.replace(" ", "") if isinstance(value, str) else "",
)
def test_hint_repeats_the_scalar_of_a_yaml_file(task: str, path: str, scalar: str) -> None:
    text = "runs:\n- name: r\n  tasks:\n  - name: a\n    runtime: {containers: [{image: host}]}\n"
    text += f"    {task.replace('#', scalar)}\n"
    errors = load_text("c.yml", text).errors
    assert [e.path for e in errors] == [f"runs[0].tasks[0].{path}"]
    assert errors[0].message.endswith(f'; quote it: "{scalar}"')


def test_hint_for_an_alias_repeats_what_it_stands_for() -> None:
    text = "runs:\n- name: r\n  tasks:\n  - name: a\n    runtime: {containers: [{image: host}]}\n    priority: &p 0x1\n"
    text += "    environment: {A: *p}\n"
    errors = load_text("c.yml", text).errors
    assert [(e.line, e.column, e.message) for e in errors] == [
        (7, 19, 'must be a string, not a number; quote it: "0x1"')
    ]


@pytest.mark.parametrize("scalar", ["386", "0x182"])
def test_arch_that_is_a_number_is_to_be_quoted(scalar: str) -> None:
    text = f"runs: [{{name: r, tasks: [{{name: a, runtime: {{arch: {scalar}, containers: [{{image: host}}]}}}}]}}]"
    errors = load_text("c.yml", text).errors
    assert [e.message for e in errors] == [f'must be amd64, arm64, arm or 386, not a number; quote it: "{scalar}"']


# Numbers and dates of YAML 1.1 that are strings in YAML 1.2.
@pytest.mark.parametrize("scalar", ["1_000", "12:30:45", "2001-01-01", "yes", "no", "on", "off", "y", "0b11", "-0x1"])
def test_scalar_that_only_yaml_1_1_resolves_is_a_string(scalar: str) -> None:
    text = "runs: [{name: r, tasks: [{name: a, runtime: {containers: [{image: host}]}, environment: {A: %s}}]}]"
    loaded = load_text("c.yml", text % scalar)
    assert loaded.errors == ()
    assert loaded.document["runs"][0]["tasks"][0]["environment"]["A"] == scalar


@pytest.mark.parametrize("scalar", [".inf", "-.INF", ".nan", "1e999"])
def test_number_that_json_cannot_hold_is_refused_with_a_hint(scalar: str) -> None:
    text = f"runs: []\nenvironment: {scalar}\n"
    (error,) = load_text("c.yml", text).errors
    assert (error.line, error.column) == (2, 14)
    assert scalar in error.message
    assert error.message.endswith("; quote it if it is text")


@pytest.mark.parametrize("number", ["1.0", "1e3", "1E+2", "-0", "0.10", "12345678901234567890.5", "true"])
def test_hint_repeats_the_number_of_a_json_file(number: str) -> None:
    text = '{"runs": [{"name": "r", "tasks": [{"name": "a", "runtime": {"containers": [{"image": "host"}]},'
    text += f'\n"environment": {{"A": {number}}}}}]}}]}}'
    (error,) = load_text("c.json", text).errors
    kind = "a boolean" if number == "true" else "a number"
    assert (error.line, error.column) == (2, 17)
    assert error.message == f'must be a string, not {kind}; quote it: "{number}"'


@pytest.mark.parametrize(
    ("priority", "message"),
    [
        ("0x1F", "must be at most 10, not 0x1F"),
        ("-0100", "must be at least -10, not -0100"),
        ("1.0", "must be an integer, not 1.0"),
        ("1e1", "must be an integer, not 1e1"),
    ],
)
def test_bound_is_compared_with_what_the_file_says(priority: str, message: str) -> None:
    text = (
        f"runs: [{{name: r, priority: {priority}, tasks: [{{name: a, runtime: {{containers: [{{image: host}}]}}}}]}}]"
    )
    assert [e.message for e in load_text("c.yml", text).errors] == [message]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0644: a\n", 'a key must be a string; quote it: "0644"'),
        ("a: &x 0x1F\n? *x\n: b\n", 'a key must be a string; quote it: "0x1F"'),
        ("a: &x [1]\n? *x\n: b\n", "a key must be a string, not a list"),
        ("~: a\n", 'a key must be a string; quote it: "~"'),
    ],
)
def test_key_that_is_no_string_is_quoted_as_it_is_written(text: str, message: str) -> None:
    assert [e.message for e in load_text("c.yml", text).errors] == [message]


@pytest.mark.parametrize("scalar", ["~", "null", "Null", "NULL"])
def test_null_in_a_list_of_strings_is_to_be_quoted_if_it_is_text(scalar: str) -> None:
    text = f"runs: [{{name: r, when: {{branch: [x, {scalar}]}}, "
    text += "tasks: [{name: a, runtime: {containers: [{image: host}]}}]}]"
    assert [e.message for e in load_text("c.yml", text).errors] == [
        f'must be a string, not null; quote it if it is text: "{scalar}"'
    ]
