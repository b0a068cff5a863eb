"""Export: all records of the database as they are after one entry of its log, as a stream of bytes.

    export_manifest    out of one manifest: what a server does, after a checkpoint
    export_stores      out of both stores without a server: the newest manifest, the segments after it, and the entries
                       that only etcd has; without etcd, what the object storage alone holds

Both only read. Records come out of the data files block by block, the changes after the manifest out of a scratch file
on disk, so memory does not grow with the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from sluiceway.records.storage.v1.storage_pb2 import Manifest
from sluiceway_common.foundation.errors import FailedPrecondition, NotFound
from sluiceway_common.foundation.version import VERSION
from sluiceway_server.datamanager.admin.export_file import BLOCK_BYTES, ExportEncoder
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.log.walk import LogEnd, Piece, walk
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.recovery.diagnosis import Kind, diagnose, inspect
from sluiceway_server.datamanager.tables.block import StoredRecord
from sluiceway_server.datamanager.tables.change_set import Changes
from sluiceway_server.datamanager.tables.compaction import merge_changes, records_of
from sluiceway_server.datamanager.tables.data_file import FileStore
from sluiceway_server.datamanager.tables.stores import StoredObjects, Stores

_CHUNK_BYTES = 64 * 1024


async def export_stores(
    stored: StoredObjects, *, scratch: Path, now: Callable[[], datetime]
) -> AsyncGenerator[bytes, None]:
    """Yield an export of what is stored, without a server; servers may be writing meanwhile.

    etcd is read too if these are both `Stores`. The changes after the newest manifest are put into the file `scratch`,
    which is removed again.

    Raises:
        NotFound: there is no database.
        FailedPrecondition: etcd and the object storage do not fit together; the reason is a `Kind`.
        DataLoss: an object is missing or damaged; the message names it.
        Unavailable: etcd or the object storage is away.
    """
    made = now()
    lineage, target = await _history(stored, made)
    manifest = await stored.manifests.newest(lineage)
    end = LogEnd.start(lineage, manifest, stored.manifests.key)
    epochs = {epoch.number: epoch.database_id for epoch in await stored.epochs.all()}
    history = lineage if target is None else lineage.until(max(target, end.sequence))
    log = stored.log if isinstance(stored, Stores) and target is not None else None
    async with Changes.open(scratch) as changes:
        async with aclosing(walk(stored.segments, history, end, log=log)) as found:
            async for item in found:
                if not isinstance(item, Piece):
                    raise item.error()
                await changes.add(item.entries)
                end = item.end
        end = replace(end, database_id=epochs[lineage.present])
        async with aclosing(export_manifest(stored.files, manifest, made=made, changes=changes, end=end)) as pieces:
            async for piece in pieces:
                yield piece


async def _history(stored: StoredObjects, now: datetime) -> tuple[Lineage, LogSequence | None]:
    """Return the history to export and its last entry in etcd; None: export what the object storage has."""
    if isinstance(stored, Stores):
        diagnosis = diagnose(await inspect(stored), now=now)
        found = diagnosis.holdings
        if diagnosis.is_healthy and found.lineage is not None and found.head is not None:
            return found.lineage, found.head.sequence
        if diagnosis.kind is Kind.NEW:
            raise _nothing()
        if diagnosis.kind is not Kind.ETCD_EMPTY:
            raise FailedPrecondition(
                f"{diagnosis.message}. To export what the object storage alone holds, leave --etcd out",
                reason=diagnosis.kind,
            )
    epochs = await stored.epochs.all()
    sequences = [*await stored.segments.firsts(), *await stored.manifests.sequences()]
    if not epochs or not sequences:
        raise _nothing()
    return stored.epochs.lineage_of(epochs, max(sequence.epoch for sequence in sequences)), None


def _nothing() -> NotFound:
    return NotFound("there is nothing to export: the object storage holds no database under this prefix")


async def export_manifest(
    files: FileStore,
    manifest: Manifest | None,
    *,
    made: datetime,
    changes: Changes | None = None,
    end: LogEnd | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yield an export of the database as a manifest has it, in pieces of at most 64 KiB.

    Args:
        files: those that the manifest names.
        manifest: None: there is none yet.
        made: when the export began.
        changes: those of the log after the manifest, which are applied to it.
        end: the last entry of these; None: that of the manifest.

    Raises:
        NotFound: a file is gone: the export took longer than manifests are kept. Retry.
        DataLoss: a file is damaged.
        Unavailable: the object storage is away.
    """
    manifest = manifest or Manifest()
    end = end or LogEnd.of_manifest(manifest, "the manifest")
    encoder = ExportEncoder()
    live = {files_of.type: files_of.files for files_of in manifest.types}
    changed = [] if changes is None else await changes.types()
    yield encoder.header(
        database_id=end.database_id, sequence=end.sequence, time_us=end.time_us, made=made, version=VERSION
    )
    for type_name in sorted({*live, *changed}):
        async with AsyncExitStack() as stack:
            records = await stack.enter_async_context(aclosing(records_of(files, live.get(type_name, ()))))
            if changes is not None:
                new = await stack.enter_async_context(aclosing(changes.pages(type_name)))
                records = await stack.enter_async_context(aclosing(merge_changes(records, new)))
            async for block in await stack.enter_async_context(aclosing(_blocks(records))):
                data = await asyncio.to_thread(encoder.block, type_name, block)
                for at in range(0, len(data), _CHUNK_BYTES):
                    yield data[at : at + _CHUNK_BYTES]
    yield encoder.trailer()


async def _blocks(pieces: AsyncIterator[Sequence[StoredRecord]]) -> AsyncGenerator[list[StoredRecord], None]:
    """Group a stream of records into blocks of an export."""
    block: list[StoredRecord] = []
    size = 0
    async for piece in pieces:
        for record in piece:
            block.append(record)
            size += len(record.id) + len(record.body)
            if size >= BLOCK_BYTES:
                yield block
                block, size = [], 0
    if block:
        yield block
