"""Request heads that are refused because their framing is ambiguous."""

from __future__ import annotations

import h11
import pytest

from sluiceway_server.gateway.framing import StrictConnection, head_fault


def head(*lines: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"POST / HTTP/{version}", "host: x", *lines, "", ""]).encode("latin-1")


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(head(), id="no body"),
        pytest.param(head("content-length: 5"), id="a length"),
        pytest.param(head("transfer-encoding: chunked"), id="chunks"),
        pytest.param(head("Transfer-Encoding:Chunked"), id="chunks, in other letters"),
        pytest.param(head("content-length: 5", version="1.0"), id="HTTP/1.0"),
        pytest.param(head("x: a\tb  c"), id="white space within a value"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: [::1]:8080\r\n\r\n", id="a host that is an address"),
        pytest.param(b"GET / HTTP/1.1\r\nhost:\r\n\r\n", id="an empty host"),
        pytest.param(b"GET /\r\n\r\n", id="no version, which h11 refuses"),
    ],
)
def test_unambiguous_head_is_passed_to_h11(head: bytes) -> None:
    assert head_fault(head) is None


@pytest.mark.parametrize(
    ("head", "code", "words"),
    [
        pytest.param(head("content-length: 5", "transfer-encoding: chunked"), 400, "both", id="both"),
        pytest.param(head("transfer-encoding: chunked", "content-length: 5"), 400, "both", id="both, the other way"),
        pytest.param(head("content-length: 5", "content-length: 6"), 400, "more than once", id="two lengths"),
        pytest.param(head("content-length: 5", "Content-Length: 5"), 400, "more than once", id="one length twice"),
        pytest.param(head("content-length: 5, 5"), 400, "more than once", id="a list of lengths"),
        pytest.param(head("transfer-encoding: chunked, gzip"), 400, "last", id="chunked is not the last"),
        pytest.param(head("transfer-encoding: gzip"), 400, "last", id="no chunked at all"),
        pytest.param(head("transfer-encoding: identity"), 400, "last", id="identity"),
        pytest.param(head("transfer-encoding: xchunked"), 400, "last", id="something like it"),
        pytest.param(head("transfer-encoding:"), 400, "last", id="nothing"),
        pytest.param(head("transfer-encoding: chunked, chunked"), 400, "once", id="chunked twice"),
        pytest.param(head("transfer-encoding: chunked", "transfer-encoding: chunked"), 400, "once", id="two headers"),
        pytest.param(head("transfer-encoding: chunked", "transfer-encoding: gzip"), 400, "last", id="two that differ"),
        pytest.param(head("transfer-encoding: gzip, chunked"), 501, "understood", id="a coding that is not known"),
        pytest.param(head("transfer-encoding: chunked", version="1.0"), 400, "HTTP/1.0", id="HTTP/1.0 with chunks"),
        pytest.param(head(version="2.0"), 505, "HTTP/1.1", id="HTTP/2"),
        pytest.param(head(version="0.9"), 505, "HTTP/1.1", id="HTTP/0.9"),
        pytest.param(head("x: a", " b"), 400, "another line", id="a folded header"),
        pytest.param(head("transfer-encoding:", " chunked"), 400, "another line", id="a folded coding"),
        pytest.param(head().replace(b"host: x\r\n", b"host: x\n"), 400, "without CR", id="a line without CR"),
        pytest.param(head()[:-2] + b"\n", 400, "without CR", id="an end without CR"),
        pytest.param(head("x: a\rb"), 400, "not followed by LF", id="a CR alone"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n", 400, "Host", id="a host with a space"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", 400, "Host", id="a host with a path"),
    ],
)
def test_ambiguous_head_is_refused(head: bytes, code: int, words: str) -> None:
    fault = head_fault(head)
    assert fault is not None
    assert fault[0] == code
    assert words in fault[1]


def test_remaining_bytes_of_a_body_are_counted() -> None:
    connection = StrictConnection(1024)
    connection.receive_data(head("content-length: 5") + b"abc")
    events = [connection.next_event(), connection.next_event()]
    assert [type(event) for event in events] == [h11.Request, h11.Data]
    assert (connection.body_left, connection.events) == (2, 2)
