"""Lock a file, so that one process at a time uses the folder that it is in."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import BinaryIO


def lock_file(path: Path) -> BinaryIO | None:
    """Lock a file until it is closed, or this process ends; create it if it does not exist.

    Returns:
        The open file; None: another process has locked it.

    Raises:
        OSError: it cannot be opened or locked.
    """
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except BaseException:
        file.close()
        raise
    return file
