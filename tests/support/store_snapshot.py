"""A snapshot of etcd and object storage that can be restored any number of times, for tests of crashes.

    snapshot = await take_snapshot(etcd, prefix, tmp_path / "objects")
    for number in ...:
        await snapshot.restore()

No server may have the database open meanwhile.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sluiceway_server.kv.port import DeleteKey, KeyValue, KeyValueStore, PutKey

__all__ = ["StoreSnapshot", "take_snapshot"]

_SOON = timedelta(seconds=5)


@dataclass(frozen=True)
class StoreSnapshot:
    """The keys of a prefix and a copy of the object storage folder."""

    kv: KeyValueStore
    prefix: str
    keys: tuple[KeyValue, ...]
    objects: Path
    copy: Path

    async def restore(self) -> None:
        """Restore keys and objects, with the times that the objects had."""
        shutil.rmtree(self.objects)
        shutil.copytree(self.copy, self.objects)
        now, _ = await self.kv.list_prefix(f"{self.prefix}/", timeout=_SOON)
        gone = {key.key for key in now} - {key.key for key in self.keys}
        actions: list[DeleteKey | PutKey] = [DeleteKey(key) for key in gone]
        actions += [PutKey(key.key, key.value) for key in self.keys]
        await self.kv.txn(then=actions, timeout=_SOON)


async def take_snapshot(kv: KeyValueStore, prefix: str, objects: Path) -> StoreSnapshot:
    """Copy the keys below a prefix, and the objects to a folder beside theirs."""
    copy = objects.with_name(f"{objects.name}-kept")
    shutil.copytree(objects, copy)
    keys, _ = await kv.list_prefix(f"{prefix}/", timeout=_SOON)
    assert keys, "there is something to keep"
    return StoreSnapshot(kv, prefix, keys, objects, copy)
