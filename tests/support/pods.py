"""Run commands in pods of real drivers, and find the processes that they leave."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, overload

from sluiceway_executor.drivers.port import (
    Command,
    Driver,
    ExitStatus,
    Limits,
    Network,
    Note,
    Pod,
    PodRequest,
    Process,
    no_note,
)

__all__ = ["REQUEST", "SESSION", "NewPod", "chunks_of", "drain", "marked", "python_in", "run", "until"]

SESSION = f"s{os.getpid()}"
"""Of this test process: others use the same Docker daemon."""
REQUEST = PodRequest(assignment_id="a1", session_id=SESSION, network=Network.NONE, limits=Limits(memory_bytes=1 << 30))


class NewPod:
    """Makes pods of `REQUEST` with changes to its fields; they are removed after the test.

    Attributes:
        image: of the pods, unless it is changed.
        settings: the arguments of the driver after its folder, as Python; empty: none.
        network: of the pods, unless it is changed.
    """

    def __init__(
        self, driver: Driver, *, image: str = "host", settings: str = "", network: Network = Network.NONE
    ) -> None:
        self.image = image
        self.network = network
        self.settings = settings
        self._driver = driver
        self._pods: list[Pod] = []

    def request(self, **changes: Any) -> PodRequest:
        """Return the request for a pod."""
        return replace(REQUEST, **{"image": self.image, "network": self.network, **changes})

    async def __call__(self, note: Note = no_note, **changes: Any) -> Pod:
        """Make a pod."""
        pod = await self._driver.create_pod(self.request(**changes), note)
        self._pods.append(pod)
        return pod

    async def remove_all(self) -> None:
        """Remove them."""
        for pod in self._pods:
            await pod.remove()


async def run(
    pod: Pod, script: str, *, shell: tuple[str, ...] = ("/bin/sh", "-e"), **options: object
) -> tuple[ExitStatus, bytes]:
    """Run a script to its end; return its status and output."""
    process = await pod.exec(Command(argv=shell, script=script, **options))  # type: ignore[arg-type]
    async with asyncio.timeout(60):
        output = b"".join([data async for data in chunks_of(process)])
        return await process.wait(), output


async def chunks_of(process: Process) -> AsyncIterator[bytes]:
    """Yield the output of a command."""
    while data := await process.read():
        yield data


async def drain(process: Process) -> None:
    """Read the output of a command to its end."""
    async for _ in chunks_of(process):
        pass


@overload
async def python_in(pod: Pod, program: str) -> str: ...
@overload
async def python_in(pod: Pod, program: str, *, wait: Literal[False]) -> Process: ...
async def python_in(pod: Pod, program: str, *, wait: bool = True) -> str | Process:
    """Run a Python program in a pod; return what it printed, or the process without waiting for its end."""
    process = await pod.exec(Command(argv=("/usr/bin/python3",), script=program))
    if not wait:
        return process
    output = b""
    async with asyncio.timeout(60):
        while data := await process.read():
            output += data
    return output.decode()


def marked(mark: str) -> list[int]:
    """Find the processes whose command line or environment contains a text."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                state = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0]
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if mark.encode() in text and state != b"Z":
                    found.append(int(entry.name))
    return found


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Poll until a condition of processes or files holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)
