"""`/.well-known/openid-configuration` and `/.well-known/jwks.json`: what verifies the id tokens of tasks.

OpenID Connect Discovery 1.0, section 4, and RFC 7517. Not routes that the descriptors give: the names of the fields are
those of these documents. Pages of other origins may read them.
"""

from __future__ import annotations

import hashlib
from typing import Any

import grpc
import grpc.aio

from sluiceway.api.project.v1 import identity_service_pb2 as pb
from sluiceway_common.foundation.errors import NotFound
from sluiceway_server.gateway.conditional import tag_is_listed
from sluiceway_server.gateway.errors import dumps
from sluiceway_server.gateway.exchange import Exchange

CONFIGURATION_PATH = "/.well-known/openid-configuration"
KEYS_PATH = "/.well-known/jwks.json"

_SECONDS = 10.0
# Less than the day for which a key is published before it signs.
_MAX_AGE_SECONDS = 300


class WellKnown:
    """Serves what the server behind a channel publishes."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._get: Any = channel.unary_unary(
            "/sluiceway.api.project.v1.IdentityService/GetIdentityProvider",
            request_serializer=pb.GetIdentityProviderRequest.SerializeToString,
            response_deserializer=pb.GetIdentityProviderResponse.FromString,
        )

    async def configuration(self, exchange: Exchange) -> None:
        """Respond with the metadata of the issuer.

        Raises:
            NotFound: the installation issues no tokens.
            AioRpcError: the server is away.
        """
        found = await self._provider(exchange)
        await _respond(
            exchange,
            {
                "issuer": found.issuer,
                "jwks_uri": found.issuer + KEYS_PATH,
                # There is none: tasks get their tokens from their executor. The specification requires the field.
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": sorted({key.alg for key in found.keys}),
                "scopes_supported": ["openid"],
                "claims_supported": list(found.claims),
            },
        )

    async def keys(self, exchange: Exchange) -> None:
        """Respond with the public keys. Errors as `configuration`."""
        names = ("kid", "kty", "alg", "use", "n", "e")
        keys = (await self._provider(exchange)).keys
        await _respond(exchange, {"keys": [{name: getattr(key, name) for name in names} for key in keys]})

    async def _provider(self, exchange: Exchange) -> pb.GetIdentityProviderResponse:
        try:
            found: pb.GetIdentityProviderResponse = await self._get(
                pb.GetIdentityProviderRequest(), timeout=_SECONDS, metadata=(("x-request-id", exchange.request_id),)
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                raise NotFound(
                    f"this installation issues no id tokens: {error.details()}",
                    resource_type="page",
                    resource_name=exchange.path,
                ) from error
            raise
        return found


async def _respond(exchange: Exchange, document: dict[str, Any]) -> None:
    body = dumps(document)
    headers = {
        "access-control-allow-origin": "*",
        "cache-control": f"public, max-age={_MAX_AGE_SECONDS}",
        "etag": f'"{hashlib.sha256(body).hexdigest()[:32]}"',
    }
    if tag_is_listed(headers["etag"], exchange.header("if-none-match"), weak=True):
        await exchange.respond(304, headers=headers)
    else:
        await exchange.respond(200, body, content_type="application/json", headers=headers)
