"""Logins with the account at a git provider, and links of accounts by an authorization (OAuth 2)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sluiceway.api.project.v1 import login_service_pb2 as pb
from sluiceway.api.project.v1 import login_service_pb2_grpc as pb_grpc
from sluiceway.client.connection import Connection


class Logins:
    """The `LoginService`. Every method raises the errors that the comments of the proto list.

    A program that logs somebody in shows the `url` of an authorization to the person, and gets what the provider sends
    to its redirect URI: with it and the `flow` it calls `complete`.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = pb_grpc.LoginServiceStub(connection.channel)

    async def sources(self) -> Sequence[pb.LoginSource]:
        """List the remote sources that users log in with, by name. The client needs no token for this."""
        response = await self._connection.call(self._stub.ListLoginSources, pb.ListLoginSourcesRequest())
        return response.login_sources

    async def begin(self, remote_source: str) -> pb.Authorization:
        """Begin a login with the account at a remote source. The client needs no token for this."""
        request = self._connection.request(pb.BeginLoginRequest, remote_source_id=remote_source)
        return (await self._connection.call(self._stub.BeginLogin, request)).authorization

    async def begin_link(self, remote_source: str) -> pb.Authorization:
        """Begin to link the caller's account at a remote source."""
        request = self._connection.request(pb.BeginLinkRequest, remote_source_id=remote_source)
        return (await self._connection.call(self._stub.BeginLink, request)).authorization

    async def complete(
        self, flow: str, state: str, *, code: str = "", error: str = "", expire: datetime | None = None
    ) -> pb.CompleteAuthorizationResponse:
        """Complete an authorization with what the provider sent; a login returns a token. Must not be repeated."""
        request = self._connection.request(
            pb.CompleteAuthorizationRequest, flow=flow, state=state, code=code, error=error, expire_time=expire
        )
        return await self._connection.call(self._stub.CompleteAuthorization, request)
