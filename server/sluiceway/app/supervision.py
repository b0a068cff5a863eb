"""Child processes of one parent: started, watched, restarted with back-off, ended in order.

A child is ended by the kernel when its parent dies (PR_SET_PDEATHSIG), so a parent that is killed leaves nothing
behind. The parent makes no grpc channel, which is what makes the code between fork and exec safe.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog

from sluiceway.foundation.backoff import backoff_seconds
from sluiceway.foundation.clock import Clock
from sluiceway.foundation.errors import Unavailable

__all__ = ["Child", "ChildSpec", "StopPlan"]

log = structlog.get_logger(__name__)

_PR_SET_PDEATHSIG = 1
_LOG_LIMIT_BYTES = 16 * 1024 * 1024
_TAIL_BYTES = 4096
# A child that ran for so long was well: its next failure counts as a first one.
_HEALTHY_AFTER = timedelta(seconds=30)
_RESTART_FIRST_SECONDS = 0.1
_RESTART_LIMIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class StopPlan:
    """Which signals end a child: each is followed by its time to go; KILL is the last, always."""

    signals: tuple[tuple[signal.Signals, timedelta], ...] = ((signal.SIGTERM, timedelta(seconds=15)),)


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How a child is started and ended. `environment` is all of its environment; `log_path` takes stdout and stderr."""

    name: str
    argv: Sequence[str]
    log_path: Path
    environment: Mapping[str, str]
    stop: StopPlan = StopPlan()


class Child:
    """One supervised process. `run` starts it and keeps it running; `stop` ends it for good."""

    def __init__(self, spec: ChildSpec, *, clock: Clock, on_start: Callable[[], None]) -> None:
        self.spec = spec
        self.pid: int | None = None
        self._clock = clock
        self._on_start = on_start
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._settled = False

    def settle(self) -> None:
        """Say that the child has been ready once: from now on it is restarted when it dies, not before."""
        self._settled = True

    async def run(self) -> None:
        """Start the child and restart it whenever it dies; returns after `stop`.

        Raises:
            Unavailable: it died before it was ever ready; the message holds its last words.
        """
        failures = 0
        while not self._stopping.is_set():
            started = self._clock.monotonic()
            process = await self._start()
            self.pid, self._process = process.pid, process
            log.info("child_started", child=self.spec.name, pid=process.pid)
            self._on_start()
            status = await process.wait()
            self.pid = None
            if self._stopping.is_set():
                return
            if not self._settled:
                raise Unavailable(f"{self.spec.name} ended at its start: {self._last_words()}")
            lived = self._clock.monotonic() - started
            failures = 1 if lived > _HEALTHY_AFTER.total_seconds() else failures + 1
            pause = backoff_seconds(failures, first=_RESTART_FIRST_SECONDS, limit=_RESTART_LIMIT_SECONDS)
            log.warning("child_died", child=self.spec.name, status=status, restart_seconds=round(pause, 2))
            await asyncio.sleep(pause)

    async def stop(self) -> None:
        """End the child by its plan; returns when it is gone. May be called twice, and before `run`."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        for number, patience in (*self.spec.stop.signals, (signal.SIGKILL, timedelta(seconds=10))):
            try:
                process.send_signal(number)
            except ProcessLookupError:
                return
            try:
                async with asyncio.timeout(patience.total_seconds()):
                    await process.wait()
            except TimeoutError:
                log.warning("child_slow_to_end", child=self.spec.name, signal=number.name)
            else:
                return

    async def _start(self) -> asyncio.subprocess.Process:
        path = self.spec.log_path
        if path.exists() and path.stat().st_size > _LOG_LIMIT_BYTES:
            path.replace(path.with_suffix(".log.1"))
        parent = os.getpid()
        output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            return await asyncio.create_subprocess_exec(
                *self.spec.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(self.spec.environment),
                # Own session: a Ctrl-C at the terminal reaches the parent alone, which ends its children in order.
                start_new_session=True,
                preexec_fn=lambda: _die_with(parent),
            )
        except OSError as error:
            raise Unavailable(f"{self.spec.name} could not be started: {error}") from error
        finally:
            os.close(output)

    def _last_words(self) -> str:
        try:
            with self.spec.log_path.open("rb") as file:
                file.seek(max(0, self.spec.log_path.stat().st_size - _TAIL_BYTES))
                lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
        except OSError:
            lines = []
        return f"{lines[-1] if lines else 'it said nothing'} (all of it is in {self.spec.log_path})"


def _die_with(parent: int) -> None:
    """Ask the kernel to end this process when its parent dies. Runs between fork and exec."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)
