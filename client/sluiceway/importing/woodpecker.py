"""Workflows of Woodpecker CI: a file becomes a run, its steps tasks that pass their workspace on.

A step of Woodpecker has an image of its own; the steps of a task run in one. So neighbours with the same image become
one task. The syntax is that of woodpecker-ci.org/docs/usage/workflow-syntax.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sluiceway.importing.building import (
    environment_name,
    exact_or_expression,
    short_name,
    unique_name,
    without_counterpart,
)
from sluiceway.importing.document import ANY, PULL_REQUESTS, Document, Expression, Noted, Run, Task
from sluiceway.importing.jsonnet_text import value_text
from sluiceway.importing.matrices import combinations, depends_on, matrix_name, member, with_all_keys
from sluiceway.importing.yaml_values import Value, items, mapping, others, text, texts

_VARIABLES: Final = {
    "CI_COMMIT_SHA": "SLUICE_GIT_COMMIT_SHA",
    "CI_COMMIT_REF": "SLUICE_GIT_REF",
    "CI_COMMIT_BRANCH": "SLUICE_GIT_BRANCH",
    "CI_COMMIT_TAG": "SLUICE_GIT_TAG",
    "CI_COMMIT_PULL_REQUEST": "SLUICE_PULL_REQUEST_ID",
    "CI_PIPELINE_NUMBER": "SLUICE_RUN_NUMBER",
    "CI_REPO_CLONE_URL": "SLUICE_REPOSITORY_URL",
    "CI_STEP_NAME": "SLUICE_TASK_NAME",
    "CI_WORKSPACE": "PWD",
}
_KEYS: Final = frozenset(
    {"steps", "pipeline", "services", "when", "matrix", "labels", "platform", "clone", "skip_clone", "depends_on"}
    | {"runs_on", "workspace", "variables"}
)
_STEP_KEYS: Final = frozenset(
    {"name", "image", "commands", "environment", "secrets", "settings", "when", "depends_on", "failure", "detach"}
    | {"privileged", "pull", "group"}
)
_SERVICE_KEYS: Final = frozenset(
    {"name", "image", "environment", "ports", "commands", "detach", "secrets", "pull", "privileged"}
)
_ARCHITECTURES: Final = {"amd64": "amd64", "arm64": "arm64", "arm": "arm", "386": "386"}


def convert(workflow: dict[str, Value], name: str, document: Document) -> None:
    """Add the run that a workflow becomes."""
    _Workflow(workflow, name, document).convert()


class _Workflow:
    """The conversion of one workflow."""

    def __init__(self, workflow: dict[str, Value], name: str, document: Document) -> None:
        self._file = workflow
        self._name = short_name(name)
        self._local = document.local_name(name, "runs")
        self._document = document
        self._notes: list[str] = []
        self._matrix = _combinations(workflow.get("matrix"))
        self._steps = _named(workflow.get("steps") if "steps" in workflow else workflow.get("pipeline"))
        self._tasks: dict[str, Task] = {}

    def convert(self) -> None:
        """Add the run."""
        for key in others(self._file, _KEYS):
            self._notes.append(f"`{key}` has no counterpart")
        if "depends_on" in self._file:
            self._notes.append(
                f"`depends_on: {', '.join(texts(self._file['depends_on']))}`: a run does not wait for another one"
            )
        if "runs_on" in self._file:
            self._notes.append("`runs_on`: say it of tasks, with `depends` and its conditions")
        if "workspace" in self._file:
            self._notes.append("`workspace`: steps start in ~/project; set `working_dir`")
        when = when_of(self._file.get("when"), self._notes)
        services = [self._service(name, step) for name, step in _named(self._file.get("services"))]
        services += [self._service(name, step) for name, step in self._steps if step.get("detach") is True]
        groups = self._groups([(name, step) for name, step in self._steps if step.get("detach") is not True])
        taken: set[str] = set()
        before: Task | None = None
        for group in groups:
            task = self._task(group, services, unique_name(" and ".join(name for name, _ in group), taken))
            self._link(task, group, before)
            for name, _ in group:
                self._tasks[name] = task
            before = task
        self._share()
        run = Run(self._name, self._unique(), when, self._notes)
        if self._matrix is not None:
            # A workflow with a matrix is several workflows there, which do not wait for each other.
            run.name, run.matrix, run.local = matrix_name(self._name, self._matrix), self._matrix, self._local
        self._document.runs.append(run)

    def _unique(self) -> list[Task]:
        return list({id(each): each for each in self._tasks.values()}.values())

    def _groups(self, steps: list[tuple[str, dict[str, Value]]]) -> list[list[tuple[str, dict[str, Value]]]]:
        """Return the steps that one task runs, in order: neighbours with one image, without conditions of their own."""
        is_graph = any("depends_on" in step for _, step in steps)
        made: list[list[tuple[str, dict[str, Value]]]] = []
        for name, step in steps:
            last = made[-1][-1][1] if made else None
            same = last is not None and all(
                last.get(key) == step.get(key) for key in ("image", "when", "failure", "privileged")
            )
            if same and not is_graph and "commands" in step and "commands" in (last or {}):
                made[-1].append((name, step))
            else:
                made.append([(name, step)])
        return made

    def _task(self, group: list[tuple[str, dict[str, Value]]], services: list[Any], name: str) -> Task:
        first = group[0][1]
        task = Task(name)
        runtime: dict[str, Any] = {}
        platform = text(mapping(self._file.get("labels")).get("platform")) or text(self._file.get("platform"))
        if (arch := platform.rpartition("/")[2]) in _ARCHITECTURES:
            runtime["arch"] = _ARCHITECTURES[arch]
        container: dict[str, Any] = {"image": self._value(task, text(first.get("image")))}
        if first.get("privileged") is True:
            container["privileged"] = True
        runtime["containers"] = [container, *services]
        task.fields["runtime"] = runtime
        labels = {key: text(value) for key, value in mapping(self._file.get("labels")).items() if key != "platform"}
        if labels:
            task.fields["labels"] = labels
        if first.get("failure") == "ignore":
            task.fields["ignore_failure"] = True
        status: list[str] = []
        when = when_of(first.get("when"), task.notes, status)
        if when:
            task.fields["when"] = when
        if self._file.get("skip_clone") is not True and not self._tasks:
            task.steps.append({"clone": {"depth": 1}})
        for step_name, step in group:
            self._step(task, step_name, step)
        return task

    def _step(self, task: Task, name: str, step: dict[str, Value]) -> None:
        for key in others(step, _STEP_KEYS):
            task.notes.append(f"`{key}` of {name} has no counterpart")
        if "settings" in step:
            task.steps.append(without_counterpart(f"plugin {text(step.get('image'))}"))
            return
        commands = [self._script(task, each) for each in texts(step.get("commands"))]
        if not commands:
            task.notes.append(f"{name} has no commands: the entrypoint of its image is not run")
            return
        command = "\n".join(commands) + ("\n" if len(commands) > 1 or "\n" in commands[0] else "")
        made: dict[str, Any] = {"type": "run", "name": short_name(name), "command": command}
        environment = self._environment(task, step)
        if environment:
            made["environment"] = environment
        task.steps.append(made)

    def _environment(self, task: Task, step: dict[str, Value]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        given = step.get("environment")
        pairs = given.items() if isinstance(given, dict) else (each.partition("=")[::2] for each in texts(given))
        for name, value in pairs:
            if isinstance(value, dict):
                made[name] = {"from_variable": text(value.get("from_secret"))}
            else:
                made[name] = self._value(task, text(value))
        for secret in items(step.get("secrets")):
            source = text(mapping(secret).get("source")) if isinstance(secret, dict) else text(secret)
            target = text(mapping(secret).get("target")) if isinstance(secret, dict) else text(secret).upper()
            made[target] = {"from_variable": source}
        return made

    def _service(self, name: str, step: dict[str, Value]) -> Any:
        made: dict[str, Any] = {"image": text(step.get("image"))}
        placeholder = Task(name)
        environment = self._environment(placeholder, step)
        if environment:
            made["environment"] = environment
        if step.get("privileged") is True:
            made["privileged"] = True
        ports = [each.partition("/")[0] for each in texts(step.get("ports"))]
        if ports and ports[0].isdigit():
            made["ready"] = int(ports[0])
        notes = [f"services are at localhost, not at `{name}`", *placeholder.notes]
        if "commands" in step:
            notes.append("`commands` of a service: the entrypoint of its image is run")
        notes += [
            f"`{key}` of a service has no counterpart"
            for key in others(
                step, {"name", "image", "environment", "ports", "commands", "detach", "secrets", "pull", "privileged"}
            )
        ]
        return Noted(made, notes)

    def _link(self, task: Task, group: list[tuple[str, dict[str, Value]]], before: Task | None) -> None:
        first = group[0][1]
        status: list[str] = []
        when_of(first.get("when"), [], status)
        conditions: list[str] = []
        if "failure" in status:
            conditions = ["on_failure", "on_skipped", *(["on_success"] if "success" in status else [])]
        if any("depends_on" in step for _, step in self._steps):
            wanted = texts(first.get("depends_on"))
            parents = [self._tasks[each] for each in wanted if each in self._tasks]
            task.notes += [
                f"`depends_on: {each}`: there is no such step before it" for each in wanted if each not in self._tasks
            ]
        else:
            parents = [before] if before is not None else []
        if not parents:
            return
        # A step whose conditions do not hold is passed over there; a task that depends on one is skipped.
        tolerant = any("when" in each.fields or each.fields.get("ignore_failure") for each in parents)
        if tolerant and not conditions:
            conditions = ["on_success", "on_skipped"]
            if any(each.fields.get("ignore_failure") for each in parents):
                conditions.append("on_failure")
        task.fields["depends"] = depends_on(parents, conditions)

    def _share(self) -> None:
        """Have tasks pass their files on, as the steps of Woodpecker share a folder."""
        tasks = self._unique()
        if len(tasks) < 2:
            return
        for number, task in enumerate(tasks):
            if number > 0:
                restore: list[Any] = (
                    [{"restore_workspace": {}}] if task.fields.get("depends") else [{"clone": {"depth": 1}}]
                )
                task.steps[:0] = restore
            if number < len(tasks) - 1:
                task.steps.append({"save_to_workspace": {"contents": [{"source_dir": "."}]}})

    def _value(self, task: Task, said: str) -> Any:
        parts: list[str] = []
        is_expression = False
        for index, part in enumerate(re.split(r"\$\{(\w+)\}", said)):
            if index % 2 == 0:
                parts += [value_text(part)] if part else []
            elif self._matrix and part in self._matrix[0]:
                parts.append(member(part))
                is_expression = True
            else:
                task.notes.append(f"`${{{part}}}` within a value is not replaced")
                parts.append(value_text(f"${{{part}}}"))
        return Expression(" + ".join(parts)) if is_expression else said

    def _script(self, task: Task, command: str) -> str:
        def one(found: re.Match[str]) -> str:
            name = found[2]
            if name in _VARIABLES:
                return f"${found[1]}{_VARIABLES[name]}"
            if self._matrix and name in self._matrix[0]:
                variable = environment_name("MATRIX", name)
                task.set_environment(variable, Expression(member(name)))
                return f"${found[1]}{variable}"
            if name.startswith("CI_"):
                task.notes.append(f"`${name}` has no counterpart")
            return found[0]

        # Woodpecker replaces `${NAME}` itself, and `$$` stands for a dollar sign.
        return re.sub(r"(?<!\$)\$(\{?)(\w+)", one, command).replace("$$", "$")


def when_of(value: Value, notes: list[str], status: list[str] | None = None) -> dict[str, Any]:
    """Return the rules of conditions, of which one must hold; add the statuses that they name."""
    made: dict[str, list[str]] = {}
    paths: list[str] = []
    is_always = not items(value)
    for each in items(value):
        condition = mapping(each)
        if status is not None:
            status += texts(condition.get("status"))
        for key in others(condition, {"event", "branch", "path", "status", "ref"}):
            notes.append(f"`when: {key}` has no counterpart")
        rules = condition.get("path")
        paths += texts(mapping(rules).get("include")) if isinstance(rules, dict) else texts(rules)
        fields = _of_events(texts(condition.get("event")), condition, notes)
        if fields is None:
            is_always = True
            continue
        for field, found in fields.items():
            made.setdefault(field, []).extend(found)
    result: dict[str, Any] = {}
    if not is_always:
        result = {
            field: found[0] if len(set(found)) == 1 else list(dict.fromkeys(found)) for field, found in made.items()
        }
    if paths:
        result["paths"] = list(dict.fromkeys(paths))
    return result


def _of_events(events: list[str], condition: dict[str, Value], notes: list[str]) -> dict[str, list[str]] | None:
    """Return the rules of one condition by field; None: it holds for all refs."""
    named = condition.get("branch")
    if isinstance(named, dict):
        notes.append("`when: branch: exclude`: write it as `branch: { include: [...], exclude: [...] }`")
        named = named.get("include")
    branches = [exact_or_expression(each) for each in texts(named)]
    refs = [exact_or_expression(each) for each in texts(condition.get("ref"))]
    if not events and not branches and not refs:
        return None
    made: dict[str, list[str]] = {"ref": refs} if refs else {}
    for event in events or (["push"] if branches else []):
        match event:
            case "push":
                made.setdefault("branch", []).extend(branches or [ANY])
            case "tag":
                made.setdefault("tag", []).append(ANY)
            case "pull_request":
                made.setdefault("ref", []).append(PULL_REQUESTS)
            case "manual" | "cron":
                notes.append(
                    f"`when: event: {event}`: runs by hand and on schedules are for a branch or tag, like a push"
                )
                made.setdefault("branch", []).extend(branches or [ANY])
            case _:
                notes.append(f"`when: event: {event}` has no counterpart")
    return made


def _named(value: Value) -> list[tuple[str, dict[str, Value]]]:
    """Return steps or services, given as a list or by their names."""
    if isinstance(value, dict):
        return [(name, mapping(each)) for name, each in value.items()]
    return [
        (text(mapping(each).get("name")) or f"step {number}", mapping(each))
        for number, each in enumerate(items(value), 1)
    ]


def _combinations(value: Value) -> list[dict[str, str]] | None:
    matrix = mapping(value)
    if not matrix:
        return None
    if "include" in matrix:
        made = [{key: text(each) for key, each in mapping(one).items()} for one in items(matrix["include"])]
        return with_all_keys(made)
    axes = {key: texts(each) for key, each in matrix.items()}
    return combinations(axes)
