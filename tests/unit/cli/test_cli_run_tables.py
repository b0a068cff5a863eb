"""Runs and tasks in tables: states, short ids, steps and exit codes."""

from __future__ import annotations

import pytest

from sluiceway.api.run.v1 import definition_pb2, run_pb2
from sluiceway.cli.commands import Format
from sluiceway.cli.references import find_task, short_id, short_ids
from sluiceway.cli.run_tables import RunList, show_run, show_tasks
from sluiceway.cli.words import run_status, run_took, task_status
from sluiceway_common.foundation.errors import NotFound

STOP = run_pb2.StopRequest(by="eve")
WAITING = run_pb2.Reason(code="WAITS_FOR_EXECUTOR", message="no executor fits")
STATUSES = {
    "queued": ({"phase": "RUN_PHASE_QUEUED"}, "queued"),
    "setup error": ({"phase": "RUN_PHASE_SETUP_ERROR"}, "setup error"),
    "cancelled": ({"phase": "RUN_PHASE_CANCELLED"}, "cancelled"),
    "running": ({"phase": "RUN_PHASE_RUNNING"}, "running"),
    "running without a task that runs": ({"phase": "RUN_PHASE_RUNNING", "waiting": WAITING}, "waiting"),
    "failed already": ({"phase": "RUN_PHASE_RUNNING", "result": "RUN_RESULT_FAILED"}, "running (failed)"),
    "stopping": ({"phase": "RUN_PHASE_RUNNING", "result": "RUN_RESULT_STOPPED", "stop_request": STOP}, "stopping"),
    "finished": ({"phase": "RUN_PHASE_FINISHED", "result": "RUN_RESULT_SUCCESS"}, "success"),
}


@pytest.mark.parametrize(("fields", "expected"), STATUSES.values(), ids=STATUSES.keys())
def test_status_of_a_run_is_one_word(fields: dict[str, object], expected: str) -> None:
    assert run_status(run_pb2.Run(**fields)) == expected  # type: ignore[arg-type]


def test_ignored_failure_is_shown() -> None:
    assert task_status(run_pb2.Task(status=run_pb2.TASK_STATUS_LOST, ignore_failure=True)) == "lost (ignored)"
    assert task_status(run_pb2.Task(status=run_pb2.TASK_STATUS_SUCCESS, ignore_failure=True)) == "success"


def timed(**seconds: int) -> run_pb2.Run:
    run = run_pb2.Run(phase=run_pb2.RUN_PHASE_RUNNING)
    for name, value in seconds.items():
        getattr(run, name).FromSeconds(value)
    return run


def test_run_duration_begins_with_its_first_assignment() -> None:
    assert run_took(timed(start_time=100)) == ""
    assert run_took(timed(start_time=100, work_start_time=103, end_time=110)) == "7.0s"
    assert run_took(timed(start_time=100, end_time=110)) == "10.0s"


IDS = ("019b76da-a800-75be-b3c6-b1623f15862a", "019b76da-a800-75be-b3c6-b1623f15862b")


def test_short_ids_are_as_long_as_needed() -> None:
    assert short_id(IDS[0]) == "019b76da-a800"
    assert short_ids([IDS[0]]) == {IDS[0]: "019b76da-a800"}
    assert short_ids(IDS) == {id_: id_ for id_ in IDS}
    assert short_ids([]) == {}


def test_list_shows_short_ids_and_wide_list_whole_ids(capsys: pytest.CaptureFixture[str]) -> None:
    run = run_pb2.Run(id=IDS[0], number=4, name="ci", group="/user/admin/app/main", phase=run_pb2.RUN_PHASE_QUEUED)
    RunList(Format.TABLE).print([run])
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["NUMBER", "ID", "NAME", "STATUS", "TOOK", "AGE", "GROUP"]
    assert row.split() == ["4", "019b76da-a800", "ci", "queued", "/user/admin/app/main"]
    RunList(Format.WIDE).print([run])
    assert IDS[0] in capsys.readouterr().out


def test_list_fits_a_narrow_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sluiceway.cli.showing.columns_of", lambda _: 80)
    run = run_pb2.Run(id=IDS[0], number=4, name="n" * 60, group="/user/admin/" + "g" * 60)
    RunList(Format.TABLE).print([run])
    assert max(map(len, capsys.readouterr().out.splitlines())) == 80


def steps(*exits: int | None) -> list[run_pb2.Step]:
    return [
        run_pb2.Step(name=f"s{n}", phase=run_pb2.STEP_PHASE_SKIPPED)
        if code is None
        else run_pb2.Step(name=f"s{n}", phase="STEP_PHASE_FAILED" if code else "STEP_PHASE_SUCCESS", exit_status=code)
        for n, code in enumerate(exits)
    ]


def test_graph_shows_tasks_with_attempts_steps_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    on_failure = definition_pb2.Depend(
        task="lint",
        conditions=[definition_pb2.DEPEND_CONDITION_ON_FAILURE, definition_pb2.DEPEND_CONDITION_ON_SKIPPED],
    )
    lint = run_pb2.Task(
        name="lint", status=run_pb2.TASK_STATUS_FAILED, attempt=2, executor_id="e1", ignore_failure=True
    )
    lint.steps.extend(steps(0, 7, None))
    lint.reason.message = '"test" exited with 7'
    build = run_pb2.Task(name="build", status=run_pb2.TASK_STATUS_SUCCESS, attempt=1, executor_id="e2")
    build.steps.extend(steps(0))
    depends = [on_failure, definition_pb2.Depend(task="build")]
    show_tasks(
        [run_pb2.Task(name="tell", status=run_pb2.TASK_STATUS_NOT_STARTED, level=1, depends=depends), lint, build]
    )
    out = capsys.readouterr().out
    assert [" ".join(line.split()) for line in out.splitlines()] == [
        "TASK STATUS TOOK EXECUTOR ATTEMPT STEPS EXIT AFTER",
        "build success e2 1 1/1 0",
        "lint failed (ignored) e1 2 2/3 7",
        '"test" exited with 7',
        "tell not started lint (on_failure or on_skipped), build",
    ]
    assert "\n  tell" in out


def test_run_without_tasks_has_no_graph(capsys: pytest.CaptureFixture[str]) -> None:
    run = run_pb2.Run(id=IDS[0], number=4, name="ci", phase="RUN_PHASE_SETUP_ERROR", setup_errors=["no tasks\nat all"])
    show_run(run, [])
    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == [
        "run 4  ci",
        f"id:     {IDS[0]}",
        "status: setup error",
        "error: no tasks",
        "at all",
    ]


def test_task_is_found_by_name_or_id() -> None:
    tasks = [run_pb2.Task(id="t1", name="build"), run_pb2.Task(id="t2", name="test")]
    assert find_task(tasks, "test") is tasks[1]
    assert find_task(tasks, "t1") is tasks[0]


NAMES = {
    "none": ([], "no tasks"),
    "some": (["a", "b"], "a, b"),
    "many": ([f"t{n}" for n in range(12)], "t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, and 2 more"),
}


@pytest.mark.parametrize(("names", "told"), NAMES.values(), ids=NAMES.keys())
def test_unknown_task_is_an_error_with_the_known_tasks(names: list[str], told: str) -> None:
    with pytest.raises(NotFound) as caught:
        find_task([run_pb2.Task(name=name) for name in names], "x")
    assert caught.value.message == f'there is no task "x"; the run has {told}'
