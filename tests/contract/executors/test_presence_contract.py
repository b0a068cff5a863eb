"""Presence of executors, against a real etcd and against the fake that other tests use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.app.server_keys import ServerKeys
from sluiceway_server.executors.presence import GroupDirectory, GroupKeys, GroupSettings, Presence, SessionTakenOver
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.kv.port import KeyValueStore
from sluiceway_server.logs.peers import Peer
from tests.fakes.kv import FakeKeyValueStore
from tests.support.conditions import eventually

FIRST = Presence("g", "e1", "session", "stream-1", "00000001-0000000000000001.000000", "one", slots=2)


@dataclass
class _Etcd:
    kv: KeyValueStore
    prefix: str

    def settings(self, server: str, lease: timedelta = timedelta(seconds=2)) -> GroupSettings:
        return GroupSettings(self.prefix, server, lease=lease, renew=timedelta(milliseconds=300))

    def keys(self, server: str = "one", lease: timedelta = timedelta(seconds=2)) -> GroupKeys:
        return GroupKeys(self.kv, SystemClock(), settings=self.settings(server, lease))

    @asynccontextmanager
    async def directory(self) -> AsyncIterator[GroupDirectory]:
        directory = GroupDirectory(self.kv, SystemClock(), settings=self.settings("watcher"))
        running = asyncio.create_task(directory.run())
        try:
            async with asyncio.timeout(30):
                await directory.ready()
            yield directory
        finally:
            running.cancel()
            await asyncio.wait([running])


@pytest.fixture(params=["etcd", "fake"])
async def etcd(request: pytest.FixtureRequest, etcd_prefix: str) -> AsyncIterator[_Etcd]:
    store: KeyValueStore
    if request.param == "etcd":
        store = EtcdStore([request.getfixturevalue("etcd_endpoint")])
    else:
        store = FakeKeyValueStore(SystemClock())
    yield _Etcd(store, etcd_prefix.rstrip("/"))
    await store.close()


async def _until(directory: GroupDirectory, holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while True:
            changed = directory.watch()
            if holds():
                return
            await changed.wait()


async def test_every_server_sees_executors_connect_and_disconnect(etcd: _Etcd) -> None:
    keys = etcd.keys()
    async with etcd.directory() as directory:
        await keys.announce(FIRST)
        await keys.announce(replace(FIRST, id="e2", stream="stream-2"))
        await _until(directory, lambda: directory.members("g") == ("e1", "e2"))
        assert directory.siblings("g", "e1") == ("e2",)
        assert directory.find("g", "e1") == FIRST
        assert [view.slots for view in directory.live()] == [2, 2]
        await keys.withdraw(FIRST)
        await _until(directory, lambda: directory.members("g") == ("e2",))


async def test_keys_of_a_server_that_died_expire_with_its_lease(etcd: _Etcd) -> None:
    keys = etcd.keys()
    async with etcd.directory() as directory:
        await keys.announce(FIRST)
        await _until(directory, lambda: directory.members("g") == ("e1",))
        # Nobody renews. The fake removes what has run out when it is asked anything; the probe of the directory asks.
        await _until(directory, lambda: directory.members("g") == ())
    assert not keys.is_valid("g")


async def test_lease_that_is_renewed_keeps_its_keys(etcd: _Etcd) -> None:
    keys = etcd.keys(lease=timedelta(seconds=6))  # a busy machine may renew it late
    running = asyncio.create_task(keys.run())
    async with etcd.directory() as directory:
        await keys.announce(FIRST)
        await _until(directory, lambda: directory.members("g") == ("e1",))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(8):
                await _until(directory, lambda: directory.members("g") == ())
        assert keys.is_valid("g")
        running.cancel()
        await asyncio.wait([running])
        # A server that ends well takes its keys along at once.
        await _until(directory, lambda: directory.members("g") == ())


async def test_lease_that_expired_is_granted_again_with_its_keys(etcd: _Etcd) -> None:
    keys = etcd.keys()
    await keys.announce(FIRST)
    async with etcd.directory() as directory:
        await _until(directory, lambda: directory.members("g") == ())
        await keys.renew()
        await _until(directory, lambda: directory.members("g") == ("e1",))
    assert keys.is_valid("g")


async def test_key_of_a_later_hello_is_not_changed_by_an_earlier(etcd: _Etcd) -> None:
    one, two = etcd.keys("one"), etcd.keys("two")
    later = replace(FIRST, stream="stream-2", since="00000001-0000000000000002.000000", server="two")
    await one.announce(FIRST)
    await two.announce(later)
    assert await two.holder("g", "e1") == later
    with pytest.raises(SessionTakenOver):
        await one.announce(FIRST)
    await one.withdraw(FIRST)
    assert await two.holder("g", "e1") == later
    await two.withdraw(later)
    assert await two.holder("g", "e1") is None


async def test_groups_with_slashes_do_not_see_each_other(etcd: _Etcd) -> None:
    keys = etcd.keys()
    async with etcd.directory() as directory:
        await keys.announce(replace(FIRST, group="org/acme", id="e1"))
        await keys.announce(replace(FIRST, group="org", id="acme"))
        await _until(directory, lambda: len(directory.live()) == 2)
        assert directory.members("org") == ("acme",)
        assert directory.members("org/acme") == ("e1",)


async def test_one_lease_serves_a_whole_group() -> None:
    kv = FakeKeyValueStore(SystemClock())
    keys = _Etcd(kv, "p").keys()
    for number in range(5):
        await keys.announce(replace(FIRST, id=f"e{number}"))
    stored, _ = await kv.list_prefix("p/executors/", timeout=timedelta(seconds=1))
    assert len({item.lease for item in stored}) == 1
    assert stored[0].lease


async def test_directory_knows_since_when_etcd_is_available() -> None:
    kv = FakeKeyValueStore(SystemClock())
    etcd = _Etcd(kv, "p")
    keys = etcd.keys()
    await keys.announce(FIRST)
    async with etcd.directory() as directory:
        await _until(directory, lambda: directory.members("g") == ("e1",))
        before = directory.available_since
        assert before is not None
        kv.go_away()

        async def is_well() -> bool:
            return directory.available_since is not None

        async def is_unwell() -> bool:
            return directory.available_since is None

        await eventually(is_unwell)
        with pytest.raises(Unavailable):
            await keys.holder("g", "e1")
        assert directory.members("g") == ("e1",)
        kv.come_back()
        await eventually(is_well)
        after = directory.available_since
        assert after is not None
        assert after > before


async def test_key_that_could_not_be_deleted_is_deleted_later() -> None:
    kv = FakeKeyValueStore(SystemClock())
    keys = _Etcd(kv, "p").keys()
    await keys.announce(FIRST)
    await keys.announce(replace(FIRST, id="e2"))
    kv.go_away()
    await keys.withdraw(FIRST)
    kv.come_back()
    assert await keys.holder("g", "e1") == FIRST
    await keys.renew()
    assert await keys.holder("g", "e1") is None
    assert await keys.holder("g", "e2") is not None


# --- servers ----------------------------------------------------------------------------------------------------------


def server_keys(etcd: _Etcd, server: str) -> ServerKeys:
    own = Peer(f"{server}:7070", "token")
    return ServerKeys(etcd.kv, prefix=etcd.prefix, server_id=server, lease=timedelta(seconds=2), own=own)


async def test_server_is_live_from_its_first_renewal_to_its_end(etcd: _Etcd) -> None:
    one, two = server_keys(etcd, "one"), server_keys(etcd, "two")
    assert not await two.is_live("one")
    await one.leave()
    for _ in range(3):
        await one.renew()
    assert (await two.is_live("one"), await two.is_live("two")) == (True, False)
    await one.leave()
    await one.leave()
    assert not await two.is_live("one")


async def test_server_finds_the_others_to_call(etcd: _Etcd) -> None:
    one, two = server_keys(etcd, "one"), server_keys(etcd, "two")
    for each in (one, two):
        await each.renew()
    assert await two.peers() == {"one": Peer("one:7070", "token")}


async def test_server_without_renewal_is_dead_until_the_next_one(
    etcd: _Etcd,
) -> None:
    one, two = server_keys(etcd, "one"), server_keys(etcd, "two")
    await one.renew()

    async def is_dead() -> bool:
        return not await two.is_live("one")

    await eventually(is_dead)
    await one.renew()
    assert await two.is_live("one")


async def test_renewal_writes_nothing_to_etcd(etcd: _Etcd) -> None:
    one = server_keys(etcd, "one")
    await one.renew()
    _, before = await etcd.kv.get("any", timeout=timedelta(seconds=2))
    for _ in range(5):
        await one.renew()
    assert await one.is_live("one")
    _, after = await etcd.kv.get("any", timeout=timedelta(seconds=2))
    assert after == before
