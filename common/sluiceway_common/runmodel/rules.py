"""The pass: the rules of docs/design/run-model.md, applied to a run until nothing changes.

A *round* decides for the run and for each task by looking at the frozen present state only (`decisions`), then makes
all changes at once. A *pass* (`advance`) repeats rounds until one changes nothing. Only that fixpoint is stored, and
only it says what is runnable. So no decision depends on the order of tasks or of a mapping, a chain of skipped tasks
takes one pass, and no task that a failure cancels starts in the transaction that records the failure.

A round evaluates a task only if something that its decision reads has changed: the task, a parent, or result and phase
of the run. A state that remembers no earlier pass has all of its tasks evaluated, with the same result.

What people ask for (`requests`) and what executors report (`updates`) are a `Change`; `settle` applies the pass to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sluiceway_common.runmodel.decisions import decide_run, decide_task, is_ready, with_notes
from sluiceway_common.runmodel.model import (
    ApprovalState,
    Assignment,
    AssignmentId,
    Run,
    RunPhase,
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
from sluiceway_common.runmodel.stopping import by_id, count_approval_wait, expire_tasks, order_to_stop
from sluiceway_common.runmodel.wording import quoted, story_of, why_ending


@dataclass(frozen=True, slots=True)
class Advanced:
    """The outcome of a pass.

    Attributes:
        before: the stored state with which `tasks` and `events` compare.
        state: the fixpoint, to be stored.
        runnable: the tasks that R10 names, by level, name and id. Which goes first is placement's decision.
        tasks: the tasks that differ from the stored ones, in the same order.
        assignments: live assignments that changed (stop requested, timed out), by id; after `settle` the change's too.
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

        They are computed at each call, because a transaction of several passes needs those of all passes together.
        """
        return events_between(self.before, self.state, [task.id for task in self.tasks])

    def then(self, later: Change) -> Change:
        """Continue in the same transaction with a change of `state`, such as an assignment; then call `settle`."""
        return Change(self.before, self.state, self.assignments).then(later)


def advance(state: RunState, now: datetime, *, since: RunState | None = None) -> Advanced:
    """Apply the rules until nothing changes (R1-R10, R16).

    A second call at the same time changes nothing (R19); at a later time, only timeouts change something.

    Args:
        state: the present state; only its dirty tasks are evaluated, or all if it remembers nothing.
        now: the time of the transaction.
        since: the stored state with which events and changed tasks compare; None: `state` itself.

    Raises:
        InvariantBroken: no fixpoint after (number of levels + 4) rounds.
    """
    before = state if since is None else since
    if state.run.phase is not RunPhase.RUNNING:
        return _summarise(before, state, runnable=frozenset(), assignments=())
    whole = state.tally is None
    tally = count(state.tasks.values()) if state.tally is None else state.tally
    live, marked, task_deadline = expire_tasks(state, tally, now)
    after = _Pass(state, tally, live, now).run_rounds()
    stopping = after.run.timed_out and not state.run.timed_out
    if stopping:
        # R7: what runs at this moment is ordered to stop; clean-ups that are assigned later are not.
        live, ordered = order_to_stop(live.values(), now, forced=False, reason=why_ending(after.run))
        marked |= ordered
    runnable, waiting, timed = after.sets(whole=whole)
    tasks = after.tasks
    after.put(
        [fast_replace(tasks[key], runnable_since=now) for key in after.seen & runnable if not tasks[key].runnable_since]
    )
    run = count_approval_wait(after.run, now, only_approvals=bool(waiting) and not live and not runnable)
    if run.phase is not RunPhase.RUNNING:
        runnable = waiting = timed = frozenset()
    settled = RunState(
        run=run,
        tasks=tasks,
        assignments=live,
        graph=state.graph,
        tally=replace(after.tally, waiting=waiting, runnable=runnable, timed=timed, task_deadline=task_deadline),
    )
    return _summarise(before, settled, runnable=runnable, assignments=by_id(marked))


def settle(change: Change, now: datetime) -> Advanced:
    """Apply the pass that follows a change; events, tasks and assignments are those since the stored state."""
    after = advance(change.state, now, since=change.before)
    if not change.assignments:
        return after
    merged = {a.id: a for a in (*change.assignments, *after.assignments)}
    return replace(after, assignments=by_id(merged))


class _Pass:
    """The rounds of one pass. Mutable, and used in `advance` only, so that the tasks of a large run are copied once."""

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
            # An approval and a wait can end by time alone.
            self._next = self._with_children(state.dirty) | state.tally.waiting | state.tally.timed

    def run_rounds(self) -> _Pass:
        for _ in range(self._graph.levels + 4):
            if not self._round():
                return self
        moving = [story_of(self.tasks[key], None) for key in sorted(self._next)[:5]]
        rounds = self._graph.levels + 4
        raise InvariantBroken("\n".join([f"run {self.run.id}: no fixpoint after {rounds} rounds", *moving]))

    def _round(self) -> bool:
        if self.run.phase is not RunPhase.RUNNING:
            return False
        run, tasks, now = self.run, self.tasks, self._now
        evaluated = self._next
        self.seen |= evaluated
        decided = decide_run(run, self.tally, now, assigned=self._assigned)
        changes = []
        for task_id in evaluated:
            task = tasks[task_id]
            if task.status is TaskStatus.NOT_STARTED:
                new = decide_task(run, task, tasks, now)
                if new is not task:
                    changes.append(new)
        if decided is run and not changes:
            return False
        self.put(changes)
        self.run = with_notes(
            decided,
            [
                Reason(ReasonCode.APPROVAL_EXPIRED, f"approval of {quoted(task.name)} expired")
                for task in changes
                if task.approval_state is ApprovalState.EXPIRED
            ],
        )
        self._next = self._with_children([t.id for t in changes])
        if decided.is_ending is not run.is_ending:
            self._next = set(tasks)
        elif decided.result is not run.result:
            self._next |= self._graph.roots
        return True

    def put(self, changes: Sequence[Task]) -> None:
        self.tally = self.tally.moved([(self.tasks[new.id], new) for new in changes])
        self.tasks.update((new.id, new) for new in changes)

    def sets(self, *, whole: bool) -> tuple[frozenset[TaskId], frozenset[TaskId], frozenset[TaskId]]:
        """Return the tasks that are runnable, those that wait for an approval, and those of `Tally.timed`."""
        tasks = self.tasks
        ready = {key for key in self.seen if is_ready(tasks[key], tasks)}
        waiting = {key for key in self.seen if tasks[key].waiting_since is not None}
        timed = {key for key in ready if tasks[key].wait_timeout is not None}
        if whole:
            return frozenset(ready), frozenset(waiting), frozenset(timed)
        old, seen = self.tally, self.seen
        return (old.runnable - seen) | ready, (old.waiting - seen) | waiting, (old.timed - seen) | timed

    def _with_children(self, ids: Iterable[TaskId]) -> set[TaskId]:
        found = set(ids)
        for task_id in tuple(found):
            found.update(self._graph.children[task_id])
        return found


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
