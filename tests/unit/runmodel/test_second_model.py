"""The product's rules and a second model of them, written from the document, agree on generated histories.

`make chaos-rules` compares more (`HISTORIES`, from the seed `START`). A history that differs is printed.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput
from sluiceway_common.runmodel import requests, updates
from sluiceway_common.runmodel.definitions import DependsOn, TaskDefinition
from sluiceway_common.runmodel.model import (
    ApprovalNeed,
    AssignmentPhase,
    Condition,
    RestartKind,
    Retry,
    RetryCause,
)
from tests.fakes.run_simulator import STEPS, Simulator, step
from tests.support.second_model import Model, Refused, Task

HISTORIES = int(os.environ.get("HISTORIES", "300"))
FIRST = int(os.environ.get("START", "1"))
BLOCKS = 10
MOVES = 40

PHASES = [
    ("success", ""), ("success", ""), ("failed", "failed"), ("failed", "failed"), ("failed", "timeout"),
    ("failed", "setup"), ("stopped", ""), ("cancelled", ""), ("running", ""), ("running", ""), ("accepted", ""),
]  # fmt: skip


@dataclass
class Pair:
    """The same run in the product and in the second model."""

    rng: random.Random
    real: Simulator
    plain: Model
    said: list[str] = field(default_factory=list)
    runs: int = 1

    @classmethod
    def of_seed(cls, seed: int) -> Pair:
        rng = random.Random(seed)
        definitions, tasks = [], {}
        for index in range(rng.randint(1, 8)):
            parents = rng.sample(range(index), min(index, rng.choice((0, 1, 1, 2, 3))))
            edges = {f"t{parent}": _conditions(rng) for parent in parents}
            ignored = rng.random() < 0.2
            timeout, wait_timeout = rng.choice((None, None, 90)), rng.choice((None, None, None, 60))
            when, approval = rng.random() > 0.1, rng.choice((None, None, None, 180))
            attempts = rng.choice((1, 1, 2, 3))
            on = frozenset(rng.sample(["failed", "lost", "timeout", "setup"], rng.randint(1, 4)))
            codes = rng.choice((frozenset[int](), frozenset[int](), frozenset({75})))
            tasks[f"t{index}"] = Task(
                edges,
                when=when,
                ignore_failure=ignored,
                approval=approval,
                attempts=attempts,
                retry_on=on,
                exit_codes=codes,
                timeout=timeout,
                wait_timeout=wait_timeout,
            )
            definitions.append(
                TaskDefinition(
                    name=f"t{index}",
                    steps=STEPS,
                    depends=tuple(DependsOn(p, frozenset(map(Condition, edge))) for p, edge in edges.items()),
                    skip=not when,
                    ignore_failure=ignored,
                    approval=None if approval is None else ApprovalNeed(timedelta(minutes=approval)),
                    retry=Retry(max_attempts=attempts, on=frozenset(map(RetryCause, on)), exit_codes=codes),
                    timeout=_span(timeout),
                    wait_timeout=_span(wait_timeout),
                )
            )
        rng.shuffle(definitions)
        limit = rng.choice((None, None, 300))
        return cls(rng, Simulator(definitions, start=False, timeout=_span(limit)), Model(tasks, timeout=limit))

    # --- moves: each returns its two outcomes

    def move(self) -> None:
        plain, rng = self.plain, self.rng
        live = [name for name, task in plain.tasks.items() if task.live]
        names = sorted(plain.tasks)
        if plain.phase == "queued":
            moves = ["begin"] * 8 + ["cancel", "stop"]
        elif plain.phase == "running":
            moves = ["assign"] * (3 * len(plain.runnable())) + ["report"] * (4 * len(live)) + ["lose"] * bool(live)
            moves += ["approve", "approve", "reject"] * len(plain.waiting()) + ["wait"] * (
                3 if rng.random() < 0.4 else 0
            )
            failed = [name for name, task in plain.tasks.items() if task.failure]
            moves += ["retry"] * (2 * len(failed))
            moves += ["stop", "force", "cancel", "begin", "any"] if rng.random() < 0.08 else []
            moves = moves or ["wait"]
        else:
            moves = ["restart"] * 6 + ["stop", "any", "cancel"]
        match rng.choice(moves):
            case "begin":
                self.ask("begin", lambda: requests.start_run(self.real.state, self.real.now), plain.begin)
            case "cancel":
                self.ask("cancel", lambda: requests.cancel(self.real.state, by="ann", now=self.real.now), plain.cancel)
            case "stop" | "force" as kind:
                forced = kind == "force"
                self.both(kind, lambda: self.real.stop(forced=forced), lambda: plain.request_stop(forced=forced))
            case "approve":
                name = rng.choice(sorted(plain.waiting()))
                self.both(f"approve {name}", lambda: self.real.approve(name), lambda: plain.approve(name))
            case "reject":
                name = rng.choice(sorted(plain.waiting()))
                self.both(f"reject {name}", lambda: self.real.reject(name), lambda: plain.reject(name))
            case "assign":
                name = rng.choice(sorted(plain.runnable()))
                self.both(f"assign {name}", lambda: self.real.assign(name), lambda: plain.assign(name))
            case "report":
                self.report(rng.choice(live), late=rng.random() < 0.15)
            case "lose":
                name = rng.choice(live)
                self.both(f"lose {name}", lambda: self.real.lose(name), lambda: plain.lose(name))
            case "retry":
                name = rng.choice([name for name, task in plain.tasks.items() if task.failure])
                self.both(f"retry {name}", lambda: self.real.retry(name), lambda: plain.retry(name))
            case "wait":
                self.wait(rng.choice((1, 30, 59, 60, 90, 180, 181)))
            case "restart":
                self.restart()
            case "any":
                name = rng.choice(names)
                self.both(f"approve {name}", lambda: self.real.approve(name), lambda: plain.approve(name))
                self.both(f"reject {name}", lambda: self.real.reject(name), lambda: plain.reject(name))
                self.both(f"retry {name}", lambda: self.real.retry(name), lambda: plain.retry(name))
                if plain.phase != "running" or name not in plain.runnable():
                    self.both(f"assign {name}", lambda: self.real.assign(name), lambda: plain.assign(name))

    def ask(self, what: str, real: Any, plain: Any) -> None:
        self.both(what, lambda: self.real.settle(real()), plain)

    def both(self, what: str, real: Any, plain: Any) -> None:
        self.said.append(what)
        outcomes = []
        for act, refusal in ((real, FailedPrecondition), (plain, Refused)):
            try:
                act()
            except refusal:
                outcomes.append("refused")
            else:
                outcomes.append("done")
        assert outcomes[0] == outcomes[1], outcomes

    def wait(self, minutes: int) -> None:
        self.said.append(f"wait {minutes}")
        self.real.wait(timedelta(minutes=minutes))
        self.plain.now += minutes
        self.plain.settle()

    def report(self, name: str, *, late: bool) -> None:
        """Report about the live attempt of a task, or, `late`, about any attempt that there was."""
        rng = self.rng
        about = self.real.live(name)
        if late and self.real.final:
            about = self.real.final[rng.choice(sorted(self.real.final))]
        name = self.real.state.tasks[about.task_id].name
        phase, cause = rng.choice(PHASES)
        session = rng.random() > 0.1
        status = rng.choice((1, 75)) if cause == "failed" else None
        self.said.append(f"report {name} {about.epoch.attempt} {phase} {cause} {status} {session}")
        steps = None if status is None or about.phase.is_final else {0: step("failed", exit_status=status)}
        reported = self.real.report(
            name,
            AssignmentPhase(phase),
            RetryCause(cause) if cause else None,
            assignment=about,
            session=about.session if session else "another",
            steps=steps,
        )
        number = about.epoch.attempt
        outcome = self.plain.report(name, number, phase, cause, exit_status=status, session=session)
        assert outcome == reported.outcome
        assert (reported.reason is None) == (reported.outcome is not updates.ReportOutcome.REFUSED)

    def restart(self) -> None:
        rng = self.rng
        kind = rng.choice(list(RestartKind))
        names = rng.sample(sorted(self.plain.tasks), 1) if kind is RestartKind.FROM_TASKS else []
        self.said.append(f"restart {kind} {names}")
        self.runs += 1
        outcomes: list[Any] = []
        for act in (
            lambda: self.real.restarted(kind, names, run_id=f"run-{self.runs}"),
            lambda: self.plain.restart(kind, frozenset(names)),
        ):
            try:
                outcomes.append(act())
            except (FailedPrecondition, Refused):
                outcomes.append("refused")
            except (InvalidInput, ValueError):
                outcomes.append("invalid")
        real, plain = outcomes
        if isinstance(real, str) or isinstance(plain, str):
            assert real == plain
            return
        self.real, self.plain = real, plain

    # --- what must be equal

    def check(self) -> None:
        state, plain = self.real.state, self.plain
        run = state.run
        assert (run.phase, run.result, run.timed_out) == (plain.phase, plain.result, plain.timed_out)
        assert set(self.real.names(self.real.runnable)) == plain.runnable()
        for task in state.tasks.values():
            other = plain.tasks[task.name]
            assert (task.status, task.timed_out, task.attempt) == (other.status, other.timed_out, other.number), (
                task.name
            )
            assert (task.waiting_since is not None) == (other.waits_since is not None), task.name
            assert (task.approved is not None) == other.approved, task.name
            if other.reason and other.finished:
                assert task.reason is not None
                assert task.reason.code == other.reason, task.name
            live = state.assignments.get(task.assignment)
            assert (live is None) == (other.live is None), task.name
            if live is not None and other.live is not None:
                shown = (
                    live.epoch.attempt,
                    live.phase,
                    live.stop_requested is not None,
                    live.stop_forced,
                    live.timed_out,
                )
                mine = other.live
                assert shown == (mine.number, mine.phase, mine.stop, mine.forced, mine.timed_out), task.name


def _span(minutes: int | None) -> timedelta | None:
    return None if minutes is None else timedelta(minutes=minutes)


def _conditions(rng: random.Random) -> set[str]:
    if rng.random() < 0.5:
        return {"on_success"}
    return set(rng.sample([each.value for each in Condition], rng.randint(1, 3)))


def compare(seed: int) -> None:
    pair = Pair.of_seed(seed)
    try:
        pair.check()
        for _ in range(MOVES):
            pair.move()
            pair.check()
    except BaseException:
        print(f"seed {seed}, {len(pair.plain.tasks)} tasks:")
        for name, task in pair.plain.tasks.items():
            print(f"  {name}: {task}")
        print("\n".join(pair.said))
        raise


@pytest.mark.timeout(60 + HISTORIES // 5)
@pytest.mark.parametrize("block", range(BLOCKS))
def test_second_model_agrees_on_generated_histories(block: int) -> None:
    for seed in range(FIRST + block, FIRST + HISTORIES, BLOCKS):
        compare(seed)
