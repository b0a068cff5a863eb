"""Deletes the logs of a task that somebody does not want to keep (`RunService.DeleteLogs`).

The task is marked first, and then the objects go: a log without the mark that lacks objects was lost, one with it was
deleted. Deleting again removes what a failure left.
"""

from __future__ import annotations

from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import FailedPrecondition, NotFound
from sluiceway_server.datamanager.model import Action, Decision, Position, Put, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.datamanager.queries import walk_records
from sluiceway_server.logs.store import LogStore
from sluiceway_server.runrecords import codec
from sluiceway_server.runrecords.types import ASSIGNMENT, OPEN_STATUSES, TASK, run_group, task_id


class LogDeletion:
    """Deletes the logs of a task on request."""

    def __init__(self, database: Database, store: LogStore, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._clock = clock

    async def delete(self, run_id: str, task: str, *, by: str) -> Position:
        """Delete the logs of all attempts of a finished task. May be repeated.

        Raises:
            NotFound: there is no such run or task.
            FailedPrecondition: the task is not finished, or its executor has not reported the end of it.
            Unavailable: the database or the object storage is away; some objects may be left.
        """

        def mark(view: View) -> Decision[str]:
            record = view.get(TASK, task_id(run_id, task))
            if record is None:
                raise NotFound(f"run {run_id!r} has no task {task!r}", resource_type="task", resource_name=task)
            found = record.task
            if found.status in OPEN_STATUSES:
                raise FailedPrecondition(
                    f'task "{found.name}" is not finished; its logs can be deleted when it is',
                    reason="TASK_NOT_FINISHED",
                    subject=task,
                )
            if any(live.task_id == task for _, live in walk_records(view, ASSIGNMENT, {"run_id": run_id, "live": 1})):
                raise FailedPrecondition(
                    f'the executor of task "{found.name}" has not reported the end of it yet; try again',
                    reason="TASK_NOT_FINISHED",
                    subject=task,
                )
            actions: list[Action] = []
            if not found.HasField("logs_delete_time"):
                marked = pb.TaskRecord()
                marked.CopyFrom(record)
                codec.put_time(marked.task.logs_delete_time, self._clock.now())
                marked.task.logs_deleted_by = by
                actions.append(Put(TASK, task_id(run_id, task), marked))
            return Decision(record.kept_from or run_id, actions, [run_group(run_id)] if actions else [])

        committed = await self._database.transact(mark)
        await self._store.delete_all(committed.value, task)
        return committed.position
