"""The channel of all our clients.

A channel balances over all addresses of its target, reconnects by itself, sends the token, and retries reads, and
writes with a request id, when the server was not reached or returned UNAVAILABLE. Retries are gRPC's own, by service
config; no caller retries as well. A write whose message has an empty
`request_id` gets one here, so that every such write is safe to repeat.

Make channels inside `main()`, never at import: they belong to the event loop that runs then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from sluiceway_common.foundation.clock import IdSource, UuidSource
from sluiceway_common.foundation.rpc.limits import CHANNEL_OPTIONS

M = TypeVar("M", bound=Message)

API_SERVICES = (
    "sluiceway.api.access.v1.AccessService",
    "sluiceway.api.config.v1.ConfigService",
    "sluiceway.api.config.v1.VersionService",
    "sluiceway.api.database.v1.DatabaseService",
    "sluiceway.api.executor.v1.ExecutorAdminService",
    "sluiceway.api.executor.v1.ExecutorService",
    "sluiceway.api.peer.v1.PeerService",
    "sluiceway.api.project.v1.AuditService",
    "sluiceway.api.project.v1.BadgeService",
    "sluiceway.api.project.v1.DeliveryService",
    "sluiceway.api.project.v1.IdentityService",
    "sluiceway.api.project.v1.InvitationService",
    "sluiceway.api.project.v1.LinkedAccountService",
    "sluiceway.api.project.v1.LoginService",
    "sluiceway.api.project.v1.OrganizationService",
    "sluiceway.api.project.v1.ProjectService",
    "sluiceway.api.project.v1.QuotaService",
    "sluiceway.api.project.v1.RemoteSourceService",
    "sluiceway.api.project.v1.ScheduleService",
    "sluiceway.api.project.v1.SecretService",
    "sluiceway.api.project.v1.TokenService",
    "sluiceway.api.project.v1.UserService",
    "sluiceway.api.project.v1.VariableService",
    "sluiceway.api.project.v1.WebhookService",
    "sluiceway.api.run.v1.HoldService",
    "sluiceway.api.run.v1.RunService",
)

# For unary calls that name none: every RPC has an end.
DEFAULT_DEADLINE = timedelta(seconds=30)

_READS = ("Get", "List", "Explain", "Check", "Render", "Graph", "Watch", "Read", "Tail")
_RETRY: dict[str, object] = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def open_channel(
    target: str,
    *,
    token: str | None = None,
    tls: grpc.ChannelCredentials | None = None,
    deadline: timedelta = DEFAULT_DEADLINE,
    ids: IdSource | None = None,
) -> grpc.aio.Channel:
    """Open a channel. Nothing is dialled before the first call; close it with `await channel.close()`.

    Args:
        target: `host:port`, all of whose addresses are used in turn, or a gRPC target with a scheme (`ipv4:`, `unix:`).
        token: sent as bearer token with each call that has no `authorization` of its own.
        tls: credentials of a TLS channel; None: plain text.
        deadline: of unary calls that name no timeout.
        ids: where request ids come from.
    """
    edge = _Edge(token, deadline.total_seconds(), ids or UuidSource())
    options = [*CHANNEL_OPTIONS, ("grpc.service_config", service_config())]
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (
        _UnaryUnary(edge),
        _UnaryStream(edge),
        _StreamUnary(edge),
        _StreamStream(edge),
    )
    address = target if _has_scheme(target) else f"dns:///{target}"
    if tls is None:
        return grpc.aio.insecure_channel(address, options=options, interceptors=interceptors)
    return grpc.aio.secure_channel(address, tls, options=options, interceptors=interceptors)


@cache
def service_config() -> str:
    """Write the service config of all methods whose descriptors are linked in."""
    names: list[dict[str, str]] = []
    for name in API_SERVICES:
        try:
            service = descriptor_pool.Default().FindServiceByName(name)
        except KeyError:
            continue  # this process does not use it
        names += [{"service": name, "method": method.name} for method in service.methods if is_repeatable(method)]
    config: dict[str, object] = {
        "loadBalancingConfig": [{"round_robin": {}}],
        # When most calls fail, retries would overload the server.
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.2},
    }
    if names:
        config["methodConfig"] = [{"name": names, "retryPolicy": _RETRY}]
    return json.dumps(config)


def is_repeatable(method: MethodDescriptor) -> bool:
    """Return whether a call with an unknown outcome may be repeated unchanged."""
    if method.client_streaming:
        return False
    return method.name.startswith(_READS) or _request_id_field(method.input_type) is not None


def with_request_id(request: M, new_id: Callable[[], str]) -> M:
    """Return a copy of a write with a new `request_id` if it has none. Return anything else unchanged."""
    if _request_id_field(request.DESCRIPTOR) is None:
        return request
    if getattr(request, "request_id"):  # noqa: B009 - the field is known by its descriptor only
        return request
    own = type(request)()
    own.CopyFrom(request)
    setattr(own, "request_id", new_id())  # noqa: B010 - as above
    return own


def _request_id_field(message: Any) -> FieldDescriptor | None:
    field = message.fields_by_name.get("request_id")
    return field if field is not None and field.type == FieldDescriptor.TYPE_STRING else None


def _has_scheme(target: str) -> bool:
    return target.startswith(("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "xds:", "passthrough:"))


class _Edge:
    """Adds token, deadline and request id to calls of every kind."""

    def __init__(self, token: str | None, deadline_seconds: float, ids: IdSource) -> None:
        self._authorization = None if token is None else f"Bearer {token}"
        self._deadline_seconds = deadline_seconds
        self._ids = ids

    def details(self, details: grpc.aio.ClientCallDetails, *, unary: bool) -> grpc.aio.ClientCallDetails:
        """Add the token and the deadline, unless the call has its own."""
        metadata = details.metadata
        if self._authorization is not None and not any(key == "authorization" for key, _ in _pairs(metadata)):
            metadata = grpc.aio.Metadata(*_pairs(metadata), ("authorization", self._authorization))
        timeout = details.timeout
        if timeout is None and unary:
            timeout = self._deadline_seconds
        return grpc.aio.ClientCallDetails(
            method=details.method,
            timeout=timeout,
            metadata=metadata,
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
        )

    def request(self, request: Any) -> Any:
        """Add a request id to a write."""
        return with_request_id(request, self._ids.new_id) if isinstance(request, Message) else request


def _pairs(metadata: Any) -> Iterable[tuple[str, str | bytes]]:
    return tuple(metadata) if metadata is not None else ()


# grpc.aio uses an interceptor for one kind of call only, so there are four.


class _UnaryUnary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, edge: _Edge) -> None:
        self._edge = edge

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        details = self._edge.details(client_call_details, unary=True)
        return await continuation(details, self._edge.request(request))


class _UnaryStream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, edge: _Edge) -> None:
        self._edge = edge

    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        details = self._edge.details(client_call_details, unary=False)
        return await continuation(details, self._edge.request(request))


class _StreamUnary(grpc.aio.StreamUnaryClientInterceptor):
    def __init__(self, edge: _Edge) -> None:
        self._edge = edge

    async def intercept_stream_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request_iterator: Any
    ) -> Any:
        return await continuation(self._edge.details(client_call_details, unary=False), request_iterator)


class _StreamStream(grpc.aio.StreamStreamClientInterceptor):
    def __init__(self, edge: _Edge) -> None:
        self._edge = edge

    async def intercept_stream_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request_iterator: Any
    ) -> Any:
        return await continuation(self._edge.details(client_call_details, unary=False), request_iterator)
