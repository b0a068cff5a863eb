"""Messages as JSON, in protobuf's mapping with every field that has a value.

`google.protobuf.json_format` leaves out fields at their default, so that an empty list is no list, or prints them all,
with `RUN_RESULT_UNSPECIFIED` for a result that is not known yet. Here lists, maps, numbers, strings and booleans are
always there, enums and messages only if they are set. Names are in lowerCamelCase, 64-bit integers are strings (a
number in JavaScript has 53 bits), bytes are base64.

https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

_LARGE = {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}
_TEXTS = {"google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask"}
_FLOATING = {FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE}


@dataclass(frozen=True, slots=True)
class _Field:
    """How a field is written: `value` writes one value, `key` one key of a map (None: it is not a map)."""

    name: str
    json_name: str
    has_presence: bool
    is_repeated: bool
    is_enum: bool
    key: Callable[[Any], str] | None
    value: Callable[[Any], Any]


def json_of(message: Message) -> Any:
    """Return the JSON value of a message: a dictionary, or for a time and the like a string."""
    descriptor = cast("Descriptor", message.DESCRIPTOR)
    if descriptor.full_name.startswith("google.protobuf."):
        return json_format.MessageToDict(message)
    found: dict[str, Any] = {}
    for field in _fields(descriptor):
        if field.has_presence:
            if message.HasField(field.name):
                found[field.json_name] = field.value(getattr(message, field.name))
            continue
        value = getattr(message, field.name)
        if field.key is not None:
            found[field.json_name] = {field.key(key): field.value(value[key]) for key in value}
        elif field.is_repeated:
            found[field.json_name] = [field.value(item) for item in value]
        elif value or not field.is_enum:
            found[field.json_name] = field.value(value)
    return found


@cache
def _fields(descriptor: Descriptor) -> tuple[_Field, ...]:
    return tuple(_field(field) for field in descriptor.fields)


def _field(field: FieldDescriptor) -> _Field:
    entry = field.message_type
    is_map = entry is not None and entry.GetOptions().map_entry
    values = entry.fields_by_name["value"] if entry is not None and is_map else field
    return _Field(
        name=field.name,
        json_name=field.json_name,
        has_presence=field.has_presence,
        is_repeated=field.is_repeated,
        is_enum=field.enum_type is not None,
        key=_key if is_map else None,
        value=_value(values),
    )


def _key(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _value(field: FieldDescriptor) -> Callable[[Any], Any]:
    if field.message_type is not None:
        # These convert themselves, much faster than json_format does.
        return _text if field.message_type.full_name in _TEXTS else json_of
    if field.enum_type is not None:
        return _enum(field.enum_type)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: base64.b64encode(value).decode()
    if field.cpp_type in _LARGE:
        return str
    if field.cpp_type in _FLOATING:
        # NaN and infinity are strings in JSON. No message of ours has them.
        raise ValueError(f"{field.full_name}: fields with a floating point are not supported")
    return lambda value: value


def _text(value: Any) -> str:
    text: str = value.ToJsonString()
    return text


def _enum(enum: EnumDescriptor) -> Callable[[int], str | int]:
    names = {number: value.name for number, value in enum.values_by_number.items()}
    # An enum value that this version does not know stays a number.
    return lambda value: names.get(value, value)
