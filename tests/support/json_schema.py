"""A validator for the part of JSON Schema (draft 2020-12) that our schema uses; another keyword fails the test."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["holds"]

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_KNOWN = {
    "$defs", "$id", "$ref", "$schema", "additionalProperties", "anyOf", "const", "default", "description", "enum",
    "exclusiveMinimum", "items", "maxItems", "maxLength", "maximum", "maxProperties", "minItems", "minLength",
    "minimum",
    "minProperties", "pattern", "properties", "propertyNames", "required", "title", "type",
}  # fmt: skip


def holds(schema: dict[str, Any], value: Any) -> bool:
    """Validate a document by a whole schema."""
    return _holds(schema, schema, value)


def _is_a(value: Any, kind: str) -> bool:
    # For Python a boolean is an integer, for JSON it is not.
    return isinstance(value, _TYPES[kind]) and (not isinstance(value, bool) or kind == "boolean")


def _holds(schema: dict[str, Any], form: Any, value: Any) -> bool:
    """Validate by the part of draft 2020-12 that our schema uses; a keyword outside of it fails the test."""
    if form is True or form is False:
        return bool(form)
    assert set(form) <= _KNOWN, set(form) - _KNOWN
    if "$ref" in form:
        target = schema["$defs"][form["$ref"].removeprefix("#/$defs/")]
        return _holds(schema, target, value) and _holds(schema, {k: v for k, v in form.items() if k != "$ref"}, value)
    checks = [
        "type" not in form or _is_a(value, form["type"]),
        "const" not in form or value == form["const"],
        "enum" not in form or value in form["enum"],
        "anyOf" not in form or any(_holds(schema, f, value) for f in form["anyOf"]),
    ]  # fmt: skip
    if isinstance(value, str):
        checks += [form.get("minLength", 0) <= len(value) <= form.get("maxLength", 10**9)]
        checks += ["pattern" not in form or re.search(form["pattern"], value) is not None]
    if isinstance(value, int | float) and not isinstance(value, bool):
        checks += [form.get("minimum", value) <= value <= form.get("maximum", value)]
        checks += ["exclusiveMinimum" not in form or value > form["exclusiveMinimum"]]
    if isinstance(value, list):
        checks += [form.get("minItems", 0) <= len(value) <= form.get("maxItems", 10**9)]
        checks += [_holds(schema, form.get("items", True), v) for v in value]
    if isinstance(value, dict):
        known = form.get("properties", {})
        checks += [form.get("minProperties", 0) <= len(value) <= form.get("maxProperties", 10**9)]
        checks += [_holds(schema, form.get("propertyNames", True), name) for name in value]
        checks += [name in value for name in form.get("required", ())]
        checks += [_holds(schema, known.get(n, form.get("additionalProperties", True)), v) for n, v in value.items()]
    return all(checks)
