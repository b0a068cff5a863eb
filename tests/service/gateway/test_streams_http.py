"""Server streams over HTTP: SSE, JSON lines and raw bytes."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway.foundation.errors import Exhausted, NotFound

LOG = "/api/v1/runs/r/tasks/t/log"


def chunk(data: bytes, offset: int) -> pb.ReadLogsResponse:
    return pb.ReadLogsResponse(data=data, next_offset=offset)


async def test_a_stream_is_server_sent_events_with_ids_to_resume_from(house: Any) -> None:
    for position in ("p1", "p2"):
        house.runs.feed.put_nowait(pb.WatchRunResponse(position=position, run={"id": "ä\n"}))
    house.runs.feed.put_nowait(None)
    async with house.client() as client:
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


async def test_last_event_id_sets_the_field_that_resumes(house: Any) -> None:
    house.runs.feed.put_nowait(None)
    house.runs.feed.put_nowait(None)
    async with house.client() as client:
        await client.get("/api/v1/runs/r:watch?after=p0", headers={"last-event-id": "p9"})
        sse = {"accept": "text/event-stream", "last-event-id": "4096"}
        await client.get(f"{LOG}?step=2&follow=true&offset=3", headers=sse)
    assert house.runs.requests[0] == pb.WatchRunRequest(run_id="r", after="p9")
    assert house.runs.requests[1] == pb.ReadLogsRequest(run_id="r", task_id="t", step=2, follow=True, offset=4096)


async def test_json_lines_for_programs(house: Any) -> None:
    house.runs.feed.put_nowait(chunk(b"a\xff", 2))
    house.runs.feed.put_nowait(NotFound("gone"))
    async with house.client() as client:
        answer = await client.get(LOG, headers={"accept": "application/x-ndjson"})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[0].items() >= {"nextOffset": "2", "data": "Yf8="}.items()
    assert lines[1]["error"]["status"] == "NOT_FOUND"


async def test_plain_text_is_the_bytes_of_the_log(house: Any) -> None:
    data = bytes(range(256)) * 256
    house.runs.feed.put_nowait(chunk(data, 1))
    house.runs.feed.put_nowait(chunk(b"end", 2))
    house.runs.feed.put_nowait(None)
    async with house.client() as client:
        answer = await client.get(LOG, headers={"accept": "text/plain"})
    assert answer.content == data + b"end"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_plain_text_that_is_not_whole_ends_as_a_broken_answer(house: Any) -> None:
    house.runs.feed.put_nowait(chunk(b"half", 1))
    house.runs.feed.put_nowait(NotFound("gone"))
    async with house.client() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(LOG, headers={"accept": "text/plain"})


async def test_a_failure_after_the_start_is_an_error_event(house: Any) -> None:
    house.runs.feed.put_nowait(pb.WatchRunResponse(position="p1"))
    house.runs.feed.put_nowait(Exhausted("too slow", reason="SUBSCRIBER_TOO_SLOW"))
    async with house.client() as client:
        answer = await client.get("/api/v1/runs/r:watch")
    *_, last = answer.text.strip().split("\n\n")
    name, data = last.split("\n")
    assert name == "event: error"
    error = json.loads(data.removeprefix("data: "))["error"]
    assert (error["code"], error["status"], error["message"]) == (429, "RESOURCE_EXHAUSTED", "too slow")


async def test_a_quiet_stream_begins_and_is_kept_alive_by_comments(start_house: Any) -> None:
    house = await start_house(idle=timedelta(milliseconds=100), first_message=timedelta(milliseconds=100))
    async with house.client() as client, client.stream("GET", "/api/v1/runs/r:watch") as answer:
        assert answer.status_code == 200
        lines = aiter(answer.aiter_lines())
        assert [await anext(lines) for _ in range(4)] == [": still here", "", ": still here", ""]
        house.runs.feed.put_nowait(pb.WatchRunResponse(position="p1"))
        async with asyncio.timeout(5):
            while not (await anext(lines)).startswith("id: p1"):
                pass


async def test_a_reader_that_goes_cancels_the_stream(house: Any) -> None:
    house.runs.feed.put_nowait(pb.WatchRunResponse(position="p1"))
    async with house.client() as client:
        async with client.stream("GET", "/api/v1/runs/r:watch") as answer:
            await anext(aiter(answer.aiter_lines()))
        async with asyncio.timeout(5):
            await house.runs.left.wait()
        assert "sluiceway_gateway_streams 0.0" in (await client.get("/metrics")).text


async def test_a_reader_that_goes_before_the_first_message_cancels_the_stream(house: Any) -> None:
    async with house.client() as client:
        call = asyncio.create_task(client.get("/api/v1/runs/r:watch"))
        await house.runs.entered.wait()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        async with asyncio.timeout(5):
            await house.runs.left.wait()


async def test_a_reader_that_takes_nothing_is_cut(start_house: Any) -> None:
    house = await start_house(stall=timedelta(milliseconds=200), idle=timedelta(milliseconds=200))
    data = b"x" * 65536
    for number in range(400):
        house.runs.feed.put_nowait(chunk(data, number))
    _, writer = await asyncio.open_connection("127.0.0.1", house.port, limit=1024)
    request = f"GET {LOG} HTTP/1.1\r\nhost: x\r\naccept: text/plain\r\nauthorization: Bearer good\r\n\r\n"
    writer.write(request.encode())
    async with asyncio.timeout(10), house.client() as client:
        await house.runs.left.wait()
        while "sluiceway_gateway_streams 0.0" not in (await client.get("/metrics")).text:
            pass
    writer.close()


async def test_a_gateway_that_stops_tells_its_streams_to_resume_elsewhere(house: Any) -> None:
    house.runs.feed.put_nowait(pb.WatchRunResponse(position="p1"))
    async with house.client() as client, client.stream("GET", "/api/v1/runs/r:watch") as answer:
        lines = aiter(answer.aiter_lines())
        await anext(lines)
        stopping = asyncio.create_task(house.stop_gateway())
        rest = [line async for line in lines]
        await stopping
    assert "event: error" in rest
    assert '"GATEWAY_DRAINING"' in "".join(rest)


async def test_a_server_that_dies_under_a_stream_is_an_error_event(house: Any) -> None:
    house.runs.feed.put_nowait(pb.WatchRunResponse(position="p1"))
    async with house.client() as client, client.stream("GET", "/api/v1/runs/r:watch") as answer:
        lines = aiter(answer.aiter_lines())
        await anext(lines)
        await house.stop_server()
        rest = [line async for line in lines]
    assert "event: error" in rest
    assert '"code":503' in "".join(rest)


async def test_more_streams_than_allowed_are_429(start_house: Any) -> None:
    house = await start_house(max_streams=1)
    house.runs.feed.put_nowait(pb.WatchRunResponse(position="p1"))
    async with house.client() as client, client.stream("GET", "/api/v1/runs/r:watch") as answer:
        await anext(aiter(answer.aiter_lines()))
        assert (await client.get("/api/v1/runs/r:watch")).status_code == 429
