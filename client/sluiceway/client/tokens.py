"""Tokens, as an operator sees them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sluiceway.api.project.v1 import token_service_pb2 as pb
from sluiceway.api.project.v1 import token_service_pb2_grpc as pb_grpc
from sluiceway.client.connection import Connection
from sluiceway.client.words import TokenKind

__all__ = ["Tokens"]


class Tokens:
    """The `TokenService`. Every method raises the errors that the comments of the proto list."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = pb_grpc.TokenServiceStub(connection.channel)

    async def create(
        self,
        name: str,
        kind: TokenKind | int | str,
        *,
        user_id: str = "",
        group: str = "",
        scopes: Sequence[str] = (),
        expire: datetime | None = None,
    ) -> tuple[pb.Token, str]:
        """Create a token, such as one of the kind `"user"`; return it with its text, which cannot be read again."""
        token = self._connection.request(
            pb.Token,
            name=name,
            kind=TokenKind.parse(kind).name_in_proto,
            user_id=user_id,
            group=group,
            scopes=scopes,
            expire_time=expire,
        )
        response = await self._connection.call(self._stub.CreateToken, pb.CreateTokenRequest(token=token))
        return response.token, response.text

    async def list(self, *, kind: TokenKind | int | str = TokenKind.UNSPECIFIED) -> Sequence[pb.Token]:
        """List tokens, by kind and name, also those that are not valid any more."""
        request = self._connection.request(pb.ListTokensRequest, kind=TokenKind.parse(kind).name_in_proto)
        return await self._connection.list_all(self._stub.ListTokens, request, "tokens")

    async def revoke(self, token_id: str) -> None:
        """Revoke a token at once. `token_id` may be the beginning of one."""
        request = self._connection.request(pb.RevokeTokenRequest, token_id=token_id)
        await self._connection.call(self._stub.RevokeToken, request)
