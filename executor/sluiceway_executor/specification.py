"""Translates the specification of a task into the plan of its steps, the request for its pod, and commands."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import definition_pb2
from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.runconfig.capabilities import unsupported_parts
from sluiceway_common.runconfig.shells import split_shell
from sluiceway_executor import plan
from sluiceway_executor.drivers.port import (
    Command,
    Driver,
    Limits,
    Network,
    PodRequest,
    RegistryLogin,
    Repository,
    ServiceRequest,
    TmpfsMount,
)
from sluiceway_executor.local_repository import is_local, local_repository
from sluiceway_executor.steps import CloneOf, HttpAccess, Source, SshAccess, clone_command, run_command

__all__ = ["pod_request", "seconds_of", "shell_command", "step_command", "step_plans", "unsupported_by"]


def unsupported_by(driver: Driver, specification: pb.Specification) -> str:
    """Return what of a task a driver does not support, as a sentence; empty if it supports all of it."""
    kinds = [step.definition.WhichOneof("kind") or "" for step in specification.steps]
    parts = unsupported_parts(specification.runtime, specification.user, kinds, (driver.capabilities,))
    return "; ".join(message for _, message in parts)


def step_plans(specification: pb.Specification) -> tuple[plan.StepPlan, ...]:
    """Return what the plan needs of each step."""
    return tuple(
        plan.StepPlan(each.name or each.WhichOneof("kind") or "", each.always, each.skip)
        for each in (step.definition for step in specification.steps)
    )


def seconds_of(specification: pb.Specification, field: str, default: float) -> float:
    """Return a duration of a specification in seconds, or `default` if it is not set."""
    if not specification.HasField(field):
        return default
    seconds: float = getattr(specification, field).ToTimedelta().total_seconds()
    return seconds if seconds > 0 else default


async def pod_request(
    assign: pb.Assign,
    driver: Driver,
    *,
    session_id: str,
    fence_seconds: float,
    default_limits: Limits,
    local_repositories: Path | None,
    clones_here: bool = True,
) -> PodRequest:
    """Return the request for the pod of an assignment. Reads the disk for a repository of this machine.

    Without `clones_here` it is for a pod that has its repository already.

    Raises:
        FailedPrecondition: the driver does not support the task, or the repository may not be used.
    """
    specification = assign.specification
    containers = specification.runtime.containers
    if not containers:
        raise FailedPrecondition("the task has no container")
    main = containers[0]
    unsupported = unsupported_by(driver, specification)
    if unsupported:
        raise FailedPrecondition(unsupported)
    return PodRequest(
        assignment_id=assign.assignment_id,
        session_id=session_id,
        image=main.image,
        arch=specification.runtime.arch,
        user=specification.user or main.user,
        privileged=main.privileged,
        network=Network(specification.runtime.network or Network.ISOLATED),
        services=tuple(_service(container, default_limits) for container in containers[1:]),
        tmpfs=_tmpfs(main),
        environment=_values(main.environment),
        repository=await _repository(specification, local_repositories) if clones_here else None,
        limits=_limits(default_limits, specification.resources, main.resources),
        fence_after=fence_seconds,
        registries=_logins(specification.docker_registries_auth),
        labels={
            "run": specification.run_id,
            "task": specification.task_id,
            "attempt": f"{assign.epoch.database}.{assign.epoch.attempt}",
        },
    )


def _service(container: definition_pb2.Container, default_limits: Limits) -> ServiceRequest:
    return ServiceRequest(
        image=container.image,
        environment=_values(container.environment),
        user=container.user,
        entrypoint=_words(container.entrypoint),
        privileged=container.privileged,
        tmpfs=_tmpfs(container),
        limits=_limits(default_limits, definition_pb2.Resources(), container.resources),
        ready_command=container.ready.command,
        ready_port=container.ready.port,
    )


def _words(entrypoint: str) -> tuple[str, ...]:
    try:
        return tuple(split_shell(entrypoint)) if entrypoint else ()
    except ValueError as error:
        raise FailedPrecondition(f"the entrypoint {entrypoint!r} {error}", reason="STEP_INVALID") from error


def _tmpfs(container: definition_pb2.Container) -> tuple[TmpfsMount, ...]:
    return tuple(TmpfsMount(volume.path, volume.tmpfs.size_bytes) for volume in container.volumes)


def _logins(registries: Mapping[str, definition_pb2.RegistryAuth]) -> dict[str, RegistryLogin]:
    return {name: _login(name, auth) for name, auth in registries.items()}


def _login(registry: str, auth: definition_pb2.RegistryAuth) -> RegistryLogin:
    if auth.type != "encodedauth":
        return RegistryLogin(auth.username.value, auth.password.value)
    try:
        username, colon, password = base64.b64decode(auth.auth.value, validate=True).decode().partition(":")
    except ValueError:
        username, colon, password = "", "", ""
    if not colon:
        raise FailedPrecondition(
            f'the credentials of the registry "{registry}" are not USER:PASSWORD in base64', reason="IMAGE"
        )
    return RegistryLogin(username, password)


async def _repository(specification: pb.Specification, local_repositories: Path | None) -> Repository | None:
    clones = [
        step.definition.clone
        for step in specification.steps
        if step.definition.WhichOneof("kind") == "clone" and not step.definition.skip
    ]
    if not clones or not is_local(specification.source.repository):
        return None
    return await asyncio.to_thread(
        local_repository,
        specification.source.repository,
        local_repositories,
        whole=any(clone.depth <= 0 for clone in clones),
    )


def step_command(specification: pb.Specification, step: int, *, mounted_repository: str) -> Command:
    """Return the command of a step.

    Raises:
        FailedPrecondition: this executor has no such steps, or the step cannot be run.
    """
    definition = specification.steps[step].definition
    kind = definition.WhichOneof("kind")
    if kind == "run":
        run = definition.run
        return run_command(
            run.command,
            shell=run.shell or specification.shell,
            environment={**specification.environment, **_values(run.environment)},
            cwd=_join(specification.working_dir, run.working_dir),
            user=specification.user,
            tty=run.tty,
        )
    if kind == "clone":
        source = specification.source
        clone = CloneOf(
            Source(source.repository, source.ref, source.commit_sha, source.branch),
            mounted=mounted_repository,
            depth=definition.clone.depth,
            submodules=definition.clone.recurse_submodules,
            ssh=_ssh_access(specification.clone_credentials),
            http=_http_access(specification.clone_credentials),
        )
        return clone_command(
            clone,
            environment={
                **_values(specification.runtime.containers[0].environment),
                **specification.environment,
            },
            cwd=specification.working_dir,
            user=specification.user,
        )
    raise FailedPrecondition(f"this executor has no steps of the kind {kind}", reason="STEP_UNSUPPORTED")


_SHELL = "command -v bash > /dev/null && exec bash -i; exec sh -i"


def shell_command(specification: pb.Specification, step: int | None) -> Command:
    """Return the command of a shell for a person: where a step runs, with its environment and its user.

    Args:
        specification: of the task.
        step: the index of the step; None: with what all steps have.
    """
    definition = definition_pb2.StepDefinition() if step is None else specification.steps[step].definition
    return Command(
        argv=("/bin/sh", "-c", _SHELL),
        environment={**specification.environment, **_values(definition.run.environment)},
        cwd=_join(specification.working_dir, definition.run.working_dir),
        user=specification.user,
        tty=True,
    )


def _ssh_access(credentials: pb.CloneCredentials) -> SshAccess | None:
    if not credentials.ssh_private_key:
        return None
    return SshAccess(credentials.ssh_private_key, tuple(credentials.ssh_host_keys))


def _http_access(credentials: pb.CloneCredentials) -> HttpAccess | None:
    if not credentials.password:
        return None
    return HttpAccess(credentials.username, credentials.password.decode())


def _values(environment: Mapping[str, definition_pb2.EnvironmentValue]) -> dict[str, str]:
    return {name: value.value for name, value in environment.items()}


def _limits(default: Limits, of_task: definition_pb2.Resources, of_container: definition_pb2.Resources) -> Limits:
    memory = of_task.memory_bytes or of_container.memory_bytes or default.memory_bytes
    processors = of_task.cpu_millis or of_container.cpu_millis or default.cpu_millis
    return replace(default, memory_bytes=memory, cpu_millis=processors)


def _join(base: str, path: str) -> str:
    if not path:
        return base
    if path.startswith(("/", "~")):
        return path
    return f"{base}/{path}"
