"""Runs a gateway: what the composition roots call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import structlog
from starlette.types import ASGIApp

from sluiceway_common.foundation.rpc.address import secure_target
from sluiceway_common.foundation.rpc.channel import open_channel
from sluiceway_server.gateway.app import GatewayApp
from sluiceway_server.gateway.listener import HttpListener, bind
from sluiceway_server.gateway.sessions import Sessions
from sluiceway_server.gateway.settings import GatewaySettings

__all__ = ["serve_gateway"]

log = structlog.get_logger(__name__)


class _Stop(Protocol):
    async def wait(self) -> object: ...


async def serve_gateway(
    http: str,
    server: str,
    stop: _Stop,
    *,
    settings: GatewaySettings | None = None,
    ca_file: Path | None = None,
    insecure: bool = False,
    on_listening: Callable[[int], None] | None = None,
    mounts: Mapping[str, ASGIApp] | None = None,
    session_key: bytes | None = None,
    grace: timedelta = timedelta(seconds=10),
) -> None:
    """Serve HTTP until `stop`, then drain: not ready, streams ended, calls in flight up to `grace`.

    The server need not be there yet; it is found when it comes, and again when it comes back.

    Args:
        http: the address to listen on, `host:port`; port 0 picks a free one.
        server: the address of the gRPC server, `host:port` or `https://host:port`.
        stop: `foundation.lifecycle.Stop`, or anything that can be waited for.
        settings: limits.
        ca_file: connect to the server with TLS, and trust the authorities in this file.
        insecure: send the tokens of callers over a plain connection to another machine.
        on_listening: called with the port once connections are accepted.
        mounts: applications by prefix of path.
        session_key: of the sessions of browsers; None: they end with this gateway.
        grace: for what is in flight at the end.

    Raises:
        FailedPrecondition: reason `ADDRESS_IN_USE`.
        InvalidInput: `http` or `server` is no address, or (`TOKEN_IN_CLEAR`) tokens would be sent in clear.
    """
    chosen = settings or GatewaySettings()
    target, tls = secure_target(server, ca_file=ca_file, insecure=insecure)
    taken = bind(http)
    port: int = taken.getsockname()[1]
    channel = open_channel(target, tls=tls, deadline=chosen.deadline)
    app = GatewayApp(channel, server=server, settings=chosen, mounts=mounts, sessions=Sessions(session_key))
    try:
        listener = HttpListener(app, taken, chosen, grace_seconds=max(1, round(grace.total_seconds())))
        taken.listen(2048)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(listener.run(), name="http-listener")
            log.info("http_listening", address=http, port=port, server=server)
            if on_listening is not None:
                on_listening(port)
            waiting = group.create_task(stop.wait(), name="gateway-stop")
            await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
            app.drain()
            listener.stop()
            waiting.cancel()
    finally:
        taken.close()
        await app.close()
        await channel.close()
