"""Cleans of databases that were written without a server: over a real etcd, and real storages."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sluiceway.records.log.v1 import log_pb2
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.crashpoints import CRASH_POINTS, Crashed, crashing
from sluiceway_common.foundation.errors import DataLoss
from sluiceway_common.runmodel.model import ArchiveKind, Epoch
from sluiceway_server.archives.layout import cache_object, run_object
from sluiceway_server.archives.store import ArchiveStore
from sluiceway_server.datamanager.log.entries import sequence_proto
from sluiceway_server.datamanager.log.epochs import Epochs
from sluiceway_server.datamanager.recovery.storage_in_use import InUse, Reply
from sluiceway_server.datamanager.tables.checkpoint import files_of
from sluiceway_server.datamanager.tables.garbage_collector import Cleaned
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.logs.layout import LogKey
from sluiceway_server.logs.store import LogStore
from sluiceway_server.objectstorage.layout import DATABASE_FOLDERS, FOLDERS
from sluiceway_server.objectstorage.port import ObjectStorage
from sluiceway_server.objectstorage.posix import PosixStorage
from sluiceway_server.runrecords.types import RECORD_TYPES
from sluiceway_server.runs.configs import RunConfigs
from tests.fakes.clock import FakeClock
from tests.fakes.database import FakeDatabase
from tests.support.log_builder import (
    LogBuilder,
    all_keys,
    check_whole,
    checkpointer,
    cleaner,
    contents,
    job,
    local,
    seq,
    stores,
)
from tests.support.store_snapshot import take_snapshot

DAY = timedelta(days=1, minutes=1)
ALL = ("data", "index", "manifest", "wal")


class Base:
    """A database with five manifests, one for each entry, and some orphans."""

    def __init__(self, storage: ObjectStorage, etcd: EtcdStore, prefix: str, folder: Path) -> None:
        self.storage, self.etcd, self.prefix = storage, etcd, prefix
        self.log = LogBuilder(storage, prefix)
        self.maker = checkpointer(storage, etcd, folder, prefix=prefix)

    async def write(self, entries: int = 5) -> Base:
        for n in range(entries):
            self.log.commit(job("j", rank=n), local(f"a{n}"), groups=["g"])
            await self.checkpoint()
        return self

    async def checkpoint(self) -> None:
        await self.maker.run(await self.log.flush(), self.log.lineage)
        await self.log.write_head(self.etcd, self.prefix)

    async def leave_orphans(self) -> None:
        manifest = await stores(self.storage, self.prefix)[0].newest(self.log.lineage)
        assert manifest is not None
        for number, ref in enumerate(files_of(manifest)):
            folder, type_, _ = ref.key.split("/")
            body = await self.storage.get(f"{self.prefix}/{ref.key}")
            await self.storage.put(f"{self.prefix}/{folder}/{type_}/{seq(1, 2)}-{number}-orphan", body)

    async def clean(self, clock: FakeClock) -> Cleaned:
        return await cleaner(self.storage, self.etcd, prefix=self.prefix, clock=clock)(self.log.lineage)

    async def whole(self) -> set[str]:
        return await check_whole(self.storage, self.prefix, self.log.lineage, self.log.mark().sequence)

    async def keys(self, *folders: str) -> set[str]:
        return await all_keys(self.storage, self.prefix, *folders)


async def test_what_is_old_and_not_needed_goes_and_nothing_else(
    any_storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path, clock: FakeClock
) -> None:
    base = await Base(any_storage, etcd, prefix, tmp_path).write()
    await base.leave_orphans()
    before = await base.keys(*ALL)
    assert await base.clean(clock) == Cleaned(), "all is young"
    assert await base.keys(*ALL) == before
    clock.advance(DAY)
    done = await base.clean(clock)
    assert (done.manifests, done.segments, done.unknown, done.stopped) == (2, 3, (), "")
    assert await base.keys("manifest") == {f"manifest/{seq(1, n)}" for n in (3, 4, 5)}
    assert await base.keys("wal") == {f"wal/{seq(1, n)}" for n in (4, 5)}
    named = await base.whole()
    assert await base.keys() == named
    for n in (3, 4, 5):
        manifest = await stores(any_storage, prefix)[0].read(seq(1, n))
        assert await contents(any_storage, prefix, manifest) == base.log.states[seq(1, n)]
    assert await base.clean(clock) == Cleaned(), "a second time there is nothing to do"


async def test_checkpoints_go_on_after_a_clean(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path, clock: FakeClock
) -> None:
    base = await Base(storage, etcd, prefix, tmp_path).write()
    clock.advance(DAY)
    await base.clean(clock)
    await base.write(3)
    newest = await stores(storage, prefix)[0].newest(base.log.lineage)
    assert await contents(storage, prefix, newest) == base.log.model
    assert await base.whole() == await base.keys()


async def test_without_a_manifest_nothing_goes(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path, clock: FakeClock
) -> None:
    base = await Base(storage, etcd, prefix, tmp_path).write(1)
    await base.leave_orphans()
    await storage.delete(f"{prefix}/manifest/{seq(1, 1)}")
    clock.advance(100 * DAY)
    before = await base.keys(*ALL)
    assert await base.clean(clock) == Cleaned()
    assert await base.keys(*ALL) == before


async def test_names_that_are_not_known_stay_and_are_reported(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path, clock: FakeClock
) -> None:
    base = await Base(storage, etcd, prefix, tmp_path).write()
    strange = [
        "README",
        "backup/copy",
        "data/job/notes.txt",
        f"data/{seq(1, 1)}-1-x",
        "epoch/x",
        "index/x",
        "manifest/notes.txt",
        f"manifest/+{str(seq(1, 2))[1:]}",
        "wal/1",
        # Some readers of numbers take it for the name of a segment that is needed.
        f"wal/+{str(seq(1, 4))[1:]}",
    ]
    for key in strange:
        await storage.put(f"{prefix}/{key}", b"mine")
    await storage.put(f"{prefix}x/data/job/{seq(1, 1)}-1-x", b"of another database")
    clock.advance(DAY)
    done = await base.clean(clock)
    assert (done.manifests, done.segments, done.stopped) == (2, 3, "")
    assert done.unknown == tuple(sorted({*strange, "backup/"} - {"backup/copy"}))
    assert {f"wal/{seq(1, n)}" for n in (4, 5)} <= await base.keys("wal")
    for key in strange:
        assert await storage.get(f"{prefix}/{key}") == b"mine"
    assert await storage.head(f"{prefix}x/data/job/{seq(1, 1)}-1-x") is not None


async def one_chunk(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def test_what_other_parts_of_the_server_store_is_known_and_stays(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path, clock: FakeClock
) -> None:
    base = await Base(storage, etcd, prefix, tmp_path).write()
    before = {info.key async for info in storage.list(f"{prefix}/")}
    logs, key = LogStore(storage, clock, prefix=prefix), LogKey("run", "task", Epoch(1, 1), 0)
    for offset in (0, 2):
        await logs.put_segment(key, offset, b"a\n")
    await logs.end(key, 4)
    configs = RunConfigs(FakeDatabase(RECORD_TYPES), storage, clock, inline_bytes=0, prefix=prefix)
    await configs.prepare(pb.RunConfig(cache_group="x").SerializeToString(), "digest")
    archives = ArchiveStore(storage, prefix=prefix)
    digest = hashlib.sha256(b"x").hexdigest()
    for name in (
        *(run_object(kind, "run", digest) for kind in (ArchiveKind.WORKSPACE, ArchiveKind.ARTIFACT)),
        cache_object("cache"),
    ):
        await archives.put(name, one_chunk(b"x"), sha256=digest, size=1)
    in_use = InUse(storage, prefix=prefix)
    await in_use.probe("probe")
    await in_use.reply(Reply("probe", "server", "etcd", seq(1, 1), ""))
    others = {info.key async for info in storage.list(f"{prefix}/")} - before
    assert {key.removeprefix(f"{prefix}/").partition("/")[0] for key in others} == {*FOLDERS} - {*DATABASE_FOLDERS}
    clock.advance(100 * DAY)
    done = await base.clean(clock)
    assert (done.unknown, done.stopped) == ((), "")
    assert others <= {info.key async for info in storage.list(f"{prefix}/")}


async def test_void_objects_go_after_a_day_and_links_of_epochs_stay(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path, clock: FakeClock
) -> None:
    base = await Base(storage, etcd, prefix, tmp_path).write(5)
    base.log.begin_epoch(accepted=seq(1, 3))
    base.log.commit(local("later"))
    await base.log.flush()
    await base.log.write_head(etcd, prefix)
    clock.advance(DAY)
    done = await base.clean(clock)
    assert done.manifests == 2, "the void ones: of the history there are three"
    assert await base.keys("manifest") == {f"manifest/{seq(1, n)}" for n in (1, 2, 3)}
    assert await base.keys("wal") == {f"wal/{seq(*n)}" for n in ((1, 2), (1, 3), (2, 1))}
    assert await base.keys() == await base.whole()
    await base.checkpoint()
    newest = await stores(storage, prefix)[0].newest(base.log.lineage)
    assert await contents(storage, prefix, newest) == base.log.model


async def test_a_server_whose_epoch_is_over_deletes_nothing(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path, clock: FakeClock
) -> None:
    base = await Base(storage, etcd, prefix, tmp_path).write()
    clock.advance(DAY)
    before = await base.keys(*ALL)
    old = base.log.lineage
    base.log.begin_epoch(accepted=seq(1, 3))
    await base.log.flush()
    left_behind = cleaner(storage, etcd, prefix=prefix, clock=clock)
    assert "objects of epoch 2" in (await left_behind(old)).stopped
    await base.log.write_head(etcd, prefix)
    assert "not in epoch 1" in (await left_behind(old)).stopped
    assert await base.keys(*ALL) - {f"wal/{seq(2, 1)}"} == before


async def test_a_recovery_that_begins_stops_a_clean(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path, clock: FakeClock
) -> None:
    base = await Base(storage, etcd, prefix, tmp_path).write()
    await base.leave_orphans()
    clock.advance(DAY)
    epochs = Epochs(storage, prefix=prefix)

    class Recovering:
        """Epoch 2 begins while the first manifest is deleted."""

        def __getattr__(self, name: str) -> object:
            return getattr(storage, name)

        async def delete(self, key: str) -> None:
            await epochs.put(log_pb2.Epoch(number=2, accepted=sequence_proto(seq(1, 5)), database_id="database"))
            clock.advance(timedelta(minutes=1))
            await storage.delete(key)

    done = await cleaner(Recovering(), etcd, prefix=prefix, clock=clock)(base.log.lineage)  # type: ignore[arg-type]
    assert (done.manifests, done.files, done.segments) == (1, 0, 0)
    assert done.stopped == "a new epoch began"
    assert "recovery" in (await base.clean(FakeClock(datetime.now(UTC)))).stopped
    clock.advance(DAY)
    assert not (await base.clean(clock)).stopped, "one that came to nothing holds cleaning up for a day only"


async def test_cleaner_that_wakes_after_a_week_keeps_new_objects(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path, clock: FakeClock
) -> None:
    base = await Base(storage, etcd, prefix, tmp_path).write()
    await base.leave_orphans()
    clock.advance(DAY)
    orphans = sorted(await base.keys() - await base.whole())
    manifests, _ = stores(storage, prefix)
    slept = False

    class Sleepy:
        """Pause for a week before the first deletion; then there is a manifest that names the last file."""

        def __getattr__(self, name: str) -> object:
            return getattr(storage, name)

        async def delete(self, key: str) -> None:
            nonlocal slept
            if not slept and "/data/" in key:
                slept = True
                clock.advance(timedelta(days=7))
                manifest = await manifests.newest(base.log.lineage)
                assert manifest is not None
                ref = files_of(manifest)[int(orphans[-1].split("-")[-2])]  # it is a copy of this one
                ref.key = orphans[-1]
                manifest.sequence.counter = 6
                assert await manifests.put(manifest)
            await storage.delete(key)

    done = await cleaner(Sleepy(), etcd, prefix=prefix, clock=clock)(base.log.lineage)  # type: ignore[arg-type]
    assert slept
    assert not done.stopped
    left = await base.keys()
    assert orphans[-1] in left, "a file that a new manifest names stays, whatever was chosen before"
    assert not left & set(orphans[:-1])


async def test_two_cleaners_at_once(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path, clock: FakeClock
) -> None:
    base = await Base(storage, etcd, prefix, tmp_path).write(8)
    await base.leave_orphans()
    clock.advance(DAY)
    done = await asyncio.gather(*(base.clean(clock) for _ in range(3)))
    assert any(not item.stopped for item in done)
    assert await base.keys() == await base.whole()


async def test_a_damaged_manifest_stops_cleaning(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path, clock: FakeClock
) -> None:
    base = await Base(storage, etcd, prefix, tmp_path).write()
    key = f"{prefix}/manifest/{seq(1, 4)}"
    await storage.put(key, (await storage.get(key))[:-1])
    clock.advance(DAY)
    before = await base.keys(*ALL)
    with pytest.raises(DataLoss, match=key):
        await base.clean(clock)
    assert await base.keys(*ALL) == before


# -- crashes


def at_hit(number: int, hits: list[str]) -> Callable[[str], None]:
    """Note each crash point that is met, and die at one of them."""

    def hit(name: str) -> None:
        hits.append(name)
        if len(hits) == number:
            raise Crashed(name)

    return hit


CLEAN_POINTS = {
    f"clean.{when}-{what}" for when in ("before", "after") for what in ("mark", "manifest", "file", "segment")
}


async def test_a_clean_that_dies_anywhere_leaves_a_whole_database(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path, clock: FakeClock
) -> None:
    assert {name for name in CRASH_POINTS if name.startswith("clean.")} == CLEAN_POINTS
    base = await Base(storage, etcd, prefix, tmp_path).write(5)
    await base.leave_orphans()
    snapshot = await take_snapshot(etcd, prefix, tmp_path / "objects")
    clock.advance(DAY)
    met: set[str] = set()
    ended = False
    for number in range(1, 1000):
        await snapshot.restore()
        hits: list[str] = []
        with crashing(at_hit(number, hits), *CLEAN_POINTS):
            try:
                await base.clean(clock)
            except Crashed:
                ended = False
            else:
                ended = True
        met.update(hits)
        await base.whole()
        await base.clean(clock)
        assert await base.keys() == await base.whole()
        assert await base.keys("manifest") == {f"manifest/{seq(1, n)}" for n in (3, 4, 5)}
        if ended:
            break
    assert ended
    assert met == CLEAN_POINTS


CHECKPOINT_POINTS = {name for name in CRASH_POINTS if name.startswith("checkpoint.")}


async def test_crashed_checkpoint_leaves_no_orphan_after_the_next(
    etcd: EtcdStore, prefix: str, tmp_path: Path, clock: FakeClock
) -> None:
    clock.advance(DAY)
    met: set[str] = set()
    ended = False
    for number in range(1, 1000):
        storage = PosixStorage(tmp_path / f"objects-{number}")
        base = await Base(storage, etcd, f"{prefix}-{number}", tmp_path / str(number)).write(1)
        base.log.commit(job("j", rank=9), job("k"), local("b"), groups=["g"])
        hits: list[str] = []
        with crashing(at_hit(number, hits), *CHECKPOINT_POINTS):
            try:
                await base.checkpoint()
            except Crashed:
                ended = False
            else:
                ended = True
        met.update(hits)
        await base.whole()
        base.log.commit(local("c"))
        another = checkpointer(storage, etcd, tmp_path / str(number), prefix=base.prefix, server_id="two")
        made = await another.run(await base.log.flush(), base.log.lineage)
        assert await contents(storage, base.prefix, made) == base.log.model
        await base.log.write_head(etcd, base.prefix)
        await base.clean(clock)
        assert await base.keys() == await base.whole()
        await storage.close()
        if ended:
            break
    assert ended
    assert met == CHECKPOINT_POINTS - {"checkpoint.before-removal", "checkpoint.after-removal"}


@pytest.mark.parametrize("point", ["checkpoint.before-removal", "checkpoint.after-removal"])
async def test_one_that_dies_while_it_removes_what_it_made_for_nothing(
    point: str, storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path, clock: FakeClock
) -> None:
    base = await Base(storage, etcd, prefix, tmp_path).write(1)
    base.log.commit(local("b"))
    mark = await base.log.flush()
    other = checkpointer(storage, etcd, tmp_path, prefix=prefix, server_id="two")

    class Late:
        """Another server's checkpoint comes just before this one looks at its files."""

        def __getattr__(self, name: str) -> object:
            return getattr(storage, name)

        async def head(self, key: str) -> object:
            await other.run(mark, base.log.lineage)
            return await storage.head(key)

    loser = checkpointer(Late(), etcd, tmp_path, prefix=prefix, server_id="three")  # type: ignore[arg-type]
    with crashing(at_hit(1, []), point), pytest.raises(Crashed):
        await loser.run(mark, base.log.lineage)
    await base.log.write_head(etcd, prefix)
    clock.advance(DAY)
    await base.clean(clock)
    assert await base.keys() == await base.whole()
    newest = await stores(storage, prefix)[0].newest(base.log.lineage)
    assert await contents(storage, prefix, newest) == base.log.model
