"""A client that sends a large request before it reads gets the response, although the body is not read."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway_process import gateway_process

MEBIBYTE = 1024 * 1024


def ask(method: str, url: str, token: str | None, *, mebibytes: int, chunked: bool) -> tuple[int, Any]:
    """Send a request with urllib, which reads only after it has sent everything; return status and JSON."""

    def parts() -> Iterator[bytes]:
        for _ in range(mebibytes):
            yield b" " * MEBIBYTE

    data: Any = parts() if chunked else b" " * (mebibytes * MEBIBYTE)
    request = urllib.request.Request(url, data=data, method=method, headers={"content-type": "application/json"})
    if token is not None:
        request.add_header("authorization", f"Bearer {token}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
@pytest.mark.parametrize(
    ("method", "path", "token", "mebibytes", "code"),
    [
        pytest.param("POST", "/api/v1/runs", "good", 64, 413, id="too large"),
        pytest.param("POST", "/nothing", "good", 16, 404, id="no route"),
        pytest.param("PUT", "/api/v1/runs", "good", 16, 405, id="another method"),
        pytest.param("POST", "/healthz", None, 16, 405, id="another method of our own"),
        pytest.param("POST", "/api/v1/runs", None, 7, 401, id="no token"),
        pytest.param("POST", "/api/v1/runs", "bad", 7, 401, id="a bad token"),
    ],
)
async def test_client_that_sends_before_it_reads_gets_the_response(
    installation: Any, method: str, path: str, token: str | None, mebibytes: int, code: int, chunked: bool
) -> None:
    url = f"http://127.0.0.1:{installation.port}{path}"
    seen, body = await asyncio.to_thread(ask, method, url, token, mebibytes=mebibytes, chunked=chunked)
    assert seen == body["error"]["code"] == code
    assert installation.runs.requests == []


async def test_gateway_process_lingers(installation: Any, tmp_path: Path) -> None:
    # It has another event loop (uvloop) than tests have.
    with gateway_process(tmp_path, f"127.0.0.1:{installation.server_port}") as gateway:
        url = f"http://127.0.0.1:{gateway.port}/api/v1/runs"
        for chunked in (False, True):
            seen, _ = await asyncio.to_thread(ask, "POST", url, "good", mebibytes=64, chunked=chunked)
            assert seen == 413


async def test_connection_is_reused_after_a_small_unread_body(installation: Any) -> None:
    body = b'{"a": "' + b"x" * 60_000 + b'"}'
    answers = await installation.raw(
        b"POST /nothing HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
        + body
        + b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    assert answers.startswith(b"HTTP/1.1 404 ")
    assert b"HTTP/1.1 200 " in answers


async def test_closing_connection_has_connection_close(installation: Any) -> None:
    answer = await installation.raw(
        b"POST /nothing HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 1_000_000
    )
    assert b"\r\nconnection: close\r\n" in answer.lower()


def send_for_ever(port: int, *, pause: float) -> float:
    """Send an endless request; return after how many seconds the connection was closed."""
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"POST /nothing HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000000\r\n\r\n")
        try:
            while time.monotonic() < begun + 30:
                connection.sendall(b"x" * (1 if pause else MEBIBYTE))
                time.sleep(pause)
        except OSError:
            pass
    return time.monotonic() - begun


@pytest.mark.parametrize(
    ("settings", "pause"),
    [
        pytest.param({"linger_timeout": timedelta(seconds=1)}, 0.05, id="time"),
        pytest.param({"linger_bytes": 8 * MEBIBYTE}, 0.0, id="bytes"),
    ],
)
async def test_client_that_never_stops_sending_is_disconnected(
    start_installation: Any, settings: dict[str, Any], pause: float
) -> None:
    installation = await start_installation(**settings)
    assert await asyncio.to_thread(send_for_ever, installation.port, pause=pause) < 20


async def test_stopping_gateway_does_not_wait_for_senders(installation: Any) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", installation.port)
    writer.write(b"POST /nothing HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nxx")
    async with asyncio.timeout(20):
        assert (await reader.readline()).startswith(b"HTTP/1.1 404 ")
        await installation.stop_gateway()
    writer.close()
