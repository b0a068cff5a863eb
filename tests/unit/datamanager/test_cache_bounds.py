"""Whatever the number of records, the caches of a server stay below what they may weigh."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sluiceway_server.datamanager.caches import (
    FILE_CACHE_BYTES,
    GROUP_CACHE_BYTES,
    MESSAGE_CACHE_BYTES,
    READER_PAGE_BYTES,
    RECORD_CACHE_BYTES,
    WRITER_PAGE_BYTES,
    Lru,
)
from sluiceway_server.datamanager.engine.batch import BatchBuilder, Call
from sluiceway_server.datamanager.engine.write_state import Batch, State
from sluiceway_server.datamanager.log.entries import GENESIS_DIGEST, Catalogue
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.log.segments import SegmentStore
from sluiceway_server.datamanager.model import Decision, LogSequence, Position, Put
from sluiceway_server.datamanager.replica.cold_bodies import BodiesNotLoaded, FetchedBodies
from sluiceway_server.datamanager.replica.deleted_subtrees import TOMBSTONE
from sluiceway_server.datamanager.replica.readers import Readers
from sluiceway_server.datamanager.replica.replica import AppliedUpTo, Replica
from sluiceway_server.datamanager.replica.schema import Tables
from sluiceway_server.datamanager.replica.subscriptions import Subscriptions
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.runs import cache as run_cache
from sluiceway_server.runs import configs
from tests.fakes.objectstorage import FakeObjectStorage
from tests.support.databases import NOTE, TYPES, put

START = Position(LogSequence(1, 0), 0)
CATALOGUE = Catalogue((*TYPES, TOMBSTONE))


@pytest.fixture
def tables() -> Tables:
    return Tables(CATALOGUE)


@pytest.fixture
def database(tmp_path: Path, tables: Tables) -> Iterator[Replica]:
    database = Replica(tmp_path / "read.sqlite", tables, writes=True)
    database.create("database", 1, AppliedUpTo(START, GENESIS_DIGEST, 0, 0))
    yield database
    database.close()


def page_bytes(connection: Replica) -> int:
    """Return the limit of SQLite's page cache."""
    return -int(connection._connection.execute("PRAGMA cache_size").fetchone()[0]) * 1024


async def no_bodies(needed: BodiesNotLoaded, fetched: FetchedBodies) -> None:
    raise AssertionError("no type has remote bodies")


async def no_wait(position: Position) -> None:
    """Everything is applied."""


def commit(state: State, last: AppliedUpTo, action: Put, group: str) -> tuple[Batch, AppliedUpTo]:
    decision: Decision[Any] = Decision(None, [action], [group])
    preparer = BatchBuilder(state, CATALOGUE, writer="one", max_batch_bytes=1 << 20)
    outcomes, batch = preparer.prepare([Call(lambda _: decision)], last=last, time_us=1)
    assert batch is not None
    state.inbox.append(batch)
    state.apply()
    return batch, AppliedUpTo(outcomes[-1].position, batch.entry.digest, 1, 0)


def test_a_cache_keeps_what_was_used_last_up_to_its_limit() -> None:
    cache: Lru[str, int] = Lru(30)
    for number in range(3):
        cache.put(f"k{number}", number, 10)
    assert cache.get("k0") == 0
    cache.put("k3", 3, 10)
    assert [cache.get(f"k{number}") for number in range(4)] == [0, None, 2, 3]
    cache.put("k3", 33, 5)
    assert (len(cache), cache.weight) == (3, 25)


def test_value_heavier_than_the_cache_stays_until_the_next() -> None:
    cache: Lru[str, int] = Lru(30)
    cache.put("small", 1, 10)
    cache.put("huge", 2, 1000)
    assert (cache.get("small"), cache.get("huge"), cache.weight) == (None, 2, 1000)
    cache.put("small", 1, 10)
    assert (cache.get("huge"), cache.weight) == (None, 10)


def test_writer_cache_is_bounded_and_falls_back_to_sqlite(database: Replica, tables: Tables) -> None:
    state = State(database)
    last = AppliedUpTo(START, GENESIS_DIGEST, 0, 0)
    heaviest = 0
    for number in range(60):
        _, last = commit(state, last, put(f"n{number}", text="x" * 100_000), f"g{number}")
        heaviest = max(heaviest, state._cache.weight + state._group_cache.weight)
    assert RECORD_CACHE_BYTES // 2 < heaviest <= RECORD_CACHE_BYTES + GROUP_CACHE_BYTES
    oldest = state.view(START).get(NOTE, "n0")
    assert oldest is not None
    assert oldest.ByteSize() > 100_000
    assert state._cache.weight + state._group_cache.weight <= RECORD_CACHE_BYTES + GROUP_CACHE_BYTES


def test_change_groups_of_finished_runs_are_let_go(database: Replica, tables: Tables) -> None:
    state = State(database)
    view = state.view(START)
    for number in range(20_000):
        assert view.group(f"run/{number}") is None
    assert GROUP_CACHE_BYTES // 2 < state._cache.weight + state._group_cache.weight <= GROUP_CACHE_BYTES


async def test_readers_keep_no_more_messages_than_their_limit(
    tmp_path: Path, database: Replica, tables: Tables
) -> None:
    state = State(database)
    last = AppliedUpTo(START, GENESIS_DIGEST, 0, 0)
    for number in range(40):
        _, last = commit(state, last, put(f"n{number}", text="x" * 100_000), "g")
    settings = DataManagerSettings()
    readers = Readers(tmp_path / "read.sqlite", tables, no_bodies, threads=1, timeout=settings.read_timeout)
    try:
        for number in range(40):
            found = await readers.view(lambda view, id_=f"n{number}": view.get(NOTE, id_))  # type: ignore[misc]  # bound
            assert found is not None
        assert MESSAGE_CACHE_BYTES // 2 < readers.messages.lru.weight <= MESSAGE_CACHE_BYTES
        assert await readers.raw(page_bytes) == READER_PAGE_BYTES
        assert page_bytes(database) == WRITER_PAGE_BYTES
    finally:
        await asyncio.to_thread(readers.close)


async def test_ring_of_newest_transactions_is_bounded(tmp_path: Path, database: Replica, tables: Tables) -> None:
    state = State(database)
    settings = DataManagerSettings()
    readers = Readers(tmp_path / "read.sqlite", tables, no_bodies, threads=1, timeout=settings.read_timeout)
    subscriptions = Subscriptions(
        readers,
        tables.catalogue,
        segments=SegmentStore(FakeObjectStorage(), prefix="p"),
        lineage=Lineage((1,), {}),
        position=START,
        wait_applied=no_wait,
        ring_bytes=settings.ring_bytes,
        subscriber_bytes=settings.subscriber_bytes,
    )
    last = AppliedUpTo(START, GENESIS_DIGEST, 0, 0)
    try:
        for number in range(40):
            prepared, last = commit(state, last, put(f"n{number}", text="x" * 100_000), "g")
            subscriptions.publish(prepared.transactions)
            assert subscriptions.ring_weight <= settings.ring_bytes
        assert subscriptions.ring_weight > settings.ring_bytes // 2
        after = Position(LogSequence(1, 5), 0)
        stream = subscriptions.subscribe(after=after, topics=[])
        seen = [(await anext(stream)).position.sequence.counter for _ in range(35)]
        await stream.aclose()
        assert seen == list(range(6, 41))
    finally:
        await asyncio.to_thread(readers.close)


def test_caches_of_a_server_take_less_than_100_megabytes() -> None:
    settings = DataManagerSettings()
    of_the_database = RECORD_CACHE_BYTES + GROUP_CACHE_BYTES + MESSAGE_CACHE_BYTES + settings.ring_bytes
    of_sqlite = WRITER_PAGE_BYTES + settings.read_threads * READER_PAGE_BYTES
    assert of_the_database + FILE_CACHE_BYTES + of_sqlite + configs.KEPT_BYTES + run_cache.KEPT_BYTES < 100_000_000
