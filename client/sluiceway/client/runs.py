"""Runs, as a client sees them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta

from sluiceway.api.run.v1 import run_pb2, test_report_pb2
from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway.api.run.v1 import run_service_pb2_grpc as pb_grpc
from sluiceway.client.breaks import Breaks, OnBreak
from sluiceway.client.connection import Connection
from sluiceway.client.words import RunPhase, RunResult
from sluiceway_common.foundation.errors import Exhausted, OutOfRange, Unavailable

__all__ = ["Runs"]


class Runs:
    """The `RunService`. Every method raises the errors that the comments of the proto list, as `SluicewayError`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = pb_grpc.RunServiceStub(connection.channel)

    async def create(self, request: pb.CreateRunRequest) -> run_pb2.Run:
        """Create a run. A repeated call with the same `request_id` returns the run of the first."""
        return (await self._connection.call(self._stub.CreateRun, request)).run

    async def get(self, run_id: str) -> run_pb2.Run:
        """Return a run."""
        request = self._connection.request(pb.GetRunRequest, run_id=run_id)
        return (await self._connection.call(self._stub.GetRun, request)).run

    async def resolve(self, reference: str) -> run_pb2.Run:
        """Return the run of a short reference.

        Args:
            reference: a number, `GROUP#NUMBER`, an id or at least four characters of its beginning, or `@last`.
        """
        request = self._connection.request(pb.ResolveRunRequest, reference=reference)
        return (await self._connection.call(self._stub.ResolveRun, request)).run

    async def list(
        self,
        *,
        group: str = "",
        group_prefix: str = "",
        phase: RunPhase | int | str = RunPhase.UNSPECIFIED,
        result: RunResult | int | str = RunResult.UNSPECIFIED,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> Sequence[run_pb2.Run]:
        """List runs, newest first, from as many pages as needed.

        Args:
            group: only runs of exactly this group; `/user/me` stands for the caller's own path.
            group_prefix: only runs of this group and of all groups below it.
            phase: only runs in this phase, such as `RunPhase.QUEUED` or `"queued"`.
            result: only runs with this result, such as `RunResult.FAILED` or `"failed"`.
            since: only runs that were created at or after this time; UTC if it has no time zone.
            until: only runs that were created before this time; UTC if it has no time zone.
            limit: the largest number of runs.
        """
        request = self._connection.request(
            pb.ListRunsRequest,
            group=group,
            group_prefix=group_prefix,
            phase=RunPhase.parse(phase).name_in_proto,
            result=RunResult.parse(result).name_in_proto,
            created_since=since,
            created_until=until,
        )
        return await self._connection.list_all(self._stub.ListRuns, request, "runs", limit=limit)

    async def tasks(self, run_id: str) -> Sequence[run_pb2.Task]:
        """List the tasks of a run, by level and name."""
        request = self._connection.request(pb.ListTasksRequest, run_id=run_id)
        return await self._connection.list_all(self._stub.ListTasks, request, "tasks")

    async def task(self, run_id: str, task_id: str) -> run_pb2.Task:
        """Return a task."""
        request = self._connection.request(pb.GetTaskRequest, run_id=run_id, task_id=task_id)
        return (await self._connection.call(self._stub.GetTask, request)).task

    async def stop(self, run_id: str, *, force: bool = False) -> None:
        """Stop a running run. Returns once the request is stored; the run ends later."""
        request = self._connection.request(pb.StopRunRequest, run_id=run_id, force=force)
        await self._connection.call(self._stub.StopRun, request)

    async def cancel(self, run_id: str) -> None:
        """Cancel a queued run."""
        request = self._connection.request(pb.CancelRunRequest, run_id=run_id)
        await self._connection.call(self._stub.CancelRun, request)

    async def restart(
        self,
        run_id: str,
        *,
        from_failed: bool = False,
        tasks: Sequence[str] = (),
        request_id: str = "",
        hold_on_failure: timedelta | None = None,
        inputs: Mapping[str, str] | None = None,
    ) -> run_pb2.Run:
        """Run a run that is over again, as a new run, which is returned.

        Args:
            run_id: the run.
            from_failed: run only the tasks that did not succeed again, and all that descend from them.
            tasks: the ids of tasks to run again, with those that did not succeed and all that descend from them.
                Without both, all tasks run again.
            request_id: a repeated call with the same id creates no second run.
            hold_on_failure: how long the pod of a task is held when a step fails; None: as in the restarted run.
            inputs: other values for inputs, as text; only if all tasks run again. The others keep their values.
        """
        request = self._connection.request(
            pb.RestartRunRequest,
            run_id=run_id,
            from_start=not from_failed and not tasks,
            from_failed=from_failed,
            task_ids=tasks,
            request_id=request_id,
            hold_on_failure=hold_on_failure,
            inputs=inputs or {},
        )
        return (await self._connection.call(self._stub.RestartRun, request)).run

    async def approve(self, run_id: str, task_id: str, *, commit_sha: str = "") -> None:
        """Approve a task that waits for an approval."""
        request = self._connection.request(pb.ApproveTaskRequest, run_id=run_id, task_id=task_id, commit_sha=commit_sha)
        await self._connection.call(self._stub.ApproveTask, request)

    async def reject(self, run_id: str, task_id: str, *, comment: str = "") -> None:
        """Refuse the approval of a task that waits for it: the task is skipped. `comment`: why, in one line."""
        request = self._connection.request(pb.RejectTaskRequest, run_id=run_id, task_id=task_id, comment=comment)
        await self._connection.call(self._stub.RejectTask, request)

    async def retry(self, run_id: str, task_id: str) -> None:
        """Ask for another attempt of a task that failed or is lost, while its run continues."""
        request = self._connection.request(pb.RetryTaskRequest, run_id=run_id, task_id=task_id)
        await self._connection.call(self._stub.RetryTask, request)

    async def find_log_error(
        self, run_id: str, task_id: str, *, step: int = 0, setup: bool = False, attempt: int = 0
    ) -> pb.LogExcerpt:
        """Return the lines around the first error of a step's log, or if it has none its last lines.

        Args:
            run_id: the run's id.
            task_id: the task's id.
            step: the index of the step, from 0; ignored with `setup`.
            setup: search the log of the pod's setup.
            attempt: the number of the attempt, from 1; 0: the latest.
        """
        request = self._connection.request(
            pb.FindLogErrorRequest, run_id=run_id, task_id=task_id, step=step, setup=setup, attempt=attempt
        )
        return (await self._connection.call(self._stub.FindLogError, request)).excerpt

    async def delete_logs(self, run_id: str, task_id: str) -> None:
        """Delete the logs of all attempts of a finished task."""
        request = self._connection.request(pb.DeleteLogsRequest, run_id=run_id, task_id=task_id)
        await self._connection.call(self._stub.DeleteLogs, request)

    async def explain(self, run_id: str) -> pb.RunExplanation:
        """Explain why a run is queued, and why each of its waiting tasks waits."""
        request = self._connection.request(pb.ExplainRunRequest, run_id=run_id)
        response = await self._connection.call(self._stub.ExplainRun, request)
        return response.explanation

    async def history(self, run_id: str, *, at: datetime | None = None) -> pb.RunHistory:
        """Return what happened in a run, by time; with `at` until then, and how the run stood at that time."""
        request = self._connection.request(pb.GetRunHistoryRequest, run_id=run_id)
        if at is not None:
            request.at.FromDatetime(at)
        return (await self._connection.call(self._stub.GetRunHistory, request)).history

    async def explain_task(self, run_id: str, task_id: str) -> pb.TaskExplanation:
        """Explain why a task waits, or why it has its status."""
        request = self._connection.request(pb.ExplainTaskRequest, run_id=run_id, task_id=task_id)
        response = await self._connection.call(self._stub.ExplainTask, request)
        return response.explanation

    async def watch(
        self, run_id: str, *, after: str = "", on_break: OnBreak | None = None
    ) -> AsyncGenerator[pb.WatchRunResponse]:
        """Follow a run until it is finished: a snapshot, then its changes. Resumes by itself, without repetitions.

        If the position to resume at is no longer stored, it starts again with a snapshot.

        Args:
            run_id: the run's id.
            after: the position of the last message that was seen; empty: start with a snapshot.
            on_break: called when the stream breaks, before it resumes.
        """
        breaks = Breaks(self._connection.patience, on_break)
        while True:
            request = self._connection.request(pb.WatchRunRequest, run_id=run_id, after=after)
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
    ) -> AsyncGenerator[pb.WatchRunsResponse]:
        """Follow the events of all runs, from a position or from now on. Resumes by itself. It does not end.

        Args:
            group: only runs of exactly this group.
            group_prefix: only runs of this group and of all groups below it.
            after: the position of the last message that was seen; empty: start with the next event.
            on_break: called when the stream breaks, before it resumes.

        Raises:
            OutOfRange: the events after the position are no longer stored: some may have been missed.
        """
        breaks = Breaks(self._connection.patience, on_break)
        while True:
            request = self._connection.request(pb.WatchRunsRequest, group=group, group_prefix=group_prefix, after=after)
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
        first_line: int = 0,
        tail_lines: int = 0,
        since: datetime | None = None,
        max_lines: int = 0,
        on_break: OnBreak | None = None,
    ) -> AsyncGenerator[bytes]:
        """Read the log of a step from an offset or a line on, in chunks. Resumes by itself where it broke.

        Args:
            run_id: the run's id.
            task_id: the task's id.
            step: the index of the step, from 0; ignored with `setup`.
            setup: read the log of the pod's setup.
            attempt: the number of the attempt, from 1; 0: the latest.
            offset: the offset of the first byte.
            follow: wait for more until the step has ended.
            first_line: begin with this line, counted from 1. Only one of it, `tail_lines` and `since` may be set.
            tail_lines: begin so many lines before the present end.
            since: begin with the first line that was written then or later.
            max_lines: read at most so many lines; 0: all.
            on_break: called when the stream breaks, before it resumes.
        """
        request = self._connection.request(
            pb.ReadLogsRequest,
            run_id=run_id,
            task_id=task_id,
            step=step,
            setup=setup,
            attempt=attempt,
            offset=offset,
            follow=follow,
            first_line=first_line,
            tail_lines=tail_lines,
            max_lines=max_lines,
        )
        if since is not None:
            request.since.FromDatetime(since)
        async with aclosing(self.log_messages(request, on_break=on_break)) as messages:
            async for message in messages:
                if message.data:
                    yield message.data

    async def log_messages(
        self, request: pb.ReadLogsRequest, *, on_break: OnBreak | None = None
    ) -> AsyncGenerator[pb.ReadLogsResponse]:
        """Read a log as the messages of `ReadLogs`: with `timestamps`, each has the time of its bytes.

        Resumes by itself at the byte at which it broke.

        Args:
            request: what to read.
            on_break: called when the stream breaks, before it resumes.
        """
        breaks = Breaks(self._connection.patience, on_break)
        asked = pb.ReadLogsRequest()
        asked.CopyFrom(request)
        while True:
            try:
                async with aclosing(self._connection.stream(self._stub.ReadLogs, asked)) as messages:
                    async for message in messages:
                        breaks.came_back()
                        if message.data:
                            # From here on by the offset: the last lines are others by then.
                            asked.offset = message.next_offset
                            for field in ("first_line", "tail_lines", "since", "tail", "describe"):
                                asked.ClearField(field)
                            if asked.max_lines:
                                asked.max_lines -= message.data.count(b"\n")
                        yield message
            except Unavailable as error:
                if request.max_lines and not asked.max_lines:
                    return
                await breaks.wait(error)
            else:
                return

    async def log_index(
        self,
        run_id: str,
        task_id: str,
        *,
        step: int = 0,
        setup: bool = False,
        attempt: int = 0,
        with_times: bool = False,
    ) -> pb.LogIndex:
        """Return where the lines of a step's log are.

        Args:
            run_id: the run's id.
            task_id: the task's id.
            step: the index of the step, from 0; ignored with `setup`.
            setup: the log of the pod's setup.
            attempt: the number of the attempt, from 1; 0: the latest.
            with_times: return when its bytes were written, too.
        """
        request = self._connection.request(
            pb.GetLogIndexRequest,
            run_id=run_id,
            task_id=task_id,
            step=step,
            setup=setup,
            attempt=attempt,
            with_times=with_times,
        )
        return (await self._connection.call(self._stub.GetLogIndex, request)).index

    async def search_logs(
        self,
        run_id: str,
        pattern: str,
        *,
        task_id: str = "",
        regexp: bool = False,
        ignore_case: bool = False,
        context: int = 0,
        max_matches: int = 0,
    ) -> AsyncGenerator[pb.SearchLogsResponse]:
        """Search the logs of a run's tasks: yield each match, and then what was searched.

        Args:
            run_id: the run's id.
            pattern: a text, or with `regexp` a regular expression in the syntax of RE2.
            task_id: search the logs of this task only.
            regexp: whether the pattern is a regular expression.
            ignore_case: whether letters match in both cases.
            context: how many lines before and after each match to return, at most 20.
            max_matches: stop after so many, at most 10,000; 0: 1,000.
        """
        request = self._connection.request(
            pb.SearchLogsRequest,
            run_id=run_id,
            pattern=pattern,
            task_id=task_id,
            regexp=regexp,
            ignore_case=ignore_case,
            context=context,
            max_matches=max_matches,
        )
        async with aclosing(self._connection.stream(self._stub.SearchLogs, request)) as messages:
            async for message in messages:
                yield message

    async def tests(
        self, run_id: str, *, task_id: str = "", failed: bool = False, limit: int = 1000
    ) -> tuple[Sequence[test_report_pb2.TestCase], test_report_pb2.TestCounts]:
        """List the tests that the tasks of a run have reported, those that failed first, and count all of them.

        Args:
            run_id: the run's id.
            task_id: only tests of this task; empty: of all.
            failed: only tests that failed or ended with an error.
            limit: the largest number of tests.
        """
        found: list[test_report_pb2.TestCase] = []
        request = self._connection.request(pb.ListTestsRequest, run_id=run_id, task_id=task_id, failed=failed)
        while True:
            request.page_size = min(1000, max(1, limit - len(found)))
            response = await self._connection.call(self._stub.ListTests, request)
            found.extend(response.tests)
            request.page_token = response.next_page_token
            if not request.page_token or len(found) >= limit:
                return found, response.counts

    async def artifacts(self, run_id: str) -> Sequence[pb.Artifact]:
        """List the artifacts of a run, by task and name."""
        request = self._connection.request(pb.ListArtifactsRequest, run_id=run_id)
        return (await self._connection.call(self._stub.ListArtifacts, request)).artifacts

    async def artifact(
        self, run_id: str, artifact_id: str, *, offset: int = 0, on_break: OnBreak | None = None
    ) -> AsyncGenerator[bytes]:
        """Read an artifact, a ZIP file, from an offset on, in chunks. Resumes by itself at the byte at which it broke.

        Args:
            run_id: the run's id.
            artifact_id: the artifact's id.
            offset: the offset of the first byte.
            on_break: called when the stream breaks, before it resumes.
        """
        breaks = Breaks(self._connection.patience, on_break)
        while True:
            request = self._connection.request(
                pb.ReadArtifactRequest, run_id=run_id, artifact_id=artifact_id, offset=offset
            )
            try:
                async with aclosing(self._connection.stream(self._stub.ReadArtifact, request)) as messages:
                    async for message in messages:
                        breaks.came_back()
                        offset = message.next_offset
                        yield message.data
            except Unavailable as error:
                await breaks.wait(error)
            else:
                return
