"""What a task's environment holds, and in which order its layers lie. Pure.

`static_environment` is what never changes for a run and its restarts: where it came from. `run_environment` is what
belongs to one attempt at it. A repository read from `.agola/` has each name with the prefix `AGOLA_` as well; that it
was is seen in the static environment, which is stored with the run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeVar

from sluiceway.runconfig.when import Context

__all__ = ["layered", "run_environment", "skips_ci", "static_environment"]

_PREFIX: Final = "SLUICE_"
_AGOLA_PREFIX: Final = "AGOLA_"
_SKIP = re.compile(r"\[(?:ci skip|skip ci)\]", re.IGNORECASE)

V = TypeVar("V")


def static_environment(context: Context, *, repository_url: str, agola: bool = False) -> dict[str, str]:
    """Give what a run's origin puts into the environment of each of its tasks; empty strings are there too."""
    named = {
        "REPOSITORY_URL": repository_url,
        "GIT_REF_TYPE": context.ref_type,
        "GIT_REF": context.ref,
        "GIT_BRANCH": context.branch,
        "GIT_TAG": context.tag,
        "GIT_COMMIT_SHA": context.commit_sha,
        "PULL_REQUEST_ID": context.pull_request_id,
    }
    return {"CI": "true", **_prefixed(named, agola=agola)}


def run_environment(
    static: Mapping[str, object], *, run_id: str, run_number: int, task_name: str, api_url: str
) -> dict[str, str]:
    """Give what one task of one run sees of itself: the last layer but a step's own."""
    named = {"RUN_ID": run_id, "RUN_NUMBER": str(run_number), "TASK_NAME": task_name, "API_URL": api_url}
    return _prefixed(named, agola=f"{_AGOLA_PREFIX}GIT_REF" in static)


def layered(
    *,
    task: Mapping[str, V],
    static: Mapping[str, V],
    environment: Mapping[str, V],
    run: Mapping[str, V],
    step: Mapping[str, V],
) -> dict[str, V]:
    """Lay the layers of a run step's environment over each other; later ones win."""
    return {**task, **static, **environment, **run, **step}


def _prefixed(named: Mapping[str, str], *, agola: bool) -> dict[str, str]:
    prefixes = (_PREFIX, _AGOLA_PREFIX) if agola else (_PREFIX,)
    return {prefix + name: value for prefix in prefixes for name, value in named.items()}


def skips_ci(commit_message: str) -> bool:
    """Tell whether a commit's message asks that no run is started for it."""
    return _SKIP.search(commit_message) is not None
