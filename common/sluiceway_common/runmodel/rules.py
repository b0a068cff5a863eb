"""The rules R0-R12 and R16-R18 of docs/design/run-model.md: what follows from what happened.

A *round* decides for the run and for each task by looking at the frozen present state only, then makes all changes at
once. A *pass* (`advance`) repeats rounds until one changes nothing. Only that fixpoint is stored, and only it says what
is runnable. So no decision depends on the order of tasks or of a mapping, a chain of skipped tasks takes one pass, and
no task that a failure cancels starts in the transaction that records the failure.

Who wins a tie: a failure over success over a stop (R1, R2, R3, in this order), all three over the run's timeout. A
stop or a timeout over what conditions say, but for clean-ups (R7). A condition that does not match over an approval
(R8, R9).

A round looks at those tasks only for which something that its decision reads has changed since it was last made: the
task, a parent, or how the run stands. Where nothing is remembered it looks at all; the end is the same.

Requests of people (`start_run`, `request_stop`, `cancel`, `approve`) make a `Change`; `settle` applies the pass to it.
What executors do is in `updates`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sluiceway_common.foundation.errors import FailedPrecondition, NotFound
from sluiceway_common.runmodel.model import (
    ApprovalGiven,
    ApprovalState,
    Assignment,
    AssignmentId,
    Condition,
    Edge,
    Run,
    RunPhase,
    RunResult,
    StopRequest,
    Task,
    TaskId,
    TaskStatus,
)
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_common.runmodel.state import (
    Change,
    Event,
    InvariantBroken,
    RunState,
    Tally,
    changed_tasks,
    count,
    events_between,
    fast_replace,
)
from sluiceway_common.runmodel.wording import (
    duration,
    quoted,
    run_timed_out,
    status_words,
    story_of,
    task_timed_out,
    wanted,
    why_ending,
)

__all__ = [
    "Advanced",
    "ApprovalOutdated",
    "RunNotQueued",
    "RunNotRunning",
    "TaskNotWaiting",
    "advance",
    "approve",
    "cancel",
    "edge_matches",
    "next_deadline",
    "request_stop",
    "settle",
    "start_run",
]


class RunNotRunning(FailedPrecondition):
    """Only a running run can be stopped."""

    reason = "RUN_NOT_RUNNING"


class RunNotQueued(FailedPrecondition):
    """Only a queued run can be started or cancelled."""

    reason = "RUN_NOT_QUEUED"


class TaskNotWaiting(FailedPrecondition):
    """Only a task that waits for its approval can be approved, and only once."""

    reason = "TASK_NOT_WAITING_FOR_APPROVAL"


class ApprovalOutdated(FailedPrecondition):
    """The approval is for another commit or configuration than the run's."""

    reason = "APPROVAL_OUTDATED"


@dataclass(frozen=True, slots=True)
class Advanced:
    """What a pass came to.

    Attributes:
        before: the stored state with which `tasks` and `events` compare.
        state: the fixpoint, to be stored.
        runnable: the tasks that R10 names, by level, name and id. Which goes first is placement's decision.
        tasks: the tasks that differ from the stored ones, in the same order.
        assignments: live assignments that changed (told to stop, timed out), by id; after `settle` the change's too.
        frees_group: the run ended in this pass: its queue record is to be emptied.
    """

    before: RunState
    state: RunState
    runnable: tuple[TaskId, ...] = ()
    tasks: tuple[Task, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    frees_group: bool = False

    @property
    def run(self) -> Run:
        """The run as it is now."""
        return self.state.run

    @property
    def events(self) -> tuple[Event, ...]:
        """The events from the stored state to this one: of tasks, by level, name and id, then of the run.

        They are computed at each call: a transaction of several passes needs the events of all together.
        """
        return events_between(self.before, self.state, [task.id for task in self.tasks])

    def then(self, later: Change) -> Change:
        """Go on in the same transaction with a change of `state`, such as an assignment; `settle` what comes out."""
        return Change(self.before, self.state, self.assignments).then(later)


def advance(state: RunState, now: datetime, *, since: RunState | None = None) -> Advanced:
    """Apply the rules until nothing changes (R1-R10, R16).

    Applied to its own result at the same time it changes nothing (R19); at a later one only what a timeout changes.

    Args:
        state: the present state; its dirty tasks are looked at, or all where it remembers nothing.
        now: the time of the transaction.
        since: the stored state with which events and changed tasks compare; None: `state` itself.

    Raises:
        InvariantBroken: no fixpoint after (number of levels + 3) rounds.
    """
    before = state if since is None else since
    if state.run.phase is not RunPhase.RUNNING:
        return _summarise(before, state, runnable=frozenset(), assignments=())
    whole = state.tally is None
    tally = count(state.tasks.values()) if state.tally is None else state.tally
    live, marked, task_deadline = _expire_tasks(state, tally, now)
    after = _Pass(state, tally, live, now).run_rounds()
    stopping = after.run.timed_out and not state.run.timed_out
    if stopping:
        # R7: what runs at this moment is ordered to stop; clean-ups that are assigned later are not.
        live, told = _order_to_stop(live.values(), now, forced=False, reason=why_ending(after.run))
        marked |= told
    runnable, waiting = after.sets(whole=whole)
    tasks = after.tasks
    after.put(
        [fast_replace(tasks[key], runnable_since=now) for key in after.seen & runnable if not tasks[key].runnable_since]
    )
    run = _count_approval_wait(after.run, now, only_approvals=bool(waiting) and not live and not runnable)
    if run.phase is not RunPhase.RUNNING:
        runnable, waiting = frozenset(), frozenset()
    settled = RunState(
        run=run,
        tasks=tasks,
        assignments=live,
        graph=state.graph,
        tally=replace(after.tally, waiting=waiting, runnable=runnable, task_deadline=task_deadline),
    )
    return _summarise(before, settled, runnable=runnable, assignments=_by_id(marked))


def settle(change: Change, now: datetime) -> Advanced:
    """Apply the pass that follows a change; events, tasks and assignments are those since the stored state."""
    after = advance(change.state, now, since=change.before)
    merged = {a.id: a for a in (*change.assignments, *after.assignments)}
    return replace(after, assignments=_by_id(merged))


def next_deadline(state: RunState) -> datetime | None:
    """When to look at a run again, if nothing happens before: a timeout of it, a task or an approval may pass then.

    None: nothing will happen by time alone. Of a fixpoint that remembers its last pass the answer is cheap, and may be
    too early, by the timeout of an attempt that has ended. Of a state without memory it is exact.
    """
    run = state.run
    if run.phase is not RunPhase.RUNNING:
        return None
    tasks: Iterable[Task] = state.tasks.values()
    if state.tally is not None and not state.dirty:
        times = [state.tally.task_deadline] if state.tally.task_deadline is not None else []
        tasks = (state.tasks[key] for key in state.tally.waiting)
    else:
        times = [d for a in state.assignments.values() if (d := _deadline(a, state.tasks[a.task_id])) is not None]
    for task in tasks:
        if task.waiting_since is not None and task.approval is not None and not task.status.is_finished:
            times.append(task.waiting_since + task.approval.timeout)
    if run.timeout is not None and run.start_time is not None and not run.timed_out and run.approval_wait_since is None:
        times.append(run.start_time + run.timeout + run.approval_waited)
    return min(times, default=None)


# --- requests of people -------------------------------------------------------------------------------------------


def start_run(state: RunState, now: datetime) -> Change:
    """R0: start a queued run. That its group is free and `concurrency` allows it is decided in `queues`.

    Raises:
        RunNotQueued: the run is in another phase.
    """
    if state.run.phase is not RunPhase.QUEUED:
        raise RunNotQueued(f"run {state.run.id} cannot be started: its phase is {state.run.phase}, not queued")
    return Change(before=state, state=state.with_run(replace(state.run, phase=RunPhase.RUNNING, start_time=now)))


def request_stop(state: RunState, *, by: str, now: datetime, forced: bool = False) -> Change:
    """R17: ask a running run to stop. May be repeated.

    The first stop tells every live assignment to stop. A second one that is not forced changes nothing: clean-ups that
    began since continue. A forced one, the first or a later one, stops everything.

    Raises:
        RunNotRunning: the run is in another phase.
    """
    run = state.run
    if run.phase is not RunPhase.RUNNING:
        hint = "; cancel it instead" if run.phase is RunPhase.QUEUED else ""
        raise RunNotRunning(
            f"run {run.id} cannot be stopped: its phase is {run.phase}, not running{hint}",
            metadata={"phase": run.phase},
        )
    if run.stop is not None and (run.stop.forced or not forced):
        return Change(before=state, state=state)
    stop = run.stop or StopRequest(time=now, by=by)
    if forced:
        stop = replace(stop, forced=True, forced_time=now, forced_by=by)
    # After a timeout of the run, what runs now are clean-ups: only a forced stop ends those.
    live, told = dict(state.assignments), dict[AssignmentId, Assignment]()
    if forced or not run.timed_out:
        reason = why_ending(replace(run, stop=stop, timed_out=False))
        live, told = _order_to_stop(live.values(), now, forced=forced, reason=reason)
    stopped = replace(state.with_run(replace(run, stop=stop)), assignments=live)
    return Change(before=state, state=stopped, assignments=_by_id(told))


def cancel(state: RunState, *, by: str, now: datetime, superseded: bool = False) -> Change:
    """R17: cancel a queued run and its unfinished tasks.

    Raises:
        RunNotQueued: the run is in another phase.
    """
    run = state.run
    if run.phase is not RunPhase.QUEUED:
        hint = "; stop it instead" if run.phase is RunPhase.RUNNING else ""
        raise RunNotQueued(
            f"run {run.id} cannot be cancelled: its phase is {run.phase}, not queued{hint}",
            metadata={"phase": run.phase},
        )
    reason = Reason(ReasonCode.RUN_CANCELLED, f"the run was cancelled by {by} before it started")
    if superseded:
        reason = Reason(ReasonCode.SUPERSEDED, "a newer run of the same group took its place")
    tasks = {
        key: task if task.status.is_finished else _ended(task, TaskStatus.CANCELLED, reason, now)
        for key, task in state.tasks.items()
    }
    cancelled = replace(run, phase=RunPhase.CANCELLED, reason=reason, end_time=now)
    return Change(before=state, state=replace(state.with_run(cancelled), tasks=tasks))


def approve(state: RunState, task_id: TaskId, given: ApprovalGiven) -> Change:
    """R18: approve a task that waits. One approval is enough.

    `given` may leave commit and configuration digest empty; the record keeps the run's.

    Raises:
        NotFound: the run has no such task.
        TaskNotWaiting: it does not wait for an approval; a second approval finds this too.
        ApprovalOutdated: `given` names another commit or configuration than the run's.
    """
    run = state.run
    task = state.tasks.get(task_id)
    if task is None:
        raise NotFound(f"run {run.id} has no task {task_id}", resource_type="task", resource_name=task_id)
    if (
        run.phase is not RunPhase.RUNNING
        or task.status is not TaskStatus.NOT_STARTED
        or task.approval_state is not ApprovalState.WAITING
    ):
        raise TaskNotWaiting(_why_not_waiting(run, task), metadata={"status": task.status, "run_phase": run.phase})
    for word, theirs, ours in (
        ("commit", given.commit_sha, run.source.commit_sha),
        ("configuration", given.config_digest, run.config_digest),
    ):
        if theirs and theirs != ours:
            raise ApprovalOutdated(
                f"task {quoted(task.name)} cannot be approved: "
                f"the approval is for {word} {theirs}, the run is of {ours or 'none'}"
            )
    kept = replace(given, commit_sha=run.source.commit_sha, config_digest=run.config_digest)
    return Change(before=state, state=state.with_task(replace(task, approved=kept, waiting_since=None, reason=None)))


def _why_not_waiting(run: Run, task: Task) -> str:
    name = f"task {quoted(task.name)}"
    if run.phase is not RunPhase.RUNNING:
        return f"{name} cannot be approved: its run is {run.phase}"
    if task.approval is None:
        return f"{name} needs no approval"
    if task.approved is not None:
        return f"{name} was approved already, by {task.approved.by}"
    if task.status is not TaskStatus.NOT_STARTED:
        return f"{name} cannot be approved: it {status_words(task.status)}"
    return f"{name} does not wait for an approval yet: its parents come first"


# --- what one round decides ---------------------------------------------------------------------------------------

_C = Condition
_HOLDS: Final[Mapping[TaskStatus, frozenset[Condition]]] = {
    TaskStatus.SUCCESS: frozenset({_C.ALWAYS, _C.ON_SUCCESS}),
    TaskStatus.FAILED: frozenset({_C.ALWAYS, _C.ON_FAILURE}),
    TaskStatus.LOST: frozenset({_C.ALWAYS, _C.ON_FAILURE}),
    TaskStatus.SKIPPED: frozenset({_C.ALWAYS, _C.ON_SKIPPED}),
    TaskStatus.STOPPED: frozenset({_C.ALWAYS, _C.ON_STOPPED}),
    TaskStatus.CANCELLED: frozenset({_C.ALWAYS, _C.ON_STOPPED}),
}
# A task whose approval expired was meant to run: to a child that waits for "not needed" it is not skipped (R9).
_HOLDS_AFTER_EXPIRY: Final = frozenset({_C.ALWAYS})


def edge_matches(edge: Edge, parent: Task) -> bool:
    """Whether one of the edge's conditions holds for a parent that is finished.

    `ignore_failure` changes nothing here (R11): a failure that is ignored is still a failure to the children.
    """
    holds = _HOLDS[parent.status]
    if parent.status is TaskStatus.SKIPPED and _has_expired(parent):
        holds = _HOLDS_AFTER_EXPIRY
    return not edge.conditions.isdisjoint(holds)


def _has_expired(task: Task) -> bool:
    return task.reason is not None and task.reason.code == ReasonCode.APPROVAL_EXPIRED


def _decide_run(run: Run, tally: Tally, now: datetime, *, assigned: bool) -> Run:
    """R1-R4 and the run's timeout (R16), for a running run."""
    finished = tally.unfinished == 0
    if run.result is not RunResult.UNSET:
        if finished and not assigned:
            return replace(run, phase=RunPhase.FINISHED, end_time=now)
    elif tally.failures or (tally.stops and run.stop is None):
        run = replace(run, result=RunResult.FAILED)
    elif finished:
        return replace(run, result=RunResult.SUCCESS)
    elif run.stop is not None:
        run = replace(run, result=RunResult.STOPPED)
    if finished or run.timed_out or run.timeout is None or run.start_time is None:
        return run
    waited = run.approval_waited
    if run.approval_wait_since is not None:
        waited += max(now - run.approval_wait_since, timedelta())
    if now - run.start_time - waited < run.timeout:
        return run
    if run.result is not RunResult.UNSET:
        return replace(run, timed_out=True)
    return replace(run, timed_out=True, result=RunResult.FAILED, reason=run_timed_out(run.timeout))


def _decide_task(run: Run, task: Task, tasks: Mapping[TaskId, Task], now: datetime) -> Task:
    """Apply the first of `TASK_RULES` that decides on a task that is not started. The task itself: no change."""
    for _, rule in TASK_RULES:
        decided = rule(run, task, tasks, now)
        if decided is not None:
            return decided
    return task


def _restore_last_attempt(run: Run, task: Task, tasks: Mapping[TaskId, Task], now: datetime) -> Task | None:
    last = task.previous
    if not run.is_ending or last is None or not task.waits_for_retry:
        return None
    return replace(
        task,
        status=last.status,
        timed_out=last.timed_out,
        reason=last.reason,
        attempt=last.attempt,
        assignment=last.assignment,
        executor=last.executor,
        steps=last.steps,
        archives=last.archives,
        start_time=last.start_time,
        end_time=last.end_time,
        previous=None,
        runnable_since=None,
    )


def _skip_when_ending(run: Run, task: Task, tasks: Mapping[TaskId, Task], now: datetime) -> Task | None:
    if not run.is_ending or (task.is_clean_up and not run.is_forced):
        return None
    reason = why_ending(run)
    not_started = Reason(reason.code, f"{reason.sentence}, before this task started")
    return _ended(task, TaskStatus.SKIPPED, not_started, now)


def _cancel_when_decided(run: Run, task: Task, tasks: Mapping[TaskId, Task], now: datetime) -> Task | None:
    if run.result is RunResult.UNSET or task.depends or task.was_attempted or run.is_ending:
        return None
    reason = Reason(ReasonCode.RUN_RESULT_SET, f"the run's result was {run.result} before this task started")
    return _ended(task, TaskStatus.CANCELLED, reason, now)


def _follow_parents(run: Run, task: Task, tasks: Mapping[TaskId, Task], now: datetime) -> Task | None:
    unmatched: list[tuple[str, TaskId, Edge, Task]] = []
    for edge in task.depends:
        parent = tasks[edge.parent]
        status = parent.status
        if status is TaskStatus.NOT_STARTED or status is TaskStatus.RUNNING:
            return task
        if not edge_matches(edge, parent):
            unmatched.append((parent.name, parent.id, edge, parent))
    if not unmatched:
        return None
    # The first by name, not by place: the order in which edges were written decides nothing.
    edge, parent = min(unmatched, key=lambda item: item[:2])[2:]
    why = status_words(parent.status)
    if _has_expired(parent):
        why += " because its approval expired"
    sentence = f"depends on {quoted(parent.name)} {wanted(edge.conditions)}, which {why}"
    return _ended(task, TaskStatus.SKIPPED, Reason(ReasonCode.EDGE_NOT_MATCHED, sentence), now)


def _wait_for_approval(run: Run, task: Task, tasks: Mapping[TaskId, Task], now: datetime) -> Task | None:
    if task.approval is None or task.approved is not None:
        return None
    limit = duration(task.approval.timeout)
    if task.waiting_since is None:
        reason = Reason(ReasonCode.WAITS_FOR_APPROVAL, f"waits for approval, for at most {limit}")
        return replace(task, waiting_since=now, reason=reason)
    if now - task.waiting_since < task.approval.timeout:
        return task
    reason = Reason(ReasonCode.APPROVAL_EXPIRED, f"nobody approved it within {limit}")
    return _ended(task, TaskStatus.SKIPPED, reason, now)


_TaskRule = Callable[[Run, Task, Mapping[TaskId, Task], datetime], Task | None]
TASK_RULES: Final[tuple[tuple[str, _TaskRule], ...]] = (
    # In this order; each returns the task as it is to be, the task itself if it stays, or None if it does not decide.
    ("R14", _restore_last_attempt),  # a stop meets a retry that is due
    ("R7", _skip_when_ending),  # a stop or a timeout, but for clean-ups
    ("R6", _cancel_when_decided),  # the result is set before a task without parents started
    ("R8", _follow_parents),  # not all parents count yet, or one does not match
    ("R9", _wait_for_approval),  # an approval is missing, or expired
)


def _ended(task: Task, status: TaskStatus, reason: Reason, now: datetime) -> Task:
    return fast_replace(task, status=status, reason=reason, end_time=now, waiting_since=None, runnable_since=None)


def _is_ready(task: Task, tasks: Mapping[TaskId, Task]) -> bool:
    """R10, at a fixpoint only: there a task whose parents all count, and which is not skipped, has matched."""
    if task.status is not TaskStatus.NOT_STARTED or (task.approval is not None and task.approved is None):
        return False
    return all(tasks[edge.parent].status.is_finished for edge in task.depends)


# --- the pass -----------------------------------------------------------------------------------------------------


class _Pass:
    """The rounds of one pass. Mutable inside `advance` only: a dict of a large run is copied once, not every round."""

    def __init__(self, state: RunState, tally: Tally, live: Mapping[AssignmentId, Assignment], now: datetime) -> None:
        self.run = state.run
        self.tasks = dict(state.tasks)
        self.tally = tally
        self._graph = state.graph
        self._assigned = bool(live)
        self._now = now
        self.seen: set[TaskId] = set()
        if state.tally is None:
            self._next: set[TaskId] = set(self.tasks)
        else:
            # An approval can expire by time alone.
            self._next = self._with_children(state.dirty) | state.tally.waiting

    def run_rounds(self) -> _Pass:
        for _ in range(self._graph.levels + 3):
            if not self._round():
                return self
        moving = [story_of(self.tasks[key], None) for key in sorted(self._next)[:5]]
        rounds = self._graph.levels + 3
        raise InvariantBroken("\n".join([f"run {self.run.id}: no fixpoint after {rounds} rounds", *moving]))

    def _round(self) -> bool:
        if self.run.phase is not RunPhase.RUNNING:
            return False
        run, tasks, now = self.run, self.tasks, self._now
        looked_at = self._next
        self.seen |= looked_at
        decided = _decide_run(run, self.tally, now, assigned=self._assigned)
        changes = []
        for task_id in looked_at:
            task = tasks[task_id]
            if task.status is TaskStatus.NOT_STARTED:
                new = _decide_task(run, task, tasks, now)
                if new is not task:
                    changes.append(new)
        if decided is run and not changes:
            return False
        self.put(changes)
        self.run = _with_notes(decided, changes)
        self._next = self._with_children([t.id for t in changes])
        if decided.is_ending is not run.is_ending:
            self._next = set(tasks)
        elif decided.result is not run.result:
            self._next |= self._graph.roots
        return True

    def put(self, changes: Sequence[Task]) -> None:
        self.tally = self.tally.moved([(self.tasks[new.id], new) for new in changes])
        self.tasks.update((new.id, new) for new in changes)

    def sets(self, *, whole: bool) -> tuple[frozenset[TaskId], frozenset[TaskId]]:
        """The tasks that are runnable, and those that wait for an approval; from those looked at and the old sets."""
        tasks = self.tasks
        ready = {key for key in self.seen if _is_ready(tasks[key], tasks)}
        waiting = {key for key in self.seen if tasks[key].waiting_since is not None}
        if whole:
            return frozenset(ready), frozenset(waiting)
        return (self.tally.runnable - self.seen) | ready, (self.tally.waiting - self.seen) | waiting

    def _with_children(self, ids: Iterable[TaskId]) -> set[TaskId]:
        found = set(ids)
        for task_id in tuple(found):
            found.update(self._graph.children[task_id])
        return found


def _with_notes(run: Run, changes: Iterable[Task]) -> Run:
    """R9: a run keeps which approvals expired, since it may still be a success."""
    notes = {
        Reason(ReasonCode.APPROVAL_EXPIRED, f"approval of {quoted(t.name)} expired")
        for t in changes
        if t.approval_state is ApprovalState.EXPIRED
    }
    if not notes:
        return run
    return replace(run, notes=tuple(sorted(notes.union(run.notes), key=lambda r: (r.code, r.sentence))))


def _count_approval_wait(run: Run, now: datetime, *, only_approvals: bool) -> Run:
    """Keep the stored sum of the time in which nothing but an approval was waited for (R16)."""
    waits = only_approvals and run.phase is RunPhase.RUNNING
    if waits is (run.approval_wait_since is not None):
        return run
    if run.approval_wait_since is None:
        return replace(run, approval_wait_since=now)
    waited = max(now - run.approval_wait_since, timedelta())
    return replace(run, approval_wait_since=None, approval_waited=run.approval_waited + waited)


def _deadline(assignment: Assignment, task: Task) -> datetime | None:
    """When the timeout of an attempt passes; None once it is ordered to stop, for any cause: that came first."""
    if task.timeout is None or assignment.start_time is None or assignment.stop_requested is not None:
        return None
    return assignment.start_time + task.timeout


def _expire_tasks(
    state: RunState, tally: Tally, now: datetime
) -> tuple[Mapping[AssignmentId, Assignment], dict[AssignmentId, Assignment], datetime | None]:
    """R16: mark attempts whose timeout passed, and tell them to stop. They end as failed, when they end (`updates`).

    Returns:
        The live assignments, those that were marked, and a time before which none of the others is due.
    """
    tasks = state.tasks
    if state.tally is not None:
        bound = tally.task_deadline
        for task_id in state.dirty:
            assignment = state.assignments.get(tasks[task_id].assignment)
            due = _deadline(assignment, tasks[task_id]) if assignment is not None else None
            if due is not None and (bound is None or due < bound):
                bound = due
        if bound is None or now < bound:
            return state.assignments, {}, bound
    marked: dict[AssignmentId, Assignment] = {}
    bound = None
    for assignment in state.assignments.values():
        task = tasks[assignment.task_id]
        due = _deadline(assignment, task)
        if due is None:
            continue
        if due <= now:
            reason = task_timed_out(task.timeout)
            marked[assignment.id] = replace(assignment, timed_out=True, stop_requested=now, stop_reason=reason)
        elif bound is None or due < bound:
            bound = due
    live = {**state.assignments, **marked} if marked else state.assignments
    return live, marked, bound


def _order_to_stop(
    assignments: Iterable[Assignment], now: datetime, *, forced: bool, reason: Reason
) -> tuple[dict[AssignmentId, Assignment], dict[AssignmentId, Assignment]]:
    """All of them, and those of them that had not been told so yet, told now."""
    live: dict[AssignmentId, Assignment] = {}
    told: dict[AssignmentId, Assignment] = {}
    for assignment in assignments:
        new = assignment
        if assignment.stop_requested is None or (forced and not assignment.stop_forced):
            if assignment.stop_requested is None:
                new = replace(new, stop_requested=now, stop_reason=reason)
            new = replace(new, stop_forced=forced)
            told[assignment.id] = new
        live[assignment.id] = new
    return live, told


def _by_id(assignments: Mapping[AssignmentId, Assignment]) -> tuple[Assignment, ...]:
    return tuple(assignments[key] for key in sorted(assignments))


def _summarise(
    before: RunState,
    after: RunState,
    *,
    runnable: frozenset[TaskId],
    assignments: tuple[Assignment, ...],
) -> Advanced:
    changed = after.in_order(changed_tasks(before, after))
    return Advanced(
        before=before,
        state=after,
        runnable=after.in_order(runnable),
        tasks=tuple(after.tasks[key] for key in changed),
        assignments=assignments,
        # A run may start and end in one transaction, when all of its tasks are skipped: queued before, finished after.
        frees_group=not before.run.phase.is_terminal and after.run.phase is RunPhase.FINISHED,
    )
