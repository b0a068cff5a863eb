"""Calls to a real S3 server over a faulty connection: retried or raised by reason, never a partial result.

`tests/support/s3_proxy.py` breaks single requests; `tests/support/tcp_proxy.py` breaks connections.
"""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

import pytest

from sluiceway_common.foundation.errors import DataLoss, Unavailable
from sluiceway_server.objectstorage.s3 import S3Settings
from tests.support.conditions import eventually
from tests.support.s3_proxy import S3Proxy, answer_with, hang, lose_answer, lose_request, s3_proxy
from tests.support.s3_servers import BUCKET
from tests.support.s3_storages import IMPATIENT, QUICK_TO_REPEAT, behind_proxy, opened
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

PASSING_FAULTS = {
    "500": answer_with(500, "InternalError"),
    "503": answer_with(503, "SlowDown"),
    "429": answer_with(429, "TooManyRequests"),
    "400, it took too long": answer_with(400, "RequestTimeout"),
    "400, damaged on its way": answer_with(400, "BadDigest"),
    "lost": lose_request,
    "answer lost": lose_answer,
    "hangs": hang,
}


@pytest.mark.parametrize("name", PASSING_FAULTS)
async def test_s3_call_is_retried_after_a_transient_error(s3_server, s3_owner, name):
    fate = PASSING_FAULTS[name]
    async with behind_proxy(s3_server, QUICK_TO_REPEAT) as (storage, proxy):
        proxy.next("PUT", fate)
        await storage.put("a", b"12345")
        proxy.next("GET", fate)
        assert await storage.get("a") == b"12345"
        proxy.next("GET", fate)
        assert await storage.get_range("a", 1, 2) == b"23"
        if "400" not in name:
            # The response to a HEAD has no body that distinguishes one 400 from another.
            proxy.next("HEAD", fate)
            assert await storage.head("a") is not None
        proxy.next("GET", fate)
        assert [info.key async for info in storage.list()] == ["a"]
        proxy.next("DELETE", fate)
        await storage.delete("a")

        assert proxy.fates_left == 0
        assert await storage.head("a") is None


async def test_truncated_response_is_read_again(s3_server, s3_owner):
    body = os.urandom(1_000_000)
    async with behind_proxy(s3_server, IMPATIENT) as (storage, proxy):
        await storage.put("a", body)
        proxy.truncate_after = 500_000
        for call in (storage.get("a"), storage.get_range("a", 100, 800_000)):
            with pytest.raises(Unavailable, match="a: "):
                await call

        proxy.truncate_after = None
        assert await storage.get("a") == body


@pytest.mark.parametrize("missing", [1, 400_000])
async def test_response_shorter_than_its_range_is_refused(s3_server, s3_owner, missing):
    async with behind_proxy(s3_server, IMPATIENT) as (storage, proxy):
        await storage.put("a", b"x" * 500_000)

        async def shorten(request, send):
            answer = await send()
            answer.body = answer.body[:-missing]
            return answer

        proxy.next("GET", *[shorten] * 20)
        with pytest.raises(Unavailable):
            await storage.get_range("a", 0, 500_000)


async def test_connection_reset_in_a_body_is_retried(s3_server, s3_owner):
    body = os.urandom(8_000_000)
    async with tcp_proxy(s3_server.endpoint) as proxy:
        url = s3_server.url(endpoint=f"http://{proxy.address}")
        async with opened(url, QUICK_TO_REPEAT) as storage:
            for cut_after in (100_000, 4_000_000):
                put = asyncio.create_task(storage.put("a", body))
                await sent(proxy, cut_after)
                proxy.cut()
                await put
                proxy.mute_answers()
                get = asyncio.create_task(storage.get("a"))
                await sent(proxy, 1)
                proxy.unmute_answers()
                proxy.cut()
                assert await get == body


async def sent(proxy: TcpProxy, count: int) -> None:
    """Wait until that many more bytes went to the server."""
    seen = proxy.requests_seen

    async def enough() -> bool:
        return proxy.requests_seen >= seen + count

    await eventually(enough)


async def struck(proxy: S3Proxy) -> None:
    """Wait until no fate is left."""

    async def none_left() -> bool:
        return proxy.fates_left == 0

    await eventually(none_left)


async def test_checksum_mismatch_is_data_loss(s3_server, s3_owner):
    async with behind_proxy(s3_server, IMPATIENT) as (storage, proxy):
        await storage.put("data/a", b"whole")

        async def damage(request, send):
            answer = await send()
            answer.headers["x-amz-checksum-crc32"] = "AAAAAA=="
            return answer

        proxy.next("GET", damage)
        assert await storage.get("data/a") == b"whole"

        proxy.next("GET", *[damage] * 20)
        with pytest.raises(DataLoss, match="data/a"):
            await storage.get("data/a")


async def test_range_of_a_huge_object_reads_only_the_range(s3_memory_server, s3_owner):
    async with behind_proxy(s3_memory_server, S3Settings(keep_trying=timedelta(seconds=1))) as (storage, proxy):
        upload = await storage.upload("huge")
        for _ in range(5):
            await upload.write(b"x" * 8_000_000)
        await upload.complete()
        proxy.given_bytes = 0

        assert await storage.get_range("huge", 30_000_000, 1_000) == b"x" * 1_000
        assert proxy.given_bytes == 1_000

        # What an endpoint gives beyond it is not read to its end.
        proxy.dropped_header = "Range"
        proxy.requests.clear()
        with pytest.raises(Unavailable):
            await storage.get_range("huge", 0, 1_000)
        assert proxy.given_bytes < 20_000_000 * len(proxy.requests)


@pytest.mark.parametrize(
    ("status", "code"),
    [(507, "InsufficientStorage"), (403, "QuotaExceeded"), (507, "XMinioStorageFull"), (400, "XMinioStorageFull")],
)
async def test_full_storage_fails_a_put_at_once(s3_server, s3_owner, status, code):
    async with behind_proxy(s3_server) as (storage, proxy):
        for call in (storage.put, storage.put_if_absent):
            proxy.requests.clear()
            proxy.next("PUT", answer_with(status, code))
            with pytest.raises(Unavailable) as caught:
                await call("k", b"")
            assert caught.value.reason == "STORAGE_FULL"
            assert "k" in caught.value.message
            assert BUCKET in caught.value.message
            assert len(proxy.requests) == 1
        upload = await storage.upload("u")
        proxy.next("PUT", answer_with(status, code))
        await upload.write(b"1")
        with pytest.raises(Unavailable) as caught:
            await upload.complete()
        assert caught.value.reason == "STORAGE_FULL"
        assert await storage.head("u") is None


async def test_full_storage_can_be_opened_read_and_emptied(s3_server, s3_owner):
    url = s3_server.url("full")
    async with opened(url) as storage:
        await storage.put("a", b"1")
    async with s3_proxy(s3_server.endpoint) as proxy:
        proxy.next("PUT", *[answer_with(507, "InsufficientStorage")] * 2)
        async with opened(s3_server.url("full", endpoint=proxy.endpoint)) as storage:
            assert await storage.get("a") == b"1"
            with pytest.raises(Unavailable) as caught:
                await storage.put_if_absent("b", b"1")
            assert caught.value.reason == "STORAGE_FULL"
            await storage.delete("a")
            await storage.put("b", b"1")


async def test_cancelled_call_leaves_the_storage_usable(s3_server, s3_owner):
    async with behind_proxy(s3_server) as (storage, proxy):
        await storage.put("a", b"1")
        for method, call in (("GET", storage.get("a")), ("PUT", storage.put_if_absent("b", b"2"))):
            proxy.next(method, hang)
            task = asyncio.create_task(call)
            await struck(proxy)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        assert await storage.get("a") == b"1"


async def test_close_ends_calls_that_hang(s3_server, s3_owner):
    async with behind_proxy(s3_server) as (storage, proxy):
        await storage.put("a", b"1")
        proxy.next("GET", hang)
        task = asyncio.create_task(storage.get("a"))
        await struck(proxy)

        await storage.close()

        with pytest.raises(Unavailable):
            await task


@pytest.mark.parametrize("size", [1000, 3_000_000, 20_000_000], ids=["small", "large", "in parts"])
async def test_body_changed_in_transit_is_sent_again(s3_server, s3_owner, size):
    body = os.urandom(size)
    async with behind_proxy(s3_server, QUICK_TO_REPEAT) as (storage, proxy):
        proxy.spoil_puts = 3
        upload = await storage.upload("a")
        await upload.write(body)
        await upload.complete()
        assert proxy.spoil_puts == 0
        assert await storage.get("a") == body
        proxy.spoil_puts = 1
        assert await storage.put_if_absent("b", body[:4_000_000])
        assert await storage.get("b") == body[:4_000_000]


async def test_bodies_are_not_hashed_for_the_signature(s3_server, s3_owner):
    async with behind_proxy(s3_server) as (storage, proxy):
        proxy.body_hashes.clear()
        await storage.put("small", b"x" * 1000)
        await storage.put("large", b"x" * 1_000_000)
        await storage.put_if_absent("large-too", b"x" * 1_000_000)

        assert proxy.body_hashes == ["UNSIGNED-PAYLOAD"] * 3
