from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway_common.foundation.errors import DataLoss
from sluiceway_executor.journal import Journal, JournaledAssignment


def held(name: str) -> JournaledAssignment:
    return JournaledAssignment(name, 1, 1, "run", "task", pb.ASSIGNMENT_PHASE_ACCEPTED)


async def test_forgotten_assignment_is_removed_with_the_next_change(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    journal = await Journal.open(path)
    await journal.hold(held("a1"))
    journal.forget("a1")
    assert not journal.held
    await journal.hold(held("a2"))
    assert list((await Journal.open(path)).held) == ["a2"]


async def test_journal_is_read_again_and_keeps_its_mode(tmp_path: Path) -> None:
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


async def test_numbers_are_never_used_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    journal = await Journal.open(path)
    await journal.reserve_numbers()
    given_out = [journal.next_number() for _ in range(100)]
    again = await Journal.open(path)
    await again.reserve_numbers()
    assert again.next_number() > max(given_out)


async def test_another_id_is_another_executor(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    journal = await Journal.open(path, executor_id="one")
    await journal.set_session("s", "secret")
    assert (await Journal.open(path, executor_id="two")).session_id == ""


async def test_damaged_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    path.write_text("{")
    with pytest.raises(DataLoss):
        await Journal.open(path)
