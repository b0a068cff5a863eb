"""What comes over the wire, as values, and what goes out: definitions of tasks, what executors say, events. Pure.

What an executor of another version says may hold words that are not known here; then nothing is understood of it, and
the answer is None.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway_common.runconfig.capabilities import drivers_for
from sluiceway_common.runmodel import model
from sluiceway_common.runmodel.updates import Report
from sluiceway_server.runrecords import codec
from sluiceway_server.runrecords import enums as words
from sluiceway_server.runrecords import timestamps as stamps

__all__ = ["DEFAULT_TASK_TIMEOUT", "decode_definition", "decode_held", "decode_report", "encode_event"]

DEFAULT_TASK_TIMEOUT = timedelta(hours=1)


def decode_held(
    held: executor_api.HeldAssignment, *, executor: str, session: str, now: datetime
) -> model.Assignment | None:
    """Read an assignment that an executor holds and the database does not know; None when it is not understood.

    One that is over there is read as it was before its end: the end comes as a report, with all that belongs to it.
    """
    phase = words.ASSIGNMENT_PHASE_OF.get(held.phase)
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


def decode_report(update: executor_api.AssignmentUpdate, *, session: str) -> Report | None:
    """Read what an executor says of an attempt; None when it says nothing that can be understood."""
    phase = words.ASSIGNMENT_PHASE_OF.get(update.phase)
    if phase is None or any(step.phase not in words.STEP_PHASE_OF for step in update.steps):
        return None
    cause = None
    if phase is model.AssignmentPhase.FAILED:
        cause = model.RetryCause.FAILED
        if update.timed_out:
            cause = model.RetryCause.TIMEOUT
        elif update.reason.code in ("SETUP_FAILED", "SETUP"):
            cause = model.RetryCause.SETUP
    steps = {step.step: _decode_step_update(step) for step in update.steps}
    return Report(
        assignment=update.assignment_id,
        epoch=model.Epoch(update.epoch.database, update.epoch.attempt),
        session=session,
        phase=phase,
        cause=cause,
        reason=codec.decode_reason(update.reason) if update.HasField("reason") else None,
        setup=steps.pop(-1, None),
        steps=steps,
    )


def _decode_step_update(step: executor_api.StepUpdate) -> model.Step:
    # Name and type are the stored step's.
    return model.Step(
        name="",
        phase=words.STEP_PHASE_OF[step.phase],
        exit_status=step.exit_status if step.HasField("exit_status") else None,
        start_time=stamps.read_time(step.start_time) if step.HasField("start_time") else None,
        end_time=stamps.read_time(step.end_time) if step.HasField("end_time") else None,
        log_size=step.log_size_bytes,
        log_digest=step.log_sha256,
        reason=codec.decode_reason(step.reason) if step.HasField("reason") else None,
    )


def decode_definition(definition: definition_api.TaskDefinition) -> model.TaskDefinition:
    """Read what rules and placement need of a definition that was checked."""
    runtime = definition.runtime
    timeout = DEFAULT_TASK_TIMEOUT
    if definition.HasField("task_timeout_interval"):
        timeout = stamps.read_duration(definition.task_timeout_interval)
    approval = None
    if definition.HasField("approval"):
        approval = model.ApprovalNeed()
        if definition.approval.HasField("timeout"):
            approval = model.ApprovalNeed(stamps.read_duration(definition.approval.timeout))
    return model.TaskDefinition(
        name=definition.name,
        depends=tuple(model.DependsOn(depend.task, codec.decode_conditions(depend)) for depend in definition.depends),
        skip=definition.skip,
        ignore_failure=definition.ignore_failure,
        approval=approval,
        lock=definition.lock,
        retry=codec.decode_retry(definition.retry),
        timeout=timeout,
        priority=definition.priority or None,
        needs=model.Needs(
            arch=runtime.arch,
            labels=tuple(sorted(definition.labels.items())),
            privileged=any(container.privileged for container in runtime.containers),
            runtime=runtime.type or "pod",
            drivers=drivers_for(runtime, definition.user),
        ),
        steps=tuple(
            model.Step(
                name=step.name or (step.WhichOneof("kind") or ""),
                type=step.WhichOneof("kind") or "",
                phase=model.StepPhase.SKIPPED if step.skip else model.StepPhase.NOT_STARTED,
            )
            for step in definition.steps
        ),
    )


def encode_event(event: model.Event, *, run: model.Run, task_name: str, now: datetime) -> api.RunEvent:
    """Write an event; its position is known only when it is read from the log."""
    message = api.RunEvent(
        kind=words.EVENT_KINDS[event.kind],
        run_id=event.run_id,
        group=run.group,
        task_id=event.task_id,
        task_name=task_name,
        old_value=_event_value(event.kind, event.old),
        new_value=_event_value(event.kind, event.new),
    )
    stamps.put_time(message.time, now)
    return message


def _event_value(kind: model.EventKind, value: str) -> str:
    match kind:
        case model.EventKind.PHASE if value:
            return api.RunPhase.Name(words.PHASES[model.RunPhase(value)])
        case model.EventKind.RESULT if value:
            return api.RunResult.Name(words.RESULTS[model.RunResult(value)])
        case model.EventKind.TASK_STATUS if value:
            return api.TaskStatus.Name(words.STATUSES[model.TaskStatus(value)])
        case model.EventKind.APPROVAL if value:
            return words.APPROVAL_WORDS[model.ApprovalState(value)]
        case _:
            return value
