"""A server that stops says so to whoever still reads."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.datamanager.log.entries import Catalogue
from sluiceway_server.datamanager.replica.cold_bodies import BodiesNotLoaded, FetchedBodies
from sluiceway_server.datamanager.replica.readers import Readers
from sluiceway_server.datamanager.replica.replica import Replica
from sluiceway_server.datamanager.replica.schema import Tables
from tests.support.databases import TYPES


async def no_bodies(needed: BodiesNotLoaded, fetched: FetchedBodies) -> None:
    raise AssertionError("no test has remote bodies")


def make_readers(folder: Path) -> Readers:
    tables = Tables(Catalogue(TYPES))
    return Readers(folder / "read.sqlite", tables, no_bodies, threads=1, timeout=timedelta(seconds=10))


async def test_a_read_after_the_end_is_unavailable(tmp_path: Path) -> None:
    readers = make_readers(tmp_path)
    await asyncio.to_thread(readers.close)
    with pytest.raises(Unavailable, match="stops"):
        await readers.raw(lambda database: None)


async def test_read_that_had_not_begun_at_close_is_unavailable(tmp_path: Path) -> None:
    readers = make_readers(tmp_path)
    begun, go_on = threading.Event(), threading.Event()

    def wait(database: Replica) -> str:
        begun.set()
        go_on.wait(10)
        return "done"

    first = asyncio.create_task(readers.raw(wait))
    await asyncio.to_thread(begun.wait, 10)
    second = asyncio.create_task(readers.raw(lambda database: "never"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(asyncio.to_thread(readers.close))
    with pytest.raises(Unavailable, match="stops"):
        await second
    go_on.set()
    assert await first == "done"
    await closing


async def test_a_reader_that_is_cancelled_is_cancelled(tmp_path: Path) -> None:
    readers = make_readers(tmp_path)
    begun, go_on = threading.Event(), threading.Event()

    def wait(database: Replica) -> None:
        begun.set()
        go_on.wait(10)

    first = asyncio.create_task(readers.raw(wait))
    await asyncio.to_thread(begun.wait, 10)
    second = asyncio.create_task(readers.raw(lambda database: None))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    go_on.set()
    await first
    await asyncio.to_thread(readers.close)
