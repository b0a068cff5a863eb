"""The OpenAPI document is complete and described."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from sluiceway_server.gateway.errors import HTTP_CODES
from sluiceway_server.gateway.openapi import openapi_of
from sluiceway_server.gateway.routes import rules_of


@pytest.fixture(scope="module")
def api() -> dict[str, Any]:
    return openapi_of(rules_of(), version="1")


def operations_of(api: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, verbs in api["paths"].items():
        for verb, operation in verbs.items():
            yield f"{verb.upper()} {path}", operation


def properties_of(schema: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, part in schema.get("properties", {}).items():
        yield f"{name}.{key}", part
        yield from properties_of(part, f"{name}.{key}")


def references(value: Any) -> set[str]:
    """Find all `$ref` in a document."""
    found: set[str] = set()
    if isinstance(value, dict):
        found |= {value["$ref"]} if "$ref" in value else set()
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            found |= references(part)
    return found


def test_document_is_valid_openapi(api: dict[str, Any]) -> None:
    validate(api)


def test_references_resolve_and_operation_ids_are_unique(api: dict[str, Any]) -> None:
    there = {f"#/components/{kind}/{name}" for kind, parts in api["components"].items() for name in parts}
    assert references(api) <= there
    ids = [operation["operationId"] for _, operation in operations_of(api)]
    assert len(ids) == len(set(ids)) == len(rules_of())
    for name, operation in operations_of(api):
        in_path = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert in_path == set(re.findall(r"\{([^}]*)\}", name))


def test_every_operation_and_field_has_a_description(api: dict[str, Any]) -> None:
    described = {
        **{f"tag {tag['name']}": tag for tag in api["tags"]},
        **{name: operation | {"description": operation["summary"]} for name, operation in operations_of(api)},
        **{
            f"{name} {parameter['name']}": parameter
            for name, operation in operations_of(api)
            for parameter in operation["parameters"]
        },
        **api["components"]["schemas"],
        **{
            name: part
            for schema, whole in api["components"]["schemas"].items()
            if schema != "Error"
            for name, part in properties_of(whole, schema)
        },
    }
    assert len(described) > 300
    assert [name for name, part in described.items() if not part.get("description")] == []


def test_descriptions_use_json_names_and_no_design_links(api: dict[str, Any]) -> None:
    texts = [part["description"] for part in strings(api) if isinstance(part.get("description"), str)]
    assert not [text for text in texts if re.search(r"`(page_token|next_page_token|request_id|setup_errors)`", text)]
    assert not [text for text in texts if ".md" in text]


def strings(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from strings(part)


def test_schema_has_the_format_of_each_value(api: dict[str, Any]) -> None:
    run = api["components"]["schemas"]["run.v1.Run"]["properties"]
    expected: dict[str, dict[str, Any]] = {
        "id": {"type": "string", "readOnly": True},
        "number": {"type": "string", "format": "int64", "readOnly": True},
        "createTime": {"type": "string", "format": "date-time", "readOnly": True},
        "name": {"type": "string", "maxLength": 100, "examples": ["build"]},
        "priority": {"type": "integer", "format": "int32", "minimum": -10, "maximum": 10},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 100},
        "phase": {"$ref": "#/components/schemas/run.v1.RunPhase", "readOnly": True},
    }
    for name, form in expected.items():
        assert {key: value for key, value in run[name].items() if key != "description"} == form, name
    assert "RUN_PHASE_QUEUED" in api["components"]["schemas"]["run.v1.RunPhase"]["enum"]
    assert api["components"]["schemas"]["project.v1.Secret"]["properties"]["values"]["writeOnly"]


@pytest.mark.parametrize(
    ("schema", "required"),
    [
        ("run.v1.CreateRunRequest", ["run"]),
        ("run.v1.Run", ["name", "group"]),
        ("run.v1.TaskDefinition", ["name", "runtime"]),
        ("config.v1.ConfigFiles", ["files"]),
        ("executor.v1.DrainExecutorsRequest", ["selector"]),
    ],
)
def test_schema_lists_required_fields(api: dict[str, Any], schema: str, required: list[str]) -> None:
    assert api["components"]["schemas"][schema]["required"] == required


def test_update_body_requires_no_field(api: dict[str, Any]) -> None:
    body = api["paths"]["/api/v1/projects/{projectId}"]["patch"]["requestBody"]["content"]["application/json"]
    assert "required" not in body["schema"]
    assert "id" not in body["schema"]["properties"]


@pytest.mark.parametrize(
    ("path", "verb", "codes"),
    [
        pytest.param("/api/v1/version", "get", {"200"}, id="public"),
        pytest.param("/api/v1/runs/{runId}", "get", {"200", "401", "403", "404"}, id="a read"),
        pytest.param("/api/v1/runs", "post", {"201", "401", "403", "404", "409", "413", "415"}, id="a creation"),
        pytest.param("/api/v1/runs/{runId}:stop", "post", {"204", "401", "403", "404", "413", "415"}, id="an action"),
        pytest.param("/api/v1/runs/{runId}:watch", "get", {"200", "401", "403", "404", "406"}, id="a stream"),
    ],
)
def test_every_status_is_documented(api: dict[str, Any], path: str, verb: str, codes: set[str]) -> None:
    common = {"400", "429", "500", "503", "504", "default"}
    assert set(api["paths"][path][verb]["responses"]) == codes | common


def test_error_responses_say_when_they_happen(api: dict[str, Any]) -> None:
    refused = api["paths"]["/api/v1/runs/{runId}:stop"]["post"]["responses"]
    assert "- `FAILED_PRECONDITION`: The run is not running." in refused["400"]["description"]
    assert refused["404"]["description"] == "- `NOT_FOUND`: There is no such run."


def test_every_method_lists_its_errors_with_grpc_codes() -> None:
    text = resources.files("sluiceway.api").joinpath("comments.json").read_text()
    comments = {name: text for name, text in json.loads(text).items() if "\nErrors:\n" in text}
    assert len(comments) > 40
    for name, comment in comments.items():
        lines = comment.partition("\nErrors:\n")[2].splitlines()
        found = [re.fullmatch(r"- ([A-Z_]+): [A-Z`].*\.", line) for line in lines]
        assert all(match is not None and match.group(1) in HTTP_CODES for match in found), name


def test_body_examples_are_valid_by_their_schemas(api: dict[str, Any]) -> None:
    bodies = [(n, o["requestBody"]["content"]["application/json"]) for n, o in operations_of(api) if "requestBody" in o]
    assert len(bodies) > 20
    for name, body in bodies:
        schema = {**body["schema"], "components": api["components"]}
        errors = [error.message for error in OAS31Validator(schema).iter_errors(body["example"])]
        assert errors == [], name
