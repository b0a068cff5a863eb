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

__all__ = ["EdgeOutline", "RunOutline", "TaskOutline", "outline"]


@dataclass(frozen=True, slots=True)
class EdgeOutline:
    """An edge to a parent, and its place in `depends`."""

    path: DocumentPath
    parent: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class TaskOutline:
    """A task; `name` is None where it cannot be read, `steps` is how many it has."""

    path: DocumentPath
    name: str | None
    edges: tuple[EdgeOutline, ...]
    steps: int
    unnamed_scripts: tuple[DocumentPath, ...]


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
    steps = _list(task, "steps", MAX_STEPS)
    scripts = [(*path, "steps", index) for index, value in enumerate(steps) if _is_unnamed_script(value)]
    return TaskOutline(path, _name(task), tuple(edges), len(steps), tuple(scripts))


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
