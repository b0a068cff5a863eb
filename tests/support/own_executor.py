"""An executor beside an installation, for tasks that call a fake provider on this machine."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.installation import SLUICE, Installation, until

__all__ = ["own_executor"]


@contextmanager
def own_executor(here: Installation, folder: Path, driver: str) -> Iterator[None]:
    """Run an executor with a driver for the block, whose pods may reach the loopback of this machine."""
    options = ["--server", here.state["grpc"], "--token-file", str(here.data / "executor.token")]
    options += ["--id", f"{driver}-1", "--driver", driver, "--network", "host", "--work-dir", str(folder)]
    with (here.data.parent / "executor.log").open("ab") as log:
        process = subprocess.Popen([*SLUICE, "executor", "run", *options], stdout=log, stderr=log)
        try:
            until(
                lambda: f"{driver}-1" in here.sluice("executor", "list", "-o", "name").stdout, "the executor is there"
            )
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
