"""OpenAPI 3.1 from the same rules that requests are routed by. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from sluiceway.gateway.errors import HTTP_CODES
from sluiceway.gateway.routes import Rule, field_of

__all__ = ["openapi_of"]

Json = dict[str, Any]

_ERROR: Json = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "status", "message"],
            "properties": {
                "code": {"type": "integer", "description": "The HTTP status."},
                "status": {
                    "type": "string",
                    "description": "The gRPC code.",
                    "enum": [name for name in HTTP_CODES if name != "OK"],
                },
                "message": {"type": "string", "description": "For people."},
                "details": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["@type"],
                        "properties": {"@type": {"type": "string"}},
                        "additionalProperties": True,
                    },
                },
            },
        }
    },
}

_KNOWN: dict[str, Json] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {
        "type": "string",
        "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$",
        "description": "Seconds, such as `90s` or `1.5s`.",
    },
    "google.protobuf.FieldMask": {"type": "string", "description": "Names of fields, with commas between them."},
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


def openapi_of(rules: Iterable[Rule], *, version: str) -> Json:
    """Describe the routes of some rules.

    Args:
        rules: those that the server offers.
        version: of the installation.
    """
    schemas: Json = {"Error": _ERROR}
    paths: Json = {}
    tags: set[str] = set()
    for rule in rules:
        tag = _service(rule)
        tags.add(tag)
        operations = paths.setdefault(_path(rule), {})
        operations[rule.http_method.lower()] = _operation(rule, tag, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sluiceway",
            "version": version,
            "description": "JSON over HTTP for each gRPC method. Fields at their default are left out of answers; "
            "64-bit integers are strings.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in sorted(tags)],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(rule: Rule, tag: str, schemas: Json) -> Json:
    name = rule.rpc.rpartition("/")[2]
    operation: Json = {
        "operationId": f"{tag}_{name}",
        "summary": _sentence(name),
        "tags": [tag],
        "security": [] if rule.public else [{"token": []}],
        "parameters": [*_path_parameters(rule, schemas), *_query_parameters(rule, schemas)],
        "responses": {
            str(rule.success): _answer(rule, schemas),
            "default": {
                "description": "What went wrong.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    if rule.scope:
        operation["description"] = f"Needs the scope `{rule.scope}`."
    if rule.streams and rule.request_resume:
        operation["parameters"].append(
            {
                "name": "Last-Event-ID",
                "in": "header",
                "description": "Where to resume: the id of the last event that was seen.",
                "schema": {"type": "string"},
            }
        )
    if rule.body:
        operation["requestBody"] = {
            "required": rule.body != "*",
            "content": {"application/json": {"schema": _body_schema(rule, schemas)}},
        }
    return operation


def _answer(rule: Rule, schemas: Json) -> Json:
    descriptor = rule.answers
    if rule.success == 204:
        return {"description": "Done; there is nothing to say."}
    if rule.streams:
        schema = _message_ref(descriptor, schemas)
        content: Json = {
            "text/event-stream": {"schema": {"type": "string"}, "x-sluiceway-event": schema},
            "application/x-ndjson": {"schema": schema},
        }
        if rule.response_raw:
            content["text/plain"] = {"schema": {"type": "string"}}
        return {"description": "A stream.", "content": content}
    schema = (
        _field_schema(descriptor.fields_by_name[rule.response_body], schemas)
        if rule.response_body
        else _message_ref(descriptor, schemas)
    )
    answer: Json = {"description": "Done.", "content": {"application/json": {"schema": schema}}}
    if rule.location:
        answer["headers"] = {"Location": {"description": "Where it is.", "schema": {"type": "string"}}}
    return answer


def _body_schema(rule: Rule, schemas: Json) -> Json:
    descriptor = rule.takes
    if rule.body != "*":
        return _field_schema(descriptor.fields_by_name[rule.body], schemas)
    if not rule.template.variables:
        return _message_ref(descriptor, schemas)
    # What is in the path is not asked for again.
    schema = _message_schema(descriptor, schemas)
    for variable in rule.template.variables:
        field = field_of(descriptor, variable)
        if field is not None and "." not in variable:
            schema["properties"].pop(field.json_name, None)
    return schema


def _path_parameters(rule: Rule, schemas: Json) -> list[Json]:
    found: list[Json] = []
    for variable in rule.template.variables:
        field = field_of(rule.takes, variable)
        if field is not None:
            found.append({"name": variable, "in": "path", "required": True, "schema": _value_schema(field, schemas)})
    return found


def _query_parameters(rule: Rule, schemas: Json) -> list[Json]:
    if rule.body == "*":
        return []
    found: list[Json] = []
    for field in rule.takes.fields:
        if field.name == rule.body or any(v.split(".")[0] == field.name for v in rule.template.variables):
            continue
        if field.message_type is not None and field.message_type.full_name not in _KNOWN:
            continue
        parameter: Json = {"name": field.json_name, "in": "query", "schema": _field_schema(field, schemas)}
        if field.is_repeated:
            parameter["style"], parameter["explode"] = "form", True
        found.append(parameter)
    return found


def _message_ref(descriptor: Descriptor, schemas: Json) -> Json:
    known = _KNOWN.get(descriptor.full_name)
    if known is not None:
        return dict(known)
    name = _schema_name(descriptor.full_name)
    if name not in schemas:
        schemas[name] = {}  # a message may hold itself
        schemas[name] = _message_schema(descriptor, schemas)
    return {"$ref": f"#/components/schemas/{name}"}


def _message_schema(descriptor: Descriptor, schemas: Json) -> Json:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {field.json_name: _field_schema(field, schemas) for field in descriptor.fields},
    }


def _field_schema(field: FieldDescriptor, schemas: Json) -> Json:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        of = field.message_type.fields_by_name["value"]
        return {"type": "object", "additionalProperties": _value_schema(of, schemas)}
    value = _value_schema(field, schemas)
    return {"type": "array", "items": value} if field.is_repeated else value


def _value_schema(field: FieldDescriptor, schemas: Json) -> Json:
    if field.message_type is not None:
        return _message_ref(field.message_type, schemas)
    if field.enum_type is not None:
        return _enum_ref(field.enum_type, schemas)
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_BOOL:
            return {"type": "boolean"}
        case FieldDescriptor.CPPTYPE_INT32 | FieldDescriptor.CPPTYPE_UINT32:
            return {"type": "integer", "format": "int32"}
        case FieldDescriptor.CPPTYPE_INT64:
            return {"type": "string", "format": "int64"}
        case FieldDescriptor.CPPTYPE_UINT64:
            return {"type": "string", "format": "uint64"}
        case FieldDescriptor.CPPTYPE_FLOAT | FieldDescriptor.CPPTYPE_DOUBLE:
            return {"type": "number", "format": "double"}
    if field.type == FieldDescriptor.TYPE_BYTES:
        return {"type": "string", "contentEncoding": "base64"}
    return {"type": "string"}


def _enum_ref(enum: EnumDescriptor, schemas: Json) -> Json:
    name = _schema_name(enum.full_name)
    schemas.setdefault(name, {"type": "string", "enum": [value.name for value in enum.values]})
    return {"$ref": f"#/components/schemas/{name}"}


def _schema_name(full_name: str) -> str:
    return full_name.removeprefix("sluiceway.api.")


def _path(rule: Rule) -> str:
    return re.sub(r"\{([^}=]*)=[^}]*\}", r"{\1}", rule.template.text)


def _service(rule: Rule) -> str:
    return rule.rpc[1:].partition("/")[0].rpartition(".")[2]


def _sentence(name: str) -> str:
    words = re.findall(r"[A-Z][a-z0-9]*", name)
    return " ".join([words[0], *(word.lower() for word in words[1:])]) if words else name
