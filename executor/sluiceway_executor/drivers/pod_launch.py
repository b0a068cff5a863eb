"""How a supervised pod is started, and what of it the process must know that takes the pod over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sluiceway_executor.drivers.launcher import PodStart
from sluiceway_executor.drivers.pod_network import PodNetwork
from sluiceway_executor.drivers.port import Limits

__all__ = ["INIT_SOCKET", "Launch", "limits_of"]

INIT_SOCKET = "3"
"""The number of the descriptor at which the first process finds its socket."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start the first process of a pod.

    Attributes:
        home: the home folder as the pod sees it.
        script_dir: a folder that the pod may write, for scripts, as it sees it.
        repository: the path from which the pod clones the repository; empty: none.
        environment: of every command, below the request's.
        argv: the program, if `pod` is None; it inherits the socket to the launcher as `INIT_SOCKET`.
        pod: its namespaces and mounts; the kernel ends all processes of such a pod with its first one.
        uid: the uid of this machine that was taken for it; None: none was.
        network: what the pod's own network is connected to; None: nothing.
        syscall_filter: of a `pod`.
    """

    home: str
    script_dir: str
    repository: str
    environment: Mapping[str, str]
    argv: Sequence[str] = ()
    pod: PodStart | None = None
    uid: int | None = None
    network: PodNetwork | None = None
    syscall_filter: bytes = b""

    @property
    def note(self) -> dict[str, Any]:
        """What the process needs that takes the pod over."""
        return {
            "home": self.home,
            "script_dir": self.script_dir,
            "repository": self.repository,
            "environment": dict(self.environment),
            "uid": self.uid,
        }

    @classmethod
    def of_note(cls, note: Mapping[str, Any]) -> Launch:
        """Return what a note says."""
        return cls(**note)


def limits_of(limits: Limits) -> dict[str, int]:
    """Return the limits as the first process of a pod reads them."""
    named = {
        "processes": limits.processes,
        "memory": limits.memory_bytes,
        "files": limits.open_files,
        "file_size": limits.file_bytes,
    }
    return {name: value for name, value in named.items() if value}
