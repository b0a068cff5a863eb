"""A cache of the states of running runs, so that an update of one task does not read and decode all tasks of its run.

A state is cached under the revision that the run's change group had when it was *committed*. A revision that a
transaction function sees may be that of an earlier transaction of the same batch, which may still fail; so a state is
cached only after `transact` has returned, and is used only for exactly its revision.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from sluiceway_common.runmodel.state import RunState
from sluiceway_server.datamanager.model import Position

KEPT_BYTES = 24 * 1024 * 1024

_RUN = 2000
_TASK = 1600
_ASSIGNMENT = 2000


def weight_of_state(state: RunState) -> int:
    """Estimate the memory of a state: measured with tasks of one step and few edges."""
    return _RUN + _TASK * len(state.tasks) + _ASSIGNMENT * len(state.assignments)


class RunCache:
    """States up to `limit_bytes` of memory; the least recently used are evicted first. Safe to use from any thread.

    The limit also bounds the states of runs that other servers have changed since: nothing removes those earlier.

    Transaction functions run in the committer's thread, and states are cached from the event loop.
    """

    def __init__(self, *, limit_bytes: int = KEPT_BYTES) -> None:
        self._limit = limit_bytes
        self._weight = 0
        self._lock = threading.Lock()
        self._states: OrderedDict[str, tuple[Position, RunState]] = OrderedDict()

    @property
    def weight(self) -> int:
        """The memory that the states take, estimated."""
        return self._weight

    def get(self, run_id: str, revision: Position | None) -> RunState | None:
        """Return the state of exactly that revision."""
        with self._lock:
            found = self._states.get(run_id)
            if found is None or found[0] != revision:
                return None
            self._states.move_to_end(run_id)
            return found[1]

    def put(self, run_id: str, revision: Position, state: RunState) -> None:
        """Cache the state of a committed revision, unless a newer one is cached. A finished run is removed."""
        with self._lock:
            found = self._states.get(run_id)
            if found is not None:
                if found[0] > revision:
                    return
                self._drop(run_id)
            if state.run.phase.is_terminal:
                return
            self._states[run_id] = (revision, state)
            self._weight += weight_of_state(state)
            while self._weight > self._limit and len(self._states) > 1:
                self._drop(next(iter(self._states)))

    def _drop(self, run_id: str) -> None:
        _, state = self._states.pop(run_id)
        self._weight -= weight_of_state(state)
