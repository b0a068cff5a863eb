"""Logs of containers, and commands in them over a WebSocket (`v4.channel.k8s.io`, `v5.channel.k8s.io`)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import aiodocker
import aiohttp
from aiohttp import web

from tests.fakes.kubernetes.store import ApiFault

__all__ = ["execute", "log"]

_STDIN, _STDOUT, _STDERR, _STATUS, _RESIZE = range(5)
_CLOSE = 255


async def log(request: web.Request, container: Any) -> web.StreamResponse:
    """Return the output of a container."""
    query = request.query
    options: dict[str, Any] = {"stdout": True, "stderr": True}
    if "tailLines" in query:
        options["tail"] = query["tailLines"]
    try:
        if query.get("follow", "").lower() not in {"true", "1"}:
            text = "".join(await container.log(**options)).encode()
            limit = int(query.get("limitBytes", 1 << 30))
            return web.Response(body=text[:limit], content_type="text/plain")
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        async for line in container.log(follow=True, **options):
            await response.write(line.encode())
    except aiodocker.DockerError as error:
        raise ApiFault(400, "BadRequest", str(error.message)) from error
    return response


async def execute(request: web.Request, container: Any) -> web.StreamResponse:
    """Run a command in a container, with its streams on the channels of a WebSocket."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise ApiFault(400, "BadRequest", "Upgrade request required: this server speaks WebSocket, not SPDY")
    query = request.query
    wants = {name: query.get(name, "").lower() in {"true", "1"} for name in ("stdin", "stdout", "stderr", "tty")}
    socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io", "v4.channel.k8s.io"), max_msg_size=4 << 20)
    await socket.prepare(request)
    run = await container.exec(query.getall("command"), **wants)
    try:
        async with run.start(detach=False) as stream:
            reader = asyncio.create_task(_pass_input(socket, stream)) if wants["stdin"] else None
            try:
                while (message := await stream.read_out()) is not None:
                    channel = _STDOUT if wants["tty"] or message.stream == 1 else _STDERR
                    await socket.send_bytes(bytes((channel,)) + message.data)
            finally:
                if reader is not None:
                    reader.cancel()
                    await asyncio.wait([reader])
        code = (await run.inspect())["ExitCode"]
        await socket.send_bytes(bytes((_STATUS,)) + json.dumps(_outcome(code)).encode())
    except aiodocker.DockerError as error:
        text = {"status": "Failure", "message": str(error.message), "reason": "InternalError"}
        await socket.send_bytes(bytes((_STATUS,)) + json.dumps({"metadata": {}, **text}).encode())
    except (ConnectionError, aiohttp.ClientError):
        pass
    await socket.close()
    return socket


async def _pass_input(socket: web.WebSocketResponse, stream: Any) -> None:
    """Write what the client sends; when it is gone, the command's input ends, as it does with a kubelet."""
    with contextlib.suppress(ConnectionError, RuntimeError, AssertionError, aiohttp.ClientError):
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                continue
            if message.data[0] == _STDIN and len(message.data) > 1:
                await stream.write_in(message.data[1:])
            elif message.data[0] == _CLOSE and message.data[1:] == bytes((_STDIN,)):
                break
        stream._resp.connection.transport.write_eof()


def _outcome(code: int) -> dict[str, Any]:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
