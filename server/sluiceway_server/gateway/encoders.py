"""Server streams as HTTP bodies: SSE, JSON lines, or the bytes of one field. Pure.

SSE (WHATWG HTML, "Server-sent events"): `id:` is the position to resume from, `data:` the message as JSON on one line;
`event: end` marks a complete stream, `event: failure` carries the error (browsers have events of their own named
`error`). Comments are sent regularly, so that a proxy keeps the connection and a disconnected client is noticed.

A browser's EventSource connects again whenever its stream has ended, with the last id in `Last-Event-ID`, unless the
response is 204. So a client that resumes at the end gets 204; for that, the end has an id too.
"""

from __future__ import annotations

import codecs
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from google.protobuf.message import Message
from google.rpc import status_pb2  # type: ignore[import-untyped]  # ships no types

from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_common.foundation.rpc.json_mapping import json_of
from sluiceway_server.gateway.errors import HttpError, body_of, dumps
from sluiceway_server.gateway.routes import Rule

__all__ = ["Encoder", "JsonLines", "Opening", "RawBytes", "ServerSentEvents", "choose_encoder"]

NOT_ACCEPTABLE = 406


@dataclass(frozen=True, slots=True)
class Opening:
    """The beginning of a response.

    Attributes:
        code: its HTTP status.
        headers: its own.
        skips_first: the first message describes the others, and is not encoded.
        has_body: whether anything follows.
    """

    code: int
    headers: Mapping[str, str]
    skips_first: bool = False
    has_body: bool = True


class Encoder(ABC):
    """Encodes a stream.

    Attributes:
        content_type: of the response.
        waits: whether the response cannot begin before the first message.
    """

    content_type: str
    waits = False

    def begin(self, first: bytes | None, *, is_over: bool) -> Opening:
        """Begin the response.

        Args:
            first: the first message, serialized; None if there is none yet, or none at all.
            is_over: no message will follow.
        """
        return Opening(200, {"content-type": self.content_type, "x-accel-buffering": "no"})

    @abstractmethod
    def message(self, message: Message) -> bytes:
        """Write one message."""

    @property
    def is_done(self) -> bool:
        """Whether no more messages are needed."""
        return False

    def idle(self) -> bytes | None:
        """Write a comment; None: the format has none."""
        return None

    def end(self, *, is_empty: bool) -> bytes | None:
        """Write the end; None: the stream is incomplete, and the connection must be closed, so that the reader notices.

        Args:
            is_empty: there was no message.
        """
        return b""

    @abstractmethod
    def error(self, status: status_pb2.Status) -> bytes | None:
        """Write why the stream failed; None: the format cannot express it, and the connection must be closed."""


class _Text:
    """Adds the bytes of a message to it as text.

    A character that is split between two messages is in the second one, so the texts of all messages, one after the
    other, are the text of the whole. Such messages are not encoded by workers, because the rest of a character is kept
    between messages.
    """

    def __init__(self, rule: Rule) -> None:
        self._from, self._to = rule.response_raw, rule.response_text
        self._rest = b""

    def added_to(self, message: Message) -> Message:
        if self._to:
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            setattr(message, self._to, decoder.decode(self._rest + getattr(message, self._from)))
            self._rest, _ = decoder.getstate()
        return message


class ServerSentEvents(Encoder):
    """For browsers' EventSource."""

    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, rule: Rule) -> None:
        self._text = _Text(rule)
        self._resume = rule.response_resume
        self._start = ""
        self._resumes = False

    def start_at(self, position: str, *, resumes: bool) -> None:
        """Note where the stream starts, and whether the client resumes there. Before `begin`."""
        self._start, self._resumes = _one_line(position), resumes

    def begin(self, first: bytes | None, *, is_over: bool) -> Opening:
        if is_over and self._resumes:
            return Opening(204, {}, has_body=False)
        return super().begin(first, is_over=is_over)

    def message(self, message: Message) -> bytes:
        data = dumps(json_of(self._text.added_to(message)))
        if not self._resume:
            return b"data: " + data + b"\n\n"
        position = _one_line(str(getattr(message, self._resume)))
        return b"id: " + position.encode() + b"\ndata: " + data + b"\n\n"

    def idle(self) -> bytes | None:
        return b": still here\n\n"

    def end(self, *, is_empty: bool) -> bytes | None:
        """Return the end of the stream. After a message, the last event id stays that of the message."""
        position = b"id: " + self._start.encode() + b"\n" if is_empty and self._start else b""
        return b"event: end\n" + position + b"data: {}\n\n"

    def error(self, status: status_pb2.Status) -> bytes | None:
        return b"event: failure\ndata: " + dumps(body_of(status)) + b"\n\n"


class JsonLines(Encoder):
    """For programs: a message a line; a failure is a last line with `error` in it."""

    content_type = "application/x-ndjson"

    def __init__(self, rule: Rule) -> None:
        self._text = _Text(rule)

    def message(self, message: Message) -> bytes:
        return dumps(json_of(self._text.added_to(message))) + b"\n"

    def error(self, status: status_pb2.Status) -> bytes | None:
        return dumps(body_of(status)) + b"\n"


class RawBytes(Encoder):
    """One bytes field, as it is: a log."""

    def __init__(self, field: str, content_type: str) -> None:
        self._field = field
        self.content_type = content_type

    def message(self, message: Message) -> bytes:
        return bytes(getattr(message, self._field))

    def error(self, status: status_pb2.Status) -> bytes | None:
        """Return nothing: HTTP itself distinguishes a body that ends early."""
        return None


def choose_encoder(rule: Rule, accept: str) -> Encoder:
    """Choose by the `Accept` header; without one, or when anything will do: bytes as they are if there are any, or SSE.

    Raises:
        HttpError: 406: none that is offered is accepted.
    """
    offered: dict[str, Callable[[], Encoder]] = {
        "text/event-stream": lambda: ServerSentEvents(rule),
        "application/x-ndjson": lambda: JsonLines(rule),
    }
    if rule.media_type:
        offered = {rule.media_type: partial(RawBytes, rule.response_raw, rule.media_type), **offered}
    elif rule.response_raw:
        text = partial(RawBytes, rule.response_raw, "text/plain; charset=utf-8")
        other = partial(RawBytes, rule.response_raw, "application/octet-stream")
        offered = {"text/plain": text, **offered, "application/octet-stream": other}
    ranges = _accepted(accept or "*/*")
    best: tuple[float, int] = (0.0, 0)
    chosen = None
    for candidate, make in offered.items():
        fit = _fit(candidate, ranges)
        # Of equal ones, the more specific one wins, then the order in which they are offered.
        if fit[0] > 0 and fit > best:
            best, chosen = fit, make
    if chosen is None:
        raise HttpError(
            InvalidInput(
                f"this is a stream, offered as {', '.join(offered)}; none of them is accepted by {accept!r}",
                reason="NOT_ACCEPTABLE",
            ),
            NOT_ACCEPTABLE,
        )
    return chosen()


def _one_line(position: str) -> str:
    """Remove characters that end the id of an event, or make a browser ignore it. No position has any."""
    return re.sub(r"[\r\n\0]", "", position)


def _fit(name: str, ranges: list[tuple[str, float]]) -> tuple[float, int]:
    """Return the quality of a media type, and how exact the range is that says so (RFC 9110, 12.5.1)."""
    for exactness, wanted in ((2, name), (1, name.partition("/")[0] + "/*"), (0, "*/*")):
        qualities = [quality for range_, quality in ranges if range_ == wanted]
        if qualities:
            return max(qualities), exactness
    return 0.0, 0


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
