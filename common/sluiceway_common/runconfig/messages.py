"""The errors of pydantic, with our messages, and with paths in the document as written. Pure."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from sluiceway_common.runconfig import input_model, model, step_model, when_model
from sluiceway_common.runconfig.documents import Document
from sluiceway_common.runconfig.model import Config
from sluiceway_common.runconfig.problems import DocumentPath, boolean_word, describe_type, did_you_mean, quoted

# Which model a map is, by the last name on the way to it; `docker_registries_auth` has names of its own between.
_MODEL_BY_FIELD: Final[dict[str, type[BaseModel]]] = {
    "runs": model.Run,
    "tasks": model.Task,
    "runtime": model.Runtime,
    "containers": model.Container,
    "volumes": model.Volume,
    "tmpfs": model.Tmpfs,
    "resources": model.Resources,
    "ready": model.Ready,
    "when": when_model.When,
    "branch": when_model.RefRules,
    "tag": when_model.RefRules,
    "ref": when_model.RefRules,
    "paths": when_model.RefRules,
    "contents": step_model.ArchiveContents,
    "depends": model.Depend,
    "approval": model.Approval,
    "retry": model.Retry,
    "inputs": input_model.Input,
    **step_model.STEP_MODELS,
}


def describe_fault(detail: Any, document: Document) -> tuple[DocumentPath, str]:
    """Return where a fault is in the document, and what is wrong there.

    Args:
        detail: one of the `errors()` of pydantic's ValidationError.
        document: what was validated.
    """
    location: tuple[str | int, ...] = detail["loc"]
    path = (*_document_path(location, document.value), *detail.get("ctx", {}).get("at", ()))
    return path, _message(detail, location, document.written(path))


def _document_path(location: tuple[str | int, ...], document: Any) -> DocumentPath:
    """Translate a location of pydantic to a path in the document as written.

    The location has parts that a short form does not have (a step's tag, the `include` of a rule); they are left out.
    """
    path: list[str | int] = []
    node = document
    last = len(location) - 1
    for index, part in enumerate(location):
        if isinstance(node, dict) and isinstance(part, str):
            if part in node:
                node = node[part]
            elif index != last or part == "[key]":
                continue
        elif isinstance(node, list) and isinstance(part, int):
            if part >= len(node):
                continue
            node = node[part]
        else:
            continue
        path.append(part)
    return tuple(path)


def _message(detail: Any, location: tuple[str | int, ...], written: str | None) -> str:
    kind: str = detail["type"]
    given = detail["input"]
    limits: dict[str, Any] = detail.get("ctx", {})
    if kind == "fault":
        hint = _quote_hint(limits["unquoted"], written) if "unquoted" in limits else ""
        return f"{limits['message']}{hint}"
    if kind == "missing":
        return f"`{location[-1]}` is required"
    if kind == "extra_forbidden":
        name = str(location[-1])
        known = [n for n in _model_at(location[:-1]).model_fields if n != "type" or name != "type"]
        return f"unknown field `{_shown(name)}`{did_you_mean(name, known)}"
    if kind == "string_type":
        return f"must be a string, not {describe_type(given)}{_quote_hint(given, written)}"
    if kind in {"int_type", "int_from_float"} and isinstance(given, float):
        return f"must be an integer, not {_number(given, written)}"
    if kind == "bool_type" and isinstance(given, str) and boolean_word(given):
        return f"must be true or false, not {quoted(given)}: write {boolean_word(given)}"
    if kind in _WANTED:
        return f"must be {_WANTED[kind]}, not {describe_type(given)}"
    if kind in {"string_too_short", "too_short"}:
        return "must not be empty"
    if kind == "string_too_long":
        return f"can have at most {limits['max_length']} characters, not {len(given)}"
    if kind == "too_long":
        return f"can have at most {limits['max_length']:,} entries, not {len(given):,}"
    if kind == "greater_than_equal":
        return f"must be at least {limits['ge']}, not {_number(given, written)}"
    if kind == "less_than_equal":
        return f"must be at most {limits['le']}, not {_number(given, written)}"
    if kind == "literal_error":
        shown = quoted(given) if isinstance(given, str) else describe_type(given)
        return f"must be {limits['expected']}, not {shown}{_quote_hint(given, written)}"
    return str(detail["msg"])


_WANTED: Final = {
    "list_type": "a list",
    "dict_type": "a map",
    "model_type": "a map",
    "model_attributes_type": "a map",
    "bool_type": "true or false",
    "int_type": "an integer",
    "int_from_float": "an integer",
}


def _model_at(location: tuple[str | int, ...]) -> type[BaseModel]:
    names = [part for part in location if isinstance(part, str)]
    if len(names) >= 2 and names[-2] == "docker_registries_auth":
        return model.RegistryAuth
    if len(names) >= 2 and names[-2] == "inputs":
        return when_model.RefRules if "when" in names else input_model.Input
    return _MODEL_BY_FIELD.get(names[-1], Config) if names else Config


def _shown(name: str) -> str:
    return quoted(name)[1:-1]


def _quote_hint(given: object, written: str | None) -> str:
    """Return how to write as a string what was read as a number or a boolean; empty for other values.

    A number has many spellings (3.10, 0644, 0x1F, 1e3), so the text cannot be derived from its value.
    """
    if given is None and written:
        return f'; quote it if it is text: "{written}"'
    if not isinstance(given, bool | int | float):
        return ""
    if written is not None:
        return f'; quote it: "{written}"'
    return f"; quote it (jsonnet gives {_as_text(given)})"


def _number(given: object, written: str | None) -> str:
    return written if written is not None else _as_text(given)


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)[:60]
