"""What is read of the output of a command while the pod keeps it in its pipe."""

from __future__ import annotations

import asyncio
import fcntl
import os

from sluiceway_executor.drivers.kept_process import KeptProcess
from sluiceway_executor.drivers.pod_output import PIPE_BYTES, KeptOutput


async def test_write_larger_than_the_pipe_is_read_after_a_pause() -> None:
    """The pipe is not empty, since what was read before is not acknowledged."""
    output, end = os.pipe()
    kept = KeptOutput("key", 1, os.dup(output))
    assert fcntl.fcntl(end, fcntl.F_GETPIPE_SZ) == PIPE_BYTES

    async def acknowledge(offset: int) -> int:
        kept.drop(offset)
        return kept.dropped

    async def nothing(_: float = 0) -> None:
        raise AssertionError

    process = KeptProcess(output, acknowledge=acknowledge, forget=nothing, stop=nothing)
    os.write(end, b"first")
    read = await process.read()
    assert read == b"first"
    # It waits for the next output before that is written.
    reading = asyncio.ensure_future(process.read())
    await asyncio.sleep(0)
    large = bytes(range(256)) * 8 * 1024
    writing = asyncio.ensure_future(asyncio.to_thread(os.write, end, large))
    async with asyncio.timeout(30):
        while len(read) < 5 + len(large):
            read += await reading
            await process.acknowledge(len(read))
            if len(read) < 5 + len(large):
                reading = asyncio.ensure_future(process.read())
        assert await writing == len(large)
    assert read == b"first" + large
    process.close()
    os.close(end)
    os.close(kept.output)
