"""The specification of an assignment: what its executor needs. Built when it is sent, never stored. Pure.

The environment follows run-config.md, "What a task's environment holds"; later wins: the task's own, what the server
knows of the source, the run's static environment, its environment, and last the names of run and task, which
nothing may replace. The names exist with the prefix `AGOLA_` too if the run's static environment has such names: then
its configuration was read from `.agola/`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.runconfig.environment import has_agola_names, run_environment, static_environment
from sluiceway_common.runconfig.when import Context
from sluiceway_common.runmodel.limits import DEFAULT_TASK_TIMEOUT
from sluiceway_server.runs.ports import EngineSettings

__all__ = ["DEFAULT_SHELL", "DEFAULT_WORKING_DIR", "SecretsNotAvailable", "specify"]

DEFAULT_WORKING_DIR = "~/project"
DEFAULT_SHELL = "/bin/sh -e"

Environment = Mapping[str, definition_api.EnvironmentValue]


class SecretsNotAvailable(FailedPrecondition):
    """The task names a secret, and this server cannot resolve secrets."""

    reason = "SECRETS_NOT_AVAILABLE"


def specify(
    run: pb.RunRecord,
    config: pb.RunConfig,
    task: pb.TaskRecord,
    settings: EngineSettings,
) -> executor_api.Specification:
    """Build the specification of a task of a run.

    Raises:
        SecretsNotAvailable: a value that the executor would need is a secret.
    """
    definition = next(each for each in config.tasks if each.name == task.task.name)
    _refuse_secrets(definition, config)
    specification = executor_api.Specification(
        run_id=run.run.id,
        run_number=run.run.number,
        task_id=task.task.id,
        task_name=task.task.name,
        runtime=definition.runtime,
        environment=_environment(run, config, definition, settings),
        working_dir=definition.working_dir or DEFAULT_WORKING_DIR,
        shell=definition.shell or DEFAULT_SHELL,
        user=definition.user,
        steps=[executor_api.StepSpecification(definition=step) for step in definition.steps],
        source=config.source,
        log_limit_bytes=settings.log_limit_bytes,
    )
    if not specification.runtime.type:
        specification.runtime.type = "pod"
    if definition.HasField("task_timeout_interval"):
        specification.timeout.CopyFrom(definition.task_timeout_interval)
    else:
        specification.timeout.FromTimedelta(DEFAULT_TASK_TIMEOUT)
    specification.grace.FromTimedelta(settings.grace)
    if definition.HasField("resources"):
        specification.resources.CopyFrom(definition.resources)
    return specification


def _environment(
    run: pb.RunRecord, config: pb.RunConfig, definition: definition_api.TaskDefinition, settings: EngineSettings
) -> dict[str, str]:
    agola = has_agola_names(config.static_environment)
    source = config.source
    context = Context(
        ref_type=source.ref_type,
        ref=source.ref,
        branch=source.branch,
        tag=source.tag,
        pull_request_id=source.pull_request_id,
        commit_sha=source.commit_sha,
    )
    of_source = static_environment(context, repository_url=source.repository, agola=agola)
    of_task = run_environment(
        run_id=run.run.id,
        run_number=run.run.number,
        task_name=definition.name,
        api_url=settings.api_url,
        agola=agola,
    )
    return {
        # Of these a task may say something else when the run's static environment does not.
        "CI": of_source.pop("CI"),
        **_clear(definition.environment),
        **of_source,
        **_clear(config.static_environment),
        **_clear(config.environment),
        **of_task,
    }


def _clear(environment: Environment) -> dict[str, str]:
    return {name: value.value for name, value in environment.items()}


def _refuse_secrets(definition: definition_api.TaskDefinition, config: pb.RunConfig) -> None:
    secrets = sorted(where for where, value in _values(definition, config) if value.HasField("secret"))
    if secrets:
        raise SecretsNotAvailable(
            f'task "{definition.name}" needs secrets ({", ".join(secrets[:5])}), and this server does not resolve any: '
            "give clear values"
        )


def _values(
    definition: definition_api.TaskDefinition, config: pb.RunConfig
) -> Iterator[tuple[str, definition_api.EnvironmentValue]]:
    yield from definition.environment.items()
    yield from config.static_environment.items()
    yield from config.environment.items()
    for container in definition.runtime.containers:
        yield from container.environment.items()
    for step in definition.steps:
        if step.WhichOneof("kind") == "run":
            yield from step.run.environment.items()
    for registry, auth in definition.docker_registries_auth.items():
        for name in ("username", "password", "auth"):
            yield f"{registry}.{name}", getattr(auth, name)
