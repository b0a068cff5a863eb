"""Records that are kept for a time are deleted afterwards, and no others."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from sluiceway.records.project.v1 import records_pb2
from sluiceway_server.datamanager.model import Put
from sluiceway_server.projects.expiry import KEPT_FOR, Expiry, Kept
from sluiceway_server.projects.records import RECORD_TYPES, TOKEN
from tests.fakes.clock import FakeClock
from tests.fakes.database import FakeDatabase


def _put(kept: Kept, id_: str, time: datetime) -> Put:
    record = kept.type.message()
    if isinstance(record, records_pb2.Token | records_pb2.Invitation):
        record.expire_time.FromDatetime(time)
        if isinstance(record, records_pb2.Token):
            record.is_session = True
    else:
        record.time.FromDatetime(time)
    return Put(kept.type, id_, record)


@pytest.mark.parametrize("kept", KEPT_FOR, ids=lambda kept: kept.type.name)
async def test_record_is_deleted_when_its_time_is_over(kept: Kept) -> None:
    clock = FakeClock()
    database = FakeDatabase(RECORD_TYPES, clock=clock)
    expiry = Expiry(database, clock, is_elected=lambda: True)
    ages = {"younger": kept.age, "older": kept.age + timedelta(seconds=1), "new": timedelta(0)}
    for id_, age in ages.items():
        await database.commit([_put(kept, id_, clock.now() - age)])
    assert await expiry.sweep() == 1
    assert await database.read(lambda view: {id_ for id_, _ in view.scan(kept.type)}) == {"younger", "new"}
    clock.advance(timedelta(seconds=1))
    assert await expiry.sweep() == 1
    entries = len(database.history)
    assert await expiry.sweep() == 0
    assert len(database.history) == entries


async def test_sweep_deletes_more_than_fit_one_transaction() -> None:
    clock = FakeClock()
    database = FakeDatabase(RECORD_TYPES, clock=clock)
    kept = KEPT_FOR[0]
    await database.commit([_put(kept, f"{number:05}", clock.now() - 2 * kept.age) for number in range(1_200)])
    assert await Expiry(database, clock, is_elected=lambda: True).sweep() == 1_200


async def test_token_that_no_login_made_is_kept() -> None:
    clock = FakeClock()
    database = FakeDatabase(RECORD_TYPES, clock=clock)
    token = records_pb2.Token(name="laptop")
    token.expire_time.FromDatetime(clock.now() - timedelta(days=1000))
    await database.commit([Put(TOKEN, "id", token)])
    assert await Expiry(database, clock, is_elected=lambda: True).sweep() == 0
