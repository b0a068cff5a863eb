"""Records that are kept for a time are deleted afterwards, and no others."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sluiceway_server.datamanager.model import Put, RecordType
from sluiceway_server.projects.expiry import KEPT_FOR, Expiry
from sluiceway_server.projects.records import RECORD_TYPES
from tests.fakes.clock import FakeClock
from tests.fakes.database import FakeDatabase


@pytest.mark.parametrize(("type_", "kept_for"), KEPT_FOR, ids=lambda value: getattr(value, "name", ""))
async def test_record_is_deleted_when_its_time_is_over(type_: RecordType[Any], kept_for: timedelta) -> None:
    clock = FakeClock()
    database = FakeDatabase(RECORD_TYPES, clock=clock)
    expiry = Expiry(database, clock, is_elected=lambda: True)
    ages = {"younger": kept_for, "older": kept_for + timedelta(seconds=1), "new": timedelta(0)}
    for id_, age in ages.items():
        record = type_.message()
        record.time.FromDatetime(clock.now() - age)
        await database.commit([Put(type_, id_, record)])
    assert await expiry.sweep() == 1
    assert await database.read(lambda view: {id_ for id_, _ in view.scan(type_)}) == {"younger", "new"}
    clock.advance(timedelta(seconds=1))
    assert await expiry.sweep() == 1
    entries = len(database.history)
    assert await expiry.sweep() == 0
    assert len(database.history) == entries


async def test_sweep_deletes_more_than_fit_one_transaction() -> None:
    clock = FakeClock()
    database = FakeDatabase(RECORD_TYPES, clock=clock)
    type_, kept_for = KEPT_FOR[0]
    record = type_.message()
    record.time.FromDatetime(clock.now() - 2 * kept_for)
    await database.commit([Put(type_, f"{number:05}", record) for number in range(1_200)])
    assert await Expiry(database, clock, is_elected=lambda: True).sweep() == 1_200
