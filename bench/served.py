"""A server to measure: etcd and `sluice server` as processes of their own, and a null executor.

The load generator imports this, in a third process. The null executor speaks the real stream: hello, heartbeats, an
acknowledgement for each command, and for each assignment the updates of a task of one step without output: accepted,
running, success. They go together and wait for one commit, as those of a task that ends at once do.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_service_pb2_grpc
from sluiceway.api.run.v1 import definition_pb2, run_pb2, run_service_pb2, run_service_pb2_grpc
from sluiceway_common.foundation.rpc.channel import open_channel
from sluiceway_server.kv.embedded import free_ports
from sluiceway_server.kv.etcd import EtcdStore
from tests.support.etcd import etcd_process

SLUICE = (sys.executable, "-m", "sluiceway.cli.entry")
ADMIN_TOKEN = "admin.token"
EXECUTOR_TOKEN = "executor.token"
READY_SECONDS = 30.0
TIMEOUT = timedelta(seconds=30)
# What an update of a run is: so large is the value that the raw puts beside it write.
RAW_BYTES = 1024
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@dataclass(frozen=True)
class Served:
    """A running server, its etcd, and clients of both."""

    runs: run_service_pb2_grpc.RunServiceAsyncStub
    admin_channel: grpc.aio.Channel
    executor_channel: grpc.aio.Channel
    kv: EtcdStore
    server_pid: int
    address: str
    admin_token: str

    async def revision(self) -> int:
        """Return how many transactions etcd has made: each that writes increments its revision."""
        _, revision = await self.kv.get("bench/none", timeout=TIMEOUT)
        return revision

    def server_cpu_seconds(self) -> float:
        """Return the processor time of the server, user and system."""
        fields = Path(f"/proc/{self.server_pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def server_megabytes(self) -> float:
        """Return its resident memory."""
        pages = int(Path(f"/proc/{self.server_pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def server_peak_megabytes(self) -> float:
        """Return its peak resident memory."""
        lines = Path(f"/proc/{self.server_pid}/status").read_text().splitlines()
        (peak,) = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
        return int(peak) * 1024 / 1e6

    async def raw_puts(self, seconds: float) -> list[float]:
        """Put values one after the other for a while; return the seconds of each."""
        value = os.urandom(RAW_BYTES)
        took: list[float] = []
        end = time.perf_counter() + seconds
        while not took or time.perf_counter() < end:
            took.append(await self.raw_put(value, len(took)))
        return took

    async def raw_put(self, value: bytes, number: int) -> float:
        """Put one value; return the seconds."""
        began = time.perf_counter()
        await self.kv.put(f"bench/{number % 1000}", value, timeout=TIMEOUT)
        return time.perf_counter() - began


@asynccontextmanager
async def serve(folder: Path, *, options: Sequence[str] = ()) -> AsyncIterator[Served]:
    """Run an etcd and a server, with these options, in a folder for the block."""
    with etcd_process(folder / "etcd") as etcd:
        async with serve_on(folder, etcd.endpoint, options=options) as served:
            yield served


@asynccontextmanager
async def serve_on(
    folder: Path, endpoint: str, *, ready_seconds: float = READY_SECONDS, options: Sequence[str] = ()
) -> AsyncIterator[Served]:
    """Run a server in a folder on an existing etcd for the block, ready to serve."""
    data = folder / "server"
    (port,) = free_ports(1)
    with (folder / "server.log").open("wb") as log:
        command = [*SLUICE, "server", "--data-dir", str(data), "--etcd", endpoint]
        command += ["--object-storage", f"posix:{folder / 'objects'}", "--grpc", f"127.0.0.1:{port}", *options]
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: ASYNC220 - it takes a millisecond, once
        try:
            await _answers(port, process, folder / "server.log", ready_seconds)
            async with AsyncExitStack() as stack:
                tokens = [(data / name).read_text().strip() for name in (ADMIN_TOKEN, EXECUTOR_TOKEN)]
                channels = [open_channel(f"127.0.0.1:{port}", token=token, deadline=TIMEOUT) for token in tokens]
                for channel in channels:
                    stack.push_async_callback(channel.close)
                kv = EtcdStore([endpoint])
                stack.push_async_callback(kv.close)
                stub: run_service_pb2_grpc.RunServiceAsyncStub = run_service_pb2_grpc.RunServiceStub(channels[0])
                yield Served(stub, channels[0], channels[1], kv, process.pid, f"127.0.0.1:{port}", tokens[0])
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(process.wait, 20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def _answers(port: int, process: subprocess.Popen[bytes], log: Path, ready_seconds: float) -> None:
    end = time.monotonic() + ready_seconds
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                print(log.read_text(errors="replace")[-2000:], file=sys.stderr)
                raise SystemExit(2) from None
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


Heard = Callable[[str, float], None]
"""Hears of a run, by id, and when (`time.perf_counter`)."""


class NullExecutor:
    """An executor that reports success for each assignment at once.

    Args:
        assigned: hears when an assignment is here.
        finished: hears when its success is committed, which is when its run is finished.
    """

    def __init__(self, channel: grpc.aio.Channel, *, slots: int, assigned: Heard, finished: Heard) -> None:
        self._stub = executor_service_pb2_grpc.ExecutorServiceStub(channel)
        self._slots = slots
        self._assigned = assigned
        self._finished = finished
        self._numbers = itertools.count(1)
        self._reported: dict[int, str] = {}
        self._known: set[str] = set()
        self._outgoing: asyncio.Queue[pb.ConnectRequest] = asyncio.Queue()
        self.welcomed = asyncio.Event()
        self.refusals: list[str] = []

    async def run(self) -> None:
        """Serve until cancelled; raise when the stream ends."""
        call = self._stub.Connect()
        hello = pb.Hello(
            executor_id="null",
            journal_id="null",
            version="1",
            archs=["amd64"],
            slots=self._slots,
            # The image of the tasks, `host`, is not one of every driver.
            drivers=["host"],
        )
        await call.write(pb.ConnectRequest(hello=hello))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write(call))
            while isinstance(message := await call.read(), pb.ConnectResponse):
                match message.WhichOneof("message"):
                    case "welcome":
                        self.welcomed.set()
                        interval = message.welcome.heartbeat_interval.ToTimedelta()
                        tasks.create_task(self._beat(interval.total_seconds()))
                    case "assign":
                        self._take(message.assign)
                    case "update_acknowledgement":
                        self._hear(message.update_acknowledgement)
                    case "release" | "stop" | "clean" | "drain" as kind:
                        self._confirm(getattr(message, kind).number)
            raise RuntimeError(f"the stream ended: {await call.code()} {await call.details()}")

    async def _write(self, call: grpc.aio.StreamStreamCall[pb.ConnectRequest, pb.ConnectResponse]) -> None:
        while True:
            await call.write(await self._outgoing.get())

    async def _beat(self, interval: float) -> None:
        for number in itertools.count(1):
            self._outgoing.put_nowait(pb.ConnectRequest(heartbeat=pb.Heartbeat(number=number)))
            await asyncio.sleep(interval)

    def _confirm(self, number: int) -> None:
        self._outgoing.put_nowait(pb.ConnectRequest(acknowledgement=pb.CommandAcknowledgement(number=number)))

    def _take(self, assign: pb.Assign) -> None:
        run_id = assign.specification.run_id
        self._confirm(assign.number)
        if assign.assignment_id in self._known:
            return  # sent again
        self._known.add(assign.assignment_id)
        self._assigned(run_id, time.perf_counter())
        now = time.time_ns()
        step = pb.StepUpdate(step=0, phase=run_pb2.STEP_PHASE_SUCCESS, exit_status=0, log_sha256=EMPTY_SHA256)
        for stamp in (step.start_time, step.end_time):
            stamp.seconds, stamp.nanos = divmod(now, 1_000_000_000)
        updates = [
            pb.AssignmentUpdate(
                number=next(self._numbers), assignment_id=assign.assignment_id, epoch=assign.epoch, phase=phase
            )
            for phase in (
                pb.ASSIGNMENT_PHASE_ACCEPTED,
                pb.ASSIGNMENT_PHASE_RUNNING,
                pb.ASSIGNMENT_PHASE_SUCCESS,
            )
        ]
        updates[1].pod_start_time.CopyFrom(step.start_time)
        updates[2].steps.append(step)
        self._reported[updates[-1].number] = run_id
        self._outgoing.put_nowait(pb.ConnectRequest(updates=pb.Updates(updates=updates)))

    def _hear(self, answer: pb.UpdateAcknowledgement) -> None:
        if answer.HasField("refused"):
            self.refusals.append(answer.refused.message)
        run_id = self._reported.pop(answer.number, None)
        if run_id is not None:
            self._finished(run_id, time.perf_counter())


def one_task(group: str) -> run_service_pb2.CreateRunRequest:
    """Return a run of one task with one step."""
    task = definition_pb2.TaskDefinition(
        name="task",
        runtime=definition_pb2.Runtime(containers=[definition_pb2.Container(image="host")]),
        steps=[definition_pb2.StepDefinition(run=definition_pb2.RunStep(command="true"))],
    )
    return run_service_pb2.CreateRunRequest(run=run_pb2.Run(name="bench", group=group), tasks=[task])


async def check_finished(served: Served, expected: int) -> None:
    """Check that `count` runs are finished with success, as clients see it."""
    found, token = 0, ""
    while True:
        page = await served.runs.ListRuns(
            run_service_pb2.ListRunsRequest(
                phase=run_pb2.RUN_PHASE_FINISHED, result=run_pb2.RUN_RESULT_SUCCESS, page_size=1000, page_token=token
            )
        )
        found += len(page.runs)
        token = page.next_page_token
        if not token:
            break
    if found != expected:
        raise RuntimeError(f"{found} runs are finished with success, not {expected}")
