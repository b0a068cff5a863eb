"""A restore that meets a clean: one of the two gives way, and the database stays whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sluiceway.records.log.v1.log_pb2 import Epoch
from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import DataLoss, FailedPrecondition
from sluiceway_server.datamanager.log.epochs import Epochs
from sluiceway_server.datamanager.log.etcd_log import Log, first_marks
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.recovery.diagnosis import diagnose, inspect
from sluiceway_server.datamanager.recovery.recovery import Recovered, Recovery
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.tables.stores import Stores
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.kv.port import DeleteKey
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.fakes.clock import FakeClock
from tests.support.log_builder import LogBuilder, check_whole, checkpointer, cleaner, job

SOON = timedelta(seconds=5)
DAY = timedelta(days=1, minutes=1)


def seq(epoch: int, counter: int) -> LogSequence:
    return LogSequence(epoch, counter)


class At:
    """A storage that does something once, just before a call of one kind for an object whose key has `part`."""

    def __init__(self, storage: PosixStorage, verb: str, part: str, then: Callable[[], Awaitable[object]]) -> None:
        self._storage = storage
        self._verb = verb
        self._part = part
        self._then: Callable[[], Awaitable[object]] | None = then

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._storage, name)
        if name != self._verb:
            return call

        async def meet(key: str, *more: Any) -> Any:
            if self._then is not None and self._part in key:
                then, self._then = self._then, None
                await then()
            return await call(key, *more)

        return meet


class Place:
    """A database of six entries, with a manifest for each, of which a clean a day later keeps the newest three."""

    def __init__(self, kv: EtcdStore, storage: PosixStorage, prefix: str) -> None:
        self.kv, self.storage, self.prefix = kv, storage, prefix
        self.log = LogBuilder(storage, prefix)
        self.clock = FakeClock(datetime.now(UTC))

    async def write(self, folder: Path) -> Place:
        stores = self.stores(self.storage)
        _, cluster_id = await stores.log.identify()
        epoch = Epoch(number=1, cluster_id=cluster_id, writer="one", database_id="database")
        await Epochs(self.storage, prefix=self.prefix).put(epoch)
        maker = checkpointer(self.storage, self.kv, folder, prefix=self.prefix)
        for rank in range(6):
            self.log.commit(job("j", rank=rank))
            await maker.run(await self.log.flush(), self.log.lineage)
            await self.log.write_head(self.kv, self.prefix)
        self.clock.advance(DAY)
        return self

    def stores(self, storage: object) -> Stores:
        return Stores(self.kv, storage, prefix=self.prefix, etcd_timeout=SOON)  # type: ignore[arg-type]

    async def restore(self, to: LogSequence, storage: object | None = None) -> Recovered:
        settings = DataManagerSettings(server_id="operator", recovery_wait=SOON)
        recovery = Recovery(self.stores(storage or self.storage), settings=settings, clock=SystemClock())
        return await recovery.restore(to, cause="a test")

    async def clean(self, storage: object | None = None) -> str:
        done = await cleaner(storage or self.storage, self.kv, prefix=self.prefix, clock=self.clock)(  # type: ignore[arg-type]
            self.log.lineage
        )
        return done.stopped

    async def is_whole(self, end: LogSequence, present: int) -> bool:
        """Whether what a new server would start from is there."""
        epochs = Epochs(self.storage, prefix=self.prefix)
        lineage = epochs.lineage_of(await epochs.all(), present)
        await check_whole(self.storage, self.prefix, lineage, end)
        standing = diagnose(await inspect(self.stores(self.storage)), now=datetime.now(UTC))
        return standing.is_healthy


@pytest.fixture
async def place(etcd: EtcdStore, etcd_prefix: str, tmp_path: Path) -> AsyncIterator[Place]:
    storage = PosixStorage(tmp_path / "objects")
    yield await Place(etcd, storage, etcd_prefix.strip("/")).write(tmp_path)
    await storage.close()


async def test_a_restore_to_what_a_clean_is_deleting_is_refused(place: Place) -> None:
    async def restore() -> None:
        with pytest.raises(FailedPrecondition, match=f"what is before {seq(1, 4)} is being cleaned") as refused:
            await place.restore(seq(1, 2))
        assert refused.value.reason == "SEQUENCE_UNREACHABLE"

    assert await place.clean(At(place.storage, "delete", "/manifest/", restore)) == ""
    assert await place.is_whole(seq(1, 6), 1)


async def test_restore_fails_when_a_clean_deletes_what_it_read(place: Place) -> None:
    with pytest.raises(FailedPrecondition, match="cannot go back") as refused:
        await place.restore(seq(1, 2), At(place.storage, "put_if_absent", "/epoch/", place.clean))
    assert refused.value.reason == "SEQUENCE_UNREACHABLE"
    assert await place.is_whole(seq(1, 6), 1)


@pytest.mark.parametrize(
    ("first_manifest", "folder"),
    [
        pytest.param(1, "/manifest/", id="the manifest that it was to begin with"),
        pytest.param(3, "/wal/", id="a segment that was listed"),
        pytest.param(3, "/epoch/", id="segments, before they are listed again"),
    ],
)
async def test_restore_during_a_clean_names_what_is_left(place: Place, first_manifest: int, folder: str) -> None:
    for counter in range(1, first_manifest):
        await place.storage.delete(f"{place.prefix}/manifest/{seq(1, counter)}")
    with pytest.raises(FailedPrecondition, match=f"what is before {seq(1, 4)} is being cleaned") as refused:
        await place.restore(seq(1, 2), At(place.storage, "get", folder, place.clean))
    assert refused.value.reason == "SEQUENCE_UNREACHABLE"
    assert await place.is_whole(seq(1, 6), 1)


async def test_clean_deletes_nothing_that_a_restore_needs(place: Place) -> None:
    """The restore goes to an entry that the clean keeps, so both may continue."""

    async def restore() -> None:
        assert (await place.restore(seq(1, 4))).accepted == seq(1, 4)

    await place.clean(At(place.storage, "delete", "/wal/", restore))
    assert await place.is_whole(seq(2, 1), 2)


async def test_a_clean_after_a_restore_of_which_it_does_not_know_stops(place: Place) -> None:
    await place.restore(seq(1, 2))
    assert "epoch" in await place.clean()
    assert await place.is_whole(seq(2, 1), 2)


async def test_the_mark_only_grows_and_only_in_the_epoch_that_is_known(place: Place) -> None:
    log = Log(place.kv, prefix=place.prefix, timeout=SOON)
    flushed = (await log.look()).flushed
    assert flushed is not None
    assert (await log.cleaned()).sequence is None
    assert await log.advance_cleaned(flushed, seq(1, 3))
    assert await log.advance_cleaned(flushed, seq(1, 2)), "another cleaner was further"
    assert (await log.cleaned()).sequence == seq(1, 3)
    await place.restore(seq(1, 5))
    assert not await log.advance_cleaned(flushed, seq(1, 4))
    assert (await log.cleaned()).sequence == seq(1, 3)


async def test_a_new_database_has_no_mark_of_the_one_that_was_there(etcd: EtcdStore, etcd_prefix: str) -> None:
    log = Log(etcd, prefix=etcd_prefix.strip("/"), timeout=SOON)
    marks = first_marks("one")
    await log.begin(*marks)
    assert await log.advance_cleaned(marks[1], seq(1, 3))
    await log.begin(*first_marks("a server that is late"))
    assert (await log.cleaned()).sequence == seq(1, 3)
    await etcd.txn(then=[DeleteKey(log.head_key)], timeout=SOON)
    await log.begin(*first_marks("two"))
    assert (await log.cleaned()).sequence is None


async def test_changed_clean_mark_is_an_error_and_nothing_is_deleted(place: Place) -> None:
    log = Log(place.kv, prefix=place.prefix, timeout=SOON)
    await place.kv.put(log.cleaned_key, b"\xff no message", timeout=SOON)
    before = {info.key async for info in place.storage.list(f"{place.prefix}/")}
    for work in (place.clean(), place.restore(seq(1, 5))):
        with pytest.raises(DataLoss, match=log.cleaned_key):
            await work
    assert {info.key async for info in place.storage.list(f"{place.prefix}/")} == before
