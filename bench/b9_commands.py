"""B9: how long each command of `sluice` takes by itself: its wall time less the time of the server (goal 300 ms, p50).

    python -m bench.b9_commands [--repeat N]

An installation runs one pipeline; then each command is a process of its own. The server's time is that of the same
calls on a connection that is open already, p50. The processor time is of the command alone, so it hardly depends on
what else the machine does. Bare interpreters (`python -c pass`) of the same run are the measure of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from sluiceway.api.run.v1 import run_service_pb2
from sluiceway.cli.creating import requests_for
from sluiceway.cli.repository import open_commit
from sluiceway.client import Client, connect
from tests.support.installation import SLUICE, Installation, config, installation, make_repository

GOAL = 0.3
VERSION_GOAL = 0.15

Calls = Callable[[Client], Awaitable[object]]


@dataclass(frozen=True)
class Measured:
    """Seconds, p50."""

    wall: float
    processor: float


@dataclass(frozen=True)
class Case:
    """A command, the same calls by the SDK if it makes any, and what it may take."""

    arguments: tuple[str, ...]
    calls: Calls | None = None
    goal: float = GOAL


def measure(command: list[str], environment: dict[str, str], repeat: int) -> Measured:
    walls, processor = [], []
    for _ in range(repeat):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        walls.append(time.perf_counter() - began)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return Measured(statistics.median(walls), statistics.median(processor))


async def server_seconds(here: Installation, calls: Calls, repeat: int) -> float:
    async with connect(here.state["grpc"], token=here.token) as client:
        await calls(client)  # connects
        took = []
        for _ in range(repeat):
            began = time.perf_counter()
            await calls(client)
            took.append(time.perf_counter() - began)
    return statistics.median(took)


def cases(repository: Path, run: str, task: str) -> list[Case]:
    async def details(client: Client) -> None:
        await client.runs.get(run)
        await client.runs.tasks(run)

    async def log(client: Client) -> None:
        tasks = await client.runs.tasks(run)
        async for _ in client.runs.logs(run, tasks[0].id, step=0):
            pass

    async def task_reasons(client: Client) -> None:
        tasks = await client.runs.tasks(run)
        await client.runs.explain_task(run, tasks[0].id)

    async def explained(client: Client) -> None:
        await client.runs.explain(run)

    async def listed(client: Client) -> None:
        await client.runs.list(limit=50)

    async def watched(client: Client) -> None:
        async for _ in client.runs.watch(run):
            pass

    async def executors(client: Client) -> None:
        await client.executors.list()

    async def database(client: Client) -> None:
        await client.database.status()

    folder = str(repository)
    with open_commit(folder, None) as checkout:
        requests = requests_for(checkout, name=None, group=None, request_id=None)

    async def created(client: Client) -> None:
        for request in requests:
            again = run_service_pb2.CreateRunRequest()
            again.CopyFrom(request)
            again.request_id = str(uuid4())
            await client.runs.create(again)

    return [
        Case(("version",), goal=VERSION_GOAL),
        Case(("--help",)),
        Case(("run", "--help")),
        Case(("run", "list"), listed),
        Case(("run", "list", "-o", "json"), listed),
        Case(("run", "get", run), details),
        Case(("run", "watch", run), watched),
        Case(("run", "explain", run), explained),
        Case(("run", "explain", run, task), task_reasons),
        Case(("run", "logs", run, task, "--step", "0"), log),
        Case(("run", "create", "--repo", folder), created),
        Case(("executor", "list"), executors),
        Case(("db", "status"), database),
        Case(("config", "check", folder)),
        Case(("config", "graph", folder)),
        Case(("config", "schema")),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    environment = dict(os.environ)
    bare = measure([sys.executable, "-c", "pass"], environment, 5 * repeat)
    print("B9: commands, milliseconds (p50)")
    print(f"{'command':<34}{'wall':>8}{'server':>8}{'own':>8}{'cpu':>8}{'interpreters':>14}{'goal':>6}{'met':>5}")
    with tempfile.TemporaryDirectory() as name, installation(Path(name)) as here:
        repository = here.repositories / "app"
        make_repository(
            repository, {".sluice/config.json": config({"name": "build", "steps": [{"run": "echo hello"}]})}
        )
        run = here.create(repository)
        here.wait_for(run)
        environment |= {"SLUICE_SERVER": here.state["grpc"], "SLUICE_TOKEN": here.token}
        for case in cases(repository, run, "build"):
            server = 0.0 if case.calls is None else asyncio.run(server_seconds(here, case.calls, 2 * repeat))
            found = measure([*SLUICE, *case.arguments], environment, repeat)
            own = found.wall - server
            shown = " ".join(argument.replace(str(repository), "FOLDER") for argument in case.arguments)
            met = "yes" if own <= case.goal else "no"
            figures = "".join(f"{seconds * 1000:>8.0f}" for seconds in (found.wall, server, own, found.processor))
            ratio = found.processor / bare.processor
            print(
                f"{shown.replace(run, 'RUN')[:33]:<34}{figures}{ratio:>14.1f}{case.goal * 1000:>6.0f}{met:>5}",
                flush=True,
            )


if __name__ == "__main__":
    main()
