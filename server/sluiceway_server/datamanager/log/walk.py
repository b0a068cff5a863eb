"""The walk along the log: from an entry of the history to its end, and what is wrong on the way.

`walk` yields `Piece`s: entries that follow, each by sequence and digest, from those before them. It reads segments, and
then (with `log`) what only etcd has. It ends after the first of

    Foreign   the next entry does not follow from the one before: it is of another history
    Gap       the next entry is missing, and a later one is known

Where a walk begins is a `LogEnd`: the end of a manifest, or the beginning of the history. To walk to a chosen entry,
pass `lineage.until(entry)`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from sluiceway.records.storage.v1.storage_pb2 import Manifest
from sluiceway_common.foundation.errors import DataLoss
from sluiceway_server.datamanager.log.entries import GENESIS_DIGEST, LogEntry, from_sequence_proto
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.log.etcd_log import Log
from sluiceway_server.datamanager.log.segments import Segment, SegmentStore
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.objectstorage.layout import Folder


@dataclass(frozen=True, slots=True)
class LogEnd:
    """The last entry of a part of the log.

    Attributes:
        total_bytes: size of all entries of its epoch up to it.
        where: the key of the object that has it, or `etcd`.
        database_id: named by the segment or manifest; empty: none is named.
    """

    sequence: LogSequence
    digest: bytes
    total_bytes: int
    time_us: int
    where: str = ""
    writer: str = ""
    database_id: str = ""

    @staticmethod
    def beginning(lineage: Lineage) -> LogEnd:
        return LogEnd(LogSequence(lineage.epochs[0], 0), GENESIS_DIGEST, 0, 0, "the beginning")

    @staticmethod
    def of_manifest(manifest: Manifest, key: str) -> LogEnd:
        return LogEnd(
            from_sequence_proto(manifest.sequence),
            manifest.digest or GENESIS_DIGEST,
            manifest.total_bytes,
            manifest.time_us,
            key,
            manifest.writer,
            manifest.database_id,
        )

    @staticmethod
    def start(lineage: Lineage, manifest: Manifest | None, key: Callable[[LogSequence], str]) -> LogEnd:
        """Return the end of the manifest to begin with; None: the beginning of the history."""
        if manifest is None:
            return LogEnd.beginning(lineage)
        return LogEnd.of_manifest(manifest, key(from_sequence_proto(manifest.sequence)))

    @staticmethod
    def of_segment(segment: Segment, key: str) -> LogEnd:
        header, time_us = segment.header, segment.entries[-1].time_us
        return LogEnd(
            segment.last, segment.digest, segment.total_bytes, time_us, key, header.writer, header.database_id
        )

    def plus(self, entry: LogEntry, where: str) -> LogEnd:
        """Return the end after one more entry; bytes are counted from 0 in every epoch."""
        total = self.total_bytes if entry.sequence.epoch == self.sequence.epoch else 0
        return LogEnd(entry.sequence, entry.digest, total + len(entry.raw), entry.time_us, where, entry.writer)


@dataclass(frozen=True, slots=True)
class Piece:
    """Entries that follow from what was walked before, and where the log ends with them."""

    entries: tuple[LogEntry, ...]
    end: LogEnd


@dataclass(frozen=True, slots=True)
class Gap:
    """Entries of the history that are missing between two that are known, each with the object that names it."""

    before: LogSequence
    before_in: str
    missing: LogSequence
    after: LogSequence
    after_in: str

    def __str__(self) -> str:
        return (
            f"the log has a gap: after {self.before} (in {self.before_in}) comes {self.after} (in {self.after_in})."
            f" Restore the missing segments, from {Folder.WAL}/{self.missing} on, from a copy of the object storage; or"
            f" give up all entries after the gap with `sluice db restore --to {self.before}`"
        )

    def error(self) -> DataLoss:
        """Return the error for a caller that cannot continue without the missing entries."""
        metadata = {"before": str(self.before), "after": str(self.after)}
        return DataLoss(str(self), reason="LOG_GAP", metadata=metadata)


@dataclass(frozen=True, slots=True)
class Foreign:
    """An entry at the next place of the log that does not follow from the one before."""

    before: LogEnd
    entry: LogEntry
    where: str

    def error(self) -> DataLoss:
        return DataLoss(
            f"the log entry {self.entry.sequence} in {self.where} does not follow from {self.before.sequence} in"
            f" {self.before.where}: one of the two is of another history; `sluice db verify` says which",
            reason="LOG_DIVERGED",
        )


async def walk(
    segments: SegmentStore, lineage: Lineage, start: LogEnd, *, log: Log | None = None
) -> AsyncGenerator[Piece | Foreign | Gap, None]:
    """Yield the log after an entry of the history, oldest first; see the module.

    Args:
        segments: the log in the object storage; others may be flushing and cleaning.
        lineage: the history; one that was ended by `until` has to be walked to its end.
        start: part of the history; nothing before it is read.
        log: the log in etcd; None: only the object storage is read.

    Raises:
        DataLoss: a segment is damaged, or does not follow from the segment before.
        Unavailable: a store is away.
    """
    end, stalled = start, False
    while lineage.contains(wanted := lineage.following(end.sequence)):
        before = end.sequence
        async with aclosing(segments.after(end.sequence, lineage)) as stored:
            async for segment in stored:
                key = segments.key(from_sequence_proto(segment.header.first))
                if segment.entries[0].previous_digest != end.digest:
                    yield Foreign(end, segment.entries[0], key)
                    return
                end = LogEnd.of_segment(segment, key)
                yield Piece(segment.entries, end)
        wanted = lineage.following(end.sequence)
        for entry in () if log is None else (await log.look(wanted)).entries:
            if entry.sequence != lineage.following(end.sequence) or not lineage.contains(entry.sequence):
                break
            if entry.previous_digest != end.digest:
                yield Foreign(end, entry, "etcd")
                return
            end = end.plus(entry, "etcd")
            yield Piece((entry,), end)
        if end.sequence > before:
            stalled = False
        elif stalled or log is None:
            break
        else:
            stalled = True  # trimmed after it was looked for in the segments: the next look finds it there
    else:
        return
    last = lineage.ends.get(lineage.present)
    later = [first for first in await segments.firsts() if first > end.sequence and lineage.contains(first)]
    if last is not None:
        yield Gap(
            end.sequence, end.where, wanted, *min([(first, segments.key(first)) for first in later] + [(last, "etcd")])
        )
    elif later and later[0] != wanted:  # that one was flushed since
        yield Gap(end.sequence, end.where, wanted, later[0], segments.key(later[0]))
