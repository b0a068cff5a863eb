"""A command at a terminal of a pod: what is typed, the size of the terminal, and Ctrl-C."""

from __future__ import annotations

import pytest

from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_executor.drivers.port import Command, Process
from tests.support.pods import NewPod

pytestmark = pytest.mark.system


async def read_until(process: Process, text: bytes) -> bytes:
    """Read output up to and with a text."""
    seen = b""
    async with time_limit(30):
        while text not in seen:
            data = await process.read()
            assert data, seen
            seen += data
    return seen


async def test_terminal_takes_input_and_sizes(new_pod: NewPod) -> None:
    pod = await new_pod()
    process = await pod.exec(Command(argv=("/bin/sh", "-i"), environment={"PS1": ""}, tty=True, size=(33, 99)))
    await process.write(b"stty -echo; stty size; echo read''y\n")
    assert b"33 99\r\n" in await read_until(process, b"ready\r\n")
    process.resize(44, 111)
    await process.write(
        b"while [ \"$(stty size)\" != '44 111' ]; do sleep 0.05; done; echo resized; echo gr\xc3\xbcn\n"
    )
    await read_until(process, "resized\r\ngrün\r\n".encode())
    # One job: before it prints, the terminal is its own. It ends by itself: a shell whose job is killed discards input.
    job = b"trap 'echo caught; exit 130' INT; echo sleeping; while :; do sleep 0.1; done"
    await process.write(b'sh -c "' + job + b'"\n')
    await read_until(process, b"sleeping\r\n")
    await process.write(b"\x03")
    await read_until(process, b"caught\r\n")
    await process.write(b"echo after $?\n")
    await read_until(process, b"after 130\r\n")
    await process.write(b"exit 7\n")
    while await process.read():
        pass
    assert (await process.wait()).code == 7
    # After its end, nothing happens.
    await process.write(b"late\n")
    process.resize(1, 1)
