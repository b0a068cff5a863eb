"""The stores of one database: its log in etcd, and its objects in the object storage, by kind.

They remember what they listed, and `log` the etcd cluster that it expects. What has to be looked at afresh, as after a
recovery, needs new ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sluiceway_server.datamanager.log.epochs import Epochs
from sluiceway_server.datamanager.log.etcd_log import Log
from sluiceway_server.datamanager.log.segments import SegmentStore
from sluiceway_server.datamanager.tables.data_file import FileStore
from sluiceway_server.datamanager.tables.manifest import ManifestStore
from sluiceway_server.kv.port import KeyValueStore
from sluiceway_server.objectstorage.port import ObjectStorage


@dataclass(frozen=True, slots=True)
class StoredObjects:
    """What the object storage holds of a database; `prefix` is that of all keys, without a slash at its end."""

    storage: ObjectStorage
    prefix: str
    epochs: Epochs
    segments: SegmentStore
    manifests: ManifestStore
    files: FileStore

    @staticmethod
    def at(storage: ObjectStorage, *, prefix: str) -> StoredObjects:
        """Return the objects below a prefix. Nothing is read."""
        return StoredObjects(
            storage,
            prefix,
            Epochs(storage, prefix=prefix),
            SegmentStore(storage, prefix=prefix),
            ManifestStore(storage, prefix=prefix),
            FileStore(storage, prefix=prefix),
        )

    def key(self, name: str) -> str:
        """Return a whole key for one below the prefix."""
        return f"{self.prefix}/{name}"


@dataclass(frozen=True, slots=True)
class Stores(StoredObjects):
    """Both stores; etcd is called `etcd_name` in messages, and has `etcd_timeout` for each request."""

    kv: KeyValueStore
    etcd_name: str
    etcd_timeout: timedelta
    log: Log

    @staticmethod
    def of(
        kv: KeyValueStore, storage: ObjectStorage, *, prefix: str, etcd_timeout: timedelta, etcd_name: str = "etcd"
    ) -> Stores:
        """Return the stores below a prefix. Nothing is read."""
        stored = StoredObjects.at(storage, prefix=prefix)
        return Stores(
            storage,
            prefix,
            stored.epochs,
            stored.segments,
            stored.manifests,
            stored.files,
            kv,
            etcd_name,
            etcd_timeout,
            Log(kv, prefix=prefix, timeout=etcd_timeout),
        )
