"""The system calls that a sandboxed task cannot make: a seccomp filter, made by libseccomp.

Without capabilities most of these fail anyway. The filter denies those that do not need any: keyrings, which are not
in a namespace; sockets of the hypervisor (AF_VSOCK) and of protocols whose kernel modules a socket would load; and code
of the kernel in which vulnerabilities are found often (io_uring, userfaultfd, bpf). Debuggers work.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import tempfile

from sluiceway_common.foundation.errors import FailedPrecondition

__all__ = ["task_filter"]

_LIBRARY = "libseccomp.so.2"
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_EQUAL, _GREATER = 4, 6
# Other architectures whose programs the kernel runs, as libseccomp numbers them (AUDIT_ARCH_...).
_COMPANIONS = {"x86_64": (0x40000003, 0x4000003E), "aarch64": (0x40000028,)}

_REFUSED = {
    errno.EPERM: (
        *("add_key", "request_key", "keyctl"),
        *("bpf", "perf_event_open", "userfaultfd"),
        *("mount", "umount", "umount2", "pivot_root", "move_mount", "open_tree", "mount_setattr"),
        *("fsopen", "fsconfig", "fsmount", "fspick", "setns", "quotactl", "quotactl_fd", "swapon", "swapoff"),
        *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "acct"),
        *("open_by_handle_at", "lookup_dcookie", "syslog", "settimeofday", "clock_settime", "iopl", "ioperm"),
        *("vm86", "vm86old", "uselib", "nfsservctl"),
    ),
    # Programs that use it fall back when the kernel does not have it.
    errno.ENOSYS: ("io_uring_setup", "io_uring_enter", "io_uring_register"),
}
# AF_UNIX, AF_INET, AF_INET6 and AF_NETLINK stay.
_NETLINK = 16
_REFUSED_FAMILIES = (3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15)


class _Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp` of seccomp_rule_add_array(3)."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


@functools.cache
def task_filter() -> bytes:
    """Return the filter as a program for the kernel (seccomp(2)).

    Raises:
        FailedPrecondition: libseccomp is not installed, or refuses (`TOOL_MISSING`).
    """
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise FailedPrecondition(
            f"{_LIBRARY} is not installed (Debian: apt-get install libseccomp2)", reason="TOOL_MISSING"
        ) from error
    library.seccomp_init.restype = ctypes.c_void_p
    filter_ = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ALLOW)))
    try:
        for architecture in _COMPANIONS.get(platform.machine(), ()):
            _check(library.seccomp_arch_add(filter_, ctypes.c_uint32(architecture)), "add an architecture")
        for number, names in _REFUSED.items():
            for name in names:
                _refuse(library, filter_, name, number)
        for family in _REFUSED_FAMILIES:
            _refuse(library, filter_, "socket", errno.EAFNOSUPPORT, _Comparison(0, _EQUAL, family, 0))
        _refuse(library, filter_, "socket", errno.EAFNOSUPPORT, _Comparison(0, _GREATER, _NETLINK, 0))
        with tempfile.TemporaryFile() as file:
            _check(library.seccomp_export_bpf(filter_, file.fileno()), "write the filter")
            return os.pread(file.fileno(), 1 << 20, 0)
    finally:
        library.seccomp_release(filter_)


def _refuse(
    library: ctypes.CDLL, filter_: ctypes.c_void_p, name: str, number: int, comparison: _Comparison | None = None
) -> None:
    call = library.seccomp_syscall_resolve_name(name.encode())
    array = (_Comparison * 1)(comparison) if comparison is not None else None
    count = 0 if array is None else 1
    result = library.seccomp_rule_add_array(filter_, ctypes.c_uint32(_ERRNO | number), call, count, array)
    # A call that no architecture of this machine has cannot be made either.
    if result not in {0, -errno.EINVAL, -errno.EDOM}:
        _check(result, f"refuse {name}")


def _check(result: int, what: str) -> None:
    if result != 0:
        raise FailedPrecondition(f"libseccomp cannot {what}: {os.strerror(-result)}", reason="TOOL_MISSING")
