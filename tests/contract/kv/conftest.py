from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.kv.port import KeyValueStore, WatchEvent
from tests.fakes.kv import FakeKeyValueStore


@dataclass(slots=True)
class ManualClock:
    seconds: float = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


@dataclass(slots=True)
class Harness:
    """One implementation under test, with helpers that are not part of the port."""

    store: KeyValueStore
    prefix: str
    name: str
    pass_time: Callable[[timedelta], None]

    def key(self, name: str) -> str:
        return self.prefix + name

    async def collect(self, count: int, *, start_revision: int) -> list[WatchEvent]:
        """Watch until `count` events were seen."""
        events: list[WatchEvent] = []
        watch = self.store.watch(self.prefix, start_revision=start_revision)
        async with asyncio.timeout(30), aclosing(watch) as batches:
            async for batch in batches:
                events += batch.events
                if len(events) >= count:
                    break
        return events


@pytest.fixture(params=["etcd", "fake"])
async def kv(request: pytest.FixtureRequest, etcd_prefix: str) -> AsyncIterator[Harness]:
    if request.param == "etcd":
        store = EtcdStore([request.getfixturevalue("etcd_endpoint")])
        harness = Harness(store, etcd_prefix, "etcd", lambda _: None)
    else:
        clock = ManualClock()

        def move(by: timedelta) -> None:
            clock.seconds += by.total_seconds()

        harness = Harness(FakeKeyValueStore(clock), etcd_prefix, "fake", move)
    yield harness
    await harness.store.close()
