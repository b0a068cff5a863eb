"""`sluice task shell|continue|release`: look into the pod of a task, and continue one that is held."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import option, server_options
from sluiceway.cli.connecting import with_client
from sluiceway.cli.references import RUN_HELP, find_task, resolve, run_argument, title_of
from sluiceway.cli.terminal import clean, say
from sluiceway.cli.waiting import check_wait, wait_options, within

if TYPE_CHECKING:
    from sluiceway.api.run.v1 import hold_service_pb2 as pb
    from sluiceway.client import Client

_CHUNK_BYTES = 16 * 1024
# Not the character for the end of input: a shell that is starting a command loses it.
_END_OF_INPUT = b"exit\n"


@click.command(epilog=RUN_HELP)
@run_argument
@click.argument("task")
@server_options
def shell(run: str, task: str, server: str | None, token: str | None) -> int:
    """Open a shell in the pod of TASK, which is running, or held after a failed step.

    The shell has the environment of that step, with its secrets. What it prints is not stored; that it was opened, by
    whom and for how long is. The exit code is that of the shell. Without a terminal, standard input is what is typed,
    and `exit` at its end.
    """

    async def conversation(client: Client) -> int:
        from sluiceway.api.run.v1 import hold_service_pb2 as pb

        found = await resolve(client, run)
        chosen = find_task(await client.runs.tasks(found.id), task)
        first = pb.OpenShellRequest(run_id=found.id, task_id=chosen.id, term=os.environ.get("TERM", ""))
        with _raw_terminal():
            status, message = await _carry(client, first, f"task {clean(chosen.name)} of {title_of(found)}")
        if message:
            print(f"sluice: {clean(message)}", file=sys.stderr)
        return 1 if status is None else status

    return with_client(server, token, conversation)


@click.command(name="continue", epilog=RUN_HELP)
@run_argument
@click.argument("task")
@option(
    "--from",
    "start",
    type=click.Choice(["failed", "next"]),
    default="failed",
    show_default=True,
    help="Run the failed step again, or the step after it; then the task stays failed.",
)
@wait_options("the task is over or held again")
@server_options
def continue_(
    run: str, task: str, start: str, wait: bool, timeout: timedelta | None, server: str | None, token: str | None
) -> int:
    """Continue TASK, which is held after a failed step, in the same pod.

    With --wait the exit code says how the task ended: 0 success, 1 failed, lost or held again, 2 stopped.
    """
    check_wait(wait, timeout)

    async def conversation(client: Client) -> int:
        from sluiceway.cli.run_actions import end_of_task, task_exit_code

        found = await resolve(client, run)
        chosen = find_task(await client.runs.tasks(found.id), task)
        name = f"task {clean(chosen.name)} of {title_of(found)}"
        await client.holds.continue_task(found.id, chosen.id, from_next=start == "next")
        say(f"{name} continues with the {'next' if start == 'next' else 'failed'} step")
        if not wait:
            return 0
        ended = await within(
            timeout, end_of_task(client, found.id, chosen.id, held_after=chosen.hold.number), f"{name} is not over"
        )
        return task_exit_code(ended)

    return with_client(server, token, conversation)


@click.command(epilog=RUN_HELP)
@run_argument
@click.argument("task")
@server_options
def release(run: str, task: str, server: str | None, token: str | None) -> None:
    """End the hold of TASK: its `always` steps run, and it is failed."""

    async def conversation(client: Client) -> None:
        found = await resolve(client, run)
        chosen = find_task(await client.runs.tasks(found.id), task)
        await client.holds.release(found.id, chosen.id)
        say(f"task {clean(chosen.name)} of {title_of(found)} is released")

    with_client(server, token, conversation)


async def _carry(client: Client, first: pb.OpenShellRequest, name: str) -> tuple[int | None, str]:
    """Carry the terminal until the shell ends; return its exit status, and why it ended if not by itself."""
    typed: asyncio.Queue[pb.OpenShellRequest] = asyncio.Queue(64)
    loop = asyncio.get_running_loop()
    size_changed = asyncio.Event()
    with contextlib.suppress(NotImplementedError, ValueError):
        loop.add_signal_handler(signal.SIGWINCH, size_changed.set)
    tasks: list[asyncio.Task[None]] = []
    try:
        async with aclosing(client.holds.shell(_requests(first, typed))) as responses:
            async for response in responses:
                if not tasks:
                    of = f' with the environment of step "{clean(response.step)}"' if response.step else ""
                    _note(f"shell in {name}{of}, secrets included; what it prints is not stored")
                    tasks.append(asyncio.create_task(_read_input(typed)))
                    tasks.append(asyncio.create_task(_follow_size(typed, size_changed)))
                if response.data:
                    await asyncio.to_thread(_write, response.data)
                if response.HasField("end"):
                    status = response.end.exit_status if response.end.HasField("exit_status") else None
                    return status, response.end.message
        return None, "the connection to the shell ended"
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(NotImplementedError, ValueError):
            loop.remove_signal_handler(signal.SIGWINCH)


async def _requests(
    first: pb.OpenShellRequest, typed: asyncio.Queue[pb.OpenShellRequest]
) -> AsyncIterator[pb.OpenShellRequest]:
    _put_size(first)
    yield first
    while True:
        yield await typed.get()


async def _read_input(typed: asyncio.Queue[pb.OpenShellRequest]) -> None:
    """Send what is typed. At the end of a pipe or a file, leave the shell."""
    from sluiceway.api.run.v1 import hold_service_pb2 as pb

    loop = asyncio.get_running_loop()
    source, last = sys.stdin.fileno(), b""
    ready = asyncio.Event()
    try:
        loop.add_reader(source, ready.set)
    except PermissionError:  # a regular file is always ready
        ready.set()
    try:
        while True:
            await ready.wait()
            data = os.read(source, _CHUNK_BYTES)
            if loop.remove_reader(source):
                ready.clear()
                loop.add_reader(source, ready.set)
            if not data:
                start = b"" if last in {b"", b"\n"} else b"\n"
                await typed.put(pb.OpenShellRequest(data=start + _END_OF_INPUT))
                return
            last = data[-1:]
            await typed.put(pb.OpenShellRequest(data=data))
    finally:
        with contextlib.suppress(ValueError):
            loop.remove_reader(source)


async def _follow_size(typed: asyncio.Queue[pb.OpenShellRequest], changed: asyncio.Event) -> None:
    from sluiceway.api.run.v1 import hold_service_pb2 as pb

    while True:
        await changed.wait()
        changed.clear()
        request = pb.OpenShellRequest()
        _put_size(request)
        await typed.put(request)


def _put_size(request: pb.OpenShellRequest) -> None:
    columns, rows = shutil.get_terminal_size((80, 24))
    with contextlib.suppress(OSError):
        columns, rows = os.get_terminal_size(sys.stdin.fileno())
    request.size.rows, request.size.columns = rows, columns


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Pass each key on as it is, Ctrl-C too, while the body runs; without a terminal, change nothing."""
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin.fileno())
    tty.setraw(sys.stdin.fileno())
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, before)


def _note(text: str) -> None:
    end = "\r\n" if sys.stdin.isatty() else "\n"
    sys.stderr.write(f"[sluice] {text}{end}")
    sys.stderr.flush()


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
