"""What is stored of runs comes back as it was: decode after encode is identity."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.runmodel import model
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_common.runmodel.state import EventKind
from sluiceway_server.runrecords import codec, enums
from sluiceway_server.runrecords.steps import EncodedSteps

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
CODES = st.sampled_from([code.value for code in ReasonCode])
TIMES = st.integers(0, 4 * 10**15).map(lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us))
DURATIONS = st.timedeltas(timedelta(0), timedelta(days=400))
COUNTS = st.integers(0, 2**31 - 1)
REASONS = st.builds(Reason, CODES, TEXT)
EPOCHS = st.builds(model.Epoch, COUNTS, st.integers(1, 10))
STEPS = st.lists(
    st.builds(api.Step, name=TEXT, type=TEXT, exit_status=st.integers(-255, 255)), min_size=1, max_size=4
).map(lambda steps: EncodedSteps.of_record(steps[0], steps[1:]))
ARCHIVES = st.builds(model.Archive, COUNTS, TEXT, st.integers(0, 2**40))
ENDS = st.builds(
    model.AttemptEnd,
    status=st.sampled_from(model.TaskStatus),
    attempt=COUNTS,
    assignment=TEXT,
    executor=TEXT,
    end_time=TIMES,
    start_time=st.none() | TIMES,
    timed_out=st.booleans(),
    reason=st.none() | REASONS,
    steps=STEPS,
    archives=st.lists(ARCHIVES, max_size=2).map(tuple),
)
CONDITIONS = st.frozensets(st.sampled_from(model.Condition), min_size=1)
RETRIES = st.builds(model.Retry, st.integers(1, 10), st.frozensets(st.sampled_from(model.RetryCause), min_size=1))
NEEDS = st.builds(
    model.Needs,
    arch=TEXT,
    labels=st.dictionaries(TEXT, TEXT, max_size=3).map(lambda labels: tuple(sorted(labels.items()))),
    privileged=st.booleans(),
    runtime=TEXT,
    drivers=st.frozensets(TEXT, max_size=2),
)


@st.composite
def tasks(draw: st.DrawFn) -> model.Task:
    needs_approval = draw(st.booleans())
    assigned = draw(st.booleans())
    return model.Task(
        id=draw(TEXT),
        name=draw(TEXT),
        level=draw(COUNTS),
        depends=tuple(model.Edge(f"p{n}", draw(CONDITIONS)) for n in range(draw(st.integers(0, 3)))),
        status=draw(st.sampled_from(model.TaskStatus)),
        reason=draw(st.none() | REASONS),
        timed_out=draw(st.booleans()),
        ignore_failure=draw(st.booleans()),
        approval=model.ApprovalNeed(draw(DURATIONS)) if needs_approval else None,
        waiting_since=draw(st.none() | TIMES) if needs_approval else None,
        approved=(
            draw(st.none() | st.builds(model.ApprovalGiven, TEXT, TIMES, TEXT, TEXT)) if needs_approval else None
        ),
        lock=draw(TEXT),
        retry=draw(RETRIES),
        timeout=draw(st.none() | DURATIONS),
        priority=draw(st.integers(-10, 10)),
        needs=draw(NEEDS),
        attempt=draw(st.integers(1, 10)),
        assignment="a1" if assigned else "",
        executor=draw(TEXT),
        previous=draw(st.none() | ENDS),
        runnable_since=draw(st.none() | TIMES),
        kept_from=draw(TEXT),
        steps=draw(STEPS),
        archives=tuple(draw(st.lists(ARCHIVES, max_size=3))),
        start_time=draw(st.none() | TIMES),
        end_time=draw(st.none() | TIMES),
    )


STOPS = st.builds(model.StopRequest, TIMES, TEXT, st.booleans(), st.none() | TIMES, TEXT)
RUNS = st.builds(
    model.Run,
    id=TEXT,
    number=COUNTS,
    name=TEXT,
    group=TEXT,
    scope=TEXT,
    phase=st.sampled_from(model.RunPhase),
    create_time=TIMES,
    result=st.sampled_from(model.RunResult),
    reason=st.none() | REASONS,
    notes=st.lists(REASONS, max_size=2).map(tuple),
    annotations=st.dictionaries(TEXT, TEXT, max_size=3),
    from_fork=st.booleans(),
    stop=st.none() | STOPS,
    restart_of=st.none() | st.builds(model.RestartOf, TEXT, st.sampled_from(model.RestartKind)),
    priority=st.integers(-10, 10),
    timeout=st.none() | DURATIONS,
    timed_out=st.booleans(),
    approval_waited=DURATIONS,
    approval_wait_since=st.none() | TIMES,
    enqueue_time=st.none() | TIMES,
    start_time=st.none() | TIMES,
    work_start_time=st.none() | TIMES,
    end_time=st.none() | TIMES,
    created_by=TEXT,
    source=st.builds(model.Source, *([TEXT] * 9)),
    config_digest=TEXT,
)
ASSIGNMENTS = st.builds(
    model.Assignment,
    id=TEXT,
    run_id=TEXT,
    task_id=TEXT,
    epoch=EPOCHS,
    executor=TEXT,
    session=TEXT,
    assign_time=TIMES,
    phase=st.sampled_from(model.AssignmentPhase),
    accept_time=st.none() | TIMES,
    start_time=st.none() | TIMES,
    end_time=st.none() | TIMES,
    cause=st.none() | st.sampled_from(model.RetryCause),
    reason=st.none() | REASONS,
    timed_out=st.booleans(),
    stop_requested=st.none() | TIMES,
    stop_reason=st.none() | REASONS,
    stop_forced=st.booleans(),
    lock=st.none() | st.tuples(TEXT, st.text("abc", min_size=1, max_size=4)),
    steps=st.none() | STEPS,
)


@given(RUNS)
def test_run_comes_back_as_it_was(run: model.Run) -> None:
    record = codec.encode_run(run, task_count=3)
    assert codec.decode_run(pb.RunRecord.FromString(record.SerializeToString())) == run


@given(tasks())
def test_task_comes_back_as_it_was(task: model.Task) -> None:
    names = {edge.parent: edge.parent.upper() for edge in task.depends}
    record = codec.encode_new_task(task, run_id="r", scope="/user/a", names=names)
    assert codec.decode_task(pb.TaskRecord.FromString(record.SerializeToString())) == task


@settings(deadline=None)  # two tasks with all their parts take long to draw
@given(tasks(), tasks())
def test_task_stored_over_another_state_of_it_is_the_later_one(before: model.Task, after: model.Task) -> None:
    names = {edge.parent: edge.parent for edge in before.depends}
    stored = codec.encode_new_task(before, run_id="r", scope="/user/a", names=names)
    fixed = codec.encode_new_task(after, run_id="r", scope="/user/a", names={e.parent: e.parent for e in after.depends})
    # What never changes is the earlier one's; what may change is the later one's.
    wanted = codec.decode_task(fixed)
    kept = codec.decode_task(stored)
    record = codec.encode_task(after, stored)
    again = codec.decode_task(record)
    assert (again.status, again.reason, again.steps) == (wanted.status, wanted.reason, wanted.steps)
    assert (again.attempt, again.assignment, again.previous) == (wanted.attempt, wanted.assignment, wanted.previous)
    assert (again.start_time, again.end_time) == (wanted.start_time, wanted.end_time)
    assert (again.name, again.depends, again.needs, again.retry) == (kept.name, kept.depends, kept.needs, kept.retry)


@given(ASSIGNMENTS)
def test_assignment_comes_back_as_it_was(assignment: model.Assignment) -> None:
    record = codec.encode_assignment(assignment, scope="/user/a")
    assert codec.decode_assignment(pb.AssignmentRecord.FromString(record.SerializeToString())) == assignment


@given(TIMES)
def test_time_has_microseconds(time: datetime) -> None:
    stamp = pb.RequestRecord().time
    codec.put_time(stamp, time)
    assert codec.read_time(stamp) == time


@pytest.mark.parametrize(
    ("table", "inside", "outside"),
    [
        (enums.PHASES, model.RunPhase, api.RunPhase),
        (enums.RESULTS, model.RunResult, api.RunResult),
        (enums.STATUSES, model.TaskStatus, api.TaskStatus),
        (enums.ASSIGNMENT_PHASES, model.AssignmentPhase, executor_api.AssignmentPhase),
        (enums.ARCHIVE_KINDS, model.ArchiveKind, executor_api.ArchiveKind),
        (enums.CONDITIONS, model.Condition, definition_api.DependCondition),
        (enums.RETRY_CAUSES, model.RetryCause, definition_api.RetryCause),
        (enums.EVENT_KINDS, EventKind, api.RunEventKind),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_enum_table_has_every_value_of_both_enums(table: Any, inside: Any, outside: Any) -> None:
    assert set(table) == set(inside)
    assert sorted(table.values()) == sorted({*table.values()})
    assert {*table.values(), 0} == set(outside.values())
