"""Where one HTTP request ends and the next one begins, read strictly (RFC 9112).

A proxy and a server that read the framing of a message differently can be made to see different requests ("request
smuggling"). h11 accepts some things that RFC 9112 allows a recipient to accept, and that others read in another way.
They are refused here, and the connection is closed.
"""

from __future__ import annotations

import re

import h11

from sluiceway_server.gateway.errors import HTTP_VERSION_NOT_SUPPORTED, NOT_IMPLEMENTED

__all__ = ["StrictConnection", "head_fault"]

_BAD_REQUEST = 400
# Of one body, beside one for each 64 bytes: reading a chunk costs about 20 microseconds, whatever its size.
_FREE_CHUNKS = 16 * 1024
_MEAN_CHUNK_BYTES = 64

_END_OF_HEAD = re.compile(rb"\n\r?\n")  # as h11 finds it
_BARE_LF = re.compile(rb"(?<!\r)\n")
_BARE_CR = re.compile(rb"\r(?!\n)")
_FOLDED = re.compile(rb"\n[ \t]")
_VERSION = re.compile(rb" HTTP/([0-9])\.([0-9])$")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#@]+)([/?].*|)")
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")


class StrictConnection(h11.Connection):
    """The server's side of a connection whose requests are read strictly.

    Attributes:
        events: how many there were, of all requests: a measure of the time that reading took.
        body_left: the bytes that the body of the present request still has; None when its headers do not say.
    """

    def __init__(self, max_head_bytes: int) -> None:
        super().__init__(h11.SERVER, max_head_bytes)
        self.events = 0
        self.body_left: int | None = 0
        self._chunks = 0
        self._body_bytes = 0

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Parse the next event, as `h11.Connection.next_event`.

        Raises:
            RemoteProtocolError: this is not HTTP, or not unambiguously one request; respond with its hint and close.
        """
        self.events += 1
        state = self.their_state
        unread = self.trailing_data[0] if state is h11.IDLE or self.body_left is None else b""
        if state is h11.IDLE and (end := _END_OF_HEAD.search(unread)):
            fault = head_fault(unread[: end.end()])
            if fault is not None:
                raise h11.RemoteProtocolError(fault[1], error_status_hint=fault[0])
        event = super().next_event()
        if isinstance(event, h11.Request):
            event = _in_origin_form(event)
            self._begin(event)
        elif isinstance(event, h11.Data):
            self._count(event)
        elif isinstance(event, h11.EndOfMessage) and self.body_left is None:
            read = unread[: len(unread) - len(self.trailing_data[0])]
            if _BARE_LF.search(read):
                raise h11.RemoteProtocolError("a line of the trailer ends without CR")
        return event

    def _begin(self, request: h11.Request) -> None:
        headers = dict(request.headers)
        self.body_left = None if b"transfer-encoding" in headers else int(headers.get(b"content-length", b"0"))
        self._chunks = self._body_bytes = 0

    def _count(self, data: h11.Data) -> None:
        if self.body_left is not None:
            self.body_left -= len(data.data)
            return
        self._chunks += data.chunk_start
        self._body_bytes += len(data.data)
        if self._chunks > _FREE_CHUNKS + self._body_bytes // _MEAN_CHUNK_BYTES:
            raise h11.RemoteProtocolError("the chunks of the body are too small")


def _in_origin_form(request: h11.Request) -> h11.Request:
    """Turn a target in absolute form, as sent to a proxy, into origin form and Host (RFC 9112, 3.2.2)."""
    absolute = _ABSOLUTE.fullmatch(request.target)
    if absolute is None:
        return request
    authority, rest = absolute.groups()
    headers = [(name, authority if name == b"host" else value) for name, value in request.headers]
    target = rest if rest.startswith(b"/") else b"/" + rest
    return h11.Request(method=request.method, target=target, headers=headers, http_version=request.http_version)


def head_fault(head: bytes) -> tuple[int, str] | None:
    """Find why a request's head cannot be served, with the HTTP code for it; None: there is no reason here.

    Pure. What h11 refuses itself is not repeated.

    Args:
        head: from the request line to the empty line, as it came.
    """
    if _BARE_LF.search(head):
        return _BAD_REQUEST, "a line ends without CR"  # RFC 9112, 2.2
    if _BARE_CR.search(head):
        return _BAD_REQUEST, "a CR is not followed by LF"  # 2.2
    if _FOLDED.search(head):
        return _BAD_REQUEST, "a header continues on another line"  # 5.2
    request_line, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    version = _VERSION.search(request_line)
    if version is None:
        return None  # h11 says so
    if version.group(1) != b"1":
        return HTTP_VERSION_NOT_SUPPORTED, "only HTTP/1.1 and HTTP/1.0 are served"  # RFC 9110, 15.6.6
    method, _, target = request_line[: version.start()].partition(b" ")
    if not target.startswith(b"/") and target != b"*" and method != b"CONNECT" and not _ABSOLUTE.fullmatch(target):
        return _BAD_REQUEST, "the target must begin with a slash, or be a URL"  # 3.2
    headers: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers.setdefault(name.lower(), []).append(value.strip(b" \t"))
    if not all(_HOST.fullmatch(host) for host in headers.get(b"host", ())):
        return _BAD_REQUEST, "the Host header is not valid"  # 3.2
    return _body_fault(headers, is_1_0=version.group(2) == b"0")


def _body_fault(headers: dict[bytes, list[bytes]], *, is_1_0: bool) -> tuple[int, str] | None:
    """Check what determines the length of a body (RFC 9112, 6.1 to 6.3)."""
    lengths = headers.get(b"content-length", [])
    if len(lengths) > 1 or any(b"," in length for length in lengths):
        return _BAD_REQUEST, "Content-Length is given more than once"
    if b"transfer-encoding" not in headers:
        return None
    if lengths:
        return _BAD_REQUEST, "Content-Length and Transfer-Encoding are given both"
    if is_1_0:
        return _BAD_REQUEST, "HTTP/1.0 has no Transfer-Encoding"
    codings = [coding.strip(b" \t").lower() for value in headers[b"transfer-encoding"] for coding in value.split(b",")]
    if codings[-1] != b"chunked" or codings.count(b"chunked") > 1:
        return _BAD_REQUEST, "the last transfer coding must be chunked, once"
    if len(codings) > 1:
        return NOT_IMPLEMENTED, "the only transfer coding that is understood is chunked"
    return None
