"""Which releases of etcd have faults that a user of this server must know of. Pure."""

from __future__ import annotations

import re

UPGRADE = "install etcd 3.5.5 or later, or 3.4.22 or later of the 3.4 releases"

_INCONSISTENT = "it can lose consistency when it is killed under load (etcd issue 13766)"
_PANICS = "it ends with a panic when a read-only transaction of any client is cancelled (etcd issue 14110)"
_FAULTS = {
    (3, 5, 0): f"{_INCONSISTENT}, and {_PANICS}",
    (3, 5, 1): f"{_INCONSISTENT}, and {_PANICS}",
    (3, 5, 2): f"{_INCONSISTENT}, and {_PANICS}",
    (3, 5, 3): _PANICS,
    (3, 5, 4): _PANICS,
}


def fault_of_version(version: str) -> str | None:
    """Return what is wrong with a release, such as `3.5.1`; None: nothing that is known here.

    This server itself sends no read-only transactions.
    """
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    return _FAULTS.get((int(found[1]), int(found[2]), int(found[3]))) if found else None
