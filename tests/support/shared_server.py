"""One server for all test processes of this machine: the first that asks starts it, and it ends after the last.

For a server that takes long to start. A keeper process runs it, so that it outlives the test process that asked first.
Each test process holds a lock that the kernel releases when the process ends in whatever way; the keeper waits for all
of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["shared_server"]

_ROOT = Path(__file__).resolve().parents[2]
_READY_SECONDS = 150.0
_started: list[subprocess.Popen[bytes]] = []


@contextlib.contextmanager
def shared_server(serve: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what the context manager `serve` yields in the keeper.

    Args:
        serve: its name, as `module:function`. It takes a folder that is there and is deleted afterwards, and yields
            what can be written as JSON.
        folder: of the server: the same for all that share it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "users.lock").open("a") as users:
        # Waits while a keeper ends the server of earlier users.
        fcntl.flock(users, fcntl.LOCK_SH)
        yield _state(serve, folder)


def _state(serve: str, folder: Path) -> dict[str, Any]:
    until = time.monotonic() + _READY_SECONDS
    is_ours = False
    while time.monotonic() < until:
        with (folder / "keeper.lock").open("a") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_ours:
                break  # the keeper that we started has ended
            is_ours = True
            (folder / "state.json").unlink(missing_ok=True)
            _start_keeper(serve, folder, lock.fileno())
        with contextlib.suppress(FileNotFoundError):
            found: dict[str, Any] = json.loads((folder / "state.json").read_text())
            return found
        time.sleep(0.05)
    raise AssertionError(f"{serve} did not start: {(folder / 'keeper.log').read_text()[-2000:]}")


def _start_keeper(serve: str, folder: Path, lock: int) -> None:
    # The lock is the keeper's from now on: it belongs to the open file, which both have.
    with (folder / "keeper.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, serve, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=_ROOT,
            pass_fds=[lock],
            start_new_session=True,
        )
    # Not waited for, since it outlives us; an object that is deleted would warn of that.
    _started.append(process)


def _keep(serve: str, folder: Path) -> None:
    module, _, name = serve.partition(":")
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    with (folder / "users.lock").open("a") as users, getattr(importlib.import_module(module), name)(data) as state:
        written = folder / "state.json.new"
        written.write_text(json.dumps(state))
        written.rename(folder / "state.json")
        fcntl.flock(users, fcntl.LOCK_EX)
        (folder / "state.json").unlink()
    # `users` is locked no more, and whoever waited for it starts a new keeper when this one has ended.


if __name__ == "__main__":
    _keep(sys.argv[1], Path(sys.argv[2]))
