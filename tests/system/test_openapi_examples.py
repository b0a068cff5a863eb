"""OpenAPI against a real installation: its examples are accepted, its required fields are required."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openapi_schema_validator import OAS31Validator

from tests.support.installation import Installation, installation

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("openapi")) as running:
        yield running


@pytest.fixture(scope="module")
def api(here: Installation) -> dict[str, Any]:
    with here.http() as client:
        document: dict[str, Any] = client.get("/openapi.json").json()
    return document


def operations_of(api: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, verbs in api["paths"].items():
        for verb, operation in verbs.items():
            yield verb.upper(), path, operation


def call(client: httpx.Client, verb: str, path: str, operation: dict[str, Any], body: Any) -> tuple[int, Any]:
    """Call an operation with ids of nothing; return the status, and the JSON unless it is a stream."""
    query = {}
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", "nothing")
        elif parameter.get("required"):
            query[parameter["name"]] = "12345678"
    content = None if body is None else {"json": body}
    with client.stream(verb, path, params=query, **(content or {})) as answer:
        if answer.headers.get("content-type", "").startswith("application/json"):
            answer.read()
            return answer.status_code, answer.json()
        return answer.status_code, None


def body_of(operation: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Return the schema and the example of an operation's body."""
    content = operation["requestBody"]["content"]["application/json"]
    return content["schema"], content["example"]


def check_answer(api: dict[str, Any], described: dict[str, Any], answer: Any) -> None:
    """Validate a response by its schema in OpenAPI."""
    if "$ref" in described:
        described = api["components"]["responses"][described["$ref"].rpartition("/")[2]]
    schema = {**described["content"]["application/json"]["schema"], "components": api["components"]}
    assert [error.message for error in OAS31Validator(schema).iter_errors(answer)] == []


def test_openapi_examples_are_accepted_with_documented_status(here: Installation, api: dict[str, Any]) -> None:
    found: dict[str, int] = {}
    with here.http() as client:
        for verb, path, operation in operations_of(api):
            body = body_of(operation)[1] if "requestBody" in operation else None
            code, answer = call(client, verb, path, operation, body)
            found[operation["operationId"]] = code
            assert str(code) in operation["responses"], (verb, path, code)
            if code >= 400:
                # The example of a log-in names nobody.
                refusals = {"UNAUTHENTICATED"} if path.endswith(":logIn") else {"NOT_FOUND", "FAILED_PRECONDITION"}
                assert answer["error"]["status"] in refusals, (verb, path, answer)
            if answer is not None:
                check_answer(api, operation["responses"][str(code)], answer)
    assert found["RunService_CreateRun"] == 201
    assert found["ConfigService_CheckRunConfig"] == 200
    assert len(found) > 20


def required_paths(api: dict[str, Any], schema: dict[str, Any], example: Any) -> Iterator[tuple[str | int, ...]]:
    """Yield the paths in an example that its schema requires, in lists too."""
    if "$ref" in schema:
        schema = api["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if isinstance(example, list):
        for number, item in enumerate(example):
            yield from ((number, *rest) for rest in required_paths(api, schema["items"], item))
    elif isinstance(example, dict):
        yield from ((name,) for name in schema.get("required", ()))
        for name, value in example.items():
            if name in schema.get("properties", {}):
                yield from ((name, *rest) for rest in required_paths(api, schema["properties"][name], value))


def test_missing_required_field_is_named(here: Installation, api: dict[str, Any]) -> None:
    tried = []
    with here.http() as client:
        for verb, path, operation in operations_of(api):
            if "requestBody" not in operation:
                continue
            schema, example = body_of(operation)
            for place in required_paths(api, schema, example):
                lacking = copy.deepcopy(example)
                holder: Any = lacking
                for part in place[:-1]:
                    holder = holder[part]
                del holder[place[-1]]
                code, answer = call(client, verb, path, operation, lacking)
                assert code == 400, (path, place)
                named = [v["field"] for d in answer["error"]["details"] for v in d.get("fieldViolations", ())]
                assert any(str(place[-1]).lower() in field.replace("_", "").lower() for field in named), (path, place)
                tried.append((path, place))
    assert ("/api/v1/runs", ("tasks", 0, "runtime", "containers", 0, "image")) in tried
    assert ("/api/v1/runConfig:check", ("config", "files")) in tried


def test_responses_include_empty_lists(here: Installation) -> None:
    with here.http() as client:
        assert client.get("/api/v1/runs", params={"group": "/user/me/nothing"}).json() == {
            "runs": [],
            "nextPageToken": "",
        }


def test_limits_of_query_parameters_are_enforced(here: Installation, api: dict[str, Any]) -> None:
    tried = 0
    with here.http() as client:
        for verb, path, operation in operations_of(api):
            for parameter in operation["parameters"]:
                schema = parameter["schema"]
                if parameter["in"] != "query" or "maximum" not in schema or "{" in path:
                    continue
                for value, fits in ((schema["maximum"], True), (schema["maximum"] + 1, False), (-1, False)):
                    answer = client.request(verb, path, params={parameter["name"]: value})
                    assert (answer.status_code == 200) is fits, (path, parameter["name"], value)
                    tried += 1
    assert tried >= 6


def test_operation_without_a_token_is_401(here: Installation, api: dict[str, Any]) -> None:
    with httpx.Client(base_url=f"http://{here.state['http']}", timeout=30, trust_env=False, verify=False) as client:
        for verb, path, operation in operations_of(api):
            body: Any = {} if "requestBody" in operation else None
            code, _ = call(client, verb, path, operation, body)
            assert (code == 401) is bool(operation["security"]), (verb, path, code)
