"""What a task in a sandbox tries, and does not get. Run as root these are the hard ones."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from sluiceway_executor.drivers.port import Command, ExitStatus, Limits, Network, Pod, PodRequest
from sluiceway_executor.drivers.sandbox import SandboxDriver, SandboxSettings

pytestmark = pytest.mark.system

REQUEST = PodRequest(assignment_id="a1", session_id="s1", network=Network.NONE, limits=Limits(memory_bytes=1 << 30))


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[SandboxDriver]:
    made = SandboxDriver(tmp_path / "work", SandboxSettings(image_dir=tmp_path / "images"))
    yield made
    await made.close()


@pytest.fixture
async def pod(driver: SandboxDriver) -> AsyncIterator[Pod]:
    made = await driver.create_pod(REQUEST)
    yield made
    await made.remove()


async def run(pod: Pod, script: str) -> tuple[ExitStatus, bytes]:
    process = await pod.exec(Command(argv=("/bin/sh",), script=script))
    output = b""
    async with asyncio.timeout(30):
        while data := await process.read():
            output += data
        return await process.wait(), output


async def python(pod: Pod, program: str) -> bytes:
    process = await pod.exec(Command(argv=("/usr/bin/python3",), script=program))
    output = b""
    async with asyncio.timeout(30):
        while data := await process.read():
            output += data
    return output


@pytest.mark.parametrize(
    "attempt",
    [
        "mount -o remount,rw /usr",
        "mount -o remount,rw /",
        "mount -t tmpfs none /mnt",
        "mount --bind / /tmp",
        "umount /proc",
        "touch /usr/bin/new",
        "touch /new",
        "touch /etc/new",
        "touch /dev/new",
        "echo evil >> /etc/passwd",
        "mknod /tmp/vda b 254 0",
        "mknod /dev/shm/kmsg c 1 11",
        "unshare -U true",
        "unshare -Ur mount -t tmpfs none /mnt",
        "unshare -m true",
        "unshare -n true",
        "chroot / true",
        "chown 0 /home/sluice",
        "chown 1234 /tmp",
        "nsenter -t 1 -m true",
        "kill -9 1; sleep 0.1; kill -0 1 && exit 1",
        "cat /proc/1/environ",
        "ls -l /proc/1/fd",
        "cat /proc/1/mem",
        "echo 1 > /proc/sys/kernel/core_pattern",
        "echo 61 > /proc/sys/vm/swappiness",
        "echo b > /proc/sysrq-trigger",
        "hostname evil",
        "date -s 2000-01-01",
        "dmesg",
        "echo 0 > /proc/self/uid_map",
        "cat /etc/shadow",
        "ls /root",
        "ls /var",
        "ls /opt",
        "ls /srv",
        "ls /run",
        "ls /sys",
        "su root -c true",
        "cat /dev/vda",
        "renice -n -5 $$",
    ],
)
async def test_is_refused(pod: Pod, attempt: str) -> None:
    if "/proc/1/mem" in attempt:
        attempt = "exec 3<>/proc/1/mem"
    status, output = await run(pod, attempt)
    assert status.code not in {0, None}, output


async def test_neither_the_data_folder_nor_a_token_can_be_read(pod: Pod, tmp_path: Path) -> None:
    token = tmp_path / "admin-token"
    token.write_text("the-admin-token")
    token.chmod(0o644)
    work = tmp_path / "work"
    _, output = await run(pod, f"cat {token} {work}/journal.json; ls {tmp_path}; ls /tmp; ls /home")
    assert b"the-admin-token" not in output
    assert b"journal" not in output.replace(f"{work}/journal.json".encode(), b"")
    assert output.splitlines()[-1] == b"sluice"


async def test_the_environment_of_the_executor_is_nowhere(
    driver: SandboxDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_TOKEN_OF_TEST", "tell-me-not")
    pod = await driver.create_pod(REQUEST)
    try:
        _, output = await run(pod, "cat /proc/*/environ /proc/*/cmdline; env; ls /proc | grep -c '^[0-9]'")
        assert b"tell-me-not" not in output
        count = int(output.split(b"\0")[-1].split()[-1])
        assert count < 10
    finally:
        await pod.remove()


async def test_another_task_s_workspace_and_processes_are_not_seen(
    driver: SandboxDriver, pod: Pod, tmp_path: Path
) -> None:
    other = await driver.create_pod(replace(REQUEST, assignment_id="a2"))
    try:
        await run(
            other,
            "echo their-secret > ~/file; chmod 644 ~/file; sleep 600 & echo hi > /tmp/shared; echo x > /dev/shm/x",
        )
        path = tmp_path / "work" / "pods" / "a2" / "home" / "file"
        assert path.read_text() == "their-secret\n"
        _, output = await run(
            pod, f"cat {path}; find / -xdev -name file 2>/dev/null; ls /tmp/shared /dev/shm/x; ps aux"
        )
        assert b"their-secret" not in output
        assert b"/home/sluice/file" not in output
        assert b"sleep 600" not in output
    finally:
        await other.remove()


async def test_the_uid_outside_is_nobody_else_s(driver: SandboxDriver, pod: Pod, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("an executor that is not root has one uid only")
    other = await driver.create_pod(replace(REQUEST, assignment_id="a2"))
    try:
        owners = []
        for name, each in (("a1", pod), ("a2", other)):
            await run(each, "touch ~/mine")
            owners.append((tmp_path / "work" / "pods" / name / "home" / "mine").stat().st_uid)
        assert len(set(owners)) == 2
        assert all(owner >= 1000 for owner in owners)
    finally:
        await other.remove()


async def test_capabilities_are_gone_and_privileges_cannot_come_back(pod: Pod) -> None:
    _, output = await run(pod, "grep -E 'Cap|NoNewPrivs' /proc/self/status")
    values = dict(line.split(b":") for line in output.splitlines())
    assert {int(value, 16) for name, value in values.items() if name.startswith(b"Cap")} == {0}
    assert values[b"NoNewPrivs"].strip() == b"1"


async def test_the_first_process_cannot_be_traced(pod: Pod) -> None:
    program = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
print(libc.ptrace(16, 1, 0, 0), os.strerror(ctypes.get_errno()))
"""
    assert await python(pod, program) == b"-1 Operation not permitted\n"


async def test_no_descriptor_of_the_executor_is_inherited(pod: Pod) -> None:
    program = (
        "import os\nprint(sorted(int(n) for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}')))"
    )
    output = await python(pod, program)
    # 3 is the script that Python reads or the folder that is listed.
    assert output in {b"[0, 1, 2]\n", b"[0, 1, 2, 3]\n"}


async def test_abstract_sockets_and_keyrings_are_out_of_reach(pod: Pod) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(b"\0sluice-test-%d" % os.getpid())
        listening.listen()
        program = (
            f"import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect(b'\\0sluice-test-{os.getpid()}')\nprint('in')"
        )
        assert b"in\n" not in (await python(pod, program))[-4:]


async def test_memory_file_systems_are_bounded(pod: Pod) -> None:
    status, _ = await run(pod, "head -c 100000000 /dev/zero > /dev/shm/fill")
    assert status.code != 0


async def test_a_folder_can_be_the_whole_root(driver: SandboxDriver, tmp_path: Path) -> None:
    root = tmp_path / "images" / "root"
    (root / "usr" / "bin").mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    busybox = shutil.which("busybox")
    if busybox is None:
        # The machine's own loader and libraries make a small root as good.
        (root / "lib64").symlink_to("usr/lib64")
        (root / "lib").symlink_to("usr/lib")
        _copy_with_libraries(root, "/usr/bin/dash", "usr/bin/sh")
    else:
        shutil.copy(busybox, root / "usr" / "bin" / "sh")
    for path in (tmp_path, root.parent, root):
        path.chmod(0o755)
    pod = await driver.create_pod(replace(REQUEST, assignment_id="a3", image=str(root)))
    try:
        status, output = await run(pod, "echo inside; test ! -e /usr/bin/python3 && echo own root; echo x > ~/file")
        assert (status.code, output) == (0, b"inside\nown root\n")
    finally:
        await pod.remove()


def _copy_with_libraries(root: Path, program: str, to: str) -> None:
    target = root / to
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(program, target)
    for library in ("/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib64/ld-linux-x86-64.so.2"):
        copy = root / library.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, copy)


# Each prints the errno of a call that needs no capability.
REFUSED_CALLS = {
    "a key in a keyring": ("syscall(248, b'user', b'name', b'value', 5, -3)", "EPERM"),
    "a search in keyrings": ("syscall(250, 0, -4, 1)", "EPERM"),
    "io_uring": ("syscall(425, 1, None)", "ENOSYS"),
    "userfaultfd": ("syscall(323, 1)", "EPERM"),
    "bpf": ("syscall(321, 0, None, 0)", "EPERM"),
    "performance events": ("syscall(298, None, 0, -1, -1, 0)", "EPERM"),
    "a socket of the hypervisor": ("socket(40, 1, 0)", "EAFNOSUPPORT"),
    "a socket of the kernel's cryptography": ("socket(38, 5, 0)", "EAFNOSUPPORT"),
    "a socket of a protocol that would be loaded": ("socket(21, 5, 0)", "EAFNOSUPPORT"),
    "a socket of keys": ("socket(15, 3, 2)", "EAFNOSUPPORT"),
}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86_64")
@pytest.mark.parametrize("what", REFUSED_CALLS)
async def test_system_calls_that_a_task_does_not_need_are_refused(pod: Pod, what: str) -> None:
    call, expected = REFUSED_CALLS[what]
    program = (
        "import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        f"print(libc.{call} == -1 and errno.errorcode[ctypes.get_errno()])"
    )
    assert (await python(pod, program)).decode().strip() == expected


async def test_what_tools_need_is_not_refused(pod: Pod) -> None:
    program = (
        "import socket, ctypes\n"
        "for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6):\n    socket.socket(family).close()\n"
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()\n"
        "import os\nchild = os.fork()\n"
        "if child == 0:\n    ctypes.CDLL(None).ptrace(0, 0, 0, 0)\n    os.kill(os.getpid(), 19)\n    os._exit(7)\n"
        "print(os.WIFSTOPPED(os.waitpid(child, 0)[1]))\nos.kill(child, 9)"
    )
    assert await python(pod, program) == b"True\n"
