"""JSON and query parameters to messages and back, by protobuf's JSON mapping. Pure.

Stricter than protobuf's own parser: every fault is reported, each with its path; unknown fields are refused by name; a
field is refused that is given twice, by two of its names, or both in the path and elsewhere. Responses are in the form
of `foundation.rpc.json_mapping`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import parse_qsl, quote

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_common.foundation.rpc.json_mapping import json_of
from sluiceway_server.gateway.routes import Rule

__all__ = ["location_of", "parse_json", "request_of", "response_json", "resume_from"]

# Of one request. More is a mistake or an attack.
_MAX_QUERY_PAIRS = 1000
_MAX_VIOLATIONS = 100
_MAX_DEPTH = 100
_SHOWN_CHARACTERS = 300

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
}
# Messages of google.protobuf that are one JSON value; those below can be written as a query parameter.
_FROM_TEXT = {
    "google.protobuf.Timestamp",
    "google.protobuf.Duration",
    "google.protobuf.FieldMask",
    "google.protobuf.StringValue",
    "google.protobuf.BytesValue",
    "google.protobuf.BoolValue",
    "google.protobuf.Int32Value",
    "google.protobuf.Int64Value",
    "google.protobuf.UInt32Value",
    "google.protobuf.UInt64Value",
    "google.protobuf.FloatValue",
    "google.protobuf.DoubleValue",
}


def request_of(rule: Rule, path: Mapping[str, str], query: str, body: bytes) -> Message:
    """Make the request message of a call.

    Args:
        rule: which method.
        path: the values of the path's variables, unescaped.
        query: the query string as it was sent, without `?`.
        body: of the HTTP request.

    Raises:
        InvalidInput: with all faults of query and body.
    """
    violations: list[Violation] = []
    content: dict[str, Any] = {}
    if rule.body:
        value = parse_json(body) if body.strip() else {}
        content = value if rule.body == "*" else {rule.body: value}
        if not isinstance(content, dict):
            raise InvalidInput([Violation("", "the body must be a JSON object")], reason="BODY_NOT_AN_OBJECT")
        _check_message(content, rule.request_type, "", violations, body_field=rule.body)
    elif body.strip():
        raise InvalidInput(f"{rule.http_method} {rule.template.text} takes no body", reason="BODY_NOT_EXPECTED")
    message = rule.request()
    if not violations and content:
        _parse_into(message, content, rule.body, violations)
    violations += _set_from_query(message, query, rule)
    if not violations:
        violations += _set_from_path(message, path, rule)
    if violations:
        raise InvalidInput(violations[:_MAX_VIOLATIONS])
    return message


def parse_json(body: bytes) -> Any:
    """Parse JSON as RFC 8259 has it: UTF-8, no NaN, no name twice in an object.

    Raises:
        InvalidInput: it is not such; says where.
    """
    try:
        return json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise InvalidInput("the body is not UTF-8", reason="BODY_NOT_JSON") from error
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"the body is not JSON: {error.msg}: line {error.lineno} column {error.colno}", reason="BODY_NOT_JSON"
        ) from error
    except RecursionError as error:
        raise InvalidInput("the body is nested too deeply", reason="BODY_NOT_JSON") from error
    except ValueError as error:
        raise InvalidInput(f"the body is not JSON: {error}", reason="BODY_NOT_JSON") from error


def response_json(message: Message, field: str = "") -> Any:
    """Make the JSON value of a message, or of one field of it."""
    if not field:
        return json_of(message)
    descriptor = message.DESCRIPTOR.fields_by_name[field]
    if descriptor.message_type is not None and not descriptor.is_repeated:
        return json_of(getattr(message, field))
    return json_of(message)[descriptor.json_name]


def location_of(rule: Rule, response: Message) -> str | None:
    """Return the Location header of a response; None if the method has none."""
    if not rule.location:
        return None

    def value(match: re.Match[str]) -> str:
        found: Any = response
        for name in match.group(1).split("."):
            found = getattr(found, name)
        return quote(str(found), safe="")

    return re.sub(r"\{([^}]*)\}", value, rule.location)


def resume_from(rule: Rule, message: Message, last_event_id: str) -> None:
    """Set the field that `Last-Event-ID` stands for, if the method has one.

    Raises:
        InvalidInput: the id is not one of this stream.
    """
    if rule.request_resume:
        field = rule.request_type.fields_by_name[rule.request_resume]
        fault = _set_scalar(message, field, last_event_id)
        if fault:
            raise InvalidInput([Violation("Last-Event-ID", fault)])


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"{_short(name)!r} is there twice in one object")
            seen.add(name)
    return found


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number; send it as a string where one is meant")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _descriptor(message: Message) -> Descriptor:
    return cast("Descriptor", message.DESCRIPTOR)


def _is_plain(descriptor: Descriptor) -> bool:
    return not descriptor.full_name.startswith("google.protobuf.")


def _map_value(field: FieldDescriptor) -> FieldDescriptor | None:
    """Return the field of a map's values; None if the field is not a map."""
    entry = field.message_type
    if entry is None or not entry.GetOptions().map_entry:
        return None
    return entry.fields_by_name["value"]


def _check_message(
    content: Any,
    descriptor: Descriptor,
    path: str,
    violations: list[Violation],
    *,
    depth: int = 0,
    body_field: str = "*",
) -> None:
    """Check the shape: objects, lists and names. Single values are checked by protobuf's parser."""
    if len(violations) >= _MAX_VIOLATIONS:
        return
    if depth > _MAX_DEPTH:
        violations.append(Violation(path, "is nested too deeply"))
        return
    if not isinstance(content, dict):
        violations.append(Violation(path, f"must be an object, not {_kind(content)}"))
        return
    seen: set[str] = set()
    for name, value in content.items():
        field = descriptor.fields_by_camelcase_name.get(name) or descriptor.fields_by_name.get(name)
        # With `body` naming a field, the caller wrote that field's content as the body.
        here = "" if field is not None and depth == 0 and body_field == name else _join(path, name)
        if field is None:
            violations.append(Violation(here, _unknown(name, descriptor)))
        elif field.name in seen:
            violations.append(Violation(here, "is given twice, by two of its names"))
        else:
            seen.add(field.name)
            if value is not None:
                _check_field(value, field, here, violations, depth)


def _check_field(value: Any, field: FieldDescriptor, path: str, violations: list[Violation], depth: int) -> None:
    of = _map_value(field)
    if of is not None:
        if not isinstance(value, dict):
            violations.append(Violation(path, f"must be an object, not {_kind(value)}"))
            return
        for key, item in value.items():
            if len(violations) >= _MAX_VIOLATIONS:
                return
            _check_value(item, of, f"{path}[{key}]", violations, depth)
    elif field.is_repeated:
        if not isinstance(value, list):
            violations.append(Violation(path, f"must be a list, not {_kind(value)}"))
            return
        for number, item in enumerate(value):
            if len(violations) >= _MAX_VIOLATIONS:
                return
            _check_value(item, field, f"{path}[{number}]", violations, depth)
    else:
        _check_value(value, field, path, violations, depth)


def _check_value(value: Any, field: FieldDescriptor, path: str, violations: list[Violation], depth: int) -> None:
    if field.message_type is not None and _is_plain(field.message_type):
        _check_message(value, field.message_type, path, violations, depth=depth + 1)
    elif field.type == FieldDescriptor.TYPE_BYTES and isinstance(value, str) and not _BASE64.fullmatch(value):
        violations.append(Violation(path, "must be base64"))


def _parse_into(message: Message, content: dict[str, Any], body_field: str, violations: list[Violation]) -> None:
    try:
        json_format.ParseDict(content, message, max_recursion_depth=_MAX_DEPTH + 1)
    except (json_format.ParseError, TypeError, ValueError, AttributeError, KeyError) as error:
        message.Clear()
        before = len(violations)
        _find_faults(content, _descriptor(message), "", violations, body_field)
        if len(violations) == before:
            violations.append(Violation("", _plain_words(error)))


def _find_faults(
    content: dict[str, Any], descriptor: Descriptor, path: str, violations: list[Violation], body_field: str = "*"
) -> None:
    """Parse each value by itself, to report each that is wrong. Call it only if parsing the whole has failed."""
    for name, value in content.items():
        if value is None or len(violations) >= _MAX_VIOLATIONS:
            continue
        field = descriptor.fields_by_camelcase_name.get(name) or descriptor.fields_by_name[name]
        here = "" if not path and body_field == name else _join(path, name)
        of = _map_value(field)
        if of is not None:
            for key, item in value.items():
                if of.message_type is not None and _is_plain(of.message_type):
                    _find_faults(item, of.message_type, f"{here}[{key}]", violations)
                else:
                    _try_value({name: {key: item}}, descriptor, f"{here}[{key}]", violations)
        elif field.message_type is not None and _is_plain(field.message_type):
            items = enumerate(value) if field.is_repeated else [(None, value)]
            for number, item in items:
                _find_faults(item, field.message_type, here if number is None else f"{here}[{number}]", violations)
        elif field.is_repeated:
            for number, item in enumerate(value):
                if len(violations) >= _MAX_VIOLATIONS:
                    break
                _try_value({name: [item]}, descriptor, f"{here}[{number}]", violations)
        else:
            _try_value({name: value}, descriptor, here, violations)


def _try_value(content: dict[str, Any], descriptor: Descriptor, path: str, violations: list[Violation]) -> None:
    try:
        json_format.ParseDict(content, GetMessageClass(descriptor)())
    except (json_format.ParseError, TypeError, ValueError, AttributeError, KeyError) as error:
        violations.append(Violation(path, _plain_words(error)))


def _plain_words(error: Exception) -> str:
    # The message may quote all of a value, and the patterns below take time that grows faster than its length.
    text = re.sub(r"^(Failed to parse \S+ field: )+", "", _short(str(error)))
    text = re.sub(r" at [A-Za-z0-9_.\[\]]+\.*$", "", text).rstrip(".")
    # The messages of Python for `int("x")` and `float("x")` inside the JSON mapping.
    text = re.sub(r"^invalid literal for int\(\) with base 10: (.*)$", r"\1 is not a whole number", text)
    text = re.sub(r"^could not convert string to float: (.*)$", r"\1 is not a number", text)
    return text or type(error).__name__


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    kinds = ((dict, "an object"), (list, "a list"), (str, "a string"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "a number")


def _unknown(name: str, descriptor: Descriptor) -> str:
    known = [field.json_name for field in descriptor.fields]
    close = [candidate for candidate in known if candidate.lower() == name.lower()]
    if close:
        return f"there is no such field; did you mean {close[0]}?"
    return (
        f"there is no such field; there are: {', '.join(known)}" if known else "there is no such field, nor any other"
    )


def _set_from_query(message: Message, query: str, rule: Rule) -> list[Violation]:
    if not query:
        return []
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=False, errors="strict", max_num_fields=_MAX_QUERY_PAIRS
        )
    except ValueError as error:
        return [Violation("", f"the query string cannot be read: {error}")]
    values: dict[str, list[str]] = {}
    for name, text in pairs:
        values.setdefault(name, []).append(text)
    violations: list[Violation] = []
    done: set[str] = set()
    for name, texts in values.items():
        found = _walk(rule.request_type, name)
        if found is None:
            violations.append(Violation(name, _unknown_parameter(rule)))
            continue
        dotted = ".".join(field.name for field in found)
        first = found[0].name
        if rule.body == "*" or (rule.body and first == rule.body):
            violations.append(Violation(name, "belongs into the body, not into the query"))
        elif dotted in rule.template.variables:
            violations.append(Violation(name, "is in the path already"))
        elif dotted in done:
            violations.append(Violation(name, "is given twice, by two of its names"))
        else:
            done.add(dotted)
            fault = _set_parameter(message, found, texts)
            if fault:
                violations.append(Violation(name, fault))
    return violations


def _unknown_parameter(rule: Rule) -> str:
    if rule.body == "*":
        return "this takes no query parameters"
    known = [
        field.json_name
        for field in rule.request_type.fields
        if field.name != rule.body and field.name not in rule.template.variables
    ]
    return f"there is no such parameter; there are: {', '.join(known)}" if known else "this takes no query parameters"


def _walk(descriptor: Descriptor, name: str) -> list[FieldDescriptor] | None:
    found: list[FieldDescriptor] = []
    at: Descriptor | None = descriptor
    for part in name.split("."):
        if at is None:
            return None
        field = at.fields_by_camelcase_name.get(part) or at.fields_by_name.get(part)
        if field is None or _map_value(field) is not None:
            return None
        found.append(field)
        at = field.message_type if not field.is_repeated else None
        if at is not None and not _is_plain(at):
            at = None
    last = found[-1]
    if last.message_type is not None and last.message_type.full_name not in _FROM_TEXT:
        return None
    return found


def _set_parameter(message: Message, fields: Sequence[FieldDescriptor], texts: Sequence[str]) -> str:
    for field in fields[:-1]:
        message = getattr(message, field.name)
        message.SetInParent()
    last = fields[-1]
    if not last.is_repeated:
        if len(texts) > 1:
            return "is given more than once"
        return _set_scalar(message, last, texts[0])
    for text in texts:
        value, fault = _scalar_json(last, text)
        if not fault:
            fault = _merge(message, last, [value])
        if fault:
            return fault
    return ""


def _set_scalar(message: Message, field: FieldDescriptor, text: str) -> str:
    value, fault = _scalar_json(field, text)
    return fault or _merge(message, field, value)


def _merge(message: Message, field: FieldDescriptor, value: Any) -> str:
    try:
        parsed = json_format.ParseDict({field.name: value}, type(message)())
    except (json_format.ParseError, TypeError, ValueError, AttributeError, KeyError) as error:
        return _plain_words(error)
    message.MergeFrom(parsed)
    return ""


def _scalar_json(field: FieldDescriptor, text: str) -> tuple[Any, str]:
    """Return the JSON value of a parameter's text, and its fault, if any."""
    kind = field.cpp_type
    wrapped = "" if field.message_type is None else field.message_type.full_name
    if kind == FieldDescriptor.CPPTYPE_BOOL or wrapped.endswith(".BoolValue"):
        value = {"true": True, "1": True, "false": False, "0": False}.get(text)
        return (value, "") if value is not None else (None, f"must be true or false, not {text!r}")
    if field.enum_type is not None:
        return _enum_json(field.enum_type, text)
    if kind in _NUMBERS and not re.fullmatch(r"-?[0-9]{1,20}", text):
        return None, f"must be a whole number, not {text!r}"
    if field.type == FieldDescriptor.TYPE_BYTES and not _BASE64.fullmatch(text):
        return None, "must be base64"
    return text, ""


def _enum_json(enum: EnumDescriptor, text: str) -> tuple[Any, str]:
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"
    for name in (text, prefix + text.upper()):
        if name in enum.values_by_name:
            return name, ""
    if re.fullmatch(r"[0-9]{1,9}", text) and int(text) in enum.values_by_number:
        return int(text), ""
    names = ", ".join(value.name.removeprefix(prefix) for value in enum.values if value.number)
    return None, f"{text!r} is none of: {names}"


def _set_from_path(message: Message, path: Mapping[str, str], rule: Rule) -> list[Violation]:
    violations: list[Violation] = []
    for variable, text in path.items():
        *parents, last = variable.split(".")
        target = message
        for name in parents:
            target = getattr(target, name)
            target.SetInParent()
        field = _descriptor(target).fields_by_name[last]
        before = getattr(target, last)
        target.ClearField(last)
        fault = _set_scalar(target, field, text)
        if fault:
            violations.append(Violation(variable, fault))
        elif before != field.default_value and before != getattr(target, last):
            where = variable.removeprefix(f"{rule.body}.") if rule.body else variable
            violations.append(Violation(where, f"is {before!r} in the body, but {text!r} in the path"))
    return violations
