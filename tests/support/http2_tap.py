"""A TCP proxy that records the HTTP/2 frames of a plain-text gRPC connection, and a client that only pings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.tcp_proxy import TcpProxy

__all__ = ["Connection", "Http2Tap", "http2_tap", "ping"]

# RFC 9113, sections 3.4, 4.1 and 6.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER_BYTES = 9
_SETTINGS, _PING, _GOAWAY = 0x04, 0x06, 0x07
_ACK = 0x01


@dataclass
class Connection:
    """One connection that was made through the tap.

    Attributes:
        opened: when, by `time.monotonic`.
        client_pings: when each PING frame of the client passed, answers to the server's left out.
        server_pings: the same of the server.
        goaways: the debug data of each GOAWAY frame of the server, such as `too_many_pings`.
    """

    opened: float
    client_pings: list[float] = field(default_factory=list)
    server_pings: list[float] = field(default_factory=list)
    goaways: list[str] = field(default_factory=list)
    _left: dict[bool, bytes] = field(default_factory=lambda: {True: b"", False: b""})
    _prefaced: bool = False

    def read(self, data: bytes, *, is_request: bool) -> None:
        """Record the frames in the next bytes of one direction."""
        left = self._left[is_request] + data
        if is_request and not self._prefaced:
            if len(left) < len(_PREFACE):
                self._left[is_request] = left
                return
            left, self._prefaced = left.removeprefix(_PREFACE), True
        frames, self._left[is_request] = _frames(left)
        for kind, flags, payload in frames:
            if kind == _PING and not flags & _ACK:
                (self.client_pings if is_request else self.server_pings).append(time.monotonic())
            elif kind == _GOAWAY and not is_request:
                self.goaways.append(_debug_data(payload))


class Http2Tap(TcpProxy):
    """A TCP proxy that records frames.

    Attributes:
        connections: all that were made, in order.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.connections: list[Connection] = []

    @property
    def goaways(self) -> list[str]:
        """Return the debug data of all GOAWAY frames of the server."""
        return [text for connection in self.connections for text in connection.goaways]

    def connected(self) -> Connection:
        connection = Connection(time.monotonic())
        self.connections.append(connection)
        return connection

    def passes(self, connection: object, data: bytes, *, is_request: bool) -> None:
        assert isinstance(connection, Connection)
        connection.read(data, is_request=is_request)


@asynccontextmanager
async def http2_tap(address: str) -> AsyncIterator[Http2Tap]:
    """Run a tap in front of `host:port`."""
    host, port = address.rsplit(":", 1)
    tap = Http2Tap(host, int(port))
    await tap.start()
    try:
        yield tap
    finally:
        await tap.close()


async def ping(address: str, *, every: float, times: int) -> str:
    """Connect as a client without calls, and ping.

    Args:
        address: `host:port`.
        every: seconds between two pings.
        times: how many.

    Returns:
        The debug data of the GOAWAY with which the server ended it; empty: it did not.
    """
    host, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))

    async def goaway() -> str:
        left = b""
        while data := await reader.read(65536):
            frames, left = _frames(left + data)
            for kind, _, payload in frames:
                if kind == _GOAWAY:
                    return _debug_data(payload)
        raise ConnectionResetError("the server closed the connection without a word")

    listening = asyncio.create_task(goaway())
    try:
        writer.write(_PREFACE + _frame(_SETTINGS, b""))
        for _ in range(times):
            writer.write(_frame(_PING, bytes(8)))
            await asyncio.wait({listening}, timeout=every)
            if listening.done():
                return listening.result()
        return ""
    finally:
        listening.cancel()
        writer.close()


def _frame(kind: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, 0]) + bytes(4) + payload


def _frames(data: bytes) -> tuple[list[tuple[int, int, bytes]], bytes]:
    """Take whole frames off the front: return type, flags and payload of each, and the remaining bytes."""
    found = []
    while len(data) >= _HEADER_BYTES:
        end = _HEADER_BYTES + int.from_bytes(data[:3], "big")
        if len(data) < end:
            break
        found.append((data[3], data[4], data[_HEADER_BYTES:end]))
        data = data[end:]
    return found, data


def _debug_data(payload: bytes) -> str:
    return payload[8:].decode()
