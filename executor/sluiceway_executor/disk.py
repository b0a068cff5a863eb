"""Ends tasks that fill the disk.

A task that exceeds its disk limit is ended. When the disk of the work folder is nearly full, the task that uses most of
it is ended. Plain file systems have no quotas, so usage is polled, and a limit may be exceeded between two checks.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import structlog

from sluiceway_executor.drivers.pod_store import pod_mark

__all__ = ["DiskGuard"]

log = structlog.get_logger(__name__)

_CHECK_SECONDS = 2.0
# The pause after a check is at least so many times its duration.
_PAUSE_FACTOR = 10
MOST_HARMLESS_BYTES = 64 << 20
"""A task that uses less is never ended because the disk is full."""


class _Worker(Protocol):
    def exceed_limit(self, code: str, message: str) -> None: ...


class _Running(Protocol):
    @property
    def workers(self) -> Mapping[str, _Worker]: ...


class DiskGuard:
    """Checks the disk usage of the tasks that run."""

    def __init__(self, work_dir: Path, running: _Running, *, min_free_bytes: int, task_bytes: int = 0) -> None:
        """Create a guard that keeps `min_free_bytes` free, and each task below `task_bytes`; 0: no limit."""
        self._work_dir = work_dir
        self._running = running
        self._min_free_bytes = min_free_bytes
        self._task_bytes = task_bytes

    async def run(self) -> None:
        """Check until cancelled."""
        pause = _CHECK_SECONDS
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            try:
                await self.check()
            except OSError as error:
                log.warning("disk_not_checked", error=str(error))
            # A task may have millions of files: counting them must not take most of the time.
            pause = max(_CHECK_SECONDS, _PAUSE_FACTOR * (time.monotonic() - began))

    async def check(self) -> tuple[str, ...]:
        """Check once; return the assignments that were ended."""
        free = (await asyncio.to_thread(shutil.disk_usage, self._work_dir)).free
        is_full = free < self._min_free_bytes
        if not is_full and not self._task_bytes:
            return ()
        used = {name: await asyncio.to_thread(self._used, name) for name in self._running.workers}
        ended = []
        for name, size in used.items():
            if self._task_bytes and size > self._task_bytes:
                message = (
                    f"this task used {size} bytes of disk, and may use {self._task_bytes} (--disk of the executor)"
                )
                ended += self._end(name, size, message)
        if is_full and not ended:
            worst = max(used, key=lambda name: used[name], default=None)
            # Ending a task that uses little would not help.
            if worst is None or used[worst] < min(self._min_free_bytes, MOST_HARMLESS_BYTES):
                log.warning("disk_nearly_full", free_bytes=free, work_dir=str(self._work_dir))
            else:
                message = f"the executor's disk was nearly full ({free} bytes left), and this task used most of it"
                ended += self._end(worst, used[worst], f"{message}: {used[worst]} bytes")
        return tuple(ended)

    def _end(self, assignment_id: str, used: int, message: str) -> list[str]:
        worker = self._running.workers.get(assignment_id)
        if worker is None:
            return []
        log.warning("task_ended_for_disk", assignment=assignment_id, used_bytes=used)
        worker.exceed_limit("LIMIT_DISK", message)
        return [assignment_id]

    def _used(self, assignment_id: str) -> int:
        total = 0
        for pods in self._work_dir.glob("*/pods"):
            for folder, _, files in os.walk(pods / pod_mark(assignment_id)):
                for name in files:
                    try:
                        total += os.lstat(os.path.join(folder, name)).st_blocks * 512  # noqa: PTH118 - names of any bytes
                    except OSError:
                        continue
        return total
