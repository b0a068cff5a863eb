"""What a pod of the sandbox is made of: its namespaces, mounts, identity and first process (decision 0244)."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.drivers.port import Pod, TmpfsMount
from sluiceway_executor.drivers.sandbox import SandboxDriver, SandboxSettings
from sluiceway_executor.drivers.supervised import SupervisedPod
from tests.support.pods import REQUEST, marked, python_in, run, until

pytestmark = pytest.mark.system

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root sees what the first process of a pod has open")

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
DEVICES = {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")}
WRITABLE = {"/proc", "/tmp", "/home/sluice", "/dev/pts", "/dev/shm"} | DEVICES
READ_ONLY = {"/", "/dev", "/usr", "/etc/passwd", "/etc/group", "/proc/sys"}
READ_ONLY_IF_THERE = {
    *("/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"),
    *("/etc/ssl", "/etc/alternatives", "/etc/ld.so.cache", "/etc/nsswitch.conf"),
}


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[SandboxDriver]:
    made = SandboxDriver(tmp_path / "work", SandboxSettings(image_dir=tmp_path / "images"))
    yield made
    await made.close()


@pytest.fixture
async def pod(driver: SandboxDriver) -> AsyncIterator[SupervisedPod]:
    made = await driver.create_pod(REQUEST)
    yield made
    await made.remove()


async def lines(pod: Pod, script: str) -> list[str]:
    status, output = await run(pod, script)
    assert status.code == 0, output
    return output.decode().splitlines()


def first_process(pod: SupervisedPod) -> Path:
    """The folder of a pod's first process in this machine's /proc."""
    assert pod._child is not None
    fields = dict(line.split(":\t") for line in Path(f"/proc/self/fdinfo/{pod._child._pidfd}").read_text().splitlines())
    return Path("/proc", fields["Pid"])


async def test_pod_has_a_namespace_of_its_own_of_each_kind(driver: SandboxDriver, pod: Pod) -> None:
    other = await driver.create_pod(replace(REQUEST, assignment_id="a2"))
    try:
        look = "cd /proc/self/ns; readlink " + " ".join(NAMESPACES)
        here = [str(Path("/proc/self/ns", name).readlink()) for name in NAMESPACES]
        shown = [here, await lines(pod, look), await lines(other, look)]
    finally:
        await other.remove()
    assert len({namespace for each in shown for namespace in each}) == 3 * len(NAMESPACES)


async def test_pod_shows_its_mounts_and_no_others(pod: Pod) -> None:
    mounts = {}
    for line in await lines(pod, "cat /proc/self/mountinfo"):
        fields = line.split()
        # No optional fields: a mount that is made outside later does not appear here.
        assert fields[6] == "-", line
        mounts[fields[4]] = set(fields[5].split(","))
    below_usr = {path for path in mounts if path.startswith("/usr/")}
    assert set(mounts) >= READ_ONLY | WRITABLE
    assert set(mounts) <= READ_ONLY | READ_ONLY_IF_THERE | WRITABLE | below_usr
    assert {path for path, options in mounts.items() if "rw" in options} == WRITABLE
    assert all("nosuid" in options for options in mounts.values())
    assert {path for path, options in mounts.items() if "nodev" not in options} == DEVICES | {"/dev/pts"}


async def test_no_path_leaves_the_root(pod: Pod) -> None:
    status, output = await run(pod, "cat /proc/1/root/etc/hostname /proc/1/cwd/etc/hostname", shell=("/bin/sh",))
    assert status.code != 0, output
    root = "/bin dev etc home lib proc sbin tmp usr"
    for way in ("/proc/self/root", "/proc/self/root/..", "/proc/self/cwd/../../..", "/.."):
        assert (
            set(root.strip("/").split())
            <= set(await lines(pod, f"ls {way}"))
            <= {
                *root.strip("/").split(),
                *("lib32", "lib64", "libx32"),
            }
        )


async def test_pod_maps_one_uid_and_one_gid(pod: Pod) -> None:
    maps = await lines(pod, "cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; id -u; id -g; hostname")
    assert [line.split() for line in maps[:2]] == [["1000", "0", "1"]] * 2
    assert maps[2:] == ["deny", "1000", "1000", "sluice"]


@pytest.mark.parametrize("process", ["1", "self"])
async def test_processes_of_a_pod_have_no_privileges(pod: Pod, process: str) -> None:
    status = dict(line.split(":", 1) for line in await lines(pod, f"cat /proc/{process}/status"))
    sets = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    assert {int(status[name], 16) for name in sets} == {0}
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")


async def test_task_cannot_make_a_user_namespace(pod: Pod) -> None:
    program = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
for flags in (0x10000000, 0x10020000, 0x10000000 | 0x20000000, 0x00020000, 0x40000000):
    print(libc.unshare(flags), errno.errorcode[ctypes.get_errno()])
"""
    assert (await python_in(pod, program)).splitlines() == ["-1 ENOSPC"] * 3 + ["-1 EPERM"] * 2


@as_root
async def test_setuid_program_runs_as_the_task(pod: SupervisedPod, tmp_path: Path) -> None:
    program = tmp_path / "work" / "pods" / "a1" / "home" / "id"
    shutil.copy("/usr/bin/id", program)
    program.chmod(0o4755)
    assert await lines(pod, "~/id -u; ~/id -ru") == ["1000", "1000"]


async def test_task_has_no_terminal_of_its_machine(pod: Pod) -> None:
    program = """
import errno, os
try:
    os.open("/dev/tty", os.O_RDWR)
except OSError as error:
    print(errno.errorcode[error.errno])
print(os.getsid(0) != 0, os.getsid(1))
"""
    assert (await python_in(pod, program)).splitlines() == ["ENXIO", "True 1"]


async def test_task_reaches_no_process_outside_its_pod(driver: SandboxDriver, pod: SupervisedPod) -> None:
    other = await driver.create_pod(replace(REQUEST, assignment_id="a2"))
    try:
        targets = [int(first_process(each).name) for each in (pod, other)] + [os.getpid()]
        program = f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for pid in {targets}:
    # A process of the pod may have the number, but is none of those.
    print(libc.ptrace(16, pid, 0, 0), os.path.exists(f"/proc/{{pid}}"))
print([libc.ptrace(16, pid, 0, 0) for pid in (1, 2)], [os.path.exists(f"/proc/{{pid}}/mem") for pid in (1, 2)])
for name in ("mem", "environ", "maps", "fd", "root", "exe"):
    for pid in (1, 2):
        try:
            os.readlink(f"/proc/{{pid}}/{{name}}") if name in ("root", "exe") else (
                os.listdir(f"/proc/{{pid}}/fd") if name == "fd" else open(f"/proc/{{pid}}/{{name}}", "rb").read(1))
            print("read", pid, name)
        except PermissionError:
            pass
"""
        said = (await python_in(pod, program)).splitlines()
    finally:
        await other.remove()
    assert said == ["-1 False"] * 3 + ["[-1, -1] [True, True]"]


@as_root
async def test_first_process_holds_nothing_of_its_machine(pod: SupervisedPod) -> None:
    folder = first_process(pod)
    opened = {int(each.name): str(each.readlink()) for each in (folder / "fd").iterdir()}
    assert {opened[number] for number in (0, 1, 2)} == {"/dev/null"}
    assert all(target.startswith(("socket:", "pipe:")) for number, target in opened.items() if number > 2), opened
    # To the launcher and to its executor.
    assert sum(target.startswith("socket:") for target in opened.values()) == 2
    assert (folder / "cwd").readlink() == Path("/")
    assert (folder / "environ").read_bytes() == b""
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    assert status["Groups"].split() == []
    assert status["Umask"].strip() == "0022"
    assert status["SigBlk"].strip() == "0" * 16
    assert len(set(status["Uid"].split())) == 1
    assert int(status["Uid"].split()[0]) >= 1000


async def test_pod_has_a_title_in_the_process_list(pod: SupervisedPod) -> None:
    folder = first_process(pod)
    assert (folder / "cmdline").read_bytes().rstrip(b"\0") == b"sluice pod"
    assert (folder / "comm").read_text() == "sluice pod\n"


async def test_pod_ends_with_the_launcher(driver: SandboxDriver, pod: SupervisedPod) -> None:
    process = await python_in(pod, "import time\nprint('up', flush=True)\ntime.sleep(600)", wait=False)
    assert await process.read() == b"up\n"
    mark = pod._mark
    folder = first_process(pod)
    assert marked(mark)
    assert driver._launcher._process is not None
    driver._launcher._process.kill()
    await until(lambda: not marked(mark) and not folder.exists())
    assert (await process.wait()).code is None
    other = await driver.create_pod(replace(REQUEST, assignment_id="a2"))
    assert await lines(other, "echo again") == ["again"]
    await other.remove()


async def test_failed_mount_is_named_in_the_error(driver: SandboxDriver) -> None:
    request = replace(REQUEST, tmpfs=(TmpfsMount("/usr/no-such-folder", 1 << 20),))
    with pytest.raises(FailedPrecondition, match=r"did not start: .*/usr/no-such-folder.*Read-only file system"):
        await driver.create_pod(request)


async def test_link_of_an_image_leads_no_mount_out_of_the_pod(driver: SandboxDriver, tmp_path: Path) -> None:
    image = tmp_path / "images" / "root"
    (image / "usr").mkdir(parents=True)
    target = tmp_path / "of-the-machine"
    target.mkdir()
    target.chmod(0o777)
    (image / "data").symlink_to(target)
    for path in (tmp_path, image.parent, image):
        path.chmod(0o755)
    request = replace(REQUEST, image=str(image), tmpfs=(TmpfsMount("/data/new/folder", 1 << 20),))
    with pytest.raises(FailedPrecondition, match="did not start"):
        await driver.create_pod(request)
    assert list(target.iterdir()) == []
