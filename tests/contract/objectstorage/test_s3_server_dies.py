"""An S3 server that is killed, stopped, or hangs; not the shared one."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from sluiceway_common.foundation.errors import SluicewayError, Unavailable
from sluiceway_server.objectstorage.s3 import S3Settings, S3Storage
from sluiceway_server.objectstorage.s3_address import parse_address
from tests.support.conditions import eventually
from tests.support.s3_servers import Seaweed, started
from tests.support.s3_storages import IMPATIENT, impatient, opened


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory):
    with started(Seaweed(tmp_path_factory.mktemp("mortal"))) as server:
        yield server


@pytest.mark.system
async def test_s3_server_killed_in_an_upload_keeps_its_objects(mortal, s3_owner):
    url = mortal.url()
    async with opened(url, S3Settings(keep_trying=timedelta(seconds=60))) as storage:
        for number in range(20):
            await storage.put(f"kept/{number}", bytes([number]) * 50_000)
        assert await storage.put_if_absent("epoch/1", b"mine")
        upload = await storage.upload("large")
        await upload.write(b"a" * 9_000_000)

        mortal.kill()
        writing = asyncio.create_task(upload.write(b"b" * 9_000_000))
        putting = asyncio.create_task(storage.put_if_absent("epoch/2", b"mine too"))
        await asyncio.to_thread(mortal.start)
        await writing
        await upload.complete()
        assert await putting is True

        assert await storage.get("large") == b"a" * 9_000_000 + b"b" * 9_000_000
        for number in range(20):
            assert await storage.get(f"kept/{number}") == bytes([number]) * 50_000
        assert await storage.put_if_absent("epoch/1", b"another") is False
        assert [info.key async for info in storage.list("epoch/")] == ["epoch/1", "epoch/2"]


@pytest.mark.system
async def test_stopped_s3_server_is_unavailable_until_it_is_back(mortal, s3_owner):
    url = mortal.url()
    async with impatient(url) as storage:
        await storage.put("a", b"1")
        upload = await storage.upload("large")
        await upload.write(b"x" * 9_000_000)
        mortal.kill()
        try:
            calls = (
                storage.get("a"),
                storage.head("a"),
                storage.put("b", b""),
                storage.put_if_absent("b", b""),
                storage.delete("a"),
                anext(storage.list()),
                upload.complete(),
            )
            for call in calls:
                with pytest.raises(Unavailable, match=mortal.endpoint):
                    await call
            await upload.abort()
            with pytest.raises(Unavailable, match=mortal.endpoint):
                await S3Storage.open(parse_address(url), IMPATIENT)
        finally:
            await asyncio.to_thread(mortal.start)

        async def has_its_data() -> bool:
            try:
                return await storage.get("a") == b"1"
            except Unavailable:
                return False

        # SeaweedFS accepts calls before it has found its volumes.
        await eventually(has_its_data)
        assert await storage.head("b") is None
        assert await storage.head("large") is None


@pytest.mark.system
async def test_hanging_s3_server_is_unavailable_after_the_timeout(mortal, s3_owner):
    async with impatient(mortal.url()) as storage:
        await storage.put("a", b"1")
        mortal.pause()
        try:
            async with asyncio.timeout(30):
                for call in (storage.get("a"), storage.put_if_absent("b", b"1")):
                    with pytest.raises(Unavailable, match="in time"):
                        await call
        finally:
            mortal.resume()

        async def answers() -> bool:
            try:
                return await storage.get("a") == b"1"
            except SluicewayError:
                return False

        await eventually(answers)
