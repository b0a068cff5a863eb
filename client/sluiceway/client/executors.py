"""Executors, as a client sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
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

    async def drain(self, executor_id: str, *, timeout: timedelta | None = None) -> None:
        """Give an executor no more tasks, until `undrain`.

        Args:
            executor_id: the executor.
            timeout: after so long, the tasks that still run on it are lost; None: they may take any time.
        """
        request = pb.DrainExecutorRequest(executor_id=executor_id, timeout=timeout)
        await self._connection.call(self._stub.DrainExecutor, request)

    async def undrain(self, executor_id: str) -> None:
        """Give an executor tasks again."""
        await self._connection.call(self._stub.UndrainExecutor, pb.UndrainExecutorRequest(executor_id=executor_id))

    async def drain_matching(
        self, *, group: str = "", labels: Mapping[str, str] | None = None, timeout: timedelta | None = None
    ) -> Sequence[str]:
        """Drain all executors of a group that have these labels, and return their ids. One of the two is required."""
        selector = pb.ExecutorSelector(group=group, labels=labels or {})
        request = pb.DrainExecutorsRequest(selector=selector, timeout=timeout)
        return (await self._connection.call(self._stub.DrainExecutors, request)).executor_ids

    async def undrain_matching(self, *, group: str = "", labels: Mapping[str, str] | None = None) -> Sequence[str]:
        """Undrain all executors of a group that have these labels, and return their ids. One of the two is required."""
        request = pb.UndrainExecutorsRequest(selector=pb.ExecutorSelector(group=group, labels=labels or {}))
        return (await self._connection.call(self._stub.UndrainExecutors, request)).executor_ids

    async def delete(self, executor_id: str) -> None:
        """Remove an executor from the list; the tasks that it runs are lost."""
        await self._connection.call(self._stub.DeleteExecutor, pb.DeleteExecutorRequest(executor_id=executor_id))
