"""Turns a fork of the launcher into the first process of a pod: namespaces, identity, mounts, filter.

There are two forks. The first is in the launcher's pid namespace: it gives up root and makes the namespaces, and ends
when it has forked the second, which is process 1 of the pod. That one is then a child of the launcher, which reaps
orphans. It builds its root, gives up all capabilities and continues as `pod_init`, in the same image: neither a program
nor a module is loaded in the pod for it.

Both run with the standard library only, in a process with one thread.
"""

from __future__ import annotations

import encodings.utf_16  # noqa: F401 - in the pod nothing can be imported
import fcntl
import os
import select
import signal
import socket
import struct
import sys
import warnings  # noqa: F401 - used by os.execvpe
from typing import Any, NoReturn

TYPE_CHECKING = False
if TYPE_CHECKING or __package__:
    from sluiceway_executor.drivers import pod_init, pod_mounts, pod_routes
    from sluiceway_executor.drivers import pod_kernel as kernel
else:
    import pod_init
    import pod_kernel as kernel
    import pod_mounts
    import pod_routes

GO = b"go"
"""What the launcher sends when it is the parent of the pod's first process."""

_TITLE = "sluice pod"
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_SIGNALS = (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)
# Several settings of a machine forbid or limit user namespaces.
_USER_NAMESPACES = (
    "the sandbox needs user namespaces, see user.max_user_namespaces, kernel.unprivileged_userns_clone and"
    " kernel.apparmor_restrict_unprivileged_userns of sysctl"
)


def enter(request: dict[str, Any], descriptors: list[int], launcher: socket.socket, alive: int) -> NoReturn:
    """Make a pod, in a fork of the launcher.

    Args:
        request: see `pod_launcher`.
        descriptors: for messages about what fails; the pod's socket to the launcher; the file with the filter of system
            calls.
        launcher: is sent the process id with the descriptors of the network and the user namespace, or why there is
            no pod.
        alive: a pipe whose other end only the launcher has open.
    """
    try:
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        _make_namespaces(request)
        opened = [os.open(f"/proc/self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in ("net", "user")]
        pid = os.fork()
        if pid == 0:
            _first_process(request, descriptors, launcher, alive)
        socket.send_fds(launcher, [b"%d" % pid], opened)
    except BaseException as error:
        launcher.send(f"error {_reason(error)}"[:4000].encode("utf-8", "replace"))
    finally:
        # In every case: this fork must not continue as a launcher.
        os._exit(0)


def _make_namespaces(request: dict[str, Any]) -> None:
    """Drop root, if this is root, and create the namespaces. Processes forked afterwards are in all of them."""
    network, uid = request["network"], request["uid"]
    if request["staged"]:
        pod_mounts.stage_mounts(request["stage"], request["staged"])
    flags = kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
    if os.path.exists("/proc/self/ns/cgroup"):  # noqa: PTH110 - without pathlib, as in all modules of the pod
        flags |= kernel.CLONE_NEWCGROUP
    if uid is not None:
        if network is not None:
            # Before root is dropped, so that nobody in the pod owns the routes.
            kernel.unshare(kernel.CLONE_NEWNET, "the network namespace")
            _set_up_network(network)
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        # A change of uid has cleared this flag, and without it /proc/self belongs to root.
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
    elif network is not None:
        flags |= kernel.CLONE_NEWNET
    own_uid, own_gid = os.geteuid(), os.getegid()
    try:
        kernel.unshare(flags, "the user namespace")
        _write("/proc/self/setgroups", "deny")
        # Root of this namespace until all is mounted: devpts takes one.
        _map_ids(0, own_uid, own_gid)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}: {_USER_NAMESPACES}") from error
    if flags & kernel.CLONE_NEWNET:
        _set_up_network(network)


def _first_process(request: dict[str, Any], descriptors: list[int], launcher: socket.socket, alive: int) -> NoReturn:
    """Run as process 1 of the pod, with the capabilities of its first user namespace until all is mounted."""
    try:
        os.setsid()
        filter_ = os.pread(descriptors[2], 1 << 20, 0)
        # Above the numbers that they will get: output 1 and 2, the socket to the launcher 3.
        placed = [descriptors[0], descriptors[0], descriptors[1], alive, launcher.fileno()]
        moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 64) for descriptor in placed]
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for target, descriptor in enumerate(moved, 1):
            os.dup2(descriptor, target, inheritable=False)
        os.closerange(6, 1 << 20)
        _enter_root(request["mounts"], request["hostname"])
        _drop_privileges(request["uid_inside"])
        _end_with_launcher(alive=4, go=5)
        kernel.filter_system_calls(filter_)
        # This process must not import what the pod has at these paths.
        sys.path.clear()
        sys.path_importer_cache.clear()
        pod_init.main(["3", "namespace"])
    except BaseException as error:
        os.write(2, f"{_reason(error)}\n".encode("utf-8", "replace"))
    finally:
        os._exit(1)


def _enter_root(mounts: list[list[Any]], hostname: str) -> None:
    kernel.set_hostname(hostname)
    trees = pod_mounts.enter_root(mounts)
    # The one of `_drop_privileges` is the last: a task makes none.
    _write("/proc/sys/user/max_user_namespaces", "1")
    pod_mounts.fill_root(mounts, trees)


def _drop_privileges(uid: int) -> None:
    """Become an ordinary uid in another user namespace, which owns nothing that was created so far."""
    kernel.unshare(kernel.CLONE_NEWUSER, "the second user namespace")
    _map_ids(uid, 0, 0)
    # A task of the same uid must not read the memory of this process, or use its socket.
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    kernel.set_title(_TITLE)
    kernel.drop_capabilities()
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def _end_with_launcher(*, alive: int, go: int) -> None:
    """Have the kernel kill this process, and so the pod, when the launcher ends. Ends it if that has happened."""
    # Until then the first fork is the parent, which ends.
    if os.read(go, len(GO)) != GO:
        os._exit(1)
    os.close(go)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, int(signal.SIGKILL))
    poll = select.poll()
    poll.register(alive, 0)
    if poll.poll(0):
        os._exit(1)
    os.close(alive)


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}"


def _map_ids(inside: int, uid: int, gid: int) -> None:
    """Map one uid and one gid of this user namespace to those of the one that it was made in."""
    _write("/proc/self/uid_map", f"{inside} {uid} 1")
    _write("/proc/self/gid_map", f"{inside} {gid} 1")


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    except OSError as error:
        raise OSError(error.errno, f"write {path}: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _set_up_network(unreachable: list[str]) -> None:
    """Prepare a new network namespace, which reaches only itself, for a device that leads out of it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
        fcntl.ioctl(anything, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _IFF_UP))
    pod_routes.add_unreachable(unreachable)
