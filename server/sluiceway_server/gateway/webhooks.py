"""`POST /webhooks/{project_id}`: deliveries of git providers, passed on to the server as they are.

Not one of the routes that the descriptors give: a signature is over the exact bytes of the body, and the sender has no
token. Nothing is checked here but sizes and numbers; who may send is decided by the server (`DeliveryService`).
"""

from __future__ import annotations

import re
from typing import Any

import grpc.aio

from sluiceway.api.project.v1 import delivery_service_pb2 as pb
from sluiceway_common.foundation.places import Places
from sluiceway_server.gateway.exchange import Exchange
from sluiceway_server.gateway.templates import unescape

__all__ = ["MAX_DELIVERY_BYTES", "PREFIX", "Webhooks"]

PREFIX = "/webhooks/"
MAX_DELIVERY_BYTES = 4 * 1024 * 1024
"""Of a body. GitHub lists up to 2,048 commits in a push, of about 1 KiB each. Providers send up to 25 MB, but so may
anybody: 8 bodies at a time are in memory before a signature is checked."""

_AT_A_TIME = 8
_WAITING = 24
# Gitea waits 5 s for a response, GitHub and GitLab 10 s.
_SECONDS = 10.0
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
        self._places = Places(_AT_A_TIME, waiting=_WAITING, what="deliveries")

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
        async with self._places.take():
            body = await exchange.body(MAX_DELIVERY_BYTES)
            headers = {name: value for name, value in exchange.headers().items() if name not in _WITHHELD}
            request = pb.ReceiveDeliveryRequest(project_id=project_id, headers=headers, body=body)
            answer = await self._receive(request, timeout=_SECONDS, metadata=(("x-request-id", exchange.request_id),))
        await exchange.respond_json(200, {"deliveryId": answer.delivery_id, "message": answer.sentence})
