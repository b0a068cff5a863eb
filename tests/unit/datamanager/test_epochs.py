"""Epoch objects: what they store, and how damaged, foreign and missing ones are reported."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluiceway.records.log.v1.log_pb2 import Epoch, Sequence
from sluiceway_common.foundation.errors import DataLoss
from sluiceway_server.datamanager.log.epochs import Epochs, Lineage
from sluiceway_server.datamanager.model import LogSequence
from tests.fakes.objectstorage import FakeObjectStorage

FIRST = Epoch(number=1, cluster_id=7, writer="one", time_us=1, database_id="db", cause="a new database")


def changed(epoch: Epoch, **fields: object) -> Epoch:
    made = Epoch()
    made.CopyFrom(epoch)
    made.MergeFrom(Epoch(**fields))  # type: ignore[arg-type]
    return made


SECOND = changed(
    FIRST, number=2, accepted=Sequence(epoch=1, counter=9), accepted_digest=bytes(range(32)), cause="etcd was lost"
)


async def filled(*infos: Epoch) -> tuple[FakeObjectStorage, Epochs]:
    storage = FakeObjectStorage()
    epochs = Epochs(storage, prefix="p")
    for info in infos:
        assert await epochs.put(info)
    return storage, epochs


async def test_they_give_back_what_was_put_oldest_first() -> None:
    imported = changed(FIRST, number=16, from_manifest=True)
    _, epochs = await filled(SECOND, imported, FIRST)
    assert await epochs.all() == [FIRST, SECOND, imported]
    assert await epochs.newest() == imported


async def test_of_one_number_the_first_one_stays() -> None:
    _, epochs = await filled(FIRST)
    assert not await epochs.put(changed(FIRST, writer="two"))
    assert await epochs.newest() == FIRST


async def test_there_may_be_none() -> None:
    _, epochs = await filled()
    assert await epochs.newest() is None


async def test_the_history_is_walked_through_them() -> None:
    _, epochs = await filled(FIRST, SECOND, changed(SECOND, number=3))
    assert await epochs.lineage(3) == Lineage((1, 3), {1: LogSequence(1, 9)})


async def test_a_missing_one_is_named() -> None:
    storage, epochs = await filled(FIRST, SECOND)
    await storage.delete("p/epoch/00000001")
    with pytest.raises(DataLoss, match="p/epoch/00000001 is missing") as caught:
        await epochs.lineage(2)
    assert caught.value.reason == "EPOCH_MISSING"


async def test_one_that_continues_a_later_one_makes_no_history() -> None:
    _, epochs = await filled(FIRST, changed(SECOND, accepted=Sequence(epoch=2, counter=1)))
    with pytest.raises(DataLoss, match="no history"):
        await epochs.lineage(2)


async def test_one_under_another_number_is_damaged() -> None:
    storage, epochs = await filled(FIRST)
    await storage.put("p/epoch/00000004", await storage.get("p/epoch/00000001"))
    with pytest.raises(DataLoss, match="it is the object of epoch 1") as caught:
        await epochs.all()
    assert caught.value.reason == "EPOCH_DAMAGED"


async def test_what_is_no_epoch_object_is_ignored() -> None:
    storage, epochs = await filled(FIRST)
    await storage.put("p/epoch/.DS_Store", b"x")
    await storage.put("p/epoch/0000000A", b"x")
    assert await epochs.all() == [FIRST]


@settings(deadline=None)
@given(st.data())
def test_one_that_was_cut_or_changed_is_named(data: st.DataObject) -> None:
    async def check() -> None:
        storage, epochs = await filled(SECOND)
        body = bytearray(await storage.get("p/epoch/00000002"))
        if data.draw(st.booleans()):
            del body[data.draw(st.integers(0, len(body) - 1)) :]
        else:
            body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
        await storage.put("p/epoch/00000002", bytes(body))
        with pytest.raises(DataLoss, match="p/epoch/00000002 is damaged"):
            await epochs.all()

    asyncio.run(check())
