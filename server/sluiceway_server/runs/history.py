"""The story of a run, from its records, as the API shows it. Pure, over one view; see `runmodel.history`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sluiceway.api.run.v1 import run_service_pb2 as service_api
from sluiceway_common.runmodel.history import Entry, Moment, moment, story
from sluiceway_common.runmodel.model import Assignment, Task, TaskId
from sluiceway_common.runmodel.state import RunState
from sluiceway_server.datamanager.model import View
from sluiceway_server.runrecords import codec, enums
from sluiceway_server.runrecords.types import ASSIGNMENT
from sluiceway_server.runs.attempts import earlier_assignments
from sluiceway_server.runs.names import Names
from sluiceway_server.runs.transaction import load_run


def history_of(view: View, run_id: str, at: datetime | None) -> service_api.RunHistory | None:
    """Return what happened in a run, and how it stood at a time if one is given; None when there is no such run."""
    state = load_run(view, run_id)
    if state is None:
        return None
    attempts = {task.id: _attempts(view, task) for task in state.tasks.values() if not task.kept_from}
    entries = story(state.run, state.tasks, attempts)
    names = Names(view)
    shown = service_api.RunHistory(
        entries=[_entry(entry, state, names) for entry in entries if at is None or entry.time <= at]
    )
    if at is not None:
        shown.moment.CopyFrom(_moment(moment(state.run, state.tasks, entries, at), at, state, names))
    return shown


def _attempts(view: View, task: Task) -> Sequence[Assignment]:
    if not task.was_attempted:
        return ()
    found = [codec.decode_assignment(record) for record in earlier_assignments(view, task.id, before=task.attempt)]
    last = view.get(ASSIGNMENT, task.assignment) if task.assignment else None
    return [*found, codec.decode_assignment(last)] if last is not None else found


def _entry(entry: Entry, state: RunState, names: Names) -> service_api.RunHistoryEntry:
    message = service_api.RunHistoryEntry(
        task_id=entry.task_id,
        task_name=_name(state, entry.task_id),
        attempt=entry.attempt,
        executor_id=entry.executor,
        message=names.sentence(entry.sentence),
    )
    codec.put_time(message.time, entry.time)
    if entry.status is not None:
        message.status = enums.STATUSES[entry.status]
    if entry.phase is not None:
        message.phase = enums.PHASES[entry.phase]
    return message


def _moment(stood: Moment, at: datetime, state: RunState, names: Names) -> service_api.RunHistoryMoment:
    message = service_api.RunHistoryMoment()
    codec.put_time(message.time, at)
    if stood.phase is not None:
        message.phase = enums.PHASES[stood.phase]
    for key in state.in_order(stood.tasks):
        status, sentence = stood.tasks[key]
        message.tasks.add(
            task_id=key, task_name=_name(state, key), status=enums.STATUSES[status], message=names.sentence(sentence)
        )
    return message


def _name(state: RunState, task_id: TaskId) -> str:
    return state.tasks[task_id].name if task_id else ""
