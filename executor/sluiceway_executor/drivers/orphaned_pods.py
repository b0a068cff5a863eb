"""Removes what pods leave on the disk whose executor did not come back: `orphaned_pods WORK_DIR NAME...`.

The launcher runs it when its last pod has ended. While an executor uses the folder, nothing happens: that removes what
is left at its start.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sluiceway_common.foundation.file_lock import lock_file
from sluiceway_executor.drivers.pod_store import PodStore

__all__ = ["main"]


def main(work_dir: Path, names: list[str]) -> None:
    """Remove the pods of these names from the work folder of a driver, which is in that of its executor."""
    lock = lock_file(work_dir.parent / "lock")
    if lock is None:
        return
    with lock:
        store = PodStore(work_dir / "pods")
        for name in names:
            store.remove_named(name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
