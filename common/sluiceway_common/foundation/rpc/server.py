"""The gRPC server of a process: services, ports, and how it ends.

One `RpcServer` offers its services on one or several ports (api.md: executors, operators and peers can be given ports
of their own). What happens around each call is in `edge`. This module starts the server, serves the standard health and
reflection services, and stops in the order of style.md, "Time, tasks and endings".

A server whose database is unavailable keeps running: `refuse` fails every call with an error, and `serve` serves other
services on the same ports again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from sluiceway_common.foundation.clock import IdSource, UuidSource
from sluiceway_common.foundation.errors import FailedPrecondition, SluicewayError, Unavailable
from sluiceway_common.foundation.rpc.access import access_of_services
from sluiceway_common.foundation.rpc.caller import Authenticator, CallerKind
from sluiceway_common.foundation.rpc.edge import Edge, ServerState
from sluiceway_common.foundation.rpc.limits import REUSE_PORT, SERVER_OPTIONS
from sluiceway_common.foundation.rpc.offer import Handler, Handlers, InFlight, Registry, ServiceSet
from sluiceway_common.foundation.rpc.reflection import add_reflection
from sluiceway_common.foundation.rpc.requests import RequestReader

log = structlog.get_logger(__name__)

# The time that cancelled handlers get for their `finally` blocks.
_CLEANUP = timedelta(seconds=5)
_DRAINING = "this server is going away; call again"


class RpcServer:
    """A gRPC server. Register services with `add`, call `start` once for each port, then `drain` once.

    Or, for services that are replaced: call `serve` and `refuse` in turn, before and after `start`.
    """

    def __init__(
        self,
        authenticator: Authenticator | None = None,
        *,
        ids: IdSource | None = None,
        tls: grpc.ServerCredentials | None = None,
    ) -> None:
        """Without an authenticator, `add` is an error, and calls are refused until `serve` is called."""
        self._ids = ids or UuidSource()
        self._tls = tls
        self._servers: list[grpc.aio.Server] = []
        self._health = health.aio.HealthServicer()
        self._health_handlers: Handlers = {}
        health_pb2_grpc.add_HealthServicer_to_server(self._health, Registry(self._health_handlers))  # type: ignore[arg-type]  # only registers
        self._health_calls = InFlight()
        self._requests = RequestReader()
        self._known: set[str] = {""}
        self._draining = False
        self._offer = None if authenticator is None else ServiceSet(authenticator)
        self._state = self._refusing(Unavailable("this server has only just begun", reason="SERVER_STARTING"))

    def add(self, register: Callable[[Any, Any], None], servicer: object) -> None:
        """Register a service: see `ServiceSet.add`. Before `start` only."""
        if self._offer is None:
            raise RuntimeError("a server without an authenticator takes whole offers: see serve")
        self._offer.add(register, servicer)

    @property
    def methods(self) -> frozenset[str]:
        """The paths (`/package.Service/Method`) that are offered."""
        return frozenset() if self._offer is None else self._offer.methods

    async def start(
        self, address: str, *, offered_to: Collection[CallerKind] | None = None, shares_port: bool = False
    ) -> int:
        """Listen on an address, serve at once, and return the port.

        Args:
            address: `host:port`; port 0 picks a free one.
            shares_port: bind the port with SO_REUSEPORT, beside a socket of the same user that holds it and does not
                listen.
            offered_to: only methods for these callers are served there; None: all. Public ones always are.

        Raises:
            FailedPrecondition: reason `ADDRESS_IN_USE`: the port is taken, or the address is not of this machine.
        """
        if not self._servers and self._offer is not None and self._state.offer is None:
            await self.serve(self._offer)
        edge = Edge(
            lambda: self._state,
            ids=self._ids,
            requests=self._requests,
            offered_to=None if offered_to is None else frozenset(offered_to),
        )
        options = [(name, int(shares_port) if name == REUSE_PORT else value) for name, value in SERVER_OPTIONS]
        server = grpc.aio.server(interceptors=[edge], options=options)
        server.add_generic_rpc_handlers((_Current(lambda: self._state),))
        try:
            port = (
                server.add_insecure_port(address) if self._tls is None else server.add_secure_port(address, self._tls)
            )
        except RuntimeError as error:
            raise _cannot_listen(address) from error
        if port == 0:
            raise _cannot_listen(address)
        await server.start()
        self._servers.append(server)
        log.info("rpc_listening", address=address, port=port)
        return port

    async def serve(self, offer: ServiceSet) -> None:
        """Serve these services from now on. Health reports SERVING. A `ServiceSet` can be served once."""
        self._offer = offer
        handlers = {**offer.handlers, **self._health_handlers}
        add_reflection(handlers)
        self._state = ServerState(handlers, access_of_services(handlers), offer.in_flight, self._health_calls, offer)
        self._known.update(handlers)
        for service in self._known:
            served = service == "" or service in handlers
            await self._health.set(service, _SERVING if served else _NOT_SERVING)

    async def refuse(self, why: SluicewayError, *, grace: timedelta = timedelta(0)) -> None:
        """Fail every call but those of health with an error, until `serve`. Health reports NOT_SERVING.

        Calls in flight end with the same error: server streams at once, the others after `grace`. Returns
        when every handler's `finally` has run, or 5 s later, with a warning. May be called again with another error.
        """
        before, self._state = self._state, self._refusing(why)
        for service in self._known:
            await self._health.set(service, _NOT_SERVING)
        await _end(before.in_flight, why, grace)

    async def drain(self, grace: timedelta = timedelta(seconds=10)) -> None:
        """Stop gracefully. May be called twice; the second call returns at once.

        Health reports NOT_SERVING and new calls are refused; server streams, which never end by themselves, end with
        UNAVAILABLE so that their readers resume elsewhere; other calls have `grace`; then they are ended in the same
        way. Returns when every handler's `finally` has run, or 5 s later, with a warning.
        """
        if self._draining:
            return
        self._draining = True
        await self._health.enter_graceful_shutdown()
        stops = [
            asyncio.create_task(server.stop((grace + _CLEANUP).total_seconds()), name="rpc-stop")
            for server in self._servers
        ]
        why = Unavailable(_DRAINING, reason="SERVER_DRAINING")
        await asyncio.gather(_end(self._state.in_flight, why, grace), _end(self._health_calls, why, grace))
        for server in self._servers:
            await server.stop(0)
        await asyncio.gather(*stops)

    def _refusing(self, why: SluicewayError) -> ServerState:
        access = access_of_services(self._health_handlers)
        return ServerState(self._health_handlers, access, InFlight(), self._health_calls, refusal=why)


_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def _end(in_flight: InFlight, why: SluicewayError, grace: timedelta) -> None:
    in_flight.interrupt(why, streams_only=True)
    if not await in_flight.wait_empty(grace):
        in_flight.interrupt(why)
        if not await in_flight.wait_empty(_CLEANUP):
            log.warning("rpc_handlers_left", methods=in_flight.methods())


class _Current(grpc.GenericRpcHandler):
    """Finds the handler of a call in the present state of the server."""

    def __init__(self, state: Callable[[], ServerState]) -> None:
        self._state = state

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        service, _, method = handler_call_details.method[1:].partition("/")
        return self._state().handlers.get(service, {}).get(method)


def _cannot_listen(address: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"cannot listen on {address}: another process uses the port, or the address is not of this machine; "
        "choose another, or port 0 for any free one",
        reason="ADDRESS_IN_USE",
        subject=address,
    )
