"""`DataManager`: the database of one server.

    async with DataManager.open(kv=..., storage=..., prefix="sluiceway", path=folder, types=TYPES) as database:
        await database.commit([Put(...)])

`open` checks that etcd and the object storage belong together, opens or rebuilds the replica, catches up with the log,
and runs the loops: committer, applier, follower, flusher and others. If a loop fails, the `async with` body is
cancelled: a server that cannot continue with its database must not look alive.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import structlog
from google.protobuf.message import Message

from sluiceway.records.storage.v1.storage_pb2 import Manifest
from sluiceway_common.foundation.clock import Clock, IdSource, SystemClock, UuidSource
from sluiceway_common.foundation.errors import DataLoss, NotFound, SluicewayError, Unavailable
from sluiceway_common.foundation.tasks import errors_in
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.datamanager.checks import plain_transaction
from sluiceway_server.datamanager.engine.flusher import Flusher
from sluiceway_server.datamanager.engine.opening import Engine, Place, RecoverManually, RecoverPolicy, open_engine
from sluiceway_server.datamanager.log.entries import Catalogue
from sluiceway_server.datamanager.log.etcd_log import HeadMark
from sluiceway_server.datamanager.model import (
    Action,
    Applied,
    LogSequence,
    Page,
    Position,
    Precondition,
    Query,
    RecordType,
    TransactionFunction,
    View,
)
from sluiceway_server.datamanager.port import Committed, DatabaseLost
from sluiceway_server.datamanager.queries import check_indexes, plan_list
from sluiceway_server.datamanager.recovery.rescue import find_loss, rescue, rescue_before_shutdown
from sluiceway_server.datamanager.replica.deleted_subtrees import TOMBSTONE, SubtreeSweeper, check_under
from sluiceway_server.datamanager.replica.disk_errors import ReplicaDiskError
from sluiceway_server.datamanager.replica.rebuild import lock_folder
from sluiceway_server.datamanager.replica.schema import Tables
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.waiting import SharedCall
from sluiceway_server.kv.port import KeyValueStore
from sluiceway_server.objectstorage.port import ObjectStorage

log = structlog.get_logger(__name__)

T = TypeVar("T")
M = TypeVar("M", bound=Message)


class DataManager:
    """The implementation of `Database`.

    Attributes:
        engine: its parts. Services use the methods only; tests and measurements look into them.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._tip = engine.tip
        self._newest_head: SharedCall[HeadMark] = SharedCall(self._read_head)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        kv: KeyValueStore,
        storage: ObjectStorage,
        prefix: str,
        path: Path,
        types: Sequence[RecordType[Any]],
        clock: Clock | None = None,
        ids: IdSource | None = None,
        settings: DataManagerSettings | None = None,
        recover: RecoverPolicy | None = None,
    ) -> AsyncIterator[DataManager]:
        """Open the database until the body ends.

        It may be opened again after any of these errors; after `DatabaseLost` with `RecoverIfRolledBack(error.seen)`.

        Args:
            kv: etcd.
            storage: the object storage.
            prefix: of all keys in both.
            path: a folder for the replica, of this server only. Its content may be deleted between runs.
            types: all record types; records of others are copied as they are.
            clock: for times of entries, ages and waits.
            ids: for the id of a new database.
            settings: of the database.
            recover: when to recover the database without an operator; None: `RecoverManually()`.

        Raises:
            FolderInUse: another process has the folder.
            FailedPrecondition: etcd and storage do not fit together; the reason is a `diagnosis.Kind`.
            DataLoss: parts of the log are missing or damaged.
            Unavailable: etcd or the object storage is away.
            DatabaseLost: it cannot be continued with; the body was cancelled.
            ReplicaDiskError: the disk of the replica is full or broken; the body was cancelled.
            ExceptionGroup: a loop failed with another error; the body was cancelled.
        """
        clock = clock or SystemClock()
        ids = ids or UuidSource(clock)
        settings = settings or DataManagerSettings()
        prefix = prefix.strip("/")
        tables = Tables(Catalogue((*types, TOMBSTONE)))
        check_under(tables.catalogue.known)
        for type_ in types:
            check_indexes(type_)
        place = Place(kv, storage, prefix, path, tables, settings, clock, ids)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(lock_folder(path))
            database = cls(await open_engine(stack, place, recover or RecoverManually()))
            async with database._running(SubtreeSweeper(database, tables.catalogue.known, clock=clock)):
                log.info("database_open", epoch=database.epoch, position=str(database.position))
                yield database

    @asynccontextmanager
    async def _running(self, sweeper: SubtreeSweeper) -> AsyncIterator[None]:
        engine, tip = self.engine, self._tip
        failure: Exception | None = None
        loops = {
            "commit": engine.committer.run(),
            "apply": tip.apply_forever(),
            "follow-head": engine.follower.follow_head(),
            "follow-flushed": engine.follower.follow_flushed(),
            "check": engine.follower.check(),
            "flush": engine.flusher.run(),
            "store-watch": engine.capacity.run(),
            "lost": tip.until_lost(),
            "maintenance": engine.maintenance.run(),
            "bodies": engine.evictor.run(),
            "use-replies": engine.follower.reply_to_probes(),
            "sweep": sweeper.run(tip.settings.sweep_interval.total_seconds()),
        }
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(loop, name=f"datamanager-{name}") for name, loop in loops.items()]
                try:
                    yield
                except Exception as error:
                    # The error of the body is raised below as itself, and not in a group.
                    failure = error
                finally:
                    await self._stop(engine.flusher)
                    for task in tasks:
                        task.cancel()
        except BaseExceptionGroup as errors:
            fault = next((error for error in errors_in(errors) if isinstance(error, ReplicaDiskError)), None)
            if fault is not None:
                log.warning("read_database_unusable", reason=fault.reason, error=fault.message)
                raise fault from errors
            loss = find_loss(errors)
            if loss is None:
                raise
            raise await self._rescue(loss) from errors
        finally:
            self._tip.end()
        if failure is not None:
            raise failure

    async def _rescue(self, loss: DatabaseLost | DataLoss) -> DatabaseLost:
        """Store what only this server knows; return the error that ends the database."""
        tip = self._tip
        log.error("database_lost", reason=loss.reason, error=loss.message)
        try:
            await tip.apply_once()
        except Exception as error:  # of SQLite; what was applied is stored
            log.warning("database_lost_unapplied", error=str(error))

        async def read(after: LogSequence) -> list[bytes]:
            limit, size = tip.settings.flush_entries, tip.settings.flush_bytes
            return await self.engine.readers.raw(
                lambda database: database.entries_after(after, limit=limit, max_bytes=size)
            )

        settings, seen = tip.settings, tip.seen
        rescuing = rescue(
            read, seen, stores=tip.stores, lineage=tip.lineage, database_id=tip.database_id, settings=settings
        )
        return await rescue_before_shutdown(loss, rescuing, seen, timeout=settings.rescue_timeout)

    async def _stop(self, flusher: Flusher) -> None:
        self._tip.subscriptions.close()
        try:
            async with time_limit(self._tip.settings.stop_timeout.total_seconds()):
                await self.engine.committer.drain()
                await self._tip.apply_once()
                await flusher.flush_all()
                await self._newest_head.close()
        except (TimeoutError, SluicewayError) as error:
            log.warning("database_stops_unflushed", unflushed_bytes=self._tip.unflushed_bytes, error=str(error))
        finally:
            await self._newest_head.end(
                Unavailable("this server stops; try again, or at another server", reason="STOPPING")
            )

    # -- Database

    async def transact(self, function: TransactionFunction[T], *, durable: bool = False) -> Committed[T]:
        return await self.engine.committer.transact(function, durable=durable)

    async def commit(
        self,
        actions: Sequence[Action],
        preconditions: Sequence[Precondition] = (),
        groups: Sequence[str] = (),
    ) -> Committed[None]:
        return await self.transact(plain_transaction(actions, preconditions, groups))

    async def read(self, function: Callable[[View], T], *, after: Position | None = None) -> T:
        """Read as `Database.read`: everything that this server returned before is visible."""
        known = self._tip.newest.position
        await self._tip.wait_applied(known if after is None else max(after, known))
        return await self.engine.readers.view(function)

    async def get(self, type_: RecordType[M], id_: str, *, after: Position | None = None) -> M:
        found = await self.read(lambda view: view.get(type_, id_), after=after)
        if found is None:
            await self.linearize()
            found = await self.read(lambda view: view.get(type_, id_))
        if found is None:
            raise NotFound(f"there is no {type_.name} {id_!r}", resource_type=type_.name, resource_name=id_)
        return found

    async def list(self, type_: RecordType[M], query: Query, *, after: Position | None = None) -> Page[M]:
        plan_list(type_, query)
        return await self.read(lambda view: view.select(type_, query), after=after)

    async def linearize(self) -> Position:
        # Every read waits for the tip, which is at or after this head now.
        return (await self._newest_head.ask()).position

    async def _read_head(self) -> HeadMark:
        try:
            look = await self._tip.log.look()
            if look.head is None or look.head.sequence != self._tip.newest.position.sequence:
                async with self._tip.lock:
                    look = await self._tip.catch_up()
        except (DatabaseLost, DataLoss) as error:
            loss = find_loss(error)
            if loss is None:
                raise
            self._tip.lose(loss)
            raise Unavailable(
                "this server lost its database and opens it again; try again, or at another server",
                reason="DATABASE_LOST",
            ) from error
        return self._tip.head if look.head is None else look.head

    async def checkpoint(self) -> Manifest | None:
        """Make a checkpoint of everything committed so far; return None if the database has no entry."""
        return await self.engine.maintenance.checkpoint()

    def subscribe(
        self, *, after: Position, topics: Sequence[str] = (), on_live: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncGenerator[Applied, None]:
        return self._tip.subscriptions.subscribe(after=after, topics=topics, on_live=on_live)

    @property
    def position(self) -> Position:
        """The newest position, for which every read waits."""
        return self._tip.newest.position

    @property
    def epoch(self) -> int:
        return self._tip.newest.position.sequence.epoch

    @property
    def findings(self) -> tuple[str, ...]:
        """Faults that this server found while it maintains the database, as sentences."""
        return self.engine.maintenance.findings
