"""Monitors etcd: how full it is, which alarms are raised, and whether it is compacted.

etcd refuses every write once its file has reached its quota, until an operator makes room. So servers warn and slow
down before. Of the quota

    above half          a warning, once
    from 80 % on        each batch waits a little, up to a second when all is used
    alarm NOSPACE       writes are refused at once, with what to do; reads continue

What counts is the part of the file that is in use: the rest are free pages, which the next writes fill. A file that is
nearly at the quota and mostly free is reported too, because only a defragmentation makes it smaller.

etcd does not show how it is compacted, nor its oldest revision. But it either has or has not a revision that was the
newest an hour ago; if it has, nobody compacts it, and it grows with every write.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum

import structlog

from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import SluicewayError, Unavailable
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.waiting import in_time
from sluiceway_server.kv.port import KeyValueStore, StoreStatus

log = structlog.get_logger(__name__)

_WARN_AT = 0.5
_SLOW_AT = 0.8
_LONGEST_PAUSE_SECONDS = 1.0
_SOONER = 5
_SOONEST = 25
_MOST_REVISIONS_UNCOMPACTED = 10_000
_REMEMBERED = 64

_MAKE_ROOM = (
    "make room: compact etcd (etcdctl compact REVISION), then etcdctl defrag on each member, or raise its"
    " --quota-backend-bytes; after that etcdctl alarm disarm"
)


class Fullness(StrEnum):
    """How full etcd is."""

    WELL = "well"
    HALF = "half"
    SLOW = "slow"
    FULL = "full"
    """It refuses writes."""


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """The state of etcd's database file.

    Attributes:
        in_use_bytes: of `size_bytes`.
        quota_bytes: of etcd, or else of the settings.
        keeps_history: it has not been compacted for longer than it should be.
    """

    fullness: Fullness = Fullness.WELL
    size_bytes: int = 0
    in_use_bytes: int = 0
    quota_bytes: int = 0
    alarms: tuple[str, ...] = ()
    keeps_history: bool = False

    @property
    def fill(self) -> float:
        """The part of the quota that is in use, 0 to 1 and, rarely, beyond."""
        return self.in_use_bytes / self.quota_bytes if self.quota_bytes else 0.0


def assess(status: StoreStatus, *, quota_bytes: int) -> StoreHealth:
    """Return how full etcd is; `quota_bytes` counts where etcd does not return its own. Pure."""
    quota = status.quota_bytes or quota_bytes
    in_use = status.in_use_bytes or status.size_bytes
    if "NOSPACE" in status.alarms:
        fullness = Fullness.FULL
    elif in_use >= quota * _SLOW_AT:
        fullness = Fullness.SLOW
    elif in_use >= quota * _WARN_AT:
        fullness = Fullness.HALF
    else:
        fullness = Fullness.WELL
    return StoreHealth(fullness, status.size_bytes, in_use, quota, status.alarms)


def pause_seconds(health: StoreHealth) -> float:
    """Return how long a batch waits before it is committed. Pure."""
    if health.fullness is not Fullness.SLOW:
        return 0.0
    return _LONGEST_PAUSE_SECONDS * min((health.fill - _SLOW_AT) / (1 - _SLOW_AT), 1.0)


class EtcdCapacityMonitor:
    """See the module. `run` is its loop; the committer asks `refusal` and waits for `slow_down`."""

    def __init__(self, kv: KeyValueStore, *, settings: DataManagerSettings, clock: Clock) -> None:
        self._kv = kv
        self._settings = settings
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()  # when, and the revision then
        self._look_now = asyncio.Event()
        self._improved = asyncio.Event()
        self._told_of_file = False
        self.health = StoreHealth()

    @property
    def refusal(self) -> Unavailable | None:
        """Why nothing can be written now; None: it can."""
        health = self.health
        if health.fullness is not Fullness.FULL:
            return None
        return Unavailable(
            f"etcd at {self._settings.etcd_name} is full ({_mib(health.in_use_bytes)} of {_mib(health.quota_bytes)} in"
            f" use, alarm NOSPACE) and refuses writes; nothing was written. An operator has to {_MAKE_ROOM}",
            reason="STORE_FULL",
            retry_after=self._settings.etcd_check_interval,
        )

    def note_refusal(self) -> None:
        """Note that etcd refused a write because it is full."""
        if self.health.fullness is not Fullness.FULL:
            quota = self.health.quota_bytes or self._settings.etcd_quota_bytes
            self._take(replace(self.health, fullness=Fullness.FULL, quota_bytes=quota, alarms=("NOSPACE",)))
        self._look_now.set()

    async def slow_down(self) -> None:
        """Wait before a batch, when etcd is nearly full; no longer than until it is better."""
        seconds = pause_seconds(self.health)
        if seconds:
            self._improved.clear()
            await in_time(seconds, self._improved.wait())

    async def run(self) -> None:
        """Read the status now and then, and more often while etcd is nearly full, until cancelled."""
        interval = self._settings.etcd_check_interval.total_seconds()
        while True:
            try:
                await self.look()
            except SluicewayError as error:
                # Other loops report that etcd is away.
                log.debug("etcd_not_looked_at", error=str(error))
            is_well = self.health.fullness in (Fullness.WELL, Fullness.HALF)
            if await in_time(interval if is_well else interval / _SOONER, self._look_now.wait()):
                self._look_now.clear()
                # A refused write asked for this; etcd need not be asked more often than that.
                await asyncio.sleep(interval / _SOONEST)

    async def look(self) -> StoreHealth:
        """Read the status once. Raises `Unavailable`."""
        status = await self._kv.status(timeout=self._settings.etcd_timeout)
        health = assess(status, quota_bytes=self._settings.etcd_quota_bytes)
        self._take(replace(health, keeps_history=await self._keeps_history(status)))
        return self.health

    async def _keeps_history(self, status: StoreStatus) -> bool:
        now = self._clock.monotonic()
        span = self._settings.etcd_history.total_seconds()
        if self._seen and status.revision < self._seen[-1][1]:
            self._seen.clear()  # another etcd, or an older one; others report it
        if not self._seen or now - self._seen[-1][0] >= span / _REMEMBERED:
            self._seen.append((now, status.revision))
        if now - self._seen[0][0] < span:
            return self.health.keeps_history
        while len(self._seen) > 1 and now - self._seen[1][0] >= span:
            self._seen.popleft()
        old = self._seen[0][1]
        if status.revision - old < _MOST_REVISIONS_UNCOMPACTED:
            return False  # too few to matter
        return await self._kv.keeps(old, timeout=self._settings.etcd_timeout)

    def _take(self, health: StoreHealth) -> None:
        before, self.health = self.health, health
        if health.fullness is not before.fullness:
            self._tell(health)
        if pause_seconds(health) < pause_seconds(before):
            self._improved.set()
        if "CORRUPT" in health.alarms and "CORRUPT" not in before.alarms:
            log.error(
                "etcd_is_corrupt",
                etcd=self._settings.etcd_name,
                advice="members of etcd disagree about their data, and it refuses everything: find the bad one with"
                " etcdctl endpoint hashkv, replace it, then etcdctl alarm disarm",
            )
        if health.keeps_history and not before.keeps_history:
            log.warning(
                "etcd_is_not_compacted",
                etcd=self._settings.etcd_name,
                kept_for=str(self._settings.etcd_history),
                advice="it keeps every old value and grows with each write: start it with"
                " --auto-compaction-mode=periodic --auto-compaction-retention=5m",
            )
        is_spread = health.size_bytes >= health.quota_bytes * _SLOW_AT and health.fill < _WARN_AT
        if is_spread and not self._told_of_file:
            log.warning(
                "etcd_file_is_mostly_free",
                etcd=self._settings.etcd_name,
                **_figures(health),
                advice="etcd refuses writes when its file reaches the quota, however much of it is free: etcdctl defrag"
                " on each member, one after the other, makes it small",
            )
        self._told_of_file = is_spread

    def _tell(self, health: StoreHealth) -> None:
        name, figures = self._settings.etcd_name, _figures(health)
        match health.fullness:
            case Fullness.WELL:
                log.info("etcd_has_room", etcd=name, **figures)
            case Fullness.HALF:
                log.warning("etcd_is_half_full", etcd=name, **figures, advice=f"before it is full, {_MAKE_ROOM}")
            case Fullness.SLOW:
                log.warning("etcd_is_nearly_full", etcd=name, **figures, advice=f"writes are slowed down; {_MAKE_ROOM}")
            case Fullness.FULL:
                log.error("etcd_is_full", etcd=name, **figures, advice=f"every write is refused; {_MAKE_ROOM}")


def _figures(health: StoreHealth) -> dict[str, str]:
    return {"in_use": _mib(health.in_use_bytes), "file": _mib(health.size_bytes), "quota": _mib(health.quota_bytes)}


def _mib(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MiB"
