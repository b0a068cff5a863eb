"""What happens around every call on a server, whatever it does.

From the outside in: a handler that raises CancelledError by itself is caught, since grpc.aio would leave its caller
waiting in silence; errors become a status with details, and what is not of our family an incident whose cause goes to
the log only; the call stands in the in-flight set until its last `finally` has run; the caller is found and the
method's access is checked, deny by default; the request's id is bound to the log's context; only then a message is made
of the request, bounded by its size, and its fields are checked as they are annotated.

A stream is served by writing each message from the call's own task. grpc.aio would iterate over a generator too, but
leaves one that it stops half-way to the garbage collector, and its `finally` blocks with it.
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
from sluiceway_common.foundation.rpc.access import Access
from sluiceway_common.foundation.rpc.admission import admit, authorization_of, not_offered
from sluiceway_common.foundation.rpc.caller import (
    POSITION_KEY,
    PUBLIC,
    STREAM_KEY,
    STREAM_OPEN,
    Caller,
    CallerKind,
    as_caller,
)
from sluiceway_common.foundation.rpc.fields import checks_fields, clear_output_only, field_faults
from sluiceway_common.foundation.rpc.offer import Handler, Handlers, InFlight, ServiceSet
from sluiceway_common.foundation.rpc.requests import RequestReader
from sluiceway_common.foundation.rpc.status import DETAILS_KEY, status_of

__all__ = ["REQUEST_ID_KEY", "Edge", "Face"]

log = structlog.get_logger(__name__)

REQUEST_ID_KEY = "x-request-id"
# The methods that are served through every change of what is offered.
_STANDING = "/grpc.health.v1.Health/"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
_CODES = {code.value[0]: code for code in grpc.StatusCode}

# Generic for the type checker only.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class Face:
    """What a server shows at one time.

    Attributes:
        handlers: of the methods that are served, the standard ones among them.
        access: what each of them needs of its caller.
        in_flight: the calls of this time; who takes the offer back ends them.
        standing: the calls that outlast it: of health, which tells of nothing but the change itself.
        offer: whose services these are; None: nothing is offered.
        refusal: what every call is answered but those of health; None: they are served.
    """

    handlers: Handlers
    access: Mapping[str, Access]
    in_flight: InFlight
    standing: InFlight
    offer: ServiceSet | None = None
    refusal: SluicewayError | None = None


class Edge(grpc.aio.ServerInterceptor):
    """The one interceptor of a port."""

    def __init__(
        self,
        current: Callable[[], Face],
        *,
        ids: IdSource,
        requests: RequestReader,
        offered_to: frozenset[CallerKind] | None = None,
    ) -> None:
        self._current = current
        self._ids = ids
        self._requests = requests
        self._offered_to = offered_to
        self._face = current()
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        method = handler_call_details.method
        face = self._current()
        if face is not self._face:
            self._face, self._wrapped = face, {}
        wrapped = self._wrapped.get(method)
        if wrapped is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        if handler is None or self._current() is not face:
            # Not kept: its name is the client's, or its time is over.
            return self._refuse(face, method)
        made = self._wrap(face, method, handler)
        self._wrapped[method] = made
        return made

    def _wrap(self, face: Face, method: str, handler: Handler) -> Handler:
        behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        checked_here = not checks_fields(behaviour)
        streams = handler.response_streaming
        kind = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[handler.request_streaming, streams]

        # Generated code gives `FromString`, which is bound to its class.
        type_: type[Message] = cast(Any, handler.request_deserializer).__self__

        async def serve(data: Any, context: Context) -> Any:
            async def run() -> Any:
                request: Any = (
                    self._requests.messages(method, type_, data)
                    if handler.request_streaming
                    else await self._requests.message(method, type_, data)
                )
                if isinstance(request, Message):
                    _check_fields(request, refuse=checked_here)
                if streams:
                    return await _write_all(cast(Any, behaviour)(request, context), context)
                return await cast(Any, behaviour)(request, context)

            stream = streams and not handler.request_streaming
            return await self._around(face, method, context, run, stream=stream, checked=True)

        return cast("Handler", cast(Any, kind)(serve, None, handler.response_serializer))

    def _refuse(self, face: Face, method: str) -> Handler:
        async def refuse(request_iterator: AsyncIterator[bytes], context: Context) -> None:
            async def run() -> None:
                if face.refusal is not None:
                    raise face.refusal
                raise not_offered(method)

            await self._around(face, method, context, run, stream=False, checked=False)

        return grpc.stream_stream_rpc_method_handler(cast(Any, refuse))

    async def _around(
        self,
        face: Face,
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
        in_flight = face.standing if method.startswith(_STANDING) else face.in_flight
        in_flight.enter(task, method, stream=stream)
        try:
            with structlog.contextvars.bound_contextvars(request_id=request_id, rpc=method):
                try:
                    if in_flight is face.in_flight:
                        self._check_current(face)
                    caller = await self._admit(face, method, context) if checked else PUBLIC
                    seen, announce = _text(metadata.get(POSITION_KEY)), partial(_announce, context)
                    with as_caller(caller, position=seen, announce=announce if stream else None) as positions:
                        try:
                            answer = await run()
                        finally:
                            position = positions.answered
                    context.set_trailing_metadata(_trailers(request_id, position))
                    return answer
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

    def _check_current(self, face: Face) -> None:
        """Refuse a call that was on its way in while the offer changed: nobody would end it."""
        now = self._current()
        if now is not face:
            raise now.refusal or Unavailable("this server was just changing what it offers; call again")

    async def _admit(self, face: Face, method: str, context: Context) -> Caller:
        authenticator = None if face.offer is None else face.offer.authenticator
        return await admit(
            method,
            face.access.get(method),
            authenticator,
            authorization_of(context),
            offered_to=self._offered_to,
        )

    def _incident(self, cause: BaseException, method: str) -> Internal:
        incident = self._ids.new_id()
        log.error("rpc_failed", incident=incident, exc_info=cause)
        return Internal(incident)


def _check_fields(request: Message, *, refuse: bool) -> None:
    clear_output_only(request)
    faults = field_faults(request) if refuse else ()
    if faults:
        raise InvalidInput(faults)


async def _announce(context: Context) -> None:
    # The first message has done it already, perhaps.
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
