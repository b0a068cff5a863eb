"""R5, R7-R9, R11-R17 and R22, a row a case: every outcome of a parent against every condition, and where rules meet.

The rows of `test_rules_table` are about one rule each. `b` depends on `a`; a row says what becomes of it.
"""

from __future__ import annotations

import pytest

from sluiceway_common.foundation.errors import SluicewayError
from tests.fakes.run_simulator import Simulator

RUNS, SKIPPED = "not_started", "skipped"

# how a ends, the condition of b, what becomes of b
EDGES = [
    ("a succeeds", "on_success", RUNS),
    ("a succeeds", "on_failure", SKIPPED),
    ("a succeeds", "on_skipped", SKIPPED),
    ("a succeeds", "on_stopped", SKIPPED),
    ("a succeeds", "always", RUNS),
    ("a fails", "on_success", SKIPPED),
    ("a fails", "on_failure", RUNS),
    ("a fails", "on_skipped", SKIPPED),
    ("a fails", "on_stopped", SKIPPED),
    ("a fails", "always", RUNS),
    ("a times_out", "on_success", SKIPPED),
    ("a times_out", "on_failure", RUNS),
    ("a times_out", "on_stopped", SKIPPED),
    ("a times_out", "always", RUNS),
    ("a fails_in_setup", "on_success", SKIPPED),
    ("a fails_in_setup", "on_failure", RUNS),
    ("a fails_in_setup", "always", RUNS),
    ("lose a", "on_success", SKIPPED),
    ("lose a", "on_failure", RUNS),
    ("lose a", "on_skipped", SKIPPED),
    ("lose a", "on_stopped", SKIPPED),
    ("lose a", "always", RUNS),
    ("a is_stopped", "on_success", SKIPPED),
    ("a is_stopped", "on_failure", SKIPPED),
    ("a is_stopped", "on_skipped", SKIPPED),
    ("a is_stopped", "on_stopped", RUNS),
    ("a is_stopped", "always", RUNS),
    ("a never_starts", "on_success", SKIPPED),
    ("a never_starts", "on_failure", SKIPPED),
    ("a never_starts", "on_stopped", RUNS),
    ("a never_starts", "always", RUNS),
    ("a succeeds", "on_success,on_failure", RUNS),
    ("a fails", "on_success,on_failure", RUNS),
    ("a is_stopped", "on_success,on_failure", SKIPPED),
    ("a is_stopped", "on_failure,on_stopped", RUNS),
]


@pytest.mark.parametrize(("ends", "condition", "becomes"), EDGES)
def test_child_follows_its_condition(ends: str, condition: str, becomes: str) -> None:
    run = Simulator(f"a; b: a[{condition}]").does(ends)
    assert run.task("b").status == becomes
    assert (run.runnable_names == "b") is (becomes == RUNS)


# the graph, what happens, the condition of b, what becomes of b
SKIPS = [
    ("a~", "on_success", SKIPPED),
    ("a~", "on_failure", SKIPPED),
    ("a~", "on_skipped", RUNS),
    ("a~", "on_stopped", SKIPPED),
    ("a~", "always", RUNS),
    ("a~", "on_failure,on_skipped", RUNS),
]


@pytest.mark.parametrize(("parent", "condition", "becomes"), SKIPS)
def test_child_of_a_skipped_task_follows_its_condition(parent: str, condition: str, becomes: str) -> None:
    assert Simulator(f"{parent}; b: a[{condition}]; c").task("b").status == becomes


# id, graph, what happens, standing, statuses, runnable
MEETINGS = [
    ("two-parents-both-must-match", "a; b; c: a b", "a succeeds; b fails", "finished failed",
     "a success, b failed, c skipped", ""),
    ("two-parents-one-is-not-over", "a; b; c: a b", "a succeeds", "running unset",
     "a success, b not_started, c not_started", "b"),
    ("a-failed-parent-skips-only-when-all-are-over", "a; b; c: a b", "assign b; a fails", "running failed",
     "a failed, b running, c not_started", ""),
    ("each-edge-has-its-conditions", "a; b; c: a[on_failure] b", "b succeeds; a fails", "running failed",
     "a failed, b success, c not_started", "c"),
    ("skips-run-through-a-chain", "a; b: a; c: b; d: c", "a fails", "finished failed",
     "a failed, b skipped, c skipped, d skipped", ""),
    ("a-chain-of-skips-ends-in-on-skipped", "a; b: a; c: b; d: c[on_skipped]", "a fails", "running failed",
     "a failed, b skipped, c skipped, d not_started", "d"),
    ("a-chain-of-skips-ends-in-always", "a; b: a; c: b[always]", "a fails", "running failed",
     "a failed, b skipped, c not_started", "c"),
    ("a-failure-after-the-result-changes-nothing", "a; b", "assign a b; a fails; b fails", "finished failed",
     "a failed, b failed", ""),
    ("a-success-after-a-failure-changes-nothing", "a; b", "assign a b; a fails; b succeeds", "finished failed",
     "a failed, b success", ""),
    ("an-ignored-failure-beside-a-failure", "a!; b", "assign a b; a fails; b fails", "finished failed",
     "a failed, b failed", ""),
    ("an-ignored-failure-of-a-child", "a; b!: a", "a succeeds; b fails", "finished success", "a success, b failed", ""),
    ("on-failure-of-an-ignored-failure-fails-the-run", "a!; b: a[on_failure]", "a fails; b fails", "finished failed",
     "a failed, b failed", ""),
    ("a-stop-does-not-undo-a-failure", "a; b", "assign a b; a fails; stop; b is_stopped", "finished failed",
     "a failed, b stopped", ""),
    ("a-stop-keeps-a-success", "a; b: a", "a succeeds; stop", "finished stopped", "a success, b skipped", ""),
    ("a-success-while-stopping-is-kept", "a; b: a", "assign a; stop; a succeeds", "finished stopped",
     "a success, b skipped", ""),
    ("a-stop-skips-the-next-level", "a; b: a; c: b[on_failure]", "assign a; stop; a is_stopped", "finished stopped",
     "a stopped, b skipped, c skipped", ""),
    ("a-stop-runs-on-stopped", "a; b: a[on_stopped]", "assign a; stop; a is_stopped", "running stopped",
     "a stopped, b not_started", "b"),
    ("a-stop-runs-always", "a; b: a[always]", "assign a; stop; a succeeds", "running stopped",
     "a success, b not_started", "b"),
    ("a-stop-skips-a-mix-of-edges", "a; b; c: a[always] b", "assign a b; stop; a is_stopped; b is_stopped",
     "finished stopped", "a stopped, b stopped, c skipped", ""),
    ("a-stop-skips-a-clean-up-that-needs-approval", "a; b?: a[always]", "assign a; stop; a is_stopped",
     "finished stopped", "a stopped, b skipped", ""),
    ("a-forced-stop-skips-clean-ups", "a; b: a[always]", "assign a; force stop; a is_stopped", "finished stopped",
     "a stopped, b skipped", ""),
    ("a-forced-stop-after-a-stop-skips-them-too", "a; b: a[always]", "assign a; stop; force stop; a is_stopped",
     "finished stopped", "a stopped, b skipped", ""),
    ("a-failed-clean-up-after-a-stop-stays-stopped", "a; b: a[always]", "assign a; stop; a is_stopped; b fails",
     "finished stopped", "a stopped, b failed", ""),
    ("a-lost-task-while-stopping-stays-stopped", "a", "assign a; stop; lose a", "finished stopped", "a lost", ""),
    ("a-stop-clears-an-approval", "a?; b", "assign b; stop; b is_stopped", "finished stopped",
     "a skipped, b stopped", ""),
    ("a-cancel-ends-every-task", "a; b: a; c?", "cancel", "cancelled unset",
     "a cancelled, c cancelled, b cancelled", ""),
    ("a-cancel-leaves-what-when-skipped", "a~; b", "cancel", "cancelled unset", "a skipped, b cancelled", ""),
    ("an-approval-waits-for-the-parents", "a; b?: a", "", "running unset", "a not_started, b not_started", "a"),
    ("an-approval-is-not-asked-after-a-failure", "a; b?: a", "a fails", "finished failed", "a failed, b skipped", ""),
    ("an-approval-of-on-failure-is-asked", "a; b?: a[on_failure]", "a fails; approve b", "running failed",
     "a failed, b not_started", "b"),
    ("an-expired-approval-skips-what-follows", "a?60s; b: a; c: b", "wait 60s", "finished success",
     "a skipped, b skipped, c skipped", ""),
    ("an-expired-approval-runs-always", "a?60s; b: a[always]", "wait 60s", "running unset",
     "a skipped, b not_started", "b"),
    ("an-expired-approval-is-not-skipped-to-its-child", "a?60s; b: a[on_skipped]", "wait 60s", "finished success",
     "a skipped, b skipped", ""),
    ("an-approval-in-its-last-second", "a?60s", "wait 59s; approve a; wait 1d", "running unset", "a not_started", "a"),
    ("a-retry-keeps-children-waiting", "a *2; b: a[on_failure]", "a fails", "running unset",
     "a not_started, b not_started", "a"),
    ("a-retry-that-succeeds-runs-children", "a *2; b: a", "a fails; a succeeds", "running unset",
     "a success, b not_started", "b"),
    ("a-retry-that-fails-runs-on-failure", "a *2; b: a[on_failure]", "a fails; a fails", "running failed",
     "a failed, b not_started", "b"),
    ("three-attempts", "a *3", "a fails; a times_out; a fails_in_setup", "finished failed", "a failed", ""),
    ("the-third-attempt-succeeds", "a *3", "a fails; a fails; a succeeds", "finished success", "a success", ""),
    ("a-lost-attempt-after-a-failed-one", "a *3", "a fails; lose a", "finished failed", "a lost", ""),
    ("a-retry-after-the-result-is-set", "a *2; b", "assign a b; b fails; a fails", "running failed",
     "a not_started, b failed", "a"),
    ("a-cancelled-root-runs-no-on-failure", "a; b; c: b[on_failure]", "a fails", "finished failed",
     "a failed, b cancelled, c skipped", ""),
    ("a-cancelled-root-runs-on-stopped", "a; b; c: b[on_stopped]", "a fails", "running failed",
     "a failed, b cancelled, c not_started", "c"),
    ("a-task-without-an-executor-is-a-failure", "a +60s; b", "assign b; wait 60s", "running failed",
     "a failed, b running", ""),
    ("a-lock-changes-no-rule", "a =l; b =l", "assign a b; a succeeds; b succeeds", "finished success",
     "a success, b success", ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "story", "standing", "statuses", "runnable"), [pytest.param(*row[1:], id=row[0]) for row in MEETINGS]
)
def test_rules_that_meet_decide_in_their_order(
    text: str, story: str, standing: str, statuses: str, runnable: str
) -> None:
    run = Simulator(text, start=not story.startswith("cancel")).does(story)
    assert (run.standing, run.statuses, run.runnable_names) == (standing, statuses, runnable)


# what happened before, what is asked for, why it is refused
REFUSED = [
    ("a succeeds", "stop", "its phase is finished, not running"),
    ("a succeeds", "cancel", "its phase is finished, not queued"),
    ("assign a", "cancel", "its phase is running, not queued; stop it instead"),
    ("assign a", "start", "its phase is running, not queued"),
    ("a succeeds", "start", "its phase is finished, not queued"),
    ("assign a", "approve a", "needs no approval"),
    ("a succeeds", "approve a", "its run is finished"),
    ("assign a", "reject a", "needs no approval"),
    ("assign a", "approve b", "needs no approval"),
    ("stop", "stop", "its phase is finished, not running"),
]


@pytest.mark.parametrize(("story", "asked", "why"), REFUSED)
def test_request_that_comes_too_early_or_late_is_refused(story: str, asked: str, why: str) -> None:
    run = Simulator("a; b: a[on_failure]").does(story)
    before = run.state
    with pytest.raises(SluicewayError, match=why):
        run.does(asked)
    assert run.state == before
