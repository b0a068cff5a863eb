"""A bucket with foreign objects, which lists skip."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta

from aiohttp import web

from sluiceway_server.objectstorage.s3_address import parse_address
from sluiceway_server.objectstorage.s3_probe import remove_leftovers
from tests.support.s3_proxy import Answer
from tests.support.s3_servers import BUCKET
from tests.support.s3_storages import behind_proxy, opened, uploads


async def test_foreign_objects_are_not_listed(s3_server, s3_url):
    base = parse_address(s3_url).base
    client = s3_server.client()
    for name in ("README.md", "other/thing", "Z", "wal.d/.hidden"):
        client.put_object(Bucket=BUCKET, Key=base + name, Body=b"not ours")
    client.close()
    async with opened(s3_url) as storage:
        await storage.put("wal/1", b"1")

        assert [info.key async for info in storage.list()] == ["wal/1"]
        assert [info.key async for info in storage.list(delimiter="/")] == ["wal/"]


async def test_foreign_uploads_are_never_aborted(s3_server, s3_url):
    base = parse_address(s3_url).base
    async with opened(s3_url) as storage:
        with contextlib.closing(s3_server.client()) as client:
            theirs = client.create_multipart_upload(Bucket=BUCKET, Key=f"{base}backups/2026.tar")["UploadId"]
            client.create_multipart_upload(Bucket=BUCKET, Key=f"{base}data.d/run.d/1")

            await remove_leftovers(storage._calls, older_than=timedelta(seconds=-60))

            assert uploads(s3_server, base) == [f"{base}backups/2026.tar"]
            client.abort_multipart_upload(Bucket=BUCKET, Key=f"{base}backups/2026.tar", UploadId=theirs)


async def test_list_skips_folded_keys(s3_server, s3_owner):
    async with behind_proxy(s3_server, prefix="jumps") as (storage, proxy):
        async with opened(s3_server.url("jumps")) as direct:
            for start in range(0, 700, 100):
                await asyncio.gather(*(direct.put(f"many-/{n:05}", b"") for n in range(start, start + 100)))
            await direct.put("many-.", b"")
            await direct.put("next", b"")

        found = [info.key async for info in storage.list(delimiter="/")]

        assert found == ["many-.", "many-/", "next"]
        assert len(proxy.requests) == 2


async def test_prefixes_of_one_bucket_are_separate_storages(s3_server, s3_owner):
    async with opened(s3_server.url("shared/a")) as one, opened(s3_server.url("shared/ab")) as other:
        await one.put("k", b"1")
        await other.put("k", b"2")

        assert [info.key async for info in one.list()] == ["k"]
        assert await other.get("k") == b"2"


async def test_truncated_page_without_a_next_token_is_not_the_last(s3_server, s3_owner):
    async def without_token(request: web.Request, send: Callable[[], Awaitable[Answer]]) -> Answer:
        answer = await send()
        answer.body = re.sub(rb"<NextContinuationToken>.*</NextContinuationToken>", b"", answer.body)
        answer.headers.popall("Content-Length", None)
        return answer

    async with behind_proxy(s3_server) as (storage, proxy):
        for start in range(0, 400, 100):
            await asyncio.gather(*(storage.put(f"{n:05}", b"") for n in range(start, start + 100)))
        proxy.next("GET", without_token, containing="list-type=2")

        assert [info.key async for info in storage.list()] == [f"{n:05}" for n in range(400)]
        assert proxy.fates_left == 0
