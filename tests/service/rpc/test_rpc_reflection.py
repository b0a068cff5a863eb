"""Server reflection, as clients of both versions see it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2

from sluiceway.api.project.v1 import project_service_pb2  # noqa: F401 - its descriptor is there, and not offered
from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway.api.run.v1 import run_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.rpc.caller import Caller
from sluiceway_common.foundation.rpc.server import RpcServer

V1 = "grpc.reflection.v1.ServerReflection"
V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
RUNS = "sluiceway.api.run.v1.RunService"
# Every server checks access for the gateway.
OFFERED = {RUNS, "sluiceway.api.access.v1.AccessService", "grpc.health.v1.Health", V1, V1ALPHA}


class Tokens:
    async def authenticate(self, token: str) -> Caller | None:
        return None


class Runs(pb_grpc.RunServiceServicer):
    """Offers two of its methods."""

    async def GetRun(self, request: pb.GetRunRequest, context: Any) -> pb.GetRunResponse:  # noqa: N802 - named by the proto
        return pb.GetRunResponse()

    async def ListRuns(self, request: pb.ListRunsRequest, context: Any) -> pb.ListRunsResponse:  # noqa: N802 - as above
        return pb.ListRunsResponse()


@pytest.fixture
async def address() -> AsyncIterator[str]:
    server = RpcServer(Tokens())
    server.add(pb_grpc.add_RunServiceServicer_to_server, Runs())  # type: ignore[abstract]  # the rest is not offered
    port = await server.start("127.0.0.1:0")
    yield f"127.0.0.1:{port}"
    await server.drain(timedelta(0))


async def ask(address: str, service: str, **request: Any) -> reflection_pb2.ServerReflectionResponse:
    """Send one request. The messages of both versions are the same on the wire."""
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.stream_stream(
            f"/{service}/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        questions = [reflection_pb2.ServerReflectionRequest(**request)]
        (answer,) = [answer async for answer in call(iter(questions), timeout=10)]
    found: reflection_pb2.ServerReflectionResponse = answer
    return found


async def files_of(address: str, service: str, symbol: str) -> list[FileDescriptorProto]:
    """Return the files with a symbol; empty when the server does not know it."""
    answer = await ask(address, service, file_containing_symbol=symbol)
    return [FileDescriptorProto.FromString(file) for file in answer.file_descriptor_response.file_descriptor_proto]


@pytest.mark.parametrize("version", [V1, V1ALPHA])
async def test_reflection_lists_the_offered_services(address: str, version: str) -> None:
    answer = await ask(address, version, list_services="")
    assert {service.name for service in answer.list_services_response.service} == OFFERED


@pytest.mark.parametrize("version", [V1, V1ALPHA])
async def test_reflection_describes_each_listed_service(address: str, version: str) -> None:
    methods = {}
    for name in OFFERED:
        files = {file.name: file for file in await files_of(address, version, name)}
        pool = DescriptorPool()

        def load(file: str, files: Any = files, pool: Any = pool, loaded: Any = None) -> None:
            for dependency in files[file].dependency:
                load(dependency)
            pool.AddSerializedFile(files[file].SerializeToString())

        for file in files:
            load(file)
        methods[name] = {method.name for method in pool.FindServiceByName(name).methods}
    assert methods[RUNS] == {"GetRun", "ListRuns"}
    assert methods[V1] == methods[V1ALPHA] == {"ServerReflectionInfo"}
    assert "Check" in methods["grpc.health.v1.Health"]


@pytest.mark.parametrize(
    ("symbol", "known"),
    [
        pytest.param(f"{RUNS}.GetRun", True, id="a method that is offered"),
        pytest.param(f"{RUNS}.RestartRun", False, id="a method that is not built"),
        pytest.param("sluiceway.api.run.v1.Run", True, id="a message"),
        pytest.param("sluiceway.api.project.v1.ProjectService", False, id="a service that is not built"),
        pytest.param("no.such.Thing", False, id="nothing"),
    ],
)
async def test_reflection_knows_only_offered_symbols(address: str, symbol: str, known: bool) -> None:
    assert bool(await files_of(address, V1, symbol)) is known


async def test_buf_finds_methods_by_reflection(address: str) -> None:
    buf = Path(sys.executable).with_name("buf")
    command = [str(buf), "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--list-methods", f"http://{address}"]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=30, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    assert {f"{RUNS}/GetRun", f"{RUNS}/ListRuns", f"{V1}/ServerReflectionInfo"} <= set(done.stdout.split())
    assert "RestartRun" not in done.stdout
