"""The model of a configuration: runs, tasks and runtimes. Steps are in `step_model`, `when` is in `when_model`.

Validators convert short forms (`run: make`, `depends: ["a"]`, `branch: main`) to the long form before pydantic
validates; a null is the same as an absent field, since that is what jsonnet's `if` without `else` gives. Fields state
their own limits; what spans several fields is in `checks`. Our own messages are raised with `values.fault` and are
reported as they are; those of pydantic are replaced in `messages`. Pure.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from sluiceway.api.run.v1 import definition_pb2 as api
from sluiceway_common.runconfig import durations
from sluiceway_common.runconfig.environment import id_token_variables
from sluiceway_common.runconfig.input_model import Inputs
from sluiceway_common.runconfig.problems import boolean_word, describe_type, quoted
from sluiceway_common.runconfig.step_model import Step
from sluiceway_common.runconfig.values import (
    AbsolutePath,
    AnyValue,
    Arch,
    Audience,
    Bytes,
    Command,
    CpuMillis,
    Duration,
    Environment,
    FilledText,
    IdTokenName,
    Model,
    Name,
    Port,
    Priority,
    Shell,
    Text,
    choice,
    fault,
    without_nulls,
)
from sluiceway_common.runconfig.when_model import When, one_or_many
from sluiceway_common.runmodel.conditions import Condition, RetryAvoid, RetryCause
from sluiceway_common.runmodel.limits import MAX_EXIT_CODE

MAX_RUNS: Final = 1_000
MAX_TASKS: Final = 2_000
MAX_STEPS: Final = 1_000
# Of all tasks of a run together.
MAX_RUN_STEPS: Final = 40_000
MAX_RUN_EDGES: Final = 100_000
MAX_CONTAINERS: Final = 100
MAX_ATTEMPTS: Final = 10
MAX_ID_TOKENS: Final = 10
MAX_AUDIENCES: Final = 10


class RegistryAuth(Model):
    """Credentials for a registry of images."""

    type: Literal["basic", "encodedauth"] = "basic"
    username: AnyValue | None = None
    password: AnyValue | None = None
    auth: AnyValue | None = None

    @model_validator(mode="after")
    def _whole(self) -> RegistryAuth:
        needed = ("username", "password") if self.type == "basic" else ("auth",)
        missing = [f"`{n}`" for n in needed if getattr(self, n) is None]
        if missing:
            raise fault(f"type {self.type} needs {' and '.join(missing)}")
        return self


Registries = Annotated[dict[FilledText, RegistryAuth], BeforeValidator(without_nulls), Field(default_factory=dict)]


# Runtime


class Tmpfs(Model):
    """A memory file system."""

    size: Bytes | None = None


class Volume(Model):
    """Something mounted into a container."""

    path: AbsolutePath
    tmpfs: Tmpfs


class Resources(Model):
    """What a container or a pod may use."""

    cpu: CpuMillis | None = None
    memory: Bytes | None = None


class Ready(Model):
    """The readiness probe of a service: a command that exits with 0, or a port that accepts connections."""

    command: Command | None = None
    port: Port | None = None

    @model_validator(mode="after")
    def _one(self) -> Ready:
        if (self.command is None) == (self.port is None):
            raise fault("needs one of `command` and `port`")
        return self


def _ready(value: Any) -> Any:
    if isinstance(value, str):
        return {"command": value}
    return {"port": value} if isinstance(value, int) and not isinstance(value, bool) else value


class Container(Model):
    """A container of a pod."""

    image: FilledText
    environment: Environment
    user: Text = ""
    privileged: bool = False
    entrypoint: Text = ""
    volumes: list[Volume] = Field(default_factory=list)
    resources: Resources | None = None
    ready: Annotated[Ready, BeforeValidator(_ready)] | None = None


class Runtime(Model):
    """Where a task runs. The first container runs the steps; the others are services on localhost."""

    type: Literal["pod"] = "pod"
    arch: Arch | None = None
    network: Literal["isolated", "none", "host"] | None = None
    containers: list[Container] = Field(min_length=1, max_length=MAX_CONTAINERS)


# Tasks


class Depend(Model):
    """An edge: all edges of a task must hold, one condition of an edge is enough."""

    task: FilledText
    conditions: list[Annotated[Condition, BeforeValidator(choice(Condition, "condition"))]] = Field(
        default_factory=lambda: [Condition.ON_SUCCESS], min_length=1
    )


def normal_depend(value: Any) -> Any:
    """Convert an edge to its long form; raises `PydanticCustomError`."""
    if isinstance(value, str):
        return {"task": value}
    if not isinstance(value, dict):
        raise fault(
            f"must be the name of a task, or {{TASK: [CONDITION, ...]}}, not {describe_type(value)}", unquoted=value
        )
    if len(value) > 1 or "task" in value:
        value = without_nulls(value)
    if isinstance(value.get("task"), str):
        return {**value, "conditions": one_or_many(value["conditions"])} if "conditions" in value else value
    if len(value) != 1:
        raise fault("must be the name of a task, {task: TASK, conditions: [...]}, or {TASK: [CONDITION, ...]}")
    ((task, conditions),) = value.items()
    return {"task": task, "conditions": one_or_many(conditions)}


class Approval(Model):
    """A person must approve the task before it runs."""

    timeout: Duration = 7 * durations.DAY
    owners_only: bool = False


def _approval(value: Any) -> Any:
    if value is True:
        return Approval()
    if value is False:
        return None
    if not isinstance(value, dict | Approval):
        word = boolean_word(value) if isinstance(value, str) else None
        shown = describe_type(value) if word is None else f"{quoted(value)}: write {word}"
        raise fault(f"must be true or {{timeout: DURATION, owners_only: true}}, not {shown}")
    return value


class Retry(Model):
    """When a failed attempt is followed by another one; `max_attempts` counts the first."""

    max_attempts: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS)] = 1
    on: list[Annotated[RetryCause, BeforeValidator(choice(RetryCause, "cause"))]] = Field(
        default_factory=lambda: [RetryCause.FAILED, RetryCause.TIMEOUT, RetryCause.SETUP], min_length=1
    )
    exit_codes: list[Annotated[int, Field(ge=1, le=MAX_EXIT_CODE)]] = Field(
        default_factory=list, max_length=MAX_EXIT_CODE
    )
    avoid: list[Annotated[RetryAvoid, BeforeValidator(choice(RetryAvoid, "thing to avoid"))]] = Field(
        default_factory=list
    )


def _audiences(value: Any) -> Any:
    if not isinstance(value, str | list):
        raise fault(f"must be a string or a list of strings, not {describe_type(value)}", unquoted=value)
    return one_or_many(value)


class IdToken(Model):
    """An id token of a task (OpenID Connect)."""

    aud: Annotated[list[Audience], BeforeValidator(_audiences), Field(min_length=1, max_length=MAX_AUDIENCES)]


IdTokens = Annotated[
    dict[IdTokenName, IdToken], BeforeValidator(without_nulls), Field(default_factory=dict, max_length=MAX_ID_TOKENS)
]


def _at_most_a_day(value: int) -> int:
    if value > durations.DAY:
        raise fault("a pod can be held for at most 24h")
    return value


class Task(Model):
    """A node of a run's graph."""

    name: Name
    runtime: Runtime
    environment: Environment
    id_tokens: IdTokens
    working_dir: Text = ""
    shell: Shell = ""
    user: Text = ""
    steps: list[Step] = Field(default_factory=list, max_length=MAX_STEPS)
    depends: list[Annotated[Depend, BeforeValidator(normal_depend)]] = Field(default_factory=list, max_length=MAX_TASKS)
    ignore_failure: bool = False
    approval: Annotated[Approval | None, BeforeValidator(_approval)] = None
    lock: Name | None = None
    when: When | None = None
    docker_registries_auth: Registries
    task_timeout_interval: Duration | None = None
    retry: Retry | None = None
    wait_timeout: Duration | None = None
    hold_on_failure: Annotated[Duration, AfterValidator(_at_most_a_day)] | None = None
    labels: Annotated[dict[FilledText, Text], BeforeValidator(without_nulls)] = Field(default_factory=dict)
    priority: Priority = 0
    resources: Resources | None = None

    @model_validator(mode="after")
    def _apart(self) -> Task:
        for name in self.id_tokens:
            for variable in id_token_variables(name):
                if variable in self.environment:
                    raise fault(f"{quoted(variable)} is set by an id token, too", at=("environment", variable))
        return self


class Run(Model):
    """A graph of tasks."""

    name: Name
    tasks: list[Task] = Field(min_length=1, max_length=MAX_TASKS)
    when: When | None = None
    docker_registries_auth: Registries
    task_timeout_interval: Duration | None = None
    timeout: Duration | None = None
    priority: Priority = 0
    inputs: Inputs

    def declared_inputs(self) -> tuple[api.Input, ...]:
        """Return its inputs as the API has them, without values."""
        return tuple(each.declared(name) for name, each in self.inputs.items())


class Config(Model):
    """A whole configuration."""

    runs: list[Run] = Field(min_length=1, max_length=MAX_RUNS)
    docker_registries_auth: Registries
    task_timeout_interval: Duration | None = None
