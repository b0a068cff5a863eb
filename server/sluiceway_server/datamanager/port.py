"""The interface of the database that services use."""

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

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Committed(Generic[T_co]):
    """The result of a transaction: the function's value, and the position from which on every read sees it."""

    value: T_co
    position: Position


@dataclass(frozen=True, slots=True)
class Seen:
    """The last entry that a server knew to be committed."""

    sequence: LogSequence
    digest: bytes


class DatabaseLost(FailedPrecondition):
    """This server cannot continue with the open database; it may be opened again.

    `DataManager.open` ends its body with this error. Before that, entries that only this server knew were stored in the
    object storage; the message says so if it was not possible. Reasons:

        ETCD_CHANGED    etcd was wiped, restored or replaced
        EPOCH_CHANGED   another server recovered the database into a newer epoch
        LOG_GAP         entries of the log are missing
        LOG_DIVERGED    the log does not continue what this server has applied

    Attributes:
        seen: for `RecoverIfRolledBack` when it is opened again; None: the database was not open yet.
    """

    reason = "DATABASE_LOST"
    seen: Seen | None = None


class Database(Protocol):
    """One database, through this server. May be used from any task of the event loop."""

    async def transact(self, function: TransactionFunction[T], *, durable: bool = False) -> Committed[T]:
        """Commit what `function` decides, at its place in the log.

        Args:
            function: decides on the actions.
            durable: return only when the object storage has it too.

        Raises:
            SluicewayError: the function's own; nothing was written.
            Conflict: reason `OUTCOME_UNKNOWN`: it may have been applied, or (`durable`) it was, and a recovery may
                discard it. Read, then decide.
            Exhausted: the transaction has more than 4 MiB or 10,000 actions.
            DeadlineExceeded: with `durable`: it is committed, and not in the object storage after a minute.
            Unavailable: nothing was written; etcd is away, or too much is unflushed, or the function needs old records
                (`OLD_RECORDS_UNAVAILABLE`) and the object storage is away.
        """

    async def commit(
        self,
        actions: Sequence[Action],
        preconditions: Sequence[Precondition] = (),
        groups: Sequence[str] = (),
    ) -> Committed[None]:
        """Commit actions if all preconditions hold, all or nothing.

        Raises:
            Conflict: a precondition is false; the message has the record and its revision.
            InvalidInput: no actions.
        """

    async def read(self, function: Callable[[View], T], *, after: Position | None = None) -> T:
        """Run a pure function over one consistent view at `after` or later.

        Raises:
            Unavailable: this server did not reach `after` within 2 s; or the function needs old records
                (`OLD_RECORDS_UNAVAILABLE`) and the object storage is away.
            Exhausted: reason `TOO_MANY_OLD_RECORDS`: it needs more than 8 MiB of old records.
        """

    async def get(self, type_: RecordType[M], id_: str, *, after: Position | None = None) -> M:
        """Return a record. Raises `NotFound`, after a linearizable read."""

    async def list(self, type_: RecordType[M], query: Query, *, after: Position | None = None) -> Page[M]:
        """Return a page of a list."""

    async def linearize(self) -> Position:
        """Wait until the newest entry of etcd is applied here, and return its position."""

    def subscribe(
        self, *, after: Position, topics: Sequence[str] = (), on_live: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncGenerator[Applied, None]:
        """Yield every transaction after a position, in order, each once.

        Use `contextlib.aclosing` to leave it early.

        Args:
            after: the last position that the subscriber has seen.
            topics: only transactions that emit to one of these, or (`type:<record type>`) that change a record of that
                type; empty: all.
            on_live: called once, when all past transactions were delivered.

        Raises:
            OutOfRange: `after` is older than the history (24 h). Start from a snapshot.
            Exhausted: reason `SUBSCRIBER_TOO_SLOW`: its queue was full (1 MiB); metadata `position` is the last one
                delivered.
            Unavailable: this server stops; continue at another one.
        """

    @property
    def position(self) -> Position:
        """The last position applied here."""

    @property
    def epoch(self) -> int:
        """The present epoch."""
