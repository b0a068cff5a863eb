"""Server streams over HTTP: server-sent events, JSON lines and raw bytes."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest

from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway_common.foundation.errors import Exhausted, NotFound, Unavailable

LOG = "/api/v1/runs/r/tasks/t/log"


def chunk(data: bytes, offset: int) -> pb.ReadLogsResponse:
    return pb.ReadLogsResponse(data=data, next_offset=offset)


async def test_stream_is_server_sent_events_with_ids(installation: Any) -> None:
    for position in ("p1", "p2"):
        installation.runs.feed.put_nowait(pb.WatchRunResponse(position=position, run={"id": "ä\n"}))
    installation.runs.feed.put_nowait(None)
    async with installation.client() as client:
        answer = await client.get("/api/v1/runs/r:watch", headers={"accept": "text/event-stream"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    *events, rest = answer.text.split("\n\n")
    assert (events.pop(), rest) == ("event: end\ndata: {}", "")
    for event, position in zip(events, ("p1", "p2"), strict=True):
        first, data = event.split("\n")
        assert first == f"id: {position}"
        message = json.loads(data.removeprefix("data: "))
        assert (message["position"], message["run"]["id"], message["tasks"]) == (position, "ä\n", [])


async def test_last_event_id_sets_the_field_that_resumes(installation: Any) -> None:
    installation.runs.feed.put_nowait(None)
    installation.runs.feed.put_nowait(None)
    async with installation.client() as client:
        await client.get("/api/v1/runs/r:watch?after=p0", headers={"last-event-id": "p9"})
        sse = {"accept": "text/event-stream", "last-event-id": "4096"}
        await client.get(f"{LOG}?step=2&follow=true&offset=3", headers=sse)
    assert installation.runs.requests[0] == pb.WatchRunRequest(run_id="r", after="p9")
    assert installation.runs.requests[1] == pb.ReadLogsRequest(
        run_id="r", task_id="t", step=2, follow=True, offset=4096
    )


async def test_stream_is_json_lines_when_accepted(installation: Any) -> None:
    installation.runs.feed.put_nowait(chunk(b"a\xff", 2))
    installation.runs.feed.put_nowait(NotFound("gone"))
    async with installation.client() as client:
        answer = await client.get(LOG, headers={"accept": "application/x-ndjson"})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[0].items() >= {"nextOffset": "2", "data": "Yf8="}.items()
    assert lines[1]["error"]["status"] == "NOT_FOUND"


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
async def test_log_in_json_has_bytes_and_text(installation: Any, accept: str, size: int) -> None:
    installation.runs.log, installation.runs.chunk_bytes = "grün ✓ 😀\n".encode() + b"\xff end", size
    async with installation.client() as client:
        answer = await client.get(LOG, headers={"accept": accept})
    found = [json.loads(line[line.index("{") :]) for line in answer.text.split("\n") if '"nextOffset"' in line]
    assert b"".join(base64.b64decode(message["data"]) for message in found) == installation.runs.log
    assert "".join(message.get("text", "") for message in found) == "grün ✓ 😀\n\ufffd end"


async def test_log_as_plain_text_is_its_bytes(installation: Any) -> None:
    data = bytes(range(256)) * 256
    installation.runs.feed.put_nowait(chunk(data, 1))
    installation.runs.feed.put_nowait(chunk(b"end", 2))
    installation.runs.feed.put_nowait(None)
    async with installation.client() as client:
        answer = await client.get(LOG, headers={"accept": "text/plain"})
    assert answer.content == data + b"end"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_incomplete_plain_text_log_breaks_off(installation: Any) -> None:
    installation.runs.feed.put_nowait(chunk(b"half", 1))
    installation.runs.feed.put_nowait(NotFound("gone"))
    async with installation.client() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(LOG, headers={"accept": "text/plain"})


async def test_failure_after_the_first_event_is_an_error_event(installation: Any) -> None:
    installation.runs.feed.put_nowait(pb.WatchRunResponse(position="p1"))
    installation.runs.feed.put_nowait(Exhausted("too slow", reason="SUBSCRIBER_TOO_SLOW"))
    async with installation.client() as client:
        answer = await client.get("/api/v1/runs/r:watch")
    *_, last = answer.text.strip().split("\n\n")
    name, data = last.split("\n")
    assert name == "event: failure"
    error = json.loads(data.removeprefix("data: "))["error"]
    assert (error["code"], error["status"], error["message"]) == (429, "RESOURCE_EXHAUSTED", "too slow")


async def test_idle_stream_starts_and_is_kept_alive_by_comments(start_installation: Any) -> None:
    tenth = timedelta(milliseconds=100)
    installation = await start_installation(comment_interval=tenth, first_message_timeout=tenth)
    async with installation.client() as client, client.stream("GET", "/api/v1/runs/r:watch") as answer:
        assert answer.status_code == 200
        lines = aiter(answer.aiter_lines())
        assert [await anext(lines) for _ in range(4)] == [": still here", "", ": still here", ""]
        installation.runs.feed.put_nowait(pb.WatchRunResponse(position="p1"))
        async with asyncio.timeout(20):
            while not (await anext(lines)).startswith("id: p1"):
                pass


@asynccontextmanager
async def accepted_stream(start_installation: Any) -> AsyncIterator[tuple[Any, httpx.Response]]:
    """Yield the response to a watch that the server has accepted without a message."""
    installation = await start_installation(first_message_timeout=timedelta(hours=1))
    installation.runs.announces = True
    async with (
        asyncio.timeout(20),
        installation.client() as client,
        client.stream("GET", "/api/v1/runs/r:watch") as answer,
    ):
        assert answer.status_code == 200
        yield installation, answer


async def test_idle_stream_starts_when_the_server_accepts_it(start_installation: Any) -> None:
    async with accepted_stream(start_installation) as (installation, answer):
        installation.runs.feed.put_nowait(pb.WatchRunResponse(position="p1"))
        lines = aiter(answer.aiter_lines())
        assert (await anext(lines)) == "id: p1"


async def test_stream_that_fails_before_acceptance_has_its_status(start_installation: Any) -> None:
    installation = await start_installation(first_message_timeout=timedelta(hours=1))
    async with asyncio.timeout(20), installation.client() as client:
        call = asyncio.create_task(client.get("/api/v1/runs/r:watch"))
        await installation.runs.entered.wait()
        installation.runs.feed.put_nowait(NotFound("gone"))
        assert (await call).status_code == 404


async def test_stream_that_fails_after_acceptance_is_an_event(start_installation: Any) -> None:
    async with accepted_stream(start_installation) as (installation, answer):
        installation.runs.feed.put_nowait(NotFound("gone"))
        assert (await answer.aread()).startswith(b"event: failure\n")


class EventSource:
    """A client as the HTML standard defines it: it reconnects after each end, with the last id, until 204."""

    def __init__(self, client: httpx.AsyncClient, path: str) -> None:
        self.client, self.path = client, path
        self.last_event_id = ""
        self.codes: list[int] = []
        self.events: list[str] = []

    async def run(self) -> None:
        while not self.codes or self.codes[-1] == 200:
            headers = {"accept": "text/event-stream"}
            if self.last_event_id:
                headers["last-event-id"] = self.last_event_id
            answer = await self.client.get(self.path, headers=headers)
            self.codes.append(answer.status_code)
            for block in answer.text.split("\n\n")[:-1]:
                fields = dict(line.split(": ", 1) for line in block.split("\n"))
                self.last_event_id = fields.get("id", self.last_event_id)
                self.events.append(fields.get("event", "message"))


async def test_browser_does_not_reconnect_after_the_end_of_a_run(installation: Any) -> None:
    async with asyncio.timeout(20), installation.client() as client:
        source = EventSource(client, "/api/v1/runs/r:watch")
        for position in ("p1", "p2"):
            installation.runs.feed.put_nowait(pb.WatchRunResponse(position=position))
        installation.runs.feed.put_nowait(None)
        installation.runs.feed.put_nowait(None)  # nothing follows
        await source.run()
    assert source.events == ["message", "message", "end"]
    assert source.codes == [200, 204]
    assert installation.runs.requests[-1].after == "p2"


async def test_browser_reconnects_after_a_failure(installation: Any) -> None:
    async with asyncio.timeout(20), installation.client() as client:
        source = EventSource(client, "/api/v1/runs/r:watch")
        for message in (pb.WatchRunResponse(position="p1"), Unavailable("away"), pb.WatchRunResponse(position="p2")):
            installation.runs.feed.put_nowait(message)
        installation.runs.feed.put_nowait(None)
        installation.runs.feed.put_nowait(None)
        await source.run()
    assert source.events == ["message", "failure", "message", "end"]
    assert source.codes == [200, 200, 204]
    assert [request.after for request in installation.runs.requests] == ["", "p1", "p2"]


@pytest.mark.parametrize("data", [b"", b"hello", b"x" * 100_000], ids=len)
async def test_browser_does_not_reconnect_after_the_end_of_a_log(installation: Any, data: bytes) -> None:
    installation.runs.log = data
    async with asyncio.timeout(20), installation.client() as client:
        source = EventSource(client, f"{LOG}?follow=true")
        await source.run()
    assert source.codes == [200, 204]
    assert source.events[-1] == "end"
    assert source.events.count("end") == 1


async def test_stream_that_ends_has_a_final_event_id(installation: Any) -> None:
    installation.runs.announces = True
    sse = {"accept": "text/event-stream"}
    async with installation.client() as client, client.stream("GET", f"{LOG}?offset=7", headers=sse) as answer:
        installation.runs.feed.put_nowait(None)
        assert await answer.aread() == b"event: end\nid: 7\ndata: {}\n\n"


async def test_reader_that_disconnects_cancels_the_stream(installation: Any) -> None:
    installation.runs.feed.put_nowait(pb.WatchRunResponse(position="p1"))
    async with installation.client() as client:
        async with client.stream("GET", "/api/v1/runs/r:watch") as answer:
            await anext(aiter(answer.aiter_lines()))
        async with asyncio.timeout(20):
            await installation.runs.left.wait()
        assert "sluiceway_gateway_streams 0.0" in (await client.get("/metrics")).text


async def test_disconnect_before_the_first_message_cancels_the_stream(installation: Any) -> None:
    async with installation.client() as client:
        call = asyncio.create_task(client.get("/api/v1/runs/r:watch"))
        await installation.runs.entered.wait()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        async with asyncio.timeout(20):
            await installation.runs.left.wait()


async def test_reader_that_reads_nothing_is_disconnected(start_installation: Any) -> None:
    installation = await start_installation(
        stall_timeout=timedelta(milliseconds=200), comment_interval=timedelta(milliseconds=200)
    )
    data = b"x" * 65536
    for number in range(400):
        installation.runs.feed.put_nowait(chunk(data, number))
    _, writer = await asyncio.open_connection("127.0.0.1", installation.port, limit=1024)
    request = f"GET {LOG} HTTP/1.1\r\nhost: x\r\naccept: text/plain\r\nauthorization: Bearer good\r\n\r\n"
    writer.write(request.encode())
    async with asyncio.timeout(20), installation.client() as client:
        await installation.runs.left.wait()
        while "sluiceway_gateway_streams 0.0" not in (await client.get("/metrics")).text:
            pass
    writer.close()


async def test_stopping_gateway_ends_streams_with_a_failure_event(installation: Any) -> None:
    installation.runs.feed.put_nowait(pb.WatchRunResponse(position="p1"))
    async with installation.client() as client, client.stream("GET", "/api/v1/runs/r:watch") as answer:
        lines = aiter(answer.aiter_lines())
        await anext(lines)
        stopping = asyncio.create_task(installation.stop_gateway())
        rest = [line async for line in lines]
        await stopping
    assert "event: failure" in rest
    assert '"GATEWAY_DRAINING"' in "".join(rest)


async def test_server_death_is_an_error_event(installation: Any) -> None:
    installation.runs.feed.put_nowait(pb.WatchRunResponse(position="p1"))
    async with installation.client() as client, client.stream("GET", "/api/v1/runs/r:watch") as answer:
        lines = aiter(answer.aiter_lines())
        await anext(lines)
        await installation.stop_server()
        rest = [line async for line in lines]
    assert "event: failure" in rest
    assert '"code":503' in "".join(rest)


async def test_stream_over_the_limit_is_429(start_installation: Any) -> None:
    installation = await start_installation(max_streams=1)
    installation.runs.feed.put_nowait(pb.WatchRunResponse(position="p1"))
    async with installation.client() as client, client.stream("GET", "/api/v1/runs/r:watch") as answer:
        await anext(aiter(answer.aiter_lines()))
        assert (await client.get("/api/v1/runs/r:watch")).status_code == 429
