"""A gateway in a process of its own, in front of a server of the test."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import GuardedProcess

__all__ = ["GatewayProcess", "gateway_process"]


@dataclass(frozen=True)
class GatewayProcess:
    """A running gateway: its process and its port."""

    pid: int
    port: int

    def main_thread_seconds(self) -> float:
        """The processor time of its main thread, which runs the event loop."""
        fields = Path(f"/proc/{self.pid}/task/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def gateway_process(folder: Path, server: str, options: Sequence[str] = ()) -> Iterator[GatewayProcess]:
    """Run `sluice gateway` in front of a server for the block, with its log in a folder."""
    words = folder / "gateway.log"
    command = [sys.executable, "-m", "sluiceway.cli.entry", "gateway", "--http", "127.0.0.1:0", "--server", server]
    process = GuardedProcess([*command, *options], words=words)
    try:
        process.wait_until_ready(lambda: None if _port(words) else "it does not listen", seconds=60)
        yield GatewayProcess(process.pid, _port(words))
    finally:
        process.end(signal.SIGTERM)


def _port(words: Path) -> int:
    """Return the port that the log names; 0 while it names none."""
    for line in words.read_text().splitlines(keepends=True):
        if "http_listening" in line and line.endswith("\n"):
            port: int = json.loads(line)["port"]
            return port
    return 0
