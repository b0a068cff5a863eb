"""When the output of a command ends: filters are waited for, background processes only for a moment."""

from __future__ import annotations

import asyncio
import time

import pytest

from sluiceway_executor.drivers.pod_init import FILTER_SECONDS
from sluiceway_executor.drivers.port import Command, ExitStatus
from tests.support.pods import NewPod, chunks_of, marked, run, until

pytestmark = pytest.mark.system

BASH = ("/bin/bash", "-e")


@pytest.mark.parametrize(
    ("script", "code", "expected"),
    [
        pytest.param(
            "exec > >(tee log.txt) 2>&1\necho building\n./nosuch",
            127,
            b"building\n{script}: line 3: ./nosuch: No such file or directory\n",
            id="a failing script through tee",
        ),
        pytest.param("exec > >(tee log.txt)\nseq 50000", 0, b"".join(b"%d\n" % i for i in range(1, 50001)), id="a lot"),
        pytest.param("exec > >(sed s/a/b/ | tee log.txt)\necho a", 0, b"b\n", id="filters one after another"),
        pytest.param(
            'exec > >(while read -r line; do sleep 0.3; echo "$line."; done)\nseq 10',
            0,
            b"".join(b"%d.\n" % i for i in range(1, 11)),
            id="a filter that works longer than background processes are waited for",
        ),
        pytest.param(
            "exec > >(cat > log.txt; sleep 2.5; cat log.txt)\necho kept",
            0,
            b"kept\n",
            id="a filter that is silent first",
        ),
        pytest.param(
            "mkfifo pipe; tee log.txt < pipe & exec > pipe\necho named", 0, b"named\n", id="a filter by a named pipe"
        ),
        pytest.param("exec 2> >(tee errors.txt >&2)\necho bad >&2", 0, b"bad\n", id="a filter of standard error"),
        pytest.param("(sleep 0.5; echo late) &\necho early", 0, b"early\nlate\n", id="a child that writes a bit later"),
        pytest.param("exec >&-\nexit 4", 4, b"", id="a script that closes its output"),
        pytest.param("printf 'no newline'", 0, b"no newline", id="no newline at the end"),
        pytest.param("exec > >(tee log.txt)\necho on; kill -9 $$", 137, b"on\n", id="a script that is killed"),
        pytest.param(
            "/usr/bin/python3 -c 'import os; os.set_blocking(1, False)'\necho on\nexec > >(tee log)\necho to the end",
            0,
            b"on\nto the end\n",
            id="an output that was made non-blocking",
        ),
    ],
)
async def test_all_of_the_output_is_read(new_pod: NewPod, script: str, code: int, expected: bytes) -> None:
    pod = await new_pod()
    status, output = await run(pod, script, shell=BASH)
    name = output.partition(b": line")[0].rpartition(b"\n")[2]
    assert (status, output) == (ExitStatus(code), expected.replace(b"{script}", name))


@pytest.mark.parametrize(
    ("script", "lines"),
    [
        pytest.param("seq 30000", 30000, id="a lot"),
        pytest.param("exec > >(tee log.txt)\nseq 30000", 30000, id="a filter"),
        pytest.param("(sleep 0.5; echo late) &\necho early", 2, id="a child that writes a bit later"),
        pytest.param("sleep 600 & echo begun", 1, id="a background process"),
        pytest.param("echo on > /dev/tty; test -t 0 && stty size", 2, id="the terminal by its name"),
    ],
)
async def test_all_of_the_output_is_read_from_a_terminal(new_pod: NewPod, script: str, lines: int) -> None:
    status, output = await run(await new_pod(), script, shell=BASH, tty=True)
    assert (status.code, output.count(b"\r\n")) == (0, lines)


async def test_the_output_of_many_pods_at_a_time_is_read_to_its_end(new_pod: NewPod) -> None:
    pods = [await new_pod(assignment_id=f"a{number}") for number in range(12)]
    script = "exec > >(tee log.txt) 2>&1\necho begun; seq 2000; echo ended\n"
    expected = b"begun\n" + b"".join(b"%d\n" % i for i in range(1, 2001)) + b"ended\n"
    outputs = await asyncio.gather(*(run(pod, script, shell=BASH) for pod in pods))
    assert [output == expected for _, output in outputs] == [True] * 12


@pytest.mark.parametrize(
    ("script", "least"),
    [
        pytest.param("echo begun", 0.0, id="nothing is left"),
        pytest.param("sleep 600 > /dev/null 2>&1 & echo begun", 0.0, id="it writes elsewhere"),
        pytest.param("sleep 600 & echo begun", 1.5, id="it is silent"),
        pytest.param("(while :; do echo noise; sleep 0.01; done) & echo begun", 1.5, id="it writes for ever"),
        pytest.param("(while :; do echo noise; done) & echo begun", 1.5, id="it writes as fast as it can"),
        pytest.param("setsid nohup sleep 600 < /dev/null & echo begun", 1.5, id="it has a session of its own"),
        pytest.param("exec > >(tee log.txt); sleep 600 & echo begun", 1.5, id="it writes to a filter"),
        pytest.param("sleep 600 & kill -STOP $!; echo begun", 1.5, id="it is stopped"),
    ],
)
async def test_background_process_survives_and_does_not_delay_the_end(
    new_pod: NewPod, script: str, least: float
) -> None:
    pod = await new_pod()
    started = time.monotonic()
    status, output = await run(pod, f"{script}; echo $! > pid", shell=BASH)
    # Less than a filter may take.
    assert least <= time.monotonic() - started < FILTER_SECONDS
    assert status == ExitStatus(0, output_open=least > 0)
    assert output.replace(b"noise\n", b"").startswith(b"begun\n")
    if "&" in script:
        status, _ = await run(pod, "sleep 0.2; kill -0 $(cat pid)")
        assert status == ExitStatus(0)


@pytest.mark.parametrize("driver", ["host"], indirect=True)
@pytest.mark.parametrize(
    "script",
    [
        pytest.param("sleep 600 <<< text & echo begun", id="a here-string"),
        pytest.param("cat <<'END' | sleep 600 &\ntext\nEND\necho begun", id="a here-document through a pipe"),
        pytest.param("(cat > text.txt; exec sleep 600) <<< text & echo begun", id="it has read its input"),
    ],
)
async def test_daemon_with_a_here_document_does_not_delay_the_end(new_pod: NewPod, script: str) -> None:
    pod = await new_pod()
    started = time.monotonic()
    # A here-document is a pipe whose writer has ended, as the input of a filter is.
    status, output = await run(pod, script, shell=BASH)
    assert (status, output) == (ExitStatus(0, output_open=True), b"begun\n")
    assert time.monotonic() - started < FILTER_SECONDS


@pytest.mark.parametrize("driver", ["host"], indirect=True)
async def test_a_filter_that_still_reads_is_waited_for(new_pod: NewPod) -> None:
    # Longer than a daemon with a here-document is.
    script = "exec > >(while read -r line; do sleep 1; done; echo read)\nseq 6"
    status, output = await run(await new_pod(), script, shell=BASH)
    assert (status, output) == (ExitStatus(0), b"read\n")


async def test_a_slow_reader_loses_nothing_of_a_filter(new_pod: NewPod) -> None:
    pod = await new_pod()
    # What fits into the two pipes before and behind `tee` is written without a reader.
    process = await pod.exec(Command(argv=BASH, script="exec > >(tee log.txt)\nseq 19000; touch written"))
    while (await run(pod, "test -e written"))[0] != ExitStatus(0):
        pass
    await asyncio.sleep(3)  # longer than background processes are waited for
    output = b"".join([data async for data in chunks_of(process)])
    assert output == b"".join(b"%d\n" % i for i in range(1, 19001))


async def test_what_a_command_left_ends_with_the_pod(new_pod: NewPod) -> None:
    pod = await new_pod(environment={"MARK": "left-behind"})
    await run(pod, "sleep 600 > /dev/null & exec > /dev/null; sleep 600 &")
    assert len(marked("MARK=left-behind")) == 2
    await pod.remove()
    await until(lambda: not marked("MARK=left-behind"))
