"""Programs that run in a pod of a test."""

from __future__ import annotations

import asyncio
from typing import Literal, overload

from sluiceway.executor.drivers.port import Command, Pod, Process


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
