"""Pipelines of GitLab CI/CD: the file becomes a run, a job a task, stages and `needs` dependencies.

The keywords are those of docs.gitlab.com/ci/yaml.
"""

from __future__ import annotations

from typing import Any, Final

from sluiceway.importing.building import short_name, unique_name
from sluiceway.importing.document import Document, Expression, Run, Task, Unsupported
from sluiceway.importing.gitlab_jobs import INHERITED, Job, JobSource
from sluiceway.importing.gitlab_rules import when_of_rules
from sluiceway.importing.jsonnet_text import value_text
from sluiceway.importing.matrices import depends_on
from sluiceway.importing.yaml_values import Reference, Value, items, mapping, text, texts

_STAGES: Final = [".pre", "build", "test", "deploy", ".post"]
_GLOBAL: Final = {
    "stages", "default", "image", "services", "before_script", "after_script", "variables", "cache", "include",
    "workflow", "spec", "types",
}  # fmt: skip
_ALWAYS: Final = ["on_success", "on_failure", "on_skipped"]


def convert(pipeline: dict[str, Value], name: str, document: Document) -> None:
    """Add the run that a pipeline becomes."""
    _Pipeline(pipeline, name, document).convert()


class _Pipeline:
    """The conversion of one pipeline."""

    def __init__(self, pipeline: dict[str, Value], name: str, document: Document) -> None:
        self._file = pipeline
        self._name = short_name(text(mapping(pipeline.get("workflow")).get("name")) or name)
        self._document = document
        default = mapping(pipeline.get("default"))
        self._defaults = {key: pipeline[key] for key in INHERITED & pipeline.keys()} | default
        self._notes: list[str] = []
        self._jobs = {
            key: self._whole(key, mapping(value), ())
            for key, value in pipeline.items()
            if key not in _GLOBAL and not key.startswith(".") and key != "pages:deploy" and isinstance(value, dict)
        }
        stages = texts(pipeline.get("stages")) or _STAGES
        self._stages = [".pre", *(each for each in stages if each not in {".pre", ".post"}), ".post"]
        self._tasks: dict[str, Task] = {}

    def convert(self) -> None:
        """Add the run."""
        for each in items(self._file.get("include")):
            said = (
                text(each)
                if isinstance(each, str)
                else ", ".join(f"{key}: {_said(value)}" for key, value in mapping(each).items())
            )
            self._notes.append(f"`include: {said}` is not read: convert that file, too")
        when = self._workflow_rules()
        taken: set[str] = set()
        for key, job in self._jobs.items():
            rules = [mapping(each) for each in items(self.followed(job.get("rules")))]
            shared = self.takes_artifacts(key), self.has_descendants(key)
            local = self._document.local_name(key, "tasks") if "parallel" in job else ""
            source = JobSource(key, self.inherited(job), rules, self.variables, *shared, local, self.followed)
            self._tasks[key] = Job(source, unique_name(key, taken)).made()
        for key, job in self._jobs.items():
            self._link(key, job)
        self._document.runs.append(Run(self._name, list(self._tasks.values()), when, self._notes))

    @property
    def variables(self) -> dict[str, Value]:
        """The variables of the pipeline."""
        return mapping(self._file.get("variables"))

    def followed(self, value: Value, depth: int = 0) -> Value:
        """Return a value with what its references mean."""
        match value:
            case Reference(path):
                found: Value = self._file
                for key in path:
                    found = mapping(found).get(key)
                if found is None or depth > 10:
                    self._notes.append(f"`!reference [{', '.join(path)}]` leads to nothing")
                    return None
                return self.followed(found, depth + 1)
            case list():
                return [self.followed(each, depth) for each in value]
        return value

    def _whole(self, key: str, job: dict[str, Value], seen: tuple[str, ...]) -> dict[str, Value]:
        """Return a job with what it extends, later ones first."""
        merged: dict[str, Value] = {}
        for base in texts(job.get("extends")):
            found = self._file.get(base)
            if base in seen or not isinstance(found, dict):
                self._notes.append(f"`extends: {base}` of {key}: there is no such job here")
                continue
            merged = _merged(merged, self._whole(base, found, (*seen, base)))
        return _merged(merged, job)

    def inherited(self, job: dict[str, Value]) -> dict[str, Value]:
        """Return a job with the defaults of the file."""
        inherit = mapping(job.get("inherit")).get("default", True)
        wanted = (
            self._defaults if inherit is True else {k: self._defaults[k] for k in texts(inherit) if k in self._defaults}
        )
        return {**wanted, **job}

    def has_descendants(self, key: str) -> bool:
        """Return whether some job may take the artifacts of one."""
        stage = self._stage(key)
        return any(
            key in needed_by(job) if "needs" in job else self._stage(other) > stage
            for other, job in self._jobs.items()
            if other != key
        )

    def takes_artifacts(self, key: str) -> bool:
        """Return whether a job may take the artifacts of another."""
        job = self._jobs[key]
        if "dependencies" in job and not texts(job["dependencies"]):
            return False
        if "needs" in job:
            parents = [
                each
                for each in needed_by(job)
                if _of_need(job, each).get("artifacts") is not False and each in self._jobs
            ]
        else:
            parents = [each for each in self._jobs if self._stage(each) < self._stage(key)]
        return any(mapping(self.inherited(self._jobs[each]).get("artifacts")).get("paths") for each in parents)

    def _stage(self, key: str) -> int:
        stage = text(self._jobs[key].get("stage")) or "test"
        return self._stages.index(stage) if stage in self._stages else 1

    def _link(self, key: str, job: dict[str, Value]) -> None:
        task = self._tasks[key]
        if "stage" in job and text(job["stage"]) not in self._stages:
            task.notes.append(f"`stage: {text(job['stage'])}` is not one of the stages")
        if "needs" in job:
            names = needed_by(job)
            task.notes += [f"`needs: {each}`: there is no such job here" for each in names if each not in self._jobs]
            parents = [each for each in names if each in self._jobs and each != key]
        else:
            earlier = {
                self._stage(each)
                for each in self._jobs
                if self._stage(each) < self._stage(key) and not self._is_optional(each)
            }
            last = max(earlier, default=None)
            parents = [each for each in self._jobs if self._stage(each) == last and not self._is_optional(each)]
        when = text(job.get("when"))
        if when == "on_failure" and len(parents) > 1:
            task.notes.append("`when: on_failure`: it runs if all that it depends on failed, not if one of them did")
        groups: dict[tuple[str, ...], list[Task]] = {}
        for each in parents:
            # A failure that is allowed, and a job that is not in the pipeline, keep no job from running there.
            more = [
                *(["on_failure"] if may_fail(self._jobs[each]) else []),
                *(["on_skipped"] if "when" in self._tasks[each].fields else []),
            ]
            conditions = {"on_failure": ("on_failure",), "always": tuple(_ALWAYS)}.get(
                when, ("on_success", *more) if more else ()
            )
            groups.setdefault(conditions, []).append(self._tasks[each])
        made = [depends_on(tasks, conditions) for conditions, tasks in groups.items()]
        if any(isinstance(each, Expression) for each in made):
            task.fields["depends"] = Expression(" + ".join(value_text(each) for each in made))
        elif made:
            task.fields["depends"] = [one for each in made if isinstance(each, list) for one in each]

    def _is_optional(self, key: str) -> bool:
        """Return whether a job is started by hand, and nothing waits for it."""
        job = self._jobs[key]
        rules = [mapping(each) for each in items(self.followed(job.get("rules")))]
        manual = text(job.get("when")) == "manual" or any(text(each.get("when")) == "manual" for each in rules)
        return (
            manual
            and job.get("allow_failure") is not False
            and not any(each.get("allow_failure") is False for each in rules)
        )

    def _workflow_rules(self) -> dict[str, Any]:
        rules = items(self.followed(mapping(self._file.get("workflow")).get("rules")))
        if not rules:
            return {}
        try:
            return when_of_rules([mapping(each) for each in rules], self._notes)
        except Unsupported as error:
            self._notes.append(f"`workflow: rules`: {error} has no counterpart: the run starts always")
            return {}


def may_fail(job: dict[str, Value]) -> bool:
    """Return whether a failure of a job is allowed."""
    allowed = job.get("allow_failure")
    return allowed is True or isinstance(allowed, dict)


def needed_by(job: dict[str, Value]) -> list[str]:
    """Return the names of the jobs that a job needs."""
    return [
        text(mapping(each).get("job")) if isinstance(each, dict) else text(each) for each in items(job.get("needs"))
    ]


def _of_need(job: dict[str, Value], name: str) -> dict[str, Value]:
    return next((mapping(each) for each in items(job.get("needs")) if mapping(each).get("job") == name), {})


def _merged(base: dict[str, Value], over: dict[str, Value]) -> dict[str, Value]:
    made = dict(base)
    for key, value in over.items():
        old = made.get(key)
        made[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return made


def _said(value: Value) -> str:
    return ", ".join(texts(value)) if not isinstance(value, dict) else "..."
