"""Large configurations of runs in the object storage, named by their digest; several runs may have one.

An object that no run refers to is deleted after a while. A creation may store the same configuration at that moment:
its put renews the age of the object, and after its commit it checks that the object exists (`RunConfigs.confirm`). A
deletion checks afterwards whether a run refers to the configuration, and puts it back. So the later of the two repairs
what the other could not see.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from sluiceway_common.foundation.errors import NotFound, Unavailable
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.datamanager.model import View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.objectstorage.layout import Folder
from sluiceway_server.objectstorage.port import ObjectInfo
from sluiceway_server.runrecords.types import RUN_CONFIG

log = structlog.get_logger(__name__)

_AT_ONCE = 500
_TIMEOUT = timedelta(seconds=60)


class _Storage(Protocol):
    def list(self, prefix: str = "", *, start_after: str = "", delimiter: str = "") -> AsyncIterator[ObjectInfo]: ...

    async def get(self, key: str) -> bytes: ...

    async def head(self, key: str) -> ObjectInfo | None: ...

    async def put(self, key: str, body: bytes) -> None: ...

    async def delete(self, key: str) -> None: ...


def config_folder(prefix: str) -> str:
    """Return the folder; `prefix` is of all keys, without a slash at its end, or empty."""
    return f"{prefix}/{Folder.RUN_CONFIG}/" if prefix else f"{Folder.RUN_CONFIG}/"


class ConfigObjects:
    """Deletes configurations that no run refers to."""

    def __init__(self, database: Database, storage: _Storage, *, prefix: str) -> None:
        self._database = database
        self._storage = storage
        self._folder = config_folder(prefix)

    async def delete_unused(self, *, before: datetime) -> int:
        """Delete what no run has and what was stored before a time; returns how many objects went. May be repeated.

        Raises:
            Unavailable: the database or the object storage is away.
        """
        deleted, after = 0, ""
        while True:
            page: list[ObjectInfo] = []
            async with _deadline("list configurations"):
                async for info in self._storage.list(self._folder, start_after=after):
                    page.append(info)
                    if len(page) == _AT_ONCE:
                        break
            old = [info.key for info in page if info.modified is not None and info.modified < before]
            for key in await self._unused(old):
                deleted += await self._delete(key, before)
            if len(page) < _AT_ONCE:
                return deleted
            after = page[-1].key

    async def _unused(self, keys: Sequence[str]) -> list[str]:
        def read(view: View) -> list[str]:
            digests = {key: key.removeprefix(self._folder) for key in keys}
            return [key for key, digest in digests.items() if not view.count(RUN_CONFIG, {"apart": digest}, limit=1)]

        return await self._database.read(read) if keys else []

    async def _delete(self, key: str, before: datetime) -> int:
        async with _deadline(f"delete {key}"):
            now = await self._storage.head(key)
            if now is None or now.modified is None or now.modified >= before:
                return 0
            try:
                body = await self._storage.get(key)
            except NotFound:
                return 0
            await self._storage.delete(key)
        await self._database.linearize()
        if await self._unused([key]):
            return 1
        log.info("run_config_put_back", key=key)
        async with _deadline(f"put {key} back"):
            await self._storage.put(key, body)
        return 0


@asynccontextmanager
async def _deadline(what: str) -> AsyncIterator[None]:
    try:
        async with time_limit(_TIMEOUT.total_seconds()):
            yield
    except TimeoutError as cause:
        raise Unavailable(f"the object storage did not {what} within {_TIMEOUT.seconds} s") from cause
