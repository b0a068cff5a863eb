"""Errors with the names of fields in JSON: a caller that sends `pageSize` gets errors about `pageSize`. Pure.

Services name the fields of their messages as the protos do (`page_size`, `tasks[2].depends[0]`), which is right for
callers of gRPC.
"""

from __future__ import annotations

import re

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # ships no types

from sluiceway_server.gateway.routes import Rule

__all__ = ["in_json_names", "json_path"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INDEX = re.compile(r"\[[^\[\]]*\]")
_QUOTED = re.compile(r"`([a-z][a-z0-9]*(?:_[a-z0-9]+)+)`")


def in_json_names(status: status_pb2.Status, rule: Rule) -> status_pb2.Status:
    """Return the status with the fields of a method's request named as in JSON: in its violations and its message."""
    result = status_pb2.Status()
    result.CopyFrom(status)
    result.message = _spell(status.message, rule)
    for detail in result.details:
        if not detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            continue
        found = error_details_pb2.BadRequest.FromString(detail.value)
        for violation in found.field_violations:
            path = json_path(violation.field, rule)
            result.message = result.message.replace(f"{violation.field}: ", f"{path}: ")
            violation.field, violation.description = path, _spell(violation.description, rule)
        detail.Pack(found)
    return result


def json_path(path: str, rule: Rule) -> str:
    """Spell the path of a field of a request as JSON does. What is not known stays as it is.

    When a method's body is one field of its request, a path is relative to what the caller wrote as the body.
    """
    request = rule.request_type
    body = request.fields_by_name.get(rule.body)
    if body is None:
        return _spelled(path, request)
    if path == body.name:
        return ""
    inner = path.removeprefix(f"{body.name}.")
    in_path = path in rule.template.variables
    if body.message_type is not None and not in_path and (inner != path or _first(path, request) is None):
        return _spelled(inner, body.message_type)
    return _spelled(path, request)


def _spell(text: str, rule: Rule) -> str:
    """Spell the fields that a text has in backticks."""

    def spelled(found: re.Match[str]) -> str:
        field = rule.request_type.fields_by_name.get(found.group(1))
        return found.group(0) if field is None else f"`{field.json_name}`"

    return _QUOTED.sub(spelled, text)


def _spelled(path: str, message: Descriptor | None) -> str:
    done = ""
    while message is not None:
        field = _first(path, message)
        if field is None:
            break
        name = _NAME.match(path)
        end = name.end() if name is not None else 0
        done, path = done + field.json_name, path[end:]
        index = _INDEX.match(path)
        if index is not None:
            done, path = done + index.group(), path[index.end() :]
        if not path.startswith("."):
            break
        done, path = f"{done}.", path[1:]
        message = _inside(field)
    return done + path


def _first(path: str, message: Descriptor) -> FieldDescriptor | None:
    found = _NAME.match(path)
    if found is None:
        return None
    return message.fields_by_name.get(found.group()) or message.fields_by_camelcase_name.get(found.group())


def _inside(field: FieldDescriptor) -> Descriptor | None:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        return message.fields_by_name["value"].message_type
    return message
