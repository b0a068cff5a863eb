"""HTTP rules from the descriptors."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.foundation.rpc.channel import API_SERVICES
from sluiceway_common.foundation.rpc.status import status_of
from sluiceway_server.gateway.encoders import JsonLines, RawBytes, ServerSentEvents, choose_encoder
from sluiceway_server.gateway.errors import HttpError
from sluiceway_server.gateway.routes import HTTP_SERVICES, rules_of

RULES = {rule.rpc.rpartition("/")[2]: rule for rule in rules_of()}


def test_every_service_for_clients_is_routed() -> None:
    not_http = {
        "sluiceway.api.access.v1.AccessService",
        "sluiceway.api.executor.v1.ExecutorService",
        "sluiceway.api.peer.v1.PeerService",
    }
    assert set(HTTP_SERVICES) == set(API_SERVICES) - not_http


def test_rule_can_be_pickled() -> None:
    for rule in rules_of():
        assert pickle.loads(pickle.dumps(rule)) == rule


@pytest.mark.parametrize(
    ("rpc", "success"),
    [("CreateRun", 201), ("RestartRun", 201), ("StopRun", 204), ("DeleteExecutor", 204), ("GetRun", 200)],
)
def test_success_status_follows_the_rule(rpc: str, success: int) -> None:
    assert RULES[rpc].success == success


def test_http_annotations_of_protos_are_found() -> None:
    logs, watch = RULES["ReadLogs"], RULES["WatchRun"]
    assert (logs.request_resume, logs.response_resume, logs.response_raw) == ("offset", "next_offset", "data")
    assert (watch.request_resume, watch.response_resume, watch.response_raw) == ("after", "position", "")
    assert RULES["GetVersion"].public
    assert RULES["GetRun"].scope == "runs:read"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", RawBytes),
        ("*/*", RawBytes),
        ("text/html, */*;q=0.1", RawBytes),
        ("text/event-stream", ServerSentEvents),
        ("text/event-stream, */*", ServerSentEvents),
        ("text/*", RawBytes),
        ("application/octet-stream", RawBytes),
        ("text/plain;q=0, */*", ServerSentEvents),
        ("text/plain", RawBytes),
        ("text/plain, */*", RawBytes),
        ("text/plain;q=0.5, application/x-ndjson", JsonLines),
        ("APPLICATION/X-NDJSON", JsonLines),
        ("text/plain;q=0, application/*", JsonLines),
        ("image/png", None),
        ("text/plain;q=0", None),
    ],
)
def test_stream_format_is_chosen_by_accept(accept: str, kind: type[Any] | None) -> None:
    if kind is None:
        with pytest.raises(HttpError) as caught:
            choose_encoder(RULES["ReadLogs"], accept)
        assert caught.value.code == 406
    else:
        assert isinstance(choose_encoder(RULES["ReadLogs"], accept), kind)


@pytest.mark.parametrize("accept", ["", "*/*", "text/*"])
def test_message_stream_is_server_sent_events_by_default(accept: str) -> None:
    assert isinstance(choose_encoder(RULES["WatchRun"], accept), ServerSentEvents)


def test_event_cannot_be_forged_through_a_position() -> None:
    event = ServerSentEvents(RULES["WatchRun"]).message(pb.WatchRunResponse(position="a\r\ndata: x\n\n\0"))
    assert event.startswith(b"id: adata: x\ndata: {")


def test_error_event_is_the_error_object() -> None:
    event = ServerSentEvents(RULES["WatchRun"]).error(status_of(NotFound("none"))) or b""
    name, data = event.decode().strip().split("\n")
    assert name == "event: failure"
    assert json.loads(data.removeprefix("data: "))["error"]["status"] == "NOT_FOUND"
