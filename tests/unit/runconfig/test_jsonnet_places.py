"""A part of jsonnet's output is found in the text that gives it, or nothing is said of where it is."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_common.runconfig.compile import MAX_PROBLEMS, load, load_source
from sluiceway_common.runconfig.evaluation import Evaluation
from sluiceway_common.runconfig.files import MappingFiles
from sluiceway_common.runconfig.json_documents import parse_json
from sluiceway_common.runconfig.problems import DocumentPath, format_path
from sluiceway_common.runconfig.rendered_documents import parse_rendered
from sluiceway_common.runconfig.when import Context


def parse_path(text: str) -> DocumentPath:
    return tuple(int(part) if part.isdecimal() else part for part in text.split(".") if part)


# A text, a path of its output, and what is at the place that is reported; `HERE` marks that place and is taken out.
LITERALS = [
    ("field", "{a: 1, HEREb: 2}", "b"),
    ("field-of-a-field", "{a: {b: {HEREc: 1}}}", "a.b.c"),
    ("quoted-names", "{'a': {\"b c\": {HERE@'d': 1}}}", "a.b c.d"),
    ("element", "{a: [1, HERE{b: 2}]}", "a.1"),
    ("field-of-an-element", "{a: [1, {HEREb: 2}]}", "a.1.b"),
    ("comments", "// {x: 1}\n# {\n/* { */ {a: /* : */ [// ]\n1, HERE2]}", "a.1"),
    ("strings-with-brackets", "{a: '{[(', b: \"\\\"}\", c: @'}''', HEREd: 1}", "d"),
    ("text-block", "{a: |||\n  }\n    ||| x\n\n  ]\n|||, HEREb: 1}", "b"),
    ("text-block-with-dash", "{a: |||-\n\t}\n|||, HEREb: 1}", "b"),
    ("text-block-of-crlf", "{a: |||\r\n  }\r\n|||,\r\nHEREb: 1}", "b"),
    ("trailing-commas", "{a: [1, {b: [2, HERE3,],},],}", "a.1.b.1"),
    ("missing-field", "{a: [HERE{b: 1}]}", "a.0.c"),
    ("function-of-ctx", "function(ctx) {a: {HEREb: ctx.branch}}", "a.b"),
    ("parentheses", "({a: ([HERE1])})", "a.0"),
    ("assert", "assert 1 == 1 : 'x;y'; {a: [assert true; 1, HERE2]}", "a.1"),
    ("assert-in-an-object", "{assert true, a: 1, HEREb: 2}", "b"),
    ("visibility", "{a:: 1, b::: {HEREc: 2}}", "b.c"),
]
NAMES = [
    ("local", "local x = {a: {HEREb: 1}}; x", "a.b"),
    ("local-as-a-value", "local x = [1, HERE2]; {a: x}", "a.1"),
    ("several-locals", "local x = 1, y = {HEREb: x}; {a: y}", "a.b"),
    ("local-of-a-local", "local x = local y = {HEREb: 1}; y, z = 2; {a: x}", "a.b"),
    ("local-in-an-object", "{local x = {HEREb: 1}, a: x}", "a.b"),
    ("local-after-a-field", "{c: 1, local x = {HEREb: 1}, a: x}", "a.b"),
    ("local-in-a-list", "{a: [local x = 1, y = 2; x, HERE3]}", "a.1"),
    ("function", "local f(x) = {HEREb: x}; {a: f(1)}", "a.b"),
    ("function-value", "local f = function(x) {HEREb: x}; {a: [f(1)]}", "a.0.b"),
    ("argument", "local f(x) = {b: x}; {a: f({HEREc: 1})}", "a.b.c"),
    ("named-argument", "local f(x, y=2) = {b: y}; {a: f(1, y={HEREc: 1})}", "a.b.c"),
    ("argument-of-the-same-name", "local x = {HEREc: 1}; local f(x) = {b: x}; {a: f(x)}", "a.b.c"),
    ("parameter-hides-a-local", "local x = {c: 1}; local f(x) = {HEREb: x}; {a: f({c: 2} == 1)}", "a.b.c"),
    ("comprehension", "{a: [{HEREb: x} for x in [1, 2]]}", "a.1.b"),
    ("comprehension-hides-a-local", "local x = {c: 1}; {a: [{HEREb: x} for x in [{c: 1}]]}", "a.0.b.c"),
]
SUMS = [
    ("lists", "{a: [1] + [2, HERE3]}", "a.2"),
    ("around-a-comprehension", "{a: [1] + [x for x in [2, 3]] + [4, HERE5]}", "a.4"),
    ("in-a-comprehension", "{a: [1] + [HEREx * 2 for x in [2, 3]] + [4]}", "a.2"),
    ("around-a-condition", "{a: [1] + (if true then [2, 3] else []) + [HERE4]}", "a.3"),
    ("in-a-condition", "{a: [1] + (HEREif true then [2, 3] else []) + [4]}", "a.2"),
    ("two-of-unknown-length", "{HEREa: [x for x in [1]] + [x for x in [2]]}", "a.1"),
    ("objects", "{a: {b: 1} + {HEREb: 2}}", "a.b"),
    ("left-object", "{a: {HEREb: 1} + {c: 2}}", "a.b"),
    ("object-behind-a-name", "local x = {b: 1}; {a: x + {HEREb: 2}}", "a.b"),
    ("without-a-plus", "local x = {b: 1}; {a: x {HEREb: 2}}", "a.b"),
    ("call-without-a-plus", "local f(y) = {b: y, HEREd: 1}; {a: f(1) {c: 2}}", "a.d"),
    ("added-to", "{a: {b: {HEREc: 1}} + {b+: {d: 2}}}", "a.b.c"),
    ("added-to-twice", "{a: {b: {c: 1}} + {HEREb+: {c: 2}}}", "a.b.c"),
    ("overridden-by-what-is-not-literal", "{HEREa: {b: 1} + std.mergePatch({}, {b: 2})}", "a.b"),
    ("other-operators", "{HEREa: [1, 2][0] + 5 - 1}", "a"),
    ("dollar", "{a: {HEREb: 1}, c: $.a}", "c.b"),
    ("condition", "{HEREa: if true then {b: 1} else {b: 2}}", "a.c"),
]


@pytest.mark.parametrize(("text", "path"), [pytest.param(*c[1:], id=c[0]) for c in [*LITERALS, *NAMES, *SUMS]])
def test_place_is_that_of_the_text_that_gives_it(text: str, path: str) -> None:
    before, _, after = text.partition("HERE")
    source = before + after
    output = Evaluation("c.jsonnet", source, MappingFiles({}), Context()).run()
    line = before.count("\n") + 1
    column = len(before) - before.rfind("\n")
    assert parse_rendered(output, source).position(parse_path(path)) == (line, column)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("std.parseJson('{\"a\": 1}')", "a"),
        ("{[k]: 1 for k in ['a', 'b']}", "a"),
        ("{['a']: 1}", "a"),
        ("if true then {a: 1, b: {a: 2}} else {}", "a"),
        ("{b: {a: 1}}.b + {c: {a: 2}}", "a"),
        ("local x = x2, x2 = x; if true then {a: [1]} else x", "a.0"),
    ],
)
def test_no_place_is_reported_where_the_text_does_not_lead(text: str, path: str) -> None:
    output = Evaluation("c.jsonnet", text, MappingFiles({}), Context()).run()
    assert parse_rendered(output, text).position(parse_path(path)) is None


def test_field_that_only_one_object_has_is_found_by_its_name() -> None:
    text = "local make(n) = std.mergePatch({}, {\n  dependss: n,\n});\n{runs: [make(1)]}"
    output = Evaluation("c.jsonnet", text, MappingFiles({}), Context()).run()
    assert parse_rendered(output, text).position(("runs", 0, "dependss")) == (2, 3)
    twice = text + "/*{dependss: 1}*/ + {local x = {dependss: 1}}"
    assert parse_rendered(output, twice).position(("runs", 0, "dependss")) == (4, 9)


def test_field_that_is_missing_is_not_looked_for_elsewhere() -> None:
    text = "{\n  runs: [{name: 'a', only: 1}, std.mergePatch({}, {name: 'b'})],\n}"
    output = Evaluation("c.jsonnet", text, MappingFiles({}), Context()).run()
    assert parse_rendered(output, text).position(("runs", 1, "only")) == (2, 32)


def test_fault_in_an_imported_file_names_that_file() -> None:
    files = MappingFiles(
        {
            ".sluice/config.jsonnet": "local lib = import 'lib.libsonnet';\n{runs: [{name: 'r', tasks: [lib.task]}]}",
            ".sluice/lib.libsonnet": (
                "{\n  task: {name: 'a', runtime: {containers: [{image: 'host'}]},\n    dependss: []},\n}"
            ),
        }
    )
    (error,) = load(files, Context()).errors
    assert (error.line, error.column) == (2, 29)
    assert error.message == "unknown field `dependss`: did you mean `depends`? (at .sluice/lib.libsonnet:3:5)"


def test_faults_of_jsonnet_have_lines() -> None:
    text = """local task(name, command) = {
  name: name,
  runtime: {containers: [{image: 'host'}]},
  steps: [{run: command}],
};
{runs: [{name: 'r', tasks: [
  task('a', 5),
  task('b', 'x') {enviroment: {}},
  {name: 'c'},
]}]}
"""
    errors = load_source("c.jsonnet", text.encode(), MappingFiles({}), Context()).errors
    assert [(e.line, e.column, e.path) for e in errors] == [
        (4, 12, "runs[0].tasks[0].steps[0].run"),
        (8, 19, "runs[0].tasks[1].enviroment"),
        (9, 3, "runs[0].tasks[2].runtime"),
    ]


@pytest.mark.parametrize(
    ("environment", "hint"),
    [
        ("{A: 3.10}", '"3.10"'),
        ("{A: 1e3}", '"1e3"'),
        ("{A: -0.50}", '"-0.50"'),
        ("{A: true}", '"true"'),
        ("local v = 3.10; {A: v}", '"3.10"'),
        ("{A: 3.1 + 0}", "(jsonnet gives 3.1)"),
        ("{A: std.length([1])}", "(jsonnet gives 1)"),
        ("{A: !false}", "(jsonnet gives true)"),
    ],
)
def test_hint_repeats_the_literal_or_says_what_jsonnet_gives(environment: str, hint: str) -> None:
    text = "{runs: [{name: 'r', tasks: [{name: 'a', runtime: {containers: [{image: 'host'}]}, environment: (%s)}]}]}"
    (error,) = load_source("c.jsonnet", (text % environment).encode(), MappingFiles({}), Context()).errors
    assert error.message.partition("; quote it")[2].lstrip(": ") == hint


def test_many_faults_in_untraceable_jsonnet_are_found_quickly() -> None:
    fields = ",\n".join(f"A{i}: {i}" for i in range(5000))
    text = "{runs: [{name: 'r', tasks: [{name: 'a', runtime: {containers: [{image: 'host'}]},\n"
    text += f"environment: if true then {{{fields}}} else {{}}}}]}}]}}"
    began = time.process_time()
    errors = load_source("c.jsonnet", text.encode(), MappingFiles({}), Context()).errors
    assert {(e.line, e.column) for e in errors[:-1]} == {(2, 28), *((int(e.path[30:]) + 2, 1) for e in errors[1:-1])}
    assert len(errors) == MAX_PROBLEMS + 1
    assert time.process_time() - began < 40


def test_many_faults_in_a_large_file_are_found_quickly() -> None:
    task = "{name: 't%d', runtime: {containers: [{image: 'host'}]}, environment: {A: %d}},\n"
    text = "{runs: [{name: 'r', tasks: [\n" + "".join(task % (i, i) for i in range(2000)) + "]}]}"
    began = time.process_time()
    errors = load_source("c.jsonnet", text.encode(), MappingFiles({}), Context()).errors
    assert [e.line for e in errors[:3]] == [2, 3, 4]
    assert len(errors) == MAX_PROBLEMS + 1
    assert time.process_time() - began < 40


@pytest.mark.parametrize(
    "text",
    [
        "local a0 = {x: 1}; " + "".join(f"local a{i} = a{i - 1} + a{i - 1}; " for i in range(1, 60)) + "a59",
        "local f0(x) = {x: x}; "
        + "".join(f"local f{i}(x) = f{i - 1}(x) + f{i - 1}(x); " for i in range(1, 60))
        + "f59(1)",
        "local a = b, b = a; a",
        "local f(x) = f(x); f(1)",
        "(" * 5000 + "{x: 1}" + ")" * 5000,
        "{x: " * 5000,
        "+".join(["{x: 1}"] * 5000),
        "local x = 1; " * 5000 + "x",
    ],
    ids=["doubling", "calls", "loop", "recursion", "nested", "unclosed", "sum", "locals"],
)
def test_no_text_takes_long_or_fails(text: str) -> None:
    began = time.process_time()
    parse_rendered('{"x": 1}', text).position(("x",))
    assert time.process_time() - began < 40


WORDS = ["local ", "function(x)", "(", ")", "{", "}", "[", "]", "a", "b", ":", "::", "+:", "+", "=", ";", ",", "for ",
         "x in ", "if ", "assert ", "1", "'a'", "|||\n a\n|||", "$", ".", "@'a'", '"', "//", "/*"]  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=30).map("".join), st.sampled_from(["a", "a.b", "a.0", "0.a", ""]))
def test_token_soup_gives_a_place_or_none(text: str, path: str) -> None:
    document = parse_rendered('{"a": [{"b": 1}]}', text)
    for part in (parse_path(path), ("a", 0, "b")):
        place = document.position(part)
        assert place is None or (place[0] >= 1 and place[1] >= 1)
        document.written(part)
        document.elsewhere(part)


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(plain)
def test_every_part_of_a_literal_is_found_where_json_has_it(value: Any) -> None:

    text = json.dumps({"x": value}, indent=1)
    rendered, document = parse_rendered(text, text), parse_json(text.encode())
    for path in _paths({"x": value}):
        assert rendered.position(path) == document.position(path), format_path(path)


def _paths(value: Any) -> list[DocumentPath]:
    children: Any = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    return [p for key, child in children for p in [(key,), *((key, *rest) for rest in _paths(child))]]
