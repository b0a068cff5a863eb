"""Makes one batch out of transaction functions: calls each with exact state, then checks and encodes its actions.

Runs in the writer's thread, as `State` does. When the batch is ready its effects are discarded from the state, because
nothing is committed yet.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
import zstandard

from sluiceway.records.log.v1 import log_pb2
from sluiceway_server.datamanager.checks import check_actions, check_size
from sluiceway_server.datamanager.engine.write_state import Batch, State
from sluiceway_server.datamanager.log.entries import (
    Catalogue,
    LoggedTransaction,
    add_transaction,
    encode_entry,
    from_micros,
)
from sluiceway_server.datamanager.model import Applied, Decision, Position, TransactionFunction, View
from sluiceway_server.datamanager.replica.cold_bodies import NO_BODIES, BodiesNotLoaded, FetchedBodies
from sluiceway_server.datamanager.replica.deleted_subtrees import check_not_deleted, filtered
from sluiceway_server.datamanager.replica.replica import AppliedUpTo

log = structlog.get_logger(__name__)

_BUDGET_SECONDS = 0.025
"""A whole pass over a large run may take that long; nothing else should take a fifth of it."""
_MUCH_WORSE = 2


@dataclass(slots=True)
class Call:
    """A transaction function that waits for its place, with the remote bodies that were fetched for it."""

    function: TransactionFunction[Any]
    fetched: FetchedBodies = NO_BODIES


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a call if its batch is committed: a value with its position, or an error.

    `BodiesNotLoaded` is no error for the caller: the call has to be repeated with these bodies.
    """

    value: Any
    position: Position
    error: Exception | BodiesNotLoaded | None = None


class BatchBuilder:
    """See the module."""

    def __init__(
        self,
        state: State,
        catalogue: Catalogue,
        *,
        writer: str,
        max_batch_bytes: int,
        worked: Callable[[], float] = time.thread_time,
    ) -> None:
        # `worked` is CPU time, because a busy machine is no fault of a function.
        self._state = state
        self._catalogue = catalogue
        self._writer = writer
        self._max_batch_bytes = max_batch_bytes
        self._compressor = zstandard.ZstdCompressor(level=1)
        self._worked = worked
        self._slowest: dict[str, float] = {}

    def prepare(self, calls: Sequence[Call], *, last: AppliedUpTo, time_us: int) -> tuple[list[Outcome], Batch | None]:
        """Call transaction functions, in order, each with the effects of those before it.

        Args:
            calls: at least one.
            last: the entry that the batch will follow.
            time_us: now; the time of the entry is never before that of the last one.

        Returns:
            The outcomes of the first calls, in order (the others do not fit), and the batch; None: it has no actions.
        """
        state = self._state
        state.receive()
        sequence = last.position.sequence.next()
        state.now_us = time_us
        time_us = max(time_us, last.time_us)
        time_of_entry = from_micros(time_us)
        batch = log_pb2.Batch()
        known = self._catalogue.known
        outcomes: list[Outcome] = []
        logged: list[LoggedTransaction] = []
        size = 0
        before = last.position
        try:
            for call in calls:
                position = Position(sequence, len(logged))
                try:
                    view = filtered(state.view(position, call.fetched), state.deleted_subtrees, known)
                    decision = self._call(call, view)
                    if not decision.actions:
                        outcomes.append(Outcome(decision.value, before))
                        continue
                    check_actions(decision.actions, decision.groups, known)
                    check_not_deleted(view, decision.actions)
                    bodies, cost = add_transaction(batch, decision.actions, decision.groups)
                    check_size(cost)
                except sqlite3.Error:
                    raise  # of the file, and not of this function
                except (Exception, BodiesNotLoaded) as error:
                    del batch.transactions[len(logged) :]
                    outcomes.append(Outcome(None, before, error))
                    continue
                if cost + size > self._max_batch_bytes and logged:
                    del batch.transactions[-1]
                    break
                size += cost
                applied = Applied(position, time_of_entry, tuple(decision.actions), tuple(decision.groups))
                transaction = LoggedTransaction(applied, bodies, cost)
                logged.append(transaction)
                state.add_effects(transaction)
                outcomes.append(Outcome(decision.value, position))
                before = position
        finally:
            effects = state.forget_batch()
        if not logged:
            return outcomes, None
        entry = encode_entry(
            batch,
            sequence=sequence,
            batch_id=os.urandom(16),
            writer=self._writer,
            time_us=time_us,
            previous_digest=last.digest,
            compressor=self._compressor,
        )
        return outcomes, Batch(entry, tuple(logged), effects)

    def _call(self, call: Call, view: View) -> Decision[Any]:
        """Call a function. Log a warning when it exceeds its budget: it blocks every other writer."""
        began = self._worked()
        try:
            return call.function(view)
        finally:
            seconds = self._worked() - began
            if seconds > _BUDGET_SECONDS:
                name = getattr(call.function, "__qualname__", type(call.function).__qualname__)
                if seconds > _MUCH_WORSE * self._slowest.get(name, 0.0):
                    self._slowest[name] = seconds
                    log.warning("transaction_function_is_slow", function=name, seconds=round(seconds, 3))
