"""`DataManager`: the whole database of one server, put together.

    async with DataManager.open(kv=..., storage=..., prefix="sluiceway", path=folder, types=TYPES) as database:
        await database.commit([Put(...)])

`open` checks that etcd and object storage belong together, opens (or makes anew) the read database and catches up;
then it owns the loops: committer, applier, follower, flusher. One that fails ends the `async with` body: a server that
cannot go on with its database must not look alive.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import structlog
from google.protobuf.message import Message

from sluiceway.datamanager.checks import plain_transaction
from sluiceway.datamanager.committer import Committer
from sluiceway.datamanager.core import Core, Diverged
from sluiceway.datamanager.entries import GENESIS_DIGEST, Catalogue
from sluiceway.datamanager.epochs import Epochs, Foundation
from sluiceway.datamanager.flusher import Flusher
from sluiceway.datamanager.follower import Follower
from sluiceway.datamanager.log import HeadMark, Log
from sluiceway.datamanager.model import (
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
from sluiceway.datamanager.port import Committed
from sluiceway.datamanager.queries import plan_list
from sluiceway.datamanager.readdb import AppliedUpTo, ReadDatabase, Tables
from sluiceway.datamanager.readers import Readers
from sluiceway.datamanager.segments import SegmentStore
from sluiceway.datamanager.settings import DataManagerSettings
from sluiceway.datamanager.state import State
from sluiceway.datamanager.store_watch import StoreHealth, StoreWatch
from sluiceway.datamanager.subscriptions import Subscriptions
from sluiceway.datamanager.waiting import SharedCall
from sluiceway.foundation.clock import Clock, IdSource, SystemClock, UuidSource
from sluiceway.foundation.errors import FailedPrecondition, NotFound, SluicewayError
from sluiceway.kv.port import KeyValueStore
from sluiceway.objectstorage.port import ObjectStorage

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
    """

    ready: bool
    epoch: int
    committed: Position
    applied: Position
    flushed: LogSequence
    unflushed_bytes: int
    silent_for: timedelta
    store: StoreHealth


class DataManager:
    """A `Database`: see the module, and `port` for what each method promises."""

    def __init__(
        self,
        core: Core,
        readers: Readers,
        committer: Committer,
        subscriptions: Subscriptions,
        *,
        store: StoreWatch,
    ) -> None:
        """Put together by `open`."""
        self._core = core
        self._store = store
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
    ) -> AsyncIterator[DataManager]:
        """Open the database and keep it until the body ends.

        Args:
            kv: etcd.
            storage: the object storage.
            prefix: of all keys in both, without a slash at the end.
            path: a folder for the read database; this server's own. What is in it may be deleted between runs.
            types: all record types; others that are in the log are carried through.
            clock: for times of entries, ages and waits.
            ids: for the id of a new database.
            settings: see there.

        Raises:
            FailedPrecondition: see `Epochs.establish`; nothing was changed.
            DataLoss: parts of the log are missing or damaged.
            Unavailable: etcd or the object storage is away.
            ExceptionGroup: a loop failed while the body ran; the body was cancelled.
        """
        clock = clock or SystemClock()
        ids = ids or UuidSource(clock)
        settings = settings or DataManagerSettings()
        prefix = prefix.strip("/")
        tables = Tables(Catalogue(types))
        _check_lists(types)
        log_ = Log(kv, prefix=prefix, timeout=settings.etcd_timeout)
        segments = SegmentStore(storage, prefix=prefix)
        foundation = await Epochs(storage, prefix=prefix).establish(
            log_,
            segments,
            writer=settings.server_id,
            etcd_name=settings.etcd_name,
            now=clock.now(),
            new_id=ids.new_id,
        )
        async with AsyncExitStack() as stack:
            writer = ThreadPoolExecutor(1, thread_name_prefix="datamanager")
            stack.push_async_callback(asyncio.to_thread, writer.shutdown, wait=True)
            parts = _Parts(log_, segments, tables, writer, settings, clock, foundation, path / _FILE)
            core, readers, subscriptions = await parts.assemble(stack)
            store = StoreWatch(kv, settings=settings, clock=clock)
            committer = Committer(core, store)
            database = cls(core, readers, committer, subscriptions, store=store)
            async with database._running(Follower(core, kv, committer), Flusher(core, readers)):
                log.info("database_open", epoch=database.epoch, position=str(database.position))
                yield database

    @asynccontextmanager
    async def _running(self, follower: Follower, flusher: Flusher) -> AsyncIterator[None]:
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
        finally:
            self._open = False
            self._subscriptions.close()
        if failure is not None:
            raise failure

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

    # -- the face

    async def transact(self, function: TransactionFunction[T], *, durable: bool = False) -> Committed[T]:
        """See `Database.transact`."""
        return await self._committer.transact(function, durable=durable)

    async def commit(
        self,
        actions: Sequence[Action],
        preconditions: Sequence[Precondition] = (),
        groups: Sequence[str] = (),
    ) -> Committed[None]:
        """See `Database.commit`."""
        return await self.transact(plain_transaction(actions, preconditions, groups))

    async def read(self, function: Callable[[View], T], *, after: Position | None = None) -> T:
        """See `Database.read`. What this server answered before is always seen."""
        known = self._core.tip.position
        await self._core.wait_applied(known if after is None else max(after, known))
        return await self._readers.view(function)

    async def get(self, type_: RecordType[M], id_: str, *, after: Position | None = None) -> M:
        """See `Database.get`."""
        found = await self.read(lambda view: view.get(type_, id_), after=after)
        if found is None:
            await self.linearize()
            found = await self.read(lambda view: view.get(type_, id_))
        if found is None:
            raise NotFound(f"there is no {type_.name} {id_!r}", resource_type=type_.name, resource_name=id_)
        return found

    async def list(self, type_: RecordType[M], query: Query, *, after: Position | None = None) -> Page[M]:
        """See `Database.list`."""
        plan_list(type_, query)
        return await self.read(lambda view: view.select(type_, query), after=after)

    async def linearize(self) -> Position:
        """See `Database.linearize`."""
        # Every read waits for the tip, which is at or beyond this head now.
        return (await self._newest_head.ask()).position

    async def _read_head(self) -> HeadMark:
        look = await self._core.log.look()
        if look.head is None or look.head.sequence != self._core.tip.position.sequence:
            async with self._core.advance:
                look = await self._core.catch_up()
        if look.head is None:
            raise FailedPrecondition("etcd lost the head of this database", reason="ETCD_CHANGED")
        return look.head

    def subscribe(self, *, after: Position, topics: Sequence[str] = ()) -> AsyncGenerator[Applied, None]:
        """See `Database.subscribe`."""
        return self._subscriptions.subscribe(after=after, topics=topics)

    @property
    def position(self) -> Position:
        """See `Database.position`: every read waits for it."""
        return self._core.tip.position

    @property
    def epoch(self) -> int:
        """See `Database.epoch`."""
        return self._core.tip.position.sequence.epoch

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
        )


@dataclass(frozen=True, slots=True)
class _Parts:
    """What `open` puts together before anything runs."""

    log_: Log
    segments: SegmentStore
    tables: Tables
    writer: ThreadPoolExecutor
    settings: DataManagerSettings
    clock: Clock
    foundation: Foundation
    path: Path

    async def assemble(self, stack: AsyncExitStack) -> tuple[Core, Readers, Subscriptions]:
        """Open the read database and catch up; one that does not fit the log is made anew, once."""
        try:
            return await self._assemble(stack, anew=False)
        except Diverged as error:
            log.warning("read_database_diverged", error=str(error))
        return await self._assemble(stack, anew=True)

    async def _assemble(self, stack: AsyncExitStack, *, anew: bool) -> tuple[Core, Readers, Subscriptions]:
        loop = asyncio.get_running_loop()
        database = await loop.run_in_executor(self.writer, lambda: self._open_file(anew=anew))
        try:
            applied = await loop.run_in_executor(self.writer, database.applied_up_to)
            readers = Readers(
                self.path, self.tables, threads=self.settings.read_threads, timeout=self.settings.read_timeout
            )
            subscriptions = Subscriptions(
                readers,
                self.tables.catalogue,
                position=applied.position,
                ring_bytes=self.settings.ring_bytes,
                subscriber_bytes=self.settings.subscriber_bytes,
            )
            core = Core(
                log_=self.log_,
                segments=self.segments,
                lineage=self.foundation.lineage,
                state=State(
                    database,
                    self.tables.catalogue,
                    writer=self.settings.server_id,
                    max_batch_bytes=self.settings.max_batch_bytes,
                ),
                writer=self.writer,
                subscriptions=subscriptions,
                settings=self.settings,
                clock=self.clock,
                applied=applied,
                head=self.foundation.head,
                flushed=self.foundation.flushed,
            )
            async with core.advance:
                await core.catch_up()
            await core.apply_once()
        except BaseException:
            database.close()
            raise
        stack.push_async_callback(loop.run_in_executor, self.writer, database.close)
        stack.push_async_callback(asyncio.to_thread, readers.close)
        return core, readers, subscriptions

    def _open_file(self, *, anew: bool) -> ReadDatabase:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if anew:
            ReadDatabase.delete(self.path)
        database_id = self.foundation.epoch.database_id
        try:
            database = ReadDatabase(self.path, self.tables, writes=True)
            if database.belongs_to(database_id, self.foundation.epoch.number):
                return database
            database.close()
        except ReadDatabase.Damaged as error:
            log.warning("read_database_damaged", error=str(error))
        ReadDatabase.delete(self.path)
        database = ReadDatabase(self.path, self.tables, writes=True)
        start = Position(LogSequence(self.foundation.epoch.number, 0), 0)
        database.create(database_id, AppliedUpTo(start, GENESIS_DIGEST, 0, 0))
        log.info("read_database_made", path=str(self.path))
        return database


def _check_lists(types: Sequence[RecordType[Any]]) -> None:
    """Find faults of declarations at the start and not at the first list."""
    for type_ in types:
        for index in type_.indexes:
            plan_list(type_, Query(order=index))
