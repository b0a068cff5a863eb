"""Deadlines: a run, a task or an approval times out, a drain ends.

Each is one transaction, which decides by the records at its position in the log whether the deadline has passed. So it
takes effect once, however many servers check it, and however often.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from sluiceway_common.runmodel import rules, stopping, updates
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_server.datamanager.model import Query
from sluiceway_server.datamanager.port import Committed
from sluiceway_server.runrecords import codec
from sluiceway_server.runrecords.executor_record import drain_of
from sluiceway_server.runrecords.types import ASSIGNMENT, EXECUTOR
from sluiceway_server.runs.timers import Subject, TimerKey
from sluiceway_server.runs.transaction import RunTransaction

T = TypeVar("T")

LOST_AT_ONCE = 100


class Transact(Protocol):
    """`Engine._transact`."""

    async def __call__(self, decide: Callable[[RunTransaction], T]) -> Committed[T]:
        """Commit what `decide` does in a transaction."""
        ...


@dataclass(frozen=True, slots=True)
class Looked:
    """What became of a run that was looked at.

    Attributes:
        was_forgotten: it moved, although its time had not come: something should have moved it before.
        next_deadline: when to look again; None: nothing will happen by time alone.
    """

    was_forgotten: bool = False
    next_deadline: datetime | None = None


class Deadlines:
    """Checks deadlines when their timers fire."""

    def __init__(self, transact: Transact) -> None:
        self._transact = transact

    async def look(self, key: TimerKey) -> datetime | None:
        subject, id_ = key
        if subject is Subject.RUN:
            return (await self.look_at_run(id_)).next_deadline
        return await self.look_at_drain(id_)

    async def look_at_run(self, run_id: str) -> Looked:
        """Apply the rules to a run at the present time."""

        def decide(transaction: RunTransaction) -> Looked:
            stored = transaction.run(run_id)
            if stored is None:
                return Looked()
            due = stopping.next_deadline(stored.forget())
            after = transaction.record_advance(rules.advance(stored.forget(), transaction.now, since=stored))
            moved = bool(after.tasks or after.assignments or after.events) or after.run != stored.run
            is_due = due is not None and due <= transaction.now
            return Looked(was_forgotten=moved and not is_due, next_deadline=stopping.next_deadline(after.state))

        return (await self._transact(decide)).value

    async def look_at_drain(self, executor_id: str) -> datetime | None:
        """End as lost what still runs on an executor whose drain is over (R16)."""

        def decide(transaction: RunTransaction) -> datetime | None:
            record = transaction.view.get(EXECUTOR, executor_id)
            drain = None if record is None else drain_of(record)
            if drain is None or drain.deadline is None:
                return None
            if drain.deadline > transaction.now:
                return drain.deadline
            reason = Reason(
                ReasonCode.DRAINED, f"an operator drained the executor {executor_id}, and the time for that was over"
            )
            query = Query({"executor_id": executor_id, "live": 1}, size=LOST_AT_ONCE)
            found = transaction.view.select(ASSIGNMENT, query)
            for _, live in found.records:
                state = transaction.run(codec.decode_assignment(live).run_id)
                if state is not None:
                    transaction.apply(updates.mark_lost(state, [live.id], reason=reason, now=transaction.now))
            return transaction.now if found.next_token else None

        return (await self._transact(decide)).value
