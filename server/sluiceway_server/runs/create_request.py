"""The checks of `CreateRun`: all faults at once, each with its path as the caller wrote it.

The rules check what they know (`runmodel.creation`): names, graph, priorities, retries. This module checks the rest of
the message, so that what is stored can be sent to an executor without further checks. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.api.run.v1 import run_service_pb2 as service_api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import Exhausted, InvalidInput, Violation
from sluiceway_common.foundation.rpc.fields import field_faults
from sluiceway_common.foundation.texts import foreign_fault, lines_fault, name_fault, shown
from sluiceway_common.runconfig.capabilities import without_effect
from sluiceway_common.runconfig.environment import has_agola_names, system_variables
from sluiceway_common.runconfig.inputs import message_faults, variable_of, with_values
from sluiceway_common.runconfig.likely_mistakes import carriage_return, overwritten_variable
from sluiceway_common.runconfig.problems import DocumentPath, format_path
from sluiceway_common.runmodel import creation, groups
from sluiceway_common.runmodel.limits import MAX_RUN_EDGES, MAX_RUN_STEPS, MAX_TASKS
from sluiceway_server.datamanager.checks import MAX_BYTES
from sluiceway_server.datamanager.model import GroupRevision, Position
from sluiceway_server.projects.variables import SecretValue, Unset
from sluiceway_server.runrecords import codec, definitions, enums
from sluiceway_server.runs.definition_checks import (
    ARCHS,
    MAX_STEPS,
    duration_faults,
    environment_faults,
    hold_faults,
    source_faults,
    task_faults,
    text_faults,
)
from sluiceway_server.runs.environment_values import bind_variables
from sluiceway_server.runs.transaction import NewRecords

__all__ = ["ARCHS", "MAX_ENVIRONMENT_BYTES", "MAX_STEPS", "RunTooLarge", "ValidatedCreate", "check", "check_counts"]

MAX_ANNOTATION_BYTES = 16 * 1024
MAX_ENVIRONMENT_BYTES = 16 * 1024
"""Of the run, not of its tasks: it is shown with the run."""
MAX_OWN_WARNINGS = 100
MAX_CHANGE_GROUPS = 100
MAX_CHANGE_GROUP = 200
MAX_SENTENCES = 1_000
MAX_SENTENCE = 4_096
MAX_MESSAGE = 64 * 1024
"""Of a commit, in characters."""
MAX_CHANGE_BYTES = int(MAX_BYTES * 0.9)
CHANGE_BYTES = 500
"""What a change adds to a task's own record: its key, its reason, its times, and the event with its topics."""


class RunTooLarge(Exhausted):
    """Its tasks, all changed at once, would not fit into one transaction."""

    reason = "RUN_TOO_LARGE"


@dataclass(frozen=True, slots=True)
class ValidatedCreate:
    """A checked request, and the run that it makes.

    Attributes:
        created: the run and its tasks, with number 0: the transaction gives the number.
        records: the records of these.
        config: the run's `RunConfig`, encoded; its digest is the run's `config_digest`.
        preconditions: the change groups that the caller expects unmoved; the creation moves them.
        request_id, request_digest: the idempotency key, and what it stands for.
    """

    created: creation.Created
    records: NewRecords
    config: bytes
    preconditions: tuple[GroupRevision, ...]
    request_id: str
    request_digest: str


def check(
    request: service_api.CreateRunRequest,
    *,
    variables: Mapping[str, SecretValue | Unset],
    run_id: str,
    task_ids: Iterable[str],
    created_by: str,
    from_fork: bool,
    event: str = "",
    now: datetime,
) -> ValidatedCreate:
    """Check a request and make its run.

    Args:
        request: is changed: its variables are replaced by what they stand for.
        variables: what each of its variables stands for (`environment_values.variables_of`).
        run_id: the id of the new run.
        task_ids: the ids of its tasks.
        created_by: whose request it is.
        from_fork: whether it is of a fork's request.
        event: what made it (`RunRecord.event`); empty: the caller.
        now: when.

    Raises:
        InvalidInput: with every fault.
        RunTooLarge: its tasks, all changed at once, would not fit into one transaction.
    """
    _show_sentences(request)
    found = [*_request_faults(request), *source_faults("source", request.source)]
    for index, task in enumerate(request.tasks):
        found += task_faults(f"tasks[{index}]", task)
    found += environment_faults("static_environment", request.static_environment)
    found += environment_faults("environment", request.environment)
    found += message_faults("inputs", request.inputs)
    preconditions = _preconditions(request.change_groups, found)
    if _is_unreadable(request):
        raise InvalidInput(_with_field_faults(request, found))
    # Of the request as it was sent: a variable may stand for something else when it is sent again.
    request_digest = _digest_without_id(request) if request.request_id else ""
    unset = () if found else bind_variables(request, variables)
    config = pb.RunConfig(
        tasks=request.tasks,
        static_environment=request.static_environment,
        environment=request.environment,
        source=request.source,
        cache_group=request.cache_group or _default_cache_group(request.run.group),
    )
    encoded = config.SerializeToString(deterministic=True)
    timeout = codec.read_duration(request.run.timeout) if request.run.HasField("timeout") else None
    wanted = creation.CreationRequest(
        id=run_id,
        number=0,
        name=request.run.name,
        group=request.run.group,
        tasks=tuple(definitions.decode_definition(task) for task in request.tasks),
        task_ids=tuple(task_ids),
        now=now,
        setup_errors=tuple(request.setup_errors),
        annotations=dict(request.run.annotations),
        priority=request.run.priority,
        timeout=timeout,
        from_fork=from_fork,
        event=event,
        created_by=created_by,
        source=codec.decode_source(request.source),
        config_digest=hashlib.sha256(encoded).hexdigest(),
    )
    found = _with_field_faults(request, [*found, *creation.violations(wanted)])
    if found:
        raise InvalidInput(found)
    created = creation.create(wanted)
    warnings = (*request.warnings, *unset[:MAX_OWN_WARNINGS], *islice(_unsaid_warnings(request), MAX_OWN_WARNINGS))
    return ValidatedCreate(
        created=created,
        records=_records(created, warnings, request),
        config=encoded,
        preconditions=preconditions,
        request_id=request.request_id,
        request_digest=request_digest,
    )


def _digest_without_id(request: service_api.CreateRunRequest) -> str:
    request_id = request.request_id
    # A copy would cost more than all else here.
    request.ClearField("request_id")
    digest = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
    request.request_id = request_id
    return digest


def check_counts(request: service_api.CreateRunRequest) -> None:
    """Refuse a run with too many tasks, steps or edges, before anything is made of them. Takes 2 ms at most.

    Raises:
        InvalidInput: it has.
    """
    if len(request.tasks) > MAX_TASKS:
        raise InvalidInput([Violation("tasks", f"{len(request.tasks)} tasks; a run may have at most {MAX_TASKS}")])
    steps = sum(len(task.steps) for task in request.tasks)
    edges = sum(len(task.depends) for task in request.tasks)
    found = []
    if steps > MAX_RUN_STEPS:
        found.append(Violation("tasks", f"{steps} steps in all tasks; a run may have at most {MAX_RUN_STEPS}"))
    if edges > MAX_RUN_EDGES:
        found.append(Violation("tasks", f"{edges} parents of all tasks; a run may have at most {MAX_RUN_EDGES}"))
    if found:
        raise InvalidInput(found)


def _default_cache_group(group: str) -> str:
    return groups.scope_of(groups.canonical(group)) if not groups.faults(group) else ""


def _preconditions(wanted: Mapping[str, str], found: list[Violation]) -> tuple[GroupRevision, ...]:
    made = []
    for name in sorted(wanted):
        text = wanted[name]
        found += text_faults(f'change_groups["{shown(name, most=100)}"]', name, _change_group_fault)
        try:
            # A prefix of their own: a caller must not move or guess the groups that the server uses.
            made.append(GroupRevision(f"caller/{name}", Position.parse(text) if text else None))
        except ValueError:
            where = f'change_groups["{shown(name, most=100)}"]'
            found.append(Violation(where, f"{shown(text, most=100)!r} is not a revision"))
    return tuple(made)


def _change_group_fault(name: str) -> str | None:
    return foreign_fault(name, most=MAX_CHANGE_GROUP)


def _show_sentences(request: service_api.CreateRunRequest) -> None:
    """Replace characters that must not be shown in texts of others: commit message, errors and warnings."""
    request.source.message = shown(request.source.message, most=MAX_MESSAGE)
    for sentences in (request.setup_errors, request.warnings):
        for index, sentence in enumerate(sentences[:MAX_SENTENCES]):
            sentences[index] = shown(sentence, most=MAX_SENTENCE)


def _request_faults(request: service_api.CreateRunRequest) -> Iterator[Violation]:
    annotations = request.run.annotations
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > MAX_ANNOTATION_BYTES:
        yield Violation("run.annotations", f"they have {size} bytes; at most {MAX_ANNOTATION_BYTES} are allowed")
    else:
        for key in sorted(annotations):
            where = f'run.annotations["{shown(key, most=100)}"]'
            yield from text_faults(where, key, name_fault)
            yield from text_faults(where, annotations[key], lines_fault)
    size = sum(len(name.encode()) + len(value.value.encode()) for name, value in request.environment.items())
    if size > MAX_ENVIRONMENT_BYTES:
        yield Violation("environment", f"it has {size} bytes; at most {MAX_ENVIRONMENT_BYTES} are allowed")
    for index, error in enumerate(request.setup_errors):
        if not error:
            yield Violation(f"setup_errors[{index}]", "it is empty")
    if len(request.warnings) > MAX_SENTENCES:
        yield Violation("warnings", f"{len(request.warnings)}; at most {MAX_SENTENCES} are allowed")
    if request.cache_group:
        yield from (Violation("cache_group", fault) for fault in groups.faults(request.cache_group))
    if len(request.change_groups) > MAX_CHANGE_GROUPS:
        yield Violation("change_groups", f"{len(request.change_groups)}; at most {MAX_CHANGE_GROUPS} are allowed")
    yield from text_faults("request_id", request.request_id, foreign_fault)
    yield from duration_faults("run.timeout", request.run.timeout)
    if request.run.HasField("hold_on_failure"):
        yield from hold_faults("run.hold_on_failure", request.run.hold_on_failure)


def _with_field_faults(request: service_api.CreateRunRequest, found: list[Violation]) -> list[Violation]:
    """Put the faults of the field annotations first. No path is reported twice."""
    first = field_faults(request)
    paths = {violation.path for violation in first}
    return [*first, *(violation for violation in found if violation.path not in paths)]


def _unsaid_warnings(request: service_api.CreateRunRequest) -> Iterator[str]:
    """Yield likely mistakes in the tasks, except those that the caller's warnings have, with their place in a file."""
    inputs = {variable_of(each.name) for each in request.inputs}
    for index, task in enumerate(request.tasks):
        for path, message in _likely_mistakes(task, request.static_environment, inputs):
            where = format_path(("tasks", index, *path))
            # Of a step, a configuration's path depends on the form that it is written in.
            known = format_path(("tasks", index, *path[:2])) if path[0] == "steps" else where
            if not any(known in given and given.endswith(message) for given in request.warnings):
                yield f"{where}: {message}"


def _likely_mistakes(
    task: definition_api.TaskDefinition,
    static: Mapping[str, definition_api.EnvironmentValue],
    inputs: Collection[str],
) -> Iterator[tuple[DocumentPath, str]]:
    # What the caller's static environment leaves out, a task may set; see `specification`.
    system = (system_variables(agola=has_agola_names(static)) - ({"CI"} - static.keys())) | set(inputs)
    environments: list[tuple[DocumentPath, Mapping[str, definition_api.EnvironmentValue]]] = [((), task.environment)]
    if task.runtime.containers:
        environments.append((("runtime", "containers", 0), task.runtime.containers[0].environment))
    environments += [(("steps", n, "run"), step.run.environment) for n, step in enumerate(task.steps)]
    for path, environment in environments:
        in_step = path[:1] == ("steps",)
        for name in sorted(environment):
            message = overwritten_variable(name, environment[name].value, system=system, in_step=in_step)
            if message is not None:
                yield (*path, "environment", name), message
    idle = without_effect(task.runtime, task.user)
    holders: list[tuple[DocumentPath, definition_api.Resources]] = [((), task.resources)]
    holders += [(("runtime", "containers", n), c.resources) for n, c in enumerate(task.runtime.containers)]
    for path, resources in holders:
        if idle is not None and resources.cpu_millis:
            yield (*path, "resources", "cpu"), idle
    for index, step in enumerate(task.steps):
        message = carriage_return(step.run.command, is_command=True)
        if message is not None:
            yield ("steps", index, "run", "command"), message


def _is_unreadable(request: service_api.CreateRunRequest) -> bool:
    # The model has no value for these, so nothing more can be checked.
    if any(duration_faults("", request.run.timeout)):
        return True
    conditions = set(enums.CONDITIONS.values())
    causes = set(enums.RETRY_CAUSES.values())
    return any(
        any(c not in conditions for depend in task.depends for c in depend.conditions)
        or any(cause not in causes for cause in task.retry.on)
        or any(duration_faults("", task.task_timeout_interval))
        or any(duration_faults("", task.wait_timeout))
        or any(duration_faults("", task.approval.timeout))
        for task in request.tasks
    )


def _plain(environment: Mapping[str, definition_api.EnvironmentValue]) -> dict[str, str]:
    return {name: value.value for name, value in environment.items() if not value.HasField("secret")}


def _records(created: creation.Created, warnings: tuple[str, ...], request: service_api.CreateRunRequest) -> NewRecords:
    run = created.run
    names = {task.id: task.name for task in created.tasks}
    tasks = {
        task.id: codec.encode_new_task(task, run_id=run.id, scope=run.scope, names=names) for task in created.tasks
    }
    # A stop changes all tasks at once.
    size = sum(
        record.ByteSize() + len(run.group) + 3 * len(record.task.name) + CHANGE_BYTES for record in tasks.values()
    )
    if size > MAX_CHANGE_BYTES:
        raise RunTooLarge(
            f"the run is too large: its {len(names)} tasks take {size} bytes in one transaction, at most "
            f"{MAX_CHANGE_BYTES} are possible; give it fewer tasks, fewer edges or shorter names"
        )
    shown_run = api.Run(
        setup_errors=created.setup_errors,
        variables=_plain(request.environment),
        inputs=with_values(
            request.inputs, {each.name: each.value for each in request.inputs if each.HasField("value")}
        ),
        inputs_make_tasks=request.inputs_make_tasks and bool(request.inputs),
    )
    if request.run.HasField("hold_on_failure"):
        shown_run.hold_on_failure.CopyFrom(request.run.hold_on_failure)
    record = pb.RunRecord(run=shown_run, created_warnings=warnings)
    return NewRecords(record, tasks)
