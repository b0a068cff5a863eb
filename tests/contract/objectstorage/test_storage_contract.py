"""The contract of object storages: one suite for each implementation."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput, NotFound, Unavailable

STRANGE_KEYS = [
    "a",
    "a/b",
    "a/b/c",
    "a//b",
    "a/",
    "/",
    "//",
    "/a",
    ".",
    "..",
    "../x",
    "a/../b",
    "a/./b",
    ".hidden",
    ".tmp/x",
    "nul\0in/it\0",
    "line\nbreak\r\t",
    "ä",
    "a\u0308",
    "\N{PILE OF POO}/\N{HEBREW LETTER ALEF}",
    "A",
    "Straße",
    "a+/b^",
    "a+",
    "%2E%2E/%",
    "%",
    "a b=c@d~e*f?g",
    "x" * 79,
    "x" * 80,
    "x" * 80 + "/",
    "x" * 80 + "/y",
    "x" * 81,
    "x" * 270 + "/y/" + "z" * 27,
    "\0" * 300,
    "/" * 300,
    "ä" * 150,
    "z/" * 150,
    "%2F",
    "a%20b",
    "a\\b",
    " a",
    "a ",
    "b c",
    "b/c",
    "b-c",
    "b.c",
    "<&>\"'`|{}",
    "\x01",
    "\x7f",
    "\uffff",
    "\U0010ffff",
    "x" * 60,
    "x" * 59 + "/",
    "x" * 60 + "/",
    "x" * 60 + "!",
    "x" * 120,
]


async def keys_of(listing):
    return [info.key async for info in listing]


async def test_object_is_read_back_byte_for_byte(storage):
    body = bytes(range(256)) * 1000

    await storage.put("data/a", body)

    assert await storage.get("data/a") == body


async def test_put_replaces_what_was_there(storage):
    await storage.put("a", b"a longer first body")
    await storage.put("a", b"second")

    assert await storage.get("a") == b"second"


async def test_object_may_be_empty(storage):
    await storage.put("a", b"")

    assert await storage.get("a") == b""
    assert (await storage.head("a")).size_bytes == 0


async def test_each_key_holds_its_own_object(storage):
    for number, key in enumerate(STRANGE_KEYS):
        await storage.put(key, str(number).encode())

    for number, key in enumerate(STRANGE_KEYS):
        assert await storage.get(key) == str(number).encode(), repr(key)
        assert (await storage.head(key)).key == key
    assert await keys_of(storage.list()) == sorted(STRANGE_KEYS, key=str.encode)

    for key in STRANGE_KEYS:
        await storage.delete(key)
        assert await storage.head(key) is None
    assert await keys_of(storage.list()) == []


@pytest.mark.parametrize(
    "key", ["", "x" * 301, "ä" * 151, "\ud800"], ids=["empty", "long", "long in UTF-8", "no UTF-8"]
)
async def test_invalid_key_is_refused_by_every_call(storage, key):
    for call in (storage.get, storage.head, storage.delete, storage.upload):
        with pytest.raises(InvalidInput):
            await call(key)
    with pytest.raises(InvalidInput):
        await storage.put(key, b"")
    with pytest.raises(InvalidInput):
        await storage.put_if_absent(key, b"")
    with pytest.raises(InvalidInput):
        await storage.get_range(key, 0, 1)


@pytest.mark.parametrize("key", ["a", "a/b", "a/b/c"])
async def test_missing_object_is_not_found(storage, key):
    await storage.put("a/bb", b"")

    with pytest.raises(NotFound) as caught:
        await storage.get(key)
    assert caught.value.resource_name == key
    with pytest.raises(NotFound):
        await storage.get_range(key, 0, 10)
    assert await storage.head(key) is None
    await storage.delete(key)


async def test_head_returns_size_and_time(storage):
    before = datetime.now(UTC) - timedelta(seconds=2)

    await storage.put("a", b"12345")

    found = await storage.head("a")
    assert (found.key, found.size_bytes, found.is_prefix) == ("a", 5, False)
    assert before <= found.modified <= datetime.now(UTC) + timedelta(seconds=2)


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [(0, 3, b"012"), (3, 4, b"3456"), (8, 10, b"89"), (10, 5, b""), (99, 5, b""), (2, 0, b""), (0, 10, b"0123456789")],
    ids=["beginning", "middle", "over the end", "at the end", "beyond the end", "nothing", "all"],
)
async def test_range_is_cut_at_the_objects_end(storage, start, length, expected):
    await storage.put("a", b"0123456789")

    assert await storage.get_range("a", start, length) == expected


@pytest.mark.parametrize(("start", "length"), [(-1, 5), (0, -1)])
async def test_negative_range_is_invalid(storage, start, length):
    await storage.put("a", b"0123456789")

    with pytest.raises(InvalidInput):
        await storage.get_range("a", start, length)


async def test_put_if_absent_keeps_what_is_there(storage):
    assert await storage.put_if_absent("epoch/1", b"first") is True
    assert await storage.put_if_absent("epoch/1", b"second") is False

    assert await storage.get("epoch/1") == b"first"


async def test_exactly_one_of_racing_puts_if_absent_wins(storage):
    for round_number in range(3):
        key = f"epoch/{round_number}"
        won = await asyncio.gather(*(storage.put_if_absent(key, str(n).encode()) for n in range(8)))
        assert sum(won) == 1
        assert await storage.get(key) == str(won.index(True)).encode()


async def test_put_if_absent_is_possible_again_after_a_delete(storage):
    await storage.put_if_absent("a", b"1")
    await storage.delete("a")

    assert await storage.put_if_absent("a", b"2") is True


async def test_reader_sees_one_whole_body_during_a_replacement(storage):
    bodies = [bytes([n]) * 300_000 for n in range(4)]
    await storage.put("a", bodies[0])

    async def write() -> None:
        for number in range(20):
            await storage.put("a", bodies[number % 4])

    writing = asyncio.create_task(write())
    while not writing.done():
        assert await storage.get("a") in bodies
    await writing


async def test_puts_and_deletes_in_one_folder_do_not_interfere(storage):
    async def churn(name: str) -> None:
        for _ in range(30):
            await storage.put(f"deep/er/{name}", name.encode())
            assert await storage.get(f"deep/er/{name}") == name.encode()
            await storage.delete(f"deep/er/{name}")

    await asyncio.gather(*(churn(str(n)) for n in range(4)))

    assert await keys_of(storage.list()) == []


LISTED = ["a", "a!", "a/1", "a/2", "a/2/x", "a0", "b/1", "b/2", "c", "data/run/1", "data/run/2", "data/task/1", "d/"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, sorted(LISTED)),
        ({"prefix": "a/"}, ["a/1", "a/2", "a/2/x"]),
        ({"prefix": "a"}, ["a", "a!", "a/1", "a/2", "a/2/x", "a0"]),
        ({"prefix": "data/run/1"}, ["data/run/1"]),
        ({"prefix": "none"}, []),
        ({"start_after": "a/2"}, sorted(LISTED)[4:]),
        ({"start_after": "a/1zz"}, sorted(LISTED)[3:]),
        ({"start_after": "zz"}, []),
        ({"prefix": "b/", "start_after": "a/2"}, ["b/1", "b/2"]),
        ({"prefix": "a/", "start_after": "b"}, []),
        ({"delimiter": "/"}, ["a", "a!", "a/", "a0", "b/", "c", "d/", "data/"]),
        ({"delimiter": "/", "prefix": "data/"}, ["data/run/", "data/task/"]),
        ({"delimiter": "/", "prefix": "a/"}, ["a/1", "a/2", "a/2/"]),
        ({"delimiter": "/", "prefix": "da"}, ["data/"]),
        ({"delimiter": "/", "start_after": "a/1"}, ["a/", "a0", "b/", "c", "d/", "data/"]),
        ({"delimiter": "/", "start_after": "a/\U0010ffff"}, ["a0", "b/", "c", "d/", "data/"]),
        ({"delimiter": "ta/"}, ["a", "a!", "a/1", "a/2", "a/2/x", "a0", "b/1", "b/2", "c", "d/", "data/"]),
    ],
    ids=str,
)
async def test_list_is_in_byte_order_with_start_and_delimiter(storage, arguments, expected):
    for key in LISTED:
        await storage.put(key, key.encode())

    found = [info async for info in storage.list(**arguments)]

    assert [info.key for info in found] == expected
    for info in found:
        if not info.is_prefix:
            assert (info.size_bytes, info.modified is None) == (len(info.key), False)
        else:
            assert (info.size_bytes, info.modified) == (0, None)


@pytest.mark.parametrize("seed", range(3))
async def test_list_equals_a_sorted_model_for_any_keys(storage, seed):
    random = Random(seed)

    def text(longest: int) -> str:
        return "".join(random.choices("ab/.!\N{LATIN SMALL LETTER A WITH DIAERESIS}", k=random.randint(1, longest)))

    keys = {text(6) for _ in range(60)} | {"x" * random.randint(78, 82) + text(3) for _ in range(40)}
    for key in keys:
        await storage.put(key, b"")
    ordered = sorted(key.encode() for key in keys)

    for _ in range(60):
        prefix = random.choice(["", text(2), "x" * 80])
        after = random.choice(["", text(4), random.choice(sorted(keys)), "x" * 80 + "/"])
        delimiter = random.choice(["", "/", "/", "ab", "b"])
        expected: list[str] = []
        for encoded in ordered:
            if encoded.startswith(prefix.encode()) and encoded > after.encode():
                key = encoded.decode()
                place = key.find(delimiter, len(prefix)) if delimiter else -1
                shown = key if place < 0 else key[: place + len(delimiter)]
                if not expected or expected[-1] != shown or place < 0:
                    expected.append(shown)

        found = await keys_of(storage.list(prefix, start_after=after, delimiter=delimiter))

        assert found == expected, (prefix, after, delimiter)


async def test_folded_entries_of_a_list_are_marked(storage):
    await storage.put("a/", b"an object that is named as a folder is")
    await storage.put("b/1", b"")

    found = [(info.key, info.is_prefix) async for info in storage.list(delimiter="/")]
    inside = [(info.key, info.is_prefix) async for info in storage.list("a/", delimiter="/")]

    assert found == [("a/", True), ("b/", True)]
    assert inside == [("a/", False)]


async def test_list_resumed_page_by_page_yields_each_key_once(storage):
    keys = sorted((f"k/{n % 7}/{n:03}" for n in range(60)), key=str.encode)
    for key in keys:
        await storage.put(key, b"")

    seen: list[str] = []
    while True:
        page: list[str] = []
        async for info in storage.list("k/", start_after=seen[-1] if seen else ""):
            page.append(info.key)
            if len(page) == 7:
                break
        if not page:
            break
        seen += page

    assert seen == keys


async def test_list_may_be_longer_than_any_page(storage):
    for start in range(0, 1100, 100):
        await asyncio.gather(*(storage.put(f"n/{n:05}", b"") for n in range(start, start + 100)))

    assert await keys_of(storage.list("n/")) == [f"n/{n:05}" for n in range(1100)]


async def test_upload_is_not_seen_before_it_is_complete(storage):
    upload = await storage.upload("logs/1")
    await upload.write(b"one ")
    await upload.write(b"")
    await upload.write(b"two")

    assert await storage.head("logs/1") is None
    assert await keys_of(storage.list()) == []

    await upload.complete()

    assert await storage.get("logs/1") == b"one two"


async def test_upload_replaces_what_was_there(storage):
    await storage.put("a", b"old")
    upload = await storage.upload("a")
    await upload.write(b"new")
    assert await storage.get("a") == b"old"

    await upload.complete()

    assert await storage.get("a") == b"new"


async def test_upload_without_bytes_makes_an_empty_object(storage):
    upload = await storage.upload("a")
    await upload.complete()

    assert await storage.get("a") == b""


async def test_aborted_upload_leaves_nothing_and_abort_repeats(storage):
    upload = await storage.upload("a")
    await upload.write(b"x" * 100_000)

    await upload.abort()
    await upload.abort()

    assert await storage.head("a") is None
    with pytest.raises(FailedPrecondition):
        await upload.write(b"more")
    with pytest.raises(FailedPrecondition):
        await upload.complete()


async def test_abort_after_complete_changes_nothing(storage):
    upload = await storage.upload("a")
    await upload.write(b"1")
    await upload.complete()

    await upload.abort()

    assert await storage.get("a") == b"1"
    with pytest.raises(FailedPrecondition):
        await upload.write(b"more")


async def test_upload_cannot_continue_after_a_cancelled_write(storage):
    upload = await storage.upload("a")
    await upload.write(b"one ")
    write = asyncio.create_task(upload.write(b"two" * 20_000_000))
    await asyncio.sleep(0)
    write.cancel()
    with pytest.raises(asyncio.CancelledError):
        await write

    with pytest.raises(FailedPrecondition):
        await upload.write(b"three")
    with pytest.raises(FailedPrecondition):
        await upload.complete()
    await upload.abort()
    assert await storage.head("a") is None


async def test_large_upload_is_read_back_in_any_range(storage):
    chunk = bytes(range(256)) * 4096
    upload = await storage.upload("large")
    for number in range(20):
        await upload.write(number.to_bytes(4, "big") + chunk)
    await upload.complete()

    size = len(chunk) + 4
    assert (await storage.head("large")).size_bytes == 20 * size
    body = await storage.get("large")
    assert body == b"".join(number.to_bytes(4, "big") + chunk for number in range(20))
    for start, length in ((0, 5), (8 * 2**20 - 3, 10), (size * 13, 4), (20 * size - 2, 100)):
        assert await storage.get_range("large", start, length) == body[start : start + length]


async def test_closed_storage_is_unavailable_and_may_be_closed_again(storage):
    await storage.put("a", b"")
    await storage.close()
    await storage.close()

    with pytest.raises(Unavailable):
        await storage.get("a")
    with pytest.raises(Unavailable):
        await storage.put("a", b"")
    with pytest.raises(Unavailable):
        await keys_of(storage.list())
