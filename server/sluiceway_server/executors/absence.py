"""The timers of executors that have no key in etcd. Pure.

A missing key proves nothing: it only starts a timer. The timer starts again when etcd or this server was unavailable,
because nobody watched meanwhile. It pauses, for at most `longest_pause`, while more than half of a group of three or
more executors is missing: that is a network failure and not executors that died. When it has run for as long as the
executor may be missing, the executor is gone.

An executor that is gone and was handled is kept as such until it comes back, and no longer counts in its group:
machines that were switched off last month must not pause the timer of one that dies today.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from sluiceway_common.runmodel.model import ExecutorId

_SMALLEST_PAUSED_GROUP = 3


@dataclass(frozen=True, slots=True)
class Absence:
    """The timer of one executor: missing `since` (monotonic seconds), of which it paused for `paused` seconds."""

    since: float
    paused: float = 0.0
    is_handled: bool = False


@dataclass(frozen=True, slots=True)
class AbsenceTimers:
    """The timers of all executors that are missing, and the time of the last tick; None: there was none."""

    timers: Mapping[ExecutorId, Absence] = field(default_factory=lambda: MappingProxyType({}))
    ticked: float | None = None

    def handled(self, executor_id: ExecutorId) -> AbsenceTimers:
        """Return the same timers, with an executor that is gone marked as handled."""
        timer = self.timers.get(executor_id)
        if timer is None:
            return self
        return replace(self, timers={**self.timers, executor_id: replace(timer, is_handled=True)})


def tick(
    absences: AbsenceTimers,
    groups: Mapping[str, Collection[ExecutorId]],
    live: Collection[ExecutorId],
    *,
    now: float,
    available_since: float | None,
    limits: Mapping[ExecutorId, float],
    longest_pause: float,
    longest_interval: float,
) -> tuple[AbsenceTimers, tuple[ExecutorId, ...]]:
    """Advance the timers to `now`; return them, and the executors that are gone and not handled, sorted.

    Args:
        absences: from the last tick.
        groups: all known executors, by group.
        live: those with a key in etcd.
        now: monotonic seconds, as the other times.
        available_since: since when etcd responds to this server without a break; None: it does not.
        limits: how many seconds each executor may be missing.
        longest_pause: of one timer, in seconds.
        longest_interval: between two ticks; after a longer one this server itself was unavailable.
    """
    ticked = now if absences.ticked is None else absences.ticked
    was_unavailable = available_since is None or available_since > ticked or now - ticked > longest_interval
    timers: dict[ExecutorId, Absence] = {}
    gone: list[ExecutorId] = []
    for members in groups.values():
        missing = [member for member in members if member not in live]
        before = {member: absences.timers.get(member, Absence(now)) for member in missing}
        counted = [member for member in missing if not before[member].is_handled]
        size = len(members) - (len(missing) - len(counted))
        is_paused = size >= _SMALLEST_PAUSED_GROUP and len(counted) * 2 > size
        for member in missing:
            timer = before[member]
            if not timer.is_handled:
                if was_unavailable:
                    timer = Absence(now)
                elif is_paused:
                    paused = timer.paused + now - max(ticked, timer.since)
                    timer = replace(timer, paused=min(longest_pause, paused))
                if now - timer.since - timer.paused >= limits[member] and available_since is not None:
                    gone.append(member)
            timers[member] = timer
    return AbsenceTimers(timers, now), tuple(sorted(gone))


def next_expiry(absences: AbsenceTimers, limits: Mapping[ExecutorId, float]) -> float | None:
    """Return when the first timer expires if none pauses or starts again, in monotonic seconds; None: none runs."""
    times = [
        timer.since + timer.paused + limits[executor_id]
        for executor_id, timer in absences.timers.items()
        if not timer.is_handled and executor_id in limits
    ]
    return min(times, default=None)
