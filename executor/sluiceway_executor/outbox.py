"""The reports of the executor that a server has not acknowledged yet.

Entries are numbered when they are added, sent in order, and sent again on each new stream until they are acknowledged.
Updates of one assignment that are not sent yet are merged, so that the sender may wait a moment for more, unless an
entry is urgent: the end of an attempt. No I/O.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sluiceway.api.executor.v1 import executor_service_pb2 as pb

__all__ = ["FINAL_PHASES", "Outbox"]

FINAL_PHASES = frozenset(
    {
        pb.ASSIGNMENT_PHASE_SUCCESS,
        pb.ASSIGNMENT_PHASE_FAILED,
        pb.ASSIGNMENT_PHASE_STOPPED,
        pb.ASSIGNMENT_PHASE_CANCELLED,
        pb.ASSIGNMENT_PHASE_LOST,
    }
)

_MAX_UPDATES = 100
# Of all updates in one message; a single one has at most 250 KiB, with 1,000 steps.
_MAX_UPDATE_BYTES = 256 * 1024


class Outbox:
    """A queue of reports that is sent again on each stream.

    Attributes:
        waiting: set while an entry was not sent on this stream.
        urgent: set while such an entry must not wait for more.
    """

    def __init__(self, next_number: Callable[[], int]) -> None:
        self._next_number = next_number
        self._entries: dict[int, pb.AssignmentUpdate | pb.PodsGone] = {}
        self._sent = 0
        self.waiting = asyncio.Event()
        self.urgent = asyncio.Event()

    def __len__(self) -> int:
        return len(self._entries)

    def update(self, update: pb.AssignmentUpdate) -> None:
        """Add an update of an assignment, and number it."""
        for number in reversed(self._entries):
            if number <= self._sent:
                break
            entry = self._entries[number]
            if isinstance(entry, pb.AssignmentUpdate) and entry.assignment_id == update.assignment_id:
                _merge(entry, update)
                self._set_urgent(entry)
                return
        self._add(update)

    def pods_gone(self, session_id: str) -> None:
        """Add that the pods of a vanished session are gone."""
        self._add(pb.PodsGone(session_id=session_id))

    def acknowledge(self, number: int) -> None:
        """Remove an entry that the server has. May be repeated."""
        self._entries.pop(number, None)

    def forget(self, assignment_id: str) -> None:
        """Remove the updates of an assignment."""
        for number, entry in list(self._entries.items()):
            if isinstance(entry, pb.AssignmentUpdate) and entry.assignment_id == assignment_id:
                del self._entries[number]

    def begin_stream(self, *, same_session: bool) -> None:
        """Send all entries again; in another session under new numbers."""
        if not same_session:
            entries = list(self._entries.values())
            self._entries.clear()
            for entry in entries:
                self._add(entry)
        self._sent = 0
        if self._entries:
            self.waiting.set()
            self.urgent.set()

    def take(self) -> Sequence[pb.ConnectRequest]:
        """Return what was not sent on this stream, in order, as messages."""
        self.waiting.clear()
        self.urgent.clear()
        messages: list[pb.ConnectRequest] = []
        size = 0
        for number, entry in self._entries.items():
            if number <= self._sent:
                continue
            self._sent = number
            if isinstance(entry, pb.PodsGone):
                messages.append(pb.ConnectRequest(pods_gone=entry))
                continue
            size += entry.ByteSize()
            if (
                not messages
                or not messages[-1].HasField("updates")
                or len(messages[-1].updates.updates) >= _MAX_UPDATES
                or size > _MAX_UPDATE_BYTES
            ):
                messages.append(pb.ConnectRequest(updates=pb.Updates()))
                size = entry.ByteSize()
            messages[-1].updates.updates.append(entry)
        return messages

    def _add(self, entry: pb.AssignmentUpdate | pb.PodsGone) -> None:
        entry.number = self._next_number()
        self._entries[entry.number] = entry
        self.waiting.set()
        self._set_urgent(entry)

    def _set_urgent(self, entry: pb.AssignmentUpdate | pb.PodsGone) -> None:
        if not isinstance(entry, pb.AssignmentUpdate) or entry.phase in FINAL_PHASES:
            self.urgent.set()


def _merge(older: pb.AssignmentUpdate, newer: pb.AssignmentUpdate) -> None:
    number = older.number
    steps = {step.step: step for step in older.steps}
    steps.update({step.step: step for step in newer.steps})
    kept = [steps[step] for step in sorted(steps)]
    merged = pb.AssignmentUpdate()
    merged.CopyFrom(newer)
    del merged.steps[:]
    merged.steps.extend(kept)
    if not merged.HasField("pod_start_time") and older.HasField("pod_start_time"):
        merged.pod_start_time.CopyFrom(older.pod_start_time)
    merged.number = number
    older.CopyFrom(merged)
