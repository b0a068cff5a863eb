"""Restore points: the entries that a restore can go back to, and the last one of them at a given time.

Every entry in a segment is one; the last of each segment is listed. Times of entries never fall along the log (decision
0139), so the segment of a time is found by binary search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sluiceway_common.foundation.errors import FailedPrecondition, NotFound
from sluiceway_server.datamanager.log.entries import LogEntry, from_micros, micros
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.recovery.history import Inventory
from sluiceway_server.datamanager.tables.stores import Stores


@dataclass(frozen=True, slots=True)
class RestorePoint:
    """The last entry of a segment, which has so many `entries` of the history."""

    sequence: LogSequence
    time: datetime
    entries: int
    writer: str


class RestorePoints:
    """The restore points of a database. Changes nothing; raises `Unavailable` and `DataLoss` as the stores do."""

    def __init__(self, stores: Stores, inventory: Inventory) -> None:
        self._stores = stores
        self._lineage = inventory.lineage
        oldest = inventory.cleaned.sequence
        self._firsts = [
            first
            for first in inventory.firsts
            if inventory.lineage.contains(first) and (oldest is None or first > oldest)
        ]

    async def newest(self, *, limit: int, before: datetime | None = None) -> Sequence[RestorePoint]:
        """List the newest restore points, the newest first; with `before`, those up to a time."""
        end = len(self._firsts) if before is None else await self._segments_up_to(before)
        points: list[RestorePoint] = []
        for first in reversed(self._firsts[max(0, end - limit) : end]):
            if entries := await self._entries(first):
                last = entries[-1]
                points.append(RestorePoint(last.sequence, from_micros(last.time_us), len(entries), last.writer))
        return points

    async def at(self, time: datetime) -> LogSequence:
        """Find the last entry of the history at a time.

        Raises:
            FailedPrecondition: reason `SEQUENCE_UNREACHABLE`: all that is kept is newer.
        """
        wanted = micros(time)
        number = await self._segments_up_to(time)
        # The segment after may have begun before the time and ended after it.
        for first in reversed(self._firsts[max(0, number - 1) : number + 1]):
            entries = [entry for entry in await self._entries(first) if entry.time_us <= wanted]
            if entries:
                return entries[-1].sequence
        known = ""
        if self._firsts and (oldest := await self._entries(self._firsts[0])):
            known = f"; the oldest that are kept are of {from_micros(oldest[0].time_us):%Y-%m-%d %H:%M:%S} UTC"
        raise FailedPrecondition(
            f"there is no entry of {time:%Y-%m-%d %H:%M:%S} UTC or before that a restore can go back to{known};"
            " `sluice db history` lists them",
            reason="SEQUENCE_UNREACHABLE",
        )

    async def _segments_up_to(self, time: datetime) -> int:
        """Count the segments whose last entry is of a time or before."""
        wanted = micros(time)
        low, high = 0, len(self._firsts)
        while low < high:
            middle = (low + high) // 2
            entries = await self._entries(self._firsts[middle])
            if entries and entries[-1].time_us > wanted:
                high = middle
            else:
                low = middle + 1
        return low

    async def _entries(self, first: LogSequence) -> list[LogEntry]:
        """Return the entries of the history in a segment; none if it was removed meanwhile."""
        try:
            segment = await self._stores.segments.read(first)
        except NotFound:
            return []
        return [entry for entry in segment.entries if self._lineage.contains(entry.sequence)]
