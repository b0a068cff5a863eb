"""What goes into a batch and what comes out of it: calls, outcomes, and the batch with what it leaves. Values only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sluiceway_server.datamanager.log.entries import Catalogue, LogEntry, LoggedTransaction, decode_transactions
from sluiceway_server.datamanager.model import Decision, Delete, Position, Put
from sluiceway_server.datamanager.replica.cold_bodies import NO_BODIES, BodiesNotLoaded, FetchedBodies
from sluiceway_server.datamanager.replica.schema import Version

__all__ = ["Call", "Outcome", "Prepared", "Records", "decode", "effects_of"]

Records = dict[tuple[str, str], Version | None]
"""By type and id, what a record is now; None: it is deleted."""


@dataclass(frozen=True, slots=True)
class Call:
    """A transaction function that waits for its place, with the remote bodies that were fetched for it."""

    function: Callable[[Any], Decision[Any]]
    fetched: FetchedBodies = NO_BODIES


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one transaction of a batch: a value with its position, an error, or that it needs bodies first."""

    value: Any
    position: Position
    error: Exception | None = None
    needed: BodiesNotLoaded | None = None


@dataclass(slots=True)
class Prepared:
    """A batch that is ready to be committed.

    Attributes:
        outcomes: of the first transactions that were asked for, in order; the others did not fit.
        entry: to be put into the log; None when no transaction writes anything.
    """

    outcomes: list[Outcome]
    entry: LogEntry | None
    transactions: tuple[LoggedTransaction, ...] = ()
    records: Records = field(default_factory=dict)
    groups: dict[str, Position] = field(default_factory=dict)


def effects_of(transaction: LoggedTransaction) -> Records:
    """Tell what a transaction leaves of each record that it touches."""
    records: Records = {}
    bodies = iter(transaction.bodies)
    for action in transaction.applied.actions:
        match action:
            case Put():
                version = Version(transaction.applied.position, action.message, next(bodies))
                records[action.type.name, action.id] = version
            case Delete():
                records[action.type.name, action.id] = None
            case _:
                pass
    return records


def decode(entries: Sequence[LogEntry], catalogue: Catalogue) -> list[Prepared]:
    """Read entries that other servers wrote into batches that are committed. Raises `DataLoss`."""
    decoded = []
    for entry in entries:
        transactions = decode_transactions(entry, catalogue)
        item = Prepared([], entry, transactions)
        for transaction in transactions:
            item.records.update(effects_of(transaction))
            for name in transaction.applied.groups:
                item.groups[name] = transaction.applied.position
        decoded.append(item)
    return decoded
