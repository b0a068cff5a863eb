"""Disk space that is reserved for a full disk.

etcd and the server cannot even delete without writing. A file holds some space; when the disk is nearly full the file
is removed, so that they continue while an administrator or the retention frees space. Then it is created again.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

_MOST_BYTES = 256 << 20
# On a small disk, a twentieth of it.
_SHARE = 20


class DiskReserve:
    """The file that holds the reserve. Call `look` regularly; nothing here raises if the disk is full."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._said = False

    def look(self) -> None:
        """Delete the reserve if the disk is nearly full, and create it again if there is room. May block."""
        usage = shutil.disk_usage(self._path.parent)
        size = min(_MOST_BYTES, usage.total // _SHARE)
        if self._path.exists():
            if usage.free < size // 4:
                self._path.unlink(missing_ok=True)
                log.error(
                    "disk_nearly_full",
                    folder=str(self._path.parent),
                    free_bytes=usage.free,
                    advice="the reserve is given up; make room on this disk",
                )
        elif usage.free > 3 * size:
            self._take(size)

    def _take(self, size: int) -> None:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, size)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._path.unlink(missing_ok=True)
            if not self._said and error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                self._said = True
                log.warning("no_disk_reserve", path=str(self._path), error=error.strerror)
