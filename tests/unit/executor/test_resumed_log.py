"""A log that another process of the executor continues: the same as if one process had written all of it."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_common.foundation.clock import SystemClock
from sluiceway_executor import plan
from sluiceway_executor.log_mark import Mark
from sluiceway_executor.output import StepLog
from sluiceway_executor.plan import StepPlan, advance, begin
from sluiceway_executor.progress import Progress, ProgressFiles
from sluiceway_executor.spool import LogName, Spools

SECRET = b"hunter22"
NAME = LogName("a1", 0)
OUTPUT = b"line hunter22hunter22 and hunter2 and hunter\n22 hunter22\nrest " * 3


async def open_log(folder: Path, limit_bytes: int) -> tuple[Spools, StepLog]:
    spools = Spools(folder, limit_bytes=1 << 20)
    await spools.load(continued=["a1"])
    spool = await spools.reopen(NAME)
    return spools, StepLog(spools, spool, masks=[SECRET], clock=SystemClock(), limit_bytes=limit_bytes)


def kill(spools: Spools) -> None:
    """End its process: what is in memory only is lost."""
    for spool in spools:
        spool._close_part()


async def write_in_lives(folder: Path, lives: list[tuple[int, int]], limit_bytes: int) -> tuple[bytes, str]:
    """Write the output with a process for each of `lives`: so much is on disk, and so much is lost with it."""
    for kept, lost in lives:
        spools, log = await open_log(folder, limit_bytes)
        await log.write(OUTPUT[log.output : log.output + kept])
        await log.keep()
        await log.write(OUTPUT[log.output : log.output + lost])
        kill(spools)
    spools, log = await open_log(folder, limit_bytes)
    for at in range(log.output, len(OUTPUT), 7):
        await log.write(OUTPUT[at : min(at + 7, len(OUTPUT))])
    await log.note("over")
    await log.finish()
    spool = spools.get(NAME)
    assert spool is not None
    text = spool.read(0, 1 << 20)
    digest = log.sha256
    spools.close()
    return text, digest


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=4), st.sampled_from([0, 40, 60]))
def test_lives_write_the_log_of_one(
    tmp_path_factory: pytest.TempPathFactory, lives: list[tuple[int, int]], limit_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("lives")
    try:
        one = asyncio.run(write_in_lives(folder / "one", [], limit_bytes))
        assert asyncio.run(write_in_lives(folder / "many", lives, limit_bytes)) == one
    finally:
        shutil.rmtree(folder)


async def test_bytes_behind_the_mark_are_cut(tmp_path: Path) -> None:
    spools, log = await open_log(tmp_path, 0)
    await log.write(b"first\n")
    await log.keep()
    kill(spools)
    (part,) = tmp_path.glob("*/0/*.part")
    with part.open("ab") as file:
        file.write(b"written, but not counted")
    spools, log = await open_log(tmp_path, 0)
    assert log.output == 6
    await log.write(b"second\n")
    await log.finish()
    spool = spools.get(NAME)
    assert spool is not None
    assert spool.read(0, 100) == b"first\nsecond\n"
    spools.close()


async def test_line_of_the_executor_is_written_once(tmp_path: Path) -> None:
    spools, log = await open_log(tmp_path, 0)
    await log.note("the background process")
    await log.keep()
    kill(spools)
    spools, log = await open_log(tmp_path, 0)
    await log.note("the background process")
    await log.keep()
    spool = spools.get(NAME)
    assert spool is not None
    assert spool.read(0, 100) == b"[sluice] the background process\n"
    spools.close()


@pytest.mark.parametrize("change", ["cut", "flip"])
def test_damaged_mark_is_none(tmp_path: Path, change: str) -> None:
    path = tmp_path / "mark"
    mark = Mark(size=5, output=7, covered=2, in_run=True, is_line_start=False, left=9, is_cut=True, notes=1)
    mark.write(path)
    assert Mark.read(path) == mark
    data = path.read_bytes()
    path.write_bytes(data[:-1] if change == "cut" else bytes([data[0] ^ 1]) + data[1:])
    assert Mark.read(path) is None
    path.unlink()
    assert Mark.read(path) is None


HELD = (plan.StartHold(1),)
AGAIN = plan.HoldEnded(1, plan.HoldAction.RUN_FAILED_STEP)
PLANS = (StepPlan("a"), StepPlan("b"), StepPlan("clean", always=True))


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([], (plan.CreatePod(),), id="a setup begins again"),
        pytest.param([plan.PodStarted()], (plan.ResumeStep(0),), id="a step continues"),
        pytest.param(
            [plan.PodStarted(), plan.StopRequested()],
            (plan.ResumeStep(0), plan.StopStep()),
            id="a step that is being stopped is stopped",
        ),
        pytest.param(
            [plan.PodStarted(), plan.StepEnded(0, 1)],
            (plan.ResumeStep(2), plan.StartBudget()),
            id="an always step continues within its budget",
        ),
        pytest.param([plan.PodStarted(), plan.StepEnded(0, 1)], HELD, id="a hold continues"),
        pytest.param(
            [plan.PodStarted(), plan.StepEnded(0, 1), AGAIN],
            (plan.ResumeStep(0),),
            id="a step that is run again after a hold continues",
        ),
        pytest.param(
            [plan.PodStarted(), plan.PodGone("POD_GONE", "gone")],
            (plan.Finish(),),
            id="a task that is over is finished",
        ),
    ],
)
async def test_task_continues_from_its_file(
    tmp_path: Path, events: list[plan.Event], expected: tuple[plan.Instruction, ...]
) -> None:
    task, _ = begin(PLANS, holds=any(isinstance(event, plan.HoldEnded) for event in events) or expected == HELD)
    for event in events:
        task, _ = advance(task, event)
    files = ProgressFiles(tmp_path / "tasks")
    await files.save("a1", Progress(task, {}, 5.0, 6.0, 7.0, 8.0))
    found = await files.load("a1")
    assert found is not None
    assert found.with_plans(PLANS) == task
    assert (found.timeout_at, found.timeout_left, found.budget_at, found.hold_at) == (5.0, 6.0, 7.0, 8.0)
    resumed, instructions = plan.resume(found.with_plans(PLANS))
    assert instructions == expected
    assert resumed == task


async def test_damaged_file_of_a_task_is_an_error(tmp_path: Path) -> None:
    files = ProgressFiles(tmp_path)
    assert await files.load("a1") is None
    await files.save("a1", Progress(begin(PLANS)[0], {}, 0.0))
    (path,) = tmp_path.iterdir()
    os.truncate(path, 10)
    with pytest.raises(ValueError, match=r"cannot be read|Unterminated|Expecting"):
        await files.load("a1")
    await files.sweep(keep=[])
    assert not list(tmp_path.iterdir())
