"""The files of a configuration, read through the API of a git provider."""

from __future__ import annotations

import asyncio
import hashlib
import posixpath
from collections.abc import Awaitable
from typing import Any, TypeVar

from sluiceway_common.foundation.errors import Unavailable
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_common.runconfig.files import MAX_NAMES, FileRefused, join_inside
from sluiceway_common.runconfig.problems import quoted
from sluiceway_server.datamanager.caches import Lru
from sluiceway_server.forges.errors import ForgeResponseTooLarge
from sluiceway_server.forges.port import EntryKind, FolderEntry
from sluiceway_server.triggers.providers import LinkedRepository

__all__ = ["KnownContents", "ProviderFiles", "blob_id"]

T = TypeVar("T")

_SECONDS = 120.0
_KNOWN_BYTES = 16 * 1024 * 1024
_KNOWN_FILE_BYTES = 64 * 1024
_KNOWN_OVERHEAD = 500
_SHA256_DIGITS = 64


class KnownContents:
    """Contents of files that were read, by their object id in git: most pushes do not change the configuration.

    Each project has its own: a provider that lists an id has not shown that it has the content.
    """

    def __init__(self) -> None:
        self._contents: Lru[tuple[str, str], tuple[str, bytes]] = Lru(_KNOWN_BYTES)

    def has(self, project_id: str, path: str) -> bool:
        """Return whether what a file of a project had at last is known."""
        return self._contents.get((project_id, path)) is not None

    def content(self, project_id: str, path: str, object_id: str) -> bytes | None:
        """Return the content of a file, if it is that which the file had at last; else None."""
        found = self._contents.get((project_id, path))
        return found[1] if found is not None and found[0] == object_id else None

    def keep(self, project_id: str, path: str, object_id: str, content: bytes) -> None:
        """Keep the content of a file, unless it is large, or the id is not its digest."""
        if len(content) <= _KNOWN_FILE_BYTES and object_id == blob_id(content, like=object_id):
            self._contents.put((project_id, path), (object_id, content), len(content) + _KNOWN_OVERHEAD)


def blob_id(content: bytes, *, like: str = "") -> str:
    """Return the object id that git gives the content of a file: of SHA-256, if `like` is one of these."""
    digest = hashlib.sha256 if len(like) == _SHA256_DIGITS else hashlib.sha1
    return digest(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


class ProviderFiles:
    """The files of one commit.

    A folder is listed once: whether a file is there is then known without a call. So is the content of one that was
    read at an earlier commit and has not changed. Links are not followed: what they lead to is another file of the
    commit, and providers differ in what they return for them.
    """

    def __init__(
        self, linked: LinkedRepository, commit: str, *, known: KnownContents, project_id: str, expected: str = ""
    ) -> None:
        """Begin to read.

        Args:
            linked: the repository.
            commit: whose files they are.
            known: what was read before.
            project_id: whose repository it is.
            expected: a file that will probably be read. Its folder is asked for at once, and together with it the
                file, unless what it had at last is known.
        """
        self.expected = expected
        self._linked = linked
        self._commit = commit
        self._known = known
        self._project_id = project_id
        self._folders: dict[str, dict[str, FolderEntry]] = {}
        self._early: dict[str, asyncio.Task[Any]] = {}
        if expected:
            folder = posixpath.dirname(expected)
            self._early[f"{folder}/"] = asyncio.create_task(self._list(folder))
            if not known.has(project_id, expected):
                self._early[expected] = asyncio.create_task(self._read(expected))

    async def close(self) -> None:
        """Cancel what was asked for and not used. When nobody reads any more."""
        for task in self._early.values():
            task.cancel()
        await asyncio.gather(*self._early.values(), return_exceptions=True)

    async def read(self, path: str) -> bytes | None:
        """Return a file; None: there is none.

        Raises:
            FileRefused: it is no plain file, or too large.
            SluicewayError: as `forges.port`.
        """
        inside = join_inside("", path)
        folder, name = posixpath.split(inside)
        entry = (await self._entries(folder)).get(name)
        if entry is None:
            return None
        if entry.kind is not EntryKind.FILE:
            raise FileRefused(f"{quoted(path)} is a {entry.kind}, and no plain file")
        known = self._known.content(self._project_id, inside, entry.object_id)
        if known is not None:
            return known
        try:
            content: bytes | None = await _in_time(self._early.get(inside) or self._read(inside))
        except ForgeResponseTooLarge as error:
            raise FileRefused(f"{quoted(path)} is too large: {error.message}") from error
        if content is not None:
            self._known.keep(self._project_id, inside, entry.object_id, content)
        return content

    async def list(self, folder: str) -> tuple[str, ...]:
        """Return the names in a folder, at most `MAX_NAMES`; none: there is no such folder. Raises as `read`."""
        inside = join_inside("", folder) if folder else ""
        return tuple(sorted(await self._entries("" if inside == "." else inside)))[:MAX_NAMES]

    async def _entries(self, folder: str) -> dict[str, FolderEntry]:
        found = self._folders.get(folder)
        if found is None:
            listed: tuple[FolderEntry, ...] | None = await _in_time(self._early.get(f"{folder}/") or self._list(folder))
            found = {posixpath.basename(entry.path): entry for entry in listed or ()}
            self._folders[folder] = found
        return found

    async def _read(self, path: str) -> bytes | None:
        account, repository = self._linked.account, self._linked.repository
        return await account.forge.file(account.token, repository, path, self._commit)

    async def _list(self, folder: str) -> tuple[FolderEntry, ...] | None:
        account, repository = self._linked.account, self._linked.repository
        return await account.forge.folder(account.token, repository, folder, self._commit)


async def _in_time(work: Awaitable[T]) -> T:
    try:
        async with time_limit(_SECONDS):
            return await work
    except TimeoutError as error:
        raise Unavailable(f"the provider did not respond within {_SECONDS:.0f} s") from error
