"""The checks of task definitions: every field that is shown, run, or sent to an executor. Pure.

The rules of texts, paths and repositories are those of configurations (`foundation.texts`, `foundation.locations`):
what `sluice config check` refuses, the server refuses too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from google.protobuf.duration_pb2 import Duration

from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway_common.foundation.errors import Violation
from sluiceway_common.foundation.locations import (
    absolute_path_fault,
    commit_fault,
    inner_path_fault,
    link_fault,
    ref_fault,
    repository_fault,
)
from sluiceway_common.foundation.texts import (
    audience_fault,
    command_fault,
    foreign_fault,
    id_token_name_fault,
    line_fault,
    lines_fault,
    name_fault,
    nul_fault,
    shown,
    variable_name_fault,
)
from sluiceway_common.runconfig.capabilities import unsupported_parts
from sluiceway_common.runconfig.environment import id_token_variables
from sluiceway_common.runconfig.problems import format_path
from sluiceway_common.runconfig.shells import split_shell
from sluiceway_server.runrecords import enums

ARCHS = frozenset({"", "amd64", "arm64", "arm", "386"})
MAX_STEPS = 1_000
MAX_CONTAINERS = 100
MAX_CACHE_KEY = 200
MAX_REFERENCE = 200
_MAX_SECONDS = 3_650 * 86_400
_DAY_SECONDS = 86_400
_NANOS = 1_000_000_000
_MAX_PORT = 65_535
# A step without a kind has a fault of its own.
_ANY_STEP = "run"
_NO_SECRETS = "only variables refer to secrets; give the name of a variable"
_REF_TYPES = frozenset({"", "branch", "tag", "pull_request"})
_CONDITIONS = frozenset(enums.CONDITIONS.values())
_CAUSES = frozenset(enums.RETRY_CAUSES.values())


def source_faults(path: str, source: definition_api.Source) -> Iterator[Violation]:
    """List what is wrong with the description of where a run comes from. All of it may be left out."""
    rules: Mapping[str, Callable[[str], str | None]] = {
        "repository": repository_fault,
        "ref": ref_fault,
        "branch": ref_fault,
        "tag": ref_fault,
        "pull_request_id": lambda text: line_fault(text, most=MAX_REFERENCE),
        "commit_sha": commit_fault,
        "link": link_fault,
    }
    for name, rule in rules.items():
        yield from text_faults(f"{path}.{name}", getattr(source, name), rule, empty=True)
    if source.ref_type not in _REF_TYPES:
        known = ", ".join(sorted(_REF_TYPES - {""}))
        yield Violation(f"{path}.ref_type", f'"{shown(source.ref_type, most=100)}" is not one of {known}')


def task_faults(path: str, task: definition_api.TaskDefinition) -> Iterator[Violation]:
    """List what is wrong with a task, but for what the rules of runs know: its name, edges, priority and retries."""
    for at, depend in enumerate(task.depends):
        yield from text_faults(f"{path}.depends[{at}].task", depend.task, lambda text: line_fault(text, most=100))
        for index, condition in enumerate(depend.conditions):
            if condition not in _CONDITIONS:
                yield Violation(f"{path}.depends[{at}].conditions[{index}]", "this condition is not known")
    for index, cause in enumerate(task.retry.on):
        if cause not in _CAUSES:
            yield Violation(f"{path}.retry.on[{index}]", "this cause is not known")
    for index, avoided in enumerate(task.retry.avoid):
        if avoided != definition_api.RETRY_AVOID_EXECUTOR:
            yield Violation(f"{path}.retry.avoid[{index}]", "this is not known")
    yield from _runtime_faults(f"{path}.runtime", task.runtime)
    kinds = [step.WhichOneof("kind") or _ANY_STEP for step in task.steps]
    for part, message in unsupported_parts(task.runtime, task.user, kinds):
        yield Violation(f"{path}.{format_path(part)}", message)
    yield from environment_faults(f"{path}.environment", task.environment)
    yield from _id_token_faults(path, task)
    for name in ("working_dir", "user"):
        yield from text_faults(f"{path}.{name}", getattr(task, name), lines_fault)
    yield from text_faults(f"{path}.shell", task.shell, _shell_fault)
    yield from text_faults(f"{path}.lock", task.lock, name_fault, empty=True)
    yield from _label_faults(f"{path}.labels", task.labels)
    if len(task.steps) > MAX_STEPS:
        yield Violation(f"{path}.steps", f"{len(task.steps)} steps; at most {MAX_STEPS} are allowed")
    for index, step in enumerate(task.steps[:MAX_STEPS]):
        yield from _step_faults(f"{path}.steps[{index}]", step)
    for registry in sorted(task.docker_registries_auth):
        yield from _registry_faults(path, registry, task.docker_registries_auth[registry])
    yield from duration_faults(f"{path}.task_timeout_interval", task.task_timeout_interval)
    yield from duration_faults(f"{path}.wait_timeout", task.wait_timeout)
    yield from duration_faults(f"{path}.approval.timeout", task.approval.timeout)
    if task.HasField("hold_on_failure"):
        yield from hold_faults(f"{path}.hold_on_failure", task.hold_on_failure)
    yield from _resource_faults(f"{path}.resources", task.resources)


def environment_faults(path: str, environment: Mapping[str, definition_api.EnvironmentValue]) -> Iterator[Violation]:
    """List what is wrong with an environment."""
    for name in sorted(environment):
        where = f'{path}["{shown(name, most=100)}"]'
        fault = variable_name_fault(name)
        if fault is not None:
            yield Violation(where, fault)
        value = environment[name]
        yield from _value_faults(where, value)


def _id_token_faults(path: str, task: definition_api.TaskDefinition) -> Iterator[Violation]:
    for name in sorted(task.id_tokens):
        where = f'{path}.id_tokens["{shown(name, most=100)}"]'
        yield from text_faults(where, name, id_token_name_fault)
        audiences = task.id_tokens[name].audiences
        if not audiences:
            yield Violation(f"{where}.audiences", "at least one is needed")
        for index, audience in enumerate(audiences):
            yield from text_faults(f"{where}.audiences[{index}]", audience, audience_fault)
        for variable in id_token_variables(name):
            if variable in task.environment:
                yield Violation(f'{path}.environment["{shown(variable, most=100)}"]', "is set by an id token, too")


def duration_faults(path: str, value: Duration) -> Iterator[Violation]:
    """List what is wrong with a duration of more than ten years. The rules of runs refuse a negative one."""
    if abs(value.seconds) > _MAX_SECONDS or abs(value.nanos) >= _NANOS:
        yield Violation(path, "must be at most ten years")


def hold_faults(path: str, value: Duration) -> Iterator[Violation]:
    """List what is wrong with how long a pod is to be held."""
    is_less = 0 <= value.seconds < _DAY_SECONDS and 0 <= value.nanos < _NANOS
    if not is_less and value != Duration(seconds=_DAY_SECONDS):
        yield Violation(path, "must be 0 to 24 hours")


def text_faults(path: str, text: str, rule: Callable[[str], str | None], *, empty: bool = False) -> Iterator[Violation]:
    """Yield the fault that a rule finds in a text.

    Args:
        path: of the field.
        text: its value.
        rule: returns the fault, or None.
        empty: the field may be left out.
    """
    if empty and not text:
        return
    fault = rule(text)
    if fault is not None:
        yield Violation(path, fault)


def _runtime_faults(path: str, runtime: definition_api.Runtime) -> Iterator[Violation]:
    if runtime.type not in ("", "pod"):
        yield Violation(f"{path}.type", f'"{shown(runtime.type, most=100)}" is not known; it must be "pod"')
    if runtime.arch not in ARCHS:
        known = ", ".join(sorted(arch for arch in ARCHS if arch))
        arch = shown(runtime.arch, most=100)
        yield Violation(f"{path}.arch", f'"{arch}" is not known; it must be one of {known}, or empty')
    if not 1 <= len(runtime.containers) <= MAX_CONTAINERS:
        yield Violation(f"{path}.containers", f"there must be at least one, and at most {MAX_CONTAINERS}")
    for index, container in enumerate(runtime.containers[:MAX_CONTAINERS]):
        where = f"{path}.containers[{index}]"
        yield from text_faults(f"{where}.image", container.image, _filled_fault)
        for name in ("user", "entrypoint"):
            yield from text_faults(f"{where}.{name}", getattr(container, name), lines_fault)
        yield from environment_faults(f"{where}.environment", container.environment)
        for at, volume in enumerate(container.volumes):
            yield from text_faults(f"{where}.volumes[{at}].path", volume.path, absolute_path_fault)
            yield from _not_negative(f"{where}.volumes[{at}].tmpfs.size_bytes", volume.tmpfs.size_bytes)
        yield from _resource_faults(f"{where}.resources", container.resources)
        yield from text_faults(f"{where}.ready.command", container.ready.command, command_fault, empty=True)
        if not 0 <= container.ready.port <= _MAX_PORT:
            yield Violation(f"{where}.ready.port", f"must be 1 to {_MAX_PORT}")


def _step_faults(path: str, step: definition_api.StepDefinition) -> Iterator[Violation]:
    yield from text_faults(f"{path}.name", step.name, name_fault, empty=True)
    match step.WhichOneof("kind"):
        case None:
            yield Violation(path, "it does nothing: one of run, clone, save_to_workspace, ... must be set")
        case "run":
            yield from environment_faults(f"{path}.run.environment", step.run.environment)
            yield from text_faults(f"{path}.run.command", step.run.command, command_fault)
            yield from text_faults(f"{path}.run.shell", step.run.shell, _shell_fault)
            yield from text_faults(f"{path}.run.working_dir", step.run.working_dir, lines_fault)
        case "clone":
            yield from _not_negative(f"{path}.clone.depth", step.clone.depth)
        case "save_to_workspace":
            yield from _contents_faults(f"{path}.save_to_workspace", step.save_to_workspace.contents)
        case "restore_workspace":
            yield from text_faults(f"{path}.restore_workspace.dest_dir", step.restore_workspace.dest_dir, lines_fault)
        case "save_cache":
            yield from text_faults(f"{path}.save_cache.key", step.save_cache.key, _cache_key_fault)
            yield from _contents_faults(f"{path}.save_cache", step.save_cache.contents)
        case "restore_cache":
            if not step.restore_cache.keys:
                yield Violation(f"{path}.restore_cache.keys", "there must be at least one")
            for at, key in enumerate(step.restore_cache.keys):
                yield from text_faults(f"{path}.restore_cache.keys[{at}]", key, _cache_key_fault)
            yield from text_faults(f"{path}.restore_cache.dest_dir", step.restore_cache.dest_dir, lines_fault)
        case "save_artifacts":
            yield from text_faults(
                f"{path}.save_artifacts.artifact_name", step.save_artifacts.artifact_name, name_fault
            )
            yield from _paths_faults(f"{path}.save_artifacts.paths", step.save_artifacts.paths)
        case "save_reports":
            yield from _paths_faults(f"{path}.save_reports.paths", step.save_reports.paths)


def _contents_faults(path: str, contents: Iterable[definition_api.ArchiveContents]) -> Iterator[Violation]:
    for at, each in enumerate(contents):
        where = f"{path}.contents[{at}]"
        yield from text_faults(f"{where}.source_dir", each.source_dir, lines_fault)
        yield from text_faults(f"{where}.dest_dir", each.dest_dir, _downward_fault, empty=True)
        yield from _paths_faults(f"{where}.paths", each.paths)


def _paths_faults(path: str, paths: Iterable[str]) -> Iterator[Violation]:
    for at, each in enumerate(paths):
        yield from text_faults(f"{path}[{at}]", each, inner_path_fault)


def _registry_faults(path: str, registry: str, auth: definition_api.RegistryAuth) -> Iterator[Violation]:
    where = f'{path}.docker_registries_auth["{shown(registry, most=100)}"]'
    yield from text_faults(where, registry, _filled_fault)
    if auth.type not in ("basic", "encodedauth"):
        yield Violation(f"{where}.type", f'it must be "basic" or "encodedauth", not "{shown(auth.type, most=100)}"')
    for name in ("username", "password", "auth"):
        yield from _value_faults(f"{where}.{name}", getattr(auth, name))


def _value_faults(path: str, value: definition_api.EnvironmentValue) -> Iterator[Violation]:
    yield from text_faults(path, value.value, nul_fault)
    if value.HasField("secret"):
        yield Violation(path, _NO_SECRETS)
    if value.HasField("variable"):
        yield from text_faults(f"{path}.variable", value.variable, name_fault)


def _label_faults(path: str, labels: Mapping[str, str]) -> Iterator[Violation]:
    for key in sorted(labels):
        where = f'{path}["{shown(key, most=100)}"]'
        yield from text_faults(where, key, _filled_fault)
        yield from text_faults(where, labels[key], lines_fault)


def _resource_faults(path: str, resources: definition_api.Resources) -> Iterator[Violation]:
    yield from _not_negative(f"{path}.cpu_millis", resources.cpu_millis)
    yield from _not_negative(f"{path}.memory_bytes", resources.memory_bytes)


def _not_negative(path: str, value: int) -> Iterator[Violation]:
    if value < 0:
        yield Violation(path, "must not be negative")


def _filled_fault(text: str) -> str | None:
    return foreign_fault(text) if text.strip() else "must not be empty"


def _downward_fault(text: str) -> str | None:
    return inner_path_fault(text, downward=True)


def _cache_key_fault(text: str) -> str | None:
    return foreign_fault(text, most=MAX_CACHE_KEY) if text.strip() else "must not be empty"


def _shell_fault(text: str) -> str | None:
    try:
        if text:
            split_shell(text)
    except ValueError as error:
        return str(error)
    return lines_fault(text)
