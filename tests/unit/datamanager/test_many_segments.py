"""Tens of thousands of segments, as a day leaves them, do not hold up what else a server does."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from sluiceway.records.log.v1.log_pb2 import Epoch
from sluiceway.records.storage.v1.storage_pb2 import Manifest
from sluiceway_server.datamanager.log.entries import sequence_proto
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.log.etcd_log import first_marks
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.tables.garbage_collector import GarbageCollector
from sluiceway_server.datamanager.tables.stores import Stores
from tests.fakes.clock import FakeClock
from tests.fakes.kv import FakeKeyValueStore
from tests.fakes.objectstorage import FakeObjectStorage

SEGMENTS = 10_000
SOON = timedelta(seconds=60)
NEWEST = LogSequence(1, SEGMENTS)


class AskedLineage(Lineage):
    """Counts in which threads it is asked: once for each segment, where segments are chosen."""

    asked: ClassVar[Counter[int]] = Counter()

    def contains(self, sequence: LogSequence) -> bool:
        self.asked[threading.get_ident()] += 1
        return super().contains(sequence)


async def test_a_clean_chooses_beside_the_event_loop() -> None:
    clock, kv = FakeClock(datetime.now(UTC)), FakeKeyValueStore()
    storage = FakeObjectStorage(clock)
    stores = Stores(kv, storage, prefix="p", etcd_timeout=SOON)
    await stores.log.begin(*first_marks("database"))
    await stores.epochs.put(Epoch(number=1, cluster_id=1001, writer="one", database_id="database"))
    await stores.manifests.put(Manifest(sequence=sequence_proto(NEWEST), digest=bytes(32), database_id="database"))
    for counter in range(1, SEGMENTS):
        await storage.put(f"p/wal/{LogSequence(1, counter)}", b"")
    lineage = AskedLineage((1,), {})
    done = await GarbageCollector(stores, lineage, DataManagerSettings(), clock).run()
    assert (done.stopped, done.segments) == ("", 0), "all of them are of this minute"
    here = lineage.asked.pop(threading.get_ident())
    assert sum(lineage.asked.values()) >= SEGMENTS - 1
    assert here < SEGMENTS // 100, "the event loop's thread"
