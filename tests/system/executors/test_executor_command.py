"""`sluice executor ...` on real parts: an executor and its options, and the commands of an operator."""

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

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


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


def test_executor_starts_without_the_word_run(here: Installation, tmp_path: Path) -> None:
    with executor(here, tmp_path / "work", "executor", "--id", "older") as process:
        until(lambda: online(here, "older"), "it is online")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_operator_lists_drains_undrains_and_deletes_an_executor(here: Installation, tmp_path: Path) -> None:
    options = ("--id", "operated", "--label", "tray=left", "--dynamic")
    with executor(here, tmp_path / "work", "executor", "run", *options) as process:
        until(lambda: online(here, "operated"), "it is online")
        row = next(line.split() for line in lines(here, "executor", "list") if line.startswith("operated"))
        assert row[:6] == ["operated", "default", "online", "0/2", "now", "yes"]
        assert row[-1] == "tray=left"
        assert "state:      online" in here.sluice("executor", "get", "operated").stdout

        drained = lines(here, "executor", "drain", "--label", "tray=left", "--wait", "--timeout", "30s")
        assert drained == [
            "executor operated gets no more tasks; no task is running on it",
            "executor operated is drained",
        ]
        assert " drained " in here.sluice("executor", "list").stdout
        assert lines(here, "executor", "undrain", "operated") == ["executor operated gets tasks again"]
        assert " online " in here.sluice("executor", "list").stdout
        assert lines(here, "executor", "drain", "--group", "nobody") == ["no executor matches"]

        deleted = lines(here, "executor", "delete", "operated", "--wait")
        assert deleted[0] == "executor operated is deleted"
        # Either may be seen first: that it is away, or that its process has registered again.
        assert deleted[1] in {
            "executor operated is gone",
            "executor operated has registered again: its process still runs",
        }
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def lines(here: Installation, *arguments: str) -> list[str]:
    return here.sluice(*arguments).stdout.splitlines()


@pytest.mark.parametrize("arguments", [(), ("e1", "--group", "default"), ("--label", "disk")])
def test_drain_without_one_clear_choice_is_a_usage_error(here: Installation, arguments: tuple[str, ...]) -> None:
    assert here.sluice("executor", "drain", *arguments, check=False).returncode == 2
