"""Keys and file paths, one to one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_server.objectstorage.posix_names import EntryKind, parse_name, path_of

# Short alphabets make prefixes, marks and long equal beginnings meet.
KEYS = st.one_of(
    st.binary(min_size=1, max_size=400),
    st.text("a/.+^%2E\0", min_size=1, max_size=12).map(str.encode),
    st.text("ab/", min_size=70, max_size=260).map(str.encode),
    st.builds(lambda n, tail: b"x" * n + tail, st.integers(75, 170), st.binary(max_size=4)),
)


def key_of(path: tuple[str, ...]) -> bytes:
    entries = [parse_name(name, is_folder=place < len(path) - 1) for place, name in enumerate(path)]
    return b"".join(entry.key_part for entry in entries if entry is not None)


@pytest.mark.parametrize(
    ("key", "path"),
    [
        (b"a", "a"),
        (b"a/b", "a+/b"),
        (b"wal/0001-000000000042", "wal+/0001-000000000042"),
        (b"a//..", "a+/+/%2E."),
        (b"A/", "%41+/%"),
        (b".", "%2E"),
        (b"a.b", "a.b"),
        (b"x" * 79, "x" * 79),
        (b"x" * 80, "x" * 80 + "^/%"),
        (b"x" * 80 + b"y/z", "x" * 80 + "^/y+/z"),
        (b"\xff" * 80, "%FF" * 80 + "^/%"),
    ],
    ids=repr,
)
def test_posix_paths_are_as_documented(key, path):
    assert "/".join(path_of(key)) == path


@given(KEYS)
def test_posix_path_converts_back_to_its_key(key):
    assert key_of(path_of(key)) == key


@given(KEYS)
def test_every_file_name_is_valid_and_visible(key):
    for name in path_of(key):
        assert 0 < len(name.encode()) <= 255
        assert not name.startswith(".")
        assert "/" not in name
        assert "\0" not in name
        assert name == name.lower() or "%" in name


@given(KEYS, KEYS)
def test_keys_never_share_a_path_even_without_case(one, other):
    same = [name.casefold() for name in path_of(one)] == [name.casefold() for name in path_of(other)]

    assert same is (one == other)


@given(KEYS, KEYS)
def test_no_object_path_is_a_folder_of_another(one, other):
    path, longer = path_of(one), path_of(other)

    assert longer[: len(path)] != path or one == other


@given(st.lists(KEYS, unique=True, max_size=30))
def test_sorted_folder_walk_is_in_byte_order_of_keys(keys):
    paths = {path_of(key) for key in keys}

    def walk(base: tuple[str, ...]) -> list[bytes]:
        depth = len(base)
        below = {path for path in paths if path[:depth] == base}
        folders = {path[depth] for path in below if len(path) > depth + 1}
        files = {path[depth] for path in below if len(path) == depth + 1}
        entries = [parse_name(name, is_folder=True) for name in folders]
        entries += [parse_name(name, is_folder=False) for name in files]
        found: list[bytes] = []
        for entry in sorted(entry for entry in entries if entry is not None):
            path = (*base, entry.name)
            found += [key_of(path)] if entry.kind is EntryKind.OBJECT else walk(path)
        return found

    assert walk(()) == sorted(keys)


@pytest.mark.parametrize(
    ("name", "is_folder"),
    [
        ("lost+found", True),
        ("plain", True),
        ("", False),
        (".tmp", True),
        (".nfs0001", False),
        ("a b", False),
        ("A", False),
        ("%41", True),
        ("%61", False),
        ("%2e", False),
        ("a+", False),
        ("x" * 80, False),
        ("x" * 80 + "+", True),
        ("x" * 79 + "^", True),
    ],
)
def test_foreign_file_names_are_skipped(name, is_folder):
    assert parse_name(name, is_folder=is_folder) is None
