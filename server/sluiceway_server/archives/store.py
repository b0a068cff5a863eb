"""Reads and writes the objects of archives."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sluiceway_common.foundation.errors import InvalidInput, NotFound, Unavailable
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.objectstorage.port import ObjectStorage

READ_BYTES = 256 * 1024
_SECONDS = 60.0
_DELETED_AT_ONCE = 1000


class ArchiveStore:
    """The objects of archives, below the prefix of the installation."""

    def __init__(self, storage: ObjectStorage, *, prefix: str, seconds: float = _SECONDS) -> None:
        """Make one; `seconds` is the deadline of each call to the storage."""
        self._storage = storage
        self._root = f"{prefix}/" if prefix else ""
        self._seconds = seconds

    async def put(self, name: str, chunks: AsyncIterator[bytes], *, sha256: str, size: int) -> None:
        """Store an object, whose bytes must be those that were named.

        Raises:
            InvalidInput: they are not (`ARCHIVE_DAMAGED`); nothing is stored.
            Unavailable: the storage is away.
        """
        digest, received = hashlib.sha256(), 0
        async with self._deadline("take", name):
            upload = await self._storage.upload(self._root + name)
        try:
            async for chunk in chunks:
                received += len(chunk)
                digest.update(chunk)
                if received > size:
                    break
                async with self._deadline("take", name):
                    await upload.write(chunk)
            if received != size or digest.hexdigest() != sha256:
                raise InvalidInput(
                    "the bytes of the archive are not those that were described", reason="ARCHIVE_DAMAGED"
                )
            async with self._deadline("take", name):
                await upload.complete()
        except BaseException:
            await upload.abort()
            raise

    async def read(self, name: str, size: int, offset: int = 0) -> AsyncIterator[bytes]:
        """Yield the bytes of an object of `size` bytes from an offset on.

        Raises:
            NotFound: it is not there (`ARCHIVE_GONE`).
            Unavailable: the storage is away.
        """
        while offset < size:
            try:
                async with self._deadline("give", name):
                    data = await self._storage.get_range(self._root + name, offset, min(READ_BYTES, size - offset))
            except NotFound as error:
                raise NotFound("the archive is not kept any more", reason="ARCHIVE_GONE") from error
            if not data:
                return
            offset += len(data)
            yield data

    async def exists(self, name: str) -> bool:
        """Return whether an object is there."""
        async with self._deadline("show", name):
            return await self._storage.head(self._root + name) is not None

    async def delete(self, name: str) -> None:
        """Delete an object. May be repeated."""
        async with self._deadline("delete", name):
            await self._storage.delete(self._root + name)

    async def delete_folder(self, folder: str) -> int:
        """Delete all objects of a folder; return how many there were. May be repeated."""
        count = 0
        while True:
            names = []
            async with self._deadline("list", folder):
                async for info in self._storage.list(self._root + folder):
                    names.append(info.key)
                    if len(names) == _DELETED_AT_ONCE:
                        break
            for name in names:
                async with self._deadline("delete", name):
                    await self._storage.delete(name)
            count += len(names)
            if len(names) < _DELETED_AT_ONCE:
                return count

    async def folders(self, parent: str, *, after: str = "", limit: int) -> list[str]:
        """List the names of the folders of a folder that sort after `after`."""
        root, found = self._root + parent, list[str]()
        # `0` sorts behind `/`: all that is in the folder `after` is before it.
        start = f"{root}{after}0" if after else ""
        async with self._deadline("list", parent):
            async for info in self._storage.list(root, start_after=start, delimiter="/"):
                if info.is_prefix:
                    found.append(info.key.removeprefix(root).rstrip("/"))
                if len(found) == limit:
                    break
        return found

    @asynccontextmanager
    async def _deadline(self, verb: str, name: str) -> AsyncIterator[None]:
        try:
            async with time_limit(self._seconds):
                yield
        except TimeoutError as cause:
            raise Unavailable(f"the object storage did not {verb} {name} within {self._seconds:g} s") from cause
