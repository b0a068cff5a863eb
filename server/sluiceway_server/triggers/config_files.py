"""The files of a configuration, read through the API of a git provider."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Awaitable
from typing import Any, TypeVar

from sluiceway_common.foundation.errors import Unavailable
from sluiceway_common.runconfig.files import MAX_NAMES, FileRefused, join_inside
from sluiceway_common.runconfig.problems import quoted
from sluiceway_server.forges.errors import ForgeResponseTooLarge
from sluiceway_server.forges.port import EntryKind, FolderEntry
from sluiceway_server.triggers.providers import LinkedRepository

__all__ = ["ProviderFiles"]

T = TypeVar("T")

_SECONDS = 120.0


class ProviderFiles:
    """The files of one commit (`runconfig.files.RepositoryFiles`), for a thread beside the event loop.

    A folder is listed once: whether a file is there is then known without a call. Links are not followed: what they
    lead to is another file of the commit, and providers differ in what they return for them.
    """

    def __init__(self, linked: LinkedRepository, commit: str, *, expected: str = "") -> None:
        """Begin to read. On the event loop.

        Args:
            linked: the repository.
            commit: whose files they are.
            expected: a file that will probably be read; it and its folder are asked for at once.
        """
        self._linked = linked
        self._commit = commit
        self._loop = asyncio.get_running_loop()
        self._folders: dict[str, dict[str, EntryKind]] = {}
        self._early: dict[str, asyncio.Task[Any]] = {}
        if expected:
            folder = posixpath.dirname(expected)
            self._early = {
                f"{folder}/": self._loop.create_task(self._list(folder)),
                expected: self._loop.create_task(self._read(expected)),
            }

    async def close(self) -> None:
        """Give up what was asked for and not used. On the event loop, when nobody reads any more."""
        for task in self._early.values():
            task.cancel()
        await asyncio.gather(*self._early.values(), return_exceptions=True)

    def read(self, path: str) -> bytes | None:
        inside = join_inside("", path)
        folder, name = posixpath.split(inside)
        kind = self._entries(folder).get(name)
        if kind is None:
            return None
        if kind is not EntryKind.FILE:
            raise FileRefused(f"{quoted(path)} is a {kind}, and no plain file")
        try:
            content: bytes | None = self._call(self._early.get(inside) or self._read(inside))
        except ForgeResponseTooLarge as error:
            raise FileRefused(f"{quoted(path)} is too large: {error.message}") from error
        return content

    def list(self, folder: str) -> tuple[str, ...]:
        inside = join_inside("", folder) if folder else ""
        return tuple(sorted(self._entries("" if inside == "." else inside)))[:MAX_NAMES]

    def _entries(self, folder: str) -> dict[str, EntryKind]:
        found = self._folders.get(folder)
        if found is None:
            listed: tuple[FolderEntry, ...] | None = self._call(self._early.get(f"{folder}/") or self._list(folder))
            found = {posixpath.basename(entry.path): entry.kind for entry in listed or ()}
            self._folders[folder] = found
        return found

    async def _read(self, path: str) -> bytes | None:
        account, repository = self._linked.account, self._linked.repository
        return await account.forge.file(account.token, repository, path, self._commit)

    async def _list(self, folder: str) -> tuple[FolderEntry, ...] | None:
        account, repository = self._linked.account, self._linked.repository
        return await account.forge.folder(account.token, repository, folder, self._commit)

    def _call(self, work: Awaitable[T]) -> T:
        async def wait() -> T:
            return await work

        future = asyncio.run_coroutine_threadsafe(wait(), self._loop)
        try:
            return future.result(_SECONDS)
        except TimeoutError as error:
            future.cancel()
            raise Unavailable(f"the provider did not respond within {_SECONDS:.0f} s") from error
