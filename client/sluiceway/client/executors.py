"""Executors and their groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from google.protobuf.field_mask_pb2 import FieldMask

from sluiceway.api.executor.v1 import executor_admin_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_admin_service_pb2_grpc as pb_grpc
from sluiceway.client.connection import Connection

__all__ = ["Executors"]


class Executors:
    """The `ExecutorAdminService`. Every method raises the errors that the comments of the proto list."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = pb_grpc.ExecutorAdminServiceStub(connection.channel)

    async def list(self, *, group: str = "") -> Sequence[pb.Executor]:
        """List all executors, or those of a group, by group and id."""
        request = self._connection.request(pb.ListExecutorsRequest, group=group)
        return await self._connection.list_all(self._stub.ListExecutors, request, "executors")

    async def get(self, executor_id: str) -> pb.Executor:
        """Return an executor and its siblings."""
        request = self._connection.request(pb.GetExecutorRequest, executor_id=executor_id)
        response = await self._connection.call(self._stub.GetExecutor, request)
        return response.executor

    async def groups(self) -> Sequence[pb.ExecutorGroup]:
        """List all groups, by name."""
        request = self._connection.request(pb.ListExecutorGroupsRequest)
        return await self._connection.list_all(self._stub.ListExecutorGroups, request, "executor_groups")

    async def group(self, name: str) -> pb.ExecutorGroup:
        """Return a group."""
        request = self._connection.request(pb.GetExecutorGroupRequest, name=name)
        response = await self._connection.call(self._stub.GetExecutorGroup, request)
        return response.executor_group

    async def create_group(
        self, name: str, *, serves: Sequence[str] = (), serves_all: bool = False, takes_forks: bool = False
    ) -> pb.ExecutorGroup:
        """Create a group.

        Args:
            name: of the group, and of its tokens.
            serves: paths or ids of users, organizations, project groups and projects. Empty, and not `serves_all`: the
                caller, and the organizations that the caller owns.
            serves_all: it serves all runs.
            takes_forks: it takes runs of pull requests from forks.
        """
        group = self._connection.request(
            pb.ExecutorGroup, name=name, serves=serves, serves_all=serves_all, takes_forks=takes_forks
        )
        request = self._connection.request(pb.CreateExecutorGroupRequest, executor_group=group)
        return (await self._connection.call(self._stub.CreateExecutorGroup, request)).executor_group

    async def update_group(
        self,
        name: str,
        *,
        serves: Sequence[str] | None = None,
        serves_all: bool | None = None,
        takes_forks: bool | None = None,
    ) -> pb.ExecutorGroup:
        """Change a group; None leaves a setting as it is."""
        wanted = {"serves": serves, "serves_all": serves_all, "takes_forks": takes_forks}
        given = [field for field, value in wanted.items() if value is not None]
        group = self._connection.request(
            pb.ExecutorGroup, name=name, serves=serves, serves_all=bool(serves_all), takes_forks=bool(takes_forks)
        )
        request = self._connection.request(
            pb.UpdateExecutorGroupRequest, executor_group=group, update_mask=FieldMask(paths=sorted(given))
        )
        return (await self._connection.call(self._stub.UpdateExecutorGroup, request)).executor_group

    async def delete_group(self, name: str, *, force: bool = False) -> None:
        """Delete a group, its executors and its tokens. `force`: tasks that they run are lost."""
        request = self._connection.request(pb.DeleteExecutorGroupRequest, name=name, force=force)
        await self._connection.call(self._stub.DeleteExecutorGroup, request)

    async def drain(self, executor_id: str, *, timeout: timedelta | None = None) -> None:
        """Drain an executor: it gets no more tasks, until `undrain`.

        Args:
            executor_id: the executor's id.
            timeout: how long the tasks that it runs may continue; then they are lost. None: no limit.
        """
        request = self._connection.request(pb.DrainExecutorRequest, executor_id=executor_id, timeout=timeout)
        await self._connection.call(self._stub.DrainExecutor, request)

    async def undrain(self, executor_id: str) -> None:
        """Undrain an executor: it gets tasks again."""
        request = self._connection.request(pb.UndrainExecutorRequest, executor_id=executor_id)
        await self._connection.call(self._stub.UndrainExecutor, request)

    async def drain_matching(
        self, *, group: str = "", labels: Mapping[str, str] | None = None, timeout: timedelta | None = None
    ) -> Sequence[str]:
        """Drain all executors of a group that have these labels, and return their ids. One of the two is required."""
        selector = self._connection.request(pb.ExecutorSelector, group=group, labels=labels)
        request = self._connection.request(pb.DrainExecutorsRequest, selector=selector, timeout=timeout)
        response = await self._connection.call(self._stub.DrainExecutors, request)
        return response.executor_ids

    async def undrain_matching(self, *, group: str = "", labels: Mapping[str, str] | None = None) -> Sequence[str]:
        """Undrain all executors of a group that have these labels, and return their ids. One of the two is required."""
        selector = self._connection.request(pb.ExecutorSelector, group=group, labels=labels)
        response = await self._connection.call(
            self._stub.UndrainExecutors, pb.UndrainExecutorsRequest(selector=selector)
        )
        return response.executor_ids

    async def delete(self, executor_id: str) -> None:
        """Delete an executor. The tasks that it runs are lost."""
        request = self._connection.request(pb.DeleteExecutorRequest, executor_id=executor_id)
        await self._connection.call(self._stub.DeleteExecutor, request)
