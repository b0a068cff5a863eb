"""`sluice run logs` and `delete-logs` as processes, against the real `RunService`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sluiceway.api.run.v1 import definition_pb2
from tests.support.commands import BYTES, ServedEngine, ended
from tests.support.run_engine import definition, request


async def test_logs_are_printed_byte_for_byte(served: ServedEngine) -> None:
    run = await served.client.runs.create(request())
    result = await served.sluice("run", "logs", run.id, "build", "--step", "0")
    assert (result.code, result.out, result.err) == (0, BYTES, "")
    result = await served.sluice("run", "logs", run.id, "build", "--step", "0", "--offset", "102000")
    assert result.out == BYTES[102000:]
    result = await served.sluice("run", "logs", run.id, "build", "--setup")
    assert result.out == BYTES


async def test_empty_log_and_lost_log_are_distinguished(served: ServedEngine) -> None:
    run = await served.client.runs.create(request())
    await served.end_build(run.id, 0)
    served.log.data = b""
    empty = await served.sluice("run", "logs", run.id, "build", "--step", "0")
    assert (empty.out, empty.err) == (b"", "(no output)\n")
    run = await served.client.runs.create(request())
    await served.end_build(run.id, 3000)
    lost = await served.sluice("run", "logs", run.id, "build", "--step", "0")
    assert (lost.out, lost.err) == (b"", "(the log is not here: the step wrote 2.9 KiB)\n")
    served.log.data = b"x" * 1000
    cut = await served.sluice("run", "logs", run.id, "build", "--step", "0")
    assert cut.out == b"x" * 1000
    assert cut.err == "(the log is not here after its first 1000 bytes: the step wrote 2.9 KiB)\n"


async def test_logs_of_finished_tasks_are_deleted_after_a_prompt(served: ServedEngine) -> None:
    run = await served.client.runs.create(request(definition("build"), definition("deploy", "build")))
    unasked = await served.sluice("run", "delete-logs", run.id)
    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    running = await served.sluice("run", "delete-logs", run.id, "build", "--yes")
    assert (running.code, "not over yet: build" in running.err) == (1, True)
    await served.world.finish(served.engine, run.id, "build")
    whole = await served.sluice("run", "delete-logs", run.id, "--yes")
    assert (whole.code, "not over yet: deploy" in whole.err) == (1, True)
    await served.world.finish(served.engine, run.id, "deploy", "failed")
    one = await served.sluice("run", "delete-logs", run.id, "build", "--yes")
    assert (one.code, one.out.decode()) == (0, "the logs of task build of run 1 (ci) are deleted\n")
    rest = await served.sluice("run", "delete-logs", "@last", "--yes")
    assert (rest.code, rest.out.decode()) == (0, "the logs of task deploy of run 1 (ci) are deleted\n")
    assert [task.logs_deleted_by for task in await served.client.runs.tasks(run.id)] == ["admin", "admin"]
    again = await served.sluice("run", "delete-logs", run.id, "--yes")
    assert (again.code, again.out.decode()) == (0, "run 1 (ci) has no logs\n")


async def test_logs_are_printed_while_a_run_is_watched(served: ServedEngine, tmp_path: Path) -> None:
    served.log.data = b"one\ntwo\n"
    run = await served.client.runs.create(request())
    watching = await served.start("run", "watch", "--logs", run.id)
    await served.end_build(run.id, 8)
    result = await ended(watching)
    lines = result.out.decode().splitlines()
    assert "1 ci  build  | one" in lines
    assert "1 ci  build  | two" in lines
    assert result.code == 0


async def test_logs_of_a_task_that_never_ran_are_empty(served: ServedEngine) -> None:
    run = await served.client.runs.create(request(definition("deploy", approval=definition_pb2.Approval())))
    for arguments in ((), ("deploy",)):
        result = await served.sluice("run", "logs", run.id, *arguments)
        assert (result.code, result.out, result.err) == (0, b"", "")


async def test_followed_log_of_a_waiting_task_begins_with_the_task(served: ServedEngine) -> None:
    run = await served.client.runs.create(request(definition("deploy", approval=definition_pb2.Approval())))
    following = await served.start("run", "logs", "-f", run.id, "deploy", "--step", "0")
    await served.client.runs.approve(run.id, (await served.client.runs.tasks(run.id))[0].id)
    assert (await ended(following)).out == BYTES


TEXT = b"".join(f"line {number}\n".encode() for number in range(1, 1001))


@pytest.mark.parametrize(
    ("arguments", "first", "last"),
    [
        (["--tail", "3"], 998, 1000),
        (["--lines", "120-140"], 120, 140),
        (["--lines", "990-"], 990, 1000),
        (["--lines", "7"], 7, 7),
        (["--since", "2026-11-30T08:00:00.5Z"], 501, 1000),
    ],
)
async def test_logs_are_printed_from_a_line_or_a_time(
    served: ServedEngine, arguments: list[str], first: int, last: int
) -> None:
    served.log.data = TEXT
    began = datetime(2026, 11, 30, 8, tzinfo=UTC).timestamp()
    served.log.times = [(0, began), (TEXT.index(b"line 501\n"), began + 1)]
    run = await served.client.runs.create(request())
    result = await served.sluice("run", "logs", run.id, "build", "--step", "0", *arguments)
    expected = b"".join(f"line {number}\n".encode() for number in range(first, last + 1))
    assert (result.code, result.out, result.err) == (0, expected, "")


async def test_times_of_lines_are_printed(served: ServedEngine) -> None:
    served.log.data = b"one\ntwo\nthree"
    served.log.times = [(0, 1764489600.0), (6, 1764489601.25)]
    run = await served.client.runs.create(request())
    result = await served.sluice("run", "logs", run.id, "build", "--step", "0", "-t")
    assert result.out.decode().splitlines() == [
        "2025-11-30T08:00:00.000Z one",
        "2025-11-30T08:00:00.000Z two",
        "2025-11-30T08:00:01.250Z three",
    ]


@pytest.mark.parametrize("lines", ["0", "5-3", "x", "-3", "1-x"])
async def test_wrong_range_of_lines_is_refused(served: ServedEngine, lines: str) -> None:
    result = await served.sluice("run", "logs", "1", "build", "--step", "0", f"--lines={lines}")
    assert (result.code, "--lines" in result.err) == (2, True)


async def test_search_prints_lines_as_grep_does(served: ServedEngine) -> None:
    served.log.data = b"a\nb\n\x1b[31mneedle\x1b[0m 1\nc\nNEEDLE 2\nd\ne\nf\nneedle 3"
    run = await served.client.runs.create(request())
    await served.end_build(run.id, len(served.log.data))
    result = await served.sluice("run", "search", run.id, "needle")
    step = (await served.client.runs.tasks(run.id))[0].steps[0].name
    found = result.out.decode().splitlines()
    assert [line for line in found if line.startswith(f"build/{step}")] == [
        f"build/{step}:3: needle 1",
        f"build/{step}:9: needle 3",
    ]
    result = await served.sluice("run", "search", run.id, "-iE", "-C", "1", "^needle [12]", "--task", "build")
    numbers = [line.split(" ")[0] for line in result.out.decode().splitlines() if line.startswith(f"build/{step}")]
    assert numbers == [f"build/{step}{each}" for each in ("-2-", ":3:", "-4-", ":5:", "-6-")]
    result = await served.sluice("run", "search", run.id, "needle", "--limit", "1", "-o", "json")
    assert [each["line"] for each in json.loads(result.out)] == ["3"]
    assert result.err == "stopped after 1 matches; there may be more (--limit)\n"
    nothing = await served.sluice("run", "search", run.id, "nothing")
    assert (nothing.code, nothing.out) == (1, b"")
    wrong = await served.sluice("run", "search", run.id, "(", "-E")
    assert (wrong.code, "regular expression" in wrong.err) == (1, True)
