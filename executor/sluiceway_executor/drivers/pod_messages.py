"""The messages between the first process of a pod and its executor: the stream, and another one after it.

It runs inside the pod, beside `pod_init.py`, which says what the messages are, and keeps to the same rules on what it
imports.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any, NoReturn
else:
    import _socket as socket

HEADER_BYTES = 4


class Messages:
    """The stream to the executor. What is done with the messages is decided by a subclass."""

    def __init__(self, connection: socket.socket | None, control: socket.socket | None) -> None:
        self.connection = connection
        self.control = control
        self.incoming = bytearray()
        self.descriptors: list[int] = []

    def _obey(self, message: dict[str, Any]) -> None:
        raise NotImplementedError

    def _announce(self) -> None:
        """Send to a new stream what the executor must know."""
        raise NotImplementedError

    def _disconnected(self) -> None:
        """Stop what was for the stream that ended."""
        raise NotImplementedError

    def _end(self) -> NoReturn:
        raise NotImplementedError

    def _take_connection(self, control: socket.socket) -> None:
        """Take another stream to the executor; the launcher's end is the end of the pod."""
        try:
            data, descriptors = receive(control)
        except OSError:
            data, descriptors = b"", []
        if not data:
            self._end()
        if self.connection is not None:
            # What the earlier executor sent in whole counts.
            self.connection.setblocking(False)
            while self._receive():
                pass
            self._lost()
        self.connection = socket.socket(fileno=descriptors[0])
        self._announce()

    def _lost(self) -> None:
        """Continue without a stream; end, if there will be no other one."""
        if self.control is None:
            self._end()
        if self.connection is None:
            return
        connection, self.connection = self.connection, None
        connection.close()
        self.incoming.clear()
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors.clear()
        self._disconnected()

    def _send(self, message: dict[str, Any], descriptor: int = -1) -> None:
        if self.connection is None:
            return
        body = "{" + ", ".join(f'"{name}": {json_of(value)}' for name, value in message.items()) + "}"
        data = len(body).to_bytes(HEADER_BYTES, "big") + body.encode()
        try:
            if descriptor >= 0:
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptor.to_bytes(4, sys.byteorder))
                data = data[self.connection.sendmsg([data], [rights]) :]
            self.connection.sendall(data)
        except OSError:
            self._lost()

    def _receive(self) -> bool:
        if self.connection is None:
            return False
        try:
            data, descriptors = receive(self.connection)
        except OSError:
            return False
        self.descriptors += descriptors
        if not data:
            return False
        self._take(data)
        return True

    def _take(self, data: bytes) -> None:
        self.incoming += data
        while len(self.incoming) >= HEADER_BYTES:
            end = HEADER_BYTES + int.from_bytes(self.incoming[:HEADER_BYTES], "big")
            if len(self.incoming) < end:
                break
            # A literal from the executor, which is trusted.
            message = eval(bytes(self.incoming[HEADER_BYTES:end]), {"__builtins__": {}})  # noqa: S307 - from the executor
            del self.incoming[:end]
            self._obey(message)


def receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Receive what is there, with the descriptors that came with it. Nothing: the other end is closed."""
    data, ancillary, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(16 * 4), socket.MSG_CMSG_CLOEXEC)
    descriptors = []
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors += [int.from_bytes(payload[i : i + 4], sys.byteorder) for i in range(0, len(payload) - 3, 4)]
    return data, descriptors


def json_of(value: str | float | None) -> str:
    """Write a value as JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return str(value)
    units = memoryview(value.encode("utf-16", "surrogatepass")[2:]).cast("H")
    shown = (chr(unit) if 32 <= unit < 127 and unit not in b'"\\' else f"\\u{unit:04x}" for unit in units)
    return f'"{"".join(shown)}"'
