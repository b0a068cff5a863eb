"""What programs find that the launcher starts; how it ends, and what ends with it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.drivers.launcher import Launcher, LaunchRequest

_LOOK = """
import os
fields = dict(line.split(":", 1) for line in open("/proc/self/status"))
# SIGPIPE and SIGXFSZ are ignored by Python itself; 32 and 33, which glibc keeps to itself, by its posix_spawn.
ignored = int(fields["SigIgn"], 16) & ~(1 << 12 | 1 << 24 | 1 << 31 | 1 << 32)
opened = [number for number in range(3, 200) if os.path.exists(f"/proc/self/fd/{number}")]
print(fields["NoNewPrivs"].strip(), os.getsid(0) == os.getpid(), os.getcwd(), ignored, oct(os.umask(0)))
print(sorted(os.environ.keys() - {"LC_CTYPE"}), opened, os.read(4, 10))
"""


@pytest.fixture
async def launcher() -> AsyncIterator[Launcher]:
    launcher = Launcher()
    try:
        yield launcher
    finally:
        launcher.close()


async def run(launcher: Launcher, request: LaunchRequest) -> str:
    source, sink = os.pipe()
    output = os.memfd_create("output")
    first = os.open(os.devnull, os.O_RDONLY)
    try:
        os.write(sink, b"inherited")
        process = await launcher.launch(request, output=output, inherited=[first, source])
        assert await process.wait(20)
        process.close()
        return os.pread(output, 4096, 0).decode()
    finally:
        for each in (source, sink, output, first):
            os.close(each)


async def test_a_program_finds_its_descriptors_and_nothing_else(launcher: Launcher) -> None:
    argv = (sys.executable, "-I", "-S", "-X", "utf8", "-c", _LOOK)
    request = LaunchRequest(argv, env={"A": "1"})
    for _ in range(2):
        assert await run(launcher, request) == "1 True / 0 0o22\n['A'] [3, 4] b'inherited'\n"


async def test_a_program_that_is_not_there_is_refused(launcher: Launcher) -> None:
    request = LaunchRequest(("/no/such/program",), env={})
    with pytest.raises(FailedPrecondition, match="cannot start /no/such/program: No such file or directory"):
        await asyncio.wait_for(run(launcher, request), 20)
