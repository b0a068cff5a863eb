"""Decide which queued runs start now, and which runs are superseded.

Per group at most one run is running: the one that the group's queue record names, until it is finished. A run whose
result is set but whose assignments have not all ended is still running, and still holds its group. In a group runs
start in the order of their creation. Groups of one scope run in parallel, as many as the project's `concurrency`
allows; when it allows fewer than could start, the highest priority goes first (plus one for each 10 minutes in the
queue), then the oldest.

A run that waits only for an approval (`Run.approval_wait_since`) does not count for `concurrency`: it uses no executor,
and could block a project for a week. It does hold its group.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sluiceway_common.runmodel.model import Run, RunId, RunPhase
from sluiceway_common.runmodel.placement import effective_priority
from sluiceway_common.runmodel.reasons import Reason, ReasonCode


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """The settings of a project for its runs.

    Attributes:
        concurrency: how many of its runs may run at once, over all groups; None: any number.
        cancel_superseded: a newer queued run of a group cancels older queued ones, and stops an older one that only
            waits for an approval.
    """

    concurrency: int | None = None
    cancel_superseded: bool = False


@dataclass(frozen=True, slots=True)
class QueueDecision:
    """What is to be done with the queued runs now.

    Attributes:
        start: in this order, each in a transaction that finds the queue record of its group empty.
        cancel: queued runs that were superseded, by id.
        stop: running runs that were superseded while they only waited for an approval, by id.
        waiting: why each other queued run waits.
    """

    start: tuple[RunId, ...]
    cancel: tuple[RunId, ...]
    stop: tuple[RunId, ...]
    waiting: Mapping[RunId, Reason]


_DEFAULT: Final = QueueSettings()


def decide(
    runs: Iterable[Run],
    *,
    holders: Mapping[str, RunId],
    settings: Mapping[str, QueueSettings],
    now: datetime,
) -> QueueDecision:
    """Decide about all queued runs.

    Args:
        runs: all that are queued or running, in any order; others are ignored.
        holders: the queue records: the run that holds each group. A group that is not named, or has "", is free.
        settings: by scope; the defaults for those not named.
        now: the time, for the wait.
    """
    by_id = {run.id: run for run in runs}
    running = [run for run in by_id.values() if run.phase is RunPhase.RUNNING]
    queues: dict[str, list[Run]] = defaultdict(list)
    for run in sorted(by_id.values(), key=lambda r: r.id):
        if run.phase is RunPhase.QUEUED:
            queues[run.group].append(run)
    cancel, stop = _superseded(queues, running, settings)
    counted = Counter(run.scope for run in running if run.approval_wait_since is None)
    waiting: dict[RunId, Reason] = {}
    heads: list[Run] = []
    for group, queue in queues.items():
        left = [run for run in queue if run.id not in cancel]
        holder = holders.get(group, "")
        for run in left:
            if holder:
                waiting[run.id] = _held(group, holder, by_id.get(holder))
            elif run is left[0]:
                heads.append(run)
            else:
                sentence = f"run {left[0].number} of the same group comes first"
                waiting[run.id] = Reason(ReasonCode.QUEUE_BEHIND, sentence)
    start = []
    for run in sorted(heads, key=lambda r: (-effective_priority(r.priority, r.enqueue_time, now), r.id)):
        limit = settings.get(run.scope, _DEFAULT).concurrency
        if limit is not None and counted[run.scope] >= limit:
            count = counted[run.scope]
            counted_runs = "1 run" if count == 1 else f"{count} runs"
            sentence = (
                f"{counted_runs} of {run.scope} {'is' if count == 1 else 'are'} running; its concurrency is {limit}"
            )
            waiting[run.id] = Reason(ReasonCode.QUEUE_CONCURRENCY, sentence)
            continue
        counted[run.scope] += 1
        start.append(run.id)
    return QueueDecision(tuple(start), tuple(sorted(cancel)), tuple(sorted(stop)), waiting)


def _superseded(
    queues: Mapping[str, list[Run]], running: Iterable[Run], settings: Mapping[str, QueueSettings]
) -> tuple[set[RunId], set[RunId]]:
    cancel: set[RunId] = set()
    stop: set[RunId] = set()
    wanting = {
        group: queue for group, queue in queues.items() if settings.get(queue[0].scope, _DEFAULT).cancel_superseded
    }
    for queue in wanting.values():
        cancel.update(run.id for run in queue[:-1])
    for run in running:
        queue = wanting.get(run.group, [])
        if queue and run.id < queue[-1].id and run.approval_wait_since is not None and run.stop is None:
            stop.add(run.id)
    return cancel, stop


def _held(group: str, holder: RunId, run: Run | None) -> Reason:
    if run is None:
        return Reason(ReasonCode.QUEUE_GROUP_HELD, f"run {holder} holds the group {group}")
    if run.approval_wait_since is not None:
        sentence = f"run {run.number} holds the group {group} and waits for an approval"
        return Reason(ReasonCode.QUEUE_HOLDER_WAITS_FOR_APPROVAL, sentence)
    return Reason(ReasonCode.QUEUE_GROUP_HELD, f"run {run.number} holds the group {group} until it is finished")
