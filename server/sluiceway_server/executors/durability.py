"""Waits until what was committed is in the object storage too, once for all that wait at a time.

What leaves the system waits for this. An executor that was told to delete its data of an assignment cannot bring it
back when the end of the log is lost.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_server.datamanager.model import Decision
from sluiceway_server.datamanager.port import Database

log = structlog.get_logger(__name__)


class DurableBarrier:
    """A point in the log that callers wait for. `run` must run meanwhile; when it ends, all waits are cancelled."""

    def __init__(self, database: Database, *, pause: timedelta = timedelta(seconds=1)) -> None:
        self._database = database
        self._pause = pause.total_seconds()
        self._waiting: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()

    async def wait(self) -> None:
        """Return when everything that is committed by now is durable; not before the object storage is reachable."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._wake.set()
        await future

    async def run(self) -> None:
        """Complete waits until cancelled."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                reached, self._waiting = self._waiting, []
                await self._reach()
                for future in reached:
                    if not future.done():
                        future.set_result(None)
        finally:
            for future in self._waiting:
                future.cancel()

    async def _reach(self) -> None:
        while True:
            try:
                # Nothing is written: the position of an empty transaction is the last one, and that becomes durable.
                await self._database.transact(lambda view: Decision(None), durable=True)
            except SluicewayError as error:
                log.warning("not_durable_yet", error=str(error))
                await asyncio.sleep(self._pause)
            else:
                return
