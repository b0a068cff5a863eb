"""Jobs of GitLab as tasks."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sluiceway.importing.building import cache_steps, long_form, short_name, without_counterpart
from sluiceway.importing.document import ANY, Expression, Noted, Task, Unsupported
from sluiceway.importing.gitlab_rules import when_of_only, when_of_rules
from sluiceway.importing.jsonnet_text import value_text
from sluiceway.importing.matrices import MAX_COMBINATIONS, combinations, matrix_name, member, with_all_keys
from sluiceway.importing.yaml_values import Value, items, mapping, others, text, texts

INHERITED: Final = frozenset(
    {"image", "services", "before_script", "after_script", "cache", "retry", "timeout", "interruptible", "tags"}
    | {"artifacts"}
)
"""What a job takes from the defaults of its file."""
_VARIABLES: Final = {
    "CI_COMMIT_SHA": "SLUICE_GIT_COMMIT_SHA",
    "CI_COMMIT_BRANCH": "SLUICE_GIT_BRANCH",
    "CI_COMMIT_REF_NAME": "SLUICE_GIT_BRANCH",
    "CI_COMMIT_TAG": "SLUICE_GIT_TAG",
    "CI_MERGE_REQUEST_IID": "SLUICE_PULL_REQUEST_ID",
    "CI_PIPELINE_ID": "SLUICE_RUN_ID",
    "CI_PIPELINE_IID": "SLUICE_RUN_NUMBER",
    "CI_JOB_NAME": "SLUICE_TASK_NAME",
    "CI_REPOSITORY_URL": "SLUICE_REPOSITORY_URL",
    "CI_PROJECT_DIR": "PWD",
}
_JOB_KEYS: Final = {
    "stage", "script", "extends", "rules", "only", "except", "needs", "dependencies", "variables", "parallel", "when",
    "allow_failure", "trigger", "resource_group", "environment", "coverage", "inherit", "start_in", *INHERITED,
}  # fmt: skip
_KEY_TEMPLATES: Final = {
    "CI_COMMIT_REF_SLUG": "{{ .Branch }}",
    "CI_COMMIT_REF_NAME": "{{ .Branch }}",
    "CI_COMMIT_BRANCH": "{{ .Branch }}",
    "CI_COMMIT_SHA": "{{ .Commit }}",
    "CI_JOB_NAME": "{{ .Task }}",
    "CI_JOB_NAME_SLUG": "{{ .Task }}",
}
_CAUSES: Final = {
    "script_failure": "failed",
    "job_execution_timeout": "timeout",
    "stuck_or_timeout_failure": "timeout",
    "runner_system_failure": "lost",
    "image_pull_failure": "setup",
}


@dataclass(frozen=True, slots=True)
class JobSource:
    """A job, with what its pipeline says of it.

    Attributes:
        key: its name in the file.
        job: its keywords, with those that it extends and inherits.
        rules: its `rules`.
        variables: those of the pipeline.
        takes_artifacts: others have artifacts for it.
        has_descendants: its artifacts are for others, too.
        local: the name of a variable for its tasks, if it has a matrix.
        followed: returns a value with what its references mean.
    """

    key: str
    job: dict[str, Value]
    rules: list[dict[str, Value]]
    variables: dict[str, Value]
    takes_artifacts: bool
    has_descendants: bool
    local: str
    followed: Callable[[Value], Value]


class Job:
    """The conversion of one job to a task."""

    def __init__(self, source: JobSource, name: str) -> None:
        self._source = source
        self._key = source.key
        self._job = source.job
        matrix = self._parallel()
        local = source.local
        self._task = Task(name, matrix=matrix, local=local if matrix is not None else "")
        if matrix is not None:
            self._task.name = matrix_name(name, matrix)

    def made(self) -> Task:
        """Return the task."""
        job, task = self._job, self._task
        for key in others(job, _JOB_KEYS):
            task.notes.append(f"`{key}` has no counterpart")
        if "environment" in job:
            task.notes.append("`environment`: deployments are runs; there is no list of environments")
        if "start_in" in job:
            task.notes.append(f"`start_in: {text(job['start_in'])}`: a task does not start later")
        if "coverage" in job:
            task.notes.append("`coverage` has no counterpart")
        self._conditions()
        task.fields["runtime"] = self._runtime()
        self._environment()
        if tags := texts(job.get("tags")):
            task.fields["labels"] = {each: "true" for each in tags if re.fullmatch(r"[\w./-]+", each)}
        if timeout := text(job.get("timeout")):
            duration = duration_of(timeout)
            if duration:
                task.fields["task_timeout_interval"] = duration
            else:
                task.notes.append(f"`timeout: {timeout}` is no duration")
        if group := text(job.get("resource_group")):
            task.fields["lock"] = short_name(self._script(group))
        self._retry()
        match job.get("allow_failure"):
            case True | dict():
                task.fields["ignore_failure"] = True
                if isinstance(job["allow_failure"], dict):
                    task.notes.append("`allow_failure: exit_codes`: any failure is ignored")
        self._steps()
        return task

    def _runtime(self) -> dict[str, Any]:
        image = self._image(self._job.get("image"))
        if not image.get("image"):
            image["image"] = "ruby:3.1"
            self._task.notes.append("no `image`: a runner of GitLab takes its default, such as ruby:3.1")
        containers: list[Any] = [image]
        for each in items(self._job.get("services")):
            service = self._image(each)
            fields = mapping(each)
            notes = []
            host = text(fields.get("alias")) or re.sub(r":[^/:]*$", "", text(service.get("image"))).replace("/", "-")
            notes.append(f"services are at localhost, not at `{host}`")
            if fields.get("variables"):
                service["environment"] = {key: text(value) for key, value in mapping(fields["variables"]).items()}
            notes += [f"`services: {key}` has no counterpart" for key in others(fields, {"name", "alias", "variables"})]
            containers.append(Noted(service, notes))
        if any(
            "dind" in text(mapping(each).get("name") if isinstance(each, dict) else each)
            for each in items(self._job.get("services"))
        ):
            self._task.notes.append("docker:dind needs `privileged: true`, and an executor that allows it")
        return {"containers": containers}

    def _image(self, value: Value) -> dict[str, Any]:
        fields = mapping(value)
        name = text(fields.get("name")) if isinstance(value, dict) else text(value)
        for key in (
            fields.keys()
            - {"name", "alias", "variables", "pull_policy"}
            - ({"command"} if "alias" in fields else set())
        ):
            self._task.notes.append(f"`image: {key}` has no counterpart: steps run with the shell of the task")
        return {"image": self._value(name)}

    def _environment(self) -> None:
        for scope in (self._source.variables, mapping(self._job.get("variables"))):
            for name, value in scope.items():
                said = text(mapping(value).get("value")) if isinstance(value, dict) else text(value)
                if name in {"GIT_STRATEGY", "GIT_DEPTH", "GIT_SUBMODULE_STRATEGY"}:
                    continue
                self._task.fields.setdefault("environment", {})[name] = self._value(said)

    def _retry(self) -> None:
        retry = self._job.get("retry")
        most = text(mapping(retry).get("max")) if isinstance(retry, dict) else text(retry)
        if not most.isdigit() or most == "0":
            return
        made: dict[str, Any] = {"max_attempts": int(most) + 1}
        causes = texts(mapping(retry).get("when"))
        known = list(dict.fromkeys(_CAUSES[each] for each in causes if each in _CAUSES))
        if known:
            made["on"] = known
        codes = [int(each) for each in texts(mapping(retry).get("exit_codes")) if each.isdigit()]
        if codes:
            made["exit_codes"] = codes
        self._task.fields["retry"] = made
        self._task.notes += [
            f"`retry: when: {each}` has no counterpart" for each in causes if each not in {*_CAUSES, "always"}
        ]

    def _parallel(self) -> list[dict[str, str]] | None:
        parallel = self._job.get("parallel")
        if parallel is None:
            return None
        if not isinstance(parallel, dict):
            count = min(int(text(parallel)), MAX_COMBINATIONS) if re.fullmatch(r"[0-9]{1,9}", text(parallel)) else 1
            return [{"CI_NODE_INDEX": str(n + 1), "CI_NODE_TOTAL": str(count)} for n in range(count)]
        made: list[dict[str, str]] = []
        for each in items(parallel.get("matrix")):
            axes = {key: texts(value) for key, value in mapping(each).items()}
            made += combinations(axes)
        return with_all_keys(made)

    # -- when it runs

    def _conditions(self) -> None:
        job, task = self._job, self._task
        rules = self._source.rules
        if text(job.get("when")) == "manual" or any(text(each.get("when")) == "manual" for each in rules):
            task.fields["approval"] = True
            if len([each for each in rules if text(each.get("when")) != "never"]) > 1:
                task.notes.append("`when: manual` of one rule: the task always needs an approval")
        if text(job.get("when")) == "never":
            task.fields["when"] = {"branch": {"include": [], "exclude": [ANY]}}
        try:
            when = when_of_rules(rules, task.notes) if rules else when_of_only(job)
            if when:
                task.fields["when"] = when
        except Unsupported as error:
            task.notes.append(f"{error} has no counterpart: a person decides, instead")
            task.fields["approval"] = True

    # -- steps

    def _steps(self) -> None:
        job, task = self._job, self._task
        variables = {**self._source.variables, **mapping(job.get("variables"))}
        if text(variables.get("GIT_STRATEGY")) not in {"none", "empty"}:
            depth = text(variables.get("GIT_DEPTH")) or "20"
            clone: dict[str, Any] = {"depth": int(depth)} if depth.isdigit() and depth != "0" else {}
            if text(variables.get("GIT_SUBMODULE_STRATEGY")) in {"normal", "recursive"}:
                clone["recurse_submodules"] = True
            task.steps.append({"clone": clone})
        caches = [self._cache(mapping(each)) for each in items(job.get("cache"))]
        task.steps += [restore for restore, _ in caches if restore is not None]
        if self._source.takes_artifacts:
            task.steps.append({"restore_workspace": {}})
        if "trigger" in job:
            task.steps.append(without_counterpart(f"trigger: {', '.join(texts(job['trigger'])) or '...'}"))
        script = [*self._commands("before_script"), *self._commands("script")]
        if "script" in job:
            task.steps.append(self._run("script", script))
        if after := self._commands("after_script"):
            step = self._run("after_script", after)
            task.steps.append({**step, "always": True})
        task.steps += [save for _, save in caches if save is not None]
        self._artifacts(mapping(job.get("artifacts")))

    def _commands(self, key: str) -> list[str]:
        return [self._script(each) for each in texts(self._source.followed(self._job.get(key)))]

    def _run(self, name: str, commands: Sequence[str]) -> dict[str, Any]:
        command = "\n".join(each.rstrip("\n") for each in commands)
        if "\n" not in command:
            return {"type": "run", "name": name, "command": command}
        return {"type": "run", "name": name, "command": command + "\n"}

    def _cache(self, cache: dict[str, Value]) -> tuple[Any, Any]:
        paths = texts(cache.get("paths"))
        if not paths:
            return None, None
        key = cache.get("key")
        if isinstance(key, dict):
            prefix = text(key.get("prefix"))
            parts = [f'{{{{ checksum "{each}" }}}}' for each in texts(key.get("files"))]
            said = "-".join([*([self._cache_key(prefix)] if prefix else []), *parts])
        else:
            said = self._cache_key(text(key) or "default")
        restore, save = cache_steps(said, [self._cache_key(each) for each in texts(cache.get("fallback_keys"))], paths)
        policy = text(cache.get("policy")) or "pull-push"
        if text(cache.get("when")) in {"always", "on_failure"}:
            save = {**long_form(save), "always": True}
        return restore if "pull" in policy else None, save if "push" in policy else None

    def _cache_key(self, key: str) -> str:
        def one(found: re.Match[str]) -> str:
            name = found[1] or found[2]
            return _KEY_TEMPLATES.get(name, f'{{{{ env "{_VARIABLES.get(name, name)}" }}}}')

        return re.sub(r"\$\{(\w+)\}|\$(\w+)", one, key)

    def _artifacts(self, artifacts: dict[str, Value]) -> None:
        task = self._task
        always = {"always": True} if text(artifacts.get("when")) in {"always", "on_failure"} else {}
        if artifacts.get("expire_in"):
            task.notes.append(
                f"`artifacts: expire_in: {text(artifacts['expire_in'])}`: how long they are kept is set for all"
            )
        paths = [self._path(each) for each in texts(artifacts.get("paths"))]
        if paths:
            name = self._script(text(artifacts.get("name"))) or self._key
            if "$" in name:
                name = self._key
            task.steps.append({"type": "save_artifacts", "name": short_name(name), "paths": paths, **always})
            if self._source.has_descendants:
                task.steps.append(
                    {"type": "save_to_workspace", "contents": [{"source_dir": ".", "paths": paths}], **always}
                )
        reports = mapping(artifacts.get("reports"))
        if junit := texts(reports.get("junit")):
            task.steps.append({"type": "save_reports", "paths": junit, "always": True})
        task.notes += [f"`artifacts: reports: {each}` has no counterpart" for each in others(reports, {"junit"})]

    def _path(self, path: str) -> str:
        made = path.removeprefix("$CI_PROJECT_DIR/").removeprefix("./")
        return f"{made}**" if made.endswith("/") else made

    # -- variables

    def _value(self, said: str) -> Any:
        whole = re.fullmatch(r"\$\{?(\w+)\}?", said)
        if whole and self._task.matrix is not None and any(whole[1] in each for each in self._task.matrix):
            return Expression(member(whole[1]))
        if self._task.matrix and (found := re.search(r"\$\{?(\w+)\}?", said)) and found[1] in self._task.matrix[0]:
            before, after = said[: found.start()], said[found.end() :]
            parts = [value_text(before)] if before else []
            parts += [member(found[1]), *([value_text(after)] if after else [])]
            return Expression(" + ".join(parts))
        if whole and not whole[1].startswith("CI_") and whole[1] not in self._source.variables:
            return {"from_variable": whole[1]}
        if "$" in said:
            known = {**self._source.variables, **mapping(self._job.get("variables"))}
            said = re.sub(
                r"\$\{?(\w+)\}?",
                lambda found: text(known[found[1]]) if isinstance(known.get(found[1]), str) else found[0],
                said,
            )
        if re.search(r"\$\{?\w+", said):
            self._task.notes.append(f"`{said}`: variables within a value are not replaced")
        return said

    def _script(self, command: str) -> str:
        def one(found: re.Match[str]) -> str:
            name = found[2]
            if name in _VARIABLES:
                return f"${found[1]}{_VARIABLES[name]}"
            if self._task.matrix and name in self._task.matrix[0]:
                self._task.set_environment(name, Expression(member(name)))
            elif name.startswith(("CI_", "GITLAB_")):
                note = f"`${name}` has no counterpart"
                if note not in self._task.notes:
                    self._task.notes.append(note)
            return found[0]

        return re.sub(r"\$(\{?)(\w+)", one, command)


def duration_of(said: str) -> str:
    """Return a duration such as `3h 30m` or `90 minutes`; an empty text: it is none."""
    units = {"w": 10080, "d": 1440, "h": 60, "m": 1, "s": 0}
    minutes = seconds = 0
    matched = re.findall(r"(\d+)\s*([a-z]+)", said.lower())
    if not matched or re.sub(r"(\d+)\s*([a-z]+)|and|[\s,]", "", said.lower()):
        return ""
    for number, unit in matched:
        if unit[0] not in units or unit.startswith("mo"):
            return ""
        minutes += int(number) * units[unit[0]]
        seconds += int(number) if unit[0] == "s" else 0
    return "".join([f"{minutes}m" if minutes else "", f"{seconds}s" if seconds else ""])
