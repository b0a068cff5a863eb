"""Whether the log that both stores hold is one history.

Segments must be contiguous along the history, each entry following from the one before, and the entries in etcd must
follow them. `LogCheck` and `findings_of_entries` decide that and are pure; `LogVerifier` reads the stores. It reads
again before it reports a fault: the garbage collector removes what lies before the oldest manifest, and a recovery may
have changed the history meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sluiceway_common.foundation.errors import DataLoss, NotFound
from sluiceway_server.datamanager.admin.verify_context import Finding, Mark, Progress, VerifyContext, fault_of, note
from sluiceway_server.datamanager.log.entries import LogEntry, decode_batch
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.log.etcd_log import HeadMark
from sluiceway_server.datamanager.log.segments import Segment
from sluiceway_server.datamanager.log.walk import Gap, LogEnd
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.waiting import read_ahead

_READ_AHEAD = 8


@dataclass(slots=True)
class LogCheck:
    """The check of segments, taken in the order of their names.

    Attributes:
        marks: digests of entries that are named elsewhere.
        database_id: the one that segments should name.
        floor: the oldest manifest, as sequence and key: the segments must reach from it; None: from the beginning.
        keep_from: digests of entries from here on are put into `kept`, to be compared with etcd's.
        end: the last entry of the history so far; None: none yet.
    """

    lineage: Lineage
    marks: Mapping[LogSequence, Sequence[Mark]]
    database_id: str = ""
    floor: tuple[LogSequence, str] | None = None
    keep_from: LogSequence | None = None
    kept: dict[LogSequence, bytes] = field(default_factory=dict)
    end: LogEnd | None = None
    _recent: dict[LogSequence, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.floor is None:
            self.end = LogEnd.beginning(self.lineage)

    def take(self, key: str, segment: Segment) -> Iterator[Finding | Gap]:
        """Check the next segment, which is whole by itself."""
        found_id = segment.header.database_id
        if found_id and self.database_id and found_id != self.database_id:
            yield Finding(key, f"it belongs to the database {found_id}, not to this one; move it away")
            return
        if void := [entry for entry in segment.entries if not self.lineage.contains(entry.sequence)]:
            yield note(
                key,
                f"its entries {void[0].sequence} to {void[-1].sequence} are void: a recovery went on without them. They"
                " are never applied; the object goes when it is cleaned",
            )
        total = segment.total_bytes - sum(len(entry.raw) for entry in segment.entries)
        for entry in segment.entries:
            if self.lineage.contains(entry.sequence):
                yield from self._take(key, entry, total)
            total += len(entry.raw)
        # Segments that overlap are neighbours.
        self._recent = {entry.sequence: entry.digest for entry in segment.entries}
        if self.end is not None:
            self._recent[self.end.sequence] = self.end.digest

    def _take(self, key: str, entry: LogEntry, total_before: int) -> Iterator[Finding | Gap]:
        sequence, end = entry.sequence, self.end
        if self.keep_from is not None and sequence >= self.keep_from:
            self.kept[sequence] = entry.digest
        for mark in self.marks.get(sequence, ()):
            if mark.digest != entry.digest:
                yield _different(key, sequence, mark.name)
        if end is not None and sequence <= end.sequence:
            if self._recent.get(sequence, entry.digest) != entry.digest:
                yield _different(key, sequence, end.where)
            return
        if end is not None:
            yield from self._follow(end, key, entry, total_before)
        elif self.floor is not None and sequence > (expected := self.lineage.following(self.floor[0])):
            yield Gap(*self.floor, expected, sequence, key)
        self.end = LogEnd(sequence, entry.digest, total_before + len(entry.raw), entry.time_us, key)

    def _follow(self, end: LogEnd, key: str, entry: LogEntry, total_before: int) -> Iterator[Finding | Gap]:
        expected = self.lineage.following(end.sequence)
        # Bytes are counted from 0 in every epoch.
        total = end.total_bytes if expected.epoch == end.sequence.epoch else 0
        if entry.sequence != expected:
            yield Gap(end.sequence, end.where, expected, entry.sequence, key)
        elif entry.previous_digest != end.digest:
            yield _different(key, entry.sequence, f"{end.where}, which it should follow")
        elif total_before != total:
            yield Finding(
                key,
                f"it counts {total_before} bytes of the log before {entry.sequence}, and {end.where} counts {total}. No"
                " record is wrong, but limits on what is not flushed are; this is a fault of the software, report it",
            )


def findings_of_entries(
    folder: str,
    entries: Sequence[LogEntry],
    *,
    head: HeadMark,
    flushed: LogSequence,
    known: Mapping[LogSequence, Sequence[Mark]],
) -> list[Finding]:
    """Return what is wrong with the entries that etcd has. Pure.

    Args:
        folder: of their keys.
        entries: of the head's epoch, in order, up to the head; the older ones may be trimmed meanwhile.
        head: as it was before they were read.
        flushed: the last entry that the object storage has, as etcd said after they were read.
        known: digests of entries that are named elsewhere.
    """
    found: list[Finding] = []
    before: LogEntry | None = None
    for entry in entries:
        key = f"{folder}{entry.sequence}"
        for mark in known.get(entry.sequence, ()):
            if mark.digest != entry.digest:
                found.append(_different(key, entry.sequence, mark.name))
        expected = before.sequence.next() if before is not None else min(flushed.next(), entry.sequence)
        if entry.sequence != expected:
            # What is missing and flushed was trimmed or deleted: the segments have it.
            if entry.sequence > flushed.next():
                found.append(_lost(key, max(expected, flushed.next()), entry.sequence))
        elif before is not None and entry.previous_digest != before.digest:
            found.append(_different(key, entry.sequence, f"{folder}{before.sequence}, which it should follow"))
        before = entry
    last = max(before.sequence if before is not None else flushed, flushed)
    if last < head.sequence:
        found.append(_lost(f"{folder}{last.next()}", last.next(), head.sequence.next()))
    return found


def _lost(key: str, first: LogSequence, next_: LogSequence) -> Finding:
    return Finding(
        key,
        f"etcd lacks the log from {first} to before {next_}, and the object storage does not have it either: somebody"
        " deleted keys. A server that runs still has them: let it run, and restart none. Otherwise restore etcd from a"
        " snapshot, or run `sluice db recover`, which says what is lost",
    )


def _different(key: str, sequence: LogSequence, other: str) -> Finding:
    return Finding(
        key,
        f"its entry {sequence} is another one than in {other}: two histories are in one place. Find out who else writes"
        " to this bucket or folder and prefix, and restore the objects that are not this database's from a copy",
    )


class LogVerifier:
    """See the module."""

    def __init__(self, context: VerifyContext) -> None:
        self._context = context

    async def segments(self) -> AsyncIterator[Finding | Progress]:
        """Read all segments; they must be one log from the oldest manifest to what is flushed."""
        context, key = self._context, self._context.stored.segments.key
        check: LogCheck | None = None
        if context.lineage is not None:
            check = self._log_check(context.lineage)
        else:
            yield note(
                context.stored.key("wal/"),
                "without whole epoch objects nobody can tell whether the segments make one log; each was checked by"
                " itself",
            )
        for name, mark in (("flushed", context.flushed), ("head", context.head)):
            if context.stores is not None and mark is not None:
                context.mark(mark.sequence, f"{name} of etcd at {context.stores.etcd_name}", mark.digest)
        async for first, segment in read_ahead(await context.segments_now(), self._read_segment, most=_READ_AHEAD):
            if isinstance(segment, DataLoss):
                yield fault_of(segment, key(first))
            elif segment is not None:
                for found in () if check is None else check.take(key(first), segment):
                    if isinstance(found, Finding):
                        yield found
                    elif await self._still_missing(found):
                        yield Finding(found.after_in, str(found))
                yield context.count(key(first))
        if check is not None:
            # Entries that etcd still has must be the same.
            for sequence, digest in check.kept.items():
                context.mark(sequence, context.stored.key("wal/"), digest)
            async for finding in self._verify_end(check):
                yield finding

    def _log_check(self, lineage: Lineage) -> LogCheck:
        context = self._context
        oldest = min(context.manifests, default=None)
        return LogCheck(
            lineage,
            context.marks,
            database_id=context.epochs[0].database_id,
            floor=None if oldest is None else (oldest, context.stored.manifests.key(oldest)),
            keep_from=None if context.flushed is None else context.flushed.first_kept,
        )

    async def _read_segment(self, first: LogSequence) -> Segment | DataLoss | None:
        """Read a segment; None: it was cleaned since, and a gap that this leaves is checked."""
        try:
            segment = await self._context.retry(lambda: self._context.stored.segments.read(first))
            await asyncio.to_thread(lambda: [decode_batch(entry) for entry in segment.entries])
        except NotFound:
            return None
        except DataLoss as error:
            return error
        return segment

    async def _verify_end(self, check: LogCheck) -> AsyncIterator[Finding]:
        """Check that the segments reach from the oldest manifest, and up to what is flushed."""
        context, lineage, key = self._context, check.lineage, self._context.stored.manifests.key
        newest, oldest = max(context.manifests, default=None), min(context.manifests, default=None)
        end = check.end.sequence if check.end is not None else oldest or LogSequence(lineage.epochs[0], 0)
        if newest is not None and end < newest:
            where = check.end.where if check.end is not None else key(end)
            gap = Gap(end, where, lineage.following(end), newest, key(newest))
            if newest != oldest and await self._still_missing(gap):
                yield Finding(gap.after_in, str(gap))
            end = newest
        flushed = context.flushed
        if flushed is not None and end < flushed.sequence and lineage.contains(flushed.sequence):
            yield Finding(
                context.stored.key("wal/"),
                f"etcd says that the object storage has the log up to {flushed.sequence}, and it ends at {end}:"
                " segments are missing; restore them from a copy of the object storage",
            )

    async def _still_missing(self, gap: Gap) -> bool:
        """Return whether a gap matters: what lies before the oldest manifest that is kept is removed."""
        context, lineage = self._context, self._context.lineage
        if lineage is None:
            return False
        kept = [sequence for sequence in await context.manifests_now() if lineage.contains(sequence)]
        if kept and lineage.following(min(kept)) >= gap.after:
            return False
        return not any(gap.before < first < gap.after for first in await context.segments_now())

    async def entries_of_etcd(self) -> AsyncIterator[Finding | Progress]:
        """Read the entries that etcd has; those that segments have too must be the same, the others follow them."""
        context = self._context
        if context.stores is None or context.head is None or context.flushed is None or context.lineage is None:
            return
        log, head = context.stores.log, context.head
        if head.sequence.counter == 0 or not context.lineage.contains(head.sequence):
            return
        first = LogSequence(head.sequence.epoch, max(context.flushed.first_kept.counter, 1))
        try:
            entries = [entry async for entry in log.entries(first) if entry.sequence <= head.sequence]
            flushed = (await context.retry(log.look)).flushed or context.flushed
        except DataLoss as error:
            yield fault_of(error, log.head_key)
            return
        newest = max(context.flushed.sequence, flushed.sequence)
        folder = context.stored.key("db/log/")
        for finding in findings_of_entries(folder, entries, head=head, flushed=newest, known=context.marks):
            yield finding
