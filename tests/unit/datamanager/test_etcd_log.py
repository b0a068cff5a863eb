"""Reading the log out of etcd does not hold up what else a server does."""

from __future__ import annotations

import os
from datetime import timedelta

import zstandard

from sluiceway.records.log.v1 import log_pb2
from sluiceway_server.datamanager.log.entries import GENESIS_DIGEST, LogEntry, add_transaction, encode_entry
from sluiceway_server.datamanager.log.etcd_log import HeadMark, Log, first_marks
from sluiceway_server.datamanager.model import LogSequence, Put
from tests.fakes.kv import FakeKeyValueStore
from tests.support.databases import NOTE, note
from tests.support.event_loop import count_turns

ENTRIES = 40
SOON = timedelta(seconds=60)


def large_entries() -> list[LogEntry]:
    entries: list[LogEntry] = []
    for counter in range(1, ENTRIES + 1):
        batch = log_pb2.Batch()
        add_transaction(batch, [Put(NOTE, "n", note(text=os.urandom(256 * 1024).hex()))], [])
        entries.append(
            encode_entry(
                batch,
                sequence=LogSequence(1, counter),
                batch_id=b"%16d" % counter,
                writer="other",
                time_us=counter,
                previous_digest=entries[-1].digest if entries else GENESIS_DIGEST,
                compressor=zstandard.ZstdCompressor(level=1),
            )
        )
    return entries


async def test_the_event_loop_turns_while_many_large_entries_are_read() -> None:
    log = Log(FakeKeyValueStore(), prefix="p", timeout=SOON)
    head, flushed = first_marks("database")
    await log.begin(head, flushed)
    entries = large_entries()
    for entry in entries:
        following = HeadMark.after(head, entry)
        assert (await log.append(head, entry, following)).succeeded
        head = following

    async def look() -> list[LogEntry]:
        return list((await log.look(LogSequence(1, 1))).entries)

    async def read() -> list[LogEntry]:
        return [entry async for entry in log.entries(LogSequence(1, 1))]

    for way in (look, read):
        found, turns = await count_turns(way())
        assert [entry.digest for entry in found] == [entry.digest for entry in entries]
        assert turns > 10, way.__name__
