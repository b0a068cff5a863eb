"""The servicer of `DatabaseService`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sluiceway.api.database.v1 import database_service_pb2 as pb
from sluiceway.api.database.v1 import database_service_pb2_grpc
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import Exhausted, FailedPrecondition
from sluiceway_server.app.database_messages import verify_logs, verify_message
from sluiceway_server.app.database_status import database_status
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.datamanager.admin.export import export_manifest
from sluiceway_server.datamanager.admin.verify import Verifier
from sluiceway_server.datamanager.admin.verify_context import Progress
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.log.entries import from_sequence_proto
from sluiceway_server.datamanager.tables.data_file import FileStore
from sluiceway_server.datamanager.tables.stores import Stores
from sluiceway_server.kv.port import KeyValueStore
from sluiceway_server.logs.check import LogCheck
from sluiceway_server.logs.store import LogStore
from sluiceway_server.objectstorage.port import ObjectStorage
from sluiceway_server.projects.envelope import Envelope
from sluiceway_server.projects.master_key_rotation import rotate_master_key

_ETCD_TIMEOUT = timedelta(seconds=5)
_PROGRESS_EVERY = timedelta(milliseconds=250)
_AT_ONCE = 2


class DatabaseServicer(database_service_pb2_grpc.DatabaseServiceServicer):
    """Implements `DatabaseService`."""

    def __init__(
        self,
        database: DataManager,
        kv: KeyValueStore,
        storage: ObjectStorage,
        *,
        prefix: str,
        etcd_name: str,
        scratch: Path,
        envelope: Envelope,
        clock: Clock,
    ) -> None:
        """Offer a database to operators.

        Args:
            database: the one that is open.
            kv: etcd, with the client of the database.
            storage: the object storage of the database.
            prefix: of all keys in both.
            etcd_name: how messages name etcd.
            scratch: a folder for temporary files.
            envelope: encrypts what is secret in it.
            clock: for times.
        """
        self._database = database
        self._kv = kv
        self._storage = storage
        self._prefix = prefix
        self._etcd_name = etcd_name
        self._scratch = scratch
        self._envelope = envelope
        self._clock = clock
        self._turns = set(range(_AT_ONCE))

    async def GetDatabaseStatus(
        self, request: pb.GetDatabaseStatusRequest, context: Any
    ) -> pb.GetDatabaseStatusResponse:
        now, position = self._clock.now(), str(self._database.position)
        message = await database_status(self._stores(), now=now, position=position)
        message.findings.extend(self._database.findings)
        return message

    async def CheckpointDatabase(
        self, request: pb.CheckpointDatabaseRequest, context: Any
    ) -> pb.CheckpointDatabaseResponse:
        before = self._clock.now()
        manifest = await self._database.checkpoint()
        if manifest is None:
            raise FailedPrecondition("there is nothing to make a checkpoint of: the database has no entry yet")
        return pb.CheckpointDatabaseResponse(
            sequence=str(from_sequence_proto(manifest.sequence)),
            made=manifest.made_us >= int(before.timestamp() * 1_000_000),
        )

    async def VerifyDatabase(
        self, request: pb.VerifyDatabaseRequest, context: Any
    ) -> AsyncIterator[pb.VerifyDatabaseResponse]:
        with self._one_more() as place:
            verifier = Verifier(
                self._stores(),
                types=RECORD_TYPES,
                # Few names: a file that a killed server left is overwritten by a later one.
                scratch=self._scratch / f"verify-{place}.sqlite",
                now=self._clock.now,
            )
            progress, reported_at = Progress(0, 0, 0), 0.0
            async with aclosing(verifier.run()) as findings:
                async for found in findings:
                    if isinstance(found, Progress):
                        progress = found
                        if self._clock.monotonic() - reported_at < _PROGRESS_EVERY.total_seconds():
                            continue
                        reported_at = self._clock.monotonic()
                    yield verify_message(found, progress)
            if not request.skip_logs:
                store = LogStore(self._storage, self._clock, prefix=self._prefix)
                check = LogCheck(self._storage, store, prefix=self._prefix)
                async with aclosing(verify_logs(check, progress)) as messages:
                    async for message, reached in messages:
                        progress = reached
                        yield message
            yield verify_message(progress, progress)

    async def ExportDatabase(
        self, request: pb.ExportDatabaseRequest, context: Any
    ) -> AsyncIterator[pb.ExportDatabaseResponse]:
        with self._one_more():
            made = self._clock.now()
            manifest = await self._database.checkpoint()
            if manifest is None:
                raise FailedPrecondition("there is nothing to export: the database has no entry yet")
            files = FileStore(self._storage, prefix=self._prefix)
            async with aclosing(export_manifest(files, manifest, made=made)) as pieces:
                async for piece in pieces:
                    yield pb.ExportDatabaseResponse(data=piece)

    def _stores(self) -> Stores:
        return Stores(
            self._kv, self._storage, prefix=self._prefix, etcd_timeout=_ETCD_TIMEOUT, etcd_name=self._etcd_name
        )

    async def RotateMasterKey(self, request: pb.RotateMasterKeyRequest, context: Any) -> pb.RotateMasterKeyResponse:
        await self._envelope.reload()
        key_id = self._envelope.master_key_id
        done = await rotate_master_key(self._database, self._envelope, RECORD_TYPES)
        return pb.RotateMasterKeyResponse(
            master_key_id=key_id,
            rewrapped=done.rewrapped,
            unchanged=done.unchanged,
            failed=done.failed,
            failures=done.failures,
        )

    @contextmanager
    def _one_more(self) -> Iterator[int]:
        """Limit the calls that read the whole database; yields the number of a free place."""
        if not self._turns:
            raise Exhausted(
                f"this server is already verifying or exporting {_AT_ONCE} times; wait for one to end", retry_after=None
            )
        place = self._turns.pop()
        try:
            yield place
        finally:
            self._turns.add(place)
