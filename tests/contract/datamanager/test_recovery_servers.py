"""Servers whose etcd is lost or goes back under them: what they notice, save and do when they open again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sluiceway_common.foundation.crashpoints import Crashed, crashing
from sluiceway_common.foundation.errors import Conflict, FailedPrecondition, Unavailable
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.engine.opening import RecoverAlways, RecoverIfRolledBack
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.port import DatabaseLost
from tests.support.backing_stores import BackingStores, crash_once
from tests.support.conditions import eventually
from tests.support.databases import FAST, contents, count, flushed
from tests.support.faulty_stores import FaultyStorage


def seq(epoch: int, counter: int) -> LogSequence:
    return LogSequence(epoch, counter)


class Server:
    """A server that has its database open until it loses it."""

    def __init__(self, backing: BackingStores, name: str = "one", **options: object) -> None:
        self._open = lambda: backing.database(name, **options)  # type: ignore[arg-type]
        self._ready: asyncio.Future[DataManager] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        async with self._open() as database:
            self._ready.set_result(database)
            await asyncio.Event().wait()

    async def database(self) -> DataManager:
        waiting: set[asyncio.Future[Any]] = {self._ready, self._task}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            self._task.result()
        return self._ready.result()

    async def count(self, times: int) -> None:
        database = await self.database()
        for _ in range(times):
            await database.transact(count)

    async def lost(self) -> DatabaseLost:
        with pytest.raises(DatabaseLost) as caught:
            async with asyncio.timeout(30):
                await self._task
        return caught.value

    async def end(self) -> None:
        self._task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self._task


async def test_acknowledged_writes_survive_when_etcd_goes_back(backing: BackingStores) -> None:
    server = Server(backing)
    await server.count(5)
    await flushed(await server.database())
    copy = backing.snapshot()
    await server.count(10)

    backing.go_back(copy)
    lost = await server.lost()

    assert lost.reason == "ETCD_CHANGED"
    assert lost.seen is not None
    assert lost.seen.sequence == seq(1, 15)
    # Another server that starts now does not decide anything.
    with pytest.raises(FailedPrecondition) as refused:
        async with backing.database("two"):
            pass
    assert refused.value.reason == "ETCD_BEHIND"
    again = Server(backing, recover=RecoverIfRolledBack(lost.seen))
    database = await again.database()
    assert database.epoch == 2
    assert await contents(database) == {"counter": ("", 15)}
    assert (await database.transact(count)).value == 16
    await again.end()
    assert await backing.contents() == {"counter": ("", 16)}


async def test_of_two_servers_the_one_that_knows_more_saves_it(backing: BackingStores) -> None:
    storage = FaultyStorage(backing.storage)
    one, two = Server(backing, "one", storage=storage), Server(backing, "two", storage=storage)
    await one.count(5)
    await flushed(await one.database())
    await (await two.database()).linearize()
    copy = backing.snapshot()
    storage.away = True
    await one.count(3)
    await two.count(4)
    await (await one.database()).linearize()
    storage.away = False
    backing.go_back(copy)
    losses = await asyncio.gather(one.lost(), two.lost())
    assert {loss.reason for loss in losses} <= {"ETCD_CHANGED", "EPOCH_CHANGED", "LOG_DIVERGED"}
    again = [
        Server(backing, name, recover=RecoverIfRolledBack(loss.seen))
        for name, loss in zip(("one", "two"), losses, strict=True)
        if loss.seen
    ]
    assert again, "one at least has seen what etcd lost"
    for server in again:
        database = await server.database()
        assert database.epoch == 2
        assert await contents(database) == {"counter": ("", 12)}
    for server in again:
        await server.end()


async def test_wiped_etcd_is_not_recovered_by_a_server_that_shares_it(backing: BackingStores) -> None:
    server = Server(backing)
    await server.count(5)
    backing.wipe()
    lost = await server.lost()
    assert lost.reason == "ETCD_CHANGED"
    assert lost.seen is not None
    with pytest.raises(FailedPrecondition) as caught:
        async with backing.database(recover=RecoverIfRolledBack(lost.seen)):
            pass
    assert caught.value.reason == "ETCD_EMPTY"
    assert (await backing.recover()).accepted == seq(1, 5)
    assert await backing.contents() == {"counter": ("", 5)}


async def test_a_server_with_an_etcd_of_its_own_recovers_by_itself(backing: BackingStores) -> None:
    expected: dict[str, tuple[str, int]] = {}
    for epoch in range(1, 4):
        async with backing.database(recover=RecoverAlways()) as database:
            assert database.epoch == epoch
            for _ in range(5):
                await database.transact(count)
            expected = await contents(database)
        backing.wipe()
    async with backing.database(recover=RecoverAlways()) as database:
        assert await contents(database) == expected == {"counter": ("", 15)}


async def killed(backing: BackingStores, times: int) -> None:
    """A server writes what is never flushed, and dies as by kill -9: only etcd and its read database have it."""
    storage = FaultyStorage(backing.storage)
    storage.away = True
    settings = replace(FAST, stop_timeout=timedelta(milliseconds=10))
    async with backing.database(storage=storage, settings=settings) as database:
        for _ in range(times):
            await database.transact(count)
        await database.read(lambda view: view.position)


async def test_entries_only_in_a_replica_are_rescued_at_its_start(backing: BackingStores) -> None:
    await backing.written(5)
    await killed(backing, 7)
    backing.wipe()
    with pytest.raises(FailedPrecondition) as caught:
        async with backing.database():
            pass
    assert caught.value.reason == "ETCD_EMPTY"
    recovered = await backing.recover()
    assert recovered.accepted == seq(1, 12)
    assert await backing.contents() == {"counter": ("", 12)}


@pytest.mark.parametrize("point", ["recover.before-rescue", "recover.after-rescue"])
async def test_a_server_that_dies_while_it_saves_does_it_again(point: str, backing: BackingStores) -> None:
    await backing.written(5)
    await killed(backing, 7)
    backing.wipe()
    with crashing(crash_once(), point), pytest.raises(Crashed):
        async with backing.database(recover=RecoverAlways()):
            pass
    async with backing.database(recover=RecoverAlways()) as database:
        assert await contents(database) == {"counter": ("", 12)}


async def test_entries_are_rescued_later_when_the_storage_is_away(backing: BackingStores) -> None:
    storage = FaultyStorage(backing.storage)
    settings = replace(FAST, rescue_timeout=timedelta(milliseconds=200), stop_timeout=timedelta(milliseconds=200))
    server = Server(backing, storage=storage, settings=settings)
    await server.count(5)
    await flushed(await server.database())
    copy = backing.snapshot()
    storage.away = True
    await server.count(10)
    await (await server.database()).read(lambda view: view.position)
    backing.go_back(copy)
    lost = await server.lost()
    assert "may be in its read database only" in lost.message
    assert lost.seen is not None
    again = Server(backing, recover=RecoverIfRolledBack(lost.seen))
    assert await contents(await again.database()) == {"counter": ("", 15)}
    await again.end()


async def test_server_that_wakes_in_another_epoch_loses_its_database(backing: BackingStores) -> None:
    """Its flusher was about to store entries when it was paused; those are void."""
    gate = Gate(backing)
    server = Server(backing, kv=gate.kv, storage=gate.storage)
    await server.count(5)
    await flushed(await server.database())
    gate.closed = True
    backing.wipe()
    assert (await backing.recover()).accepted == seq(1, 5)
    await backing.written(3, server_id="two")
    await gate.open()
    lost = await server.lost()
    assert lost.reason in {"ETCD_CHANGED", "EPOCH_CHANGED"}
    async with backing.database() as database:
        assert database.epoch == 2
        assert await contents(database) == {"counter": ("", 8)}


class Gate:
    """Holds every call of one server to both stores while it is closed, as if its process were paused."""

    def __init__(self, backing: BackingStores) -> None:
        self.closed = False
        self._opened = asyncio.Event()
        self.kv = _Held(backing.kv, self)
        self.storage = _Held(backing.storage, self)

    async def passing(self) -> None:
        if self.closed:
            await self._opened.wait()

    async def open(self) -> None:
        self.closed = False
        self._opened.set()


class _Held:
    def __init__(self, store: object, gate: Gate) -> None:
        self._store = store
        self._gate = gate

    def __getattr__(self, name: str) -> object:
        call = getattr(self._store, name)
        if name in {"watch", "list"}:
            return call

        async def held(*arguments: object, **options: object) -> object:
            await self._gate.passing()
            return await call(*arguments, **options)

        return held


async def test_read_of_a_lost_database_is_unavailable(backing: BackingStores) -> None:
    server = Server(backing, settings=replace(FAST, check_interval=timedelta(seconds=60)))
    await server.count(3)
    database = await server.database()
    await backing.restore(seq(1, 2))

    async def read() -> None:
        while True:
            await database.linearize()

    with pytest.raises(Unavailable):
        await read()
    assert (await server.lost()).reason == "EPOCH_CHANGED"


async def test_a_durable_commit_is_not_resolved_by_another_epoch(backing: BackingStores) -> None:
    storage = FaultyStorage(backing.storage)
    server = Server(backing, storage=storage)
    await server.count(3)
    await flushed(await server.database())
    storage.away = True
    database = await server.database()
    durable = asyncio.create_task(database.transact(count, durable=True))
    await eventually(lambda: _has(database, 4))
    # Everything after 3 is given up.
    await backing.restore(seq(1, 3))
    await server.lost()
    with pytest.raises(Conflict) as caught:
        async with asyncio.timeout(30):
            await durable
    assert caught.value.reason == "OUTCOME_UNKNOWN"
    assert await backing.contents() == {"counter": ("", 3)}


async def _has(database: DataManager, counter: int) -> bool:
    return database.position.sequence.counter >= counter
