"""Pictures of runs that are worked on, so that one task's update does not pay for reading two thousand.

A picture is kept under the revision that the run's change group had when it was *committed*. Revisions that a
transaction function sees may be those of transactions before it in the same batch, which may still be lost to another
server; so a picture is put in only after `transact` answered, and taken out only for exactly its revision.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from sluiceway_common.runmodel.state import RunState
from sluiceway_server.datamanager.model import Position

__all__ = ["KEPT_BYTES", "RunCache", "weight_of_picture"]

KEPT_BYTES = 24 * 1024 * 1024

_RUN = 2000
_TASK = 1600
_ASSIGNMENT = 2000


def weight_of_picture(state: RunState) -> int:
    """Estimate the memory of a picture: measured with tasks of one step and few edges."""
    return _RUN + _TASK * len(state.tasks) + _ASSIGNMENT * len(state.assignments)


class RunCache:
    """Pictures up to `limit_bytes` of memory; the ones that were used last stay. Safe to use from any thread.

    The limit also bounds the pictures of runs that went on, and ended, through other servers: nobody takes those out.

    Transaction functions run in the committer's thread, and pictures are put in from the event loop.
    """

    def __init__(self, *, limit_bytes: int = KEPT_BYTES) -> None:
        self._limit = limit_bytes
        self._weight = 0
        self._lock = threading.Lock()
        self._pictures: OrderedDict[str, tuple[Position, RunState]] = OrderedDict()

    @property
    def weight(self) -> int:
        """What the pictures weigh."""
        return self._weight

    def get(self, run_id: str, revision: Position | None) -> RunState | None:
        """Give the picture of exactly that revision."""
        with self._lock:
            found = self._pictures.get(run_id)
            if found is None or found[0] != revision:
                return None
            self._pictures.move_to_end(run_id)
            return found[1]

    def put(self, run_id: str, revision: Position, state: RunState) -> None:
        """Keep the picture of a committed revision; a newer one is not replaced. Runs that are over are let go."""
        with self._lock:
            found = self._pictures.get(run_id)
            if found is not None:
                if found[0] > revision:
                    return
                self._drop(run_id)
            if state.run.phase.is_terminal:
                return
            self._pictures[run_id] = (revision, state)
            self._weight += weight_of_picture(state)
            while self._weight > self._limit and len(self._pictures) > 1:
                self._drop(next(iter(self._pictures)))

    def _drop(self, run_id: str) -> None:
        _, state = self._pictures.pop(run_id)
        self._weight -= weight_of_picture(state)
