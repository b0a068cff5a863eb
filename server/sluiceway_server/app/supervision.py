"""Child processes: started, monitored, restarted with back-off, and stopped in order.

A child is ended by the kernel when its parent dies (PR_SET_PDEATHSIG), so a parent that is killed leaves none
behind. The parent makes no grpc channel, which is what makes the code between fork and exec safe.

A child sends heartbeats through a pipe (`foundation.watchdog`), or responds to a probe. One that has not for
`HANGS_AFTER` is killed and started again: it is stopped, or its event loop is blocked.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog

from sluiceway_common.foundation.backoff import backoff_seconds
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import Unavailable
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_common.foundation.watchdog import WATCHDOG_VARIABLE

log = structlog.get_logger(__name__)

HANGS_AFTER = timedelta(seconds=60)
"""How long a child may send no heartbeat."""

_PR_SET_PDEATHSIG = 1
_LOG_LIMIT_BYTES = 16 * 1024 * 1024
_TAIL_BYTES = 4096
# After a child ran for this long, the back-off starts from the beginning.
_HEALTHY_AFTER = timedelta(seconds=30)
_RESTART_FIRST_SECONDS = 0.1
_RESTART_LIMIT_SECONDS = 5.0
_LOOK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class StopPlan:
    """The signals that stop a child, each with the time before the next one; the last is always KILL."""

    signals: tuple[tuple[signal.Signals, timedelta], ...] = ((signal.SIGTERM, timedelta(seconds=15)),)


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How a child is started and stopped.

    Attributes:
        name: of the child, for logs and `standalone.json`.
        argv: the program and its arguments.
        log_path: takes its standard output and error.
        environment: all of its environment.
        stop: how it is stopped.
        folder: its working directory; None: the parent's.
        left_over: files that an earlier process may have left, removed before each start.
        descriptors: file descriptors that it inherits, with the same numbers.
        probe: returns whether it is alive; None: it sends heartbeats through a pipe.
    """

    name: str
    argv: Sequence[str]
    log_path: Path
    environment: Mapping[str, str]
    stop: StopPlan = StopPlan()
    folder: Path | None = None
    left_over: Sequence[Path] = ()
    descriptors: Sequence[int] = ()
    probe: Callable[[], Awaitable[bool]] | None = None


class Child:
    """One supervised process. `run` starts it and keeps it running; `stop` stops it."""

    def __init__(
        self, spec: ChildSpec, *, clock: Clock, on_start: Callable[[], None], hangs_after: timedelta = HANGS_AFTER
    ) -> None:
        self.spec = spec
        self.pid: int | None = None
        self._clock = clock
        self._on_start = on_start
        self._hangs_after = hangs_after
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._settled = False
        self._alive_at = 0.0

    def settle(self) -> None:
        """Record that the child has been ready. From now on it is restarted when it dies."""
        self._settled = True

    async def run(self) -> None:
        """Start the child and restart it whenever it dies or hangs; returns after `stop`.

        Once it has been ready, only `stop` ends this: a child that cannot be started, on a full disk for example, is
        tried again.

        Raises:
            Unavailable: it died before it was ever ready; the message has the end of its output.
        """
        failures = 0
        while not self._stopping.is_set():
            started = self._clock.monotonic()
            try:
                status: int | None = await self._run_once()
            except Unavailable as error:
                if not self._settled:
                    raise
                log.warning("child_not_started", child=self.spec.name, error=str(error))
                status = None
            if self._stopping.is_set():
                return
            if not self._settled:
                raise Unavailable(f"{self.spec.name} ended at its start: {self._last_words()}")
            lived = self._clock.monotonic() - started
            failures = 1 if lived > _HEALTHY_AFTER.total_seconds() else failures + 1
            pause = backoff_seconds(failures, first=_RESTART_FIRST_SECONDS, limit=_RESTART_LIMIT_SECONDS)
            log.warning("child_died", child=self.spec.name, status=status, restart_seconds=round(pause, 2))
            with contextlib.suppress(TimeoutError):
                async with time_limit(pause):
                    await self._stopping.wait()

    async def stop(self) -> None:
        """Stop the child by its plan; returns when it has exited. May be called twice, and before `run`."""
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
                async with time_limit(patience.total_seconds()):
                    await process.wait()
            except TimeoutError:
                log.warning("child_slow_to_end", child=self.spec.name, signal=number.name)
            else:
                return

    async def _run_once(self) -> int:
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        loop = asyncio.get_running_loop()
        watching: asyncio.Task[None] | None = None
        try:
            try:
                process = await self._start(writer)
            finally:
                os.close(writer)
            self.pid, self._process = process.pid, process
            log.info("child_started", child=self.spec.name, pid=process.pid)
            self._on_start()
            self._alive_at = self._clock.monotonic()
            loop.add_reader(reader, self._read_heartbeats, reader)
            watching = asyncio.create_task(self._watch(process), name=f"watch-{self.spec.name}")
            return await process.wait()
        finally:
            self.pid = None
            if watching is not None:
                watching.cancel()
                await asyncio.wait({watching})
            loop.remove_reader(reader)
            os.close(reader)

    def _read_heartbeats(self, reader: int) -> None:
        try:
            data = os.read(reader, 4096)
        except BlockingIOError:
            return
        if data:
            self._alive_at = self._clock.monotonic()
        else:
            asyncio.get_running_loop().remove_reader(reader)

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Kill the process when it has sent no heartbeat for too long."""
        looked_at = self._clock.monotonic()
        while True:
            await asyncio.sleep(min(_LOOK_SECONDS, self._hangs_after.total_seconds() / 4))
            if self.spec.probe is not None and await self.spec.probe():
                self._alive_at = self._clock.monotonic()
            now = self._clock.monotonic()
            if now - looked_at > 2 * _LOOK_SECONDS + self._hangs_after.total_seconds() / 2:
                # This process itself was stopped or starved: start to count now.
                self._alive_at = now
            looked_at = now
            if now - self._alive_at > self._hangs_after.total_seconds():
                log.error(
                    "child_hangs", child=self.spec.name, pid=process.pid, silent_seconds=round(now - self._alive_at)
                )
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                return

    async def _start(self, heartbeats: int) -> asyncio.subprocess.Process:
        spec = self.spec
        parent = os.getpid()
        environment = dict(spec.environment)
        descriptors = list(spec.descriptors)
        if spec.probe is None:
            environment[WATCHDOG_VARIABLE] = str(heartbeats)
            descriptors.append(heartbeats)
        try:
            path = spec.log_path
            if path.exists() and path.stat().st_size > _LOG_LIMIT_BYTES:
                path.replace(path.with_suffix(".log.1"))
            for left in spec.left_over:
                left.unlink(missing_ok=True)
            output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            try:
                return await asyncio.create_subprocess_exec(
                    *spec.argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=environment,
                    cwd=spec.folder,
                    pass_fds=descriptors,
                    # Own session: a Ctrl-C at the terminal reaches the parent alone, which ends its children in order.
                    start_new_session=True,
                    preexec_fn=lambda: _die_with(parent),
                )
            finally:
                os.close(output)
        except OSError as error:
            raise Unavailable(f"{spec.name} could not be started: {error}") from error

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
