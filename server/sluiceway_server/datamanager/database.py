"""`DataManager`: the whole database of one server, put together.

    async with DataManager.open(kv=..., storage=..., prefix="sluiceway", path=folder, types=TYPES) as database:
        await database.commit([Put(...)])

`open` checks that etcd and object storage belong together, opens (or makes anew) the read database and catches up;
then it owns the loops: committer, applier, follower, flusher. One that fails ends the `async with` body: a server that
cannot go on with its database must not look alive.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import structlog
from google.protobuf.message import Message

from sluiceway.records.storage.v1.storage_pb2 import Manifest
from sluiceway_common.foundation.clock import Clock, IdSource, SystemClock, UuidSource
from sluiceway_common.foundation.errors import DataLoss, NotFound, SluicewayError, Unavailable
from sluiceway_server.datamanager.checks import plain_transaction
from sluiceway_server.datamanager.engine.assembly import Parts, duties_of
from sluiceway_server.datamanager.engine.background import DutyStatus, MaintenanceLoop
from sluiceway_server.datamanager.engine.batch import BatchBuilder
from sluiceway_server.datamanager.engine.body_evictor import BodyEvictor
from sluiceway_server.datamanager.engine.committer import Committer
from sluiceway_server.datamanager.engine.etcd_capacity import EtcdCapacityMonitor, StoreHealth
from sluiceway_server.datamanager.engine.flusher import Flusher
from sluiceway_server.datamanager.engine.follower import Follower
from sluiceway_server.datamanager.engine.log_tip import LogTip
from sluiceway_server.datamanager.engine.opening import RecoverManually, RecoverPolicy, find_foundation
from sluiceway_server.datamanager.engine.shutdown_on_loss import give_up, loss_in
from sluiceway_server.datamanager.engine.subtree_deletion import SubtreeSweeper
from sluiceway_server.datamanager.engine.use_replies import UseReplies
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
from sluiceway_server.datamanager.recovery.diagnosis import Stores
from sluiceway_server.datamanager.replica.cold_bodies import ColdBodyStore
from sluiceway_server.datamanager.replica.deleted_subtrees import TOMBSTONE, check_under
from sluiceway_server.datamanager.replica.disk_errors import fault_in
from sluiceway_server.datamanager.replica.folder import hold
from sluiceway_server.datamanager.replica.readers import Readers
from sluiceway_server.datamanager.replica.rebuild import FileOfThisServer
from sluiceway_server.datamanager.replica.schema import Tables
from sluiceway_server.datamanager.replica.subscriptions import Subscriptions
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.tables.data_file import FileStore
from sluiceway_server.datamanager.tables.manifest import ManifestStore
from sluiceway_server.datamanager.waiting import SharedCall
from sluiceway_server.kv.port import KeyValueStore
from sluiceway_server.objectstorage.port import ObjectStorage

__all__ = ["DataManager", "DataManagerStatus"]

log = structlog.get_logger(__name__)

T = TypeVar("T")
M = TypeVar("M", bound=Message)

_FILE = "read.sqlite"


@dataclass(frozen=True, slots=True)
class DataManagerStatus:
    """Where the database of this server is.

    Attributes:
        ready: it is open, and etcd answered lately.
        epoch: the present one.
        committed: the newest entry that this server knows of.
        applied: what the read database has; reads wait for `committed`.
        flushed: the last entry in the object storage.
        unflushed_bytes: of the log after that.
        silent_for: since etcd was heard last.
        store: how full etcd is, as it was seen last.
        manifest: the newest manifest that this server knows; None when there is none yet.
        remote: of each type, how many records have their body in the object storage only.
        duties: how checkpoints and cleans go.
    """

    ready: bool
    epoch: int
    committed: Position
    applied: Position
    flushed: LogSequence
    unflushed_bytes: int
    silent_for: timedelta
    store: StoreHealth
    manifest: LogSequence | None
    remote: Mapping[str, int]
    duties: DutyStatus


class DataManager:
    """A `Database`: see the module, and `port` for what each method promises."""

    def __init__(
        self,
        core: LogTip,
        readers: Readers,
        committer: Committer,
        subscriptions: Subscriptions,
        *,
        store: EtcdCapacityMonitor,
        bodies: ColdBodyStore,
        duties: MaintenanceLoop,
    ) -> None:
        """Put together by `open`."""
        self._core = core
        self._store = store
        self._bodies = bodies
        self._duties = duties
        self._keeper = BodyEvictor(core, bodies)
        self._readers = readers
        self._committer = committer
        self._subscriptions = subscriptions
        self._open = True
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
        """Open the database and keep it until the body ends.

        It may be opened again after any of these errors. After `DatabaseLost`, do so with
        `RecoverIfRolledBack(error.seen)`.

        Args:
            kv: etcd.
            storage: the object storage.
            prefix: of all keys in both, without a slash at the end.
            path: a folder for the read database; this server's own. What is in it may be deleted between runs.
            types: all record types; others that are in the log are carried through.
            clock: for times of entries, ages and waits.
            ids: for the id of a new database.
            settings: see there.
            recover: when to recover the database unasked (`opening`); None is `RecoverManually()`.

        Raises:
            FolderInUse: another process has the folder.
            FailedPrecondition: etcd and storage do not fit together; the reason is a `standing.Kind`.
            DataLoss: parts of the log are missing or damaged.
            Unavailable: etcd or the object storage is away.
            DatabaseLost: it was open, or nearly, and cannot be gone on with; the body was cancelled.
            ReadFileFault: the disk of the read database is full or broken; if the body ran, it was cancelled.
            ExceptionGroup: a loop failed otherwise while the body ran; the body was cancelled.
        """
        clock = clock or SystemClock()
        ids = ids or UuidSource(clock)
        settings = settings or DataManagerSettings()
        prefix = prefix.strip("/")
        tables = Tables(Catalogue((*types, TOMBSTONE)))
        check_under(tables.catalogue.known)
        for type_ in types:
            check_indexes(type_)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(hold(path))
            stores, foundation = await find_foundation(
                lambda: Stores.of(kv, storage, prefix=prefix, etcd_timeout=settings.etcd_timeout),
                file=path / _FILE,
                tables=tables,
                policy=recover or RecoverManually(),
                settings=settings,
                clock=clock,
                ids=ids,
            )
            writer = ThreadPoolExecutor(1, thread_name_prefix="datamanager")
            stack.push_async_callback(asyncio.to_thread, writer.shutdown, wait=True)
            files, manifests = FileStore(storage, prefix=prefix), ManifestStore(storage, prefix=prefix)
            bodies = ColdBodyStore(files, manifests, lineage=lambda: foundation.lineage, timeout=settings.body_timeout)
            file = FileOfThisServer(
                path / _FILE, tables, writer, files, manifests, foundation.epoch.database_id, foundation.lineage
            )
            parts = Parts(stores, tables, writer, settings, clock, foundation, file, bodies)
            core, readers, subscriptions = await parts.assemble(stack)
            store = EtcdCapacityMonitor(kv, settings=settings, clock=clock)
            preparer = BatchBuilder(
                core.state, tables.catalogue, writer=settings.server_id, max_batch_bytes=settings.max_batch_bytes
            )
            committer = Committer(core, preparer, store, bodies)
            flusher = Flusher(core, readers)
            duties = duties_of(
                core, flusher, files, storage=storage, prefix=prefix, folder=path, tables=tables, use=bodies.use
            )
            database = cls(core, readers, committer, subscriptions, store=store, bodies=bodies, duties=duties)
            sweeper = SubtreeSweeper(database, tables.catalogue.known, clock=clock)
            follower = Follower(core, kv, committer)
            async with database._running(follower, flusher, sweeper, UseReplies(core, follower.sync)):
                log.info("database_open", epoch=database.epoch, position=str(database.position))
                yield database

    @asynccontextmanager
    async def _running(
        self, follower: Follower, flusher: Flusher, sweeper: SubtreeSweeper, replies: UseReplies
    ) -> AsyncIterator[None]:
        failure: Exception | None = None
        try:
            async with asyncio.TaskGroup() as group:
                loops = [
                    group.create_task(self._committer.run(), name="datamanager-commit"),
                    group.create_task(self._core.apply_forever(), name="datamanager-apply"),
                    group.create_task(follower.follow_head(), name="datamanager-follow-head"),
                    group.create_task(follower.follow_flushed(), name="datamanager-follow-flushed"),
                    group.create_task(follower.check(asyncio.sleep), name="datamanager-check"),
                    group.create_task(flusher.run(), name="datamanager-flush"),
                    group.create_task(self._store.run(), name="datamanager-store-watch"),
                    group.create_task(self._core.until_lost(), name="datamanager-lost"),
                    group.create_task(self._duties.run(), name="datamanager-duties"),
                    group.create_task(self._keeper.run(), name="datamanager-bodies"),
                    group.create_task(replies.run(), name="datamanager-use-replies"),
                    group.create_task(
                        sweeper.run(self._core.settings.sweep_interval.total_seconds()), name="datamanager-sweep"
                    ),
                ]
                try:
                    yield
                except Exception as error:
                    # The body's own error; it is raised below as itself and not in a group.
                    failure = error
                finally:
                    await self._stop(flusher)
                    for loop in loops:
                        loop.cancel()
        except BaseExceptionGroup as errors:
            fault = fault_in(errors)
            if fault is not None:
                log.warning("read_database_unusable", reason=fault.reason, error=fault.message)
                raise fault from errors
            loss = loss_in(errors)
            if loss is None:
                raise
            raise await self._give_up(loss) from errors
        finally:
            self._open = False
            self._subscriptions.close()
            self._core.end()
        if failure is not None:
            raise failure

    async def _give_up(self, loss: DatabaseLost | DataLoss) -> DatabaseLost:
        """Save what only this server knows; answers the error that ends the database."""
        core = self._core
        log.error("database_lost", reason=loss.reason, error=loss.message)
        try:
            await core.apply_once()
        except Exception as error:  # SQLite's; then what it has is saved
            log.warning("database_lost_unapplied", error=str(error))

        async def read(after: LogSequence) -> list[bytes]:
            limit, size = core.settings.flush_entries, core.settings.flush_bytes
            return await self._readers.raw(lambda database: database.entries_after(after, limit=limit, max_bytes=size))

        return await give_up(
            loss,
            read,
            core.seen,
            stores=core.stores,
            lineage=core.lineage,
            database_id=core.database_id,
            settings=core.settings,
        )

    async def _stop(self, flusher: Flusher) -> None:
        self._open = False
        self._subscriptions.close()
        try:
            async with asyncio.timeout(self._core.settings.stop_timeout.total_seconds()):
                await self._committer.drain()
                await self._core.apply_once()
                await flusher.flush_all()
                await self._newest_head.close()
        except (TimeoutError, SluicewayError) as error:
            log.warning("database_stops_unflushed", unflushed_bytes=self._core.unflushed_bytes, error=str(error))
        finally:
            await self._newest_head.end(Unavailable("this server stops; ask again, or another", reason="STOPPING"))

    # -- the face

    async def transact(self, function: TransactionFunction[T], *, durable: bool = False) -> Committed[T]:
        return await self._committer.transact(function, durable=durable)

    async def commit(
        self,
        actions: Sequence[Action],
        preconditions: Sequence[Precondition] = (),
        groups: Sequence[str] = (),
    ) -> Committed[None]:
        return await self.transact(plain_transaction(actions, preconditions, groups))

    async def read(self, function: Callable[[View], T], *, after: Position | None = None) -> T:
        """See `Database.read`. What this server answered before is always seen."""
        known = self._core.tip.position
        await self._core.wait_applied(known if after is None else max(after, known))
        return await self._readers.view(function)

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
        # Every read waits for the tip, which is at or beyond this head now.
        return (await self._newest_head.ask()).position

    async def _read_head(self) -> HeadMark:
        try:
            look = await self._core.log.look()
            if look.head is None or look.head.sequence != self._core.tip.position.sequence:
                async with self._core.advance:
                    look = await self._core.catch_up()
        except (DatabaseLost, DataLoss) as error:
            loss = loss_in(error)
            if loss is None:
                raise
            self._core.lose(loss)
            raise Unavailable(
                "this server lost its database and opens it again; ask again, or another server",
                reason="DATABASE_LOST",
            ) from error
        return self._core.head if look.head is None else look.head

    async def checkpoint(self) -> Manifest | None:
        """Make a checkpoint of all that is committed now; return None when the database has no entry."""
        return await self._duties.checkpoint()

    def subscribe(
        self, *, after: Position, topics: Sequence[str] = (), on_live: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncGenerator[Applied, None]:
        return self._subscriptions.subscribe(after=after, topics=topics, on_live=on_live)

    @property
    def position(self) -> Position:
        """See `Database.position`: every read waits for it."""
        return self._core.tip.position

    @property
    def epoch(self) -> int:
        return self._core.tip.position.sequence.epoch

    @property
    def bodies(self) -> ColdBodyStore:
        """Where newer manifests are told, and found."""
        return self._bodies

    @property
    def ready(self) -> bool:
        """Whether it is open and etcd answered lately."""
        return self.status().ready

    def status(self) -> DataManagerStatus:
        """Tell where everything is."""
        core = self._core
        silent = core.clock.monotonic() - core.last_heard
        return DataManagerStatus(
            ready=self._open and silent < 3 * core.settings.check_interval.total_seconds(),
            epoch=self.epoch,
            committed=core.tip.position,
            applied=core.applied.value,
            flushed=core.flushed.sequence,
            unflushed_bytes=core.unflushed_bytes,
            silent_for=timedelta(seconds=silent),
            store=self._store.health,
            manifest=self._bodies.covered,
            remote=self._keeper.remote,
            duties=self._duties.status,
        )
