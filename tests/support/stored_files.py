"""Data files for tests: records, files of them, and a storage that records calls."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from sluiceway.records.storage.v1 import storage_pb2
from sluiceway_server.datamanager.model import LogSequence, Position, Value
from sluiceway_server.datamanager.tables.block import StoredRecord, StoredRow
from sluiceway_server.datamanager.tables.data_file import FileStore
from sluiceway_server.objectstorage.port import ObjectUpload
from tests.fakes.objectstorage import FakeObjectStorage

__all__ = ["COLUMNS", "PREFIX", "TYPE", "AskedStorage", "file_ref", "record", "records", "rows", "write", "write_index"]

PREFIX = "sluice"
TYPE = "run"
COLUMNS = ("group", "phase", "created")


class AskedStorage(FakeObjectStorage):
    """Records which ranges were read and which chunks were written."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges: list[tuple[str, int, int]] = []
        self.chunks: list[int] = []

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        self.ranges.append((key, start, length))
        return await super().get_range(key, start, length)

    async def upload(self, key: str) -> ObjectUpload:
        inner, chunks = await super().upload(key), self.chunks

        class Upload:
            async def write(self, chunk: bytes) -> None:
                chunks.append(len(chunk))
                await inner.write(chunk)

            complete = staticmethod(inner.complete)
            abort = staticmethod(inner.abort)

        return Upload()


def record(number: int, body: bytes = b"body") -> StoredRecord:
    return StoredRecord(f"id-{number:08}", Position(LogSequence(1, number // 3), number % 3), body)


def records(count: int, *, body_bytes: int = 100, first: int = 0) -> list[StoredRecord]:
    """Return records whose bodies cannot be compressed."""
    noise = random.Random(count)
    return [record(number, noise.randbytes(body_bytes)) for number in range(first, first + count)]


def rows(count: int) -> list[StoredRow]:
    """Return rows with values of every type, some with a body."""
    made = []
    for number in range(count):
        values: tuple[Value, ...] = (f"/group/{number % 7}", (None, 3, b"\x00x")[number % 3], number - 5)
        made.append(StoredRow(*record(number)[:2], values, b"local" if number % 5 == 0 else None))
    return made


async def write(
    store: FileStore, content: Sequence[StoredRecord], *, name: str = "1-0-a", type_name: str = TYPE
) -> storage_pb2.FileRef:
    writer = await store.data_writer(type_name, name)
    await writer.add_all(content)
    return await writer.finish()


async def write_index(store: FileStore, content: Sequence[StoredRow], *, name: str = "1-0-a") -> storage_pb2.FileRef:
    writer = await store.index_writer(TYPE, name, columns=COLUMNS, version=3)
    await writer.add_all(content)
    return await writer.finish()


def file_ref(key: str, *, first: str = "a", last: str = "b", records: int = 2, size: int = 200) -> storage_pb2.FileRef:
    """Return a reference to a file that was not written."""
    digest = hashlib.sha256(key.encode()).digest()
    return storage_pb2.FileRef(
        key=key, size=size, digest=digest, first=first, last=last, records=records, footer_offset=size // 2
    )
