"""Segments: the log in the object storage, many entries in one object.

    wal/<first sequence>

An object is a magic with the format's version, the SHA-256 of all that follows, the length of the header, the header
(`SegmentHeader`: it has the last sequence), and the entries as etcd had them, each with its length in front. Objects
are put if absent and never changed; entries of one epoch are the same for every server, so when two servers flush at
once the second one finds the first one's segment and goes on after it.
"""

from __future__ import annotations

import bisect
import hashlib
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from sluiceway.datamanager.entries import LogEntry, decode_entry, from_sequence_proto, sequence_proto
from sluiceway.datamanager.model import LogSequence
from sluiceway.foundation.errors import DataLoss
from sluiceway.objectstorage.port import ObjectStorage
from sluiceway.records.log.v1 import log_pb2

__all__ = ["Segment", "SegmentStore", "decode_segment", "encode_segment"]

_MAGIC = b"SLWAL\x00\x00\x01"
_DIGEST_END = len(_MAGIC) + 32
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as it was read and checked."""

    header: log_pb2.SegmentHeader
    entries: tuple[LogEntry, ...]

    @property
    def first(self) -> LogSequence:
        """The sequence of its first entry."""
        return from_sequence_proto(self.header.first)

    @property
    def last(self) -> LogSequence:
        """The sequence of its last entry."""
        return from_sequence_proto(self.header.last)


def encode_segment(entries: Sequence[LogEntry], *, total_bytes: int, writer: str) -> bytes:
    """Make the bytes of a segment of contiguous entries.

    Args:
        entries: at least one.
        total_bytes: of all entries of the epoch, up to and with these.
        writer: the server that flushes.
    """
    first, last = entries[0], entries[-1]
    header = log_pb2.SegmentHeader(
        first=sequence_proto(first.sequence),
        last=sequence_proto(last.sequence),
        previous_digest=first.previous_digest,
        digest=last.digest,
        total_bytes=total_bytes,
        writer=writer,
        time_us=last.time_us,
    ).SerializeToString()
    parts = [_LENGTH.pack(len(header)), header]
    for entry in entries:
        parts += (_LENGTH.pack(len(entry.raw)), entry.raw)
    content = b"".join(parts)
    return b"".join((_MAGIC, hashlib.sha256(content).digest(), content))


def decode_segment(name: str, body: bytes) -> Segment:
    """Read a segment and check all of it: checksum, header, contiguous entries, chained digests. Raises `DataLoss`."""
    if body[: len(_MAGIC)] != _MAGIC:
        raise _damaged(name, "it does not begin as a segment that this version can read")
    if hashlib.sha256(memoryview(body)[_DIGEST_END:]).digest() != body[len(_MAGIC) : _DIGEST_END]:
        raise _damaged(name, "its checksum does not hold")
    try:
        parts = _parts(body)
        header = log_pb2.SegmentHeader.FromString(parts[0])
    except (struct.error, DecodeError, IndexError) as cause:
        raise _damaged(name, "it ends too early") from cause
    entries = tuple(decode_entry(raw) for raw in parts[1:])
    expected, digest = from_sequence_proto(header.first), header.previous_digest
    for entry in entries:
        if entry.sequence != expected or entry.previous_digest != digest:
            raise _damaged(name, f"its entry {entry.sequence} does not follow the one before")
        expected, digest = expected.next(), entry.digest
    if not entries or entries[-1].sequence != from_sequence_proto(header.last) or digest != header.digest:
        raise _damaged(name, "its entries are not those that its header names")
    return Segment(header, entries)


def _parts(body: bytes) -> list[bytes]:
    parts, at = [], _DIGEST_END
    while at < len(body):
        (length,) = _LENGTH.unpack_from(body, at)
        at += _LENGTH.size
        if at + length > len(body):
            raise IndexError
        parts.append(body[at : at + length])
        at += length
    return parts


def _damaged(name: str, why: str) -> DataLoss:
    return DataLoss(
        f"the segment {name} is damaged: {why}. Restore this object from a copy of the object storage; "
        "`sluice db verify` looks for others",
        reason="SEGMENT_DAMAGED",
    )


class SegmentStore:
    """The segments of one database in its object storage."""

    def __init__(self, storage: ObjectStorage, *, prefix: str) -> None:
        self._storage = storage
        self._folder = f"{prefix}/wal/"
        self._firsts: list[LogSequence] = []

    def key(self, first: LogSequence) -> str:
        """The key of the segment that begins with an entry."""
        return f"{self._folder}{first}"

    async def put(self, first: LogSequence, body: bytes) -> bool:
        """Store a segment unless there is one that begins there. Tells whether it was stored."""
        return await self._storage.put_if_absent(self.key(first), body)

    async def read(self, first: LogSequence) -> Segment:
        """Read one. Raises `NotFound`, `DataLoss`."""
        key = self.key(first)
        return decode_segment(key, await self._storage.get(key))

    async def last(self) -> Segment | None:
        """Read the newest one; None when there are none."""
        await self._refresh(self._firsts[-1] if self._firsts else None)
        return await self.read(self._firsts[-1]) if self._firsts else None

    async def after(self, sequence: LogSequence) -> AsyncIterator[Segment]:
        """Give the segments with entries after a sequence, oldest first, as long as they are contiguous."""
        wanted = sequence.next()
        at = bisect.bisect_right(self._firsts, wanted) - 1
        # The cache may lack newer ones, and one that begins between its neighbours never appears later.
        await self._refresh(self._firsts[-1] if at >= 0 else None)
        at = bisect.bisect_right(self._firsts, wanted) - 1
        while 0 <= at < len(self._firsts):
            segment = await self.read(self._firsts[at])
            if segment.first > wanted:
                return
            if segment.last >= wanted:
                yield segment
                wanted = segment.last.next()
            at += 1

    async def _refresh(self, start_after: LogSequence | None) -> None:
        if start_after is None:
            self._firsts = []
        start = self.key(start_after) if start_after else ""
        async for info in self._storage.list(self._folder, start_after=start):
            try:
                self._firsts.append(LogSequence.parse(info.key.removeprefix(self._folder)))
            except ValueError as cause:
                raise DataLoss(
                    f"the object storage has {info.key}, which is not the name of a segment; move it away"
                ) from cause
