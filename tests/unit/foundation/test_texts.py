"""Which characters names, texts and commands may have."""

from __future__ import annotations

import pytest

from sluiceway_common.foundation.texts import (
    as_name,
    command_fault,
    foreign_fault,
    line_fault,
    lines_fault,
    name_fault,
    nul_fault,
    shown,
    unseen,
)

UNSEEN = {
    "escape": "\x1b",
    "NUL": "\0",
    "line feed": "\n",
    "delete": "\x7f",
    "next line": "\x85",
    "right-to-left override": "\u202e",
    "first strong isolate": "\u2068",
    "zero width space": "\u200b",
    "soft hyphen": "\xad",
    "byte order mark": "\ufeff",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
}


@pytest.mark.parametrize("character", UNSEEN.values(), ids=UNSEEN)
def test_invisible_characters_are_refused_in_names(character: str) -> None:
    text = f"a{character}b"

    assert unseen(text) == character
    for fault in (name_fault(text), line_fault(text, most=10)):
        assert fault == f"holds a control or invisible character (U+{ord(character):04X})"


@pytest.mark.parametrize("text", ["build", "Größe & Maß", "測試", "🚀 deploy", "a/b: c", "x" * 100])
def test_visible_text_is_a_valid_name(text: str) -> None:
    assert name_fault(text) is None
    assert unseen(text) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must not be empty"),
        ("  ", "must not be empty"),
        (" a", "begin or end with a space"),
        ("a\t", "begin or end with a space"),
        (".", "is not a name"),
        ("..", "is not a name"),
        ("x" * 101, "at most 100 characters, not 101"),
    ],
)
def test_invalid_name_says_why(text: str, words: str) -> None:
    assert words in (name_fault(text) or "")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("make", None),
        ("set -e\n\tmake\r\nmake test\n", None),
        ("echo 'Größe\u200d'", None),
        ("printf '\\033[1m'", None),
        ("", "must not be empty"),
        (" \n", "must not be empty"),
        ("a\0b", "must not hold a NUL character"),
        ("\x1b[8m", "holds a control character (U+001B); write it as an escape of the shell"),
        ("rm \u202e/tmp", "holds a control character (U+202E); write it as an escape of the shell"),
        ("a \u2066b", "holds a control character (U+2066); write it as an escape of the shell"),
        ("a\x08b", "holds a control character (U+0008); write it as an escape of the shell"),
    ],
)
def test_command_with_hidden_characters_is_refused(text: str, fault: str | None) -> None:
    assert command_fault(text) == fault


def test_argument_may_have_any_character_but_nul() -> None:
    assert nul_fault("a\x1b\u202e\n") is None
    assert nul_fault("a\0") == "must not hold a NUL character"


WITHOUT_WIDTH = {"\u200b", "\xad", "\ufeff"}


@pytest.mark.parametrize("character", [c for c in UNSEEN.values() if c != "\n" and c not in WITHOUT_WIDTH])
def test_displayed_text_has_no_control_characters(character: str) -> None:
    assert shown(f"a{character}b", most=10) == "a\ufffdb"
    assert foreign_fault(f"a{character}b") is not None


@pytest.mark.parametrize("text", ["🧑\u200d💻", "می\u200cخواهم", "\u200fשלום", "a\xadb", ""])
def test_joiners_are_allowed_in_external_names(text: str) -> None:
    assert foreign_fault(text) is None
    assert shown(text, most=10) == text


def test_multiline_text_may_have_line_breaks() -> None:
    assert lines_fault("a\r\n\tb\x85c") is None
    assert lines_fault("a\x1b") == "holds a control character (U+001B)"
    assert foreign_fault("a\nb") == "holds a control character (U+000A)"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("build", "build"),
        (" a\u202eb\x1b ", "ab"),
        ("", "run"),
        ("\u200b", "run"),
        ("..", "run"),
        ("x" * 99 + " yz", "x" * 99),
    ],
)
def test_invalid_name_is_converted_to_a_valid_one(text: str, name: str) -> None:
    assert as_name(text, otherwise="run") == name


def test_text_that_is_too_long_is_cut() -> None:
    assert shown("x" * 10, most=10) == "x" * 10
    assert shown("x" * 11, most=10) == "x" * 9 + "…"
    assert shown("a\n\tb", most=10) == "a\n\tb"
