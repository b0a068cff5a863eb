"""An `ObjectStorage` in memory that keeps the contract of the port and fails on demand."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from sluiceway_common.foundation.clock import Clock, SystemClock
from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput, NotFound, SluicewayError, Unavailable
from sluiceway_server.objectstorage.keys import encode_key, encode_prefix
from sluiceway_server.objectstorage.port import ObjectInfo, ObjectUpload

__all__ = ["FakeObjectStorage"]

_NAME = "fake storage"


@dataclass(frozen=True, slots=True)
class _Object:
    body: bytes
    modified: datetime


class FakeObjectStorage:
    """See `ObjectStorage`. Several servers of one test share one instance.

    Attributes:
        puts: how many objects were stored, by any method.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._objects: dict[bytes, _Object] = {}
        self._keys: list[bytes] = []
        self._failures: list[tuple[SluicewayError, bool]] = []
        self._open = asyncio.Event()
        self._open.set()
        self._away = False
        self._full = False
        self._closed = False
        self.puts = 0

    # The switches.

    def go_away(self) -> None:
        """Refuse every call until `come_back`."""
        self._away = True

    def come_back(self) -> None:
        self._away = False

    def fill_up(self) -> None:
        """Refuse puts until `make_room`."""
        self._full = True

    def make_room(self) -> None:
        self._full = False

    def hold(self) -> None:
        """Hold calls before they have an effect, until `release`."""
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def fail_next_writes(self, *errors: SluicewayError, applied: bool = False) -> None:
        """Set the errors of the next puts and completes, in order; `applied`: after they had their effect."""
        self._failures += [(error, applied) for error in errors]

    def damage(self, key: str, body: bytes) -> None:
        """Replace an object's bytes, as a corrupt disk does."""
        encoded = encode_key(key, _NAME)
        self._objects[encoded] = _Object(body, self._objects[encoded].modified)

    # The port.

    async def put(self, key: str, body: bytes) -> None:
        encoded = encode_key(key, _NAME)
        await self._arrive()
        self._store(encoded, body)

    async def put_if_absent(self, key: str, body: bytes) -> bool:
        encoded = encode_key(key, _NAME)
        await self._arrive()
        if encoded in self._objects:
            return False
        self._store(encoded, body)
        return True

    async def get(self, key: str) -> bytes:
        encoded = encode_key(key, _NAME)
        await self._arrive()
        found = self._objects.get(encoded)
        if found is None:
            raise NotFound(f"{_NAME} has no object {key}", resource_type="object", resource_name=key)
        return found.body

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        if start < 0 or length < 0:
            raise InvalidInput(f"{_NAME}: a range of {key} cannot begin at {start} and be {length} bytes long")
        return (await self.get(key))[start : start + length]

    async def head(self, key: str) -> ObjectInfo | None:
        encoded = encode_key(key, _NAME)
        await self._arrive()
        found = self._objects.get(encoded)
        return None if found is None else ObjectInfo(key, len(found.body), found.modified)

    async def list(self, prefix: str = "", *, start_after: str = "", delimiter: str = "") -> AsyncIterator[ObjectInfo]:
        wanted, after, fold = (encode_prefix(text, _NAME) for text in (prefix, start_after, delimiter))
        told: bytes | None = None
        key = after
        while True:
            await self._arrive()
            place = max(bisect_left(self._keys, wanted), bisect_right(self._keys, key))
            while place < len(self._keys) and told is not None and self._keys[place].startswith(told):
                place += 1
            if place >= len(self._keys) or not self._keys[place].startswith(wanted):
                return
            key = self._keys[place]
            cut = key.find(fold, len(wanted)) if fold else -1
            if cut >= 0:
                told = key[: cut + len(fold)]
                yield ObjectInfo(told.decode(), 0, None, is_prefix=True)
            else:
                found = self._objects[key]
                yield ObjectInfo(key.decode(), len(found.body), found.modified)

    async def delete(self, key: str) -> None:
        encoded = encode_key(key, _NAME)
        await self._arrive()
        if self._objects.pop(encoded, None) is not None:
            del self._keys[bisect_left(self._keys, encoded)]

    async def upload(self, key: str) -> ObjectUpload:
        encoded = encode_key(key, _NAME)
        await self._arrive()
        return _Upload(self, encoded)

    async def close(self) -> None:
        self._closed = True

    async def _arrive(self) -> None:
        # Others run between asking and doing, as they do with a real storage.
        await asyncio.sleep(0)
        await self._open.wait()
        if self._away or self._closed:
            raise Unavailable(f"{_NAME} is away")

    def _store(self, key: bytes, body: bytes) -> None:
        if self._full:
            raise Unavailable(f"{_NAME}: {key.decode()}: no space left", reason="STORAGE_FULL")
        failure, applied = self._failures.pop(0) if self._failures else (None, True)
        if applied:
            if key not in self._objects:
                insort(self._keys, key)
            self._objects[key] = _Object(bytes(body), self._clock.now())
            self.puts += 1
        if failure is not None:
            raise failure


class _Upload:
    def __init__(self, storage: FakeObjectStorage, key: bytes) -> None:
        self._storage = storage
        self._key = key
        self._chunks: list[bytes] | None = []
        self._broken = False

    async def write(self, chunk: bytes) -> None:
        chunks = self._running()
        self._broken = True
        await self._storage._arrive()
        chunks.append(bytes(chunk))
        self._broken = False

    async def complete(self) -> None:
        chunks, self._chunks = self._running(), None
        await self._storage._arrive()
        self._storage._store(self._key, b"".join(chunks))

    async def abort(self) -> None:
        self._chunks = None

    def _running(self) -> list[bytes]:
        if self._chunks is None:
            raise FailedPrecondition(f"the upload of {self._key.decode()} is over")
        if self._broken:
            raise FailedPrecondition(f"the upload of {self._key.decode()} cannot continue after a step that failed")
        return self._chunks
