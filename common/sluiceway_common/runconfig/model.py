"""The model of a configuration: every field, in its one shape, whatever short form it was written in.

Validators bring short forms (`run: make`, `depends: ["a"]`, `branch: main`) into the long one before pydantic looks; a
null is the same as an absent field, since that is what jsonnet's `if` without `else` gives. Fields say their own
limits; what spans several fields is in `checks`. Messages of our own are raised as `PydanticCustomError("said", ...)`
and stand as they are; pydantic's are put into words by `compile`. Pure.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from sluiceway_common.runconfig import durations, when
from sluiceway_common.runconfig.problems import boolean_word, describe_type, did_you_mean, quoted
from sluiceway_common.runconfig.values import (
    AbsolutePath,
    AnyValue,
    Arch,
    Bytes,
    CacheKey,
    Command,
    CpuMillis,
    DownwardPath,
    Duration,
    Environment,
    FilledText,
    InsidePath,
    Model,
    Name,
    Port,
    Priority,
    Shell,
    Text,
    Value,
    choice,
    filled,
    said,
    without_nulls,
)

__all__ = [
    "MAX_CONTAINERS",
    "MAX_RUNS",
    "MAX_RUN_EDGES",
    "MAX_RUN_STEPS",
    "MAX_STEPS",
    "MAX_TASKS",
    "STEP_MODELS",
    "ArchiveContents",
    "CloneStep",
    "Condition",
    "Config",
    "Container",
    "Depend",
    "Model",
    "Ready",
    "RefRules",
    "RegistryAuth",
    "Resources",
    "RestoreCacheStep",
    "RestoreWorkspaceStep",
    "Retry",
    "RetryCause",
    "Run",
    "RunStep",
    "Runtime",
    "SaveArtifactsStep",
    "SaveCacheStep",
    "SaveReportsStep",
    "SaveToWorkspaceStep",
    "Step",
    "Task",
    "Tmpfs",
    "Value",
    "Volume",
    "When",
    "normal_depend",
    "normal_step",
]

MAX_RUNS: Final = 1_000
MAX_TASKS: Final = 2_000
MAX_STEPS: Final = 1_000
# Of all tasks of a run together.
MAX_RUN_STEPS: Final = 40_000
MAX_RUN_EDGES: Final = 100_000
MAX_CONTAINERS: Final = 100
MAX_ATTEMPTS: Final = 10


class Condition(StrEnum):
    """An outcome of a parent that an edge accepts."""

    ON_SUCCESS = "on_success"
    ON_FAILURE = "on_failure"
    ON_SKIPPED = "on_skipped"
    ON_STOPPED = "on_stopped"
    ALWAYS = "always"


class RetryCause(StrEnum):
    """Why an attempt ended badly; the four are disjoint."""

    FAILED = "failed"
    LOST = "lost"
    TIMEOUT = "timeout"
    SETUP = "setup"


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
            raise said(f"type {self.type} needs {' and '.join(missing)}")
        return self


Registries = Annotated[dict[FilledText, RegistryAuth], BeforeValidator(without_nulls), Field(default_factory=dict)]


# When


def _rules(value: Any) -> Any:
    if isinstance(value, str):
        return {"include": [value]}
    if isinstance(value, list):
        return {"include": value}
    if not isinstance(value, dict | RefRules):
        raise said(f"must be a string, a list or {{include, exclude}}, not {describe_type(value)}", unquoted=value)
    return value


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _rule_texts(value: Any) -> Any:
    if not isinstance(value, str | list):
        raise said(f"must be a string or a list of strings, not {describe_type(value)}", unquoted=value)
    return _one_or_many(value)


def _rule(value: str) -> str:
    try:
        when.check_expression(value)
    except ValueError as cause:
        raise said(f"{quoted(value)} {cause}") from cause
    return filled(value)


RuleTexts = Annotated[list[Annotated[str, AfterValidator(_rule)]], BeforeValidator(_rule_texts)]


class RefRules(Model):
    """What is included, and what is excluded again."""

    include: RuleTexts = Field(default_factory=list)
    exclude: RuleTexts = Field(default_factory=list)

    def compiled(self) -> when.Rules:
        """Return the rules as `when.matches` takes them."""
        return when.Rules(tuple(self.include), tuple(self.exclude))


AnyRules = Annotated[RefRules, BeforeValidator(_rules)]


class When(Model):
    """When something applies; see the module `when`."""

    branch: AnyRules | None = None
    tag: AnyRules | None = None
    ref: AnyRules | None = None
    paths: AnyRules | None = None

    def compiled(self) -> when.When:
        """Return the rules as `when.matches` takes them."""
        return when.When(*(r.compiled() if r else None for r in (self.branch, self.tag, self.ref, self.paths)))


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
    """What a service must answer before the steps start: a command that exits with 0, or a port that accepts."""

    command: Command | None = None
    port: Port | None = None

    @model_validator(mode="after")
    def _one(self) -> Ready:
        if (self.command is None) == (self.port is None):
            raise said("needs one of `command` and `port`")
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


# Steps


class _Step(Model):
    name: Name | None = None
    when: When | None = None
    always: bool = False


class RunStep(_Step):
    """A command."""

    type: Literal["run"]
    command: Command
    environment: Environment
    working_dir: Text = ""
    shell: Shell = ""
    tty: bool = False


class CloneStep(_Step):
    """A clone of the run's repository at its commit."""

    type: Literal["clone"]
    depth: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    recurse_submodules: bool = False


class ArchiveContents(Model):
    """Files that an archive takes."""

    source_dir: Text = ""
    dest_dir: DownwardPath | None = None
    paths: list[InsidePath] = Field(default_factory=list)


class SaveToWorkspaceStep(_Step):
    """An archive of files for the tasks that descend from this one."""

    type: Literal["save_to_workspace"]
    contents: list[ArchiveContents] = Field(min_length=1)


class RestoreWorkspaceStep(_Step):
    """The archives of all ancestors, unpacked."""

    type: Literal["restore_workspace"]
    dest_dir: Text = ""


class SaveCacheStep(_Step):
    """An archive for later runs."""

    type: Literal["save_cache"]
    key: CacheKey
    contents: list[ArchiveContents] = Field(min_length=1)


class RestoreCacheStep(_Step):
    """The newest archive whose key begins with one of these."""

    type: Literal["restore_cache"]
    keys: list[CacheKey] = Field(min_length=1)
    dest_dir: Text = ""


class SaveArtifactsStep(_Step):
    """Files for people; `name` is what they are called."""

    type: Literal["save_artifacts"]
    name: Name
    paths: list[InsidePath] = Field(min_length=1)


class SaveReportsStep(_Step):
    """Test reports in JUnit's XML."""

    type: Literal["save_reports"]
    paths: list[InsidePath] = Field(min_length=1)


STEP_MODELS: Final[dict[str, type[_Step]]] = {
    "run": RunStep,
    "clone": CloneStep,
    "save_to_workspace": SaveToWorkspaceStep,
    "restore_workspace": RestoreWorkspaceStep,
    "save_cache": SaveCacheStep,
    "restore_cache": RestoreCacheStep,
    "save_artifacts": SaveArtifactsStep,
    "save_reports": SaveReportsStep,
}

_STEP_WORDS: Final = frozenset(STEP_MODELS).union(*(m.model_fields for m in STEP_MODELS.values()))


def normal_step(value: Any) -> Any:
    """Bring a step into its long form; raises `PydanticCustomError`."""
    if not isinstance(value, dict):
        raise said(f"a step must be a map such as {{run: COMMAND}} or {{clone: {{}}}}, not {describe_type(value)}")
    given = without_nulls(value, _STEP_WORDS)
    if "type" not in given and STEP_MODELS.keys().isdisjoint(given):
        # `{clone: null}` is a clone, as a YAML file may write it; any other null is an absent field.
        given = {**given, **{k: None for k in value if k in STEP_MODELS}}
    value = given
    if "type" in value:
        kind = value["type"]
        if not isinstance(kind, str) or kind not in STEP_MODELS:
            raise _unknown_step(kind)
        if kind in value:
            fields = "command: ..." if kind == "run" else "..."
            raise said(f"has both `type` and `{kind}`; write {{type: {kind}, {fields}}} or {{{kind}: ...}}")
        return value
    if len(value) != 1:
        known = [k for k in value if k in STEP_MODELS]
        if len(known) == 1:
            raise said(_too_many_keys(known[0], value))
        raise said("a step needs `type`, or one key that is its type, such as {run: COMMAND}")
    ((kind, body),) = value.items()
    if kind not in STEP_MODELS:
        raise _unknown_step(kind)
    if body is None:
        return {"type": kind}
    if isinstance(body, str) and kind == "run":
        return {"type": kind, "command": body}
    if not isinstance(body, dict):
        wanted = "a command or a map" if kind == "run" else "a map"
        unquoted = body if kind == "run" else None
        raise said(f"must be {wanted}, not {describe_type(body)}", at=(kind,), unquoted=unquoted)
    body = without_nulls(body, STEP_MODELS[kind].model_fields)
    if "type" in body and body["type"] != kind:
        raise said(f"a short `{kind}` step has no `type` of its own")
    return {**body, "type": kind}


def _too_many_keys(kind: str, step: dict[str, Any]) -> str:
    others = [k for k in step if k != kind]
    fields = ", ".join(f"{k}: ..." for k in others)
    if isinstance(step[kind], str):
        return f"a short step has one key; write {{type: {kind}, command: ..., {fields}}}"
    moved = ", ".join(f"`{k}`" for k in others)
    return f"a short step has one key; move {moved} into `{kind}`: {{{kind}: {{{fields}}}}}"


def _unknown_step(kind: Any) -> PydanticCustomError:
    if not isinstance(kind, str):
        return said(f"the type of a step must be a string, not {describe_type(kind)}")
    hint = did_you_mean(kind, STEP_MODELS) or f"; there are {', '.join(STEP_MODELS)}"
    return said(f"unknown step type {quoted(kind)}{hint}")


_AnyStep = Annotated[
    RunStep
    | CloneStep
    | SaveToWorkspaceStep
    | RestoreWorkspaceStep
    | SaveCacheStep
    | RestoreCacheStep
    | SaveArtifactsStep
    | SaveReportsStep,
    Field(discriminator="type"),
]
Step = Annotated[_AnyStep, BeforeValidator(normal_step)]


# Tasks


class Depend(Model):
    """An edge: all edges of a task must hold, one condition of an edge is enough."""

    task: FilledText
    conditions: list[Annotated[Condition, BeforeValidator(choice(Condition, "condition"))]] = Field(
        default_factory=lambda: [Condition.ON_SUCCESS], min_length=1
    )


def normal_depend(value: Any) -> Any:
    """Bring an edge into its long form; raises `PydanticCustomError`."""
    if isinstance(value, str):
        return {"task": value}
    if not isinstance(value, dict):
        raise said(
            f"must be the name of a task, or {{TASK: [CONDITION, ...]}}, not {describe_type(value)}", unquoted=value
        )
    if len(value) > 1 or "task" in value:
        value = without_nulls(value)
    if isinstance(value.get("task"), str):
        return {**value, "conditions": _one_or_many(value["conditions"])} if "conditions" in value else value
    if len(value) != 1:
        raise said("must be the name of a task, {task: TASK, conditions: [...]}, or {TASK: [CONDITION, ...]}")
    ((task, conditions),) = value.items()
    return {"task": task, "conditions": _one_or_many(conditions)}


class Approval(Model):
    """That a person must say yes before the task may run."""

    timeout: Duration = 7 * durations.DAY


def _approval(value: Any) -> Any:
    if value is True:
        return Approval()
    if value is False:
        return None
    if not isinstance(value, dict | Approval):
        word = boolean_word(value) if isinstance(value, str) else None
        shown = describe_type(value) if word is None else f"{quoted(value)}: write {word}"
        raise said(f"must be true or {{timeout: DURATION}}, not {shown}")
    return value


class Retry(Model):
    """When a bad end is followed by another attempt; `max_attempts` counts the first."""

    max_attempts: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS)] = 1
    on: list[Annotated[RetryCause, BeforeValidator(choice(RetryCause, "cause"))]] = Field(
        default_factory=lambda: [RetryCause.FAILED, RetryCause.TIMEOUT, RetryCause.SETUP], min_length=1
    )


class Task(Model):
    """A node of a run's graph."""

    name: Name
    runtime: Runtime
    environment: Environment
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
    labels: Annotated[dict[FilledText, Text], BeforeValidator(without_nulls)] = Field(default_factory=dict)
    priority: Priority = 0
    resources: Resources | None = None


class Run(Model):
    """A graph of tasks."""

    name: Name
    tasks: list[Task] = Field(min_length=1, max_length=MAX_TASKS)
    when: When | None = None
    docker_registries_auth: Registries
    task_timeout_interval: Duration | None = None
    timeout: Duration | None = None
    priority: Priority = 0


class Config(Model):
    """A whole configuration."""

    runs: list[Run] = Field(min_length=1, max_length=MAX_RUNS)
    docker_registries_auth: Registries
    task_timeout_interval: Duration | None = None
