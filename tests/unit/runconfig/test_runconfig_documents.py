"""YAML and JSON, honest and hostile."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_common.runconfig.documents import DocumentError
from sluiceway_common.runconfig.json_documents import parse_json
from sluiceway_common.runconfig.rendered_documents import parse_rendered
from sluiceway_common.runconfig.yaml_documents import parse_yaml


def faults(parse: Any, text: str | bytes) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        parse(text.encode() if isinstance(text, str) else text)
    return [str(p) for p in caught.value.problems]


SCALARS = [
    ("on", "on"),
    ("yes", "yes"),
    ("no", "no"),
    ("010", 10),
    ("0o10", 8),
    ("0x1F", 31),
    ("1_000", "1_000"),
    ("12:30:45", "12:30:45"),
    ("2001-01-01", "2001-01-01"),
    ("true", True),
    ("False", False),
    ("~", None),
    ("null", None),
    ("", None),
    ("-5", -5),
    ("1.5", 1.5),
    (".5", 0.5),
    ("1e3", 1000.0),
    ("1.", 1.0),
    ("+3", 3),
    ("-", "-"),
    ("0b1", "0b1"),
    ("'010'", "010"),
    ('"true"', "true"),
    ("!!str 5", "5"),
    ("! 5", "5"),
    ("!!float 5", 5.0),
    ("=", "="),
]


@pytest.mark.parametrize(("text", "value"), SCALARS, ids=[repr(t) for t, _ in SCALARS])
def test_scalar_is_what_yaml_1_2_says(text: str, value: Any) -> None:
    read = parse_yaml(f"a: {text}\n".encode()).value["a"] if text != "-" else value
    assert read == value
    assert type(read) is type(value)


YAML_FAULTS = [
    ("duplicate-key", "a: 1\nb: 2\na: 3\n", ['3:1: a: duplicate key "a", given on line 1 already']),
    ("two-duplicates", "a: 1\na: 3\nb: {c: 1, c: 2}\n",
     ['2:1: a: duplicate key "a", given on line 1 already', '3:11: b.c: duplicate key "c", given on line 3 already']),
    ("python-tag", "a: !!python/object/apply:os.system ['x']\n",
     ['1:4: the tag "tag:yaml.org,2002:python/object/apply:os.system" is not allowed here']),
    ("own-tag", "a: !secret x\n", ['1:4: the tag "!secret" is not allowed here']),
    ("wrong-tag", "a: !!int x\n", ['1:4: a: "x" is not what its tag !!int says']),
    ("merge-key", "a: &x {b: 1}\nc:\n  <<: *x\n",
     ["3:3: c: merge keys (`<<`) are not YAML 1.2; use jsonnet to share parts"]),
    ("key-number", "1: a\n", ['1:1: a key must be a string; quote it: "1"']),
    ("key-list", "? [a]\n: b\n", ["1:3: a key must be a string, not a list or a map"]),
    ("nan", "a: .nan\n", ["1:4: a: .nan is not a number that a configuration can hold; quote it if it is text"]),
    ("infinity", "a: -.inf\n", ["1:4: a: -.inf is not a number that a configuration can hold; quote it if it is text"]),
    ("huge-float", "a: 1e999\n", ["1:4: a: the number 1e999 is too large; quote it if it is text"]),
    ("huge-integer", f"a: {'9' * 5000}\n", ["1:4: a: a number of 5000 characters is too long; quote it if it is text"]),
    ("two-documents", "a: 1\n---\nb: 2\n", ["2:1: the file has more than one YAML document"]),
    ("empty", "# nothing\n", ["the file is empty"]),
    ("unknown-alias", "a: *x\n", ["1:4: a: the alias *x has no anchor &x before it"]),
    ("alias-inside-itself", "a: &x [*x]\n", ["1:8: a[0]: the alias *x stands inside of what it names"]),
    ("unclosed", "a: [1\nb: 2", ["2:2: not YAML: while parsing a flow sequence did not find expected ',' or ']'"]),
    ("tab", "a:\n\t- b\n", ["2:1: not YAML: a tab where only spaces may stand; YAML is indented with spaces"]),
    ("tab-after-dash", "-\ta: b\n", ["1:2: not YAML: a tab where only spaces may stand; YAML is indented with spaces"]),
    ("reserved", "a: @x\n", ['1:4: not YAML: a text cannot begin with "@"; quote it']),
    ("version", "%YAML 2.0\n---\na: 1\n",
     ["1:1: not YAML: this version of YAML is not known; the rules of YAML 1.2 hold here"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [pytest.param(*c[1:], id=c[0]) for c in YAML_FAULTS])
def test_yaml_fault_has_a_place_and_words(text: str, expected: list[str]) -> None:
    assert faults(parse_yaml, text) == expected


JSON_FAULTS = [
    ("duplicate-key", '{"a": 1,\n "a": 2}', ['2:2: a: duplicate key "a", given on line 1 already']),
    ("duplicate-key-escaped", '{"a": 1, "\\u0061": 2}', ['1:10: a: duplicate key "a", given on line 1 already']),
    ("nan", '{"a": NaN}', ["1:7: not JSON: there is no NaN"]),
    ("infinity", '["Infinity",\n -Infinity]', ["2:2: not JSON: there is no -Infinity"]),
    ("comma", '{"a": 1,\n}', ["2:1: not JSON: a comma after the last entry"]),
    ("comma-in-a-list", "[1, 2,]", ["1:7: not JSON: a comma after the last entry"]),
    ("comment", '{"a": 1} // x', ["1:10: not JSON: it has no comments; jsonnet and YAML do"]),
    ("comment-before", "# x\n{}", ["1:1: not JSON: it has no comments; jsonnet and YAML do"]),
    ("single-quotes", "{'a': 1}", ["1:2: not JSON: strings are in double quotes"]),
    (
        "line-break",
        '["a\nb"]',
        ["1:4: not JSON: a string with a line break, a tab or another control character; write it as an escape"],
    ),
    (
        "huge-float",
        '["1e999", {"1e999": 1e999}]',
        ["1:21: not JSON: the number 1e999 is too large; quote it if it is text"],
    ),
    (
        "long-float",
        "[0." + "1" * 200 + "]",
        ["1:2: not JSON: a number of 202 characters is too long; quote it if it is text"],
    ),
    ("empty", "  \n", None),
    (
        "huge-integer",
        "[" + "9" * 5000 + "]",
        ["1:2: not JSON: a number of 5000 digits is too long; quote it if it is text"],
    ),
    ("half-surrogate", '["\\ud800"]', ["a string holds half of a surrogate pair"]),
]


@pytest.mark.parametrize(("text", "expected"), [pytest.param(*c[1:], id=c[0]) for c in JSON_FAULTS])
def test_json_fault_has_words(text: str, expected: list[str] | None) -> None:
    found = faults(parse_json, text)
    assert len(found) == 1
    if expected is not None:
        assert found == expected


@pytest.mark.parametrize("parse", [parse_yaml, parse_json], ids=["yaml", "json"])
@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param("{}".encode("utf-16"), "it looks like UTF-16", id="utf-16"),
        pytest.param("{}".encode("utf-16-be"), "it looks like UTF-16", id="utf-16-without-mark"),
        pytest.param(b'{"a": "\xff"}', "not in UTF-8", id="latin-1"),
        pytest.param(b'{"a": 1}      \x00', "NUL", id="nul"),
        pytest.param(b'{"a": "' + b"x" * (50 << 20) + b'"}', "at most 1048576 are read", id="50-MB-scalar"),
        pytest.param(b"[" * 100_000, "nested deeper than 100 levels", id="depth-100000"),
        pytest.param(b'{"a":' * 50_000, "nested deeper than 100 levels", id="depth-of-maps"),
        pytest.param(b"[" * 101 + b"]" * 101, "nested deeper than 100 levels", id="depth-101"),
    ],
)
def test_hostile_source_is_refused(parse: Any, source: bytes, message: str) -> None:
    found = faults(parse, source)
    assert len(found) == 1
    # The C parser has a limit of its own for flow nesting.
    assert message in found[0] or ("nested" in message and "nesting" in found[0])


@pytest.mark.parametrize("parse", [parse_yaml, parse_json], ids=["yaml", "json"])
def test_byte_order_mark_and_deepest_nesting_are_taken(parse: Any) -> None:
    assert parse(b"\xef\xbb\xbf" + b'{"a": 1}').value == {"a": 1}
    parse(b"[" * 100 + b"]" * 100)


def test_unterminated_json_string_takes_linear_time() -> None:
    assert faults(parse_json, '"' + '\\"' * 500_000)


def test_billion_laughs_are_counted_and_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    found = faults(parse_yaml, "\n".join(lines))
    assert found == ["5:45: aliases expand to more than 100000 nodes or 4194304 characters"]


def test_long_scalar_that_is_repeated_is_refused() -> None:
    text = f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 1000)}]\n"
    assert "aliases expand to more than" in faults(parse_yaml, text)[0]


def test_aliases_that_add_depth_are_refused() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 150)]
    assert "nested deeper than 100 levels" in faults(parse_yaml, "\n".join(lines))[0]


def test_honest_alias_is_taken() -> None:
    assert parse_yaml(b"a: &x {b: [1]}\nc: *x\n").value == {"a": {"b": [1]}, "c": {"b": [1]}}


@pytest.mark.parametrize(
    ("parse", "text"),
    [(parse_yaml, "a:\n- x\n-   b: 1\n    c: 2\n"), (parse_json, '{"a":\n["x",\n{   "b": 1,\n    "c": 2}]}')],
    ids=["yaml", "json"],
)
def test_position_is_that_of_the_key_or_the_item(parse: Any, text: str) -> None:
    document = parse(text.encode())
    last = {parse_yaml: (4, 5), parse_json: (4, 5)}[parse]
    assert document.position(("a", 1, "c")) == last
    assert document.position(("a", 1, "c", "deeper")) == last
    assert document.position(()) == (1, 1)


def test_rendered_document_has_no_positions() -> None:
    assert parse_rendered('{"a": 1}').position(("a",)) is None


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text("abc ?", min_size=1, max_size=5), inner, max_size=4),
    max_leaves=15,
)  # fmt: skip


@given(plain)
def test_json_reads_what_json_writes(value: Any) -> None:
    text = json.dumps({"x": value}, ensure_ascii=False)
    assert parse_json(text.encode()).value == {"x": value}
    assert parse_rendered(text).value == {"x": value}


@given(st.text(st.characters(codec="utf-8"), max_size=20), st.text(st.characters(codec="utf-8"), max_size=20))
def test_yaml_reads_the_strings_of_json_with_every_character(key: str, value: str) -> None:
    text = json.dumps({"x": {key: [value]}}, ensure_ascii=False)
    assert parse_yaml(text.encode()).value == {"x": {key: [value]}}


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(source: bytes) -> None:
    for parse in (parse_yaml, parse_json):
        with contextlib.suppress(DocumentError):
            parse(source)


@given(st.text(alphabet="abc:-[]{}&*!|>'\"#,? \n\t0123.<%@~", max_size=80))
def test_no_yaml_does_more_than_be_refused(text: str) -> None:
    with contextlib.suppress(DocumentError):
        document = parse_yaml(text.encode())
        json.dumps(document.value, allow_nan=False)
