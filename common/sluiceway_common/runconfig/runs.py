"""The runs of a checked configuration: those that apply, and the variables that they use. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.runconfig.inputs import is_missing, with_values
from sluiceway_common.runconfig.model import Config, RegistryAuth, Run
from sluiceway_common.runconfig.problems import did_you_mean, quoted
from sluiceway_common.runconfig.step_model import RunStep
from sluiceway_common.runconfig.values import Value
from sluiceway_common.runconfig.when import Context, deciding_rule, differing_input, matches
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
    return tuple(r.name for r in config.runs if applies(r.when, context_of_run(r, context), changed_paths))


def context_of_run(run: Run, context: Context) -> Context:
    """Return the context with the values of all inputs of a run, instead of those that were given."""
    if not run.inputs and not context.inputs:
        return context
    inputs = with_values(run.declared_inputs(), context.inputs)
    return replace(context, inputs={each.name: each.value for each in inputs})


def missing_inputs(run: Run, given: Mapping[str, str]) -> str:
    """Return a sentence that names the required inputs of a run without a value; empty if there are none."""
    missing = [each.name for each in run.declared_inputs() if is_missing(each, given)]
    if not missing:
        return ""
    return f"it needs a value of {', '.join(missing)}: run it by hand or by a schedule, with a value"


def uses_inputs_in_when(run: Run) -> bool:
    """Return whether the `when` of a run, a task or a step asks for an input."""
    whens = [run.when]
    for task in run.tasks:
        whens += [task.when, *(step.when for step in task.steps)]
    return any(when is not None and when.inputs for when in whens)


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
    of_refs = replace(compiled, inputs={})
    rule = deciding_rule(compiled, context)
    if not matches(of_refs, context, None):
        if rule is None:
            return Explained(False, f"its `when` does not match {shown_ref(context)}")
        return Explained(False, f"`{rule.kind}` of its `when` excludes {shown_ref(context)}, by {quoted(rule.rule)}")
    if not matches(of_refs, context, changed_paths):
        count = len(changed_paths or ())
        sentence = f"its `paths` match none of the {count} changed files" if count else "no file has changed"
        return Explained(False, sentence, by_paths=True)
    differing = differing_input(compiled, context)
    if differing is not None:
        value = quoted(context.inputs.get(differing, ""))
        return Explained(False, f"`inputs` of its `when` wants another value of {differing} than {value}")
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
