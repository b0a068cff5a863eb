"""Verifies all stored logs against their indexes, for `sluice db verify`.

It reads one log at a time, in the order of the object storage: memory is one chunk of a log and the names of its
objects. A log that is being written has no index yet, and no gap. A log that seems damaged is checked a second time,
because it may have been composed or deleted meanwhile. A pack is read as a whole: it has a few MiB.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from sluiceway_common.foundation.errors import DataLoss, NotFound, Unavailable
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.logs.layout import LineIndex, LogKey, complete_size, index_of
from sluiceway_server.logs.packs import Pack, SmallLog, logs_in, pack_size
from sluiceway_server.logs.store import LogStore
from sluiceway_server.objectstorage.layout import Folder
from sluiceway_server.objectstorage.port import ObjectInfo, ObjectStorage

_READ_BYTES = 1024 * 1024
_READ_SECONDS = 60.0
_ADVICE = "Restore its objects from a copy of the object storage"
_NAMES = frozenset({"end", "whole", "index"})


@dataclass(frozen=True, slots=True)
class LogFinding:
    """The result for one log, or for an object that belongs to none.

    Attributes:
        object: its key.
        message: what is wrong, and what to do; empty: nothing is wrong.
        is_fault: something is missing or damaged.
        objects: how many were read.
        bytes: how many were read.
    """

    object: str
    message: str = ""
    is_fault: bool = False
    objects: int = 0
    bytes: int = 0


class LogCheck:
    """Verifies the logs of one object storage."""

    def __init__(self, storage: ObjectStorage, store: LogStore, *, prefix: str) -> None:
        """Create a check. `prefix` is that of all keys, without a slash at its end."""
        self._storage = storage
        self._store = store
        self._folder = f"{prefix}/{Folder.LOGS}/"

    async def run(self) -> AsyncIterator[LogFinding]:
        """Yield the result for each log. Raises `Unavailable` when the object storage is away."""
        known: LogKey | None = None
        async for info in self._storage.list(self._folder):
            name = info.key.removeprefix(self._folder)
            if _is_pack(name):
                yield await self._check_pack(info)
                continue
            key = _key_of(name)
            if key is None:
                yield LogFinding(info.key, "it is not an object of a log, and is ignored. Move it away")
            elif key != known:
                known = key
                yield await self._check(key)

    async def _check_pack(self, info: ObjectInfo) -> LogFinding:
        found = ""
        size = pack_size(info.key.rpartition("/")[2]) or 0
        try:
            async with time_limit(_READ_SECONDS):
                body = await self._storage.get(info.key)
            logs = await asyncio.to_thread(lambda: logs_in(Pack.decode(body[size:]), body))
            if sum(len(log.data) for log in logs) != size:
                found = f"its logs do not have the {size} bytes of its name"
            elif not all(_is_index_right(log) for log in logs):
                found = "the bytes of a log in it differ from those of its index"
        except NotFound:
            return LogFinding(info.key)  # it was merged into another one, or deleted
        except TimeoutError as cause:
            raise Unavailable(f"the object storage did not get {info.key} within {_READ_SECONDS:g} s") from cause
        except (ValueError, KeyError, TypeError) as error:
            found = f"a log in it, or its directory, is damaged ({error})"
        if found:
            found = f"{found}. {_ADVICE}"
        return LogFinding(info.key, found, is_fault=bool(found), objects=1, bytes=size)

    async def _check(self, key: LogKey) -> LogFinding:
        found = await self._check_once(key)
        # A server may have composed or deleted it meanwhile.
        return await self._check_once(key) if found.is_fault else found

    async def _check_once(self, key: LogKey) -> LogFinding:
        where = f"{self._folder}{key.path.partition('/')[2]}"
        cover = await self._store.cover(key)
        objects = len(cover.segments)

        def fault(message: str) -> LogFinding:
            return LogFinding(where, f"{message}. {_ADVICE}", is_fault=True, objects=objects, bytes=cover.length)

        if cover.stored_beyond:
            return fault(f"bytes are missing after {cover.length}: a later segment begins at {cover.stored_beyond}")
        try:
            if not cover.composed:
                return LogFinding(where, objects=objects, bytes=cover.length)
            index, lines = await self._store.index(cover), LineIndex()
            if cover.length < index.size:
                return fault(f"it has {cover.length} bytes, and its index says {index.size}")
            async for chunk in self._store.read(cover, 0, index.size, at_most=_READ_BYTES):
                await asyncio.to_thread(lines.feed, chunk)
        except (NotFound, DataLoss) as error:
            return fault(f"it cannot be read: {error.message}")
        except (ValueError, KeyError, TypeError):
            return fault("its index is damaged")
        read = lines.finish()
        if (read.sha256, read.newlines, read.newlines_before) != (index.sha256, index.newlines, index.newlines_before):
            return fault("its bytes differ from those of its index")
        has_index_object = not cover.segments or complete_size(cover.segments[0].name) is None
        return LogFinding(where, objects=objects + has_index_object, bytes=cover.length)


def _key_of(name: str) -> LogKey | None:
    """Return the log of an object by its name below the folder; None: it belongs to no log."""
    try:
        *parts, last = name.split("/")
        key = LogKey.parse(*parts)
    except ValueError:
        return None
    is_named = last in _NAMES or complete_size(last) is not None or (len(last) == 20 and last.isdigit())
    return key if is_named else None


def _is_pack(name: str) -> bool:
    """Return whether an object is a pack, by its name below the folder."""
    attempt, _, last = name.rpartition("/")
    try:
        LogKey.parse(*attempt.split("/"), "0")
    except ValueError:
        return False
    return pack_size(last) is not None


def _is_index_right(log: SmallLog) -> bool:
    """Return whether an index has the lines of its log; the digest was compared when the log was read."""
    lines = index_of(log.data)
    return (lines.newlines, lines.newlines_before) == (log.index.newlines, log.index.newlines_before)
