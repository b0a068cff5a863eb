"""`POST /webhooks/{project_id}`: deliveries of git providers, passed on to the server as they are.

Not one of the routes that the descriptors give: a signature is over the exact bytes of the body, and the sender has no
token. Nothing is checked here but sizes and numbers; who may send is decided by the server (`DeliveryService`).

Most providers send a delivery once, and give it up after 5 to 10 s. So many may wait here, a call is repeated while the
server is being restarted (a delivery that comes twice has no further effect), and what has come is passed on even if
its sender does not wait any more.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import grpc
import grpc.aio

from sluiceway.api.project.v1 import delivery_service_pb2 as pb
from sluiceway_common.foundation.backoff import backoff_seconds
from sluiceway_common.foundation.places import Places
from sluiceway_server.gateway.exchange import Exchange
from sluiceway_server.gateway.templates import unescape

__all__ = ["MAX_DELIVERY_BYTES", "PREFIX", "Webhooks"]

PREFIX = "/webhooks/"
MAX_DELIVERY_BYTES = 4 * 1024 * 1024
"""Of a body. GitHub lists up to 2,048 commits in a push, of about 1 KiB each. Providers send up to 25 MB, but so may
anybody: 8 bodies at a time are in memory before a signature is checked."""

_SMALL_BYTES = 64 * 1024
# Bodies in memory, whose senders are not known yet: at most 64 MiB of small ones, and 32 MiB of large ones. Further
# senders wait, as many as there are connections.
_SMALL_AT_A_TIME, _SMALL_WAITING = 1024, 100_000
_LARGE_AT_A_TIME, _LARGE_WAITING = 8, 256
# More at a time do not make a server faster.
_CALLS = 128
# Gitea waits 5 s for a response, GitHub and GitLab 10 s.
_SECONDS = 10.0
_CALL_SECONDS = 30.0
_RETRY_FIRST_SECONDS, _RETRY_LIMIT_SECONDS = 0.1, 1.0
# What is no business of the receiver, and would only be copied about.
_WITHHELD = frozenset({"authorization", "cookie", "proxy-authorization"})
_PROJECT = re.compile(r"[^/]{1,1024}")


class Webhooks:
    """Passes deliveries on through one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._receive: Any = channel.unary_unary(
            "/sluiceway.api.project.v1.DeliveryService/ReceiveDelivery",
            request_serializer=pb.ReceiveDeliveryRequest.SerializeToString,
            response_deserializer=pb.ReceiveDeliveryResponse.FromString,
        )
        self._small = Places(_SMALL_AT_A_TIME, waiting=_SMALL_WAITING, what="deliveries")
        self._large = Places(_LARGE_AT_A_TIME, waiting=_LARGE_WAITING, what="large deliveries")
        self._calls = asyncio.Semaphore(_CALLS)

    @staticmethod
    def project_of(path: str) -> str | None:
        """Return the project that a path names; None: it is no path of a webhook."""
        name = path.removeprefix(PREFIX)
        if not path.startswith(PREFIX) or not _PROJECT.fullmatch(name):
            return None
        return unescape({"project_id": name})["project_id"]

    async def serve(self, exchange: Exchange, project_id: str) -> None:
        """Serve one delivery.

        Raises:
            HttpError: 413.
            Unavailable: too many deliveries at a time.
            AioRpcError: the server refused it.
            ClientGone: nobody is there any more.
        """
        exchange.check_length(MAX_DELIVERY_BYTES)
        is_small = exchange.length is not None and exchange.length <= _SMALL_BYTES
        async with (self._small if is_small else self._large).take():
            body = await exchange.body(MAX_DELIVERY_BYTES)
            headers = {name: value for name, value in exchange.headers().items() if name not in _WITHHELD}
            request = pb.ReceiveDeliveryRequest(project_id=project_id, headers=headers, body=body)
            async with self._calls:
                response = await self._pass_on(request, exchange.request_id)
        await exchange.respond_json(200, {"deliveryId": response.delivery_id, "message": response.sentence})

    async def _pass_on(self, request: pb.ReceiveDeliveryRequest, request_id: str) -> pb.ReceiveDeliveryResponse:
        """Call the server, again and again while it is away and a sender waits.

        Raises:
            AioRpcError: the server refused it, or is away.
        """
        end = time.monotonic() + _SECONDS
        failures = 0
        while True:
            try:
                response: pb.ReceiveDeliveryResponse = await self._receive(
                    request, timeout=_CALL_SECONDS, metadata=(("x-request-id", request_id),)
                )
            except grpc.aio.AioRpcError as error:
                failures += 1
                pause = backoff_seconds(failures, first=_RETRY_FIRST_SECONDS, limit=_RETRY_LIMIT_SECONDS)
                if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() + pause > end:
                    raise
                await asyncio.sleep(pause)
            else:
                return response
