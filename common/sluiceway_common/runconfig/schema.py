"""The JSON Schema of a configuration, for editors. Made from the model, with its short forms added. Pure.

It has the rules of the fields of the model; what spans several fields (cycles, missing parents) only `checks` finds. So
a document may satisfy the schema and fail a check, but not the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sluiceway_common.runconfig.descriptions import CONFIGURATION, DESCRIPTIONS, ITSELF
from sluiceway_common.runconfig.inputs import InputType
from sluiceway_common.runconfig.model import Config
from sluiceway_common.runconfig.step_model import STEP_MODELS
from sluiceway_common.runmodel.conditions import Condition, RetryAvoid, RetryCause

SCHEMA_ID: Final = "https://sluiceway.dev/schema/run-config-v1.json"

_NAME: Final = {"type": "string", "minLength": 1}
_NULL: Final = {"type": "null"}
_SHORT: Final = "Body"
"""The end of the name of the short form of a step."""


def json_schema() -> dict[str, Any]:
    """Make the schema (draft 2020-12)."""
    schema = Config.model_json_schema(ref_template="#/$defs/{model}")
    definitions: dict[str, Any] = schema["$defs"]
    conditions = {"enum": [c.value for c in Condition]}
    definitions["Task"]["properties"]["steps"]["items"] = _any_step(definitions)
    definitions["Task"]["properties"]["depends"]["items"] = _any_depend(conditions)
    definitions["Task"]["properties"]["approval"] = _nullable({"type": "boolean"}, {"$ref": "#/$defs/Approval"})
    definitions["Retry"]["properties"]["on"]["items"] = {"enum": [c.value for c in RetryCause]}
    definitions["Retry"]["properties"]["avoid"]["items"] = {"enum": [each.value for each in RetryAvoid]}
    definitions["Container"]["properties"]["ready"] = _nullable(
        {"type": "string"}, {"type": "integer", "minimum": 1, "maximum": 65535}, {"$ref": "#/$defs/Ready"}
    )
    rules = ({"type": "string"}, {"type": "array", "items": {"type": "string"}})
    definitions["IdToken"]["properties"]["aud"] = {
        "anyOf": [{"type": "string", "minLength": 1}, definitions["IdToken"]["properties"]["aud"]]
    }
    definitions["RefRules"]["properties"] = {"include": _nullable(*rules), "exclude": _nullable(*rules)}
    for name in ("branch", "tag", "ref", "paths"):
        definitions["When"]["properties"][name] = _nullable(*rules, {"$ref": "#/$defs/RefRules"})
    values = tuple({"type": kind} for kind in ("string", "number", "boolean"))
    definitions["When"]["properties"]["inputs"]["additionalProperties"] = {
        "anyOf": [*values, {"type": "array", "items": {"anyOf": list(values)}}, {"$ref": "#/$defs/RefRules"}]
    }
    definitions["Input"]["properties"]["type"] = {"enum": [each.value for each in InputType], "default": "string"}
    for name in ("Condition", "InputType", "RetryAvoid", "RetryCause", "Depend"):
        # The forms above have taken their place.
        definitions.pop(name, None)
    for definition in (schema, *definitions.values()):
        _simplify(definition)
    for name, definition in ((CONFIGURATION, schema), *definitions.items()):
        _describe(definition, DESCRIPTIONS[name.removesuffix(_SHORT)])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Sluiceway run configuration",
        **schema,
    }


def _nullable(*forms: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [*forms, _NULL]}


def _simplify(definition: dict[str, Any]) -> None:
    """Drop titles that only repeat names, and let a null stand for each field that may be absent."""
    definition.pop("title", None)
    required = definition.get("required", ())
    for name, form in definition.get("properties", {}).items():
        form.pop("title", None)
        if form.get("default", 0) is None:
            del form["default"]
        if isinstance(form.get("additionalProperties"), dict):
            form["additionalProperties"] = _nullable(form["additionalProperties"])
        takes_null = _NULL in form.get("anyOf", ())
        if name not in required and not takes_null:
            described = {k: form.pop(k) for k in ("default", "description") if k in form}
            definition["properties"][name] = {**_nullable(form), **described}
        elif takes_null:
            form["anyOf"] = [f for f in form["anyOf"] if f != _NULL] + [_NULL]


def _describe(definition: dict[str, Any], texts: Mapping[str, str]) -> None:
    definition["description"] = texts[ITSELF]
    for name, form in definition["properties"].items():
        definition["properties"][name] = {**form, "description": texts[name]}


def _any_step(definitions: dict[str, Any]) -> dict[str, Any]:
    forms: list[dict[str, Any]] = []
    for kind, model in STEP_MODELS.items():
        long = definitions[model.__name__]
        short = f"{model.__name__}{_SHORT}"
        definitions[short] = {
            **long,
            "properties": {n: f for n, f in long["properties"].items() if n != "type"},
            "required": [n for n in long.get("required", ()) if n != "type"],
        }
        body: dict[str, Any] = {"$ref": f"#/$defs/{short}"}
        if kind == "run":
            body = {"anyOf": [_NAME, body]}
        elif not definitions[short]["required"]:
            body = _nullable(body)
        forms += [
            {"$ref": f"#/$defs/{model.__name__}"},
            {"type": "object", "properties": {kind: body}, "required": [kind], "additionalProperties": _NULL},
        ]
    return {"anyOf": forms}


def _any_depend(condition: dict[str, Any]) -> dict[str, Any]:
    conditions = {"anyOf": [condition, {"type": "array", "items": condition, "minItems": 1}]}
    return {
        "anyOf": [
            _NAME,
            {
                "type": "object",
                "properties": {"task": _NAME, "conditions": _nullable(conditions)},
                "required": ["task"],
                "additionalProperties": False,
            },
            {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": conditions},
        ]
    }
