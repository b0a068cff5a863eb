"""The lines that a watch prints, and its exit code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sluiceway.api.run.v1 import run_pb2
from sluiceway.api.run.v1.run_service_pb2 import WatchRunResponse
from sluiceway.cli.watching import Following, Layout, exit_code, worst

CODES = {
    "success": (run_pb2.RUN_PHASE_FINISHED, run_pb2.RUN_RESULT_SUCCESS, 0),
    "failed": (run_pb2.RUN_PHASE_FINISHED, run_pb2.RUN_RESULT_FAILED, 1),
    "stopped": (run_pb2.RUN_PHASE_FINISHED, run_pb2.RUN_RESULT_STOPPED, 2),
    "cancelled": (run_pb2.RUN_PHASE_CANCELLED, run_pb2.RUN_RESULT_UNSPECIFIED, 2),
    "setup error": (run_pb2.RUN_PHASE_SETUP_ERROR, run_pb2.RUN_RESULT_UNSPECIFIED, 3),
}


@pytest.mark.parametrize(("phase", "result", "expected"), CODES.values(), ids=CODES.keys())
def test_exit_code_is_that_of_the_result(phase: run_pb2.RunPhase, result: run_pb2.RunResult, expected: int) -> None:
    assert exit_code(run_pb2.Run(phase=phase, result=result)) == expected


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([0, 0], 0), ([0, 2], 2), ([2, 1, 0], 1), ([1, 3, 2], 3)],
    ids=["all well", "stopped after success", "failed after stopped", "setup error after all"],
)
def test_exit_code_is_the_worst_of_several_runs(codes: list[int], expected: int) -> None:
    assert worst(codes) == expected


def run(phase: str, **more: object) -> run_pb2.Run:
    fields = {"id": "r1", "number": 7, "name": "ci", "phase": f"RUN_PHASE_{phase}", **more}
    return run_pb2.Run(**fields)  # type: ignore[arg-type]


def task(name: str, status: str, **more: object) -> run_pb2.Task:
    return run_pb2.Task(id=f"id of {name}", run_id="r1", name=name, status=f"TASK_STATUS_{status}", **more)  # type: ignore[arg-type]


async def messages_of(*messages: WatchRunResponse) -> AsyncIterator[WatchRunResponse]:
    for message in messages:
        yield message


async def follow(*messages: WatchRunResponse, **more: Any) -> list[str]:
    """Return the lines of one run, with single blanks and without the run's title."""
    lines: list[str] = []
    following = Following(run("QUEUED"), Layout(lines.append, **more))
    await following.follow(messages_of(*messages))
    return [line if line.startswith(" ") else " ".join(line.split()).removeprefix("7 ci ") for line in lines]


async def test_run_line_is_first_and_last() -> None:
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
        "- running id r1",
        "a running on e1",
        "a success",
        "b failed exited with 1",
        "- finished result failed",
    ]


async def test_setup_errors_and_warnings_are_printed() -> None:
    lines = await follow(
        WatchRunResponse(run=run("SETUP_ERROR", setup_errors=["no name\nat line 3"], warnings=["a variable is unset"]))
    )
    assert lines == ["- setup error", "    no name", "    at line 3", "    warning: a variable is unset"]


async def test_warnings_are_printed_once() -> None:
    lines = await follow(
        WatchRunResponse(run=run("RUNNING", warnings=["one"])),
        WatchRunResponse(run=run("RUNNING", warnings=["one", "two"])),
    )
    assert lines == ["- running id r1", "    warning: one", "    warning: two"]


async def test_queued_run_prints_the_explain_command() -> None:
    assert await follow(WatchRunResponse(run=run("QUEUED"))) == ["- queued why: sluice run explain r1"]


async def test_early_result_and_its_reason_are_printed_once() -> None:
    failed = {"result": run_pb2.RUN_RESULT_FAILED, "reason": run_pb2.Reason(message="it took too long")}
    lines = await follow(
        WatchRunResponse(run=run("RUNNING")),
        WatchRunResponse(run=run("RUNNING", **failed)),
        WatchRunResponse(run=run("FINISHED", **failed)),
    )
    assert lines[1:] == ["- result failed", "    it took too long", "- finished"]


async def test_requested_stop_is_printed_with_its_caller() -> None:
    lines = await follow(
        WatchRunResponse(run=run("RUNNING")),
        WatchRunResponse(run=run("RUNNING", stop_request=run_pb2.StopRequest(by="eve"))),
    )
    assert lines[1:] == ["- stopping requested by eve"]


APPROVALS = {
    "a plain name": ("deploy", "sluice run approve r1 deploy"),
    "a name with spaces": ("to the world", "sluice run approve r1 'to the world'"),
    "a name for the shell": ("$(reboot)'s", "sluice run approve r1 '$(reboot)'\"'\"'s'"),
    "a name that cannot be shown": ("de\x1bploy", "sluice run approve r1 t1"),
}


@pytest.mark.parametrize(("name", "command"), APPROVALS.values(), ids=APPROVALS.keys())
async def test_task_waiting_for_approval_prints_the_command(name: str, command: str) -> None:
    approval = run_pb2.TaskApproval(needed=True)
    approval.waiting_since.FromSeconds(1)
    waiting = task(name, "NOT_STARTED", approval=approval)
    waiting.id = "t1"
    lines = await follow(WatchRunResponse(run=run("RUNNING"), tasks=[waiting]), WatchRunResponse(tasks=[waiting]))
    assert lines[1].endswith(command)
    assert lines[1].isprintable()
    assert len(lines) == 2


async def test_further_attempt_is_printed() -> None:
    lines = await follow(
        WatchRunResponse(run=run("RUNNING"), tasks=[task("a", "RUNNING", attempt=1)]),
        WatchRunResponse(tasks=[task("a", "NOT_STARTED", attempt=1)]),
        WatchRunResponse(tasks=[task("a", "RUNNING", attempt=2)]),
    )
    assert lines[2:] == ["a attempt 2", "a running"]


async def test_note_that_does_not_fit_is_printed_on_its_own_lines() -> None:
    reason = run_pb2.Reason(message="word " * 30)
    lines = await follow(WatchRunResponse(run=run("RUNNING"), tasks=[task("a", "FAILED", reason=reason)]), limit=60)
    assert lines[1] == "a failed"
    assert all(line.startswith("    ") and len(line) <= 60 for line in lines[2:])
    assert " ".join(" ".join(lines[2:]).split()) == ("word " * 30).strip()


async def test_lines_of_several_runs_have_the_same_columns() -> None:
    lines: list[str] = []
    layout, started = Layout(lines.append), asyncio.Barrier(2)
    names = {"r1": "short", "r2": "much longer"}
    streams = {
        id_: messages_of(
            WatchRunResponse(run=run("RUNNING", id=id_, name=name), tasks=[task(f"task of {name}", "RUNNING")]),
            WatchRunResponse(tasks=[task(f"task of {name}", "FAILED")]),
            WatchRunResponse(run=run("FINISHED", id=id_, name=name)),
        )
        for id_, name in names.items()
    }
    async with asyncio.TaskGroup() as group:
        for id_, name in names.items():
            following = Following(run("QUEUED", id=id_, name=name), layout, started=started)
            group.create_task(following.follow(streams[id_]))
    assert len(lines) == 8
    assert all(line.startswith(("7 short", "7 much longer")) for line in lines)
    states = [next(line.index(word) for word in ("running", "failed", "finished") if word in line) for line in lines]
    assert len(set(states)) == 1


async def test_line_names_the_run_when_its_message_does_not() -> None:
    lines: list[str] = []
    following = Following(run("RUNNING", name="a"), Layout(lines.append))
    await following.follow(messages_of(WatchRunResponse(tasks=[task("svc", "FAILED")])))
    assert lines[0].split() == ["7", "a", "svc", "failed"]


async def test_each_attempt_is_printed_once() -> None:
    begun: list[tuple[int, str]] = []
    layout = Layout(lambda _: None)
    following = Following(run("RUNNING"), layout, on_attempt=lambda each, names: begun.append((each.attempt, names)))
    running = task("a", "RUNNING", attempt=1)
    again = task("a", "RUNNING", attempt=2)
    await following.follow(
        messages_of(
            WatchRunResponse(run=run("RUNNING"), tasks=[running, task("longer", "NOT_STARTED")]),
            WatchRunResponse(tasks=[running]),
            WatchRunResponse(tasks=[again]),
        )
    )
    assert begun == [(1, "7 ci  a     "), (2, "7 ci  a     ")]


async def test_user_text_is_printed_without_control_characters() -> None:
    evil = "\x1b]0;title\x07"
    lines: list[str] = []
    following = Following(run("QUEUED", name=evil), Layout(lines.append))
    await following.follow(
        messages_of(
            WatchRunResponse(
                run=run("SETUP_ERROR", name=evil, setup_errors=[evil], warnings=[evil]),
                tasks=[task(evil, "FAILED", reason=run_pb2.Reason(message=evil))],
            )
        )
    )
    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)
