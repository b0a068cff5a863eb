"""The outline of a run that the checks need, read leniently from the document.

A document with invalid fields still has names and edges, and its author wants the errors of both at once. So the checks
read this outline, and not the model, which exists only if every field is valid. What cannot be read is left out: the
validation with the model reports it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticCustomError

from sluiceway_common.runconfig.model import MAX_CONTAINERS, MAX_RUNS, MAX_STEPS, MAX_TASKS, normal_depend
from sluiceway_common.runconfig.problems import DocumentPath
from sluiceway_common.runconfig.step_model import normal_step
from sluiceway_common.runmodel.conditions import Condition


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
class ContainerOutline:
    """A container; what cannot be read is as if it were not given."""

    image: str = "host"
    user: str = ""
    privileged: bool = False
    entrypoint: str = ""
    volumes: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class RuntimeOutline:
    """A runtime; what cannot be read is as if it were not given."""

    network: str | None = None
    containers: tuple[ContainerOutline, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskOutline:
    """A task.

    Attributes:
        path: where it is.
        name: None where it cannot be read.
        edges: to its parents.
        runtime, user: what it runs in, and as whom.
        steps: their types; `run` where one cannot be read.
        unnamed_scripts: the steps with a command of several lines and no name.
        variables: of all its environments but those of services.
        processors: where it limits processors.
        first_ready: where its first container, which is no service, has a `ready`; None: it has none.
    """

    path: DocumentPath
    name: str | None
    edges: tuple[EdgeOutline, ...]
    runtime: RuntimeOutline
    user: str
    steps: tuple[str, ...]
    unnamed_scripts: tuple[DocumentPath, ...]
    variables: tuple[VariableOutline, ...]
    processors: tuple[DocumentPath, ...]
    first_ready: DocumentPath | None


@dataclass(frozen=True, slots=True)
class RunOutline:
    """A run.

    Attributes:
        path: where it is.
        name: None where it cannot be read.
        tasks: those that can be read.
        inputs: what it declares, as written, by name.
        wanted_inputs: the names that `when` of the run, its tasks and their steps ask for, with their places.
    """

    path: DocumentPath
    name: str | None
    tasks: tuple[TaskOutline, ...]
    inputs: Mapping[str, object]
    wanted_inputs: tuple[tuple[str, DocumentPath], ...]


def outline(document: Any) -> tuple[RunOutline, ...]:
    """Read the runs of any document, as many as the limits allow."""
    return tuple(
        RunOutline(
            path,
            _name(run),
            tuple(_task(t, p) for t, p in _maps(run, "tasks", path, MAX_TASKS)),
            _map(run, "inputs"),
            tuple(_wanted_inputs(run, path)),
        )
        for run, path in _maps(document, "runs", (), MAX_RUNS)
    )


def _wanted_inputs(run: dict[str, Any], path: DocumentPath) -> Iterator[tuple[str, DocumentPath]]:
    holders = [(run, path)]
    for task, of_task in _maps(run, "tasks", path, MAX_TASKS):
        holders.append((task, of_task))
        for step, of_step in _maps(task, "steps", of_task, MAX_STEPS):
            # In a short form, the fields are one level below.
            holders += [(step, of_step), *((body, (*of_step, key)) for key, body in step.items() if key != "when")]
    for holder, where in holders:
        if isinstance(holder, dict):
            for name in _map(_map(holder, "when"), "inputs"):
                yield name, (*where, "when", "inputs", name)


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
    processors = _processors(task, path)
    containers: list[ContainerOutline] = []
    first_ready: DocumentPath | None = None
    runtime = _map(task, "runtime")
    for index, (container, where) in enumerate(_maps(runtime, "containers", (*path, "runtime"), MAX_CONTAINERS)):
        containers.append(_container(container))
        processors += _processors(container, where)
        if index == 0:
            # Of the containers only the first has the environment of the steps.
            variables += _variables(container, where)
            first_ready = (*where, "ready") if container.get("ready") is not None else None
    scripts: list[DocumentPath] = []
    kinds: list[str] = []
    for index, value in enumerate(_list(task, "steps", MAX_STEPS)):
        where = (*path, "steps", index)
        step = _step(value)
        kinds.append(step.get("type", "run"))
        if _is_unnamed_script(step):
            scripts.append(where)
        if isinstance(value, dict):
            variables += _variables(value, where, in_step=True)
            variables += _variables(_map(value, "run"), (*where, "run"), in_step=True)
    return TaskOutline(
        path=path,
        name=_name(task),
        edges=tuple(edges),
        runtime=RuntimeOutline(_text(runtime, "network") or None, tuple(containers)),
        user=_text(task, "user"),
        steps=tuple(kinds),
        unnamed_scripts=tuple(scripts),
        variables=tuple(variables),
        processors=tuple(processors),
        first_ready=first_ready,
    )


def _map(holder: dict[str, Any], field: str) -> dict[str, Any]:
    value = holder.get(field)
    return value if isinstance(value, dict) else {}


def _text(holder: dict[str, Any], field: str, default: str = "") -> str:
    value = holder.get(field)
    return value if isinstance(value, str) and value else default


def _container(container: dict[str, Any]) -> ContainerOutline:
    return ContainerOutline(
        image=_text(container, "image", "host"),
        user=_text(container, "user"),
        privileged=container.get("privileged") is True,
        entrypoint=_text(container, "entrypoint"),
        volumes=tuple(_list(container, "volumes", MAX_CONTAINERS)),
    )


def _processors(holder: dict[str, Any], path: DocumentPath) -> list[DocumentPath]:
    return [(*path, "resources", "cpu")] if _map(holder, "resources").get("cpu") is not None else []


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


def _step(value: Any) -> dict[str, Any]:
    try:
        step: dict[str, Any] = normal_step(value)
    except PydanticCustomError:
        return {}
    return step


def _is_unnamed_script(step: dict[str, Any]) -> bool:
    command = step.get("command")
    return (
        step.get("type") == "run" and isinstance(command, str) and "\n" in command.strip() and step.get("name") is None
    )
