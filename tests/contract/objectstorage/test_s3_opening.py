"""What opening a bucket requires of its permissions and its endpoint, checked at the start."""

from __future__ import annotations

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition, PermissionDenied, Unavailable
from sluiceway_server.objectstorage.locate import open_storage
from sluiceway_server.objectstorage.s3 import S3Settings, S3Storage
from sluiceway_server.objectstorage.s3_address import parse_address
from sluiceway_server.objectstorage.s3_calls import S3Calls
from tests.support.s3_proxy import answer_with, s3_proxy
from tests.support.s3_servers import BUCKET, READER, STRANGER
from tests.support.s3_storages import names, opened


async def test_opening_a_bucket_leaves_no_object(s3_server, s3_url):
    async with opened(s3_url):
        pass

    assert names(s3_server, parse_address(s3_url).base) == []


async def test_read_only_storage_opens_without_write_permission(s3_server, s3_url, monkeypatch):
    async with opened(s3_url) as storage:
        await storage.put("wal/1", b"1")
    for name, value in READER.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(PermissionDenied, match="s3:PutObject"):
        await open_storage(s3_url)
    reader = await open_storage(s3_url, only_reads=True)
    try:
        assert await reader.get("wal/1") == b"1"
        assert [info.key async for info in reader.list()] == ["wal/1"]
    finally:
        await reader.close()
    with pytest.raises(FailedPrecondition) as caught:
        await open_storage(s3_url.replace(BUCKET, "no-such-bucket"), only_reads=True)
    assert caught.value.reason == "BUCKET_NOT_FOUND"


async def test_endpoint_without_conditional_puts_is_refused(s3_memory_server, s3_owner):
    async with s3_proxy(s3_memory_server.endpoint) as proxy:
        proxy.dropped_header = "If-None-Match"

        with pytest.raises(FailedPrecondition, match="ignores conditional puts") as caught:
            await open_storage(s3_memory_server.url("ignoring", endpoint=proxy.endpoint))

    assert caught.value.reason == "CONDITIONAL_PUTS_IGNORED"
    assert proxy.endpoint in caught.value.message
    assert names(s3_memory_server, "ignoring/") == []


async def test_endpoint_without_ranges_is_refused(s3_memory_server, s3_owner):
    async with s3_proxy(s3_memory_server.endpoint) as proxy:
        proxy.dropped_header = "Range"

        with pytest.raises(FailedPrecondition, match="range"):
            await open_storage(s3_memory_server.url(endpoint=proxy.endpoint))


async def test_endpoint_that_is_not_s3_is_refused(s3_owner):
    async with s3_proxy("http://127.0.0.1:1") as proxy:

        async def page(request, send):
            return await answer_with(405, "MethodNotAllowed")(request, send)

        proxy.next("HEAD", page)
        with pytest.raises(FailedPrecondition, match="is it an S3 storage"):
            await open_storage(f"s3://{BUCKET}?endpoint={proxy.endpoint}")


async def test_missing_bucket_is_an_error_at_the_start(s3_server, s3_owner):
    with pytest.raises(FailedPrecondition, match="no such bucket") as caught:
        await open_storage(f"s3://no-such-bucket/p?endpoint={s3_server.endpoint}")

    assert caught.value.reason == "BUCKET_NOT_FOUND"
    assert "no-such-bucket" in caught.value.message


async def test_deleted_bucket_is_unavailable_not_empty(s3_memory_server, s3_owner):
    client = s3_memory_server.client()
    client.create_bucket(Bucket="going")
    async with opened(f"s3://going/p?endpoint={s3_memory_server.endpoint}") as storage:
        client.delete_bucket(Bucket="going")
        client.close()

        calls = [
            storage.get("a"),
            storage.head("a"),
            storage.get_range("a", 0, 1),
            storage.get_range("a", 0, 0),
            storage.put("a", b""),
            storage.put_if_absent("a", b""),
            storage.delete("a"),
            anext(storage.list()),
        ]
        for call in calls:
            with pytest.raises(Unavailable, match="no such bucket") as caught:
                await call
            assert caught.value.reason == "BUCKET_NOT_FOUND"


async def test_denied_call_names_bucket_key_and_permission(s3_server, s3_url, monkeypatch):
    async with opened(s3_url) as storage:
        await storage.put("there", b"1")
    for name, value in READER.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(PermissionDenied, match="s3:PutObject"):
        await open_storage(s3_url)

    # Opened without the check, like a storage whose permissions are revoked later.
    storage = S3Storage(await S3Calls.open(parse_address(s3_url), S3Settings()))
    try:
        assert await storage.get("there") == b"1"
        assert [info.key async for info in storage.list()] == ["there"]
        for call, right in (
            (storage.put("k/new", b""), "s3:PutObject"),
            (storage.put_if_absent("k/new", b""), "s3:PutObject"),
            (storage.delete("there"), "s3:DeleteObject"),
        ):
            with pytest.raises(PermissionDenied) as caught:
                await call
            assert right in caught.value.message
            assert BUCKET in caught.value.message
            assert ("k/new" if right == "s3:PutObject" else "there") in caught.value.message
        upload = await storage.upload("k/upload")
        with pytest.raises(PermissionDenied, match="s3:PutObject"):
            await upload.write(b"x" * 20_000_000)
        await upload.abort()
    finally:
        await storage.close()


async def test_unknown_credentials_are_denied_and_not_printed(s3_server, s3_url, monkeypatch, caplog):
    for name, value in STRANGER.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(PermissionDenied) as caught:
        await open_storage(s3_url)

    assert STRANGER["AWS_SECRET_ACCESS_KEY"] not in str(caught.value) + repr(caught.value.__cause__) + caplog.text


async def test_wrong_secret_is_denied(s3_server, s3_url, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")

    with pytest.raises(PermissionDenied, match=r"SignatureDoesNotMatch|Forbidden|403") as caught:
        await open_storage(s3_url)

    assert "not-the-secret" not in str(caught.value)


async def test_missing_credentials_say_what_to_set(s3_server, s3_url, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)

    with pytest.raises(PermissionDenied, match="AWS_ACCESS_KEY_ID") as caught:
        await open_storage(s3_url)

    assert caught.value.reason == "NO_CREDENTIALS"


async def test_unknown_profile_is_an_error(s3_url, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")

    with pytest.raises(PermissionDenied, match="no-such-profile"):
        await open_storage(s3_url)
