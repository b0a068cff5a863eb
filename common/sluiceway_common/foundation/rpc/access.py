"""What each method needs of its caller, read from the `access` option of its descriptor. Denies by default.

Pure. An operator may call the methods of users, within the scopes of its token; every other kind of caller may call the
methods of its own kind only. A method without the option is refused to all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

from google.protobuf import descriptor_pool
from google.protobuf.message import Message

from sluiceway.api.options.v1 import options_pb2
from sluiceway_common.foundation.errors import PermissionDenied, SluicewayError, Unauthenticated
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind

# The generated stub calls it a plain FieldDescriptor.
_ACCESS: Any = options_pb2.access

_KINDS = {
    options_pb2.CALLER_PUBLIC: CallerKind.PUBLIC,
    options_pb2.CALLER_USER: CallerKind.USER,
    options_pb2.CALLER_EXECUTOR: CallerKind.EXECUTOR,
    options_pb2.CALLER_OPERATOR: CallerKind.OPERATOR,
    options_pb2.CALLER_PEER: CallerKind.PEER,
}

# Standard services that have no option of ours. They disclose nothing that is not public.
_STANDARD_PUBLIC = frozenset(
    {
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
)


class Right(IntEnum):
    """What a caller may do with a resource (`sluiceway.api.options.v1.Right`). Each contains those before it."""

    READ = options_pb2.RIGHT_READ
    CONTROL = options_pb2.RIGHT_CONTROL
    CONFIGURE = options_pb2.RIGHT_CONFIGURE
    MANAGE = options_pb2.RIGHT_MANAGE


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call a method.

    Attributes:
        kind: what the caller must be.
        scope: what its token must allow; empty: nothing.
        resource_field: the request field that names the resource on which the caller needs `right`; empty: none.
        right: what the caller must be allowed to do with that resource (`ResourceGuard`).
    """

    kind: CallerKind
    scope: str = ""
    resource_field: str = ""
    right: Right = Right.MANAGE


class ResourceGuard(Protocol):
    """Who knows what callers may do with resources."""

    async def check(self, access: Access, caller: Caller, reference: str) -> None:
        """Check that a caller has the right that a method needs on the resource that the request names.

        Raises:
            NotFound: there is no such resource, or the caller may not see it.
            PermissionDenied: the caller may see it and has not the right.
            Unavailable: it cannot be said now.
        """
        ...


def resource_of(access: Access, request: Message) -> str:
    """Return the value of the resource field of a request."""
    value: Any = request
    for name in access.resource_field.split("."):
        value = getattr(value, name)
    return str(value)


def access_of_services(names: Iterable[str]) -> Mapping[str, Access]:
    """Read the access of each method (`/package.Service/Method`) of services by full name.

    A method that declares none, and a service whose descriptor is not linked in, are absent: refuse them.
    """
    found: dict[str, Access] = {}
    for name in names:
        try:
            service = descriptor_pool.Default().FindServiceByName(name)
        except KeyError:
            continue
        for method in service.methods:
            path = f"/{name}/{method.name}"
            options = method.GetOptions()
            if options.HasExtension(_ACCESS):
                declared = options.Extensions[_ACCESS]
                if declared.caller in _KINDS:
                    right = Right(declared.right) if declared.right else Right.MANAGE
                    found[path] = Access(_KINDS[declared.caller], declared.scope, declared.resource_field, right)
            elif name in _STANDARD_PUBLIC:
                found[path] = Access(CallerKind.PUBLIC)
    return found


def check_access(
    access: Access | None, caller: Caller, *, method: str, offered_to: frozenset[CallerKind] | None = None
) -> SluicewayError | None:
    """Return the error if `caller` may not call a method, else None.

    Args:
        access: what the method needs; None: it declares nothing.
        caller: the caller; the public if there was no valid token.
        method: the path, for the message.
        offered_to: the callers that this port is for; None: all.
    """
    if access is None:
        return PermissionDenied(f"{method} does not say who may call it, so nobody may", reason="ACCESS_NOT_DECLARED")
    if access.kind is CallerKind.PUBLIC:
        return None
    if offered_to is not None and access.kind not in offered_to:
        return PermissionDenied(
            f"{method} is not offered on this port, which is for: {', '.join(sorted(offered_to))}",
            reason="WRONG_PORT",
        )
    if caller.kind is CallerKind.PUBLIC:
        return Unauthenticated(
            "this needs a token: send it as `authorization: Bearer <token>`", reason="CREDENTIALS_MISSING"
        )
    allowed = {CallerKind.USER, CallerKind.OPERATOR} if access.kind is CallerKind.USER else {access.kind}
    if caller.kind not in allowed:
        return PermissionDenied(
            f"this is for a token of kind {access.kind}; yours is of kind {caller.kind}", reason="WRONG_CALLER"
        )
    if not caller.has_scope(access.scope):
        return PermissionDenied(
            f"your token lacks the scope {access.scope}", reason="SCOPE_MISSING", metadata={"scope": access.scope}
        )
    return None
