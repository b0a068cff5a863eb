"""Executors, as a client sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sluiceway.api.executor.v1 import executor_admin_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_admin_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from sluiceway.client.connection import Connection

__all__ = ["Executors"]


class Executors:
    """The `ExecutorAdminService`. Every method raises what the proto's comments say, as errors of our family."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = pb_grpc.ExecutorAdminServiceStub(connection.channel)

    async def list(self, *, group: str = "") -> Sequence[pb.Executor]:
        """List executors, by group and id."""
        executors: list[pb.Executor] = []
        token = ""
        while True:
            request = pb.ListExecutorsRequest(group=group, page_token=token)
            answer = await self._connection.call(self._stub.ListExecutors, request)
            executors.extend(answer.executors)
            token = answer.next_page_token
            if not token:
                return executors

    async def get(self, executor_id: str) -> pb.Executor:
        """Show an executor with its siblings."""
        request = pb.GetExecutorRequest(executor_id=executor_id)
        answer = await self._connection.call(self._stub.GetExecutor, request)
        return answer.executor

    async def drain(self, executor_id: str) -> None:
        """Give an executor no more work."""
        await self._connection.call(self._stub.DrainExecutor, pb.DrainExecutorRequest(executor_id=executor_id))

    async def delete(self, executor_id: str) -> None:
        """Take an executor from the list."""
        await self._connection.call(self._stub.DeleteExecutor, pb.DeleteExecutorRequest(executor_id=executor_id))
