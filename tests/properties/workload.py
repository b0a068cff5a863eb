"""The transactions and reads of clients, as plain data, and the function that runs them. Pure.

The same function runs over a server's view when the history is executed, and over the model when it is checked. So what
a transaction saw and wrote is compared with what it would have seen and written at its place in the log.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Protocol

from sluiceway.records.log.v1 import log_pb2
from sluiceway.records.storage.v1 import storage_pb2
from sluiceway_common.foundation.errors import AlreadyExists
from sluiceway_server.datamanager.model import Action, Bodies, Column, Delete, Emit, Put, Query, RecordType, Under, View
from sluiceway_server.datamanager.replica.deleted_subtrees import delete_subtree

__all__ = [
    "GROUPS",
    "IDS",
    "NOTE",
    "TYPES",
    "WORK",
    "Look",
    "Transaction",
    "Write",
    "actions_of",
    "draw_looks",
    "draw_transaction",
    "look",
    "perform",
    "type_named",
    "value_of",
]

NOTE: RecordType[log_pb2.Epoch] = RecordType(
    "note",
    log_pb2.Epoch,
    columns=(
        Column("colour", lambda message: message.writer or None),
        Column("rank", lambda message: message.number),
    ),
    indexes=(("colour",), ("colour", "rank"), ("rank",)),
)
"""`number` is the rank, `writer` the colour, `database_id` names the transaction that wrote it."""

WORK: RecordType[log_pb2.Epoch] = RecordType(
    "work",
    log_pb2.Epoch,
    columns=(
        Column("colour", lambda message: message.writer or None),
        Column("rank", lambda message: message.number),
    ),
    indexes=(("colour",), ("colour", "rank")),
    bodies=Bodies.REMOTE,
    settled=lambda message: message.number % 2 == 0,
)
"""The same with remote bodies; it has come to rest when the rank is even."""

LEAF: RecordType[log_pb2.Epoch] = RecordType(
    "leaf",
    log_pb2.Epoch,
    columns=(
        Column("colour", lambda message: message.writer or None),
        Column("rank", lambda message: message.number),
    ),
    indexes=(("colour",), ("colour", "rank")),
    under=(Under("note", "colour"),),
)
"""Its colour is the id of the note that it belongs to; a note that is buried takes its leaves with it."""

TYPES: tuple[RecordType[Any], ...] = (NOTE, WORK, LEAF)
_BY_NAME = {type_.name: type_ for type_ in TYPES}

_LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
PARENTS = ("a", "b", "c")
IDS = ("a", "b", "c", "d", "n/1", "n/2", "n/3", "n/ä", "\U0001f600", "\uffff")
COLOURS = ("red", "blue", "")
GROUPS = ("g", "h")


def type_named(name: str) -> RecordType[Any]:
    """Find a type."""
    return _BY_NAME[name]


Observation = Any
"""What one read saw, as plain values that compare."""


@dataclass(frozen=True, repr=False)
class _Short:
    """Prints only what differs from the default: people read histories that failed."""

    def __repr__(self) -> str:
        given = [
            f"{item.name}={getattr(self, item.name)!r}"
            for item in fields(self)
            if getattr(self, item.name) != item.default
        ]
        return f"{type(self).__name__}({', '.join(given)})"


@dataclass(frozen=True, repr=False)
class Look(_Short):
    """One read.

    Attributes:
        kind: `get`, `revision`, `group`, `scan`, `list` (by rank), `back` (the same, descending), `count`.
        type: the record type's name.
        id: of the record; the prefix of a scan; the name of a change group.
        colour: of a list or count.
        size: of pages and counts.
    """

    kind: str
    type: str = "note"
    id: str = ""
    colour: str = ""
    size: int = 3


@dataclass(frozen=True, repr=False)
class Write(_Short):
    """One action.

    Attributes:
        kind: `add` (one more than the rank that is there), `delete`, `bury` (with its leaves), `emit`.
        padding: bytes of text more.
    """

    kind: str
    type: str = "note"
    id: str = ""
    colour: str = ""
    padding: int = 0


@dataclass(frozen=True, repr=False)
class Transaction(_Short):
    """A transaction function.

    Attributes:
        looks: done first.
        writes: none: it only looks.
        groups: change groups that it moves.
        refuse_if: it refuses itself when this note is there.
        guards: records whose revision its caller read before, through the same server; and the group, after `#`.
    """

    looks: tuple[Look, ...] = ()
    writes: tuple[Write, ...] = ()
    groups: tuple[str, ...] = ()
    refuse_if: str = ""
    guards: tuple[str, ...] = ()


def value_of(message: Any) -> tuple[Any, ...]:
    """Return the value of a record."""
    if isinstance(message, storage_pb2.Tombstone):
        return ("tombstone", message.type, message.id)
    return (message.database_id, message.writer, message.number)


class _Reads(Protocol):
    def get(self, type_: RecordType[Any], id_: str) -> Any: ...


def look(view: View, what: Look) -> Observation:
    """Read."""
    type_ = _BY_NAME[what.type]
    match what.kind:
        case "get":
            found = view.get(type_, what.id)
            return None if found is None else value_of(found)
        case "revision":
            return view.revision(type_, what.id)
        case "group":
            return view.group(what.id)
        case "scan":
            return tuple((id_, value_of(message)) for id_, message in view.scan(type_, what.id))
        case "list":
            query = Query({"colour": what.colour or None}, ("rank",), size=what.size)
            return _pages(view, type_, query)
        case "back":
            return _pages(view, type_, Query({"colour": what.colour or None}, ("-rank",), size=what.size))
        case "count":
            return view.count(type_, {"colour": what.colour or None}, limit=what.size)
    raise ValueError(what.kind)


def _pages(view: View, type_: RecordType[Any], query: Query) -> tuple[Any, ...]:
    found: list[Any] = []
    while True:
        page = view.select(type_, query)
        found.append(tuple((id_, value_of(message)) for id_, message in page.records))
        if not page.next_token:
            return tuple(found)
        query = Query(query.where, query.order, query.size, page.next_token)


def perform(view: View, transaction: Transaction, name: str) -> tuple[tuple[Observation, ...], list[Action]]:
    """Run a transaction. Raises `AlreadyExists` when it refuses itself."""
    seen = tuple(look(view, what) for what in transaction.looks)
    if transaction.refuse_if and view.get(NOTE, transaction.refuse_if) is not None:
        raise AlreadyExists(f"{transaction.refuse_if} is there")
    return seen, actions_of(view, transaction, name)


def actions_of(view: _Reads, transaction: Transaction, name: str) -> list[Action]:
    """Return the actions of a transaction, given what is there."""
    actions: list[Action] = []
    for write in transaction.writes:
        type_ = _BY_NAME[write.type]
        match write.kind:
            case "add":
                there = view.get(type_, write.id)
                rank = 1 if there is None else there.number + 1
                text = name + "." * write.padding
                actions.append(Put(type_, write.id, log_pb2.Epoch(writer=write.colour, number=rank, database_id=text)))
            case "delete":
                actions.append(Delete(type_, write.id))
            case "bury":
                actions += delete_subtree(type_, write.id, now=_LONG_AGO)
            case _:
                actions.append(Emit("said", (f"topic/{write.id}",), write.id.encode()))
    if actions:
        # Names the transaction in the log, whatever else it does.
        actions.append(Emit("transaction", ("all",), name.encode()))
    return actions


def draw_looks(rng: random.Random, most: int) -> tuple[Look, ...]:
    """Draw some reads."""
    return tuple(_draw_look(rng) for _ in range(rng.randint(1, most)))


def _draw_look(rng: random.Random) -> Look:
    type_ = rng.choice(("note", "note", "note", "work", "work", "leaf"))
    kind = rng.choices(("get", "revision", "group", "scan", "list", "back", "count"), (6, 3, 2, 1, 1, 1, 1))[0]
    if type_ == "work" and kind in ("scan",) and rng.random() < 0.5:
        kind = "get"
    id_ = rng.choice(GROUPS) if kind == "group" else rng.choice(("", "n/")) if kind == "scan" else rng.choice(IDS)
    colour = rng.choice(PARENTS if type_ == "leaf" else COLOURS)
    return Look(kind, type_, id_, colour, rng.choice((1, 2, 3, 10)))


def draw_transaction(rng: random.Random) -> Transaction:
    """Draw a transaction."""
    looks = draw_looks(rng, 3) if rng.random() < 0.7 else ()
    if rng.random() < 0.08:
        return Transaction(looks or draw_looks(rng, 2), ())
    writes = tuple(_draw_write(rng) for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5))))
    # Nobody buries a record and writes it in one transaction.
    buried = {write.id for write in writes if write.kind == "bury"}
    writes = tuple(
        write
        for write in writes
        if write.kind in ("bury", "emit")
        or (write.colour not in buried and not (write.type == "note" and write.id in buried))
    )
    groups = tuple(name for name in GROUPS if rng.random() < 0.15)
    refuse = rng.choice(IDS) if rng.random() < 0.06 else ""
    guards: Sequence[str] = ()
    if rng.random() < 0.15:
        guards = [rng.choice(IDS) for _ in range(rng.randint(1, 2))]
        if rng.random() < 0.3:
            guards.append("#" + rng.choice(GROUPS))
    return Transaction(looks, writes, groups, refuse, tuple(dict.fromkeys(guards)))


def _draw_write(rng: random.Random) -> Write:
    type_ = rng.choice(("note", "note", "note", "work", "work", "leaf"))
    kind = rng.choices(("add", "delete", "emit"), (6, 2, 1))[0]
    padding = rng.choices((0, 40, 300), (12, 2, 1))[0]
    if type_ == "leaf":
        return Write(kind, type_, rng.choice(IDS), rng.choice(PARENTS), padding)
    if type_ == "note" and rng.random() < 0.04:
        return Write("bury", type_, rng.choice(PARENTS))
    return Write(kind, type_, rng.choice(IDS), rng.choice(COLOURS), padding)
