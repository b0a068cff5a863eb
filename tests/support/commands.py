"""The command line as a process against the real `RunService` with an engine on a database in memory."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sluiceway.api.config.v1 import version_service_pb2_grpc as version_grpc
from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import run_service_pb2_grpc as pb_grpc
from sluiceway.client import Client, connect
from sluiceway_common.foundation.clock import UuidSource
from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind
from sluiceway_common.foundation.rpc.server import RpcServer
from sluiceway_server.app.config_service import VersionServicer
from sluiceway_server.logs.chunks import LogChunk, timed
from sluiceway_server.logs.layout import LineCounter
from sluiceway_server.logs.reader import LogDescription, LogLines
from sluiceway_server.runs.engine import Engine
from sluiceway_server.runs.executor_times import ExecutorTimes
from sluiceway_server.runs.explainer import Explainer
from sluiceway_server.runs.service import RunServicer
from tests.support.run_engine import World, everything_is_allowed

SLUICE = [sys.executable, "-m", "sluiceway.cli.entry"]
ADMIN = Caller(CallerKind.USER, "admin", frozenset({"*"}))
BYTES = bytes(range(256)) * 400


class Tokens:
    """Authenticates one token."""

    async def authenticate(self, token: str) -> Caller | None:
        return ADMIN if token == "good" else None


class OneLog:
    """Logs in which each step of the first attempt wrote the same bytes: all byte values, unless a test sets others."""

    def __init__(self) -> None:
        self.data = BYTES
        self.times: list[tuple[int, float]] = []

    async def describe(self, run_id: str, task: str, *, step: int, attempt: int = 0) -> LogDescription:
        return LogDescription(1, len(self.data), "1")

    async def lines(self, run_id: str, task: str, *, step: int, attempt: int = 0) -> LogLines:
        counter = LineCounter()
        counter.feed(self.data)
        return LogLines(1, len(self.data), True, "", counter.newlines, counter.newlines_before, self.times)

    async def read(
        self,
        run_id: str,
        task: str,
        *,
        step: int,
        attempt: int = 0,
        offset: int = 0,
        follow: bool = False,
        timestamps: bool = False,
    ) -> AsyncGenerator[LogChunk]:
        if attempt > 1:
            raise NotFound(f"the task has no attempt {attempt}; its latest is 1")
        for begin in range(offset, len(self.data), 65536):
            data = self.data[begin : begin + 65536]
            for chunk in timed(LogChunk(begin + len(data), data, None), self.times if timestamps else []):
                yield chunk

    async def newlines_before(self, run_id: str, task: str, *, step: int, attempt: int, offset: int) -> int | None:
        return None


@dataclass
class Ended:
    """Output and exit code of a command."""

    code: int
    out: bytes
    err: str


@dataclass
class ServedEngine:
    """A server with an engine, and a client and commands that call it."""

    address: str
    world: World
    engine: Engine
    client: Client
    home: Path
    log: OneLog

    def environment(self, token: str = "good") -> dict[str, str]:
        return {
            **os.environ,
            "SLUICE_SERVER": self.address,
            "SLUICE_TOKEN": token,
            "XDG_CONFIG_HOME": str(self.home),
            "PYTHONUNBUFFERED": "",
        }

    async def start(self, *arguments: str, token: str = "good", **environment: str) -> asyncio.subprocess.Process:
        """Start a command."""
        return await asyncio.create_subprocess_exec(
            *SLUICE,
            *arguments,
            env=self.environment(token) | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def sluice(self, *arguments: str, token: str = "good", **environment: str) -> Ended:
        """Run a command to its end."""
        return await ended(await self.start(*arguments, token=token, **environment))

    async def end_build(self, run_id: str, log_size: int, phase: str = "SUCCESS", exit_status: int = 0) -> None:
        """Report that the only step of the task `build` ended, with a log of so many bytes."""
        step = executor_api.StepUpdate(
            step=0, phase=f"STEP_PHASE_{phase}", exit_status=exit_status, log_size_bytes=log_size, log_sha256="0" * 64
        )
        assignment = await self.world.assignment_of(run_id)
        await self.world.report(self.engine, assignment, "accepted", "running")
        await self.world.report(self.engine, assignment, phase.lower(), steps=[step])


async def ended(process: asyncio.subprocess.Process) -> Ended:
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return Ended(process.returncode, out, err.decode())


@asynccontextmanager
async def serving(home: Path) -> AsyncIterator[ServedEngine]:
    world, log = World(), OneLog()
    engine = await world.placing_engine()
    server = RpcServer(authenticator=Tokens(), ids=UuidSource())
    explainer = Explainer(world.executors, world.clock, times=ExecutorTimes())
    version = VersionServicer(public_url="https://ci.example.org")
    server.add(version_grpc.add_VersionServiceServicer_to_server, version)
    server.add(
        pb_grpc.add_RunServiceServicer_to_server,
        RunServicer(
            world.db,
            engine,
            explainer=explainer,
            logs=log,
            deletion=world.deletion,
            artifacts=world.artifacts,
            tests=world.tests,
            right_on_scope=everything_is_allowed,
            ids=UuidSource(),
        ),
    )
    address = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
    try:
        async with connect(address, token="good") as client:
            yield ServedEngine(address, world, engine, client, home, log)
    finally:
        await server.drain(timedelta(0))


def repository(folder: Path, *runs: dict[str, Any]) -> str:
    (folder / ".sluice").mkdir(parents=True)
    (folder / ".sluice" / "config.json").write_text(json.dumps({"runs": list(runs)}))
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(folder), *command], check=True)
    return str(folder)


def config_run(name: str, **more: Any) -> dict[str, Any]:
    task = {"name": "build", "runtime": {"containers": [{"image": "host"}]}, "steps": [{"run": "true"}]}
    return {"name": name, "tasks": [task], **more}
