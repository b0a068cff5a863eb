"""The page of the run configuration, from its JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scripts.reference.markdown import NOTICE, code, table
from sluiceway_common.runconfig.schema import json_schema

HEAD = """# Fields of a run configuration

The file is `.sluice/config.jsonnet`, `config.json` or `config.yml`. `sluice config schema` prints the JSON Schema from
which this page is generated. How the file is found, evaluated and checked is in
[run-config.md](../design/run-config.md); what this version cannot run yet is in [limits.md](../limits.md). A `null`
counts as an absent field.
"""

# Step types have a short form with one key; the schema has it as a definition of its own.
SHORT_FORM = "Body"
NANOSECONDS = {604_800_000_000_000: "7d", 3_600_000_000_000: "1h"}


def pipeline_page() -> str:
    """Return the page."""
    schema = json_schema()
    definitions: dict[str, Any] = schema["$defs"]
    lines = [NOTICE, "", HEAD, "## The file", "", *_table(schema)]
    for name in _order(definitions):
        lines += [f"## {name}", "", definitions[name]["description"], "", *_table(definitions[name])]
    return "\n".join(lines).rstrip() + "\n"


def _order(definitions: dict[str, Any]) -> Iterator[str]:
    """Yield the definitions as a reader meets them."""
    first = ("Run", "Task", "Runtime", "Container")
    steps = sorted(name for name in definitions if name.endswith("Step"))
    yield from first
    yield from steps
    for name in sorted(definitions):
        if name not in first and name not in steps and not name.endswith(SHORT_FORM):
            yield name


def _table(definition: dict[str, Any]) -> list[str]:
    required = definition.get("required", ())
    rows = []
    for field, schema in definition.get("properties", {}).items():
        default = "required" if field in required else _default(schema)
        rows.append((code(field), _type(schema), default, schema["description"]))
    return table(("field", "type", "default", "meaning"), rows)


def _default(schema: dict[str, Any]) -> str:
    value = schema.get("default")
    if value in (None, "") or isinstance(value, list | dict):
        return ""
    if isinstance(value, bool):
        return code(str(value).lower())
    return code(NANOSECONDS.get(value, str(value)) if isinstance(value, int) else str(value))


def _type(schema: dict[str, Any]) -> str:
    if "(ms|us|" in str(schema) and "properties" not in schema:
        return "duration"
    match schema:
        case {"properties": {"task": _, "conditions": _}}:
            return "{task, conditions}"
        case {"$ref": reference}:
            name = reference.rsplit("/", 1)[1]
            return f"[{name}](#{name.lower()})"
        case {"anyOf": choices} | {"oneOf": choices}:
            kinds = [_type(choice) for choice in choices if choice.get("type") != "null"]
            return " or ".join(dict.fromkeys(kind for kind in kinds if kind))
        case {"const": value}:
            return f"`{value}`"
        case {"enum": values}:
            return ", ".join(f"`{value}`" for value in values)
        case {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/RunStep"}, *_]}}:
            return "list of steps"
        case {"type": "object", "minProperties": 1, "maxProperties": 1}:
            return "{TASK: conditions}"
        case {"type": "array", "items": items}:
            return f"list of {_type(items)}"
        case {"type": "object", "properties": properties}:
            return f"{{{', '.join(properties)}}}"
        case {"type": "object", "additionalProperties": dict(values)}:
            return f"map of {_type(values)}"
        case {"type": "integer" | "number" as kind}:
            low, high = schema.get("minimum"), schema.get("maximum")
            if low is not None and high is not None and high < 2**31 - 1:
                return f"{kind}, {low} to {high}"
            return str(kind)
        case {"type": str(kind)}:
            return kind
    return "any"
