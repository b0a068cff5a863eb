"""Names: what is one, and which are the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_server.projects.names import MAX_NAME_LENGTH, is_uuid, key_of, name_fault

UUID = "a1b2c3d4-2f37-7681-b7d7-e57c899c707e"


@pytest.mark.parametrize(
    "name",
    ["a", "Z", "api", "Back-End", "a-1-b", "x2", "a" * MAX_NAME_LENGTH, "a1b2c3d4-2f37-7681-b7d7", "user", "org"],
)
def test_valid_name_has_no_fault(name: str) -> None:
    assert name_fault(name) is None


@pytest.mark.parametrize(
    ("name", "says"),
    [
        pytest.param("", "empty", id="empty"),
        pytest.param("a" * 41, "41 characters", id="41 characters"),
        pytest.param("1a", "begin with a letter", id="a digit first"),
        pytest.param("-a", "begin with a letter", id="a hyphen first"),
        pytest.param("a-", "single inner hyphens", id="a hyphen last"),
        pytest.param("a--b", "single inner hyphens", id="two hyphens"),
        pytest.param("a/b", "letters", id="a slash"),
        pytest.param("a%2Fb", "letters", id="an escaped slash"),
        pytest.param(".", "letters", id="a dot"),
        pytest.param("..", "letters", id="two dots"),
        pytest.param("a.b", "letters", id="an inner dot"),
        pytest.param("a_b", "letters", id="an underscore"),
        pytest.param("a b", "letters", id="a space"),
        pytest.param("a\n", "letters", id="a line feed last"),
        pytest.param("a\u0430", "letters", id="a Cyrillic a"),
        pytest.param("\uff41", "letters", id="a full-width a"),
        pytest.param("a\u0661", "letters", id="an Arabic digit"),
        pytest.param("a\u200b", "letters", id="a zero-width space"),
        pytest.param("\u0130", "letters", id="a dotted capital I"),
        pytest.param("\u212a", "letters", id="the Kelvin sign"),
        pytest.param("e\u0301", "letters", id="a combining accent"),
        pytest.param(UUID, "UUID", id="a UUID"),
        pytest.param(UUID.upper(), "UUID", id="a UUID in upper case"),
    ],
)
def test_invalid_name_has_a_fault_that_says_why(name: str, says: str) -> None:
    assert says in (name_fault(name) or "")


@given(st.text(max_size=50))
def test_valid_names_are_ascii_and_segments_of_paths(name: str) -> None:
    if name_fault(name) is None:
        assert name.isascii()
        assert name.replace("-", "").isalnum()
        assert not is_uuid(name)
        assert key_of(name) == key_of(name.upper())


@pytest.mark.parametrize(("name", "is_valid"), [("NPM_TOKEN", True), ("a-b_c1", True), ("a__b", False), ("_a", False)])
def test_names_of_values_may_have_underscores(name: str, is_valid: bool) -> None:
    assert (name_fault(name, of_value=True) is None) == is_valid
    if "_" in name:
        assert name_fault(name) is not None
