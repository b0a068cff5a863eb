"""Operations on a database of two record types: fill, checkpoint, verify, export, import."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from sluiceway.records.log.v1 import log_pb2
from sluiceway.records.storage.v1.storage_pb2 import Manifest
from sluiceway_common.foundation.clock import SystemClock, UuidSource
from sluiceway_server.datamanager.admin.export import export_stores
from sluiceway_server.datamanager.admin.import_ import Importer
from sluiceway_server.datamanager.admin.verify import Verifier
from sluiceway_server.datamanager.admin.verify_context import Finding, Progress
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.log.entries import Catalogue
from sluiceway_server.datamanager.model import RecordType, View
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.tables.checkpoint import Checkpointer
from sluiceway_server.datamanager.tables.stores import StoredObjects, Stores
from sluiceway_server.kv.port import KeyValueStore
from sluiceway_server.objectstorage.port import ObjectStorage
from tests.support.backing_stores import PREFIX, BackingStores
from tests.support.databases import FAST, NOTE, flushed, open_database, put
from tests.support.log_builder import JOB, job

__all__ = [
    "MIXED",
    "SETTINGS",
    "check",
    "checkpoint",
    "everything",
    "export",
    "faults",
    "fill",
    "importer",
    "opened",
    "unflushed",
    "written",
]

MIXED: tuple[RecordType[log_pb2.Epoch], ...] = (NOTE, JOB)
SETTINGS = replace(FAST, file_bytes=8 * 1024)
_SECONDS = timedelta(seconds=5)
_ids = UuidSource()


@asynccontextmanager
async def opened(
    backing: BackingStores, server_id: str = "one", *, prefix: str = PREFIX, settings: DataManagerSettings = SETTINGS
) -> AsyncIterator[DataManager]:
    async with open_database(
        backing.kv, backing.storage, backing.folder, prefix=prefix, server_id=server_id, settings=settings, types=MIXED
    ) as database:
        yield database


@asynccontextmanager
async def unflushed(backing: BackingStores) -> AsyncIterator[DataManager]:
    """Yield a server that leaves all its entries in etcd until it ends."""
    async with opened(backing, settings=replace(SETTINGS, flush_interval=timedelta(hours=1))) as database:
        yield database


async def fill(database: DataManager, round_: int, *, records: int = 30, first: int = 0) -> None:
    """Write and change some records, one entry each; the contents depend on all rounds."""
    for n in range(first, first + records):
        text = f"{round_}-{n}" * 20
        id_ = f"{n:03}" if n % 3 else f"{round_}-{n:03}"
        await database.commit(
            [put(f"note-{id_}", "g", n, text), job(f"job-{id_}", group="g", rank=round_, done=n % 2 == 0, text=text)],
            groups=[f"group-{n % 4}"],
        )


async def everything(database: DataManager) -> dict[tuple[str, str], bytes]:
    """Return all records, by type and id, as bytes."""

    def read(view: View) -> dict[tuple[str, str], bytes]:
        return {
            (type_.name, id_): message.SerializeToString(deterministic=True)
            for type_ in MIXED
            for id_, message in view.scan(type_)
        }

    return await database.read(read)


async def checkpoint(backing: BackingStores, *, prefix: str = PREFIX) -> Manifest:
    """Make a checkpoint of the flushed log, as a server does."""
    stores = backing.stores(prefix=prefix)
    look = await stores.log.look()
    assert look.flushed is not None
    epochs = await stores.epochs.all()
    made = await Checkpointer(
        stores,
        catalogue=Catalogue(MIXED),
        database_id=epochs[0].database_id,
        folder=backing.folder / "checkpoints",
        settings=SETTINGS,
        clock=SystemClock(),
    ).run(look.flushed, stores.epochs.lineage_of(epochs, look.flushed.sequence.epoch))
    assert made is not None
    return made


async def check(backing: BackingStores, *, kv: bool = True, prefix: str = PREFIX) -> tuple[list[Finding], Progress]:
    """Verify; return the findings and how much was read."""
    verifier = Verifier(
        _stored(backing.kv if kv else None, backing.storage, prefix),
        types=MIXED,
        scratch=backing.folder / f"verify-{_ids.new_id()}",
        now=SystemClock().now,
    )
    findings: list[Finding] = []
    progress = Progress(0, 0, 0)
    async with aclosing(verifier.run()) as found:
        async for item in found:
            if isinstance(item, Finding):
                findings.append(item)
            else:
                progress = item
    return findings, progress


async def faults(backing: BackingStores, **how: bool) -> list[Finding]:
    """Verify; return the faults."""
    findings, _ = await check(backing, **how)  # type: ignore[arg-type]  # of its two options one is given
    return [finding for finding in findings if finding.is_fault]


def _stored(kv: KeyValueStore | None, storage: ObjectStorage, prefix: str) -> StoredObjects:
    if kv is None:
        return StoredObjects(storage, prefix=prefix)
    return Stores(kv, storage, prefix=prefix, etcd_timeout=_SECONDS)


async def export(kv: KeyValueStore | None, storage: ObjectStorage, path: Path, *, prefix: str = PREFIX) -> Path:
    """Export into a file."""
    pieces = export_stores(_stored(kv, storage, prefix), scratch=path.with_suffix(".scratch"), now=SystemClock().now)
    with path.open("wb") as file:
        async with aclosing(pieces):
            async for piece in pieces:
                assert len(piece) <= 64 * 1024
                file.write(piece)
    return path


def importer(
    backing: BackingStores, file: Path, *, prefix: str = PREFIX, types: Sequence[RecordType[log_pb2.Epoch]] = MIXED
) -> Importer:
    return Importer(
        backing.stores(prefix=prefix),
        file,
        types=types,
        writer="operator",
        now=SystemClock().now,
        new_id=_ids.new_id,
        file_bytes=8 * 1024,
    )


async def written(backing: BackingStores, rounds: int = 2) -> dict[tuple[str, str], bytes]:
    """Write a database with a checkpoint after each round but the last, all of it flushed; return its contents.

    Each round has three segments at least.
    """
    found: dict[tuple[str, str], bytes] = {}
    for round_ in range(rounds):
        async with opened(backing) as database:
            for first in (0, 10, 20):
                await fill(database, round_, records=10, first=first)
                await flushed(database)
            found = await everything(database)
        if round_ < rounds - 1:
            await checkpoint(backing)
    return found
