"""Logins of browsers: with a token, which is checked, or with a user's password, for which the server makes a token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import grpc.aio

from sluiceway.api.access.v1 import access_service_pb2 as access_pb
from sluiceway.api.access.v1 import access_service_pb2_grpc as access_grpc
from sluiceway.api.project.v1 import user_service_pb2 as user_pb
from sluiceway.api.project.v1 import user_service_pb2_grpc as user_grpc
from sluiceway_common.foundation.rpc.admission import AUTHORIZATION_KEY
from sluiceway_common.foundation.rpc.caller import POSITION_KEY

__all__ = ["Login", "Logins"]

# A method that is for users and operators, and not for executors.
_USERS_METHOD = "/sluiceway.api.run.v1.RunService/ListRuns"


@dataclass(frozen=True, slots=True)
class Login:
    """A login that succeeded.

    Attributes:
        token: with which the session makes its calls.
        position: of the database, from which on it knows the token; empty: it has known it before.
    """

    token: str
    position: str = ""


class Logins:
    """Asks the server about logins."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout: float) -> None:
        """Use a channel to the server, with a deadline for each call, in seconds."""
        self._access: Any = access_grpc.AccessServiceStub(channel)
        self._users: Any = user_grpc.UserServiceStub(channel)
        self._timeout = timeout

    async def with_token(self, token: str, request_id: str) -> Login:
        """Check that a token is valid, and a user's or an operator's.

        Raises:
            AioRpcError: it is not, or the server cannot be asked now.
        """
        metadata = (("x-request-id", request_id), (AUTHORIZATION_KEY, f"Bearer {token}"))
        request = access_pb.CheckAccessRequest(method=_USERS_METHOD)
        await self._access.CheckAccess(request, metadata=metadata, timeout=self._timeout)
        return Login(token)

    async def with_password(self, name: str, password: str, until: datetime, request_id: str) -> Login:
        """Get a token of a user, which expires at `until`.

        Raises:
            AioRpcError: the name or the password is wrong, or the server cannot be asked now.
        """
        request = user_pb.LogInRequest(user_name=name, password=password)
        request.expire_time.FromDatetime(until)
        call = self._users.LogIn(request, metadata=(("x-request-id", request_id),), timeout=self._timeout)
        response = await call
        trailers = await call.trailing_metadata()
        position = next((str(value) for key, value in trailers or () if key == POSITION_KEY), "")
        return Login(response.token, position)
