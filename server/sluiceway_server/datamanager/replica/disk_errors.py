"""Translate SQLite's errors about the replica's file into errors that say what to do.

The replica is a copy, so when its disk is full or broken nothing committed is lost; but this server can neither read
nor apply any more. It closes its database with one of these errors, and opens it again until there is room; then it
continues from where the file is.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sluiceway_common.foundation.errors import Unavailable

_BROKEN = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NOTHING_LOST = "Nothing committed is lost: etcd and the object storage have it"


class ReplicaDiskError(Unavailable):
    """This server cannot use its replica; another server can."""


def disk_error_of(error: sqlite3.Error, path: Path) -> ReplicaDiskError | None:
    """Return the error to raise; None: the statement is wrong, and not the file."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
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
    """Raise errors of the file at `path` as `ReplicaDiskError`; other errors pass. Also a decorator."""
    try:
        yield
    except sqlite3.Error as error:
        fault = disk_error_of(error, path)
        if fault is None:
            raise
        if fault.reason == "READ_DATABASE_DAMAGED":
            # The next process that opens it must not trust the parts that can still be read.
            with suppress(OSError):
                damage_mark(path).touch()
        raise fault from error


def damage_mark(path: Path) -> Path:
    """Return the file that exists when the replica was found damaged while it was in use."""
    return path.with_name(f"{path.name}.damaged")


def _free(path: Path) -> str:
    try:
        return f"{shutil.disk_usage(path.parent).free // 1024} KiB"
    except OSError:
        return "an unknown amount"
