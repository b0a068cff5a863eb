"""The variables that the system sets for a task (run-config.md, "What a task's environment holds"). Pure.

`static_environment` describes the origin of a run, and is the same for its restarts. `run_environment` describes the
run itself. A repository read from `.agola/` has each name with the prefix `AGOLA_` as well, and those of Agola's own
names that differ; that it was is seen in the static environment, which is stored with the run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sluiceway_common.foundation.locations import host_and_port
from sluiceway_common.runconfig.when import Context

POD_VARIABLE: Final = "SLUICE_POD"
"""The variable by which an executor finds the processes of a pod. No layer can set it."""

_PREFIX: Final = "SLUICE_"
_AGOLA_PREFIX: Final = "AGOLA_"
_SKIP = re.compile(r"\[(?:ci skip|skip ci)\]", re.IGNORECASE)


def static_environment(context: Context, *, repository_url: str, agola: bool = False) -> dict[str, str]:
    """Return the variables for the origin of a run, which all of its tasks have; also those that are empty."""
    named = {
        "REPOSITORY_URL": repository_url,
        "GIT_REF_TYPE": context.ref_type,
        "GIT_REF": context.ref,
        "GIT_BRANCH": context.branch,
        "GIT_TAG": context.tag,
        "GIT_COMMIT_SHA": context.commit_sha,
        "PULL_REQUEST_ID": context.pull_request_id,
    }
    own = {}
    if agola:
        host, port = host_and_port(repository_url)
        own = {"AGOLA_GIT_COMMITSHA": context.commit_sha, "AGOLA_GIT_HOST": host, "AGOLA_GIT_PORT": port}
    return {"CI": "true", **_prefixed(named, agola=agola), **own}


def has_agola_names(static: Mapping[str, object]) -> bool:
    """Return whether a static environment is that of a repository read from `.agola/`."""
    return any(name.startswith(_AGOLA_PREFIX) for name in static)


def run_environment(*, run_id: str, run_number: int, task_name: str, api_url: str, agola: bool) -> dict[str, str]:
    """Return what one task of one run sees of itself: the last layer but a step's own. No API_URL where it is empty."""
    named = {"RUN_ID": run_id, "RUN_NUMBER": str(run_number), "TASK_NAME": task_name}
    if api_url:
        named["API_URL"] = api_url
    return _prefixed(named, agola=agola) | ({"AGOLA_RUN_COUNTER": str(run_number)} if agola else {})


def id_token_variables(name: str) -> tuple[str, str]:
    """Return the variables of an id token: of its text, and of the path of a file with a newer one."""
    return name, f"{name}_FILE"


def system_variables(*, agola: bool = False) -> frozenset[str]:
    """List the names that the system sets; a task cannot override them."""
    static = static_environment(Context(), repository_url="", agola=agola)
    return frozenset({*static, *run_environment(run_id="", run_number=0, task_name="", api_url="-", agola=agola)})


def _prefixed(named: Mapping[str, str], *, agola: bool) -> dict[str, str]:
    prefixes = (_PREFIX, _AGOLA_PREFIX) if agola else (_PREFIX,)
    return {prefix + name: value for prefix in prefixes for name, value in named.items()}


def skips_ci(commit_message: str) -> bool:
    """Return whether a commit's message asks that no run is started for it."""
    return _SKIP.search(commit_message) is not None
