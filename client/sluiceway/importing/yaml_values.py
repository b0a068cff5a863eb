"""Reads YAML of other CI systems into plain values.

Scalars keep their text: `3.10` is "3.10", and a port is "5432". Only a plain `true` or `false` is a boolean, and an
empty scalar or `null` None. `on` is a text. Merge keys are followed, and GitLab's `!reference` is a `Reference`.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, TypeAlias

import yaml

from sluiceway_common.foundation.errors import InvalidInput

Value: TypeAlias = "str | bool | list[Value] | dict[str, Value] | Reference | None"
"""What a file consists of."""

MAX_BYTES: Final = 1 << 20
_MAX_NODES: Final = 100_000
_MAX_DEPTH: Final = 64
_CONSTANTS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(frozen=True, slots=True)
class Reference:
    """GitLab's `!reference [job, key]`.

    Attributes:
        path: the keys that lead to what is meant.
    """

    path: tuple[str, ...]


def read_yaml(source: bytes, name: str) -> dict[str, Value]:
    """Return the mapping that a file consists of.

    Raises:
        InvalidInput: it is no YAML, no mapping, or exceeds a limit; the message has the name, and the place.
    """
    if len(source) > MAX_BYTES:
        raise InvalidInput(f"{name} has more than {MAX_BYTES >> 20} MiB")
    try:
        node = yaml.compose(source.decode(), Loader=yaml.CSafeLoader)
    except UnicodeDecodeError as cause:
        raise InvalidInput(f"{name} is not UTF-8") from cause
    except yaml.MarkedYAMLError as cause:
        mark = cause.problem_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        raise InvalidInput(f"{name}{place}: {cause.problem or 'no YAML'}") from cause
    except yaml.YAMLError as cause:
        raise InvalidInput(f"{name}: {cause}") from cause
    value = _Reader(name).value(node, 0)
    if not isinstance(value, dict):
        raise InvalidInput(f"{name} is no mapping of keys to values")
    return value


class _Reader:
    """Turns nodes into values. What aliases expand to is bounded."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes = 0

    def value(self, node: yaml.Node | None, depth: int) -> Value:
        self._nodes += 1
        if self._nodes > _MAX_NODES or depth > _MAX_DEPTH:
            raise InvalidInput(f"{self._name} is too large, is nested too deeply, or its aliases expand to too much")
        match node:
            case None:
                return None
            case yaml.ScalarNode():
                text = str(node.value)
                return text if node.style else _CONSTANTS.get(text, text)
            case yaml.SequenceNode():
                items = [self.value(each, depth + 1) for each in node.value]
                if node.tag == "!reference":
                    return Reference(tuple(str(each) for each in items))
                return items
            case yaml.MappingNode():
                return self._mapping(node, depth)
        raise InvalidInput(f"{self._name}:{node.start_mark.line + 1}: an unknown kind of node")

    def _mapping(self, node: yaml.MappingNode, depth: int) -> Value:
        merged: dict[str, Value] = {}
        own: dict[str, Value] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise InvalidInput(f"{self._name}:{key_node.start_mark.line + 1}: a key is no text")
            value = self.value(value_node, depth + 1)
            if key_node.value != "<<":
                own[str(key_node.value)] = value
                continue
            for base in value if isinstance(value, list) else [value]:
                if isinstance(base, dict):
                    merged = {**base, **merged}
        return {**merged, **own}


def mapping(value: Value) -> dict[str, Value]:
    """Return a value if it is a mapping, and else an empty one."""
    return value if isinstance(value, dict) else {}


def others(value: dict[str, Value], known: AbstractSet[str]) -> list[str]:
    """Return the keys of a mapping that are not known, in order."""
    return sorted(value.keys() - known)


def items(value: Value) -> list[Value]:
    """Return the items of a list; one of any other value; none of None."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def texts(value: Value) -> list[str]:
    """Return the texts of a list, nested lists included, or the one text that a value is."""
    found: list[str] = []
    for each in items(value):
        if isinstance(each, list):
            found.extend(texts(each))
        elif not isinstance(each, dict | Reference) and each is not None:
            found.append(text(each))
    return found


def text(value: Value) -> str:
    """Return a scalar as its text; an empty one for None, and for what is no scalar."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
    return ""
