"""Whether the log that both stores hold is one history: segments without gaps, and entries in etcd that follow them.

What each entry should be is in `verify_log`, which is pure; here is the reading, some segments ahead, and the second
look: the cleaner and recoveries may have been at work meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from sluiceway_common.foundation.errors import Conflict, DataLoss, NotFound
from sluiceway_server.datamanager.admin.findings import Finding, Progress, fault_of
from sluiceway_server.datamanager.admin.verify_context import VerifyContext
from sluiceway_server.datamanager.admin.verify_log import LogCheck, findings_of_entries
from sluiceway_server.datamanager.log.entries import LogEntry, decode_batch
from sluiceway_server.datamanager.log.segments import Segment
from sluiceway_server.datamanager.log.walk import Gap
from sluiceway_server.datamanager.model import LogSequence

__all__ = ["History"]

_READ_AHEAD = 8

T = TypeVar("T")
R = TypeVar("R")


class History:
    """See the module. Both parts raise `Conflict` when the history changed meanwhile."""

    def __init__(self, evidence: VerifyContext, *, etcd_name: str) -> None:
        self._evidence = evidence
        self._etcd_name = etcd_name

    # -- in the object storage

    async def segments(self) -> AsyncIterator[Finding | Progress]:
        """Read all segments, and see whether they make one log from the oldest manifest to what is flushed."""
        evidence = self._evidence
        if evidence.lineage is None:
            yield Finding(
                evidence.key("wal/"),
                "without whole epoch objects nobody can tell whether the segments make one log; each was checked by"
                " itself",
                is_fault=False,
            )
        if evidence.flushed is not None and evidence.flushed.sequence.counter > 0:
            evidence.mark(evidence.flushed.sequence, f"flushed of etcd at {self._etcd_name}", evidence.flushed.digest)
        if evidence.head is not None and evidence.head.sequence.counter > 0:
            evidence.mark(evidence.head.sequence, f"head of etcd at {self._etcd_name}", evidence.head.digest)
        check = self._log_check()
        async for first, segment in self._read_segments(await evidence.segments_now()):
            key = evidence.segment_store.key(first)
            if isinstance(segment, DataLoss):
                yield fault_of(segment, key)
            elif segment is not None:
                if check is not None:
                    for found in check.take(key, segment):
                        if isinstance(found, Finding):
                            yield await self._confirmed(found)
                        elif await self._still_missing(found):
                            yield await self._confirmed(Finding(found.after_in, str(found)))
                yield evidence.count(key)
        if check is not None:
            # What etcd still has of the same entries must be the same.
            for sequence, digest in check.kept.items():
                evidence.mark(sequence, evidence.key("wal/"), digest)
            async for found in self._verify_end(check):
                yield found

    def _log_check(self) -> LogCheck | None:
        evidence = self._evidence
        if evidence.lineage is None:
            return None
        oldest = min(evidence.manifests, default=None)
        return LogCheck(
            evidence.lineage,
            evidence.marks,
            database_id=evidence.epochs[0].database_id if evidence.epochs else "",
            floor=None if oldest is None else (oldest, evidence.manifest_store.key(oldest)),
            keep_from=None if evidence.flushed is None else evidence.flushed.first_kept,
        )

    async def _read_segments(
        self, firsts: Sequence[LogSequence]
    ) -> AsyncIterator[tuple[LogSequence, Segment | DataLoss | None]]:
        """Read segments in order; None: it is gone, and nobody needs it any more."""
        evidence = self._evidence

        async def read(first: LogSequence) -> Segment | DataLoss | None:
            try:
                segment = await evidence.again(lambda: evidence.segment_store.read(first))
                await asyncio.to_thread(_read_batches, segment.entries)
            except NotFound:
                return None  # cleaned since; a gap that this leaves is looked at
            except DataLoss as error:
                return error
            return segment

        async for first, segment in _ahead(firsts, read):
            yield first, segment

    async def _verify_end(self, check: LogCheck) -> AsyncIterator[Finding]:
        """Check that the segments reach from the oldest manifest, and up to what is flushed."""
        evidence = self._evidence
        lineage = check.lineage
        newest, oldest = max(evidence.manifests, default=None), min(evidence.manifests, default=None)
        end = check.end or oldest or LogSequence(lineage.epochs[0], 0)
        if newest is not None and end < newest:
            key = evidence.manifest_store.key
            gap = Gap(end, check.end_in or key(end), lineage.following(end), newest, key(newest))
            if newest != oldest and await self._still_missing(gap):
                yield await self._confirmed(Finding(gap.after_in, str(gap)))
            end = newest
        flushed = evidence.flushed
        if flushed is not None and end < flushed.sequence and lineage.contains(flushed.sequence):
            yield await self._confirmed(
                Finding(
                    evidence.key("wal/"),
                    f"etcd says that the object storage has the log up to {flushed.sequence}, and it ends at {end}:"
                    " segments are missing; restore them from a copy of the object storage",
                )
            )

    async def _still_missing(self, gap: Gap) -> bool:
        """Whether a gap matters: the cleaner removes what lies before the oldest manifest that is kept."""
        evidence, lineage = self._evidence, self._evidence.lineage
        if lineage is None:
            return False
        kept = [sequence for sequence in await evidence.manifests_now() if lineage.contains(sequence)]
        if kept and lineage.following(min(kept)) >= gap.after:
            return False
        filled = [first for first in await evidence.segments_now() if gap.before < first < gap.after]
        return not filled

    async def _confirmed(self, finding: Finding) -> Finding:
        """Give a fault of the log, if the history is still the one that it was found in."""
        evidence = self._evidence
        if finding.is_fault and evidence.lineage is not None:
            epochs = await evidence.again(evidence.epoch_store.all)
            if [epoch.number for epoch in epochs] != [epoch.number for epoch in evidence.epochs]:
                raise Conflict(
                    "the database was recovered into a new epoch while it was verified; run it again",
                    reason="RECOVERED_MEANWHILE",
                )
        return finding

    # -- in etcd

    async def entries_of_etcd(self) -> AsyncIterator[Finding | Progress]:
        """Read the entries that etcd has; those that segments have too must be the same, the others follow them."""
        evidence = self._evidence
        if evidence.stores is None or evidence.head is None or evidence.flushed is None or evidence.lineage is None:
            return
        log, head = evidence.stores.log, evidence.head
        if head.sequence.counter == 0 or not evidence.lineage.contains(head.sequence):
            return
        first = LogSequence(head.sequence.epoch, max(evidence.flushed.first_kept.counter, 1))
        try:
            entries = [entry async for entry in log.entries(first) if entry.sequence <= head.sequence]
            fresh = (await evidence.again(log.look)).flushed
        except DataLoss as error:
            yield await self._confirmed(fault_of(error, log.head_key))
            return
        flushed = max(evidence.flushed.sequence, fresh.sequence if fresh is not None else evidence.flushed.sequence)
        folder = f"{log.head_key.removesuffix('head')}log/"
        for finding in findings_of_entries(folder, entries, head=head, flushed=flushed, known=evidence.marks):
            yield await self._confirmed(finding)


def _read_batches(entries: Iterable[LogEntry]) -> None:
    for entry in entries:
        decode_batch(entry)


async def _ahead(items: Iterable[T], read: Callable[[T], Awaitable[R]]) -> AsyncIterator[tuple[T, R]]:
    """Do something for each item, some at a time, and give the answers in order."""
    waiting: deque[tuple[T, asyncio.Task[R]]] = deque()
    try:
        for item in items:
            waiting.append((item, asyncio.ensure_future(_run(read, item))))
            if len(waiting) >= _READ_AHEAD:
                first, task = waiting.popleft()
                yield first, await task
        while waiting:
            first, task = waiting.popleft()
            yield first, await task
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)


async def _run(read: Callable[[T], Awaitable[R]], item: T) -> R:
    return await read(item)
