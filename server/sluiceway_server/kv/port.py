"""The port to etcd: the part of it that the server uses.

Keys are non-empty text, values are bytes. A transaction compares, then writes; its result has the revision
of the store, as every result does. `OutcomeUnknown` means that a transaction may or may not have been applied, and that
only a read can find out (datamanager.md, "Write" 5).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from sluiceway_common.foundation.errors import DeadlineExceeded

LeaseId = int


class OutcomeUnknown(DeadlineExceeded):
    """The store did not respond in time: a write may or may not have been applied. Read to find out."""

    reason = "OUTCOME_UNKNOWN"


class Compacted(Exception):
    """A watch or read began at a revision that is compacted away. Start over from a fresh read.

    Attributes:
        compact_revision: the oldest revision that is still there.
    """

    def __init__(self, compact_revision: int) -> None:
        super().__init__(f"compacted up to revision {compact_revision}")
        self.compact_revision = compact_revision


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A key as it is stored. `lease` is 0 when none is attached."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    lease: LeaseId = 0


@dataclass(frozen=True, slots=True)
class Compare:
    """Holds when the key's value equals `value`; `None`: when the key does not exist."""

    key: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class PutKey:
    """Store a value; with `lease`, the key goes when the lease does."""

    key: str
    value: bytes
    lease: LeaseId = 0


@dataclass(frozen=True, slots=True)
class DeleteKey:
    """Remove one key, if it is there."""

    key: str


@dataclass(frozen=True, slots=True)
class DeleteRange:
    """Remove the keys in [`start`, `end`)."""

    start: str
    end: str


@dataclass(frozen=True, slots=True)
class DeletePrefix:
    """Remove all keys that begin with `prefix`."""

    prefix: str


Write = PutKey | DeleteKey | DeleteRange | DeletePrefix


@dataclass(frozen=True, slots=True)
class Get:
    """Read one key."""

    key: str


@dataclass(frozen=True, slots=True)
class Range:
    """Read keys in [`start`, `end`), in key order, at most `limit` (0: all)."""

    start: str
    end: str
    limit: int = 0


Read = Get | Range


@dataclass(frozen=True, slots=True)
class TxnResult:
    """The result of a transaction.

    Attributes:
        succeeded: whether all compares held, and so the writes were applied.
        revision: the store's revision after it.
        reads: one tuple of keys for each `Read` of the branch that was taken, in their order.
        cluster_id: of the cluster that responded.
    """

    succeeded: bool
    revision: int
    reads: tuple[tuple[KeyValue, ...], ...]
    cluster_id: int


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """A change of a key; `value` is None when it was deleted (or its lease ran out)."""

    key: str
    value: bytes | None
    mod_revision: int


@dataclass(frozen=True, slots=True)
class WatchBatch:
    """Events up to and including `revision`, in order. An empty one reports progress only."""

    revision: int
    events: tuple[WatchEvent, ...]


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What the store says of itself.

    Attributes:
        version: of the member that responded.
        size_bytes: of its file. It never shrinks by itself, and the store refuses writes when it reaches the quota.
        alarms: those that are raised, by name (`NOSPACE`, `CORRUPT`); the whole cluster's.
        cluster_id: of the cluster that responded.
        revision: the newest.
        in_use_bytes: of the file; the rest is free pages that the next writes fill. 0: not known (etcd before 3.4).
        quota_bytes: above it the store refuses writes. 0: not known.
    """

    version: str
    size_bytes: int
    alarms: tuple[str, ...]
    cluster_id: int
    revision: int
    in_use_bytes: int = 0
    quota_bytes: int = 0


class KeyValueStore(Protocol):
    """etcd, or a fake that keeps the same promises (`tests/contract`).

    Every call takes a `timeout` that the caller chose. When the store is away: `Unavailable` for reads and for writes
    that were certainly not applied; `OutcomeUnknown` for writes that may have been. Nothing is retried in here.

    Raises (all methods that write): `InvalidInput` for what no store would take (no key, two writes of one key in one
    transaction, too many operations, too large), `NotFound` for a lease that is gone, `Unavailable` with reason
    `STORE_FULL` when the store refuses writes for want of space; in each case nothing was applied.
    """

    async def txn(
        self,
        *,
        compare: Sequence[Compare] = (),
        then: Sequence[Write | Read] = (),
        otherwise: Sequence[Write | Read] = (),
        timeout: timedelta,
    ) -> TxnResult:
        """Apply `then` when all compares hold, else `otherwise`. Linearizable. At most 128 operations, 1.5 MiB.

        Operations take effect in their order, so that a read sees the writes before it. All writes of one transaction
        share one revision; one that changes nothing moves none.
        """
        ...

    async def get(self, key: str, *, timeout: timedelta) -> tuple[KeyValue | None, int]:
        """Read one key linearizably. Also return the store's revision."""
        ...

    async def range(self, read: Range, *, timeout: timedelta) -> tuple[tuple[KeyValue, ...], int]:
        """Read a range linearizably. Also return the store's revision."""
        ...

    async def list_prefix(self, prefix: str, *, timeout: timedelta) -> tuple[tuple[KeyValue, ...], int]:
        """Read all keys that begin with `prefix`, in key order. Also return the store's revision."""
        ...

    async def put(self, key: str, value: bytes, *, lease: LeaseId = 0, timeout: timedelta) -> int:
        """Store a value and return the revision."""
        ...

    def watch(self, prefix: str, *, start_revision: int) -> AsyncGenerator[WatchBatch, None]:
        """Follow the keys that begin with `prefix` from `start_revision` on (inclusive), in order, none twice.

        A batch holds whole revisions. The iterator ends without an error only when the store is closed; leave it early
        through `contextlib.aclosing`, so that the stream behind it ends at once.

        Raises:
            Compacted: `start_revision` is compacted away.
            Unavailable: the connection broke; begin again at the last revision seen plus one.
        """
        ...

    async def grant_lease(self, ttl: timedelta, *, timeout: timedelta) -> LeaseId:
        """Make a lease that runs out `ttl` after its last renewal.

        The store counts whole seconds and has a smallest span (2 s); it rounds up.
        """
        ...

    async def renew_lease(self, lease: LeaseId, *, timeout: timedelta) -> timedelta:
        """Renew once and return the time to live. Safe to repeat, so a lost response raises `Unavailable`.

        A holder that cannot renew decides by its own clock when the lease has expired: nobody notifies it.

        Raises:
            NotFound: the lease has run out.
        """
        ...

    async def revoke_lease(self, lease: LeaseId, *, timeout: timedelta) -> None:
        """End a lease and remove its keys. Ending one that is gone is not an error."""
        ...

    async def compact(self, revision: int, *, timeout: timedelta) -> None:
        """Forget history before `revision`: watches from there raise `Compacted`. Done already is not an error."""
        ...

    async def keeps(self, revision: int, *, timeout: timedelta) -> bool:
        """Return whether the store still has the history of a revision; False if it was compacted.

        The oldest revision that it has cannot be asked for.
        """
        ...

    async def status(self, *, timeout: timedelta) -> StoreStatus:
        """Ask the store for its size, alarms and identity."""
        ...

    async def close(self) -> None:
        """Close connections; running watches end, and calls in flight fail. May be called twice."""
        ...
