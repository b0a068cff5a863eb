"""The faults of the fake store; its contract is tested in tests/contract/kv."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.kv.port import Compare, OutcomeUnknown, PutKey
from tests.fakes.kv import FakeKeyValueStore, Fate

T = timedelta(seconds=1)


async def value_of(store: FakeKeyValueStore, key: str) -> bytes:
    found, _ = await store.get(key, timeout=T)
    assert found is not None, f"there is no {key}"
    return found.value


@pytest.mark.parametrize(
    ("fate", "error", "applied"),
    [
        (Fate.APPLIED_BUT_TIMED_OUT, OutcomeUnknown, True),
        (Fate.NOT_APPLIED_AND_TIMED_OUT, OutcomeUnknown, False),
        (Fate.UNAVAILABLE, Unavailable, False),
        (Fate.STORE_FULL, Unavailable, False),
    ],
)
async def test_fault_applies_to_the_next_write_only(fate, error, applied):
    store = FakeKeyValueStore()
    store.decide_next_writes(fate)

    with pytest.raises(error):
        await store.put("a", b"1", timeout=T)

    assert ((await store.get("a", timeout=T))[0] is not None) is applied
    await store.put("a", b"2", timeout=T)
    assert await value_of(store, "a") == b"2"


async def test_late_write_is_applied_to_the_current_state():
    store = FakeKeyValueStore()
    store.decide_next_writes(Fate.APPLIED_LATE, Fate.APPLIED_LATE)
    for value in (b"first", b"second"):
        with pytest.raises(OutcomeUnknown):
            await store.txn(compare=[Compare("head", None)], then=[PutKey("head", value)], timeout=T)
    assert (await store.get("head", timeout=T))[0] is None

    store.apply_late()

    assert await value_of(store, "head") == b"first"


async def test_unavailable_store_breaks_watches_and_keeps_its_data():
    store = FakeKeyValueStore()
    revision = await store.put("a", b"1", timeout=T)
    watching = asyncio.Event()

    async def follow() -> None:
        async for _ in store.watch("a", start_revision=revision):
            watching.set()

    task = asyncio.create_task(follow())
    await watching.wait()
    store.go_away()

    with pytest.raises(Unavailable):
        await asyncio.wait_for(task, 60)
    with pytest.raises(Unavailable):
        await store.get("a", timeout=T)
    store.come_back()
    assert await value_of(store, "a") == b"1"


async def test_wiped_store_is_empty_with_a_new_cluster_id():
    store = FakeKeyValueStore(cluster_id=1)
    await store.put("a", b"1", timeout=T)

    store.wipe(cluster_id=2)

    status = await store.status(timeout=T)
    assert (status.cluster_id, status.revision) == (2, 1)
    assert (await store.get("a", timeout=T))[0] is None


async def test_restored_store_has_the_state_of_its_snapshot():
    store = FakeKeyValueStore()
    before = await store.put("a", b"1", timeout=T)
    snapshot = store.snapshot()
    await store.put("a", b"2", timeout=T)

    store.restore(snapshot)

    found, revision = await store.get("a", timeout=T)
    assert found is not None
    assert (found.value, revision) == (b"1", before)
    await store.put("a", b"3", timeout=T)
    store.restore(snapshot)
    assert await value_of(store, "a") == b"1"
