"""How full etcd is, and what follows: by table, and over a fake etcd with a clock of our own."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from sluiceway_server.datamanager.engine.etcd_capacity import (
    EtcdCapacityMonitor,
    Fullness,
    StoreHealth,
    assess,
    pause_seconds,
)
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.kv.port import StoreStatus
from tests.fakes.clock import FakeClock
from tests.fakes.kv import FakeKeyValueStore

MIB = 1024 * 1024
WELL = StoreStatus("3.4.23", 10 * MIB, (), 1, 1, in_use_bytes=10 * MIB, quota_bytes=100 * MIB)


def status(in_use: int, **more: object) -> StoreStatus:
    return replace(WELL, size_bytes=in_use * MIB, in_use_bytes=in_use * MIB, **more)  # type: ignore[arg-type]  # of a table


@pytest.mark.parametrize(
    ("seen", "fullness"),
    [
        pytest.param(status(0), Fullness.WELL, id="empty"),
        pytest.param(status(49), Fullness.WELL, id="just below half"),
        pytest.param(status(50), Fullness.HALF, id="half"),
        pytest.param(status(79), Fullness.HALF, id="just below 80 %"),
        pytest.param(status(80), Fullness.SLOW, id="80 %"),
        pytest.param(status(120), Fullness.SLOW, id="beyond the quota that was lowered"),
        pytest.param(status(10, alarms=("NOSPACE",)), Fullness.FULL, id="the alarm outlives its cause"),
        pytest.param(status(10, alarms=("CORRUPT",)), Fullness.WELL, id="another alarm says nothing of room"),
        pytest.param(replace(status(10), size_bytes=95 * MIB), Fullness.WELL, id="a large file that is mostly free"),
        pytest.param(replace(status(0), size_bytes=85 * MIB), Fullness.SLOW, id="what is in use is not told"),
        pytest.param(status(50, quota_bytes=0), Fullness.HALF, id="the quota is not told: that of the settings"),
        pytest.param(status(50, quota_bytes=1000 * MIB), Fullness.WELL, id="the quota that is told counts"),
    ],
)
def test_fullness(seen: StoreStatus, fullness: Fullness) -> None:
    assert assess(seen, quota_bytes=100 * MIB).fullness is fullness


@pytest.mark.parametrize(
    ("in_use", "seconds"),
    [(0, 0.0), (79, 0.0), (80, 0.0), (90, 0.5), (100, 1.0), (130, 1.0)],
)
def test_writes_are_slowed_from_eighty_percent_on(in_use: int, seconds: float) -> None:
    assert pause_seconds(assess(status(in_use), quota_bytes=1)) == pytest.approx(seconds)


def test_a_full_store_refuses_and_does_not_slow() -> None:
    assert pause_seconds(assess(status(100, alarms=("NOSPACE",)), quota_bytes=1)) == 0.0


def watch(kv: FakeKeyValueStore, clock: FakeClock) -> EtcdCapacityMonitor:
    settings = DataManagerSettings(etcd_name="etcd.example:2379", etcd_quota_bytes=100 * MIB)
    return EtcdCapacityMonitor(kv, settings=settings, clock=clock)


async def test_each_level_is_logged_once_with_advice() -> None:
    kv, clock = FakeKeyValueStore(), FakeClock()
    watched = watch(kv, clock)
    told: list[str] = []
    for in_use in (10, 55, 56, 85, 86, 10, 11):
        kv.size_bytes = kv.in_use_bytes = in_use * MIB
        with capture_logs() as logs:
            await watched.look()
        told += [f"{in_use} {entry['log_level']} {entry['event']}" for entry in logs]
        for entry in logs:
            if entry["log_level"] == "warning":
                assert "--quota-backend-bytes" in entry["advice"]
                assert entry["etcd"] == "etcd.example:2379"
    assert told == [
        "55 warning etcd_is_half_full",
        "85 warning etcd_is_nearly_full",
        "10 info etcd_has_room",
    ]


async def test_a_file_that_is_large_and_mostly_free_is_reported() -> None:
    kv = FakeKeyValueStore()
    watched = watch(kv, FakeClock())
    kv.size_bytes, kv.in_use_bytes = 90 * MIB, 5 * MIB
    with capture_logs() as logs:
        await watched.look()
        await watched.look()
    assert [entry["event"] for entry in logs] == ["etcd_file_is_mostly_free"]
    assert "defrag" in logs[0]["advice"]


async def test_the_refusal_says_what_to_do_and_ends_with_the_alarm() -> None:
    kv = FakeKeyValueStore()
    watched = watch(kv, FakeClock())
    refusals = [watched.refusal]
    for alarms in (("NOSPACE",), ()):
        kv.alarms = alarms
        await watched.look()
        refusals.append(watched.refusal)
    before, refusal, after = refusals
    assert before is None
    assert after is None
    assert refusal is not None
    assert refusal.reason == "STORE_FULL"
    for word in ("etcd.example:2379", "NOSPACE", "compact", "defrag", "--quota-backend-bytes", "alarm disarm"):
        assert word in str(refusal)


async def test_what_etcd_refused_is_known_before_the_next_look() -> None:
    watched = watch(FakeKeyValueStore(), FakeClock())
    watched.note_refusal()
    assert watched.refusal is not None
    assert watched.refusal.reason == "STORE_FULL"
    assert watched.health.fullness is Fullness.FULL


async def _write(kv: FakeKeyValueStore, times: int) -> int:
    revision = 0
    for _ in range(times):
        revision = await kv.put("k", b"", timeout=timedelta(seconds=1))
    return revision


@pytest.mark.parametrize("compacted", [True, False])
async def test_etcd_without_compaction_is_logged_once_with_the_flag(compacted: bool) -> None:
    kv, clock = FakeKeyValueStore(), FakeClock()
    watched = watch(kv, clock)
    with capture_logs() as logs:
        for _ in range(100):
            revision = await _write(kv, 500)
            if compacted:
                await kv.compact(revision - 100, timeout=timedelta(seconds=1))
            await watched.look()
            clock.advance(timedelta(minutes=2))
    assert [entry["event"] for entry in logs] == ([] if compacted else ["etcd_is_not_compacted"])
    assert watched.health.keeps_history is not compacted
    if not compacted:
        assert "--auto-compaction-retention=5m" in logs[0]["advice"]
        revision = await _write(kv, 1)
        await kv.compact(revision, timeout=timedelta(seconds=1))
        await watched.look()
        assert not watched.health.keeps_history


async def test_a_quiet_etcd_need_not_be_compacted() -> None:
    kv, clock = FakeKeyValueStore(), FakeClock()
    watched = watch(kv, clock)
    for _ in range(100):
        await _write(kv, 10)
        await watched.look()
        clock.advance(timedelta(minutes=2))
    assert watched.health == StoreHealth(size_bytes=kv.size_bytes, in_use_bytes=kv.in_use_bytes, quota_bytes=100 * MIB)
