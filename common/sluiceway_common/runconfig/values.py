"""The types of the fields of a configuration: names, paths, durations, amounts, values from variables.

Each has its validator, its own message, and its JSON Schema where pydantic cannot derive it. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from sluiceway_common.foundation.locations import absolute_path_fault, inner_path_fault
from sluiceway_common.foundation.texts import (
    MAX_NAME,
    audience_fault,
    command_fault,
    foreign_fault,
    id_token_name_fault,
    lines_fault,
    name_fault,
    nul_fault,
    variable_name_fault,
)
from sluiceway_common.runconfig import durations, quantities, shells
from sluiceway_common.runconfig.problems import DocumentPath, describe_type, did_you_mean, quoted

__all__ = [
    "MAX_NAME",
    "AbsolutePath",
    "AnyValue",
    "Arch",
    "Audience",
    "Bytes",
    "CacheKey",
    "Command",
    "CpuMillis",
    "DownwardPath",
    "Duration",
    "Environment",
    "FilledText",
    "IdTokenName",
    "InsidePath",
    "Model",
    "Name",
    "Port",
    "Priority",
    "Shell",
    "Text",
    "Value",
    "choice",
    "fault",
    "filled",
    "without_nulls",
]

MAX_CACHE_KEY: Final = 200


def fault(message: str, *, at: DocumentPath = (), unquoted: object = None) -> PydanticCustomError:
    """Make a validation error whose message is shown unchanged.

    Args:
        message: what is wrong.
        at: the path from the validated value to the wrong one.
        unquoted: the wrong value, if a string is allowed in its place: for a number or a boolean, the message says how
            to quote it.
    """
    context: dict[str, Any] = {"message": message}
    if at:
        context["at"] = at
    if unquoted is not None:
        context["unquoted"] = unquoted
    return PydanticCustomError("fault", "{message}", context)


class Model(BaseModel):
    """The base of all models: no conversion of types, no unknown fields, no changes."""

    # Built when first used, and so once as part of `Config`: built one by one, they take a command 20 ms more (B9).
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        return without_nulls(data, cls.model_fields)


def without_nulls(value: Any, known: Container[str] | None = None) -> Any:
    """Leave out the entries of a map that are null: a null is an absent field (run-config.md).

    With `known`, only entries of these names: an unknown field stays one.
    """
    if isinstance(value, dict) and None in value.values():
        return {k: v for k, v in value.items() if v is not None or not (known is None or k in known)}
    return value


# The messages for a text that is empty, too long, or has a NUL do not quote it.
_ALONE: Final = ("must not be empty", "must not hold", "can have")


def _checked(fault_of: Callable[[str], str | None]) -> Callable[[str], str]:
    """Make a validator from a rule that the server has too."""

    def check(value: str) -> str:
        found = fault_of(value)
        if found is not None:
            raise fault(found if found.startswith(_ALONE) else f"{quoted(value)} {found}")
        return value

    return check


def _filled_fault(value: str) -> str | None:
    return foreign_fault(value) if value.strip() else "must not be empty"


def _cache_key(value: str) -> str:
    if len(value) > MAX_CACHE_KEY:
        raise fault(f"a cache key can have at most {MAX_CACHE_KEY} characters, not {len(value)}")
    return filled(value)


def _shell_fault(value: str) -> str | None:
    if value:
        try:
            shells.split_shell(value)
        except ValueError as cause:
            return str(cause)
    return lines_fault(value)


_name = _checked(name_fault)
_no_nul = _checked(nul_fault)
filled = _checked(_filled_fault)
"""Check that a text is not blank, and can be shown."""


T = TypeVar("T", bound=StrEnum)


def choice(choices: type[T], what: str) -> Callable[[Any], T]:
    """Make a validator for the words of an enum, which strict pydantic does not take as strings."""
    known = [c.value for c in choices]

    def parse(value: Any) -> T:
        if isinstance(value, choices):
            return value
        if not isinstance(value, str):
            raise fault(f"must be a {what} ({', '.join(known)}), not {describe_type(value)}")
        if value not in known:
            hint = did_you_mean(value, known) or f"; there are {', '.join(known)}"
            raise fault(f"unknown {what} {quoted(value)}{hint}")
        return choices(value)

    return parse


def _by(parse: Callable[[Any], int]) -> Callable[[Any], int]:
    """Make a validator from a function that raises ValueError with a message for people."""

    def validate(value: Any) -> int:
        try:
            return parse(value)
        except ValueError as cause:
            raise fault(f"{quoted(value)} {cause}" if str(cause).startswith("is ") else str(cause)) from cause

    return validate


def _arch(value: Any) -> Any:
    known = ("amd64", "arm64", "arm", "386")
    if not isinstance(value, str):
        raise fault(f"must be {', '.join(known[:-1])} or {known[-1]}, not {describe_type(value)}", unquoted=value)
    if value not in known:
        raise fault(f"unknown arch {quoted(value)}{did_you_mean(value, known) or '; there are ' + ', '.join(known)}")
    return value


_DURATION_SCHEMA: Final = {
    "description": 'Such as "10s", "1h30m", "7d"; or an integer of nanoseconds.',
    "anyOf": [
        {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(ms|us|µs|ns|d|h|m|s))+$"},
        {"type": "integer", "exclusiveMinimum": 0},
    ],
}
_BYTES_SCHEMA: Final = {
    "description": 'Such as "512Mi" or "1G"; or an integer of bytes.',
    "anyOf": [{"type": "string"}, {"type": "integer", "exclusiveMinimum": 0}],
}
_CPU_SCHEMA: Final = {
    "description": 'Such as "500m", 0.5 or 2.',
    "anyOf": [{"type": "string"}, {"type": "number", "exclusiveMinimum": 0}],
}

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_name)]
Text = Annotated[str, AfterValidator(_checked(lines_fault))]
Command = Annotated[str, Field(min_length=1), AfterValidator(_checked(command_fault))]
Shell = Annotated[str, AfterValidator(_checked(_shell_fault))]
FilledText = Annotated[str, Field(min_length=1), AfterValidator(filled)]
AbsolutePath = Annotated[str, AfterValidator(_checked(absolute_path_fault))]
InsidePath = Annotated[str, AfterValidator(_checked(inner_path_fault))]
DownwardPath = Annotated[str, AfterValidator(_checked(partial(inner_path_fault, downward=True)))]
Audience = Annotated[str, AfterValidator(_checked(audience_fault))]
IdTokenName = Annotated[str, AfterValidator(_checked(id_token_name_fault))]
CacheKey = Annotated[str, Field(min_length=1), AfterValidator(_cache_key)]
Duration = Annotated[int, BeforeValidator(_by(durations.parse_duration)), WithJsonSchema(_DURATION_SCHEMA)]
Bytes = Annotated[int, BeforeValidator(_by(quantities.parse_bytes)), WithJsonSchema(_BYTES_SCHEMA)]
CpuMillis = Annotated[int, BeforeValidator(_by(quantities.parse_cpu_millis)), WithJsonSchema(_CPU_SCHEMA)]
Arch = Annotated[Literal["amd64", "arm64", "arm", "386"], BeforeValidator(_arch)]
Priority = Annotated[int, Field(ge=-10, le=10)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Value(Model):
    """A value that may come from a variable; exactly one of the two is set."""

    text: str | None = None
    from_variable: str | None = None


def _value(value: Any) -> Any:
    if isinstance(value, Value):
        return value
    if isinstance(value, str):
        return Value(text=_no_nul(value))
    if isinstance(value, dict):
        return _value_of_variable(without_nulls(value, Value.model_fields))
    if isinstance(value, bool | int | float):
        raise fault(f"must be a string, not {describe_type(value)}", unquoted=value)
    raise fault(f"must be a string or {{from_variable: NAME}}, not {describe_type(value)}")


def _value_of_variable(value: dict[str, Any]) -> Value:
    if list(value) != ["from_variable"]:
        raise fault("must be a string or {from_variable: NAME}, with nothing else in it")
    name = value["from_variable"]
    if not isinstance(name, str):
        raise fault(f"must be a string, not {describe_type(name)}", at=("from_variable",), unquoted=name)
    try:
        return Value(from_variable=_name(name))
    except PydanticCustomError as error:
        raise fault(error.message(), at=("from_variable",)) from error


_VALUE_SCHEMA: Final = {
    "description": "A string, or the name of a variable of the project.",
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {"from_variable": {"type": "string", "minLength": 1}},
            "required": ["from_variable"],
            "additionalProperties": False,
        },
    ],
}
AnyValue = Annotated[Value, BeforeValidator(_value), WithJsonSchema(_VALUE_SCHEMA)]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")


def _variable_name(value: str, info: ValidationInfo) -> str:
    """Check the name of a variable; with `any_variable_name` in the context, it may be any that a process can have."""
    found = variable_name_fault(value)
    if found is None and not (info.context or {}).get("any_variable_name") and not _VARIABLE.match(value):
        found = "is not the name of an environment variable"
    if found is not None:
        raise fault(f"{quoted(value)} {found}")
    return value


Environment = Annotated[
    dict[Annotated[str, AfterValidator(_variable_name)], AnyValue],
    BeforeValidator(without_nulls),
    Field(default_factory=dict),
]
