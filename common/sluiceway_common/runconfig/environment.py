"""What the system puts into a task's environment (run-config.md, "What a task's environment holds"). Pure.

`static_environment` is what never changes for a run and its restarts: where it came from. `run_environment` is what
belongs to one attempt at it. A repository read from `.agola/` has each name with the prefix `AGOLA_` as well; that it
was is seen in the static environment, which is stored with the run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sluiceway_common.runconfig.when import Context

__all__ = ["POD_VARIABLE", "has_agola_names", "run_environment", "skips_ci", "static_environment", "system_variables"]

POD_VARIABLE: Final = "SLUICE_POD"
"""What an executor knows the processes of a pod by. No layer can set it."""

_PREFIX: Final = "SLUICE_"
_AGOLA_PREFIX: Final = "AGOLA_"
_SKIP = re.compile(r"\[(?:ci skip|skip ci)\]", re.IGNORECASE)


def static_environment(context: Context, *, repository_url: str, agola: bool = False) -> dict[str, str]:
    """Return what a run's origin puts into the environment of each of its tasks; empty strings are there too."""
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


def has_agola_names(static: Mapping[str, object]) -> bool:
    """Return whether a static environment is that of a repository read from `.agola/`."""
    return any(name.startswith(_AGOLA_PREFIX) for name in static)


def run_environment(*, run_id: str, run_number: int, task_name: str, api_url: str, agola: bool) -> dict[str, str]:
    """Return what one task of one run sees of itself: the last layer but a step's own. No API_URL where it is empty."""
    named = {"RUN_ID": run_id, "RUN_NUMBER": str(run_number), "TASK_NAME": task_name}
    if api_url:
        named["API_URL"] = api_url
    return _prefixed(named, agola=agola)


def system_variables(*, agola: bool = False) -> frozenset[str]:
    """List the names that the system sets, whatever a task says."""
    static = static_environment(Context(), repository_url="", agola=agola)
    return frozenset({*static, *run_environment(run_id="", run_number=0, task_name="", api_url="-", agola=agola)})


def _prefixed(named: Mapping[str, str], *, agola: bool) -> dict[str, str]:
    prefixes = (_PREFIX, _AGOLA_PREFIX) if agola else (_PREFIX,)
    return {prefix + name: value for prefix in prefixes for name, value in named.items()}


def skips_ci(commit_message: str) -> bool:
    """Return whether a commit's message asks that no run is started for it."""
    return _SKIP.search(commit_message) is not None
