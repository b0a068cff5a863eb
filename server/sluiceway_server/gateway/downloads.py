"""A stream of bytes served as a file: with its length, by ranges, and on conditions (RFC 9110, 13 and 14).

The server describes the file in the first message of the stream, so description and bytes are consistent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from sluiceway.api.options.v1 import options_pb2 as pb
from sluiceway_common.foundation.errors import FailedPrecondition, OutOfRange
from sluiceway_server.gateway.conditional import parse_range, tag_is_listed
from sluiceway_server.gateway.encoders import Opening, RawBytes
from sluiceway_server.gateway.errors import HttpError
from sluiceway_server.gateway.exchange import Exchange
from sluiceway_server.gateway.routes import Rule

__all__ = ["Download", "ReadAgain"]

_PARTIAL = 206
_NOT_MODIFIED = 304
_PRECONDITION_FAILED = 412
_RANGE_NOT_SATISFIABLE = 416
_MAX_INT64 = 2**63 - 1


class ReadAgain(Exception):
    """The range does not apply: the stream has to be read from its beginning. `Download.request` is changed."""


@dataclass(frozen=True, slots=True)
class _Description:
    start: int
    size: int
    tag: str


class Download(RawBytes):
    """Encodes a stream as a file, or as a part of it."""

    waits = True

    def __init__(self, rule: Rule, request: Message, exchange: Exchange, content_type: str) -> None:
        """Serve what `request` asks for, as the headers of `exchange` ask for it."""
        super().__init__(rule.response_raw, content_type)
        parts = rule.file_parts
        self._start_field, self._next_field = rule.request_resume, rule.response_resume
        self._describe_field, self._tail_field = parts[pb.FILE_PART_DESCRIBE], parts[pb.FILE_PART_TAIL]
        self._size_field, self._etag_field = parts[pb.FILE_PART_SIZE], parts[pb.FILE_PART_ETAG]
        self._response = rule.response
        # A page names the file; whatever is in it, a browser must not show it as a page of ours.
        self._headers = {"content-disposition": "attachment"} if rule.media_type else {}
        self._base = int(getattr(request, self._start_field))
        # The last bytes of a file that grows are others each time, so it has no ranges.
        self._is_end = bool(getattr(request, self._tail_field))
        self._asked = request
        self._range = parse_range(exchange.header("range")) if exchange.method == "GET" else None
        if self._is_end:
            self._range = None
        self._if_match = exchange.header("if-match")
        self._if_none_match = exchange.header("if-none-match")
        self._if_range = exchange.header("if-range")
        self._left: int | None = None

    @property
    def request(self) -> bytes:
        """Return the request that begins with a description and continues with the first byte of the range."""
        request = type(self._asked)()
        request.CopyFrom(self._asked)
        setattr(request, self._describe_field, True)
        if self._range is not None and self._range.first is not None:
            setattr(request, self._start_field, min(self._base + self._range.first, _MAX_INT64))
        elif self._range is not None and not self._base:
            setattr(request, self._tail_field, self._range.last)
        return request.SerializeToString()

    def begin(self, first: bytes | None, *, is_over: bool) -> Opening:
        """Begin the response with status 200, 206 or 416.

        Raises:
            ReadAgain: see there.
            HttpError: 412, 416.
            OutOfRange: the offset that was asked for is beyond the end.
        """
        described: Any = self._response.FromString(first or b"")
        has_tag = bool(getattr(described, self._etag_field))
        if not has_tag or not described.HasField(self._size_field):
            # It may still grow while it is read.
            self._give_range_up()
            return Opening(200, {"content-type": self.content_type}, skips_first=has_tag)
        return self._open(self._description(described))

    def _description(self, described: Any) -> _Description:
        start = int(getattr(described, self._next_field))
        size = int(getattr(described, self._size_field))
        if self._is_end:
            self._base = start
        return _Description(start, size, f'"{getattr(described, self._etag_field)}"')

    def _open(self, file: _Description) -> Opening:
        size = file.size - self._base
        if size < 0:
            raise OutOfRange(
                f"there are {file.size} bytes; there is nothing at {self._base}", metadata={"size": str(file.size)}
            )
        headers = {"content-type": self.content_type, "etag": file.tag, **self._headers}
        if not self._is_end:
            headers["accept-ranges"] = "bytes"
        if self._if_match and not tag_is_listed(file.tag, self._if_match, weak=False):
            raise HttpError(
                FailedPrecondition(f"the etag is {file.tag} now", reason="ETAG_CHANGED"), _PRECONDITION_FAILED
            )
        if self._if_none_match and tag_is_listed(file.tag, self._if_none_match, weak=True):
            return Opening(_NOT_MODIFIED, headers, has_body=False)
        if self._range is not None and self._if_range and self._if_range != file.tag:
            self._give_range_up()
        if self._range is None or (size == 0 and self._range.first is None and self._range.last):
            self._left = size
            return Opening(200, {**headers, "content-length": str(size)}, skips_first=True, has_body=size > 0)
        span = self._range.within(size)
        if span is None:
            raise HttpError(
                OutOfRange(f"there are {size} bytes; the range has none of them", metadata={"size": str(size)}),
                _RANGE_NOT_SATISFIABLE,
                {"content-range": f"bytes */{size}"},
            )
        if file.start != self._base + span.start:
            self._give_range_up()
        self._left = len(span)
        headers["content-range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
        return Opening(_PARTIAL, {**headers, "content-length": str(self._left)}, skips_first=True)

    def _give_range_up(self) -> None:
        if self._range is not None:
            self._range = None
            raise ReadAgain

    @property
    def is_done(self) -> bool:
        return self._left == 0

    def message(self, message: Message) -> bytes:
        data = super().message(message)
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        return data

    def end(self, *, is_empty: bool) -> bytes | None:
        return None if self._left else b""
