"""Leaves the bodies of old records to the object storage, a few at a time.

A body goes when its record has come to rest, a manifest has it, and `body_retention` has passed since its last change.
Each step is one small SQLite transaction in the writer's thread, so that commits wait for a few milliseconds at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from sluiceway_common.foundation.errors import DataLoss, PermissionDenied, Unavailable
from sluiceway_server.datamanager.engine.log_tip import LogTip
from sluiceway_server.datamanager.log.entries import micros
from sluiceway_server.datamanager.replica.cold_bodies import ColdBodyStore

__all__ = ["BodyEvictor"]

log = structlog.get_logger(__name__)

_AT_ONCE = 100
_PAUSE_SECONDS = 0.05
"""Between two steps while there is more: two thousand records a second, which is more than runs can leave behind."""


class BodyEvictor:
    """See the module. `run` is its loop.

    Attributes:
        remote: of each type, how many records have their body in the object storage only, as it was found last.
    """

    def __init__(self, core: LogTip, bodies: ColdBodyStore) -> None:
        self._core = core
        self._bodies = bodies
        self.remote: Mapping[str, int] = {}

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Drop bodies for ever. Looks once for the newest manifest by itself; newer ones are told to `bodies`."""
        try:
            if self._bodies.manifest is None:
                await self._bodies.refresh()
        except (Unavailable, PermissionDenied, DataLoss) as error:
            # Reads of old records, and the next checkpoint, meet the same and say so.
            log.warning("manifest_not_read", error=str(error))
        while True:
            while await self.step():
                await sleep(_PAUSE_SECONDS)
            await sleep(self._core.settings.body_interval.total_seconds())

    async def step(self) -> bool:
        """Drop a few; tells whether there may be more."""
        core, covered = self._core, self._bodies.covered
        if covered is None:
            return False
        before_us = micros(core.clock.now() - core.settings.body_retention)
        looked_at, self.remote = await core.in_writer(
            lambda: core.state.drop_bodies(covered=covered, before_us=before_us, limit=_AT_ONCE)
        )
        return looked_at == _AT_ONCE
