"""Whether a call may proceed: its token is authenticated, and its method's access is checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import grpc.aio

from sluiceway.api.access.v1 import access_service_pb2 as pb
from sluiceway.api.access.v1 import access_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.errors import Unauthenticated, Unimplemented
from sluiceway_common.foundation.rpc.access import Access, check_access
from sluiceway_common.foundation.rpc.caller import PUBLIC, Authenticator, Caller, CallerKind

AUTHORIZATION_KEY = "authorization"
METHOD_NOT_OFFERED = "METHOD_NOT_OFFERED"

# Generic for the type checker only.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


async def admit(
    method: str,
    access: Access | None,
    authenticator: Authenticator | None,
    authorization: Sequence[str | bytes],
    *,
    offered_to: frozenset[CallerKind] | None = None,
) -> Caller:
    """Authenticate the caller of a method, and check that it may call it.

    Args:
        method: its path, for messages.
        access: what it needs; None: it declares nothing.
        authenticator: of tokens; None: there are no tokens, and every caller is the public.
        authorization: all `authorization` entries of the call's metadata. They are ignored for a public method.
        offered_to: the callers that this port is for; None: all.

    Raises:
        Unauthenticated: the method needs a token, and the call has no token, several, or an invalid one.
        PermissionDenied: the token is of the wrong kind or lacks the scope, or this is the wrong port.
        Unavailable: the token cannot be looked up now.
    """
    caller = PUBLIC
    is_public = access is not None and access.kind is CallerKind.PUBLIC
    if len(authorization) > 1 and not is_public:
        # A proxy in front of the server may have used another one.
        raise Unauthenticated(
            "the call has more than one `authorization` entry; send one", reason="CREDENTIALS_AMBIGUOUS"
        )
    token = _bearer(authorization[0]) if authorization else ""
    if token and authenticator is not None and not is_public:
        found = await authenticator.authenticate(token)
        if found is None:
            raise Unauthenticated(
                "the token is not known, has expired or was revoked; get another one", reason="CREDENTIALS_INVALID"
            )
        caller = found
    refusal = check_access(access, caller, method=method, offered_to=offered_to)
    if refusal is not None:
        raise refusal
    return caller


def not_offered(method: str) -> Unimplemented:
    """Make the error for a method that this server does not have."""
    return Unimplemented(f"this server does not offer {method}", reason=METHOD_NOT_OFFERED)


class AccessServicer(pb_grpc.AccessServiceServicer):
    """`AccessService`, for the methods of one offer."""

    def __init__(self, authenticator: Authenticator, access: Callable[[str], Access | None]) -> None:
        """Create the servicer.

        Args:
            authenticator: of tokens.
            access: returns what a method needs of its caller; None for one that is not offered.
        """
        self._authenticator = authenticator
        self._access = access

    async def CheckAccess(self, request: pb.CheckAccessRequest, context: Context) -> pb.CheckAccessResponse:  # noqa: N802 - named by the proto
        access = self._access(request.method)
        if access is None:
            raise not_offered(request.method)
        await admit(request.method, access, self._authenticator, authorization_of(context))
        return pb.CheckAccessResponse()


def authorization_of(context: Context) -> Sequence[str | bytes]:
    """Return all `authorization` entries of a call's metadata."""
    return [value for key, value in context.invocation_metadata() or () if key == AUTHORIZATION_KEY]


def _bearer(value: str | bytes) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    scheme, _, token = text.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
