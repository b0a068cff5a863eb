"""The start of a database: find one that may be opened, open the replica, catch up, and build all parts.

`find_open_point` checks etcd and the object storage against each other. What the replica of this server knows and the
storage lacks is stored first (`recovery/rescue`). Whether a database is then recovered unasked is for the policy:

    RecoverManually      the operator decides: `sluice db recover`
    RecoverAlways        no other server uses this etcd (`standalone`): in every case
    RecoverIfRolledBack  this process had the database open in the same etcd cluster, and its log now ends before an
                         entry that this process had seen. An empty etcd, or another cluster, may be the wrong one

`open_engine` then opens the replica and catches up with the log; a replica that does not fit the log is rebuilt, once.
Nothing runs yet: `database` starts the loops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import structlog

from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import DataLoss, FailedPrecondition, Unavailable
from sluiceway_server.datamanager.engine.background import BodyEvictor, MaintenanceLoop
from sluiceway_server.datamanager.engine.committer import Committer
from sluiceway_server.datamanager.engine.etcd_capacity import EtcdCapacityMonitor
from sluiceway_server.datamanager.engine.flusher import Flusher
from sluiceway_server.datamanager.engine.follower import Follower
from sluiceway_server.datamanager.engine.log_tip import LogTip
from sluiceway_server.datamanager.engine.write_state import State
from sluiceway_server.datamanager.model import LogSequence, Position
from sluiceway_server.datamanager.port import Seen
from sluiceway_server.datamanager.recovery.diagnosis import (
    Kind,
    OpenPoint,
    StoreDiagnosis,
    diagnose,
    inspect,
    open_or_bootstrap,
)
from sluiceway_server.datamanager.recovery.recovery import Recovery
from sluiceway_server.datamanager.recovery.rescue import rescue_from_file, seen_by_file
from sluiceway_server.datamanager.replica.cold_bodies import ColdBodyStore
from sluiceway_server.datamanager.replica.readers import Readers
from sluiceway_server.datamanager.replica.rebuild import ReplicaFile
from sluiceway_server.datamanager.replica.schema import Tables
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.tables.checkpoint import Checkpointer
from sluiceway_server.datamanager.tables.stores import Stores
from sluiceway_server.kv.port import KeyValueStore
from sluiceway_server.objectstorage.port import ObjectStorage

log = structlog.get_logger(__name__)

_OF_OWN_ETCD = frozenset({Kind.ETCD_EMPTY, Kind.ETCD_BEHIND, Kind.ETCD_TORN, Kind.OTHER_CLUSTER})


@dataclass(frozen=True, slots=True)
class RecoverManually:
    """The operator decides: `sluice db recover`."""

    def allows(self, diagnosis: StoreDiagnosis) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class RecoverAlways:
    """Recover in every case: no other server uses this etcd."""

    def allows(self, diagnosis: StoreDiagnosis) -> bool:
        return diagnosis.kind in _OF_OWN_ETCD


@dataclass(frozen=True, slots=True)
class RecoverIfRolledBack:
    """Recover from an etcd that went back under this process; `seen` is that of the `DatabaseLost` that it raised."""

    seen: Seen

    def allows(self, diagnosis: StoreDiagnosis) -> bool:
        # A storage that is ahead is not enough: somebody may have recovered it with another etcd. To recover it again
        # from here would make two halves of a database that take turns in giving up each other's entries.
        found = diagnosis.holdings
        cluster = next((epoch.cluster_id for epoch in found.epochs if epoch.number == self.seen.sequence.epoch), None)
        return (
            diagnosis.kind is Kind.ETCD_BEHIND
            and cluster == found.cluster_id
            and found.head is not None
            and found.head.sequence < self.seen.sequence
        )


RecoverPolicy = RecoverManually | RecoverAlways | RecoverIfRolledBack


@dataclass(frozen=True, slots=True)
class Place:
    """Where a database is, and how this server works with it: the arguments of `DataManager.open`."""

    kv: KeyValueStore
    storage: ObjectStorage
    prefix: str
    folder: Path
    tables: Tables
    settings: DataManagerSettings
    clock: Clock
    ids: IdSource

    @property
    def file(self) -> Path:
        return self.folder / "read.sqlite"

    def stores(self) -> Stores:
        """Return fresh stores: what others checked before a recovery does not hold after it."""
        timeout, name = self.settings.etcd_timeout, self.settings.etcd_name
        return Stores(self.kv, self.storage, prefix=self.prefix, etcd_timeout=timeout, etcd_name=name)


async def find_open_point(place: Place, policy: RecoverPolicy) -> tuple[Stores, OpenPoint]:
    """Find a healthy database, or begin or recover one; return it with the stores to work with.

    Raises as `DataManager.open`. A `DatabaseLost` means here that etcd changed meanwhile.
    """
    settings, clock = place.settings, place.clock
    stores, found = await _look(place)
    leaving = None
    if isinstance(found, OpenPoint):
        ahead = await _seen_ahead(found, place, policy)
        if ahead is None:
            return stores, found
        leaving = found.epoch.number
        await _rescue(place)
        # With what was rescued the storage is ahead of etcd, too. If nothing could be, this server alone knows.
        diagnosis = diagnose(await inspect(place.stores()), now=clock.now())
        if diagnosis.is_healthy:
            why = f"etcd's log ends at {found.head.sequence}, and this server had seen {ahead}: etcd went back"
            diagnosis = replace(diagnosis, kind=Kind.ETCD_BEHIND, message=f"{why}; run `sluice db recover`")
    else:
        diagnosis = found
        if diagnosis.kind not in {Kind.OTHER_DATABASE, Kind.STORAGE_EMPTY, Kind.EPOCH_MISSING}:
            await _rescue(place)
    allowed = policy.allows(diagnosis)
    log.warning("database_needs_recovery", kind=diagnosis.kind, found=diagnosis.message, allowed=allowed)
    if not allowed:
        raise diagnosis.error()
    # Other servers notice when their watch breaks, or at the next check; what they know shall be stored first.
    alone = isinstance(policy, RecoverAlways)
    quiet = timedelta(0) if alone else settings.check_interval + 3 * settings.flush_interval
    try:
        recovery = Recovery(place.stores(), settings=settings, clock=clock)
        await recovery.recover(cause=diagnosis.message, leaving=leaving, quiet=quiet)
    except FailedPrecondition as error:
        # Somebody else recovered it since it was looked at. What became of it is found out below.
        if error.reason != "NOTHING_TO_RECOVER":
            raise
    stores, found = await _look(place)
    if isinstance(found, StoreDiagnosis):
        raise found.error()
    return stores, found


async def _look(place: Place) -> tuple[Stores, OpenPoint | StoreDiagnosis]:
    stores, settings = place.stores(), place.settings
    found = await open_or_bootstrap(
        stores,
        writer=settings.server_id,
        now=place.clock.now(),
        new_id=place.ids.new_id,
    )
    return stores, found


async def _seen_ahead(found: OpenPoint, place: Place, policy: RecoverPolicy) -> LogSequence | None:
    """Return the newest entry that this server had seen, if etcd's head in the same epoch is before it."""
    seen = [await seen_by_file(place.file, place.tables, found.epoch.database_id)]
    if isinstance(policy, RecoverIfRolledBack):
        seen.append(policy.seen)
    newest = max((item.sequence for item in seen if item is not None), default=found.head.sequence)
    return newest if newest > found.head.sequence and newest.epoch == found.epoch.number else None


async def _rescue(place: Place) -> None:
    try:
        await rescue_from_file(place.file, place.tables, stores=place.stores(), settings=place.settings)
    except (DataLoss, Unavailable) as error:
        # The next caller that needs the storage reports what is wrong with it.
        log.warning("entries_not_rescued", file=str(place.file), error=str(error))


@dataclass(frozen=True, slots=True)
class Engine:
    """The parts of an open database; each has a loop that `database` runs, or is used by those."""

    tip: LogTip
    readers: Readers
    bodies: ColdBodyStore
    capacity: EtcdCapacityMonitor
    committer: Committer
    follower: Follower
    flusher: Flusher
    maintenance: MaintenanceLoop
    evictor: BodyEvictor


async def open_engine(stack: AsyncExitStack, place: Place, policy: RecoverPolicy) -> Engine:
    """Open a database without starting anything; `stack` closes what was opened. Raises as `find_open_point`."""
    settings, clock = place.settings, place.clock
    stores, point = await find_open_point(place, policy)
    writer = ThreadPoolExecutor(1, thread_name_prefix="datamanager")
    stack.push_async_callback(asyncio.to_thread, writer.shutdown, wait=True)

    def wait_applied(position: Position) -> Awaitable[None]:
        return tip.wait_applied(position)  # of the last one that was opened below

    bodies = ColdBodyStore(
        stores.files, stores.manifests, point.lineage, wait_applied=wait_applied, timeout=settings.body_timeout
    )
    file = ReplicaFile(place.file, place.tables, writer, stores.files, bodies, point.epoch.database_id, point.lineage)
    try:
        tip, readers = await _open_replica(stack, place, stores, point, file, rebuild=False)
    except DataLoss as error:
        # Of another history, or so far behind that the log after it is cleaned away: the newest manifest may help.
        if error.reason not in ("LOG_DIVERGED", "LOG_GAP"):
            raise
        log.warning("read_database_does_not_fit", error=str(error))
        tip, readers = await _open_replica(stack, place, stores, point, file, rebuild=True)
    capacity, flusher = EtcdCapacityMonitor(place.kv, settings=settings, clock=clock), Flusher(tip, readers)
    checkpointer = Checkpointer(
        stores,
        catalogue=place.tables.catalogue,
        database_id=tip.database_id,
        folder=place.folder,
        settings=settings,
        clock=clock,
    )
    return Engine(
        tip=tip,
        readers=readers,
        bodies=bodies,
        capacity=capacity,
        committer=Committer(tip, capacity, bodies),
        follower=Follower(tip, place.kv),
        flusher=flusher,
        maintenance=MaintenanceLoop(tip, flusher, checkpointer, bodies),
        evictor=BodyEvictor(tip, bodies),
    )


async def _open_replica(
    stack: AsyncExitStack,
    place: Place,
    stores: Stores,
    point: OpenPoint,
    file: ReplicaFile,
    *,
    rebuild: bool,
) -> tuple[LogTip, Readers]:
    loop, settings = asyncio.get_running_loop(), place.settings
    database = await file.open(rebuild=rebuild)
    try:
        applied = await file.in_writer(database.applied_up_to)
        readers = Readers(
            file.path, place.tables, file.bodies.fetch, threads=settings.read_threads, timeout=settings.read_timeout
        )
        tip = LogTip(
            stores=stores,
            open_point=point,
            state=State(database),
            file=file,
            readers=readers,
            settings=settings,
            clock=place.clock,
            applied=applied,
        )
        async with tip.lock:
            await tip.catch_up()
        await tip.apply_once()
    except BaseException:
        database.close()
        raise
    stack.push_async_callback(loop.run_in_executor, file.writer, database.close)
    stack.push_async_callback(asyncio.to_thread, readers.close)
    return tip, readers
