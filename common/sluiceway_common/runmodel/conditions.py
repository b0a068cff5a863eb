"""Conditions of edges and causes of retries. Separate, so that run configurations can import them alone."""

from __future__ import annotations

from enum import StrEnum


class Condition(StrEnum):
    """The outcome that a parent must have. The conditions of one edge are alternatives."""

    ON_SUCCESS = "on_success"
    ON_FAILURE = "on_failure"
    ON_SKIPPED = "on_skipped"
    ON_STOPPED = "on_stopped"
    ALWAYS = "always"


class RetryCause(StrEnum):
    """Why an attempt did not succeed, as distinguished by `retry.on`. The four are disjoint."""

    FAILED = "failed"
    LOST = "lost"
    TIMEOUT = "timeout"
    SETUP = "setup"


class RetryAvoid(StrEnum):
    """What the next attempt of a task avoids."""

    EXECUTOR = "executor"
