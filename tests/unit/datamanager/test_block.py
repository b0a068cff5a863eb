from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.records.storage.v1.storage_pb2 import Values
from sluiceway_server.datamanager.tables.block import (
    decode_blobs,
    decode_texts,
    encode_blobs,
    encode_texts,
    transpose,
    untranspose,
)

WIDTHS = st.integers(0, 300)
TEXTS = st.one_of(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), min_size=1, max_size=20),
    WIDTHS.flatmap(
        lambda width: st.lists(
            st.text(st.characters(codec="ascii"), min_size=width, max_size=width), min_size=1, max_size=4
        )
    ),
)
BLOBS = st.one_of(
    st.lists(st.binary(max_size=5), min_size=1, max_size=20),
    WIDTHS.flatmap(lambda width: st.lists(st.binary(min_size=width, max_size=width), min_size=1, max_size=4)),
)


@given(TEXTS)
def test_texts_come_back(texts: list[str]) -> None:
    assert list(decode_texts(encode_texts(texts), len(texts))) == texts


@given(BLOBS)
def test_bytes_come_back(blobs: list[bytes]) -> None:
    assert list(decode_blobs(encode_blobs(blobs), len(blobs))) == blobs


@pytest.mark.parametrize(
    ("texts", "width"),
    [(["ab", "cd"], 2), (["a", "bc"], 0), (["", ""], 0), (["ä", "b"], 0), (["x" * 255] * 2, 255), (["x" * 256] * 2, 0)],
    ids=["equally-long", "not-so", "empty", "not-ascii", "widest", "too-wide"],
)
def test_texts_are_transposed_when_they_are_equally_long(texts: list[str], width: int) -> None:
    made = encode_texts(texts)
    assert made.width == width
    assert (len(made.texts) == 0) == (width > 0)


def test_transposed_values_have_their_first_bytes_first() -> None:
    assert transpose(b"a1b2c3", 2) == b"abc123"
    assert untranspose(b"abc123", 2) == b"a1b2c3"


@pytest.mark.parametrize(
    "values",
    [
        Values(texts=["a"]),
        Values(width=1, transposed=b"abc"),
        Values(width=2, transposed=b"abc"),
        Values(width=2**32 - 1, transposed=b"ab"),
        Values(width=1, transposed=b"\xff\xfe"),
        Values(),
    ],
)
def test_other_than_so_many_texts_are_refused(values: Values) -> None:
    with pytest.raises(ValueError, match=r"values instead|ascii"):
        decode_texts(values, 2)


@pytest.mark.parametrize("values", [Values(blobs=[b"a"]), Values(width=2, transposed=b"abc"), Values(texts=["a", "b"])])
def test_other_than_so_many_bytes_are_refused(values: Values) -> None:
    with pytest.raises(ValueError, match="values instead"):
        decode_blobs(values, 2)
