"""Texts and bytes of many rows beside each other, in the form that compresses best. Pure.

Ids, digests and times in hex are all equally long, begin alike, and are noise at their end. zstd finds little in them
as they are: it looks for sequences that repeat, and has one table of frequencies for all bytes. So such values are
*transposed*: the first bytes of all, then the second bytes of all. What is equal in all of them becomes one run, digits
stand beside digits, and an id that is part of another column's is found there as a whole (decision 0106).
"""

from __future__ import annotations

from collections.abc import Sequence

from sluiceway.records.storage.v1.storage_pb2 import Values

__all__ = ["decode_blobs", "decode_texts", "encode_blobs", "encode_texts", "transpose", "transpose_back"]

# Equal values that are longer are found without it.
_WIDEST = 255


def transpose(data: bytes, width: int) -> bytes:
    """Put the first bytes of values of `width` bytes before the second ones, and so on."""
    return b"".join(data[at::width] for at in range(width))


def transpose_back(data: bytes, width: int) -> bytes:
    """Undo `transpose`. A copy for each place in a value: values are shorter than columns are long."""
    count = len(data) // width
    made = bytearray(len(data))
    for at in range(width):
        made[at::width] = data[at * count : (at + 1) * count]
    return bytes(made)


def encode_texts(texts: Sequence[str]) -> Values:
    """Make the message of some texts; at least one."""
    width = len(texts[0])
    if 0 < width <= _WIDEST and all(len(text) == width and text.isascii() for text in texts):
        return Values(width=width, transposed=transpose("".join(texts).encode(), width))
    return Values(texts=texts)


def encode_blobs(blobs: Sequence[bytes]) -> Values:
    """Make the message of some values of bytes; at least one."""
    width = len(blobs[0])
    if 0 < width <= _WIDEST and all(len(blob) == width for blob in blobs):
        return Values(width=width, transposed=transpose(b"".join(blobs), width))
    return Values(blobs=blobs)


def decode_texts(values: Values, count: int) -> Sequence[str]:
    """Read so many texts. Raises ValueError when it has not as many, or other things."""
    if not values.width:
        _check_count(len(values.texts), count)
        return list(values.texts)
    joined = _joined(values, count).decode("ascii")
    return [joined[at : at + values.width] for at in range(0, len(joined), values.width)]


def decode_blobs(values: Values, count: int) -> Sequence[bytes]:
    """Read so many values of bytes. Otherwise as `decode_texts`."""
    if not values.width:
        _check_count(len(values.blobs), count)
        return list(values.blobs)
    joined = _joined(values, count)
    return [joined[at : at + values.width] for at in range(0, len(joined), values.width)]


def _joined(values: Values, count: int) -> bytes:
    _check_count(len(values.transposed), count * values.width)
    return transpose_back(values.transposed, values.width)


def _check_count(found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(f"{found} values where {expected} should be")
