"""Why a run and its tasks are as they are, computed on request from the records and the live executors.

The reason that is stored with a waiting task is of the moment when it began to wait. Here all is evaluated again, by
the functions that start and place, so that the explanation is what the scheduler would decide now. Pure, over one view.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.api.run.v1 import run_service_pb2 as service_api
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.runmodel import groups, queues, remedies
from sluiceway_common.runmodel.executor_state import ExecutorPhase
from sluiceway_common.runmodel.explain import Explanation, explain_queued, explain_run, explain_standing, explain_task
from sluiceway_common.runmodel.model import RunPhase, Task, TaskId
from sluiceway_common.runmodel.placement import Candidate, ExecutorView, Owner, Waiting, place
from sluiceway_common.runmodel.queues import QueueSettings
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_common.runmodel.rules import advance
from sluiceway_common.runmodel.state import RunState
from sluiceway_common.runmodel.wording import duration, moment
from sluiceway_server.datamanager.model import Query, View, Where
from sluiceway_server.runrecords import codec, enums
from sluiceway_server.runrecords.executor_group import with_group_settings
from sluiceway_server.runrecords.executor_record import drain_of, phase_of
from sluiceway_server.runrecords.types import ASSIGNMENT, EXECUTOR, LOCK, QUEUE, RUN, TASK, active_in, lock_id
from sluiceway_server.runrecords.types import task_id as task_key
from sluiceway_server.runs import recovery_hold as holding
from sluiceway_server.runs.executor_times import ExecutorTimes
from sluiceway_server.runs.names import Names
from sluiceway_server.runs.ports import ExecutorDirectory, ScopeSettings
from sluiceway_server.runs.task_quotas import RunningTasks
from sluiceway_server.runs.transaction import load_run
from sluiceway_server.runs.waits import put_waits

QUEUE_WINDOW = 1000
MOST_SETUP_ERRORS = 10
MOST_LOOKED_AT = 100
MOST_HELD = 3
MOST_WAITING = 1000


class Explainer:
    """Explains runs and tasks."""

    def __init__(
        self,
        executors: ExecutorDirectory,
        clock: Clock,
        *,
        times: ExecutorTimes,
        scopes: ScopeSettings | None = None,
    ) -> None:
        self._executors = executors
        self._clock = clock
        self._times = times
        self._scopes = scopes

    def explain_run(self, view: View, run_id: str) -> service_api.RunExplanation | None:
        """Explain a run and each of its tasks that has not succeeded; None when there is no such run."""
        state, record = load_run(view, run_id), view.get(RUN, run_id)
        if state is None or record is None:
            return None
        queued = self._queued(view, state)
        more = self._more(view, state)
        explained = explain_run(state, placed=more.placed, queued=queued)
        shown = service_api.RunExplanation(
            run_id=run_id,
            phase=enums.PHASES[state.run.phase],
            reasons=[codec.encode_reason(reason) for reason in queued or self._standing(view, state, record.run)],
            tasks=[_encode(each, more.of(each)) for each in explained],
        )
        names = Names(view)
        names.put_in_reasons((*shown.reasons, *(reason for task in shown.tasks for reason in task.reasons)))
        return shown

    def _standing(self, view: View, state: RunState, stored: api.Run) -> list[Reason]:
        run = api.Run()
        run.CopyFrom(stored)
        put_waits(view, [run], tasks_looked_at=len(state.tasks))
        waiting = codec.decode_reason(run.waiting) if run.HasField("waiting") else None
        faults = [Reason(ReasonCode.SETUP_ERROR, fault) for fault in stored.setup_errors[:MOST_SETUP_ERRORS]]
        if len(stored.setup_errors) > MOST_SETUP_ERRORS:
            more = len(stored.setup_errors) - MOST_SETUP_ERRORS
            faults.append(Reason(ReasonCode.SETUP_ERROR, f"and {more} more; `sluice run get` shows all"))
        return [*faults, *explain_standing(state, waiting=waiting)]

    def explain_task(self, view: View, run_id: str, task_id: TaskId) -> service_api.TaskExplanation | None:
        """Explain a task; None when there is none."""
        state = load_run(view, run_id)
        if state is None or task_id not in state.tasks:
            return None
        more = self._more(view, state)
        explained = explain_task(state, task_id, placed=more.placed.get(task_id), queued=self._queued(view, state))
        shown = _encode(explained, more.of(explained))
        Names(view).put_in_reasons(shown.reasons)
        return shown

    def _queued(self, view: View, state: RunState) -> tuple[Reason, ...]:
        run = state.run
        if run.phase is not RunPhase.QUEUED:
            return ()
        scope = groups.scope_of(run.group)
        settings = self._scopes.queue_settings(view, scope) if self._scopes is not None else QueueSettings()
        wanted = [active_in(scope, phase) for phase in (api.RUN_PHASE_QUEUED, api.RUN_PHASE_RUNNING)]
        runs = {run.id: run}
        for where in wanted:
            page = view.select(RUN, Query(where=where, order=("created",), size=QUEUE_WINDOW))
            runs |= {key: codec.decode_run(record) for key, record in page.records}
        record = view.get(QUEUE, run.group)
        holder = load_run(view, record.run_id) if record is not None else None
        if holder is not None:
            runs[holder.run.id] = holder.run
        holders = {each: held.run_id for each in {r.group for r in runs.values()} if (held := view.get(QUEUE, each))}
        decided = queues.decide(runs.values(), holders=holders, settings={scope: settings}, now=self._clock.now())
        reasons = explain_queued(run, decided=decided.waiting.get(run.id), holder=holder)
        if any(reason.code == ReasonCode.QUEUE_CONCURRENCY for reason in reasons):
            reasons = (*reasons, remedies.raise_concurrency())
        if holder is None:
            return reasons
        if any(reason.code == ReasonCode.QUEUE_GROUP_HELD for reason in reasons):
            reasons = (*reasons, remedies.stop_holder(holder.run.id))
        tasks = [task for task in holder.tasks.values() if task.hold is not None]
        return (*reasons, *(_held_by(task, f"run {holder.run.number}") for task in tasks[:MOST_HELD]))

    def _held_slots(self, view: View) -> tuple[Reason, ...]:
        """Return which pods are held after a failed step on executors without a free slot, the first few."""
        found: list[Reason] = []
        for executor in self._fleet(view):
            if executor.used < executor.slots:
                continue
            query = Query({"executor_id": executor.id, "live": 1}, size=MOST_LOOKED_AT)
            for _, live in view.select(ASSIGNMENT, query).records:
                task, run = view.get(TASK, task_key(live.run_id, live.task_id)), view.get(RUN, live.run_id)
                if task is not None and run is not None and task.task.HasField("hold"):
                    of = f"run {run.run.number} of {run.run.group} keeps a slot of {executor.id}"
                    found.append(_held_by(codec.decode_task(task), of))
                if len(found) >= MOST_HELD:
                    return tuple(found)
        return tuple(found)

    def _more(self, view: View, state: RunState) -> _More:
        placed, fleet = self._placed(view, state), {each.id: each for each in self._fleet(view)}
        owner = self._owner(view, state)
        more = {key: remedies.of_placement(each, state.tasks[key].needs, fleet, owner) for key, each in placed.items()}
        for key, each in placed.items():
            if each.reason.code == ReasonCode.WAITS_FOR_LOCK:
                record = view.get(LOCK, lock_id(state.run.scope, state.tasks[key].lock))
                more[key] = (remedies.free_lock(record.run_id),) if record is not None else ()
        full = [key for key, each in placed.items() if any(missing.code == "full" for missing, _ in each.kinds)]
        if full:
            shared = (*self._shared(view, state), *self._held_slots(view))
            more |= {key: (*shared, *more[key]) for key in full}
        return _More(placed, more | self._stranded(view, state))

    def _owner(self, view: View, state: RunState) -> Owner:
        return self._scopes.owner(view, state.run.scope) if self._scopes is not None else Owner()

    def _shared(self, view: View, state: RunState) -> tuple[Reason, ...]:
        """Return who else waits for slots: who runs the fewest tasks is next. Nothing if nobody else does."""
        own = state.run.scope
        rows = view.rows(TASK, Query(where={"state": "ready"}, order=("rank",), size=MOST_WAITING)).records
        others = Counter(str(fields["scope"]) for _, fields in rows if fields["scope"] != own)
        if not others:
            return ()
        running = view.count(ASSIGNMENT, {"scope": own, "live": 1}, limit=MOST_WAITING)
        fewer = sum(
            view.count(ASSIGNMENT, {"scope": scope, "live": 1}, limit=MOST_WAITING) < running
            for scope, _ in others.most_common(MOST_LOOKED_AT)
        )
        count, total = len(others), sum(others.values())
        sentence = (
            f"{total} {'task' if total == 1 else 'tasks'} of {count} other {'project' if count == 1 else 'projects'}"
            f" {'waits' if total == 1 else 'wait'} too, and the project that runs the fewest tasks is next: this one"
            f" runs {running}, {fewer} of the others {'runs' if fewer == 1 else 'run'} fewer"
        )
        return (Reason(ReasonCode.SHARES_SLOTS, sentence),)

    def _stranded(self, view: View, state: RunState) -> dict[TaskId, tuple[Reason, ...]]:
        """Explain the tasks that are running and whose executor is away."""
        live = {each.id for each in self._executors.live()}
        found: dict[TaskId, tuple[Reason, ...]] = {}
        for assignment in state.assignments.values():
            record = view.get(EXECUTOR, assignment.executor)
            if assignment.executor in live or record is None:
                continue
            limit = duration(self._times.after_absence(dynamic=record.dynamic))
            seen = codec.read_time(record.last_seen_time) if record.HasField("last_seen_time") else None
            since = f" since {moment(seen)}" if seen is not None else ""
            offline = Reason(
                ReasonCode.EXECUTOR_OFFLINE,
                f"its executor {assignment.executor} is offline{since}: the task continues, or ends, when the executor"
                f" comes back, and is lost when it stays away for {limit}",
            )
            found[assignment.task_id] = (offline, remedies.return_executor(assignment.executor))
        return found

    def _placed(self, view: View, state: RunState) -> dict[TaskId, Waiting]:
        now = self._clock.now()
        runnable = advance(state, now).runnable
        if not runnable:
            return {}
        held = holding.why_held(view)
        if held is not None:
            return {key: Waiting(state.run.id, key, held) for key in runnable}
        owner = self._owner(view, state)
        candidates = [Candidate(state.run, state.tasks[key], owner=owner) for key in runnable]
        locks = {}
        for scope, name in {(state.run.scope, each.task.lock) for each in candidates if each.task.lock}:
            record = view.get(LOCK, lock_id(scope, name))
            if record is not None:
                locks[scope, name] = _holder(view, record.run_id, record.assignment_id)
        quotas = RunningTasks(view).quotas_of([state.run.scope])
        placement = place(
            candidates, self._fleet(view), now=now, locks=locks, running={}, quotas=quotas, with_passed_over=False
        )
        return {waiting.task_id: waiting for waiting in placement.waiting}

    def _fleet(self, view: View) -> list[ExecutorView]:
        live = {each.id: each for each in self._executors.live()}
        found = []
        for record_id, record in view.scan(EXECUTOR):
            if phase_of(record) is not ExecutorPhase.ACTIVE:
                continue
            known = live.get(record_id)
            if known is None:
                gone = ExecutorView(record_id, record.group, record.slots, connected=False)
                labels = dict(record.labels)
                known = replace(gone, archs=frozenset(record.archs), labels=labels, drivers=frozenset(record.drivers))
                known = replace(known, privileged_allowed=record.privileged_allowed)
            where: Where = {"executor_id": record_id, "live": 1}
            used = view.count(ASSIGNMENT, where, limit=1000)
            found.append(replace(known, used=used, draining=known.draining or drain_of(record) is not None))
        return with_group_settings(view, found)


def _holder(view: View, run_id: str, assignment_id: str) -> str:
    record = view.get(RUN, run_id)
    return f"run {record.run.number} of {record.run.group}" if record is not None else f"assignment {assignment_id}"


def _held_by(task: Task, of: str) -> Reason:
    until = f" until {moment(task.hold.expire_time)}" if task.hold is not None else ""
    return Reason(ReasonCode.HELD, f'task "{task.name}" of {of}: it failed, and is held{until}')


@dataclass(frozen=True, slots=True)
class _More:
    """What is known of the tasks of a run besides its records.

    Attributes:
        placed: those that wait for an executor, a lock or a quota, and why.
        reasons: more reasons of those, and of tasks whose executor is away.
    """

    placed: Mapping[TaskId, Waiting]
    reasons: Mapping[TaskId, Sequence[Reason]]

    def of(self, explained: Explanation) -> Sequence[Reason]:
        """Return the further reasons of a task."""
        return self.reasons.get(explained.task_id, ())


def _encode(explained: Explanation, more: Sequence[Reason]) -> service_api.TaskExplanation:
    reasons = [codec.encode_reason(reason) for reason in (*explained.reasons, *more)]
    return service_api.TaskExplanation(
        task_id=explained.task_id, task_name=explained.name, status=enums.STATUSES[explained.status], reasons=reasons
    )
