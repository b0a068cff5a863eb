"""A folder as an object storage, beyond the port: no partial objects, no leftovers, clear errors."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition, PermissionDenied, Unavailable
from sluiceway_server.objectstorage.posix import PosixStorage


@pytest.fixture
async def storage(tmp_path: Path):
    storage = PosixStorage(tmp_path / "root")
    yield storage
    await storage.close()


def files_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


async def test_no_key_escapes_from_the_root(storage, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()

    for key in ("../outside/x", "/etc/passwd", "..", "a/../../outside/x", str(outside / "x")):
        await storage.put(key, b"x")

    assert files_below(outside) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "root"]


async def test_deleting_the_last_object_leaves_no_folder(storage, tmp_path):
    await storage.put("a/b/c", b"")
    await storage.put("a/d", b"")
    await storage.delete("a/b/c")
    assert files_below(tmp_path / "root") == [".tmp", "a+", "a+/d"]

    await storage.delete("a/d")

    assert files_below(tmp_path / "root") == [".tmp"]


async def test_no_temporary_file_is_left_behind(storage, tmp_path):
    await storage.put("a", b"1")
    await asyncio.gather(*(storage.put_if_absent("b", b"1") for _ in range(10)))
    upload = await storage.upload("c")
    await upload.write(b"1")
    await upload.abort()

    assert list((tmp_path / "root" / ".tmp").iterdir()) == []


async def test_upload_that_its_caller_cancels_can_be_aborted(storage, tmp_path):
    upload = await storage.upload("c")
    write = asyncio.create_task(upload.write(b"x" * 50_000_000))
    await asyncio.sleep(0)
    write.cancel()
    with pytest.raises(asyncio.CancelledError):
        await write

    await upload.abort()

    assert list((tmp_path / "root" / ".tmp").iterdir()) == []


def test_files_of_a_crashed_writer_are_deleted_after_a_day(tmp_path):
    temporary = tmp_path / "root" / ".tmp"
    PosixStorage(tmp_path / "root")
    for name, hours in (("old", 25), ("young", 23)):
        (temporary / name).write_bytes(b"")
        then = time.time() - hours * 3600
        os.utime(temporary / name, (then, then))

    PosixStorage(tmp_path / "root")

    assert [path.name for path in temporary.iterdir()] == ["young"]


async def test_objects_are_shared_by_storages_on_one_root(storage, tmp_path):
    await storage.put("a/b", b"1")
    other = PosixStorage(tmp_path / "root")

    assert await other.get("a/b") == b"1"
    assert await other.put_if_absent("a/b", b"2") is False
    await other.delete("a/b")

    await storage.put("a/b", b"3")
    assert await other.get("a/b") == b"3"
    await other.close()


async def test_missing_root_is_unavailable_not_empty(storage, tmp_path):
    await storage.put("a", b"1")
    shutil.rmtree(tmp_path / "root")
    (tmp_path / "root").mkdir()

    for call in (storage.get, storage.head, storage.delete, storage.upload):
        with pytest.raises(Unavailable, match="is the disk mounted"):
            await call("a")
    with pytest.raises(Unavailable):
        await storage.put("a", b"")
    with pytest.raises(Unavailable):
        await storage.put_if_absent("a", b"")
    with pytest.raises(Unavailable, match="is the disk mounted"):
        [info async for info in storage.list()]
    assert files_below(tmp_path / "root") == []


@pytest.mark.parametrize("there", [False, True], ids=["no folder", "an empty one"])
def test_read_only_storage_makes_no_root_and_needs_one(tmp_path, there):
    if there:
        (tmp_path / "root").mkdir()
    before = files_below(tmp_path)

    with pytest.raises(FailedPrecondition, match="mount the disk") as caught:
        PosixStorage(tmp_path / "root", only_reads=True)

    assert caught.value.reason == "NO_STORAGE"
    assert files_below(tmp_path) == before


@pytest.mark.parametrize("copied", [False, True], ids=["where it was written", "a copy of what is not hidden"])
async def test_read_only_storage_reads_and_lists_only(storage, tmp_path, copied):
    await storage.put("wal/1", b"1")
    root = tmp_path / "root"
    if copied:
        root = Path(shutil.copytree(root, tmp_path / "copy", ignore=shutil.ignore_patterns(".*")))
    before = files_below(root)
    reader = PosixStorage(root, only_reads=True)

    assert await reader.get("wal/1") == b"1"
    assert await reader.head("wal/2") is None
    assert [info.key async for info in reader.list()] == ["wal/1"]
    assert files_below(root) == before
    await reader.close()


async def test_foreign_files_are_not_listed(storage, tmp_path):
    await storage.put("a", b"1")
    (tmp_path / "root" / "lost+found").mkdir()
    (tmp_path / "root" / "README").write_text("not ours")
    (tmp_path / "root" / "%FF").write_text("a name that no UTF-8 key has")
    (tmp_path / "root" / "folder").symlink_to(tmp_path)

    assert [info.key async for info in storage.list()] == ["a"]


async def test_folder_that_is_a_symbolic_link_is_an_error(storage, tmp_path):
    await storage.put("data/a", b"1")
    await storage.put("wal/1", b"1")
    (tmp_path / "root" / "wal+").rename(tmp_path / "elsewhere")
    (tmp_path / "root" / "wal+").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(Unavailable, match=r"wal\+.*put the folder itself there") as caught:
        [info async for info in storage.list("wal/")]
    assert caught.value.reason == "SYMBOLIC_LINK"


def test_file_system_without_hard_links_is_an_error(storage, tmp_path):
    # A link to a folder is refused as one is on a file system that has none.
    with pytest.raises(FailedPrecondition, match="hard link") as caught:
        storage._link(tmp_path, tmp_path / "root" / "a")
    assert caught.value.reason == "NO_HARD_LINKS"


async def test_root_may_be_a_symbolic_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    storage = PosixStorage(tmp_path / "root")
    await storage.put_if_absent("wal/1", b"1")

    assert [info.key async for info in storage.list()] == ["wal/1"]
    await storage.close()


_SYNCED = """
import asyncio, pathlib, sys
from sluiceway_server.objectstorage.posix import PosixStorage

opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)

async def main():
    root = pathlib.Path(sys.argv[1])
    mine, theirs = PosixStorage(root), PosixStorage(root)
    unsynced = 0
    # Whether the folder gets the inode again that it had is up to the file system.
    for _ in range(20):
        await mine.put("a/x", b"")
        await theirs.delete("a/x")
        assert not (root / "a+").exists()
        opened.clear()
        await mine.put("a/y", b"")
        # To sync a folder it has to be opened.
        unsynced += not {str(root / "a+"), str(root)} <= set(opened)
        await theirs.delete("a/y")
    print(unsynced)

asyncio.run(main())
"""


def test_new_folder_is_synced_before_its_object_is_confirmed(tmp_path):
    command = [sys.executable, "-c", _SYNCED, str(tmp_path / "root")]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (answer.stdout, answer.stderr) == ("0\n", "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_unwritable_root_is_permission_denied(tmp_path):
    (tmp_path / "root").mkdir(mode=0o500)

    with pytest.raises(PermissionDenied, match="root"):
        PosixStorage(tmp_path / "root")


def test_root_that_is_a_file_is_refused_with_its_path(tmp_path):
    (tmp_path / "root").write_text("")

    with pytest.raises(Unavailable, match="root"):
        PosixStorage(tmp_path / "root")


def _with_tmpfs(folder: Path, options: str = "size=100m") -> list[str]:
    """How a command is begun that sees another disk in a folder."""
    mount = 'mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@"'
    begin = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", options, str(folder)]
    probe = subprocess.run([*begin, "true"], capture_output=True, text=True, timeout=20, check=False)
    if probe.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {probe.stderr.strip()}")
    return begin


_FILL = """
import asyncio, pathlib, sys
from sluiceway_common.foundation.errors import FailedPrecondition, Unavailable
from sluiceway_server.objectstorage.posix import PosixStorage

async def main():
    storage = PosixStorage(pathlib.Path(sys.argv[1]))
    await storage.put("small", b"kept")
    for store in (storage.put, storage.put_if_absent):
        try:
            await store("big", b"x" * 3_000_000)
        except Unavailable as error:
            assert error.reason == "STORAGE_FULL", error.reason
            assert sys.argv[1] in error.message and "big" in error.message, error.message
        else:
            raise AssertionError("a full disk took it")
    upload = await storage.upload("stream")
    try:
        for _ in range(30):
            await upload.write(b"x" * 100_000)
    except Unavailable as error:
        assert error.reason == "STORAGE_FULL", error.reason
    else:
        raise AssertionError("a full disk took it")
    try:
        await upload.complete()
    except FailedPrecondition:
        pass
    else:
        raise AssertionError("a torn object was completed")
    await upload.abort()
    assert await storage.get("small") == b"kept"
    assert [info.key async for info in storage.list()] == ["small"]
    await storage.put("fits-again", b"x" * 500_000)
    print("told as it is")

asyncio.run(main())
"""


_ANOTHER_DISK = """
import asyncio, pathlib, sys
from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.objectstorage.posix import PosixStorage

async def main():
    storage = PosixStorage(pathlib.Path(sys.argv[1]))
    upload = await storage.upload("wal/3")
    await upload.write(b"1")
    for store in (storage.put("wal/1", b"1"), storage.put_if_absent("wal/2", b"1"), upload.complete()):
        try:
            await store
        except Unavailable as error:
            assert error.reason == "NOT_ONE_FILE_SYSTEM", error.message
            assert "wal" in error.message and "one file system" in error.message, error.message
        else:
            raise AssertionError("it was stored")
    assert [info.key async for info in storage.list()] == []
    assert list((pathlib.Path(sys.argv[1]) / ".tmp").iterdir()) == []
    print("told as it is")

asyncio.run(main())
"""


@pytest.mark.system
def test_mount_inside_the_root_is_an_error(tmp_path):
    (tmp_path / "root" / "wal+").mkdir(parents=True)
    begin = _with_tmpfs(tmp_path / "root" / "wal+")

    command = [*begin, sys.executable, "-c", _ANOTHER_DISK, str(tmp_path / "root")]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == "told as it is\n"


@pytest.mark.system
def test_full_disk_is_unavailable_and_loses_no_object(tmp_path):
    begin = _with_tmpfs(tmp_path, "size=1000000")

    command = [*begin, sys.executable, "-c", _FILL, str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == "told as it is\n"


@pytest.mark.system
async def test_killed_writer_leaves_only_whole_objects(tmp_path):
    code = (
        "import asyncio, pathlib, sys\n"
        "from sluiceway_server.objectstorage.posix import PosixStorage\n"
        "async def main():\n"
        "    storage = PosixStorage(pathlib.Path(sys.argv[1]))\n"
        "    print('ready', flush=True)\n"
        "    n = 0\n"
        "    while True:\n"
        "        await asyncio.gather(*(storage.put(f'k/{i}', bytes([n % 256]) * 200_000) for i in range(4)))\n"
        "        n += 1\n"
        "        print(n, flush=True)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(tmp_path / "root"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            for _ in range(6):
                await process.stdout.readline()
    finally:
        process.kill()
        await process.wait()

    storage = PosixStorage(tmp_path / "root")
    bodies = [await storage.get(info.key) async for info in storage.list()]
    await storage.close()

    assert len(bodies) == 4
    for body in bodies:
        assert len(body) == 200_000
        assert len(set(body)) == 1
