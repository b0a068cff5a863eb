"""A simulator of one run for the tests of the run model.

A graph is written as `a; b: a; c! *2: a[on_failure,on_skipped] b`: a name, its marks, then its parents with the
conditions of each edge. Marks: `~` its `when` did not match, `!` its failure is ignored, `?` it needs an approval
(`?2d` with a timeout), `*3` at most three attempts, `%lost` retried after that cause too, `@1h` its timeout, `^5` its
priority, `=x` it takes the lock x, `+10m` its wait timeout, `$75` it is retried after this exit status only, `&` its
retry avoids the executor.

The simulator holds each step to what is always true: the state keeps every invariant, a second pass changes nothing,
and a pass that remembers nothing comes to the same state, events and runnable tasks.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway_common.runmodel import creation, invariants, requests, rules, stopping, updates
from sluiceway_common.runmodel.definitions import DependsOn, TaskDefinition
from sluiceway_common.runmodel.model import (
    ApprovalGiven,
    ApprovalNeed,
    Assignment,
    AssignmentPhase,
    Condition,
    Epoch,
    RestartKind,
    Retry,
    RetryCause,
    Task,
    TaskStatus,
)
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_common.runmodel.restart import plan_restart, restart
from sluiceway_common.runmodel.retrying import retry_task
from sluiceway_common.runmodel.state import Change, Event, RunState
from sluiceway_common.runmodel.steps import Steps
from sluiceway_server.runrecords.steps import EncodedSteps, encoded

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_WORDS = {
    "succeeds": (AssignmentPhase.SUCCESS, None),
    "fails": (AssignmentPhase.FAILED, RetryCause.FAILED),
    "times_out": (AssignmentPhase.FAILED, RetryCause.TIMEOUT),
    "fails_in_setup": (AssignmentPhase.FAILED, RetryCause.SETUP),
    "is_stopped": (AssignmentPhase.STOPPED, None),
    "never_starts": (AssignmentPhase.CANCELLED, None),
    "runs": (AssignmentPhase.RUNNING, None),
    "is_accepted": (AssignmentPhase.ACCEPTED, None),
}


STEPS = EncodedSteps.of_definitions(
    definition_api.StepDefinition(name=name, run=definition_api.RunStep()) for name in ("build", "test")
)


def step(phase: str, **fields: object) -> executor_api.StepUpdate:
    """Build a step report: the phase in lower case, and the other fields."""
    return executor_api.StepUpdate(phase=f"STEP_PHASE_{phase.upper()}", **fields)  # type: ignore[arg-type]


def phases(steps: Steps | None) -> str:
    """Return the phases of setup and steps in one line."""
    assert steps is not None
    attempt = encoded(steps).decoded()
    names = [api.StepPhase.Name(each.phase) for each in (attempt.setup_step, *attempt.steps)]
    return ", ".join(name.removeprefix("STEP_PHASE_").lower() for name in names)


def span(text: str) -> timedelta:
    return timedelta(seconds=int(text[:-1]) * _UNITS[text[-1]])


def graph(text: str) -> tuple[TaskDefinition, ...]:
    return tuple(_definition(part.strip()) for part in text.split(";") if part.strip())


def _definition(text: str) -> TaskDefinition:
    head, _, parents = text.partition(":")
    name, *marks = re.findall(r"^[\w./-]+|[~!&]|[?*%@^=+$][\w-]*", head)
    retry_on = set(Retry().on) | {RetryCause(m[1:]) for m in marks if m[0] == "%"}
    found = {m[0]: m[1:] for m in marks}
    approval = ApprovalNeed(span(found["?"])) if found.get("?") else ApprovalNeed()
    return TaskDefinition(
        name=name,
        depends=tuple(
            DependsOn(parent, frozenset(Condition(c) for c in (conditions or "on_success").split(",")))
            for parent, conditions in re.findall(r"([\w./-]+)(?:\[([\w,]+)\])?", parents)
        ),
        skip="~" in found,
        ignore_failure="!" in found,
        approval=approval if "?" in found else None,
        retry=Retry(
            max_attempts=int(found.get("*", "1")),
            on=frozenset(retry_on),
            exit_codes=frozenset({int(found["$"])} if "$" in found else ()),
            avoid_executor="&" in found,
        ),
        timeout=span(found["@"]) if "@" in found else None,
        wait_timeout=span(found["+"]) if "+" in found else None,
        priority=int(found["^"]) if "^" in found else None,
        lock=found.get("=", ""),
        steps=STEPS,
    )


def creation_request(
    tasks: Sequence[TaskDefinition],
    *,
    group: str = "/project/p1/branch/main",
    run_id: str = "run-1",
    now: datetime = START,
    **facts: object,
) -> creation.CreationRequest:
    return creation.CreationRequest(
        id=run_id,
        number=1,
        name="build",
        group=group,
        tasks=tuple(tasks),
        task_ids=[f"{run_id}/{task.name}" for task in tasks],
        now=now,
        **facts,  # type: ignore[arg-type]  # each test names fields of the request
    )


class Simulator:
    """One run under test. `does` takes sentences and raises when the model refuses one."""

    def __init__(self, text: str | Sequence[TaskDefinition], *, start: bool = True, **facts: object) -> None:
        tasks = graph(text) if isinstance(text, str) else tuple(text)
        created = creation.create(creation_request(tasks, **facts))  # type: ignore[arg-type]  # passed on
        self.now = START
        self.state = RunState.of(created.run, created.tasks)
        self.events: list[Event] = list(created.events)
        self.runnable: tuple[str, ...] = ()
        self.final: dict[str, Assignment] = {}
        self.reports: list[updates.Report] = []
        self.last_assignment = 0
        if start:
            self.start()

    # --- looking

    def task(self, name: str) -> Task:
        return next(task for task in self.state.tasks.values() if task.name == name)

    def names(self, ids: Iterable[str]) -> tuple[str, ...]:
        return tuple(self.state.tasks[key].name for key in ids)

    @property
    def runnable_names(self) -> str:
        return " ".join(self.names(self.runnable))

    @property
    def statuses(self) -> str:
        order = self.state.in_order(self.state.tasks)
        return ", ".join(f"{self.state.tasks[key].name} {self.state.tasks[key].status}" for key in order)

    @property
    def standing(self) -> str:
        return f"{self.state.run.phase} {self.state.run.result}"

    def live(self, name: str) -> Assignment:
        return self.state.assignments[self.task(name).assignment]

    def stored(self, key: str) -> Assignment | None:
        return self.state.assignments.get(key) or self.final.get(key)

    # --- moving

    def settle(self, change: Change) -> rules.Advanced:
        before = change.before
        assert before == self.state
        after = rules.settle(change, self.now)
        forgetful = rules.settle(Change(before, change.state.forget(), change.assignments), self.now)
        assert after == forgetful, "what a pass remembers must not change what it comes to"
        self._check_memory(after.state, forgetful.state)
        again = rules.advance(after.state, self.now)
        assert again.state == after.state
        assert (again.events, again.tasks, again.assignments) == ((), (), ())
        assert again.runnable == after.runnable
        assert rules.advance(after.state.forget(), self.now).state == after.state
        invariants.check(after.state, before=before)
        self.state = after.state
        self.events.extend(after.events)
        self.runnable = after.runnable
        for assignment in after.assignments:
            if assignment.phase.is_final:
                assert assignment.id not in self.final
                self.final[assignment.id] = assignment
        return after

    def _check_memory(self, kept: RunState, anew: RunState) -> None:
        if kept.tally is None or anew.tally is None or kept.run.phase.is_terminal:
            return
        due = kept.tally.task_deadline
        # The remembered deadline may be too early (its attempt has ended since), never too late.
        assert anew.tally.task_deadline is None or (due is not None and due <= anew.tally.task_deadline)
        quick, exact = stopping.next_deadline(kept), stopping.next_deadline(anew.forget())
        assert exact is None or (quick is not None and quick <= exact)
        assert replace(kept.tally, task_deadline=None) == replace(anew.tally, task_deadline=None)

    def start(self) -> None:
        self.settle(requests.start_run(self.state, self.now))

    def assign(self, name: str, *, executor: str = "e1", session: str = "s1") -> Assignment:
        self.last_assignment += 1
        change = updates.assign(
            self.state,
            self.task(name).id,
            assignment_id=f"assignment-{self.last_assignment:04}",
            executor=executor,
            session=session,
            database_epoch=1,
            now=self.now,
        )
        self.settle(change)
        return change.assignments[0]

    def report(
        self,
        name: str,
        phase: AssignmentPhase,
        cause: RetryCause | None = None,
        *,
        epoch: Epoch | None = None,
        session: str | None = None,
        assignment: Assignment | None = None,
        steps: Mapping[int, executor_api.StepUpdate] | None = None,
        **said: object,
    ) -> updates.Reported:
        about = assignment or self.live(name)
        merged = None
        if steps is not None:
            for index, each in steps.items():
                each.step = index
            merged = encoded(self.task(name).steps).merged(steps.values())
        told = updates.Report(
            assignment=about.id,
            epoch=epoch or about.epoch,
            session=session or about.session,
            phase=phase,
            cause=cause,
            steps=merged,
            **said,  # type: ignore[arg-type]  # each test names fields of the report
        )
        return self.send(told)

    def send(self, told: updates.Report) -> updates.Reported:
        self.reports.append(told)
        reported = updates.report(self.state, self.stored(told.assignment), told, self.now)
        if reported.outcome is not updates.ReportOutcome.APPLIED:
            assert reported.change.state == self.state
            assert not reported.change.assignments
        self.settle(reported.change)
        return reported

    def lose(self, *names: str) -> None:
        ids = [self.task(name).assignment for name in names]
        reason = Reason(ReasonCode.EXECUTOR_VANISHED, "executor e1 vanished")
        self.settle(updates.mark_lost(self.state, ids, reason=reason, now=self.now))

    def stop(self, *, forced: bool = False) -> None:
        self.settle(requests.request_stop(self.state, by="ann", now=self.now, forced=forced))

    def approve(self, name: str) -> None:
        self.settle(requests.approve(self.state, self.task(name).id, ApprovalGiven("ann", self.now), is_owner=False))

    def reject(self, name: str, why: str = "") -> None:
        self.settle(requests.reject(self.state, self.task(name).id, by="ann", is_owner=False, why=why, now=self.now))

    def retry(self, name: str) -> None:
        self.settle(retry_task(self.state, self.task(name).id, by="ann", now=self.now))

    def restarted(self, kind: RestartKind, names: Sequence[str], *, run_id: str) -> Simulator:
        """Return a simulator of a restart of this run, which is queued."""
        plan = plan_restart(self.state, kind, chosen=[self.task(name).id for name in names])
        ids = {key: f"{run_id}/{self.state.tasks[key].name}" for key in plan.again}
        made = restart(self.state, plan, run_id=run_id, number=2, new_ids=ids, created_by="ann", now=self.now)
        other = copy.copy(self)
        other.state = RunState.of(made.run, made.tasks)
        other.events, other.reports, other.final, other.runnable = list(made.events), [], {}, ()
        return other

    def wait(self, time: timedelta) -> None:
        self.now += time
        self.settle(Change(self.state, self.state))

    def does(self, story: str) -> Simulator:
        """Apply sentences, split by `;`.

        `a succeeds`, `b runs`, `a exits 3`, `stop`, `force stop`, `approve a`, `reject a`, `wait 8d`.
        """
        for sentence in filter(None, map(str.strip, story.split(";"))):
            match sentence.split():
                case ["start"]:
                    self.start()
                case ["stop"]:
                    self.stop()
                case ["force", "stop"]:
                    self.stop(forced=True)
                case ["cancel"]:
                    self.settle(requests.cancel(self.state, by="ann", now=self.now))
                case ["approve", name]:
                    self.approve(name)
                case ["reject", name]:
                    self.reject(name)
                case ["retry", name]:
                    self.retry(name)
                case [name, "exits", code]:
                    if self.task(name).status is not TaskStatus.RUNNING:
                        self.assign(name)
                    failed = {0: step("failed", exit_status=int(code))}
                    self.report(name, AssignmentPhase.FAILED, RetryCause.FAILED, steps=failed)
                case ["wait", time]:
                    self.wait(span(time))
                case ["assign", *names]:
                    for name in names:
                        self.assign(name)
                case ["lose", *names]:
                    for name in names:
                        if self.task(name).status is not TaskStatus.RUNNING:
                            self.assign(name)
                    self.lose(*names)
                case [name, word]:
                    if self.task(name).status is not TaskStatus.RUNNING:
                        self.assign(name)
                    self.report(name, *_WORDS[word])
                case _:
                    raise ValueError(sentence)
        return self

    def finish(self, outcomes: dict[str, str] | None = None) -> Simulator:
        """Run all remaining tasks to their end; approve what waits; outcomes by name, else success."""
        outcomes = outcomes or {}
        for _ in range(20 * len(self.state.tasks) + 20):
            if self.state.run.phase.is_terminal:
                break
            running = [self.state.tasks[a.task_id].name for a in self.state.assignments.values()]
            waiting = [t.name for t in self.state.tasks.values() if t.waiting_since is not None]
            if running:
                name = running[0]
                stopping = self.live(name).stop_requested is not None
                self.does(f"{name} {'is_stopped' if stopping else outcomes.get(name, 'succeeds')}")
            elif self.runnable:
                self.assign(self.runnable_names.split()[0])
            elif waiting:
                self.approve(waiting[0])
            else:
                raise AssertionError(f"nothing can move: {self.statuses}")
        assert self.state.run.phase.is_terminal
        return self
