"""The face of the database: all that the services above it use."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from google.protobuf.message import Message

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_server.datamanager.model import (
    Action,
    Applied,
    LogSequence,
    Page,
    Position,
    Precondition,
    Query,
    RecordType,
    TransactionFunction,
    View,
)

__all__ = ["Committed", "Database", "DatabaseLost", "Seen"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Committed(Generic[T_co]):
    """The answer of a transaction: the function's value and the position from which on every reader sees it."""

    value: T_co
    position: Position


@dataclass(frozen=True, slots=True)
class Seen:
    """What a server saw of its database: an entry that is committed, in an epoch that was."""

    sequence: LogSequence
    digest: bytes


class DatabaseLost(FailedPrecondition):
    """This server cannot go on with the database as it has it open; it may be opened again.

    `DataManager.open` ends its body with it. Before, what this server knows and the object storage lacked was put
    there, if that was possible; the message says when it was not. The reason says what was seen:

        ETCD_CHANGED    etcd was wiped, restored, or is another one
        EPOCH_CHANGED   others recovered the database into a newer epoch
        LOG_GAP         the log goes on, and entries in between are nowhere
        LOG_DIVERGED    the log is not a continuation of what this server has applied

    Attributes:
        seen: the last entry that this server knew to be committed; for `RecoverIfRolledBack` when it is opened again.
            None when it had not come so far.
    """

    reason = "DATABASE_LOST"
    seen: Seen | None = None


class Database(Protocol):
    """One database, through this server. Safe to use from any task of the event loop."""

    async def transact(self, function: TransactionFunction[T], *, durable: bool = False) -> Committed[T]:
        """Commit what `function` decides, at its place in the log.

        Args:
            function: see `TransactionFunction`.
            durable: answer only when the object storage holds it too.

        Raises:
            SluicewayError: what the function raised; nothing was written.
            Conflict: reason `OUTCOME_UNKNOWN`: it may have been applied, or (`durable`) it was, and may be given up
                by a recovery. Read, then decide.
            Exhausted: the transaction is over 4 MiB or 10,000 actions.
            DeadlineExceeded: only when `durable`: it is committed, and not in the object storage after a minute.
            Unavailable: nothing was written; the store is away, or too much waits to be flushed, or the function needs
                old records (`OLD_RECORDS_UNAVAILABLE`), and the object storage that has them is away.
        """
        ...

    async def commit(
        self,
        actions: Sequence[Action],
        preconditions: Sequence[Precondition] = (),
        groups: Sequence[str] = (),
    ) -> Committed[None]:
        """Commit actions if all preconditions hold, all or nothing.

        Raises:
            Conflict: one does not hold; the message names it and the revision that it has.
            InvalidInput: no actions.
        """
        ...

    async def read(self, function: Callable[[View], T], *, after: Position | None = None) -> T:
        """Run a pure function over one consistent view that has applied at least `after`.

        Raises:
            Unavailable: this server did not reach `after` within 2 s; or, with the reason `OLD_RECORDS_UNAVAILABLE`, it
                needs old records, and the object storage that has them is away.
            Exhausted: reason `TOO_MANY_OLD_RECORDS`: it wants more than 8 MiB of old records at once.
        """
        ...

    async def get(self, type_: RecordType[M], id_: str, *, after: Position | None = None) -> M:
        """Read a record; before it says NOT_FOUND it reads linearizably. Raises `NotFound`."""
        ...

    async def list(self, type_: RecordType[M], query: Query, *, after: Position | None = None) -> Page[M]:
        """Answer a page of a list."""
        ...

    async def linearize(self) -> Position:
        """Ask etcd for the newest entry, wait until it is applied here, and answer its position."""
        ...

    def subscribe(
        self, *, after: Position, topics: Sequence[str] = (), on_live: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncGenerator[Applied, None]:
        """Give every transaction applied after a position, in order, none twice.

        Leave it early through `contextlib.aclosing`, so that its place is given up at once.

        Args:
            after: the last position that the subscriber has seen.
            topics: only transactions that emit to one of these, or (`type:<record type>`) that touch a record of that
                type; empty: all.
            on_live: is called once, when all transactions of the past were given and the next ones are waited for.

        Raises:
            OutOfRange: `after` is older than the history that is kept (24 h). Start from a snapshot.
            Exhausted: reason `SUBSCRIBER_TOO_SLOW`: 1 MiB waited for it; metadata `position` is the last one
                delivered.
            Unavailable: this server stops; go on at another one.
        """
        ...

    @property
    def position(self) -> Position:
        """The last position applied here."""
        ...

    @property
    def epoch(self) -> int:
        """The present epoch."""
        ...
