"""System calls for pods that Python has no function for. They raise `OSError`.

The launcher and the first process of each pod use it; like them, it uses the standard library only. What the calls and
their constants mean is in the manual pages of section 2.
"""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
MS_REC, MS_PRIVATE = 1 << 14, 1 << 18
MNT_DETACH = 2
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522

# The numbers of calls that are newer than Linux 5.0 are the same on every architecture.
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_MOUNT_SETATTR = 428, 429, 442
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 4

# Keeps the interpreter's lock: there is one thread, and the process may be a copy of another.
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _MountAttributes(ctypes.Structure):
    """`struct mount_attr` of mount_setattr(2)."""

    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user_namespace", ctypes.c_uint64),
    )


class _FilterProgram(ctypes.Structure):
    """`struct sock_fprog` of seccomp(2)."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int, what: str) -> None:
    """Move this process to new namespaces (unshare(2)); `what` is for the error message."""
    _checked(_libc.unshare(flags), f"unshare {what}")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount a file system, or bind a folder (mount(2))."""
    arguments = (source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode())
    _checked(_libc.mount(*arguments), f"mount {target}")


def detach(target: str) -> None:
    """Unmount a tree; nothing of it can be reached by a path any more (umount2(2))."""
    _checked(_libc.umount2(os.fsencode(target), MNT_DETACH), f"unmount {target}")


def pivot_root(new: str, old: str) -> None:
    """Exchange the root of this mount namespace (pivot_root(2))."""
    _checked(_libc.pivot_root(os.fsencode(new), os.fsencode(old)), "pivot_root")


def clone_mounts(source: str, attributes: int) -> int:
    """Return the descriptor of a copy of a tree of mounts, each with these attributes and private to it.

    The copy is mounted nowhere; it is gone when the descriptor is closed, unless `attach` was called.
    """
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_RECURSIVE
    call = (_SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(source), flags)
    tree = _checked(_libc.syscall(*(_word(each) for each in call)), f"bind {source}")
    change = _MountAttributes(attributes, 0, MS_PRIVATE, 0)
    flags = _AT_EMPTY_PATH | _AT_RECURSIVE
    setattr_call = (_SYS_MOUNT_SETATTR, tree, b"", flags, ctypes.byref(change), ctypes.sizeof(change))
    _checked(_libc.syscall(*(_word(each) for each in setattr_call)), f"change the mount of {source}")
    return tree


def attach(tree: int, target: str) -> None:
    """Mount a tree of `clone_mounts` at a path, whose last component must not be a link."""
    call = (_SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
    _checked(_libc.syscall(*(_word(each) for each in call)), f"mount {target}")


def _word(value: object) -> object:
    """Return an argument of syscall(2), whose integers are as wide as registers."""
    return ctypes.c_long(value) if isinstance(value, int) else value


def set_hostname(name: str) -> None:
    """Set the host name of this UTS namespace."""
    _checked(_libc.sethostname(name.encode(), len(name)), "set the host name")


def prctl(option: int, *arguments: object) -> int:
    """Set an attribute of this process (prctl(2))."""
    words = [_word(each) for each in (*arguments, 0, 0, 0, 0)][:4]
    return _checked(_libc.prctl(option, *words), f"prctl {option}")


def drop_capabilities() -> None:
    """Empty all five sets of capabilities of this process."""
    number = 0
    while True:
        try:
            prctl(PR_CAPBSET_DROP, number)
        except OSError:
            if number == 0:
                raise
            break  # the kernel knows no capability with this number
        number += 1
    prctl(PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(header, (ctypes.c_uint32 * 6)()), "drop capabilities")


def filter_system_calls(program: bytes) -> None:
    """Install a filter for each system call of this process and of all that it starts (seccomp(2))."""
    filter_ = _FilterProgram(len(program) // 8, program)
    prctl(PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(filter_))


def set_title(text: str) -> None:
    """Change what `ps` shows of this process; the text is cut where the arguments that it was started with ended."""
    with open("/proc/self/stat", "rb") as stream:  # noqa: PTH123 - without pathlib, as in all modules of the pod
        fields = stream.read().rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    shown = text.encode()[: end - start - 1]
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, shown, len(shown))
    prctl(PR_SET_NAME, ctypes.c_char_p(shown[:15]))
