"""What happens around every call on a server, whatever it does.

From the outside in: a handler that raises CancelledError by itself is caught, since grpc.aio would leave its caller
waiting in silence; errors become a status with details, and what is not of our family an incident whose cause goes to
the log only; the call stands in the in-flight set until its last `finally` has run; the caller is found and the
method's access is checked, deny by default; the request's id is bound to the log's context.

A stream is served by writing each message from the call's own task. grpc.aio would iterate over a generator too, but
leaves one that it stops half-way to the garbage collector, and its `finally` blocks with it.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from datetime import timedelta
from typing import Any, TypeAlias, cast

import grpc
import grpc.aio
import structlog

from sluiceway.foundation.clock import IdSource
from sluiceway.foundation.errors import Internal, SluicewayError, Unauthenticated, Unavailable, Unimplemented
from sluiceway.foundation.rpc.access import Access, check_access
from sluiceway.foundation.rpc.caller import POSITION_KEY, PUBLIC, Authenticator, Caller, CallerKind, as_caller
from sluiceway.foundation.rpc.status import DETAILS_KEY, status_of

__all__ = ["REQUEST_ID_KEY", "Edge", "InFlight"]

log = structlog.get_logger(__name__)

REQUEST_ID_KEY = "x-request-id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
_CODES = {code.value[0]: code for code in grpc.StatusCode}

# Generic for the type checker only.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class InFlight:
    """The calls that are being served."""

    def __init__(self) -> None:
        self._calls: dict[asyncio.Task[Any], tuple[str, bool]] = {}
        self._interrupted: set[asyncio.Task[Any]] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def enter(self, task: asyncio.Task[Any], method: str, *, stream: bool) -> None:
        """Note that a call began. `stream`: the server's side is one, the client's is not."""
        self._calls[task] = (method, stream)
        self._empty.clear()

    def leave(self, task: asyncio.Task[Any]) -> None:
        """Note that a call is over, with all of its cleaning up."""
        self._calls.pop(task, None)
        self._interrupted.discard(task)
        if not self._calls:
            self._empty.set()

    def interrupt(self, *, streams_only: bool = False) -> None:
        """End calls with UNAVAILABLE, through a cancellation that their `finally` blocks see."""
        for task, (_, stream) in self._calls.items():
            if (stream or not streams_only) and task not in self._interrupted:
                self._interrupted.add(task)
                task.cancel()

    def was_interrupted(self, task: asyncio.Task[Any]) -> bool:
        """Tell whether it is us, and not the client, who cancelled a call."""
        return task in self._interrupted

    async def wait_empty(self, limit: timedelta) -> bool:
        """Wait until no call is left; False when some are after `limit`."""
        try:
            async with asyncio.timeout(limit.total_seconds()):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def methods(self) -> list[str]:
        """Name the methods of the calls, for a message."""
        return sorted({method for method, _ in self._calls.values()})


class Edge(grpc.aio.ServerInterceptor):
    """The one interceptor of a port."""

    def __init__(
        self,
        *,
        access: Mapping[str, Access],
        authenticator: Authenticator,
        ids: IdSource,
        in_flight: InFlight,
        offered_to: frozenset[CallerKind] | None = None,
    ) -> None:
        self._access = access
        self._authenticator = authenticator
        self._ids = ids
        self._in_flight = in_flight
        self._offered_to = offered_to
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """See grpc.aio.ServerInterceptor."""
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        if handler is None:
            return self._not_offered(method)  # not kept: its name is the client's
        made = self._wrap(method, handler)
        self._wrapped[method] = made
        return made

    def _wrap(self, method: str, handler: Handler) -> Handler:
        behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        streams = handler.response_streaming
        kind = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[handler.request_streaming, streams]

        async def serve(request: Any, context: Context) -> Any:
            async def run() -> Any:
                if streams:
                    return await _write_all(cast(Any, behaviour)(request, context), context)
                return await cast(Any, behaviour)(request, context)

            return await self._around(
                method, context, run, stream=streams and not handler.request_streaming, checked=True
            )

        return cast("Handler", cast(Any, kind)(serve, handler.request_deserializer, handler.response_serializer))

    def _not_offered(self, method: str) -> Handler:
        async def refuse(request_iterator: AsyncIterator[bytes], context: Context) -> None:
            async def run() -> None:
                raise Unimplemented(f"this server does not offer {method}", reason="METHOD_NOT_OFFERED")

            await self._around(method, context, run, stream=False, checked=False)

        return grpc.stream_stream_rpc_method_handler(cast(Any, refuse))

    async def _around(
        self, method: str, context: Context, run: Callable[[], Awaitable[Any]], *, stream: bool, checked: bool
    ) -> Any:
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        metadata = dict(context.invocation_metadata() or ())
        request_id = str(metadata.get(REQUEST_ID_KEY, ""))
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = self._ids.new_id()
        error: SluicewayError
        position: str | None = None
        self._in_flight.enter(task, method, stream=stream)
        try:
            with structlog.contextvars.bound_contextvars(request_id=request_id, rpc=method):
                try:
                    caller = await self._admit(method, metadata) if checked else PUBLIC
                    with as_caller(caller, position=_text(metadata.get(POSITION_KEY))) as positions:
                        try:
                            answer = await run()
                        finally:
                            position = positions.answered
                    context.set_trailing_metadata(_trailers(request_id, position))
                    return answer
                except SluicewayError as raised:
                    error = raised
                except asyncio.CancelledError as raised:
                    if self._in_flight.was_interrupted(task):
                        task.uncancel()
                        error = Unavailable("this server is going away; call again", reason="SERVER_DRAINING")
                    elif task.cancelling():
                        raise
                    else:
                        error = self._incident(raised, method)
                except grpc.aio.AbortError:
                    raise
                except Exception as raised:
                    error = self._incident(raised, method)
                else:
                    raise AssertionError("unreachable")
                status = status_of(error)
                log.debug("rpc_refused", code=error.code.value, reason=error.reason)
            await context.abort(
                _CODES[status.code],
                status.message,
                (*_trailers(request_id, position), (DETAILS_KEY, status.SerializeToString())),
            )
        finally:
            self._in_flight.leave(task)

    async def _admit(self, method: str, metadata: Mapping[str, str | bytes]) -> Caller:
        access = self._access.get(method)
        caller = PUBLIC
        token = _bearer(metadata.get("authorization"))
        if token and (access is None or access.kind is not CallerKind.PUBLIC):
            found = await self._authenticator.authenticate(token)
            if found is None:
                raise Unauthenticated(
                    "the token is not known, has expired or was revoked; get another one", reason="CREDENTIALS_INVALID"
                )
            caller = found
        refusal = check_access(access, caller, method=method, offered_to=self._offered_to)
        if refusal is not None:
            raise refusal
        return caller

    def _incident(self, cause: BaseException, method: str) -> Internal:
        incident = self._ids.new_id()
        log.error("rpc_failed", incident=incident, exc_info=cause)
        return Internal(incident)


async def _write_all(responses: Any, context: Context) -> None:
    if inspect.isawaitable(responses):
        await responses  # the handler writes to the context by itself
        return
    async with aclosing(responses) as messages:
        async for message in messages:
            await context.write(message)


def _bearer(value: str | bytes | None) -> str:
    scheme, _, token = (_text(value) or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _text(value: str | bytes | None) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _trailers(request_id: str, position: str | None) -> tuple[tuple[str, str | bytes], ...]:
    trailers: tuple[tuple[str, str | bytes], ...] = ((REQUEST_ID_KEY, request_id),)
    return trailers if position is None else (*trailers, (POSITION_KEY, position))
