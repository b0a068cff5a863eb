"""The command line as a process against the real `RunService`, with the engine on a database in memory."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sluiceway.api.run.v1 import definition_pb2
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.api.run.v1 import run_service_pb2_grpc as pb_grpc
from sluiceway.client import Client, connect
from sluiceway.foundation.clock import UuidSource
from sluiceway.foundation.errors import NotFound
from sluiceway.foundation.rpc.caller import Caller, CallerKind
from sluiceway.foundation.rpc.server import RpcServer
from sluiceway.runservice.engine import Engine
from sluiceway.runservice.executor_times import ExecutorTimes
from sluiceway.runservice.explaining import Explainer
from sluiceway.runservice.log_reader import LogDescription
from sluiceway.runservice.service import RunServicer
from tests.support.conditions import eventually
from tests.support.run_engine import World, definition, request

SLUICE = [sys.executable, "-m", "sluiceway.cli.entry"]
ADMIN = Caller(CallerKind.USER, "admin", frozenset({"*"}))
BYTES = bytes(range(256)) * 400


class Tokens:
    async def authenticate(self, token: str) -> Caller | None:
        return ADMIN if token == "good" else None


@dataclass(frozen=True)
class Chunk:
    next_offset: int
    data: bytes
    time: None = None


class OneLog:
    """Each step of the first attempt wrote all bytes that there are."""

    async def describe(self, run_id: str, task: str, *, step: int, attempt: int = 0) -> LogDescription:
        return LogDescription(1, len(BYTES), "1")

    async def read(
        self, run_id: str, task: str, *, step: int, attempt: int = 0, offset: int = 0, follow: bool = False
    ) -> AsyncIterator[Chunk]:
        if attempt > 1:
            raise NotFound(f"the task has no attempt {attempt}; its latest is 1")
        for begin in range(offset, len(BYTES), 65536):
            data = BYTES[begin : begin + 65536]
            yield Chunk(begin + len(data), data)


@dataclass
class Ended:
    code: int
    out: bytes
    err: str


@dataclass
class Place:
    address: str
    world: World
    engine: Engine
    client: Client
    home: Path

    def environment(self, token: str = "good") -> dict[str, str]:
        return {
            **os.environ,
            "SLUICE_SERVER": self.address,
            "SLUICE_TOKEN": token,
            "XDG_CONFIG_HOME": str(self.home),
            "PYTHONUNBUFFERED": "",
        }

    async def start(self, *arguments: str, token: str = "good") -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *SLUICE,
            *arguments,
            env=self.environment(token),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def sluice(self, *arguments: str, token: str = "good") -> Ended:
        return await ended(await self.start(*arguments, token=token))


async def ended(process: asyncio.subprocess.Process) -> Ended:
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return Ended(process.returncode, out, err.decode())


@asynccontextmanager
async def serving(home: Path) -> AsyncIterator[Place]:
    world = World()
    engine = await world.placing_engine()
    server = RpcServer(authenticator=Tokens(), ids=UuidSource())
    explainer = Explainer(world.executors, world.clock, times=ExecutorTimes())
    server.add(
        pb_grpc.add_RunServiceServicer_to_server, RunServicer(world.db, engine, explainer=explainer, logs=OneLog())
    )
    address = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
    try:
        async with connect(address, token="good") as client:
            yield Place(address, world, engine, client, home)
    finally:
        await server.drain(timedelta(0))


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with serving(tmp_path) as place:
        yield place


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


async def test_run_is_created_listed_and_shown_for_people_and_programs(place: Place, tmp_path: Path) -> None:
    repo = repository(tmp_path / "app", config_run("ci"))
    created = await place.sluice("run", "create", "--repo", repo, "-o", "name")
    assert (created.code, created.err) == (0, "")
    run_id = created.out.decode().strip()
    shown = json.loads((await place.sluice("run", "get", run_id, "-o", "json")).out)
    assert (shown["id"], shown["name"], shown["group"]) == (run_id, "ci", "/user/admin/app/main")
    listed = json.loads((await place.sluice("run", "list", "-o", "json")).out)
    assert [run["id"] for run in listed] == [run_id]
    table = (await place.sluice("run", "list", "--phase", "running")).out.decode()
    assert run_id in table
    assert "\x1b" not in table
    people = (await place.sluice("run", "get", run_id)).out.decode()
    assert "refs/heads/main" in people
    assert "build" in people


async def test_runs_made_together_are_watched_together_and_the_worst_code_counts(place: Place, tmp_path: Path) -> None:
    repo = repository(tmp_path / "app", config_run("good"), config_run("bad"))
    watching = await place.start("run", "create", "--repo", repo, "--watch", "-o", "json")

    async def finish(name: str, phase: str) -> None:
        async def running() -> bool:
            runs = await place.client.runs.list(phase="RUN_PHASE_RUNNING")
            return [run.name for run in runs] == [name]

        await eventually(running)
        run = (await place.client.runs.list(phase="RUN_PHASE_RUNNING"))[0]
        await place.world.finish(place.engine, run.id, "build", phase)

    await finish("good", "success")
    await finish("bad", "failed")
    result = await ended(watching)
    assert result.code == 1
    assert [run["name"] for run in json.loads(result.out)] == ["good", "bad"]
    assert "good: run 1" in result.err
    assert "bad: run 2" in result.err


async def test_configuration_that_cannot_be_used_ends_with_3_and_its_errors(place: Place, tmp_path: Path) -> None:
    repo = repository(tmp_path / "app", {"name": "ci", "tasks": "none"})
    result = await place.sluice("run", "create", "--repo", repo, "--watch")
    assert result.code == 3
    assert b"tasks" in result.out


async def test_ctrl_c_ends_a_watch_with_130_and_not_the_run(place: Place) -> None:
    run = await place.client.runs.create(request())
    watching = await place.start("run", "watch", run.id)
    assert watching.stdout is not None
    async with asyncio.timeout(20):
        await watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    result = await ended(watching)
    assert (result.code, result.err) == (130, "sluice: interrupted\n")
    assert (await place.client.runs.get(run.id)).phase == api.RUN_PHASE_RUNNING


async def test_reader_that_goes_away_is_no_fault(place: Place) -> None:
    run = await place.client.runs.create(request())
    read, write = os.pipe()
    os.close(read)
    for arguments in (("run", "watch", run.id), ("run", "list"), ("run", "list", "-o", "json")):
        process = await asyncio.create_subprocess_exec(
            *SLUICE,
            *arguments,
            env=place.environment(),
            stdout=write,
            stderr=asyncio.subprocess.PIPE,
        )
        result = await ended(process)
        assert (result.code, result.err) == (141, ""), arguments
    os.close(write)


async def test_stop_cancel_approve_and_explain_move_and_explain(place: Place) -> None:
    gate = definition("to the world", approval=definition_pb2.Approval())
    run = await place.client.runs.create(request(gate))
    queued = await place.client.runs.create(request())
    why = (await place.sluice("run", "explain", run.id)).out.decode()
    assert "to the world is not started" in why
    assert "approval" in why
    why = (await place.sluice("run", "explain", run.id, "to the world", "-o", "json")).out.decode()
    assert json.loads(why)["taskName"] == "to the world"
    assert b"run is queued" in (await place.sluice("run", "explain", queued.id)).out
    assert (await place.sluice("run", "cancel", queued.id)).code == 0
    assert (await place.sluice("run", "watch", queued.id)).code == 2
    assert (await place.sluice("run", "approve", run.id, "to the world")).code == 0
    assert (await place.world.statuses(run.id))["to the world"] == "running"
    assert (await place.sluice("run", "stop", run.id)).code == 0
    await place.world.finish(place.engine, run.id, "to the world", "stopped")
    assert (await place.sluice("run", "watch", run.id)).code == 2


async def test_watch_of_a_run_that_waits_says_who_must_do_what(place: Place) -> None:
    run = await place.client.runs.create(request(definition("deploy", approval=definition_pb2.Approval())))
    watching = await place.start("run", "watch", run.id)
    assert watching.stdout is not None
    async with asyncio.timeout(20):
        lines = [(await watching.stdout.readline()).decode().strip() for _ in range(2)]
    assert lines[1].endswith(f"somebody must say yes: sluice run approve {run.id} deploy")
    watching.send_signal(signal.SIGINT)
    await ended(watching)


async def test_logs_are_printed_byte_for_byte(place: Place) -> None:
    run = await place.client.runs.create(request())
    result = await place.sluice("run", "logs", run.id, "build", "--step", "0")
    assert (result.code, result.out, result.err) == (0, BYTES, "")
    result = await place.sluice("run", "logs", run.id, "build", "--step", "0", "--offset", "102000")
    assert result.out == BYTES[102000:]
    result = await place.sluice("run", "logs", run.id, "build", "--setup")
    assert result.out == BYTES


async def test_logs_of_a_task_that_never_ran_are_nothing(place: Place) -> None:
    run = await place.client.runs.create(request(definition("deploy", approval=definition_pb2.Approval())))
    for arguments in ((), ("deploy",)):
        result = await place.sluice("run", "logs", run.id, *arguments)
        assert (result.code, result.out, result.err) == (0, b"", "")


async def test_followed_log_of_a_task_that_waits_begins_when_the_task_does(place: Place) -> None:
    run = await place.client.runs.create(request(definition("deploy", approval=definition_pb2.Approval())))
    following = await place.start("run", "logs", "-f", run.id, "deploy", "--step", "0")
    await place.client.runs.approve(run.id, (await place.client.runs.tasks(run.id))[0].id)
    assert (await ended(following)).out == BYTES


REFUSALS = {
    "an attempt that is not there": (("run", "logs", "{run}", "build", "--attempt", "7"), "no attempt 7"),
    "a task that is not there": (("run", "logs", "{run}", "nobody"), 'no task "nobody"; it has build'),
    "a step that is not there": (("run", "logs", "{run}", "build", "--step", "9"), "1 steps"),
    "an offset without a step": (("run", "logs", "{run}", "build", "--offset", "9"), "--step"),
    "a run that is not there": (("run", "get", "nobody"), "nobody"),
    "a run that is not queued": (("run", "cancel", "{run}"), "running"),
    "a phase that is none": (("run", "list", "--phase", "odd"), "setup_error"),
    "a URL for a server": (("run", "list", "--server", "http://x"), "HOST:PORT"),
    "a server that is away": (("run", "list", "--server", "127.0.0.1:1"), "127.0.0.1:1"),
    "a token that is not known": (("run", "list", "--token", "bad"), "token"),
    "a repository that is not there": (("run", "create", "--repo", "/nowhere"), "/nowhere"),
    "a repository by a URL that is not taken": (("run", "create", "--repo", "file:///x"), "https"),
}


@pytest.mark.parametrize(("arguments", "said"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_refusal_is_one_sentence(place: Place, arguments: tuple[str, ...], said: str) -> None:
    run = await place.client.runs.create(request())
    result = await place.sluice(*(argument.format(run=run.id) for argument in arguments))
    lines = [line for line in result.err.splitlines() if not line.startswith("---")]
    assert (result.code, len(lines)) == (1, 1), result.err
    assert lines[0].startswith("sluice: ")
    assert said in lines[0]


@pytest.mark.parametrize(
    "arguments", [(), ("run",), ("config",), ("executor",)], ids=["all", "run", "config", "executor"]
)
async def test_help_lists_the_commands(place: Place, arguments: tuple[str, ...]) -> None:
    result = await place.sluice(*arguments, "--help")
    assert (result.code, result.err) == (0, "")
    assert b"Commands:" in result.out


async def test_login_remembers_a_token_that_the_server_takes_and_no_other(place: Place) -> None:
    async def sluice(*arguments: str, typed: bytes = b"") -> Ended:
        environment = {k: v for k, v in place.environment().items() if k not in {"SLUICE_SERVER", "SLUICE_TOKEN"}}
        process = await asyncio.create_subprocess_exec(
            *SLUICE,
            *arguments,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            out, err = await process.communicate(typed)
        return Ended(process.returncode or 0, out, err.decode())

    assert (await sluice("login", "--server", place.address, typed=b"bad\n")).code == 1
    assert (await sluice("run", "list")).code == 1
    assert (await sluice("login", "--server", place.address, typed=b"good\n")).code == 0
    assert (await sluice("run", "list")).code == 0


@pytest.mark.parametrize("command", ["list", "drain", "delete"])
async def test_server_given_before_a_command_is_refused_and_not_ignored(place: Place, command: str) -> None:
    result = await place.sluice("executor", "--server", "127.0.0.1:1", command, *([] if command == "list" else ["e1"]))
    assert result.code == 2
    assert result.out == b""
    assert f"sluice executor {command} [OPTIONS]" in result.err


async def test_help_of_the_executor_commands_shows_the_options_of_one_only(place: Place) -> None:
    help_ = (await place.sluice("executor", "--help")).out.decode()
    assert "--token-file" not in help_
    assert "run" in help_.split()
    help_ = (await place.sluice("executor", "run", "--help")).out.decode()
    for option in (
        "--archs",
        "--dynamic",
        "--ca-file",
        "--memory",
        "--network",
        "--image-dir",
        "--label",
        "--min-free-disk",
    ):
        assert option in help_, option


async def test_wrong_command_line_ends_with_2(place: Place) -> None:
    assert (await place.sluice("run", "get")).code == 2
    assert (await place.sluice("config", "nobody")).code == 2


COMPLETIONS = {
    "commands": ("sluice ", {"run", "config", "executor", "version"}),
    "commands of a group": ("sluice run ", {"create", "list", "watch", "logs"}),
    "a command that was begun": ("sluice executor dr", {"drain"}),
    "options": ("sluice run list --l", {"--limit"}),
    "values of an option": ("sluice run list -o ", {"table", "json", "name"}),
}


@pytest.mark.parametrize(("typed", "expected"), COMPLETIONS.values(), ids=COMPLETIONS.keys())
async def test_bash_completes_what_is_typed(typed: str, expected: set[str], tmp_path: Path) -> None:
    (tmp_path / "sluice").write_text(f'#!/bin/sh\nexec {sys.executable} -m sluiceway.cli.entry "$@"\n')
    (tmp_path / "sluice").chmod(0o755)
    words = [*typed.split(), *([""] if typed.endswith(" ") else [])]
    script = (
        'eval "$(sluice completion bash)"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        '_sluice_completion sluice; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    process = await asyncio.create_subprocess_exec(
        "bash",
        *("-c", script, "bash", *words),
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    result = await ended(process)
    assert (result.code, result.err) == (0, "")
    assert expected <= set(result.out.decode().split())


SLOW = ("pydantic", "yaml", "structlog", "rich", "sluiceway.runconfig", "sluiceway.app", "sluiceway.executor")
HELP_ONLY = (*SLOW, "asyncio", "grpc", "google.protobuf")
LOADED = {
    "the help": (("--help",), HELP_ONLY),
    "the help of a group": (("run", "--help"), HELP_ONLY),
    "the help of a group whose commands load much": (("config", "--help"), HELP_ONLY),
    "the help of a command": (("run", "logs", "--help"), HELP_ONLY),
    "a list": (("run", "list"), SLOW),
    "a run": (("run", "get", "{run}"), SLOW),
    "a log": (("run", "logs", "{run}"), SLOW),
}


@pytest.mark.parametrize(("arguments", "unwanted"), LOADED.values(), ids=LOADED.keys())
async def test_command_loads_no_more_than_it_needs(
    place: Place, arguments: tuple[str, ...], unwanted: tuple[str, ...]
) -> None:
    run = await place.client.runs.create(request())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "importtime", "-m", "sluiceway.cli.entry"),
        *(argument.format(run=run.id) for argument in arguments),
        env=place.environment(),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        _, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    loaded = {line.rpartition("|")[2].strip() for line in err.decode().splitlines() if line.startswith("import time:")}
    assert "click" in loaded
    assert not [name for name in loaded if any(name == each or name.startswith(f"{each}.") for each in unwanted)]
