"""The gRPC server of a process: services, ports, and how it ends.

One `RpcServer` offers its services on one or several ports (api.md: executors, operators and peers can be given ports
of their own). What happens around each call is in `edge`; here is what happens around all of them: the start, the
standard health and reflection services, and the end in the order of style.md, "Time, tasks and endings".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from sluiceway.foundation.clock import IdSource, UuidSource
from sluiceway.foundation.errors import FailedPrecondition
from sluiceway.foundation.rpc.access import access_of_services
from sluiceway.foundation.rpc.caller import Authenticator, CallerKind
from sluiceway.foundation.rpc.edge import Edge, InFlight
from sluiceway.foundation.rpc.limits import SERVER_OPTIONS

__all__ = ["RpcServer"]

log = structlog.get_logger(__name__)

# What handlers get, after they were told to end, for their `finally` blocks.
_CLEANUP = timedelta(seconds=5)


class RpcServer:
    """A gRPC server. Register services with `add`, then `start` once for each port, then `drain` once."""

    def __init__(
        self,
        authenticator: Authenticator,
        *,
        ids: IdSource | None = None,
        tls: grpc.ServerCredentials | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._ids = ids or UuidSource()
        self._tls = tls
        self._handlers: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
        self._servers: list[grpc.aio.Server] = []
        self._health = health.aio.HealthServicer()
        self._in_flight = InFlight()
        self._draining = False

    def add(self, register: Callable[[Any, Any], None], servicer: object) -> None:
        """Register a service: `server.add(add_RunServiceServicer_to_server, servicer)`. Before `start` only.

        A method that the servicer does not define is not offered: it answers UNIMPLEMENTED, and reflection does not
        name it.
        """
        register(servicer, _Registry(self._handlers))

    @property
    def methods(self) -> frozenset[str]:
        """The paths (`/package.Service/Method`) that are offered."""
        return frozenset(f"/{service}/{name}" for service, handlers in self._handlers.items() for name in handlers)

    async def start(self, address: str, *, offered_to: Collection[CallerKind] | None = None) -> int:
        """Listen on an address, and serve at once; answers the port.

        Args:
            address: `host:port`; port 0 picks a free one.
            offered_to: only methods for these callers are served there; None: all. Public ones always are.

        Raises:
            FailedPrecondition: reason `ADDRESS_IN_USE`: the port is taken, or the address is not of this machine.
        """
        if not self._servers:
            await self._add_standard_services()
        edge = Edge(
            access=access_of_services(self._handlers),
            authenticator=self._authenticator,
            ids=self._ids,
            in_flight=self._in_flight,
            offered_to=None if offered_to is None else frozenset(offered_to),
        )
        server = grpc.aio.server(interceptors=[edge], options=list(SERVER_OPTIONS))
        for service, handlers in self._handlers.items():
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
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

    async def drain(self, grace: timedelta = timedelta(seconds=10)) -> None:
        """End well. May be called twice; the second call returns at once.

        Health says NOT_SERVING and new calls are refused; server streams, which never end by themselves, end with
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
        self._in_flight.interrupt(streams_only=True)
        if not await self._in_flight.wait_empty(grace):
            self._in_flight.interrupt()
            if not await self._in_flight.wait_empty(_CLEANUP):
                log.warning("rpc_handlers_left", methods=self._in_flight.methods())
        for server in self._servers:
            await server.stop(0)
        await asyncio.gather(*stops)

    async def _add_standard_services(self) -> None:
        offered = self.methods
        health_pb2_grpc.add_HealthServicer_to_server(self._health, _Registry(self._handlers))  # type: ignore[arg-type]  # only registers
        names = (*self._handlers, reflection.SERVICE_NAME)
        for service in ("", *self._handlers):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(  # type: ignore[no-untyped-call]  # ships no types
            _Reflection(names, offered), _Registry(self._handlers)
        )


def _cannot_listen(address: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"cannot listen on {address}: another process uses the port, or the address is not of this machine; "
        "choose another, or port 0 for any free one",
        reason="ADDRESS_IN_USE",
        subject=address,
    )


class _Registry:
    """What generated code takes for a server when it registers a service."""

    def __init__(self, handlers: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]]) -> None:
        self._handlers = handlers

    def add_generic_rpc_handlers(self, handlers: Sequence[object]) -> None:
        """Not needed: generated code gives the same handlers by name."""

    def add_registered_method_handlers(
        self, service: str, handlers: dict[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Keep the handlers of the methods that the servicer defines itself."""
        self._handlers[service] = {name: handler for name, handler in handlers.items() if _is_built(handler)}


def _is_built(handler: grpc.RpcMethodHandler[Any, Any]) -> bool:
    behaviour: Any = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )  # bound to the servicer; inherited from the generated base class when the servicer does not define it
    function = getattr(behaviour, "__func__", behaviour)
    return not getattr(function, "__module__", "").endswith("_pb2_grpc")


class _Reflection(reflection.aio.ReflectionServicer):
    """Standard reflection that does not know the methods that are not built: so a gateway can tell."""

    def __init__(self, names: Sequence[str], offered: frozenset[str]) -> None:
        super().__init__(names)
        self._names = frozenset(names)
        self._offered = {path[1:].replace("/", ".") for path in offered}

    def _file_containing_symbol(self, request: Any, fully_qualified_name: str) -> Any:
        symbol = fully_qualified_name
        service, _, _ = symbol.rpartition(".")
        if service in self._names:
            # The pool of descriptors knows services, not their methods.
            symbol = service if symbol in self._offered else ""
        return super()._file_containing_symbol(request, symbol)  # type: ignore[misc]  # its stubs leave it out
