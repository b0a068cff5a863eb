from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_executor import spool as spool_module
from sluiceway_executor.spool import LogName, Spool, Spools
from tests.support.conditions import eventually

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAME = LogName("a1", 0)


def test_log_is_read_back_from_any_offset(tmp_path: Path) -> None:
    spool = Spool(NAME, tmp_path / "log")
    spool.append(b"hello ", NOW)
    spool.append(b"world", NOW + timedelta(seconds=1))
    assert spool.read(0, 100) == b"hello world"
    assert spool.read(4, 3) == b"o w"
    assert spool.read(11, 5) == b""
    assert spool.time_of(5) == NOW
    assert spool.time_of(6) == NOW + timedelta(seconds=1)
    spool.close()


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=12), st.integers(0, 500))
def test_dropping_what_is_stored_keeps_the_rest(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes], stored: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_module, "_PART_BYTES", 16)
        folder = tmp_path_factory.mktemp("spool") / "log"
        spool = Spool(NAME, folder)
        whole = b"".join(chunks)
        for chunk in chunks:
            spool.append(chunk, NOW)
            spool.write()
        spool.drop(stored)
        assert spool.stored == min(stored, len(whole))
        assert spool.read(spool.stored, 1000) == whole[spool.stored :]
        spool.end()
        spool.write()
        loaded = Spool.load(folder)
        assert loaded.ended
        assert loaded.size == len(whole)
        # Whole parts go only; what is left begins at or before what was stored.
        assert loaded.stored <= spool.stored
        assert loaded.read(spool.stored, 1000) == whole[spool.stored :]
        spool.finish()
        assert not list(folder.glob("*.part"))
        assert Spool.load(folder).complete


async def test_writer_waits_while_the_spools_are_full(tmp_path: Path) -> None:
    spools = Spools(tmp_path, limit_bytes=10)
    spool = await spools.create(NAME)
    await spools.append(spool, b"0123456789", NOW)
    second = asyncio.create_task(spools.append(spool, b"abc", NOW))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not second.done()
    await spools.stored(spool, 4, complete=False)
    await asyncio.wait_for(second, 60)
    assert spool.read(4, 100) == b"456789abc"
    spools.close()


async def test_logs_are_loaded_by_the_next_process(tmp_path: Path) -> None:
    spools = Spools(tmp_path, limit_bytes=1000)
    spool = await spools.create(NAME)
    await spools.append(spool, b"half a l", NOW)
    spools.close()
    later = Spools(tmp_path, limit_bytes=1000)
    await later.load()
    found = later.get(NAME)
    assert found is not None
    assert (found.read(0, 100), found.ended, found.complete) == (b"half a l", True, False)
    await later.stored(found, 8, complete=True)
    assert found.complete
    await later.remove("a1")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=8), st.integers(0, 100), st.booleans()), min_size=1))
def test_log_reads_the_same_from_memory_and_from_disk(
    tmp_path_factory: pytest.TempPathFactory, turns: list[tuple[bytes, int, bool]]
) -> None:
    folder = tmp_path_factory.mktemp("spool") / "log"
    spool = Spool(NAME, folder)
    whole = b""
    for chunk, stored, is_written in turns:
        spool.append(chunk, NOW)
        whole += chunk
        spool.drop(stored)
        if is_written:
            spool.write()
        for offset in range(spool.stored, len(whole)):
            assert spool.read(offset, 5) == whole[offset : offset + 5]
    spool.close()
    loaded = Spool.load(folder)
    assert (loaded.size, loaded.read(spool.stored, 1000)) == (len(whole), whole[spool.stored :])


async def is_written(spool: Spool) -> bool:
    return not spool.needs_write


async def is_tried(spool: Spool) -> bool:
    return spool.is_on_disk


async def test_log_that_is_stored_at_once_is_never_on_disk(tmp_path: Path) -> None:
    spools = Spools(tmp_path, limit_bytes=1000)
    spool = await spools.create(NAME)
    await spools.append(spool, b"short", NOW)
    await spools.end(spool)
    await spools.stored(spool, 5, complete=True)
    await spools.remove(NAME.assignment_id)
    spools.close()
    assert not list(tmp_path.iterdir())


async def test_old_bytes_in_memory_are_written_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "_WRITE_SECONDS", 0.02)
    spools = Spools(tmp_path, limit_bytes=1000)
    writing = asyncio.create_task(spools.run())
    try:
        spool = await spools.create(NAME)
        await spools.append(spool, b"half a l", NOW)
        await eventually(partial(is_written, spool))
    finally:
        writing.cancel()
    later = Spools(tmp_path, limit_bytes=1000)
    await later.load()
    found = later.get(NAME)
    assert found is not None
    assert found.read(0, 100) == b"half a l"
    spools.close()


async def test_log_that_cannot_be_written_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "_WRITE_SECONDS", 0.02)
    folder = tmp_path / "spool"
    folder.write_text("in the way")
    spools = Spools(folder, limit_bytes=1000)
    writing = asyncio.create_task(spools.run())
    try:
        spool = await spools.create(NAME)
        await spools.append(spool, b"kept", NOW)
        await eventually(partial(is_tried, spool))
        assert spool.read(0, 10) == b"kept"
        folder.unlink()
        await eventually(partial(is_written, spool))
    finally:
        writing.cancel()
    spools.close()
    assert [path.read_bytes() for path in folder.rglob("*.part")] == [b"kept"]


async def test_large_log_does_not_stay_in_memory(tmp_path: Path) -> None:
    spools = Spools(tmp_path, limit_bytes=1 << 30)
    spool = await spools.create(NAME)
    for _ in range(10):
        await spools.append(spool, b"x" * 250_000, NOW)
        assert spool.unwritten <= 1 << 18
    assert await spools.read(spool, 2_499_990, 100) == b"x" * 10
    assert await spools.read(spool, 0, 100) == b"x" * 100
    spools.close()
