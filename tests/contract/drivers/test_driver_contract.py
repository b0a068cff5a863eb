"""What every driver promises (`sluiceway_executor.drivers.port`), against each that this machine can run."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import tarfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.runconfig.capabilities import DRIVERS, PodNeeds, unsupported
from sluiceway_executor.drivers.port import Command, Driver, ExitStatus, Repository, ServiceRequest, TmpfsMount
from tests.support.pods import REQUEST, SESSION, NewPod, chunks_of, drain, marked, run, until

pytestmark = pytest.mark.system


async def test_probe_says_that_it_works(driver: Driver) -> None:
    await driver.probe()
    assert driver.archs


@pytest.mark.parametrize(
    ("script", "code"),
    [
        pytest.param("exit 0", 0, id="success"),
        pytest.param("exit 3", 3, id="failure"),
        pytest.param("false; echo no", 1, id="the shell's -e"),
        pytest.param("no-such-command", 127, id="unknown command"),
        pytest.param("kill -9 $$", 137, id="a signal"),
    ],
)
async def test_exit_status(new_pod: NewPod, script: str, code: int) -> None:
    status, _ = await run(await new_pod(), script)
    assert status == ExitStatus(code)


BUSY = "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done"
LARGE = "x=$(head -c 30000000 /dev/zero | tr '\\0' x); [ ${#x} = 30000000 ]"


async def test_processor_time_of_all_processes_is_known(new_pod: NewPod) -> None:
    pod = await new_pod()
    idle, _ = await run(pod, "sleep 0.1")
    busy, _ = await run(pod, f"({BUSY}) & {BUSY}; wait")
    alone, _ = await run(pod, BUSY)
    assert idle.usage is not None
    assert busy.usage is not None
    assert alone.usage is not None
    assert idle.usage.cpu_seconds < alone.usage.cpu_seconds < busy.usage.cpu_seconds < 60


async def test_peak_memory_of_the_largest_process_is_known(new_pod: NewPod) -> None:
    pod = await new_pod()
    small, _ = await run(pod, "true")
    large, _ = await run(pod, LARGE)
    killed, _ = await run(pod, f"({LARGE}); kill -9 $$")
    for status, least, most in ((small, 100_000, 30_000_000), (large, 30_000_000, 300_000_000)):
        assert status.usage is not None
        assert least < status.usage.peak_memory_bytes < most
    assert (killed.code, killed.usage is not None and killed.usage.peak_memory_bytes > 30_000_000) == (137, True)


async def test_a_program_that_is_not_there_says_so(new_pod: NewPod) -> None:
    process = await (await new_pod()).exec(Command(argv=("/no/such/program",)))
    output = b"".join([data async for data in chunks_of(process)])
    assert b"/no/such/program" in output
    assert (await process.wait()).code == 127


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        pytest.param({"cwd": "~/file"}, 126, "{home}/file cannot be used: {home}/file is not a directory", id="a file"),
        pytest.param(
            {"cwd": "~/file/deep/er"},
            126,
            "{home}/file/deep/er cannot be used: {home}/file is not a directory",
            id="below a file",
        ),
        pytest.param({"cwd": "~/dangling"}, 126, "{home}/dangling cannot be used: ", id="a link to nowhere"),
        pytest.param({"cwd": "/proc/1/new"}, 126, "/proc/1/new cannot be used: ", id="a folder that cannot be made"),
        pytest.param({"cwd": "~/" + "x" * 300}, 126, "cannot be used: File name too long", id="too long a name"),
        pytest.param({"argv": ("/no/such",)}, 127, "there is no program /no/such", id="no program"),
        pytest.param({"argv": ("no-such",)}, 127, "there is no program no-such in /usr/local/sbin:", id="none in PATH"),
        pytest.param(
            {"argv": ("sh",), "environment": {"PATH": ""}}, 127, "there is no program sh in an empty PATH", id="no PATH"
        ),
        pytest.param({"argv": ("/usr",)}, 126, "cannot start /usr: it is a directory", id="a directory"),
        pytest.param({"argv": ("./file",)}, 126, "cannot start ./file: Permission denied", id="not executable"),
        pytest.param(
            {"argv": ("./lost",)}, 127, "cannot start ./lost: the interpreter that it names does not exist", id="lost"
        ),
        pytest.param({"argv": ("./text",)}, 126, "cannot start ./text: Exec format error", id="no format"),
        pytest.param(
            {"environment": {"BIG": "x" * 200_000}}, 126, "the largest BIG with 200000 bytes", id="too large a variable"
        ),
        pytest.param(
            {"environment": {f"V{number}": "x" * 100_000 for number in range(40)}},
            126,
            "the environment is too large: ",
            id="too many variables",
        ),
    ],
)
async def test_what_cannot_be_started_says_why(new_pod: NewPod, command: dict[str, Any], code: int, words: str) -> None:
    pod = await new_pod()
    await run(
        pod, "touch file; ln -s nowhere dangling; printf '#!/no/such\\n' > lost; echo : > text; chmod +x lost text"
    )
    process = await pod.exec(Command(**{"argv": ("/bin/sh", "-c", "echo started"), **command}))
    output = b"".join([data async for data in chunks_of(process)]).decode()
    status = await process.wait()
    assert status.code == code
    assert words.format(home=pod.home) in status.error
    assert output == f"sluice: {status.error}\n"


@pytest.mark.parametrize("name", ["a b", "ü", "1", "a.b-c", "\n", "BASH_FUNC_f%%"])
async def test_variables_of_any_name_arrive(new_pod: NewPod, name: str) -> None:
    process = await (await new_pod()).exec(Command(argv=("/usr/bin/env", "-0"), environment={name: "value"}))
    output = b"".join([data async for data in chunks_of(process)])
    assert f"{name}=value".encode() in output.split(b"\0")


async def test_output_is_exact_and_in_order(new_pod: NewPod) -> None:
    script = r"printf 'a\000b\377\376'; printf 'err' >&2; printf '\r\nend'; head -c 200000 /dev/zero; printf tail >&2"
    status, output = await run(await new_pod(), script)
    assert status.code == 0
    assert output == b"a\x00b\xff\xfeerr\r\nend" + bytes(200000) + b"tail"


async def test_environment_has_nothing_of_the_executor(new_pod: NewPod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXECUTOR_TOKEN", "very-secret")
    pod = await new_pod(environment={"OF_POD": "p", "BOTH": "pod"})
    _, output = await run(pod, "env -0", environment={"BOTH": "step", "BYTES": "ü\n'x"})
    environment = dict(line.split(b"=", 1) for line in output.split(b"\0") if b"=" in line)
    assert environment[b"OF_POD"] == b"p"
    assert environment[b"BOTH"] == b"step"
    assert environment[b"BYTES"] == "ü\n'x".encode()
    assert environment[b"HOME"] == pod.home.encode()
    assert b"very-secret" not in output


async def test_a_command_may_have_an_environment_without_the_pod_s(new_pod: NewPod) -> None:
    pod = await new_pod(environment={"OF_POD": "p", "PATH": "/nowhere", "HOME": "/elsewhere"})
    process = await pod.exec(Command(argv=("env", "-0"), environment={"OWN": "o"}, inherit=False))
    output = b"".join([data async for data in chunks_of(process)])
    environment = dict(line.split(b"=", 1) for line in output.split(b"\0") if b"=" in line)
    assert b"OF_POD" not in environment
    assert environment[b"OWN"] == b"o"
    assert environment[b"HOME"] == pod.home.encode()


async def test_a_large_environment_and_script_arrive(new_pod: NewPod) -> None:
    value = "x" * 100_000
    status, output = await run(await new_pod(), "#" * 300_000 + "\necho ${#BIG}", environment={"BIG": value})
    assert (status.code, output) == (0, b"100000\n")


async def test_the_folder_is_made_and_home_is_understood(new_pod: NewPod) -> None:
    pod = await new_pod()
    for cwd, expected in (
        ("~/project/deep", f"{pod.home}/project/deep"),
        ("", pod.home),
        ("relative", f"{pod.home}/relative"),
    ):
        _, output = await run(pod, "pwd; touch written", cwd=cwd)
        assert output == f"{expected}\n".encode()


async def test_a_terminal_when_it_is_asked_for(new_pod: NewPod) -> None:
    pod = await new_pod()
    _, output = await run(pod, "test -t 0 && test -t 1 && test -t 2 && echo yes; echo tty > /dev/tty", tty=True)
    assert output == b"yes\r\ntty\r\n"
    _, output = await run(pod, "test -t 0 || test -t 1 || echo no")
    assert output == b"no\n"


async def test_another_user_is_refused(new_pod: NewPod) -> None:
    with pytest.raises(FailedPrecondition, match='"somebody-else"') as caught:
        await new_pod(user="somebody-else")
    assert caught.value.reason == "USER_UNSUPPORTED"
    pod = await new_pod()
    with pytest.raises(FailedPrecondition):
        await run(pod, "true", user="somebody-else")


SERVICE = ServiceRequest("sluice-test/busybox:1")
WANTED = [
    ("privileged", {"privileged": True}, PodNeeds(privileged=True)),
    ("services", {"services": (SERVICE, SERVICE)}, PodNeeds(services=2)),
    ("user", {"user": "somebody-else"}, PodNeeds(user="somebody-else")),
    (
        "image-of-a-registry",
        {"image": "docker.io/library/python:3.11"},
        PodNeeds(image="docker.io/library/python:3.11"),
    ),
    ("folder", {"image": "/"}, PodNeeds(image="/")),
    ("volumes", {"tmpfs": (TmpfsMount("/data"),)}, PodNeeds(volumes=True)),
    ("all", {"privileged": True, "services": (SERVICE,)}, PodNeeds(privileged=True, services=1)),
]


@pytest.mark.parametrize(("changes", "needs"), [pytest.param(*w[1:], id=w[0]) for w in WANTED])
async def test_what_its_capabilities_lack_is_refused_in_their_words(
    driver: Driver, new_pod: NewPod, changes: dict[str, Any], needs: PodNeeds
) -> None:
    needs = needs if "image" in changes else replace(needs, image=new_pod.image)
    lacks = unsupported(needs, driver.capabilities)
    if not lacks:
        pytest.skip("this driver can do that, or it depends on the machine")
    with pytest.raises(FailedPrecondition) as caught:
        await new_pod(**changes)
    assert str(caught.value) == "; ".join(lack.sentence_for(f"the {driver.name} driver") for lack in lacks)
    assert caught.value.reason == f"{lacks[0].feature.upper()}_UNSUPPORTED"


async def test_capabilities_are_those_that_are_checked_before_a_run(driver: Driver) -> None:
    (declared,) = (each for each in DRIVERS if each.driver == driver.name)
    assert replace(driver.capabilities, users=declared.users) == declared
    # Where the users are those of an image, only the image knows them.
    assert driver.capabilities.users or declared.registry_images


async def test_every_user_that_it_declares_can_run_commands(driver: Driver, new_pod: NewPod) -> None:
    for number, user in enumerate(sorted(driver.capabilities.users or ())):
        status, _ = await run(await new_pod(user=user, assignment_id=f"u{number}"), "true")
        assert status == ExitStatus(0)


async def test_another_arch_is_refused(new_pod: NewPod) -> None:
    with pytest.raises(FailedPrecondition, match="riscv64"):
        await new_pod(arch="riscv64")


async def test_files_stay_from_command_to_command(new_pod: NewPod) -> None:
    pod = await new_pod()
    await run(pod, "echo kept > file; mkdir -p /tmp/x; echo t > /tmp/${NAME}", environment={"NAME": "sluice-test-file"})
    _, output = await run(pod, "cat file; rm -f /tmp/sluice-test-file")
    assert output == b"kept\n"


DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open(sys.argv[1], "w").close()
        time.sleep(600)
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize("how", ["stop", "remove"])
async def test_nothing_of_a_pod_outlives_its_end_not_even_a_daemon(new_pod: NewPod, how: str) -> None:
    pod = await new_pod()
    mark = f"daemon-of-{how}-{os.getpid()}"
    script = f"""
cat > daemon.py <<'END'
{DAEMON}
END
/usr/bin/python3 daemon.py ready {mark}
setsid nohup sleep 601 >/dev/null 2>&1 &
while [ ! -e ready ]; do sleep 0.02; done
"""
    status, output = await run(pod, script, environment={"MARK": mark})
    assert status.code == 0, output
    await until(lambda: len(marked(mark)) >= 2)
    if how == "stop":
        await pod.stop(0.2)
        await until(lambda: not marked(f"MARK={mark}"))
        status, output = await run(pod, "echo still usable")
        assert output == b"still usable\n"
    else:
        await pod.remove()
        await until(lambda: not marked(mark))


async def test_a_pod_that_is_not_fed_ends_itself(new_pod: NewPod) -> None:
    mark = f"unfed-{os.getpid()}"
    pod = await new_pod(fence_after=0.5, environment={"MARK": mark})
    status, _ = await run(pod, "sleep 60")
    assert status == ExitStatus(None, pod_ended="fenced")
    await until(lambda: not marked(mark))
    with pytest.raises(FailedPrecondition):
        await run(pod, "true")


async def test_a_pod_that_is_fed_lives(new_pod: NewPod) -> None:
    pod = await new_pod(fence_after=0.5)
    running = asyncio.create_task(run(pod, "sleep 1.5"))
    while not running.done():
        pod.feed(0.5)
        await asyncio.sleep(0.1)
    assert running.result()[0].code == 0


async def test_archives_go_in_and_come_out(new_pod: NewPod) -> None:
    source = io.BytesIO()
    with tarfile.open(fileobj=source, mode="w") as archive:
        for name, content in (("a.txt", b"one"), ("sub/big", os.urandom(300_000))):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    data = source.getvalue()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 65536):
            yield data[start : start + 65536]

    pod = await new_pod()
    await pod.copy_in("~/in", chunks())
    out = b"".join([chunk async for chunk in pod.copy_out("~/in")])
    with tarfile.open(fileobj=io.BytesIO(data)) as before, tarfile.open(fileobj=io.BytesIO(out)) as after:
        contents = {
            member.name.removeprefix("./"): after.extractfile(member).read()  # type: ignore[union-attr]
            for member in after.getmembers()
            if member.isfile()
        }
        assert contents == {m.name: before.extractfile(m).read() for m in before.getmembers()}  # type: ignore[union-attr]


async def test_stream_that_fails_ends_its_unpacking(new_pod: NewPod) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield bytes(10_000)
        raise ValueError("the source is damaged")

    pod = await new_pod()
    async with asyncio.timeout(60):
        with pytest.raises(ValueError, match="damaged"):
            await pod.copy_in("~/in", chunks())
        assert (await run(pod, "echo usable"))[1] == b"usable\n"


async def test_a_stream_that_is_no_archive_is_refused(new_pod: NewPod) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"not a tar" * 10_000

    pod = await new_pod()
    with pytest.raises(FailedPrecondition, match="cannot unpack"):
        await pod.copy_in("~/in", chunks())


async def test_pods_are_found_by_session_and_leave_nothing(driver: Driver, new_pod: NewPod, tmp_path: Path) -> None:
    pod = await new_pod()
    await new_pod(assignment_id="a2", session_id=f"{SESSION}-2")
    assert list(await driver.list_pods(SESSION)) == ["a1"]
    await run(pod, "mkdir -p deep/er; chmod 0 deep/er deep; ln -s / link")
    await driver.remove_pod(SESSION, "a1")
    await driver.remove_pod(SESSION, "a1")
    assert list(await driver.list_pods(SESSION)) == []
    assert list(await driver.list_pods(f"{SESSION}-2")) == ["a2"]
    if driver.name in {"sandbox", "host"}:
        assert [path.name for path in (tmp_path / "pods").iterdir()] == ["a2"]


BOMB = """
import os, time
# Bounded by itself, so that a driver that fails this test harms no machine.
for _ in range(9):
    try:
        os.fork()
    except OSError:
        pass
time.sleep(30)
"""


async def test_a_fork_bomb_ends_its_task_and_nothing_else(new_pod: NewPod) -> None:
    limits = replace(REQUEST.limits, processes=60)
    bomb, other = await new_pod(limits=limits), await new_pod(assignment_id="a2")
    process = await bomb.exec(Command(argv=("/usr/bin/python3",), script=BOMB, environment={"MARK": "bomb"}))
    reading = asyncio.create_task(drain(process))
    # The kernel refuses further processes, or the pod's first process ends them all.
    await until(lambda: 20 < len(marked("MARK=bomb")) <= 61 or reading.done(), 20)
    status, output = await run(other, "echo fine")
    assert (status.code, output) == (0, b"fine\n")
    await bomb.remove()
    await reading
    await until(lambda: not marked("MARK=bomb"))


HOG = "import time\nblocks = []\nwhile True:\n    blocks.append(bytearray(8 << 20)); time.sleep(0.002)\n"


async def test_a_memory_hog_ends_its_task_and_nothing_else(new_pod: NewPod) -> None:
    limits = replace(REQUEST.limits, memory_bytes=200 << 20)
    hog, other = await new_pod(limits=limits), await new_pod(assignment_id="a2")
    process = await hog.exec(Command(argv=("/usr/bin/python3",), script=HOG))
    async with asyncio.timeout(30):
        await drain(process)
        status = await process.wait()
    assert status.code != 0
    assert (await run(other, "echo fine"))[1] == b"fine\n"
    assert (await run(hog, "echo next"))[1] == b"next\n"


async def test_many_small_hogs_are_one_large_one(new_pod: NewPod) -> None:
    limits = replace(REQUEST.limits, memory_bytes=200 << 20)
    pod = await new_pod(limits=limits)
    one = "import time; block = bytearray(60 << 20); time.sleep(60)"
    status, _ = await run(pod, "for i in 1 2 3 4 5 6; do /usr/bin/python3 -c '" + one + "' & done; wait")
    assert status == ExitStatus(137, limit="memory")


async def test_local_repository_is_mounted_read_only(new_pod: NewPod, driver: Driver, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "file").write_text("content")
    if driver.name == "kubernetes":
        with pytest.raises(FailedPrecondition, match="which pods of Kubernetes do not see") as caught:
            await new_pod(repository=Repository(repository, repository / ".git"))
        assert caught.value.reason == "REPOSITORY_UNSUPPORTED"
        return
    pod = await new_pod(repository=Repository(repository, repository / ".git"))
    _, output = await run(pod, f"cat {pod.repository}/file; touch {pod.repository}/new 2>/dev/null || echo refused")
    assert output.startswith(b"content")
    if driver.name != "host":
        assert pod.repository == "/mnt/repository"
        assert output == b"contentrefused\n"
        assert not (repository / "new").exists()


async def test_pods_end_with_their_executor(driver: Driver, new_pod: NewPod, tmp_path: Path) -> None:
    if driver.name == "kubernetes":
        pytest.skip("they are not on the executor's machine: they end when nobody feeds them")
    mark = f"orphan-{os.getpid()}-{driver.name}"
    program = f"""
import asyncio
from pathlib import Path
from sluiceway_executor.drivers.{driver.name} import *
from sluiceway_executor.drivers.port import Command, Network, PodRequest
async def main():
    driver = {type(driver).__name__}(Path({str(tmp_path / "own")!r}), {new_pod.settings})
    request = PodRequest("a1", "s1", image={new_pod.image!r}, network=Network.NONE, environment={{"MARK": {mark!r}}})
    pod = await driver.create_pod(request)
    process = await pod.exec(Command(("/bin/sh",), script="setsid sleep 600 & sleep 600"))
    print("on", flush=True)
    await process.wait()
asyncio.run(main())
"""
    executor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert executor.stdout is not None
    assert await executor.stdout.readline()
    await until(lambda: len(marked(f"MARK={mark}")) >= 2)
    executor.kill()
    await executor.wait()
    await until(lambda: not marked(f"MARK={mark}"))


async def test_tmpfs_is_there_with_its_size(new_pod: NewPod, driver: Driver) -> None:
    mount = TmpfsMount("/scratch", 1 << 20)
    if driver.name == "host":
        with pytest.raises(FailedPrecondition):
            await new_pod(tmpfs=(mount,))
        return
    pod = await new_pod(tmpfs=(mount,))
    status, _ = await run(pod, "head -c 500000 /dev/zero > /scratch/a; head -c 2000000 /dev/zero > /scratch/b")
    assert status.code != 0
