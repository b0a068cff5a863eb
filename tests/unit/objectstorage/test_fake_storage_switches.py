"""The faults of the fake storage; its contract is tested in tests/contract/objectstorage."""

from __future__ import annotations

import asyncio

import pytest

from sluiceway_common.foundation.errors import Unavailable
from tests.fakes.objectstorage import FakeObjectStorage


@pytest.mark.parametrize("applied", [True, False], ids=["after its effect", "without effect"])
async def test_failure_applies_to_the_next_write_only(applied):
    storage = FakeObjectStorage()
    storage.fail_next_writes(Unavailable("503"), applied=applied)

    with pytest.raises(Unavailable, match="503"):
        await storage.put_if_absent("a", b"1")

    assert (await storage.head("a") is not None) is applied
    assert await storage.put_if_absent("a", b"2") is not applied


async def test_full_storage_reads_and_deletes_but_refuses_puts():
    storage = FakeObjectStorage()
    await storage.put("a", b"1")
    storage.fill_up()

    with pytest.raises(Unavailable) as caught:
        await storage.put("b", b"1")

    assert caught.value.reason == "STORAGE_FULL"
    assert await storage.get("a") == b"1"
    await storage.delete("a")
    storage.make_room()
    await storage.put("b", b"1")


async def test_unavailable_storage_refuses_calls_and_loses_nothing():
    storage = FakeObjectStorage()
    await storage.put("a", b"1")
    storage.go_away()

    with pytest.raises(Unavailable):
        await storage.get("a")

    storage.come_back()
    assert await storage.get("a") == b"1"


async def test_held_calls_wait_until_released():
    storage = FakeObjectStorage()
    storage.hold()
    put = asyncio.create_task(storage.put("a", b"1"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not put.done()

    storage.release()
    await asyncio.wait_for(put, 60)

    assert await storage.get("a") == b"1"


async def test_damaged_object_is_read_with_its_damage():
    storage = FakeObjectStorage()
    await storage.put("a", b"whole")

    storage.damage("a", b"wh")

    assert await storage.get("a") == b"wh"
