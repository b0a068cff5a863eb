"""Follows other servers: watches `head` and `flushed`, reads new entries, and replies to probes of the storage.

Only the two small keys are watched, not the entries: a server knows its own entries already. An event is only a hint
to read; what is read then is complete, whatever the watch missed. So a watch that breaks, or whose start is compacted
away, begins again after a fresh read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import structlog

from sluiceway_common.foundation.errors import DeadlineExceeded, PermissionDenied, Unavailable
from sluiceway_server.datamanager.engine.log_tip import LogTip
from sluiceway_server.datamanager.recovery.storage_in_use import InUse, Reply
from sluiceway_server.datamanager.waiting import Backoff
from sluiceway_server.kv.port import Compacted, KeyValueStore

log = structlog.get_logger(__name__)


class Follower:
    """See the module. `follow_head`, `follow_flushed`, `check` and `reply_to_probes` are its loops."""

    def __init__(self, tip: LogTip, kv: KeyValueStore) -> None:
        self._tip = tip
        self._kv = kv
        self._in_use = InUse(tip.stores.storage, prefix=tip.stores.prefix)
        self._seen_probe = ""

    async def sync(self) -> int:
        """Catch up with etcd; return the revision up to which that is."""
        async with self._tip.lock:
            look = await self._tip.catch_up()
        return look.revision

    async def follow_head(self) -> None:
        """Catch up whenever another server has written."""
        await self._follow(self._tip.log.head_key, self._head_moved)

    async def follow_flushed(self) -> None:
        """Move `flushed` whenever another server has flushed."""
        await self._follow(self._tip.log.flushed_key, self._flushed_moved)

    async def check(self) -> None:
        """Read etcd when nothing was heard for a while: a quiet etcd may be another one, or gone."""
        tip = self._tip
        interval = tip.settings.check_interval.total_seconds()
        while True:
            await asyncio.sleep(interval)
            if tip.clock.monotonic() - tip.last_heard < interval:
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
                        # Only the last of several changes matters.
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
            await self.sync()  # raises: the key was deleted
            return
        tip, head = self._tip, self._tip.log.read_head(raw)
        if head.sequence <= tip.newest.position.sequence:
            return
        async with tip.lock:
            # It may be this server's own: then the commit that held the lock has moved the tip meanwhile. And when
            # several servers write, that commit has caught up. Another read would only delay the next one.
            if head.sequence > tip.newest.position.sequence:
                await tip.catch_up()

    async def _flushed_moved(self, raw: bytes) -> None:
        if raw:
            self._tip.note_flushed(self._tip.log.read_flushed(raw))
        else:
            await self.sync()  # raises: the key was deleted

    async def reply_to_probes(self) -> None:
        """Reply to probes whether the object storage is in use (`recovery/storage_in_use`), until cancelled."""
        while True:
            try:
                await self._reply_to_probe()
            except (Unavailable, DeadlineExceeded, PermissionDenied) as error:
                # Other loops report that a store is away; the next round replies.
                log.debug("storage_probe_not_answered", error=str(error))
            await asyncio.sleep(self._tip.settings.in_use_interval.total_seconds())

    async def _reply_to_probe(self) -> None:
        tip = self._tip
        probe = await self._in_use.probed()
        if probe == self._seen_probe:
            return
        # A server whose etcd is away or was wiped does not use the storage; it must not stop its own recovery.
        await self.sync()
        head, settings = tip.head, tip.settings
        await self._in_use.reply(Reply(probe, settings.server_id, settings.etcd_name, head.sequence, head.digest.hex()))
        log.info("storage_probe_answered", probe=probe)
        self._seen_probe = probe
