"""The specification of an assignment: what its executor needs. Built when it is sent, never stored. Pure.

The environment follows run-config.md, "What a task's environment holds"; later wins: the task's own, what the server
knows of the source, the run's static environment, its environment, its inputs, and last the names of run and task,
which nothing may replace. The names exist with the prefix `AGOLA_` too if the run's static environment has such names:
then its configuration was read from `.agola/`.
"""

from __future__ import annotations

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.runconfig.environment import has_agola_names, run_environment, static_environment
from sluiceway_common.runconfig.inputs import input_variables
from sluiceway_common.runmodel.limits import DEFAULT_TASK_TIMEOUT
from sluiceway_server.runs.environment_values import SecretTexts, clear_environment, clear_task, context_of
from sluiceway_server.runs.ports import EngineSettings

DEFAULT_WORKING_DIR = "~/project"
DEFAULT_SHELL = "/bin/sh -e"


def definition_of(config: pb.RunConfig, task: pb.TaskRecord) -> definition_api.TaskDefinition:
    """Return the definition of a task of a run."""
    return next(each for each in config.tasks if each.name == task.task.name)


class CloneNotFirst(FailedPrecondition):
    """In a run of a fork's request, what runs before a `clone` step could read the deploy key."""

    reason = "CLONE_NOT_FIRST"


def clones(definition: definition_api.TaskDefinition) -> bool:
    """Return whether a task has a `clone` step that is run."""
    return "clone" in _kinds(definition)


def check_clone_is_first(definition: definition_api.TaskDefinition) -> None:
    """Check that no step of a task runs before its last `clone` step.

    Whatever a step leaves behind runs as the same user as the steps after it.

    Raises:
        CloneNotFirst: one does.
    """
    kinds = _kinds(definition)
    last = len(kinds) - 1 - kinds[::-1].index("clone")
    if any(kind != "clone" for kind in kinds[:last]):
        raise CloneNotFirst(
            f"task {definition.name} of a fork's pull request has a step before `clone`, which could read the deploy"
            " key of the project; put `clone` first",
            subject=definition.name,
        )


def _kinds(definition: definition_api.TaskDefinition) -> list[str]:
    return [step.WhichOneof("kind") or "" for step in definition.steps if not step.skip]


def specify(
    run: pb.RunRecord,
    config: pb.RunConfig,
    task: pb.TaskRecord,
    settings: EngineSettings,
    secrets: SecretTexts,
    *,
    credentials: executor_api.CloneCredentials | None = None,
    id_tokens_withheld: str = "",
) -> executor_api.Specification:
    """Build the specification of a task of a run.

    Args:
        run: of the task.
        config: of the run.
        task: its record.
        settings: of the engine.
        secrets: the values of all secrets that the task needs (`references_of`). They are masked in its logs.
        credentials: what its `clone` steps need. They are masked too.
        id_tokens_withheld: why the task gets no id tokens although it has some; empty: it gets them.
    """
    definition = clear_task(definition_of(config, task), secrets)
    specification = executor_api.Specification(
        run_id=run.run.id,
        run_number=run.run.number,
        task_id=task.task.id,
        task_name=task.task.name,
        runtime=definition.runtime,
        environment=_environment(run, config, definition, settings, secrets),
        working_dir=definition.working_dir or DEFAULT_WORKING_DIR,
        shell=definition.shell or DEFAULT_SHELL,
        user=definition.user,
        steps=[executor_api.StepSpecification(definition=step) for step in definition.steps],
        source=config.source,
        masks=sorted({text.encode() for text in secrets.values()}),
        log_limit_bytes=settings.log_limit_bytes,
        docker_registries_auth=definition.docker_registries_auth,
    )
    if id_tokens_withheld:
        specification.id_tokens_withheld = id_tokens_withheld
    else:
        specification.id_tokens.extend(sorted(definition.id_tokens))
    if credentials is not None:
        specification.clone_credentials.CopyFrom(credentials)
        specification.masks.extend(each for each in (credentials.ssh_private_key, credentials.password) if each)
    if not specification.runtime.type:
        specification.runtime.type = "pod"
    if definition.HasField("task_timeout_interval"):
        specification.timeout.CopyFrom(definition.task_timeout_interval)
    else:
        specification.timeout.FromTimedelta(DEFAULT_TASK_TIMEOUT)
    specification.grace.FromTimedelta(settings.grace)
    if not run.from_fork:
        holder = run.run if run.run.HasField("hold_on_failure") else definition
        if holder.HasField("hold_on_failure"):
            specification.hold_on_failure.CopyFrom(holder.hold_on_failure)
    if definition.HasField("resources"):
        specification.resources.CopyFrom(definition.resources)
    return specification


def _environment(
    run: pb.RunRecord,
    config: pb.RunConfig,
    definition: definition_api.TaskDefinition,
    settings: EngineSettings,
    secrets: SecretTexts,
) -> dict[str, str]:
    agola = has_agola_names(config.static_environment)
    source = config.source
    context = context_of(source)
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
        **clear_environment(definition.environment, secrets),
        **of_source,
        **clear_environment(config.static_environment, secrets),
        **clear_environment(config.environment, secrets),
        **input_variables(run.run.inputs),
        **of_task,
    }
