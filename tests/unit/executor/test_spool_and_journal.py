"""Logs and the journal on disk: nothing is lost by a new process, nothing stays that was stored."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import run_pb2
from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import DataLoss
from sluiceway_executor import spool as spool_module
from sluiceway_executor.journal import Journal, JournaledAssignment
from sluiceway_executor.outbox import Outbox
from sluiceway_executor.output import StepLog
from sluiceway_executor.spool import LogName, Spool, Spools
from tests.support.conditions import eventually

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAME = LogName("a1", 0)


def test_a_log_is_read_back_from_any_offset(tmp_path: Path) -> None:
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


async def test_a_full_spool_slows_its_writer_and_loses_nothing(tmp_path: Path) -> None:
    spools = Spools(tmp_path, limit_bytes=10)
    spool = await spools.create(NAME)
    await spools.append(spool, b"0123456789", NOW)
    second = asyncio.create_task(spools.append(spool, b"abc", NOW))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not second.done()
    await spools.stored(spool, 4, complete=False)
    await asyncio.wait_for(second, 5)
    assert spool.read(4, 100) == b"456789abc"
    spools.close()


async def test_logs_are_found_by_the_next_process(tmp_path: Path) -> None:
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
def test_a_log_reads_the_same_from_memory_and_from_disk(
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


async def test_a_log_that_is_stored_at_once_is_never_on_disk(tmp_path: Path) -> None:
    spools = Spools(tmp_path, limit_bytes=1000)
    spool = await spools.create(NAME)
    await spools.append(spool, b"short", NOW)
    await spools.end(spool)
    await spools.stored(spool, 5, complete=True)
    await spools.remove(NAME.assignment_id)
    spools.close()
    assert not list(tmp_path.iterdir())


async def test_what_is_old_in_memory_is_written_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_a_log_that_the_disk_does_not_take_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


async def test_much_of_a_log_does_not_stay_in_memory(tmp_path: Path) -> None:
    spools = Spools(tmp_path, limit_bytes=1 << 30)
    spool = await spools.create(NAME)
    for _ in range(10):
        await spools.append(spool, b"x" * 50_000, NOW)
        assert spool.unwritten <= 1 << 16
    assert await spools.read(spool, 499_990, 100) == b"x" * 10
    assert await spools.read(spool, 0, 100) == b"x" * 100
    spools.close()


async def test_an_assignment_that_was_let_go_leaves_the_disk_with_the_next_change(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    journal = await Journal.open(path)
    await journal.hold(held("a1"))
    journal.forget("a1")
    assert not journal.held
    await journal.hold(held("a2"))
    assert list((await Journal.open(path)).held) == ["a2"]


async def test_notes_stand_on_lines_of_their_own_and_are_masked(tmp_path: Path) -> None:
    spools = Spools(tmp_path, limit_bytes=1000)
    spool = await spools.create(NAME)
    step_log = StepLog(spools, spool, masks=[b"hunter22"], clock=SystemClock())
    await step_log.write(b"no newline hunter")
    await step_log.note("the password is hunter22")
    await step_log.write(b"hunter22\n")
    await step_log.finish()
    assert spool.read(0, 1000) == b"no newline hunter\n[sluice] the password is ***\n***\n"


def held(name: str) -> JournaledAssignment:
    return JournaledAssignment(name, 1, 1, "run", "task", pb.ASSIGNMENT_PHASE_ACCEPTED)


async def test_a_journal_remembers_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    journal = await Journal.open(path)
    await journal.set_session("s", "secret")
    await asyncio.gather(*(journal.hold(held(f"a{i}")) for i in range(20)))
    journal.forget("a3")
    await journal.flush()
    again = await Journal.open(path)
    assert (again.journal_id, again.executor_id) == (journal.journal_id, journal.executor_id)
    assert (again.session_id, again.session_secret) == ("s", "secret")
    assert sorted(again.held) == sorted(f"a{i}" for i in range(20) if i != 3)
    assert path.stat().st_mode & 0o777 == 0o600


async def test_numbers_never_come_back(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    journal = await Journal.open(path)
    await journal.reserve_numbers()
    given_out = [journal.next_number() for _ in range(100)]
    again = await Journal.open(path)
    await again.reserve_numbers()
    assert again.next_number() > max(given_out)


async def test_another_name_is_another_executor(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    journal = await Journal.open(path, executor_id="one")
    await journal.set_session("s", "secret")
    assert (await Journal.open(path, executor_id="two")).session_id == ""


async def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    path.write_text("{")
    with pytest.raises(DataLoss):
        await Journal.open(path)


def outbox() -> Outbox:
    numbers = iter(range(1, 1000))
    return Outbox(lambda: next(numbers))


def update(assignment: str, step: int) -> pb.AssignmentUpdate:
    steps = [pb.StepUpdate(step=step, phase=run_pb2.STEP_PHASE_RUNNING)]
    return pb.AssignmentUpdate(assignment_id=assignment, phase=pb.ASSIGNMENT_PHASE_RUNNING, steps=steps)


async def test_updates_of_one_assignment_that_wait_become_one() -> None:
    box = outbox()
    for entry in (update("a", 0), update("b", 0), update("a", 1)):
        box.update(entry)
    (message,) = box.take()
    sent = [(each.assignment_id, [step.step for step in each.steps]) for each in message.updates.updates]
    assert sent == [("a", [0, 1]), ("b", [0])]


async def test_the_end_of_an_attempt_is_urgent_and_nothing_before_it_is() -> None:
    box = outbox()
    box.update(update("a", 0))
    assert box.waiting.is_set()
    assert not box.urgent.is_set()
    ended = update("a", 0)
    ended.phase = pb.ASSIGNMENT_PHASE_SUCCESS
    box.update(ended)
    assert box.urgent.is_set(), "also where it becomes one with an update that waits"
    assert len(box.take()[0].updates.updates) == 1
    assert not box.urgent.is_set()
    box.begin_stream(same_session=True)
    assert box.urgent.is_set(), "what was not acknowledged has waited enough"


async def test_updates_that_are_large_together_go_in_messages_of_their_own() -> None:
    box = outbox()
    for name in "abcdefghij":
        large = update(name, 0)
        large.steps[0].reason.message = "x" * 100_000
        box.update(large)
    messages = box.take()
    assert [each.assignment_id for message in messages for each in message.updates.updates] == list("abcdefghij")
    assert all(message.ByteSize() < 300_000 for message in messages)
    assert len(messages) == 5


async def test_what_was_sent_is_not_changed_any_more() -> None:
    box = outbox()
    box.update(update("a", 0))
    box.take()
    box.update(update("a", 1))
    (message,) = box.take()
    assert [step.step for step in message.updates.updates[0].steps] == [1]


async def test_a_new_session_counts_on_and_a_new_stream_sends_again() -> None:
    box = outbox()
    box.update(update("a", 0))
    box.pods_gone("gone")
    first = box.take()
    box.begin_stream(same_session=True)
    assert box.take() == first
    box.begin_stream(same_session=False)
    renumbered = box.take()
    assert renumbered[0].updates.updates[0].number > first[1].pods_gone.number
    for message in renumbered:
        box.acknowledge(message.pods_gone.number or message.updates.updates[0].number)
    assert len(box) == 0
