"""A worker between its events: what a driver is asked for, whatever comes while it works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.runconfig.capabilities import HOST
from sluiceway_executor.archives.steps import ArchiveSteps
from sluiceway_executor.drivers.port import Command, ExitStatus, Limits, Note, PodRequest, no_note
from sluiceway_executor.progress import ProgressFiles
from sluiceway_executor.spool import Spools
from sluiceway_executor.worker import Worker, WorkerSettings
from tests.support.executor_process import script


class StoppableProcess:
    """A process without output that ends when it is stopped."""

    def __init__(self) -> None:
        self._ended = asyncio.Event()

    async def read(self) -> bytes:
        await self._ended.wait()
        return b""

    async def write(self, data: bytes) -> None:
        """It reads nothing."""

    def resize(self, rows: int, columns: int) -> None:
        """It has no terminal."""

    async def stop(self, grace: float) -> None:
        self._ended.set()

    async def wait(self) -> ExitStatus:
        await self._ended.wait()
        return ExitStatus(143)

    async def acknowledge(self, offset: int) -> None:
        """Keeps nothing."""

    async def forget(self) -> None:
        """Keeps nothing."""


class SlowPod:
    """A pod that starts a process only when `may_start` is set; it is its driver, too."""

    name = "slow"
    archs: Sequence[str] = ()
    capabilities = HOST
    home = "/home"
    repository = ""
    images = ()

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_start = asyncio.Event()

    async def probe(self) -> None:
        """Works everywhere."""

    async def close(self) -> None:
        """Holds nothing."""

    async def take_over(self, assignment_ids: Collection[str]) -> Mapping[str, SlowPod]:
        return {}

    async def sweep(self) -> None:
        """There is nothing to remove."""

    async def create_pod(self, request: PodRequest, note: Note = no_note) -> SlowPod:
        return self

    async def list_pods(self, session_id: str) -> Sequence[str]:
        return ()

    async def remove_pod(self, session_id: str, assignment_id: str) -> None:
        """There is nothing to remove."""

    async def exec(self, command: Command) -> StoppableProcess:
        self.asked.set()
        await self.may_start.wait()
        return StoppableProcess()

    async def find(self, key: str, offset: int) -> StoppableProcess | None:
        return None

    def resume(self, request: PodRequest) -> None:
        raise NotImplementedError

    async def copy_in(self, path: str, tar: AsyncIterator[bytes]) -> None:
        raise NotImplementedError

    def copy_out(self, path: str) -> AsyncIterator[bytes]:
        raise NotImplementedError

    def feed(self, seconds: float) -> None:
        """Lives without."""

    async def stop(self, grace: float) -> None:
        raise NotImplementedError

    async def remove(self) -> None:
        """There is nothing to remove."""


class NoTransfer:
    """For workers whose steps have no archives."""

    async def put(self, assignment_id: str, archive: pb.Archive, path: Path) -> bool:
        raise NotImplementedError

    async def find(self, assignment_id: str, step: int, keys: Sequence[str] = ()) -> pb.FindArchivesResponse:
        raise NotImplementedError

    async def get(self, assignment_id: str, step: int, archive: pb.Archive, path: Path) -> None:
        raise NotImplementedError


class NoIdTokens:
    """For workers whose tasks have none."""

    async def issue(self, assign: pb.Assign, name: str) -> tuple[str, float]:
        raise NotImplementedError


async def test_stop_before_a_process_started_ends_it(tmp_path: Path) -> None:
    pod = SlowPod()
    reports: list[pb.AssignmentUpdate] = []
    spools = Spools(tmp_path, limit_bytes=1 << 20)
    worker = Worker(
        pb.Assign(assignment_id="a1", specification=script("sleep 600")),
        pod,
        spools,
        ArchiveSteps(NoTransfer(), tmp_path, SystemClock()),
        report=reports.append,
        session_id="s1",
        fence_seconds=60,
        settings=WorkerSettings(Limits(), store_logs_seconds=0),
        clock=SystemClock(),
        files=ProgressFiles(tmp_path / "tasks"),
        id_tokens=NoIdTokens(),
    )
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(60):
        await pod.asked.wait()
        worker.stop(force=False)
        for _ in range(10):  # turns of the loop, in which the worker takes up the stop
            await asyncio.sleep(0)
        pod.may_start.set()
        await running
    spools.close()
    assert reports[-1].phase == pb.ASSIGNMENT_PHASE_STOPPED
