"""Open S3 storages for tests, directly or behind a proxy that breaks requests, and list what is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from sluiceway_server.objectstorage.s3 import S3Settings, S3Storage
from sluiceway_server.objectstorage.s3_address import parse_address
from sluiceway_server.objectstorage.s3_calls import S3Calls
from tests.support.s3_proxy import S3Proxy, s3_proxy
from tests.support.s3_servers import BUCKET, S3Server

__all__ = ["IMPATIENT", "QUICK_TO_REPEAT", "behind_proxy", "impatient", "names", "opened", "uploads"]

IMPATIENT = S3Settings(one_try=timedelta(seconds=1), keep_trying=timedelta(seconds=1))
QUICK_TO_REPEAT = S3Settings(one_try=timedelta(seconds=1), keep_trying=timedelta(seconds=30))


@asynccontextmanager
async def opened(url: str, settings: S3Settings | None = None) -> AsyncIterator[S3Storage]:
    storage = await S3Storage.open(parse_address(url), settings)
    try:
        yield storage
    finally:
        await storage.close()


@asynccontextmanager
async def impatient(url: str) -> AsyncIterator[S3Storage]:
    """Open a storage that gives up after a second, but not while it checks the endpoint."""
    async with opened(url):
        pass
    storage = S3Storage(await S3Calls.open(parse_address(url), IMPATIENT))
    try:
        yield storage
    finally:
        await storage.close()


@asynccontextmanager
async def behind_proxy(
    server: S3Server, settings: S3Settings | None = None, *, prefix: str | None = None
) -> AsyncIterator[tuple[S3Storage, S3Proxy]]:
    async with (
        s3_proxy(server.endpoint) as proxy,
        opened(server.url(prefix, endpoint=proxy.endpoint), settings) as storage,
    ):
        proxy.requests.clear()
        proxy.given_bytes = 0
        yield storage, proxy


def names(server: S3Server, prefix: str) -> list[str]:
    client = server.client()
    try:
        return [each["Key"] for each in client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]
    finally:
        client.close()


def uploads(server: S3Server, prefix: str) -> list[str]:
    client = server.client()
    try:
        answer = client.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix)
        return [each["Key"] for each in answer.get("Uploads", [])]
    finally:
        client.close()
