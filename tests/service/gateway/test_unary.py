"""Unary calls through a real gateway: the request at the service, and the response at the client."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import httpx
import pytest
from google.protobuf import json_format

from sluiceway.api.run.v1 import run_service_pb2 as pb

POSITION = "00000001-0000000000000007.000000"


async def test_create_is_201_with_location_position_and_resource(installation: Any) -> None:
    async with installation.client() as client:
        answer = await client.post("/api/v1/runs", json={"run": {"name": "ci", "group": "/a/b"}, "requestId": "q1"})
    assert answer.status_code == 201
    assert answer.headers["location"] == "/api/v1/runs/run%2F1"
    assert answer.headers["sluice-position"] == POSITION
    assert "set-cookie" not in answer.headers
    assert answer.json().items() >= {"id": "run/1", "number": "7", "name": "ci", "warnings": []}.items()
    assert installation.runs.requests == [pb.CreateRunRequest(run={"name": "ci", "group": "/a/b"}, request_id="q1")]


async def test_path_is_unescaped_segment_by_segment(installation: Any) -> None:
    async with installation.client() as client:
        answer = await client.get("/api/v1/runs/a%2Fb%3Astop%25")
    assert answer.status_code == 200
    assert answer.json()["id"] == "a/b:stop%"


@pytest.mark.parametrize("body", [pytest.param(None, id="no body"), pytest.param({}, id="an empty object")])
async def test_call_without_output_is_204(installation: Any, body: Any) -> None:
    async with installation.client() as client:
        answer = await client.post("/api/v1/runs/r1:stop", **({} if body is None else {"json": body}))
    assert (answer.status_code, answer.content) == (204, b"")
    assert installation.runs.requests[0].run_id == "r1"
    assert installation.runs.requests[0].request_id, "a write can be repeated only with a request id"


async def test_query_parameters_become_fields(installation: Any) -> None:
    async with installation.client() as client:
        answer = await client.get("/api/v1/runs?group=%2Fa&phase=queued&result=RUN_RESULT_FAILED&pageSize=5")
    assert answer.status_code == 200
    expected = {"group": "/a", "phase": "RUN_PHASE_QUEUED", "result": "RUN_RESULT_FAILED", "pageSize": 5}
    assert json_format.MessageToDict(installation.runs.requests[0]) == expected


async def test_gateway_passes_on_the_position_of_the_client(installation: Any) -> None:
    async with installation.client() as client:
        answer = await client.get(
            "/api/v1/runs/r",
            headers={"sluice-position": "3", "cookie": "a=b; sluice-position=5", "sec-fetch-mode": "x"},
        )
    assert installation.runs.positions == ["5"]
    assert answer.headers["set-cookie"].startswith(f"sluice-position={POSITION}; Path=/; Max-Age=60; HttpOnly;")


async def test_request_keeps_its_id_and_gets_one_otherwise(installation: Any) -> None:
    async with installation.client() as client:
        kept = await client.get("/api/v1/runs/r", headers={"x-request-id": "abc-1"})
        made = await client.get("/api/v1/runs/r", headers={"x-request-id": "not good"})
    assert kept.headers["x-request-id"] == "abc-1"
    assert len(made.headers["x-request-id"]) == 36


async def test_gateway_passes_on_the_deadline(installation: Any) -> None:
    async with installation.client() as client:
        await client.get("/api/v1/runs/r", headers={"sluice-timeout": "3.5"})
        await client.get("/api/v1/runs/r")
        installation.runs.hold = asyncio.Event()
        late = await client.get("/api/v1/runs/r", headers={"sluice-timeout": "0.2"})
        wrong = await client.get("/api/v1/runs/r", headers={"sluice-timeout": "soon"})
    assert 2 < installation.runs.remaining[0] <= 4
    assert 20 < installation.runs.remaining[1] <= 31  # gRPC rounds
    assert (late.status_code, late.json()["error"]["status"]) == (504, "DEADLINE_EXCEEDED")
    assert wrong.status_code == 400


async def test_client_that_disconnects_cancels_its_call(installation: Any) -> None:
    installation.runs.hold = asyncio.Event()
    async with installation.client() as client:
        call = asyncio.create_task(client.get("/api/v1/runs/r"))
        await installation.runs.entered.wait()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    async with asyncio.timeout(20):
        await installation.runs.left.wait()


async def test_large_response_is_compressed_when_accepted(installation: Any) -> None:
    async with installation.client() as client:
        plain = await client.get("/api/v1/runs", headers={"accept-encoding": "identity"})
        async with client.stream("GET", "/api/v1/runs", headers={"accept-encoding": "gzip"}) as answer:
            packed = b"".join([part async for part in answer.aiter_raw()])
    assert "content-encoding" not in plain.headers
    assert answer.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(packed)) == plain.json()


async def test_head_is_get_without_its_body(installation: Any) -> None:
    async with installation.client() as client:
        answer = await client.head("/api/v1/runs/r")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_busy_gateway_is_429_with_retry_after(start_installation: Any) -> None:
    installation = await start_installation(max_calls=1)
    installation.runs.hold = asyncio.Event()
    async with installation.client() as client:
        first = asyncio.create_task(client.get("/api/v1/runs/r"))
        await installation.runs.entered.wait()
        second = await client.get("/api/v1/runs/r")
        assert (second.status_code, second.headers["retry-after"]) == (429, "1")
        installation.runs.hold.set()
        assert (await first).status_code == 200


async def test_unavailable_server_is_503_until_it_is_back(installation: Any) -> None:
    async with installation.client() as client:
        assert (await client.get("/api/v1/runs/r")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
        await installation.stop_server()
        away = await client.get("/api/v1/runs/r")
        assert away.status_code == 503
        assert int(away.headers["retry-after"]) >= 1
        assert away.json()["error"]["status"] == "UNAVAILABLE"
        assert f"127.0.0.1:{installation.server_port}" in away.json()["error"]["message"]
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        await installation.start_server()
        async with asyncio.timeout(20):
            while (await client.get("/api/v1/runs/r")).status_code != 200:  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.1)
        assert (await client.get("/readyz")).status_code == 200


async def test_stopping_gateway_finishes_calls_in_flight(installation: Any) -> None:
    installation.runs.hold = asyncio.Event()
    async with installation.client() as client:
        call = asyncio.create_task(client.get("/api/v1/runs/r"))
        await installation.runs.entered.wait()
        stopping = asyncio.create_task(installation.stop_gateway())
        while True:
            try:
                async with installation.client() as other:
                    await other.get("/healthz")
            except (httpx.NetworkError, httpx.RemoteProtocolError):
                break
        installation.runs.hold.set()
        assert (await call).status_code == 200
        await stopping
