"""Segments: the log in the object storage, many entries in one object, `wal/<first sequence>`.

An object is a magic with the format's version, the SHA-256 of all that follows, the length of the header, the header
(`SegmentHeader`), and the entries as they were in etcd, each with its length in front. Objects are put if absent and
never changed. Entries of one epoch are the same for every server: when two servers flush at once, the second one finds
the segment of the first and continues after it.

The folder may have segments outside the history: a server that was paused may put one of an epoch that is over. So
segments are read along a `Lineage`, and cut where it ends an epoch. An object with another name is ignored and logged.
"""

from __future__ import annotations

import asyncio
import bisect
import hashlib
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass

import structlog
from google.protobuf.message import DecodeError

from sluiceway.records.log.v1 import log_pb2
from sluiceway_common.foundation.errors import DataLoss, NotFound
from sluiceway_server.datamanager.log.entries import LogEntry, decode_entry, from_sequence_proto, sequence_proto
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.objectstorage.layout import Folder
from sluiceway_server.objectstorage.port import ObjectStorage

log = structlog.get_logger(__name__)

_MAGIC = b"SLWAL\x00\x00\x01"
_DIGEST_END = len(_MAGIC) + 32
_LENGTH = struct.Struct(">I")
_FEWEST_BETWEEN_LISTS = 1000


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment that was checked.

    Attributes:
        entries: at least one; fewer than in the object after `within`.
        total_bytes: of all entries of the epoch up to the last of these.
    """

    header: log_pb2.SegmentHeader
    entries: tuple[LogEntry, ...]
    total_bytes: int

    @property
    def first(self) -> LogSequence:
        return self.entries[0].sequence

    @property
    def last(self) -> LogSequence:
        return self.entries[-1].sequence

    @property
    def digest(self) -> bytes:
        return self.entries[-1].digest

    def within(self, first: LogSequence, lineage: Lineage) -> Segment | None:
        """Return the entries from one on that are part of the history; None: there are none."""
        kept = tuple(entry for entry in self.entries if entry.sequence >= first and lineage.contains(entry.sequence))
        if not kept:
            return None
        void = sum(len(entry.raw) for entry in self.entries if entry.sequence > kept[-1].sequence)
        return Segment(self.header, kept, self.total_bytes - void)


def encode_segment(entries: Sequence[LogEntry], *, total_bytes: int, writer: str, database_id: str = "") -> bytes:
    """Encode a segment of contiguous entries; `total_bytes` counts all entries of the epoch up to the last."""
    first, last = entries[0], entries[-1]
    header = log_pb2.SegmentHeader(
        first=sequence_proto(first.sequence),
        last=sequence_proto(last.sequence),
        previous_digest=first.previous_digest,
        digest=last.digest,
        total_bytes=total_bytes,
        writer=writer,
        time_us=last.time_us,
        database_id=database_id,
    ).SerializeToString()
    parts = [_LENGTH.pack(len(header)), header]
    for entry in entries:
        parts += (_LENGTH.pack(len(entry.raw)), entry.raw)
    content = b"".join(parts)
    return b"".join((_MAGIC, hashlib.sha256(content).digest(), content))


def decode_segment(name: str, body: bytes) -> Segment:
    """Decode a segment, and check checksum, header and the chain of entries. Raises `DataLoss`."""
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
    return Segment(header, entries, header.total_bytes)


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
        self._folder = f"{prefix}/{Folder.WAL}/"
        self._firsts: list[LogSequence] = []
        self._added = self._listed = 0
        self.strange: frozenset[str] = frozenset()  # keys in the folder that are not names of segments

    def key(self, first: LogSequence) -> str:
        return f"{self._folder}{first}"

    async def put(self, first: LogSequence, body: bytes) -> bool:
        """Store a segment unless there is one that begins with this entry; return whether it was stored."""
        return await self._storage.put_if_absent(self.key(first), body)

    async def put_entries(
        self, entries: Sequence[LogEntry], *, total_bytes: int, writer: str, database_id: str
    ) -> bool:
        """Encode contiguous entries, and store them as `put` does."""
        body = await asyncio.to_thread(
            encode_segment, entries, total_bytes=total_bytes, writer=writer, database_id=database_id
        )
        return await self.put(entries[0].sequence, body)

    async def exists(self, first: LogSequence) -> bool:
        return await self._storage.head(self.key(first)) is not None

    async def read(self, first: LogSequence) -> Segment:
        key = self.key(first)
        body = await self._storage.get(key)
        segment = await asyncio.to_thread(decode_segment, key, body)
        if segment.first != first:
            raise _damaged(key, f"it begins with {segment.first}")
        return segment

    async def firsts(self) -> list[LogSequence]:
        """List the first entries of all segments in order, also outside the history."""
        await self._refresh(None)
        return list(self._firsts)

    async def newer(self, sequence: LogSequence) -> list[LogSequence]:
        """List the first entries of the segments after a sequence in order, also outside the history."""
        return [first async for first in self._list(sequence)]

    async def delete(self, first: LogSequence) -> None:
        await self._storage.delete(self.key(first))
        at = bisect.bisect_left(self._firsts, first)
        if at < len(self._firsts) and self._firsts[at] == first:
            del self._firsts[at]

    async def last(self, lineage: Lineage) -> Segment | None:
        """Read the newest segment of the history; None: there is none."""
        await self._refresh(self._firsts[-1] if self._firsts else None)
        while True:
            newest = next((first for first in reversed(self._firsts) if lineage.contains(first)), None)
            if newest is None:
                return None
            try:
                return (await self.read(newest)).within(newest, lineage)
            except NotFound:
                await self._refresh(None)  # deleted since it was listed
                if newest in self._firsts:
                    raise

    async def after(self, sequence: LogSequence, lineage: Lineage) -> AsyncGenerator[Segment, None]:
        """Yield the segments after an entry of the history, oldest first, up to the end or a gap.

        Segments are cut to entries of the history after that one. The first entry of an epoch follows from the last one
        that was accepted of the epoch before.

        Args:
            sequence: part of the history; counter 0: the start of an epoch. Its digest is not checked.
            lineage: the history.

        Raises:
            ValueError: the sequence is not part of the history.
            DataLoss: a segment is damaged, or does not follow from the one before.
        """
        wanted, before = lineage.following(sequence), None
        while lineage.contains(wanted) and (found := await self._with(wanted)) is not None:
            segment = found.within(wanted, lineage)
            if segment is None or segment.first != wanted:
                return
            if before is not None and segment.entries[0].previous_digest != before.digest:
                raise DataLoss(
                    f"the entry {wanted} in the segment {self.key(found.first)} does not follow from {before.last} in"
                    f" the segment {self.key(from_sequence_proto(before.header.first))}: two histories are in one"
                    " folder; find the one that does not belong there with `sluice db verify`, and move it away",
                    reason="LOG_DIVERGED",
                )
            yield segment
            wanted, before = lineage.following(segment.last), segment

    async def _with(self, wanted: LogSequence) -> Segment | None:
        """Read the segment that has an entry, or the last one before it; None: there is neither."""
        at = bisect.bisect_right(self._firsts, wanted) - 1
        if at == len(self._firsts) - 1:
            # The end of what is known: there may be newer ones.
            await self._refresh(self._firsts[-1] if self._firsts else None)
            at = bisect.bisect_right(self._firsts, wanted) - 1
        if at < 0 or self._firsts[at].epoch != wanted.epoch:
            # A segment that was restored may be between known ones.
            await self._refresh(None)
            at = bisect.bisect_right(self._firsts, wanted) - 1
        if at < 0 or self._firsts[at].epoch != wanted.epoch:
            return None
        try:
            return await self.read(self._firsts[at])
        except NotFound:
            await self._refresh(None)  # deleted; the caller finds a gap
            return None

    async def _refresh(self, start_after: LogSequence | None) -> None:
        if self._added >= max(self._listed, _FEWEST_BETWEEN_LISTS):
            # Other servers delete segments, so all are listed again when the known ones have doubled.
            start_after = None
        found = [first async for first in self._list(start_after)]
        if start_after is None:
            self._firsts, self._listed, self._added = found, len(found), 0
        else:
            # Another task may have listed meanwhile.
            new = [first for first in found if not self._firsts or first > self._firsts[-1]]
            self._firsts += new
            self._added += len(new)

    async def _list(self, start_after: LogSequence | None) -> AsyncIterator[LogSequence]:
        start = self.key(start_after) if start_after else ""
        async for info in self._storage.list(self._folder, start_after=start):
            name = info.key.removeprefix(self._folder)
            try:
                yield LogSequence.parse(name)
            except ValueError:
                if info.key not in self.strange:
                    self.strange |= {info.key}
                    log.warning("no_segment", key=info.key, do="move it away; it is ignored")
