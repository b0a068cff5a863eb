"""A run as it goes: which lines are printed, and which exit code is given at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sluiceway.api.run.v1 import definition_pb2, run_pb2
from sluiceway.api.run.v1.run_service_pb2 import WatchRunResponse
from sluiceway.cli.watching import Following, exit_code, show_graph, worst

CODES = {
    "success": (run_pb2.RUN_PHASE_FINISHED, run_pb2.RUN_RESULT_SUCCESS, 0),
    "failed": (run_pb2.RUN_PHASE_FINISHED, run_pb2.RUN_RESULT_FAILED, 1),
    "stopped": (run_pb2.RUN_PHASE_FINISHED, run_pb2.RUN_RESULT_STOPPED, 2),
    "cancelled": (run_pb2.RUN_PHASE_CANCELLED, run_pb2.RUN_RESULT_UNSPECIFIED, 2),
    "setup error": (run_pb2.RUN_PHASE_SETUP_ERROR, run_pb2.RUN_RESULT_UNSPECIFIED, 3),
}


@pytest.mark.parametrize(("phase", "result", "expected"), CODES.values(), ids=CODES.keys())
def test_exit_code_tells_how_a_run_ended(phase: run_pb2.RunPhase, result: run_pb2.RunResult, expected: int) -> None:
    assert exit_code(run_pb2.Run(phase=phase, result=result)) == expected


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([0, 0], 0), ([0, 2], 2), ([2, 1, 0], 1), ([1, 3, 2], 3)],
    ids=["all well", "stopped after success", "failed after stopped", "setup error after all"],
)
def test_worst_of_several_codes_counts(codes: list[int], expected: int) -> None:
    assert worst(codes) == expected


def run(phase: str, **more: object) -> run_pb2.Run:
    return run_pb2.Run(id="r1", number=7, name="ci", phase=f"RUN_PHASE_{phase}", **more)  # type: ignore[arg-type]


def task(name: str, status: str, **more: object) -> run_pb2.Task:
    return run_pb2.Task(id=f"id of {name}", run_id="r1", name=name, status=f"TASK_STATUS_{status}", **more)  # type: ignore[arg-type]


async def follow(*messages: WatchRunResponse, with_run_name: bool = False, colour: bool = False) -> list[str]:
    async def stream() -> AsyncIterator[WatchRunResponse]:
        for message in messages:
            yield message

    lines: list[str] = []
    await Following(lines.append, colour=colour, with_run_name=with_run_name).follow(stream())
    return [" ".join(line.split()) if line[0] != " " else line for line in lines]


async def test_run_begins_before_its_tasks_and_ends_after_them() -> None:
    lines = await follow(
        WatchRunResponse(run=run("RUNNING"), tasks=[task("a", "RUNNING", executor_id="e1"), task("b", "NOT_STARTED")]),
        WatchRunResponse(tasks=[task("a", "SUCCESS")]),
        WatchRunResponse(tasks=[task("a", "SUCCESS")]),
        WatchRunResponse(
            run=run("FINISHED", result=run_pb2.RUN_RESULT_FAILED),
            tasks=[task("b", "FAILED", reason=run_pb2.Reason(message="exited with 1"))],
        ),
    )
    assert lines == [
        "run 7 ci running",
        "a running e1",
        "a success",
        "b failed exited with 1",
        "run 7 ci finished",
        "run 7 ci result failed",
    ]


async def test_setup_errors_and_warnings_are_told() -> None:
    lines = await follow(
        WatchRunResponse(run=run("SETUP_ERROR", setup_errors=["no name\nat line 3"], warnings=["a variable is unset"]))
    )
    assert lines == ["run 7 ci setup error", "  no name", "  at line 3", "  warning: a variable is unset"]


async def test_warnings_are_told_once() -> None:
    lines = await follow(
        WatchRunResponse(run=run("RUNNING", warnings=["one"])),
        WatchRunResponse(run=run("RUNNING", warnings=["one", "two"])),
    )
    assert lines == ["run 7 ci running", "  warning: one", "  warning: two"]


async def test_queued_run_says_how_to_learn_why() -> None:
    assert await follow(WatchRunResponse(run=run("QUEUED"))) == ["run 7 ci queued why: sluice run explain r1"]


async def test_asked_for_end_is_told_with_who_asked() -> None:
    lines = await follow(
        WatchRunResponse(run=run("RUNNING")),
        WatchRunResponse(run=run("RUNNING", stop_request=run_pb2.StopRequest(by="eve"))),
    )
    assert lines[1:] == ["run 7 ci stops asked for by eve"]


APPROVALS = {
    "a plain name": ("deploy", "sluice run approve r1 deploy"),
    "a name with spaces": ("to the world", "sluice run approve r1 'to the world'"),
    "a name for the shell": ("$(reboot)'s", "sluice run approve r1 '$(reboot)'\"'\"'s'"),
    "a name that cannot be shown": ("de\x1bploy", "sluice run approve r1 t1"),
}


@pytest.mark.parametrize(("name", "command"), APPROVALS.values(), ids=APPROVALS.keys())
async def test_task_that_waits_for_approval_says_what_to_type(name: str, command: str) -> None:
    approval = run_pb2.TaskApproval(needed=True)
    approval.waiting_since.FromSeconds(1)
    waiting = task(name, "NOT_STARTED", approval=approval)
    waiting.id = "t1"
    lines = await follow(WatchRunResponse(run=run("RUNNING"), tasks=[waiting]), WatchRunResponse(tasks=[waiting]))
    assert lines[1].endswith(command)
    assert lines[1].isprintable()
    assert len(lines) == 2


async def test_further_attempt_is_told() -> None:
    lines = await follow(
        WatchRunResponse(run=run("RUNNING"), tasks=[task("a", "RUNNING", attempt=1)]),
        WatchRunResponse(tasks=[task("a", "NOT_STARTED", attempt=1)]),
        WatchRunResponse(tasks=[task("a", "RUNNING", attempt=2)]),
    )
    assert lines[2:] == ["a attempt 2", "a running"]


async def test_lines_of_several_runs_begin_with_their_name() -> None:
    lines = await follow(WatchRunResponse(run=run("RUNNING"), tasks=[task("a", "RUNNING")]), with_run_name=True)
    assert lines == ["ci: run 7 running", "ci: a running"]


async def test_text_of_users_reaches_the_terminal_without_control_characters() -> None:
    evil = "\x1b]0;title\x07"
    lines = await follow(
        WatchRunResponse(
            run=run_pb2.Run(
                id="r1", name=evil, phase=run_pb2.RUN_PHASE_SETUP_ERROR, setup_errors=[evil], warnings=[evil]
            ),
            tasks=[task(evil, "FAILED", reason=run_pb2.Reason(message=evil))],
        ),
        with_run_name=True,
    )
    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)


async def test_graph_shows_levels_edges_and_ignored_failures(capsys: pytest.CaptureFixture[str]) -> None:
    on_failure = definition_pb2.Depend(
        task="lint",
        conditions=[definition_pb2.DEPEND_CONDITION_ON_FAILURE, definition_pb2.DEPEND_CONDITION_ON_SKIPPED],
    )
    show_graph(
        [
            task("tell", "NOT_STARTED", level=1, depends=[on_failure, definition_pb2.Depend(task="build")]),
            task("lint", "FAILED", ignore_failure=True, reason=run_pb2.Reason(message="exited with 1")),
            task("build", "SUCCESS"),
        ]
    )
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == [
        "TASK STATUS TOOK AFTER REASON",
        "build success",
        "lint failed (ignored) exited with 1",
        "tell not started lint (on_failure or on_skipped), build",
    ]


def test_run_without_tasks_has_no_graph(capsys: pytest.CaptureFixture[str]) -> None:
    show_graph([])
    assert capsys.readouterr().out == ""
