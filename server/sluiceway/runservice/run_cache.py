"""Pictures of runs that are worked on, so that one task's update does not pay for reading two thousand.

A picture is kept under the revision that the run's change group had when it was *committed*. Revisions that a
transaction function sees may be those of transactions before it in the same batch, which may still be lost to another
server; so a picture is put in only after `transact` answered, and taken out only for exactly its revision.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from sluiceway.datamanager.model import Position
from sluiceway.runmodel.state import RunState

__all__ = ["RunCache"]


class RunCache:
    """At most `limit_tasks` tasks of pictures; the ones that were used last stay. Safe to use from any thread.

    Transaction functions run in the committer's thread, and pictures are put in from the event loop.
    """

    def __init__(self, *, limit_tasks: int = 50_000) -> None:
        self._limit = limit_tasks
        self._tasks = 0
        self._lock = threading.Lock()
        self._pictures: OrderedDict[str, tuple[Position, RunState]] = OrderedDict()

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
            self._tasks += len(state.tasks) + 1
            while self._tasks > self._limit and len(self._pictures) > 1:
                self._drop(next(iter(self._pictures)))

    def _drop(self, run_id: str) -> None:
        _, state = self._pictures.pop(run_id)
        self._tasks -= len(state.tasks) + 1
