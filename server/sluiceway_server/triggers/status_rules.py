"""Which commit status a run has. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.texts import shown
from sluiceway_server.forges.port import CommitState, CommitStatus
from sluiceway_server.runrecords.types import TERMINAL_PHASES

MAX_DESCRIPTION = 140
"""What GitHub takes, the least of all providers."""

_PREFIX = "sluiceway/"
_MAX_NAME = 40
_FAILED = frozenset({api.TASK_STATUS_FAILED, api.TASK_STATUS_LOST})
_OF_PHASE = {
    api.RUN_PHASE_QUEUED: (CommitState.PENDING, "queued"),
    api.RUN_PHASE_RUNNING: (CommitState.RUNNING, "running"),
    api.RUN_PHASE_CANCELLED: (CommitState.CANCELLED, "cancelled"),
    api.RUN_PHASE_SETUP_ERROR: (CommitState.ERROR, "setup error"),
}
_OF_RESULT = {
    api.RUN_RESULT_SUCCESS: (CommitState.SUCCESS, "success"),
    api.RUN_RESULT_FAILED: (CommitState.FAILURE, "failed"),
    api.RUN_RESULT_STOPPED: (CommitState.CANCELLED, "stopped"),
}


def context_of(run_name: str) -> str:
    """Return the name under which the provider shows the status of a run."""
    return f"{_PREFIX}{run_name}"


def is_last(run: api.Run) -> bool:
    """Return whether the state of a run will not change any more."""
    return run.phase in TERMINAL_PHASES


def state_of(run: api.Run) -> CommitState:
    """Return the state of a run as providers know it."""
    if run.phase == api.RUN_PHASE_FINISHED:
        return _OF_RESULT.get(run.result, (CommitState.ERROR, ""))[0]
    if run.phase == api.RUN_PHASE_RUNNING and run.HasField("approval_wait_since"):
        return CommitState.WAITING
    return _OF_PHASE.get(run.phase, (CommitState.PENDING, ""))[0]


def sentence_of(run: api.Run, tasks: Iterable[api.Task]) -> str:
    """Return what the state of a run is, and why, within the 140 characters that GitHub takes.

    Args:
        run: as it is now.
        tasks: of the run; only looked at if it has failed or waits for an approval.
    """
    match state_of(run):
        case CommitState.FAILURE:
            return f"failed: {_failure(run, tasks)}"
        case CommitState.WAITING:
            names = [task.name for task in tasks if task.approval.HasField("waiting_since")]
            return f"waits for approval of {_name(names[0])}" if names else "waits for approval"
        case CommitState.ERROR if run.setup_errors:
            return f"setup error: {_one_line(run.setup_errors[0])}"
    if run.phase == api.RUN_PHASE_FINISHED:
        return _OF_RESULT.get(run.result, (CommitState.ERROR, "ended"))[1]
    return _OF_PHASE.get(run.phase, (CommitState.PENDING, "waiting"))[1]


def needs_tasks(run: api.Run) -> bool:
    """Return whether `sentence_of` looks at the tasks of a run."""
    return state_of(run) in {CommitState.FAILURE, CommitState.WAITING}


def status_of(
    record: pb.CommitStatusRecord, run: api.Run, tasks: Iterable[api.Task], *, public_url: str
) -> CommitStatus:
    """Return the status of a run.

    Args:
        record: of the status.
        run: as it is now.
        tasks: as `sentence_of`.
        public_url: of the installation; empty: the status has no link.
    """
    return CommitStatus(
        context=record.context,
        state=state_of(run),
        target_url=f"{public_url}/runs/{run.id}" if public_url else "",
        description=shown(f"run {run.number} {sentence_of(run, tasks)}", most=MAX_DESCRIPTION),
        ref=record.ref,
    )


def _failure(run: api.Run, tasks: Iterable[api.Task]) -> str:
    """Return why a run failed: by the first task that did, or else by its own reason."""
    failed = [task for task in tasks if task.status in _FAILED and not task.ignore_failure]
    if run.reason.message or not failed:
        return _one_line(run.reason.message) or "it has no result"
    task = min(failed, key=lambda each: (each.end_time.ToNanoseconds(), each.name))
    return f"task {_name(task.name)}: {_task_failure(task)}"


def _task_failure(task: api.Task) -> str:
    steps = [step for step in task.steps if step.phase == api.STEP_PHASE_FAILED]
    if task.timed_out or not steps:
        return _one_line(task.reason.message) or ("it timed out" if task.timed_out else "it failed")
    step = steps[-1]
    why = (
        f"exit code {step.exit_status}" if step.HasField("exit_status") else _one_line(step.reason.message) or "failed"
    )
    return f"step `{_name(step.name)}` {why}"


def _name(text: str) -> str:
    return shown(_one_line(text), most=_MAX_NAME)


def _one_line(text: str) -> str:
    return " ".join(text.split())
