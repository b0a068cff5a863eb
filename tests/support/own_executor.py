"""An executor beside an installation, for tasks that call a fake provider on this machine, and for groups."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.installation import SLUICE, Installation, until

__all__ = ["OwnExecutor", "own_executor"]


@dataclass
class OwnExecutor:
    """A process, and the file with what it logs."""

    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def own_executor(
    here: Installation, folder: Path, driver: str, *more: str, id_: str = "", token_file: Path | None = None
) -> Iterator[OwnExecutor]:
    """Run an executor with a driver for the block, whose pods may reach the loopback of this machine.

    Args:
        here: the installation.
        folder: its work folder.
        driver: of its pods.
        more: options.
        id_: empty: the driver's name and 1.
        token_file: None: that of the installation.
    """
    id_ = id_ or f"{driver}-1"
    options = ["--server", here.state["grpc"], "--token-file", str(token_file or here.data / "executor.token")]
    options += ["--id", id_, "--driver", driver, "--network", "host", "--work-dir", str(folder), *more]
    path = here.data.parent / f"executor-{id_}.log"
    with path.open("ab") as log:
        process = subprocess.Popen([*SLUICE, "executor", "run", *options], stdout=log, stderr=log)
        try:
            until(lambda: id_ in here.sluice("executor", "list", "-o", "name").stdout.split(), "the executor is there")
            yield OwnExecutor(process, path)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
