"""The setup and the steps of an attempt, as far as the rules of runs know them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StepView:
    """One step, as a sentence names it: `index` of `count`; `exit_status` is None if a signal ended its command."""

    index: int
    count: int
    name: str
    exit_status: int | None = None
    start_time: datetime | None = None


class Steps(Protocol):
    """The setup and the steps of an attempt, which the rules copy and do not read.

    The methods are for sentences, and for the end of an attempt.
    """

    def ended(self) -> Steps:
        """Return those of an attempt that is over: a running step was stopped, one that had not started is skipped."""

    def blank(self) -> Steps:
        """Return those of the next attempt: nothing has started."""

    def running(self) -> StepView | None:
        """Return the first step that runs; not the setup."""

    def failed(self) -> StepView | None:
        """Return the first step that failed; not the setup."""

    def setup_failed(self) -> bool:
        """Return whether the setup failed."""

    def restore_workspace(self) -> bool:
        """Return whether one of them restores a workspace."""
