"""A full disk, or a damaged file, under SQLite: nothing is lost, and the server continues when there is room."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.model import Decision, View
from sluiceway_server.datamanager.replica.disk_errors import ReplicaDiskError
from sluiceway_server.kv.port import KeyValueStore
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.fakes.kv import FakeKeyValueStore
from tests.support.databases import NOTE, open_database, put

KIB = 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a mebibyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no small disk can be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, leave: int = 0) -> Path:
    """Use up a disk, as logs of something else do."""
    ballast = disk / "ballast"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
    with ballast.open("wb") as file, contextlib.suppress(OSError):
        for _ in range(max(free - leave, 0) // 4096):
            file.write(b"x" * 4096)
            file.flush()
    return ballast


def add(view: View) -> Decision[int]:
    old = view.get(NOTE, "counter")
    value = (old.number if old else 0) + 1
    # Incompressible: it is the disk that shall be full.
    return Decision(value, [put("counter", rank=value), put(f"n{value}", "g", value, os.urandom(2 * KIB).hex())])


async def write_until_it_ends(database: DataManager, answered: list[int]) -> None:
    with suppress(SluicewayError):
        while True:
            answered.append((await database.transact(add)).value)
    await asyncio.sleep(60)  # the body is cancelled


async def all_notes(database: DataManager) -> list[int]:
    await database.linearize()
    return await database.read(lambda view: sorted(m.number for id_, m in view.scan(NOTE, "n")))


async def run_into_the_full_disk(kv: KeyValueStore, storage: PosixStorage, disk: Path) -> list[int]:
    """Write until the disk is full; return what was acknowledged."""
    answered: list[int] = []

    async def serve() -> None:
        async with open_database(kv, storage, disk, prefix="p") as database:
            answered.append((await database.transact(add)).value)
            fill(disk, leave=64 * KIB)
            await asyncio.wait_for(write_until_it_ends(database, answered), 60)

    with pytest.raises(ReplicaDiskError) as caught:
        await serve()
    assert caught.value.reason == "READ_DATABASE_FULL"
    for word in (str(disk), "full", "make room", "Nothing committed is lost"):
        assert word in caught.value.message
    return answered


async def test_full_disk_closes_the_database_and_loses_nothing(
    storage: PosixStorage, small_disk: Path, tmp_path: Path
) -> None:
    kv = FakeKeyValueStore()
    answered = await run_into_the_full_disk(kv, storage, small_disk)
    assert answered == list(range(1, len(answered) + 1))

    # Another server has all of it, and continues meanwhile.
    async with open_database(kv, storage, tmp_path, prefix="p", server_id="two") as other:
        assert (await all_notes(other))[: len(answered)] == answered
        more = (await other.transact(add)).value

    # Still no room: the same is said, and the file is not thrown away.
    file = small_disk / "one" / "read.sqlite"
    size = file.stat().st_size
    with pytest.raises(ReplicaDiskError) as again:
        async with open_database(kv, storage, small_disk, prefix="p"):
            pass
    assert again.value.reason == "READ_DATABASE_FULL"
    assert file.stat().st_size >= size

    (small_disk / "ballast").unlink()
    async with open_database(kv, storage, small_disk, prefix="p") as database:
        assert await all_notes(database) == list(range(1, more + 1))
        assert (await database.transact(add)).value == more + 1


async def test_a_disk_that_is_full_at_the_first_start_is_reported(storage: PosixStorage, small_disk: Path) -> None:
    ballast = fill(small_disk)
    with pytest.raises(ReplicaDiskError) as caught:
        async with open_database(FakeKeyValueStore(), storage, small_disk, prefix="p"):
            pass
    assert caught.value.reason in ("READ_DATABASE_FULL", "READ_DATABASE_UNUSABLE")
    ballast.unlink()


@pytest.fixture
async def filled(storage: PosixStorage, tmp_path: Path) -> FakeKeyValueStore:
    kv = FakeKeyValueStore()
    async with open_database(kv, storage, tmp_path, prefix="p") as database:
        for _ in range(40):
            await database.transact(add)
    return kv


async def test_a_file_that_is_found_damaged_is_rebuilt(
    filled: FakeKeyValueStore, storage: PosixStorage, tmp_path: Path
) -> None:
    file = tmp_path / "one" / "read.sqlite"

    async def meet_the_damage() -> None:
        async with open_database(filled, storage, tmp_path, prefix="p") as database:
            body = bytearray(file.read_bytes())
            # All but the page that says what the file is.
            for at in range(2 * 4096, len(body)):
                body[at] = 0xA5
            file.write_bytes(body)
            await asyncio.wait_for(write_until_it_ends(database, []), 30)

    with pytest.raises(ReplicaDiskError) as caught:
        await meet_the_damage()
    assert caught.value.reason == "READ_DATABASE_DAMAGED"
    async with open_database(filled, storage, tmp_path, prefix="p") as database:
        notes = await all_notes(database)
        assert notes == list(range(1, len(notes) + 1))
        assert len(notes) >= 40
        assert (await database.transact(add)).value == len(notes) + 1
    assert not (tmp_path / "one" / "read.sqlite.damaged").exists()
