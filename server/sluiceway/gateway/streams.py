"""Server streams as HTTP bodies: SSE, JSON lines, or the bytes of one field. Pure.

SSE (WHATWG HTML, "Server-sent events"): `id:` is the position to resume from, `data:` the message as JSON on one line;
`event: end` says that all was told, `event: error` why not. A comment now and then shows a proxy, and us, that the
other end is still there.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import status_pb2  # type: ignore[import-untyped]  # ships no types

from sluiceway.foundation.errors import InvalidInput
from sluiceway.gateway.errors import HttpError, body_of, dumps
from sluiceway.gateway.routes import Rule

__all__ = ["Encoder", "JsonLines", "RawBytes", "ServerSentEvents", "choose_encoder"]

NOT_ACCEPTABLE = 406


class Encoder(Protocol):
    """How a stream is written. Each method answers bytes for the body; None where the form has no word for it."""

    content_type: str

    def message(self, message: Message) -> bytes:
        """Write one message."""
        ...

    def idle(self) -> bytes | None:
        """Write something that means nothing."""
        ...

    def end(self) -> bytes | None:
        """Write that all was told."""
        ...

    def error(self, status: status_pb2.Status) -> bytes | None:
        """Write why not all was told. None: the connection must be cut, so that the reader notices."""
        ...


class ServerSentEvents:
    """For browsers' EventSource."""

    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, rule: Rule) -> None:
        self._resume = rule.response_resume
        self._body = rule.response_body

    def message(self, message: Message) -> bytes:
        """See `Encoder.message`."""
        data = dumps(json_format.MessageToDict(message))
        if not self._resume:
            return b"data: " + data + b"\n\n"
        # A line break, or the NUL that makes a browser ignore the id, cannot be in a position of ours; were it there,
        # it must not begin another field.
        position = re.sub(r"[\r\n\0]", "", str(getattr(message, self._resume)))
        return b"id: " + position.encode() + b"\ndata: " + data + b"\n\n"

    def idle(self) -> bytes | None:
        """See `Encoder.idle`."""
        return b": still here\n\n"

    def end(self) -> bytes | None:
        """See `Encoder.end`."""
        return b"event: end\ndata: {}\n\n"

    def error(self, status: status_pb2.Status) -> bytes | None:
        """See `Encoder.error`."""
        return b"event: error\ndata: " + dumps(body_of(status)) + b"\n\n"


class JsonLines:
    """For programs: a message a line; a failure is a last line with `error` in it."""

    content_type = "application/x-ndjson"

    def message(self, message: Message) -> bytes:
        """See `Encoder.message`."""
        return dumps(json_format.MessageToDict(message)) + b"\n"

    def idle(self) -> bytes | None:
        """See `Encoder.idle`: an empty line would be no JSON."""
        return None

    def end(self) -> bytes | None:
        """See `Encoder.end`: the end of the body says it."""
        return None

    def error(self, status: status_pb2.Status) -> bytes | None:
        """See `Encoder.error`."""
        return dumps(body_of(status)) + b"\n"


class RawBytes:
    """One bytes field, as it is: a log."""

    content_type = "text/plain; charset=utf-8"

    def __init__(self, field: str) -> None:
        self._field = field

    def message(self, message: Message) -> bytes:
        """See `Encoder.message`."""
        return bytes(getattr(message, self._field))

    def idle(self) -> bytes | None:
        """See `Encoder.idle`: every byte means something here."""
        return None

    def end(self) -> bytes | None:
        """See `Encoder.end`."""
        return None

    def error(self, status: status_pb2.Status) -> bytes | None:
        """See `Encoder.error`: a body that ends early is told apart from one that is whole by HTTP itself."""
        return None


def choose_encoder(rule: Rule, accept: str) -> Encoder:
    """Choose by the `Accept` header; without one, or when anything will do: SSE.

    Raises:
        HttpError: 406: none that is offered is accepted.
    """
    offered: dict[str, Any] = {
        "text/event-stream": lambda: ServerSentEvents(rule),
        "application/x-ndjson": JsonLines,
    }
    if rule.response_raw:
        offered["text/plain"] = lambda: RawBytes(rule.response_raw)
    best: tuple[float, int] | None = None
    chosen = None
    for name, quality in _accepted(accept or "*/*"):
        for candidate, make in offered.items():
            fits = name in ("*/*", candidate, candidate.split("/")[0] + "/*")
            # Of equal ones the more exact counts, then the order in which we offer them.
            if fits and quality > 0 and (best is None or (quality, name == candidate) > best):
                best, chosen = (quality, int(name == candidate)), make
    if chosen is None:
        raise HttpError(
            InvalidInput(
                f"this is a stream, offered as {', '.join(offered)}; none of them is accepted by {accept!r}",
                reason="NOT_ACCEPTABLE",
            ),
            NOT_ACCEPTABLE,
        )
    encoder: Encoder = chosen()
    return encoder


def _accepted(accept: str) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for part in accept.split(",")[:50]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            match = re.fullmatch(r"q=([01](?:\.[0-9]{0,3})?)", parameter)
            if match is not None:
                quality = float(match.group(1))
        if name:
            found.append((name, quality))
    return found
