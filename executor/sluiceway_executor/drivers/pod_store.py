"""The folders of supervised pods on this disk, and the cleanup of a pod whose first process has ended.

A pod is found again by its mark: as the name of its folder, and in the environment of each of its processes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from sluiceway_executor.drivers.port import PodRequest

__all__ = ["MARKER", "PodStore", "pod_mark"]

log = structlog.get_logger(__name__)

MARKER = "SLUICE_POD"
"""The variable by which the processes of a pod are found when its first process is gone."""


class PodStore:
    """The folders of pods on this disk, each with a file that names its assignment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, request: PodRequest) -> Path:
        """Make the empty folder of a pod; what an earlier one of the assignment left is removed."""
        path = self._path(request.assignment_id)
        if path.exists():
            _remove_tree(path)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Another user of this machine must not reach a running pod's files.
        self.folder.chmod(0o700)
        path.mkdir(mode=0o755)
        note = {"assignment": request.assignment_id, "session": request.session_id}
        (path / "pod.json").write_text(json.dumps(note))
        return path

    def list(self, session_id: str | None = None) -> tuple[str, ...]:
        """List the assignments whose pods have a folder; of one session, or all."""
        found = []
        for note in sorted(self.folder.glob("*/pod.json")):
            with contextlib.suppress(OSError, ValueError, KeyError):
                content = json.loads(note.read_text())
                if session_id is None or content["session"] == session_id:
                    found.append(str(content["assignment"]))
        return tuple(found)

    def session_of(self, assignment_id: str) -> str:
        """Return the session in which a pod was created; empty: there is no such pod."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            return str(json.loads((self._path(assignment_id) / "pod.json").read_text())["session"])
        return ""

    def remove(self, assignment_id: str, *, is_over: bool = False) -> None:
        """Kill the processes that have the pod's mark, then remove its folder. May be repeated.

        `is_over` says that none of its processes is left, so that /proc need not be searched.
        """
        self.remove_named(pod_mark(assignment_id), is_over=is_over)

    def remove_named(self, name: str, *, is_over: bool = False) -> None:
        """Remove the pod whose folder has this name, as `remove` does."""
        if not is_over:
            _kill_marked(self._mark(name))
        path = self.folder / name
        if path.exists():
            _remove_tree(path)

    def mark(self, assignment_id: str) -> str:
        """Return a name of a pod that is unique on this machine."""
        return self._mark(pod_mark(assignment_id))

    def _mark(self, name: str) -> str:
        return f"{hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:16]}.{name}"

    def _path(self, assignment_id: str) -> Path:
        return self.folder / pod_mark(assignment_id)


def pod_mark(assignment_id: str) -> str:
    """Return a name of a pod that is safe as a file name and in an environment."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", assignment_id):
        return assignment_id
    return hashlib.sha256(assignment_id.encode()).hexdigest()


def _kill_marked(mark: str) -> None:
    """Kill every visible process whose environment has the mark of a pod. Blocks for a short time."""
    wanted = f"{MARKER}={mark}".encode()
    for _ in range(50):
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _remove_tree(path: Path) -> None:
    """Remove a folder that a task filled: links are not followed, and folders without rights are opened first."""

    def open_up(function: Callable[..., Any], name: str, _: Any) -> None:
        parent = os.path.dirname(name)  # noqa: PTH120 - rmtree passes strings, of any bytes
        with contextlib.suppress(OSError):
            os.chmod(parent, stat.S_IRWXU)  # noqa: PTH101 - as above
        with contextlib.suppress(OSError):
            if not os.path.islink(name):  # noqa: PTH114 - as above
                os.chmod(name, stat.S_IRWXU)  # noqa: PTH101 - as above
        try:
            if os.path.isdir(name) and not os.path.islink(name):  # noqa: PTH112, PTH114 - as above
                shutil.rmtree(name, ignore_errors=True)
            else:
                os.unlink(name)  # noqa: PTH108 - as above
        except OSError as error:
            log.warning("pod_file_not_removed", path=name, error=str(error))

    for _ in range(3):
        shutil.rmtree(path, onerror=open_up)
        if not path.exists():
            return
