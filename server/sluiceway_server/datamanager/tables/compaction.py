"""Compaction: write the files of the next manifest, as streams.

For each type, `compaction_plan` chooses the files that are written again; the others are kept by reference. Changes are
merged into neighbouring files by id, and a change replaces the record. Each new file gets an index dump if bodies of
the type are remote. A dump that has not this server's columns (it was written by another version) is renewed, a few at
a time. One chunk of each side is in memory, whatever the size of a file, the database or the changes.
"""

from __future__ import annotations

import asyncio
import secrets
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing
from operator import attrgetter
from typing import Any

from sluiceway.records.storage.v1.storage_pb2 import FileRef, LiveFile, TypeFiles
from sluiceway_common.foundation.crashpoints import crash_points, declare_effects
from sluiceway_server.datamanager.log.entries import Catalogue
from sluiceway_server.datamanager.model import Bodies, LogSequence, RecordType
from sluiceway_server.datamanager.tables.block import StoredRecord, StoredRow, decode_body
from sluiceway_server.datamanager.tables.change_set import Change, Changes
from sluiceway_server.datamanager.tables.compaction_plan import OverlappingFiles, Rewrite, plan_rewrites
from sluiceway_server.datamanager.tables.data_file import FileStore
from sluiceway_server.datamanager.tables.file_writer import FileWriter

declare_effects("checkpoint.data-file", "checkpoint.index-dump")

_DUMPS_LOOKED_AT = 64
_DUMPS_RENEWED = 16


class Compaction:
    """Writes the files of one manifest. `made` lists the finished ones, also when it fails."""

    def __init__(
        self,
        files: FileStore,
        catalogue: Catalogue,
        *,
        sequence: LogSequence,
        file_bytes: int,
        known_dumps: set[str],
        still_wanted: Callable[[], None],
    ) -> None:
        # `sequence` is that of the manifest. `known_dumps` are index dumps that have this server's columns. After each
        # piece of work `still_wanted` is called, which raises when the checkpoint is too old.
        self._files = files
        self._catalogue = catalogue
        self._sequence = sequence
        self._file_bytes = file_bytes
        self._known_dumps = known_dumps
        self._still_wanted = still_wanted
        self._number = 0
        self.made: list[FileRef] = []

    async def write(self, before: Iterable[TypeFiles], changes: Changes) -> list[TypeFiles]:
        """Merge changes into the files of the manifest before, and return the files of the new one.

        Types without records are omitted.

        Raises:
            NotFound: a file that `before` names is gone.
            DataLoss: a file is damaged, or a record cannot be decoded.
            Unavailable: the storage or the scratch file cannot be used.
        """
        live = {type_.type: list(type_.files) for type_ in before}
        changed = await changes.types()
        for name in changed:
            live[name] = await self._write_type(self._catalogue.type(name), live.get(name, []), changes)
        for name, type_ in self._catalogue.known.items():
            if type_.bodies is Bodies.REMOTE:
                live[name] = await self._with_dumps(type_, live.get(name, []))
        self._known_dumps &= {file.index.key for files in live.values() for file in files}
        return [TypeFiles(type=name, files=live[name]) for name in sorted(live) if live[name]]

    async def _write_type(self, type_: RecordType[Any], before: Sequence[LiveFile], changes: Changes) -> list[LiveFile]:
        touched = OverlappingFiles([file.data for file in before])
        async with aclosing(changes.sizes(type_.name)) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(touched.add, piece)
        live: list[LiveFile] = []
        at = 0
        for rewrite in plan_rewrites(touched, self._file_bytes):
            live += before[at : rewrite.start]
            live += await self._rewrite(type_, before[rewrite.start : rewrite.end], rewrite, changes)
            at = rewrite.end
        return [*live, *before[at:]]

    async def _rewrite(
        self, type_: RecordType[Any], before: Sequence[LiveFile], rewrite: Rewrite, changes: Changes
    ) -> list[LiveFile]:
        made = FilesOfType(self._files, type_, cut=rewrite.cut, new_name=self._new_name)
        async with AsyncExitStack() as stack:
            stack.callback(lambda: self.made.extend(made.made))
            await stack.enter_async_context(made)
            old = await stack.enter_async_context(aclosing(records_of(self._files, before)))
            pages = changes.pages(type_.name, after=rewrite.after, before=rewrite.before)
            new = await stack.enter_async_context(aclosing(pages))
            async for piece in await stack.enter_async_context(aclosing(merge_changes(old, new))):
                await made.add(piece)
                self._still_wanted()
            await made.finish()
        self._known_dumps |= {file.index.key for file in made.live}
        return made.live

    async def _with_dumps(self, type_: RecordType[Any], live: Sequence[LiveFile]) -> list[LiveFile]:
        looks = renewed = 0
        found = []
        for file in live:
            stale = not file.HasField("index")
            if not stale and file.index.key not in self._known_dumps and looks < _DUMPS_LOOKED_AT:
                looks += 1
                stale = await self._is_stale(type_, file.index)
            if stale and renewed < _DUMPS_RENEWED:
                renewed += 1
                index = await write_index(self._files, type_, file, name=self._new_name())
                self.made.append(index)
                self._known_dumps.add(index.key)
                found.append(LiveFile(data=file.data, index=index))
            else:
                found.append(file)
            self._still_wanted()
        return found

    async def _is_stale(self, type_: RecordType[Any], index: FileRef) -> bool:
        columns, version = await self._files.index_columns(index)
        # A dump of a newer version stays: two versions would otherwise renew each other's forever.
        stale = version < type_.version or (version == type_.version and columns != type_.column_names)
        if not stale:
            self._known_dumps.add(index.key)
        return stale

    def _new_name(self) -> str:
        self._number += 1
        return f"{self._sequence}-{self._number}-{secrets.token_hex(6)}"


async def records_of(files: FileStore, live: Sequence[LiveFile]) -> AsyncGenerator[Sequence[StoredRecord], None]:
    """Yield the records of neighbouring files in order."""
    for file in live:
        async with aclosing(files.records(file.data)) as pieces:
            async for piece in pieces:
                yield piece


async def merge_changes(
    old: AsyncIterator[Sequence[StoredRecord]], new: AsyncIterator[Sequence[Change]]
) -> AsyncGenerator[list[StoredRecord], None]:
    """Yield the merged records in id order, in chunks that are not empty."""
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
    """Merge two chunks up to where one ends; return the result and what is left of each. None: a side has ended."""
    # The next chunk of one side may begin before this chunk of the other side ends.
    limit = min(piece[-1].id for piece in (records, changes) if piece)
    found: dict[str, StoredRecord] = {}
    if records:
        at = bisect_right(records, limit, key=attrgetter("id"))
        found = {record.id: record for record in records[:at]}
        records = records[at:]
    if changes:
        at = bisect_right(changes, limit, key=attrgetter("id"))
        for change in changes[:at]:
            if change.body is None:
                found.pop(change.id, None)
            else:
                found[change.id] = StoredRecord(change.id, change.revision, change.body)
        changes = changes[at:]
    return [found[id_] for id_ in sorted(found)], records, changes


def index_rows(type_: RecordType[Any], records: Sequence[StoredRecord]) -> list[StoredRow]:
    """Compute the index rows of records. Slow: use a thread. Raises `DataLoss` for a body that cannot be decoded."""
    rows = []
    for record in records:
        message = decode_body(type_, record.id, record.body)
        body = None if type_.is_settled(message) else record.body
        rows.append(StoredRow(record.id, record.revision, type_.values(message), body))
    return rows


class FilesOfType:
    """New files of one type, each finished when it is large enough.

    An async context that aborts an unfinished file at its end. `made` lists the finished files, also after an error.
    """

    def __init__(self, files: FileStore, type_: RecordType[Any], *, cut: int, new_name: Callable[[], str]) -> None:
        self._files = files
        self._type = type_
        self._indexed = type_.bodies is Bodies.REMOTE
        self._cut = cut
        self._new_name = new_name
        self._data: FileWriter[StoredRecord] | None = None
        self._index: FileWriter[StoredRow] | None = None
        self._open = AsyncExitStack()
        self.made: list[FileRef] = []
        self.live: list[LiveFile] = []

    async def __aenter__(self) -> FilesOfType:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def add(self, records: Sequence[StoredRecord]) -> None:
        """Write records whose ids follow those added before."""
        rows = await asyncio.to_thread(index_rows, self._type, records) if self._indexed else ()
        for at, record in enumerate(records):
            data = self._data or await self._begin()
            await data.add(record)
            if self._index is not None:
                await self._index.add(rows[at])
            if data.size >= self._cut or data.full:
                await self.finish()

    async def _begin(self) -> FileWriter[StoredRecord]:
        name = self._new_name()
        self._data = await self._files.data_writer(self._type.name, name)
        self._open.push_async_callback(self._data.abort)
        if self._indexed:
            self._index = await _index_writer(self._files, self._type, name)
            self._open.push_async_callback(self._index.abort)
        return self._data

    async def finish(self) -> None:
        """Finish the file that is being written, if there is one, and add it to `live`."""
        if self._data is None:
            return
        live = LiveFile()
        with crash_points("checkpoint.data-file"):
            live.data.CopyFrom(await self._data.finish())
            self.made.append(live.data)
        if self._index is not None:
            with crash_points("checkpoint.index-dump"):
                live.index.CopyFrom(await self._index.finish())
                self.made.append(live.index)
        self._data = self._index = None
        self._open.pop_all()
        self.live.append(live)


async def _index_writer(files: FileStore, type_: RecordType[Any], name: str) -> FileWriter[StoredRow]:
    return await files.index_writer(type_.name, name, columns=type_.column_names, version=type_.version)


async def write_index(files: FileStore, type_: RecordType[Any], live: LiveFile, *, name: str) -> FileRef:
    """Write a new index dump for an existing file."""
    writer = await _index_writer(files, type_, name)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(writer.abort)
        async with aclosing(files.records(live.data)) as pieces:
            async for piece in pieces:
                await writer.add_all(await asyncio.to_thread(index_rows, type_, piece))
        with crash_points("checkpoint.index-dump"):
            made = await writer.finish()
        stack.pop_all()
    return made
