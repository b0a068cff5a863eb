"""The command line as a process against the real `RunService`, with the engine on a database in memory."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.support.commands import SLUICE, Ended, ServedEngine, ended
from tests.support.run_engine import request

REFUSALS = {
    "an attempt that is not there": (("run", "logs", "{run}", "build", "--attempt", "7"), "no attempt 7"),
    "a task that is not there": (("run", "logs", "{run}", "nobody"), 'no task "nobody"; the run has build'),
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
async def test_refused_command_prints_one_sentence(served: ServedEngine, arguments: tuple[str, ...], said: str) -> None:
    run = await served.client.runs.create(request())
    result = await served.sluice(*(argument.format(run=run.id) for argument in arguments))
    lines = [line for line in result.err.splitlines() if not line.startswith("---")]
    assert (result.code, len(lines)) == (1, 1), result.err
    assert lines[0].startswith("sluice: ")
    assert said in lines[0]


@pytest.mark.parametrize(
    "arguments", [(), ("run",), ("config",), ("executor",)], ids=["all", "run", "config", "executor"]
)
async def test_help_lists_the_commands(served: ServedEngine, arguments: tuple[str, ...]) -> None:
    result = await served.sluice(*arguments, "--help")
    assert (result.code, result.err) == (0, "")
    assert b"Commands:" in result.out


async def test_login_saves_only_a_token_that_the_server_accepts(served: ServedEngine) -> None:
    async def sluice(*arguments: str, typed: bytes = b"") -> Ended:
        environment = {k: v for k, v in served.environment().items() if k not in {"SLUICE_SERVER", "SLUICE_TOKEN"}}
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

    assert (await sluice("login", "--server", served.address, typed=b"bad\n")).code == 1
    assert (await sluice("run", "list")).code == 1
    assert (await sluice("login", "--server", served.address, typed=b"good\n")).code == 0
    assert (await sluice("run", "list")).code == 0


@pytest.mark.parametrize("command", ["list", "drain", "delete"])
async def test_server_option_before_a_command_is_refused(served: ServedEngine, command: str) -> None:
    result = await served.sluice("executor", "--server", "127.0.0.1:1", command, *([] if command == "list" else ["e1"]))
    assert result.code == 2
    assert result.out == b""
    assert f"sluice executor {command} [OPTIONS]" in result.err


async def test_help_of_executor_commands_shows_only_their_options(served: ServedEngine) -> None:
    help_ = (await served.sluice("executor", "--help")).out.decode()
    assert "--token-file" not in help_
    assert "run" in help_.split()
    help_ = (await served.sluice("executor", "run", "--help")).out.decode()
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


@pytest.mark.parametrize("arguments", [("--server", "x", "run", "list"), ("run", "--server", "x", "list")])
async def test_refused_server_option_says_where_it_belongs(served: ServedEngine, arguments: tuple[str, ...]) -> None:
    result = await served.sluice(*arguments)
    assert (result.code, result.out) == (2, b"")
    assert "--server goes after the command" in result.err


async def test_wrong_command_line_exits_with_2(served: ServedEngine) -> None:
    assert (await served.sluice("run", "get")).code == 2
    assert (await served.sluice("config", "nobody")).code == 2


COMPLETIONS = {
    "commands": ("sluice ", {"run", "config", "executor", "version"}),
    "commands of a group": ("sluice run ", {"create", "list", "watch", "logs"}),
    "a command that was begun": ("sluice executor dr", {"drain"}),
    "options": ("sluice run list --l", {"--limit"}),
    "values of an option": ("sluice run list -o ", {"table", "json", "name"}),
}


@pytest.mark.parametrize(("typed", "expected"), COMPLETIONS.values(), ids=COMPLETIONS.keys())
async def test_bash_completion_completes_commands(typed: str, expected: set[str], tmp_path: Path) -> None:
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


SLOW = (
    "pydantic",
    "yaml",
    "structlog",
    "rich",
    "sluiceway_common.runconfig",
    "sluiceway_server.app",
    "sluiceway_executor",
)
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
async def test_command_imports_only_what_it_needs(
    served: ServedEngine, arguments: tuple[str, ...], unwanted: tuple[str, ...]
) -> None:
    run = await served.client.runs.create(request())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "importtime", "-m", "sluiceway.cli.entry"),
        *(argument.format(run=run.id) for argument in arguments),
        env=served.environment(),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        _, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    loaded = {line.rpartition("|")[2].strip() for line in err.decode().splitlines() if line.startswith("import time:")}
    assert "click" in loaded
    assert not [name for name in loaded if any(name == each or name.startswith(f"{each}.") for each in unwanted)]
