"""The keys of live executors in etcd: a server writes those of its own, and watches all.

For each executor whose stream it has, a server stores `<prefix>/executors/<group>/<id>`, on one lease for all its
executors of that group. Heartbeats are not written to etcd: only connections and disconnections are. All servers watch
the prefix; that is the list of live executors and of siblings.

Two servers may have streams of one executor for a moment: an old one whose end is not noticed yet, and its successor.
The one whose hello is later in the log (`Presence.since`) owns the key; the other can neither write nor delete it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from urllib.parse import quote

import structlog

from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import Conflict, NotFound, SluicewayError, Unavailable
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_common.runmodel.model import ExecutorId
from sluiceway_common.runmodel.placement import ExecutorView
from sluiceway_server.kv.port import (
    Compacted,
    Compare,
    DeleteKey,
    KeyValueStore,
    LeaseId,
    OutcomeUnknown,
    PutKey,
    WatchEvent,
)

log = structlog.get_logger(__name__)


class SessionTakenOver(Conflict):
    """A newer stream of the same executor has the session. Nothing is to be done."""

    reason = "SESSION_TAKEN_OVER"


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """Keys and times of presence. Tests scale the times down together.

    Attributes:
        prefix: of all keys of this installation in etcd.
        server_id: of this server process; a new one at each start.
        lease: how long the keys of a server that died stay.
        renew: how often leases are renewed, and etcd is probed.
        timeout: of one call to etcd.
    """

    prefix: str
    server_id: str
    lease: timedelta = timedelta(seconds=15)
    renew: timedelta = timedelta(seconds=5)
    timeout: timedelta = timedelta(seconds=5)

    @property
    def root(self) -> str:
        """The prefix of the keys of all executors."""
        return f"{self.prefix}/executors/"


@dataclass(frozen=True, slots=True)
class Presence:
    """A live executor: the value of its key.

    Attributes:
        session: the id of its session.
        stream: the id of the stream that serves it; a new one after each reconnection.
        since: the log's position of its hello, as text: of two, the later one owns the key.
        server: the server that has the stream, and that its logs are pushed to.
    """

    group: str
    id: ExecutorId
    session: str
    stream: str
    since: str
    server: str
    slots: int
    archs: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    privileged_allowed: bool = False
    drivers: tuple[str, ...] = ()
    dynamic: bool = False

    def encode(self) -> bytes:
        """Return the value of the key."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()

    @staticmethod
    def decode(value: bytes) -> Presence | None:
        """Decode a value that a server, perhaps of another version, stored; None if it cannot be decoded."""
        try:
            raw = json.loads(value)
            known = {name: raw[name] for name in Presence.__dataclass_fields__ if name in raw}
            known["archs"] = tuple(known.get("archs", ()))
            known["drivers"] = tuple(known.get("drivers", ()))
            known["labels"] = tuple((name, text) for name, text in known.get("labels", ()))
            return Presence(**known)
        except (ValueError, TypeError, KeyError):
            return None

    def view(self, *, takes_forks: bool = False) -> ExecutorView:
        """Return the executor as placement sees it. One with the driver `host` takes no runs of forks in any group."""
        return ExecutorView(
            id=self.id,
            group=self.group,
            slots=self.slots,
            session=self.session,
            archs=frozenset(self.archs),
            labels=dict(self.labels),
            privileged_allowed=self.privileged_allowed,
            drivers=frozenset(self.drivers),
            takes_forks=takes_forks and "host" not in self.drivers,
        )


def _key(settings: GroupSettings, group: str, executor_id: str) -> str:
    # A group may be named like a path: quoted, so that its keys are not those of another group.
    return f"{settings.root}{quote(group, safe='')}/{quote(executor_id, safe='')}"


@dataclass(slots=True)
class _Lease:
    id: LeaseId | None = None
    valid_until: float = 0.0
    values: dict[str, bytes] = field(default_factory=dict)
    unwanted: dict[str, bytes] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class GroupKeys:
    """The keys of the executors whose streams this server has."""

    def __init__(self, kv: KeyValueStore, clock: Clock, *, settings: GroupSettings) -> None:
        self._kv = kv
        self._clock = clock
        self._settings = settings
        self._groups: dict[str, _Lease] = {}

    def is_valid(self, group: str) -> bool:
        """Return whether the lease of a group is valid by this clock. Heartbeats may be confirmed only then."""
        lease = self._groups.get(group)
        return lease is not None and lease.id is not None and self._clock.monotonic() < lease.valid_until

    async def holder(self, group: str, executor_id: str) -> Presence | None:
        """Read the key of an executor, linearizably. Raises `Unavailable`."""
        stored, _ = await self._kv.get(_key(self._settings, group, executor_id), timeout=self._settings.timeout)
        return None if stored is None else Presence.decode(stored.value)

    async def announce(self, presence: Presence) -> None:
        """Store the key of an executor that sent a hello to this server. May be repeated.

        Raises:
            SessionTakenOver: the key belongs to a later hello.
            Unavailable: etcd is away.
        """
        lease = self._groups.setdefault(presence.group, _Lease())
        key = _key(self._settings, presence.group, presence.id)
        async with lease.lock:
            try:
                if lease.id is None:
                    await self._grant(lease)
                await self._take(lease, key, presence)
            except NotFound:
                # The lease expired before its renewal noticed.
                await self._grant(lease)
                await self._take(lease, key, presence)
            except OutcomeUnknown as cause:
                # The key may exist. The next renewal deletes it, unless the executor is back by then.
                lease.unwanted[key] = presence.encode()
                raise Unavailable(f"etcd did not say in time whether {key} is stored") from cause
            lease.unwanted.pop(key, None)
            lease.values[key] = presence.encode()

    async def withdraw(self, presence: Presence) -> None:
        """Delete the key of an executor whose stream ended, if it still belongs to it. May be repeated.

        If etcd is away, it is deleted later, or expires with the lease of this server.
        """
        lease = self._groups.get(presence.group)
        if lease is None:
            return
        key = _key(self._settings, presence.group, presence.id)
        value = presence.encode()
        if lease.values.get(key) == value:
            del lease.values[key]
        lease.unwanted[key] = value
        async with lease.lock:
            await self._clean(lease)

    async def run(self) -> None:
        """Renew leases until cancelled; then revoke them, so that other servers see the disconnections at once."""
        try:
            while True:
                await asyncio.sleep(self._settings.renew.total_seconds())
                await self.renew()
        finally:
            with suppress(TimeoutError):
                async with time_limit(self._settings.timeout.total_seconds()):
                    await asyncio.gather(*(self._end(lease) for lease in self._groups.values()))

    async def renew(self) -> None:
        """Renew each lease once, or grant a new one for its keys. `run` repeats it."""
        await asyncio.gather(*(self._renew(group, lease) for group, lease in tuple(self._groups.items())))

    async def _renew(self, group: str, lease: _Lease) -> None:
        async with lease.lock:
            try:
                await self._clean(lease)
                if lease.id is None:
                    return
                if not lease.values:
                    await self._kv.revoke_lease(lease.id, timeout=self._settings.timeout)
                    lease.id = None
                    return
                await self._prolong(lease)
            except SluicewayError as error:
                log.warning("lease_not_renewed", group=group, executors=len(lease.values), error=str(error))

    async def _prolong(self, lease: _Lease) -> None:
        assert lease.id is not None  # noqa: S101 - the caller checked
        began = self._clock.monotonic()
        try:
            left = await self._kv.renew_lease(lease.id, timeout=self._settings.timeout)
            lease.valid_until = began + left.total_seconds()
        except NotFound:
            lease.id = None
            log.warning("lease_expired", executors=len(lease.values))
            await self._grant(lease)
            for key, value in tuple(lease.values.items()):
                presence = Presence.decode(value)
                try:
                    if presence is not None:
                        await self._take(lease, key, presence)
                except SessionTakenOver:
                    lease.values.pop(key, None)

    async def _grant(self, lease: _Lease) -> None:
        began = self._clock.monotonic()
        lease.id = await self._kv.grant_lease(self._settings.lease, timeout=self._settings.timeout)
        lease.valid_until = began + self._settings.lease.total_seconds()

    async def _take(self, lease: _Lease, key: str, presence: Presence) -> None:
        put = PutKey(key, presence.encode(), lease.id or 0)
        for _ in range(5):
            stored, _revision = await self._kv.get(key, timeout=self._settings.timeout)
            other = None if stored is None else Presence.decode(stored.value)
            if other is not None and other.since > presence.since:
                raise SessionTakenOver(f"the executor {presence.id} said hello to the server {other.server} later")
            before = Compare(key, None if stored is None else stored.value)
            if (await self._kv.txn(compare=[before], then=[put], timeout=self._settings.timeout)).succeeded:
                return
        raise Unavailable(f"the key {key} changes too often")

    async def _clean(self, lease: _Lease) -> None:
        for key, value in tuple(lease.unwanted.items()):
            if lease.values.get(key) != value:
                try:
                    await self._kv.txn(
                        compare=[Compare(key, value)], then=[DeleteKey(key)], timeout=self._settings.timeout
                    )
                except SluicewayError as error:
                    log.warning("executor_key_not_removed", key=key, error=str(error))
                    continue
            if lease.unwanted.get(key) == value:
                del lease.unwanted[key]

    async def _end(self, lease: _Lease) -> None:
        if lease.id is not None:
            with suppress(SluicewayError):
                await self._kv.revoke_lease(lease.id, timeout=self._settings.timeout)
        lease.id = None


class GroupDirectory:
    """The executors that are live, on any server: `ports.ExecutorDirectory`."""

    def __init__(
        self,
        kv: KeyValueStore,
        clock: Clock,
        *,
        settings: GroupSettings,
        takes_forks: Callable[[str], bool] = lambda group: False,
    ) -> None:
        """Create an empty directory; `run` fills it.

        Args:
            kv: etcd.
            clock: for `available_since`.
            settings: of the keys.
            takes_forks: whether a group takes runs of forks.
        """
        self._kv = kv
        self._clock = clock
        self._settings = settings
        self.takes_forks = takes_forks
        self._present: dict[str, Presence] = {}
        self._views: tuple[ExecutorView, ...] = ()
        self._callbacks: list[Callable[[], None]] = []
        self._changed = asyncio.Event()
        self._ready = asyncio.Event()
        self._available_since: float | None = None
        self._following: asyncio.Task[None] | None = None

    @property
    def available_since(self) -> float | None:
        """Since when (monotonic seconds) etcd responds without a break; None: it does not."""
        return self._available_since

    async def ready(self) -> None:
        """Wait until the keys were read once."""
        await self._ready.wait()

    def live(self) -> Sequence[ExecutorView]:
        return self._views

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def watch(self) -> asyncio.Event:
        """Return an event that is set at the next change. Get it before reading: then no change is missed."""
        return self._changed

    def presences(self) -> Sequence[Presence]:
        """Return all live executors, by group and id."""
        return sorted(self._present.values(), key=lambda p: (p.group, p.id))

    def find(self, group: str, executor_id: str) -> Presence | None:
        """Return a live executor; None: it is not live."""
        return self._present.get(_key(self._settings, group, executor_id))

    def members(self, group: str) -> tuple[ExecutorId, ...]:
        """Return the live executors of a group, sorted."""
        return tuple(sorted(p.id for p in self._present.values() if p.group == group))

    def siblings(self, group: str, executor_id: str) -> tuple[ExecutorId, ...]:
        """Return the other live executors of a group, sorted."""
        return tuple(member for member in self.members(group) if member != executor_id)

    async def run(self) -> None:
        """Watch the keys until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._probe(), name="executor directory: probe")
            while True:
                self._following = tasks.create_task(self._follow(), name="executor directory: watch")
                await asyncio.wait([self._following])
                await asyncio.sleep(min(0.5, self._settings.renew.total_seconds() / 5))

    async def _follow(self) -> None:
        try:
            stored, revision = await self._kv.list_prefix(self._settings.root, timeout=self._settings.timeout)
            found = {kv.key: Presence.decode(kv.value) for kv in stored}
            self._replace({key: presence for key, presence in found.items() if presence is not None})
            self._ready.set()
            async with aclosing(self._kv.watch(self._settings.root, start_revision=revision + 1)) as batches:
                async for batch in batches:
                    self._apply(batch.events)
        except Compacted:
            pass  # all keys are read again
        except SluicewayError as error:
            log.warning("executor_watch_failed", error=str(error))
            self._available_since = None

    async def _probe(self) -> None:
        """Read a key again and again: a silent watch does not say whether etcd is available."""
        while True:
            try:
                await self._kv.get(f"{self._settings.root}?", timeout=self._settings.timeout)
                if self._available_since is None:
                    self._available_since = self._clock.monotonic()
                    # The watch may have lost events meanwhile, so all keys are read again.
                    if self._following is not None and self._ready.is_set():
                        self._following.cancel()
            except SluicewayError as error:
                if self._available_since is not None:
                    log.warning("etcd_unavailable", error=str(error))
                self._available_since = None
            await asyncio.sleep(self._settings.renew.total_seconds())

    def _apply(self, events: Sequence[WatchEvent]) -> None:
        present = dict(self._present)
        for event in events:
            presence = None if event.value is None else Presence.decode(event.value)
            if presence is None:
                present.pop(event.key, None)
            else:
                present[event.key] = presence
        self._replace(present)

    def _replace(self, present: dict[str, Presence]) -> None:
        if present == self._present:
            return
        self._present = present
        self._views = tuple(
            presence.view(takes_forks=self.takes_forks(presence.group))
            for presence in sorted(present.values(), key=lambda p: p.id)
        )
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        for callback in tuple(self._callbacks):
            callback()
