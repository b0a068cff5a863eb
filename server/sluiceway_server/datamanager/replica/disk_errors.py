"""What SQLite's errors say about the file of the read database, and what a person should do.

The read database is a copy of what etcd and the object storage have. So when its disk is full or broken, nothing that
was answered is lost; but this server can neither read nor remember any more. It gives its database up with one of these
errors, says so to every caller, and opens it again and again: once there is room, it goes on from where the file is.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from sluiceway_common.foundation.errors import Unavailable

__all__ = ["ReadFileFault", "fault_in", "fault_of", "forget_damage", "is_marked_damaged", "telling", "told"]

T = TypeVar("T")

_FULL = frozenset({sqlite3.SQLITE_FULL})
_BROKEN = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NOTHING_LOST = "Nothing that was answered is lost: etcd and the object storage have it"


class ReadFileFault(Unavailable):
    """This server cannot use its read database; another one can answer."""


def fault_of(error: sqlite3.Error, path: Path) -> ReadFileFault | None:
    """Say what an error means for the file; None: it is a fault of a statement and not of the file."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _FULL:
        return ReadFileFault(
            f"the disk of the read database {path} is full ({_free(path)} free): make room there. {_NOTHING_LOST}; this"
            " server goes on by itself when there is room",
            reason="READ_DATABASE_FULL",
        )
    if code in _BROKEN:
        return ReadFileFault(
            f"the read database {path} cannot be used: {error}. Look at its disk (is it full, mounted read-only, or"
            f" broken?) and at who owns its folder. {_NOTHING_LOST}; this server tries again by itself",
            reason="READ_DATABASE_UNUSABLE",
        )
    if code in _DAMAGED:
        return ReadFileFault(
            f"the read database {path} is damaged: {error}. It is made anew now; if that happens again, the disk is"
            f" broken. {_NOTHING_LOST}",
            reason="READ_DATABASE_DAMAGED",
        )
    return None


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn errors of the file at `path` into a `ReadFileFault`; others pass."""
    try:
        yield
    except sqlite3.Error as error:
        fault = fault_of(error, path)
        if fault is None:
            raise
        if fault.reason == "READ_DATABASE_DAMAGED":
            # Whoever opens it next must not trust the parts that still can be read.
            with suppress(OSError):
                _mark(path).touch()
        raise fault from error


def telling(path: Path, function: Callable[[], T]) -> Callable[[], T]:
    """Make a function that does the same as another one, and tells of faults as `told` does."""

    def call() -> T:
        with told(path):
            return function()

    return call


def is_marked_damaged(path: Path) -> bool:
    """Whether the file was found damaged while it was in use."""
    return _mark(path).exists()


def forget_damage(path: Path) -> None:
    """Say that the file was made anew."""
    _mark(path).unlink(missing_ok=True)


def fault_in(error: BaseException) -> ReadFileFault | None:
    """Find a fault of the file in an error, alone or in groups."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for item in error.exceptions if (found := fault_in(item)) is not None), None)
    return error if isinstance(error, ReadFileFault) else None


def _mark(path: Path) -> Path:
    return path.with_name(f"{path.name}.damaged")


def _free(path: Path) -> str:
    try:
        return f"{shutil.disk_usage(path.parent).free // 1024} KiB"
    except OSError:
        return "it is not known how much"
