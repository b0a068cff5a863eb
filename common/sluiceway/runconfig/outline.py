"""What the checks over a whole run need to know of it, read leniently from the document.

A document whose fields are wrong here and there still has names and edges, and its author wants to hear of a cycle in
the same breath as of a misspelt field. So the checks read this outline, not the model, which exists only when every
field is right. What cannot be read is left out; the model's own errors have named it. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticCustomError

from sluiceway.runconfig.model import MAX_RUNS, MAX_STEPS, MAX_TASKS, Condition, normal_depend, normal_step
from sluiceway.runconfig.problems import DocumentPath

__all__ = ["EdgeOutline", "RunOutline", "TaskOutline", "VariableOutline", "outline"]


@dataclass(frozen=True, slots=True)
class EdgeOutline:
    """An edge to a parent, and its place in `depends`."""

    path: DocumentPath
    parent: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class VariableOutline:
    """A variable of an environment; `value` is None where it is not a string."""

    path: DocumentPath
    name: str
    value: str | None
    in_step: bool


@dataclass(frozen=True, slots=True)
class TaskOutline:
    """A task; `name` is None where it cannot be read, `steps` is how many it has."""

    path: DocumentPath
    name: str | None
    edges: tuple[EdgeOutline, ...]
    steps: int
    unnamed_scripts: tuple[DocumentPath, ...]
    variables: tuple[VariableOutline, ...]


@dataclass(frozen=True, slots=True)
class RunOutline:
    """A run; `name` is None where it cannot be read."""

    path: DocumentPath
    name: str | None
    tasks: tuple[TaskOutline, ...]


def outline(document: Any) -> tuple[RunOutline, ...]:
    """Read the runs of a document, whatever it is; no more than the limits allow are looked at."""
    return tuple(
        RunOutline(path, _name(run), tuple(_task(t, p) for t, p in _maps(run, "tasks", path, MAX_TASKS)))
        for run, path in _maps(document, "runs", (), MAX_RUNS)
    )


def _maps(holder: Any, field: str, path: DocumentPath, limit: int) -> list[tuple[dict[str, Any], DocumentPath]]:
    values = _list(holder, field, limit)
    return [(v, (*path, field, i)) for i, v in enumerate(values) if isinstance(v, dict)]


def _list(holder: Any, field: str, limit: int) -> list[Any]:
    values = holder.get(field) if isinstance(holder, dict) else None
    return values[:limit] if isinstance(values, list) else []


def _name(value: dict[str, Any]) -> str | None:
    name = value.get("name")
    return name if isinstance(name, str) and name else None


def _task(task: dict[str, Any], path: DocumentPath) -> TaskOutline:
    edges: list[EdgeOutline] = []
    for index, value in enumerate(_list(task, "depends", MAX_TASKS)):
        edge = _edge(value, (*path, "depends", index))
        if edge is not None:
            edges.append(edge)
    variables = _variables(task, path)
    runtime = task.get("runtime")
    if isinstance(runtime, dict):
        # Of the containers only the first has the environment of the steps.
        for container, where in _maps(runtime, "containers", (*path, "runtime"), 1):
            variables += _variables(container, where)
    scripts: list[DocumentPath] = []
    steps = _list(task, "steps", MAX_STEPS)
    for index, value in enumerate(steps):
        where = (*path, "steps", index)
        if _is_unnamed_script(value):
            scripts.append(where)
        if isinstance(value, dict):
            body = value.get("run")
            in_body = _variables(body, (*where, "run"), in_step=True) if isinstance(body, dict) else []
            variables += _variables(value, where, in_step=True) + in_body
    return TaskOutline(path, _name(task), tuple(edges), len(steps), tuple(scripts), tuple(variables))


def _variables(holder: dict[str, Any], path: DocumentPath, *, in_step: bool = False) -> list[VariableOutline]:
    environment = holder.get("environment")
    if not isinstance(environment, dict):
        return []
    return [
        VariableOutline((*path, "environment", name), name, value if isinstance(value, str) else None, in_step)
        for name, value in environment.items()
        if value is not None
    ]


def _edge(value: Any, path: DocumentPath) -> EdgeOutline | None:
    if isinstance(value, str):
        return EdgeOutline(path, value, (Condition.ON_SUCCESS,)) if value else None
    try:
        normal = normal_depend(value)
        conditions = normal.get("conditions")
        known = (Condition.ON_SUCCESS,) if conditions is None else tuple(Condition(c) for c in conditions)
    except (PydanticCustomError, ValueError, TypeError):
        return None
    return EdgeOutline(path, normal["task"], known) if normal["task"] else None


def _is_unnamed_script(value: Any) -> bool:
    try:
        step = normal_step(value)
    except PydanticCustomError:
        return False
    command = step.get("command")
    return step["type"] == "run" and isinstance(command, str) and "\n" in command.strip() and step.get("name") is None
