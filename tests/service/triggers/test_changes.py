"""What drives the workers of the elected server: changes, times, errors, and the election."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest

from sluiceway.records.project.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.datamanager.model import Put
from sluiceway_server.projects.records import USER
from sluiceway_server.triggers.changes import Changes
from tests.fakes.database import FakeDatabase
from tests.support.conditions import eventually


class Worker:
    """Work that is driven by changes of users."""

    def __init__(self) -> None:
        self.database = FakeDatabase(RECORD_TYPES)
        self.is_elected = True
        self.calls = self.looks = 0
        self.outcome: Callable[[], float | None] = lambda: None

    async def work(self) -> float | None:
        self.calls += 1
        return self.outcome()

    def is_ours(self) -> bool:
        self.looks += 1
        return self.is_elected

    async def change(self) -> None:
        await self.database.commit([Put(USER, "eve-id", pb.User(name="eve"))])

    async def has_been_called(self, calls: int) -> bool:
        return self.calls >= calls

    async def has_been_asked(self, looks: int) -> bool:
        return self.looks >= looks


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    made = Worker()
    changes = Changes(made.database, (USER,), interval=timedelta(hours=1))
    driving = asyncio.create_task(changes.drive(made.work, is_elected=made.is_ours, event="failed", retry_seconds=0.01))
    await eventually(lambda: made.has_been_called(1))
    yield made
    assert not driving.done(), "it goes on whatever happens"
    driving.cancel()
    await asyncio.gather(driving, return_exceptions=True)


async def test_work_is_called_after_a_change(worker: Worker) -> None:
    calls = worker.calls
    await worker.change()
    await eventually(lambda: worker.has_been_called(calls + 1))


async def test_work_is_called_again_when_it_says_so(worker: Worker) -> None:
    worker.outcome = lambda: 0.01
    await worker.change()
    await eventually(lambda: worker.has_been_called(5))


async def test_work_that_fails_is_tried_again(worker: Worker) -> None:
    def away() -> float | None:
        raise Unavailable("the database is away", retry_after=timedelta(seconds=1))

    worker.outcome = away
    await worker.change()
    await eventually(lambda: worker.has_been_called(5))


async def test_server_that_is_not_elected_does_not_work(worker: Worker) -> None:
    worker.is_elected = False
    calls, looks = worker.calls, worker.looks
    await worker.change()
    await eventually(lambda: worker.has_been_asked(looks + 1))
    assert worker.calls == calls
    worker.is_elected = True
    await worker.change()
    await eventually(lambda: worker.has_been_called(calls + 1))
