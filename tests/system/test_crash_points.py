"""A process that is killed at any crash point of the database loses nothing that it acknowledged.

For every crash point of the database, a real process uses a real etcd and a folder in every way and is killed there
with SIGKILL. Then the database is opened with and without the process's data folder: both agree, everything that was
acknowledged is there, and verify finds no fault. A point that the process never reaches fails its test, so a new one
cannot be forgotten: `tests/support/crash_victim.py` has to reach it.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import Queue

import pytest

import sluiceway_server.datamanager
from sluiceway_common.foundation.crashpoints import CRASH_POINTS
from tests.properties.run import fast_folder
from tests.support.crash_victim import Job
from tests.support.etcd import etcd_process

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

LANES = 2
ROOT = Path(__file__).parents[2]


def points() -> list[str]:
    """Return every crash point, and a later hit for those that are reached repeatedly."""
    for module in pkgutil.walk_packages(sluiceway_server.datamanager.__path__, "sluiceway_server.datamanager."):
        importlib.import_module(module.name)
    own = [point for point in CRASH_POINTS if not point.startswith(ELSEWHERE)]
    later = [f"{point}:{times}" for point in own for kind, times in AGAIN.items() if point.startswith(kind)]
    return sorted([*own, *later])


AGAIN = {"commit.": 15, "flush.": 5}
# Of deliveries and commit statuses, which need a git provider, and of outgoing webhooks, which need a receiver:
# tests/service/triggers and tests/service/notifications.
ELSEWHERE = ("delivery.", "status.", "webhook.")


class Lane:
    """A process that forks victims, one after another."""

    def __init__(self) -> None:
        # Forked before anything of gRPC has begun in it.
        environment = {**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "0"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.crash_victim"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment,
        )

    def do(self, job: Job) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(job.line())
        self._process.stdin.flush()
        return int(self._process.stdout.readline() or b"99")

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        assert self._process.stdout is not None
        self._process.stdout.close()


class Lanes:
    """Crashes that start with the first test, as many at once as there are lanes; each test takes its own result."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self._folder = folder
        self._endpoint = endpoint
        self._free: Queue[Lane] = Queue()
        self._lanes = [Lane() for _ in range(LANES)]
        for lane in self._lanes:
            self._free.put(lane)
        self._pool = ThreadPoolExecutor(LANES)
        self._running: dict[str, Future[tuple[Job, int, int]]] = {}

    def begin(self, names: list[str]) -> None:
        for name in names:
            self._running[name] = self._pool.submit(self._crash, name)

    def result(self, name: str) -> tuple[Job, int, int]:
        if name not in self._running:
            self.begin([name])
        return self._running[name].result()

    def _crash(self, name: str) -> tuple[Job, int, int]:
        folder = self._folder / name.replace(":", "-times-")
        folder.mkdir()
        job = Job("live", self._endpoint, f"crash-{folder.name}", str(folder), crash_at=name)
        lane = self._free.get()
        try:
            killed = lane.do(job)
            inspected = lane.do(replace(job, work="inspect")) if killed == -signal.SIGKILL else 99
        finally:
            self._free.put(lane)
        return job, killed, inspected

    def end(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for lane in self._lanes:
            lane.end()


@pytest.fixture(scope="module")
def lanes(request: pytest.FixtureRequest) -> Iterator[Lanes]:
    # What SIGKILL leaves is what the operating system has: on a disk or in memory is the same, and memory is quicker.
    folder = fast_folder()
    with etcd_process(folder / "etcd") as etcd:
        made = Lanes(folder, etcd.endpoint)
        items = [item for item in request.session.items if item.path == request.path]
        made.begin([str(item.callspec.params["point"]) for item in items if isinstance(item, pytest.Function)])
        yield made
        made.end()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("point", points())
def test_acknowledged_commits_survive_a_kill_at_a_crash_point(point: str, lanes: Lanes) -> None:
    job, killed, inspected = lanes.result(point)
    assert killed == -signal.SIGKILL, f"it did not die at {point}: {killed}\n{errors_of(job)}"
    assert inspected == 0, f"what it left cannot be used:\n{errors_of(job)}"
    found = json.loads(job.result.read_text())
    assert found["faults"] == []
    assert may_be_the_first(point) or any(line.startswith("put ") for line in acknowledged(job)), "it wrote nothing"
    assert missing(job, found["own"]) == []
    for other in ("others", "from_files"):
        assert found[other] == found["own"], f"{other} have something else"
    if "import" in point:
        assert found["imported"] == found["own"]


def errors_of(job: Job) -> str:
    return "\n".join(path.read_text() for path in sorted(Path(job.folder).glob("*.error")))


def acknowledged(job: Job) -> list[str]:
    return job.acks.read_text().splitlines()


def may_be_the_first(point: str) -> bool:
    """Return whether a process may reach the point before it has acknowledged anything."""
    return point.startswith(("epoch.", "commit.", "flush.")) and ":" not in point


def missing(job: Job, found: dict[str, int]) -> list[str]:
    """Return what was acknowledged and is missing or differs."""
    wanted: dict[str, int] = {}
    deleted: set[str] = set()
    counted = 0
    for line in acknowledged(job):
        word, *rest = line.split()
        if word == "put":
            wanted[rest[0]] = int(rest[1])
        elif word == "delete":
            deleted.add(rest[0])
        else:
            counted = int(rest[0])
    records = {key.partition(" ")[2]: value for key, value in found.items()}
    # The one thing that was being done at the end may be done or not.
    last = max(wanted, default="")
    doubtful = {id_ for id_, rank in wanted.items() if last and wanted[last] % 4 == 0 and rank == wanted[last] - 2}
    wrong = [f"{id_} is gone" for id_ in wanted if id_ not in records and id_ not in deleted | doubtful]
    wrong += [f"{id_} is {records[id_]}" for id_, rank in wanted.items() if records.get(id_, rank) != rank]
    wrong += [f"{id_} is there again" for id_ in deleted if id_ in records]
    if records.get("counter", 0) not in (counted, counted + 1):
        wrong.append(f"the counter is {records.get('counter', 0)} and was acknowledged at {counted}")
    return wrong
