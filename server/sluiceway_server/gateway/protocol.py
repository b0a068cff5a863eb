"""The HTTP protocol of one connection: uvicorn's, with our errors, time limits, and an orderly close.

uvicorn reads all that a connection has sent in one iteration of the event loop, and closes a connection whose request
it has not read to its end, which resets it: the client loses the response. Here reading stops after some work and
continues in the next turn, and a connection is closed only when the client has stopped sending, or after a bound of
bytes and time.
"""

from __future__ import annotations

import asyncio
import sys
from http import HTTPStatus
from typing import Any, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from sluiceway_common.foundation.errors import Exhausted, InvalidInput, SluicewayError, Unavailable, Unimplemented
from sluiceway_common.foundation.rpc.status import status_of
from sluiceway_server.gateway.errors import body_of, dumps, headers_of
from sluiceway_server.gateway.framing import StrictConnection
from sluiceway_server.gateway.settings import GatewaySettings

__all__ = ["protocol_of"]

_BAD_REQUEST = 400
# Per iteration of the event loop: about 4 ms.
_EVENTS_PER_TURN = 200
# As much as is given to h11 at once where small pieces may hold many events: heads and chunks.
_PIECE_BYTES = 1024
# A client that sends nothing for this long after the response has stopped sending.
_LINGER_IDLE_SECONDS = 5.0


def protocol_of(settings: GatewaySettings) -> type[asyncio.Protocol]:
    """Make the class of protocols with these settings, for uvicorn, which makes the instances."""

    class Protocol(_JsonProtocol):
        gateway_settings = settings

    return Protocol


class _JsonProtocol(H11Protocol):
    gateway_settings = GatewaySettings()

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn: StrictConnection = StrictConnection(self.gateway_settings.max_header_bytes)
        self._pending = bytearray()
        self._feeding: asyncio.Handle | None = None
        self._header_timer: asyncio.TimerHandle | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        lingering = _LingeringTransport(cast("asyncio.Transport", transport), self)
        super().connection_made(lingering)
        self._set_header_timer()
        limit = self.gateway_settings.max_connections
        if len(self.connections) > limit:
            error = Unavailable(f"this gateway has at most {limit} connections; try again", reason="GATEWAY_BUSY")
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, error)

    def data_received(self, data: bytes) -> None:
        if self.lingering.is_closing():
            self.lingering.discard(len(data))
            return
        self._pending += data
        if self._feeding is None:
            self._feed()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unset_header_timer()
        if self._feeding is not None:
            self._feeding.cancel()
        self.lingering.lost()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Forget the timer of a request that was responded to while its bytes were read."""
        self._unset_header_timer()
        super().on_response_complete()
        self.feed_soon()

    def send_400_response(self, msg: str) -> None:
        """Respond to a request that is invalid or too large; called by uvicorn while it handles the error of h11."""
        self._refuse(*_refusal(sys.exc_info()[1], self.gateway_settings.max_header_bytes))

    def _refuse(self, code: int, error: SluicewayError) -> None:
        status = status_of(error)
        body = dumps(body_of(status, code=code))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *((key.encode(), value.encode()) for key, value in headers_of(status, code).items()),
        ]
        events: list[h11.Event] = [
            h11.Response(status_code=code, headers=headers, reason=HTTPStatus(code).phrase),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ]
        try:
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:
            pass  # a response has already begun
        if self._is_responding():
            # Readers of the body and writers of the response get an error.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._refused = True
        self._unset_header_timer()
        self.transport.close()

    def shutdown(self) -> None:
        """Called by uvicorn at the end."""
        if self.lingering.is_closing():
            self.lingering.end()
        else:
            super().shutdown()

    @property
    def lingering(self) -> _LingeringTransport:
        """The transport."""
        return cast("_LingeringTransport", self.transport)

    @property
    def is_complete(self) -> bool:
        """Whether all that the client has to send for now was read."""
        return not self._refused and not self._pending and self.conn.their_state is not h11.SEND_BODY

    def feed_soon(self) -> None:
        """Continue with the received bytes, in the next iteration of the event loop."""
        if self._pending and self._feeding is None:
            self._feeding = self.loop.call_soon(self._feed)

    def _feed(self) -> None:
        self._feeding = None
        end = self.conn.events + _EVENTS_PER_TURN
        while self._wants_more():
            if self.conn.events >= end:
                self.feed_soon()
                break
            if self._header_timer is None and not self._is_responding():
                self._set_header_timer()
            count = max(self.conn.body_left or 0, _PIECE_BYTES)
            piece = bytes(self._pending[:count])
            del self._pending[:count]
            super().data_received(piece)
            if self._is_responding():
                self._unset_header_timer()
        self.lingering.hold(is_full=bool(self._pending))

    def _wants_more(self) -> bool:
        if not self._pending or self.lingering.is_paused or self.lingering.is_closing():
            return False
        # What follows a request waits for its response; after the last request of a connection, without end.
        return self.conn.their_state in {h11.IDLE, h11.SEND_BODY}

    def _is_responding(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        return cycle is not None and not cycle.response_complete

    def _set_header_timer(self) -> None:
        self._header_timer = self.loop.call_later(
            self.gateway_settings.read_timeout.total_seconds(), self._too_slow, self.cycle
        )

    def _too_slow(self, cycle: object) -> None:
        self._header_timer = None
        if self.cycle is cycle and not self.transport.is_closing():
            self.lingering.end()

    def _unset_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None


class _LingeringTransport(asyncio.Transport):
    """A transport whose `close` first lets the client finish what it sends (RFC 9112, 9.6).

    To close while the rest of a request is on its way resets the connection, and the client loses the response.
    """

    def __init__(self, inner: asyncio.Transport, protocol: _JsonProtocol) -> None:
        super().__init__()
        self._inner = inner
        self._protocol = protocol
        self._loop = protocol.loop
        self._settings = protocol.gateway_settings
        self._closing = False
        self._discarded = 0
        self._timers: list[asyncio.TimerHandle] = []
        self.is_paused = False  # by the application, which wants no more for now
        self._is_full = False

    def close(self) -> None:
        if self._closing or self._inner.is_closing():
            return
        self._closing = True
        # Also for a client that does not read what it was sent.
        self._timers = [self._loop.call_later(self._settings.linger_timeout.total_seconds(), self._inner.abort)]
        if self._protocol.is_complete:
            self._inner.close()
            return
        self._inner.write_eof()
        self._inner.resume_reading()
        self._timers.append(self._loop.call_later(_LINGER_IDLE_SECONDS, self.end))

    def discard(self, count: int) -> None:
        """Note that so many bytes came after `close`, and were thrown away."""
        self._discarded += count
        if self._discarded > self._settings.linger_bytes:
            self._inner.abort()
        elif len(self._timers) > 1:
            self._timers.pop().cancel()
            self._timers.append(self._loop.call_later(_LINGER_IDLE_SECONDS, self.end))

    def end(self) -> None:
        """Close now."""
        self._inner.close()

    def lost(self) -> None:
        """Forget the timers: there is nothing to close any more."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def hold(self, *, is_full: bool) -> None:
        """Stop reading from the socket until what was read has been processed."""
        self._is_full = is_full
        self._apply()

    def pause_reading(self) -> None:
        self.is_paused = True
        self._apply()

    def resume_reading(self) -> None:
        self.is_paused = False
        self._protocol.feed_soon()
        self._apply()

    def _apply(self) -> None:
        if self._closing:
            return
        # Both may be called twice.
        if self.is_paused or self._is_full:
            self._inner.pause_reading()
        else:
            self._inner.resume_reading()

    def is_closing(self) -> bool:
        return self._closing or self._inner.is_closing()

    def write(self, data: Any) -> None:
        self._inner.write(data)

    def abort(self) -> None:
        self._closing = True
        self._inner.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._inner.get_extra_info(name, default)


def _refusal(cause: BaseException | None, max_header_bytes: int) -> tuple[int, SluicewayError]:
    """Return the code and the error for what h11, or `StrictConnection`, refused."""
    code = getattr(cause, "error_status_hint", _BAD_REQUEST)
    match code:
        case 431:
            return code, Exhausted(
                f"the request's line and headers may have at most {max_header_bytes} bytes", reason="REQUEST_TOO_LARGE"
            )
        case 501 | 505:  # RFC 9112, 6.1; RFC 9110, 15.6.6
            return code, Unimplemented(f"this request cannot be served: {cause}", reason="REQUEST_NOT_SUPPORTED")
    return _BAD_REQUEST, InvalidInput(f"this is not HTTP/1.1: {cause}", reason="REQUEST_MALFORMED")
