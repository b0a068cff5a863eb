"""Checkpoints and cleans as the duties of running servers: over a real etcd and both storages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.crashpoints import CRASH_POINTS, Crashed, crashing
from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.log.entries import from_sequence_proto
from sluiceway_server.datamanager.log.etcd_log import Log
from sluiceway_server.datamanager.model import Delete, LogSequence
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.kv.port import DeleteKey
from sluiceway_server.objectstorage.port import ObjectStorage
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.fakes.clock import FakeClock
from tests.support.conditions import eventually
from tests.support.databases import FAST, TYPES, contents, flushed, open_database, put
from tests.support.faulty_stores import FaultyStorage
from tests.support.log_builder import JOB, all_keys, check_whole, cleaner, job

SOON = timedelta(seconds=5)
MANUAL = replace(FAST, keep_log_entries=0)
OFTEN = replace(MANUAL, checkpoint_entries=5, duty_interval=timedelta(milliseconds=50))


def newest(database: DataManager) -> LogSequence | None:
    return database.engine.bodies.covered


async def until(holds: Callable[[], bool]) -> None:
    async def condition() -> bool:
        return holds()

    await eventually(condition)


async def fill(database: DataManager, number: int, *, first: int = 0) -> None:
    for n in range(first, first + number):
        await database.commit(
            [put(f"a{n % 17}", f"g{n % 3}", n), *([Delete(put("a3").type, "a3")] if n % 5 == 0 else [])]
        )


# -- asked for


async def test_requested_checkpoint_has_all_that_was_committed(
    etcd: EtcdStore, storage: ObjectStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, settings=MANUAL) as database:
        assert await database.checkpoint() is None
        await fill(database, 12)
        made = await database.checkpoint()
        assert made is not None
        assert from_sequence_proto(made.sequence) == database.position.sequence == newest(database)
        assert await database.checkpoint() == made
        await fill(database, 1)
        again = await database.checkpoint()
        assert again is not None
        assert again.base == made.sequence
        before = await contents(database)
    await check_whole(storage, etcd_prefix.strip("/"), database._tip.lineage, database.position.sequence)
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="anew") as database:
        assert await contents(database) == before


async def test_two_servers_that_are_asked_at_once_both_respond(
    etcd: EtcdStore, storage: ObjectStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    async with (
        open_database(etcd, storage, tmp_path, prefix=etcd_prefix, settings=MANUAL, server_id="one") as one,
        open_database(etcd, storage, tmp_path, prefix=etcd_prefix, settings=MANUAL, server_id="two") as two,
    ):
        for n in range(5):
            await asyncio.gather(fill(one, 3), fill(two, 3))
            wanted = [server.position.sequence for server in (one, two, one)]
            made = await asyncio.gather(one.checkpoint(), two.checkpoint(), one.checkpoint())
            for manifest, position in zip(made, wanted, strict=True):
                assert manifest is not None, n
                assert from_sequence_proto(manifest.sequence) >= position


async def test_a_storage_that_is_away_refuses_one_and_the_next_is_good(
    etcd: EtcdStore, tmp_path: Path, etcd_prefix: str
) -> None:
    storage = PosixStorage(tmp_path / "objects")
    faulty = FaultyStorage(storage)
    async with open_database(etcd, faulty, tmp_path, prefix=etcd_prefix, settings=MANUAL) as database:
        await fill(database, 3)
        faulty.away = True
        with pytest.raises(Unavailable):
            await database.checkpoint()
        faulty.away = False
        made = await database.checkpoint()
        assert made is not None
    await storage.close()


# -- due


async def test_due_checkpoint_is_made_and_other_servers_follow(
    etcd: EtcdStore, storage: ObjectStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, settings=OFTEN, server_id="two") as two:
        async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, settings=OFTEN, server_id="one") as one:
            await fill(one, 4)
            await flushed(one)
            assert newest(one) is None, "four entries are no reason yet"
            await fill(one, 8)
            await until(lambda: (newest(one) or LogSequence(0, 0)).counter >= 8)
            await until(lambda: newest(two) == newest(one))
            assert not one.findings
        # Whoever made the last one may be gone: the other takes over.
        before = newest(two)
        await fill(two, 12)
        await until(lambda: newest(two) != before)
        found = await contents(two)
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="anew") as anew:
        assert await contents(anew) == found


async def test_a_little_that_changed_is_in_a_checkpoint_after_a_while(
    etcd: EtcdStore, storage: ObjectStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    settings = replace(OFTEN, checkpoint_entries=10_000, checkpoint_interval=timedelta(milliseconds=300))
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, settings=settings) as database:
        for n in range(3):
            await fill(database, 1, first=n)
            await until(lambda: newest(database) == database.position.sequence)


async def test_a_clock_that_went_back_does_not_hold_checkpoints_up(
    etcd: EtcdStore, storage: ObjectStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    class Behind(SystemClock):
        def now(self) -> datetime:
            return super().now() - timedelta(days=2000)

    settings = replace(OFTEN, checkpoint_entries=10_000, checkpoint_interval=timedelta(milliseconds=300))
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, settings=settings) as database:
        await fill(database, 1)
        await until(lambda: newest(database) == database.position.sequence)
    async with open_database(
        etcd, storage, tmp_path, prefix=etcd_prefix, settings=settings, server_id="two", clock=Behind()
    ) as database:
        for n in range(3):
            await fill(database, 1, first=n)
            await until(lambda: newest(database) == database.position.sequence)


async def test_a_key_that_was_lost_in_etcd_is_found_by_listing(
    etcd: EtcdStore, storage: ObjectStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    log = Log(etcd, prefix=etcd_prefix.strip("/"), timeout=SOON)
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, settings=MANUAL) as database:
        await fill(database, 3)
        await database.checkpoint()
        made = newest(database)
        assert await log.checkpoint() == made
    await etcd.txn(then=[DeleteKey(log.checkpoint_key)], timeout=SOON)
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, settings=OFTEN, server_id="two") as database:
        await until(lambda: newest(database) == made)

        async def told() -> bool:
            return await log.checkpoint() == made

        await eventually(told)


async def test_damage_is_shown_and_does_not_stop_commits(etcd: EtcdStore, tmp_path: Path, etcd_prefix: str) -> None:
    storage = PosixStorage(tmp_path / "objects")
    prefix = etcd_prefix.strip("/")
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, settings=OFTEN) as database:
        await fill(database, 2)
        await flushed(database)
        (key, *_) = sorted(await all_keys(storage, prefix, "wal"))
        whole = await storage.get(f"{prefix}/{key}")
        await storage.put(f"{prefix}/{key}", whole[:-1] + bytes([whole[-1] ^ 1]))
        await fill(database, 10)
        await until(lambda: any(key in finding for finding in database.findings))
        assert any(key in finding for finding in database.findings)
        await fill(database, 10)
        await flushed(database)
        assert newest(database) is None
        # Once it is restored, one that is asked for need not wait for the next try.
        await storage.put(f"{prefix}/{key}", whole)
        assert await database.checkpoint() is not None
    await storage.close()


async def test_an_object_storage_that_is_away_is_waited_for(etcd: EtcdStore, tmp_path: Path, etcd_prefix: str) -> None:
    class Away:
        """Has everything but the files of checkpoints."""

        def __init__(self, storage: ObjectStorage) -> None:
            self.storage = storage
            self.away = True

        def __getattr__(self, name: str) -> object:
            return getattr(self.storage, name)

        async def upload(self, key: str) -> object:
            if self.away:
                raise Unavailable("the object storage is away for a while")
            return await self.storage.upload(key)

    storage = PosixStorage(tmp_path / "objects")
    away = Away(storage)
    async with open_database(etcd, away, tmp_path, prefix=etcd_prefix, settings=OFTEN) as database:  # type: ignore[arg-type]
        await fill(database, 12)
        await until(lambda: any("away for a while" in finding for finding in database.findings))
        assert newest(database) is None
        away.away = False
        await until(lambda: newest(database) is not None)
        await until(lambda: not database.findings)
    await storage.close()


# -- cleans


async def test_servers_that_checkpoint_and_clean_always_lose_nothing(
    etcd: EtcdStore, storage: ObjectStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    eager = replace(
        OFTEN,
        checkpoint_entries=3,
        duty_interval=timedelta(milliseconds=20),
        clean_interval=timedelta(milliseconds=20),
        manifests_kept_for=timedelta(0),
        manifests_kept=1,
        orphans_after=timedelta(seconds=1),
    )
    prefix = etcd_prefix.strip("/")
    async with (
        open_database(etcd, storage, tmp_path, prefix=etcd_prefix, settings=eager, server_id="one") as one,
        open_database(etcd, storage, tmp_path, prefix=etcd_prefix, settings=eager, server_id="two") as two,
    ):
        for n in range(30):
            await asyncio.gather(fill(one, 3, first=6 * n), fill(two, 3, first=6 * n + 3))

        async def cleaned() -> bool:
            await fill(one, 1)
            manifests = await all_keys(storage, prefix, "manifest")
            segments = await all_keys(storage, prefix, "wal")
            return len(manifests) < 10 and min(segments) > f"wal/{LogSequence(1, 20)}"

        await eventually(cleaned, seconds=30)
        found, position = await contents(one), one.position
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="anew") as anew:
        assert anew.position == position
        assert await contents(anew) == found
        await check_whole(storage, prefix, anew._tip.lineage, position.sequence)


async def test_what_is_not_known_is_shown(
    etcd: EtcdStore, storage: ObjectStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    prefix = etcd_prefix.strip("/")
    await storage.put(f"{prefix}/README", b"mine")
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, settings=OFTEN) as database:
        await fill(database, 12)
        await until(lambda: database.engine.maintenance.unknown_objects == ("README",))


# -- crashes

POINTS = sorted(name for name in CRASH_POINTS if name.startswith("checkpoint.") and "removal" not in name)


@pytest.mark.parametrize("point", POINTS)
async def test_new_server_after_a_crash_makes_the_next_checkpoint(
    point: str, etcd: EtcdStore, tmp_path: Path, etcd_prefix: str
) -> None:
    def die(name: str) -> None:
        raise Crashed(name)

    storage, prefix = PosixStorage(tmp_path / "objects"), etcd_prefix.strip("/")
    open_one = partial(open_database, etcd, storage, tmp_path, prefix=etcd_prefix, settings=MANUAL, types=(*TYPES, JOB))
    async with open_one(server_id="one") as database:
        await fill(database, 10)
        await database.commit([job("j", rank=1, done=True), job("k", rank=2)])
        await database.checkpoint()
        await fill(database, 10, first=5)
        await database.commit([job("j", rank=3, done=True)])
        before, position = await contents(database), database.position
        with crashing(die, point), pytest.raises(Crashed):
            await database.checkpoint()
    async with open_one(server_id="anew") as database:
        assert database.position == position
        assert await contents(database) == before
        assert [(await database.get(JOB, id_)).number for id_ in "jk"] == [3, 2]
        made = await database.checkpoint()
        assert made is not None
        assert from_sequence_proto(made.sequence) == position.sequence
        clock = FakeClock(datetime.now(UTC) + timedelta(days=2))
        await cleaner(storage, etcd, prefix=prefix, clock=clock)(database._tip.lineage)
        named = await check_whole(storage, prefix, database._tip.lineage, position.sequence)
        assert await all_keys(storage, prefix) == named
    await storage.close()
