"""Puts the parts of an open database together, before anything of it runs.

The read database is opened and caught up with the log; one that does not fit the log is made anew, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog

from sluiceway.records.storage.v1.storage_pb2 import Manifest
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import DataLoss
from sluiceway_server.datamanager.engine.background import MaintenanceLoop
from sluiceway_server.datamanager.engine.flusher import Flusher
from sluiceway_server.datamanager.engine.log_tip import LogTip
from sluiceway_server.datamanager.engine.write_state import State
from sluiceway_server.datamanager.recovery.diagnosis import OpenPoint, Stores
from sluiceway_server.datamanager.replica.cold_bodies import ColdBodyStore
from sluiceway_server.datamanager.replica.readers import Readers
from sluiceway_server.datamanager.replica.rebuild import FileOfThisServer
from sluiceway_server.datamanager.replica.schema import Tables
from sluiceway_server.datamanager.replica.subscriptions import Subscriptions
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.tables.checkpoint import Checkpointer
from sluiceway_server.datamanager.tables.data_file import FileStore
from sluiceway_server.datamanager.tables.garbage_collector import GarbageCollector
from sluiceway_server.objectstorage.port import ObjectStorage

__all__ = ["Parts", "duties_of"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What `open` puts together before anything runs."""

    stores: Stores
    tables: Tables
    writer: ThreadPoolExecutor
    settings: DataManagerSettings
    clock: Clock
    foundation: OpenPoint
    file: FileOfThisServer
    bodies: ColdBodyStore

    async def assemble(self, stack: AsyncExitStack) -> tuple[LogTip, Readers, Subscriptions]:
        """Open the read database and catch up; one that does not fit the log is made anew, once."""
        try:
            return await self._assemble(stack, anew=False)
        except DataLoss as error:
            # Of another history, or so far behind that the log after it is cleaned away: the newest manifest may help.
            if error.reason not in ("LOG_DIVERGED", "LOG_GAP"):
                raise
            log.warning("read_database_does_not_fit", error=str(error))
        return await self._assemble(stack, anew=True)

    async def _assemble(self, stack: AsyncExitStack, *, anew: bool) -> tuple[LogTip, Readers, Subscriptions]:
        loop = asyncio.get_running_loop()
        database, manifest = await self.file.open(anew=anew)
        if manifest is not None:
            self.bodies.use(manifest)
        try:
            applied = await loop.run_in_executor(self.writer, database.applied_up_to)
            readers = Readers(
                self.file.path,
                self.tables,
                threads=self.settings.read_threads,
                timeout=self.settings.read_timeout,
                bodies=self.bodies,
            )
            subscriptions = Subscriptions(
                readers,
                self.tables.catalogue,
                segments=self.stores.segments,
                lineage=self.foundation.lineage,
                position=applied.position,
                ring_bytes=self.settings.ring_bytes,
                subscriber_bytes=self.settings.subscriber_bytes,
            )
            core = LogTip(
                stores=self.stores,
                foundation=self.foundation,
                state=State(database),
                catalogue=self.tables.catalogue,
                writer=self.writer,
                subscriptions=subscriptions,
                settings=self.settings,
                clock=self.clock,
                applied=applied,
            )
            readers.read_after(core.wait_applied)
            async with core.advance:
                await core.catch_up()
            await core.apply_once()
        except BaseException:
            database.close()
            raise
        stack.push_async_callback(loop.run_in_executor, self.writer, database.close)
        stack.push_async_callback(asyncio.to_thread, readers.close)
        return core, readers, subscriptions


def duties_of(
    core: LogTip,
    flusher: Flusher,
    files: FileStore,
    *,
    storage: ObjectStorage,
    prefix: str,
    folder: Path,
    tables: Tables,
    use: Callable[[Manifest], None],
) -> MaintenanceLoop:
    """Put together what makes checkpoints and cleans.

    Args:
        core: of the database that is open.
        flusher: of it.
        files: its data files.
        storage: the object storage.
        prefix: of all keys in it.
        folder: for scratch files.
        tables: of all types.
        use: hears of each new manifest.
    """
    stores, settings, clock = core.stores, core.settings, core.clock
    checkpointer = Checkpointer(
        storage=storage,
        prefix=prefix,
        log_=stores.log,
        segments=stores.segments,
        manifests=stores.manifests,
        files=files,
        catalogue=tables.catalogue,
        database_id=core.database_id,
        folder=folder,
        settings=settings,
        clock=clock,
    )
    cleaner = GarbageCollector(
        storage=storage,
        prefix=prefix,
        log_=stores.log,
        segments=stores.segments,
        manifests=stores.manifests,
        settings=settings,
        clock=clock,
    )
    return MaintenanceLoop(core, flusher, checkpointer, cleaner, stores.manifests, use=use)
