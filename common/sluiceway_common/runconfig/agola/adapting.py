"""Change a document of Agola into one of the strict model.

Each kind of value has a function that returns it in our form; `_struct` walks the fields of a map. What is left out or
chosen is a warning. A value of a form that Agola refuses too stays as it is, so that the model reports it. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from sluiceway_common.foundation.texts import MAX_NAME
from sluiceway_common.runconfig import durations
from sluiceway_common.runconfig.agola.amounts import duration_of, quantity_of
from sluiceway_common.runconfig.agola.yaml_1_1 import text_of
from sluiceway_common.runconfig.documents import Document
from sluiceway_common.runconfig.model import (
    Config,
    Container,
    RegistryAuth,
    Run,
    Runtime,
    Task,
    Tmpfs,
    Volume,
)
from sluiceway_common.runconfig.problems import DocumentPath, Problem, format_path, quoted
from sluiceway_common.runconfig.step_model import STEP_MODELS, ArchiveContents
from sluiceway_common.runconfig.values import Model, Value
from sluiceway_common.runconfig.when_model import RefRules, When

# Set in tasks there. Here the deploy key reaches `clone` steps only.
_NOT_SET: Final = ("AGOLA_SSHPRIVKEY", "AGOLA_SSHHOSTKEY", "AGOLA_SKIPSSHHOSTKEYCHECK")
_ABSENT: Final = object()
_NO_LIMIT: Final = durations.MAX_DURATION
_NAME_FOR_SHELLS: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# An expression that matches no branch.
_NEVER: Final[dict[str, Any]] = {"branch": {"include": ["/.^/"]}}

_Change = Callable[["_Adapting", Any, DocumentPath], Any]


def adapted(document: Document) -> Document:
    """Return the document in the form of the strict model, with a warning for each thing left out or chosen."""
    adapting = _Adapting(document)
    value = _config(adapting, document.value, ())
    return _Adapted(value, document, adapting.original, (*document.warnings, *adapting.warnings))


class _Adapted(Document):
    """A changed document, whose places are those of the original one."""

    def __init__(
        self,
        value: Any,
        source: Document,
        original: Callable[[DocumentPath], DocumentPath],
        warnings: tuple[Problem, ...],
    ) -> None:
        super().__init__(value, warnings=warnings)
        self._source = source
        self._original = original

    def position(self, path: DocumentPath) -> tuple[int, int] | None:
        return self._source.position(self._original(path))

    def written_path(self, path: DocumentPath) -> DocumentPath:
        return self._original(path)

    def elsewhere(self, path: DocumentPath) -> str:
        return self._source.elsewhere(self._original(path))

    def written(self, path: DocumentPath) -> str | None:
        return self._source.written(self._original(path))


class _Adapting:
    """The warnings so far, and the keys and indexes that were changed."""

    def __init__(self, document: Document) -> None:
        self.warnings: list[Problem] = []
        self._document = document
        self._before: dict[DocumentPath, tuple[str | int, ...]] = {}

    def moved(self, path: DocumentPath, *before: str | int) -> None:
        """Note that what is at `path` was at `before`, from the same map or list."""
        if before != path[-1:]:
            self._before[path] = before

    def original(self, path: DocumentPath) -> DocumentPath:
        """Return the path in the original document."""
        found: tuple[str | int, ...] = ()
        for length in range(1, len(path) + 1):
            found += self._before.get(path[:length], path[length - 1 : length])
        return found

    def warn(self, path: DocumentPath, message: str) -> None:
        """Add a warning about what is at `path`, of the changed document."""
        before = self.original(path)
        line, column = self._document.position(before) or (None, None)
        self.warnings.append(Problem(format_path(before), line, column, message))


def _struct(model: type[Model], fields: Mapping[str, _Change]) -> _Change:
    """Make the change of a map with the fields of a model: keys in any case, others left out."""
    known = {**dict.fromkeys(model.model_fields, _same), **fields}
    folded = {name.lower(): name for name in known}

    def change(adapting: _Adapting, value: Any, path: DocumentPath) -> Any:
        if not isinstance(value, dict):
            return value
        made: dict[str, Any] = {}
        for key, child in value.items():
            name = key if key in known else folded.get(key.lower())
            if name is None:
                adapting.warn((*path, key), f"unknown field {quoted(key)}: passed over, as in Agola")
                continue
            adapting.moved((*path, name), key)
            if name != key:
                adapting.warn((*path, name), f"{quoted(key)} is taken for `{name}`, as in Agola")
            changed = known[name](adapting, child, (*path, name))
            if changed is _ABSENT:
                made.pop(name, None)
            else:
                made[name] = changed
        return made

    return change


def _each(change: _Change) -> _Change:
    """Make the change of a list; an absent entry is left out."""

    def change_list(adapting: _Adapting, value: Any, path: DocumentPath) -> Any:
        if not isinstance(value, list):
            return value
        made: list[Any] = []
        for index, child in enumerate(value):
            place = (*path, len(made))
            adapting.moved(place, index)
            changed = change(adapting, child, place)
            if changed is not _ABSENT:
                made.append(changed)
        return made

    return change_list


def _values(change: _Change) -> _Change:
    """Make the change of a map with keys of the user's."""

    def change_map(adapting: _Adapting, value: Any, path: DocumentPath) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: change(adapting, child, (*path, key)) for key, child in value.items()}

    return change_map


def _same(_adapting: _Adapting, value: Any, _path: DocumentPath) -> Any:
    return value


def _text(adapting: _Adapting, value: Any, path: DocumentPath) -> Any:
    text = text_of(value)
    if text is None:
        return value
    adapting.warn(path, f"this is taken as the text {quoted(text)}, as in Agola")
    return text


def _text_or_absent(adapting: _Adapting, value: Any, path: DocumentPath) -> Any:
    return _ABSENT if value == "" else _text(adapting, value, path)


def _name(adapting: _Adapting, value: Any, path: DocumentPath) -> Any:
    text = _text(adapting, value, path)
    return _stripped(adapting, text, path) if isinstance(text, str) else text


def _stripped(adapting: _Adapting, text: str, path: DocumentPath) -> str:
    name = text.strip()
    if name and name != text:
        adapting.warn(path, "the spaces at the ends of the name are left out")
    return name


def _step_name(adapting: _Adapting, value: Any, path: DocumentPath) -> Any:
    if not isinstance(value, str):
        return value
    name = _stripped(adapting, value, path)
    if not name:
        adapting.warn(path, "an empty name: the step is named after its command, as in Agola")
        return _ABSENT
    if len(name) > MAX_NAME:
        adapting.warn(path, f"a name of {len(name)} characters is shortened to {MAX_NAME}")
        name = name[: MAX_NAME - 1].rstrip() + "…"
    return name


def _duration(adapting: _Adapting, value: Any, path: DocumentPath) -> Any:
    nanoseconds = duration_of(value) if isinstance(value, str) else value
    if isinstance(nanoseconds, bool) or not isinstance(nanoseconds, int | float):
        return value
    if nanoseconds == 0:
        adapting.warn(path, "a timeout of 0 is none, as in Agola")
        return _NO_LIMIT
    return int(nanoseconds)


def _approval(adapting: _Adapting, value: Any, path: DocumentPath) -> Any:
    if value is not True:
        return value
    adapting.warn(path, "the approval is waited for without a limit of time, as in Agola")
    return {"timeout": _NO_LIMIT}


def _size(adapting: _Adapting, value: Any, path: DocumentPath) -> Any:
    size = quantity_of(value)
    if size == 0:
        adapting.warn(path, "a size of 0 is no limit, as in Agola")
        return _ABSENT
    return value if size is None else size


def _variable(adapting: _Adapting, value: Any, path: DocumentPath) -> Any:
    if not isinstance(value, dict) or "from_variable" not in value:
        return value
    for key in value:
        if key not in Value.model_fields:
            adapting.warn((*path, key), f"unknown field {quoted(key)}: passed over, as in Agola")
    return {"from_variable": value["from_variable"]}


def _environment(adapting: _Adapting, value: Any, path: DocumentPath) -> Any:
    if not isinstance(value, dict):
        return value
    for name in value:
        if not _NAME_FOR_SHELLS.match(name):
            adapting.warn((*path, name), "shells cannot read a variable of this name")
    return _values(_variable)(adapting, value, path)


def _registry(adapting: _Adapting, value: Any, path: DocumentPath) -> Any:
    changed = _REGISTRY(adapting, value, path)
    if isinstance(changed, dict) and "username" in changed and "password" not in changed and "auth" not in changed:
        adapting.warn(path, "a user without a password: the password is empty, as in Agola")
        return {**changed, "password": ""}
    return changed


_REGISTRY: Final = _struct(
    RegistryAuth,
    {"type": _text_or_absent, "username": _variable, "password": _variable, "auth": _variable},
)


# When


def _when(adapting: _Adapting, value: Any, path: DocumentPath) -> Any:
    changed = _WHEN(adapting, value, path)
    if not isinstance(changed, dict) or any(rules is not None for rules in changed.values()):
        return changed
    adapting.warn(
        path, "a `when` without a condition never applies, as in Agola; leave it out if it is to apply always"
    )
    return _NEVER


def _rules(adapting: _Adapting, value: Any, path: DocumentPath) -> Any:
    if isinstance(value, dict):
        return _struct(RefRules, {"include": _rule_texts, "exclude": _rule_texts})(adapting, value, path)
    return {"include": _rule_texts(adapting, value, path)} if isinstance(value, str | list) else value


def _rule_texts(adapting: _Adapting, value: Any, path: DocumentPath) -> Any:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or "" not in texts:
        return texts
    adapting.warn(path, "an empty text matches nothing")
    return [text for text in texts if text != ""]


_WHEN: Final = _struct(When, dict.fromkeys(When.model_fields, _rules))


# Steps


def _step(adapting: _Adapting, value: Any, path: DocumentPath) -> Any:
    if not isinstance(value, dict):
        return value
    if "type" in value:
        kind = value["type"]
        return _STEPS[kind](adapting, value, path) if kind in STEP_MODELS else value
    ((kind, body), *others) = value.items() or (("", None),)
    if others or kind not in STEP_MODELS:
        return value
    if isinstance(body, str) and kind == "run":
        adapting.moved((*path, "command"), "run")
        return _STEPS[kind](adapting, {"type": kind, "command": body}, path)
    if body is None:
        body = {}
    changed = _STEPS[kind](adapting, body, (*path, kind))
    return changed if changed is _ABSENT else {kind: changed}


def _run_step(adapting: _Adapting, value: Any, path: DocumentPath) -> Any:
    changed = _RUN_STEP(adapting, value, path)
    if not isinstance(changed, dict):
        return changed
    command = changed.get("command")
    for name in _NOT_SET:
        if isinstance(command, str) and name in command:
            adapting.warn((*path, "command"), f"{name} is not set: the deploy key reaches `clone` steps only")
    return {"tty": True, **changed}


def _save_step(kind: str) -> _Change:
    fields = _struct(STEP_MODELS[kind], {**_STEP_FIELDS, "contents": _each(_CONTENTS)})

    def change(adapting: _Adapting, value: Any, path: DocumentPath) -> Any:
        changed = fields(adapting, value, path)
        if isinstance(changed, dict) and not changed.get("contents"):
            adapting.warn(path, f"a `{kind}` step without `contents` saves nothing, and is left out")
            return _ABSENT
        return changed

    return change


def _step_when(adapting: _Adapting, _value: Any, path: DocumentPath) -> Any:
    adapting.warn(path, "the `when` of a step is passed over, as in Agola")
    return _ABSENT


_STEP_FIELDS: Final[dict[str, _Change]] = {"name": _step_name, "when": _step_when}
_CONTENTS: Final = _struct(ArchiveContents, {"dest_dir": _text_or_absent})
_RUN_STEP: Final = _struct(STEP_MODELS["run"], {**_STEP_FIELDS, "environment": _environment})
_STEPS: Final[dict[str, _Change]] = {
    **{kind: _struct(model, _STEP_FIELDS) for kind, model in STEP_MODELS.items()},
    "run": _run_step,
    "save_to_workspace": _save_step("save_to_workspace"),
    "save_cache": _save_step("save_cache"),
    # Agola has no artifacts: here the name is the artifact's, and must be there.
    "save_artifacts": _struct(STEP_MODELS["save_artifacts"], {}),
}


# Tasks and runs


def _depend(adapting: _Adapting, value: Any, path: DocumentPath) -> Any:
    if isinstance(value, str):
        return value.strip()
    if not isinstance(value, dict):
        return value
    if "task" in value:
        task, conditions = value["task"], value.get("conditions")
        where: DocumentPath = ("conditions",)
    elif len(value) == 1:
        ((task, conditions),) = value.items()
        where = (task,)
    else:
        return value
    adapting.moved((*path, "task"), where[0] if where != ("conditions",) else "task")
    adapting.moved((*path, "conditions"), *where)
    made = {"task": task.strip() if isinstance(task, str) else task}
    if not conditions:
        adapting.warn((*path, "conditions"), "no conditions: `on_success` holds, as in Agola")
        return made
    if isinstance(conditions, list) and all(isinstance(each, str) for each in conditions):
        once = list(dict.fromkeys(conditions))
        if once != conditions:
            adapting.warn((*path, "conditions"), "a condition that is there twice counts once")
        conditions = once
    return {**made, "conditions": conditions}


_VOLUME: Final = _struct(Volume, {"path": _text, "tmpfs": _struct(Tmpfs, {"size": _size})})
_CONTAINER: Final = _struct(
    Container,
    {
        "image": _text,
        "user": _text,
        "entrypoint": _text,
        "environment": _environment,
        "volumes": _each(_VOLUME),
    },
)
_RUNTIME: Final = _struct(
    Runtime,
    {"type": _text_or_absent, "arch": _text_or_absent, "containers": _each(_CONTAINER)},
)
_TASK: Final = _struct(
    Task,
    {
        "name": _name,
        "runtime": _RUNTIME,
        "environment": _environment,
        "working_dir": _text,
        "shell": _text,
        "user": _text,
        "steps": _each(_step),
        "depends": _each(_depend),
        "approval": _approval,
        "when": _when,
        "docker_registries_auth": _values(_registry),
        "task_timeout_interval": _duration,
    },
)
_RUN: Final = _struct(
    Run,
    {
        "name": _name,
        "tasks": _each(_TASK),
        "when": _when,
        "docker_registries_auth": _values(_registry),
        "task_timeout_interval": _duration,
    },
)
_CONFIG: Final = _struct(
    Config,
    {"runs": _each(_RUN), "docker_registries_auth": _values(_registry), "task_timeout_interval": _duration},
)


def _config(adapting: _Adapting, value: Any, path: DocumentPath) -> Any:
    changed = _CONFIG(adapting, value, path)
    if not isinstance(changed, dict) or changed.get("task_timeout_interval") is not None:
        return changed
    adapting.warn(path, "tasks without a `task_timeout_interval` have no timeout, as in Agola")
    return {**changed, "task_timeout_interval": _NO_LIMIT}
