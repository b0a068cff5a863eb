"""The codec of stored records: `runmodel` values of runs, tasks and assignments <-> protobuf messages.

Decoding and encoding are inverse for everything that the rules know. What they do not know (setup errors, warnings of
the creation, fields of a newer version) is kept: encoding starts from a copy of the stored message. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.api.run.v1 import test_report_pb2
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.texts import shown
from sluiceway_common.runmodel import model
from sluiceway_common.runmodel.reasons import Reason
from sluiceway_server.runrecords import enums, holds
from sluiceway_server.runrecords.steps import EncodedSteps, put_steps
from sluiceway_server.runrecords.times import optional_time as optional_time  # noqa: PLC0414 - for users of this module
from sluiceway_server.runrecords.times import put_duration as put_duration  # noqa: PLC0414 - for users of this module
from sluiceway_server.runrecords.times import put_time as put_time  # noqa: PLC0414 - for users of this module
from sluiceway_server.runrecords.times import read_duration as read_duration  # noqa: PLC0414 - for users of this module
from sluiceway_server.runrecords.times import read_time as read_time  # noqa: PLC0414 - for users of this module

_RESTART_KINDS = {kind.value: kind for kind in model.RestartKind} | {"tasks": model.RestartKind.FROM_TASKS}
_ON_SUCCESS = frozenset({model.Condition.ON_SUCCESS})
_DEFAULT_RETRY = model.Retry()
_MAX_TEST_NAMES = 10
_MAX_TEST_NAME = 200


# --- reasons, sources --------------------------------------------------------------------------------------


def decode_reason(reason: api.Reason) -> Reason:
    """Decode a reason: its code is lower case in the model, upper case in messages."""
    return Reason(reason.code.lower(), reason.message)


def encode_reason(reason: Reason) -> api.Reason:
    """Encode a reason."""
    return api.Reason(code=reason.code.upper(), message=reason.sentence)


def decode_source(source: definition_api.Source) -> model.Source:
    """Decode what a run was created from."""
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
    """Encode what a run was created from."""
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


def decode_retry(retry: definition_api.Retry) -> model.Retry:
    """Decode how often a task is attempted, and after which causes."""
    causes = frozenset(enums.RETRY_CAUSE_OF[cause] for cause in retry.on) or _DEFAULT_RETRY.on
    return model.Retry(
        max_attempts=retry.max_attempts or 1,
        on=causes,
        exit_codes=frozenset(retry.exit_codes),
        avoid_executor=definition_api.RETRY_AVOID_EXECUTOR in retry.avoid,
    )


def _encode_retry(retry: model.Retry) -> definition_api.Retry:
    return definition_api.Retry(
        max_attempts=retry.max_attempts,
        on=sorted(enums.RETRY_CAUSES[c] for c in retry.on),
        exit_codes=sorted(retry.exit_codes),
        avoid=[definition_api.RETRY_AVOID_EXECUTOR] if retry.avoid_executor else [],
    )


def decode_conditions(depend: definition_api.Depend) -> frozenset[model.Condition]:
    """Decode the conditions of an edge; none means `on_success`."""
    return frozenset(enums.CONDITION_OF[condition] for condition in depend.conditions) or _ON_SUCCESS


# --- runs ---------------------------------------------------------------------------------------------------------


def decode_run(record: pb.RunRecord) -> model.Run:
    """Decode a run."""
    run = record.run
    return model.Run(
        id=run.id,
        number=run.number,
        name=run.name,
        group=run.group,
        scope=record.scope,
        phase=enums.PHASE_OF[run.phase],
        create_time=read_time(run.create_time),
        result=enums.RESULT_OF[run.result],
        reason=decode_reason(run.reason) if run.HasField("reason") else None,
        notes=tuple(decode_reason(note) for note in record.notes),
        annotations=dict(run.annotations),
        from_fork=record.from_fork,
        event=record.event,
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
        approval_wait_since=optional_time(run, "approval_wait_since"),
        enqueue_time=optional_time(run, "enqueue_time"),
        start_time=optional_time(run, "start_time"),
        work_start_time=optional_time(run, "work_start_time"),
        end_time=optional_time(run, "end_time"),
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
        forced_time=optional_time(record, "forced_time"),
        forced_by=record.forced_by,
    )


def encode_run(
    run: model.Run, *, task_count: int, before: pb.RunRecord | None = None, new: bool = False
) -> pb.RunRecord:
    """Encode a run into a copy of the stored message.

    For a `new` run, `before` holds only what the rules do not know.
    """
    record = pb.RunRecord()
    if before is not None:
        record.CopyFrom(before)
    message = record.run
    message.id, message.number, message.name, message.group = run.id, run.number, run.name, run.group
    message.phase, message.result = enums.PHASES[run.phase], enums.RESULTS[run.result]
    message.priority, message.timed_out, message.created_by = run.priority, run.timed_out, run.created_by
    message.task_count = task_count
    if before is None or new:
        message.annotations.update(run.annotations)
        message.source.CopyFrom(encode_source(run.source))
        record.scope, record.from_fork, record.config_digest = run.scope, run.from_fork, run.config_digest
        record.event = run.event
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
        put_duration(message.timeout, run.timeout)
    if run.approval_waited:
        put_duration(message.approval_waited, run.approval_waited)
    message.ClearField("approval_wait_since")
    for name in ("create_time", "approval_wait_since", "enqueue_time", "start_time", "work_start_time", "end_time"):
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
    """Decode a task."""
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
            model.Edge(parent, decode_conditions(depend))
            for parent, depend in zip(record.parent_ids, task.depends, strict=True)
        ),
        status=enums.STATUS_OF[task.status],
        reason=decode_reason(task.reason) if task.HasField("reason") else None,
        timed_out=task.timed_out,
        ignore_failure=task.ignore_failure,
        approval=model.ApprovalNeed(read_duration(approval.timeout), approval.owners_only) if approval.needed else None,
        waiting_since=optional_time(approval, "waiting_since"),
        approved=given,
        lock=task.lock,
        retry=decode_retry(task.retry),
        timeout=read_duration(task.timeout) if task.HasField("timeout") else None,
        wait_timeout=read_duration(task.wait_timeout) if task.HasField("wait_timeout") else None,
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
        runnable_since=optional_time(task, "runnable_since"),
        kept_from=record.kept_from,
        steps=EncodedSteps.of_record(task.setup_step, task.steps),
        archives=decode_archives(record.archives),
        start_time=optional_time(task, "start_time"),
        end_time=optional_time(task, "end_time"),
        hold=holds.decode_hold(task),
        held=read_duration(record.held),
        continuations=tuple(map(holds.decode_order, task.continuations)),
        retries=tuple(model.ManualRetry(each.attempt, each.by, read_time(each.time)) for each in task.manual_retries),
    )


def encode_new_task(task: model.Task, *, run_id: str, scope: str, names: Mapping[str, str]) -> pb.TaskRecord:
    """Encode a new task; `names` has the names of its parents by id."""
    record = pb.TaskRecord()
    _encode_fixed(record, task, run_id=run_id, scope=scope, names=names)
    _encode_state(record, task)
    return record


def encode_task(task: model.Task, stored: pb.TaskRecord) -> pb.TaskRecord:
    """Encode a task into a copy of its stored record."""
    record = pb.TaskRecord()
    record.CopyFrom(stored)
    _encode_state(record, task)
    return record


def _encode_state(record: pb.TaskRecord, task: model.Task) -> None:
    message = record.task
    message.status, message.timed_out = enums.STATUSES[task.status], task.timed_out
    if task.reason is None:
        message.ClearField("reason")
    else:
        message.reason.CopyFrom(encode_reason(task.reason))
    _encode_approval(message, task)
    message.attempt = task.attempt if task.assignment else task.attempt - 1
    message.assignment_id, message.executor_id = task.assignment, task.executor
    put_steps(task.steps, message.setup_step, message.steps)
    for name in ("runnable_since", "start_time", "end_time"):
        value = getattr(task, name)
        if value is None:
            message.ClearField(name)
        else:
            put_time(getattr(message, name), value)
    holds.put_holds(record, task)
    del message.manual_retries[:]
    for retry in task.retries:
        put_time(message.manual_retries.add(attempt=retry.attempt, by=retry.by).time, retry.time)
    record.kept_from = task.kept_from
    del record.archives[:]
    record.archives.extend(encode_archives(task.archives))
    if task.runnable_since is None:
        record.parked = False
    if task.previous is None:
        record.ClearField("previous")
    else:
        record.previous.CopyFrom(_encode_attempt_end(task.previous))


def _decode_attempt_end(end: pb.AttemptEnd) -> model.AttemptEnd:
    return model.AttemptEnd(
        status=enums.STATUS_OF[end.status],
        attempt=end.attempt,
        assignment=end.assignment_id,
        executor=end.executor_id,
        end_time=read_time(end.end_time),
        start_time=optional_time(end, "start_time"),
        timed_out=end.timed_out,
        reason=decode_reason(end.reason) if end.HasField("reason") else None,
        steps=EncodedSteps.of_record(end.setup, end.steps),
        archives=decode_archives(end.archives),
    )


def _encode_attempt_end(end: model.AttemptEnd) -> pb.AttemptEnd:
    message = pb.AttemptEnd(
        status=enums.STATUSES[end.status],
        attempt=end.attempt,
        assignment_id=end.assignment,
        executor_id=end.executor,
        timed_out=end.timed_out,
        archives=encode_archives(end.archives),
    )
    put_steps(end.steps, message.setup, message.steps)
    put_time(message.end_time, end.end_time)
    if end.start_time is not None:
        put_time(message.start_time, end.start_time)
    if end.reason is not None:
        message.reason.CopyFrom(encode_reason(end.reason))
    return message


def decode_archives(archives: Iterable[executor_api.Archive]) -> tuple[model.Archive, ...]:
    """Decode archives; those of a kind that this version does not know are left out."""
    return tuple(
        model.Archive(
            a.step, a.sha256, a.size_bytes, enums.ARCHIVE_KIND_OF[a.kind], a.name, a.file_count, _decode_tests(a)
        )
        for a in archives
        if a.kind in enums.ARCHIVE_KIND_OF
    )


def encode_archives(archives: Iterable[model.Archive]) -> list[executor_api.Archive]:
    """Encode archives."""
    return [
        executor_api.Archive(
            step=a.step,
            kind=enums.ARCHIVE_KINDS[a.kind],
            name=a.name,
            sha256=a.digest,
            size_bytes=a.size,
            file_count=a.files,
            tests=_encode_tests(a.tests),
            failed_tests=() if a.tests is None else a.tests.failed_names,
        )
        for a in archives
    ]


def _decode_tests(archive: executor_api.Archive) -> model.TestCounts | None:
    if not archive.HasField("tests"):
        return None
    names = tuple(shown(name, most=_MAX_TEST_NAME) for name in archive.failed_tests[:_MAX_TEST_NAMES])
    return model.TestCounts(archive.tests.total, archive.tests.failed, archive.tests.skipped, names)


def _encode_tests(counts: model.TestCounts | None) -> test_report_pb2.TestCounts | None:
    if counts is None:
        return None
    return test_report_pb2.TestCounts(total=counts.total, failed=counts.failed, skipped=counts.skipped)


def _encode_fixed(
    record: pb.TaskRecord, task: model.Task, *, run_id: str, scope: str, names: Mapping[str, str]
) -> None:
    # What never changes after the creation.
    message = record.task
    message.id, message.run_id, message.name, message.level = task.id, run_id, task.name, task.level
    for edge in task.depends:
        message.depends.add(task=names[edge.parent], conditions=sorted(enums.CONDITIONS[c] for c in edge.conditions))
        record.parent_ids.append(edge.parent)
    message.ignore_failure, message.lock, message.priority = task.ignore_failure, task.lock, task.priority
    message.retry.CopyFrom(_encode_retry(task.retry))
    if task.timeout is not None:
        put_duration(message.timeout, task.timeout)
    if task.wait_timeout is not None:
        put_duration(message.wait_timeout, task.wait_timeout)
    message.labels.update(task.needs.labels)
    message.arch, message.privileged = task.needs.arch, task.needs.privileged
    record.runtime, record.scope = task.needs.runtime, scope
    record.drivers.extend(sorted(task.needs.drivers))


def _encode_approval(message: api.Task, task: model.Task) -> None:
    if task.approval is None:
        return
    approval = message.approval
    approval.needed = True
    put_duration(approval.timeout, task.approval.timeout)
    approval.owners_only = task.approval.owners_only
    approval.ClearField("waiting_since")
    if task.waiting_since is not None:
        put_time(approval.waiting_since, task.waiting_since)
    if task.approved is not None:
        approval.approved_by = task.approved.by
        put_time(approval.approve_time, task.approved.time)
        approval.commit_sha, approval.config_digest = task.approved.commit_sha, task.approved.config_digest


# --- assignments --------------------------------------------------------------------------------------------------


def decode_assignment(record: pb.AssignmentRecord) -> model.Assignment:
    """Decode an assignment."""
    return model.Assignment(
        id=record.id,
        run_id=record.run_id,
        task_id=record.task_id,
        epoch=model.Epoch(record.epoch.database, record.epoch.attempt),
        executor=record.executor_id,
        session=record.session_id,
        assign_time=read_time(record.assign_time),
        phase=enums.ASSIGNMENT_PHASE_OF[record.phase],
        accept_time=optional_time(record, "accept_time"),
        start_time=optional_time(record, "start_time"),
        end_time=optional_time(record, "end_time"),
        cause=enums.RETRY_CAUSE_OF[record.cause] if record.cause else None,
        reason=decode_reason(record.reason) if record.HasField("reason") else None,
        timed_out=record.timed_out,
        stop_requested=optional_time(record, "stop_requested"),
        stop_reason=decode_reason(record.stop_reason) if record.HasField("stop_reason") else None,
        stop_forced=record.stop_forced,
        lock=(record.lock_scope, record.lock_name) if record.lock_name else None,
        steps=EncodedSteps.of_record(record.setup, record.steps) if record.HasField("setup") else None,
        hold_order=holds.decode_order(record.hold_order) if record.HasField("hold_order") else None,
    )


def encode_assignment(assignment: model.Assignment, *, scope: str) -> pb.AssignmentRecord:
    """Encode an assignment of a run of that scope."""
    record = pb.AssignmentRecord(
        id=assignment.id,
        run_id=assignment.run_id,
        task_id=assignment.task_id,
        scope=scope,
        epoch=executor_api.Epoch(database=assignment.epoch.database, attempt=assignment.epoch.attempt),
        executor_id=assignment.executor,
        session_id=assignment.session,
        phase=enums.ASSIGNMENT_PHASES[assignment.phase],
        timed_out=assignment.timed_out,
        stop_forced=assignment.stop_forced,
    )
    for name in ("assign_time", "accept_time", "start_time", "end_time", "stop_requested"):
        value = getattr(assignment, name)
        if value is not None:
            put_time(getattr(record, name), value)
    if assignment.cause is not None:
        record.cause = enums.RETRY_CAUSES[assignment.cause]
    if assignment.reason is not None:
        record.reason.CopyFrom(encode_reason(assignment.reason))
    if assignment.stop_reason is not None:
        record.stop_reason.CopyFrom(encode_reason(assignment.stop_reason))
    if assignment.lock is not None:
        record.lock_scope, record.lock_name = assignment.lock
    if assignment.hold_order is not None:
        record.hold_order.CopyFrom(holds.encode_order(assignment.hold_order))
    if assignment.steps is not None:
        put_steps(assignment.steps, record.setup, record.steps)
    return record
