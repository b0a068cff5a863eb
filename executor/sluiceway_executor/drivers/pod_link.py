"""A stream of bytes in both directions that outlives its connections.

Each side keeps what it has sent until the other side has acknowledged it. When a connection breaks, both tell on the
next one how much they have received, and continue from there: nothing is lost, nothing arrives twice. It does no I/O,
and is used by both sides, so it keeps to the rules of `pod_init` on what it imports.

A frame has a type (one byte), a length (4 bytes, big endian) and a body:

- `H` is the first one of a connection: the id of the link (32 bytes), and how many bytes this side has received (8).
  The first 16 bytes of the id are a secret of the pod, the others are of the process of the executor.
- `D` is data.
- `A` acknowledges: how many bytes this side has received (8).
"""

from __future__ import annotations

HELLO, DATA, ACKNOWLEDGE = b"H", b"D", b"A"
SECRET_BYTES = 16
ID_BYTES = 32
HEADER_BYTES = 5
FRAME_BYTES = 1 << 15
"""The largest body. Proxies between the two sides may have small limits."""
HELLO_BYTES = HEADER_BYTES + ID_BYTES + 8


class Link:
    """One side of a stream."""

    def __init__(self, id_: bytes, outgoing: bytearray | None = None) -> None:
        """Take its id, which both sides know and nobody else, and a buffer for what is to be sent."""
        self.id = id_
        self.outgoing = bytearray() if outgoing is None else outgoing
        """What the other side has not acknowledged yet, and what was not sent yet."""
        self.established = False
        """Both sides have said hello on the present connection."""
        self.received = 0
        self._acknowledged = 0
        self._sent = 0
        """How much of `outgoing` was sent on the present connection."""
        self._reported = 0
        self._incoming = bytearray()

    def hello(self) -> bytes:
        """Begin a connection; return what is to be sent first on it."""
        self.established = False
        self._incoming.clear()
        self._sent = 0
        self._reported = self.received
        return _frame(HELLO, self.id + self.received.to_bytes(8, "big"))

    def unsent(self) -> bool:
        """Return whether there is something to send now, beside acknowledgements."""
        return self.established and self._sent < len(self.outgoing)

    def unreported(self) -> int:
        """Return how many bytes were received and not acknowledged."""
        return self.received - self._reported if self.established else 0

    def next_frame(self) -> bytes:
        """Return a frame of data to send now; empty: there is none."""
        if not self.unsent():
            return b""
        body = bytes(self.outgoing[self._sent : self._sent + FRAME_BYTES])
        self._sent += len(body)
        return _frame(DATA, body)

    def acknowledgement(self) -> bytes:
        """Return a frame that acknowledges what was received; empty: all of it is."""
        if not self.unreported():
            return b""
        self._reported = self.received
        return _frame(ACKNOWLEDGE, self.received.to_bytes(8, "big"))

    def take(self, wire: bytes) -> bytes:
        """Take bytes of the connection; return the data in them.

        Raises:
            ValueError: the other side is not the one of this link, or does not keep to the protocol.
        """
        self._incoming += wire
        data = bytearray()
        while len(self._incoming) >= HEADER_BYTES:
            kind = bytes(self._incoming[:1])
            end = HEADER_BYTES + int.from_bytes(self._incoming[1:HEADER_BYTES], "big")
            if end > HEADER_BYTES + FRAME_BYTES or kind not in {HELLO, DATA, ACKNOWLEDGE}:
                raise ValueError("the other side of the link does not keep to its protocol")
            if len(self._incoming) < end:
                break
            body = bytes(self._incoming[HEADER_BYTES:end])
            del self._incoming[:end]
            if kind == HELLO:
                if body[:ID_BYTES] != self.id:
                    raise ValueError("the other side belongs to another link")
                self._acknowledge(int.from_bytes(body[ID_BYTES:], "big"))
                self._sent = 0
                self.established = True
            elif not self.established:
                raise ValueError("the other side of the link did not say hello")
            elif kind == ACKNOWLEDGE:
                self._acknowledge(int.from_bytes(body, "big"))
            else:
                data += body
        self.received += len(data)
        return bytes(data)

    def _acknowledge(self, total: int) -> None:
        count = total - self._acknowledged
        if not 0 <= count <= len(self.outgoing):
            raise ValueError("the other side has lost what this side has, or has what was never sent")
        del self.outgoing[:count]
        self._acknowledged = total
        self._sent = max(0, self._sent - count)


def _frame(kind: bytes, body: bytes) -> bytes:
    return kind + len(body).to_bytes(HEADER_BYTES - 1, "big") + body
