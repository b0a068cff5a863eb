"""Replies to whoever asks whether the object storage is in use (`recovery/in_use`)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from sluiceway_common.foundation.errors import DeadlineExceeded, PermissionDenied, Unavailable
from sluiceway_server.datamanager.engine.log_tip import LogTip
from sluiceway_server.datamanager.recovery.storage_in_use import Reply

__all__ = ["UseReplies"]

log = structlog.get_logger(__name__)


class UseReplies:
    """See the module. `run` is its loop."""

    def __init__(self, core: LogTip, sync: Callable[[], Awaitable[object]]) -> None:
        """Begin nothing yet.

        Args:
            core: of the database that is open.
            sync: asks etcd whether it still has the database, and fails or loses it when it has not.
        """
        self._core = core
        self._sync = sync
        self._seen = ""

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Look for probes until cancelled. Raises `DatabaseLost`, or a `DataLoss` that means the same."""
        while True:
            try:
                await self.look()
            except (Unavailable, DeadlineExceeded, PermissionDenied) as error:
                # That a store is away is reported by those who need it; the next look replies.
                log.debug("storage_probe_not_answered", error=str(error))
            await sleep(self._core.settings.in_use_interval.total_seconds())

    async def look(self) -> None:
        """Look once, and reply to a probe that was not seen before."""
        core = self._core
        probe = await core.stores.in_use.probed()
        if probe == self._seen:
            return
        # A server whose etcd is away or was wiped does not use the storage; it must not stop its own recovery.
        await self._sync()
        head = core.head
        await core.stores.in_use.reply(
            Reply(probe, core.settings.server_id, core.settings.etcd_name, head.sequence, head.digest.hex())
        )
        log.info("storage_probe_answered", probe=probe)
        self._seen = probe
