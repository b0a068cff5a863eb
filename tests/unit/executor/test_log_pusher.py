"""What the log pusher sends when logs change while it sends."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway_common.foundation.clock import SystemClock
from sluiceway_executor.journal import Journal
from sluiceway_executor.log_pusher import LogPusher, PushTimes
from sluiceway_executor.spool import LogName, Spools
from tests.support.conditions import eventually


def no_channel() -> Any:
    raise AssertionError("the test takes the requests itself")


async def test_empty_log_that_ends_during_a_round_is_not_sent(tmp_path: Path) -> None:
    spools = Spools(tmp_path / "logs", limit_bytes=1 << 20)
    journal = await Journal.open(tmp_path / "journal.json")
    times = PushTimes(gather_seconds=0, setup_gather_seconds=0)
    pusher = LogPusher(no_channel, spools, journal, connected=asyncio.Event(), clock=SystemClock(), times=times)
    first, empty = [await spools.create(LogName("a1", step)) for step in (0, 1)]
    await spools.append(first, b"text\n", datetime.now(UTC))
    over = asyncio.Event()
    requests = pusher._requests(journal.session_id, over)
    await anext(requests)  # the proof of the session
    assert (await anext(requests)).log.step == 0

    await spools.end(empty)
    following = asyncio.ensure_future(anext(requests, None))

    async def is_complete() -> bool:
        return empty.complete or following.done()

    await eventually(is_complete)
    over.set()
    spools.changed.set()
    assert await following is None
    assert empty.complete


async def test_end_is_sent_again_when_the_log_is_waited_for(tmp_path: Path) -> None:
    spools = Spools(tmp_path / "logs", limit_bytes=1 << 20)
    journal = await Journal.open(tmp_path / "journal.json")
    pusher = LogPusher(no_channel, spools, journal, connected=asyncio.Event(), clock=SystemClock())
    spool = await spools.create(LogName("a1", 0))
    await spools.append(spool, b"text\n", datetime.now(UTC))
    await spools.end(spool)
    over = asyncio.Event()
    requests = pusher._requests(journal.session_id, over)
    await anext(requests)  # the proof of the session
    first = await anext(requests)
    assert (first.data, first.end, first.storage_may_wait) == (b"text\n", True, True)
    following = asyncio.ensure_future(anext(requests, None))
    waiting = asyncio.ensure_future(spools.wait_complete("a1"))
    again = await following
    assert again is not None
    assert (again.offset, again.data, again.end, again.storage_may_wait) == (5, b"", True, False)
    following = asyncio.ensure_future(anext(requests, None))
    await spools.stored(spool, 5, complete=True)
    await waiting
    over.set()
    spools.changed.set()
    assert await following is None


async def test_large_log_is_sent_in_order_and_again_after_a_rewind(tmp_path: Path) -> None:
    spools = Spools(tmp_path / "logs", limit_bytes=1 << 30)
    journal = await Journal.open(tmp_path / "journal.json")
    pusher = LogPusher(no_channel, spools, journal, connected=asyncio.Event(), clock=SystemClock())
    spool = await spools.create(LogName("a1", 0))
    written = b"".join(b"%07d\n" % number for number in range(200_000))
    await spools.append(spool, written, datetime.now(UTC))
    assert spool.is_on_disk
    await spools.end(spool)
    over = asyncio.Event()
    requests = pusher._requests(journal.session_id, over)
    await anext(requests)  # the proof of the session

    async def sent(start: int, *, until: int) -> None:
        position = start
        while position < until:
            request = await anext(requests)
            assert request.offset == position
            assert 0 < len(request.data) <= 65536
            assert request.data == written[position : position + len(request.data)]
            position += len(request.data)
            assert request.end == (position == len(written))

    await sent(0, until=1_000_000)
    stored = 100_001
    rewind = pb.PushLogsResponse(log=pb.LogReference(assignment_id="a1", step=0), stored_offset=stored, rewind=True)
    await pusher._handle(rewind)
    await sent(stored, until=len(written))
    over.set()
    spools.changed.set()
    spools.close()
