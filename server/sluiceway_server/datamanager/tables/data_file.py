"""Write, read and verify the data files and index dumps of one database in its object storage.

    data/<type>/<sequence>-<n>-<random>      records, sorted by id
    index/<type>/<sequence>-<n>-<random>     the columns of the same records, for a type whose bodies are remote

An object is written once, under a unique name, and never changed, so footers and blocks are cached. What is read from
the storage is checked against its checksum and for its order.

An object that is gone is `NotFound`: the garbage collector deleted it, and the reader uses the newest manifest. An
object that is not what was written is `FileDamaged`.
"""

from __future__ import annotations

import asyncio
import hashlib
from bisect import bisect_left
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from functools import partial
from typing import TypeVar

from sluiceway.records.storage.v1 import storage_pb2
from sluiceway.records.storage.v1.storage_pb2 import FileRef, LiveFile
from sluiceway_common.foundation.errors import NotFound
from sluiceway_server.datamanager.caches import FILE_CACHE_BYTES, Lru, weight_of_block, weight_of_footer
from sluiceway_server.datamanager.tables.block import (
    FileDamaged,
    IndexBlock,
    RecordBlock,
    StoredRecord,
    StoredRow,
    encode_index,
    encode_records,
)
from sluiceway_server.datamanager.tables.file_writer import (
    BLOCK_BYTES,
    FileWriter,
    record_size,
    row_size,
)
from sluiceway_server.datamanager.tables.footer import (
    LARGEST_FOOTER,
    MAGIC_BYTES,
    TRAILER_BYTES,
    BlockRange,
    FileKind,
    Footer,
    check_against,
    check_magic,
    decode_end,
    decode_range,
    index_block,
    ranges,
    record_block,
)
from sluiceway_server.datamanager.waiting import read_ahead
from sluiceway_server.objectstorage.port import ObjectStorage

R = TypeVar("R", StoredRecord, StoredRow)
T = TypeVar("T")

_PARALLEL_READS = 8
_LARGEST_SHARE = 4
"""A block above this part of the cache is not kept: it would push out all others."""


class FileStore:
    """The files of one database. The keys of `FileRef`s come after `prefix`."""

    def __init__(
        self,
        storage: ObjectStorage,
        *,
        prefix: str,
        cache_bytes: int = FILE_CACHE_BYTES,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self._storage = storage
        self._prefix = prefix
        self._block_bytes = block_bytes
        self._cache_bytes = cache_bytes
        # A footer is at block -1 of its file.
        self._cache: Lru[tuple[str, int], Footer | RecordBlock] = Lru(cache_bytes)

    async def data_writer(self, type_name: str, name: str) -> FileWriter[StoredRecord]:
        """Begin a data file with a unique name. Raises ValueError for a name that no object can have."""
        footer = storage_pb2.FileFooter(type=type_name)
        return await self._writer(FileKind.DATA, name, footer, encode_records, record_size)

    async def index_writer(
        self, type_name: str, name: str, *, columns: Sequence[str], version: int
    ) -> FileWriter[StoredRow]:
        """Begin the index dump of the data file with this name, as `data_writer`.

        `version` is the `RecordType.version` that computes the columns.
        """
        footer = storage_pb2.FileFooter(type=type_name, columns=columns, type_version=version)
        return await self._writer(FileKind.INDEX, name, footer, encode_index, partial(row_size, columns=len(columns)))

    async def _writer(
        self,
        kind: FileKind,
        name: str,
        footer: storage_pb2.FileFooter,
        encode: Callable[[Sequence[R]], bytes],
        measure: Callable[[R], int],
    ) -> FileWriter[R]:
        if not footer.type.isidentifier() or not name or "/" in name:
            raise ValueError(f"an object of the folder {kind.value}/ cannot be called {footer.type!r}/{name!r}")
        key = f"{kind.value}/{footer.type}/{name}"
        return FileWriter(
            await self._storage.upload(self._object(key)),
            kind,
            footer,
            encode=encode,
            measure=measure,
            key=key,
            block_bytes=self._block_bytes,
        )

    async def records(self, ref: FileRef) -> AsyncGenerator[Sequence[StoredRecord], None]:
        """Yield the records of a data file by id, in chunks that are not empty.

        Close the generator (`aclosing`) when you leave it early: it reads ahead.

        Raises:
            NotFound: the object is gone.
            FileDamaged: what was read is not what was written.
        """
        async with aclosing(self._blocks(ref, FileKind.DATA, _records_of_block)) as pieces:
            async for piece in pieces:
                for records in piece:
                    yield records

    def record_blocks(self, ref: FileRef) -> AsyncGenerator[Sequence[RecordBlock], None]:
        """Yield the blocks of a data file by column: for millions of records. Raises as `records`."""
        return self._blocks(ref, FileKind.DATA, record_block)

    def index_blocks(self, ref: FileRef) -> AsyncGenerator[Sequence[IndexBlock], None]:
        """Yield the blocks of an index dump by column: for millions of rows. Raises as `records`."""
        return self._blocks(ref, FileKind.INDEX, index_block)

    async def rows(self, ref: FileRef) -> AsyncGenerator[Sequence[StoredRow], None]:
        """Yield the rows of an index dump by id, in chunks that are not empty, as `records`."""
        async with aclosing(self.index_blocks(ref)) as pieces:
            async for piece in pieces:
                for block in piece:
                    yield block.rows()

    async def index_columns(self, ref: FileRef) -> tuple[tuple[str, ...], int]:
        """Return the columns of an index dump and the `RecordType.version` that computed them. Raises as `records`."""
        footer = await self._footer(ref, FileKind.INDEX)
        return footer.columns, footer.type_version

    async def find(self, files: Sequence[LiveFile], ids: Collection[str]) -> dict[str, StoredRecord]:
        """Return the records that exist among some ids, from all files of one type as a manifest has them.

        Raises as `records`.
        """
        by_file: dict[int, list[str]] = {}
        for id_ in set(ids):
            at = bisect_left(files, id_, key=lambda file: file.data.last)
            if at < len(files) and files[at].data.first <= id_:
                by_file.setdefault(at, []).append(id_)
        turns = asyncio.Semaphore(_PARALLEL_READS)
        found = await together([self._find_in(files[at].data, wanted, turns) for at, wanted in by_file.items()])
        return {record.id: record for records in found for record in records}

    async def _find_in(self, ref: FileRef, ids: Sequence[str], turns: asyncio.Semaphore) -> list[StoredRecord]:
        async with turns:
            footer = await self._footer(ref, FileKind.DATA)
        by_block: dict[int, list[str]] = {}
        for id_ in ids:
            block = footer.block_of(id_)
            if block is not None:
                by_block.setdefault(block, []).append(id_)

        async def search(block: int, wanted: Sequence[str]) -> list[StoredRecord]:
            async with turns:
                content = await self._block(ref, footer, block)
            return [record for id_ in wanted if (record := content.find(id_)) is not None]

        found = await together([search(block, wanted) for block, wanted in by_block.items()])
        return [record for records in found for record in records]

    async def present(self, ref: FileRef) -> bool:
        """Return whether the object exists with its size."""
        info = await self._storage.head(self._object(ref.key))
        return info is not None and info.size_bytes == ref.size

    async def verify(self, ref: FileRef) -> None:
        """Read the whole object, and check its digest, footer and blocks. Raises as `records`."""
        key = ref.key
        info = await self._storage.head(self._object(key))
        if info is None:
            raise NotFound(f"there is no object {self._object(key)}", resource_type="object", resource_name=key)
        if info.size_bytes != ref.size:
            raise FileDamaged(key, f"it has {info.size_bytes} bytes, and the manifest says {ref.size}")
        kind = FileKind.INDEX if key.startswith(f"{FileKind.INDEX}/") else FileKind.DATA
        footer, end = await self._read_footer(ref, kind)
        check_against(footer, ref, kind)
        digest = hashlib.sha256()
        magic = await self._range(key, 0, MAGIC_BYTES)
        check_magic(key, kind, magic, where="beginning")
        digest.update(magic)
        decode = partial(record_block if kind is FileKind.DATA else index_block, key, footer)

        def check(part: BlockRange, data: bytes) -> None:
            digest.update(data)
            decode_range(part, footer, data, decode)

        for part in ranges(footer, 0, len(footer)):
            await asyncio.to_thread(check, part, await self._range(key, part.offset, part.length))
        await asyncio.to_thread(digest.update, end)
        if digest.digest() != ref.digest:
            raise FileDamaged(key, "it is not the file that the manifest names, but another one")

    def _object(self, key: str) -> str:
        return f"{self._prefix}/{key}"

    async def _range(self, key: str, start: int, length: int) -> bytes:
        data = await self._storage.get_range(self._object(key), start, length)
        if len(data) != length:
            raise FileDamaged(key, f"it is cut off: there are {len(data)} of {length} bytes from {start}")
        return data

    async def _footer(self, ref: FileRef, kind: FileKind) -> Footer:
        footer = self._cache.get((ref.key, -1))
        if not isinstance(footer, Footer):
            footer, _ = await self._read_footer(ref, kind)
            text = sum(map(len, footer.firsts)) + sum(map(len, footer.lasts))
            self._keep(ref.key, -1, footer, weight_of_footer(len(footer), text))
        check_against(footer, ref, kind)
        return footer

    async def _read_footer(self, ref: FileRef, kind: FileKind) -> tuple[Footer, bytes]:
        """Return the footer, and the bytes of the object from it on."""
        length = ref.size - ref.footer_offset
        if not MAGIC_BYTES <= ref.footer_offset < ref.size or length > LARGEST_FOOTER + TRAILER_BYTES:
            raise FileDamaged(ref.key, f"a manifest says that its footer has {length} bytes, which is not possible")
        end = await self._range(ref.key, ref.footer_offset, length)
        return await asyncio.to_thread(decode_end, ref.key, kind, end, footer_offset=ref.footer_offset), end

    async def _block(self, ref: FileRef, footer: Footer, block: int) -> RecordBlock:
        found = self._cache.get((ref.key, block))
        if isinstance(found, RecordBlock):
            return found
        (part,) = ranges(footer, block, block + 1)
        data = await self._range(ref.key, part.offset, part.length)
        made = await asyncio.to_thread(record_block, ref.key, footer, block, data)
        self._keep(ref.key, block, made, weight_of_block(footer.sizes[block], footer.counts[block]))
        return made

    def _keep(self, key: str, block: int, value: Footer | RecordBlock, weight: int) -> None:
        if weight <= self._cache_bytes // _LARGEST_SHARE:
            self._cache.put((key, block), value, weight)

    async def _blocks(
        self, ref: FileRef, kind: FileKind, block: Callable[[str, Footer, int, bytes], T]
    ) -> AsyncGenerator[Sequence[T], None]:
        """Yield decoded blocks in order, and read the next range meanwhile."""
        footer = await self._footer(ref, kind)
        decode = partial(block, ref.key, footer)

        async def read(part: BlockRange) -> Sequence[T]:
            data = await self._range(ref.key, part.offset, part.length)
            return await asyncio.to_thread(decode_range, part, footer, data, decode)

        async with aclosing(read_ahead(ranges(footer, 0, len(footer)), read, most=2)) as pieces:
            async for _, piece in pieces:
                yield piece


def _records_of_block(key: str, footer: Footer, block: int, data: bytes) -> list[StoredRecord]:
    return record_block(key, footer, block, data).records()


async def together(work: Sequence[Awaitable[T]]) -> list[T]:
    """Run all at once. The first that fails cancels the others, and is raised as itself and not in a group."""
    if len(work) == 1:
        return [await work[0]]
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
