"""Characters that libyaml treats by YAML 1.1 are treated by YAML 1.2.2 (sections 5.1, 5.2 and 5.4)."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_common.runconfig.compile import load_source
from sluiceway_common.runconfig.documents import Document, DocumentError
from sluiceway_common.runconfig.files import MappingFiles
from sluiceway_common.runconfig.when import Context
from sluiceway_common.runconfig.yaml_characters import mask
from sluiceway_common.runconfig.yaml_documents import parse_yaml


def parse(text: str) -> Document:
    return parse_yaml(text.encode())


def fault(text: str) -> str:
    with pytest.raises(DocumentError) as caught:
        parse(text)
    (problem,) = caught.value.problems
    return str(problem)


# No line breaks since YAML 1.2, but content.
CONTENT = ["\x85", "\u2028", "\u2029"]
# Content of quoted scalars only, so that every JSON text is YAML.
QUOTED_ONLY = ["\x7f", "\x80", "\x84", "\x86", "\x9f", "\ufeff", "\ufffe", "\uffff"]

# `¤` stands for the character.
PLACES = [
    ("plain", "a: b¤c\n", {"a": "b¤c"}),
    ("plain-begins", "a: ¤c\n", {"a": "¤c"}),
    ("plain-ends", "a: b¤\nz: y\n", {"a": "b¤", "z": "y"}),
    ("plain-of-two-lines", "a: b¤\n  c\n", {"a": "b¤ c"}),
    ("plain-alone", "a: ¤\n", {"a": "¤"}),
    ("plain-in-flow", "a: [b¤c, ¤, {d¤: e}]\n", {"a": ["b¤c", "¤", {"d¤": "e"}]}),
    ("double-quoted", 'a: "b¤c"\n', {"a": "b¤c"}),
    ("double-quoted-folded", 'a: "b¤\n  c"\n', {"a": "b¤ c"}),
    ("single-quoted", "a: 'b¤c'\n", {"a": "b¤c"}),
    ("literal", "a: |\n  b¤c\n   d\n", {"a": "b¤c\n d\n"}),
    ("literal-begins", "a: |\n  ¤c\n", {"a": "¤c\n"}),
    ("literal-alone", "a: |+\n  ¤\n\n", {"a": "¤\n\n"}),
    ("folded", "a: >-\n  b¤c\n  d\n", {"a": "b¤c d"}),
    ("comment", "# b¤c: d\na: 1 # x¤y\n", {"a": 1}),
    ("comment-ends", "a: 1 # x¤\nb: 2\n", {"a": 1, "b": 2}),
    ("key", "a¤b: c\n", {"a¤b": "c"}),
    ("quoted-key", '"a¤b": c\n', {"a¤b": "c"}),
    ("sequence", "- a¤b\n- ¤\n", ["a¤b", "¤"]),
    ("no-line", "- a\n  ¤- b\n  ¤c\n", ["a ¤- b ¤c"]),
    ("tagged", "a: !!str b¤c\n", {"a": "b¤c"}),
    ("anchored", "a: &x b¤c\nd: *x\n", {"a": "b¤c", "d": "b¤c"}),
    ("beside-escapes", 'a: "¤\\N\\L\\P\\uE000\\x85"\n', {"a": "¤\x85\u2028\u2029\ue000\x85"}),
    ("beside-private-use", "a: \ue000¤\ue001\U0010fffd\n", {"a": "\ue000¤\ue001\U0010fffd"}),
]


@pytest.mark.parametrize("character", CONTENT, ids=ascii)
@pytest.mark.parametrize(("text", "value"), [pytest.param(*p[1:], id=p[0]) for p in PLACES])
def test_next_line_and_separators_are_content(text: str, value: Any, character: str) -> None:
    assert parse(text.replace("¤", character)).value == _with(character, value)


def _with(character: str, value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("¤", character)
    if isinstance(value, list):
        return [_with(character, v) for v in value]
    if isinstance(value, dict):
        return {_with(character, k): _with(character, v) for k, v in value.items()}
    return value


@pytest.mark.parametrize("character", [*CONTENT, *QUOTED_ONLY], ids=ascii)
@pytest.mark.parametrize("quote", ["'", '"'])
def test_quoted_scalar_holds_every_character_of_json(character: str, quote: str) -> None:
    value = f"{character}b{character}{character}"
    document = parse(f"x: {quote}{value}{quote}\n{quote}{value}{quote}: 1\ny: [2]\n")
    assert document.value == {"x": value, value: 1, "y": [2]}
    assert document.position((value,)) == (2, 1)
    assert document.position(("y", 0)) == (3, 5)


@pytest.mark.parametrize("character", QUOTED_ONLY, ids=ascii)
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('"a": "b"\nc: d¤\n', "2:5"),
        ("a: |\n  b¤\n", "2:4"),
        ("a: 1 # b¤c\n", "1:9"),
        ("a¤: 1\n", "1:2"),
        ("¤a: 1\nb: 2\n", "1:1"),
        ("a: 1\n¤b: 2\n", "2:1"),
        ('a: "¤"\nb: ¤\n', "2:4"),
    ],
    ids=["plain", "literal", "comment", "key", "first", "line-begins", "after-a-quoted-one"],
)
def test_invisible_character_outside_of_quotes_is_located(text: str, place: str, character: str) -> None:
    # The first mark of a file says only that it is in UTF-8.
    found = fault("\ufeff" + text.replace("¤", character))
    code = f"{ord(character):04X}"
    what = "a byte order mark" if character == "\ufeff" else "a character that cannot be seen"
    assert found == f'{place}: {what} (U+{code}) outside of quotes; remove it, or write "\\u{code}" in double quotes'


@pytest.mark.parametrize("character", ["\x01", "\x07", "\x0b", "\x0c", "\x1b", "\x1f"], ids=ascii)
@pytest.mark.parametrize("quote", ["", '"'])
def test_control_character_is_refused_where_it_stands(character: str, quote: str) -> None:
    text = f"é: \u2028\r\nb: 1\rc: {quote}x{character}{quote}\n"
    code = ord(character)
    column = 5 + len(quote)
    assert fault(text) == (f'3:{column}: a control character (U+{code:04X}); write "\\x{code:02X}" in double quotes')


@pytest.mark.parametrize("character", CONTENT, ids=ascii)
def test_position_after_them_is_right(character: str) -> None:
    text = f'# x{character}y\n"a{character}": "{character}b" # {character}\nc{character}: {{d: {character}, e: 0x1F}}\n'
    document = parse(text)
    assert document.position((f"a{character}",)) == (2, 1)
    assert document.position((f"c{character}", "d")) == (3, 6)
    assert document.position((f"c{character}", "e")) == (3, 12)
    assert document.written((f"c{character}", "e")) == "0x1F"
    assert fault(text + "a: [1\n").startswith("5:1: not YAML")


def test_line_separator_in_a_comment_is_ignored() -> None:
    text = "runs:\n- name: r\n  tasks:\n  - name: a\n    runtime: {containers: [{image: host}]}\n"
    text += "    # a\x85b: c\n    steps: [{run: 'x\u2028y'}]\n"
    loaded = load_source("c.yml", text.encode(), MappingFiles({}), Context())
    assert loaded.errors == ()
    assert loaded.document["runs"][0]["tasks"][0]["steps"] == [{"run": "x\u2028y"}]


def test_file_for_yaml_1_1_is_read_by_1_2_with_a_warning() -> None:
    text = "%YAML 1.1\n---\nruns:\n- name: r\n  tasks:\n  - {name: a, runtime: {containers: [{image: host}]}}\n"
    loaded = load_source("c.yml", text.encode(), MappingFiles({}), Context())
    assert loaded.errors == ()
    assert [(w.line, w.message) for w in loaded.warnings] == [
        (1, "this is read by the rules of YAML 1.2: `yes` and `on` are strings, `0644` is decimal")
    ]
    plain = load_source("c.yml", text.replace("1.1", "1.2").encode(), MappingFiles({}), Context())
    assert (plain.errors, plain.warnings) == ((), ())


def test_stand_ins_are_never_characters_of_the_text() -> None:
    private = "".join(map(chr, range(0xE000, 0xF900)))
    value = f"{private}\U00010000\u2028\\UE0010001"
    masked = mask(value)
    assert len(masked.text) == len(value)
    assert masked.text[: len(private)] == private
    assert masked.restored(masked.text) == value
    assert "\u2028" not in masked.text


@given(st.text(st.sampled_from("a-:#{}[],'\"|>&*! \n\r\t\\N\x7f\x85\u2028\u2029\ufeff\uffff\ue000"), max_size=40))
def test_no_such_text_does_more_than_be_refused(text: str) -> None:
    with contextlib.suppress(DocumentError):
        parse(text)


@given(st.text(st.sampled_from("ab\x85\u2028\u2029\ue000"), min_size=1, max_size=20))
def test_literal_scalar_keeps_every_character(text: str) -> None:
    assert parse(f"a: |-\n  {text}\nb: 1\n").value == {"a": text, "b": 1}
