"""The properties of this machine, with the terms of run configurations."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

__all__ = ["ARCHS", "default_memory_bytes", "machine_archs"]

ARCHS = ("amd64", "arm64", "arm", "386")
"""The architectures that a task can require (run-config.md, `runtime.arch`)."""

_ARCHS: dict[str, tuple[str, ...]] = {
    "x86_64": ("amd64", "386"),
    "aarch64": ("arm64",),
    "arm64": ("arm64",),
    "armv7l": ("arm",),
    "i686": ("386",),
}


def machine_archs() -> Sequence[str]:
    """List the archs that this machine runs, the native one first."""
    machine = platform.machine()
    return _ARCHS.get(machine, (machine,))


def default_memory_bytes(slots: int) -> int:
    """Return the default limit of memory of a pod: its share of four fifths of the machine's memory."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(256 << 20, total * 4 // 5 // max(1, slots))
