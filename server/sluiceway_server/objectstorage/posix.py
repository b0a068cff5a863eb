"""`ObjectStorage` in a folder of a local (or mounted) file system.

An object appears by `rename` or `link` of a finished, synced temporary file, and the folders that lead to it are synced
before the caller hears of it: a reader sees all of an object or none, also after a power cut. What is where:
`posix_names`. Temporary files are in `.tmp` under the root; those that a crash left behind go after a day.

Blocking work runs in threads of its own, so that a slow disk holds up nothing else. Folders that became empty are
removed; whoever then finds one missing makes it again.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar

from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput, NotFound, PermissionDenied, Unavailable
from sluiceway_server.objectstorage.keys import encode_key, encode_prefix
from sluiceway_server.objectstorage.port import ObjectInfo, ObjectUpload
from sluiceway_server.objectstorage.posix_names import path_of
from sluiceway_server.objectstorage.posix_walk import walk

_T = TypeVar("_T")

_TEMPORARY = ".tmp"
_TEMPORARY_LIVES_SECONDS = 24 * 3600
_PLACE_ATTEMPTS = 10
_LIST_PAGE = 500


class PosixStorage:
    """`ObjectStorage` in a folder.

    Several processes may share a root. All below it is one file system, which must know hard links (all of Linux's own
    do, and NFS). The root may be a symbolic link, what is in it may not.
    """

    def __init__(self, root: Path, *, threads: int = 8, only_reads: bool = False) -> None:
        """Make the root if it is not there, and remove what crashed writers left more than a day ago. Blocks shortly.

        Args:
            root: the folder; private to this storage.
            threads: how many operations run at once.
            only_reads: make nothing and remove nothing; the root has to be one that has objects, or had.

        Raises:
            FailedPrecondition: with `only_reads`, there is no such root; reason `NO_STORAGE`.
            PermissionDenied: the root cannot be made or written.
            Unavailable: it is on a disk that is full or broken.
        """
        self._root = root.absolute()
        self._name = f"posix:{self._root}"
        self._temporary = self._root / _TEMPORARY
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._closed = False
        # Folder -> the inode whose way from the root is known to be on disk.
        self._synced: dict[Path, int] = {}
        # What is there as long as the root is.
        self._mark = self._temporary
        with self._errors("its root", self._root):
            if only_reads:
                self._find_root()
                return
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._temporary.mkdir(mode=0o700, exist_ok=True)
            self._remove_old_temporaries()

    def __repr__(self) -> str:
        return f"PosixStorage({self._name})"

    async def put(self, key: str, body: bytes) -> None:
        target = self._target(key)
        await self._run(lambda: self._put(key, target, body))

    async def put_if_absent(self, key: str, body: bytes) -> bool:
        """Store an object unless it exists: `link` fails if the name is taken, also in a race."""
        target = self._target(key)
        return await self._run(lambda: self._put_if_absent(key, target, body))

    async def get(self, key: str) -> bytes:
        target = self._target(key)
        return await self._run(lambda: self._get(key, target))

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        if start < 0 or length < 0:
            raise InvalidInput(f"{self._name}: a range of {key} cannot begin at {start} and be {length} bytes long")
        target = self._target(key)
        return await self._run(lambda: self._get_range(key, target, start, length))

    async def head(self, key: str) -> ObjectInfo | None:
        target = self._target(key)
        return await self._run(lambda: self._head(key, target))

    async def list(self, prefix: str = "", *, start_after: str = "", delimiter: str = "") -> AsyncIterator[ObjectInfo]:
        """List objects. Only the names of the folders on the way are in memory, not all keys."""
        found = walk(
            self._root,
            prefix=encode_prefix(prefix, self._name),
            start_after=encode_prefix(start_after, self._name),
            delimiter=encode_prefix(delimiter, self._name),
        )
        page: list[ObjectInfo] = []

        def turn() -> list[ObjectInfo]:
            with self._errors(prefix, self._root):
                self._check_root()
                return list(islice(found, _LIST_PAGE))

        while page := await self._run(turn):
            for info in page:
                yield info

    async def delete(self, key: str) -> None:
        target = self._target(key)
        await self._run(lambda: self._delete(key, target))

    async def upload(self, key: str) -> ObjectUpload:
        """Begin an upload into a temporary file."""
        target = self._target(key)
        temporary, descriptor = await self._run(lambda: self._open_temporary(key))
        return _Upload(self, key, target, temporary, descriptor)

    async def close(self) -> None:
        """Close, after waiting for calls in progress."""
        self._closed = True
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown)

    async def _run(self, work: Callable[[], _T]) -> _T:
        if self._closed:
            raise Unavailable(f"{self._name} is closed")
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="posix-storage")
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _target(self, key: str) -> Path:
        return self._root.joinpath(*path_of(encode_key(key, self._name)))

    # From here on everything blocks and runs in a thread.

    def _put(self, key: str, target: Path, body: bytes) -> None:
        with self._errors(key, target):
            temporary = self._write_temporary(key, body)
            try:
                self._place(lambda: temporary.replace(target), target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def _put_if_absent(self, key: str, target: Path, body: bytes) -> bool:
        with self._errors(key, target):
            # Most callers that lose find the object there already: no need to write theirs first.
            stored = False
            if not target.exists():
                temporary = self._write_temporary(key, body)
                try:
                    with suppress(FileExistsError):
                        self._place(lambda: self._link(temporary, target), target)
                        stored = True
                finally:
                    temporary.unlink(missing_ok=True)
            if not stored:
                # The winner may not have come so far yet; what we say is there has to be there after a power cut.
                with suppress(FileNotFoundError):
                    self._sync_way_to(target.parent)
            return stored

    def _link(self, temporary: Path, target: Path) -> None:
        try:
            os.link(temporary, target)
        except OSError as cause:
            # Linux raises EPERM if a file system has no hard links.
            if cause.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
                raise FailedPrecondition(
                    f"{self._name}: no hard link can be made here ({cause.strerror}; {target}), and they decide whose"
                    " object comes first; put the objects on a file system that has them, such as ext4, XFS or NFS",
                    reason="NO_HARD_LINKS",
                ) from cause
            raise

    def _get(self, key: str, target: Path) -> bytes:
        with self._errors(key, target):
            try:
                return target.read_bytes()
            except (FileNotFoundError, NotADirectoryError) as cause:
                raise self._not_found(key) from cause

    def _get_range(self, key: str, target: Path, start: int, length: int) -> bytes:
        with self._errors(key, target):
            try:
                with target.open("rb") as file:
                    file.seek(start)
                    return file.read(length)
            except (FileNotFoundError, NotADirectoryError) as cause:
                raise self._not_found(key) from cause

    def _head(self, key: str, target: Path) -> ObjectInfo | None:
        with self._errors(key, target):
            try:
                found = target.stat()
            except (FileNotFoundError, NotADirectoryError):
                self._check_root()
                return None
            return ObjectInfo(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def _delete(self, key: str, target: Path) -> None:
        with self._errors(key, target):
            try:
                target.unlink()
                _sync_folder(target.parent)
            except FileNotFoundError:
                self._check_root()
            for folder in target.parents:
                if folder == self._root:
                    break
                try:
                    folder.rmdir()
                except OSError:
                    break
                self._synced.pop(folder, None)

    def _open_temporary(self, key: str) -> tuple[Path, int]:
        temporary = self._temporary / secrets.token_hex(16)
        with self._errors(key, temporary):
            self._check_root()
            return temporary, os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def _write_temporary(self, key: str, body: bytes) -> Path:
        temporary, descriptor = self._open_temporary(key)
        try:
            _write_all(descriptor, body)
            os.fsync(descriptor)
        except BaseException:
            os.close(descriptor)
            temporary.unlink(missing_ok=True)
            raise
        os.close(descriptor)
        return temporary

    def _place(self, put_in_place: Callable[[], object], target: Path) -> None:
        """Rename a finished file to its name, create its folders, and sync them."""
        for attempt in range(_PLACE_ATTEMPTS):
            try:
                self._make_folders(target.parent)
                put_in_place()
                break
            except FileNotFoundError:
                # Somebody deleted the last object of a folder between our two steps.
                self._check_root()
                if attempt == _PLACE_ATTEMPTS - 1:
                    raise
        # When the folder is gone now, somebody deleted the object that we have just put: nothing is left to sync.
        with suppress(FileNotFoundError):
            self._sync_way_to(target.parent)

    def _make_folders(self, folder: Path) -> None:
        # The root itself is never made again: it may be a disk that is not mounted now.
        for each in reversed((folder, *folder.parents)):
            if self._root in each.parents:
                with suppress(FileExistsError):
                    each.mkdir(mode=0o700)
                    # Somebody else removed the one that we knew, and file systems use inodes again.
                    self._synced.pop(each, None)

    def _sync_way_to(self, folder: Path) -> None:
        inode = _sync_folder(folder)
        if self._synced.get(folder) != inode:
            for each in folder.parents:
                if folder == self._root:
                    break
                _sync_folder(each)
                if each == self._root:
                    break
            self._synced[folder] = inode

    def _find_root(self) -> None:
        if self._temporary.is_dir():
            return
        # A copy may lack the folder for what is written.
        self._mark = self._root
        if next(walk(self._root, prefix=b"", start_after=b"", delimiter=b""), None) is None:
            raise FailedPrecondition(
                f"{self._name}: no objects were ever stored there: correct the address, or mount the disk",
                reason="NO_STORAGE",
            )

    def _remove_old_temporaries(self) -> None:
        horizon = time.time() - _TEMPORARY_LIVES_SECONDS
        for each in self._temporary.iterdir():
            with suppress(FileNotFoundError):
                if each.stat().st_mtime < horizon:
                    each.unlink()

    def _check_root(self) -> None:
        # A root without its own folder is not ours: most likely a disk that is not mounted, and then what we do not
        # find is not gone.
        if not self._mark.is_dir():
            raise Unavailable(f"{self._name}: {self._mark} is gone; is the disk mounted?")

    def _not_found(self, key: str) -> NotFound:
        self._check_root()
        return NotFound(f"{self._name} has no object {key}", resource_type="object", resource_name=key)

    @contextmanager
    def _errors(self, key: str, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as cause:
            text = f"{self._name}: {key}: {cause.strerror or cause} ({cause.filename or path})"
            if cause.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Unavailable(f"{text}; make room on that disk", reason="STORAGE_FULL") from cause
            if cause.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise PermissionDenied(text) from cause
            if cause.errno == errno.EXDEV:
                raise Unavailable(
                    f"{text}; all of {self._root} must be on one file system: mount that disk as the whole of it, or"
                    " move everything to it",
                    reason="NOT_ONE_FILE_SYSTEM",
                ) from cause
            if cause.errno == errno.ELOOP:
                raise Unavailable(
                    f"{text}; what is behind it would be read and never listed: put the folder itself there",
                    reason="SYMBOLIC_LINK",
                ) from cause
            if cause.errno == errno.ENAMETOOLONG:
                raise InvalidInput(f"{text}; the key and the path of the root are too long together") from cause
            raise Unavailable(text) from cause


class _Upload:
    """An upload into a temporary file. Its steps run one after another, also if a caller is cancelled during one."""

    def __init__(self, storage: PosixStorage, key: str, target: Path, temporary: Path, descriptor: int) -> None:
        self._storage = storage
        self._key = key
        self._target = target
        self._temporary = temporary
        self._descriptor: int | None = descriptor
        self._broken = False
        self._turn = asyncio.Lock()

    async def write(self, chunk: bytes) -> None:
        await self._step(lambda descriptor: _write_all(descriptor, chunk))

    async def complete(self) -> None:
        """Complete the upload. If that fails, the upload is over and nothing of it remains."""
        await self._step(self._finish)

    async def abort(self) -> None:
        async with self._turn:
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is not None:
                # Not through the pool: it has to work after `close` too, and takes no time.
                self._drop(descriptor)

    async def _step(self, work: Callable[[int], None]) -> None:
        async with self._turn:
            if self._descriptor is None:
                raise FailedPrecondition(f"the upload of {self._key} is over")
            if self._broken:
                raise FailedPrecondition(
                    f"the upload of {self._key} cannot continue after a step that failed: abort it and begin again"
                )
            descriptor = self._descriptor
            self._broken = True
            running = asyncio.ensure_future(self._storage._run(lambda: self._guarded(work, descriptor)))
            try:
                await asyncio.shield(running)
            except asyncio.CancelledError:
                # The thread cannot be stopped; the next step must not begin beside it.
                with suppress(Exception):
                    await running
                raise
            self._broken = False

    def _guarded(self, work: Callable[[int], None], descriptor: int) -> None:
        with self._storage._errors(self._key, self._target):
            work(descriptor)

    def _finish(self, descriptor: int) -> None:
        self._descriptor = None
        try:
            os.fsync(descriptor)
            self._storage._place(lambda: self._temporary.replace(self._target), self._target)
        except BaseException:
            self._drop(descriptor)
            raise
        os.close(descriptor)

    def _drop(self, descriptor: int) -> None:
        os.close(descriptor)
        self._temporary.unlink(missing_ok=True)


def _write_all(descriptor: int, body: bytes) -> None:
    rest = memoryview(body)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync_folder(folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
        return os.fstat(descriptor).st_ino
    finally:
        os.close(descriptor)
