"""What commands print to terminals, pipes and terminals without UTF-8."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import struct
import termios

import pytest

from sluiceway.api.run.v1 import definition_pb2
from tests.support.commands import BYTES, SLUICE, ServedEngine, ended
from tests.support.run_engine import definition, request


async def test_closed_output_pipe_is_not_an_error(served: ServedEngine) -> None:
    run = await served.client.runs.create(request())
    read, write = os.pipe()
    os.close(read)
    for arguments in (
        ("run", "watch", run.id),
        ("run", "logs", run.id),
        ("run", "list"),
        ("run", "list", "-o", "json"),
    ):
        process = await asyncio.create_subprocess_exec(
            *SLUICE,
            *arguments,
            env=served.environment(),
            stdout=write,
            stderr=asyncio.subprocess.PIPE,
        )
        result = await ended(process)
        headings = [line for line in result.err.splitlines() if line.startswith("---")]
        assert (result.code, len(result.err.splitlines())) == (141, len(headings)), arguments
    os.close(write)


async def test_logs_at_a_terminal_have_no_control_characters(served: ServedEngine) -> None:
    run = await served.client.runs.create(request())
    served.log.data = b"\x1b]0;title\x07 \x1b[31mred\x1b[0m\n"
    shown = await at_terminal(served, "run", "logs", run.id, "build", "--step", "0")
    assert shown == b"^[]0;title^G \x1b[31mred\x1b[0m\r\n\x1b[0m"
    assert await at_terminal(served, "run", "logs", run.id, "build", "--step", "0", "--raw") == served.log.data.replace(
        b"\n", b"\r\n"
    )


async def at_terminal(served: ServedEngine, *arguments: str, columns: int = 80, **environment: str) -> bytes:
    """Run a command whose standard output is a terminal; returns what that would show."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *SLUICE, *arguments, env=served.environment() | environment, stdout=theirs, stderr=asyncio.subprocess.PIPE
    )
    os.close(theirs)
    shown = bytearray()

    def read() -> None:
        # Once nobody holds the other end, a read fails.
        with contextlib.suppress(OSError):
            while data := os.read(ours, 65536):
                shown.extend(data)

    reading = asyncio.create_task(asyncio.to_thread(read))
    result = await ended(process)
    await reading
    os.close(ours)
    assert result.code == 0, result.err
    return bytes(shown)


async def test_run_tables_fit_the_terminal(served: ServedEngine) -> None:
    run = await served.client.runs.create(request(definition("t" * 90), group="/user/me/" + "g" * 90, name="n" * 90))
    for arguments in (("run", "list"), ("run", "get", run.id), ("task", "get", run.id, "t" * 90)):
        shown = (await at_terminal(served, *arguments, NO_COLOR="1")).decode().split("\r\n")
        table = shown[[line.split(" ")[0] in {"NUMBER", "TASK", "ATTEMPT"} for line in shown].index(True) :]
        assert len(table) > 1
        assert max(map(len, table)) <= 80


ASCII = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
SHOWING = {
    "a list": ("run", "list"),
    "a list in JSON": ("run", "list", "-o", "json"),
    "a list in YAML": ("run", "list", "-o", "yaml"),
    "a run": ("run", "get", "1"),
    "a run that waits": ("run", "explain", "1"),
    "a task": ("task", "get", "1", "größe 東京"),
    "logs": ("run", "logs", "1"),
    "a refusal": ("task", "get", "1", "東"),
    "a watch": ("run", "watch", "1"),
    "an approval": ("run", "approve", "1", "größe 東京"),
    "a stop": ("run", "stop", "1"),
}


@pytest.mark.parametrize("arguments", SHOWING.values(), ids=SHOWING.keys())
async def test_output_to_an_ascii_terminal_is_ascii(served: ServedEngine, arguments: tuple[str, ...]) -> None:
    gate = definition("größe 東京", approval=definition_pb2.Approval())
    run = await served.client.runs.create(request(gate, name="ünï"))
    if "watch" in arguments:
        await served.client.runs.stop(run.id)
    result = await served.sluice(*arguments, **ASCII)
    assert "should not have happened" not in result.err
    assert result.out.isascii()
    assert result.err.isascii()
    refused = "東" in arguments
    assert result.code == (1 if refused else 2 if "watch" in arguments else 0), result.err
    if "logs" not in arguments:
        # What cannot be shown is written out, as each format does it.
        assert re.search(r"\\(xf6|xF6|u00f6|xfc|xFC|u00fc|u6771)", result.out.decode() + result.err)


async def test_log_reaches_an_ascii_pipe_byte_for_byte(served: ServedEngine) -> None:
    run = await served.client.runs.create(request())
    result = await served.sluice("run", "logs", run.id, "build", "--step", "0", **ASCII)
    assert result.out == BYTES


async def test_arguments_that_are_not_utf8_are_refused(served: ServedEngine) -> None:
    process = await asyncio.create_subprocess_exec(
        *SLUICE,
        *("run", "get", b"\xff"),
        env=served.environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    result = await ended(process)
    assert (result.code, result.err) == (2, "sluice: an argument is not UTF-8: \\udcff\n")
