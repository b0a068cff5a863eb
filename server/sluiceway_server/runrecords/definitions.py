"""The codec of API messages: task definitions and the messages of executors -> `runmodel` values, events -> messages.

An executor of another version may send an enum value that this one does not know; the message then decodes to None.
Pure.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway_common.runconfig.capabilities import drivers_for
from sluiceway_common.runmodel import limits, model
from sluiceway_common.runmodel.definitions import DependsOn, TaskDefinition
from sluiceway_common.runmodel.holds import ReportedHold
from sluiceway_common.runmodel.state import Event, EventKind
from sluiceway_common.runmodel.steps import Steps
from sluiceway_common.runmodel.updates import Report
from sluiceway_server.runrecords import codec, enums
from sluiceway_server.runrecords.steps import STEP_PHASES, EncodedSteps, encoded


def decode_held(
    held: executor_api.HeldAssignment, *, executor: str, session: str, now: datetime
) -> model.Assignment | None:
    """Decode an assignment that an executor holds and the database does not have; None if its phase is unknown.

    A final one is decoded as it was before its end: the end follows as an update, with its cause and its steps.
    """
    phase = enums.ASSIGNMENT_PHASE_OF.get(held.phase)
    if phase is None:
        return None
    if phase.is_final:
        never_ran = phase in (model.AssignmentPhase.CANCELLED, model.AssignmentPhase.LOST)
        phase = model.AssignmentPhase.ACCEPTED if never_ran else model.AssignmentPhase.RUNNING
    return model.Assignment(
        id=held.assignment_id,
        run_id=held.run_id,
        task_id=held.task_id,
        epoch=model.Epoch(held.epoch.database, held.epoch.attempt),
        executor=executor,
        session=session,
        assign_time=now,
        phase=phase,
        accept_time=None if phase is model.AssignmentPhase.ASSIGNED else now,
        start_time=now if phase is model.AssignmentPhase.RUNNING else None,
    )


def decode_report(update: executor_api.AssignmentUpdate, *, session: str, steps: Steps) -> Report | None:
    """Decode an update of an executor about an attempt; None if a phase in it is unknown.

    Args:
        update: the update.
        session: the session that sent it.
        steps: those of the task, as stored.
    """
    phase = enums.ASSIGNMENT_PHASE_OF.get(update.phase)
    if phase is None or any(step.phase not in STEP_PHASES for step in update.steps):
        return None
    return Report(
        assignment=update.assignment_id,
        epoch=model.Epoch(update.epoch.database, update.epoch.attempt),
        session=session,
        phase=phase,
        cause=_cause(update) if phase is model.AssignmentPhase.FAILED else None,
        reason=codec.decode_reason(update.reason) if update.HasField("reason") else None,
        steps=encoded(steps).merged(update.steps) if update.steps else None,
        archives=codec.decode_archives(update.archives) if update.archives else None,
        hold=_hold(update),
    )


def _hold(update: executor_api.AssignmentUpdate) -> ReportedHold | None:
    if not update.HasField("hold"):
        return None
    return ReportedHold(update.hold.number, update.hold.step, codec.read_duration(update.hold.limit))


def _cause(update: executor_api.AssignmentUpdate) -> model.RetryCause:
    cause = enums.RETRY_CAUSE_OF.get(update.cause)
    if cause is not None:
        return cause
    # An executor of a version without the field `cause`.
    if update.timed_out:
        return model.RetryCause.TIMEOUT
    return model.RetryCause.SETUP if update.reason.code in ("SETUP_FAILED", "SETUP") else model.RetryCause.FAILED


def decode_definition(definition: definition_api.TaskDefinition) -> TaskDefinition:
    """Decode what rules and placement need of a checked definition."""
    runtime = definition.runtime
    timeout = limits.DEFAULT_TASK_TIMEOUT
    if definition.HasField("task_timeout_interval"):
        timeout = codec.read_duration(definition.task_timeout_interval)
    approval = None
    if definition.HasField("approval"):
        approval = model.ApprovalNeed(owners_only=definition.approval.owners_only)
        if definition.approval.HasField("timeout"):
            approval = replace(approval, timeout=codec.read_duration(definition.approval.timeout))
    return TaskDefinition(
        name=definition.name,
        depends=tuple(DependsOn(depend.task, codec.decode_conditions(depend)) for depend in definition.depends),
        skip=definition.skip,
        ignore_failure=definition.ignore_failure,
        approval=approval,
        lock=definition.lock,
        retry=codec.decode_retry(definition.retry),
        timeout=timeout,
        wait_timeout=codec.read_duration(definition.wait_timeout) if definition.HasField("wait_timeout") else None,
        priority=definition.priority or None,
        needs=model.Needs(
            arch=runtime.arch,
            labels=tuple(sorted(definition.labels.items())),
            privileged=any(container.privileged for container in runtime.containers),
            runtime=runtime.type or "pod",
            drivers=drivers_for(runtime, definition.user),
        ),
        steps=EncodedSteps.of_definitions(definition.steps),
    )


def encode_event(event: Event, *, run: model.Run, task_name: str, now: datetime) -> api.RunEvent:
    """Encode an event. Its position is added when it is read from the log."""
    message = api.RunEvent(
        kind=enums.EVENT_KINDS[event.kind],
        run_id=event.run_id,
        group=run.group,
        task_id=event.task_id,
        task_name=task_name,
        old_value=_event_value(event.kind, event.old),
        new_value=_event_value(event.kind, event.new),
    )
    codec.put_time(message.time, now)
    return message


def _event_value(kind: EventKind, value: str) -> str:
    match kind:
        case EventKind.PHASE if value:
            return api.RunPhase.Name(enums.PHASES[model.RunPhase(value)])
        case EventKind.RESULT if value:
            return api.RunResult.Name(enums.RESULTS[model.RunResult(value)])
        case EventKind.TASK_STATUS if value:
            return api.TaskStatus.Name(enums.STATUSES[model.TaskStatus(value)])
        case EventKind.APPROVAL if value:
            return enums.APPROVAL_WORDS[model.ApprovalState(value)]
        case _:
            return value
