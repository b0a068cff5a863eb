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

    async def begin_device(self, client_name: str = "") -> pb.BeginDeviceLoginResponse:
        """Begin a login that a person confirms in a browser. The client needs no token for this."""
        request = self._connection.request(pb.BeginDeviceLoginRequest, client_name=client_name)
        return await self._connection.call(self._stub.BeginDeviceLogin, request)

    async def get_device(self, user_code: str) -> pb.DeviceLogin:
        """Return the login of a program that waits to be confirmed."""
        request = self._connection.request(pb.GetDeviceLoginRequest, user_code=user_code)
        return (await self._connection.call(self._stub.GetDeviceLogin, request)).device_login

    async def answer_device(self, user_code: str, *, confirmed: bool) -> None:
        """Confirm or deny the login of a program, which then gets a token of the caller."""
        request = self._connection.request(pb.AnswerDeviceLoginRequest, user_code=user_code, confirmed=confirmed)
        await self._connection.call(self._stub.AnswerDeviceLogin, request)

    async def redeem_device(self, device_code: str, *, expire: datetime | None = None) -> pb.RedeemDeviceLoginResponse:
        """Return the token of a login that was confirmed, once; without one as long as it waits."""
        request = self._connection.request(pb.RedeemDeviceLoginRequest, device_code=device_code, expire_time=expire)
        return await self._connection.call(self._stub.RedeemDeviceLogin, request)

    async def log_out(self, token: str) -> None:
        """Revoke a token. Succeeds if it is not valid any more."""
        request = self._connection.request(pb.LogOutRequest, token=token)
        await self._connection.call(self._stub.LogOut, request)
