"""Logs as files over HTTP: whole, by range, and conditional (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from sluiceway_common.foundation.errors import NotFound

LOG = "/api/v1/runs/r/tasks/t/log"
DATA = bytes(range(256)) * 4
TAG = f'"1.{len(DATA)}"'
SIZE = len(DATA)


@pytest.fixture
def logs(installation: Any) -> Any:
    installation.runs.log = DATA
    installation.runs.chunk_bytes = 100
    return installation


async def get(
    installation: Any, headers: dict[str, str] | None = None, query: str = "", method: str = "GET"
) -> httpx.Response:
    async with installation.client() as client:
        answer: httpx.Response = await client.request(method, LOG + query, headers=headers or {})
        return answer


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "text/plain; charset=utf-8"),
        ("*/*", "text/plain; charset=utf-8"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("application/octet-stream", "application/octet-stream"),
    ],
)
async def test_log_is_a_file_unless_events_are_accepted(logs: Any, accept: str | None, content_type: str) -> None:
    async with logs.client() as client:
        client.headers.pop("accept")
        answer = await client.get(LOG, headers={} if accept is None else {"accept": accept})
    assert (answer.status_code, answer.content) == (200, DATA)
    assert answer.headers["content-type"] == content_type
    assert answer.headers["content-length"] == str(SIZE)
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"] == TAG


async def test_log_is_an_event_stream_when_events_are_accepted(logs: Any) -> None:
    answer = await get(logs, {"accept": "text/event-stream", "range": "bytes=2-4"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert not {"accept-ranges", "etag", "content-length"} & set(answer.headers)
    assert answer.text.endswith("event: end\ndata: {}\n\n")


@pytest.mark.parametrize(
    ("asked", "span"),
    [
        pytest.param("bytes=2-4", slice(2, 5), id="some"),
        pytest.param("bytes=0-0", slice(0, 1), id="the first byte"),
        pytest.param("bytes=0-", slice(0, SIZE), id="all"),
        pytest.param("bytes=95-310", slice(95, 311), id="across chunks"),
        pytest.param("bytes=1000-", slice(1000, SIZE), id="from an offset on"),
        pytest.param("bytes=1000-99999", slice(1000, SIZE), id="beyond the end"),
        pytest.param("bytes=1023-1023", slice(1023, SIZE), id="the last byte"),
        pytest.param("bytes=-5", slice(SIZE - 5, SIZE), id="the end"),
        pytest.param("bytes=-99999", slice(0, SIZE), id="an end that is longer than the log"),
    ],
)
async def test_range_is_206_with_its_bytes(logs: Any, asked: str, span: slice) -> None:
    answer = await get(logs, {"range": asked})
    assert (answer.status_code, answer.content) == (206, DATA[span])
    assert answer.headers["content-range"] == f"bytes {span.start}-{span.stop - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(span.stop - span.start)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["etag"] == TAG
    assert len(logs.runs.requests) == 1, "the server is asked once"


@pytest.mark.parametrize(
    "asked",
    ["bytes=0-1,4-5", "lines=1-2", "bytes=4-2", "bytes=x", "bytes=-", "2-4"],
)
async def test_invalid_or_multiple_range_returns_all(logs: Any, asked: str) -> None:
    answer = await get(logs, {"range": asked})
    assert (answer.status_code, answer.content) == (200, DATA)
    assert "content-range" not in answer.headers


@pytest.mark.parametrize("asked", ["bytes=1024-", "bytes=5000-6000", "bytes=-0", "bytes=99999999999999999999999-"])
async def test_unsatisfiable_range_is_416(logs: Any, asked: str) -> None:
    answer = await get(logs, {"range": asked})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{SIZE}"
    assert answer.json()["error"]["status"] == "OUT_OF_RANGE"


@pytest.mark.parametrize(("asked", "code"), [("bytes=0-", 416), ("bytes=-5", 200)])
async def test_range_of_an_empty_log_has_no_bytes(logs: Any, asked: str, code: int) -> None:
    logs.runs.log = b""
    answer = await get(logs, {"range": asked})
    assert answer.status_code == code
    assert code == 416 or answer.content == b""


@pytest.mark.parametrize(
    ("tag", "code"),
    [(TAG, 206), ('"1.7"', 200), (f"W/{TAG}", 200), ("Mon, 30 Nov 2026 08:00:00 GMT", 200)],
)
@pytest.mark.parametrize("asked", ["bytes=2-4", "bytes=-5", "bytes=5000-"])
async def test_range_is_used_only_when_if_range_matches(logs: Any, asked: str, tag: str, code: int) -> None:
    answer = await get(logs, {"range": asked, "if-range": tag})
    if code == 206 and asked == "bytes=5000-":
        code = 416
    assert answer.status_code == code
    assert code != 200 or answer.content == DATA


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"if-none-match": TAG}, 304),
        ({"if-none-match": f'"x", W/{TAG}'}, 304),
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": '"x"'}, 200),
        ({"if-match": TAG}, 200),
        ({"if-match": '"x"'}, 412),
        ({"if-match": '"x"', "if-none-match": TAG}, 412),
        ({"if-none-match": TAG, "range": "bytes=2-4"}, 304),
    ],
    ids=str,
)
async def test_conditional_request_returns_its_status(logs: Any, headers: dict[str, str], code: int) -> None:
    answer = await get(logs, headers)
    assert answer.status_code == code
    assert code != 304 or (answer.content == b"" and answer.headers["etag"] == TAG)


@pytest.mark.parametrize("headers", [{}, {"range": "bytes=2-4"}], ids=str)
async def test_head_of_a_log_equals_that_of_a_whole_get(logs: Any, headers: dict[str, str]) -> None:
    answer = await get(logs, headers, method="HEAD")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(SIZE)
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"] == TAG


async def test_head_of_an_unreadable_log_has_its_error_status(logs: Any) -> None:
    logs.runs.fault = NotFound("there is no such log")
    assert (await get(logs, method="HEAD")).status_code == 404


async def test_head_of_an_event_stream_has_its_headers(installation: Any) -> None:
    installation.runs.feed.put_nowait(installation.snapshot([]))
    async with installation.client() as client:
        answer = await client.head("/api/v1/runs/r:watch")
        allowed = await client.options("/api/v1/runs/r:watch")
        assert "HEAD" in allowed.headers["allow"]
        async with asyncio.timeout(20):
            await installation.runs.left.wait()
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    ("asked", "code", "content"),
    [
        (None, 200, DATA[1000:]),
        ("bytes=2-4", 206, DATA[1002:1005]),
        ("bytes=-4", 200, DATA[1000:]),
        ("bytes=24-", 416, None),
    ],
)
async def test_range_is_within_the_offset_of_the_query(logs: Any, asked: str | None, code: int, content: bytes) -> None:
    answer = await get(logs, {} if asked is None else {"range": asked}, "?offset=1000")
    assert answer.status_code == code
    assert code == 416 or answer.content == content
    assert code != 206 or answer.headers["content-range"] == "bytes 2-4/24"


async def test_offset_beyond_the_end_is_400(logs: Any) -> None:
    answer = await get(logs, query="?offset=2000")
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "OUT_OF_RANGE")


async def test_tail_of_a_log_has_no_ranges(logs: Any) -> None:
    answer = await get(logs, {"range": "bytes=2-4"}, "?tail=10")
    assert (answer.status_code, answer.content) == (200, DATA[-10:])
    assert answer.headers["content-length"] == "10"
    assert "accept-ranges" not in answer.headers


@pytest.mark.parametrize("headers", [{}, {"range": "bytes=1000-"}], ids=str)
async def test_growing_log_is_as_long_as_its_content_length(logs: Any, headers: dict[str, str]) -> None:
    logs.runs.growth = b"more" * 100
    answer = await get(logs, headers)
    assert DATA.endswith(answer.content)
    assert answer.headers["content-length"] == str(len(answer.content))


async def test_log_shorter_than_its_content_length_breaks_off(logs: Any) -> None:
    logs.runs.shrinks = True
    with pytest.raises(httpx.RemoteProtocolError):
        await get(logs)


@pytest.mark.parametrize("headers", [{}, {"range": "bytes=2-4"}], ids=str)
async def test_followed_log_has_no_content_length(logs: Any, headers: dict[str, str]) -> None:
    answer = await get(logs, headers, "?follow=true")
    assert (answer.status_code, answer.content) == (200, DATA)
    assert not {"content-length", "accept-ranges"} & set(answer.headers)
