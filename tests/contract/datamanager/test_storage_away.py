"""The object storage away under load: slower, then refused with the reason, nothing lost, and well again by itself.

Limits are small here. With the real ones, for ten minutes: `python -m bench.storage_away --minutes 10`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.support.databases import FAST
from tests.support.storage_away import storage_away

KIB = 1024
SMALL = replace(FAST, flush_bytes=32 * KIB, slow_at_bytes=128 * KIB, refuse_at_bytes=160 * KIB)


async def test_storage_away_slows_and_then_refuses_writes(
    etcd: EtcdStore, folder_storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    outage = await storage_away(
        etcd, folder_storage, tmp_path, prefix=etcd_prefix, settings=SMALL, away=60, around=0.3, until_refused=True
    )
    assert outage.slow_after is not None
    assert outage.refused_after is not None
    assert outage.slow_after <= outage.refused_after
    assert set(outage.refused) == {"NOT_FLUSHED"}
    # One batch of all writers may have been on its way when the limit was reached.
    assert SMALL.refuse_at_bytes <= outage.most_unflushed < SMALL.refuse_at_bytes + 64 * KIB
    assert outage.answered["before"]
    assert outage.answered["away"]
    assert outage.answered["after"]
