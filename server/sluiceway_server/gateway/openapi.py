"""OpenAPI 3.1 from the same rules that requests are routed by, and from the comments of the protos. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sluiceway_common.foundation.rpc.fields import behaviors_of
from sluiceway_server.gateway.descriptions import MethodText, json_name, method_text, service_text
from sluiceway_server.gateway.errors import HTTP_CODES
from sluiceway_server.gateway.routes import Rule, field_of
from sluiceway_server.gateway.schemas import Json, Schemas, is_one_value

__all__ = ["openapi_of"]

_ERROR: Json = {
    "type": "object",
    "description": "What went wrong. The same object for every failure.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "status", "message", "details"],
            "properties": {
                "code": {"type": "integer", "description": "The HTTP status."},
                "status": {
                    "type": "string",
                    "description": "The gRPC code.",
                    "enum": [name for name in HTTP_CODES if name != "OK"],
                },
                "message": {"type": "string", "description": "A sentence for people."},
                "details": {
                    "type": "array",
                    "description": "Details for programs: `google.rpc.ErrorInfo` with a stable `reason`, and where it "
                    "applies `google.rpc.BadRequest` with all invalid fields, and others of `google.rpc`.",
                    "items": {
                        "type": "object",
                        "required": ["@type"],
                        "properties": {"@type": {"type": "string", "description": "The type of the detail."}},
                        "additionalProperties": True,
                    },
                },
            },
        }
    },
}
_RETRY_AFTER: Json = {
    "Retry-After": {"description": "Seconds to wait before the next try.", "schema": {"type": "integer"}}
}

_ERROR_CONTENT: Json = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}

# The responses that every operation may have, by HTTP status: name, description, headers.
_COMMON: dict[int, tuple[str, str, Json]] = {
    400: ("BadRequest", "The request is invalid (all invalid fields are listed), or not possible now.", {}),
    401: (
        "Unauthenticated",
        "There is no valid token.",
        {"WWW-Authenticate": {"description": "`Bearer`.", "schema": {"type": "string"}}},
    ),
    403: ("PermissionDenied", "The token does not allow this.", {}),
    406: ("NotAcceptable", "None of the accepted media types is offered.", {}),
    413: ("TooLarge", "The body is too large.", {}),
    415: ("UnsupportedMediaType", "The body is not `application/json` in UTF-8.", {}),
    429: ("Exhausted", "There are too many calls at the same time, or another limit was reached.", _RETRY_AFTER),
    500: ("Internal", "An error of the server. Its log has the cause under the given incident.", {}),
    503: ("Unavailable", "The server, or something that it needs, cannot be reached.", _RETRY_AFTER),
    504: ("DeadlineExceeded", "The call did not end in time. It may have had an effect.", {}),
}
_OTHER = "Any other failure."
_FILE_TYPES = ("text/plain", "application/octet-stream")
_FILE_HEADERS = {
    "Range": "A part of the content: `bytes=2-4`, `bytes=2-` or `bytes=-5`. Ignored with `follow` and `tail`.",
    "If-Range": "The `ETag` that the content must have for `Range` to apply. Otherwise all of it is sent.",
    "If-Match": "The `ETag` that the content must have.",
    "If-None-Match": "The `ETag` of the content that the client has.",
}
_BEARER = "A token of a user: `Authorization: Bearer TOKEN`."
_API = (
    "JSON over HTTP for each method of the gRPC API.\n\n"
    "Messages are in protobuf's JSON mapping: names are in lowerCamelCase, 64-bit integers are strings, bytes are "
    "base64, times are RFC 3339, durations are seconds such as `90s`. Unknown fields are refused.\n\n"
    "Lists, maps, numbers, strings and booleans are always in a response, also if they are empty, 0 or false. Enums, "
    "times and objects are there if they are set.\n\n"
    "Every failure is an `Error` object with the HTTP status of its gRPC code."
)


def openapi_of(rules: Iterable[Rule], *, version: str) -> Json:
    """Describe the routes of some rules.

    Args:
        rules: those that the server offers.
        version: of the installation.
    """
    all_rules = list(rules)
    schemas = Schemas({"Error": _ERROR}, (rule.request_type for rule in all_rules))
    paths: Json = {}
    tags: dict[str, str] = {}
    described: set[str] = set()
    for rule in all_rules:
        tags[_service(rule)] = service_text(rule.rpc)
        operation = _operation(rule, schemas)
        if rule.rpc in described:
            # Another way to call the method: the ids of operations are unique.
            operation["operationId"] += f"_{rule.template.verb or rule.http_method.lower()}"
        described.add(rule.rpc)
        paths.setdefault(_path(rule), {})[rule.http_method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Sluiceway", "version": version, "description": _API},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag, "description": text} for tag, text in sorted(tags.items())],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "responses": {name: _failure(text, headers) for name, text, headers in _COMMON.values()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": _BEARER}},
        },
    }


def _operation(rule: Rule, schemas: Schemas) -> Json:
    text = method_text(rule.rpc)
    needs = f"Needs the scope `{rule.scope}`." if rule.scope else ""
    operation: Json = {
        "operationId": f"{_service(rule)}_{_method(rule)}",
        "summary": text.summary,
        "description": "\n\n".join(part for part in (text.description, needs) if part),
        "tags": [_service(rule)],
        "security": [] if rule.public else [{"token": []}],
        "parameters": [*_path_parameters(rule, schemas), *_query_parameters(rule, schemas)],
        "responses": {str(rule.success): _response(rule, schemas), **_failures(rule, text)},
    }
    if rule.streams and rule.request_resume:
        operation["parameters"].append(
            {
                "name": "Last-Event-ID",
                "in": "header",
                "description": "The id of the last event that the client has seen. The stream resumes after it.",
                "schema": {"type": "string"},
            }
        )
    if rule.file_parts:
        operation["parameters"] += [_header(name, text) for name, text in _FILE_HEADERS.items()]
        operation["responses"] |= _file_responses(rule, operation["responses"][str(rule.success)]["content"])
    if rule.body:
        operation["requestBody"] = _body(rule, schemas)
    return operation


def _header(name: str, text: str) -> Json:
    return {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}


def _file_types(rule: Rule) -> tuple[str, ...]:
    return (rule.media_type,) if rule.media_type else _FILE_TYPES


def _file_responses(rule: Rule, content: Json) -> Json:
    """Describe the responses to range and conditional requests (RFC 9110, 13 and 14)."""
    tag = {"ETag": {"description": "Changes when the content does.", "schema": {"type": "string"}}}
    span = {"Content-Range": {"description": "Such as `bytes 2-4/10`.", "schema": {"type": "string"}}}
    binary = {name: schema for name, schema in content.items() if name in _file_types(rule)}
    return {
        "206": {"description": "The part that was asked for.", "headers": {**tag, **span}, "content": binary},
        "304": {"description": "The content has not changed.", "headers": tag},
        "412": _failure("The content is not the one of `If-Match`.", {}),
        "416": _failure("The content has none of the range. `Content-Range` has its length.", span),
    }


def _failures(rule: Rule, text: MethodText) -> Json:
    described: dict[int, list[str]] = {}
    for grpc_code, when in text.errors.items():
        described.setdefault(HTTP_CODES[grpc_code], []).append(f"- `{grpc_code}`: {when}")
    codes = {*described, 400, 429, 500, 503, 504}
    codes |= set() if rule.public else {401, 403}
    codes |= {406} if rule.streams else set()
    codes |= {413, 415} if rule.body else set()
    failures: Json = {}
    for code in sorted(codes):
        name, common, headers = _COMMON.get(code) or ("", "", {})
        if code not in described:
            failures[str(code)] = {"$ref": f"#/components/responses/{name}"}
            continue
        lines = [common, "", *described[code]] if common else described[code]
        failures[str(code)] = _failure("\n".join(lines), headers)
    return {**failures, "default": _failure(_OTHER, {})}


def _failure(text: str, headers: Json) -> Json:
    return {"description": text, **({"headers": headers} if headers else {}), "content": _ERROR_CONTENT}


def _response(rule: Rule, schemas: Schemas) -> Json:
    message = rule.response_type
    if rule.success == 204:
        return {"description": "Done. The response has no body."}
    if rule.streams:
        schema = schemas.reference(message)
        content: Json = {
            "text/event-stream": {"schema": {"type": "string"}, "x-sluiceway-event": schema},
            "application/x-ndjson": {"schema": schema},
        }
        if rule.response_raw:
            content |= {name: {"schema": {"type": "string"}} for name in _file_types(rule)}
        return {"description": "A stream of messages.", "content": content}
    if rule.response_body:
        schema = schemas.field(message.fields_by_name[rule.response_body])
    else:
        schema = schemas.reference(message)
    response: Json = {
        "description": schema.get("description", "The response."),
        "content": {"application/json": {"schema": schema}},
    }
    if rule.location:
        response["headers"] = {"Location": {"description": "The path of the resource.", "schema": {"type": "string"}}}
    return response


def _body(rule: Rule, schemas: Schemas) -> Json:
    # The fields of the path are not repeated in the body.
    in_path = [variable.rpartition(".")[2] for variable in rule.template.variables]
    message = rule.request_type if rule.body == "*" else rule.request_type.fields_by_name[rule.body].message_type
    assert message is not None, f"{rule.rpc}: a body is an object"  # noqa: S101 - parse_json refuses all else
    whole = schemas.message(message, in_path)
    if "update_mask" in rule.request_type.fields_by_name:
        # An update may have a part of its resource (AIP-134), which is the body or, in `*`, a field of it.
        if rule.body == "*":
            for variable in rule.template.variables:
                resource = message.fields_by_name[variable.partition(".")[0]]
                if resource.message_type is not None:
                    part = schemas.message(resource.message_type, in_path)
                    part.pop("required", None)
                    whole["properties"][resource.json_name] = part
        whole.pop("required", None)
        schema, required = whole, True
    else:
        schema, required = whole if in_path else schemas.reference(message), "required" in whole
    example = schemas.example(message, in_path)
    return {"required": required, "content": {"application/json": {"schema": schema, "example": example}}}


def _path_parameters(rule: Rule, schemas: Schemas) -> list[Json]:
    found: list[Json] = []
    for variable in rule.template.variables:
        field = field_of(rule.request_type, variable)
        if field is not None:
            schema = schemas.field(field)
            found.append(_parameter(_label(variable), "path", schema) | {"required": True})
    return found


def _query_parameters(rule: Rule, schemas: Schemas) -> list[Json]:
    if rule.body == "*":
        return []
    found: list[Json] = []
    for field in rule.request_type.fields:
        if field.name == rule.body or any(v.split(".")[0] == field.name for v in rule.template.variables):
            continue
        if field.message_type is not None and not is_one_value(field.message_type):
            continue
        parameter = _parameter(field.json_name, "query", schemas.field(field))
        if "REQUIRED" in behaviors_of(field):
            parameter["required"] = True
        if field.is_repeated:
            parameter["style"], parameter["explode"] = "form", True
        found.append(parameter)
    return found


def _parameter(name: str, place: str, schema: Json) -> Json:
    text = schema.pop("description", "")
    return {"name": name, "in": place, **({"description": text} if text else {}), "schema": schema}


def _path(rule: Rule) -> str:
    return re.sub(r"\{([^}=]*)(?:=[^}]*)?\}", lambda found: f"{{{_label(found.group(1))}}}", rule.template.text)


def _label(variable: str) -> str:
    """Return the name of a variable of a path as JSON names fields: `project.id` is `projectId`."""
    return json_name(variable.replace(".", "_"))


def _service(rule: Rule) -> str:
    return rule.rpc[1:].partition("/")[0].rpartition(".")[2]


def _method(rule: Rule) -> str:
    return rule.rpc.rpartition("/")[2]
