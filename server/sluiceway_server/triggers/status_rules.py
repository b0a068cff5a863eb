"""Which commit status a run has. Pure."""

from __future__ import annotations

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_server.forges.port import CommitState, CommitStatus
from sluiceway_server.runrecords.types import TERMINAL_PHASES

__all__ = ["context_of", "is_last", "state_of", "status_of"]

_PREFIX = "sluiceway/"
_OF_PHASE = {
    api.RUN_PHASE_QUEUED: (CommitState.PENDING, "queued"),
    api.RUN_PHASE_RUNNING: (CommitState.RUNNING, "running"),
    api.RUN_PHASE_CANCELLED: (CommitState.CANCELLED, "cancelled"),
    api.RUN_PHASE_SETUP_ERROR: (CommitState.ERROR, "the configuration cannot be used"),
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


def state_of(run: api.Run) -> tuple[CommitState, str]:
    """Return the state of a run as providers know it, and a sentence."""
    if run.phase == api.RUN_PHASE_FINISHED:
        return _OF_RESULT.get(run.result, (CommitState.ERROR, "ended"))
    return _OF_PHASE.get(run.phase, (CommitState.PENDING, "waiting"))


def status_of(record: pb.CommitStatusRecord, run: api.Run, *, public_url: str) -> CommitStatus:
    """Return the status of a run.

    Args:
        record: of the status.
        run: as it is now.
        public_url: of the installation; empty: the status has no link.
    """
    state, sentence = state_of(run)
    return CommitStatus(
        context=record.context,
        state=state,
        target_url=f"{public_url}/runs/{run.id}" if public_url else "",
        description=f"run {run.number}: {sentence}",
        ref=record.ref,
    )
