"""What holds for every graph and every history: R19, R20, and that everything ends.

The simulator itself checks, at each step of each example here: invariants, that a second pass changes nothing (R19),
and that a pass which remembers nothing comes to the same state, events and runnable tasks.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from sluiceway_common.runmodel import requests, rules, updates
from sluiceway_common.runmodel.definitions import DependsOn, TaskDefinition
from sluiceway_common.runmodel.model import ApprovalNeed, AssignmentPhase, Condition, Retry, RetryCause, TaskStatus
from sluiceway_common.runmodel.state import Change, Event, EventKind, RunState
from tests.fakes.run_simulator import STEPS, Simulator

OUTCOMES = ("succeeds", "succeeds", "fails", "times_out", "fails_in_setup", "is_stopped", "never_starts")

conditions = st.frozensets(st.sampled_from(list(Condition)), min_size=1, max_size=3) | st.just(
    frozenset({Condition.ON_SUCCESS})
)


@st.composite
def graphs(draw: st.DrawFn, max_tasks: int = 9) -> tuple[TaskDefinition, ...]:
    tasks: list[TaskDefinition] = []
    for index in range(draw(st.integers(1, max_tasks))):
        parents = draw(st.lists(st.sampled_from(range(index)), unique=True, max_size=3)) if index else []
        tasks.append(
            TaskDefinition(
                name=f"t{index}",
                steps=STEPS,
                depends=tuple(DependsOn(f"t{parent}", draw(conditions)) for parent in parents),
                skip=draw(st.integers(0, 7)) == 0,
                ignore_failure=draw(st.integers(0, 3)) == 0,
                approval=ApprovalNeed(timedelta(hours=3)) if draw(st.integers(0, 4)) == 0 else None,
                retry=Retry(
                    max_attempts=draw(st.sampled_from((1, 1, 1, 2, 3))),
                    on=draw(st.frozensets(st.sampled_from(list(RetryCause)), max_size=4)),
                    exit_codes=draw(st.sampled_from((frozenset(), frozenset(), frozenset({75})))),
                ),
                wait_timeout=draw(st.none() | st.none() | st.just(timedelta(hours=1))),
                timeout=draw(st.none() | st.just(timedelta(hours=2))),
            )
        )
    return tuple(draw(st.permutations(tasks)))


def act(run: Simulator, rng: random.Random) -> None:
    """Do one thing that could happen now, by chance."""
    moves = ["wait", "stop", "force", "duplicate", "stale"] if rng.random() < 0.15 else []
    waiting = [t.name for t in run.state.tasks.values() if t.waiting_since is not None]
    live = [run.state.tasks[a.task_id].name for a in run.state.assignments.values()]
    moves += (
        ["approve", "reject"] * len(waiting)
        + ["assign"] * len(run.runnable)
        + ["end"] * len(live)
        + ["runs"] * len(live)
    )
    moves += ["lose"] * (len(live) > 0)
    match rng.choice(moves or ["wait"]):
        case "wait":
            run.wait(timedelta(minutes=rng.choice((1, 30, 60, 181))))
        case "stop":
            run.stop()
        case "force":
            run.stop(forced=True)
        case "duplicate" if run.reports:
            run.send(rng.choice(run.reports))
        case "stale" if live:
            run.report(rng.choice(live), AssignmentPhase.SUCCESS, session="another")
        case "approve":
            run.approve(rng.choice(waiting))
        case "reject":
            run.reject(rng.choice(waiting))
        case "assign":
            run.assign(rng.choice(run.names(run.runnable)))
        case "end":
            run.does(f"{rng.choice(live)} {rng.choice(OUTCOMES)}")
        case "runs":
            run.does(f"{rng.choice(live)} {rng.choice(('runs', 'is_accepted'))}")
        case "lose":
            run.lose(rng.choice(live))


def play(run: Simulator, seed: int, *, at_most: int = 60) -> Simulator:
    rng = random.Random(seed)
    for _ in range(at_most):
        if run.state.run.phase.is_terminal:
            break
        act(run, rng)
    return run


@settings(max_examples=150, deadline=None)
@given(graphs(), st.integers(0, 2**32), st.none() | st.just(timedelta(hours=5)))
def test_every_run_whose_tasks_all_end_is_finished(
    tasks: tuple[TaskDefinition, ...], seed: int, timeout: timedelta | None
) -> None:
    run = play(Simulator(tasks, timeout=timeout), seed).finish()
    assert run.state.run.phase == "finished"
    assert all(task.status.is_finished for task in run.state.tasks.values())
    assert not run.state.assignments
    assert replay(run) == {
        **{task.id: task.status for task in run.state.tasks.values() if task.status is not TaskStatus.NOT_STARTED},
        "phase": run.state.run.phase,
        "result": run.state.run.result,
    }


def replay(run: Simulator) -> dict[str, str]:
    """The end according to the events: each event must begin where the last one of its field ended."""
    told: dict[str, str] = {}
    for event in run.events:
        key = event.task_id or event.kind
        if event.kind in (EventKind.APPROVAL, EventKind.EXECUTOR):
            continue
        assert told.get(key, _first(event)) == event.old, event
        told[key] = event.new
    return told


def _first(event: Event) -> str:
    if event.kind is EventKind.RESULT:
        return "unset"
    return event.old if event.old in ("", "not_started") else "?"


@settings(max_examples=100, deadline=None)
@given(graphs(), st.integers(0, 2**32), st.booleans())
def test_stop_always_ends(tasks: tuple[TaskDefinition, ...], seed: int, forced: bool) -> None:
    run = play(Simulator(tasks), seed, at_most=10)
    if run.state.run.phase.is_terminal:
        return
    run.stop(forced=forced)
    if forced:
        assert run.runnable == ()
    assert all(run.state.tasks[key].is_clean_up for key in run.runnable)
    # No approval, no retry and no new work stands between a stopped run and its end.
    assert not any(task.waiting_since for task in run.state.tasks.values())
    begun = len(run.final) + len(run.state.assignments)
    run.finish()
    assert len(run.final) - begun <= (0 if forced else sum(task.is_clean_up for task in run.state.tasks.values()))


@settings(max_examples=100, deadline=None)
@given(graphs(), st.integers(0, 2**32))
def test_the_same_report_twice_equals_once(tasks: tuple[TaskDefinition, ...], seed: int) -> None:
    run = play(Simulator(tasks), seed)
    before, told = run.state, len(run.events)
    for said in run.reports[:]:
        again = run.send(said)
        assert again.outcome is not updates.ReportOutcome.APPLIED
    assert run.state == before
    assert len(run.events) == told


@settings(max_examples=60, deadline=None)
@given(graphs(), st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_no_decision_depends_on_the_order_of_tasks_or_edges(
    tasks: tuple[TaskDefinition, ...], seed: int, shuffler: random.Random
) -> None:
    run = play(Simulator(tasks), seed, at_most=12)
    shuffled = list(run.state.tasks.values())
    shuffler.shuffle(shuffled)
    state = RunState.of(
        run.state.run,
        [replace(t, depends=tuple(shuffler.sample(t.depends, len(t.depends)))) for t in shuffled],
        reversed(list(run.state.assignments.values())),
    )
    for here, there in _both(run, state):
        assert (here.run, here.events, here.runnable) == (there.run, there.events, there.runnable)
        assert {t.id: replace(t, depends=()) for t in here.tasks} == {t.id: replace(t, depends=()) for t in there.tasks}


def _both(run: Simulator, other: RunState) -> list[tuple[rules.Advanced, rules.Advanced]]:
    now = run.now
    pairs = [(rules.advance(run.state, now), rules.advance(other, now))]
    if not run.state.run.phase.is_terminal:
        stops = [rules.settle(requests.request_stop(state, by="ann", now=now), now) for state in (run.state, other)]
        pairs.append((stops[0], stops[1]))
    for live in run.state.assignments.values():
        said = updates.Report(live.id, live.epoch, live.session, AssignmentPhase.FAILED)
        reports = [rules.settle(updates.report(state, live, said, now).change, now) for state in (run.state, other)]
        pairs.append((reports[0], reports[1]))
    return pairs


@settings(max_examples=80, deadline=None)
@given(graphs(), st.integers(0, 2**32), st.lists(st.sampled_from(("succeeds", "fails", "is_stopped")), min_size=3))
def test_updates_of_one_batch_may_come_in_any_order(
    tasks: tuple[TaskDefinition, ...], seed: int, ends: list[str]
) -> None:
    run = play(Simulator(tasks), seed, at_most=8)
    for name in run.names(run.runnable)[:3]:
        run.assign(name)
    said = [
        updates.Report(live.id, live.epoch, live.session, _PHASES[end], RetryCause.FAILED)
        for live, end in zip(list(run.state.assignments.values())[:3], ends, strict=False)
    ]
    ended = []
    for order in permutations(said):
        ended.append(_one_pass_each(run, order))
        ended.append(_one_pass_for_all(run, order))
    for other in ended[1:]:
        assert other == ended[0]


_PHASES = {
    "succeeds": AssignmentPhase.SUCCESS,
    "fails": AssignmentPhase.FAILED,
    "is_stopped": AssignmentPhase.STOPPED,
}


def _one_pass_each(run: Simulator, order: tuple[updates.Report, ...]) -> tuple[RunState, tuple[str, ...]]:
    state, runnable = run.state, run.runnable
    for said in order:
        stored = state.assignments[said.assignment]
        after = rules.settle(updates.report(state, stored, said, run.now).change, run.now)
        state, runnable = after.state, after.runnable
    return state, runnable


def _one_pass_for_all(run: Simulator, order: tuple[updates.Report, ...]) -> tuple[RunState, tuple[str, ...]]:
    change = Change(run.state, run.state)
    for said in order:
        stored = change.state.assignments[said.assignment]
        change = change.then(updates.report(change.state, stored, said, run.now).change)
    after = rules.settle(change, run.now)
    return after.state, after.runnable


@settings(max_examples=80, deadline=None)
@given(graphs(), st.integers(0, 2**32), st.integers(0, 2**32), st.data())
def test_result_depends_on_outcomes_and_not_on_their_order(
    tasks: tuple[TaskDefinition, ...], one: int, other: int, data: st.DataObject
) -> None:
    outcomes = {task.name: data.draw(st.sampled_from(("succeeds", "fails", "is_stopped"))) for task in tasks}
    results = set()
    for seed in (one, other):
        rng, run = random.Random(seed), Simulator(tasks)
        while not run.state.run.phase.is_terminal:
            live = [run.state.tasks[a.task_id].name for a in run.state.assignments.values()]
            waiting = [t.name for t in run.state.tasks.values() if t.waiting_since is not None]
            moves = [*(("assign", n) for n in run.names(run.runnable)), *(("approve", n) for n in waiting)]
            move = rng.choice([*moves, *((n, outcomes[n]) for n in live)])
            run.does(" ".join(move))
        results.add(run.state.run.result)
    assert len(results) == 1
