"""Schedules: the runs of a branch or tag at times of a calendar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from sluiceway.api.project.v1 import schedule_service_pb2 as pb
from sluiceway.api.project.v1 import schedule_service_pb2_grpc as pb_grpc
from sluiceway.client.connection import Connection

__all__ = ["Schedules"]


class Schedules:
    """The `ScheduleService`. Every method raises the errors that the comments of the proto list."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = pb_grpc.ScheduleServiceStub(connection.channel)

    async def create(
        self,
        project: str,
        cron: str,
        *,
        time_zone: str = "",
        ref: str = "",
        run_name: str = "",
        inputs: Mapping[str, str] | None = None,
    ) -> pb.Schedule:
        """Create a schedule.

        Args:
            project: its id or path.
            cron: five fields of cron, such as `30 2 * * mon-fri`.
            time_zone: such as `Europe/Berlin`; empty: UTC.
            ref: a branch, or the full name of a branch or tag; empty: the default branch.
            run_name: only this run, whether its `when` matches or not.
            inputs: values for inputs that the runs declare, as text.
        """
        schedule = self._connection.request(
            pb.Schedule, cron=cron, time_zone=time_zone, ref=ref, run_name=run_name, inputs=inputs or {}
        )
        request = self._connection.request(pb.CreateScheduleRequest, project_id=project, schedule=schedule)
        return (await self._connection.call(self._stub.CreateSchedule, request)).schedule

    async def get(self, project: str, schedule: str) -> pb.Schedule:
        """Return a schedule."""
        request = self._connection.request(pb.GetScheduleRequest, project_id=project, schedule_id=schedule)
        return (await self._connection.call(self._stub.GetSchedule, request)).schedule

    async def list(self, project: str) -> Sequence[pb.Schedule]:
        """List the schedules of a project, the oldest first."""
        request = self._connection.request(pb.ListSchedulesRequest, project_id=project)
        return (await self._connection.call(self._stub.ListSchedules, request)).schedules

    async def update(
        self,
        project: str,
        schedule: str,
        *,
        cron: str | None = None,
        time_zone: str | None = None,
        ref: str | None = None,
        run_name: str | None = None,
        paused: bool | None = None,
        inputs: Mapping[str, str] | None = None,
    ) -> pb.Schedule:
        """Change what is not None. `inputs` replaces all values."""
        wanted = {
            "cron": cron,
            "time_zone": time_zone,
            "ref": ref,
            "run_name": run_name,
            "paused": paused,
            "inputs": inputs,
        }
        changes = {name: value for name, value in wanted.items() if value is not None}
        changed = self._connection.request(pb.Schedule, id=schedule, **changes)  # type: ignore[arg-type]  # by name
        request = self._connection.request(
            pb.UpdateScheduleRequest, project_id=project, schedule=changed, update_mask=FieldMask(paths=list(changes))
        )
        return (await self._connection.call(self._stub.UpdateSchedule, request)).schedule

    async def delete(self, project: str, schedule: str) -> None:
        """Delete a schedule."""
        request = self._connection.request(pb.DeleteScheduleRequest, project_id=project, schedule_id=schedule)
        await self._connection.call(self._stub.DeleteSchedule, request)
