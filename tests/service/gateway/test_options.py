"""The effects of the options of `sluice gateway`, through a real process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.gateway_process import gateway_process

OPTIONS = ("--cors-origin", "https://ci.example.org", "--max-body-bytes", "1Ki", "--read-timeout", "300ms")


async def test_options_set_origins_limits_and_timeouts(installation: Any, tmp_path: Path) -> None:
    with gateway_process(tmp_path, f"127.0.0.1:{installation.server_port}", OPTIONS) as gateway:
        url = f"http://127.0.0.1:{gateway.port}"
        headers = {"authorization": "Bearer good"}
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, verify=False) as client:
            asked = {"origin": "https://ci.example.org", "access-control-request-method": "POST"}
            preflight = await client.options("/api/v1/runs", headers=asked)
            assert preflight.headers["access-control-allow-origin"] == "https://ci.example.org"
            assert (await client.post("/api/v1/runs", json={"requestId": "x" * 2000})).status_code == 413
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        async with asyncio.timeout(20):
            assert await reader.read() == b"", "a request that does not come is not waited for"
        writer.close()


async def test_connection_over_the_limit_is_503(start_installation: Any) -> None:
    installation = await start_installation(max_connections=1)
    async with installation.client() as client, asyncio.timeout(20):
        assert (await client.get("/healthz")).status_code == 200
        answer = await installation.raw(b"")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in answer
        assert b"GATEWAY_BUSY" in answer
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("option", [("--max-calls", "0"), ("--deadline", "1h")])
async def test_gateway_with_wrong_options_does_not_start(
    installation: Any, tmp_path: Path, option: tuple[str, str]
) -> None:
    with (
        pytest.raises(AssertionError, match=option[0]),
        gateway_process(tmp_path, f"127.0.0.1:{installation.server_port}", option),
    ):
        pass
