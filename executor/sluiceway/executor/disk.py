"""Keeps a task that fills the disk from hurting anything else.

When the work folder's disk is nearly full, the task that uses most of it is ended. Plain file systems have no quotas,
so this is a watch, and reacts within its pause.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import structlog

from sluiceway.executor.drivers.pod_store import pod_mark

__all__ = ["DiskGuard"]

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 2.0
MOST_HARMLESS_BYTES = 64 << 20
"""A task that uses less is not to blame for a full disk."""


class _Worker(Protocol):
    def pass_limit(self, code: str, message: str) -> None: ...


class _Running(Protocol):
    @property
    def workers(self) -> Mapping[str, _Worker]: ...


class DiskGuard:
    """See the module."""

    def __init__(self, work_dir: Path, running: _Running, *, min_free_bytes: int) -> None:
        self._work_dir = work_dir
        self._running = running
        self._min_free_bytes = min_free_bytes

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await self.look()
            except OSError as error:
                log.warning("disk_not_seen", error=str(error))

    async def look(self) -> str | None:
        """Look once; answer with the assignment that was ended, if one was."""
        free = (await asyncio.to_thread(shutil.disk_usage, self._work_dir)).free
        if free >= self._min_free_bytes:
            return None
        used = {name: await asyncio.to_thread(self._used, name) for name in self._running.workers}
        worst = max(used, key=lambda name: used[name], default=None)
        worker = self._running.workers.get(worst) if worst is not None else None
        # One that uses little is not to blame, and ending it would not help.
        if worst is None or worker is None or used[worst] < min(self._min_free_bytes, MOST_HARMLESS_BYTES):
            log.warning("disk_nearly_full", free_bytes=free, work_dir=str(self._work_dir))
            return None
        log.warning("task_ended_for_disk", assignment=worst, used_bytes=used[worst], free_bytes=free)
        worker.pass_limit(
            "LIMIT_DISK",
            f"the executor's disk was nearly full ({free} bytes), and this task used most: {used[worst]} bytes",
        )
        return worst

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
