"""The files of a configuration, read through the API of a git provider."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Coroutine
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

    def __init__(self, linked: LinkedRepository, commit: str, loop: asyncio.AbstractEventLoop) -> None:
        self._linked = linked
        self._commit = commit
        self._loop = loop
        self._folders: dict[str, dict[str, EntryKind]] = {}

    def read(self, path: str) -> bytes | None:
        inside = join_inside("", path)
        folder, name = posixpath.split(inside)
        kind = self._entries(folder).get(name)
        if kind is None:
            return None
        if kind is not EntryKind.FILE:
            raise FileRefused(f"{quoted(path)} is a {kind}, and no plain file")
        account, repository = self._linked.account, self._linked.repository
        try:
            return self._call(account.forge.file(account.token, repository, inside, self._commit))
        except ForgeResponseTooLarge as error:
            raise FileRefused(f"{quoted(path)} is too large: {error.message}") from error

    def list(self, folder: str) -> tuple[str, ...]:
        inside = join_inside("", folder) if folder else ""
        return tuple(sorted(self._entries("" if inside == "." else inside)))[:MAX_NAMES]

    def _entries(self, folder: str) -> dict[str, EntryKind]:
        found = self._folders.get(folder)
        if found is None:
            account, repository = self._linked.account, self._linked.repository
            listed: tuple[FolderEntry, ...] | None = self._call(
                account.forge.folder(account.token, repository, folder, self._commit)
            )
            found = {posixpath.basename(entry.path): entry.kind for entry in listed or ()}
            self._folders[folder] = found
        return found

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(_SECONDS)
        except TimeoutError as error:
            future.cancel()
            raise Unavailable(f"the provider did not respond within {_SECONDS:.0f} s") from error
