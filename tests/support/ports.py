"""Ports of 127.0.0.1 for processes that cannot listen on port 0.

They are outside the range from which the kernel takes ports for connections and for port 0, and each is locked while
this process lives. So nobody takes one before its process listens, nor while that process is started again.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

__all__ = ["free_ports"]

_LOCKS = Path(tempfile.gettempdir()) / f"sluiceway-test-ports-{os.getuid()}"
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_held: list[int] = []


def free_ports(count: int) -> tuple[int, ...]:
    """Reserve ports of 127.0.0.1 until this process ends."""
    _LOCKS.mkdir(exist_ok=True)
    first_ephemeral = int(_EPHEMERAL.read_text().split()[0]) if _EPHEMERAL.exists() else 32768
    # A machine whose ephemeral ports begin low has no others: the locks still keep test processes apart.
    candidates = range(10_000, first_ephemeral) if first_ephemeral > 12_000 else range(10_000, 65_000)
    found: list[int] = []
    for port in random.sample(candidates, len(candidates)):
        if _is_locked_for_us(port):
            found.append(port)
            if len(found) == count:
                return tuple(found)
    raise AssertionError(f"{count} ports of 127.0.0.1 are not free")


def _is_locked_for_us(port: int) -> bool:
    lock = os.open(_LOCKS / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
    except OSError:
        os.close(lock)
        return False
    _held.append(lock)
    return True
