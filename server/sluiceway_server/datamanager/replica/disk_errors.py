"""Translate SQLite's errors about the replica's file into errors that say what to do.

The replica is a copy, so when its disk is full or broken nothing committed is lost; but this server can neither read
nor apply any more. It closes its database with one of these errors, and opens it again until there is room; then it
continues from where the file is.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from sluiceway_common.foundation.errors import Unavailable

T = TypeVar("T")

_FULL = frozenset({sqlite3.SQLITE_FULL})
_BROKEN = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NOTHING_LOST = "Nothing committed is lost: etcd and the object storage have it"


class ReplicaDiskError(Unavailable):
    """This server cannot use its replica; another server can."""


def disk_error_of(error: sqlite3.Error, path: Path) -> ReplicaDiskError | None:
    """Return the error to raise; None: the statement is wrong, and not the file."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _FULL:
        return ReplicaDiskError(
            f"the disk of the read database {path} is full ({_free(path)} free): make room there. {_NOTHING_LOST}; this"
            " server continues by itself when there is room",
            reason="READ_DATABASE_FULL",
        )
    if code in _BROKEN:
        return ReplicaDiskError(
            f"the read database {path} cannot be used: {error}. Look at its disk (is it full, mounted read-only, or"
            f" broken?) and at who owns its folder. {_NOTHING_LOST}; this server tries again by itself",
            reason="READ_DATABASE_UNUSABLE",
        )
    if code in _DAMAGED:
        return ReplicaDiskError(
            f"the read database {path} is damaged: {error}. It is rebuilt now; if that happens again, the disk is"
            f" broken. {_NOTHING_LOST}",
            reason="READ_DATABASE_DAMAGED",
        )
    return None


@contextmanager
def translate_sqlite_errors(path: Path) -> Iterator[None]:
    """Raise errors of the file at `path` as `ReplicaDiskError`; other errors pass."""
    try:
        yield
    except sqlite3.Error as error:
        fault = disk_error_of(error, path)
        if fault is None:
            raise
        if fault.reason == "READ_DATABASE_DAMAGED":
            # The next process that opens it must not trust the parts that can still be read.
            with suppress(OSError):
                _mark(path).touch()
        raise fault from error


def with_translated_errors(path: Path, function: Callable[[], T]) -> Callable[[], T]:
    """Return a function that calls another one within `translate_sqlite_errors`."""

    def call() -> T:
        with translate_sqlite_errors(path):
            return function()

    return call


def is_marked_damaged(path: Path) -> bool:
    """Return whether the file was found damaged while it was in use."""
    return _mark(path).exists()


def clear_damage_mark(path: Path) -> None:
    """Remove the mark: the file was rebuilt."""
    _mark(path).unlink(missing_ok=True)


def find_disk_error(error: BaseException) -> ReplicaDiskError | None:
    """Find a `ReplicaDiskError` in an error or a group of errors."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for item in error.exceptions if (found := find_disk_error(item)) is not None), None)
    return error if isinstance(error, ReplicaDiskError) else None


def _mark(path: Path) -> Path:
    return path.with_name(f"{path.name}.damaged")


def _free(path: Path) -> str:
    try:
        return f"{shutil.disk_usage(path.parent).free // 1024} KiB"
    except OSError:
        return "an unknown amount"
