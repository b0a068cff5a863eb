"""A process that uses a database in every way and dies at a crash point, and one that inspects what is left.

    python -m tests.support.crash_victim

Reads jobs from standard input, one JSON object a line, and runs each in a forked process, so that modules are loaded
once. It prints a line for each: how the process ended.

    {"work": "live", "crash_at": "flush.after-segment:3", ...}    runs until it is killed there
    {"work": "inspect", ...}                                      opens what is left, compares, verifies

Acknowledged work is in the file `acks`, a line each, written and synced before the next step:
`put <id> <rank>`, `delete <id>`, `count <value>`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from sluiceway_common.foundation.clock import SystemClock, UuidSource
from sluiceway_common.foundation.crashpoints import arm_from_environment
from sluiceway_common.foundation.errors import Conflict, FailedPrecondition, Unavailable
from sluiceway_server.datamanager.admin.export import export_stores
from sluiceway_server.datamanager.admin.import_ import Importer
from sluiceway_server.datamanager.admin.verify import Verifier
from sluiceway_server.datamanager.admin.verify_context import Finding
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.engine.opening import RecoverAlways
from sluiceway_server.datamanager.model import Decision, Delete, LogSequence, Put, View
from sluiceway_server.datamanager.recovery.recovery import Recovery
from sluiceway_server.datamanager.replica.deleted_subtrees import TOMBSTONE, delete_subtree
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.tables.garbage_collector import GarbageCollector
from sluiceway_server.datamanager.tables.stores import Stores
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.kv.port import DeletePrefix, KeyValueStore, PutKey
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.properties.workload import LEAF, NOTE, TYPES, WORK
from tests.support.conditions import eventually
from tests.support.databases import note
from tests.support.faulty_stores import FaultyStorage

__all__ = ["Job", "main"]

_TIMEOUT = timedelta(seconds=5)
_SETTINGS = DataManagerSettings(
    server_id="victim",
    flush_interval=timedelta(milliseconds=20),
    flush_entries=4,
    keep_log_entries=2,
    file_bytes=1500,
    manifests_kept=1,
    body_retention=timedelta(0),
    body_interval=timedelta(milliseconds=20),
    duty_interval=timedelta(hours=1),
    sweep_interval=timedelta(milliseconds=20),
    check_interval=timedelta(milliseconds=200),
    stop_timeout=timedelta(milliseconds=300),
)


@dataclass(frozen=True)
class Job:
    """What to run, and where. `prefix` has no slash at its end; an import goes to `<prefix>-copy`."""

    work: str
    endpoint: str
    prefix: str
    folder: str
    crash_at: str = ""

    @property
    def acks(self) -> Path:
        return Path(self.folder) / "acks"

    @property
    def result(self) -> Path:
        """Return the file in which `inspect` leaves its findings."""
        return Path(self.folder) / "result.json"

    @property
    def copy(self) -> str:
        return f"{self.prefix}-copy"

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"


class _Clock(SystemClock):
    """The machine's clock, some days ahead when asked."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


class _HeldStorage:
    """Holds uploads until they are released."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        self.waits = asyncio.Event()
        self.release = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def upload(self, key: str) -> Any:
        self.waits.set()
        await self.release.wait()
        return await self._storage.upload(key)


class _NoEpochs:
    """A storage that refuses epoch objects: an import fails there and leaves its files."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def put_if_absent(self, key: str, body: bytes) -> bool:
        if "/epoch/" in key:
            raise Unavailable("the object storage is away")
        return bool(await self._storage.put_if_absent(key, body))


class _Victim:
    """One run through every crash point."""

    def __init__(self, job: Job, kv: KeyValueStore, storage: PosixStorage) -> None:
        self._job = job
        self._kv = kv
        self._storage = FaultyStorage(storage)
        self._clock = _Clock()
        self._acks = job.acks.open("a")
        self._number = 0
        self._counted = 0

    async def live(self) -> None:
        """Run through every crash point."""
        first = await self._work_and_clean()
        await self._go_back_to(first)
        older = await self._work_with_the_storage_away()
        await self._lose_etcd(older)
        await self._import()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[DataManager]:
        async with _opened(self._job, self._kv, self._storage, self._clock, "victim") as database:
            yield database

    def _acknowledged(self, line: str) -> None:
        self._acks.write(line + "\n")
        self._acks.flush()
        os.fsync(self._acks.fileno())

    async def _write(self, database: DataManager, times: int) -> LogSequence:
        """Commit some records; return the position of the last one."""
        last = database.position.sequence
        for _ in range(times):
            self._number += 1
            number = self._number
            type_ = (NOTE, WORK)[number % 2]
            await database.commit([Put(type_, f"v/{number:04}", note("red", number, "x" * 60))])
            self._acknowledged(f"put v/{number:04} {number}")

            def count(view: View) -> Decision[int]:
                old = view.get(NOTE, "counter")
                value = (old.number if old else 0) + 1
                return Decision(value, [Put(NOTE, "counter", note("", value))])

            last = (await database.transact(count)).position.sequence
            self._counted += 1
            self._acknowledged(f"count {self._counted}")
            if number % 4 == 0:
                last = (
                    await database.commit([Delete((NOTE, WORK)[(number - 2) % 2], f"v/{number - 2:04}")])
                ).position.sequence
                self._acknowledged(f"delete v/{number - 2:04}")
        return last

    async def _work_and_clean(self) -> LogSequence:
        async with self._open() as database:
            await self._write(database, 6)
            await database.checkpoint()
            await self._write(database, 6)
            await self._be_overtaken(database)
            for _ in range(2):
                await self._write(database, 4)
                await database.checkpoint()
            await self._delete_subtree(database)
            self._clock.ahead = timedelta(days=3)
            tip = database.engine.tip
            done = await GarbageCollector(tip.stores, tip.lineage, tip.settings, tip.clock).run()
            if not (done.manifests and done.files and done.segments):
                raise AssertionError(f"nothing was cleaned: {done}")
            await self._write(database, 2)
            self._storage.away = True
            last = await self._write(database, 2)
        self._storage.away = False
        return last

    async def _delete_subtree(self, database: DataManager) -> None:
        """Delete the head of a large subtree, and wait until the rest is removed."""
        leaves = [Put(LEAF, f"leaf/{number}", note("parent", number)) for number in range(5)]
        await database.commit([Put(NOTE, "parent", note("", 1)), *leaves])
        await database.commit(delete_subtree(NOTE, "parent", now=self._clock.now()))
        self._acknowledged("delete parent")
        for number in range(5):
            self._acknowledged(f"delete leaf/{number}")

        async def swept() -> bool:
            return not await database.read(lambda view: list(view.scan(TOMBSTONE)))

        await eventually(swept)

    async def _be_overtaken(self, database: DataManager) -> None:
        """Make a checkpoint during which another server makes a newer one."""
        held = _HeldStorage(self._storage)
        late = replace(_SETTINGS, server_id="late")
        folder = Path(self._job.folder) / "late"
        async with _opened(self._job, self._kv, held, self._clock, "late", settings=late, path=folder) as other:
            maintenance = other.engine.maintenance
            await other.linearize()
            await maintenance._flusher.flush_all()
            running = asyncio.create_task(
                maintenance._checkpointer.run(maintenance._tip.flushed, maintenance._tip.lineage)
            )
            await held.waits.wait()
            await database.checkpoint()
            held.release.set()
            try:
                await running
            except Conflict:
                return
        raise AssertionError("the late checkpoint was not overtaken")

    def _stores(self) -> Stores:
        return Stores(self._kv, self._storage, prefix=self._job.prefix, etcd_timeout=_TIMEOUT)

    async def _go_back_to(self, last: LogSequence) -> None:
        """Restore to the last entry, which only etcd has: nothing is lost."""
        recovery = Recovery(self._stores(), settings=_SETTINGS, clock=self._clock)
        await recovery.restore(last, cause="the test says so")

    async def _work_with_the_storage_away(self) -> dict[str, bytes]:
        """Return the data of etcd before the last entries, which only this server's replica has."""
        async with self._open() as database:
            await self._write(database, 2)
            await database.checkpoint()
            found, _ = await self._kv.list_prefix(f"{self._job.prefix}/db/", timeout=_TIMEOUT)
            self._storage.away = True
            await self._write(database, 3)
        self._storage.away = False
        return {item.key: item.value for item in found}

    async def _lose_etcd(self, older: dict[str, bytes]) -> None:
        """Set etcd back; the server detects it at its start."""
        await self._kv.txn(then=[DeletePrefix(f"{self._job.prefix}/db/")], timeout=_TIMEOUT)
        await self._kv.txn(then=[PutKey(key, value) for key, value in older.items()], timeout=_TIMEOUT)
        async with self._open() as database:
            if database.epoch < 3:
                raise AssertionError(f"the database was not recovered: it is in epoch {database.epoch}")
            await self._write(database, 2)

    async def _import(self) -> None:
        await _import(self._job, self._kv, _NoEpochs(self._storage), fails=True)
        await _import(self._job, self._kv, self._storage)


@asynccontextmanager
async def _opened(
    job: Job,
    kv: KeyValueStore,
    storage: Any,
    clock: SystemClock,
    server: str,
    *,
    settings: DataManagerSettings = _SETTINGS,
    path: Path | None = None,
    prefix: str = "",
) -> AsyncIterator[DataManager]:
    async with DataManager.open(
        kv=kv,
        storage=storage,
        prefix=prefix or job.prefix,
        path=path or Path(job.folder) / server,
        types=TYPES,
        clock=clock,
        settings=replace(settings, server_id=server),
        recover=RecoverAlways(),
    ) as database:
        yield database


async def _import(job: Job, kv: KeyValueStore, storage: Any, *, fails: bool = False) -> None:
    """Export the database, and import it under another prefix."""
    file = Path(job.folder) / "export"
    scratch = Path(job.folder) / "scratch.sqlite"
    stores = Stores(kv, storage, prefix=job.prefix, etcd_timeout=_TIMEOUT)
    pieces = export_stores(stores, scratch=scratch, now=lambda: datetime.now(UTC))
    with file.open("wb") as target:
        async for piece in pieces:
            target.write(piece)
    importer = Importer(
        Stores(kv, storage, prefix=job.copy, etcd_timeout=_TIMEOUT),
        file,
        types=TYPES,
        writer="importer",
        now=lambda: datetime.now(UTC),
        new_id=UuidSource().new_id,
        file_bytes=1500,
    )
    try:
        await importer.run()
    except Unavailable:
        if not fails:
            raise
    else:
        if fails:
            raise AssertionError("the import was expected to fail")


# -- after the crash


async def _inspect(job: Job, kv: KeyValueStore, storage: PosixStorage) -> dict[str, Any]:
    """Open the database with and without the victim's data folder, verify it, and return the findings."""
    clock = SystemClock()
    async with _opened(job, kv, storage, clock, "victim") as database:
        own = await _contents(database)
        await database.commit([Put(NOTE, "after", note("", 1))])
        async with _opened(job, kv, storage, clock, "second") as second:
            await second.linearize()
            others = await _contents(second)
            faults = await _verify(job, kv, storage, job.prefix)
            await database.checkpoint()
    faults += await _verify(job, kv, storage, job.prefix)
    async with _opened(job, kv, storage, clock, "third") as third:
        from_files = await _contents(third)
    others.pop("note after")
    from_files.pop("note after")
    found: dict[str, Any] = {"own": own, "others": others, "from_files": from_files, "faults": faults}
    if "import" in job.crash_at:
        await _finish_import(job, kv, storage)
        async with _opened(job, kv, storage, clock, "importer", prefix=job.copy) as imported:
            found["imported"] = await _contents(imported)
            found["imported"].pop("note after", None)
        found["faults"] += await _verify(job, kv, storage, job.copy)
    return found


async def _finish_import(job: Job, kv: KeyValueStore, storage: PosixStorage) -> None:
    """Import again, and recover when only the last step is missing, as an operator does."""
    try:
        await _import(job, kv, storage)
    except FailedPrecondition as error:
        if error.reason != "NOT_EMPTY" or "recover" not in error.message:
            # The crash came after the last step.
            return
        stores = Stores(kv, storage, prefix=job.copy, etcd_timeout=_TIMEOUT)
        await Recovery(stores, settings=_SETTINGS, clock=SystemClock()).recover(cause="the import ended early")


async def _contents(database: DataManager) -> dict[str, int]:
    def read(view: View) -> dict[str, int]:
        return {f"{type_.name} {id_}": message.number for type_ in TYPES for id_, message in view.scan(type_)}

    return await database.read(read)


async def _verify(job: Job, kv: KeyValueStore, storage: PosixStorage, prefix: str) -> list[str]:
    verifier = Verifier(
        Stores(kv, storage, prefix=prefix, etcd_timeout=_TIMEOUT),
        types=TYPES,
        scratch=Path(job.folder) / "verify.sqlite",
        now=lambda: datetime.now(UTC),
    )
    return [
        str(found) for found in [item async for item in verifier.run()] if isinstance(found, Finding) and found.is_fault
    ]


# -- the process


async def _work(job: Job) -> None:
    kv, storage = EtcdStore([job.endpoint]), PosixStorage(Path(job.folder) / "objects")
    try:
        if job.work == "live":
            await _Victim(job, kv, storage).live()
        else:
            job.result.write_text(json.dumps(await _inspect(job, kv, storage)))
    finally:
        await storage.close()
        await kv.close()


def _forked(job: Job) -> int:
    """Run a job in a forked process; return its exit status in the form of `subprocess`."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        os.environ["SLUICE_CRASH_AT"] = job.crash_at if job.work == "live" else ""
        arm_from_environment()
        asyncio.run(_work(job))
        code = 0
    except BaseException:
        (Path(job.folder) / f"{job.work}.error").write_text(traceback.format_exc())
    finally:
        os._exit(code)


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    for line in sys.stdin:
        print(_forked(Job(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
