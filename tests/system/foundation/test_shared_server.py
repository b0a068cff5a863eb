"""The server that all test processes share is started once, and ends after the last of them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import ROOT, is_alive, until
from tests.support.shared_server import shared_server

pytestmark = pytest.mark.system

USER = """
import sys
from pathlib import Path
from tests.support.shared_server import shared_server
with shared_server(sys.argv[1], Path(sys.argv[2])) as state:
    print(state["pid"], flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[dict[str, int]]:
    """A server that is its keeper only."""
    yield {"pid": os.getpid()}
    (folder.parent / "ended").write_text("in order")


def broken(folder: Path) -> contextlib.AbstractContextManager[None]:
    """A server that does not start."""
    raise OSError("no such luck")


def start_user(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", USER, f"{__name__}:serve", str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def keeper_of(user: subprocess.Popen[str]) -> int:
    assert user.stdout is not None
    return int(user.stdout.readline())


def end(user: subprocess.Popen[str], how: signal.Signals) -> None:
    user.send_signal(how)
    user.communicate(timeout=30)


def test_processes_share_a_server_until_the_last_is_killed(tmp_path: Path) -> None:
    users = [start_user(tmp_path) for _ in range(3)]
    (keeper,) = {keeper_of(user) for user in users}
    for user in users[:2]:
        end(user, signal.SIGTERM)
    late = start_user(tmp_path)
    assert keeper_of(late) == keeper
    end(users[2], signal.SIGKILL)
    assert is_alive(keeper)
    end(late, signal.SIGKILL)
    until(lambda: not is_alive(keeper), "the server ends")
    assert (tmp_path / "ended").read_text() == "in order"
    again = start_user(tmp_path)
    assert keeper_of(again) != keeper
    end(again, signal.SIGKILL)


def test_server_whose_keeper_was_killed_is_started_again(tmp_path: Path) -> None:
    first = start_user(tmp_path)
    keeper = keeper_of(first)
    os.kill(keeper, signal.SIGKILL)
    until(lambda: not is_alive(keeper), "the keeper ends")
    second = start_user(tmp_path)
    assert keeper_of(second) != keeper
    for user in (first, second):
        end(user, signal.SIGKILL)


def test_server_that_does_not_start_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no such luck"), shared_server(f"{__name__}:broken", tmp_path):
        pass
