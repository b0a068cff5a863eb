"""The folder in which a process keeps its data, checked before anything in it is read or written.

A data folder holds tokens and a copy of the database. A user who can write in it, or in a folder above it, decides what
a process reads there, and by a symbolic link where it writes. So the rules are those of OpenSSH for `authorized_keys`,
applied to every folder on the way: it belongs to this user or to root, and nobody else can write in it, or it has the
sticky bit as `/tmp` has.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from sluiceway_common.foundation.errors import FailedPrecondition

PRIVATE_UMASK = 0o077
"""The umask of a process that has a data folder: its files are for its own user only."""

_PRIVATE_MODE = 0o700
_PARENT_MODE = 0o755
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
# As many symbolic links as Linux follows in one path.
_MAX_LINKS = 40


def prepare_data_folder(path: Path) -> Path:
    """Create a data folder with mode 0700, or check an existing one and remove the permissions of others.

    May be repeated. Returns the absolute path without symbolic links.

    Raises:
        FailedPrecondition: `DATA_FOLDER_UNSAFE`: another user owns the folder, or it or a folder above it can be
            changed by another user; `DATA_FOLDER_UNUSABLE`: it cannot be made, or is not a folder.
    """
    absolute = path.absolute()
    try:
        for missing in reversed([each for each in absolute.parents if not each.exists()]):
            missing.mkdir(mode=_PARENT_MODE, exist_ok=True)
        absolute.mkdir(mode=_PRIVATE_MODE, exist_ok=True)
        *above, folder = _folders_to(absolute)
        for parent in above:
            _check_parent(path, parent)
        status = folder.stat()
        _check_folder(path, status)
        if status.st_mode & PRIVATE_UMASK:
            folder.chmod(stat.S_IMODE(status.st_mode) & ~PRIVATE_UMASK)
    except OSError as error:
        raise FailedPrecondition(
            f"the data folder {path} cannot be used: {error.strerror}", reason="DATA_FOLDER_UNUSABLE"
        ) from error
    return folder


def _folders_to(path: Path) -> Iterator[Path]:
    """Walk an absolute path as the kernel does, and yield each folder that it goes through; the last is the target."""
    current = Path("/")
    yield current
    links = 0
    ahead = list(path.parts[1:])
    while ahead:
        name = ahead.pop(0)
        if name == "..":
            current = current.parent
            continue
        step = current / name
        status = step.lstat()
        if not stat.S_ISLNK(status.st_mode):
            current = step
            yield current
            continue
        links += 1
        if links > _MAX_LINKS:
            raise FailedPrecondition(f"{path} has too many symbolic links", reason="DATA_FOLDER_UNUSABLE")
        if status.st_uid not in _trusted_users():
            raise _unsafe(path, f"the symbolic link {step} on the way belongs to {_user(status.st_uid)}")
        target = step.readlink()
        if target.is_absolute():
            current = Path("/")
        ahead[:0] = [part for part in target.parts if part != "/"]


def _check_folder(path: Path, status: os.stat_result) -> None:
    user = os.geteuid()
    if status.st_uid != user:
        raise _unsafe(
            path,
            f"it belongs to {_user(status.st_uid)}, and this process runs as {_user(user)}",
            advice=f"start it as its owner, name another folder, or: chown {_user(user)} {path}",
        )
    if status.st_mode & _WRITABLE_BY_OTHERS:
        raise _unsafe(
            path,
            f"other users can write in it (mode {stat.S_IMODE(status.st_mode):04o})",
            advice=f"make sure that all in it is yours, then: chmod 700 {path}",
        )


def _check_parent(path: Path, parent: Path) -> None:
    status = parent.stat()
    if status.st_uid not in _trusted_users():
        raise _unsafe(path, f"{_user(status.st_uid)} owns {parent} and so can replace it")
    if status.st_mode & _WRITABLE_BY_OTHERS and not status.st_mode & stat.S_ISVTX:
        raise _unsafe(
            path,
            f"other users can write in {parent} (mode {stat.S_IMODE(status.st_mode):04o}) and so can replace it",
            advice=f"name another folder, or: chmod go-w {parent}",
        )


def _trusted_users() -> frozenset[int]:
    return frozenset({0, os.geteuid()})


def _user(uid: int) -> str:
    import pwd  # noqa: PLC0415 - POSIX only, and needed for messages only

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _unsafe(path: Path, why: str, *, advice: str = "name another folder") -> FailedPrecondition:
    return FailedPrecondition(f"the data folder {path} is not safe: {why}; {advice}", reason="DATA_FOLDER_UNSAFE")
