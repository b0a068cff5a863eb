"""Choose executors for runnable tasks, and explain why the others wait.

Tasks of one owner are ordered by priority, plus one for each 10 minutes waited; then by level, age and name. Which
owner is next: the one whose first task has the highest such priority, which counts up to the highest priority that any
task was given; then by fair share, the one that runs the least, counting what this placement has chosen; then the one
that was served longest ago. So an owner with a long backlog does not hold up the others, and no task starves: its
priority grows while it waits (run-model.md, "Fair share").

A task that no executor can run does not block others: it is skipped, with the reason, and uses neither lock nor slot.
So is one whose owner, or what that belongs to, has as many running tasks as its quota allows.

An executor fits when nothing is missing (`missing`). Of those that fit, the least loaded is chosen, then the one that
has more of the wanted workspaces and caches, then the one with the smaller id. A retry that avoids the executor of its
last attempt waits for another one that fits, if there is one. A permanent reason (arch, labels) is
reported before a temporary one (offline, draining, full); an executor that does not serve the project has no other
reason.

Cost: tasks with the same needs are matched against the executors once, for what does not change during a placement.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from sluiceway_common.runmodel.model import ExecutorId, Needs, Run, RunId, Task, TaskId
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_common.runmodel.wording import listing, quoted

AGING: Final = timedelta(minutes=10)

LockKey = tuple[str, str]
"""The scope of the run and the name of the lock, as `Assignment.lock` has it."""


@dataclass(frozen=True, slots=True)
class ExecutorView:
    """An executor as placement sees it.

    Attributes:
        slots: how many tasks it may hold; `used` of them are taken by stored assignments.
        runtimes: the runtime types that its drivers can run.
        serves: the ids of the nodes of the tree whose runs its group serves, with all below them; None: all runs.
        takes_forks: whether it takes runs of forks.
        holds: workspaces and caches that it has on its disk, by a key that the caller chooses.
    """

    id: ExecutorId
    group: str
    slots: int
    used: int = 0
    session: str = ""
    connected: bool = True
    draining: bool = False
    archs: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    privileged_allowed: bool = False
    drivers: frozenset[str] = frozenset()
    runtimes: frozenset[str] = frozenset({"pod"})
    serves: frozenset[str] | None = None
    takes_forks: bool = False
    holds: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose run it is.

    Attributes:
        ids: of its project or user, and of all nodes above; an executor group that serves one of them serves the run.
        name: of the first of them, for people: `project org/acme/app`.
    """

    ids: frozenset[str] = frozenset()
    name: str = "this project"


@dataclass(frozen=True, slots=True)
class TaskQuota:
    """A limit of running tasks, which several owners may share.

    Attributes:
        key: of what has it; the same for all owners that share it.
        name: of that, for people, such as "organization acme".
        limit: how many tasks may run.
        used: how many run.
    """

    key: str
    name: str
    limit: int
    used: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A runnable task and its run, whose `Run.scope` is that of `owner`.

    `wants`: the workspaces and caches that it will restore, as executors name them.
    """

    run: Run
    task: Task
    wants: frozenset[str] = frozenset()
    owner: Owner = field(default_factory=Owner)


@dataclass(frozen=True, slots=True)
class Missing:
    """Why an executor does not fit: "draining", or "arch arm64 wanted, have amd64"."""

    code: str
    line: str


@dataclass(frozen=True, slots=True)
class PassedOver:
    """An executor that was not chosen, and why."""

    executor: ExecutorId
    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A task, its executor, and why the other executors were not chosen."""

    run_id: RunId
    task_id: TaskId
    executor: ExecutorId
    session: str
    passed_over: tuple[PassedOver, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that was not placed.

    Attributes:
        reason: is stored.
        kinds: what is missing, and the executors that lack it; one for each kind of executors.
    """

    run_id: RunId
    task_id: TaskId
    reason: Reason
    kinds: tuple[tuple[Missing, tuple[ExecutorId, ...]], ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """The kinds, as sentences; empty if it does not wait for an executor."""
        if self.reason.code != ReasonCode.WAITS_FOR_EXECUTOR:
            return ()
        return tuple(_line(missing, ids) for missing, ids in self.kinds) or (_NO_EXECUTOR,)


@dataclass(frozen=True, slots=True)
class Placement:
    """What one placement decides: choices in the order in which they were made, the rest in the same order."""

    choices: tuple[Choice, ...]
    waiting: tuple[Waiting, ...]


def effective_priority(priority: int, since: datetime | None, now: datetime) -> int:
    """A priority, plus one for each 10 minutes waited since."""
    if since is None or now <= since:
        return priority
    return priority + (now - since) // AGING


def place(
    candidates: Iterable[Candidate],
    executors: Iterable[ExecutorView],
    *,
    now: datetime,
    locks: Mapping[LockKey, str],
    running: Mapping[str, int],
    quotas: Mapping[str, Sequence[TaskQuota]] | None = None,
    served: Mapping[str, int] | None = None,
    with_passed_over: bool = True,
) -> Placement:
    """Decide which runnable tasks go where. Neither order of the arguments decides anything.

    Args:
        candidates: the runnable tasks of all running runs.
        executors: all known executors.
        now: the time, for the wait.
        locks: the locks that are held, and a description of the holder (`task "deploy" of run 7`).
        running: how many assignments each owner (`Run.scope`) has that are not final.
        quotas: those that count for each owner; None: there are none.
        served: for each owner (`Run.scope`) a positive number that grows with each task it was given; None: not known.
        with_passed_over: return why each other executor was not chosen; costs a record for each choice and executor.
    """
    fleet = _Fleet(executors)
    held = dict(locks)
    choices: list[Choice] = []
    undecided: list[tuple[Candidate, str | TaskQuota]] = []
    shares = Counter(running)
    limits = quotas or {}
    started: Counter[str] = Counter()
    latest = dict(served or {})
    turns = _Turns(candidates, shares, latest, now)
    count = max(latest.values(), default=0)
    while (candidate := turns.next()) is not None:
        run, task = candidate.run, candidate.task
        key = (run.scope, task.lock)
        mine = limits.get(run.scope, ())
        full = next((each for each in mine if each.used + started[each.key] >= each.limit), None)
        if full is not None:
            undecided.append((candidate, replace(full, used=full.used + started[full.key])))
            continue
        if task.lock and key in held:
            undecided.append((candidate, held[key]))
            continue
        best = fleet.best_for(candidate)
        if best is None:
            undecided.append((candidate, ""))
            continue
        passed_over = fleet.passed_over(candidate, best) if with_passed_over else ()
        choices.append(Choice(run.id, task.id, best.id, best.session, passed_over))
        fleet.take(best)
        shares[run.scope] += 1
        count += 1
        latest[run.scope] = count
        started.update(each.key for each in mine)
        if task.lock:
            held[key] = f"task {quoted(task.name)} of run {run.number}"
    # After all choices, so that the reason of a full executor has its present number of tasks.
    return Placement(tuple(choices), tuple(_waiting(fleet, candidate, blocked) for candidate, blocked in undecided))


def missing(candidate: Candidate, executor: ExecutorView) -> Missing | None:
    """Return what an executor lacks for a task, other than a free slot; None: nothing."""
    needs, from_fork = candidate.task.needs, candidate.run.from_fork
    if executor.serves is not None and executor.serves.isdisjoint(candidate.owner.ids):
        return Missing("not_served", f"group {executor.group} does not serve {candidate.owner.name}")
    if from_fork and not executor.takes_forks:
        return Missing("fork", "takes no runs of forks")
    if from_fork and needs.privileged:
        return Missing("fork", "runs no privileged pods of forks")
    if needs.arch and needs.arch not in executor.archs:
        return Missing("arch", f"arch {needs.arch} wanted, have {_have(executor.archs)}")
    for name, value in needs.labels:
        if executor.labels.get(name) != value:
            have = f"{name}={executor.labels[name]}" if name in executor.labels else "none"
            return Missing("labels", f"label {name}={value} wanted, have {have}")
    if needs.privileged and not executor.privileged_allowed:
        return Missing("privileged", "privileged pods wanted, not allowed")
    if needs.runtime not in executor.runtimes:
        return Missing("runtime", f"runtime {needs.runtime} wanted, have {_have(executor.runtimes)}")
    if needs.drivers and needs.drivers.isdisjoint(executor.drivers):
        return Missing("driver", f"driver {' or '.join(sorted(needs.drivers))} wanted, have {_have(executor.drivers)}")
    if not executor.connected:
        return Missing("offline", "offline")
    if executor.draining:
        return Missing("draining", "draining")
    return None


# --- the order ----------------------------------------------------------------------------------------------------


_TurnKey = tuple[int, int, float, str, str]


class _Turns:
    """The order of one placement: the first task of the owner that is next. What was taken is not put back."""

    def __init__(
        self, candidates: Iterable[Candidate], shares: Mapping[str, int], served: Mapping[str, int], now: datetime
    ) -> None:
        self._shares, self._served = shares, served
        by_owner: dict[str, list[tuple[_TurnKey, Candidate]]] = defaultdict(list)
        self._top = -(2**31)
        for candidate in candidates:
            self._top = max(self._top, candidate.task.priority)
            by_owner[candidate.run.scope].append((_turn_key(candidate, now), candidate))
        self._queues = {owner: deque(sorted(mine, key=lambda turn: turn[0])) for owner, mine in by_owner.items()}
        self._heap = [self._bid(owner) for owner in self._queues]
        heapq.heapify(self._heap)
        self._last = ""

    def next(self) -> Candidate | None:
        """Return the next candidate. The share of the owner of the last one may have grown since."""
        if self._queues.get(self._last):
            heapq.heappush(self._heap, self._bid(self._last))
        if not self._heap:
            return None
        self._last = heapq.heappop(self._heap)[-1]
        return self._queues[self._last].popleft()[1]

    def _bid(self, owner: str) -> tuple[int, int, int, _TurnKey, str]:
        key = self._queues[owner][0][0]
        return (max(key[0], -self._top), self._shares.get(owner, 0), self._served.get(owner, 0), key, owner)


def _turn_key(candidate: Candidate, now: datetime) -> _TurnKey:
    task = candidate.task
    age = task.runnable_since.timestamp() if task.runnable_since is not None else float("inf")
    return (-effective_priority(task.priority, task.runnable_since, now), task.level, age, task.name, task.id)


# --- the executors ------------------------------------------------------------------------------------------------

_NeedsKey = tuple[Needs, str, bool]


class _Fleet:
    """The executors during one placement, with the slots taken so far."""

    def __init__(self, executors: Iterable[ExecutorView]) -> None:
        self._all = sorted(executors, key=lambda e: e.id)
        self._used = {e.id: e.used for e in self._all}
        self._fitting: dict[_NeedsKey, list[ExecutorView]] = {}
        self._lacking: dict[_NeedsKey, list[tuple[ExecutorView, Missing]]] = {}
        self._full: set[_NeedsKey] = set()

    def best_for(self, candidate: Candidate) -> ExecutorView | None:
        key = self._match(candidate)
        if key in self._full:
            return None
        used, wants = self._used, candidate.wants
        avoided = self._avoided(candidate)
        best = min(
            (e for e in self._fitting[key] if used[e.id] < e.slots and e.id != avoided),
            key=lambda e: (used[e.id] / e.slots, -len(wants & e.holds), e.id),
            default=None,
        )
        if best is None and not avoided:
            # Slots are only taken during a placement, so this stays so for all of the same needs.
            self._full.add(key)
        return best

    def take(self, executor: ExecutorView) -> None:
        self._used[executor.id] += 1

    def passed_over(self, candidate: Candidate, chosen: ExecutorView) -> tuple[PassedOver, ...]:
        key = self._match(candidate)
        found = [PassedOver(e.id, lack.code, lack.line) for e, lack in self._lacking[key]]
        mine, avoided = self._used[chosen.id], self._avoided(candidate)
        for executor in self._fitting[key]:
            if executor is chosen:
                continue
            used = self._used[executor.id]
            if executor.id == avoided:
                found.append(PassedOver(executor.id, _AVOIDED.code, _AVOIDED.line))
            elif used >= executor.slots:
                lack = _full(used, executor.slots)
                found.append(PassedOver(executor.id, lack.code, lack.line))
            elif used / executor.slots > mine / chosen.slots:
                found.append(PassedOver(executor.id, "load", f"higher load: {used} of {executor.slots}"))
            elif len(candidate.wants & executor.holds) < len(candidate.wants & chosen.holds):
                found.append(PassedOver(executor.id, "holds", "same load, holds less of the workspaces and caches"))
            else:
                found.append(PassedOver(executor.id, "id", "as good, a later id"))
        return tuple(sorted(found, key=lambda p: p.executor))

    def kinds(self, candidate: Candidate) -> tuple[tuple[Missing, tuple[ExecutorId, ...]], ...]:
        key = self._match(candidate)
        found = [(lack, e.id) for e, lack in self._lacking[key]]
        avoided = self._avoided(candidate)
        found += [(_AVOIDED if e.id == avoided else _full(self._used[e.id], e.slots), e.id) for e in self._fitting[key]]
        return _kinds(found)

    def _avoided(self, candidate: Candidate) -> ExecutorId:
        """Return the executor that a task avoids; empty: none, or no other one fits."""
        avoided = candidate.task.avoids
        if not avoided or all(e.id == avoided for e in self._fitting[self._match(candidate)]):
            return ""
        return avoided

    def _match(self, candidate: Candidate) -> _NeedsKey:
        run, needs = candidate.run, candidate.task.needs
        key = (needs, run.scope, run.from_fork)
        if key not in self._fitting:
            fitting, lacking = [], []
            for executor in self._all:
                lack = missing(candidate, executor)
                if lack is None:
                    fitting.append(executor)
                else:
                    lacking.append((executor, lack))
            self._fitting[key], self._lacking[key] = fitting, lacking
        return key


def _waiting(fleet: _Fleet, candidate: Candidate, blocked: str | TaskQuota) -> Waiting:
    """Return why a task waits: for the holder of its lock, for a quota, or (an empty text) for an executor."""
    run, task = candidate.run, candidate.task
    if isinstance(blocked, TaskQuota):
        sentence = f"quota of running tasks: {blocked.used} of {blocked.limit} of {blocked.name}"
        return Waiting(run.id, task.id, Reason(ReasonCode.WAITS_FOR_QUOTA, sentence))
    if blocked:
        reason = Reason(ReasonCode.WAITS_FOR_LOCK, f"lock {quoted(task.lock)} is held by {blocked}")
        return Waiting(run.id, task.id, reason)
    kinds = fleet.kinds(candidate)
    sentence = "; ".join(_line(lack, ids) for lack, ids in kinds) or _NO_EXECUTOR
    return Waiting(run.id, task.id, Reason(ReasonCode.WAITS_FOR_EXECUTOR, sentence), kinds)


# --- words --------------------------------------------------------------------------------------------------------

_Lack = tuple[Missing, ExecutorId]

_MOST_NAMED: Final = 4
_NO_EXECUTOR: Final = "no executor is known"

# These adjectives stand for the executors: "1 draining", not "1 executor: draining".
_STATES: Final = frozenset({"offline", "draining", "full"})
_LINE_ORDER: Final = (
    "not_served", "fork", "arch", "labels", "privileged", "runtime", "driver", "avoided", "offline", "draining", "full",
)  # fmt: skip
_AVOIDED: Final = Missing("avoided", "ran the last attempt, and the retry avoids it")


def _full(used: int, slots: int) -> Missing:
    return Missing("full", f"full, {used} of {slots}")


def _kinds(found: Sequence[_Lack]) -> tuple[tuple[Missing, tuple[ExecutorId, ...]], ...]:
    kinds: dict[Missing, list[ExecutorId]] = defaultdict(list)
    for lack, executor_id in found:
        kinds[lack].append(executor_id)
    ordered = sorted(kinds, key=lambda lack: (_LINE_ORDER.index(lack.code), lack.line))
    return tuple((lack, tuple(sorted(kinds[lack]))) for lack in ordered)


def _line(lack: Missing, executors: Sequence[ExecutorId]) -> str:
    number, names = len(executors), listing(executors, limit=_MOST_NAMED)
    if lack.code in _STATES:
        return f"{number} {lack.line}: {names}"
    return f"{number} {'executor' if number == 1 else 'executors'} ({names}): {lack.line}"


def _have(items: Iterable[str]) -> str:
    return ", ".join(sorted(items)) or "none"
