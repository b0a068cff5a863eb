"""Which queued run may start, which ones are superseded, and how each wait is explained."""

from __future__ import annotations

from datetime import timedelta

from sluiceway_common.runmodel import explain, updates
from sluiceway_common.runmodel.model import Run, RunPhase, StopRequest
from sluiceway_common.runmodel.placement import Missing, Waiting
from sluiceway_common.runmodel.queues import QueueDecision, QueueSettings, decide
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from tests.fakes.run_simulator import START, Simulator

P1 = "/project/p1"


def queued(number: int, group: str = "main", *, scope: str = P1, waited: int = 0, priority: int = 0) -> Run:
    return Run(
        id=f"r{number:02}",
        number=number,
        name="build",
        group=f"{scope}/branch/{group}",
        scope=scope,
        phase=RunPhase.QUEUED,
        create_time=START,
        enqueue_time=START - timedelta(minutes=waited),
        priority=priority,
    )


def running(number: int, group: str = "main", *, only_approval: bool = False, stop: StopRequest | None = None) -> Run:
    return Run(
        id=f"r{number:02}",
        number=number,
        name="build",
        group=f"{P1}/branch/{group}",
        scope=P1,
        phase=RunPhase.RUNNING,
        create_time=START,
        start_time=START,
        approval_wait_since=START if only_approval else None,
        stop=stop,
    )


def decided(*runs: Run, **settings: object) -> QueueDecision:
    holders = {run.group: run.id for run in runs if run.phase is RunPhase.RUNNING}
    return decide(runs, holders=holders, settings={P1: QueueSettings(**settings)}, now=START)  # type: ignore[arg-type]


def test_oldest_run_of_a_free_group_starts() -> None:
    found = decided(queued(2), queued(1))
    assert found.start == ("r01",)
    assert found.waiting["r02"].code == ReasonCode.QUEUE_BEHIND


def test_groups_run_in_parallel() -> None:
    assert decided(queued(1, "a"), queued(2, "b"), running(3, "c")).start == ("r01", "r02")


def test_a_group_that_is_held_starts_nothing() -> None:
    found = decided(running(1), queued(2))
    assert found.start == ()
    assert found.waiting["r02"].code == ReasonCode.QUEUE_GROUP_HELD
    assert found.waiting["r02"].sentence == "run 1 holds the group /project/p1/branch/main until it is finished"


def test_a_group_stays_held_by_a_run_that_is_not_known_here() -> None:
    found = decide([queued(2)], holders={queued(2).group: "r99"}, settings={}, now=START)
    assert (found.start, found.waiting["r02"].code) == ((), ReasonCode.QUEUE_GROUP_HELD)


def test_a_holder_that_waits_for_an_approval_is_reported() -> None:
    found = decided(running(1, only_approval=True), queued(2))
    assert found.waiting["r02"].code == ReasonCode.QUEUE_HOLDER_WAITS_FOR_APPROVAL


def test_concurrency_limits_a_scope_over_all_of_its_groups() -> None:
    found = decided(running(1, "a"), queued(2, "b"), queued(3, "c"), concurrency=2)
    assert found.start == ("r02",)
    assert found.waiting["r03"].code == ReasonCode.QUEUE_CONCURRENCY
    assert found.waiting["r03"].sentence == "2 runs of /project/p1 are running; its concurrency is 2"


def test_concurrency_of_one_scope_does_not_limit_another() -> None:
    assert decided(running(1, "a"), queued(2, "b", scope="/user/u"), concurrency=1).start == ("r02",)


def test_run_that_waits_for_approval_does_not_use_concurrency() -> None:
    assert decided(running(1, "a", only_approval=True), queued(2, "b"), concurrency=1).start == ("r02",)


def test_when_concurrency_is_scarce_priority_and_wait_decide() -> None:
    assert decided(queued(1, "a"), queued(2, "b", priority=1), concurrency=1).start == ("r02",)
    assert decided(queued(1, "a", waited=20), queued(2, "b", priority=1), concurrency=1).start == ("r01",)


def test_superseding_is_off_by_default() -> None:
    found = decided(queued(1), queued(2))
    assert (found.cancel, found.stop) == ((), ())


def test_the_newest_queued_run_cancels_the_older_ones_and_starts() -> None:
    found = decided(queued(1), queued(2), queued(3), queued(4, "other"), cancel_superseded=True)
    assert (found.cancel, found.start) == (("r01", "r02"), ("r03", "r04"))


def test_newer_run_stops_one_that_waits_for_approval() -> None:
    found = decided(running(1, only_approval=True), queued(2), cancel_superseded=True)
    assert (found.stop, found.start) == (("r01",), ())


def test_newer_run_never_stops_one_that_works() -> None:
    assert decided(running(1), queued(2), cancel_superseded=True).stop == ()


def test_a_run_is_asked_to_stop_once() -> None:
    stopping = running(1, only_approval=True, stop=StopRequest(START, "superseded"))
    assert decided(stopping, queued(2), cancel_superseded=True).stop == ()


# --- explanations


def sentences(run: Simulator, name: str, **facts: object) -> list[tuple[str, str]]:
    found = explain.explain_task(run.state, run.task(name).id, **facts)  # type: ignore[arg-type]
    return [(reason.code, reason.sentence) for reason in found.reasons]


def test_a_task_names_the_parents_that_it_waits_for() -> None:
    run = Simulator("a; b *2; c?; d: a b c; e?: d").does("assign a; b fails")
    assert sentences(run, "d") == [
        (
            "waits_for_parents",
            'waits for "a", which is running, "b", which waits for its attempt 2 and "c", which waits for approval',
        )
    ]
    assert sentences(run, "e") == [
        ("waits_for_parents", 'waits for "d", which has not started'),
        ("waits_for_approval", "needs an approval after that"),
    ]


def test_a_task_that_waits_for_approval_says_how_to_give_it() -> None:
    run = Simulator("deploy?")
    assert sentences(run, "deploy") == [
        (
            "waits_for_approval",
            'task "deploy" waits for approval since 2026-01-01 12:00:00Z, for at most 7d; '
            "approve it with: sluice run approve run-1 run-1/deploy",
        )
    ]


def test_a_runnable_task_says_what_placement_said() -> None:
    run = Simulator("a; b")
    waiting = Waiting(
        "run-1",
        "run-1/a",
        Reason(ReasonCode.WAITS_FOR_EXECUTOR, "1 draining"),
        ((Missing("draining", "draining"), ("e1",)),),
    )
    found = explain.explain_run(run.state, placed={"run-1/a": waiting})
    assert [(e.name, e.reasons[0].code, e.lines) for e in found] == [
        ("a", "waits_for_executor", ("1 draining: e1",)),
        ("b", "waits_for_placement", ()),
    ]


def test_a_task_that_is_over_says_why_it_ended_so() -> None:
    run = Simulator("a~; b: a")
    assert sentences(run, "b") == [("edge_not_matched", 'it runs only if "a" succeeds, and "a" was skipped')]


def test_every_task_that_has_not_succeeded_is_explained() -> None:
    run = Simulator("a; b: a; c?: b; d~", start=False)
    codes = {e.name: e.reasons[0].code for e in explain.explain_run(run.state)}
    assert codes == {**dict.fromkeys("abc", "waits_for_run"), "d": "when_not_matched"}
    run.start()
    assert all(e.reasons for e in explain.explain_run(run.state))


def test_queued_run_names_the_approval_that_its_group_waits_for() -> None:
    holder = Simulator("deploy?", group=f"{P1}/branch/main")
    found = decide(
        [holder.state.run, queued(2)], holders={queued(2).group: holder.state.run.id}, settings={}, now=START
    )
    told = explain.explain_queued(
        queued(2), decided=found.waiting["r02"], holder=holder.state, approvers=["bea", "ann"]
    )
    assert [reason.code for reason in told] == ["queue_holder_waits_for_approval"] * 2
    assert 'task "deploy" waits for approval' in told[1].sentence
    assert told[1].sentence.endswith("(it may be approved by ann and bea)")


def test_only_a_queued_run_has_an_explanation_of_its_queue() -> None:
    assert [r.code for r in explain.explain_queued(queued(1), decided=None)] == ["queue_next"]
    assert explain.explain_queued(running(1), decided=None) == ()


def test_runnable_task_keeps_its_placement_explanation() -> None:
    run = Simulator("a; b: a")
    full = Reason(ReasonCode.WAITS_FOR_EXECUTOR, "3 full: 4 of 4")
    after = run.settle(updates.keep_reasons(run.state, {"run-1/a": full, "run-1/b": full, "nothing": full}))
    assert [task.name for task in after.tasks] == ["a"]
    assert sentences(run, "a") == [("waits_for_executor", "3 full: 4 of 4")]
    assert updates.keep_reasons(run.state, {"run-1/a": full}).state is run.state
    run.assign("a")
    assert run.task("a").reason is None
