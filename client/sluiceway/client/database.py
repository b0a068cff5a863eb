"""The database, as operators see it through a server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta

from sluiceway.api.database.v1 import database_service_pb2 as pb
from sluiceway.api.database.v1 import database_service_pb2_grpc as pb_grpc
from sluiceway.client.connection import Connection

__all__ = ["Database"]

# Listing many objects is slow, and merging a large database much slower.
_STATUS_WITHIN = timedelta(minutes=2)
_ROTATION_WITHIN = timedelta(hours=1)
_CHECKPOINT_WITHIN = timedelta(hours=6)


class Database:
    """The `DatabaseService`. Every method raises the errors that the comments of the proto list."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = pb_grpc.DatabaseServiceStub(connection.channel)

    async def status(self) -> pb.GetDatabaseStatusResponse:
        """Show both stores as they are."""
        request = pb.GetDatabaseStatusRequest()
        return await self._connection.call(self._stub.GetDatabaseStatus, request, timeout=_STATUS_WITHIN)

    async def checkpoint(self) -> pb.CheckpointDatabaseResponse:
        """Make a checkpoint now."""
        request = pb.CheckpointDatabaseRequest()
        return await self._connection.call(self._stub.CheckpointDatabase, request, timeout=_CHECKPOINT_WITHIN)

    async def rotate_master_key(self) -> pb.RotateMasterKeyResponse:
        """Have the server read its master keys again, and encrypt everything that is secret under the first one."""
        request = pb.RotateMasterKeyRequest()
        return await self._connection.call(self._stub.RotateMasterKey, request, timeout=_ROTATION_WITHIN)

    async def verify(self, *, skip_logs: bool = False) -> AsyncGenerator[pb.VerifyDatabaseResponse]:
        """Read every object and checksum; yields faults, notes and progress. It does not resume when it breaks."""
        stream = self._connection.stream(self._stub.VerifyDatabase, pb.VerifyDatabaseRequest(skip_logs=skip_logs))
        async with aclosing(stream) as messages:
            async for message in messages:
                yield message

    async def export(self) -> AsyncGenerator[bytes]:
        """Export all records, in pieces of one file. It does not resume when it breaks: begin a new file."""
        stream = self._connection.stream(self._stub.ExportDatabase, pb.ExportDatabaseRequest())
        async with aclosing(stream) as messages:
            async for message in messages:
                yield message.data
