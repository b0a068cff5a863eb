"""Make the tasks of a run, as messages of the API, from a checked configuration.

All that a configuration inherits (registry credentials, timeouts) is resolved here. A `when` that does not match
becomes `skip`. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from google.protobuf.duration_pb2 import Duration

from sluiceway.api.run.v1 import definition_pb2 as api
from sluiceway_common.runconfig import durations
from sluiceway_common.runconfig.inputs import with_values
from sluiceway_common.runconfig.model import Approval, Config, Container, Depend, RegistryAuth, Resources, Run, Task
from sluiceway_common.runconfig.problems import quoted
from sluiceway_common.runconfig.runs import (
    applies,
    context_of_run,
    find_run,
    uses_inputs_in_when,
    variables_of_run,
)
from sluiceway_common.runconfig.step_model import (
    ArchiveContents,
    CloneStep,
    RestoreCacheStep,
    RestoreWorkspaceStep,
    RunStep,
    SaveArtifactsStep,
    SaveCacheStep,
    SaveReportsStep,
    SaveToWorkspaceStep,
    Step,
)
from sluiceway_common.runconfig.values import Value
from sluiceway_common.runconfig.when import Context
from sluiceway_common.runmodel.limits import DEFAULT_TASK_TIMEOUT

_DEFAULT_TASK_TIMEOUT: Final = DEFAULT_TASK_TIMEOUT // timedelta(seconds=1) * durations.SECOND
# Short enough for a heading and for a sentence that says how the step ended.
_MAX_DEFAULT_NAME: Final = 40


@dataclass(frozen=True, slots=True)
class RunTasks:
    """The definition of a run to be created.

    Attributes:
        name: the run's name in the configuration.
        tasks: in the order of the file.
        applies: whether the run's own `when` matches; a caller that reacts to events starts no run otherwise.
        priority: of the run.
        timeout: of the run; None for none.
        warnings: what the run should carry for people, such as variables that are not set.
        inputs: of the run, with their values.
        are_made_with_inputs: whether a `when` of the run, its tasks or their steps asks for an input.
    """

    name: str
    tasks: tuple[api.TaskDefinition, ...]
    applies: bool
    priority: int
    timeout: Duration | None
    warnings: tuple[str, ...]
    inputs: tuple[api.Input, ...] = ()
    are_made_with_inputs: bool = False


def tasks_of_run(
    config: Config,
    run_name: str,
    context: Context,
    changed_paths: Collection[str] | None = None,
    *,
    variables: Mapping[str, api.EnvironmentValue | str] | None = None,
    from_fork: bool = False,
) -> RunTasks:
    """Make the tasks of one run of a checked configuration.

    Args:
        config: without errors (`LoadResult.config`).
        run_name: which run.
        context: the branch, tag or pull request of the run, and values for its inputs; values of other inputs, and
            those that `input_faults` reports, are passed over.
        changed_paths: the files that have changed, where known; see `when`.
        variables: the values of variables: a clear text, or a value; see `project_variables`. One that is missing is
            an empty string, with a warning.
        from_fork: whether it is a run of a fork's pull request, whose priority is always 0.

    Raises:
        NotFound: there is no such run.
    """
    run = find_run(config, run_name)
    inputs = with_values(run.declared_inputs(), context.inputs)
    context = context_of_run(run, context)
    making = _Making(config, run, context, changed_paths, variables=variables or {}, from_fork=from_fork)
    tasks = tuple(making.task(t) for t in run.tasks)
    return RunTasks(
        name=run.name,
        tasks=tasks,
        applies=applies(run.when, context, changed_paths),
        priority=0 if from_fork else run.priority,
        timeout=None if run.timeout is None else _duration(run.timeout),
        warnings=tuple(making.warnings),
        inputs=inputs,
        are_made_with_inputs=uses_inputs_in_when(run),
    )


def project_variables(config: Config, run_name: str) -> dict[str, api.EnvironmentValue]:
    """Return `variables` for a run of a project: the server resolves them when the run is created.

    Raises:
        NotFound: there is no such run.
    """
    return {name: api.EnvironmentValue(variable=name) for name in variables_of_run(config, run_name)}


class _Making:
    def __init__(
        self,
        config: Config,
        run: Run,
        context: Context,
        changed_paths: Collection[str] | None,
        *,
        variables: Mapping[str, api.EnvironmentValue | str],
        from_fork: bool,
    ) -> None:
        self.warnings: dict[str, None] = {}
        self._registries = {**config.docker_registries_auth, **run.docker_registries_auth}
        self._timeout = run.task_timeout_interval or config.task_timeout_interval or _DEFAULT_TASK_TIMEOUT
        self._context = context
        self._changed_paths = changed_paths
        self._variables = variables
        self._from_fork = from_fork
        self._task_name = ""

    def task(self, task: Task) -> api.TaskDefinition:
        self._task_name = task.name
        registries = {**self._registries, **task.docker_registries_auth}
        retry = None
        if task.retry is not None:
            causes = [f"RETRY_CAUSE_{cause.upper()}" for cause in dict.fromkeys(task.retry.on)]
            retry = api.Retry(
                max_attempts=task.retry.max_attempts,
                on=causes,
                exit_codes=sorted(set(task.retry.exit_codes)),
                avoid=[f"RETRY_AVOID_{each.upper()}" for each in dict.fromkeys(task.retry.avoid)],
            )
        return api.TaskDefinition(
            name=task.name,
            runtime=api.Runtime(
                type=task.runtime.type,
                arch=task.runtime.arch,
                network=task.runtime.network,
                containers=[self._container(container) for container in task.runtime.containers],
            ),
            environment=self._environment(task.environment),
            id_tokens={name: api.IdToken(audiences=dict.fromkeys(token.aud)) for name, token in task.id_tokens.items()},
            working_dir=task.working_dir,
            shell=task.shell,
            user=task.user,
            steps=[self._step(step) for step in task.steps],
            depends=[_depend(depend) for depend in task.depends],
            ignore_failure=task.ignore_failure,
            approval=None if task.approval is None else _approval(task.approval),
            lock=task.lock,
            skip=not applies(task.when, self._context, self._changed_paths),
            docker_registries_auth={name: self._registry(auth) for name, auth in registries.items()},
            task_timeout_interval=_duration(task.task_timeout_interval or self._timeout),
            retry=retry,
            wait_timeout=None if task.wait_timeout is None else _duration(task.wait_timeout),
            hold_on_failure=self._hold(task),
            labels=task.labels,
            priority=0 if self._from_fork else task.priority,
            resources=_resources(task.resources),
        )

    def _hold(self, task: Task) -> Duration | None:
        return None if task.hold_on_failure is None or self._from_fork else _duration(task.hold_on_failure)

    def _container(self, container: Container) -> api.Container:
        ready = container.ready
        return api.Container(
            image=container.image,
            environment=self._environment(container.environment),
            user=container.user,
            privileged=container.privileged,
            entrypoint=container.entrypoint,
            volumes=[
                api.Volume(path=volume.path, tmpfs=api.TmpfsVolume(size_bytes=volume.tmpfs.size))
                for volume in container.volumes
            ],
            resources=_resources(container.resources),
            ready=None if ready is None else api.Ready(command=ready.command, port=ready.port),
        )

    def _environment(self, environment: Mapping[str, Value]) -> dict[str, api.EnvironmentValue]:
        return {name: self._value(value) for name, value in environment.items()}

    def _value(self, value: Value) -> api.EnvironmentValue:
        if value.from_variable is None:
            return api.EnvironmentValue(value=value.text or "")
        found = self._variables.get(value.from_variable)
        if found is None:
            name, task = quoted(value.from_variable), quoted(self._task_name)
            self.warnings[f"variable {name} is not set; task {task} gets an empty string"] = None
            return api.EnvironmentValue(value="")
        return api.EnvironmentValue(value=found) if isinstance(found, str) else found

    def _registry(self, auth: RegistryAuth) -> api.RegistryAuth:
        values = {"username": auth.username, "password": auth.password, "auth": auth.auth}
        known = {name: self._value(value) for name, value in values.items() if value is not None}
        return api.RegistryAuth(type=auth.type, **known)

    def _step(self, step: Step) -> api.StepDefinition:
        made = self._step_of_kind(step)
        made.name = step.name or _default_name(step)
        made.always = step.always
        made.skip = not applies(step.when, self._context, self._changed_paths)
        return made

    def _step_of_kind(self, step: Step) -> api.StepDefinition:
        match step:
            case RunStep():
                run = api.RunStep(
                    command=step.command,
                    environment=self._environment(step.environment),
                    working_dir=step.working_dir,
                    shell=step.shell,
                    tty=step.tty,
                )
                return api.StepDefinition(run=run)
            case CloneStep():
                clone = api.CloneStep(depth=step.depth, recurse_submodules=step.recurse_submodules)
                return api.StepDefinition(clone=clone)
            case SaveToWorkspaceStep():
                save = api.SaveToWorkspaceStep(contents=_contents(step.contents))
                return api.StepDefinition(save_to_workspace=save)
            case RestoreWorkspaceStep():
                return api.StepDefinition(restore_workspace=api.RestoreWorkspaceStep(dest_dir=step.dest_dir))
            case SaveCacheStep():
                cache = api.SaveCacheStep(key=step.key, contents=_contents(step.contents))
                return api.StepDefinition(save_cache=cache)
            case RestoreCacheStep():
                restore = api.RestoreCacheStep(keys=step.keys, dest_dir=step.dest_dir)
                return api.StepDefinition(restore_cache=restore)
            case SaveArtifactsStep():
                artifacts = api.SaveArtifactsStep(artifact_name=step.name, paths=step.paths)
                return api.StepDefinition(save_artifacts=artifacts)
            case SaveReportsStep():
                return api.StepDefinition(save_reports=api.SaveReportsStep(paths=step.paths))


def _default_name(step: Step) -> str:
    if isinstance(step, RunStep):
        # A command without a name is one line (a check says so); what cannot be shown in a line is left out.
        line = "".join(c for c in step.command.strip().partition("\n")[0] if c.isprintable())
        return line if len(line) <= _MAX_DEFAULT_NAME else line[: _MAX_DEFAULT_NAME - 1].rstrip() + "…"
    return step.type.replace("_", " ")


def _approval(approval: Approval) -> api.Approval:
    return api.Approval(timeout=_duration(approval.timeout), owners_only=approval.owners_only)


def _depend(depend: Depend) -> api.Depend:
    conditions = [f"DEPEND_CONDITION_{condition.upper()}" for condition in dict.fromkeys(depend.conditions)]
    return api.Depend(task=depend.task, conditions=conditions)


def _contents(contents: Iterable[ArchiveContents]) -> list[api.ArchiveContents]:
    return [api.ArchiveContents(source_dir=c.source_dir, dest_dir=c.dest_dir, paths=c.paths) for c in contents]


def _resources(resources: Resources | None) -> api.Resources | None:
    if resources is None or not (resources.cpu or resources.memory):
        return None
    return api.Resources(cpu_millis=resources.cpu, memory_bytes=resources.memory)


def _duration(nanoseconds: int) -> Duration:
    seconds, nanos = divmod(nanoseconds, durations.SECOND)
    return Duration(seconds=seconds, nanos=nanos)
