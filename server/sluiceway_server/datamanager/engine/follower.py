"""Follows what other servers do: watches `head` and `flushed`, and reads what is new.

Only the two small keys are watched, not the entries: a server knows its own entries already, and does not want them
back. A watch only says "look"; what is read then is complete, whatever the watch missed. So a watch that breaks, or
whose start is compacted away, is begun again after a fresh look.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing

import structlog

from sluiceway_common.foundation.errors import DeadlineExceeded, Unavailable
from sluiceway_server.datamanager.engine.committer import Committer
from sluiceway_server.datamanager.engine.log_tip import LogTip
from sluiceway_server.datamanager.waiting import Backoff
from sluiceway_server.kv.port import Compacted, KeyValueStore

__all__ = ["Follower"]

log = structlog.get_logger(__name__)


class Follower:
    """See the module. `follow_head`, `follow_flushed` and `check` are its loops."""

    def __init__(self, core: LogTip, kv: KeyValueStore, committer: Committer) -> None:
        self._core = core
        self._kv = kv
        self._committer = committer

    async def sync(self) -> int:
        """Catch up with etcd; answers the revision up to which that is."""
        async with self._core.advance:
            look = await self._core.catch_up()
        return look.revision

    async def follow_head(self) -> None:
        """Catch up whenever another server has written."""
        await self._follow(self._core.log.head_key, self._head_moved)

    async def follow_flushed(self) -> None:
        """Know what the object storage has."""
        await self._follow(self._core.log.flushed_key, self._flushed_moved)

    async def check(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Look at etcd when nothing was heard for a while: a quiet etcd may be another one, or gone."""
        core = self._core
        interval = core.settings.check_interval.total_seconds()
        while True:
            await sleep(interval)
            if core.clock.monotonic() - core.last_heard < interval:
                continue
            try:
                await self.sync()
            except (Unavailable, DeadlineExceeded) as error:
                log.warning("etcd_away", error=str(error))

    async def _follow(self, key: str, moved: Callable[[bytes], Awaitable[None]]) -> None:
        backoff = Backoff()
        while True:
            try:
                revision = await self.sync()
                async with aclosing(self._kv.watch(key, start_revision=revision + 1)) as batches:
                    async for batch in batches:
                        backoff.reset()
                        # Of several changes the last one says it all.
                        changes = [event for event in batch.events if event.key == key]
                        if changes:
                            await moved(changes[-1].value or b"")
            except Compacted as error:
                log.info("watch_begins_anew", key=key, compacted_up_to=error.compact_revision)
            except (Unavailable, DeadlineExceeded) as error:
                log.warning("watch_broke", key=key, error=str(error))
            await backoff.wait()

    async def _head_moved(self, raw: bytes) -> None:
        if not raw:
            await self.sync()  # says what is wrong: the key was deleted
            return
        core, head = self._core, self._core.log.read_head(raw)
        if head.batch_id == self._committer.in_flight or head.sequence <= core.tip.position.sequence:
            return
        async with core.advance:
            # A commit that held the lock has heard of it meanwhile, when several servers write. Another look would only
            # hold up the next one.
            if head.sequence > core.tip.position.sequence:
                await core.catch_up()

    async def _flushed_moved(self, raw: bytes) -> None:
        if raw:
            self._core.note_flushed(self._core.log.read_flushed(raw))
        else:
            await self.sync()  # says what is wrong: the key was deleted
