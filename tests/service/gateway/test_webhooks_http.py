"""`POST /webhooks/{project_id}` through a real gateway, in front of a server that notes what it gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp
import httpx
import pytest

from sluiceway.api.project.v1 import delivery_service_pb2 as pb
from sluiceway.api.project.v1 import delivery_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.errors import Unavailable
from sluiceway_common.foundation.rpc.server import RpcServer
from sluiceway_server.forges.errors import WebhookRefused
from sluiceway_server.gateway.serve import serve_gateway
from sluiceway_server.gateway.webhooks import MAX_DELIVERY_BYTES
from tests.service.gateway.conftest import Tokens
from tests.support.conditions import eventually


class Deliveries(pb_grpc.DeliveryServiceServicer):
    """Notes the requests.

    Attributes:
        fault: raised by the calls.
        faults: by how many of them; 0: all.
        held: no call ends before it is set.
    """

    def __init__(self) -> None:
        self.requests: list[pb.ReceiveDeliveryRequest] = []
        self.fault: Exception | None = None
        self.faults = 0
        self.held: asyncio.Event | None = None

    async def ReceiveDelivery(self, request: Any, context: Any) -> pb.ReceiveDeliveryResponse:  # noqa: N802 - of grpc
        self.requests.append(request)
        if self.held is not None:
            await self.held.wait()
        if self.fault is not None and (self.faults == 0 or len(self.requests) <= self.faults):
            raise self.fault
        return pb.ReceiveDeliveryResponse(delivery_id="d1", sentence="it is stored")


@dataclass
class Served:
    deliveries: Deliveries
    client: httpx.AsyncClient


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    deliveries = Deliveries()  # type: ignore[abstract]  # only what is called here
    stop = asyncio.Event()
    server = RpcServer(Tokens())
    server.add(pb_grpc.add_DeliveryServiceServicer_to_server, deliveries)
    address = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    grace = timedelta(seconds=1)
    gateway = asyncio.create_task(
        serve_gateway("127.0.0.1:0", address, stop, on_listening=listening.set_result, grace=grace)
    )
    url = f"http://127.0.0.1:{await listening}"
    async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
        yield Served(deliveries, client)
    stop.set()
    await gateway
    await server.drain(timedelta(0))


async def test_body_and_headers_are_passed_on_as_they_are(served: Served) -> None:
    body = b' {"a": 1,\r\n "a": 2}\xff'
    headers = {
        "X-Gitea-Event": "push",
        "X-Hub-Signature-256": "sha256=00",
        "Authorization": "Bearer of somebody",
        "Cookie": "a=b",
    }
    answer = await served.client.post("/webhooks/p%2F1", content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"deliveryId": "d1", "message": "it is stored"})
    (request,) = served.deliveries.requests
    assert (request.project_id, request.body) == ("p/1", body)
    assert request.headers["x-gitea-event"] == "push"
    assert request.headers["x-hub-signature-256"] == "sha256=00"
    assert not {"authorization", "cookie"} & set(request.headers)


async def test_refusal_of_the_server_is_an_error_of_the_api(served: Served) -> None:
    served.deliveries.fault = WebhookRefused("the signature is wrong")
    answer = await served.client.post("/webhooks/p", content=b"{}")
    assert answer.status_code == 401
    assert answer.json()["error"]["message"] == "the signature is wrong"


async def test_delivery_is_passed_on_when_the_server_is_back(served: Served) -> None:
    served.deliveries.fault, served.deliveries.faults = Unavailable("it is being restarted"), 3
    answer = await served.client.post("/webhooks/p", content=b"{}")
    assert (answer.status_code, len(served.deliveries.requests)) == (200, 4)


async def test_hundreds_of_deliveries_wait_for_a_slow_server(served: Served) -> None:
    served.deliveries.held = asyncio.Event()
    url = f"{served.client.base_url}/webhooks/p"
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client, asyncio.TaskGroup() as group:

        async def send() -> int:
            async with client.post(url, data=b"{}") as response:
                return response.status

        async def is_busy() -> bool:
            return len(served.deliveries.requests) >= 100

        sent = [group.create_task(send()) for _ in range(300)]
        await eventually(is_busy)
        served.deliveries.held.set()
    assert {task.result() for task in sent} == {200}
    assert len(served.deliveries.requests) == 300


@pytest.mark.parametrize("is_chunked", [False, True], ids=["declared", "chunked"])
async def test_body_of_a_delivery_has_a_limit(served: Served, is_chunked: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_DELIVERY_BYTES // 65536 + 1):
            yield b"x" * 65536

    largest = await served.client.post("/webhooks/p", content=b"x" * MAX_DELIVERY_BYTES)
    assert largest.status_code == 200
    content = chunks() if is_chunked else b"x" * (MAX_DELIVERY_BYTES + 1)
    answer = await served.client.post("/webhooks/p", content=content)
    assert answer.status_code == 413
    assert len(served.deliveries.requests) == 1


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/webhooks/p", 405),
        ("PUT", "/webhooks/p", 405),
        ("POST", "/webhooks/", 404),
        ("POST", "/webhooks/a/b", 404),
    ],
)
async def test_other_methods_and_paths_are_refused(served: Served, method: str, path: str, code: int) -> None:
    answer = await served.client.request(method, path)
    assert answer.status_code == code
    assert answer.json()["error"]["code"] == code
    assert served.deliveries.requests == []


async def test_project_that_is_not_utf8_is_refused(served: Served) -> None:
    assert (await served.client.post("/webhooks/%ff", content=b"{}")).status_code == 400
