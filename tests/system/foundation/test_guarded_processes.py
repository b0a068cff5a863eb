"""Processes that tests start end with the test runner, also when it is killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.conditions import eventually

pytestmark = pytest.mark.system

RUNNER = """
import sys, time
from pathlib import Path
from tests.support.processes import GuardedProcess

process = GuardedProcess(["sleep", "1000"], words=Path(sys.argv[1]))
print(process.pid, flush=True)
time.sleep(1000)
"""


def runs(pid: int) -> bool:
    """Return whether a process exists and is not a zombie, whose parent may never wait for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pid_of_what_a_runner_left(words: Path, how: signal.Signals) -> int:
    """Start a test runner that starts a process, and end the runner with a signal."""
    with subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[3],
    ) as runner:
        assert runner.stdout is not None
        pid = int(runner.stdout.readline())
        assert runs(pid)
        runner.send_signal(how)
        runner.wait(timeout=20)
    return pid


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_killed_test_runner_leaves_no_process(tmp_path: Path, how: signal.Signals) -> None:
    pid = await asyncio.to_thread(pid_of_what_a_runner_left, tmp_path / "words", how)

    async def is_gone() -> bool:
        return not runs(pid)

    await eventually(is_gone)
