"""Faults that histories found, as small tests. The README has a line for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard

from sluiceway.records.log.v1 import log_pb2
from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.engine.opening import RecoverAlways
from sluiceway_server.datamanager.log.entries import decode_entry, encode_entry
from sluiceway_server.datamanager.recovery.diagnosis import Kind
from sluiceway_server.datamanager.recovery.recovery import Recovery
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.tables.stores import Stores
from sluiceway_server.kv.port import Range, TxnResult
from sluiceway_server.objectstorage.port import ObjectInfo
from tests.fakes.kv import FakeKeyValueStore
from tests.fakes.objectstorage import FakeObjectStorage
from tests.support.databases import NOTE, TYPES, put

SETTINGS = DataManagerSettings(flush_interval=timedelta(milliseconds=10))


def recovery(kv: FakeKeyValueStore, storage: FakeObjectStorage) -> Recovery:
    stores = Stores(kv, storage, prefix="p", etcd_timeout=timedelta(seconds=1))
    return Recovery(stores, settings=SETTINGS, clock=SystemClock())


class CleanedMeanwhile:
    """A storage in which all segments are cleaned right after their first list."""

    def __init__(self, storage: FakeObjectStorage) -> None:
        self._storage = storage
        self.cleaned: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def list(self, prefix: str = "", *, start_after: str = "", delimiter: str = "") -> AsyncIterator[ObjectInfo]:
        found = [info async for info in self._storage.list(prefix, start_after=start_after, delimiter=delimiter)]
        if prefix.endswith("/wal/") and not self.cleaned:
            self.cleaned = [info.key for info in found]
            for key in self.cleaned:
                await self._storage.delete(key)
        for info in found:
            yield info


class RecoveredByAnother:
    """A storage in which another process recovers the database between two reads of its epochs."""

    def __init__(self, kv: FakeKeyValueStore, storage: FakeObjectStorage) -> None:
        self._kv = kv
        self._storage = storage
        self._looks = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def list(self, prefix: str = "", *, start_after: str = "", delimiter: str = "") -> AsyncIterator[ObjectInfo]:
        if prefix.endswith("/epoch/"):
            self._looks += 1
            if self._looks == 2:
                await recovery(self._kv, self._storage).recover(cause="somebody else was faster")
        async for info in self._storage.list(prefix, start_after=start_after, delimiter=delimiter):
            yield info


async def test_server_starts_while_last_segment_is_cleaned(tmp_path: Path) -> None:
    kv, storage = FakeKeyValueStore(), FakeObjectStorage()

    def opened(storage: Any, folder: str) -> Any:
        return DataManager.open(
            kv=kv, storage=storage, prefix="p", path=tmp_path / folder, types=TYPES, settings=SETTINGS
        )

    async with opened(storage, "one") as database:
        await database.commit([put("a")])
        await database.checkpoint()
    meanwhile = CleanedMeanwhile(storage)
    async with opened(meanwhile, "two") as database:
        assert await database.get(NOTE, "a")
    assert meanwhile.cleaned


async def test_start_refuses_etcd_entry_that_differs_from_stored_one(tmp_path: Path) -> None:
    """The marks may fit: one of them may be from a message that was sent before etcd was put back."""
    kv, storage = FakeKeyValueStore(), FakeObjectStorage()

    def opened() -> Any:
        return DataManager.open(kv=kv, storage=storage, prefix="p", path=tmp_path, types=TYPES, settings=SETTINGS)

    async with opened() as database:
        committed = await database.commit([put("a")])
    key = f"p/db/log/{committed.position.sequence}"
    entry = decode_entry(kv.peek(key) or b"")
    other = encode_entry(
        log_pb2.Batch(),
        sequence=entry.sequence,
        batch_id=b"another",
        writer="another",
        time_us=entry.time_us,
        previous_digest=entry.previous_digest,
        compressor=zstandard.ZstdCompressor(),
    )
    await kv.put(key, other.raw, timeout=timedelta(seconds=1))
    with pytest.raises(FailedPrecondition) as caught:
        async with opened():
            pass
    assert caught.value.reason == Kind.DIVERGED


async def test_server_opens_database_that_another_one_recovered(tmp_path: Path) -> None:
    kv, storage = FakeKeyValueStore(), FakeObjectStorage()

    def opened(storage: Any) -> Any:
        return DataManager.open(
            kv=kv,
            storage=storage,
            prefix="p",
            path=tmp_path,
            types=TYPES,
            settings=SETTINGS,
            recover=RecoverAlways(),
        )

    async with opened(storage) as database:
        await database.commit([put("a")])
    kv.wipe(cluster_id=2)
    meanwhile = RecoveredByAnother(kv, storage)
    async with opened(meanwhile) as database:
        assert database.epoch == 2
        assert await database.get(NOTE, "a")
    assert meanwhile._looks > 3


class HeadMovesMeanwhile:
    """An etcd in which another process recovers the database before the entries of the log are first read."""

    def __init__(self, kv: FakeKeyValueStore, storage: FakeObjectStorage) -> None:
        self._kv = kv
        self._storage = storage
        self.moved = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kv, name)

    async def txn(self, *, then: Sequence[Any] = (), **more: Any) -> TxnResult:
        if not self.moved and any(isinstance(item, Range) and "/db/log/" in item.start for item in then):
            self.moved = True
            await recovery(self._kv, self._storage).recover(cause="somebody else was faster")
        return await self._kv.txn(then=then, **more)


async def test_recovery_meets_another_one_that_trims_the_log(tmp_path: Path) -> None:
    kv, storage = FakeKeyValueStore(), FakeObjectStorage()
    async with DataManager.open(
        kv=kv, storage=storage, prefix="p", path=tmp_path, types=TYPES, settings=SETTINGS
    ) as database:
        await database.commit([put("a")])
        await database.commit([put("b")])
    async for info in storage.list("p/wal/"):
        await storage.delete(info.key)
    meanwhile: Any = HeadMovesMeanwhile(kv, storage)
    outcome = await recovery(meanwhile, storage).recover(cause="a test")
    assert meanwhile.moved
    assert (outcome.epoch, outcome.won) == (2, False)
