"""Uploads to a real S3 server: in parts, in little memory, without leftovers when they fail."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from datetime import timedelta

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition, NotFound, Unavailable
from sluiceway_server.objectstorage.s3_address import parse_address
from sluiceway_server.objectstorage.s3_probe import remove_leftovers
from tests.support.s3_proxy import answer_with, applied_but, hang, lose_answer, lose_request
from tests.support.s3_storages import IMPATIENT, QUICK_TO_REPEAT, behind_proxy, names, opened, uploads


async def test_small_upload_is_one_put(s3_server, s3_owner):
    async with behind_proxy(s3_server) as (storage, proxy):
        upload = await storage.upload("a")
        await upload.write(b"1" * 1_000_000)
        await upload.write(b"2" * 1_000_000)
        await upload.complete()

        assert [method for method, _ in proxy.requests] == ["PUT"]


async def test_aborted_upload_leaves_no_parts(s3_server, s3_url):
    base = parse_address(s3_url).base
    async with opened(s3_url) as storage:
        upload = await storage.upload("a")
        await upload.write(b"x" * 20_000_000)
        assert uploads(s3_server, base) == [base + "a"]

        await upload.abort()

    assert uploads(s3_server, base) == []
    assert names(s3_server, base) == []


@pytest.mark.parametrize("fate", [applied_but(500, "InternalError"), lose_answer, hang], ids=["500", "cut", "hangs"])
async def test_upload_is_complete_after_a_lost_completion_response(s3_server, s3_owner, fate):
    body = os.urandom(9_000_000)
    async with behind_proxy(s3_server, QUICK_TO_REPEAT) as (storage, proxy):
        upload = await storage.upload("a")
        await upload.write(body)
        proxy.next("POST", fate, containing="uploadId")

        await upload.complete()

        assert proxy.fates_left == 0
        assert await storage.get("a") == body


async def test_upload_survives_lost_parts_and_responses(s3_server, s3_owner):
    body = os.urandom(20_000_000)
    async with behind_proxy(s3_server, QUICK_TO_REPEAT) as (storage, proxy):
        proxy.next("PUT", lose_request, lose_answer, applied_but(500, "InternalError"), containing="partNumber")
        proxy.next("POST", answer_with(503, "SlowDown"))
        upload = await storage.upload("a")
        await upload.write(body)
        await upload.complete()

        assert proxy.fates_left == 0
        assert await storage.get("a") == body


async def test_failed_upload_drops_its_parts(s3_server, s3_owner):
    async with behind_proxy(s3_server, IMPATIENT) as (storage, proxy):
        upload = await storage.upload("a")
        await upload.write(b"x" * 9_000_000)
        proxy.next("POST", *[answer_with(500, "InternalError")] * 20, containing="uploadId")

        with pytest.raises(Unavailable):
            await upload.complete()

        assert uploads(s3_server, storage._base) == []
        with pytest.raises(FailedPrecondition):
            await upload.write(b"more")
        await upload.abort()


async def test_parts_of_a_killed_writer_are_dropped_at_the_next_open(s3_server, s3_url):
    base = parse_address(s3_url).base
    code = (
        "import asyncio, sys\n"
        "from sluiceway_server.objectstorage.locate import open_storage\n"
        "async def main():\n"
        "    storage = await open_storage(sys.argv[1])\n"
        "    await storage.put('kept', b'1')\n"
        "    upload = await storage.upload('large')\n"
        "    await upload.write(b'x' * 20_000_000)\n"
        "    print('written', flush=True)\n"
        "    await asyncio.sleep(100)\n"
        "asyncio.run(main())\n"
    )
    writer = await asyncio.create_subprocess_exec(sys.executable, "-c", code, s3_url, stdout=subprocess.PIPE)
    assert writer.stdout is not None
    try:
        async with asyncio.timeout(60):
            assert await writer.stdout.readline() == b"written\n"
    finally:
        writer.kill()
        await writer.wait()
    assert uploads(s3_server, base) == [base + "large"]

    async with opened(s3_url) as storage:
        assert uploads(s3_server, base) == [base + "large"], "a writer of today may still live"
        assert [info.key async for info in storage.list()] == ["kept"]

        await remove_leftovers(storage._calls, older_than=timedelta(seconds=-60))

        assert uploads(s3_server, base) == []
        assert await storage.get("kept") == b"1"


def test_upload_and_ranges_of_100_mb_take_little_memory(s3_server, s3_url):
    code = (
        "import asyncio, resource, sys\n"
        "from sluiceway_server.objectstorage.locate import open_storage\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "async def main():\n"
        "    storage = await open_storage(sys.argv[1])\n"
        "    await storage.put('warm', b'x' * 1_000_000)\n"
        "    before = peak()\n"
        "    upload = await storage.upload('large')\n"
        "    for number in range(1600):\n"
        "        await upload.write(number.to_bytes(4, 'big') * 16384)\n"
        "    await upload.complete()\n"
        "    for number in (0, 700, 1599):\n"
        "        assert await storage.get_range('large', number * 65536, 8) == number.to_bytes(4, 'big') * 2\n"
        "    print(peak() - before, (await storage.head('large')).size_bytes)\n"
        "    await storage.close()\n"
        "asyncio.run(main())\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, s3_url], capture_output=True, text=True, timeout=100, check=False
    )

    assert answer.returncode == 0, answer.stderr
    grown_kib, size = (int(word) for word in answer.stdout.split())
    assert size == 1600 * 65536
    # Two parts of 8 MiB, buffers of the connection, and as much again for what the allocator keeps.
    assert grown_kib < 48 * 1024


async def test_closed_storage_of_a_bucket_can_be_opened_again(s3_url):
    async with opened(s3_url) as storage:
        await storage.put("a", b"1")
        upload = await storage.upload("b")
        await upload.write(b"x" * 9_000_000)
    await upload.abort()

    async with opened(s3_url) as storage:
        assert await storage.get("a") == b"1"
        with pytest.raises(NotFound):
            await storage.get("b")
