"""The supervisor of child processes: restarts, ordered stop, none left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.app.supervision import HANGS_AFTER, Child, ChildSpec, StopPlan
from tests.support.conditions import eventually
from tests.support.installation import is_alive, until

pytestmark = pytest.mark.system

MakeChild = Callable[..., Child]


@pytest.fixture
def make_child(tmp_path: Path) -> MakeChild:
    def make(
        script: str, *, stop: StopPlan | None = None, hangs_after: timedelta = HANGS_AFTER, log: str = "child.log"
    ) -> Child:
        spec = ChildSpec(
            "child",
            ["/bin/sh", "-c", script],
            tmp_path / log,
            environment=dict(os.environ),
            stop=stop or StopPlan(),
        )
        return Child(spec, clock=SystemClock(), on_start=lambda: None, hangs_after=hangs_after)

    return make


async def pid_of(child: Child, *, other_than: int | None = None) -> int:
    async def there() -> bool:
        return child.pid not in {None, other_than}

    await eventually(there)
    assert child.pid is not None
    return child.pid


async def test_killed_child_is_restarted(make_child: MakeChild) -> None:
    child = make_child("exec sleep 60")
    child.settle()
    running = asyncio.create_task(child.run())
    first = await pid_of(child)
    os.kill(first, signal.SIGKILL)
    second = await pid_of(child, other_than=first)
    await child.stop()
    await running
    assert not is_alive(second)


async def test_child_that_dies_before_ready_is_logged_with_its_output(make_child: MakeChild) -> None:
    child = make_child("echo starting; echo 'the port is taken' >&2; exit 3")
    with pytest.raises(Unavailable, match="child ended at its start: the port is taken"):
        await child.run()


async def test_child_that_exits_is_restarted_whatever_its_status(make_child: MakeChild, tmp_path: Path) -> None:
    child = make_child(f"echo again >> {tmp_path}/runs")
    child.settle()
    running = asyncio.create_task(child.run())

    async def twice() -> bool:
        return (tmp_path / "runs").exists() and (tmp_path / "runs").read_text().count("again") >= 2

    await eventually(twice)
    await child.stop()
    running.cancel()


async def test_child_that_ignores_its_signals_is_killed(make_child: MakeChild, tmp_path: Path) -> None:
    plan = StopPlan(((signal.SIGTERM, timedelta(milliseconds=100)), (signal.SIGTERM, timedelta(milliseconds=100))))
    child = make_child(
        f"trap 'echo term >> {tmp_path}/seen' TERM; touch {tmp_path}/up; while :; do sleep 0.02; done", stop=plan
    )
    child.settle()
    running = asyncio.create_task(child.run())
    pid = await pid_of(child)

    async def up() -> bool:
        return (tmp_path / "up").exists()

    await eventually(up)
    await child.stop()
    await running
    assert not is_alive(pid)
    assert (tmp_path / "seen").read_text().startswith("term\n")


def test_child_ends_when_its_parent_ends(tmp_path: Path) -> None:
    parent_code = f"""
import asyncio, os
from pathlib import Path
from sluiceway_server.app.supervision import HANGS_AFTER, Child, ChildSpec
from sluiceway_common.foundation.clock import SystemClock
argv = ["/bin/sh", "-c", "echo $$ > {tmp_path}/pid; exec sleep 60"]
spec = ChildSpec("child", argv, Path("{tmp_path}/log"), environment=dict(os.environ))
asyncio.run(Child(spec, clock=SystemClock(), on_start=lambda: None).run())
"""
    pid_file = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", parent_code]) as parent:
        until(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"), "the child is started")
        pid = int(pid_file.read_text())
        assert is_alive(pid)
        parent.kill()
    until(lambda: not is_alive(pid), "the child is gone")


# Gives signs of life through the descriptor that it was given.
LIVES = "while :; do printf . > /proc/self/fd/$SLUICE_WATCHDOG_FD; sleep 0.1; done"


async def test_hanging_child_is_killed_and_restarted(make_child: MakeChild) -> None:
    child = make_child(LIVES, hangs_after=timedelta(seconds=1))
    child.settle()
    running = asyncio.create_task(child.run())
    first = await pid_of(child)
    os.kill(first, signal.SIGSTOP)
    await pid_of(child, other_than=first)
    assert not is_alive(first)
    await child.stop()
    await running


async def test_child_that_reports_liveness_is_not_killed(make_child: MakeChild, tmp_path: Path) -> None:
    child = make_child(f"echo once >> {tmp_path}/starts; {LIVES}", hangs_after=timedelta(seconds=0.5))
    child.settle()
    running = asyncio.create_task(child.run())
    first = await pid_of(child)
    began = time.monotonic()

    async def four_times_as_long() -> bool:
        return time.monotonic() - began > 2

    await eventually(four_times_as_long)
    assert child.pid == first
    assert (tmp_path / "starts").read_text() == "once\n"
    await child.stop()
    await running


async def test_child_that_fails_to_restart_is_retried(make_child: MakeChild, tmp_path: Path) -> None:
    child = make_child("exec sleep 60", log="logs/child.log")
    (tmp_path / "logs").mkdir()
    child.settle()
    running = asyncio.create_task(child.run())
    first = await pid_of(child)
    (tmp_path / "logs").rename(tmp_path / "away")
    os.kill(first, signal.SIGKILL)

    async def gone() -> bool:
        return child.pid is None

    await eventually(gone)
    (tmp_path / "away").rename(tmp_path / "logs")
    await pid_of(child, other_than=first)
    await child.stop()
    await running
