"""Import: make a database from an export, in empty stores only.

The whole file is checked before the first write. Then, each step after the one before it:

    db/import in etcd       the claim of this import; the last step is done only by its owner
    data files              of all records, with the revision (1, 0).0
    manifest/<1-0>          names them all
    epoch/1                 from here on the database exists
    head in etcd            servers can open it

A crash before `epoch/1` leaves files that nothing names, and perhaps a manifest, which the next import replaces. A
crash after it leaves a database that is complete in the object storage, and `sluice db recover` completes it in etcd.
Of two imports at once one fails: a database that exists is never replaced.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from sluiceway.records.log.v1.log_pb2 import Epoch
from sluiceway.records.storage.v1 import storage_pb2
from sluiceway_common.foundation.crashpoints import crash_point, crash_points, declare_crash_points, declare_effects
from sluiceway_common.foundation.errors import Conflict, DataLoss, FailedPrecondition
from sluiceway_server.datamanager.admin.export_file import ExportFile, ExportInfo
from sluiceway_server.datamanager.log.entries import GENESIS_DIGEST, Catalogue, micros, sequence_proto
from sluiceway_server.datamanager.log.etcd_log import first_marks
from sluiceway_server.datamanager.model import LogSequence, Position, RecordType
from sluiceway_server.datamanager.tables.block import StoredRecord
from sluiceway_server.datamanager.tables.checkpoint import files_of
from sluiceway_server.datamanager.tables.compaction import FilesOfType
from sluiceway_server.datamanager.tables.stores import Stores
from sluiceway_server.kv.port import Compare, DeleteKey, PutKey, Range

log = structlog.get_logger(__name__)

declare_effects("import.claim", "import.leftovers", "import.manifest", "import.epoch", "import.head")
declare_crash_points("import.before-files")

_EPOCH = 1
_START = LogSequence(_EPOCH, 0)
_REVISION = Position(_START, 0)
# Of the claim; it expires some time after a crash.
_LONGEST = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import: the new id of the database, and the header of the file."""

    database_id: str
    info: ExportInfo


class Importer:
    """One import; see the module. Records of types that are not in `types` are copied as they are."""

    def __init__(
        self,
        stores: Stores,
        file: Path,
        *,
        types: Sequence[RecordType[Any]],
        writer: str,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        file_bytes: int,
    ) -> None:
        self._file = ExportFile(file)
        self._catalogue = Catalogue(types)
        self._writer = writer
        self._now = now
        self._database_id = new_id()
        self._file_bytes = file_bytes
        self._stores = stores
        self._claim_key = stores.key("db/import")
        self._claim = secrets.token_bytes(16)

    async def run(self, *, progress: Callable[[int], None] = lambda _: None) -> Imported:
        """Check, then make the database; `progress` is called with the number of records written so far.

        Raises:
            ExportDamaged: the file is not as an export wrote it; nothing was written.
            FailedPrecondition: the place is not empty (reason `NOT_EMPTY`); nothing was written.
            Conflict: another import, or a server, began a database here meanwhile.
            Unavailable: etcd or the object storage is away. Retry.
        """
        info = await asyncio.to_thread(self._file.check)
        await self._check_empty()
        cluster_id = await self._take_claim()
        if await self._stores.manifests.sequences():
            # Of an import that did not end; its owner has lost the claim.
            with crash_points("import.leftovers"):
                await self._stores.storage.delete(self._stores.manifests.key(_START))
            log.info("import_replaces_an_unfinished_one", manifest=self._stores.manifests.key(_START))
        crash_point("import.before-files")
        types = await self._write_files(progress)
        manifest = await self._manifest(info, types)
        await self._check_claim()
        with crash_points("import.manifest"):
            if not await self._stores.manifests.put(manifest):
                raise _overtaken("another import wrote its manifest first")
        await self._check_claim()
        epoch = Epoch(
            number=_EPOCH,
            accepted_digest=GENESIS_DIGEST,
            cluster_id=cluster_id,
            writer=self._writer,
            time_us=micros(self._now()),
            database_id=self._database_id,
            cause=f"an import of the database {info.database_id} as of {info.sequence}",
            from_manifest=True,
        )
        with crash_points("import.epoch"):
            if not await self._stores.epochs.put(epoch):
                raise _overtaken("a server or another import began a database first")
        await self._write_head()
        log.info("database_imported", database_id=self._database_id, records=info.records)
        return Imported(self._database_id, info)

    # -- the place

    async def _check_empty(self) -> None:
        prefix, where = self._stores.prefix, f"etcd at {self._stores.etcd_name}"
        # "0" follows "/": all keys below the prefix.
        found, _ = await self._stores.kv.range(Range(f"{prefix}/", f"{prefix}0", 2), timeout=self._stores.etcd_timeout)
        taken = [item.key for item in found if item.key != self._claim_key]
        if taken:
            raise _not_empty(f"{where} has the key {taken[0]}")
        epochs, segments = await self._stores.epochs.all(), await self._stores.segments.firsts()
        manifests = await self._stores.manifests.sequences()
        if len(epochs) == 1 and epochs[0].number == _EPOCH and manifests == [_START] and not segments:
            raise _not_empty(
                "an import into this place ended just before its last step, and its database is whole in the object"
                " storage: `sluice db recover` continues with it"
            )
        if epochs:
            raise _not_empty(
                f"the object storage holds epoch {epochs[-1].number} of the database {epochs[-1].database_id}"
            )
        if segments:
            raise _not_empty(f"the object storage has the segment {self._stores.segments.key(segments[0])}")
        strange = [sequence for sequence in manifests if sequence != _START]
        if strange:
            raise _not_empty(f"the object storage has the manifest {self._stores.manifests.key(strange[0])}")

    async def _take_claim(self) -> int:
        """Put the claim into etcd, unless there is a database; return the id of the cluster."""
        lease = await self._stores.kv.grant_lease(_LONGEST, timeout=self._stores.etcd_timeout)
        with crash_points("import.claim"):
            taken = await self._stores.kv.txn(
                compare=(Compare(self._stores.log.head_key, None),),
                then=(PutKey(self._claim_key, self._claim, lease),),
                timeout=self._stores.etcd_timeout,
            )
        if not taken.succeeded:
            raise _not_empty(f"etcd at {self._stores.etcd_name} has the key {self._stores.log.head_key}")
        self._stores.log.expect_cluster(taken.cluster_id)
        return taken.cluster_id

    async def _check_claim(self) -> None:
        found, _ = await self._stores.kv.get(self._claim_key, timeout=self._stores.etcd_timeout)
        if found is None or found.value != self._claim:
            raise _overtaken("another import into this place began")

    async def _write_head(self) -> None:
        head, flushed = first_marks(self._database_id)
        with crash_points("import.head"):
            ended = await self._stores.kv.txn(
                compare=(Compare(self._stores.log.head_key, None), Compare(self._claim_key, self._claim)),
                then=(
                    *self._stores.log.first_keys(head, flushed),
                    self._stores.log.put_checkpoint(_START),
                    DeleteKey(self._claim_key),
                ),
                timeout=self._stores.etcd_timeout,
            )
        if not ended.succeeded:
            raise _overtaken("a server or another import began a database first")

    # -- the files

    async def _write_files(self, progress: Callable[[int], None]) -> list[storage_pb2.TypeFiles]:
        by_type: dict[str, FilesOfType] = {}
        written = 0
        blocks = self._file.blocks()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(asyncio.to_thread, blocks.close)
            writing: FilesOfType | None = None
            while (block := await asyncio.to_thread(next, blocks, None)) is not None:
                type_name, records = block
                if type_name not in by_type:
                    if writing is not None:
                        await writing.finish()
                    made = FilesOfType(
                        self._stores.files,
                        self._catalogue.type(type_name),
                        cut=self._file_bytes,
                        new_name=lambda: f"{_START}-0-{secrets.token_hex(8)}",
                    )
                    by_type[type_name] = await stack.enter_async_context(made)
                writing = by_type[type_name]
                await writing.add([StoredRecord(record.id, _REVISION, record.body) for record in records])
                written += len(records)
                progress(written)
            if writing is not None:
                await writing.finish()
        return [storage_pb2.TypeFiles(type=name, files=files.live) for name, files in by_type.items()]

    async def _manifest(self, info: ExportInfo, types: Sequence[storage_pb2.TypeFiles]) -> storage_pb2.Manifest:
        manifest = storage_pb2.Manifest(
            sequence=sequence_proto(_START),
            digest=GENESIS_DIGEST,
            # Times of entries never go back, also over an import.
            time_us=micros(info.time),
            database_id=self._database_id,
            writer=self._writer,
            made_us=micros(self._now()),
            types=types,
        )
        for ref in files_of(manifest):
            manifest.written_bytes += ref.size
            if not await self._stores.files.present(ref):
                raise DataLoss(f"the object {ref.key} that was just written is not there; import again")
        return manifest


def _not_empty(what: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"an import goes into an empty place only, and this one is not: {what}. Nothing was changed; name another"
        " --prefix, or an empty etcd and an empty bucket or folder",
        reason="NOT_EMPTY",
    )


def _overtaken(what: str) -> Conflict:
    return Conflict(
        f"this import gave up: {what}. Look with `sluice db status` at what is there now; the files that this one wrote"
        " are named by nothing and are cleaned up later",
        reason="IMPORT_OVERTAKEN",
    )
