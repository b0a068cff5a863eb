"""Shortens the plan of a history that failed: removes steps as long as it still fails in the same way."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from tests.properties.plan import Plan, PlannedStep

__all__ = ["kind_of", "shrink"]


def kind_of(problem: str) -> str:
    """Return the kind of a problem: its words, without names, numbers and places."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f]{16}(\.[0-9a-f]{6})?|\bs\d\b|\bt\d+\b|\d+|'[^']*'|\(.*", "#", problem)[:80]


def shrink(plan: Plan, problems: Sequence[str], run: Callable[[Plan], Sequence[str]], *, attempts: int = 250) -> Plan:
    """Find a shorter plan that fails with one of the same kinds of problems.

    Removes halves, quarters and so on down to single steps, in at most `attempts` runs.
    """
    kinds = {kind_of(problem) for problem in problems}
    steps: list[PlannedStep] = list(plan.steps)
    size = max(len(steps) // 2, 1)
    left = attempts
    while left > 0:
        at, shorter = 0, False
        while at < len(steps) and left > 0:
            left -= 1
            candidate = steps[:at] + steps[at + size :]
            if kinds & {kind_of(problem) for problem in run(plan.with_steps(candidate))}:
                steps, shorter = candidate, True
            else:
                at += size
        if size == 1 and not shorter:
            break
        size = max(size // 2, 1) if not shorter or size > 1 else 1
    return plan.with_steps(steps)
