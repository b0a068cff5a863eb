"""Find and occupy the worker processes of a gateway."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["slow_body", "workers"]


def workers(parent: int | None = None) -> list[int]:
    """Return the process ids of the workers of a process; None: of this one."""
    found = []
    for children in Path(f"/proc/{parent or os.getpid()}/task").glob("*/children"):
        for child in children.read_text().split():
            if b"sluiceway_server.gateway.workers" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


def slow_body() -> bytes:
    """Return a body of 8 MiB whose translation takes a worker half a minute."""
    return b'{"tasks":[' + b"{}," * (8 * 1024 * 1024 // 3 - 100) + b"{}]}"
