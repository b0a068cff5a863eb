"""The interceptor of a server, for all methods alike.

From the outside in, for each call:

1. It is in the in-flight set until its last `finally` has run.
2. Errors become a status with details. An error that is not of our family becomes INTERNAL with an incident id; its
   cause goes to the log only. A CancelledError that the handler itself raised is such an error, because grpc.aio would
   never respond to the caller.
3. The request id is bound to the context of the log.
4. The caller is authenticated, and the access of the method is checked: what declares no access is denied.
5. The request is parsed, within its size limit, and its fields are checked against their annotations.
6. The right of the caller on the resource that the request names is checked.
7. Of a stream, 4 and 6 are checked again while it lasts (`InFlight.recheck`): a token may be revoked.

The messages of a stream are written from the task of the call. grpc.aio can iterate over a generator itself, but does
not close one that it stops early: its `finally` blocks would run when it is garbage-collected.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, cast

import grpc
import grpc.aio
import structlog
from google.protobuf.message import Message

from sluiceway_common.foundation.clock import IdSource
from sluiceway_common.foundation.errors import Internal, InvalidInput, SluicewayError, Unavailable
from sluiceway_common.foundation.rpc.access import Access, resource_of
from sluiceway_common.foundation.rpc.admission import admit, authorization_of, not_offered
from sluiceway_common.foundation.rpc.caller import (
    FORWARDED_KEY,
    POSITION_KEY,
    PUBLIC,
    STREAM_KEY,
    STREAM_OPEN,
    Caller,
    CallerKind,
    Origin,
    as_caller,
    current_caller,
)
from sluiceway_common.foundation.rpc.fields import checks_fields, clear_output_only, field_faults
from sluiceway_common.foundation.rpc.offer import Handler, Handlers, InFlight, ServiceSet
from sluiceway_common.foundation.rpc.requests import RequestReader
from sluiceway_common.foundation.rpc.status import DETAILS_KEY, status_of

log = structlog.get_logger(__name__)

REQUEST_ID_KEY = "x-request-id"
# Its methods are served in every state.
_HEALTH = "/grpc.health.v1.Health/"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
_CODES = {code.value[0]: code for code in grpc.StatusCode}

# Generic for the type checker only.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class ServerState:
    """What a server serves from one call of `serve` or `refuse` to the next.

    Attributes:
        handlers: of the methods that are served, the standard ones among them.
        access: what each of them needs of its caller.
        in_flight: the calls that began in this state; they are ended when it is replaced.
        health_calls: those of the health service, which continue: a watch of health reports the change.
        offer: the services; None: there are none.
        refusal: the error of every call but those of health; None: calls are served.
    """

    handlers: Handlers
    access: Mapping[str, Access]
    in_flight: InFlight
    health_calls: InFlight
    offer: ServiceSet | None = None
    refusal: SluicewayError | None = None


class Edge(grpc.aio.ServerInterceptor):
    """The interceptor of a port."""

    def __init__(
        self,
        current: Callable[[], ServerState],
        *,
        ids: IdSource,
        requests: RequestReader,
        offered_to: frozenset[CallerKind] | None = None,
    ) -> None:
        self._current = current
        self._ids = ids
        self._requests = requests
        self._offered_to = offered_to
        self._state = current()
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        method = handler_call_details.method
        state = self._current()
        if state is not self._state:
            self._state, self._wrapped = state, {}
        wrapped = self._wrapped.get(method)
        if wrapped is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        if handler is None or self._current() is not state:
            # Not cached: a client can make up any number of names, or the state is no longer current.
            return self._refuse(state, method)
        wrapped = self._wrap(state, method, handler)
        self._wrapped[method] = wrapped
        return wrapped

    def _wrap(self, state: ServerState, method: str, handler: Handler) -> Handler:
        behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        checked_here = not checks_fields(behaviour)
        streams = handler.response_streaming
        kind = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[handler.request_streaming, streams]

        # In generated code it is the class method `FromString`.
        type_: type[Message] = cast(Any, handler.request_deserializer).__self__

        async def serve(data: Any, context: Context) -> Any:
            async def run() -> Any:
                request: Any
                if handler.request_streaming:
                    messages = self._requests.messages(method, type_, data)
                    request, named = await _checked_messages(state, method, messages)
                else:
                    request = named = await self._requests.message(method, type_, data)
                    _check_fields(named, refuse=checked_here)
                    await _check_resource(state, method, current_caller(), named)
                if streams or handler.request_streaming:
                    # Only what the check needs is kept, not the message.
                    resource = _resource_of(state, method, named)
                    recheck = partial(self._recheck, state, method, context, resource)
                    state.in_flight.recheck_later(cast("asyncio.Task[Any]", asyncio.current_task()), recheck)
                if streams:
                    return await _write_all(cast(Any, behaviour)(request, context), context)
                return await cast(Any, behaviour)(request, context)

            stream = streams and not handler.request_streaming
            return await self._around(state, method, context, run, stream=stream, checked=True)

        return cast("Handler", cast(Any, kind)(serve, None, handler.response_serializer))

    def _refuse(self, state: ServerState, method: str) -> Handler:
        async def refuse(request_iterator: AsyncIterator[bytes], context: Context) -> None:
            async def run() -> None:
                if state.refusal is not None:
                    raise state.refusal
                raise not_offered(method)

            await self._around(state, method, context, run, stream=False, checked=False)

        return grpc.stream_stream_rpc_method_handler(cast(Any, refuse))

    async def _around(
        self,
        state: ServerState,
        method: str,
        context: Context,
        run: Callable[[], Awaitable[Any]],
        *,
        stream: bool,
        checked: bool,
    ) -> Any:
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        metadata = dict(context.invocation_metadata() or ())
        request_id = str(metadata.get(REQUEST_ID_KEY, ""))
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = self._ids.new_id()
        error: SluicewayError
        position: str | None = None
        in_flight = state.health_calls if method.startswith(_HEALTH) else state.in_flight
        in_flight.enter(task, method, stream=stream)
        try:
            with structlog.contextvars.bound_contextvars(request_id=request_id, rpc=method):
                try:
                    if in_flight is state.in_flight:
                        self._check_current(state)
                    caller = await self._admit(state, method, context) if checked else PUBLIC
                    position_seen, announce = _text(metadata.get(POSITION_KEY)), partial(_announce, context)
                    forwarded = _text(metadata.get(FORWARDED_KEY)) or ""
                    origin = Origin(context.peer(), forwarded, method.rpartition("/")[2])
                    announces = announce if stream else None
                    with as_caller(caller, position=position_seen, announce=announces, origin=origin) as positions:
                        try:
                            response = await run()
                        finally:
                            position = positions.response
                    context.set_trailing_metadata(_trailers(request_id, position))
                    return response
                except SluicewayError as raised:
                    error = raised
                except asyncio.CancelledError as raised:
                    why = in_flight.interruption(task)
                    if why is not None:
                        task.uncancel()
                        error = why
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
            in_flight.leave(task)

    def _check_current(self, state: ServerState) -> None:
        """Refuse a call that arrived while the state changed: nothing would end it when the server stops."""
        now = self._current()
        if now is not state:
            raise now.refusal or Unavailable("this server was just changing what it offers; call again")

    async def _admit(self, state: ServerState, method: str, context: Context) -> Caller:
        authenticator = None if state.offer is None else state.offer.authenticator
        return await admit(
            method,
            state.access.get(method),
            authenticator,
            authorization_of(context),
            offered_to=self._offered_to,
        )

    async def _recheck(self, state: ServerState, method: str, context: Context, resource: str) -> None:
        caller = await self._admit(state, method, context)
        access, guard = state.access.get(method), None if state.offer is None else state.offer.guard
        if guard is not None and access is not None and resource:
            await guard.check(access, caller, resource)

    def _incident(self, cause: BaseException, method: str) -> Internal:
        incident = self._ids.new_id()
        log.error("rpc_failed", incident=incident, exc_info=cause)
        return Internal(incident)


def _check_fields(request: Message, *, refuse: bool) -> None:
    clear_output_only(request)
    faults = field_faults(request) if refuse else ()
    if faults:
        raise InvalidInput(faults)


async def _check_resource(state: ServerState, method: str, caller: Caller, request: Message) -> None:
    access = state.access.get(method)
    guard = None if state.offer is None else state.offer.guard
    if guard is not None and access is not None and access.resource_field:
        await guard.check(access, caller, resource_of(access, request))


def _resource_of(state: ServerState, method: str, request: Message | None) -> str:
    """Return the resource that a request names; empty: none."""
    access = state.access.get(method)
    return "" if access is None or not access.resource_field or request is None else resource_of(access, request)


async def _checked_messages(
    state: ServerState, method: str, messages: AsyncIterator[Any]
) -> tuple[AsyncIterator[Any], Message | None]:
    """Check the first message of a stream that names a resource; return all of them, and that one."""
    access = state.access.get(method)
    if access is None or not access.resource_field:
        return messages, None
    first = await anext(messages, None)
    if first is None:
        raise InvalidInput(f"the first message must have the field {access.resource_field}")
    _check_fields(first, refuse=True)
    await _check_resource(state, method, current_caller(), first)

    async def chained() -> AsyncIterator[Any]:
        yield first
        async for message in messages:
            yield message

    return chained(), first


async def _announce(context: Context) -> None:
    # Fails when the first message has already sent it.
    with suppress(grpc.aio.UsageError):
        await context.send_initial_metadata(((STREAM_KEY, STREAM_OPEN),))


async def _write_all(responses: Any, context: Context) -> None:
    if inspect.isawaitable(responses):
        await responses  # the handler writes to the context by itself
        return
    async with aclosing(responses) as messages:
        async for message in messages:
            await context.write(message)


def _text(value: str | bytes | None) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _trailers(request_id: str, position: str | None) -> tuple[tuple[str, str | bytes], ...]:
    trailers: tuple[tuple[str, str | bytes], ...] = ((REQUEST_ID_KEY, request_id),)
    return trailers if position is None else (*trailers, (POSITION_KEY, position))
