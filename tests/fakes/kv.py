"""A `KeyValueStore` in memory that keeps the contract of etcd and fails on demand.

Leases follow the injected clock: after moving it, the next call (or `expire_leases`) deletes the keys of expired ones.
"""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left, insort
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum

from sluiceway_common.foundation.clock import Clock, SystemClock
from sluiceway_common.foundation.errors import InvalidInput, NotFound, Unavailable
from sluiceway_server.kv.port import (
    Compacted,
    Compare,
    DeleteKey,
    DeletePrefix,
    DeleteRange,
    Get,
    KeyValue,
    LeaseId,
    OutcomeUnknown,
    PutKey,
    Range,
    Read,
    StoreStatus,
    TxnResult,
    WatchBatch,
    WatchEvent,
    Write,
)

__all__ = ["FakeKeyValueStore", "Fate", "Snapshot"]

_MOST_OPERATIONS = 128
_MOST_BYTES = 1536 * 1024
_SMALLEST_TTL_SECONDS = 2


class Fate(StrEnum):
    """What happens to a write that does not succeed."""

    APPLIED_BUT_TIMED_OUT = "APPLIED_BUT_TIMED_OUT"
    NOT_APPLIED_AND_TIMED_OUT = "NOT_APPLIED_AND_TIMED_OUT"
    APPLIED_LATE = "APPLIED_LATE"
    """Times out, and is applied when `apply_late` is called: against the state of then."""
    UNAVAILABLE = "UNAVAILABLE"
    STORE_FULL = "STORE_FULL"


@dataclass(slots=True)
class _Lease:
    ttl_seconds: int
    ends: float


@dataclass(slots=True)
class Snapshot:
    """The whole state of a store at one moment; see `FakeKeyValueStore.restore`."""

    cluster_id: int
    revision: int = 1
    compacted: int = 0
    values: dict[bytes, KeyValue] = field(default_factory=dict)
    keys: list[bytes] = field(default_factory=list)
    history: list[tuple[int, tuple[WatchEvent, ...]]] = field(default_factory=list)
    leases: dict[LeaseId, _Lease] = field(default_factory=dict)

    def copy(self) -> Snapshot:
        return replace(
            self,
            values=dict(self.values),
            keys=list(self.keys),
            history=list(self.history),
            leases={lease: replace(value) for lease, value in self.leases.items()},
        )


class FakeKeyValueStore:
    """See `KeyValueStore`. Several servers of one test share one instance.

    Attributes:
        alarms: what `status` tells.
        size_bytes, in_use_bytes, quota_bytes: what `status` tells.
        writes: how many transactions and puts were asked for, also those that failed.
    """

    def __init__(self, clock: Clock | None = None, *, cluster_id: int = 1001) -> None:
        self._clock = clock or SystemClock()
        self._state = Snapshot(cluster_id)
        self._next_lease = 7000
        self._fates: list[Fate] = []
        self._late: list[Callable[[], object]] = []
        self._away = False
        self._closed = False
        self._generation = 0
        self._changed = asyncio.Event()
        self.alarms: tuple[str, ...] = ()
        self.size_bytes = self.in_use_bytes = 20480
        self.quota_bytes = 0
        self.writes = 0

    # The switches.

    def decide_next_writes(self, *fates: Fate) -> None:
        """Set the fates of the next transactions and puts, in order; later ones succeed."""
        self._fates.extend(fates)

    def apply_late(self) -> None:
        """Apply the `APPLIED_LATE` writes, in order, to the present state."""
        late, self._late = self._late, []
        for apply in late:
            apply()

    def go_away(self) -> None:
        """Refuse every call and break watches, until `come_back`."""
        self._away = True
        self.break_watches()

    def come_back(self) -> None:
        self._away = False

    def break_watches(self) -> None:
        """End every watch with a connection error."""
        self._generation += 1
        self._wake()

    def wipe(self, *, cluster_id: int) -> None:
        """Lose all data, as when an empty etcd starts at the same address."""
        self.restore(Snapshot(cluster_id))

    def snapshot(self) -> Snapshot:
        return self._state.copy()

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot; watches break."""
        self._state = snapshot.copy()
        self.break_watches()

    @property
    def revision(self) -> int:
        """Return the newest revision."""
        return self._state.revision

    def peek(self, key: str) -> bytes | None:
        """Return a value without a call."""
        found = self._state.values.get(_key(key))
        return found.value if found else None

    def expire_leases(self) -> None:
        """Delete the keys of leases that the clock has passed."""
        now = self._clock.monotonic()
        for lease in [lease for lease, value in self._state.leases.items() if value.ends <= now]:
            self._end_lease(lease)

    # The port.

    async def txn(
        self,
        *,
        compare: Sequence[Compare] = (),
        then: Sequence[Write | Read] = (),
        otherwise: Sequence[Write | Read] = (),
        timeout: timedelta,
    ) -> TxnResult:
        compare, then, otherwise = tuple(compare), tuple(then), tuple(otherwise)
        for item in compare:
            _key(item.key)
        _check_operations(compare, then, otherwise)
        await self._arrive(timeout)
        if all(isinstance(item, Get | Range) for item in (*then, *otherwise)):
            return self._apply(compare, then, otherwise)
        return self._write(lambda: self._apply(compare, then, otherwise))

    def txn_now(
        self,
        *,
        compare: Sequence[Compare] = (),
        then: Sequence[Write | Read] = (),
        otherwise: Sequence[Write | Read] = (),
    ) -> TxnResult:
        """Apply a transaction at once, for a test with a simulated network: no fate, no outage, no wait."""
        for item in compare:
            _key(item.key)
        _check_operations(compare, then, otherwise)
        self.expire_leases()
        return self._apply(compare, then, otherwise)

    async def get(self, key: str, *, timeout: timedelta) -> tuple[KeyValue | None, int]:
        encoded = _key(key)
        await self._arrive(timeout)
        return self._state.values.get(encoded), self._state.revision

    async def range(self, read: Range, *, timeout: timedelta) -> tuple[tuple[KeyValue, ...], int]:
        _check_operations((), (read,), ())
        await self._arrive(timeout)
        return self._read(read), self._state.revision

    async def list_prefix(self, prefix: str, *, timeout: timedelta) -> tuple[tuple[KeyValue, ...], int]:
        await self._arrive(timeout)
        found = tuple(self._state.values[key] for key in self._keys_between(*_prefix_range(prefix)))
        return found, self._state.revision

    async def put(self, key: str, value: bytes, *, lease: LeaseId = 0, timeout: timedelta) -> int:
        put = PutKey(key, value, lease)
        _check_operations((), (put,), ())
        await self._arrive(timeout)
        return self._write(lambda: self._apply((), (put,), ())).revision

    async def watch(self, prefix: str, *, start_revision: int) -> AsyncGenerator[WatchBatch, None]:
        if self._away or self._closed:
            raise Unavailable(f"the store is away; the watch of {prefix} was not sent")
        generation = self._generation
        start = start_revision or self._state.revision + 1
        if start < self._state.compacted:
            raise Compacted(self._state.compacted)
        encoded = prefix.encode()
        while not self._closed:
            if generation != self._generation:
                raise Unavailable(f"the connection broke during the watch of {prefix}")
            changed = self._changed
            for revision, events in self._state.history[self._place_in_history(start) :]:
                start = revision + 1
                wanted = tuple(event for event in events if event.key.encode().startswith(encoded))
                if wanted:
                    yield WatchBatch(revision, wanted)
                if self._is_cut_off(generation):
                    break
            else:
                self.expire_leases()
                if changed is self._changed:
                    await changed.wait()

    async def grant_lease(self, ttl: timedelta, *, timeout: timedelta) -> LeaseId:
        if ttl <= timedelta(0):
            raise InvalidInput(f"a lease needs a span above zero, not {ttl}")
        await self._arrive(timeout)
        self._next_lease += 1
        seconds = max(math.ceil(ttl.total_seconds()), _SMALLEST_TTL_SECONDS)
        self._state.leases[self._next_lease] = _Lease(seconds, self._clock.monotonic() + seconds)
        return self._next_lease

    async def renew_lease(self, lease: LeaseId, *, timeout: timedelta) -> timedelta:
        await self._arrive(timeout)
        held = self._lease(lease)
        held.ends = self._clock.monotonic() + held.ttl_seconds
        return timedelta(seconds=held.ttl_seconds)

    async def revoke_lease(self, lease: LeaseId, *, timeout: timedelta) -> None:
        await self._arrive(timeout)
        if lease in self._state.leases:
            self._end_lease(lease)

    async def compact(self, revision: int, *, timeout: timedelta) -> None:
        await self._arrive(timeout)
        if revision > self._state.revision:
            raise InvalidInput(f"revision {revision} is in the future; the store is at {self._state.revision}")
        if revision > self._state.compacted:
            self._state.compacted = revision
            self._state.history = [item for item in self._state.history if item[0] >= revision]

    async def keeps(self, revision: int, *, timeout: timedelta) -> bool:
        await self._arrive(timeout)
        return revision >= self._state.compacted

    async def status(self, *, timeout: timedelta) -> StoreStatus:
        await self._arrive(timeout)
        state = self._state
        return StoreStatus(
            "fake",
            self.size_bytes,
            self.alarms,
            state.cluster_id,
            state.revision,
            in_use_bytes=self.in_use_bytes,
            quota_bytes=self.quota_bytes,
        )

    async def close(self) -> None:
        self._closed = True
        self._wake()

    def _is_cut_off(self, generation: int) -> bool:
        return self._closed or generation != self._generation

    def _place_in_history(self, revision: int) -> int:
        return bisect_left(self._state.history, revision, key=lambda item: item[0])

    async def _arrive(self, timeout: timedelta) -> None:
        if timeout <= timedelta(0):
            raise Unavailable("there was no time left to send the call")
        # Others run between asking and applying, as they do with a real store.
        await asyncio.sleep(0)
        if self._away or self._closed:
            raise Unavailable("the store is away; the call was not sent")
        self.expire_leases()

    def _write(self, apply: Callable[[], TxnResult]) -> TxnResult:
        self.writes += 1
        match self._fates.pop(0) if self._fates else None:
            case Fate.UNAVAILABLE:
                raise Unavailable("the store is away; the call was not sent")
            case Fate.STORE_FULL:
                raise Unavailable("the store is full", reason="STORE_FULL")
            case Fate.NOT_APPLIED_AND_TIMED_OUT:
                raise OutcomeUnknown("the store did not answer in time")
            case Fate.APPLIED_LATE:
                self._late.append(apply)
                raise OutcomeUnknown("the store did not answer in time")
            case Fate.APPLIED_BUT_TIMED_OUT:
                apply()
                raise OutcomeUnknown("the store did not answer in time")
            case None:
                return apply()

    def _apply(
        self, compare: Sequence[Compare], then: Sequence[Write | Read], otherwise: Sequence[Write | Read]
    ) -> TxnResult:
        holds = all(self._holds(item) for item in compare)
        operations = then if holds else otherwise
        for operation in operations:
            if isinstance(operation, PutKey) and operation.lease:
                self._lease(operation.lease)
        revision = self._state.revision + 1
        events: list[WatchEvent] = []
        reads: list[tuple[KeyValue, ...]] = []
        for operation in operations:
            match operation:
                case Get() | Range():
                    reads.append(self._read(operation))
                case PutKey(key, value, lease):
                    self._put(key, value, lease, revision)
                    events.append(WatchEvent(key, value, revision))
                case DeleteKey(key):
                    events += self._delete(_key(key), _key(key) + b"\0", revision)
                case DeleteRange(start, end):
                    events += self._delete(_key(start), _key(end), revision)
                case DeletePrefix(prefix):
                    events += self._delete(*_prefix_range(prefix), revision)
        self._record(revision, events)
        return TxnResult(holds, self._state.revision, tuple(reads), self._state.cluster_id)

    def _holds(self, compare: Compare) -> bool:
        found = self._state.values.get(_key(compare.key))
        return found is None if compare.value is None else found is not None and found.value == compare.value

    def _read(self, read: Read) -> tuple[KeyValue, ...]:
        if isinstance(read, Get):
            found = self._state.values.get(_key(read.key))
            return (found,) if found else ()
        keys = self._keys_between(_key(read.start), _key(read.end))
        return tuple(self._state.values[key] for key in keys[: read.limit or None])

    def _keys_between(self, start: bytes, end: bytes | None) -> list[bytes]:
        keys = self._state.keys
        return keys[bisect_left(keys, start) : len(keys) if end is None else bisect_left(keys, end)]

    def _put(self, key: str, value: bytes, lease: LeaseId, revision: int) -> None:
        encoded = _key(key)
        before = self._state.values.get(encoded)
        if before is None:
            insort(self._state.keys, encoded)
        created = before.create_revision if before else revision
        self._state.values[encoded] = KeyValue(key, value, created, revision, lease)

    def _delete(self, start: bytes, end: bytes | None, revision: int) -> list[WatchEvent]:
        keys = self._keys_between(start, end)
        for key in keys:
            del self._state.values[key]
        if keys:
            first = bisect_left(self._state.keys, keys[0])
            del self._state.keys[first : first + len(keys)]
        return [WatchEvent(key.decode(), None, revision) for key in keys]

    def _lease(self, lease: LeaseId) -> _Lease:
        held = self._state.leases.get(lease)
        if held is None:
            raise NotFound(f"lease {lease:x} has run out", resource_type="lease", resource_name=f"{lease:x}")
        return held

    def _end_lease(self, lease: LeaseId) -> None:
        del self._state.leases[lease]
        revision = self._state.revision + 1
        keys = [key for key, value in self._state.values.items() if value.lease == lease]
        self._record(revision, [event for key in sorted(keys) for event in self._delete(key, key + b"\0", revision)])

    def _record(self, revision: int, events: list[WatchEvent]) -> None:
        if events:
            self._state.revision = revision
            self._state.history.append((revision, tuple(events)))
            self._wake()

    def _wake(self) -> None:
        # Watches wait on the event that they saw; each change has its own.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _key(key: str) -> bytes:
    if not key:
        raise InvalidInput("a key of the store cannot be empty")
    return key.encode()


def _prefix_range(prefix: str) -> tuple[bytes, bytes | None]:
    if not prefix:
        return b"", None
    encoded = prefix.encode()
    return encoded, encoded[:-1] + bytes([encoded[-1] + 1])


def _check_operations(
    compare: Sequence[Compare], then: Sequence[Write | Read], otherwise: Sequence[Write | Read]
) -> None:
    if max(len(compare), len(then), len(otherwise)) > _MOST_OPERATIONS:
        raise InvalidInput(f"a transaction has at most {_MOST_OPERATIONS} operations")
    size = 0
    for branch in (then, otherwise):
        put: set[bytes] = set()
        deleted: list[tuple[bytes, bytes | None]] = []
        for operation in branch:
            match operation:
                case PutKey(key, value):
                    if _key(key) in put:
                        raise InvalidInput(f"{key} is written twice in one transaction")
                    put.add(_key(key))
                    size += len(key) + len(value)
                case DeleteKey(key):
                    deleted.append((_key(key), _key(key) + b"\0"))
                case DeleteRange(start, end):
                    deleted.append((_key(start), _key(end)))
                case DeletePrefix(prefix):
                    deleted.append(_prefix_range(prefix))
                case Get(key):
                    _key(key)
                case Range(start, end):
                    _key(start)
                    _key(end)
        for start_bytes, end_bytes in deleted:
            if any(start_bytes <= key and (end_bytes is None or key < end_bytes) for key in put):
                raise InvalidInput("a key is both written and deleted in one transaction")
    if size > _MOST_BYTES:
        raise InvalidInput(f"a transaction holds at most {_MOST_BYTES} bytes")
