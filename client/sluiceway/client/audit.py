"""Audit records: who changed what, and when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sluiceway.api.project.v1 import audit_service_pb2 as pb
from sluiceway.api.project.v1 import audit_service_pb2_grpc as pb_grpc
from sluiceway.client.connection import Connection


class Audit:
    """The `AuditService`. Every method raises the errors that the comments of the proto list."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = pb_grpc.AuditServiceStub(connection.channel)

    async def list(
        self,
        *,
        parent: str = "",
        caller: str = "",
        resource: str = "",
        resource_type: str = "",
        method: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> Sequence[pb.AuditRecord]:
        """List audit records, the newest first.

        Args:
            parent: a user or an organization, by id or path: records of it and everything below it. Only operators may
                leave it empty.
            caller: the user who made the change, by id or name.
            resource: the id of what was changed, or the path of a project or project group.
            resource_type: such as `project`.
            method: such as `DeleteProject`.
            since: only changes at or after this time.
            until: only changes before this time.
            limit: the largest number of records.
        """
        request = self._connection.request(
            pb.ListAuditRecordsRequest,
            parent_id=parent,
            caller_id=caller,
            resource_id=resource,
            resource_type=resource_type,
            method=method,
            since=since,
            until=until,
        )
        return await self._connection.list_all(self._stub.ListAuditRecords, request, "audit_records", limit=limit)
