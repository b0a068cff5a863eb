"""Builds the root of a pod in a mount namespace of its own.

The root is a tmpfs. Copies of the mounts that it shows are taken first; then it becomes the root of the namespace, and
the machine's root is detached. So no link in a path can lead out of the pod while the rest is built.
At the end the root is made read-only.

What a pod shows beside `/proc` and `/dev` is a list of entries, each a list that starts with its kind:

- `["bind", target, source, writable]`: a file or folder of the machine with all that is mounted below it.
- `["link", target, text]`: a symbolic link.
- `["folder", target]`: an empty folder.
- `["tmpfs", target, bytes]`: a file system in memory.
"""
# Without pathlib, whose import takes long.
# ruff: noqa: PTH102, PTH103, PTH106, PTH110, PTH120, PTH211

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING or __package__:
    from sluiceway_executor.drivers import pod_kernel as kernel
else:
    import pod_kernel as kernel

_BASE = "/tmp"  # noqa: S108 - covered for a moment, in this mount namespace; never written to
_ROOT_BYTES = 1 << 20
_SHM_BYTES = 64 << 20
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = (
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/core", "/proc/kcore"),
    ("/dev/ptmx", "pts/ptmx"),
)
# Files that change the machine, if they can be written.
_READ_ONLY_OF_PROC = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus")
_NO_PRIVILEGES = kernel.MS_NOSUID | kernel.MS_NODEV


def stage_mounts(stage: str, mounts: Sequence[tuple[str, str]]) -> None:
    """Bind each source at `stage`/name, where an ordinary uid may reach it; these mounts are not visible outside."""
    kernel.unshare(kernel.CLONE_NEWNS, "the mount namespace")
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    # Sources may be below the stage: their copies are taken before it is covered.
    copies = [(f"{stage}/{name}", _copy(source, 0)) for name, source in mounts]
    kernel.mount("none", stage, "tmpfs", _NO_PRIVILEGES, "mode=755,size=64k")
    for target, tree in copies:
        _attach(tree, target)


def enter_root(entries: Sequence[Sequence[Any]]) -> list[int]:
    """Make an empty root, with `/proc` only, that of this mount namespace; return copies of what the entries bind.

    Nothing of the machine can be reached by a path afterwards.
    """
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    trees = [_copy(f"/dev/{name}", kernel.MOUNT_ATTR_NOSUID) for name in _DEVICES]
    for kind, _, *values in entries:
        if kind == "bind":
            source, writable = values
            read_only = 0 if writable else kernel.MOUNT_ATTR_RDONLY
            trees.append(_copy(source, read_only | kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV))
    kernel.mount("tmpfs", _BASE, "tmpfs", _NO_PRIVILEGES, f"mode=0755,size={_ROOT_BYTES}")
    os.chdir(_BASE)
    os.mkdir("old", 0o700)
    kernel.pivot_root(".", "old")
    os.chdir("/")
    os.mkdir("/proc", 0o755)
    # The kernel allows this only while the machine's own /proc is mounted.
    kernel.mount("proc", "/proc", "proc", _NO_PRIVILEGES | kernel.MS_NOEXEC)
    kernel.detach("/old")
    os.rmdir("/old")
    return trees


def fill_root(entries: Sequence[Sequence[Any]], trees: list[int]) -> None:
    """Build the rest of the root, then make it read-only."""
    left = iter(trees)
    read_only = kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV
    for path in _READ_ONLY_OF_PROC:
        if os.path.exists(path):
            _attach(_copy(path, read_only), path)
    os.mkdir("/dev", 0o755)
    kernel.mount("tmpfs", "/dev", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, f"mode=0755,size={_ROOT_BYTES}")
    for name in _DEVICES:
        _attach(next(left), f"/dev/{name}")
    for path, text in _DEVICE_LINKS:
        os.symlink(text, path)
    os.mkdir("/dev/pts", 0o755)
    pts = "newinstance,ptmxmode=0666,mode=620"
    kernel.mount("devpts", "/dev/pts", "devpts", kernel.MS_NOSUID | kernel.MS_NOEXEC, pts)
    for kind, target, *values in entries:
        os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
        if kind == "bind":
            _attach(next(left), target)
        elif kind == "link":
            os.symlink(values[0], target)
        else:
            os.makedirs(target, 0o755, exist_ok=True)
        if kind == "tmpfs":
            kernel.mount("tmpfs", target, "tmpfs", _NO_PRIVILEGES, f"mode=0755,size={values[0]}")
    os.mkdir("/dev/shm", 0o755)  # noqa: S108 - the pod's own
    kernel.mount("tmpfs", "/dev/shm", "tmpfs", _NO_PRIVILEGES, f"mode=1777,size={_SHM_BYTES}")  # noqa: S108
    for path in ("/dev", "/"):
        kernel.mount("none", path, "", kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | _NO_PRIVILEGES)


def _copy(source: str, attributes: int) -> int:
    return kernel.clone_mounts(source, attributes)


def _attach(tree: int, target: str) -> None:
    """Mount a copy at a path, which is made as what the copy is if it is not there."""
    if not os.path.lexists(target):
        if stat.S_ISDIR(os.fstat(tree).st_mode):
            os.mkdir(target, 0o755)
        else:
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    kernel.attach(tree, target)
    os.close(tree)
