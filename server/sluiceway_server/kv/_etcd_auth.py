"""The token that etcd asks for once its authentication is on: https://etcd.io/docs/v3.5/op-guide/authentication/rbac/.

A token is got for user and password, and sent with each call. It ends five minutes after its last use (etcd's
`--auth-token-ttl`), with the member that gave it, and when users or roles are changed; then another one is got.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import structlog

from sluiceway_common.foundation.errors import Unauthenticated, Unavailable
from sluiceway_server.kv._etcd_api import api
from sluiceway_server.kv._etcd_member import Member, is_being_cancelled
from sluiceway_server.kv.access import EtcdAccess

log = structlog.get_logger(__name__)

_METADATA_KEY = "token"
# etcd checks these before it changes anything, so a call that failed with such an error may be sent again.
_STALE = (
    "etcdserver: invalid auth token",
    "etcdserver: user name is empty",
    "etcdserver: revision of auth store is old",
)


class Authentication:
    """The token of one store; without a user it is never needed."""

    def __init__(self, access: EtcdAccess) -> None:
        self._user = access.user
        self._password = access.password
        self._token = ""
        self._known = not access.user
        self._getting = asyncio.Lock()

    async def metadata(self, member: Member, seconds: float) -> tuple[tuple[str, str], ...]:
        """Return the metadata of a call; fetch a token first if needed.

        Args:
            member: is asked; its connection stands.
            seconds: how long that may take.

        Raises:
            Unauthenticated: etcd does not accept the user and the password.
            Unavailable: it did not respond in time. Nothing was changed.
        """
        if not self._known:
            async with self._getting:
                if not self._known:
                    self._token = await self._authenticate(member, seconds)
                    self._known = True
        return ((_METADATA_KEY, self._token),) if self._token else ()

    def renews(self, sent: tuple[tuple[str, str], ...], details: str) -> bool:
        """Return whether a call that etcd refused may be sent again, with another token.

        Args:
            sent: what `metadata` gave for it.
            details: the message of etcd.
        """
        if not self._user or not details.startswith(_STALE):
            return False
        self.forget(sent)
        return True

    def forget(self, sent: tuple[tuple[str, str], ...]) -> None:
        """Get another token for the next call, unless somebody has got one since."""
        if dict(sent).get(_METADATA_KEY, "") == self._token:
            self._known = not self._user

    async def _authenticate(self, member: Member, seconds: float) -> str:
        request: Any = api.AuthenticateRequest(name=self._user, password=self._password)
        try:
            response = await member.calls["authenticate"](request, timeout=seconds)
        except grpc.aio.AioRpcError as cause:
            details = cause.details() or cause.code().name
            if "authentication is not enabled" in details:
                log.warning("etcd_without_authentication", endpoint=member.address, user=self._user)
                return ""
            text = f"etcd at {member.address} does not accept the user {self._user!r}: {details}"
            if cause.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION):
                raise Unauthenticated(f"{text}; check --etcd-user and its password") from cause
            raise Unavailable(text) from cause
        except asyncio.CancelledError as cause:
            if is_being_cancelled():
                raise
            raise Unavailable(f"the connection to etcd at {member.address} was closed") from cause
        token: str = response.token
        return token
