"""The hold of a pod after a failed step, as values (`holds` has the rules)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class HoldAction(StrEnum):
    """How a person ends a hold."""

    RUN_FAILED_STEP = "run_failed_step"
    RUN_NEXT_STEP = "run_next_step"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Hold:
    """A pod is kept because its step `step` failed: hold `number` of its attempt, from 1, until `expire_time`."""

    number: int
    step: int
    start_time: datetime
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class HoldOrder:
    """How the hold with this number is to end, and who asked for it."""

    hold: int
    action: HoldAction
    by: str
    time: datetime
