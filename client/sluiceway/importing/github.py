"""Workflows of GitHub Actions: a workflow becomes a run, a job a task, a matrix a list comprehension.

The syntax is that of docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sluiceway.importing.building import exact_or_expression, input_name, short_name, unique_name
from sluiceway.importing.document import ANY, PULL_REQUESTS, Document, Run, Task
from sluiceway.importing.github_conditions import stripped
from sluiceway.importing.github_jobs import Job, Scope
from sluiceway.importing.matrices import depends_on
from sluiceway.importing.yaml_values import Value, items, mapping, others, text, texts

_PUSHES: Final = frozenset({"push", "pull_request", "pull_request_target"})
_INPUT_TYPES: Final = {"boolean": "boolean", "choice": "choice", "number": "number"}
_EVENTS: Final = {"push", "pull_request", "pull_request_target", "workflow_dispatch", "schedule"}
_WORKFLOW_KEYS: Final = {"name", "on", "env", "jobs", "defaults", "run-name", "concurrency", "permissions"}


def convert(workflow: dict[str, Value], name: str, document: Document) -> None:
    """Add the run that a workflow becomes."""
    _Workflow(workflow, name, document).convert()


class _Workflow:
    """The conversion of one workflow."""

    def __init__(self, workflow: dict[str, Value], name: str, document: Document) -> None:
        self._workflow = workflow
        self._document = document
        self._name = short_name(text(workflow.get("name")) or name)
        self._jobs = {key: mapping(value) for key, value in mapping(workflow.get("jobs")).items()}
        self._downloads = any(
            text(mapping(step).get("uses")).startswith("actions/download-artifact")
            for job in self._jobs.values()
            for step in items(job.get("steps"))
        )
        self._tasks: dict[str, Task] = {}

    def convert(self) -> None:
        """Add the run."""
        notes: list[str] = []
        when = self._when(notes)
        inputs = self._inputs(notes)
        for key in others(self._workflow, _WORKFLOW_KEYS):
            notes.append(f"`{key}` has no counterpart")
        if "concurrency" in self._workflow:
            notes.append(
                "`concurrency`: runs of one branch or pull request wait for each other; a `lock` keeps other tasks out"
            )
        if "permissions" in self._workflow:
            notes.append("`permissions`: tasks have no token of the provider")
        taken: set[str] = set()
        defaults = mapping(mapping(self._workflow.get("defaults")).get("run"))
        scope = Scope(mapping(self._workflow.get("env")), defaults, self._downloads, inputs.keys(), self._document)
        for key, job in self._jobs.items():
            self._tasks[key] = Job(scope, key, job, unique_name(text(job.get("name")) or key, taken)).made()
        for key, job in self._jobs.items():
            self._link(key, job)
        self._document.runs.append(Run(self._name, list(self._tasks.values()), when, notes, inputs))

    def _link(self, key: str, job: dict[str, Value]) -> None:
        task = self._tasks[key]
        parents = texts(job.get("needs"))
        unknown = [each for each in parents if each not in self._tasks]
        task.notes += [f"`needs: {each}`: there is no such job" for each in unknown]
        known = [self._tasks[each] for each in parents if each in self._tasks]
        condition = stripped(text(job.get("if")))
        conditions = {
            "always()": ["on_success", "on_failure", "on_skipped"],
            "!cancelled()": ["on_success", "on_failure", "on_skipped"],
            "failure()": ["on_failure"],
        }.get(condition, [])
        if condition == "failure()" and len(known) > 1:
            task.notes.append("`if: failure()`: the task runs if all that it depends on failed, not if one of them did")
        if known:
            task.fields["depends"] = depends_on(known, conditions)

    def _events(self) -> dict[str, Value]:
        on = self._workflow.get("on")
        return mapping(on) if isinstance(on, dict) else dict.fromkeys(texts(on))

    def _inputs(self, notes: list[str]) -> dict[str, Any]:
        events = self._events()
        made: dict[str, Any] = {}
        is_pushed = bool(_PUSHES & events.keys())
        for name, value in mapping(mapping(events.get("workflow_dispatch")).get("inputs")).items():
            found = input_of(mapping(value), notes, name)
            if is_pushed:
                # A push starts the run there, too, without values.
                found.pop("required", None)
            made[input_name(name)] = found
        if events and not is_pushed and not any("required" in each and "default" not in each for each in made.values()):
            notes.append("no push starts it there; here, the input `by_hand` keeps pushes from it")
            made["by_hand"] = {"type": "choice", "options": ["yes"], "required": True}
        return made

    def _when(self, notes: list[str]) -> dict[str, Any]:
        events = self._events()
        for event in others(events, _EVENTS):
            notes.append(f"`on: {event}` has no counterpart: start the run by hand (`sluice project run`)")
        for each in items(events.get("schedule")):
            cron = text(mapping(each).get("cron"))
            notes.append(f"`on: schedule`: sluice schedule create PROJECT --cron '{cron}'")
        push, pulls = (
            mapping(events.get("push")),
            mapping(events.get("pull_request") or events.get("pull_request_target")),
        )
        has_push, has_pulls = "push" in events, bool({"pull_request", "pull_request_target"} & events.keys())
        if has_pulls and (pulls.get("branches") or pulls.get("branches-ignore")):
            notes.append(
                "`pull_request.branches`: a rule for the branch into which a pull request goes has no counterpart"
            )
        if pulls.get("types"):
            notes.append("`pull_request.types`: runs start when one is opened, and when commits are added")
        when: dict[str, Any] = {}
        if has_push:
            filters = {"branches", "branches-ignore", "tags", "tags-ignore"} & push.keys()
            for field, wanted in (("branch", "branches"), ("tag", "tags")):
                rules = _rules(texts(push.get(wanted)), texts(push.get(f"{wanted}-ignore")))
                if rules is not None:
                    when[field] = rules
                elif not filters and not has_pulls:
                    when[field] = ANY
            if has_pulls and filters:
                when["ref"] = PULL_REQUESTS
        elif has_pulls:
            when["ref"] = PULL_REQUESTS
        paths = _rules(
            [*dict.fromkeys([*texts(push.get("paths")), *texts(pulls.get("paths"))])],
            [*dict.fromkeys([*texts(push.get("paths-ignore")), *texts(pulls.get("paths-ignore"))])],
            is_path=True,
        )
        if paths is not None:
            when["paths"] = paths
        return when


def _rules(include: list[str], ignore: list[str], *, is_path: bool = False) -> Any:
    """Return the rules of a filter, or None if there are none."""
    convert_one = (lambda each: each) if is_path else exact_or_expression
    exclude = [each[1:] for each in include if each.startswith("!")] + ignore
    include = [each for each in include if not each.startswith("!")]
    if not include and not exclude:
        return None
    if not exclude:
        made = [convert_one(each) for each in include]
        return made[0] if len(made) == 1 else made
    said = [convert_one(each) for each in include] if include else ([] if is_path else [ANY])
    return {**({"include": said} if said else {}), "exclude": [convert_one(each) for each in exclude]}


def input_of(given: dict[str, Value], notes: list[str], name: str) -> dict[str, Any]:
    """Return the declaration of an input of a workflow that is started by hand."""
    kind = _INPUT_TYPES.get(text(given.get("type")), "string")
    made: dict[str, Any] = {"type": kind}
    default = text(given.get("default"))
    if kind == "choice":
        made["options"] = texts(given.get("options"))
    if default:
        match kind:
            case "boolean":
                made["default"] = default == "true"
            case "number" if re.fullmatch(r"-?[0-9]{1,15}", default):
                made["default"] = int(default)
            case "number":
                notes.append(f"the default of the input {name} is no number: {default}")
            case _:
                made["default"] = default
    if description := short_name(text(given.get("description"))) if given.get("description") else "":
        made["description"] = description
    if given.get("required") is True:
        made["required"] = True
    return made
