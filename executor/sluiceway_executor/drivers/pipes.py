"""Non-blocking reads and writes of pipes on the event loop."""

from __future__ import annotations

import asyncio
import os

from sluiceway_executor.drivers.port import Process


async def write_all(loop: asyncio.AbstractEventLoop, descriptor: int, data: bytes) -> None:
    """Write all of `data`. Raise BrokenPipeError if nobody reads any more."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            writable = asyncio.Event()
            loop.add_writer(descriptor, writable.set)
            try:
                await writable.wait()
            finally:
                loop.remove_writer(descriptor)


async def read_some(loop: asyncio.AbstractEventLoop, descriptor: int, most: int) -> bytes:
    """Read at most so many bytes; empty: the other end is closed."""
    while True:
        try:
            return os.read(descriptor, most)
        except BlockingIOError:
            readable = asyncio.Event()
            loop.add_reader(descriptor, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(descriptor)


async def read_all(process: Process) -> bytes:
    """Read the output of a command to its end."""
    parts = []
    while data := await process.read():
        parts.append(data)
    return b"".join(parts)
