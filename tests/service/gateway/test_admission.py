"""A caller without permission is refused before its request is read or parsed."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.conditions import eventually
from tests.support.gateway_process import GatewayProcess, gateway_process
from tests.support.gateway_workers import slow_body, workers

JSON = {"content-type": "application/json"}
LARGE = 8 * 1024 * 1024 - 1024


def head(length: int, token: str | None = None, *lines: str) -> bytes:
    """Return the head of a request to create a run."""
    authorization = [] if token is None else [f"authorization: Bearer {token}"]
    fixed = ["host: x", "connection: close", "content-type: application/json", f"content-length: {length}"]
    return "\r\n".join(["POST /api/v1/runs HTTP/1.1", *fixed, *authorization, *lines, "", ""]).encode()


async def has_worker() -> bool:
    """Return whether a large body is or was translated by a worker."""
    return bool(workers())


async def test_call_without_a_token_is_refused_before_its_body(installation: Any) -> None:
    async with asyncio.timeout(60):
        answer = await installation.raw(head(1000))
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"CREDENTIALS_MISSING" in answer


@pytest.mark.parametrize("token", [None, "bad"])
@pytest.mark.parametrize(
    ("method", "path", "headers", "body"),
    [
        pytest.param("POST", "/api/v1/runs", JSON, b"{", id="a body that is no JSON"),
        pytest.param("POST", "/api/v1/runs", JSON, b'{"nope": 1}', id="a field that is not known"),
        pytest.param("POST", "/api/v1/runs", {"content-type": "text/plain"}, b"{}", id="a media type"),
        pytest.param("GET", "/api/v1/runs", JSON, b"{}", id="a body where none belongs"),
        pytest.param("GET", "/api/v1/runs?nope=1", {}, None, id="a parameter that is not known"),
        pytest.param("GET", "/api/v1/runs/%ff", {}, None, id="a path that is not UTF-8"),
        pytest.param("GET", "/api/v1/runs/r", {"sluice-timeout": "soon"}, None, id="a deadline"),
        pytest.param("GET", "/api/v1/runs/r:watch", {"accept": "image/png"}, None, id="a form that is not offered"),
        pytest.param("GET", "/api/v1/runs/r/tasks/t/log", {"last-event-id": "x"}, None, id="an event id"),
    ],
)
async def test_faults_are_reported_to_permitted_callers_only(
    installation: Any, token: str | None, method: str, path: str, headers: dict[str, str], body: bytes | None
) -> None:
    async with installation.client(token) as client:
        refused = await client.request(method, path, headers=headers, content=body)
    async with installation.client() as client:
        told = await client.request(method, path, headers=headers, content=body)
    assert refused.status_code == 401
    assert told.status_code in {400, 406, 415}
    assert installation.runs.requests == []


async def test_revoked_token_is_refused_before_faults_are_reported(installation: Any) -> None:
    installation.tokens.good.add("mine")
    async with installation.client("mine") as client:
        assert (await client.post("/api/v1/runs", json={})).status_code == 201
        installation.tokens.good.discard("mine")
        assert (await client.post("/api/v1/runs", json={})).status_code == 401
        assert (await client.post("/api/v1/runs", json={"nope": 1})).status_code == 401
        installation.tokens.good.add("mine")
        assert (await client.post("/api/v1/runs", json={})).status_code == 201, "a refusal is not remembered"


async def test_call_counts_for_the_limit_before_its_body_is_read(start_installation: Any) -> None:
    installation = await start_installation(max_calls=1)
    reader, writer = await asyncio.open_connection("127.0.0.1", installation.port)
    writer.write(head(2, "good") + b"{")
    await writer.drain()
    async with installation.client() as client, asyncio.timeout(60):
        while (await client.get("/api/v1/runs/r")).status_code != 429:
            pass
        writer.write(b"}")
        assert (await reader.readline()).startswith(b"HTTP/1.1 201 ")
        while (await client.get("/api/v1/runs/r")).status_code != 200:
            pass
    writer.close()


async def test_large_body_waits_while_others_are_held(start_installation: Any) -> None:
    installation = await start_installation(max_large_bodies=1)
    body = b"{}" + b" " * 100_000
    reader, writer = await asyncio.open_connection("127.0.0.1", installation.port)
    async with installation.client() as client, asyncio.timeout(60):
        writer.write(head(len(body), "good") + body[:70_000])
        await writer.drain()
        # Its first bytes were taken when its caller was admitted, which the server saw.
        waiting = asyncio.create_task(client.post("/api/v1/runs", content=body, headers=JSON))
        for _ in range(20):
            assert (await client.post("/api/v1/runs", json={})).status_code == 201, "small ones do not wait"
        assert not waiting.done()
        writer.write(body[70_000:])
        assert (await reader.readline()).startswith(b"HTTP/1.1 201 ")
        assert (await waiting).status_code == 201
    writer.close()


async def test_large_body_is_429_when_the_wait_times_out(start_installation: Any) -> None:
    installation = await start_installation(max_large_bodies=1, read_timeout=timedelta(seconds=3))
    async with installation.client() as client:
        holder = asyncio.create_task(client.post("/api/v1/runs", content=slow_body(), headers=JSON))
        await eventually(has_worker)
        answer = await client.post("/api/v1/runs", content=b"{}" + b" " * 100_000, headers=JSON)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert not holder.done()
        holder.cancel()
        await asyncio.gather(holder, return_exceptions=True)


# --- a gateway in a process of its own, so that the test takes nothing from its event loop ----------------------------


class OtherCalls:
    """Calls a gateway, one call after the other, until the block ends; keeps the statuses of the responses."""

    def __init__(self, port: int, path: str) -> None:
        self.statuses: list[int] = []
        self._port, self._path = port, path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=100)
        while not self._stop.is_set():
            connection.request("GET", self._path, headers={"authorization": "Bearer good"})
            answer = connection.getresponse()
            answer.read()
            self.statuses.append(answer.status)
            # Few calls, so that they take little of the loop's time however long all of it takes.
            time.sleep(0.05)
        connection.close()

    def __enter__(self) -> OtherCalls:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def send(port: int, data: bytes, answers: list[bytes]) -> None:
    """Send a request, and record the first bytes of the response."""
    with socket.create_connection(("127.0.0.1", port), timeout=100) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
        answers.append(connection.recv(64 * 1024))


def send_four(gateway: GatewayProcess, data: bytes, path: str) -> tuple[list[bytes], set[int], float]:
    """Send a request four times at once; return the responses, the statuses of other calls, the loop's seconds."""
    answers: list[bytes] = []
    with OtherCalls(gateway.port, path) as others:
        while len(others.statuses) < 10:
            time.sleep(0.01)
        busy = gateway.main_thread_seconds()
        senders = [threading.Thread(target=send, args=(gateway.port, data, answers)) for _ in range(4)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        busy = gateway.main_thread_seconds() - busy
    return answers, set(others.statuses), busy


TASKS = b'{"run":{"name":"x","group":"/a/b"},"tasks":[' + b'{"name":"aaaaaaaa","steps":[{"name":"s"}]},' * 40_000
LARGE_BODY = (TASKS[:-1] + b"]}").ljust(LARGE)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("token", "body", "seconds", "code"),
    [
        pytest.param(None, LARGE_BODY, 30, b"401", id="no token"),
        pytest.param("bad", LARGE_BODY, 30, b"401", id="a bad token"),
        pytest.param("good", LARGE_BODY, 100, b"201", id="a good token"),
        pytest.param("good", b'{"tasks":[' + b"1," * (LARGE // 2) + b"1]}", 100, b"400", id="a list of numbers"),
        pytest.param("good", slow_body(), 3, b"504", id="a list of nothing"),
    ],
)
async def test_four_posts_of_8_mb_do_not_delay_other_calls(
    installation: Any, tmp_path: Path, token: str | None, body: bytes, seconds: int, code: bytes
) -> None:
    with gateway_process(tmp_path, f"127.0.0.1:{installation.server_port}") as gateway:
        data = head(len(body), token, f"sluice-timeout: {seconds}") + body
        answers, statuses, busy = await asyncio.to_thread(send_four, gateway, data, "/healthz")
    assert [answer[9:12] for answer in answers] == [code] * 4
    # On the event loop, parsing them would take many seconds of it, and delay each call as long. Its processor time is
    # half a second, whatever else the machine does; a latency is not.
    assert statuses == {200}
    assert busy < 8.0


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("token", "code"), [(None, b"401"), ("good", b"400")])
async def test_chunks_of_one_byte_do_not_delay_other_calls(
    installation: Any, tmp_path: Path, token: str | None, code: bytes
) -> None:
    with gateway_process(tmp_path, f"127.0.0.1:{installation.server_port}") as gateway:
        start = head(0, token).replace(b"content-length: 0", b"transfer-encoding: chunked")
        data = start + b"1\r\n \r\n" * 1_400_000 + b"0\r\n\r\n"
        answers, statuses, busy = await asyncio.to_thread(send_four, gateway, data, "/healthz")
    assert [answer[9:12] for answer in answers] == [code] * 4
    assert statuses == {200}
    assert busy < 8.0
