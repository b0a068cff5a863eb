"""The record of a history: the log, the calls of clients and their results, and what subscribers got.

Plain data, which `checker` judges. Moments are numbers that grow with everything that is recorded, so that "began after
it was acknowledged" is a comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sluiceway_server.datamanager.model import Applied, Delete, Emit, LogSequence, Position, Put
from tests.properties.workload import Look, Transaction, value_of

__all__ = [
    "Attempt",
    "Contents",
    "Delivery",
    "Entry",
    "Evaluation",
    "Fact",
    "GetRecord",
    "History",
    "Outcome",
    "ReadRecord",
    "Step",
    "plain",
]

Step = tuple[Any, ...]
"""An action of a transaction as plain values: `("put", type, id, value)`, `("delete", type, id)`, `("emit", ...)`."""


def plain(actions: Sequence[Any]) -> tuple[Step, ...]:
    """Turn actions into values that compare."""
    found: list[Step] = []
    for action in actions:
        match action:
            case Put():
                found.append(("put", action.type.name, action.id, value_of(action.message)))
            case Delete():
                found.append(("delete", action.type.name, action.id))
            case Emit():
                found.append(("emit", action.kind, action.topics, action.body))
    return tuple(found)


@dataclass(frozen=True)
class Fact:
    """A transaction as it stands in the log. `name`: of the attempt that made it; empty for none of ours."""

    position: Position
    steps: tuple[Step, ...]
    groups: tuple[str, ...]
    name: str

    @staticmethod
    def of(applied: Applied) -> Fact:
        names = [action.body.decode() for action in applied.actions if isinstance(action, Emit)]
        kinds = [action.kind for action in applied.actions if isinstance(action, Emit)]
        name = names[kinds.index("transaction")] if "transaction" in kinds else ""
        return Fact(applied.position, plain(applied.actions), tuple(applied.groups), name)


@dataclass(frozen=True)
class Entry:
    """An entry that etcd had, at some moment, as part of the log."""

    sequence: LogSequence
    digest: bytes
    previous_digest: bytes
    facts: tuple[Fact, ...]
    moment: int


class Outcome(StrEnum):
    """What a call of a client returned."""

    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"
    """By itself, or by a precondition: nothing was written, and what it saw was exact."""
    NOTHING_WRITTEN = "nothing written"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Evaluation:
    """One call of a transaction function: where, and what it saw; `refused`: it raised."""

    position: Position
    seen: tuple[Any, ...]
    refused: bool


@dataclass
class Attempt:
    """One transaction of a client. `guards`: what its preconditions demand: (`note` id or `#group`, revision)."""

    name: str
    transaction: Transaction
    server: str
    began: int
    guards: tuple[tuple[str, Position | None], ...] = ()
    outcome: Outcome = Outcome.WAITING
    ended: int = 0
    position: Position | None = None
    evaluations: list[Evaluation] = field(default_factory=list)
    error: str = ""


@dataclass
class ReadRecord:
    """One read of a client. `linear`: it asked for the newest first."""

    server: str
    looks: tuple[Look, ...]
    began: int
    ended: int
    linear: bool
    position: Position
    seen: tuple[Any, ...]
    after: Position | None = None


@dataclass
class GetRecord:
    """One `Database.get`; `value` None: there was no such record."""

    server: str
    type: str
    id: str
    began: int
    ended: int
    value: tuple[Any, ...] | None


@dataclass
class Delivery:
    """What one subscriber got: facts in the order in which they came. An empty `topic` stands for all.

    A subscriber whose place in the log is not kept any more starts again: `starts` are the places in `facts` where it
    did, each with the position after which it continued.
    """

    topic: str
    facts: list[Fact] = field(default_factory=list)
    starts: list[tuple[int, Position]] = field(default_factory=list)


@dataclass(frozen=True)
class Contents:
    """All that a server has: (type, id) -> value and revision; change groups; lists by colour; its position."""

    server: str
    position: Position
    records: dict[tuple[str, str], tuple[Any, Position]]
    groups: dict[str, Position]


@dataclass
class History:
    """The record of one history.

    Attributes:
        entries: in the order in which etcd took them.
        head: the digest of the last entry of the history, at the end.
        deliveries: of subscribers.
        contents: of each server at the end.
        losses: moments at which etcd lost something, or the database was made to go back; without one, nothing
            acknowledged may be missing.
        saved: when each entry came into the object storage, by its digest.
        epochs: when each epoch object did.
        restored: epochs that began by going back.
        put_back: moments at which etcd went back in a way that nobody could tell at once.
        problems: what was seen to be wrong while it happened.
    """

    entries: list[Entry] = field(default_factory=list)
    head: bytes = b""
    attempts: list[Attempt] = field(default_factory=list)
    reads: list[ReadRecord] = field(default_factory=list)
    gets: list[GetRecord] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    contents: list[Contents] = field(default_factory=list)
    losses: list[int] = field(default_factory=list)
    saved: dict[bytes, int] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    restored: list[int] = field(default_factory=list)
    put_back: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    moment: int = 0

    def now(self) -> int:
        """Return the number of the next moment."""
        self.moment += 1
        return self.moment

    def back_from(self, digest: bytes) -> Iterator[Entry]:
        """Walk from the entry with this digest to what it follows, and so on; ends before what etcd never had."""
        by_digest = {entry.digest: entry for entry in self.entries}
        while (entry := by_digest.get(digest)) is not None:
            yield entry
            digest = entry.previous_digest
