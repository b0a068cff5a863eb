"""Merges changes into the sorted files of a type, as streams: what a checkpoint spends its time with.

Some neighbouring files on one side, the changes in their range on the other, both by id; where both have one, the
change counts. What comes out goes into new files, each with its index dump if bodies of the type are remote. Of either
side one piece is in memory, and of what is written what its writer gathers: nothing grows with the size of a file, of
the database, or of the changes.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Any

from google.protobuf.message import DecodeError

from sluiceway.records.storage.v1.storage_pb2 import FileRef, LiveFile
from sluiceway_common.foundation.crashpoints import crash_point, declare_crash_points
from sluiceway_common.foundation.errors import DataLoss
from sluiceway_server.datamanager.model import Bodies, RecordType
from sluiceway_server.datamanager.tables.change_set import Change
from sluiceway_server.datamanager.tables.data_file import DataWriter, FileStore, IndexWriter, StoredRecord, StoredRow

__all__ = ["FilesOfType", "index_of", "index_rows", "merged", "records_of"]

declare_crash_points(
    "checkpoint.before-data-file",
    "checkpoint.after-data-file",
    "checkpoint.before-index-dump",
    "checkpoint.after-index-dump",
)


async def records_of(files: FileStore, live: Sequence[LiveFile]) -> AsyncGenerator[Sequence[StoredRecord], None]:
    """Give the records of neighbouring files, in order, some at a time. Raises what `FileStore.records` raises."""
    for file in live:
        async with aclosing(files.records(file.data)) as pieces:
            async for piece in pieces:
                yield piece


async def merged(
    old: AsyncIterator[Sequence[StoredRecord]], new: AsyncIterator[Sequence[Change]]
) -> AsyncGenerator[list[StoredRecord], None]:
    """Give what is left and what is new, by id, some at a time and never none."""
    records: Sequence[StoredRecord] | None = ()
    changes: Sequence[Change] | None = ()
    while True:
        while records is not None and not records:
            records = await anext(old, None)
        while changes is not None and not changes:
            changes = await anext(new, None)
        if records is None and changes is None:
            return
        made, records, changes = _merge_piece(records, changes)
        if made:
            yield made


def _merge_piece(
    records: Sequence[StoredRecord] | None, changes: Sequence[Change] | None
) -> tuple[list[StoredRecord], Sequence[StoredRecord] | None, Sequence[Change] | None]:
    """Merge up to where one of the pieces ends; answers what is left of each. None: a side that has come to its end."""
    # What follows the piece of one side may come before what this piece of the other one still has.
    limit = min(piece[-1].id for piece in (records, changes) if piece)
    found: dict[str, StoredRecord] = {}
    if records:
        at = bisect_right(records, limit, key=_id)
        found = {record.id: record for record in records[:at]}
        records = records[at:]
    if changes:
        at = bisect_right(changes, limit, key=_id)
        for change in changes[:at]:
            if change.body is None:
                found.pop(change.id, None)
            else:
                found[change.id] = StoredRecord(change.id, change.revision, change.body)
        changes = changes[at:]
    return [found[id_] for id_ in sorted(found)], records, changes


def _id(item: StoredRecord | Change) -> str:
    return item.id


def index_rows(type_: RecordType[Any], records: Sequence[StoredRecord]) -> list[StoredRow]:
    """Compute the index rows of records. Not quick: for a thread.

    Raises:
        DataLoss: a body is no message of the type.
    """
    rows = []
    for record in records:
        try:
            message = type_.message.FromString(record.body)
        except DecodeError as cause:
            raise DataLoss(
                f"the {type_.name} {record.id!r} of {record.revision} cannot be read as"
                f" {type_.message.DESCRIPTOR.full_name}; a version of the server that wrote it can",
                reason="RECORD_DAMAGED",
            ) from cause
        local = type_.settled is not None and not type_.settled(message)
        values = tuple(column.of(message) for column in type_.columns)
        rows.append(StoredRow(record.id, record.revision, values, record.body if local else None))
    return rows


class FilesOfType:
    """New files of one type, one after the other, each cut where it has become large enough.

    An async context: files that are not finished when it is left are given up. Those that are finished stay, and are
    named by `made` whatever happens.
    """

    def __init__(self, files: FileStore, type_: RecordType[Any], *, cut: int, new_name: Callable[[], str]) -> None:
        """Begin nothing yet.

        Args:
            files: where they go.
            type_: with remote bodies: each gets an index dump.
            cut: bytes; a file that has as many is finished.
            new_name: makes the name of a file, never the same again.
        """
        self._files = files
        self._type = type_
        self._indexed = type_.bodies is Bodies.REMOTE
        self._cut = cut
        self._new_name = new_name
        self._data: DataWriter | None = None
        self._index: IndexWriter | None = None
        self._open = AsyncExitStack()
        self.made: list[FileRef] = []
        self.live: list[LiveFile] = []

    async def __aenter__(self) -> FilesOfType:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def add(self, records: Sequence[StoredRecord]) -> None:
        """Write records that follow those that were added before."""
        rows = await asyncio.to_thread(index_rows, self._type, records) if self._indexed else ()
        for at, record in enumerate(records):
            data = self._data or await self._begin()
            await data.add(record)
            if self._index is not None:
                await self._index.add(rows[at])
            if data.size >= self._cut or data.full:
                await self.finish()

    async def _begin(self) -> DataWriter:
        name = self._new_name()
        self._data = await self._files.data_writer(self._type.name, name)
        self._open.push_async_callback(self._data.abort)
        if self._indexed:
            columns = [column.name for column in self._type.columns]
            self._index = await self._files.index_writer(
                self._type.name, name, columns=columns, version=self._type.version
            )
            self._open.push_async_callback(self._index.abort)
        return self._data

    async def finish(self) -> None:
        """Finish the file that is being written, if there is one. `live` has it then."""
        if self._data is None:
            return
        live = LiveFile()
        crash_point("checkpoint.before-data-file")
        live.data.CopyFrom(await self._data.finish())
        self.made.append(live.data)
        crash_point("checkpoint.after-data-file")
        if self._index is not None:
            crash_point("checkpoint.before-index-dump")
            live.index.CopyFrom(await self._index.finish())
            self.made.append(live.index)
            crash_point("checkpoint.after-index-dump")
        self._data = self._index = None
        self._open.pop_all()
        self.live.append(live)


async def index_of(files: FileStore, type_: RecordType[Any], live: LiveFile, *, name: str) -> FileRef:
    """Write the index dump of a file that has none, or one of other columns.

    Raises:
        NotFound, FileDamaged: see `FileStore.records`.
        DataLoss: see `index_rows`.
    """
    columns = [column.name for column in type_.columns]
    writer = await files.index_writer(type_.name, name, columns=columns, version=type_.version)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(writer.abort)
        async with aclosing(files.records(live.data)) as pieces:
            async for piece in pieces:
                await writer.add_all(await asyncio.to_thread(index_rows, type_, piece))
        crash_point("checkpoint.before-index-dump")
        made = await writer.finish()
        crash_point("checkpoint.after-index-dump")
        stack.pop_all()
    return made
