"""Write data files and index dumps into the object storage as streams.

Memory is that of a few blocks, whatever the file's size: records are gathered until some blocks are full, then a thread
encodes, compresses and hashes half a mebibyte of them (a hop to a thread for each record would cost more than the
work), and the result is uploaded. Nothing is visible in the storage before `finish` ends. An aborted writer leaves
nothing; a writer whose process died leaves an upload that the storage deletes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

import zstandard

from sluiceway.records.storage.v1 import storage_pb2
from sluiceway.records.storage.v1.storage_pb2 import FileRef
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_server.datamanager.tables.block import LARGEST_RECORD, StoredRecord, StoredRow, checksum
from sluiceway_server.datamanager.tables.footer import LARGEST_FOOTER, FileKind, encode_end
from sluiceway_server.objectstorage.port import ObjectUpload

R = TypeVar("R", StoredRecord, StoredRow)

BLOCK_BYTES = 64 * 1024
"""Of a block before compression. Larger: smaller files, and more to read for one record."""

_LEVEL = 3
_BYTES_AT_ONCE = 512 * 1024
_RECORD_OVERHEAD = 24
_VALUE_BYTES = 8
_FOOTER_BYTES_OF_BLOCK = 40  # without its ids
_USUAL_RATIO = 0.3  # of compression, before anything was compressed


class FileWriter(Generic[R]):
    """A file that is being written. Used by one task at a time. When a method raised or was cancelled, call `abort`."""

    def __init__(
        self,
        upload: ObjectUpload,
        kind: FileKind,
        footer: storage_pb2.FileFooter,
        *,
        encode: Callable[[Sequence[R]], bytes],
        measure: Callable[[R], int],
        key: str,
        block_bytes: int,
    ) -> None:
        self._upload = upload
        self._kind = kind
        self._footer = footer
        self._encode: Callable[[Sequence[R]], bytes] = encode
        self._measure: Callable[[R], int] = measure
        self._key = key
        self._block_bytes = block_bytes
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._digest = hashlib.sha256()
        self._written = 0
        self._raw = 0
        self._indexed = 0
        self._last: str | None = None
        self._blocks: list[list[R]] = []
        self._block: list[R] = []
        self._block_size = 0
        self._waiting = 0
        self._usable = True

    @property
    def size(self) -> int:
        """The bytes of the object so far; what is not compressed yet is estimated."""
        ratio = self._written / self._raw if self._raw else _USUAL_RATIO
        return self._written + round((self._waiting + self._block_size) * ratio)

    @property
    def full(self) -> bool:
        """Whether the file should be finished whatever its size, because readers limit the size of a footer.

        That is a file of gigabytes before compression, or of very long ids.
        """
        return self._indexed >= LARGEST_FOOTER // 2

    async def add(self, record: R) -> None:
        """Add a record. Raises ValueError if its id does not follow, it is too large, or the file has ended."""
        size = self._measure(record)
        if not self._usable:
            raise ValueError(f"{self._key}: nothing can be added to a file that is finished or was given up")
        if self._last is not None and record.id <= self._last:
            raise ValueError(f"{self._key}: {record.id!r} was added after {self._last!r}: ids must rise")
        if size > LARGEST_RECORD:
            raise ValueError(f"{self._key}: {record.id!r} has {size} bytes; at most {LARGEST_RECORD} are possible")
        if self._block_size + size > self._block_bytes and self._block:
            self._end_block()
            if self._waiting >= _BYTES_AT_ONCE:
                await self._write_out()
        self._last = record.id
        self._block.append(record)
        self._block_size += size

    async def add_all(self, records: Iterable[R]) -> None:
        for record in records:
            await self.add(record)

    def _end_block(self) -> None:
        self._blocks.append(self._block)
        self._waiting += self._block_size
        self._block, self._block_size = [], 0

    async def _write_out(self) -> None:
        blocks, self._blocks, self._waiting = self._blocks, [], 0
        self._usable = False
        chunk = await asyncio.to_thread(self._encode_blocks, blocks)
        await self._upload.write(chunk)
        self._written += len(chunk)
        self._usable = True

    def _encode_blocks(self, blocks: Sequence[list[R]]) -> bytes:
        footer = self._footer
        parts = [] if footer.sizes else [self._kind.magic]
        for block in blocks:
            raw = self._encode(block)
            data = self._compressor.compress(raw)
            parts.append(data)
            self._raw += len(raw)
            self._indexed += len(block[0].id.encode()) + len(block[-1].id.encode()) + _FOOTER_BYTES_OF_BLOCK
            footer.firsts.append(block[0].id)
            footer.lasts.append(block[-1].id)
            footer.checksums += checksum(data)
            footer.lengths.append(len(data))
            footer.sizes.append(len(raw))
            footer.counts.append(len(block))
            footer.records += len(block)
        chunk = b"".join(parts)
        self._digest.update(chunk)
        return chunk

    async def finish(self) -> FileRef:
        """Write the rest, make the object visible, and return its entry for a manifest.

        When this raises, the upload was aborted. If the outcome at the storage is unknown, the object may exist, and
        nothing refers to it.

        Raises:
            ValueError: nothing was added (there are no empty files), or the file is finished or was given up.
        """
        if not self._usable:
            raise ValueError(f"{self._key}: the file is finished or was given up")
        if self._last is None:
            raise ValueError(f"{self._key}: a file of no records cannot be made")
        try:
            self._end_block()
            await self._write_out()
            self._usable = False
            footer_offset = self._written
            end = await asyncio.to_thread(encode_end, self._kind, self._footer)
            self._digest.update(end)
            await self._upload.write(end)
            await self._upload.complete()
        except BaseException:
            await self.abort()
            raise
        return FileRef(
            key=self._key,
            size=footer_offset + len(end),
            digest=self._digest.digest(),
            first=self._footer.firsts[0],
            last=self._footer.lasts[-1],
            records=self._footer.records,
            footer_offset=footer_offset,
        )

    async def abort(self) -> None:
        """Discard the file. May be called at any time, and twice; a finished file stays."""
        self._usable = False
        self._blocks, self._block = [], []
        # The storage may be away; it deletes uploads that are never completed.
        with suppress(SluicewayError):
            await self._upload.abort()


def record_size(record: StoredRecord) -> int:
    """Return about how many bytes a record takes in a block."""
    return _RECORD_OVERHEAD + len(record.id) + len(record.body)


def row_size(row: StoredRow, *, columns: int) -> int:
    """Return about how many bytes a row takes in a block. Raises ValueError if it has not one value for each column."""
    if len(row.values) != columns:
        raise ValueError(f"{row.id!r} has {len(row.values)} values for {columns} columns")
    values = sum(len(value) if isinstance(value, str | bytes) else _VALUE_BYTES for value in row.values)
    return _RECORD_OVERHEAD + len(row.id) + len(row.body or b"") + values
