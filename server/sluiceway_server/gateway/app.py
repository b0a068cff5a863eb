"""The gateway as an ASGI application: its own pages, the routes of the API, and one shape of error for everything.

It holds no state of the installation. What a request was, and how it ended, is decided in this order: limits, CORS,
what is mounted, webhooks, badges, our own pages, then the routes that the descriptors give.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import structlog
from google.rpc import status_pb2  # type: ignore[import-untyped]  # ships no types
from grpc_health.v1 import health_pb2, health_pb2_grpc
from starlette.types import ASGIApp, Receive, Scope, Send

from sluiceway_common.foundation.clock import IdSource, UuidSource
from sluiceway_common.foundation.errors import Internal, NotFound, SluicewayError, Unavailable, Unimplemented
from sluiceway_common.foundation.rpc.admission import METHOD_NOT_OFFERED
from sluiceway_common.foundation.rpc.status import status_of
from sluiceway_common.foundation.version import VERSION
from sluiceway_server.gateway.access import AccessChecks
from sluiceway_server.gateway.badges import PREFIX as BADGES_PREFIX
from sluiceway_server.gateway.badges import Badges
from sluiceway_server.gateway.browsers import SESSION_PATH, Browsers
from sluiceway_server.gateway.calls import Calls
from sluiceway_server.gateway.conditional import tag_is_listed
from sluiceway_server.gateway.errors import CANCELLED_BY_CLIENT, HttpError, dumps, reason_of, status_from_rpc
from sluiceway_server.gateway.exchange import ClientGone, Exchange
from sluiceway_server.gateway.json_names import in_json_names
from sluiceway_server.gateway.logins import Logins
from sluiceway_server.gateway.metrics import CONTENT_TYPE, GatewayMetrics
from sluiceway_server.gateway.offered import OfferedMethods
from sluiceway_server.gateway.openapi import openapi_of
from sluiceway_server.gateway.provider_logins import BEGIN_PATH, CALLBACK_PATH, ProviderLogins
from sluiceway_server.gateway.routes import Rule, rules_of
from sluiceway_server.gateway.sessions import Sessions
from sluiceway_server.gateway.settings import GatewaySettings
from sluiceway_server.gateway.static_files import StaticFiles
from sluiceway_server.gateway.templates import RouteTable
from sluiceway_server.gateway.webhooks import PREFIX, Webhooks
from sluiceway_server.gateway.well_known import CONFIGURATION_PATH, KEYS_PATH, WellKnown

__all__ = ["GatewayApp"]

log = structlog.get_logger(__name__)

_READY_TIMEOUT_SECONDS = 2.0
_SESSION_METHODS = frozenset({"DELETE", "GET", "HEAD", "POST"})
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class GatewayApp:
    """See the module.

    Attributes:
        rules: all routes of the API.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        server: str,
        settings: GatewaySettings | None = None,
        ids: IdSource | None = None,
        mounts: Mapping[str, ASGIApp] | None = None,
        sessions: Sessions | None = None,
    ) -> None:
        """Build the application.

        Args:
            channel: to the server; stays the caller's to close.
            server: its address, for messages.
            settings: limits.
            ids: of requests and incidents.
            mounts: applications by the prefix of their paths.
            sessions: of browsers; default: sessions that end with this process.
        """
        self._settings = settings or GatewaySettings()
        self._channel = channel
        self._server = server
        self._ids = ids or UuidSource()
        self._mounts = dict(mounts or {})
        access = AccessChecks(channel)
        self._calls = Calls(channel, self._settings, server=server, ids=self._ids, access=access)
        logins = Logins(channel, timeout=self._settings.deadline.total_seconds())
        self._browsers = Browsers(sessions or Sessions(), logins)
        self._provider_logins = ProviderLogins(
            channel, self._browsers, server=server, timeout=self._settings.deadline.total_seconds()
        )
        self._webhooks = Webhooks(channel)
        self._badges = Badges(channel)
        well_known = WellKnown(channel)
        self._metrics = GatewayMetrics(lambda: self._calls.streams)
        self.rules = rules_of()
        self._table: RouteTable[Rule] = RouteTable((rule.http_method, rule.template, rule) for rule in self.rules)
        self._files = StaticFiles()
        self._own: dict[str, Callable[[Exchange], Awaitable[None]]] = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._show_metrics,
            "/openapi.json": self._openapi,
            CONFIGURATION_PATH: well_known.configuration,
            KEYS_PATH: well_known.keys,
        }
        self._offered = OfferedMethods(channel, (rule.rpc for rule in self.rules))
        # OpenAPI, and the methods that it describes.
        self._openapi_text: tuple[bytes, frozenset[str]] = (b"", frozenset())
        self._draining = False

    def drain(self) -> None:
        """Report not ready and end the open streams. Other requests in progress continue."""
        self._draining = True
        self._calls.drain()

    async def close(self) -> None:
        """Release everything but the channel, after the last request. May be called twice."""
        await self._calls.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            raise RuntimeError(f"only HTTP is served here, not {scope['type']}")
        exchange = Exchange(scope, receive, send, self._settings, self._ids.new_id())
        begun = time.monotonic()
        found = _Found()
        with structlog.contextvars.bound_contextvars(request_id=exchange.request_id):
            try:
                await self._guarded(exchange, found, scope, receive, send)
            finally:
                is_stream = found.rule is not None and found.rule.streams
                seconds = None if is_stream else time.monotonic() - begun
                self._metrics.observe(exchange.method, found.route, exchange.code or CANCELLED_BY_CLIENT, seconds)

    async def _guarded(self, exchange: Exchange, found: _Found, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._serve(exchange, found, scope, receive, send)
        except ClientGone:
            log.debug("client_gone", path=exchange.path)
        except Exception as failed:
            failure = await self._failure_of(failed, exchange)
            if not exchange.started:
                status = failure.status if found.rule is None else in_json_names(failure.status, found.rule)
                await exchange.respond_status(status, code=failure.code, headers=failure.headers)

    async def _failure_of(self, failed: Exception, exchange: Exchange) -> _Failure:
        match failed:
            case HttpError():
                return _Failure(status_of(failed.error), failed.code, failed.headers)
            case SluicewayError():
                return _Failure(status_of(failed))
            case grpc.aio.AioRpcError():
                status = status_from_rpc(failed, self._server)
                # Ignore routes whose method the server does not offer, if the path has others.
                if reason_of(status) == METHOD_NOT_OFFERED and (allowed := await self._allowed(exchange.path)):
                    return await self._failure_of(_other_method(exchange, allowed), exchange)
                return _Failure(status)
        incident = self._ids.new_id()
        log.error("request_failed", incident=incident, path=exchange.path, exc_info=failed)
        return _Failure(status_of(Internal(incident)))

    async def _serve(self, exchange: Exchange, found: _Found, scope: Scope, receive: Receive, send: Send) -> None:
        exchange.check_size()
        if await exchange.preflight():
            return
        for prefix, mounted in self._mounts.items():
            if exchange.path.startswith(prefix):
                found.route = prefix
                exchange.code = 200
                await mounted(scope, receive, send)
                return
        project_id = self._webhooks.project_of(exchange.path)
        if project_id is not None:
            found.route = PREFIX
            if exchange.method == "POST":
                await self._webhooks.serve(exchange, project_id)
            else:
                await self._refuse_method(exchange, frozenset({"POST"}))
            return
        if self._badges.is_badge(exchange.path):
            found.route = BADGES_PREFIX
            if exchange.method in {"GET", "HEAD"}:
                await self._badges.serve(exchange)
            else:
                await self._refuse_method(exchange, frozenset({"GET", "HEAD"}))
            return
        own = self._own.get(exchange.path)
        route = exchange.path if own is not None else self._files.route_of(exchange.path)
        if route is not None:
            own = own or self._files.respond
            found.route = route
            if exchange.method in {"GET", "HEAD"}:
                await own(exchange)
            else:
                await self._refuse_method(exchange, frozenset({"GET", "HEAD"}))
            return
        if exchange.path == SESSION_PATH:
            found.route = SESSION_PATH
            if exchange.method in _SESSION_METHODS:
                await self._browsers.serve(exchange)
            else:
                await self._refuse_method(exchange, _SESSION_METHODS)
            return
        if exchange.path in {BEGIN_PATH, CALLBACK_PATH}:
            found.route = exchange.path
            is_begin = exchange.path == BEGIN_PATH
            if exchange.method != ("POST" if is_begin else "GET"):
                await self._refuse_method(exchange, frozenset({"POST" if is_begin else "GET"}))
            elif is_begin:
                await self._provider_logins.begin(exchange)
            else:
                await self._provider_logins.complete(exchange)
            return
        if exchange.path == "*":
            await self._refuse_method(exchange, _METHODS)  # the whole server (RFC 9112, 3.2.4)
            return
        method = "GET" if exchange.method == "HEAD" else exchange.method
        where = self._table.find(method, exchange.path)
        if isinstance(where, frozenset):
            await self._refuse_method(exchange, await self._allowed(exchange.path))
            return
        found.rule, values = where
        found.route = found.rule.template.text
        self._browsers.admit(exchange)
        await self._calls.serve(exchange, found.rule, values)

    async def _allowed(self, path: str) -> frozenset[str]:
        """Return the HTTP methods of a path whose RPC the server offers; all of them if it cannot be asked."""
        methods = self._table.methods(path)
        if not methods:
            return methods
        try:
            offered = await self._offered.get()
        except grpc.aio.AioRpcError:
            pass
        else:
            found = {method: self._table.find(method, path) for method in methods}
            methods = frozenset(m for m, at in found.items() if not isinstance(at, frozenset) and at[0].rpc in offered)
        return methods | {"HEAD"} if "GET" in methods else methods

    async def _refuse_method(self, exchange: Exchange, allowed: frozenset[str]) -> None:
        if not allowed:
            raise NotFound(
                f"there is nothing at {exchange.path}; /openapi.json lists what there is",
                reason="ROUTE_UNKNOWN",
                resource_type="route",
                resource_name=exchange.path,
            )
        if exchange.method != "OPTIONS":
            raise _other_method(exchange, allowed)
        await exchange.respond(204, headers={"allow": ", ".join(sorted(allowed))})

    async def _healthz(self, exchange: Exchange) -> None:
        await exchange.respond_json(200, {"status": "ok"})

    async def _readyz(self, exchange: Exchange) -> None:
        if self._draining:
            raise Unavailable("this gateway is going away", reason="GATEWAY_DRAINING")
        stub: Any = health_pb2_grpc.HealthStub(self._channel)
        response = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_READY_TIMEOUT_SECONDS)
        if response.status != health_pb2.HealthCheckResponse.SERVING:
            raise Unavailable(f"the server at {self._server} does not serve now", reason="UPSTREAM_NOT_SERVING")
        await exchange.respond_json(200, {"status": "ok"})

    async def _show_metrics(self, exchange: Exchange) -> None:
        await exchange.respond(200, self._metrics.text(), content_type=CONTENT_TYPE)

    async def _openapi(self, exchange: Exchange) -> None:
        offered = await self._offered.get()
        text, described = self._openapi_text
        if not text or described != offered:
            rules = [rule for rule in self.rules if rule.rpc in offered]
            text = dumps(openapi_of(rules, version=VERSION))
            self._openapi_text = (text, offered)
        headers = {"cache-control": "no-cache", "etag": f'"{hashlib.sha256(text).hexdigest()[:32]}"'}
        if tag_is_listed(headers["etag"], exchange.header("if-none-match"), weak=True):
            await exchange.respond(304, headers=headers)
        else:
            await exchange.respond(200, text, headers=headers)


@dataclass(slots=True)
class _Found:
    """What a request turned out to be: its route for the metrics, and its rule."""

    route: str = "other"
    rule: Rule | None = None


@dataclass(frozen=True, slots=True)
class _Failure:
    """An error response: a status, its HTTP code if it is not that of the table, and headers."""

    status: status_pb2.Status
    code: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def _other_method(exchange: Exchange, allowed: frozenset[str]) -> HttpError:
    allow = ", ".join(sorted(allowed))
    return HttpError(
        Unimplemented(
            f"{exchange.method} is not for {exchange.path}; use {allow}",
            reason="METHOD_NOT_ALLOWED",
            metadata={"allow": allow},
        ),
        405,
        {"allow": allow},
    )
