"""The process that starts the first process of each pod: `pod_launcher.py FD`, a child of the executor.

Starting a pod from the executor itself would fork a large process with threads, and takes a chain of small programs
(`unshare`, `mount`, `setpriv`) of a few milliseconds each. This process is small, has one thread, and does their work
with system calls between fork and exec. It uses nothing but the standard library and imports nothing of ours.

It reads requests from the sequenced-packet socket FD: a JSON object, with the descriptors that the program inherits.

- `argv`, `env`: the program.
- `mounts`: a list of [name, source]; each source is bound at `stage`/name, in a mount namespace of its own. Needs root.
- `network`: makes a network namespace with the loopback device up, and makes the listed networks (`10.0.0.0/8`)
  unreachable from it. Without root this also makes a user namespace, in which the caller's uid is root.
- `uid`: who the program runs as.
- `ends_with_launcher`: whether the kernel kills it when this process ends.

A program for which there is nothing to prepare is spawned without a copy of this process, which costs a third.

The first descriptor becomes standard output and error, the others 3, 4, .... The answer is `{"pid": ...}` with a
pidfd when the program is about to be executed, or `{"error": ...}`. When FD ends, this process ends.
"""

# Between fork and exec, plain calls on names and numbers:
# ruff: noqa: PTH102, PTH112, PTH123

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
SIOCSIFFLAGS = 0x8914
IFF_UP = 1
NETLINK_ROUTE = 0
RTM_NEWROUTE = 24
NLMSG_ERROR = 2
NLM_F_REQUEST_ACK_CREATE = 1 | 4 | 0x400
RT_TABLE_MAIN, RTPROT_STATIC, RTN_UNREACHABLE, RTA_DST = 254, 4, 7, 1
REQUEST_BYTES = 1 << 17
MAX_DESCRIPTORS = 16

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    """Raise `OSError` when a system call failed; `what` says what it should have done."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount a file system, or bind a folder (mount(2))."""
    check(
        libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()),
        f"mount {target}",
    )


def stage_mounts(stage: str, mounts: list[list[str]]) -> None:
    """Bind each source at `stage`/name, where an ordinary uid may reach it; nobody outside sees these mounts."""
    check(libc.unshare(CLONE_NEWNS), "unshare the mount namespace")
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    # Sources may be below the stage; their descriptors reach them after it is covered.
    opened = [(name, os.open(source, os.O_PATH | os.O_CLOEXEC), os.path.isdir(source)) for name, source in mounts]
    mount("none", stage, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=64k")
    for name, descriptor, is_folder in opened:
        target = f"{stage}/{name}"
        if is_folder:
            os.mkdir(target, 0o755)
        else:
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT, 0o644))
        mount(f"/proc/self/fd/{descriptor}", target, "", MS_BIND)
        os.close(descriptor)


def unshare_network(unreachable: list[str]) -> None:
    """Make a network namespace that reaches only itself, and prepare it for a device that leads out of it."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        check(libc.unshare(CLONE_NEWNET), "unshare the network namespace")
    else:
        check(libc.unshare(CLONE_NEWUSER | CLONE_NEWNET), "unshare the user and network namespace")
        for name, content in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(content)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
        fcntl.ioctl(anything, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", IFF_UP))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE) as netlink:
        for network in unreachable:
            netlink.send(unreachable_route(network))
            answer = netlink.recv(4096)
            kind, error = struct.unpack_from("=H", answer, 4)[0], struct.unpack_from("=i", answer, 16)[0]
            if kind != NLMSG_ERROR or error != 0:
                raise OSError(-error, f"add a route for {network}: {os.strerror(-error)}")


def unreachable_route(network: str) -> bytes:
    """Return the netlink message that makes an IPv4 network (`10.0.0.0/8`) unreachable (rtnetlink(7))."""
    address, _, length = network.partition("/")
    route = struct.pack("=BBBBBBBBI", socket.AF_INET, int(length), 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, 0, 7, 0)
    route += struct.pack("=HH4s", 8, RTA_DST, socket.inet_aton(address))
    return struct.pack("=IHHII", 16 + len(route), RTM_NEWROUTE, NLM_F_REQUEST_ACK_CREATE, 1, 0) + route


def end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies."""
    check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        os._exit(1)


def become(request: dict[str, Any], descriptors: list[int], parent: int, report: int) -> None:
    """Prepare the process between fork and exec, then execute the program. Never returns."""
    try:
        if request["ends_with_launcher"]:
            end_with(parent)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        if request.get("mounts"):
            stage_mounts(request["stage"], request["mounts"])
        if request.get("network") is not None:
            unshare_network(request["network"])
        uid = request.get("uid")
        if uid is not None:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            if request["ends_with_launcher"]:
                end_with(parent)  # a change of uid has cleared it
        # Out of the way of the numbers they are to have.
        moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 64) for descriptor in descriptors]
        report = fcntl.fcntl(report, fcntl.F_DUPFD_CLOEXEC, 64)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        for target, descriptor in zip((1, *range(3, 3 + len(moved) - 1)), moved, strict=True):
            os.dup2(descriptor, target)
        os.dup2(1, 2)
        os.closerange(3 + len(moved) - 1, 64)
        os.chdir("/")
        os.write(report, b"\0")
        os.execve(request["argv"][0], request["argv"], request["env"])  # noqa: S606 - that is the job
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(report, str(getattr(error, "strerror", None) or error).encode("utf-8", "replace"))
    os._exit(127)


def is_plain(request: dict[str, Any]) -> bool:
    """Return whether there is nothing to do between fork and exec but to place descriptors."""
    prepared = request.get("mounts") or request.get("network") is not None or request.get("uid") is not None
    return not prepared and not request["ends_with_launcher"]


def spawn(request: dict[str, Any], descriptors: list[int]) -> int:
    """Start a program as `become` does, of a request that is plain; return its process id."""
    # Out of the way of the numbers they are to have.
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 64) for descriptor in descriptors]
    try:
        placed = zip((1, *range(3, 3 + len(moved) - 1)), moved, strict=True)
        actions = [(os.POSIX_SPAWN_DUP2, descriptor, target) for target, descriptor in placed]
        return os.posix_spawn(
            request["argv"][0],
            request["argv"],
            request["env"],
            file_actions=[*actions, (os.POSIX_SPAWN_DUP2, moved[0], 2)],
            setsid=True,
            setsigdef=(signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE),
        )
    finally:
        for each in moved:
            os.close(each)


def launch(connection: socket.socket, request: dict[str, Any], descriptors: list[int]) -> None:
    """Start one program and answer."""
    if is_plain(request):
        try:
            answer(connection, request, spawn(request, descriptors))
        except OSError as error:
            refuse(connection, request, str(error.strerror))
        return
    told, report = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        os.close(told)
        os.close(report)
        refuse(connection, request, f"fork: {error.strerror}")
        return
    if pid == 0:
        become(request, descriptors, parent, report)
    os.close(report)
    said = os.read(told, 4096)
    os.close(told)
    if said != b"\0":
        refuse(connection, request, said.decode("utf-8", "replace") or "it ended at once")
        return
    answer(connection, request, pid)


def refuse(connection: socket.socket, request: dict[str, Any], why: str) -> None:
    """Say that a program was not started."""
    connection.send(json.dumps({"id": request["id"], "error": why}).encode())


def answer(connection: socket.socket, request: dict[str, Any], pid: int) -> None:
    """Say that a program was started."""
    # Not reaped before this loop comes to it, so the number is still this child's.
    pidfd = os.pidfd_open(pid)
    try:
        socket.send_fds(connection, [json.dumps({"id": request["id"], "pid": pid}).encode()], [pidfd])
    finally:
        os.close(pidfd)


def receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Read one request with its descriptors."""
    size = array.array("i").itemsize
    data, ancillary, _, _ = connection.recvmsg(
        REQUEST_BYTES, socket.CMSG_SPACE(MAX_DESCRIPTORS * size), socket.MSG_CMSG_CLOEXEC
    )
    descriptors = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(payload[: len(payload) - len(payload) % size])
    return data, list(descriptors)


def reap() -> None:
    """Collect what has ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main(arguments: list[str]) -> None:
    """Serve until the socket ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    descriptor = int(arguments[0])
    os.set_inheritable(descriptor, False)
    # All that it starts has these, too.
    os.umask(0o022)
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    with socket.socket(fileno=descriptor) as connection:
        while True:
            readable, _, _ = select.select([descriptor, wake_read], [], [])
            if wake_read in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake_read, 4096)
            reap()
            if descriptor in readable:
                data, descriptors = receive(connection)
                if not data:
                    os._exit(0)
                launch(connection, json.loads(data), descriptors)
                for each in descriptors:
                    os.close(each)


if __name__ == "__main__":
    main(sys.argv[1:])
