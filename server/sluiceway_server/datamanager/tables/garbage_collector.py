"""Garbage collection: delete what no reader, recovery or restore needs (`garbage_rules`).

    1  read the manifests that stay, and what they name
    2  store the sequence of the oldest kept manifest in etcd (`cleaned`), unless a new epoch began: no restore goes
       back behind it from now on
    3  delete the manifests that go, oldest first
    4  delete the files that no manifest names, and the segments before the oldest kept manifest, oldest first

A crash between any two leaves a database in which every manifest has its files, and the log has no gap from the oldest
one to the present. Any number of servers may collect at once.

Before every few deletions the collector checks that etcd is still in this server's epoch, and that there is no new
epoch object and no unexpected manifest. So one that was paused for a week deletes at most one object when it continues,
which nothing refers to again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog

from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.crashpoints import crash_points, declare_effects
from sluiceway_common.foundation.errors import DataLoss, NotFound
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.log.etcd_log import FlushMark
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.tables.checkpoint import files_of
from sluiceway_server.datamanager.tables.garbage_rules import (
    Found,
    choose_segments,
    is_before,
    judge_manifests,
    may_go,
    sequence_of_file,
    why_not_now,
)
from sluiceway_server.datamanager.tables.stores import Stores
from sluiceway_server.objectstorage.layout import Folder

log = structlog.get_logger(__name__)

declare_effects("clean.mark", "clean.manifest", "clean.file", "clean.segment")

_EPOCH = re.compile("[0-9a-f]{8}")
_LOOK_HOLDS = timedelta(seconds=30)
_DELETIONS_A_LOOK = 100
_TRIES = 10
"""To set the watermark: a flush between read and write lets a try fail, and there is at most one each second."""


@dataclass(slots=True)
class Cleaned:
    """The result of a garbage collection: how many objects of each kind were deleted.

    Attributes:
        files: data files and index dumps.
        unknown: keys below the prefix that this version does not know, which stay; folders end with `/`.
        stopped: why it stopped early; empty: it was completed.
    """

    manifests: int = 0
    files: int = 0
    segments: int = 0
    unknown: tuple[str, ...] = ()
    stopped: str = ""


class _Stop(Exception):
    """Something changed since the objects were chosen: the rest waits for the next collection."""


class GarbageCollector:
    """One garbage collection."""

    def __init__(self, stores: Stores, lineage: Lineage, rules: DataManagerSettings, clock: Clock) -> None:
        self._stores = stores
        self._lineage = lineage
        self._rules = rules
        self._clock = clock
        self._epochs: set[int] = set()  # that had an epoch object at the beginning
        self._known: set[LogSequence] = set()  # the manifests, with those that were added since
        self._oldest = LogSequence(0, 0)  # of the manifests that stay
        self._needed: set[str] = set()  # the files of these
        self._looked: tuple[float, datetime] | None = None  # when this was last checked, by both clocks
        self._deletions = 0  # since then
        self.unknown: set[str] = set()
        self.done = Cleaned()

    async def run(self) -> Cleaned:
        """Delete what the history does not need. May be cancelled.

        Nothing is deleted when etcd or the storage is in a newer epoch.

        Raises:
            DataLoss: a manifest is damaged, so that its files are not known. Nothing more was deleted.
            DatabaseLost: etcd was wiped, restored or replaced.
            Unavailable: etcd or the object storage is away.
        """
        done = self.done
        try:
            await self._collect()
        except _Stop as why:
            done.stopped = str(why)
            log.info("clean_stopped", why=done.stopped)
        done.unknown = tuple(sorted(self.unknown))
        if done.manifests or done.files or done.segments:
            log.info("cleaned", manifests=done.manifests, files=done.files, segments=done.segments)
        return done

    async def _collect(self) -> None:
        now, lineage, rules = self._clock.now(), self._lineage, self._rules
        self.unknown.update(await self._stores.unknown_names())
        epochs = [item async for item in self._named_epochs()]
        self._epochs = {number for number, _ in epochs}
        manifests = [item async for item in self._sequences(Folder.MANIFEST)]
        self._known = {sequence for sequence, _ in manifests}
        if why := why_not_now(lineage, epochs, self._known, now, rules):
            raise _Stop(why)
        judged = judge_manifests(manifests, lineage, now, rules)
        if not judged.kept:
            return
        oldest = self._oldest = judged.kept[0]
        await self._check_epoch()
        for sequence in judged.kept:
            await self._need(sequence)
        for sequence in judged.void:
            with suppress(DataLoss):  # nobody reads it any more
                await self._need(sequence)
        files = await self._files(now)
        segments = [
            item
            async for item in self._sequences(Folder.WAL)
            if is_before(item[0], oldest, lineage) or item[0].epoch > lineage.present
        ]
        names = [sequence_of_file(found.key) for found in files]
        sequences = [*(first for first, _ in segments), *(name for name in names if name is not None)]
        if why := why_not_now(lineage, (), sequences, now, rules):
            raise _Stop(why)
        # In a thread: after a day without collections there are a hundred thousand.
        going = await asyncio.to_thread(choose_segments, segments, oldest, lineage, now, rules)
        if not (judged.going or files or going):
            return
        await self._mark(oldest)
        stores, delete = self._stores, self._stores.storage.delete
        for sequence in judged.going:
            await self._check_again()
            await self._delete("manifest", partial(delete, stores.manifests.key(sequence)))
            self.done.manifests += 1
        for found in files:
            await self._check_again()
            if found.key not in self._needed:  # by a newer manifest
                await self._delete("file", partial(delete, stores.key(found.key)))
                self.done.files += 1
        for first in going:
            await self._check_again()
            await self._delete("segment", partial(stores.segments.delete, first))
            self.done.segments += 1

    async def _delete(self, kind: str, delete: Callable[[], Awaitable[None]]) -> None:
        with crash_points(f"clean.{kind}"):
            await delete()
        self._deletions += 1

    async def _named(self, folder: str) -> AsyncIterator[tuple[str, Found]]:
        async for info in self._stores.storage.list(self._stores.key(f"{folder}/")):
            found = Found(info.key.removeprefix(self._stores.key("")), info.modified)
            yield found.key.removeprefix(f"{folder}/"), found

    async def _named_epochs(self) -> AsyncIterator[tuple[int, Found]]:
        async for name, found in self._named(Folder.EPOCH):
            if _EPOCH.fullmatch(name):
                yield int(name, 16), found
            else:
                self.unknown.add(found.key)

    async def _sequences(self, folder: str) -> AsyncIterator[tuple[LogSequence, Found]]:
        async for name, found in self._named(folder):
            try:
                yield LogSequence.parse(name), found
            except ValueError:
                self.unknown.add(found.key)

    async def _files(self, now: datetime) -> list[Found]:
        """Return the files that may go. Only these stay in memory."""
        chosen: list[Found] = []
        for folder in (Folder.DATA, Folder.INDEX):
            async for _, found in self._named(folder):
                if sequence_of_file(found.key) is None:
                    self.unknown.add(found.key)
                elif may_go(found, self._needed, now, self._rules):
                    chosen.append(found)
        return chosen

    async def _check_again(self) -> None:
        """Raise `_Stop` if the choice does not hold any more. Checked at most every 30 s or 100 deletions."""
        if self._looked is not None and self._deletions < _DELETIONS_A_LOOK:
            monotonic, wall = self._looked
            passed = max(timedelta(seconds=self._clock.monotonic() - monotonic), abs(self._clock.now() - wall))
            if passed < _LOOK_HOLDS:
                return
        looked = self._clock.monotonic(), self._clock.now()
        await self._check_epoch()
        if {number async for number, _ in self._named_epochs()} - self._epochs:
            raise _Stop("a new epoch began")
        for sequence in await self._stores.manifests.sequences():
            if sequence in self._known:
                continue
            if sequence < self._oldest or sequence.epoch > self._lineage.present:
                raise _Stop(f"there is a new manifest {sequence}, which could not be expected")
            await self._need(sequence)
            self._known.add(sequence)
        self._looked, self._deletions = looked, 0

    async def _check_epoch(self) -> FlushMark:
        look = await self._stores.log.look()
        if look.head is None or look.flushed is None or look.head.sequence.epoch != self._lineage.present:
            raise _Stop(f"etcd is not in epoch {self._lineage.present} any more")
        return look.flushed

    async def _mark(self, oldest: LogSequence) -> None:
        """Store the watermark in etcd before anything is deleted.

        A restore compares it when it moves the head: so a restore that read what is deleted here fails, and after a
        restore that succeeded this fails.
        """
        for _ in range(_TRIES):
            flushed = await self._check_epoch()
            with crash_points("clean.mark"):
                done = await self._stores.log.advance_cleaned(flushed, oldest)
            if done:
                return
        raise _Stop("the log was flushed at each try to set the watermark")

    async def _need(self, sequence: LogSequence) -> None:
        try:
            manifest = await self._stores.manifests.read(sequence)
        except NotFound as cause:
            raise _Stop(f"another server, with another clock, deleted the manifest {sequence}") from cause
        self._needed |= {ref.key for ref in files_of(manifest)}
