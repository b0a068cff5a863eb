"""The blocking SDK against a scripted `RunService`."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from sluiceway.api.run.v1 import run_service_pb2_grpc as pb_grpc
from sluiceway.client import blocking, connect
from sluiceway_common.foundation.errors import FailedPrecondition, Unauthenticated
from tests.support.scripted_runs import Scripted, change, chunk, serving


async def in_thread(work: Callable[[str], Any], servicer: pb_grpc.RunServiceServicer) -> Any:
    async with serving(servicer) as address, asyncio.timeout(30):
        return await asyncio.to_thread(work, address)


async def test_blocking_client_calls_and_raises() -> None:
    def work(address: str) -> None:
        with blocking.connect(address, token="good") as client:
            assert client.runs.get("r1").id == "r1"
        with blocking.connect(address, token="bad") as client, pytest.raises(Unauthenticated):
            client.runs.get("r1")

    await in_thread(work, Scripted())  # type: ignore[abstract]  # the rest is not offered


async def test_blocking_stream_is_iterated_to_its_end() -> None:
    def work(address: str) -> bytes:
        with blocking.connect(address, token="good") as client:
            return b"".join(client.runs.logs("r1", "t1"))

    server = Scripted()  # type: ignore[abstract]  # the rest is not offered
    server.scripts = [[chunk(3, b"abc"), chunk(5, b"de")]]
    assert await in_thread(work, server) == b"abcde"


async def test_blocking_stream_left_early_keeps_the_connection() -> None:
    def work(address: str) -> str:
        with blocking.connect(address, token="good") as client:
            for message in client.runs.watch("endless"):
                assert message.position == "1"
                break
            return client.runs.get("r1").id

    server = Scripted()  # type: ignore[abstract]  # the rest is not offered
    server.scripts = [[change("1")]]
    assert await in_thread(work, server) == "r1"
    async with asyncio.timeout(30):
        await server.left.wait()


def methods_of(face: object) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(method)
        for name, method in inspect.getmembers(face, callable)
        if not name.startswith("_")
    }


async def test_blocking_client_has_the_methods_of_the_async_client() -> None:
    def work(address: str) -> dict[str, dict[str, inspect.Signature]]:
        with blocking.connect(address, token="good") as client:
            return {name: methods_of(getattr(client, name)) for name in areas}

    async with serving(Scripted()) as address, connect(address, token="good") as client:  # type: ignore[abstract]  # as above
        areas = set(vars(client)) - {"connection"}
        found = await asyncio.to_thread(work, address)
        for name, methods in found.items():
            assert methods == methods_of(getattr(client, name))
    assert "limit" in found["runs"]["list"].parameters


async def test_blocking_client_raises_after_close() -> None:
    def work(address: str) -> None:
        with blocking.connect(address, token="good") as client:
            client.runs.get("r1")
        for call in (lambda: client.runs.get("r1"), lambda: next(client.runs.logs("r1", "t1"))):
            with pytest.raises(FailedPrecondition) as caught:
                call()
            assert caught.value.reason == "CONNECTION_CLOSED"

    await in_thread(work, Scripted())  # type: ignore[abstract]  # the rest is not offered


async def test_blocking_stream_may_outlive_its_connection() -> None:
    def work(address: str) -> None:
        with blocking.connect(address, token="good") as client:
            stream = client.runs.watch("endless")
            assert next(stream).position == "1"
        del stream

    server = Scripted()  # type: ignore[abstract]  # the rest is not offered
    server.scripts = [[change("1")]]
    await in_thread(work, server)
    async with asyncio.timeout(30):
        await server.left.wait()
