"""The words of the database: records, transactions, positions (datamanager.md, "Model").

A record is (type, id) -> a protobuf message. A transaction is a list of actions with preconditions, all or nothing. A
transaction function is called by the committer at its place in the log with an exact `View`, and decides there. Pure
values; no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import Message

__all__ = [
    "Action",
    "Applied",
    "Bodies",
    "Column",
    "Decision",
    "Delete",
    "Emit",
    "Fields",
    "GroupRevision",
    "LogSequence",
    "Page",
    "Position",
    "Precondition",
    "Put",
    "Query",
    "RecordAbsent",
    "RecordRevision",
    "RecordType",
    "TransactionFunction",
    "Under",
    "Value",
    "View",
    "Where",
]

M = TypeVar("M", bound=Message)
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_SEQUENCE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{16}")
_POSITION = re.compile(rf"{_SEQUENCE.pattern}\.[0-9a-f]{{6}}")

Value = str | int | bytes | None
"""The value of a column."""
Fields = Mapping[str, Value]
"""The values of a record's columns, by column name."""
Where = Mapping[str, Value | tuple[Value, ...]]
"""What columns must equal; a tuple: one of these values."""


@dataclass(frozen=True, slots=True, order=True)
class LogSequence:
    """The number of a log entry.

    The epoch grows when etcd was lost or went back, the counter has no gaps inside one.
    """

    epoch: int
    counter: int

    def __str__(self) -> str:
        """Print so that string order is number order: 8 hex digits, `-`, 16 hex digits."""
        return f"{self.epoch:08x}-{self.counter:016x}"

    @staticmethod
    def parse(text: str) -> LogSequence:
        """Read what `str` printed. Raises ValueError for anything else."""
        # `int` alone would take capitals, signs and underscores: a key that is written so names another object.
        if not _SEQUENCE.fullmatch(text):
            raise ValueError(f"not a sequence: {text!r}")
        return LogSequence(int(text[:8], 16), int(text[9:], 16))

    def next(self) -> LogSequence:
        """The one after it, in the same epoch."""
        return LogSequence(self.epoch, self.counter + 1)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the log, and a revision: an entry's sequence and the index of the transaction in it."""

    sequence: LogSequence
    index: int

    def __str__(self) -> str:
        """Print so that string order is number order: the sequence, `.`, 6 hex digits."""
        return f"{self.sequence}.{self.index:06x}"

    @staticmethod
    def parse(text: str) -> Position:
        """Read what `str` printed. Raises ValueError for anything else."""
        if not _POSITION.fullmatch(text):
            raise ValueError(f"not a position: {text!r}")
        sequence, _, index = text.partition(".")
        return Position(LogSequence.parse(sequence), int(index, 16))


class Bodies(StrEnum):
    """Where the bodies of a type are.

    Whole in each server's read database, or in the data files with only their columns there.
    """

    LOCAL = "local"
    REMOTE = "remote"


@dataclass(frozen=True, slots=True)
class Column(Generic[M]):
    """A column of a type's read model: what lists filter and order by, and what `View.rows` answers. `of` is pure.

    A column of bytes is there to be read by `View.rows` only; no index has it.
    """

    name: str
    of: Callable[[M], Value]


@dataclass(frozen=True, slots=True)
class Under:
    """Says what records of a type are below: a tombstone of the parent hides them (`tombstones`).

    Attributes:
        type: the name of the parent's type.
        column: of the type below; it holds the parent's id. Empty or no value: below nothing.
        path: it holds a path instead, and every prefix of it is the id of a parent: `a`, `a/b` and `a/b/c`. Only paths
            may be below their own type.
    """

    type: str
    column: str
    path: bool = False


@dataclass(frozen=True, slots=True)
class RecordType(Generic[M]):
    """A type of record, declared once (`runrecords.types`, `projects.records`).

    Attributes:
        name: stable, lower_snake_case; part of keys in the object storage.
        message: the protobuf class of its bodies.
        columns: of its read model.
        indexes: tuples of column names, each followed by id; every `Query` must be served by one: its first columns
            are those of `where` (in any order), the rest is exactly `order`.
        sparse: columns whose indexes leave out the records that have no value there: a list of the few that are live
            costs nothing for the many that are not. A `Query` must give such a column a value.
        under: what its records are below. Needs an index that begins with the column; for a path, one of it alone.
        bodies: where they are.
        settled: of a type with remote bodies: whether a record has come to rest, such as a run that ended. The bodies
            of those that have not are local everywhere. None: all have, from the beginning.
        version: raise it when a column's `of` answers differently for the same message: every server then builds its
            read database anew.
    """

    name: str
    message: type[M]
    columns: tuple[Column[M], ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()
    sparse: tuple[str, ...] = ()
    under: tuple[Under, ...] = ()
    bodies: Bodies = Bodies.LOCAL
    settled: Callable[[M], bool] | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class Put:
    """Store a record, whole. The message must not be changed afterwards."""

    type: RecordType[Any]
    id: str
    message: Message


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a record. One that is not there is not an error."""

    type: RecordType[Any]
    id: str


@dataclass(frozen=True, slots=True)
class Emit:
    """Say something to subscribers, in the log and in this transaction, without keeping a record of it.

    `topics` are what subscribers filter on (`run/<id>`, `group/<path>`); `kind` names the message.
    """

    kind: str
    topics: tuple[str, ...]
    body: bytes


Action = Put | Delete | Emit


@dataclass(frozen=True, slots=True)
class RecordRevision:
    """Holds when the record's last change is exactly `revision`."""

    type: RecordType[Any]
    id: str
    revision: Position


@dataclass(frozen=True, slots=True)
class RecordAbsent:
    """Holds when there is no such record."""

    type: RecordType[Any]
    id: str


@dataclass(frozen=True, slots=True)
class GroupRevision:
    """Holds when the change group's last move is exactly `revision` (None: it never moved)."""

    name: str
    revision: Position | None


Precondition = RecordRevision | RecordAbsent | GroupRevision


@dataclass(frozen=True, slots=True)
class Decision(Generic[T_co]):
    """What a transaction function decided.

    Attributes:
        value: handed to the caller of `transact` when the transaction is committed. When there are no actions,
            nothing is written, and the answer's position is that of the transaction before.
        actions: in order; of two on one record the later counts.
        groups: the change groups whose revision this transaction moves.
    """

    value: T_co
    actions: Sequence[Action] = ()
    groups: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """A page of a list.

    Attributes:
        where: columns that must equal a value, or one of a few: at most 32 combinations.
        order: column names, `-` in front of all of them for descending; the id decides ties, in the same direction.
            Empty: by id.
        size: 1 to 1,000.
        token: opaque, from the page before; one made for another query is refused.
    """

    where: Where = field(default_factory=dict)
    order: tuple[str, ...] = ()
    size: int = 100
    token: str = ""


@dataclass(frozen=True, slots=True)
class Page(Generic[T_co]):
    """Records of a list (messages, or columns) with the token of the next page; empty when this is the last."""

    records: tuple[tuple[str, T_co], ...]
    next_token: str


class View(Protocol):
    """The database at one position. Messages that it hands out are shared: copy before you change one.

    Bodies of old records may be in the object storage (`Bodies.REMOTE`). A function that asks for one is called again
    when it is here, so it sees nothing of that but the time. `rows`, `fields`, `revision`, `group` and `count` never
    need one.
    """

    @property
    def position(self) -> Position:
        """The position that the transaction gets if it commits now; for a read, the last one applied."""
        ...

    def get(self, type_: RecordType[M], id_: str) -> M | None:
        """Read a record; None when there is none."""
        ...

    def fields(self, type_: RecordType[Any], id_: str) -> Fields | None:
        """Read the columns of a record; None when there is none."""
        ...

    def revision(self, type_: RecordType[Any], id_: str) -> Position | None:
        """The position of the record's last change; None when there is none."""
        ...

    def group(self, name: str) -> Position | None:
        """The position at which the change group last moved; None when it never did."""
        ...

    def scan(self, type_: RecordType[M], prefix: str = "", *, after: str = "") -> Iterator[tuple[str, M]]:
        """Walk the records whose id begins with `prefix` and sorts after `after`, by id."""
        ...

    def select(self, type_: RecordType[M], query: Query) -> Page[M]:
        """Answer a page of a list."""
        ...

    def rows(self, type_: RecordType[Any], query: Query) -> Page[Fields]:
        """Answer a page of a list with the columns alone: what a list of a million old records needs."""
        ...

    def count(self, type_: RecordType[Any], where: Where, *, limit: int) -> int:
        """Count the records of a list, up to `limit` of at most 1,000. Reads an index only, and no record."""
        ...


TransactionFunction = Callable[[View], Decision[T]]
"""Pure, and quick.

5 ms, 25 ms for a whole pass over a large run. May be called again with another view. What it raises of our error
family goes to the caller of `transact`, and nothing is written."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A transaction as it stands in the log."""

    position: Position
    time: datetime
    actions: tuple[Action, ...]
    groups: tuple[str, ...]
