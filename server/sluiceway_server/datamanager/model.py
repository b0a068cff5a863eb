"""The types of the database: records, transactions, positions. Pure values.

A record is (type, id) -> a protobuf message. A transaction is a list of actions with preconditions, all or nothing. A
transaction function is called by the committer at its place in the log with an exact `View`, and decides there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import Message

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
"""Values that columns must equal; a tuple: one of these."""


@dataclass(frozen=True, slots=True, order=True)
class LogSequence:
    """The number of a log entry. The epoch grows with each recovery; the counter has no gaps within one."""

    epoch: int
    counter: int

    def __str__(self) -> str:
        """Return 8 hex digits, `-`, 16 hex digits, which sort as sequences do."""
        return f"{self.epoch:08x}-{self.counter:016x}"

    @staticmethod
    def parse(text: str) -> LogSequence:
        """Parse the result of `str`. Raises ValueError for anything else."""
        # `int` alone accepts capitals, signs and underscores, and such a key is of another object.
        if not _SEQUENCE.fullmatch(text):
            raise ValueError(f"not a sequence: {text!r}")
        return LogSequence(int(text[:8], 16), int(text[9:], 16))

    def next(self) -> LogSequence:
        """Return the next one in the same epoch."""
        return LogSequence(self.epoch, self.counter + 1)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A transaction in the log: the sequence of its entry, and its index there. Also the revision of a record."""

    sequence: LogSequence
    index: int

    def __str__(self) -> str:
        """Return the sequence, `.`, 6 hex digits, which sort as positions do."""
        return f"{self.sequence}.{self.index:06x}"

    @staticmethod
    def parse(text: str) -> Position:
        """Parse the result of `str`. Raises ValueError for anything else."""
        if not _POSITION.fullmatch(text):
            raise ValueError(f"not a position: {text!r}")
        sequence, _, index = text.partition(".")
        return Position(LogSequence.parse(sequence), int(index, 16))


class Bodies(StrEnum):
    """Where the bodies of a type are: in each replica, or, once settled, in the object storage only."""

    LOCAL = "local"
    REMOTE = "remote"


@dataclass(frozen=True, slots=True)
class Column(Generic[M]):
    """A column of a type: for filters and orders of lists, and for `View.rows`. `of` is pure.

    A column of bytes is for `View.rows` only, and in no index.
    """

    name: str
    of: Callable[[M], Value]


@dataclass(frozen=True, slots=True)
class Under:
    """The parent of the records of a type: its tombstone deletes them too (`replica.deleted_subtrees`).

    Attributes:
        type: the name of the parent's type.
        column: of the child; it has the parent's id. Empty or NULL: no parent.

    A type may be directly under itself. Writers then take care that no record is its own ancestor.
    """

    type: str
    column: str


@dataclass(frozen=True, slots=True)
class RecordType(Generic[M]):
    """A type of record, declared once (`runrecords.types`, `projects.records`).

    Attributes:
        name: stable, lower_snake_case; part of keys in the object storage.
        message: the protobuf class of its bodies.
        columns: of its table in the replica.
        indexes: tuples of column names, each followed by id. Every `Query` needs one: its first columns are those of
            `where` (in any order), the rest is exactly `order`.
        sparse: columns whose indexes omit records without a value, so that a list of the few live records costs
            nothing for the many others. A `Query` on such an index must give the column a value.
        under: its parents. Needs an index that begins with the column.
        bodies: where they are.
        settled: for remote bodies: whether a record will hardly change, such as a run that ended. Bodies of other
            records are in every replica. None: all are settled.
        version: increase it when a column's `of` returns another value for the same message: servers then rebuild
            their replicas.
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

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def values(self, message: M) -> tuple[Value, ...]:
        """Return the values of the columns, in their order."""
        return tuple(column.of(message) for column in self.columns)

    def is_settled(self, message: M) -> bool:
        """Return whether the body of a record may be in the object storage only."""
        return self.bodies is Bodies.REMOTE and (self.settled is None or self.settled(message))


@dataclass(frozen=True, slots=True)
class Put:
    """Store a record. The message must not be changed afterwards."""

    type: RecordType[Any]
    id: str
    message: Message


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a record, if it exists."""

    type: RecordType[Any]
    id: str


@dataclass(frozen=True, slots=True)
class Emit:
    """Publish an event to subscribers, in this transaction, without storing a record.

    Subscribers filter by `topics` (`run/<id>`, `group/<path>`); `kind` names the message.
    """

    kind: str
    topics: tuple[str, ...]
    body: bytes


Action = Put | Delete | Emit


@dataclass(frozen=True, slots=True)
class RecordRevision:
    """True if the record's revision is exactly this."""

    type: RecordType[Any]
    id: str
    revision: Position


@dataclass(frozen=True, slots=True)
class RecordAbsent:
    """True if the record does not exist."""

    type: RecordType[Any]
    id: str


@dataclass(frozen=True, slots=True)
class GroupRevision:
    """True if the change group's revision is exactly this (None: it never changed)."""

    name: str
    revision: Position | None


Precondition = RecordRevision | RecordAbsent | GroupRevision


@dataclass(frozen=True, slots=True)
class Decision(Generic[T_co]):
    """The decision of a transaction function.

    Attributes:
        value: returned by `transact` when the transaction is committed. Without actions nothing is written, and the
            position is that of the transaction before.
        actions: in order; of two on one record the later counts.
        groups: the change groups whose revision changes.
    """

    value: T_co
    actions: Sequence[Action] = ()
    groups: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """A page of a list.

    Attributes:
        where: columns that must equal a value, or one of several: at most 32 combinations.
        order: column names, all with `-` in front for descending; then the id, in the same direction.
        size: 1 to 1,000.
        token: opaque, from the page before; that of another query is rejected.
    """

    where: Where = field(default_factory=dict)
    order: tuple[str, ...] = ()
    size: int = 100
    token: str = ""


@dataclass(frozen=True, slots=True)
class Page(Generic[T_co]):
    """Records of a list (messages or columns), and the token of the next page; empty: this is the last page."""

    records: tuple[tuple[str, T_co], ...]
    next_token: str


class View(Protocol):
    """The database at one position. Returned messages are shared: copy one before you change it.

    Bodies of old records may be in the object storage (`Bodies.REMOTE`). A function that reads one is called again when
    it was fetched. `rows`, `fields`, `revision`, `group` and `count` never read a body.
    """

    @property
    def position(self) -> Position:
        """The position that the transaction gets if it commits; for a read, the last one applied."""

    def get(self, type_: RecordType[M], id_: str) -> M | None:
        """Return a record; None: it does not exist."""

    def fields(self, type_: RecordType[Any], id_: str) -> Fields | None:
        """Return the columns of a record; None: it does not exist."""

    def revision(self, type_: RecordType[Any], id_: str) -> Position | None:
        """Return the position of a record's last change; None: it does not exist."""

    def group(self, name: str) -> Position | None:
        """Return the position of a change group's last change; None: it never changed."""

    def scan(self, type_: RecordType[M], prefix: str = "", *, after: str = "") -> Iterator[tuple[str, M]]:
        """Yield the records whose id begins with `prefix` and sorts after `after`, by id."""

    def select(self, type_: RecordType[M], query: Query) -> Page[M]:
        """Return a page of a list."""

    def rows(self, type_: RecordType[Any], query: Query) -> Page[Fields]:
        """Return a page of a list with the columns only: for lists of millions of old records."""

    def count(self, type_: RecordType[Any], where: Where, *, limit: int) -> int:
        """Count the records of a list in its index, up to `limit` of at most 1,000."""


TransactionFunction = Callable[[View], Decision[T]]
"""A pure function of the view. Budget: 5 ms, 25 ms for a pass over a large run. It may be called again with another
view. Its errors are raised by `transact`, and nothing is written."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A transaction in the log."""

    position: Position
    time: datetime
    actions: tuple[Action, ...]
    groups: tuple[str, ...]
