"""The model of the steps of a task: a class for each type, and their short forms. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from sluiceway_common.runconfig.problems import describe_type, did_you_mean, quoted
from sluiceway_common.runconfig.values import (
    CacheKey,
    Command,
    DownwardPath,
    Environment,
    InsidePath,
    Model,
    Name,
    Shell,
    Text,
    fault,
    without_nulls,
)
from sluiceway_common.runconfig.when_model import When


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
    """Convert a step to its long form; raises `PydanticCustomError`."""
    if not isinstance(value, dict):
        raise fault(f"a step must be a map such as {{run: COMMAND}} or {{clone: {{}}}}, not {describe_type(value)}")
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
            raise fault(f"has both `type` and `{kind}`; write {{type: {kind}, {fields}}} or {{{kind}: ...}}")
        return value
    if len(value) != 1:
        known = [k for k in value if k in STEP_MODELS]
        if len(known) == 1:
            raise fault(_too_many_keys(known[0], value))
        raise fault("a step needs `type`, or one key that is its type, such as {run: COMMAND}")
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
        raise fault(f"must be {wanted}, not {describe_type(body)}", at=(kind,), unquoted=unquoted)
    body = without_nulls(body, STEP_MODELS[kind].model_fields)
    if "type" in body and body["type"] != kind:
        raise fault(f"a short `{kind}` step has no `type` of its own")
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
        return fault(f"the type of a step must be a string, not {describe_type(kind)}")
    hint = did_you_mean(kind, STEP_MODELS) or f"; there are {', '.join(STEP_MODELS)}"
    return fault(f"unknown step type {quoted(kind)}{hint}")


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
