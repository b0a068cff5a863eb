"""Large messages are translated in worker processes, with the same result."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from tests.support.conditions import eventually
from tests.support.event_loop import count_turns
from tests.support.gateway_workers import slow_body, workers

JSON = {"content-type": "application/json"}


async def test_large_request_arrives_like_a_small_one(installation: Any) -> None:
    tasks = [{"name": f"täsk-{number}"} for number in range(5_000)]
    async with installation.client() as client:
        await client.post("/api/v1/runs", json={"tasks": tasks[:10], "requestId": "q"})
        answer, turns = await count_turns(client.post("/api/v1/runs", json={"tasks": tasks, "requestId": "q"}))
    assert answer.status_code == 201
    small, large = installation.runs.requests
    assert [task.name for task in large.tasks] == [task["name"] for task in tasks]
    assert list(large.tasks[:10]) == list(small.tasks)
    assert turns > 500
    assert len(workers()) == 1


async def test_large_write_gets_a_request_id_too(installation: Any) -> None:
    async with installation.client() as client:
        await client.post("/api/v1/runs", content=b"{}" + b" " * 100_000, headers=JSON)
    assert len(installation.runs.requests[0].request_id) == 36


async def test_all_faults_of_a_large_body_are_reported(installation: Any) -> None:
    async with installation.client() as client:
        answer = await client.post("/api/v1/runs", json={"tasks": [{}] * 10_000 + [{"nope": 1}], "x": 1})
    assert answer.status_code == 400
    violations = [v for detail in answer.json()["error"]["details"] for v in detail.get("fieldViolations", [])]
    assert {v["field"] for v in violations} == {"tasks[10000].nope", "x"}


@pytest.mark.parametrize("size", [pytest.param(10, id="small"), pytest.param(1_000, id="large")])
async def test_response_of_any_size_is_whole(installation: Any, size: int) -> None:
    async with installation.client() as client:
        answer = await client.get(f"/api/v1/runs?pageSize={size}")
    assert [(run["id"], run["name"]) for run in answer.json()["runs"]] == [(f"r{n}", "n" * 100) for n in range(size)]
    assert len(workers()) == (size > 100)


async def test_large_message_of_a_stream_is_whole(installation: Any) -> None:
    tasks = [{"id": f"t{number}", "name": "n" * 50} for number in range(5_000)]
    installation.runs.feed.put_nowait(installation.snapshot(tasks))
    installation.runs.feed.put_nowait(None)
    async with installation.client() as client:
        answer = await client.get("/api/v1/runs/r:watch", headers={"accept": "application/x-ndjson"})
    assert [{"id": task["id"], "name": task["name"]} for task in answer.json()["tasks"]] == tasks
    assert len(workers()) == 1


async def test_disconnect_ends_the_translation_of_the_body(installation: Any) -> None:
    async def is_busy() -> bool:
        return bool(workers())

    async def is_idle() -> bool:
        return not workers()

    async with installation.client() as client:
        call = asyncio.create_task(client.post("/api/v1/runs", content=slow_body(), headers=JSON))
        await eventually(is_busy)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    await eventually(is_idle)


async def test_body_whose_translation_times_out_is_504(installation: Any) -> None:
    async with installation.client() as client:
        answer = await client.post("/api/v1/runs", content=slow_body(), headers={**JSON, "sluice-timeout": "2"})
    assert answer.status_code == 504
    assert "TRANSLATION_TOO_SLOW" in answer.text
    assert installation.runs.requests == []


async def test_killed_worker_fails_one_call_only(installation: Any) -> None:
    async with installation.client() as client:
        call = asyncio.create_task(client.post("/api/v1/runs", content=slow_body(), headers=JSON))

        async def is_translating() -> bool:
            return any(len(fields) > 13 and int(fields[13]) > 50 for fields in map(_stat, workers()))

        await eventually(is_translating)
        for worker in workers():
            os.kill(worker, signal.SIGKILL)
        lost = await call
        again = await client.post("/api/v1/runs", content=b"{}" + b" " * 100_000, headers=JSON)
    assert (lost.status_code, again.status_code) == (503, 201)
    assert "WORKER_LOST" in lost.text


def _stat(process: int) -> list[str]:
    try:
        with open(f"/proc/{process}/stat") as file:  # noqa: PTH123 - it may be gone
            return file.read().split()
    except OSError:
        return []
