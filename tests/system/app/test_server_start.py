"""A server that waits for etcd at its start is still one that can be asked to end."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.installation import SLUICE, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_waits_for_etcd_ends_when_it_is_asked_to(number: signal.Signals, tmp_path: Path) -> None:
    data = tmp_path / "data"
    options = ["--etcd", "http://127.0.0.1:1", "--object-storage", f"posix:{tmp_path / 'objects'}"]
    server = subprocess.Popen(
        [*SLUICE, "server", "--data-dir", str(data), *options, "--grpc", "127.0.0.1:0"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(data.exists, "its data folder is there", seconds=60)
        server.send_signal(number)
        _, said = server.communicate(timeout=60)
        # Not 1, and no word of an etcd that did not answer: nobody waited for that any more.
        assert (server.returncode, said) == (0, "")
    finally:
        server.kill()
