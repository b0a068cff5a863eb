"""The services that a server offers at one time, the access rules in front of them, and the calls in progress.

A server whose services lose their database withdraws them, and offers new ones later on the same ports. So everything
that belongs to one such period is in one object.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, TypeAlias

import grpc
import structlog

from sluiceway.api.access.v1 import access_service_pb2_grpc
from sluiceway_common.foundation.errors import NotFound, PermissionDenied, SluicewayError, Unauthenticated
from sluiceway_common.foundation.rpc.access import Access, ResourceGuard, access_of_services
from sluiceway_common.foundation.rpc.admission import AccessServicer
from sluiceway_common.foundation.rpc.caller import Authenticator
from sluiceway_common.foundation.time_limit import time_limit

log = structlog.get_logger(__name__)

_RECHECK_SECONDS = 15.0
_RECHECK_LIMIT_SECONDS = 10.0
_RECHECKED_AT_ONCE = 50

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic for the type checker only
Handlers: TypeAlias = dict[str, dict[str, Handler]]
"""By service, by method."""


class InFlight:
    """The calls in flight."""

    def __init__(self) -> None:
        self._calls: dict[asyncio.Task[Any], tuple[str, bool]] = {}
        self._interrupted: dict[asyncio.Task[Any], SluicewayError] = {}
        self._rechecks: dict[asyncio.Task[Any], Callable[[], Awaitable[None]]] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    def enter(self, task: asyncio.Task[Any], method: str, *, stream: bool) -> None:
        """Add a call. `stream`: it is a server stream, and not a client stream."""
        self._calls[task] = (method, stream)
        self._empty.clear()

    def leave(self, task: asyncio.Task[Any]) -> None:
        """Remove a call, after its cleanup."""
        self._calls.pop(task, None)
        self._interrupted.pop(task, None)
        self._rechecks.pop(task, None)
        if not self._calls:
            self._empty.set()

    def interrupt(self, why: SluicewayError, *, streams_only: bool = False) -> None:
        """End calls with an error: their tasks are cancelled, and their `finally` blocks run."""
        for task, (_, stream) in self._calls.items():
            if stream or not streams_only:
                self._interrupt(task, why)

    def _interrupt(self, task: asyncio.Task[Any], why: SluicewayError) -> None:
        if task in self._calls and task not in self._interrupted:
            self._interrupted[task] = why
            task.cancel()

    def recheck_later(self, task: asyncio.Task[Any], check: Callable[[], Awaitable[None]]) -> None:
        """Call `check` of a call again and again while it lasts; see `recheck`."""
        self._rechecks[task] = check

    async def recheck(self) -> None:
        """End the calls whose callers may not make them any more, with the error that says why.

        A check that fails otherwise, since the database is away, says nothing: the call continues.
        """
        for number, (task, check) in enumerate(list(self._rechecks.items()), start=1):
            try:
                async with time_limit(_RECHECK_LIMIT_SECONDS):
                    await check()
            except (Unauthenticated, PermissionDenied, NotFound) as why:
                log.info("call_not_allowed_any_more", method=self._calls.get(task, ("",))[0], reason=why.reason)
                self._interrupt(task, why)
            except (SluicewayError, TimeoutError):
                return
            if number % _RECHECKED_AT_ONCE == 0:
                await asyncio.sleep(0)

    def interruption(self, task: asyncio.Task[Any]) -> SluicewayError | None:
        """Return why the server cancelled a call; None if the client did."""
        return self._interrupted.get(task)

    async def wait_empty(self, limit: timedelta) -> bool:
        """Wait until no call is left; False when some are after `limit`."""
        try:
            async with time_limit(limit.total_seconds()):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def methods(self) -> list[str]:
        """Return the methods of the calls, for a message."""
        return sorted({method for method, _ in self._calls.values()})


class ServiceSet:
    """Services that are served together. Register them with `add`, then pass it to `RpcServer.serve`."""

    def __init__(self, authenticator: Authenticator, guard: ResourceGuard | None = None) -> None:
        """Make an empty set.

        Args:
            authenticator: who knows tokens.
            guard: who knows what callers may do with resources; None: no resource has an owner here.
        """
        self.authenticator = authenticator
        self.guard = guard
        self.handlers: Handlers = {}
        self.in_flight = InFlight()
        self._access: dict[str, Access | None] = {}
        self.add(
            access_service_pb2_grpc.add_AccessServiceServicer_to_server, AccessServicer(authenticator, self.access_of)
        )

    def add(self, register: Callable[[Any, Any], None], servicer: object) -> None:
        """Register a service: `offer.add(add_RunServiceServicer_to_server, servicer)`.

        A method that the servicer does not define is not offered: calls to it return UNIMPLEMENTED, and reflection
        leaves it out.
        """
        register(servicer, Registry(self.handlers))

    async def recheck_callers(self) -> None:
        """End streams within a while after their token or the right of its caller is gone, until cancelled."""
        while True:
            await asyncio.sleep(_RECHECK_SECONDS)
            await self.in_flight.recheck()

    @property
    def methods(self) -> frozenset[str]:
        """The paths (`/package.Service/Method`) that are offered."""
        return frozenset(f"/{service}/{name}" for service, handlers in self.handlers.items() for name in handlers)

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes that the offered methods need."""
        needed = {access.scope for method in self.methods if (access := self.access_of(method)) is not None}
        return frozenset(needed - {""})

    def access_of(self, method: str) -> Access | None:
        """Return what an offered method needs of its caller; None when it is not offered, or declares nothing."""
        service, _, name = method[1:].partition("/")
        if name not in self.handlers.get(service, {}):
            return None
        if method not in self._access:
            self._access[method] = access_of_services([service]).get(method)
        return self._access[method]


class Registry:
    """Stands for a server when generated code registers a service."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    def add_generic_rpc_handlers(self, handlers: Sequence[object]) -> None:
        """Ignore them: generated code also passes the same handlers by name."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Handler]) -> None:
        """Keep the handlers of the methods that the servicer defines itself."""
        self._handlers[service] = {name: handler for name, handler in handlers.items() if _is_built(handler)}


def _is_built(handler: Handler) -> bool:
    behaviour: Any = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )  # bound to the servicer; inherited from the generated base class when the servicer does not define it
    function = getattr(behaviour, "__func__", behaviour)
    return not getattr(function, "__module__", "").endswith("_pb2_grpc")
