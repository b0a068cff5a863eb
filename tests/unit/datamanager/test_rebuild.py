"""A folder of a read database is held by one process at a time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.replica.rebuild import FolderInUse, lock_folder
from tests.fakes.kv import FakeKeyValueStore
from tests.fakes.objectstorage import FakeObjectStorage
from tests.support.databases import TYPES


async def test_a_folder_that_is_held_is_refused_and_named(tmp_path: Path) -> None:
    async with lock_folder(tmp_path / "data"):
        with pytest.raises(FolderInUse, match=str(tmp_path)):
            async with lock_folder(tmp_path / "data"):
                pass
    async with lock_folder(tmp_path / "data"):
        pass


HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "ab")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def test_a_process_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    async def try_it() -> None:
        async with lock_folder(tmp_path):
            pass

    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "lock"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(FolderInUse):
            asyncio.run(try_it())
        process.kill()
    asyncio.run(try_it())


async def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="file"):
        async with lock_folder(tmp_path / "file" / "data"):
            pass


async def test_two_servers_do_not_share_a_read_database(tmp_path: Path) -> None:
    kv, storage = FakeKeyValueStore(), FakeObjectStorage()

    def opened():
        return DataManager.open(kv=kv, storage=storage, prefix="p", path=tmp_path, types=TYPES)

    async with opened():
        with pytest.raises(FolderInUse):
            async with opened():
                pass
