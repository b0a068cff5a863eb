"""Request framing on a connection (RFC 9112): an ambiguous request closes it."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from typing import Any

import pytest

HEAD = "POST /api/v1/runs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\ncontent-type: application/json\r\n"
CHUNKED = HEAD + "transfer-encoding: chunked\r\n\r\n"
SMUGGLED = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
LAST = HEAD + "connection: close\r\ncontent-length: 2\r\n\r\n{}"


def codes(answers: bytes) -> list[int]:
    """Return the status codes of all responses on a connection."""
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(HEAD + "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, id="two framings"),
        pytest.param(HEAD + "transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n{}", 400, id="the other way"),
        pytest.param(HEAD + "content-length: 2\r\ncontent-length: 0\r\n\r\n{}", 400, id="two lengths"),
        pytest.param(HEAD + "content-length: 2\r\ncontent-length: 2\r\n\r\n{}", 400, id="one length twice"),
        pytest.param(HEAD + "content-length: 2, 2\r\n\r\n{}", 400, id="a list of lengths"),
        pytest.param(HEAD + "content-length: +2\r\n\r\n{}", 400, id="a length with a sign"),
        pytest.param(HEAD + "content-length: -2\r\n\r\n{}", 400, id="a length below zero"),
        pytest.param(HEAD + "content-length: 0x2\r\n\r\n{}", 400, id="a length in hexadecimal"),
        pytest.param(HEAD + "content-length: 2_0\r\n\r\n{}", 400, id="a length with an underscore"),
        pytest.param(HEAD + "content-length:\r\n\r\n{}", 400, id="an empty length"),
        pytest.param(HEAD + f"content-length: {'1' * 30}\r\n\r\n{{}}", 400, id="a length of many digits"),
        pytest.param(HEAD + "transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, id="gzip and chunks"),
        pytest.param(HEAD + "transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400, id="chunked is not last"),
        pytest.param(HEAD + "transfer-encoding: identity\r\n\r\n", 400, id="identity"),
        pytest.param(HEAD + "transfer-encoding : chunked\r\n\r\n0\r\n\r\n", 400, id="a space before the colon"),
        pytest.param(HEAD + "transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400, id="a folded coding"),
        pytest.param(CHUNKED.replace("HTTP/1.1", "HTTP/1.0") + "0\r\n\r\n", 400, id="chunks in HTTP/1.0"),
        pytest.param(LAST.replace("HTTP/1.1", "HTTP/2.0"), 505, id="another version"),
        pytest.param(LAST.replace("host: x", "host: x\r\nhost: y"), 400, id="two hosts"),
        pytest.param(LAST.replace("host: x\r\n", ""), 400, id="no host"),
        pytest.param(LAST.replace("host: x", "host: x y"), 400, id="a host that is none"),
        pytest.param(LAST.replace("host: x\r\n", "host: x\n"), 400, id="a line without CR"),
        pytest.param(LAST.replace("host: x", "host: x\r\nx: a\x00b"), 400, id="a NUL"),
        pytest.param(CHUNKED + "0x2\r\n{}\r\n0\r\n\r\n", 400, id="a chunk size with a prefix"),
        pytest.param(CHUNKED + "+2\r\n{}\r\n0\r\n\r\n", 400, id="a chunk size with a sign"),
        pytest.param(CHUNKED + "-2\r\n{}\r\n0\r\n\r\n", 400, id="a chunk size below zero"),
        pytest.param(CHUNKED + "\r\n{}\r\n0\r\n\r\n", 400, id="no chunk size"),
        pytest.param(CHUNKED + "2\n{}\r\n0\r\n\r\n", 400, id="a chunk size without CR"),
        pytest.param(CHUNKED + "2;a\nb\r\n{}\r\n0\r\n\r\n", 400, id="a chunk extension with LF"),
        pytest.param(CHUNKED + "2\r\n{}xx0\r\n\r\n", 400, id="a chunk that is longer than its size"),
        pytest.param(CHUNKED + "2\r\n{}\r\n0\r\n\n", 400, id="an end without CR"),
        pytest.param(CHUNKED + "2\r\n{}\r\n0\r\nx: y\n\r\n", 400, id="a trailer without CR"),
        pytest.param(CHUNKED + "1\r\n \r\n" * 17_000 + "0\r\n\r\n", 400, id="very many small chunks"),
    ],
)
async def test_ambiguous_request_closes_its_connection(installation: Any, data: str, code: int) -> None:
    answers = await installation.raw((data + SMUGGLED * 2).encode("latin-1"))
    assert codes(answers) == [code], "what follows is not answered"
    top, _, body = answers.partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in top.lower()
    assert json.loads(body)["error"]["code"] == code
    assert installation.runs.requests == []


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(HEAD + "content-length: 2\r\n\r\n{}", id="a length"),
        pytest.param(CHUNKED + "2\r\n{}\r\n0\r\n\r\n", id="a chunk"),
        pytest.param(CHUNKED + "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", id="two chunks"),
        pytest.param(CHUNKED + "002;a=b\r\n{}\r\n000;c\r\n\r\n", id="chunk extensions"),
        pytest.param(CHUNKED + "2\r\n{}\r\n0\r\nx: y\r\nz: 1\r\n\r\n", id="a trailer"),
        pytest.param(CHUNKED.replace("chunked", "Chunked") + "2\r\n{}\r\n0\r\n\r\n", id="other letters"),
        pytest.param(HEAD + "content-length: 70000\r\n\r\n{}" + " " * 69_998, id="a longer body"),
        pytest.param(CHUNKED + "2\r\n{}\r\n" + "40\r\n" + " " * 64 + "\r\n0\r\n\r\n", id="a chunk of a usual size"),
    ],
)
@pytest.mark.parametrize("at_a_time", [1_000_000, 7])
async def test_requests_are_read_whatever_their_segmentation(installation: Any, data: str, at_a_time: int) -> None:
    sent = (data * 3 + LAST).encode()
    if at_a_time < 100 and len(sent) > 100_000:
        at_a_time = 997
    reader, writer = await asyncio.open_connection("127.0.0.1", installation.port)
    for begin in range(0, len(sent), at_a_time):
        writer.write(sent[begin : begin + at_a_time])
        await writer.drain()
        await asyncio.sleep(0)
    async with asyncio.timeout(20):
        answers = await reader.read()
    writer.close()
    assert codes(answers) == [201] * 4
    assert len(installation.runs.requests) == 4


async def test_request_with_a_refused_body_does_not_reach_the_server(installation: Any) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", installation.port)
    writer.write((CHUNKED + "2\r\n{}\r\n").encode())
    await writer.drain()
    writer.write(b"nonsense\r\n")
    async with asyncio.timeout(20):
        assert codes(await reader.read()) == [400]
        writer.close()
        async with installation.client() as client:
            while 'sluiceway_gateway_requests_total{code="499"' not in (await client.get("/metrics")).text:
                pass
    assert installation.runs.requests == []


async def test_idle_connection_is_closed(start_installation: Any) -> None:
    installation = await start_installation(read_timeout=timedelta(milliseconds=200))
    async with asyncio.timeout(20):
        assert await installation.raw(b"") == b""
