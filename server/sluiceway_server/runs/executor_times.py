"""The timeouts of executors: heartbeats, fencing, and when their tasks are lost (executors.md, "Groups in etcd"). Pure.

They depend on each other: a task is called lost only when its pod has ended. So they are checked together, and are the
same on all servers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_common.runmodel.wording import duration

MISSED_HEARTBEATS = 3
_LEAST_HEARTBEAT = timedelta(milliseconds=100)
_LEAST_LEASE = timedelta(seconds=1)
_HEARTBEATS_A_SECOND = 200


@dataclass(frozen=True, slots=True)
class ExecutorTimes:
    """The timeouts, checked together.

    Attributes:
        heartbeat_interval: between two heartbeats of an executor; its stream ends after a silence of
            `MISSED_HEARTBEATS` intervals.
        lease: how long the keys in etcd of a server that died stay.
        fence_after: a pod that was not fed for so long ends itself.
        vanish_after: a dynamic executor that is missing for so long has vanished, and its tasks are lost.
        lost_after: the same of any other executor.
        clean_within: how long its tasks wait for siblings to remove what is left of its pods.
    """

    heartbeat_interval: timedelta = timedelta(seconds=5)
    lease: timedelta = timedelta(seconds=15)
    fence_after: timedelta = timedelta(minutes=12)
    vanish_after: timedelta = timedelta(minutes=2)
    lost_after: timedelta = timedelta(minutes=15)
    clean_within: timedelta = timedelta(seconds=8)

    @property
    def dynamic_fence_after(self) -> timedelta:
        """`fence_after` of a dynamic executor: four fifths of `vanish_after`, so that its pods have ended by then."""
        return min(self.fence_after, self.vanish_after * 4 / 5)

    def interval_for(self, streams: int) -> timedelta:
        """Return the interval of heartbeats to a server with so many streams.

        It grows with their number, so that a server has about as many heartbeats a second, up to four times
        `heartbeat_interval`, and not so far that a break which nobody should notice fences pods.
        """
        longest = min(4 * self.heartbeat_interval, (self.dynamic_fence_after - self.lease) / (MISSED_HEARTBEATS + 1))
        wanted = min(timedelta(seconds=streams / _HEARTBEATS_A_SECOND), longest)
        return max(self.heartbeat_interval, wanted)

    def after_absence(self, *, dynamic: bool) -> timedelta:
        """Return how long an executor may be missing."""
        return self.vanish_after if dynamic else self.lost_after

    def check(self) -> None:
        """Check that the times hold together.

        Raises:
            InvalidInput: with every fault; the paths are the names of the attributes.
        """
        found = []
        for name, least in (("heartbeat_interval", _LEAST_HEARTBEAT), ("lease", _LEAST_LEASE)):
            if getattr(self, name) < least:
                found.append(Violation(name, f"it must be at least {duration(least)}"))
        # What a break that nobody should notice may take: until the server finds the stream silent, and another server
        # may take the key.
        shortest = self.heartbeat_interval * MISSED_HEARTBEATS + self.lease
        why = f"{MISSED_HEARTBEATS} heartbeat intervals and one lease"
        if self.fence_after <= shortest:
            found.append(Violation("fence_after", f"it must be longer than {duration(shortest)} ({why})"))
        if self.dynamic_fence_after <= shortest and self.fence_after > shortest:
            least = shortest * 5 / 4
            found.append(Violation("vanish_after", f"it must be longer than {duration(least)} (5/4 of {why})"))
        for name in ("fence_after", "vanish_after"):
            if getattr(self, name) >= self.lost_after:
                limit = f"lost_after ({duration(self.lost_after)})"
                found.append(Violation(name, f"it must be shorter than {limit}"))
        if found:
            raise InvalidInput(found, reason="EXECUTOR_TIMES_DO_NOT_FIT")
