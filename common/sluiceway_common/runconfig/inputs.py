"""The inputs of a run: what a declaration and a value must be, and the values that a run gets.

A value is text wherever it is sent or stored, as in a form: `production`, `3`, `true`. Its type says which texts are
allowed, and what jsonnet gets for it in `ctx.inputs`. An input without a value has its default; without a default, the
empty string, 0, false or the first option. A `required` input without a default must get a value that is not empty.
Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from math import isfinite
from typing import Any, Final

import re2

from sluiceway.api.run.v1 import definition_pb2 as api
from sluiceway_common.foundation.errors import Violation
from sluiceway_common.foundation.texts import line_fault, lines_fault, shown
from sluiceway_common.runconfig.problems import did_you_mean, quoted

MAX_INPUTS: Final = 50
"""Of one run."""
MAX_OPTIONS: Final = 200
MAX_VALUE: Final = 4_096
"""Characters of a value."""
MAX_BYTES: Final = 64 * 1024
"""Of all declarations and values of a run."""
MAX_DESCRIPTION: Final = 1_000
VARIABLE_PREFIX: Final = "SLUICE_INPUT_"
NEVER_VALID: Final = "\0"
"""Stands for a default of another type: no value may hold it."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")
_BOOLEANS: Final = ("true", "false")


class InputType(StrEnum):
    """The type of an input."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    CHOICE = "choice"


_TYPES: Final = {
    api.INPUT_TYPE_STRING: InputType.STRING,
    api.INPUT_TYPE_NUMBER: InputType.NUMBER,
    api.INPUT_TYPE_BOOLEAN: InputType.BOOLEAN,
    api.INPUT_TYPE_CHOICE: InputType.CHOICE,
}


def name_fault(name: str) -> str | None:
    """Return why a name is not one of an input."""
    if _NAME.fullmatch(name):
        return None
    return "is no name of an input: a lower-case letter, then at most 49 lower-case letters, digits and underscores"


def pattern_fault(pattern: str) -> str | None:
    """Return why a pattern cannot be used."""
    if re.search(r"\(\?<?[=!]", pattern):
        return "is not a regular expression of RE2: look-around is not supported, since matching takes linear time"
    try:
        _compiled(pattern)
    except re2.error as cause:
        detail = cause.args[0]
        text = detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
        return f"is not a regular expression of RE2: {text}"
    return None


def is_of_type(type_: InputType, value: object) -> bool:
    """Return whether a value of a document has the type of an input."""
    if type_ is InputType.BOOLEAN:
        return isinstance(value, bool)
    if type_ is InputType.NUMBER:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str)


def as_text(value: str | float) -> str:
    """Return a value of a document as text."""
    if isinstance(value, bool):
        return _BOOLEANS[0] if value else _BOOLEANS[1]
    # jsonnet and JSON have one type of numbers: 3.0 is 3.
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else str(value)


def declaration_fault(declared: api.Input) -> tuple[str, str] | None:
    """Return what is wrong with a declaration but for its name: the field, and why; None: nothing is."""
    type_ = _TYPES.get(declared.type)
    if type_ is None:
        return "type", f"must be a type ({', '.join(InputType)})"
    found = line_fault(declared.description, most=MAX_DESCRIPTION)
    if found is not None:
        return "description", found
    if type_ is InputType.CHOICE and not declared.options:
        return "", "type choice needs `options`"
    if type_ is not InputType.CHOICE and declared.options:
        return "options", f"only an input of type choice has options, not one of type {type_}"
    if type_ is not InputType.STRING and declared.pattern:
        return "pattern", f"only an input of type string has a pattern, not one of type {type_}"
    options = list(declared.options)
    if len(set(options)) < len(options):
        double = next(option for place, option in enumerate(options) if option in options[:place])
        return "options", f"{quoted(double)} is there twice"
    for option in options:
        found = "an option must not be empty" if not option else _text_fault(option)
        if found is not None:
            return "options", found
    if declared.pattern and (found := pattern_fault(declared.pattern)) is not None:
        return "pattern", f"{quoted(declared.pattern)} {found}"
    if declared.HasField("default_value"):
        found = value_fault(declared, declared.default_value)
        if found is not None:
            return "default", found
    return None


def value_fault(declared: api.Input, text: str) -> str | None:
    """Return why a text is no value of an input of a valid declaration; None: it is one."""
    if text == NEVER_VALID:
        words = {InputType.BOOLEAN: "true or false", InputType.NUMBER: "a number"}
        return f"must be {words.get(_TYPES[declared.type], 'a string')}"
    found = _text_fault(text)
    if found is not None:
        return found
    match _TYPES[declared.type]:
        case InputType.NUMBER:
            is_number = _NUMBER.fullmatch(text) is not None and isfinite(float(text))
            return None if is_number else f"must be a number, not {quoted(text)}"
        case InputType.BOOLEAN:
            return None if text in _BOOLEANS else f"must be true or false, not {quoted(text)}"
        case InputType.CHOICE:
            if text in declared.options:
                return None
            options = ", ".join(quoted(option) for option in declared.options[:10])
            return f"must be one of {options}, not {quoted(text)}{did_you_mean(text, declared.options)}"
        case _:
            # An input that nobody has to give a value may be empty, whatever its pattern says.
            if (
                not declared.pattern
                or (not text and not declared.required)
                or _compiled(declared.pattern).fullmatch(text)
            ):
                return None
            return f"must match the pattern {quoted(declared.pattern)}, which {quoted(text)} does not"


def is_missing(declared: api.Input, given: Mapping[str, str]) -> bool:
    """Return whether an input has to get a value, and does not."""
    is_needed = declared.required and not declared.HasField("default_value")
    return is_needed and not given.get(declared.name)


def value_of(declared: api.Input, given: Mapping[str, str]) -> str:
    """Return the value of an input: what was given, or its default, or the empty string, 0, false or first option."""
    text = given.get(declared.name)
    if text is not None and value_fault(declared, text) is None:
        return text
    if declared.HasField("default_value"):
        return declared.default_value
    match _TYPES[declared.type]:
        case InputType.NUMBER:
            return "0"
        case InputType.BOOLEAN:
            return "false"
        case InputType.CHOICE:
            return declared.options[0]
        case _:
            return ""


def typed(declared: api.Input, text: str) -> str | float | bool:
    """Return a valid value as jsonnet gets it."""
    if declared.type == api.INPUT_TYPE_BOOLEAN:
        return text == _BOOLEANS[0]
    if declared.type == api.INPUT_TYPE_NUMBER:
        return int(text) if re.fullmatch(r"-?[0-9]+", text) else float(text)
    return text


def input_faults(
    runs: Iterable[Iterable[api.Input]], given: Mapping[str, str], *, are_all_needed: bool = True
) -> list[Violation]:
    """Return the faults of values that are given to some runs of a configuration, by the names of inputs.

    Args:
        runs: the inputs that each run declares.
        given: the values; each must be declared by one of the runs.
        are_all_needed: whether an input that has to get a value, and does not, is a fault.
    """
    declared: dict[str, api.Input] = {}
    for run in runs:
        declared |= {each.name: each for each in run}
    found = []
    for name in sorted(given):
        if name not in declared:
            hint = did_you_mean(name, declared) or (f"; there are {', '.join(declared)}" if declared else "")
            message = f"the run has no such input{hint}" if declared else "the run declares no inputs"
        else:
            message = value_fault(declared[name], given[name]) or ""
        if message:
            found.append(Violation(path_of(name), message))
    if are_all_needed:
        wrong = {violation.path for violation in found}
        found += [
            Violation(path_of(name), "a value is required: it has no default")
            for name, each in declared.items()
            if is_missing(each, given) and path_of(name) not in wrong
        ]
    return found


def path_of(name: str) -> str:
    """Return the path of the value of an input in a request."""
    return f'inputs["{shown(name, most=100)}"]'


def with_values(declared: Iterable[api.Input], given: Mapping[str, str]) -> tuple[api.Input, ...]:
    """Return inputs with their values."""
    made = []
    for each in declared:
        one = api.Input()
        one.CopyFrom(each)
        one.value = value_of(each, given)
        made.append(one)
    return tuple(made)


def input_variables(inputs: Iterable[api.Input]) -> dict[str, str]:
    """Return the environment variables of inputs with values."""
    return {variable_of(each.name): each.value for each in inputs}


def variable_of(name: str) -> str:
    """Return the environment variable of an input."""
    return f"{VARIABLE_PREFIX}{name.upper()}"


def message_faults(path: str, inputs: Iterable[api.Input]) -> list[Violation]:
    """Return the faults of the declarations and values of a request that creates a run."""
    found: list[Violation] = []
    names: set[str] = set()
    size = 0
    for index, each in enumerate(inputs):
        where = f"{path}[{index}]"
        size += each.ByteSize()
        fault = name_fault(each.name)
        if fault is None and each.name in names:
            fault = "another input has this name"
        names.add(each.name)
        if fault is not None:
            found.append(Violation(f"{where}.name", fault))
        declared = declaration_fault(each)
        if declared is not None:
            field = {"default": "default_value"}.get(declared[0], declared[0])
            found.append(Violation(f"{where}.{field}" if field else where, declared[1]))
        elif each.HasField("value"):
            given = {each.name: each.value}
            fault = "a value is required" if is_missing(each, given) else value_fault(each, each.value)
            if fault is not None:
                found.append(Violation(f"{where}.value", fault))
        elif is_missing(each, {}):
            found.append(Violation(f"{where}.value", "a value is required: it has no default"))
    if size > MAX_BYTES:
        return [Violation(path, f"they have {size} bytes; at most {MAX_BYTES} are allowed")]
    return found


def _text_fault(text: str) -> str | None:
    if len(text) > MAX_VALUE:
        return f"can have at most {MAX_VALUE} characters, not {len(text)}"
    return lines_fault(text)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    return re2.compile(pattern, options)
