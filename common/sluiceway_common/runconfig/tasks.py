"""From a checked run to the tasks of a run, as the API takes them.

Tasks are plain data in protobuf's JSON mapping of `sluiceway.api.run.v1.TaskDefinition` (lowerCamelCase, fields at
their default left out), so that every caller can send them and nothing here knows protobuf. All that a configuration
inherits (registry credentials, timeouts) is resolved here; a `when` that does not match becomes `skip`. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.runconfig import durations
from sluiceway_common.runconfig.model import (
    ArchiveContents,
    CloneStep,
    Config,
    Container,
    Depend,
    RegistryAuth,
    Resources,
    RestoreCacheStep,
    RestoreWorkspaceStep,
    Run,
    RunStep,
    SaveArtifactsStep,
    SaveCacheStep,
    SaveReportsStep,
    SaveToWorkspaceStep,
    Step,
    Task,
    Value,
    When,
)
from sluiceway_common.runconfig.problems import did_you_mean, quoted
from sluiceway_common.runconfig.when import Context, matches

__all__ = [
    "DEFAULT_TASK_TIMEOUT",
    "EnvironmentValue",
    "RunTasks",
    "find_run",
    "runs_that_apply",
    "tasks_of_run",
    "variables_of_run",
]

DEFAULT_TASK_TIMEOUT: Final = durations.HOUR
# Short enough for a heading and for a sentence that says how the step ended.
_MAX_DEFAULT_NAME: Final = 40

EnvironmentValue = dict[str, Any]
"""`{"value": text}` or `{"secret": {"id", "key", "version"}}`."""


@dataclass(frozen=True, slots=True)
class RunTasks:
    """What a run is created from.

    Attributes:
        name: the run's name in the configuration.
        tasks: `TaskDefinition`s in JSON, in the order of the file.
        applies: whether the run's own `when` matches; a caller that reacts to events starts no run otherwise.
        priority: of the run.
        timeout: of the run, in protobuf's JSON (`"3600s"`); None for none.
        warnings: what the run should carry for people, such as variables that are not set.
    """

    name: str
    tasks: tuple[dict[str, Any], ...]
    applies: bool
    priority: int
    timeout: str | None
    warnings: tuple[str, ...]


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
    return tuple(r.name for r in config.runs if _applies(r.when, context, changed_paths))


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


def tasks_of_run(
    config: Config,
    run_name: str,
    context: Context,
    changed_paths: Collection[str] | None = None,
    *,
    variables: Mapping[str, EnvironmentValue | str] | None = None,
    from_fork: bool = False,
) -> RunTasks:
    """Make the tasks of one run of a checked configuration.

    Args:
        config: without errors (`LoadResult.config`).
        run_name: which run.
        context: what the run is made for.
        changed_paths: the files that have changed, where known; see `when`.
        variables: what variables stand for: a clear text, or an `EnvironmentValue` with a reference to a secret. One
            that is not there gives an empty string and a warning.
        from_fork: whether it is a run of a fork's pull request, whose priority is always 0.

    Raises:
        NotFound: there is no such run.
    """
    run = find_run(config, run_name)
    making = _Making(config, run, context, changed_paths, variables=variables or {}, from_fork=from_fork)
    tasks = tuple(making.task(t) for t in run.tasks)
    return RunTasks(
        name=run.name,
        tasks=tasks,
        applies=_applies(run.when, context, changed_paths),
        priority=0 if from_fork else run.priority,
        timeout=None if run.timeout is None else durations.to_protobuf_json(run.timeout),
        warnings=tuple(making.warnings),
    )


def _applies(when: When | None, context: Context, changed_paths: Collection[str] | None) -> bool:
    return when is None or matches(when.compiled(), context, changed_paths)


class _Making:
    def __init__(
        self,
        config: Config,
        run: Run,
        context: Context,
        changed_paths: Collection[str] | None,
        *,
        variables: Mapping[str, EnvironmentValue | str],
        from_fork: bool,
    ) -> None:
        self.warnings: dict[str, None] = {}
        self._registries = {**config.docker_registries_auth, **run.docker_registries_auth}
        self._timeout = run.task_timeout_interval or config.task_timeout_interval or DEFAULT_TASK_TIMEOUT
        self._context = context
        self._changed_paths = changed_paths
        self._variables = variables
        self._from_fork = from_fork
        self._task_name = ""

    def task(self, task: Task) -> dict[str, Any]:
        self._task_name = task.name
        registries = {**self._registries, **task.docker_registries_auth}
        approval = None
        if task.approval is not None:
            approval = {"timeout": durations.to_protobuf_json(task.approval.timeout)}
        retry = None
        if task.retry is not None:
            causes = [f"RETRY_CAUSE_{c.upper()}" for c in dict.fromkeys(task.retry.on)]
            retry = {"maxAttempts": task.retry.max_attempts, "on": causes}
        return _filled(
            name=task.name,
            runtime=_filled(
                type=task.runtime.type,
                arch=task.runtime.arch,
                network=task.runtime.network,
                containers=[self._container(c) for c in task.runtime.containers],
            ),
            environment=self._environment(task.environment),
            workingDir=task.working_dir,
            shell=task.shell,
            user=task.user,
            steps=[self._step(s) for s in task.steps],
            depends=[_depend(d) for d in task.depends],
            ignoreFailure=task.ignore_failure,
            approval=approval,
            lock=task.lock,
            skip=not _applies(task.when, self._context, self._changed_paths),
            dockerRegistriesAuth={name: self._registry(auth) for name, auth in registries.items()},
            taskTimeoutInterval=durations.to_protobuf_json(task.task_timeout_interval or self._timeout),
            retry=retry,
            labels=dict(task.labels),
            priority=0 if self._from_fork else task.priority,
            resources=_resources(task.resources),
        )

    def _container(self, container: Container) -> dict[str, Any]:
        ready = container.ready
        return _filled(
            image=container.image,
            environment=self._environment(container.environment),
            user=container.user,
            privileged=container.privileged,
            entrypoint=container.entrypoint,
            volumes=[{"path": v.path, "tmpfs": _filled(sizeBytes=_int64(v.tmpfs.size))} for v in container.volumes],
            resources=_resources(container.resources),
            ready=None if ready is None else _filled(command=ready.command, port=ready.port),
        )

    def _environment(self, environment: Mapping[str, Value]) -> dict[str, EnvironmentValue]:
        return {name: self._value(value) for name, value in environment.items()}

    def _value(self, value: Value) -> EnvironmentValue:
        if value.from_variable is None:
            return {"value": value.text or ""}
        found = self._variables.get(value.from_variable)
        if found is None:
            name, task = quoted(value.from_variable), quoted(self._task_name)
            self.warnings[f"variable {name} is not set; task {task} gets an empty string"] = None
            return {"value": ""}
        return {"value": found} if isinstance(found, str) else dict(found)

    def _registry(self, auth: RegistryAuth) -> dict[str, Any]:
        values = {"username": auth.username, "password": auth.password, "auth": auth.auth}
        return {"type": auth.type, **{n: self._value(v) for n, v in values.items() if v is not None}}

    def _step(self, step: Step) -> dict[str, Any]:
        kind, body = _step_kind(step)
        if isinstance(step, RunStep):
            body = _filled(
                command=step.command,
                environment=self._environment(step.environment),
                workingDir=step.working_dir,
                shell=step.shell,
                tty=step.tty,
            )
        return {
            **_filled(
                name=step.name or _default_name(step),
                always=step.always,
                skip=not _applies(step.when, self._context, self._changed_paths),
            ),
            kind: body,
        }


def _step_kind(step: Step) -> tuple[str, dict[str, Any]]:
    match step:
        case RunStep():
            return "run", {}
        case CloneStep():
            return "clone", _filled(depth=step.depth, recurseSubmodules=step.recurse_submodules)
        case SaveToWorkspaceStep():
            return "saveToWorkspace", {"contents": _contents(step.contents)}
        case RestoreWorkspaceStep():
            return "restoreWorkspace", _filled(destDir=step.dest_dir)
        case SaveCacheStep():
            return "saveCache", {"key": step.key, "contents": _contents(step.contents)}
        case RestoreCacheStep():
            return "restoreCache", _filled(keys=list(step.keys), destDir=step.dest_dir)
        case SaveArtifactsStep():
            return "saveArtifacts", {"artifactName": step.name, "paths": list(step.paths)}
        case SaveReportsStep():
            return "saveReports", {"paths": list(step.paths)}


def _default_name(step: Step) -> str:
    if isinstance(step, RunStep):
        # A command without a name is one line (a check says so); what cannot be shown in a line is left out.
        line = "".join(c for c in step.command.strip().partition("\n")[0] if c.isprintable())
        return line if len(line) <= _MAX_DEFAULT_NAME else line[: _MAX_DEFAULT_NAME - 1].rstrip() + "…"
    return step.type.replace("_", " ")


def _depend(depend: Depend) -> dict[str, Any]:
    conditions = [f"DEPEND_CONDITION_{c.upper()}" for c in dict.fromkeys(depend.conditions)]
    return {"task": depend.task, "conditions": conditions}


def _contents(contents: Iterable[ArchiveContents]) -> list[dict[str, Any]]:
    return [_filled(sourceDir=c.source_dir, destDir=c.dest_dir, paths=list(c.paths)) for c in contents]


def _resources(resources: Resources | None) -> dict[str, Any] | None:
    if resources is None:
        return None
    return _filled(cpuMillis=_int64(resources.cpu), memoryBytes=_int64(resources.memory))


def _int64(value: int | None) -> str | None:
    # protobuf's JSON writes 64-bit integers as strings.
    return None if value is None else str(value)


def _filled(**fields: Any) -> dict[str, Any]:
    """Leave out what is at protobuf's default; no message here means anything when it is empty."""
    return {n: v for n, v in fields.items() if v is not None and v is not False and v not in ("", 0, [], {})}
