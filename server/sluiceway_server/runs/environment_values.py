"""The environment values of runs: where they are, and what becomes of those that are no clear text.

A value that names a variable becomes a reference to a value of a secret when its run is created (`bind_variables`), and
clear text only in the specification that is sent to an executor (`clear_task`, `clear_environment`). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sluiceway.api.run.v1 import definition_pb2 as api
from sluiceway.api.run.v1 import run_service_pb2 as service_api
from sluiceway_common.runconfig.problems import quoted
from sluiceway_common.runconfig.when import Context
from sluiceway_server.projects.variables import SecretValue, Unset

Environment = Mapping[str, api.EnvironmentValue]
SecretTexts = Mapping[SecretValue, str]
"""The clear values that secrets have, for one task."""


def values_of_task(definition: api.TaskDefinition) -> Iterator[tuple[str, api.EnvironmentValue]]:
    """Yield the environment values of a task, with their names: its own, of its containers, steps and registries."""
    yield from definition.environment.items()
    for container in definition.runtime.containers:
        yield from container.environment.items()
    for step in definition.steps:
        if step.WhichOneof("kind") == "run":
            yield from step.run.environment.items()
    for registry, auth in definition.docker_registries_auth.items():
        for name in ("username", "password", "auth"):
            if auth.HasField(name):
                yield f"{registry}.{name}", getattr(auth, name)


def context_of(source: api.Source) -> Context:
    """Return what a run is made for, as conditions see it."""
    return Context(
        ref_type=source.ref_type,
        ref=source.ref,
        branch=source.branch,
        tag=source.tag,
        pull_request_id=source.pull_request_id,
        commit_sha=source.commit_sha,
    )


def variables_of(request: service_api.CreateRunRequest) -> frozenset[str]:
    """Return the names of the variables that a new run uses."""
    return frozenset(value.variable for _, value in _values_of_request(request) if value.HasField("variable"))


def bind_variables(
    request: service_api.CreateRunRequest, variables: Mapping[str, SecretValue | Unset]
) -> tuple[str, ...]:
    """Replace the variables in a request by what they stand for; return a warning for each that has no value.

    Args:
        request: is changed.
        variables: what each of `variables_of` stands for.
    """
    warnings: dict[str, None] = {}
    for task, value in _values_of_request(request):
        if not value.HasField("variable"):
            continue
        name = value.variable
        found = variables[name]
        if isinstance(found, Unset):
            value.value = ""
            who = f"task {quoted(task)}" if task else "the run"
            warnings[f"variable {quoted(name)} {found.why}; {who} gets an empty string"] = None
        else:
            value.secret.CopyFrom(api.SecretReference(id=found.secret_id, key=found.key, version=found.version))
    return tuple(warnings)


def references_of(definition: api.TaskDefinition, *environments: Environment) -> dict[SecretValue, str]:
    """Return the values of secrets that a task needs, each with the name of an environment value that needs it."""
    needed: dict[SecretValue, str] = {}
    for environment in environments:
        needed |= {_reference(value): name for name, value in environment.items() if value.HasField("secret")}
    needed |= {_reference(value): name for name, value in values_of_task(definition) if value.HasField("secret")}
    return needed


def clear_task(definition: api.TaskDefinition, secrets: SecretTexts) -> api.TaskDefinition:
    """Return a task with clear values only; the same object if it has no others."""
    if not any(value.HasField("secret") for _, value in values_of_task(definition)):
        return definition
    clear = api.TaskDefinition()
    clear.CopyFrom(definition)
    for _, value in values_of_task(clear):
        if value.HasField("secret"):
            value.value = secrets[_reference(value)]
    return clear


def clear_environment(environment: Environment, secrets: SecretTexts) -> dict[str, str]:
    """Return the texts of an environment."""
    return {
        name: secrets[_reference(value)] if value.HasField("secret") else value.value
        for name, value in environment.items()
    }


def _values_of_request(request: service_api.CreateRunRequest) -> Iterator[tuple[str, api.EnvironmentValue]]:
    """Yield the environment values of a request, with the name of their task; empty: they are of the run."""
    for environment in (request.static_environment, request.environment):
        yield from (("", value) for value in environment.values())
    for task in request.tasks:
        yield from ((task.name, value) for _, value in values_of_task(task))


def _reference(value: api.EnvironmentValue) -> SecretValue:
    return SecretValue(value.secret.id, value.secret.key, value.secret.version)
