"""What the etcd adapter raises when etcd or its connection fails; and the traps of etcd3aio, one test each."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest

from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.kv.etcd import EtcdStore, Pings
from sluiceway_server.kv.port import Compare, Get, OutcomeUnknown, PutKey
from tests.support.conditions import eventually
from tests.support.etcd import EtcdProcess, etcd_process
from tests.support.ports import free_ports
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

T = timedelta(seconds=10)
SHORT = timedelta(seconds=0.4)
LONG = timedelta(seconds=60)

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def own_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdProcess]:
    """Yield an etcd that the tests of this file may pause and kill; each leaves it running."""
    with etcd_process(tmp_path_factory.mktemp("own-etcd") / "data") as process:
        yield process


@pytest.fixture
async def proxy(etcd_endpoint: str) -> AsyncIterator[TcpProxy]:
    async with tcp_proxy(etcd_endpoint) as running:
        yield running


@pytest.fixture
async def direct(etcd_endpoint: str) -> AsyncIterator[EtcdStore]:
    store = EtcdStore([etcd_endpoint])
    yield store
    await store.close()


@pytest.fixture
async def proxied(proxy: TcpProxy, etcd_prefix: str) -> AsyncIterator[EtcdStore]:
    """Yield a store that is connected through the proxy."""
    store = EtcdStore([proxy.address])
    await store.get(etcd_prefix, timeout=T)
    yield store
    await store.close()


async def test_applied_write_that_times_out_is_unknown_and_sent_once(proxy, proxied, direct, etcd_prefix):
    key = f"{etcd_prefix}head"
    proxy.mute_answers()

    with pytest.raises(OutcomeUnknown):
        await proxied.txn(compare=[Compare(key, None)], then=[PutKey(key, b"1")], otherwise=[Get(key)], timeout=SHORT)

    proxy.unmute_answers()
    found, _ = await direct.get(key, timeout=T)
    assert found.value == b"1"
    assert found.mod_revision == found.create_revision


async def test_write_is_unknown_when_its_connection_breaks(proxy, proxied, direct, etcd_prefix):
    key = f"{etcd_prefix}a"
    proxy.mute_answers()
    write = asyncio.create_task(proxied.put(key, b"1", timeout=T))

    async def is_applied() -> bool:
        return (await direct.get(key, timeout=T))[0] is not None

    await eventually(is_applied)
    proxy.cut()

    with pytest.raises(OutcomeUnknown):
        await write


async def test_read_without_a_response_is_unavailable(proxy, proxied, etcd_prefix):
    proxy.mute_answers()

    with pytest.raises(Unavailable) as caught:
        await proxied.get(etcd_prefix, timeout=SHORT)

    assert proxy.address in caught.value.message


async def test_read_only_transaction_without_response_is_unavailable(proxy, proxied, etcd_prefix):
    proxy.mute_answers()

    with pytest.raises(Unavailable):
        await proxied.txn(then=[Get(etcd_prefix)], timeout=SHORT)


async def test_write_cancelled_by_its_caller_raises_cancelled(proxy: TcpProxy, proxied, etcd_prefix):
    proxy.mute_answers()
    write = asyncio.create_task(proxied.put(f"{etcd_prefix}a", b"1", timeout=T))
    seen = proxy.requests_seen

    async def is_sent() -> bool:
        return proxy.requests_seen > seen

    await eventually(is_sent)
    write.cancel()

    with pytest.raises(asyncio.CancelledError):
        await write


async def test_write_in_flight_is_unknown_when_the_store_is_closed(proxy: TcpProxy, proxied, etcd_prefix):
    proxy.mute_answers()
    seen = proxy.requests_seen
    write = asyncio.create_task(proxied.put(f"{etcd_prefix}a", b"1", timeout=T))

    async def is_sent() -> bool:
        return proxy.requests_seen > seen

    await eventually(is_sent)
    await proxied.close()

    with pytest.raises(OutcomeUnknown):
        await write


async def test_watch_is_unavailable_when_its_connection_breaks(proxy, proxied, etcd_prefix):
    revision = await proxied.put(f"{etcd_prefix}a", b"1", timeout=T)

    async def follow() -> None:
        async for _ in proxied.watch(etcd_prefix, start_revision=revision):
            proxy.cut()

    with pytest.raises(Unavailable):
        await asyncio.wait_for(follow(), 30)


async def test_watch_is_unavailable_when_its_connection_hangs(proxy, etcd_prefix):
    store = EtcdStore([proxy.address], pings=Pings(timedelta(seconds=0.5), timedelta(seconds=0.5)))
    revision = await store.put(f"{etcd_prefix}a", b"1", timeout=T)

    async def follow() -> None:
        async for _ in store.watch(etcd_prefix, start_revision=revision):
            proxy.mute_answers()

    try:
        with pytest.raises(Unavailable):
            await asyncio.wait_for(follow(), 30)
    finally:
        await store.close()


async def test_watch_that_etcd_does_not_create_is_unavailable(proxy, proxied, etcd_prefix):
    proxy.mute_answers()

    async def follow() -> None:
        async for _ in proxied.watch(etcd_prefix, start_revision=1):
            raise AssertionError("a muted etcd spoke")

    with pytest.raises(Unavailable):
        await asyncio.wait_for(follow(), 30)


@pytest.mark.parametrize("write", [True, False], ids=["write", "read"])
async def test_call_fails_at_once_as_not_sent_when_nothing_listens(write):
    (port,) = free_ports(1)
    store = EtcdStore([f"http://127.0.0.1:{port}"])
    try:
        async with asyncio.timeout(LONG.total_seconds() / 2):
            with pytest.raises(Unavailable):
                await (store.put("a", b"", timeout=LONG) if write else store.get("a", timeout=LONG))
    finally:
        await store.close()


async def test_write_to_a_silent_etcd_is_unavailable():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = EtcdStore([f"127.0.0.1:{silent.getsockname()[1]}"])
        try:
            with pytest.raises(Unavailable):
                await store.put("a", b"", timeout=SHORT)
        finally:
            await store.close()


async def test_lease_renewal_without_etcd_times_out(own_etcd):
    store = EtcdStore([own_etcd.endpoint])
    try:
        lease = await store.grant_lease(timedelta(seconds=60), timeout=T)
        own_etcd.pause()
        with pytest.raises(Unavailable):
            async with asyncio.timeout(30):
                await store.renew_lease(lease, timeout=SHORT)
    finally:
        own_etcd.resume()
        await store.close()


async def test_store_works_again_after_an_etcd_restart(own_etcd):
    store = EtcdStore([own_etcd.endpoint])
    try:
        await store.put("kept", b"1", timeout=T)
        own_etcd.kill()

        async def is_away() -> bool:
            try:
                await store.put("other", b"", timeout=SHORT)
            except OutcomeUnknown:
                return False
            except Unavailable:
                return True
            raise AssertionError("a killed etcd answered")

        await eventually(is_away)
        await asyncio.to_thread(own_etcd.start)

        async def is_back() -> bool:
            try:
                found, _ = await store.get("kept", timeout=SHORT)
            except Unavailable:
                return False
            return found is not None and found.value == b"1"

        await eventually(is_back)
    finally:
        await store.close()


async def test_wiped_etcd_has_a_new_cluster_id(own_etcd):
    store = EtcdStore([own_etcd.endpoint])
    try:
        before = await store.txn(then=[PutKey("a", b"1")], timeout=T)
        own_etcd.wipe()
        await asyncio.to_thread(own_etcd.start)

        async def is_other() -> bool:
            try:
                return (await store.txn(then=[Get("a")], timeout=SHORT)).cluster_id != before.cluster_id
            except Unavailable:
                return False

        await eventually(is_other)
        assert (await store.get("a", timeout=T))[0] is None
    finally:
        await store.close()


async def test_first_reachable_endpoint_is_used_and_kept(etcd_endpoint, etcd_prefix):
    (refused,) = free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = EtcdStore([f"http://127.0.0.1:{refused}", f"http://127.0.0.1:{silent.getsockname()[1]}", etcd_endpoint])
        try:
            await store.put(f"{etcd_prefix}a", b"1", timeout=T)
            # The silent one, asked again, would take its share of the time.
            async with asyncio.timeout(LONG.total_seconds() / 6):
                found, _ = await store.get(f"{etcd_prefix}a", timeout=LONG)
        finally:
            await store.close()
    assert found is not None


async def test_next_call_uses_another_endpoint_after_a_failure(proxy, etcd_endpoint, etcd_prefix):
    store = EtcdStore([proxy.address, etcd_endpoint])
    try:
        await store.put(f"{etcd_prefix}a", b"1", timeout=T)
        proxy.mute_answers()
        with pytest.raises(OutcomeUnknown):
            await store.put(f"{etcd_prefix}a", b"2", timeout=SHORT)

        await store.put(f"{etcd_prefix}a", b"3", timeout=T)

        found, _ = await store.get(f"{etcd_prefix}a", timeout=T)
        assert found is not None
        assert found.value == b"3"
    finally:
        await store.close()


async def test_responses_above_4_mib_are_read_and_watched(direct, etcd_prefix):
    revision = 0
    for number in range(6):
        written = await direct.put(f"{etcd_prefix}{number}", b"x" * 1_000_000, timeout=T)
        revision = revision or written

    found, _ = await direct.list_prefix(etcd_prefix, timeout=T)

    assert sum(len(item.value) for item in found) == 6_000_000
    seen = 0
    async with asyncio.timeout(30):
        async for batch in direct.watch(etcd_prefix, start_revision=revision):
            seen += sum(len(event.value or b"") for event in batch.events)
            if seen == 6_000_000:
                break


async def test_full_etcd_refuses_writes_and_shows_its_alarm(tmp_path):
    with etcd_process(tmp_path / "data", quota_bytes=4 * 1024**2) as process:
        store = EtcdStore([process.endpoint])
        try:

            async def fill() -> None:
                # etcd sees its size when it commits, every 100 ms.
                for number in range(500):
                    await store.put(f"fill/{number}", b"x" * 1_000_000, timeout=T)

            with pytest.raises(Unavailable) as caught:
                await fill()

            assert caught.value.reason == "STORE_FULL"
            status = await store.status(timeout=T)
            assert status.alarms == ("NOSPACE",)
            assert status.quota_bytes == 4 * 1024**2
            assert (await store.get("fill/0", timeout=T))[0] is not None
        finally:
            await store.close()


@pytest.mark.parametrize(
    "order",
    [
        [
            "sluiceway_server.kv.etcd",
            "google.api.client_pb2",
            "google.rpc.status_pb2",
            "grpc_reflection.v1alpha.reflection",
        ],
        [
            "google.rpc.status_pb2",
            "grpc_reflection.v1alpha.reflection",
            "google.api.client_pb2",
            "sluiceway_server.kv.etcd",
        ],
    ],
    ids=["etcd first", "etcd last"],
)
def test_import_changes_no_path_and_keeps_common_protos(order):
    code = f"import sys, importlib; before = list(sys.path); [importlib.import_module(m) for m in {order!r}]"
    code += "; assert sys.path == before, sys.path; import google.api.http_pb2 as h; print(h.__file__)"

    command = [sys.executable, "-W", "error", "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert answer.returncode == 0, answer.stderr
    assert "etcd3aio" not in answer.stdout
