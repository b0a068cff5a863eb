"""Processes that tests start: logged into a file, and never left behind.

A test runner that is killed cannot end its processes. So each has a guard process, which ends it when the runner has
ended in whatever way.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["GuardedProcess", "Restartable"]


class GuardedProcess:
    """A running process with its guard. Needs no event loop.

    Args:
        command: its arguments.
        words: the file to which its output is appended.
        folder: in which it runs; None: ours.
        environment: all of it; None: ours.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        words: Path,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._words = words
        with words.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=environment
            )
        # Its input ends when we do, since nobody else holds the other end of it. In a session of its own: an interrupt
        # from the terminal must not end it before what it guards.
        self._guard = subprocess.Popen(
            ["sh", "-c", f"cat >/dev/null; kill -9 {self._process.pid}"],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Return whether it has not ended."""
        return self._process.poll() is None

    def wait_until_ready(self, fault: Callable[[], str | None], *, seconds: float) -> None:
        """Wait until `fault` returns nothing. Otherwise kill it, and raise `AssertionError` with its last output."""
        deadline = time.monotonic() + seconds
        while (found := fault()) is not None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.end(signal.SIGKILL)
                raise AssertionError(f"it did not start: {found}: {self._words.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)

    def end(self, how: signal.Signals, *, seconds: float = 20) -> None:
        """Send it a signal that ends it, paused or not, and wait for its end; SIGKILL when it takes too long."""
        # First: later, the number may be another process's.
        self._guard.kill()
        self._guard.wait(timeout=10)
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        if self._process.poll() is None:
            self._process.send_signal(how)
        try:
            self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=10)


class Restartable:
    """A process that can be ended and started again on the same data and ports.

    A subclass implements `start`, which sets `_process`.
    """

    _process: GuardedProcess | None = None

    @property
    def pid(self) -> int:
        """Return the id of the running process."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Return whether it was started and has not ended."""
        return self._process is not None and self._process.is_running

    def kill(self) -> None:
        """End it by SIGKILL, as a power failure does, paused or not."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it by SIGTERM."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Send SIGSTOP: connections stay open without a response."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end(how)
