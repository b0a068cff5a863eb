"""The clocks of executors that went missing. Pure.

A missing key is no verdict: it only starts a clock. The clock starts over when etcd or this server was unwell, since
then nobody looked. It is held, for at most `longest_hold`, while more than half of a group of three or more is missing:
that is a network and not executors. When it has run for as long as the executor may be missing, the executor is gone.

An executor that is gone and dealt with is remembered as such until it comes back, and does not count for its group any
more: machines that were switched off last month must not hold the clock of one that dies today.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from sluiceway_common.runmodel.model import ExecutorId

__all__ = ["Absence", "AbsenceTimers", "look", "next_gone"]

_SMALLEST_GROUP_TO_HOLD = 3


@dataclass(frozen=True, slots=True)
class Absence:
    """One executor is missing `since` (monotonic seconds); the clock was held for `held` seconds of that."""

    since: float
    held: float = 0.0
    is_settled: bool = False


@dataclass(frozen=True, slots=True)
class AbsenceTimers:
    """All clocks, and when they were looked at last; None: never."""

    clocks: Mapping[ExecutorId, Absence] = field(default_factory=lambda: MappingProxyType({}))
    looked: float | None = None

    def settled(self, executor_id: ExecutorId) -> AbsenceTimers:
        """The same, one that is gone having been dealt with."""
        clock = self.clocks.get(executor_id)
        if clock is None:
            return self
        return replace(self, clocks={**self.clocks, executor_id: replace(clock, is_settled=True)})


def look(
    absences: AbsenceTimers,
    groups: Mapping[str, Collection[ExecutorId]],
    live: Collection[ExecutorId],
    *,
    now: float,
    well_since: float | None,
    limits: Mapping[ExecutorId, float],
    longest_hold: float,
    longest_pause: float,
) -> tuple[AbsenceTimers, tuple[ExecutorId, ...]]:
    """Let the clocks run until `now`; answers them and who is gone, by id.

    Args:
        absences: from the last look.
        groups: all known executors, by group.
        live: those with a key in etcd.
        now: monotonic seconds, as the other times.
        well_since: since when etcd answers this server without a break; None: it does not.
        limits: how many seconds each executor may be missing.
        longest_hold: in seconds.
        longest_pause: between two looks; after a longer one this server itself was unwell.
    """
    looked = now if absences.looked is None else absences.looked
    was_unwell = well_since is None or well_since > looked or now - looked > longest_pause
    clocks: dict[ExecutorId, Absence] = {}
    gone: list[ExecutorId] = []
    for members in groups.values():
        missing = [member for member in members if member not in live]
        before = {member: absences.clocks.get(member, Absence(now)) for member in missing}
        counted = [member for member in missing if not before[member].is_settled]
        size = len(members) - (len(missing) - len(counted))
        is_held = size >= _SMALLEST_GROUP_TO_HOLD and len(counted) * 2 > size
        for member in missing:
            clock = before[member]
            if not clock.is_settled:
                if was_unwell:
                    clock = Absence(now)
                elif is_held:
                    clock = replace(clock, held=min(longest_hold, clock.held + now - max(looked, clock.since)))
                if now - clock.since - clock.held >= limits[member] and well_since is not None:
                    gone.append(member)
            clocks[member] = clock
    return AbsenceTimers(clocks, now), tuple(sorted(gone))


def next_gone(absences: AbsenceTimers, limits: Mapping[ExecutorId, float]) -> float | None:
    """When the first clock runs out, in monotonic seconds, if none is held or started over; None: no clock runs."""
    times = [
        clock.since + clock.held + limits[executor_id]
        for executor_id, clock in absences.clocks.items()
        if not clock.is_settled and executor_id in limits
    ]
    return min(times, default=None)
