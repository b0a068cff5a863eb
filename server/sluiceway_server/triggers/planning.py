"""From an event and the configuration at its commit to runs, and the reason why each other run is not made. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sluiceway.api.project.v1 import delivery_service_pb2 as api
from sluiceway.api.run.v1 import definition_pb2, run_service_pb2
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.texts import as_name
from sluiceway_common.runconfig.compile import LoadResult
from sluiceway_common.runconfig.inputs import input_faults
from sluiceway_common.runconfig.model import Config, Run
from sluiceway_common.runconfig.run_requests import RunOrigin, run_request
from sluiceway_common.runconfig.runs import context_of_run, explain_when, missing_inputs
from sluiceway_common.runconfig.tasks import project_variables, tasks_of_run
from sluiceway_common.runconfig.when import Context
from sluiceway_server.runs.environment_values import values_of_task
from sluiceway_server.triggers.event_rules import context_of, group_of, request_id_of

__all__ = ["Plan", "PlannedRun", "chosen_runs", "needs_paths", "plan_runs", "setup_error_run"]

_SETUP_ERROR = "setup error"
_MAX_SENTENCE = 1_000
_NAMED = 20


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run of a configuration at an event.

    Attributes:
        name: of the run.
        request: creates it; None: it is not made.
        reason: the rule that decided, if it is not made; what it is, if it is.
        sentence: the same for people.
    """

    name: str
    request: run_service_pb2.CreateRunRequest | None
    reason: api.DecisionReason
    sentence: str


Plan = tuple[PlannedRun, ...]


def needs_paths(config: Config) -> bool:
    """Return whether a configuration decides by changed files, so that they have to be asked for."""
    whens = [run.when for run in config.runs] + [task.when for run in config.runs for task in run.tasks]
    return any(when is not None and when.compiled().paths is not None for when in whens)


def chosen_runs(event: pb.EventRecord, config: Config, changed_paths: Collection[str] | None) -> list[Run]:
    """Return the runs that an event is for: the one that it names, or those whose `when` matches."""
    context = context_of(event)
    if event.run_name:
        return [run for run in config.runs if run.name == event.run_name]
    return [run for run in config.runs if _why_not(run, context, changed_paths) is None]


def plan_runs(
    event: pb.EventRecord,
    loaded: LoadResult,
    *,
    project_id: str,
    project_name: str,
    changed_paths: Collection[str] | None,
    attempt: int,
) -> Plan:
    """Decide on each run of a configuration, in the order of the file.

    Args:
        event: that asks for runs (`event_rules.judge` returned None).
        loaded: the configuration at its commit; with errors, one run is made that has them.
        project_id: whose runs they are.
        project_name: the name of a run without a configuration.
        changed_paths: the files that the event changed; None: not known.
        attempt: how often the delivery was delivered again; see `setup_error_run`.
    """
    if loaded.config is None:
        errors = [problem.in_file(loaded.source_path) for problem in loaded.errors]
        return (setup_error_run(event, loaded, errors, project_id=project_id, name=project_name, attempt=attempt),)
    context = context_of(event)
    origin = _origin(event, project_id)
    planned = []
    chosen = chosen_runs(event, loaded.config, changed_paths)
    known = {name for run in chosen for name in run.inputs}
    for run in loaded.config.runs:
        if event.run_name not in {"", run.name}:
            continue
        refused = None if event.run_name else _why_not(run, context, changed_paths)
        if refused is None:
            # What another chosen run declares is meant for that one.
            given = {n: value for n, value in event.inputs.items() if n in run.inputs or n not in known}
            refused = _refused_inputs(run, given)
        if refused is not None:
            planned.append(refused)
            continue
        # What they stand for, and whether a fork gets them, is decided when the run is created.
        variables = project_variables(loaded.config, run.name)
        tasks = tasks_of_run(
            loaded.config, run.name, context, changed_paths, variables=variables, from_fork=event.from_fork
        )
        request = run_request(origin, loaded, run.name, request_id=request_id_of(event, run.name), tasks=tasks)
        taken = _of_secrets(request.tasks) & set(event.variables)
        if taken:
            sentence = f"its tasks take {', '.join(sorted(taken)[:_NAMED])} from secrets, which no variable may replace"
            planned.append(PlannedRun(run.name, None, api.DECISION_REASON_VARIABLE_REFUSED, sentence))
            continue
        for name, value in event.variables.items():
            request.environment[name].value = value
        asked = PlannedRun(run.name, request, api.DECISION_REASON_ASKED_FOR, "it was asked for by its name")
        matching = PlannedRun(run.name, request, api.DECISION_REASON_RUN_CREATED, "its `when` matches")
        planned.append(asked if event.run_name else matching)
    if not planned and event.run_name:
        names = ", ".join(run.name for run in loaded.config.runs[:_NAMED])
        sentence = f"the configuration has no such run; it has: {names}"
        planned.append(PlannedRun(event.run_name, None, api.DECISION_REASON_RUN_UNKNOWN, sentence))
    return tuple(planned)


def setup_error_run(
    event: pb.EventRecord, loaded: LoadResult, errors: list[str], *, project_id: str, name: str, attempt: int
) -> PlannedRun:
    """Plan the run that shows why there is no other.

    Args:
        event: that asked for runs.
        loaded: the configuration, as far as it came.
        errors: what is wrong, at least one.
        project_id: whose run it is.
        name: what it is called, if it can be a name.
        attempt: how often the delivery was delivered again. Each may make such a run of its own: what was wrong may be
            the provider, and not the commit.
    """
    own_name = as_name(name, otherwise="run")
    # Not the name alone: a run of the configuration may have the same one.
    key = request_id_of(event, f"{_SETUP_ERROR} {attempt}\0")
    request = run_request(_origin(event, project_id), loaded, own_name, request_id=key, setup_errors=errors)
    return PlannedRun(own_name, request, api.DECISION_REASON_SETUP_ERROR, errors[0][:_MAX_SENTENCE])


def _why_not(run: Run, context: Context, changed_paths: Collection[str] | None) -> PlannedRun | None:
    found = explain_when(run.when, context_of_run(run, context), changed_paths)
    if found.applies:
        return None
    reason = api.DECISION_REASON_PATHS if found.by_paths else api.DECISION_REASON_WHEN
    return PlannedRun(run.name, None, reason, found.sentence[:_MAX_SENTENCE])


def _refused_inputs(run: Run, given: Mapping[str, str]) -> PlannedRun | None:
    """Refuse a run whose inputs have no value, or a wrong one; None: all is well."""
    faults = input_faults([run.declared_inputs()], given)
    if not faults:
        return None
    sentence = "; ".join(f"{fault.path}: {fault.message}" for fault in faults)
    if not given:
        sentence = missing_inputs(run, given)
    return PlannedRun(run.name, None, api.DECISION_REASON_INPUTS, sentence[:_MAX_SENTENCE])


def _of_secrets(tasks: Iterable[definition_pb2.TaskDefinition]) -> set[str]:
    """Return the names of environment values that tasks take from variables of the project, which are secrets."""
    return {name for task in tasks for name, value in values_of_task(task) if value.HasField("variable")}


def _origin(event: pb.EventRecord, project_id: str) -> RunOrigin:
    return RunOrigin(event.clone_url, context_of(event), event.message, group_of(project_id, event), event.link)
