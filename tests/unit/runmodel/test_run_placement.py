"""Who goes where, in which order, and what is said of the others."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluiceway_common.runmodel.model import AttemptEnd, Needs, Retry, Run, RunPhase, Task, TaskStatus
from sluiceway_common.runmodel.placement import (
    Candidate,
    ExecutorView,
    Owner,
    Placement,
    TaskQuota,
    effective_priority,
    place,
)
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from tests.fakes.run_simulator import START, STEPS


def run_of(scope: str = "/project/p1", **facts: object) -> Run:
    fields = {"id": f"run{scope}", "number": 7, "name": "r", "group": f"{scope}/b", "scope": scope, **facts}
    return Run(phase=RunPhase.RUNNING, create_time=START, **fields)  # type: ignore[arg-type]


def candidate(name: str, run: Run | None = None, *, waited: int = 0, **facts: object) -> Candidate:
    run = run or run_of()
    wants = facts.pop("wants", frozenset())
    since = START - timedelta(minutes=waited)
    task = Task(id=f"{run.id}/{name}", name=name, steps=STEPS, runnable_since=since, **facts)  # type: ignore[arg-type]
    owner = Owner(frozenset({"p1", "acme"}), "project org/acme/app")
    return Candidate(run, task, wants, owner)  # type: ignore[arg-type]


def executor(key: str, slots: int = 4, used: int = 0, **facts: object) -> ExecutorView:
    fields = {"group": "g", "session": f"s-{key}", "archs": frozenset({"amd64"}), **facts}
    return ExecutorView(id=key, slots=slots, used=used, **fields)  # type: ignore[arg-type]


def placed(*candidates: Candidate, on: list[ExecutorView], **facts: object) -> Placement:
    arguments = {"locks": {}, "running": {}, "now": START, **facts}
    return place(candidates, on, **arguments)  # type: ignore[arg-type]


def order(result: Placement) -> list[str]:
    return [choice.task_id.rsplit("/", 1)[1] for choice in result.choices]


FITS = [
    ("no-arch-means-any", Needs(), {}, {}, None),
    ("arch-of-several", Needs(arch="arm64"), {"archs": frozenset({"amd64", "arm64"})}, {}, None),
    ("arch", Needs(arch="arm64"), {}, {}, "1 executor (e1): arch arm64 wanted, have amd64"),
    ("arch-of-none", Needs(arch="arm64"), {"archs": frozenset()}, {}, "1 executor (e1): arch arm64 wanted, have none"),
    ("label", Needs(labels=(("gpu", "yes"),)), {"labels": {"gpu": "yes", "x": "y"}}, {}, None),
    ("label-missing", Needs(labels=(("gpu", "yes"),)), {}, {}, "1 executor (e1): label gpu=yes wanted, have none"),
    ("label-other", Needs(labels=(("gpu", "yes"),)), {"labels": {"gpu": "no"}}, {},
     "1 executor (e1): label gpu=yes wanted, have gpu=no"),
    ("privileged", Needs(privileged=True), {}, {}, "1 executor (e1): privileged pods wanted, not allowed"),
    ("privileged-allowed", Needs(privileged=True), {"privileged_allowed": True}, {}, None),
    ("runtime", Needs(runtime="vm"), {}, {}, "1 executor (e1): runtime vm wanted, have pod"),
    ("driver", Needs(drivers=frozenset({"docker"})), {"drivers": frozenset({"sandbox"})}, {},
     "1 executor (e1): driver docker wanted, have sandbox"),
    ("driver-one-of", Needs(drivers=frozenset({"docker", "sandbox"})), {"drivers": frozenset({"sandbox"})}, {}, None),
    ("offline", Needs(), {"connected": False}, {}, "1 offline: e1"),
    ("draining", Needs(), {"draining": True}, {}, "1 draining: e1"),
    ("full", Needs(), {"used": 4}, {}, "1 full, 4 of 4: e1"),
    ("over-full", Needs(), {"used": 5}, {}, "1 full, 5 of 4: e1"),
    ("no-slots-at-all", Needs(), {"slots": 0}, {}, "1 full, 0 of 0: e1"),
    ("served-project", Needs(), {"serves": frozenset({"p1"})}, {}, None),
    ("served-organisation", Needs(), {"serves": frozenset({"acme"})}, {}, None),
    ("not-served", Needs(arch="arm64"), {"serves": frozenset({"p2"})}, {},
     "1 executor (e1): group g does not serve project org/acme/app"),
    ("serves-nothing", Needs(), {"serves": frozenset()}, {},
     "1 executor (e1): group g does not serve project org/acme/app"),
    ("fork", Needs(), {}, {"from_fork": True}, "1 executor (e1): takes no runs of forks"),
    ("fork-taken", Needs(), {"takes_forks": True}, {"from_fork": True}, None),
    ("fork-privileged", Needs(privileged=True), {"takes_forks": True, "privileged_allowed": True}, {"from_fork": True},
     "1 executor (e1): runs no privileged pods of forks"),
]  # fmt: skip


@pytest.mark.parametrize(("needs", "of", "run", "line"), [pytest.param(*row[1:], id=row[0]) for row in FITS])
def test_an_executor_fits_or_it_is_said_what_is_missing(
    needs: Needs, of: dict[str, object], run: dict[str, object], line: str | None
) -> None:
    result = placed(candidate("a", run_of(**run), needs=needs), on=[executor("e1", **of)])  # type: ignore[arg-type]
    assert len(result.choices) == (line is None)
    assert [w.lines for w in result.waiting] == ([] if line is None else [(line,)])


def test_what_is_missing_is_one_line_for_each_kind_of_executors() -> None:
    fleet = [executor("a1"), executor("a2"), executor("d", archs=frozenset({"arm64"}), draining=True)]
    fleet += [executor(f"f{n}", used=4, archs=frozenset({"arm64"})) for n in range(3)]
    result = placed(candidate("a", needs=Needs(arch="arm64")), on=fleet)
    (waiting,) = result.waiting
    assert waiting.lines == (
        "2 executors (a1 and a2): arch arm64 wanted, have amd64",
        "1 draining: d",
        "3 full, 4 of 4: f0, f1 and f2",
    )
    assert waiting.reason.code == ReasonCode.WAITS_FOR_EXECUTOR
    assert waiting.reason.sentence == "; ".join(waiting.lines)
    assert placed(candidate("a"), on=fleet).waiting == ()


def test_of_many_executors_the_first_few_are_named() -> None:
    full = [executor(f"e{n}", used=4) for n in (5, 3, 1, 2, 4)]
    of_four, of_five = (placed(candidate("a"), on=fleet).waiting[0].lines for fleet in (full[1:], full))
    assert of_four == ("4 full, 4 of 4: e1, e2, e3 and e4",)
    assert of_five == ("5 full, 4 of 4: e1, e2, e3 and 2 more",)


def test_without_executors_it_is_said_that_there_are_none() -> None:
    assert placed(candidate("a"), on=[]).waiting[0].lines == ("no executor is known",)


def test_the_lowest_load_then_what_it_holds_then_the_id_decides() -> None:
    task = candidate("a", wants=frozenset({"ws"}))
    fleet = [
        executor("e1", used=2),
        executor("e2", used=1, slots=8),
        executor("e3", used=1, slots=8, holds=frozenset({"ws"})),
        executor("e4", used=1, slots=8, holds=frozenset({"ws"})),
        executor("e5", used=4),
        executor("e6", draining=True),
    ]
    (choice,) = placed(task, on=fleet).choices
    assert (choice.executor, choice.session) == ("e3", "s-e3")
    assert [(p.executor, p.sentence) for p in choice.passed_over] == [
        ("e1", "higher load: 2 of 4"),
        ("e2", "same load, holds less of the workspaces and caches"),
        ("e4", "as good, a later id"),
        ("e5", "full, 4 of 4"),
        ("e6", "draining"),
    ]


def test_slots_taken_in_this_placement_count() -> None:
    result = placed(*(candidate(f"t{n}") for n in range(5)), on=[executor("e1", 2), executor("e2", 2)])
    assert [c.executor for c in result.choices] == ["e1", "e2", "e1", "e2"]
    assert result.waiting[0].lines == ("2 full, 2 of 2: e1 and e2",)


def test_priority_goes_first() -> None:
    tasks = [candidate("low", priority=-1), candidate("high", priority=2), candidate("mid")]
    assert order(placed(*tasks, on=[executor("e1")])) == ["high", "mid", "low"]


@pytest.mark.parametrize(("minutes", "gained"), [(0, 0), (9, 0), (10, 1), (19, 1), (20, 2), (-5, 0)], ids=str)
def test_priority_grows_by_one_for_each_ten_minutes(minutes: int, gained: int) -> None:
    assert effective_priority(3, START - timedelta(minutes=minutes), START) == 3 + gained


def test_no_task_waits_behind_higher_priorities_for_ever() -> None:
    tasks = [candidate("old", priority=-10, waited=199), candidate("new", priority=10)]
    assert order(placed(*tasks, on=[executor("e1")])) == ["new", "old"]
    tasks = [candidate("old", priority=-10, waited=200), candidate("new", priority=10)]
    assert order(placed(*tasks, on=[executor("e1")])) == ["old", "new"]


def test_owners_share_by_what_each_runs_now() -> None:
    one, two = run_of("/project/p1"), run_of("/project/p2")
    tasks = [candidate(f"a{n}", one) for n in range(4)] + [candidate(f"b{n}", two) for n in range(4)]
    assert order(placed(*tasks, on=[executor("e1", 9)])) == ["a0", "b0", "a1", "b1", "a2", "b2", "a3", "b3"]
    result = placed(*tasks, on=[executor("e1", 4)], running={"/project/p1": 3})
    assert order(result) == ["b0", "b1", "b2", "a0"]


def test_then_level_then_age_then_name() -> None:
    tasks = [
        candidate("deep", level=1, waited=9),
        candidate("b", waited=1),
        candidate("a", waited=1),
        candidate("older", waited=5),
    ]
    assert order(placed(*tasks, on=[executor("e1")])) == ["older", "a", "b", "deep"]


def test_a_task_that_nobody_can_take_holds_back_nobody() -> None:
    tasks = [candidate("stuck", priority=10, needs=Needs(arch="arm"), lock="deploy"), candidate("ok", lock="deploy")]
    result = placed(*tasks, on=[executor("e1")])
    assert order(result) == ["ok"]
    assert [w.task_id.rsplit("/", 1)[1] for w in result.waiting] == ["stuck"]


def test_a_lock_has_one_holder_per_scope() -> None:
    other = run_of("/project/p2")
    tasks = [candidate("a", lock="deploy"), candidate("b", lock="deploy"), candidate("c", other, lock="deploy")]
    result = placed(*tasks, on=[executor("e1")])
    assert order(result) == ["a", "c"]
    assert result.waiting[0].reason.code == ReasonCode.WAITS_FOR_LOCK
    assert result.waiting[0].reason.sentence == 'lock "deploy" is held by task "a" of run 7'


def test_task_waits_for_a_held_lock_and_names_its_holder() -> None:
    held = {("/project/p1", "deploy"): 'task "x" of run 3'}
    result = placed(candidate("a", lock="deploy"), on=[executor("e1")], locks=held)
    assert result.waiting[0].reason.sentence == 'lock "deploy" is held by task "x" of run 3'
    assert held == {("/project/p1", "deploy"): 'task "x" of run 3'}


def test_quota_is_shared_by_its_owners_and_blocks_no_other() -> None:
    one, two, three = (run_of(f"/project/p{n}") for n in (1, 2, 3))
    acme = TaskQuota("acme", "organization acme", limit=3, used=1)
    tasks = [candidate("a", one), candidate("b", one), candidate("c", two), candidate("d", three)]
    quotas = {"/project/p1": [acme], "/project/p2": [acme]}
    result = placed(*tasks, on=[executor("e1", 9)], quotas=quotas)
    assert sorted(order(result)) == ["a", "c", "d"]
    assert result.waiting[0].reason == Reason(
        ReasonCode.WAITS_FOR_QUOTA, "quota of running tasks: 3 of 3 of organization acme"
    )


def test_nearest_quota_that_is_used_up_is_named() -> None:
    quotas = {"/project/p1": [TaskQuota("p1", "project p1", 2, 2), TaskQuota("acme", "organization acme", 2, 2)]}
    result = placed(candidate("a", lock="x"), on=[], quotas=quotas, locks={("/project/p1", "x"): "somebody"})
    assert result.waiting[0].reason.sentence == "quota of running tasks: 2 of 2 of project p1"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_placement_is_sound_whatever_the_order_of_its_arguments(seed: int) -> None:
    rng = random.Random(seed)
    runs = [run_of(f"/project/p{n}") for n in range(3)]
    tasks = [
        candidate(
            f"t{n}",
            rng.choice(runs),
            waited=rng.randrange(40),
            priority=rng.randrange(-2, 3),
            lock=rng.choice(("", "", "x")),
            needs=Needs(arch=rng.choice(("", "amd64", "arm64"))),
        )
        for n in range(rng.randrange(12))
    ]
    fleet = [
        executor(
            f"e{n}",
            slots=rng.randrange(4),
            used=rng.randrange(3),
            archs=frozenset(rng.sample(("amd64", "arm64"), rng.randrange(3))),
            draining=rng.random() < 0.2,
        )
        for n in range(rng.randrange(5))
    ]
    result = placed(*tasks, on=fleet)
    assert placed(*rng.sample(tasks, len(tasks)), on=rng.sample(fleet, len(fleet))) == result
    assert len(result.choices) + len(result.waiting) == len(tasks)
    by_id = {c.task.id: c for c in tasks}
    used = {e.id: e.used for e in fleet}
    locks = [by_id[c.task_id].run.scope for c in result.choices if by_id[c.task_id].task.lock]
    assert len(locks) == len(set(locks))
    for choice in result.choices:
        used[choice.executor] += 1
        assert {p.executor for p in choice.passed_over} == {e.id for e in fleet} - {choice.executor}
    after = [replace(e, used=used[e.id]) for e in fleet]
    assert all(e.used <= max(e.slots, f.used) for e, f in zip(after, fleet, strict=True))
    for waiting in result.waiting:
        # Nobody waits while an executor that fits has a free slot, but for a lock.
        left = by_id[waiting.task_id]
        if waiting.reason.code == ReasonCode.WAITS_FOR_EXECUTOR:
            again = placed(left, on=after)
            assert not again.choices
            assert again.waiting[0].lines == waiting.lines


def second_attempt(executor: str = "e1", *, avoids: bool = True) -> Candidate:
    last = AttemptEnd(TaskStatus.FAILED, 1, "assignment-1", executor, STEPS, START)
    retry = Retry(max_attempts=3, avoid_executor=avoids)
    return candidate("a", attempt=2, previous=last, retry=retry)


AVOIDS = [
    ("another-is-chosen-though-it-has-more-load", second_attempt(), [executor("e1"), executor("e2", used=3)], ["e2"]),
    ("not-asked-for", second_attempt(avoids=False), [executor("e1"), executor("e2", used=3)], ["e1"]),
    ("no-other-fits", second_attempt(), [executor("e1"), executor("e2", draining=True)], ["e1"]),
    ("it-is-the-only-one", second_attempt(), [executor("e1")], ["e1"]),
    ("the-other-is-full", second_attempt(), [executor("e1"), executor("e2", used=4)], []),
    ("it-is-gone", second_attempt("e0"), [executor("e1")], ["e1"]),
    ("first-attempt", candidate("a", retry=Retry(avoid_executor=True)), [executor("e1")], ["e1"]),
]


@pytest.mark.parametrize(("task", "fleet", "chosen"), [pytest.param(*row[1:], id=row[0]) for row in AVOIDS])
def test_retry_avoids_the_executor_of_the_last_attempt(
    task: Candidate, fleet: list[ExecutorView], chosen: list[str]
) -> None:
    assert [choice.executor for choice in placed(task, on=fleet).choices] == chosen


def test_retry_that_waits_for_another_executor_says_so() -> None:
    fleet = [executor("e1"), executor("e2", used=4)]
    (waiting,) = placed(second_attempt(), on=fleet).waiting
    avoided = "1 executor (e1): ran the last attempt, and the retry avoids it"
    assert waiting.lines == (avoided, "1 full, 4 of 4: e2")
    # A task with the same needs that avoids nothing still gets the slot.
    other = candidate("b", waited=20)
    assert [choice.task_id for choice in placed(second_attempt(), other, on=fleet).choices] == [other.task.id]


def test_avoided_executor_is_named_among_those_passed_over() -> None:
    (choice,) = placed(second_attempt(), on=[executor("e1"), executor("e2")]).choices
    assert [(each.executor, each.code) for each in choice.passed_over] == [("e1", "avoided")]
