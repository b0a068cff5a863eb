"""What the descriptors say of HTTP, and what OpenAPI makes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway.foundation.errors import NotFound
from sluiceway.foundation.rpc.channel import API_SERVICES
from sluiceway.foundation.rpc.status import status_of
from sluiceway.gateway.errors import HttpError
from sluiceway.gateway.openapi import openapi_of
from sluiceway.gateway.routes import HTTP_SERVICES, rules_of
from sluiceway.gateway.streams import JsonLines, RawBytes, ServerSentEvents, choose_encoder

RULES = {rule.rpc.rpartition("/")[2]: rule for rule in rules_of()}


def test_every_service_for_clients_is_routed() -> None:
    not_http = {"sluiceway.api.executor.v1.ExecutorService", "sluiceway.api.peer.v1.PeerService"}
    assert set(HTTP_SERVICES) == set(API_SERVICES) - not_http


@pytest.mark.parametrize(
    ("rpc", "success"),
    [("CreateRun", 201), ("RestartRun", 201), ("StopRun", 204), ("DeleteExecutor", 204), ("GetRun", 200)],
)
def test_how_a_success_is_answered(rpc: str, success: int) -> None:
    assert RULES[rpc].success == success


def test_what_is_marked_in_the_protos_is_found() -> None:
    logs, watch = RULES["ReadLogs"], RULES["WatchRun"]
    assert (logs.request_resume, logs.response_resume, logs.response_raw) == ("offset", "next_offset", "data")
    assert (watch.request_resume, watch.response_resume, watch.response_raw) == ("after", "position", "")
    assert RULES["GetVersion"].public
    assert RULES["GetRun"].scope == "runs:read"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", ServerSentEvents),
        ("*/*", ServerSentEvents),
        ("text/html, */*;q=0.1", ServerSentEvents),
        ("text/event-stream", ServerSentEvents),
        ("text/*", ServerSentEvents),
        ("text/plain", RawBytes),
        ("text/plain, */*", RawBytes),
        ("text/plain;q=0.5, application/x-ndjson", JsonLines),
        ("APPLICATION/X-NDJSON", JsonLines),
        ("text/plain;q=0, application/*", JsonLines),
        ("image/png", None),
        ("text/plain;q=0", None),
    ],
)
def test_the_form_of_a_stream_is_chosen_by_what_is_accepted(accept: str, kind: type[Any] | None) -> None:
    if kind is None:
        with pytest.raises(HttpError) as caught:
            choose_encoder(RULES["ReadLogs"], accept)
        assert caught.value.code == 406
    else:
        assert isinstance(choose_encoder(RULES["ReadLogs"], accept), kind)


def test_an_event_cannot_be_forged_through_a_position() -> None:
    event = ServerSentEvents(RULES["WatchRun"]).message(pb.WatchRunResponse(position="a\r\ndata: x\n\n\0"))
    assert event.startswith(b"id: adata: x\ndata: {")


def test_an_error_event_is_the_error_object() -> None:
    event = ServerSentEvents(RULES["WatchRun"]).error(status_of(NotFound("none"))) or b""
    name, data = event.decode().strip().split("\n")
    assert name == "event: error"
    assert json.loads(data.removeprefix("data: "))["error"]["status"] == "NOT_FOUND"


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


def test_openapi_refers_to_nothing_that_is_not_there_and_names_every_operation_once() -> None:
    api = openapi_of(rules_of(), version="1")
    names = {f"#/components/schemas/{name}" for name in api["components"]["schemas"]}
    assert references(api) <= names
    operations = [operation for path in api["paths"].values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids)) == len(rules_of())
    for path, verbs in api["paths"].items():
        for operation in verbs.values():
            in_path = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert in_path == {part.split("}")[0] for part in path.split("{")[1:]}


def test_openapi_knows_the_forms_of_values() -> None:
    schemas = openapi_of(rules_of(), version="1")["components"]["schemas"]
    run = schemas["run.v1.Run"]["properties"]
    assert run["number"] == {"type": "string", "format": "int64"}
    assert run["createTime"] == {"type": "string", "format": "date-time"}
    assert "RUN_PHASE_QUEUED" in schemas["run.v1.RunPhase"]["enum"]
    assert run["annotations"]["additionalProperties"] == {"type": "string"}
