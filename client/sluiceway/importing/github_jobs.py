"""Jobs of GitHub Actions as tasks."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from sluiceway.importing.building import (
    cache_steps,
    environment_name,
    input_name,
    long_form,
    short_name,
    without_counterpart,
)
from sluiceway.importing.document import Document, Expression, Noted, Task, Unsupported
from sluiceway.importing.github_conditions import EXPRESSION, stripped, when_of
from sluiceway.importing.jsonnet_text import value_text
from sluiceway.importing.matrices import combinations, matrix_name, member
from sluiceway.importing.yaml_values import Value, items, mapping, others, text, texts

_VARIABLES: Final = {
    "github.sha": "SLUICE_GIT_COMMIT_SHA",
    "github.ref": "SLUICE_GIT_REF",
    "github.ref_name": "SLUICE_GIT_BRANCH",
    "github.head_ref": "SLUICE_GIT_BRANCH",
    "github.ref_type": "SLUICE_GIT_REF_TYPE",
    "github.run_id": "SLUICE_RUN_ID",
    "github.run_number": "SLUICE_RUN_NUMBER",
    "github.job": "SLUICE_TASK_NAME",
    "github.event.pull_request.number": "SLUICE_PULL_REQUEST_ID",
    "github.event.number": "SLUICE_PULL_REQUEST_ID",
    "github.workspace": "PWD",
}
# The same values, as variables that GitHub sets.
_SET_BY_GITHUB: Final = {
    environment_name("GITHUB", each.removeprefix("github.")): name
    for each, name in _VARIABLES.items()
    if each.count(".") == 1
}
_CONTEXT: Final = {
    "github.sha": "ctx.commit_sha",
    "github.ref": "ctx.ref",
    "github.ref_name": "(ctx.branch + ctx.tag)",
    "github.ref_type": "ctx.ref_type",
    "github.event.pull_request.number": "ctx.pull_request_id",
    "github.event.number": "ctx.pull_request_id",
}
_CONSTANTS: Final = {"runner.os": "Linux", "runner.arch": "X64", "github.server_url": "", "runner.temp": "/tmp"}  # noqa: S108 - of the pod
_IMAGES: Final = {
    "actions/setup-python": ("python", "python-version", "3"),
    "actions/setup-node": ("node", "node-version", "lts"),
    "actions/setup-go": ("golang", "go-version", "1"),
    "actions/setup-java": ("eclipse-temurin", "java-version", "21"),
    "actions/setup-dotnet": ("mcr.microsoft.com/dotnet/sdk", "dotnet-version", "9.0"),
    "ruby/setup-ruby": ("ruby", "ruby-version", "3"),
    "dtolnay/rust-toolchain": ("rust", "toolchain", "1"),
    "actions-rs/toolchain": ("rust", "toolchain", "1"),
    "erlef/setup-beam": ("elixir", "elixir-version", "1"),
}
_SHELLS: Final = {"bash": "/bin/bash -eo pipefail", "sh": "/bin/sh -e"}
_INPUT: Final = r"(?:github\.event\.)?inputs\.([\w-]+)"
_JOB_KEYS: Final = {
    "name", "needs", "runs-on", "env", "if", "steps", "timeout-minutes", "strategy", "continue-on-error", "container",
    "services", "defaults", "uses", "environment",
}  # fmt: skip
_RUNNER_IMAGE: Final = "ubuntu:24.04"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a job has from its workflow.

    Attributes:
        environment: its variables.
        defaults: those of `run`.
        shares_artifacts: some job downloads what another one uploads.
        inputs: those of the run.
        document: what is made.
    """

    environment: dict[str, Value]
    defaults: dict[str, Value]
    shares_artifacts: bool
    inputs: AbstractSet[str]
    document: Document


class Job:
    """The conversion of one job to a task."""

    def __init__(self, scope: Scope, key: str, job: dict[str, Value], name: str) -> None:
        self._scope = scope
        self._key = key
        self._job = job
        strategy = mapping(job.get("strategy"))
        self._matrix, notes = _combinations(strategy)
        self._task = Task(name, matrix=self._matrix)
        if self._matrix is not None:
            self._task.local = scope.document.local_name(key, "tasks")
            has_expression = "${{" in name
            self._task.name = (
                Expression(self._concatenated(name)) if has_expression else matrix_name(name, self._matrix)
            )
        self._task.notes += notes
        self._last_steps: list[Any] = []
        self._container_notes: list[str] = []

    def made(self) -> Task:
        """Return the task."""
        job, task = self._job, self._task
        for key in others(job, _JOB_KEYS):
            task.notes.append(f"`{key}` has no counterpart")
        if "environment" in job:
            task.notes.append("`environment`: if its deployments need a review, set `approval: true`")
        task.fields["runtime"] = self._runtime()
        for scope in (self._scope.environment, mapping(job.get("env"))):
            for name, value in scope.items():
                task.fields.setdefault("environment", {})[name] = self._value(value)
        self._condition()
        if "uses" in job:
            task.steps.append(without_counterpart(f"uses: {text(job['uses'])}"))
        defaults = {**self._scope.defaults, **mapping(mapping(job.get("defaults")).get("run"))}
        if defaults.get("working-directory"):
            task.fields["working_dir"] = f"~/project/{text(defaults['working-directory'])}"
        task.fields["shell"] = _SHELLS.get(text(defaults.get("shell")), "/bin/bash -e" if defaults else "")
        for step in items(job.get("steps")):
            self._step(mapping(step))
        task.steps += self._last_steps
        if minutes := text(job.get("timeout-minutes")):
            if re.fullmatch(r"[0-9]+", minutes):
                task.fields["task_timeout_interval"] = f"{minutes}m"
            else:
                task.notes.append(f"`timeout-minutes: {minutes}` is no number")
        match job.get("continue-on-error"):
            case True:
                task.fields["ignore_failure"] = True
            case str() as condition:
                task.notes.append(f"`continue-on-error: {condition}` depends on a value: set `ignore_failure`")
        return task

    # -- where it runs

    def _runtime(self) -> Any:
        job = self._job
        labels = texts(
            mapping(job.get("runs-on")).get("labels") if isinstance(job.get("runs-on"), dict) else job.get("runs-on")
        )
        runtime: dict[str, Any] = {}
        runner = labels[0] if labels else ""
        if any("arm" in each for each in labels):
            runtime["arch"] = "arm64"
        if any(word in runner for word in ("windows", "macos")):
            self._task.notes.append(f"`runs-on: {runner}`: executors run Linux")
        elif "self-hosted" in labels:
            own = [each for each in labels if each not in {"self-hosted", "linux", "Linux", "x64", "X64", "ARM64"}]
            self._task.fields["labels"] = {each: "true" for each in own if re.fullmatch(r"[\w./-]+", each)}
        elif "${{" in runner:
            self._task.notes.append(f"`runs-on: {runner}`: tasks choose executors by `arch` and `labels`")
        image, notes = self._image(runner)
        containers: list[Any] = [image]
        for name, service in mapping(job.get("services")).items():
            containers.append(self._service(name, mapping(service)))
        runtime["containers"] = containers
        return Noted(runtime, notes) if notes else runtime

    def _image(self, runner: str) -> tuple[dict[str, Any], list[str]]:
        container = self._job.get("container")
        fields: dict[str, Value] = mapping(container) if isinstance(container, dict) else {"image": container}
        if fields.get("image"):
            notes = [
                f"`container.{each}` has no counterpart" for each in others(fields, {"image", "env", "credentials"})
            ]
            if fields.get("credentials"):
                notes.append("`credentials`: set `docker_registries_auth`")
            environment = {name: self._value(value) for name, value in mapping(fields.get("env")).items()}
            made = {"image": self._value(fields["image"]), **({"environment": environment} if environment else {})}
            return made, notes
        for step in items(self._job.get("steps")):
            action, _, version = text(mapping(step).get("uses")).partition("@")
            if action in _IMAGES:
                image, parameter, default = _IMAGES[action]
                wanted = text(mapping(mapping(step).get("with")).get(parameter)) or (
                    version if action == "dtolnay/rust-toolchain" and version[:1].isdigit() else default
                )
                return {"image": self._value(f"{image}:{wanted.rstrip('.x') if '${{' not in wanted else wanted}")}, []
        return {"image": _RUNNER_IMAGE}, [
            f"`runs-on: {runner or 'not said'}`: GitHub's runners have many programs, {_RUNNER_IMAGE} has few;"
            " choose an image that has what the steps need"
        ]

    def _service(self, name: str, service: dict[str, Value]) -> Any:
        made: dict[str, Any] = {"image": self._value(service.get("image"))}
        environment = {key: self._value(value) for key, value in mapping(service.get("env")).items()}
        if environment:
            made["environment"] = environment
        notes = [f"services are at localhost, not at `{name}`"]
        health = re.search(r"--health-cmd[= ]+(\"[^\"]*\"|'[^']*'|\S+)", text(service.get("options")))
        ports = [re.sub(r"/\w+$", "", each).rpartition(":")[2] for each in texts(service.get("ports"))]
        if health:
            made["ready"] = health[1].strip("\"'")
        elif ports and ports[0].isdigit():
            made["ready"] = int(ports[0])
        mapped = [
            each for each in texts(service.get("ports")) if ":" in each and each.split(":")[0] != each.split(":")[-1]
        ]
        notes += [f"`ports: {each}`: its port is its own one" for each in mapped]
        notes += [
            f"`services.{name}.{key}` has no counterpart"
            for key in others(service, {"image", "env", "options", "ports"})
        ]
        return Noted(made, notes)

    # -- when it runs

    def _condition(self) -> None:
        condition = stripped(text(self._job.get("if")))
        if not condition or condition in {"always()", "!cancelled()", "failure()", "success()"}:
            return
        try:
            self._task.fields["when"] = when_of(condition)
        except Unsupported:
            self._task.notes.append(f"`if: {condition}` has no counterpart: a person decides, instead")
            self._task.fields["approval"] = True

    # -- steps

    def _step(self, step: dict[str, Value]) -> None:
        notes: list[str] = []
        common: dict[str, Any] = {}
        guard = ""
        condition = stripped(text(step.get("if")))
        if condition in {"always()", "!cancelled()", "failure()", "success() || failure()"}:
            common["always"] = True
            if condition == "failure()":
                notes.append("`if: failure()`: it runs after a success, too")
        elif condition and condition != "success()":
            try:
                common["when"] = when_of(condition)
            except Unsupported:
                guard = self._guard(condition)
                if not guard:
                    notes.append(f"`if: {condition}` has no counterpart: the step always runs")
        if "uses" in step:
            made = self._action(step, notes)
        elif "run" in step:
            made = [self._run(step, guard, notes)]
        else:
            made = [without_counterpart(", ".join(step))]
        for each in made:
            inner = each.value if isinstance(each, Noted) else each
            told = [*notes, *(each.notes if isinstance(each, Noted) else [])]
            inner = {**long_form(inner), **common} if common else inner
            self._task.steps.append(Noted(inner, told) if told else inner)

    def _run(self, step: dict[str, Value], guard: str, notes: list[str]) -> dict[str, Any]:
        command = guard + self._script(text(step["run"]))
        if step.get("continue-on-error") is True:
            command = f"(\n{command.rstrip()}\n) || echo 'it failed, and that is ignored'\n"
        name = text(step.get("name"))
        made: dict[str, Any] = {}
        if name or "\n" in command.rstrip("\n"):
            name = EXPRESSION.sub(lambda found: found[1].rpartition(".")[2], name)
            made = {"type": "run", "name": short_name(name or text(step["run"]).strip().splitlines()[0])}
        made["command" if made else "run"] = command if "\n" in command.rstrip("\n") else command.rstrip("\n")
        options: dict[str, Any] = {}
        environment = {key: self._value(value) for key, value in mapping(step.get("env")).items()}
        if environment:
            options["environment"] = environment
        if step.get("working-directory"):
            options["working_dir"] = text(step["working-directory"])
        shell = text(step.get("shell"))
        if shell:
            if shell in _SHELLS:
                options["shell"] = _SHELLS[shell]
            elif shell == "python":
                options["shell"] = "python3"
            else:
                notes.append(f"`shell: {shell}` has no counterpart")
        if step.get("timeout-minutes"):
            notes.append("`timeout-minutes` of a step: a time limit is of the task")
        if options and "run" in made:
            made = {"type": "run", "command": made["run"]}
        if "GITHUB_OUTPUT" in command or "GITHUB_ENV" in command or "GITHUB_PATH" in command:
            notes.append("GITHUB_OUTPUT, GITHUB_ENV and GITHUB_PATH: write to a file that the next steps read")
        return {**made, **options}

    def _action(self, step: dict[str, Value], notes: list[str]) -> list[Any]:
        action = text(step["uses"]).partition("@")[0]
        options = mapping(step.get("with"))
        match action:
            case "actions/checkout":
                return [self._checkout(options, notes)]
            case "actions/cache":
                return self._cache(options)
            case "actions/upload-artifact":
                return self._upload(options)
            case "actions/download-artifact":
                restored: dict[str, Any] = {"restore_workspace": {}}
                if options.get("path"):
                    restored = {"restore_workspace": {"dest_dir": text(options["path"])}}
                return [restored]
            case _ if action in _IMAGES:
                if options.get("cache"):
                    notes.append(f"`cache: {text(options['cache'])}` of {action}: add restore_cache and save_cache")
                return []
        return [without_counterpart(f"uses: {text(step['uses'])}")]

    def _checkout(self, options: dict[str, Value], notes: list[str]) -> dict[str, Any]:
        for each in others(options, {"fetch-depth", "submodules", "persist-credentials"}):
            notes.append(f"`{each}` of actions/checkout has no counterpart")
        clone: dict[str, Any] = {}
        depth = text(options.get("fetch-depth")) or "1"
        if depth.isdigit() and depth != "0":
            clone["depth"] = int(depth)
        if text(options.get("submodules")) in {"true", "recursive"}:
            clone["recurse_submodules"] = True
        return {"clone": clone}

    def _cache(self, options: dict[str, Value]) -> list[Any]:
        paths = [each.strip() for each in text(options.get("path")).splitlines() if each.strip()]
        key = self._cache_key(text(options.get("key")))
        fallbacks = [
            self._cache_key(each.strip()) for each in text(options.get("restore-keys")).splitlines() if each.strip()
        ]
        restore, save = cache_steps(key, fallbacks, paths)
        notes = []
        if any("${{" in each for each in [key, *fallbacks]):
            notes.append("an expression of the key has no counterpart: see the templates of keys")
        if any(each.startswith(("~", "/")) for each in paths):
            notes.append("paths are relative to the working directory: have the tool keep its files there")
            contents = save["save_cache"]["contents"][0]
            contents["paths"] = [each.removeprefix("~/").lstrip("/") for each in paths]
        self._last_steps.append(Noted(save, notes) if notes else save)
        return [Noted(restore, notes) if notes else restore]

    def _cache_key(self, key: str) -> str:
        def one(found: re.Match[str]) -> str:
            expression = found[1]
            files = re.fullmatch(r"hashFiles\((.*)\)", expression)
            if files:
                named = [each.strip().strip("'\"").removeprefix("**/") for each in files[1].split(",")]
                return "-".join(f'{{{{ checksum "{each}" }}}}' for each in named)
            if expression == "runner.os":
                return "{{ os }}"
            if expression in {"github.ref", "github.ref_name"}:
                return "{{ .Branch }}"
            if expression == "github.sha":
                return "{{ .Commit }}"
            if self._has_value(expression.removeprefix("matrix.")) and expression.startswith("matrix."):
                return f'{{{{ env "{self._matrix_variable(expression)}" }}}}'
            return found[0]

        return EXPRESSION.sub(one, key)

    def _upload(self, options: dict[str, Value]) -> list[Any]:
        paths = [each.strip() for each in text(options.get("path")).splitlines() if each.strip()]
        globs = [f"{each.rstrip('/')}/**" if each.endswith("/") else each.removeprefix("./") for each in paths]
        name = text(options.get("name")) or "artifact"
        made: list[Any] = [
            {
                "type": "save_artifacts",
                "name": Expression(self._concatenated(name)) if "${{" in name else name,
                "paths": globs,
            }
        ]
        if self._scope.shares_artifacts:
            made.append({"save_to_workspace": {"contents": [{"source_dir": ".", "paths": globs}]}})
        return made

    # -- expressions

    def _value(self, value: Value) -> Any:
        """Return the value of a variable or an image: a text, a reference to a variable, or an expression."""
        said = text(value) if not isinstance(value, list | dict) else ""
        whole = EXPRESSION.fullmatch(said)
        if whole and (found := re.fullmatch(r"(secrets|vars)\.(\w+)", whole[1])):
            return {"from_variable": found[2]}
        return Expression(self._concatenated(said)) if "${{" in said else said

    def _concatenated(self, said: str) -> str:
        """Return a text with expressions as a sum of jsonnet."""
        parts: list[str] = []
        for index, part in enumerate(EXPRESSION.split(said)):
            if index % 2 == 0:
                parts += [value_text(part)] if part else []
                continue
            found = re.fullmatch(r"matrix\.([\w-]+)", part)
            if found and self._has_value(found[1]):
                parts.append(member(found[1]))
            elif (found := re.fullmatch(_INPUT, part)) and input_name(found[1]) in self._scope.inputs:
                self._scope.document.uses_context = True
                parts.append(f"std.toString(ctx.inputs.{input_name(found[1])})")
            elif part in _CONTEXT:
                self._scope.document.uses_context = True
                parts.append(_CONTEXT[part])
            elif part in _CONSTANTS:
                parts.append(value_text(_CONSTANTS[part]))
            else:
                self._task.notes.append(f"`${{{{ {part} }}}}` has no counterpart here")
                parts.append(value_text(f"${{{{ {part} }}}}"))
        return " + ".join(parts) or "''"

    def _script(self, command: str) -> str:
        """Return a script in which expressions are variables of the environment."""

        def one(found: re.Match[str]) -> str:
            variable = self._variable(found[1])
            if variable is None:
                self._task.notes.append(f"`${{{{ {found[1]} }}}}` in a command has no counterpart")
                return found[0]
            return variable

        made = EXPRESSION.sub(one, command)
        return re.sub(
            r"\$(\{?)(GITHUB_\w+)\b",
            lambda found: f"${found[1]}{_SET_BY_GITHUB.get(found[2], found[2])}",
            made,
        )

    def _variable(self, expression: str) -> str | None:
        if expression in _CONSTANTS:
            return _CONSTANTS[expression]
        if expression in _VARIABLES:
            return f"${{{_VARIABLES[expression]}}}"
        if found := re.fullmatch(_INPUT, expression):
            return f"${{{environment_name('SLUICE_INPUT', input_name(found[1]))}}}"
        kind, _, name = expression.partition(".")
        if kind == "env" and re.fullmatch(r"\w+", name):
            return f"${{{name}}}"
        if kind in {"secrets", "vars"} and re.fullmatch(r"\w+", name):
            self._task.set_environment(name, {"from_variable": name})
            return f"${{{name}}}"
        if kind == "matrix" and self._has_value(name):
            return f"${{{self._matrix_variable(expression)}}}"
        return None

    def _has_value(self, key: str) -> bool:
        """Return whether the matrix has a value of this name."""
        return bool(self._matrix) and key in (self._matrix or [{}])[0]

    def _matrix_variable(self, expression: str) -> str:
        key = expression.removeprefix("matrix.")
        name = environment_name("MATRIX", key)
        self._task.set_environment(name, Expression(member(key)))
        return name

    def _guard(self, condition: str) -> str:
        """Return the line of a script that ends it where a condition on a matrix or a variable does not hold."""
        found = re.fullmatch(r"((?:matrix|env)\.[\w-]+)\s*(==|!=)\s*'([^']*)'", condition)
        variable = self._variable(found[1]) if found else None
        if found is None or variable is None or re.search(r"[\n\"]", found[3]):
            return ""
        return f"[ \"{variable}\" {'=' if found[2] == '==' else '!='} '{found[3]}' ] || exit 0\n"


def _combinations(strategy: dict[str, Value]) -> tuple[list[dict[str, str]] | None, list[str]]:
    """Return the combinations of a matrix, as GitHub makes them; None: the job has no matrix."""
    notes = [f"`strategy.{each}` has no counterpart" for each in others(strategy, {"matrix", "fail-fast"})]
    if "matrix" not in strategy:
        return None, notes
    matrix = mapping(strategy["matrix"])
    if not matrix:
        return [{}], [*notes, f"`matrix: {strategy['matrix']}` is made by another job: write its values"]
    axes = {key: texts(value) for key, value in matrix.items() if key not in {"include", "exclude"}}
    found = combinations(axes)
    excluded = [_flat(each) for each in items(matrix.get("exclude"))]
    found = [each for each in found if not any(rule.items() <= each.items() for rule in excluded)]
    original = [dict(each) for each in found]
    for added in (_flat(each) for each in items(matrix.get("include"))):
        fits = [
            index
            for index, each in enumerate(original)
            if all(each[key] == value for key, value in added.items() if key in each)
        ]
        for index in fits:
            found[index].update(added)
        if not fits:
            found.append(added)
    every = list(dict.fromkeys(key for each in found for key in each))
    return [{key: each.get(key, "") for key in every} for each in found], notes


def _flat(value: Value) -> dict[str, str]:
    return {key: text(each) if not isinstance(each, list | dict) else "" for key, each in mapping(value).items()}
