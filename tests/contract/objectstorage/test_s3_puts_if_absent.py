"""Which conditional put won, also when responses are lost: a real S3 server behind a faulty proxy."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from tests.support.s3_proxy import answer_with, applied_but, hang, lose_answer, lose_request
from tests.support.s3_storages import QUICK_TO_REPEAT, behind_proxy, opened


@pytest.mark.parametrize(
    "fate",
    [applied_but(500, "InternalError"), applied_but(503, "SlowerDown"), lose_answer, hang],
    ids=["500 after its effect", "503 after its effect", "its connection is cut", "its answer never comes"],
)
async def test_put_if_absent_finds_its_object_after_a_lost_response(s3_server, s3_owner, fate):
    async with behind_proxy(s3_server, QUICK_TO_REPEAT) as (storage, proxy):
        proxy.next("PUT", fate)

        assert await storage.put_if_absent("epoch/1", b"mine") is True

        assert proxy.fates_left == 0
        assert await storage.get("epoch/1") == b"mine"


@pytest.mark.parametrize(
    "fate", [answer_with(500, "InternalError"), lose_request], ids=["500 without effect", "its connection is cut"]
)
async def test_late_put_if_absent_does_not_claim_anothers_object(s3_server, s3_owner, fate):
    prefix = f"late-{fate.__name__}"
    async with (
        behind_proxy(s3_server, QUICK_TO_REPEAT, prefix=prefix) as (storage, proxy),
        opened(s3_server.url(prefix)) as other,
    ):

        async def other_is_quicker(request, send):
            # The same bytes: it is not the content that distinguishes them.
            assert await other.put_if_absent("epoch/1", b"same") is True
            return await fate(request, send)

        proxy.next("PUT", other_is_quicker)

        assert await storage.put_if_absent("epoch/1", b"same") is False
        assert proxy.fates_left == 0


async def test_one_racing_put_if_absent_wins_with_lost_responses(s3_server, s3_owner):
    async with behind_proxy(s3_server, QUICK_TO_REPEAT) as (storage, proxy):
        proxy.next("PUT", lose_answer, applied_but(500, "InternalError"), lose_request, lose_answer)

        won = await asyncio.gather(*(storage.put_if_absent("epoch/1", bytes([n])) for n in range(5)))

        assert sum(won) == 1
        assert await storage.get("epoch/1") == bytes([won.index(True)])


async def test_put_if_absent_is_retried_when_its_object_vanished(s3_server, s3_owner):
    async with behind_proxy(s3_server, QUICK_TO_REPEAT) as (storage, proxy):

        async def vanish(request, send):
            await storage.delete("a")
            return await send()

        proxy.next("PUT", lose_answer)
        proxy.next("HEAD", vanish)

        assert await storage.put_if_absent("a", b"1") is True
        assert await storage.get("a") == b"1"


async def test_conflict_of_conditional_puts_is_retried(s3_server, s3_owner):
    async with behind_proxy(s3_server) as (storage, proxy):
        proxy.next("PUT", *[answer_with(409, "ConditionalRequestConflict")] * 3)

        assert await storage.put_if_absent("a", b"1") is True
        assert len(proxy.requests) == 4


async def test_exactly_one_of_two_racing_processes_wins_each_name(s3_server, s3_url):
    code = (
        "import asyncio, sys\n"
        "from sluiceway_server.objectstorage.locate import open_storage\n"
        "async def main():\n"
        "    storage = await open_storage(sys.argv[1])\n"
        "    print('ready', flush=True)\n"
        "    sys.stdin.readline()\n"
        "    for n in range(20):\n"
        "        if await storage.put_if_absent(f'epoch/{n}', sys.argv[2].encode()):\n"
        "            print(n, flush=True)\n"
        "    await storage.close()\n"
        "asyncio.run(main())\n"
    )
    racers = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code, s3_url, name), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for name in ("one", "two")
    ]
    try:
        async with asyncio.timeout(100):
            for racer in racers:
                assert racer.stdout is not None
                assert await racer.stdout.readline() == b"ready\n"
            answers = [answer for answer, _ in await asyncio.gather(*(racer.communicate(b"go\n") for racer in racers))]
    finally:
        for racer in racers:
            if racer.returncode is None:
                racer.kill()
                await racer.wait()

    won = [[int(line) for line in answer.split()] for answer in answers]
    assert sorted(won[0] + won[1]) == list(range(20))
    async with opened(s3_url) as storage:
        for name, numbers in zip((b"one", b"two"), won, strict=True):
            for number in numbers:
                assert await storage.get(f"epoch/{number}") == name
