"""Large requests of one caller on a real server, and the latency of the others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from sluiceway.api.config.v1 import config_service_pb2, version_service_pb2, version_service_pb2_grpc
from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway.api.run.v1 import run_service_pb2_grpc
from sluiceway_common.foundation.rpc.limits import MAX_MESSAGE_BYTES
from tests.support.installation import Installation, installation
from tests.support.run_engine import definition, request

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

# Processor time of the event loop while another call waits, whatever else the machine does. While one of these requests
# was checked on the event loop, it was 2 to 30 s.
MAX_LOOP_SECONDS = 1.5
CREATE = "/sluiceway.api.run.v1.RunService/CreateRun"
CHECK = "/sluiceway.api.config.v1.ConfigService/CheckRunConfig"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("large"), "--executors", "0") as running:
        yield running


def run_of(tasks: int, steps: int, command: str = "true") -> bytes:
    made = request(*(definition(f"task {n}") for n in range(tasks)))
    for task in made.tasks:
        task.steps[0].run.command = command
        first = task.steps[0]
        task.steps.extend(first for _ in range(steps - 1))
    return made.SerializeToString()


def empty_parts(field: str, *, of: bytes = b"", count: int) -> bytes:
    """Return a request with that many empty messages in one field, two bytes each."""
    return of + bytes([pb.CreateRunRequest.DESCRIPTOR.fields_by_name[field].number << 3 | 2, 0]) * count


def check_of(name: str, text: str) -> bytes:
    files = config_service_pb2.ConfigFiles(files={name: text.encode()})
    return config_service_pb2.CheckRunConfigRequest(config=files).SerializeToString()


FAULTY_RUN = f'{{"name": "r", "tasks": [{", ".join(["{}"] * 80)}]}}'
FAULTS = f'{{"runs": [{", ".join([FAULTY_RUN] * 1_000)}]}}'


@pytest.mark.parametrize(
    ("method", "data", "answer"),
    [
        pytest.param(CREATE, run_of(900, 1_000), "takes at most 8388608", id="14 MB of steps"),
        pytest.param(CREATE, empty_parts("tasks", count=4_000_000), "more than 250000 fields", id="empty tasks"),
        pytest.param(CREATE, empty_parts("warnings", count=4_000_000), "more than 250000 fields", id="empty warnings"),
        pytest.param(CREATE, run_of(1_000, 50), "at most 40000", id="more steps than a run may have"),
        pytest.param(CREATE, run_of(2_000, 20, "x" * 150), "OK", id="the largest run"),
        pytest.param(
            CHECK,
            check_of(".sluice/config.json", FAULTS),
            "OK",
            id="a configuration of 80,000 faults",
        ),
    ],
)
def test_large_request_does_not_delay_other_calls(here: Installation, method: str, data: bytes, answer: str) -> None:
    assert len(data) < MAX_MESSAGE_BYTES
    credentials = (("authorization", f"Bearer {here.token}"),)
    options = [("grpc.max_send_message_length", -1), ("grpc.absolute_max_metadata_size", 1 << 20)]
    with grpc.insecure_channel(here.state["grpc"], options) as channel, ThreadPoolExecutor(1) as pool:
        version = version_service_pb2_grpc.VersionServiceStub(channel)
        runs = run_service_pb2_grpc.RunServiceStub(channel)
        runs.ListRuns(pb.ListRunsRequest(), timeout=30, metadata=credentials)
        before = resident_bytes(here)

        def send() -> str:
            try:
                call: Any = channel.unary_unary(method)
                call(data, timeout=100, metadata=credentials)
            except grpc.RpcError as error:
                return str(cast(grpc.Call, error).details())
            return "OK"

        sent = pool.submit(send)
        longest = 0.0
        while not sent.done():
            began = loop_seconds(here)
            version.GetVersion(version_service_pb2.GetVersionRequest(), timeout=30)
            runs.ListRuns(pb.ListRunsRequest(page_size=1), timeout=30, metadata=credentials)
            longest = max(longest, loop_seconds(here) - began)

    assert answer in sent.result()
    assert longest < MAX_LOOP_SECONDS
    assert resident_bytes(here) - before < 150_000_000


def loop_seconds(here: Installation) -> float:
    """Return the processor time of the server's main thread, which runs the event loop."""
    pid = here.state["processes"]["server"]
    fields = Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(here: Installation) -> int:
    """Return the resident memory of the server."""
    lines = Path(f"/proc/{here.state['processes']['server']}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
