"""HTTP requests of a parent to its children. Each blocks for at most some seconds: call them in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
from http import HTTPStatus
from pathlib import Path

from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.app.addresses import split_address

_TIMEOUT_SECONDS = 2.0


def get(address: str, path: str, token: str | None = None) -> bytes | None:
    """Return the body of a response; None if its status is not 200."""
    status, body = _ask(address, path, token)
    return body if status == HTTPStatus.OK else None


def refusal(address: str) -> str:
    """Return what a server that is not ready says about it; empty if it says nothing."""
    status, body = _ask(address, "/api/v1/version", None)
    if status != HTTPStatus.SERVICE_UNAVAILABLE:
        return ""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return ""


async def responds_on_socket(path: Path) -> bool:
    """Return whether an HTTP server responds on a unix socket, with any status."""
    folder = -1
    try:
        # Through the open folder: the address of a socket has at most 107 bytes.
        folder = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
        async with time_limit(_TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{folder}/{path.name}")
            try:
                writer.write(b"GET /health HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n")
                return bool(await reader.read(1))
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    finally:
        if folder >= 0:
            os.close(folder)


def _ask(address: str, path: str, token: str | None) -> tuple[int, bytes]:
    """Return status and body; status 0 if there was no response."""
    host, port = split_address(address)
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        return response.status, body
