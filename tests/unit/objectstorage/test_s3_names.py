"""Keys and the names of S3 objects: one to one, in one order, and valid for every endpoint."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_server.objectstorage.keys import LONGEST_KEY_BYTES
from sluiceway_server.objectstorage.s3_names import AFTER_ALL, LONGEST_NAME_BYTES, key_of, name_of, prefix_name

# Short alphabets and lengths about the cuts make neighbours, prefixes and marks meet.
KEYS = st.one_of(
    st.binary(min_size=1, max_size=LONGEST_KEY_BYTES),
    st.text("-./_`az0!A~", min_size=1, max_size=8).map(str.encode),
    st.builds(
        lambda start, n, tail: (start + "x" * n + tail).encode(),
        st.sampled_from(["", "/", "a/"]),
        st.one_of(st.integers(58, 62), st.integers(118, 122)),
        st.text("-./_`az0x", max_size=4),
    ),
)


def folder_by_folder(name: str) -> list[str]:
    """Return the sort key of a storage that keeps folders."""
    return name.split("/")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (b"wal/0001-000000000042", "wal.d/0001-000000000042"),
        (b"data/run/0001-3-ab", "data.d/run.d/0001-3-ab"),
        (b"a.b", "a-zzb"),
        (b"A z", "A41!20z7A"),
        (b"a/", "a.d/!"),
        (b"/", ".d/!"),
        (b"//a", ".d/.d/a"),
        (b"..", "-zz-zz"),
        (b"_`", "__zz"),
        (b"x" * 60, "x" * 60 + "/!"),
        (b"x" * 60 + b"y", "x" * 60 + "/y"),
        (b"x" * 60 + b"/y", "x" * 60 + "/.d/y"),
    ],
    ids=repr,
)
def test_s3_names_are_as_documented(key, name):
    assert name_of(key) == name


@given(KEYS)
def test_s3_name_converts_back_to_its_key(key):
    assert key_of(name_of(key)) == key


@given(st.lists(KEYS, unique=True, max_size=30))
def test_s3_names_sort_as_their_keys(keys):
    names = [name_of(key) for key in sorted(keys)]

    assert names == sorted(names)
    assert names == sorted(names, key=folder_by_folder)


@given(KEYS)
def test_every_s3_name_is_valid_for_endpoints(key):
    name = name_of(key)

    assert len(name) <= LONGEST_NAME_BYTES
    assert re.fullmatch(r"[0-9A-Fa-z_!./-]+", name)
    for segment in name.split("/"):
        assert 0 < len(segment) <= 255
        assert segment not in (".", "..")


def test_longest_key_has_an_s3_name_whatever_its_bytes():
    lengths = {byte: len(name_of(bytes([byte]) * LONGEST_KEY_BYTES)) for byte in range(256)}
    assert {byte: length for byte, length in lengths.items() if length > LONGEST_NAME_BYTES} == {}


@given(KEYS, KEYS)
def test_no_s3_name_is_a_folder_of_another(one, other):
    assert not name_of(other).startswith(name_of(one) + "/")


@given(KEYS, KEYS, st.data())
def test_s3_prefix_contains_its_keys_and_ends_before_others(one, other, data):
    prefix = one[: data.draw(st.integers(0, len(one)))]
    end = prefix_name(prefix) + AFTER_ALL

    for key in (one, other):
        name = name_of(key)
        if key.startswith(prefix):
            assert name.startswith(prefix_name(prefix))
        is_before = key.startswith(prefix) or key < prefix
        assert (name < end) is is_before
        assert (folder_by_folder(name) < folder_by_folder(end)) is is_before


@given(st.text("abz!-._/0A4~", min_size=1, max_size=8))
def test_malformed_s3_name_is_foreign(name):
    key = key_of(name)

    assert key is None or name_of(key) == name


@pytest.mark.parametrize("name", ["", "!", "README.md", "a/b", "a.d", "a.d/", "z", "a!", "A7a", "x" * 61, "probe.x"])
def test_foreign_s3_names_are_skipped(name):
    assert key_of(name) is None
