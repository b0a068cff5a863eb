"""Messages to values and back: the stored form of runs, tasks and assignments, and the wire form of definitions.

Decoding and encoding are inverse on everything that the rules know. What they do not know (setup errors, warnings of
the creation, fields of a newer version) stays in the stored message: encoding takes the message before and changes it.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway.runmodel import model
from sluiceway.runmodel.updates import Report

__all__ = [
    "APPROVAL_WORDS",
    "ASSIGNMENT_PHASES",
    "CONDITIONS",
    "PHASES",
    "RESULTS",
    "RETRY_CAUSES",
    "STATUSES",
    "STEP_PHASES",
    "decode_assignment",
    "decode_definition",
    "decode_held",
    "decode_reason",
    "decode_report",
    "decode_run",
    "decode_source",
    "decode_step",
    "decode_task",
    "encode_assignment",
    "encode_event",
    "encode_reason",
    "encode_run",
    "encode_source",
    "encode_step",
    "encode_task",
    "put_time",
    "read_duration",
    "read_time",
]

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
STEP_PHASES = {
    model.StepPhase.NOT_STARTED: api.STEP_PHASE_NOT_STARTED,
    model.StepPhase.RUNNING: api.STEP_PHASE_RUNNING,
    model.StepPhase.SUCCESS: api.STEP_PHASE_SUCCESS,
    model.StepPhase.FAILED: api.STEP_PHASE_FAILED,
    model.StepPhase.STOPPED: api.STEP_PHASE_STOPPED,
    model.StepPhase.SKIPPED: api.STEP_PHASE_SKIPPED,
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
    model.EventKind.PHASE: api.RUN_EVENT_KIND_PHASE,
    model.EventKind.RESULT: api.RUN_EVENT_KIND_RESULT,
    model.EventKind.TASK_STATUS: api.RUN_EVENT_KIND_TASK_STATUS,
    model.EventKind.APPROVAL: api.RUN_EVENT_KIND_APPROVAL,
    model.EventKind.EXECUTOR: api.RUN_EVENT_KIND_EXECUTOR,
}
APPROVAL_WORDS = {
    model.ApprovalState.NOT_NEEDED: "",
    model.ApprovalState.NOT_ASKED: "",
    model.ApprovalState.WAITING: "waiting",
    model.ApprovalState.GIVEN: "approved",
    model.ApprovalState.EXPIRED: "expired",
}

_PHASES = {value: key for key, value in PHASES.items()}
_RESULTS = {value: key for key, value in RESULTS.items()}
_STATUSES = {value: key for key, value in STATUSES.items()}
_ASSIGNMENT_PHASES = {value: key for key, value in ASSIGNMENT_PHASES.items()}
_STEP_PHASES = {value: key for key, value in STEP_PHASES.items()}
_CONDITIONS = {value: key for key, value in CONDITIONS.items()}
_RETRY_CAUSES = {value: key for key, value in RETRY_CAUSES.items()}
_RESTART_KINDS = {kind.value: kind for kind in model.RestartKind} | {"tasks": model.RestartKind.FROM_TASKS}
_ON_SUCCESS = frozenset({model.Condition.ON_SUCCESS})
_DEFAULT_RETRY = model.Retry()

DEFAULT_TASK_TIMEOUT = timedelta(hours=1)


# --- times --------------------------------------------------------------------------------------------------------


def read_time(stamp: Timestamp) -> datetime:
    """Read a time, UTC, with microseconds."""
    return datetime.fromtimestamp(stamp.seconds, UTC).replace(microsecond=stamp.nanos // 1000)


def put_time(stamp: Timestamp, value: datetime) -> None:
    """Write a time into a field. Cheaper than `FromDatetime`, and this is done a lot."""
    stamp.seconds = int(value.replace(microsecond=0).timestamp())
    stamp.nanos = value.microsecond * 1000


def read_duration(value: Duration) -> timedelta:
    """Read a duration, with microseconds."""
    return timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


def _put_duration(field: Duration, value: timedelta) -> None:
    field.seconds = value.days * 86_400 + value.seconds
    field.nanos = value.microseconds * 1000


# --- small things -------------------------------------------------------------------------------------------------


def decode_reason(reason: api.Reason) -> model.Reason:
    """Read a reason; its codes are lower case inside, upper case outside."""
    return model.Reason(reason.code.lower(), reason.message)


def encode_reason(reason: model.Reason) -> api.Reason:
    """Write a reason."""
    return api.Reason(code=reason.code.upper(), message=reason.sentence)


def decode_source(source: definition_api.Source) -> model.Source:
    """Read where a run came from."""
    return model.Source(
        repository=source.repository,
        ref_type=source.ref_type,
        ref=source.ref,
        branch=source.branch,
        tag=source.tag,
        pull_request_id=source.pull_request_id,
        commit_sha=source.commit_sha,
        message=source.message,
        link=source.link,
    )


def encode_source(source: model.Source) -> definition_api.Source:
    """Write where a run came from."""
    return definition_api.Source(
        repository=source.repository,
        ref_type=source.ref_type,
        ref=source.ref,
        branch=source.branch,
        tag=source.tag,
        pull_request_id=source.pull_request_id,
        commit_sha=source.commit_sha,
        message=source.message,
        link=source.link,
    )


def _decode_retry(retry: definition_api.Retry) -> model.Retry:
    causes = frozenset(_RETRY_CAUSES[cause] for cause in retry.on) or _DEFAULT_RETRY.on
    return model.Retry(max_attempts=retry.max_attempts or 1, on=causes)


def _encode_retry(retry: model.Retry) -> definition_api.Retry:
    return definition_api.Retry(max_attempts=retry.max_attempts, on=sorted(RETRY_CAUSES[c] for c in retry.on))


def _decode_conditions(depend: definition_api.Depend) -> frozenset[model.Condition]:
    return frozenset(_CONDITIONS[condition] for condition in depend.conditions) or _ON_SUCCESS


# --- steps --------------------------------------------------------------------------------------------------------


def decode_step(step: api.Step) -> model.Step:
    """Read a step."""
    return model.Step(
        name=step.name,
        type=step.type,
        phase=_STEP_PHASES[step.phase],
        exit_status=step.exit_status if step.HasField("exit_status") else None,
        start_time=read_time(step.start_time) if step.HasField("start_time") else None,
        end_time=read_time(step.end_time) if step.HasField("end_time") else None,
        log_size=step.log_size_bytes,
        log_digest=step.log_sha256,
    )


def encode_step(step: model.Step) -> api.Step:
    """Write a step."""
    message = api.Step(
        name=step.name,
        type=step.type,
        phase=STEP_PHASES[step.phase],
        exit_status=step.exit_status,
        log_size_bytes=step.log_size,
        log_sha256=step.log_digest,
    )
    if step.start_time is not None:
        put_time(message.start_time, step.start_time)
    if step.end_time is not None:
        put_time(message.end_time, step.end_time)
    return message


# --- runs ---------------------------------------------------------------------------------------------------------


def decode_run(record: pb.RunRecord) -> model.Run:
    """Read a run."""
    run = record.run
    return model.Run(
        id=run.id,
        number=run.number,
        name=run.name,
        group=run.group,
        scope=record.scope,
        phase=_PHASES[run.phase],
        create_time=read_time(run.create_time),
        result=_RESULTS[run.result],
        reason=decode_reason(run.reason) if run.HasField("reason") else None,
        notes=tuple(decode_reason(note) for note in record.notes),
        annotations=dict(run.annotations),
        belongs_to=tuple(record.belongs_to),
        from_fork=record.from_fork,
        stop=_decode_stop(record) if run.HasField("stop_request") else None,
        restart_of=(
            model.RestartOf(run.restart_of.run_id, _RESTART_KINDS[run.restart_of.kind])
            if run.HasField("restart_of")
            else None
        ),
        priority=run.priority,
        timeout=read_duration(run.timeout) if run.HasField("timeout") else None,
        timed_out=run.timed_out,
        approval_waited=read_duration(run.approval_waited),
        approval_wait_since=read_time(run.approval_wait_since) if run.HasField("approval_wait_since") else None,
        enqueue_time=read_time(run.enqueue_time) if run.HasField("enqueue_time") else None,
        start_time=read_time(run.start_time) if run.HasField("start_time") else None,
        end_time=read_time(run.end_time) if run.HasField("end_time") else None,
        created_by=run.created_by,
        source=decode_source(run.source),
        config_digest=record.config_digest,
    )


def _decode_stop(record: pb.RunRecord) -> model.StopRequest:
    stop = record.run.stop_request
    return model.StopRequest(
        time=read_time(stop.time),
        by=stop.by,
        forced=stop.force,
        forced_time=read_time(record.forced_time) if record.HasField("forced_time") else None,
        forced_by=record.forced_by,
    )


def encode_run(
    run: model.Run, *, task_count: int, before: pb.RunRecord | None = None, new: bool = False
) -> pb.RunRecord:
    """Write a run over the message that was stored before, which is not changed.

    Of a `new` one, `before` holds only what the rules do not know.
    """
    record = pb.RunRecord()
    if before is not None:
        record.CopyFrom(before)
    message = record.run
    message.id, message.number, message.name, message.group = run.id, run.number, run.name, run.group
    message.phase, message.result = PHASES[run.phase], RESULTS[run.result]
    message.priority, message.timed_out, message.created_by = run.priority, run.timed_out, run.created_by
    message.task_count = task_count
    if before is None or new:
        message.annotations.update(run.annotations)
        message.source.CopyFrom(encode_source(run.source))
        record.belongs_to.extend(run.belongs_to)
        record.scope, record.from_fork, record.config_digest = run.scope, run.from_fork, run.config_digest
    if run.reason is not None:
        message.reason.CopyFrom(encode_reason(run.reason))
    if run.stop is not None:
        put_time(message.stop_request.time, run.stop.time)
        message.stop_request.by, message.stop_request.force = run.stop.by, run.stop.forced
        record.forced_by = run.stop.forced_by
        if run.stop.forced_time is not None:
            put_time(record.forced_time, run.stop.forced_time)
    if run.restart_of is not None:
        message.restart_of.run_id = run.restart_of.run_id
        message.restart_of.kind = _restart_word(run.restart_of.kind)
    if run.timeout is not None:
        _put_duration(message.timeout, run.timeout)
    if run.approval_waited:
        _put_duration(message.approval_waited, run.approval_waited)
    message.ClearField("approval_wait_since")
    for name in ("create_time", "approval_wait_since", "enqueue_time", "start_time", "end_time"):
        value = getattr(run, name)
        if value is not None:
            put_time(getattr(message, name), value)
    if len(record.notes) != len(run.notes) or before is None or new:
        del record.notes[:]
        record.notes.extend(encode_reason(note) for note in run.notes)
        del message.warnings[:]
        message.warnings.extend((*record.created_warnings, *(note.sentence for note in run.notes)))
    return record


def _restart_word(kind: model.RestartKind) -> str:
    return "tasks" if kind is model.RestartKind.FROM_TASKS else kind.value


# --- tasks --------------------------------------------------------------------------------------------------------


def decode_task(record: pb.TaskRecord) -> model.Task:
    """Read a task."""
    task = record.task
    approval = task.approval
    given = None
    if approval.approved_by or approval.HasField("approve_time"):
        given = model.ApprovalGiven(
            approval.approved_by, read_time(approval.approve_time), approval.commit_sha, approval.config_digest
        )
    previous = None
    if record.HasField("previous"):
        previous = _decode_attempt_end(record.previous)
    return model.Task(
        id=task.id,
        name=task.name,
        level=task.level,
        depends=tuple(
            model.Edge(parent, _decode_conditions(depend))
            for parent, depend in zip(record.parent_ids, task.depends, strict=True)
        ),
        status=_STATUSES[task.status],
        reason=decode_reason(task.reason) if task.HasField("reason") else None,
        timed_out=task.timed_out,
        ignore_failure=task.ignore_failure,
        approval=model.ApprovalNeed(read_duration(approval.timeout)) if approval.needed else None,
        waiting_since=read_time(approval.waiting_since) if approval.HasField("waiting_since") else None,
        approved=given,
        lock=task.lock,
        retry=_decode_retry(task.retry),
        timeout=read_duration(task.timeout) if task.HasField("timeout") else None,
        priority=task.priority,
        needs=model.Needs(
            arch=task.arch,
            labels=tuple(sorted(task.labels.items())),
            privileged=task.privileged,
            runtime=record.runtime,
            drivers=frozenset(record.drivers),
        ),
        attempt=task.attempt if task.assignment_id else task.attempt + 1,
        assignment=task.assignment_id,
        executor=task.executor_id,
        previous=previous,
        runnable_since=read_time(task.runnable_since) if task.HasField("runnable_since") else None,
        kept_from=record.kept_from,
        setup=decode_step(task.setup_step),
        steps=tuple(decode_step(step) for step in task.steps),
        archives=_decode_archives(record.archives),
        start_time=read_time(task.start_time) if task.HasField("start_time") else None,
        end_time=read_time(task.end_time) if task.HasField("end_time") else None,
    )


def encode_task(
    task: model.Task,
    *,
    run_id: str,
    scope: str,
    names: dict[str, str] | None = None,
    before: pb.TaskRecord | None = None,
) -> pb.TaskRecord:
    """Write a task over the message that was stored before, which is not changed.

    `names` tells the names of its parents by id; it is needed for a new task only, since edges never change.
    """
    record = pb.TaskRecord()
    if before is not None:
        record.CopyFrom(before)
    message = record.task
    if before is None:
        _encode_fixed(record, task, run_id=run_id, scope=scope, names=names or {})
    message.status, message.timed_out = STATUSES[task.status], task.timed_out
    if task.reason is None:
        message.ClearField("reason")
    else:
        message.reason.CopyFrom(encode_reason(task.reason))
    _encode_approval(message, task)
    message.attempt = task.attempt if task.assignment else task.attempt - 1
    message.assignment_id, message.executor_id = task.assignment, task.executor
    message.setup_step.CopyFrom(encode_step(task.setup))
    del message.steps[:]
    message.steps.extend(encode_step(step) for step in task.steps)
    for name in ("runnable_since", "start_time", "end_time"):
        value = getattr(task, name)
        if value is None:
            message.ClearField(name)
        else:
            put_time(getattr(message, name), value)
    record.kept_from = task.kept_from
    del record.archives[:]
    record.archives.extend(_encode_archives(task.archives))
    if task.runnable_since is None:
        record.parked = False
    if task.previous is None:
        record.ClearField("previous")
    else:
        record.previous.CopyFrom(_encode_attempt_end(task.previous))
    return record


def _decode_attempt_end(end: pb.AttemptEnd) -> model.AttemptEnd:
    return model.AttemptEnd(
        status=_STATUSES[end.status],
        attempt=end.attempt,
        assignment=end.assignment_id,
        executor=end.executor_id,
        end_time=read_time(end.end_time),
        start_time=read_time(end.start_time) if end.HasField("start_time") else None,
        timed_out=end.timed_out,
        reason=decode_reason(end.reason) if end.HasField("reason") else None,
        setup=decode_step(end.setup),
        steps=tuple(decode_step(step) for step in end.steps),
        archives=_decode_archives(end.archives),
    )


def _encode_attempt_end(end: model.AttemptEnd) -> pb.AttemptEnd:
    message = pb.AttemptEnd(
        status=STATUSES[end.status],
        attempt=end.attempt,
        assignment_id=end.assignment,
        executor_id=end.executor,
        timed_out=end.timed_out,
        setup=encode_step(end.setup),
        steps=[encode_step(step) for step in end.steps],
        archives=_encode_archives(end.archives),
    )
    put_time(message.end_time, end.end_time)
    if end.start_time is not None:
        put_time(message.start_time, end.start_time)
    if end.reason is not None:
        message.reason.CopyFrom(encode_reason(end.reason))
    return message


def _decode_archives(archives: Iterable[pb.Archive]) -> tuple[model.Archive, ...]:
    return tuple(model.Archive(a.step, a.digest, a.size) for a in archives)


def _encode_archives(archives: Iterable[model.Archive]) -> list[pb.Archive]:
    return [pb.Archive(step=a.step, digest=a.digest, size=a.size) for a in archives]


def _encode_fixed(record: pb.TaskRecord, task: model.Task, *, run_id: str, scope: str, names: dict[str, str]) -> None:
    # What never changes after the creation.
    message = record.task
    message.id, message.run_id, message.name, message.level = task.id, run_id, task.name, task.level
    for edge in task.depends:
        message.depends.add(task=names[edge.parent], conditions=sorted(CONDITIONS[c] for c in edge.conditions))
        record.parent_ids.append(edge.parent)
    message.ignore_failure, message.lock, message.priority = task.ignore_failure, task.lock, task.priority
    message.retry.CopyFrom(_encode_retry(task.retry))
    if task.timeout is not None:
        _put_duration(message.timeout, task.timeout)
    message.labels.update(task.needs.labels)
    message.arch, message.privileged = task.needs.arch, task.needs.privileged
    record.runtime, record.scope = task.needs.runtime, scope
    record.drivers.extend(sorted(task.needs.drivers))


def _encode_approval(message: api.Task, task: model.Task) -> None:
    if task.approval is None:
        return
    approval = message.approval
    approval.needed = True
    _put_duration(approval.timeout, task.approval.timeout)
    approval.ClearField("waiting_since")
    if task.waiting_since is not None:
        put_time(approval.waiting_since, task.waiting_since)
    if task.approved is not None:
        approval.approved_by = task.approved.by
        put_time(approval.approve_time, task.approved.time)
        approval.commit_sha, approval.config_digest = task.approved.commit_sha, task.approved.config_digest


# --- assignments --------------------------------------------------------------------------------------------------


def decode_assignment(record: pb.AssignmentRecord) -> model.Assignment:
    """Read an assignment."""
    return model.Assignment(
        id=record.id,
        run_id=record.run_id,
        task_id=record.task_id,
        epoch=model.Epoch(record.epoch.database, record.epoch.attempt),
        executor=record.executor_id,
        session=record.session_id,
        assign_time=read_time(record.assign_time),
        phase=_ASSIGNMENT_PHASES[record.phase],
        accept_time=read_time(record.accept_time) if record.HasField("accept_time") else None,
        start_time=read_time(record.start_time) if record.HasField("start_time") else None,
        end_time=read_time(record.end_time) if record.HasField("end_time") else None,
        cause=_RETRY_CAUSES[record.cause] if record.cause else None,
        reason=decode_reason(record.reason) if record.HasField("reason") else None,
        timed_out=record.timed_out,
        stop_requested=read_time(record.stop_requested) if record.HasField("stop_requested") else None,
        stop_forced=record.stop_forced,
        lock=(record.lock_scope, record.lock_name) if record.lock_name else None,
        setup=decode_step(record.setup) if record.HasField("setup") else None,
        steps=tuple(decode_step(step) for step in record.steps),
    )


def encode_assignment(assignment: model.Assignment, *, scope: str) -> pb.AssignmentRecord:
    """Write an assignment of a run of that scope, whole."""
    record = pb.AssignmentRecord(
        id=assignment.id,
        run_id=assignment.run_id,
        task_id=assignment.task_id,
        scope=scope,
        epoch=executor_api.Epoch(database=assignment.epoch.database, attempt=assignment.epoch.attempt),
        executor_id=assignment.executor,
        session_id=assignment.session,
        phase=ASSIGNMENT_PHASES[assignment.phase],
        timed_out=assignment.timed_out,
        stop_forced=assignment.stop_forced,
        steps=[encode_step(step) for step in assignment.steps],
    )
    for name in ("assign_time", "accept_time", "start_time", "end_time", "stop_requested"):
        value = getattr(assignment, name)
        if value is not None:
            put_time(getattr(record, name), value)
    if assignment.cause is not None:
        record.cause = RETRY_CAUSES[assignment.cause]
    if assignment.reason is not None:
        record.reason.CopyFrom(encode_reason(assignment.reason))
    if assignment.lock is not None:
        record.lock_scope, record.lock_name = assignment.lock
    if assignment.setup is not None:
        record.setup.CopyFrom(encode_step(assignment.setup))
    return record


def decode_held(
    held: executor_api.HeldAssignment, *, executor: str, session: str, now: datetime
) -> model.Assignment | None:
    """Read an assignment that an executor holds and the database does not know; None when it is not understood.

    One that is over there is read as it was before its end: the end comes as a report, with all that belongs to it.
    """
    phase = _ASSIGNMENT_PHASES.get(held.phase)
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
    phase = _ASSIGNMENT_PHASES.get(update.phase)
    if phase is None or any(step.phase not in _STEP_PHASES for step in update.steps):
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
        reason=decode_reason(update.reason) if update.HasField("reason") else None,
        setup=steps.pop(-1, None),
        steps=steps,
    )


def _decode_step_update(step: executor_api.StepUpdate) -> model.Step:
    # Name and type are the stored step's.
    return model.Step(
        name="",
        phase=_STEP_PHASES[step.phase],
        exit_status=step.exit_status if step.HasField("exit_status") else None,
        start_time=read_time(step.start_time) if step.HasField("start_time") else None,
        end_time=read_time(step.end_time) if step.HasField("end_time") else None,
        log_size=step.log_size_bytes,
        log_digest=step.log_sha256,
    )


# --- definitions and events ---------------------------------------------------------------------------------------


def decode_definition(definition: definition_api.TaskDefinition) -> model.TaskDefinition:
    """Read what rules and placement need of a definition that was checked."""
    runtime = definition.runtime
    timeout = DEFAULT_TASK_TIMEOUT
    if definition.HasField("task_timeout_interval"):
        timeout = read_duration(definition.task_timeout_interval)
    approval = None
    if definition.HasField("approval"):
        approval = model.ApprovalNeed()
        if definition.approval.HasField("timeout"):
            approval = model.ApprovalNeed(read_duration(definition.approval.timeout))
    return model.TaskDefinition(
        name=definition.name,
        depends=tuple(model.DependsOn(depend.task, _decode_conditions(depend)) for depend in definition.depends),
        skip=definition.skip,
        ignore_failure=definition.ignore_failure,
        approval=approval,
        lock=definition.lock,
        retry=_decode_retry(definition.retry),
        timeout=timeout,
        priority=definition.priority or None,
        needs=model.Needs(
            arch=runtime.arch,
            labels=tuple(sorted(definition.labels.items())),
            privileged=any(container.privileged for container in runtime.containers),
            runtime=runtime.type or "pod",
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
        kind=EVENT_KINDS[event.kind],
        run_id=event.run_id,
        group=run.group,
        task_id=event.task_id,
        task_name=task_name,
        old_value=_event_value(event.kind, event.old),
        new_value=_event_value(event.kind, event.new),
    )
    put_time(message.time, now)
    return message


def _event_value(kind: model.EventKind, value: str) -> str:
    match kind:
        case model.EventKind.PHASE if value:
            return api.RunPhase.Name(PHASES[model.RunPhase(value)])
        case model.EventKind.RESULT if value:
            return api.RunResult.Name(RESULTS[model.RunResult(value)])
        case model.EventKind.TASK_STATUS if value:
            return api.TaskStatus.Name(STATUSES[model.TaskStatus(value)])
        case model.EventKind.APPROVAL if value:
            return APPROVAL_WORDS[model.ApprovalState(value)]
        case _:
            return value
