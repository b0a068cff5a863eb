"""`GET /badges/<project>/<branch>.svg` and `.json`: badges, drawn from what the server says of a branch.

Not one of the routes that the descriptors give: project and branch have slashes, and the response is a picture. A badge
is shown by pages of other origins, so it may be embedded there.
"""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import parse_qsl

import grpc
import grpc.aio

from sluiceway.api.project.v1 import badge_service_pb2 as pb
from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.gateway.badge_pictures import DEFAULT_LABEL, badge_of, json_of, svg_of
from sluiceway_server.gateway.conditional import tag_is_listed
from sluiceway_server.gateway.exchange import Exchange
from sluiceway_server.gateway.templates import unescape

PREFIX = "/badges/"
_FORMS = {".svg": "image/svg+xml; charset=utf-8", ".json": "application/json"}
_SECONDS = 10.0
_MAX_AGE_SECONDS = 60
_MAX_FIELDS = 20
_HEADERS = {
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "cross-origin",
}


class Badges:
    """Draws badges of the projects behind one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._get: Any = channel.unary_unary(
            "/sluiceway.api.project.v1.BadgeService/GetBadge",
            request_serializer=pb.GetBadgeRequest.SerializeToString,
            response_deserializer=pb.GetBadgeResponse.FromString,
        )

    @staticmethod
    def is_badge(path: str) -> bool:
        """Return whether a path is that of a badge."""
        return path.startswith(PREFIX) and path.endswith(tuple(_FORMS))

    async def serve(self, exchange: Exchange) -> None:
        """Respond with a badge; one of a project that cannot be seen has the status 404.

        Raises:
            AioRpcError: the server is away.
        """
        form = next(form for form in _FORMS if exchange.path.endswith(form))
        query = _query(exchange.query)
        request = pb.GetBadgeRequest(
            path=_path(exchange.path.removeprefix(PREFIX).removesuffix(form)),
            run_name=query.get("run", ""),
            token=query.get("token", ""),
        )
        state = await self._state(request, exchange.request_id)
        badge = badge_of(state, query.get("label", request.run_name) or DEFAULT_LABEL)
        body = svg_of(badge) if form == ".svg" else json_of(badge)
        who = "public" if state is not None and state.is_public else "private"
        headers = {
            **_HEADERS,
            "cache-control": f"{who}, max-age={_MAX_AGE_SECONDS}",
            "etag": f'"{hashlib.sha256(body).hexdigest()[:32]}"',
        }
        if state is None:
            await exchange.respond(404, body, content_type=_FORMS[form], headers=headers)
        elif tag_is_listed(headers["etag"], exchange.header("if-none-match"), weak=True):
            await exchange.respond(304, headers=headers)
        else:
            await exchange.respond(200, body, content_type=_FORMS[form], headers=headers)

    async def _state(self, request: pb.GetBadgeRequest, request_id: str) -> pb.GetBadgeResponse | None:
        try:
            state: pb.GetBadgeResponse = await self._get(
                request, timeout=_SECONDS, metadata=(("x-request-id", request_id),)
            )
        except grpc.aio.AioRpcError as error:
            # What is no path of a project is none, whatever is wrong with it.
            if error.code() in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT}:
                return None
            raise
        return state


def _path(text: str) -> str:
    """Return a path without percent escapes; one that is not UTF-8 names nothing."""
    try:
        return unescape({"path": text})["path"]
    except InvalidInput:
        return ""


def _query(text: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(text, max_num_fields=_MAX_FIELDS, errors="replace"))
    except ValueError:
        return {}
