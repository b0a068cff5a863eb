"""The folder of a server's read database belongs to one process at a time.

Two on one folder, a server that was started twice or two containers with one volume, would write one SQLite file, each
from its own idea of what is in it; then neither is exact any more, and nothing would say so. So whoever opens the
database holds a lock on a file in its folder. The lock goes with the process, however that ends.
"""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from sluiceway_common.foundation.errors import FailedPrecondition, Unavailable

__all__ = ["FolderInUse", "hold"]

_FILE = "lock"


class FolderInUse(FailedPrecondition):
    """Another process has its read database in this folder. Nothing was changed."""

    reason = "FOLDER_IN_USE"


@asynccontextmanager
async def hold(folder: Path) -> AsyncIterator[None]:
    """Make a folder if there is none, and hold it for this process until the body ends.

    Raises:
        FolderInUse: somebody else holds it.
        Unavailable: the folder cannot be used.
    """
    file = await asyncio.to_thread(_lock, folder)
    try:
        yield
    finally:
        file.close()  # and with it the lock


def _lock(folder: Path) -> BinaryIO:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / _FILE).open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            file.close()
            raise
    except BlockingIOError as cause:
        raise FolderInUse(
            f"another process has its read database in {folder}: end that one, or give this server a data folder of its"
            " own"
        ) from cause
    except OSError as cause:
        raise Unavailable(f"the folder {folder} of the read database cannot be used: {cause}") from cause
    return file
