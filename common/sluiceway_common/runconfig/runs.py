"""The runs of a checked configuration: those that apply, and the variables that they use. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.runconfig.model import Config, RegistryAuth, Run
from sluiceway_common.runconfig.problems import did_you_mean, quoted
from sluiceway_common.runconfig.step_model import RunStep
from sluiceway_common.runconfig.values import Value
from sluiceway_common.runconfig.when import Context, matches
from sluiceway_common.runconfig.when_model import When


def find_run(config: Config, name: str) -> Run:
    """Find a run by its name.

    Raises:
        NotFound: there is none of this name.
    """
    for run in config.runs:
        if run.name == name:
            return run
    names = [r.name for r in config.runs]
    hint = did_you_mean(name, names) or f"; there are {', '.join(quoted(n) for n in names[:10])}"
    raise NotFound(f"the configuration has no run {quoted(name)}{hint}", reason="RUN_NOT_CONFIGURED")


def runs_that_apply(config: Config, context: Context, changed_paths: Collection[str] | None = None) -> tuple[str, ...]:
    """List the names of the runs whose `when` matches, in the order of the file."""
    return tuple(r.name for r in config.runs if applies(r.when, context, changed_paths))


def variables_of_run(config: Config, run_name: str) -> tuple[str, ...]:
    """List the variables that a run's tasks use, sorted; a caller needs to resolve only these.

    Raises:
        NotFound: there is no such run.
    """
    run = find_run(config, run_name)
    values: list[Value] = []
    for auth in _auths(config, run):
        values += [v for v in (auth.username, auth.password, auth.auth) if v is not None]
    for task in run.tasks:
        values += task.environment.values()
        for container in task.runtime.containers:
            values += container.environment.values()
        for step in task.steps:
            if isinstance(step, RunStep):
                values += step.environment.values()
    return tuple(sorted({v.from_variable for v in values if v.from_variable is not None}))


def _auths(config: Config, run: Run) -> Iterator[RegistryAuth]:
    yield from config.docker_registries_auth.values()
    yield from run.docker_registries_auth.values()
    for task in run.tasks:
        yield from task.docker_registries_auth.values()


def applies(when: When | None, context: Context, changed_paths: Collection[str] | None) -> bool:
    """Return whether a `when` matches; one that is not there does."""
    return when is None or matches(when.compiled(), context, changed_paths)
