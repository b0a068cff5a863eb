"""What `CreateRun` takes, checked: every fault at once, each with its path as the caller wrote it.

The rules check what they know (`runmodel.creation`): names, graph, priorities, retries. This module checks the rest of
the wire form, so that what is stored can be given to an executor without another question. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.api.run.v1 import run_service_pb2 as service_api
from sluiceway.datamanager.model import GroupRevision, Position
from sluiceway.foundation.errors import InvalidInput, Violation
from sluiceway.foundation.rpc.fields import field_faults
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway.runconfig.capabilities import unsupported_parts, without_effect
from sluiceway.runconfig.environment import has_agola_names, system_variables
from sluiceway.runconfig.likely_mistakes import carriage_return, overwritten_variable
from sluiceway.runconfig.problems import DocumentPath, format_path
from sluiceway.runconfig.shells import split_shell
from sluiceway.runmodel import creation, groups
from sluiceway.runmodel.model import MAX_RUN_EDGES, MAX_RUN_STEPS, MAX_TASKS
from sluiceway.runservice import codec, stamps, wire, words

__all__ = ["ARCHS", "MAX_STEPS", "Intake", "check", "check_counts", "new_record"]

ARCHS = frozenset({"", "amd64", "arm64", "arm", "386"})
MAX_STEPS = 1_000
MAX_ANNOTATION_BYTES = 16 * 1024
MAX_OWN_WARNINGS = 100
# A step without a kind has a fault of its own.
_ANY_STEP = "run"
_NO_SECRETS = "this server does not resolve secrets; give a clear value"


@dataclass(frozen=True, slots=True)
class Intake:
    """A creation that was checked.

    Attributes:
        created: the run and its tasks, with number 0: the number is given in the transaction.
        config: what it is made of, and `digest` of that.
        warnings: of the caller, and ours of the tasks.
        preconditions: the change groups that the caller expects unmoved; the creation moves them.
        request_id, request_digest: the idempotency key, and what it stands for.
    """

    created: creation.Created
    config: pb.RunConfig
    digest: str
    warnings: tuple[str, ...]
    preconditions: tuple[GroupRevision, ...]
    request_id: str
    request_digest: str


def check(
    request: service_api.CreateRunRequest,
    *,
    run_id: str,
    task_ids: Iterable[str],
    created_by: str,
    belongs_to: tuple[str, ...],
    from_fork: bool,
    now: datetime,
) -> Intake:
    """Check a request and make its run.

    Raises:
        InvalidInput: with every fault.
    """
    found = _request_faults(request)
    for index, task in enumerate(request.tasks):
        found += _task_faults(f"tasks[{index}]", task)
    found += _environment_faults("static_environment", request.static_environment)
    found += _environment_faults("environment", request.environment)
    preconditions = _preconditions(request.change_groups, found)
    if any(_is_unreadable(task) for task in request.tasks):
        raise InvalidInput(_with_field_faults(request, found))
    config = pb.RunConfig(
        tasks=request.tasks,
        static_environment=request.static_environment,
        environment=request.environment,
        source=request.source,
        cache_group=request.cache_group or _default_cache_group(request.run.group),
    )
    digest = hashlib.sha256(config.SerializeToString(deterministic=True)).hexdigest()
    timeout = stamps.read_duration(request.run.timeout) if request.run.HasField("timeout") else None
    wanted = creation.CreationRequest(
        id=run_id,
        number=0,
        name=request.run.name,
        group=request.run.group,
        tasks=tuple(wire.decode_definition(task) for task in request.tasks),
        task_ids=tuple(task_ids),
        now=now,
        setup_errors=tuple(request.setup_errors),
        annotations=dict(request.run.annotations),
        priority=request.run.priority,
        timeout=timeout,
        belongs_to=belongs_to,
        from_fork=from_fork,
        created_by=created_by,
        source=codec.decode_source(request.source),
        config_digest=digest,
    )
    found = _with_field_faults(request, [*found, *creation.violations(wanted)])
    if found:
        raise InvalidInput(found)
    keyed = service_api.CreateRunRequest()
    keyed.CopyFrom(request)
    keyed.ClearField("request_id")
    return Intake(
        created=creation.create(wanted),
        config=config,
        digest=digest,
        warnings=(*request.warnings, *islice(_unsaid_warnings(request), MAX_OWN_WARNINGS)),
        preconditions=preconditions,
        request_id=request.request_id,
        request_digest=hashlib.sha256(keyed.SerializeToString(deterministic=True)).hexdigest(),
    )


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
        try:
            # A room of their own: a caller must not move or guess the groups that we use ourselves.
            made.append(GroupRevision(f"caller/{name}", Position.parse(text) if text else None))
        except ValueError:
            found.append(Violation(f'change_groups["{name}"]', f"{text!r} is not a revision"))
    return tuple(made)


def _request_faults(request: service_api.CreateRunRequest) -> list[Violation]:
    found = []
    annotations = request.run.annotations
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > MAX_ANNOTATION_BYTES:
        found.append(
            Violation("run.annotations", f"they have {size} bytes; at most {MAX_ANNOTATION_BYTES} are allowed")
        )
    found += [Violation(f"setup_errors[{i}]", "it is empty") for i, e in enumerate(request.setup_errors) if not e]
    return found


def _with_field_faults(request: service_api.CreateRunRequest, found: list[Violation]) -> list[Violation]:
    """Put the faults that the annotations of the fields tell first. No path is reported twice."""
    first = field_faults(request)
    paths = {violation.path for violation in first}
    return [*first, *(violation for violation in found if violation.path not in paths)]


def _unsaid_warnings(request: service_api.CreateRunRequest) -> Iterator[str]:
    """Say what the tasks most likely do not mean, unless the caller's warnings say it, with the place in a file."""
    for index, task in enumerate(request.tasks):
        for path, message in _likely_mistakes(task, request.static_environment):
            where = format_path(("tasks", index, *path))
            # Of a step, a configuration's path depends on the form that it is written in.
            known = format_path(("tasks", index, *path[:2])) if path[0] == "steps" else where
            if not any(known in given and given.endswith(message) for given in request.warnings):
                yield f"{where}: {message}"


def _likely_mistakes(
    task: definition_api.TaskDefinition, static: Mapping[str, definition_api.EnvironmentValue]
) -> Iterator[tuple[DocumentPath, str]]:
    # What the caller's static environment leaves out, a task may set; see `specification`.
    system = system_variables(agola=has_agola_names(static)) - ({"CI"} - static.keys())
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
    idle = without_effect()
    holders: list[tuple[DocumentPath, definition_api.Resources]] = [((), task.resources)]
    holders += [(("runtime", "containers", n), c.resources) for n, c in enumerate(task.runtime.containers)]
    for path, resources in holders:
        if idle is not None and resources.cpu_millis:
            yield (*path, "resources", "cpu"), idle
    for index, step in enumerate(task.steps):
        message = carriage_return(step.run.command, is_command=True)
        if message is not None:
            yield ("steps", index, "run", "command"), message


def _is_unreadable(task: definition_api.TaskDefinition) -> bool:
    # The rules have no word for these, so nothing more can be said about the request.
    conditions = set(words.CONDITIONS.values())
    causes = set(words.RETRY_CAUSES.values())
    return any(c not in conditions for depend in task.depends for c in depend.conditions) or any(
        cause not in causes for cause in task.retry.on
    )


def _task_faults(path: str, task: definition_api.TaskDefinition) -> list[Violation]:
    found = []
    known_conditions = set(words.CONDITIONS.values())
    for at, depend in enumerate(task.depends):
        for index, condition in enumerate(depend.conditions):
            if condition not in known_conditions:
                found.append(Violation(f"{path}.depends[{at}].conditions[{index}]", "this condition is not known"))
    known_causes = set(words.RETRY_CAUSES.values())
    for index, cause in enumerate(task.retry.on):
        if cause not in known_causes:
            found.append(Violation(f"{path}.retry.on[{index}]", "this cause is not known"))
    found += _runtime_faults(f"{path}.runtime", task.runtime)
    kinds = [step.WhichOneof("kind") or _ANY_STEP for step in task.steps]
    for part, message in unsupported_parts(task.runtime, task.user, kinds):
        found.append(Violation(f"{path}.{format_path(part)}", message))
    found += _environment_faults(f"{path}.environment", task.environment)
    found += _shell_faults(f"{path}.shell", task.shell)
    if len(task.steps) > MAX_STEPS:
        found.append(Violation(f"{path}.steps", f"{len(task.steps)} steps; at most {MAX_STEPS} are allowed"))
    for index, step in enumerate(task.steps[:MAX_STEPS]):
        found += _step_faults(f"{path}.steps[{index}]", step)
    for registry, auth in task.docker_registries_auth.items():
        if auth.type not in ("basic", "encodedauth"):
            where = f'{path}.docker_registries_auth["{registry}"].type'
            found.append(Violation(where, f'it must be "basic" or "encodedauth", not "{auth.type}"'))
        for name in ("username", "password", "auth"):
            if getattr(auth, name).HasField("secret"):
                found.append(Violation(f'{path}.docker_registries_auth["{registry}"].{name}', _NO_SECRETS))
    return found


def _runtime_faults(path: str, runtime: definition_api.Runtime) -> list[Violation]:
    found = []
    if runtime.type not in ("", "pod"):
        found.append(Violation(f"{path}.type", f'"{runtime.type}" is not known; it must be "pod"'))
    if runtime.arch not in ARCHS:
        known = ", ".join(sorted(arch for arch in ARCHS if arch))
        found.append(Violation(f"{path}.arch", f'"{runtime.arch}" is not known; it must be one of {known}, or empty'))
    if not runtime.containers:
        found.append(Violation(f"{path}.containers", "there must be at least one"))
    for index, container in enumerate(runtime.containers):
        where = f"{path}.containers[{index}]"
        if not container.image:
            found.append(Violation(f"{where}.image", "it must not be empty"))
        found += _environment_faults(f"{where}.environment", container.environment)
        for at, volume in enumerate(container.volumes):
            if not volume.path.startswith("/"):
                found.append(Violation(f"{where}.volumes[{at}].path", "it must be absolute"))
    return found


def _step_faults(path: str, step: definition_api.StepDefinition) -> list[Violation]:
    kind = step.WhichOneof("kind")
    if kind is None:
        return [Violation(path, "it does nothing: one of run, clone, save_to_workspace, ... must be set")]
    if kind == "run":
        found = _environment_faults(f"{path}.run.environment", step.run.environment)
        found += _shell_faults(f"{path}.run.shell", step.run.shell)
        if not step.run.command:
            found.append(Violation(f"{path}.run.command", "it must not be empty"))
        return found
    if kind == "clone" and step.clone.depth < 0:
        return [Violation(f"{path}.clone.depth", "it must not be negative")]
    if kind == "save_cache" and not 1 <= len(step.save_cache.key) <= 200:
        return [Violation(f"{path}.save_cache.key", "it must have 1 to 200 characters")]
    if kind == "restore_cache" and not step.restore_cache.keys:
        return [Violation(f"{path}.restore_cache.keys", "there must be at least one")]
    return []


def _shell_faults(path: str, shell: str) -> list[Violation]:
    try:
        if shell:
            split_shell(shell)
    except ValueError as error:
        return [Violation(path, f"it {error}")]
    return []


def _environment_faults(path: str, environment: Mapping[str, definition_api.EnvironmentValue]) -> list[Violation]:
    found = []
    for name in sorted(environment):
        where = f'{path}["{name}"]'
        if not name or "=" in name or "\0" in name:
            found.append(Violation(where, 'a name must not be empty, nor have "=" or NUL in it'))
        value = environment[name]
        kind = value.WhichOneof("kind")
        if kind == "value" and "\0" in value.value:
            found.append(Violation(where, "a value must not have NUL in it"))
        if kind == "secret":
            found.append(Violation(where, _NO_SECRETS))
    return found


def new_record(intake: Intake) -> pb.RunRecord:
    """What of a new run the rules do not know."""
    return pb.RunRecord(
        run=api.Run(setup_errors=intake.created.setup_errors),
        created_warnings=intake.warnings,
    )
