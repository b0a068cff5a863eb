"""A table for each enum of `runmodel` and of the messages, and its inverse. A test checks that they are complete."""

from __future__ import annotations

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway_common.runmodel import model
from sluiceway_common.runmodel.state import EventKind

PHASES = {
    model.RunPhase.SETUP_ERROR: api.RUN_PHASE_SETUP_ERROR,
    model.RunPhase.QUEUED: api.RUN_PHASE_QUEUED,
    model.RunPhase.CANCELLED: api.RUN_PHASE_CANCELLED,
    model.RunPhase.RUNNING: api.RUN_PHASE_RUNNING,
    model.RunPhase.FINISHED: api.RUN_PHASE_FINISHED,
}
RESULTS = {
    model.RunResult.UNSET: api.RUN_RESULT_UNSPECIFIED,
    model.RunResult.SUCCESS: api.RUN_RESULT_SUCCESS,
    model.RunResult.FAILED: api.RUN_RESULT_FAILED,
    model.RunResult.STOPPED: api.RUN_RESULT_STOPPED,
}
STATUSES = {
    model.TaskStatus.NOT_STARTED: api.TASK_STATUS_NOT_STARTED,
    model.TaskStatus.SKIPPED: api.TASK_STATUS_SKIPPED,
    model.TaskStatus.CANCELLED: api.TASK_STATUS_CANCELLED,
    model.TaskStatus.RUNNING: api.TASK_STATUS_RUNNING,
    model.TaskStatus.STOPPED: api.TASK_STATUS_STOPPED,
    model.TaskStatus.SUCCESS: api.TASK_STATUS_SUCCESS,
    model.TaskStatus.FAILED: api.TASK_STATUS_FAILED,
    model.TaskStatus.LOST: api.TASK_STATUS_LOST,
}
ASSIGNMENT_PHASES = {
    model.AssignmentPhase.ASSIGNED: executor_api.ASSIGNMENT_PHASE_ASSIGNED,
    model.AssignmentPhase.ACCEPTED: executor_api.ASSIGNMENT_PHASE_ACCEPTED,
    model.AssignmentPhase.RUNNING: executor_api.ASSIGNMENT_PHASE_RUNNING,
    model.AssignmentPhase.SUCCESS: executor_api.ASSIGNMENT_PHASE_SUCCESS,
    model.AssignmentPhase.FAILED: executor_api.ASSIGNMENT_PHASE_FAILED,
    model.AssignmentPhase.STOPPED: executor_api.ASSIGNMENT_PHASE_STOPPED,
    model.AssignmentPhase.CANCELLED: executor_api.ASSIGNMENT_PHASE_CANCELLED,
    model.AssignmentPhase.LOST: executor_api.ASSIGNMENT_PHASE_LOST,
}
ARCHIVE_KINDS = {
    model.ArchiveKind.WORKSPACE: executor_api.ARCHIVE_KIND_WORKSPACE,
    model.ArchiveKind.ARTIFACT: executor_api.ARCHIVE_KIND_ARTIFACT,
    model.ArchiveKind.CACHE: executor_api.ARCHIVE_KIND_CACHE,
    model.ArchiveKind.REPORT: executor_api.ARCHIVE_KIND_REPORT,
}
CONDITIONS = {
    model.Condition.ON_SUCCESS: definition_api.DEPEND_CONDITION_ON_SUCCESS,
    model.Condition.ON_FAILURE: definition_api.DEPEND_CONDITION_ON_FAILURE,
    model.Condition.ON_SKIPPED: definition_api.DEPEND_CONDITION_ON_SKIPPED,
    model.Condition.ON_STOPPED: definition_api.DEPEND_CONDITION_ON_STOPPED,
    model.Condition.ALWAYS: definition_api.DEPEND_CONDITION_ALWAYS,
}
RETRY_CAUSES = {
    model.RetryCause.FAILED: definition_api.RETRY_CAUSE_FAILED,
    model.RetryCause.LOST: definition_api.RETRY_CAUSE_LOST,
    model.RetryCause.TIMEOUT: definition_api.RETRY_CAUSE_TIMEOUT,
    model.RetryCause.SETUP: definition_api.RETRY_CAUSE_SETUP,
}
EVENT_KINDS = {
    EventKind.PHASE: api.RUN_EVENT_KIND_PHASE,
    EventKind.RESULT: api.RUN_EVENT_KIND_RESULT,
    EventKind.TASK_STATUS: api.RUN_EVENT_KIND_TASK_STATUS,
    EventKind.APPROVAL: api.RUN_EVENT_KIND_APPROVAL,
    EventKind.EXECUTOR: api.RUN_EVENT_KIND_EXECUTOR,
}
APPROVAL_WORDS = {
    model.ApprovalState.NOT_NEEDED: "",
    model.ApprovalState.NOT_ASKED: "",
    model.ApprovalState.WAITING: "waiting",
    model.ApprovalState.GIVEN: "approved",
    model.ApprovalState.EXPIRED: "expired",
    model.ApprovalState.REJECTED: "rejected",
}

FINAL_PHASES = frozenset(value for phase, value in ASSIGNMENT_PHASES.items() if phase.is_final)
BAD_PHASES = FINAL_PHASES - {executor_api.ASSIGNMENT_PHASE_SUCCESS}

PHASE_OF = {value: key for key, value in PHASES.items()}
RESULT_OF = {value: key for key, value in RESULTS.items()}
STATUS_OF = {value: key for key, value in STATUSES.items()}
ASSIGNMENT_PHASE_OF = {value: key for key, value in ASSIGNMENT_PHASES.items()}
CONDITION_OF = {value: key for key, value in CONDITIONS.items()}
ARCHIVE_KIND_OF = {value: key for key, value in ARCHIVE_KINDS.items()}
RETRY_CAUSE_OF = {value: key for key, value in RETRY_CAUSES.items()}
