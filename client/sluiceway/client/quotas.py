"""Quotas: what users, organizations, project groups and projects may have."""

from __future__ import annotations

from sluiceway.api.project.v1 import quota_service_pb2 as pb
from sluiceway.api.project.v1 import quota_service_pb2_grpc as pb_grpc
from sluiceway.client.connection import Connection


class Quotas:
    """The `QuotaService`. A node is named by its id or path. Every method raises the errors that the proto lists."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = pb_grpc.QuotaServiceStub(connection.channel)

    async def get(self, node: str) -> pb.GetQuotaResponse:
        """Return the quota of a node, what counts for it, and what it has."""
        request = self._connection.request(pb.GetQuotaRequest, node_id=node)
        return await self._connection.call(self._stub.GetQuota, request)

    async def set(self, node: str, **limits: int) -> pb.Quota:
        """Set the whole quota of a node: for operators.

        Args:
            node: its id or path.
            limits: fields of `Quota`, such as `projects`; 0, or not given: no limit.
        """
        quota = self._connection.request(pb.Quota, **limits)
        request = self._connection.request(pb.SetQuotaRequest, node_id=node, quota=quota)
        return (await self._connection.call(self._stub.SetQuota, request)).quota
