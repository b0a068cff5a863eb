"""Start, signals and end of a process that `run_process` runs."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import textwrap
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

HEAD = """
import asyncio, sys
from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.foundation.lifecycle import Stop, run_process
"""


async def start(body: str, *, fork_support: str = "0") -> Process:
    code = HEAD + textwrap.dedent(body) + "\nsys.exit(run_process(main))\n"
    environment = {**os.environ, "GRPC_ENABLE_FORK_SUPPORT": fork_support, "PYTHONUNBUFFERED": "1"}
    return await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=PIPE, stderr=PIPE, env=environment)


async def end(process: Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def ready(process: Process) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert await process.stdout.readline() == b"ready\n"


WAITING = """
async def work():
    try:
        await asyncio.sleep(3600)
    finally:
        print("work ended")
async def main(stop):
    stop.spawn(work(), name="work")
    await asyncio.sleep(0)
    print("ready")
    await stop.wait()
    print("draining")
    {drain}
    print("drained")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_first_signal_drains_and_exits_with_0(number: signal.Signals) -> None:
    process = await start(WAITING.format(drain="await asyncio.sleep(0.05)"))
    await ready(process)
    process.send_signal(number)
    assert await end(process) == (0, "draining\ndrained\nwork ended\n", "")


async def test_second_signal_ends_the_process_at_once() -> None:
    process = await start(WAITING.format(drain="await asyncio.sleep(3600)"))
    await ready(process)
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"draining\n"
    process.send_signal(signal.SIGTERM)
    assert await end(process) == (130, "work ended\n", "")


async def test_sluiceway_error_is_printed_as_one_sentence() -> None:
    process = await start(
        """
        async def main(stop):
            async with asyncio.TaskGroup() as group:
                async def fail():
                    raise FailedPrecondition("the port 7000 is taken; choose another")
                group.create_task(fail())
        """
    )
    assert await end(process) == (1, "", "error: the port 7000 is taken; choose another\n")


async def test_background_work_that_fails_ends_the_process() -> None:
    process = await start(
        """
        async def work():
            raise FailedPrecondition("etcd is gone")
        async def main(stop):
            stop.spawn(work(), name="work")
            await asyncio.sleep(3600)
        """
    )
    assert await end(process) == (1, "", "error: etcd is gone\n")


async def test_unexpected_exception_is_logged_with_its_cause() -> None:
    process = await start("async def main(stop):\n    raise ValueError('oh')")
    code, out, err = await end(process)
    assert code == 1
    assert err == "error: oh\n"
    assert "process_failed" in out  # structlog's default writes there; entry points set the log up first


async def test_process_with_grpc_fork_support_is_refused() -> None:
    process = await start("async def main(stop):\n    pass", fork_support="1")
    code, _, err = await end(process)
    assert code == 1
    assert "GRPC_ENABLE_FORK_SUPPORT=0" in err


async def abort(code: str, folder: Path) -> list[bytes]:
    """Abort a process that prints "ready"; return the core dumps that it leaves."""
    environment = {**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "0", "PYTHONUNBUFFERED": "1"}
    folder.mkdir()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=PIPE, stderr=PIPE, env=environment, cwd=folder
    )
    await ready(process)
    hard = resource.prlimit(process.pid, resource.RLIMIT_CORE)[1]
    resource.prlimit(process.pid, resource.RLIMIT_CORE, (hard, hard))
    process.send_signal(signal.SIGABRT)
    assert (await end(process))[0] == -signal.SIGABRT
    return [path.read_bytes() for path in folder.iterdir()]


async def test_crash_leaves_no_core_dump_with_secrets(tmp_path: Path) -> None:
    if Path("/proc/sys/kernel/core_pattern").read_text().strip().startswith(("|", "/")):
        pytest.skip("this machine does not store core dumps where a process runs")
    # Made when it runs, so that the command line does not contain it.
    waiting = """
secret = "".join(("the-", "secret"))
async def main(stop):
    print("ready")
    await asyncio.sleep(3600)
"""
    assert await abort(f"{HEAD}{waiting}sys.exit(run_process(main))", tmp_path / "ours") == []
    others = await abort(f"{HEAD}{waiting}asyncio.run(main(None))", tmp_path / "others")
    if not others:
        pytest.skip("this machine stores no core dumps")
    assert b"the-secret" in others[0]
