"""Background work: checkpoints, garbage collection, and the eviction of bodies from the replica.

No server is elected and no lease is held. The server that made the newest manifest makes the next one and collects
garbage, as long as it does so in time; another server takes over when it has seen for a while that something is due.
Two at once cost some work and nothing else (`tables/checkpoint`, `tables/garbage_collector`).

A failure is logged and retried: soon, when a store is away; after minutes, when data is damaged or missing. It never
ends the server, and commits continue: the log is kept until a checkpoint has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from sluiceway.records.storage.v1.storage_pb2 import Manifest
from sluiceway_common.foundation.backoff import backoff_seconds
from sluiceway_common.foundation.errors import (
    DataLoss,
    DeadlineExceeded,
    PermissionDenied,
    SluicewayError,
    Unavailable,
)
from sluiceway_server.datamanager.engine.flusher import Flusher
from sluiceway_server.datamanager.engine.log_tip import LogTip
from sluiceway_server.datamanager.log.entries import from_micros, micros
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.port import DatabaseLost
from sluiceway_server.datamanager.replica.cold_bodies import ColdBodyStore
from sluiceway_server.datamanager.tables.checkpoint import Checkpointer, Overtaken
from sluiceway_server.datamanager.tables.compaction_plan import checkpoint_due
from sluiceway_server.datamanager.tables.garbage_collector import GarbageCollector
from sluiceway_server.datamanager.waiting import Unchanged, jittered

log = structlog.get_logger(__name__)

_TRIES = 5
_ROUNDS_BETWEEN_LISTS = 30
_SOONEST_SECONDS = 1.0
_LATEST_SECONDS = 300.0
_SHOWN = 5
_BODIES_AT_ONCE = 100
_EVICTION_PAUSE_SECONDS = 0.05
"""Between two steps while there is more: two thousand records a second, which is more than runs can leave behind."""


class _Attempts:
    """The attempts at one kind of work. After a failure there is none for a while."""

    def __init__(self, what: str, monotonic: Callable[[], float]) -> None:
        self._what = what
        self._monotonic = monotonic
        self._failures = 0
        self._not_before = 0.0
        self.error = ""

    async def make(self, work: Callable[[], Awaitable[None]], is_due: Callable[[], bool] = lambda: True) -> None:
        """Try it if it is due, and note the outcome. Raises `DatabaseLost` only."""
        if self._monotonic() < self._not_before or not is_due():
            return
        try:
            await work()
        except DatabaseLost:
            raise
        except Overtaken as error:
            self.error = ""
            log.info(f"{self._what}_overtaken", why=str(error))
        except (Unavailable, DeadlineExceeded) as error:
            seconds = self._failed(error, first=_SOONEST_SECONDS)
            log.warning(f"{self._what}_waits", seconds=round(seconds), error=str(error))
        except SluicewayError as error:
            self._failed(error, first=_LATEST_SECONDS)
            log.error(f"{self._what}_failed", reason=error.reason, error=str(error))  # noqa: TRY400 - the message is enough
        except Exception as error:  # a bug; the log is kept, so nothing is lost until it is repaired
            self._failed(error, first=_LATEST_SECONDS)
            log.exception(f"{self._what}_failed")
        else:
            self.error, self._failures = "", 0

    def _failed(self, error: Exception, *, first: float) -> float:
        self.error = str(error) or type(error).__name__
        self._failures += 1
        seconds = backoff_seconds(self._failures, first=first, limit=_LATEST_SECONDS)
        self._not_before = self._monotonic() + seconds
        return seconds


class MaintenanceLoop:
    """The loop that follows the newest manifest, makes checkpoints and collects garbage."""

    def __init__(
        self,
        tip: LogTip,
        flusher: Flusher,
        checkpointer: Checkpointer,
        bodies: ColdBodyStore,
    ) -> None:
        self._tip = tip
        self._flusher = flusher
        self._checkpointer = checkpointer
        self._bodies = bodies  # it knows the newest manifest
        monotonic = tip.clock.monotonic
        self._following = _Attempts("manifest", monotonic)
        self._checkpointing = _Attempts("checkpoint", monotonic)
        self._cleaning = _Attempts("clean", monotonic)
        self._rounds = 0
        self._known, self._waiting = Unchanged(), Unchanged()
        self._began = monotonic()
        self._cleaned_at: float | None = None
        self.unknown_objects: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[str, ...]:
        """Faults as sentences; empty: there are none."""
        found = []
        if self._checkpointing.error:
            found.append(f"this server's last checkpoint failed: {self._checkpointing.error}")
        if self._cleaning.error:
            found.append(f"this server's last clean failed: {self._cleaning.error}")
        if unknown := self.unknown_objects:
            more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
            found.append(
                "the object storage has what this version does not know, and leaves alone:"
                f" {', '.join(unknown[:_SHOWN])}{more}"
            )
        return tuple(found)

    async def run(self) -> None:
        """Do what is due, again and again, until cancelled. Raises `DatabaseLost` only."""
        interval = self._tip.settings.duty_interval.total_seconds()
        while True:
            await self._following.make(self._follow)
            await self._checkpointing.make(self._checkpoint, self._is_checkpoint_due)
            await self._cleaning.make(self._clean, self._is_clean_due)
            await asyncio.sleep(jittered(interval))

    async def checkpoint(self) -> Manifest | None:
        """Make a checkpoint of all that is committed now, due or not.

        Returns:
            A manifest that has it; None when the database has no entry yet.

        Raises:
            DataLoss, DeadlineExceeded, Unavailable: see `Checkpointer.run`; also when other servers were faster again
                and again.
        """
        tip = self._tip
        wanted = tip.newest.position
        await tip.wait_applied(wanted)
        for _ in range(_TRIES):
            await self._flusher.flush_all()
            if tip.flushed.sequence < wanted.sequence:
                continue  # another server flushed at the same time, and less
            try:
                if await self._run_checkpointer() is None:
                    return None
            except Overtaken:
                await self._bodies.refresh()
            if (covered := self._bodies.covered) is not None and covered >= wanted.sequence:
                return self._bodies.manifest
        raise Unavailable(
            "other servers made checkpoints again and again, and none had all that this server had committed; ask again"
        )

    async def _follow(self) -> None:
        tip, bodies = self._tip, self._bodies
        # The key saves listing. It may be behind or lost; a server that finds a newer manifest moves it.
        hint = await tip.log.checkpoint()
        is_ahead = hint is not None and tip.lineage.contains(hint) and (bodies.covered is None or hint > bodies.covered)
        if hint is None or is_ahead or self._rounds % _ROUNDS_BETWEEN_LISTS == 0:
            await bodies.refresh()
            if bodies.covered is not None and (hint is None or hint < bodies.covered):
                await tip.log.advance_checkpoint(bodies.covered)
        self._rounds += 1

    def _is_checkpoint_due(self) -> bool:
        tip, manifest, newest = self._tip, self._bodies.manifest, self._bodies.covered
        flushed, now = tip.flushed, tip.clock.monotonic()
        after = newest if newest is not None else LogSequence(tip.lineage.epochs[0], 0)
        entries = tip.lineage.count(after, flushed.sequence)
        known = manifest.total_bytes if manifest is not None and after.epoch == flushed.sequence.epoch else 0
        age = timedelta(seconds=self._known.seconds(entries > 0 if newest is None else newest, now))
        if manifest is not None:
            # The maker's clock may be ahead of this one; then the time that passed here counts.
            age = max(tip.clock.now() - from_micros(manifest.made_us), age)
        due = checkpoint_due(tip.settings, entries=entries, size=flushed.total_bytes - known, age=age)
        waited = self._waiting.seconds((newest, bool(due)), now)
        if not due or not self._is_mine(waited=waited):
            return False
        log.info("checkpoint_due", why=due)
        return True

    def _is_mine(self, *, waited: float) -> bool:
        """Return whether to do work that is due: at once if this server did it before, else when no server does it."""
        if self._bodies.manifest is not None and self._bodies.manifest.writer == self._tip.settings.server_id:
            return True
        interval = self._tip.settings.duty_interval.total_seconds()
        return waited >= interval + 2 * jittered(interval)

    async def _checkpoint(self) -> None:
        try:
            await self._run_checkpointer()
        except Overtaken:
            await self._follow()
            raise

    async def _run_checkpointer(self) -> Manifest | None:
        manifest = await self._checkpointer.run(self._tip.flushed, self._tip.lineage)
        if manifest is not None:
            self._bodies.use(manifest)
        return manifest

    def _is_clean_due(self) -> bool:
        if self._bodies.manifest is None:
            return False
        interval, now = self._tip.settings.clean_interval.total_seconds(), self._tip.clock.monotonic()
        if self._bodies.manifest.writer == self._tip.settings.server_id:
            return self._cleaned_at is None or now - self._cleaned_at >= interval
        # Others cannot know when it was done last: they do it too, but less often, in case that nobody does.
        return now - (self._began if self._cleaned_at is None else self._cleaned_at) >= 3 * interval

    async def _clean(self) -> None:
        self._cleaned_at = self._tip.clock.monotonic()
        tip = self._tip
        done = await GarbageCollector(tip.stores, tip.lineage, tip.settings, tip.clock).run()
        if done.unknown and done.unknown != self.unknown_objects:
            log.warning("unknown_objects", count=len(done.unknown), some=done.unknown[:5], do="they are left alone")
        self.unknown_objects = done.unknown


class BodyEvictor:
    """Drops the bodies of old records from the replica; reads fetch them from the object storage.

    A body goes when its record has come to rest, a manifest has it, and `body_retention` has passed since its last
    change. Each step is one small SQLite transaction in the writer's thread, so that commits wait for a few
    milliseconds at most.
    """

    def __init__(self, tip: LogTip, bodies: ColdBodyStore) -> None:
        self._tip = tip
        self._bodies = bodies

    async def run(self) -> None:
        """Drop bodies until cancelled. Reads the newest manifest once; the maintenance loop learns of newer ones."""
        try:
            if self._bodies.manifest is None:
                await self._bodies.refresh()
        except (Unavailable, PermissionDenied, DataLoss) as error:
            # Reads of old records, and the next checkpoint, report the same.
            log.warning("manifest_not_read", error=str(error))
        while True:
            more = await self.step()
            await asyncio.sleep(_EVICTION_PAUSE_SECONDS if more else self._tip.settings.body_interval.total_seconds())

    async def step(self) -> bool:
        """Drop a few; return whether there may be more."""
        tip, covered = self._tip, self._bodies.covered
        if covered is None:
            return False
        before_us = micros(tip.clock.now() - tip.settings.body_retention)
        looked_at = await tip.in_writer(
            lambda: tip.state.drop_bodies(covered=covered, before_us=before_us, limit=_BODIES_AT_ONCE)
        )
        return looked_at == _BODIES_AT_ONCE
