"""The runs of a checked configuration: those that apply, and the variables that they use. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.runconfig.model import Config, RegistryAuth, Run
from sluiceway_common.runconfig.problems import did_you_mean, quoted
from sluiceway_common.runconfig.step_model import RunStep
from sluiceway_common.runconfig.values import Value
from sluiceway_common.runconfig.when import Context, deciding_rule, matches
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


@dataclass(frozen=True, slots=True)
class Explained:
    """Whether a `when` matches, and why, as a sentence; `by_paths`: the changed files decided against it."""

    applies: bool
    sentence: str
    by_paths: bool = False


def explain_when(when: When | None, context: Context, changed_paths: Collection[str] | None) -> Explained:
    """Explain whether a `when` matches; `changed_paths` None: they are not known, and `paths` agree."""
    if when is None:
        return Explained(True, "it has no `when`")
    compiled = when.compiled()
    rule = deciding_rule(compiled, context)
    if not matches(compiled, context, None):
        if rule is None:
            return Explained(False, f"its `when` does not match {shown_ref(context)}")
        return Explained(False, f"`{rule.kind}` of its `when` excludes {shown_ref(context)}, by {quoted(rule.rule)}")
    if not matches(compiled, context, changed_paths):
        count = len(changed_paths or ())
        sentence = f"its `paths` match none of the {count} changed files" if count else "no file has changed"
        return Explained(False, sentence, by_paths=True)
    if rule is None:
        sentence = (
            "its `paths` match" if changed_paths is not None else "its `paths` agree, as the changes are not known"
        )
        return Explained(True, sentence if compiled.paths is not None else "its `when` matches")
    return Explained(True, f"`{rule.kind}` of its `when` includes {shown_ref(context)}, by {quoted(rule.rule)}")


def shown_ref(context: Context) -> str:
    """Name the ref or pull request of a context for people."""
    if context.branch:
        return f"branch {context.branch}"
    if context.tag:
        return f"tag {context.tag}"
    return f"pull request {context.pull_request_id}" if context.pull_request_id else context.ref or "no ref"
