"""The stop of a command ends what that command started, all of it, and nothing else."""

from __future__ import annotations

import asyncio
import os

import pytest

from sluiceway_executor.drivers.port import Command, ExitStatus, Pod, Process
from tests.support.pods import NewPod, chunks_of, drain, marked, run, until

pytestmark = pytest.mark.system

WAIT_FOREVER = "echo on; while :; do sleep 0.02; done"


@pytest.fixture
async def pod(new_pod: NewPod) -> Pod:
    return await new_pod()


@pytest.fixture
async def background(pod: Pod) -> str:
    """A mark of two processes that an earlier command left behind."""
    mark = f"EARLIER={os.getpid()}"
    environment = dict([mark.split("=")])
    await run(pod, "(sleep 600 & setsid sleep 600 &) > /dev/null 2>&1", environment=environment)
    await until(lambda: len(marked(mark)) == 2)
    return mark


async def begin(pod: Pod, script: str, *, shell: str = "/bin/sh", tty: bool = False, **environment: str) -> Process:
    """Start a script that says `on` first."""
    process = await pod.exec(Command(argv=(shell,), script=script, environment=environment, tty=tty))
    assert (await process.read()).splitlines() == [b"on"]
    return process


@pytest.mark.parametrize("tty", [False, True], ids=["pipe", "terminal"])
async def test_term_first_and_kill_after_the_grace(pod: Pod, *, tty: bool) -> None:
    process = await begin(pod, f"trap 'echo bye; exit 5' TERM; {WAIT_FOREVER}", tty=tty)
    await process.stop(20)
    output = b"".join([data async for data in chunks_of(process)])
    assert output.splitlines()[-1] == b"bye"
    assert await process.wait() == ExitStatus(5)
    process = await begin(pod, f"trap '' TERM; {WAIT_FOREVER}", tty=tty)
    await process.stop(0.2)
    assert await process.wait() == ExitStatus(137)


async def test_a_stop_that_follows_the_start_at_once_is_not_lost(pod: Pod) -> None:
    async with asyncio.timeout(30):
        for _ in range(20):
            process = await pod.exec(Command(argv=("/bin/sleep", "600")))
            await process.stop(30)
            assert await process.wait() == ExitStatus(143)


async def test_term_comes_once(pod: Pod) -> None:
    process = await begin(pod, f"trap 'echo term' TERM; {WAIT_FOREVER}", shell="/bin/bash")
    await process.stop(0.5)
    output = b"".join([data async for data in chunks_of(process)])
    assert output.count(b"term\n") == 1


async def test_it_ends_when_a_child_that_outlives_its_shell_has(pod: Pod, background: str) -> None:
    child = (
        "import os, signal, sys, time\ndef end(*_):\n    time.sleep(1); os.write(1, b'cleaned up\\n'); sys.exit(0)\n"
    )
    child += "signal.signal(signal.SIGTERM, end); os.write(1, b'on\\n'); time.sleep(600)"
    process = await begin(pod, f'/usr/bin/python3 -c "{child}"\necho never')
    stopping = asyncio.create_task(process.stop(30))
    assert b"".join([data async for data in chunks_of(process)]) == b"cleaned up\n"
    assert await process.wait() == ExitStatus(143)
    await stopping
    assert len(marked(background)) == 2


async def test_the_next_command_is_not_touched(pod: Pod) -> None:
    process = await begin(pod, f"trap '' TERM; {WAIT_FOREVER}")
    stopping = asyncio.create_task(process.stop(0.5))
    other = asyncio.create_task(run(pod, "sleep 1.5; echo whole"))
    await stopping
    assert await process.wait() == ExitStatus(137)
    assert await other == (ExitStatus(0), b"whole\n")


DAEMON = """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open("ready", "w").close()
        time.sleep(600)
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize(
    "start",
    [
        pytest.param("sleep {mark} &", id="in the background"),
        pytest.param("setsid nohup sleep {mark} > /dev/null 2>&1 &", id="in a session of its own"),
        pytest.param("env -i /usr/bin/python3 daemon.py {mark}", id="a daemon without an environment"),
        pytest.param("sleep {mark} & sleep 0.1; kill -STOP $!", id="stopped"),
        pytest.param("trap '' TERM; sleep {mark} &", id="deaf to TERM"),
        pytest.param("(set -m; sleep {mark} & sleep {mark} &)", id="in groups of their own"),
    ],
)
async def test_all_that_it_started_is_ended(pod: Pod, background: str, start: str) -> None:
    mark = f"600{os.getpid()}"
    daemon = f"cat > daemon.py <<'END'\n{DAEMON}\nEND\n"
    process = await begin(pod, f"{daemon}{start.format(mark=mark)}\n{WAIT_FOREVER}", shell="/bin/bash")
    await until(lambda: bool(marked(mark)))
    await process.stop(0.3)
    assert marked(mark) == []
    assert len(marked(background)) == 2
    await drain(process)


RUNNER = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("on", flush=True)
while True:
    if os.fork():
        os._exit(0)
    os.setsid()
"""


async def test_a_process_that_runs_away_by_forking_is_ended(pod: Pod) -> None:
    process = await begin(pod, f"cat > run.py <<'END'\n{RUNNER}\nEND\n/usr/bin/python3 run.py", RUNS="away")
    await process.stop(0.1)
    await drain(process)
    assert marked("RUNS=away") == []
    assert await run(pod, "echo usable") == (ExitStatus(0), b"usable\n")


async def test_a_stop_without_grace_and_a_second_one_with_less(pod: Pod) -> None:
    process = await begin(pod, f"trap '' TERM; {WAIT_FOREVER}")
    await process.stop(0)
    assert await process.wait() == ExitStatus(137)
    process = await begin(pod, f"trap '' TERM; {WAIT_FOREVER}")
    first = asyncio.create_task(process.stop(60))
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await process.stop(0.1)
        await first


async def test_a_stop_of_a_command_that_is_over_does_nothing(pod: Pod, background: str) -> None:
    process = await pod.exec(Command(argv=("/bin/sh",), script="sleep 600 > /dev/null 2>&1 & echo $! > pid"))
    await drain(process)
    await process.stop(0)
    assert (await run(pod, "kill -0 $(cat pid)"))[0] == ExitStatus(0)
    assert len(marked(background)) == 2


async def test_a_stop_of_the_pod_ends_also_what_was_left_behind(pod: Pod, background: str) -> None:
    process = await begin(pod, f"trap '' TERM; {WAIT_FOREVER}")
    await pod.stop(0.2)
    assert await process.wait() == ExitStatus(137)
    assert marked(background) == []
    assert await run(pod, "echo usable") == (ExitStatus(0), b"usable\n")


@pytest.mark.parametrize("driver", ["sandbox"], indirect=True)
@pytest.mark.parametrize(
    ("script", "code", "output"),
    [
        pytest.param("kill -9 -1; echo still; exit 3", 3, b"still\n", id="kills all that it can reach"),
        pytest.param("kill -9 $PPID; sleep 0.3; echo still; exit 3", 3, b"still\n", id="kills its parent"),
        pytest.param(
            "kill -TERM -1; kill -HUP -1; kill -USR1 -1; echo still; exit 3", 3, b"still\n", id="other signals"
        ),
        pytest.param("kill -STOP -1; echo still; exit 3", 3, b"still\n", id="stops all that it can reach"),
        pytest.param("kill -9 $PPID; sleep 0.1; kill -9 $$", 137, b"", id="kills its parent and itself"),
    ],
)
async def test_a_command_in_a_sandbox_may_signal_what_it_likes(pod: Pod, script: str, code: int, output: bytes) -> None:
    assert await run(pod, script, shell=("/bin/bash",)) == (ExitStatus(code), output)
    assert await run(pod, "echo usable") == (ExitStatus(0), b"usable\n")


@pytest.mark.parametrize("driver", ["sandbox"], indirect=True)
async def test_a_command_that_killed_its_parent_can_be_stopped(pod: Pod) -> None:
    process = await begin(pod, f"kill -9 $PPID; setsid sleep 600 & {WAIT_FOREVER}", ORPHAN="yes")
    await until(lambda: len(marked("ORPHAN=yes")) >= 2)
    await process.stop(1)
    await drain(process)
    assert await process.wait() == ExitStatus(143)
    assert marked("ORPHAN=yes") == []
