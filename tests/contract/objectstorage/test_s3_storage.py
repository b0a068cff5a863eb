"""What a bucket as an object storage promises beyond the port, on a real S3 server, with a broken way to it, and none.

`tests/support/s3_proxy.py` breaks single requests; `tests/support/tcp_proxy.py` breaks connections.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from sluiceway.foundation.errors import (
    DataLoss,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    SluicewayError,
    Unavailable,
)
from sluiceway.objectstorage.locate import open_storage
from sluiceway.objectstorage.s3 import S3Settings, S3Storage
from sluiceway.objectstorage.s3_address import parse_address
from sluiceway.objectstorage.s3_calls import S3Calls
from sluiceway.objectstorage.s3_probe import remove_leftovers
from tests.support.conditions import eventually
from tests.support.s3_proxy import (
    S3Proxy,
    answer_with,
    applied_but,
    hang,
    lose_answer,
    lose_request,
    s3_proxy,
)
from tests.support.s3_servers import BUCKET, READER, STRANGER, S3Server, Seaweed, started
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

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


# Who may, and what the endpoint has to do.


async def test_opening_leaves_nothing_behind(s3_server, s3_url):
    async with opened(s3_url):
        pass

    assert names(s3_server, parse_address(s3_url).base) == []


async def test_an_endpoint_that_ignores_conditional_puts_is_refused_by_name(s3_memory_server, s3_owner):
    async with s3_proxy(s3_memory_server.endpoint) as proxy:
        proxy.dropped_header = "If-None-Match"

        with pytest.raises(FailedPrecondition, match="ignores conditional puts") as caught:
            await open_storage(s3_memory_server.url("ignoring", endpoint=proxy.endpoint))

    assert caught.value.reason == "CONDITIONAL_PUTS_IGNORED"
    assert proxy.endpoint in caught.value.message
    assert names(s3_memory_server, "ignoring/") == []


async def test_an_endpoint_that_ignores_ranges_is_refused(s3_memory_server, s3_owner):
    async with s3_proxy(s3_memory_server.endpoint) as proxy:
        proxy.dropped_header = "Range"

        with pytest.raises(FailedPrecondition, match="range"):
            await open_storage(s3_memory_server.url(endpoint=proxy.endpoint))


async def test_what_is_no_s3_storage_is_told_as_such(s3_owner):
    async with s3_proxy("http://127.0.0.1:1") as proxy:

        async def page(request, send):
            return await answer_with(405, "MethodNotAllowed")(request, send)

        proxy.next("HEAD", page)
        with pytest.raises(FailedPrecondition, match="is it an S3 storage"):
            await open_storage(f"s3://{BUCKET}?endpoint={proxy.endpoint}")


async def test_a_bucket_that_is_not_there_is_told_at_the_start(s3_server, s3_owner):
    with pytest.raises(FailedPrecondition, match="no such bucket") as caught:
        await open_storage(f"s3://no-such-bucket/p?endpoint={s3_server.endpoint}")

    assert caught.value.reason == "BUCKET_NOT_FOUND"
    assert "no-such-bucket" in caught.value.message


async def test_a_bucket_that_is_gone_is_unavailable_not_empty(s3_memory_server, s3_owner):
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


async def test_without_a_right_the_bucket_the_key_and_the_right_are_named(s3_server, s3_url, monkeypatch):
    async with opened(s3_url) as storage:
        await storage.put("there", b"1")
    for name, value in READER.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(PermissionDenied, match="s3:PutObject"):
        await open_storage(s3_url)

    # Not tried out: as one whose rights were taken away while it ran.
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


async def test_unknown_credentials_are_denied_and_not_repeated_in_the_words(s3_server, s3_url, monkeypatch, caplog):
    for name, value in STRANGER.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(PermissionDenied) as caught:
        await open_storage(s3_url)

    assert STRANGER["AWS_SECRET_ACCESS_KEY"] not in str(caught.value) + repr(caught.value.__cause__) + caplog.text


async def test_a_wrong_secret_is_denied(s3_server, s3_url, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")

    with pytest.raises(PermissionDenied, match=r"SignatureDoesNotMatch|Forbidden|403") as caught:
        await open_storage(s3_url)

    assert "not-the-secret" not in str(caught.value)


async def test_missing_credentials_are_told_with_what_to_set(s3_server, s3_url, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)

    with pytest.raises(PermissionDenied, match="AWS_ACCESS_KEY_ID") as caught:
        await open_storage(s3_url)

    assert caught.value.reason == "NO_CREDENTIALS"


async def test_a_profile_that_is_not_there_is_told(s3_url, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")

    with pytest.raises(PermissionDenied, match="no-such-profile"):
        await open_storage(s3_url)


# Whose put won.


@pytest.mark.parametrize(
    "fate",
    [applied_but(500, "InternalError"), applied_but(503, "SlowerDown"), lose_answer, hang],
    ids=["500 after its effect", "503 after its effect", "its connection is cut", "its answer never comes"],
)
async def test_a_put_if_absent_that_was_applied_and_not_answered_knows_its_own(s3_server, s3_owner, fate):
    async with behind_proxy(s3_server, QUICK_TO_REPEAT) as (storage, proxy):
        proxy.next("PUT", fate)

        assert await storage.put_if_absent("epoch/1", b"mine") is True

        assert proxy.fates_left == 0
        assert await storage.get("epoch/1") == b"mine"


@pytest.mark.parametrize(
    "fate", [answer_with(500, "InternalError"), lose_request], ids=["500 without effect", "its connection is cut"]
)
async def test_a_put_if_absent_that_came_late_does_not_take_anothers_object_for_its_own(s3_server, s3_owner, fate):
    prefix = f"late-{fate.__name__}"
    async with (
        behind_proxy(s3_server, QUICK_TO_REPEAT, prefix=prefix) as (storage, proxy),
        opened(s3_server.url(prefix)) as other,
    ):

        async def other_is_quicker(request, send):
            # The same bytes: what tells them apart is not the content.
            assert await other.put_if_absent("epoch/1", b"same") is True
            return await fate(request, send)

        proxy.next("PUT", other_is_quicker)

        assert await storage.put_if_absent("epoch/1", b"same") is False
        assert proxy.fates_left == 0


async def test_of_racers_whose_answers_are_lost_exactly_one_wins(s3_server, s3_owner):
    async with behind_proxy(s3_server, QUICK_TO_REPEAT) as (storage, proxy):
        proxy.next("PUT", lose_answer, applied_but(500, "InternalError"), lose_request, lose_answer)

        won = await asyncio.gather(*(storage.put_if_absent("epoch/1", bytes([n])) for n in range(5)))

        assert sum(won) == 1
        assert await storage.get("epoch/1") == bytes([won.index(True)])


async def test_a_put_if_absent_whose_object_vanished_meanwhile_is_made_again(s3_server, s3_owner):
    async with behind_proxy(s3_server, QUICK_TO_REPEAT) as (storage, proxy):

        async def vanish(request, send):
            await storage.delete("a")
            return await send()

        proxy.next("PUT", lose_answer)
        proxy.next("HEAD", vanish)

        assert await storage.put_if_absent("a", b"1") is True
        assert await storage.get("a") == b"1"


async def test_a_conflict_of_conditional_puts_is_tried_again(s3_server, s3_owner):
    async with behind_proxy(s3_server) as (storage, proxy):
        proxy.next("PUT", *[answer_with(409, "ConditionalRequestConflict")] * 3)

        assert await storage.put_if_absent("a", b"1") is True
        assert len(proxy.requests) == 4


async def test_exactly_one_of_two_racing_processes_wins_each_name(s3_server, s3_url):
    code = (
        "import asyncio, sys\n"
        "from sluiceway.objectstorage.locate import open_storage\n"
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


# A way that breaks.


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
async def test_every_call_is_repeated_after_a_fault_that_passes(s3_server, s3_owner, name):
    fate = PASSING_FAULTS[name]
    async with behind_proxy(s3_server, QUICK_TO_REPEAT) as (storage, proxy):
        proxy.next("PUT", fate)
        await storage.put("a", b"12345")
        proxy.next("GET", fate)
        assert await storage.get("a") == b"12345"
        proxy.next("GET", fate)
        assert await storage.get_range("a", 1, 2) == b"23"
        if "400" not in name:
            # The answer to a head has no words that tell one 400 from another.
            proxy.next("HEAD", fate)
            assert await storage.head("a") is not None
        proxy.next("GET", fate)
        assert [info.key async for info in storage.list()] == ["a"]
        proxy.next("DELETE", fate)
        await storage.delete("a")

        assert proxy.fates_left == 0
        assert await storage.head("a") is None


async def test_an_answer_that_is_cut_short_is_read_again_and_never_taken_for_the_object(s3_server, s3_owner):
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
async def test_an_answer_that_says_it_is_shorter_than_the_range_is_not_believed(s3_server, s3_owner, missing):
    async with behind_proxy(s3_server, IMPATIENT) as (storage, proxy):
        await storage.put("a", b"x" * 500_000)

        async def shorten(request, send):
            answer = await send()
            answer.body = answer.body[:-missing]
            return answer

        proxy.next("GET", *[shorten] * 20)
        with pytest.raises(Unavailable):
            await storage.get_range("a", 0, 500_000)


async def test_connections_that_are_reset_in_the_middle_of_bodies_do_no_harm(s3_server, s3_owner):
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
    """Wait until so many further bytes went to the server."""
    seen = proxy.requests_seen

    async def enough() -> bool:
        return proxy.requests_seen >= seen + count

    await eventually(enough)


async def struck(proxy: S3Proxy) -> None:
    """Wait until no fate is left."""

    async def none_left() -> bool:
        return proxy.fates_left == 0

    await eventually(none_left)


async def test_bytes_that_do_not_fit_their_checksum_are_data_loss_by_name(s3_server, s3_owner):
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


async def test_a_range_of_a_huge_object_reads_no_more_than_that(s3_memory_server, s3_owner):
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
async def test_a_storage_that_is_full_says_so_at_once(s3_server, s3_owner, status, code):
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


async def test_a_storage_that_is_full_can_be_opened_read_and_emptied(s3_server, s3_owner):
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


async def test_a_cancelled_call_leaves_the_storage_usable(s3_server, s3_owner):
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


async def test_closing_ends_what_hangs(s3_server, s3_owner):
    async with behind_proxy(s3_server) as (storage, proxy):
        await storage.put("a", b"1")
        proxy.next("GET", hang)
        task = asyncio.create_task(storage.get("a"))
        await struck(proxy)

        await storage.close()

        with pytest.raises(Unavailable):
            await task


# Uploads.


async def test_a_small_upload_is_one_put(s3_server, s3_owner):
    async with behind_proxy(s3_server) as (storage, proxy):
        upload = await storage.upload("a")
        await upload.write(b"1" * 1_000_000)
        await upload.write(b"2" * 1_000_000)
        await upload.complete()

        assert [method for method, _ in proxy.requests] == ["PUT"]


async def test_an_aborted_upload_leaves_no_parts(s3_server, s3_url):
    base = parse_address(s3_url).base
    async with opened(s3_url) as storage:
        upload = await storage.upload("a")
        await upload.write(b"x" * 20_000_000)
        assert uploads(s3_server, base) == [base + "a"]

        await upload.abort()

    assert uploads(s3_server, base) == []
    assert names(s3_server, base) == []


@pytest.mark.parametrize("fate", [applied_but(500, "InternalError"), lose_answer, hang], ids=["500", "cut", "hangs"])
async def test_an_upload_whose_completion_was_applied_and_not_answered_is_complete(s3_server, s3_owner, fate):
    body = os.urandom(9_000_000)
    async with behind_proxy(s3_server, QUICK_TO_REPEAT) as (storage, proxy):
        upload = await storage.upload("a")
        await upload.write(body)
        proxy.next("POST", fate, containing="uploadId")

        await upload.complete()

        assert proxy.fates_left == 0
        assert await storage.get("a") == body


async def test_an_upload_survives_lost_parts_and_answers(s3_server, s3_owner):
    body = os.urandom(20_000_000)
    async with behind_proxy(s3_server, QUICK_TO_REPEAT) as (storage, proxy):
        proxy.next("PUT", lose_request, lose_answer, applied_but(500, "InternalError"), containing="partNumber")
        proxy.next("POST", answer_with(503, "SlowDown"))
        upload = await storage.upload("a")
        await upload.write(body)
        await upload.complete()

        assert proxy.fates_left == 0
        assert await storage.get("a") == body


async def test_an_upload_that_failed_is_over_and_drops_its_parts(s3_server, s3_owner):
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


async def test_what_a_killed_writer_left_goes_when_a_storage_is_opened_later(s3_server, s3_url):
    base = parse_address(s3_url).base
    code = (
        "import asyncio, sys\n"
        "from sluiceway.objectstorage.locate import open_storage\n"
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


def test_an_upload_of_100_megabytes_and_ranges_of_it_take_little_memory(s3_server, s3_url):
    code = (
        "import asyncio, resource, sys\n"
        "from sluiceway.objectstorage.locate import open_storage\n"
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


# Others in the bucket.


async def test_objects_of_others_are_not_listed(s3_server, s3_url):
    base = parse_address(s3_url).base
    client = s3_server.client()
    for name in ("README.md", "other/thing", "Z", "wal.d/.hidden"):
        client.put_object(Bucket=BUCKET, Key=base + name, Body=b"not ours")
    client.close()
    async with opened(s3_url) as storage:
        await storage.put("wal/1", b"1")

        assert [info.key async for info in storage.list()] == ["wal/1"]
        assert [info.key async for info in storage.list(delimiter="/")] == ["wal/"]


async def test_a_list_jumps_over_what_it_folds(s3_server, s3_owner):
    async with behind_proxy(s3_server, prefix="jumps") as (storage, proxy):
        async with opened(s3_server.url("jumps")) as direct:
            for start in range(0, 700, 100):
                await asyncio.gather(*(direct.put(f"many-/{n:05}", b"") for n in range(start, start + 100)))
            await direct.put("many-.", b"")
            await direct.put("next", b"")

        found = [info.key async for info in storage.list(delimiter="/")]

        assert found == ["many-.", "many-/", "next"]
        assert len(proxy.requests) == 2


async def test_prefixes_in_one_bucket_are_storages_of_their_own(s3_server, s3_owner):
    async with opened(s3_server.url("shared/a")) as one, opened(s3_server.url("shared/ab")) as other:
        await one.put("k", b"1")
        await other.put("k", b"2")

        assert [info.key async for info in one.list()] == ["k"]
        assert await other.get("k") == b"2"


# A server that dies. Its own one, so that others are not disturbed.


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory):
    with started(Seaweed(tmp_path_factory.mktemp("mortal"))) as server:
        yield server


@pytest.mark.system
async def test_a_server_killed_in_the_middle_of_an_upload_keeps_what_it_confirmed(mortal, s3_owner):
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
async def test_a_server_that_is_away_is_unavailable_by_name_and_is_found_again(mortal, s3_owner):
    url = mortal.url()
    async with opened(url, IMPATIENT) as storage:
        await storage.put("a", b"1")
        upload = await storage.upload("large")
        await upload.write(b"x" * 9_000_000)
        mortal.stop()
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

        assert await storage.get("a") == b"1"
        assert await storage.head("b") is None
        assert await storage.head("large") is None


@pytest.mark.system
async def test_a_server_that_hangs_is_unavailable_when_the_patience_ends(mortal, s3_owner):
    async with opened(mortal.url(), IMPATIENT) as storage:
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

        await eventually(answers, seconds=30)


async def test_a_closed_storage_of_a_bucket_can_be_opened_again(s3_url):
    async with opened(s3_url) as storage:
        await storage.put("a", b"1")
        upload = await storage.upload("b")
        await upload.write(b"x" * 9_000_000)
    await upload.abort()

    async with opened(s3_url) as storage:
        assert await storage.get("a") == b"1"
        with pytest.raises(NotFound):
            await storage.get("b")
