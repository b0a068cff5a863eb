"""Messages as JSON Schemas, for OpenAPI: forms, descriptions, what is required, limits and examples. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from sluiceway.api.options.v1 import options_pb2
from sluiceway_common.foundation.rpc.fields import behaviors_of, limits_of
from sluiceway_server.gateway.descriptions import description_of

__all__ = ["Json", "Schemas", "is_one_value"]

Json = dict[str, Any]

# The generated stub calls it a plain FieldDescriptor.
_EXAMPLE: Any = options_pb2.example

# Messages that are one JSON value.
_KNOWN: dict[str, Json] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {
        "type": "string",
        "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$",
        "examples": ["90s"],
    },
    "google.protobuf.FieldMask": {"type": "string", "examples": ["name,visibility"]},
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Empty": {"type": "object"},
    "google.protobuf.Any": {"type": "object", "additionalProperties": True},
    "google.protobuf.BoolValue": {"type": ["boolean", "null"]},
    "google.protobuf.StringValue": {"type": ["string", "null"]},
    "google.protobuf.BytesValue": {"type": ["string", "null"], "contentEncoding": "base64"},
    "google.protobuf.Int32Value": {"type": ["integer", "null"], "format": "int32"},
    "google.protobuf.UInt32Value": {"type": ["integer", "null"], "format": "int64"},
    "google.protobuf.Int64Value": {"type": ["string", "null"], "format": "int64"},
    "google.protobuf.UInt64Value": {"type": ["string", "null"], "format": "uint64"},
    "google.protobuf.FloatValue": {"type": ["number", "null"], "format": "float"},
    "google.protobuf.DoubleValue": {"type": ["number", "null"], "format": "double"},
}
_SCALARS: dict[int, Json] = {
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "format": "int64"},
    FieldDescriptor.CPPTYPE_INT64: {"type": "string", "format": "int64"},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "string", "format": "uint64"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
}
_LARGE = {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}


def is_one_value(message: Descriptor) -> bool:
    """Return whether a message is one JSON value, such as a time."""
    return message.full_name in _KNOWN


class Schemas:
    """The schemas of messages and enums, by their name in the document.

    Attributes:
        components: all that were referred to so far.
    """

    def __init__(self, components: Json, requested: Iterable[Descriptor] = ()) -> None:
        """Begin with some components. `requested`: the messages of requests."""
        self.components = components
        self._requested: set[str] = set()
        for message in requested:
            self._request(message)

    def reference(self, message: Descriptor) -> Json:
        """Refer to the schema of a message, which is made when it is not there yet."""
        known = _KNOWN.get(message.full_name)
        if known is not None:
            return dict(known)
        name = _name(message.full_name)
        if name not in self.components:
            self.components[name] = {}  # a message may hold itself
            self.components[name] = self.message(message)
        return {"$ref": f"#/components/schemas/{name}"}

    def message(self, message: Descriptor, without: Iterable[str] = ()) -> Json:
        """Make the schema of a message, without some of its fields."""
        fields = [field for field in message.fields if field.name not in set(without)]
        schema: Json = {"type": "object", "additionalProperties": False}
        _describe(schema, description_of(message))
        schema["properties"] = {field.json_name: self.field(field) for field in fields}
        # Fields that are always present, for messages of responses only: a request need not have what the server sets.
        is_required = _is_required if message.full_name in self._requested else _is_always_there
        required = [field.json_name for field in fields if is_required(field)]
        if required:
            schema["required"] = required
        return schema

    def field(self, field: FieldDescriptor) -> Json:
        """Make the schema of a field's value."""
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            of = field.message_type.fields_by_name["value"]
            schema: Json = {"type": "object", "additionalProperties": self._value(of)}
        else:
            schema = self._value(field)
            if field.is_repeated:
                schema = {"type": "array", "items": schema}
        _describe(schema, description_of(field))
        behaviors = behaviors_of(field)
        if "OUTPUT_ONLY" in behaviors:
            schema["readOnly"] = True
        if "INPUT_ONLY" in behaviors:
            schema["writeOnly"] = True
        schema |= _limits(field)
        example = field.GetOptions().Extensions[_EXAMPLE]
        if example:
            schema["examples"] = [json.loads(example)]
        return schema

    def example(self, message: Descriptor, without: Iterable[str] = ()) -> Json:
        """Make an example of a request: the fields that are required, and those for which the proto has an example."""
        found: Json = {}
        for field in message.fields:
            if field.name in set(without):
                continue
            text = field.GetOptions().Extensions[_EXAMPLE]
            if text:
                found[field.json_name] = json.loads(text)
            elif _is_required(field):
                found[field.json_name] = self._example_value(field)
        return found

    def _request(self, message: Descriptor) -> None:
        if message.full_name in self._requested:
            return
        self._requested.add(message.full_name)
        for field in message.fields:
            if field.message_type is not None and "OUTPUT_ONLY" not in behaviors_of(field):
                self._request(field.message_type)

    def _example_value(self, field: FieldDescriptor) -> Any:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return {}
        if field.enum_type is not None:
            value: Any = field.enum_type.values[-1].name
        elif field.message_type is not None:
            value = self.example(field.message_type)
        else:
            value = {"boolean": True, "integer": 1, "number": 1}.get(_SCALARS[field.cpp_type]["type"], "1")
        return [value] if field.is_repeated else value

    def _value(self, field: FieldDescriptor) -> Json:
        if field.message_type is not None:
            return self.reference(field.message_type)
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        return dict(_SCALARS[field.cpp_type])

    def _enum(self, enum: EnumDescriptor) -> Json:
        name = _name(enum.full_name)
        if name not in self.components:
            schema: Json = {"type": "string", "enum": [value.name for value in enum.values]}
            self.components[name] = _describe(schema, description_of(enum))
        return {"$ref": f"#/components/schemas/{name}"}


def _is_required(field: FieldDescriptor) -> bool:
    return "REQUIRED" in behaviors_of(field)


def _is_always_there(field: FieldDescriptor) -> bool:
    """Return whether a response always has the field (`foundation.rpc.json_mapping`)."""
    return field.is_repeated or not (field.has_presence or field.enum_type is not None)


def _describe(schema: Json, text: str) -> Json:
    if text:
        schema["description"] = text
    return schema


def _limits(field: FieldDescriptor) -> Json:
    limits = limits_of(field)
    if limits is None:
        return {}
    if field.cpp_type in _LARGE:
        # These are strings in JSON, which have no minimum.
        return {"pattern": "^[0-9]+$"} if limits.HasField("minimum") and limits.minimum == 0 else {}
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    keywords = {
        "minimum": "minimum",
        "maximum": "maximum",
        "max_length": "maxLength",
        "max_items": "maxProperties" if is_map else "maxItems",
    }
    return {keyword: getattr(limits, name) for name, keyword in keywords.items() if limits.HasField(name)}


def _name(full_name: str) -> str:
    return full_name.removeprefix("sluiceway.api.")
