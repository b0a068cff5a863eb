"""`sluice executor run` as a process: its options reach the server, and SIGTERM ends it."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import SLUICE, Installation, installation, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("installation"), "--executors", "0") as running:
        yield running


@contextmanager
def executor(here: Installation, folder: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    known = ("--server", here.state["grpc"], "--token-file", here.data / "executor.token", "--work-dir", folder)
    with (folder.parent / "log").open("wb") as log:
        process = subprocess.Popen([*SLUICE, *command, *map(str, known)], stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def online(here: Installation, id_: str) -> dict[str, Any] | None:
    listed = json.loads(here.sluice("executor", "list", "-o", "json").stdout)
    return next((each for each in listed if each["id"] == id_ and each.get("online")), None)


def test_options_reach_the_server(here: Installation, tmp_path: Path) -> None:
    options = ("--id", "e1", "--slots", "3", "--archs", "arm64,amd64", "--dynamic", "--label", "disk=fast")
    limits = (
        "--memory",
        "1Gi",
        "--processes",
        "100",
        "--network",
        "none",
        "--spool-limit",
        "1Gi",
        "--min-free-disk",
        "1Mi",
    )
    with executor(here, tmp_path / "work", "executor", "run", *options, *limits) as process:
        found = until(lambda: online(here, "e1"), "it is online")
        assert found["slots"] == 3
        assert found["archs"] == ["arm64", "amd64"]
        assert found["dynamic"] is True
        assert found["labels"] == {"disk": "fast"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_executor_starts_without_the_word_run_as_it_did_before(here: Installation, tmp_path: Path) -> None:
    with executor(here, tmp_path / "work", "executor", "--id", "older") as process:
        until(lambda: online(here, "older"), "it is online")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
