"""Deliveries of webhooks: which runs came of an event, and why others did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sluiceway.api.project.v1 import delivery_service_pb2 as pb
from sluiceway.api.project.v1 import delivery_service_pb2_grpc as pb_grpc
from sluiceway.client.connection import Connection

__all__ = ["Deliveries"]


class Deliveries:
    """The `DeliveryService`, for people. Every method raises the errors that the comments of the proto list."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = pb_grpc.DeliveryServiceStub(connection.channel)

    async def list(self, project: str, *, ref: str = "", limit: int = 100) -> Sequence[pb.Delivery]:
        """List deliveries of a project (its id or path), the newest first; of one ref, if its full name is given."""
        request = self._connection.request(pb.ListDeliveriesRequest, project_id=project, ref=ref)
        return await self._connection.list_all(self._stub.ListDeliveries, request, "deliveries", limit=limit)

    async def get(self, project: str, delivery: str) -> pb.Delivery:
        """Return a delivery."""
        request = self._connection.request(pb.GetDeliveryRequest, project_id=project, delivery_id=delivery)
        return (await self._connection.call(self._stub.GetDelivery, request)).delivery

    async def run(
        self,
        project: str,
        *,
        ref: str = "",
        commit_sha: str = "",
        pull_request: int | None = None,
        run_name: str = "",
        variables: Mapping[str, str] | None = None,
        inputs: Mapping[str, str] | None = None,
        request_id: str = "",
    ) -> pb.Delivery:
        """Create the runs of a branch, a tag or a pull request by hand.

        Args:
            project: its id or path.
            ref: a branch, or the full name of a branch or tag; empty: the default branch.
            commit_sha: a commit other than the newest one of the ref.
            pull_request: the number of a pull or merge request, in place of `ref` and `commit_sha`.
            run_name: only this run, whether its `when` matches or not.
            variables: environment variables of all tasks. Whoever can see the runs can see them.
            inputs: values for inputs that the runs declare, as text. Whoever can see the runs can see them.
            request_id: a repeated call with the same id has no further effect.
        """
        request = self._connection.request(
            pb.RunProjectRequest,
            project_id=project,
            ref=ref,
            commit_sha=commit_sha,
            pull_request_id="" if pull_request is None else str(pull_request),
            run_name=run_name,
            variables=variables or {},
            inputs=inputs or {},
            request_id=request_id,
        )
        return (await self._connection.call(self._stub.RunProject, request)).delivery

    async def configured_runs(
        self, project: str, *, ref: str = "", commit_sha: str = "", pull_request: int | None = None
    ) -> pb.ListConfiguredRunsResponse:
        """Read the configuration of a branch, a tag or a pull request: its runs, and the inputs that they declare.

        Args:
            project: its id or path.
            ref: as of `run`.
            commit_sha: as of `run`.
            pull_request: as of `run`.
        """
        request = self._connection.request(
            pb.ListConfiguredRunsRequest,
            project_id=project,
            ref=ref,
            commit_sha=commit_sha,
            pull_request_id="" if pull_request is None else str(pull_request),
        )
        return await self._connection.call(self._stub.ListConfiguredRuns, request)

    async def redeliver(self, project: str, delivery: str) -> pb.Delivery:
        """Make the server work on a delivery once more."""
        request = self._connection.request(pb.RedeliverDeliveryRequest, project_id=project, delivery_id=delivery)
        return (await self._connection.call(self._stub.RedeliverDelivery, request)).delivery
