"""A second model of the rules R0-R24, written from docs/design/run-model.md in the plainest way.

It imports nothing of the product, remembers nothing between passes, and looks at everything in every round. Names are
those of the document: statuses, conditions, causes and reasons are its words. Times are minutes. It knows no holds
(H1-H7), no executors and no order: what is assigned, and where, is said from outside.

`test_second_model.py` compares it with the product over generated histories.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

MATCHES = {
    "success": {"on_success", "always"},
    "failed": {"on_failure", "always"},
    "lost": {"on_failure", "always"},
    "skipped": {"on_skipped", "always"},
    "stopped": {"on_stopped", "always"},
    "cancelled": {"on_stopped", "always"},
}
SKIPPED_BY_CHANCE = {"run_stopped", "run_timed_out", "approval_expired", "approval_rejected"}
PASSED = {"assigned": 0, "accepted": 1, "running": 2}


class Refused(Exception):
    """What the document calls FAILED_PRECONDITION."""


@dataclass
class Attempt:
    """A live assignment."""

    number: int
    phase: str = "assigned"
    started: int | None = None
    stop: bool = False
    forced: bool = False
    timed_out: bool = False


@dataclass
class Task:
    """A task. `shape` never changes; the rest does."""

    parents: dict[str, set[str]]
    when: bool = True
    ignore_failure: bool = False
    approval: int | None = None
    attempts: int = 1
    retry_on: frozenset[str] = frozenset()
    exit_codes: frozenset[int] = frozenset()
    timeout: int | None = None
    wait_timeout: int | None = None
    # what changes
    status: str = "not_started"
    reason: str = ""
    number: int = 1
    attempted: bool = False
    last: str = ""
    last_timed_out: bool = False
    timed_out: bool = False
    approved: bool = False
    waits_since: int | None = None
    runnable_since: int | None = None
    live: Attempt | None = None

    @property
    def finished(self) -> bool:
        return self.status not in ("not_started", "running")

    @property
    def failure(self) -> bool:
        return self.status in ("failed", "lost")

    @property
    def clean_up(self) -> bool:
        edges = self.parents.values()
        return bool(edges) and all(edge & {"always", "on_stopped"} for edge in edges) and self.approval is None


@dataclass
class Model:
    """A run."""

    tasks: dict[str, Task]
    timeout: int | None = None
    phase: str = "queued"
    result: str = "unset"
    stop: str = ""
    timed_out: bool = False
    now: int = 0
    start: int = 0
    approval_waited: int = 0
    approval_wait_since: int | None = None
    ended: dict[tuple[str, int], tuple[str, bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for task in self.tasks.values():
            if not task.when and task.status == "not_started":
                task.status, task.reason = "skipped", "when_not_matched"  # R12

    # --- what is true now

    @property
    def ending(self) -> bool:
        """Return what R6, R7 and R14 call "stop requested"."""
        return bool(self.stop) or self.timed_out

    def counts(self, name: str) -> bool:
        """Return whether all parents of a task count."""
        return all(self.tasks[parent].finished for parent in self.tasks[name].parents)

    def matches(self, name: str) -> bool:
        """Return whether all parents of a task match."""
        for parent, edge in self.tasks[name].parents.items():
            holds = MATCHES[self.tasks[parent].status]
            if self.tasks[parent].reason in ("approval_expired", "approval_rejected"):
                holds = {"always"}
            if not edge & holds:
                return False
        return True

    def runnable(self) -> set[str]:
        """Return the tasks of R10."""
        if self.phase != "running":
            return set()
        return {
            name
            for name, task in self.tasks.items()
            if task.status == "not_started"
            and self.counts(name)
            and self.matches(name)
            and (task.approval is None or task.approved)
        }

    def waiting(self) -> set[str]:
        """Return the tasks that wait for their approval."""
        return {name for name, task in self.tasks.items() if task.waits_since is not None}

    # --- the pass

    def settle(self) -> None:
        """Repeat rounds until nothing changes."""
        if self.phase != "running":
            return
        for task in self.tasks.values():  # R16, of tasks
            live = task.live
            if live is None or live.stop or live.started is None or task.timeout is None:
                continue
            if self.now >= live.started + task.timeout:
                live.stop = live.timed_out = True
        timed_out_before = self.timed_out
        while self.phase == "running" and self.round():
            pass
        if self.timed_out and not timed_out_before:
            for task in self.tasks.values():
                if task.live:
                    task.live.stop = True
        runnable = self.runnable()
        for name in runnable:
            if self.tasks[name].runnable_since is None:
                self.tasks[name].runnable_since = self.now
        # R16: the time in which nothing but an approval was waited for
        only = (
            self.phase == "running"
            and bool(self.waiting())
            and not runnable
            and not any(task.live for task in self.tasks.values())
        )
        if only and self.approval_wait_since is None:
            self.approval_wait_since = self.now
        elif not only and self.approval_wait_since is not None:
            self.approval_waited += self.now - self.approval_wait_since
            self.approval_wait_since = None

    def round(self) -> bool:
        """Decide everything by the state as it was; return whether anything changed."""
        was = copy.deepcopy(self)
        for name, task in self.tasks.items():
            if task.status == "not_started":
                was.decide(name, task)
        was.decide_run(self)
        return self != was

    def decide_run(self, new: Model) -> None:
        """Apply R1-R4, and R16 of the run."""
        tasks = self.tasks.values()
        finished = all(task.finished for task in tasks)
        if self.result != "unset":
            if finished and not any(task.live for task in tasks):
                new.phase = "finished"  # R4
                return
        elif any(t.failure and not t.ignore_failure for t in tasks) or (
            not self.stop and any(t.status == "stopped" and not t.ignore_failure for t in tasks)
        ):
            new.result = "failed"  # R1
        elif finished:
            new.result = "success"  # R2
        elif self.stop:
            new.result = "stopped"  # R3
        if self.timeout is not None and not finished and not self.timed_out:
            waited = self.approval_waited
            if self.approval_wait_since is not None:
                waited += self.now - self.approval_wait_since
            if self.now - self.start - waited >= self.timeout:
                new.timed_out = True
                if new.result == "unset":
                    new.result = "failed"

    def decide(self, name: str, new: Task) -> None:
        """Decide about a task that is not started; all that is read is of `self`, all that is written of `new`."""
        task = self.tasks[name]
        if self.ending and task.number > 1:
            restore(new)  # R14
        elif self.ending and not (task.clean_up and self.stop != "forced"):
            # A clean-up that a timeout left is ended by the forced stop.
            by_stop = self.stop == "forced" or not self.timed_out
            finish(new, "skipped", "run_stopped" if by_stop else "run_timed_out")  # R7
        elif self.result != "unset" and not self.ending and not task.parents and not task.attempted:
            finish(new, "cancelled", "run_result_set")  # R6
        elif not self.counts(name):
            return
        elif not self.matches(name):
            finish(new, "skipped", "edge_not_matched")  # R8
        elif task.approval is not None and not task.approved:  # R9
            if task.waits_since is None:
                new.waits_since = self.now
            elif self.now - task.waits_since >= task.approval:
                finish(new, "skipped", "approval_expired")
        elif task.wait_timeout is None or task.runnable_since is None:
            return
        elif self.now - task.runnable_since >= task.wait_timeout:  # R22
            if task.number > 1:
                restore(new)
            else:
                finish(new, "failed", "wait_timed_out")

    # --- what people ask for

    def begin(self) -> None:
        """R0."""
        if self.phase != "queued":
            raise Refused
        self.phase, self.start = "running", self.now
        self.settle()

    def cancel(self) -> None:
        """R17."""
        if self.phase != "queued":
            raise Refused
        self.phase = "cancelled"
        for task in self.tasks.values():
            if not task.finished:
                finish(task, "cancelled", "run_cancelled")

    def request_stop(self, *, forced: bool) -> None:
        """R7, R17."""
        if self.phase != "running":
            raise Refused
        if not self.stop or (forced and self.stop != "forced"):
            self.stop = "forced" if forced else "stop"
            for task in self.tasks.values():
                # After a timeout of the run, what is live now is a clean-up.
                if task.live and (forced or not self.timed_out):
                    task.live.stop = True
                    task.live.forced = task.live.forced or forced
        self.settle()

    def approve(self, name: str) -> None:
        """R18."""
        self.must_wait(name)
        self.tasks[name].approved, self.tasks[name].waits_since = True, None
        self.settle()

    def reject(self, name: str) -> None:
        """R23."""
        self.must_wait(name)
        finish(self.tasks[name], "skipped", "approval_rejected")
        self.settle()

    def must_wait(self, name: str) -> None:
        """Refuse what is not for a task that waits for its approval."""
        if self.phase != "running" or name not in self.waiting():
            raise Refused

    def retry(self, name: str) -> None:
        """R24."""
        task = self.tasks[name]
        if self.phase != "running" or self.ending or not task.failure or task.number >= 10 or self.begun_below(name):
            raise Refused
        if task.attempted:
            task.last, task.last_timed_out, task.number = task.status, task.timed_out, task.number + 1
        task.status, task.reason, task.timed_out = "not_started", "", False
        self.decide_again_below(name)
        still_fails = any(
            (other.failure or other.status == "stopped") and not other.ignore_failure for other in self.tasks.values()
        )
        if self.result == "failed" and not still_fails:
            self.result = "unset"
            for root, other in self.tasks.items():
                if other.reason == "run_result_set" and not self.begun_below(root):
                    other.status, other.reason = "not_started", ""
                    self.decide_again_below(root)
        self.settle()

    def below(self, name: str) -> set[str]:
        """Return all that depends on a task, directly or not."""
        found = {name}
        for _ in self.tasks:
            found |= {child for child, task in self.tasks.items() if found & task.parents.keys()}
        return found - {name}

    def begun_below(self, name: str) -> bool:
        """Return whether something that depends on a task was given to an executor, or failed to be."""
        return any(self.tasks[each].attempted or self.tasks[each].failure for each in self.below(name))

    def decide_again_below(self, name: str) -> None:
        """Undo what R8 and R9 concluded about what depends on a task."""
        for each in self.below(name):
            task = self.tasks[each]
            if task.status == "not_started" or task.reason == "edge_not_matched":
                task.status, task.reason, task.approved = "not_started", "", False
                task.waits_since = task.runnable_since = None

    # --- what happens to attempts

    def assign(self, name: str) -> None:
        """The scheduler gives a runnable task to an executor."""
        if name not in self.runnable():
            raise Refused
        task = self.tasks[name]
        task.status, task.reason, task.attempted = "running", "", True
        task.live, task.runnable_since = Attempt(task.number), None
        self.settle()

    def report(
        self,
        name: str,
        number: int,
        phase: str,
        cause: str = "",
        *,
        exit_status: int | None = None,
        session: bool = True,
    ) -> str:
        """R15: an executor reports a phase of an attempt; return what becomes of it."""
        task = self.tasks[name]
        live = task.live if task.live and task.live.number == number else None
        if live is None:
            end, timed_out = self.ended[name, number]
            if phase == "stopped" and timed_out:
                phase = "failed"
            # One that this attempt has already passed, or the status that is stored.
            return "no_effect" if phase in PASSED or phase == end else "refused"
        if phase == "stopped" and live.timed_out:
            phase = "failed"
        if phase in PASSED:
            if PASSED[phase] <= PASSED[live.phase]:
                return "no_effect"
            if not session:
                return "refused"
            live.phase = phase
            if phase == "running":
                live.started = self.now
        else:
            if not session:
                return "refused"
            if phase == "failed":
                cause = "timeout" if live.timed_out else cause or "failed"
            self.end(name, phase, cause, exit_status)
        self.settle()
        return "applied"

    def lose(self, name: str) -> None:
        """R13."""
        if self.tasks[name].live:
            self.end(name, "lost", "lost", None)
        self.settle()

    def end(self, name: str, phase: str, cause: str, exit_status: int | None) -> None:
        """R14."""
        task = self.tasks[name]
        live, task.live = task.live, None
        status = "stopped" if phase == "cancelled" else phase
        timed_out = phase == "failed" and cause == "timeout"
        # R15: of one that was ordered to stop and timed out, by any clock, "stopped" means "failed".
        self.ended[name, task.number] = phase, live is not None and live.stop and (live.timed_out or timed_out)
        again = phase in ("failed", "lost") and cause in task.retry_on
        again = again and task.number < min(task.attempts, 10) and not self.ending
        if cause == "failed" and task.exit_codes and exit_status not in task.exit_codes:
            again = False
        if again:
            task.last, task.last_timed_out = status, timed_out
            task.status, task.number, task.timed_out = "not_started", task.number + 1, False
        else:
            task.status, task.timed_out = status, timed_out

    # --- restart

    def restart(self, kind: str, chosen: frozenset[str] = frozenset()) -> Model:
        """Return the new run.

        Raises:
            Refused: this run cannot be restarted so.
            ValueError: a chosen task cannot be chosen.
        """
        if any(self.tasks[name].reason == "when_not_matched" for name in chosen):
            raise ValueError
        if self.phase not in ("finished", "cancelled"):
            raise Refused
        if kind != "from_start" and self.phase != "finished":
            raise Refused
        if kind == "from_failed" and self.result == "success":
            raise Refused
        again = set(self.tasks)
        if kind != "from_start":
            again = {
                name for name, task in self.tasks.items() if task.status in ("failed", "lost", "stopped", "cancelled")
            }
            again |= {name for name, task in self.tasks.items() if task.reason in SKIPPED_BY_CHANCE}
            again |= chosen
            for _ in self.tasks:
                again |= {name for name, task in self.tasks.items() if again & task.parents.keys()}
        tasks = copy.deepcopy(self.tasks)
        for name in again:
            old = self.tasks[name]
            tasks[name] = Task(
                old.parents, old.reason != "when_not_matched", old.ignore_failure, old.approval, old.attempts,
                old.retry_on, old.exit_codes, old.timeout, old.wait_timeout,
            )  # fmt: skip
        return Model(tasks, timeout=self.timeout, now=self.now)


def finish(task: Task, status: str, reason: str) -> None:
    """End a task without an attempt."""
    task.status, task.reason, task.waits_since, task.runnable_since = status, reason, None, None


def restore(task: Task) -> None:
    """End a task that waits for its retry with the outcome of its last attempt, and restore that attempt."""
    task.status, task.timed_out, task.number, task.runnable_since = (
        task.last,
        task.last_timed_out,
        task.number - 1,
        None,
    )
