"""Tokens, as an operator sees them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sluiceway.api.project.v1 import token_service_pb2 as pb
from sluiceway.api.project.v1 import token_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from sluiceway.client.connection import Connection

__all__ = ["Tokens"]


class Tokens:
    """The `TokenService`. Every method raises the errors that the comments of the proto list."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = pb_grpc.TokenServiceStub(connection.channel)

    async def create(
        self,
        name: str,
        kind: pb.TokenKind,
        *,
        user_id: str = "",
        group: str = "",
        scopes: Sequence[str] = (),
        expire: datetime | None = None,
    ) -> tuple[pb.Token, str]:
        """Create a token; returns it with its text, which cannot be read again."""
        token = pb.Token(name=name, kind=kind, user_id=user_id, group=group, scopes=scopes)
        if expire is not None:
            token.expire_time.FromDatetime(expire)
        answer = await self._connection.call(self._stub.CreateToken, pb.CreateTokenRequest(token=token))
        return answer.token, answer.text

    async def list(self, *, kind: pb.TokenKind = pb.TOKEN_KIND_UNSPECIFIED) -> Sequence[pb.Token]:
        """List tokens, by kind and name, also those that are not valid any more."""
        tokens: list[pb.Token] = []
        page_token = ""
        while True:
            request = pb.ListTokensRequest(kind=kind, page_token=page_token)
            answer = await self._connection.call(self._stub.ListTokens, request)
            tokens.extend(answer.tokens)
            page_token = answer.next_page_token
            if not page_token:
                return tokens

    async def revoke(self, token_id: str) -> None:
        """Revoke a token at once. `token_id` may be the beginning of one."""
        await self._connection.call(self._stub.RevokeToken, pb.RevokeTokenRequest(token_id=token_id))
