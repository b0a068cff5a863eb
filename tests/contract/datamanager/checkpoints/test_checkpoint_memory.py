"""What a checkpoint needs of memory does not grow with the database: a bound, measured."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

from sluiceway.records.storage.v1.storage_pb2 import Manifest
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.fakes.kv import FakeKeyValueStore
from tests.support.log_builder import LogBuilder, checkpointer, contents, job

MIB = 1024 * 1024
BODY = 4000
PEAK = 6 * MIB
"""Of a few pieces of each side: a segment, a page of changes, two ranges of blocks, what writers gather."""


async def peak_of_a_checkpoint(folder: Path, records: int) -> tuple[int, Manifest]:
    """Change something in every file of a database, and return the peak of the memory that this took."""
    chance = random.Random(5)
    storage = PosixStorage(folder / "objects")
    log = LogBuilder(storage, "db")
    maker = checkpointer(storage, FakeKeyValueStore(), folder, prefix="db")
    for start in range(0, records, 100):
        log.commit(
            *(job(f"{n:08}", done=n % 3 > 0, text=chance.randbytes(BODY // 2).hex()) for n in range(start, start + 100))
        )
        if start % 300 == 0:
            await log.flush()
    await maker.run(await log.flush(), log.lineage)
    for start in range(0, records, 100):
        log.commit(*(job(f"{n:08}", text=chance.randbytes(BODY // 2).hex()) for n in range(start, start + 100, 2)))
        if start % 300 == 0:
            await log.flush()
    flushed = await log.flush()
    fresh = checkpointer(storage, FakeKeyValueStore(), folder, prefix="db", server_id="two")
    tracemalloc.start()
    try:
        made = await fresh.run(flushed, log.lineage)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert made is not None
    assert await contents(storage, "db", made) == log.model
    await storage.close()
    return peak, made


async def test_memory_is_bounded_whatever_the_size_of_the_database(tmp_path: Path) -> None:
    small, of_small = await peak_of_a_checkpoint(tmp_path / "small", 600)
    large, of_large = await peak_of_a_checkpoint(tmp_path / "large", 6_000)
    assert of_large.changed_bytes > 9 * of_small.changed_bytes > 9 * MIB
    assert of_large.written_bytes > 15 * MIB
    assert small < PEAK
    assert large < PEAK
    # Ranges of a mebibyte are read, decoded and uploaded in threads, and how many at once is by chance.
    assert large < small + 4 * MIB
