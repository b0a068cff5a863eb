"""Logins of browsers, with a token or with a user's password: for each the server makes a token, until the logout."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio

from sluiceway.api.project.v1 import login_service_pb2 as login_pb
from sluiceway.api.project.v1 import login_service_pb2_grpc as login_grpc
from sluiceway.api.project.v1 import user_service_pb2 as user_pb
from sluiceway.api.project.v1 import user_service_pb2_grpc as user_grpc
from sluiceway_common.foundation.rpc.admission import AUTHORIZATION_KEY
from sluiceway_common.foundation.rpc.caller import POSITION_KEY

__all__ = ["Login", "Logins"]


@dataclass(frozen=True, slots=True)
class Login:
    """A login that succeeded.

    Attributes:
        token: with which the session makes its calls.
        position: of the database, from which on it knows the token.
        expires: when the token does.
    """

    token: str
    position: str
    expires: datetime


class Logins:
    """Asks the server about logins."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout: float) -> None:
        """Use a channel to the server, with a deadline for each call, in seconds."""
        self._logins: Any = login_grpc.LoginServiceStub(channel)
        self._users: Any = user_grpc.UserServiceStub(channel)
        self._timeout = timeout

    async def with_token(self, token: str, until: datetime, request_id: str) -> Login:
        """Get a token with the rights of another one, which expires at `until` or with that one.

        Raises:
            AioRpcError: that one is not valid, or not a user's or an operator's; or the server cannot be asked now.
        """
        request = user_pb.BeginSessionRequest()
        request.expire_time.FromDatetime(until)
        call = self._users.BeginSession(request, metadata=_metadata(request_id, token), timeout=self._timeout)
        response = await call
        expires = response.expire_time.ToDatetime(tzinfo=UTC)
        return Login(response.token, await _position(call), expires)

    async def with_password(self, name: str, password: str, until: datetime, request_id: str) -> Login:
        """Get a token of a user, which expires at `until`.

        Raises:
            AioRpcError: the name or the password is wrong, or the server cannot be asked now.
        """
        request = user_pb.LogInRequest(user_name=name, password=password)
        request.expire_time.FromDatetime(until)
        call = self._users.LogIn(request, metadata=_metadata(request_id), timeout=self._timeout)
        response = await call
        return Login(response.token, await _position(call), until)

    async def end(self, token: str, request_id: str) -> None:
        """Revoke the token of a session. May be repeated.

        Raises:
            AioRpcError: it may be valid still.
        """
        request = login_pb.LogOutRequest(token=token)
        await self._logins.LogOut(request, metadata=_metadata(request_id), timeout=self._timeout)


def _metadata(request_id: str, token: str = "") -> tuple[tuple[str, str], ...]:
    authorization = ((AUTHORIZATION_KEY, f"Bearer {token}"),) if token else ()
    return (("x-request-id", request_id), *authorization)


async def _position(call: Any) -> str:
    trailers = await call.trailing_metadata()
    return next((str(value) for key, value in trailers or () if key == POSITION_KEY), "")
