"""Which task is ended when the disk is nearly full."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluiceway_executor.disk import DiskGuard


class Worker:
    def __init__(self) -> None:
        self.codes: list[str] = []

    def exceed_limit(self, code: str, message: str) -> None:
        self.codes.append(code)


class Running:
    def __init__(self) -> None:
        self.workers = {"small": Worker(), "large": Worker()}


@pytest.fixture
def running(tmp_path: Path) -> Running:
    for name, size in (("small", 1000), ("large", 200_000)):
        folder = tmp_path / "sandbox" / "pods" / name / "home"
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"x" * size)
    return Running()


async def test_task_that_uses_most_of_a_full_disk_is_ended(
    tmp_path: Path, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sluiceway_executor.disk.MOST_HARMLESS_BYTES", 100_000)
    assert await DiskGuard(tmp_path, running, min_free_bytes=1 << 60).check() == ("large",)
    assert running.workers["large"].codes == ["LIMIT_DISK"]
    assert running.workers["small"].codes == []


async def test_task_that_uses_little_of_a_full_disk_is_not_ended(tmp_path: Path, running: Running) -> None:
    assert await DiskGuard(tmp_path, running, min_free_bytes=1 << 60).check() == ()
    assert not running.workers["large"].codes


async def test_no_task_is_ended_while_the_disk_has_space(tmp_path: Path, running: Running) -> None:
    assert await DiskGuard(tmp_path, running, min_free_bytes=0).check() == ()


async def test_task_above_its_disk_limit_is_ended(tmp_path: Path, running: Running) -> None:
    guard = DiskGuard(tmp_path, running, min_free_bytes=0, task_bytes=100_000)
    assert await guard.check() == ("large",)
    assert running.workers["large"].codes == ["LIMIT_DISK"]
    assert running.workers["small"].codes == []
    assert await DiskGuard(tmp_path, running, min_free_bytes=0, task_bytes=1 << 20).check() == ()
