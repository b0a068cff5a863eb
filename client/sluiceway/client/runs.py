"""Runs, as a client sees them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING

from sluiceway.api.run.v1 import run_pb2, run_service_pb2, run_service_pb2_grpc
from sluiceway.client.breaks import Breaks, OnBreak
from sluiceway.foundation.errors import Exhausted, OutOfRange, Unavailable

if TYPE_CHECKING:
    from sluiceway.client.connection import Connection

__all__ = ["Runs"]


class Runs:
    """The `RunService`. Every method raises what the proto's comments say, as errors of our family."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = run_service_pb2_grpc.RunServiceStub(connection.channel)

    async def create(self, request: run_service_pb2.CreateRunRequest) -> run_pb2.Run:
        """Make a run. With a `request_id` it may be repeated."""
        return (await self._connection.call(self._stub.CreateRun, request)).run

    async def get(self, run_id: str) -> run_pb2.Run:
        """Show a run."""
        request = run_service_pb2.GetRunRequest(run_id=run_id)
        return (await self._connection.call(self._stub.GetRun, request)).run

    async def resolve(self, reference: str) -> run_pb2.Run:
        """Return the run that a reference means.

        Args:
            reference: a number, `GROUP#NUMBER`, an id or at least four characters of its beginning, or `@last`.
        """
        request = run_service_pb2.ResolveRunRequest(reference=reference)
        return (await self._connection.call(self._stub.ResolveRun, request)).run

    async def list(
        self,
        *,
        group: str = "",
        group_prefix: str = "",
        phase: run_pb2.RunPhase | str = run_pb2.RUN_PHASE_UNSPECIFIED,
        result: run_pb2.RunResult | str = run_pb2.RUN_RESULT_UNSPECIFIED,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> Sequence[run_pb2.Run]:
        """List at most `limit` runs, the newest first, over as many pages as that takes.

        Args:
            group: only runs of exactly this group; `/user/me` is the caller's.
            group_prefix: only runs of this group and of all groups below it.
            phase: only runs in this phase: a value, or its full name.
            result: only runs with this result: a value, or its full name.
            since: only runs that were created at this time or later; it has a time zone.
            until: only runs that were created before this time; it has a time zone.
            limit: of the number of runs.
        """
        runs: list[run_pb2.Run] = []
        token = ""
        while len(runs) < limit:
            request = run_service_pb2.ListRunsRequest(
                group=group,
                group_prefix=group_prefix,
                phase=phase,
                result=result,
                created_since=since,
                created_until=until,
                page_size=min(limit - len(runs), 1000),
                page_token=token,
            )
            answer = await self._connection.call(self._stub.ListRuns, request)
            runs.extend(answer.runs)
            token = answer.next_page_token
            if not token:
                break
        return runs

    async def tasks(self, run_id: str) -> Sequence[run_pb2.Task]:
        """List the tasks of a run, by level and name."""
        tasks: list[run_pb2.Task] = []
        token = ""
        while True:
            request = run_service_pb2.ListTasksRequest(run_id=run_id, page_token=token)
            answer = await self._connection.call(self._stub.ListTasks, request)
            tasks.extend(answer.tasks)
            token = answer.next_page_token
            if not token:
                return tasks

    async def task(self, run_id: str, task_id: str) -> run_pb2.Task:
        """Show a task."""
        request = run_service_pb2.GetTaskRequest(run_id=run_id, task_id=task_id)
        return (await self._connection.call(self._stub.GetTask, request)).task

    async def stop(self, run_id: str, *, force: bool = False) -> None:
        """Ask for the end of a running run."""
        await self._connection.call(self._stub.StopRun, run_service_pb2.StopRunRequest(run_id=run_id, force=force))

    async def cancel(self, run_id: str) -> None:
        """Cancel a queued run."""
        await self._connection.call(self._stub.CancelRun, run_service_pb2.CancelRunRequest(run_id=run_id))

    async def approve(self, run_id: str, task_id: str, *, commit_sha: str = "") -> None:
        """Approve a task that waits for it."""
        request = run_service_pb2.ApproveTaskRequest(run_id=run_id, task_id=task_id, commit_sha=commit_sha)
        await self._connection.call(self._stub.ApproveTask, request)

    async def explain(self, run_id: str) -> run_service_pb2.RunExplanation:
        """Say why a run and its tasks wait."""
        request = run_service_pb2.ExplainRunRequest(run_id=run_id)
        answer = await self._connection.call(self._stub.ExplainRun, request)
        return answer.explanation

    async def explain_task(self, run_id: str, task_id: str) -> run_service_pb2.TaskExplanation:
        """Say why a task waits, or is as it is."""
        request = run_service_pb2.ExplainTaskRequest(run_id=run_id, task_id=task_id)
        answer = await self._connection.call(self._stub.ExplainTask, request)
        return answer.explanation

    async def watch(
        self, run_id: str, *, after: str = "", on_break: OnBreak | None = None
    ) -> AsyncGenerator[run_service_pb2.WatchRunResponse]:
        """Follow a run to its end: a snapshot, then what changes. Resumes by itself; none comes twice.

        When the position to resume from is no longer kept, it begins anew with a snapshot.

        Args:
            run_id: the run.
            after: the position of the last message that is known; empty: begin with a snapshot.
            on_break: told of each break that is mended.
        """
        breaks = Breaks(self._connection.patience, on_break)
        while True:
            request = run_service_pb2.WatchRunRequest(run_id=run_id, after=after)
            try:
                async with aclosing(self._connection.stream(self._stub.WatchRun, request)) as messages:
                    async for message in messages:
                        breaks.came_back()
                        after = message.position or after
                        self._connection.see(after)
                        yield message
            except (Unavailable, Exhausted) as error:
                await breaks.wait(error)
            except OutOfRange:
                if not after:
                    raise
                after = ""
            else:
                return

    async def watch_all(
        self, *, group: str = "", group_prefix: str = "", after: str = "", on_break: OnBreak | None = None
    ) -> AsyncGenerator[run_service_pb2.WatchRunsResponse]:
        """Follow the events of all runs. Never ends by itself; resumes by itself.

        Args:
            group: only runs of exactly this group.
            group_prefix: only runs of this group and of all groups below it.
            after: the position of the last message that is known; empty: begin now, with a message without events.
            on_break: is called with each error that the stream resumes after.

        Raises:
            OutOfRange: the position to resume from is no longer kept: events were missed.
        """
        breaks = Breaks(self._connection.patience, on_break)
        while True:
            request = run_service_pb2.WatchRunsRequest(group=group, group_prefix=group_prefix, after=after)
            try:
                async with aclosing(self._connection.stream(self._stub.WatchRuns, request)) as messages:
                    async for message in messages:
                        breaks.came_back()
                        after = message.position or after
                        self._connection.see(after)
                        yield message
            except (Unavailable, Exhausted) as error:
                await breaks.wait(error)
            else:
                return

    async def logs(
        self,
        run_id: str,
        task_id: str,
        *,
        step: int = 0,
        setup: bool = False,
        attempt: int = 0,
        offset: int = 0,
        follow: bool = False,
        on_break: OnBreak | None = None,
    ) -> AsyncGenerator[bytes]:
        """Read the log of a step from an offset, in chunks. Resumes by itself at the byte where it broke.

        Args:
            run_id: the run.
            task_id: the task.
            step: from 0; not used with `setup`.
            setup: the log of the pod's preparation.
            attempt: from 1; 0: the latest.
            offset: the first byte wanted.
            follow: wait for more until the step is over.
            on_break: told of each break that is mended.
        """
        breaks = Breaks(self._connection.patience, on_break)
        while True:
            request = run_service_pb2.ReadLogsRequest(
                run_id=run_id,
                task_id=task_id,
                step=step,
                setup=setup,
                attempt=attempt,
                offset=offset,
                follow=follow,
            )
            try:
                async with aclosing(self._connection.stream(self._stub.ReadLogs, request)) as messages:
                    async for message in messages:
                        breaks.came_back()
                        offset = message.next_offset
                        if message.data:
                            yield message.data
            except Unavailable as error:
                await breaks.wait(error)
            else:
                return
