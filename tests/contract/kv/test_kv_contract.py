"""The contract of key-value stores: one suite for etcd and the fake."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import timedelta

import pytest

from sluiceway_common.foundation.errors import InvalidInput, NotFound, Unavailable
from sluiceway_server.kv.port import (
    Compacted,
    Compare,
    DeleteKey,
    DeletePrefix,
    DeleteRange,
    Get,
    PutKey,
    Range,
    Read,
    TxnResult,
    WatchBatch,
    WatchEvent,
    Write,
)
from tests.support.conditions import eventually

T = timedelta(seconds=10)


async def test_value_is_read_back_with_its_revisions(kv):
    first = await kv.store.put(kv.key("a"), b"1", timeout=T)
    second = await kv.store.put(kv.key("a"), b"2", timeout=T)

    found, revision = await kv.store.get(kv.key("a"), timeout=T)

    assert (found.key, found.value, found.lease) == (kv.key("a"), b"2", 0)
    assert (found.create_revision, found.mod_revision) == (first, second)
    assert revision >= second > first


async def test_missing_key_is_none_with_the_revision(kv):
    before = await kv.store.put(kv.key("other"), b"", timeout=T)

    found, revision = await kv.store.get(kv.key("a"), timeout=T)

    assert found is None
    assert revision >= before


@pytest.mark.parametrize("value", [b"", b"\x00\xff" * 10, b"x" * 1_000_000], ids=["empty", "binary", "large"])
async def test_values_are_bytes_and_come_back_exactly(kv, value):
    await kv.store.put(kv.key("v"), value, timeout=T)

    found, _ = await kv.store.get(kv.key("v"), timeout=T)

    assert found.value == value


async def test_all_writes_of_a_transaction_share_one_revision(kv):
    result = await kv.store.txn(then=[PutKey(kv.key("a"), b"1"), PutKey(kv.key("b"), b"2")], timeout=T)

    found, _ = await kv.store.list_prefix(kv.prefix, timeout=T)

    assert result.succeeded
    assert {item.mod_revision for item in found} == {result.revision}


async def test_transaction_without_changes_keeps_the_revision(kv):
    before = await kv.store.put(kv.key("a"), b"1", timeout=T)

    read = await kv.store.txn(then=[Get(kv.key("a"))], timeout=T)
    deleted_nothing = await kv.store.txn(then=[DeleteKey(kv.key("zz"))], timeout=T)

    assert read.revision == deleted_nothing.revision == before


@pytest.mark.parametrize(
    ("stored", "expected", "holds"),
    [
        (None, None, True),
        (b"1", None, False),
        (b"", None, False),
        (b"1", b"1", True),
        (b"1", b"2", False),
        (None, b"1", False),
        (None, b"", False),
        (b"", b"", True),
    ],
    ids=[
        "absent as expected",
        "present though absence was expected",
        "an empty value is not absence",
        "equal",
        "different",
        "absent though a value was expected",
        "absent though an empty value was expected",
        "equal and empty",
    ],
)
async def test_compare_selects_the_branch(kv, stored, expected, holds):
    key = kv.key("a")
    if stored is not None:
        await kv.store.put(key, stored, timeout=T)

    result = await kv.store.txn(
        compare=[Compare(key, expected)],
        then=[PutKey(kv.key("then"), b"")],
        otherwise=[PutKey(kv.key("otherwise"), b"")],
        timeout=T,
    )

    found, _ = await kv.store.list_prefix(kv.key(""), timeout=T)
    assert result.succeeded is holds
    assert {item.key for item in found} - {key} == {kv.key("then" if holds else "otherwise")}


async def test_all_compares_must_hold(kv):
    await kv.store.put(kv.key("a"), b"1", timeout=T)

    result = await kv.store.txn(
        compare=[Compare(kv.key("a"), b"1"), Compare(kv.key("b"), b"1")], then=[DeletePrefix(kv.prefix)], timeout=T
    )

    assert not result.succeeded
    assert len((await kv.store.list_prefix(kv.prefix, timeout=T))[0]) == 1


async def test_selected_branch_returns_its_reads_in_order(kv):
    for name in ("a", "b", "c"):
        await kv.store.put(kv.key(name), name.encode(), timeout=T)

    result = await kv.store.txn(
        compare=[Compare(kv.key("a"), b"no")],
        otherwise=[Get(kv.key("c")), Range(kv.key("a"), kv.key("c")), Get(kv.key("none"))],
        timeout=T,
    )

    assert [[item.value for item in read] for read in result.reads] == [[b"c"], [b"a", b"b"], []]
    assert result.cluster_id == (await kv.store.status(timeout=T)).cluster_id != 0


async def test_read_sees_the_writes_before_it_in_its_transaction(kv):
    a, b = kv.key("a"), kv.key("b")
    await kv.store.put(b, b"old", timeout=T)

    result = await kv.store.txn(then=[Get(a), PutKey(a, b"new"), Get(a), DeleteKey(b), Get(b)], timeout=T)

    assert [[item.value for item in read] for read in result.reads] == [[], [b"new"], []]


async def test_transaction_reads_one_state(kv):
    a, z = kv.key("a"), kv.key("z")
    await kv.store.txn(then=[PutKey(a, b"0"), PutKey(z, b"0")], timeout=T)

    async def write() -> None:
        for number in range(1, 200):
            value = str(number).encode()
            await kv.store.txn(then=[PutKey(a, value), PutKey(z, value)], timeout=T)

    writing = asyncio.create_task(write())
    seen = set()
    while not writing.done():
        result = await kv.store.txn(then=[Get(a), Get(z)], otherwise=[Get(a)], timeout=T)
        (first,), (second,) = result.reads
        assert first.value == second.value
        assert first.mod_revision <= result.revision
        seen.add(first.value)
    await writing

    assert len(seen) > 10


async def test_empty_transaction_returns_the_revision(kv):
    written = await kv.store.put(kv.key("a"), b"1", timeout=T)

    result = await kv.store.txn(compare=[Compare(kv.key("a"), b"1")], timeout=T)
    nothing = await kv.store.txn(timeout=T)

    assert (result.succeeded, result.reads, nothing.succeeded, nothing.reads) == (True, (), True, ())
    assert min(result.revision, nothing.revision) >= written


async def test_ranges_are_half_open_in_byte_order_and_limited(kv):
    names = ["a", "a/", "a/b", "ä", "b", "z", "\N{PILE OF POO}"]
    for name in reversed(names):
        await kv.store.put(kv.key(name), b"", timeout=T)

    async def between(start: str, end: str, limit: int = 0) -> list[str]:
        found, _ = await kv.store.range(Range(kv.key(start), kv.key(end), limit), timeout=T)
        return [item.key.removeprefix(kv.prefix) for item in found]

    everything, _ = await kv.store.list_prefix(kv.prefix, timeout=T)
    assert [item.key.removeprefix(kv.prefix) for item in everything] == sorted(names, key=str.encode)
    assert await between("a", "b") == ["a", "a/", "a/b"]
    assert await between("a", "\U0010ffff", 2) == ["a", "a/"]
    assert await between("b", "a") == []


@pytest.mark.parametrize(
    ("operation", "left"),
    [
        (lambda kv: DeleteKey(kv.key("b")), ["a", "b/1", "c"]),
        (lambda kv: DeleteRange(kv.key("a"), kv.key("b/1")), ["b/1", "c"]),
        (lambda kv: DeletePrefix(kv.key("b")), ["a", "c"]),
    ],
    ids=["one key", "a range without its end", "a prefix"],
)
async def test_delete_removes_only_the_keys_it_names(kv, operation, left):
    for name in ("a", "b", "b/1", "c"):
        await kv.store.put(kv.key(name), b"", timeout=T)

    await kv.store.txn(then=[operation(kv)], timeout=T)

    found, _ = await kv.store.list_prefix(kv.prefix, timeout=T)
    assert [item.key.removeprefix(kv.prefix) for item in found] == left


@pytest.mark.parametrize(
    "operations",
    [
        [PutKey("k", b"1"), PutKey("k", b"2")],
        [PutKey("k", b"1"), DeleteKey("k")],
        [DeletePrefix("k"), PutKey("k/1", b"2")],
        [Get("k")] * 129,
        [PutKey("k", b"x" * 1_600_000)],
        [PutKey("k", b"x" * 3_000_000)],
        [PutKey("", b"x")],
    ],
    ids=[
        "one key put twice",
        "put and deleted",
        "put under a deleted prefix",
        "129 operations",
        "larger than a request",
        "larger than a message",
        "no key",
    ],
)
async def test_invalid_transaction_is_refused_and_changes_nothing(kv, operations: list[Write | Read]):
    before = (await kv.store.status(timeout=T)).revision

    with pytest.raises(InvalidInput):
        await kv.store.txn(then=operations, timeout=T)

    assert (await kv.store.status(timeout=T)).revision == before


async def test_transaction_may_have_128_operations(kv):
    result = await kv.store.txn(then=[PutKey(kv.key(f"{n:03}"), b"") for n in range(128)], timeout=T)

    assert result.succeeded
    assert len((await kv.store.list_prefix(kv.prefix, timeout=T))[0]) == 128


async def test_exactly_one_of_racing_transactions_wins(kv):
    await kv.store.put(kv.key("head"), b"0", timeout=T)

    async def advance(expected: bytes) -> bool:
        result: TxnResult = await kv.store.txn(
            compare=[Compare(kv.key("head"), expected)],
            then=[PutKey(kv.key("head"), str(int(expected) + 1).encode())],
            timeout=T,
        )
        return result.succeeded

    for number in range(5):
        winners = await asyncio.gather(*(advance(str(number).encode()) for _ in range(8)))
        assert sum(winners) == 1


async def test_watch_yields_past_and_new_events_in_order_once(kv):
    first = await kv.store.put(kv.key("a"), b"1", timeout=T)
    second = (await kv.store.txn(then=[PutKey(kv.key("b"), b"2"), DeleteKey(kv.key("a"))], timeout=T)).revision

    async def write_more() -> int:
        await kv.store.put("elsewhere/" + kv.key("c"), b"not in the prefix", timeout=T)
        revision: int = await kv.store.put(kv.key("c"), b"3", timeout=T)
        return revision

    events, third = await asyncio.gather(kv.collect(4, start_revision=first), write_more())

    assert events == [
        WatchEvent(kv.key("a"), b"1", first),
        WatchEvent(kv.key("b"), b"2", second),
        WatchEvent(kv.key("a"), None, second),
        WatchEvent(kv.key("c"), b"3", third),
    ]


async def test_watch_begins_at_its_start_revision_inclusive(kv):
    await kv.store.put(kv.key("a"), b"1", timeout=T)
    second = await kv.store.put(kv.key("a"), b"2", timeout=T)

    events = await kv.collect(1, start_revision=second)

    assert events == [WatchEvent(kv.key("a"), b"2", second)]


async def test_watch_may_begin_at_a_future_revision(kv):
    before = await kv.store.put(kv.key("a"), b"1", timeout=T)

    async def write() -> int:
        revision: int = await kv.store.put(kv.key("a"), b"2", timeout=T)
        return revision

    events, after = await asyncio.gather(kv.collect(1, start_revision=before + 1), write())

    assert events == [WatchEvent(kv.key("a"), b"2", after)]


async def test_watch_batch_holds_whole_revisions(kv):
    start = (await kv.store.put(kv.key("start"), b"", timeout=T)) + 1
    for _ in range(20):
        await kv.store.txn(then=[PutKey(kv.key(f"{n}"), b"x" * 1000) for n in range(50)], timeout=T)

    seen: list[WatchBatch] = []
    async with asyncio.timeout(30), aclosing(kv.store.watch(kv.prefix, start_revision=start)) as batches:
        async for batch in batches:
            seen.append(batch)
            if sum(len(each.events) for each in seen) == 1000:
                break

    revisions = [event.mod_revision for batch in seen for event in batch.events]
    assert revisions == sorted(revisions)
    for batch in seen:
        assert batch.revision == batch.events[-1].mod_revision
        assert len(batch.events) % 50 == 0


async def test_resumed_watch_misses_and_repeats_no_event(kv):
    start = await kv.store.put(kv.key("0"), b"", timeout=T)
    for number in range(1, 10):
        await kv.store.put(kv.key(str(number)), b"", timeout=T)

    keys: list[str] = []
    position = start
    while len(keys) < 10:
        async with asyncio.timeout(30), aclosing(kv.store.watch(kv.prefix, start_revision=position)) as batches:
            async for batch in batches:
                keys += [event.key.removeprefix(kv.prefix) for event in batch.events]
                position = batch.revision + 1
                break

    assert keys == [str(number) for number in range(10)]


async def test_watch_before_a_compaction_raises_compacted(kv):
    first = await kv.store.put(kv.key("a"), b"1", timeout=T)
    last = await kv.store.put(kv.key("a"), b"2", timeout=T)
    await kv.store.compact(last, timeout=T)
    await kv.store.compact(last, timeout=T)

    with pytest.raises(Compacted) as caught:
        await kv.collect(1, start_revision=first)

    assert caught.value.compact_revision == last
    assert await kv.collect(1, start_revision=last) == [WatchEvent(kv.key("a"), b"2", last)]
    assert (await kv.store.get(kv.key("a"), timeout=T))[0].value == b"2"


async def test_history_is_kept_until_it_is_compacted(kv):
    first = await kv.store.put(kv.key("a"), b"1", timeout=T)
    last = await kv.store.put(kv.key("a"), b"2", timeout=T)

    assert await kv.store.keeps(first, timeout=T)
    await kv.store.compact(last, timeout=T)
    assert not await kv.store.keeps(first, timeout=T)
    assert await kv.store.keeps(last, timeout=T)


async def test_compaction_of_a_future_revision_is_refused(kv):
    with pytest.raises(InvalidInput):
        await kv.store.compact(1 << 40, timeout=T)


async def test_key_is_deleted_when_its_lease_is_revoked(kv):
    lease = await kv.store.grant_lease(timedelta(seconds=60), timeout=T)
    revision = await kv.store.put(kv.key("a"), b"1", lease=lease, timeout=T)
    assert (await kv.store.get(kv.key("a"), timeout=T))[0].lease == lease

    await kv.store.revoke_lease(lease, timeout=T)

    assert (await kv.store.get(kv.key("a"), timeout=T))[0] is None
    events = await kv.collect(2, start_revision=revision)
    assert (events[1].key, events[1].value) == (kv.key("a"), None)


async def test_key_written_again_without_a_lease_outlives_it(kv):
    lease = await kv.store.grant_lease(timedelta(seconds=60), timeout=T)
    await kv.store.put(kv.key("a"), b"1", lease=lease, timeout=T)
    await kv.store.put(kv.key("a"), b"2", timeout=T)

    await kv.store.revoke_lease(lease, timeout=T)

    assert (await kv.store.get(kv.key("a"), timeout=T))[0].value == b"2"


async def test_lease_renewal_returns_the_time_left(kv):
    lease = await kv.store.grant_lease(timedelta(seconds=60), timeout=T)

    assert await kv.store.renew_lease(lease, timeout=T) == timedelta(seconds=60)


async def test_lease_span_is_rounded_up_to_whole_seconds(kv):
    lease = await kv.store.grant_lease(timedelta(seconds=59.1), timeout=T)

    assert await kv.store.renew_lease(lease, timeout=T) == timedelta(seconds=60)


async def test_expired_lease_deletes_its_keys(kv):
    lease = await kv.store.grant_lease(timedelta(seconds=1), timeout=T)
    await kv.store.put(kv.key("a"), b"1", lease=lease, timeout=T)

    kv.pass_time(timedelta(seconds=2))

    async def is_gone() -> bool:
        return (await kv.store.get(kv.key("a"), timeout=T))[0] is None

    await eventually(is_gone)
    with pytest.raises(NotFound):
        await kv.store.renew_lease(lease, timeout=T)


async def test_ended_lease_can_only_be_revoked(kv):
    lease = await kv.store.grant_lease(timedelta(seconds=60), timeout=T)
    await kv.store.revoke_lease(lease, timeout=T)

    with pytest.raises(NotFound):
        await kv.store.renew_lease(lease, timeout=T)
    with pytest.raises(NotFound):
        await kv.store.put(kv.key("a"), b"1", lease=lease, timeout=T)
    await kv.store.revoke_lease(lease, timeout=T)


@pytest.mark.parametrize("span", [timedelta(0), timedelta(seconds=-1)], ids=["zero", "negative"])
async def test_lease_without_a_span_is_invalid(kv, span):
    with pytest.raises(InvalidInput):
        await kv.store.grant_lease(span, timeout=T)


async def test_status_has_version_size_cluster_and_revision(kv):
    revision = await kv.store.put(kv.key("a"), b"1", timeout=T)

    status = await kv.store.status(timeout=T)

    assert status.version
    assert 0 < status.in_use_bytes <= status.size_bytes
    assert status.alarms == ()
    assert status.revision >= revision


async def test_closed_store_refuses_calls_and_ends_its_watches(kv):
    revision = await kv.store.put(kv.key("a"), b"1", timeout=T)
    watching = asyncio.Event()

    async def follow() -> int:
        count = 0
        async for batch in kv.store.watch(kv.prefix, start_revision=revision):
            count += len(batch.events)
            watching.set()
        return count

    async with asyncio.timeout(30):
        task = asyncio.create_task(follow())
        await watching.wait()
        await kv.store.close()
        assert await task == 1
    await kv.store.close()
    with pytest.raises(Unavailable):
        await kv.store.get(kv.key("a"), timeout=T)


async def test_cancelled_watch_raises_cancelled_error(kv):
    revision = await kv.store.put(kv.key("a"), b"1", timeout=T)
    watching = asyncio.Event()

    async def follow() -> None:
        async for _ in kv.store.watch(kv.prefix, start_revision=revision):
            watching.set()

    task = asyncio.create_task(follow())
    async with asyncio.timeout(30):
        await watching.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_call_with_an_expired_deadline_is_not_sent(kv):
    with pytest.raises(Unavailable):
        await kv.store.put(kv.key("a"), b"1", timeout=timedelta(0))

    assert (await kv.store.get(kv.key("a"), timeout=T))[0] is None
