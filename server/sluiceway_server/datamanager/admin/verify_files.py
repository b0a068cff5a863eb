"""Verifies the content of data files and index dumps, record by record, beyond their checksums.

Bodies must be messages of their type; an index dump must have the same records as its data file, with the values of the
type's columns for them; and the newest manifest must be the one before it with the changes of the log applied.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from sluiceway.records.storage.v1.storage_pb2 import LiveFile, Manifest
from sluiceway_common.foundation.errors import DataLoss
from sluiceway_server.datamanager.log.entries import from_sequence_proto
from sluiceway_server.datamanager.model import Bodies, RecordType
from sluiceway_server.datamanager.tables.block import StoredRecord, StoredRow
from sluiceway_server.datamanager.tables.change_set import Changes
from sluiceway_server.datamanager.tables.compaction import index_rows, merge_changes, records_of
from sluiceway_server.datamanager.tables.data_file import FileStore

_MOST_FAULTS = 5


async def faults_of_records(files: FileStore, type_: RecordType[Any] | None, live: LiveFile) -> list[str]:
    """Compare the records of a file with the rows of its index dump; return what is wrong, a few faults at most.

    With `type_` None, an unknown type, only ids and revisions are compared.

    Raises:
        NotFound, DataLoss: as `FileStore.records`.
    """
    if not live.HasField("index"):
        return [] if type_ is None else await _unreadable(files, type_, live)
    columns, version = await files.index_columns(live.index)
    if type_ is not None and (
        type_.bodies is not Bodies.REMOTE or (type_.column_names, type_.version) != (columns, version)
    ):
        type_ = None  # these columns are not used; the next checkpoint that touches the file writes others
    faults: list[str] = []
    async with aclosing(files.records(live.data)) as records, aclosing(files.rows(live.index)) as rows:
        async for some, beside in _side_by_side(records, rows):
            if len(some) != len(beside):
                faults.append(f"{live.index.key} does not have as many rows as {live.data.key} has records")
                break
            faults += await asyncio.to_thread(_compare_rows, type_, live, some, beside)
            if len(faults) >= _MOST_FAULTS:
                break
    return faults[:_MOST_FAULTS]


async def _unreadable(files: FileStore, type_: RecordType[Any], live: LiveFile) -> list[str]:
    async with aclosing(files.records(live.data)) as pieces:
        async for piece in pieces:
            try:
                await asyncio.to_thread(index_rows, type_, piece)
            except DataLoss as error:
                return [f"{live.data.key}: {error.message}"]
    return []


def _compare_rows(
    type_: RecordType[Any] | None, live: LiveFile, records: Sequence[StoredRecord], rows: Sequence[StoredRow]
) -> list[str]:
    expected: Sequence[StoredRow] = rows
    if type_ is not None:
        try:
            expected = index_rows(type_, records)
        except DataLoss as error:
            return [f"{live.data.key}: {error.message}"]
        if expected == list(rows):
            return []
    faults = []
    for at, (record, row) in enumerate(zip(records, rows, strict=True)):
        if (record.id, record.revision) != (row.id, row.revision):
            faults.append(
                f"{live.index.key} has {row.id!r} of {row.revision} where {live.data.key} has {record.id!r} of"
                f" {record.revision}"
            )
        elif row.body is not None and row.body != record.body:
            faults.append(f"{live.index.key} has another body of {row.id!r} than {live.data.key}")
        elif expected[at] != row:
            faults.append(f"{live.index.key} has other columns of {row.id!r} than its body in {live.data.key} gives")
        if len(faults) >= _MOST_FAULTS:
            break
    return faults


async def compare_manifests(files: FileStore, before: Manifest, changes: Changes, after: Manifest) -> list[str]:
    """Return where a manifest is not an earlier one with all changes of the log between them.

    Raises:
        NotFound, DataLoss: as `FileStore.records`.
    """
    old = {item.type: item.files for item in before.types}
    new = {item.type: item.files for item in after.types}
    where = f"the manifest of {from_sequence_proto(after.sequence)}"
    for type_name in sorted({*old, *new, *await changes.types()}):
        pages = changes.pages(type_name)
        base, theirs = records_of(files, old.get(type_name, ())), records_of(files, new.get(type_name, ()))
        async with aclosing(pages), aclosing(base), aclosing(theirs), aclosing(merge_changes(base, pages)) as made:
            async for expected, found in _side_by_side(made, theirs):
                if list(expected) == list(found):
                    continue
                wanted = {record.id: record for record in expected}
                has = {record.id: record for record in found}
                for id_ in sorted({*wanted, *has}):
                    if wanted.get(id_) != has.get(id_):
                        return [f"{where} does not hold the {type_name} {id_!r} as the log before it left it"]
    return []


async def _side_by_side(
    left: AsyncIterator[Sequence[Any]], right: AsyncIterator[Sequence[Any]]
) -> AsyncIterator[tuple[Sequence[Any], Sequence[Any]]]:
    """Yield two streams in pieces of equal length; only the last pair may differ, when one stream is longer."""
    mine: Sequence[Any] | None = ()
    theirs: Sequence[Any] | None = ()
    while True:
        while mine is not None and not mine:
            mine = await anext(left, None)
        while theirs is not None and not theirs:
            theirs = await anext(right, None)
        if mine is None or theirs is None:
            if mine or theirs:
                yield mine or (), theirs or ()
            return
        length = min(len(mine), len(theirs))
        yield mine[:length], theirs[:length]
        mine, theirs = mine[length:], theirs[length:]
