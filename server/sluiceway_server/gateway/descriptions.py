"""The comments of the API's protos, as descriptions for users of JSON.

They are read on first use, because only OpenAPI needs them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

__all__ = ["MethodText", "description_of", "json_name", "method_text", "service_text"]

_ERRORS = "\n\nErrors:\n"
_ERROR = re.compile(r"- ([A-Z_]+): (.+)")
# Pointers into the design, which a caller of the API does not have.
_POINTER = re.compile(r" \([^()]*\.md[^()]*\)")
_FIELD = re.compile(r"`([a-z]+(?:_[a-z0-9]+)+)`")


@dataclass(frozen=True, slots=True)
class MethodText:
    """The parts of the comment of a method.

    Attributes:
        summary: the first sentence, without its full stop.
        description: the rest, without the errors.
        errors: by gRPC code, when it is returned.
    """

    summary: str
    description: str
    errors: Mapping[str, str]


def description_of(described: Descriptor | EnumDescriptor | FieldDescriptor) -> str:
    """Return the comment of a message, an enum or a field; empty if it has no comment.

    The comment of an enum includes those of its values.
    """
    text = _text(described.full_name)
    if isinstance(described, EnumDescriptor):
        values = [(value.name, _text(f"{described.full_name}.{value.name}")) for value in described.values]
        text = "\n".join([text, "", *(f"- `{name}`: {meaning}" for name, meaning in values if meaning)])
    return text


def method_text(rpc: str) -> MethodText:
    """Return the comment of a method by its path, `/package.Service/Method`."""
    text, _, errors = _text(rpc[1:].replace("/", ".")).partition(_ERRORS)
    summary, *rest = re.split(r"\.(?:\s+|$)", text, maxsplit=1)
    found = (_ERROR.fullmatch(line) for line in errors.splitlines())
    return MethodText(
        summary=summary,
        description=rest[0] if rest else "",
        errors={match.group(1): match.group(2) for match in found if match is not None},
    )


def service_text(rpc: str) -> str:
    """Return the comment of the service of a method."""
    return _text(rpc[1:].partition("/")[0])


def json_name(name: str) -> str:
    """Spell the name of a field as JSON does: `page_size` is `pageSize`."""
    first, *others = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in others)


def _text(name: str) -> str:
    text = _POINTER.sub("", _comments().get(name, ""))

    def spelled(found: re.Match[str]) -> str:
        return f"`{json_name(found.group(1))}`" if found.group(1) in _field_names() else found.group(0)

    return _FIELD.sub(spelled, text)


@cache
def _comments() -> Mapping[str, str]:
    text = resources.files("sluiceway.api").joinpath("comments.json").read_text(encoding="utf-8")
    comments: dict[str, str] = json.loads(text)
    return comments


@cache
def _field_names() -> frozenset[str]:
    """The names that fields have in the protos: in JSON they are spelled differently."""
    return frozenset(name.rpartition(".")[2] for name in _comments())
