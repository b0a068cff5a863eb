"""Build a log in an object storage without a server, with a plain model of its contents.

    log = LogBuilder(storage, "prefix")
    log.commit(put("a", rank=1), groups=["g"])
    flushed = await log.flush()
    log.begin_epoch(accepted=LogSequence(1, 3))

`checkpointer` makes a real one over it, `contents` reads back what a manifest names.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import zstandard

from sluiceway.records.log.v1 import log_pb2
from sluiceway.records.storage.v1.storage_pb2 import Manifest
from sluiceway_common.foundation.clock import Clock, SystemClock
from sluiceway_server.datamanager.log.entries import (
    GENESIS_DIGEST,
    Catalogue,
    LogEntry,
    add_transaction,
    encode_entry,
    sequence_proto,
)
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.log.etcd_log import FlushMark, Log
from sluiceway_server.datamanager.log.segments import SegmentStore, encode_segment
from sluiceway_server.datamanager.model import Action, Bodies, Column, Delete, LogSequence, Position, Put, RecordType
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.tables.block import StoredRow
from sluiceway_server.datamanager.tables.change_set import CHANGE_GROUP
from sluiceway_server.datamanager.tables.checkpoint import Checkpointer, files_of
from sluiceway_server.datamanager.tables.data_file import FileStore
from sluiceway_server.datamanager.tables.garbage_collector import Cleaned, GarbageCollector
from sluiceway_server.datamanager.tables.manifest import ManifestStore
from sluiceway_server.datamanager.tables.stores import Stores
from sluiceway_server.kv.port import KeyValueStore
from sluiceway_server.objectstorage.port import ObjectStorage

__all__ = [
    "JOB",
    "LOCAL",
    "SMALL",
    "LogBuilder",
    "all_keys",
    "check_whole",
    "checkpointer",
    "cleaner",
    "contents",
    "job",
    "local",
    "rows",
    "seq",
    "stores",
]

LOCAL: RecordType[log_pb2.Epoch] = RecordType("local", log_pb2.Epoch)

JOB: RecordType[log_pb2.Epoch] = RecordType(
    "job",
    log_pb2.Epoch,
    columns=(Column("group", lambda m: m.writer or None), Column("rank", lambda m: m.number)),
    indexes=(("group", "rank"),),
    bodies=Bodies.REMOTE,
    settled=lambda m: m.cluster_id == 1,
)
"""Settled when `cluster_id` is 1."""

SMALL = DataManagerSettings(server_id="one", file_bytes=64 * 1024)

_SOON = timedelta(seconds=5)

Contents = dict[tuple[str, str], tuple[Position, bytes]]


def job(id_: str, *, group: str = "", rank: int = 0, done: bool = False, text: str = "") -> Put:
    return Put(JOB, id_, log_pb2.Epoch(writer=group, number=rank, cluster_id=int(done), database_id=text))


def local(id_: str, text: str = "") -> Put:
    return Put(LOCAL, id_, log_pb2.Epoch(database_id=text))


class LogBuilder:
    """A log and its model.

    Attributes:
        model: what the history says, by type and id.
        marks: of each flush, the model as it was then.
        lineage: the history.
    """

    def __init__(self, storage: ObjectStorage, prefix: str) -> None:
        self.segments = SegmentStore(storage, prefix=prefix)
        self.model: Contents = {}
        self.states: dict[LogSequence, Contents] = {}
        self._accepted: dict[int, LogSequence | None] = {1: None}
        self._entries: dict[LogSequence, LogEntry] = {}
        self._pending: list[LogEntry] = []
        self._last = LogSequence(1, 0)
        self._digest = GENESIS_DIGEST
        self._total = 0
        self._compressor = zstandard.ZstdCompressor()
        self._numbers = itertools.count(1)

    @property
    def lineage(self) -> Lineage:
        return Lineage.of(self._accepted, self._last.epoch)

    def commit(self, *actions: Action, groups: Sequence[str] = ()) -> Position:
        """Add an entry of one transaction."""
        return self.commit_batch((actions, groups))

    def commit_batch(self, *transactions: tuple[Sequence[Action], Sequence[str]]) -> Position:
        """Add an entry of several transactions."""
        batch = log_pb2.Batch()
        sequence = self._last.next()
        for index, (actions, groups) in enumerate(transactions):
            add_transaction(batch, actions, groups)
            for action in actions:
                if isinstance(action, Put):
                    body = action.message.SerializeToString()
                    self.model[action.type.name, action.id] = (Position(sequence, index), body)
                elif isinstance(action, Delete):
                    self.model.pop((action.type.name, action.id), None)
            for group in groups:
                self.model[CHANGE_GROUP, group] = (Position(sequence, index), b"")
        entry = encode_entry(
            batch,
            sequence=sequence,
            batch_id=secrets.token_bytes(8),
            writer="test",
            time_us=next(self._numbers),
            previous_digest=self._digest,
            compressor=self._compressor,
        )
        self._entries[sequence] = entry
        self._pending.append(entry)
        self._last, self._digest = sequence, entry.digest
        self._total += len(entry.raw)
        self.states[sequence] = dict(self.model)
        return entry.position

    async def flush(self) -> FlushMark:
        """Store the pending entries as one segment; return the new flush mark."""
        if self._pending:
            body = encode_segment(self._pending, total_bytes=self._total, writer="test")
            assert await self.segments.put(self._pending[0].sequence, body)
            self._pending = []
        return self.mark()

    def mark(self) -> FlushMark:
        flushed = log_pb2.Flushed(sequence=sequence_proto(self._last), total_bytes=self._total, digest=self._digest)
        return FlushMark.parse(flushed.SerializeToString())

    async def write_head(self, kv: KeyValueStore, prefix: str) -> None:
        """Write the head and the flush mark of this log into etcd."""
        log = Log(kv, prefix=prefix, timeout=_SOON)
        head = log_pb2.Head(sequence=sequence_proto(self._last), digest=self._digest)
        await kv.put(log.head_key, head.SerializeToString(), timeout=_SOON)
        await kv.put(log.flushed_key, self.mark().raw, timeout=_SOON)

    def begin_epoch(self, accepted: LogSequence, *, number: int | None = None) -> FlushMark:
        """Start a new epoch after an entry; return its first flush mark. Its first entry is pending."""
        number = number or self._last.epoch + 1
        self._accepted[number] = accepted
        self._pending = []
        self._last, self._total = LogSequence(number, 0), 0
        self._digest = self._entries[accepted].digest if accepted.counter else GENESIS_DIGEST
        self.model = dict(self.states.get(accepted, {}))
        mark = self.mark()
        self.commit_batch(((), ()))
        return mark


def seq(epoch: int, counter: int) -> LogSequence:
    return LogSequence(epoch, counter)


def stores(storage: ObjectStorage, prefix: str) -> tuple[ManifestStore, FileStore]:
    return ManifestStore(storage, prefix=prefix), FileStore(storage, prefix=prefix)


def checkpointer(
    storage: ObjectStorage,
    kv: KeyValueStore,
    folder: Path,
    *,
    prefix: str,
    server_id: str = "one",
    settings: DataManagerSettings = SMALL,
    clock: Clock | None = None,
    types: Sequence[RecordType[Any]] = (LOCAL, JOB),
) -> Checkpointer:
    return Checkpointer(
        Stores(kv, storage, prefix=prefix, etcd_timeout=_SOON),
        catalogue=Catalogue(types),
        database_id="database",
        folder=folder / server_id,
        settings=replace(settings, server_id=server_id),
        clock=clock or SystemClock(),
    )


def cleaner(
    storage: ObjectStorage,
    kv: KeyValueStore,
    *,
    prefix: str,
    clock: Clock,
    settings: DataManagerSettings = SMALL,
) -> Callable[[Lineage], Awaitable[Cleaned]]:
    """Return a function that collects the garbage of a database with this history."""
    stores = Stores(kv, storage, prefix=prefix, etcd_timeout=_SOON)
    return lambda lineage: GarbageCollector(stores, lineage, settings, clock).run()


async def all_keys(storage: ObjectStorage, prefix: str, *folders: str) -> set[str]:
    """List the keys in some folders of a database, after its prefix; without folders: in those of files."""
    found = set()
    for folder in folders or ("data", "index"):
        found |= {info.key.removeprefix(f"{prefix}/") async for info in storage.list(f"{prefix}/{folder}/")}
    return found


async def check_whole(storage: ObjectStorage, prefix: str, lineage: Lineage, end: LogSequence) -> set[str]:
    """Check that all files of each manifest exist, and that the log reaches from the oldest to the end.

    Returns the keys that the manifests name.
    """
    manifests, _ = stores(storage, prefix)
    segments = SegmentStore(storage, prefix=prefix)
    of_history = [sequence for sequence in await manifests.sequences() if lineage.contains(sequence)]
    named = set()
    for sequence in of_history:
        manifest = await manifests.read(sequence)
        await contents(storage, prefix, manifest)
        named |= {ref.key for ref in files_of(manifest)}
    at = of_history[0] if of_history else LogSequence(lineage.epochs[0], 0)
    async for segment in segments.after(at, lineage):
        at = segment.last
    assert at >= end, f"the log ends at {at}"
    return named


async def contents(storage: ObjectStorage, prefix: str, manifest: Manifest | None) -> Contents:
    """Read the contents of a manifest, verifying each object."""
    _, files = stores(storage, prefix)
    found: Contents = {}
    for type_ in manifest.types if manifest is not None else ():
        for live in type_.files:
            await files.verify(live.data)
            records = [record async for piece in files.records(live.data) for record in piece]
            found |= {(type_.type, record.id): (record.revision, record.body) for record in records}
            if live.HasField("index"):
                await files.verify(live.index)
                dump = [row async for piece in files.rows(live.index) for row in piece]
                assert [(row.id, row.revision) for row in dump] == [(record.id, record.revision) for record in records]
    return found


async def rows(storage: ObjectStorage, prefix: str, manifest: Manifest, type_name: str) -> Mapping[str, StoredRow]:
    """Read the index dumps of a type."""
    _, files = stores(storage, prefix)
    return {
        row.id: row
        for type_ in manifest.types
        if type_.type == type_name
        for live in type_.files
        async for piece in files.rows(live.index)
        for row in piece
    }
