"""The stores of one database: its log in etcd, and its objects in the object storage, by kind.

They remember what they listed, and `log` the etcd cluster that it expects. What has to be looked at afresh, as after a
recovery, needs new ones. Nothing is read when they are made.
"""

from __future__ import annotations

from datetime import timedelta

from sluiceway_server.datamanager.log.epochs import Epochs
from sluiceway_server.datamanager.log.etcd_log import Log
from sluiceway_server.datamanager.log.segments import SegmentStore
from sluiceway_server.datamanager.tables.data_file import FileStore
from sluiceway_server.datamanager.tables.manifest import ManifestStore
from sluiceway_server.kv.port import KeyValueStore
from sluiceway_server.objectstorage.layout import FOLDERS
from sluiceway_server.objectstorage.port import ObjectStorage


class StoredObjects:
    """What the object storage holds of a database; `prefix` is that of all keys, without a slash at its end."""

    def __init__(self, storage: ObjectStorage, *, prefix: str) -> None:
        self.storage = storage
        self.prefix = prefix
        self.epochs = Epochs(storage, prefix=prefix)
        self.segments = SegmentStore(storage, prefix=prefix)
        self.manifests = ManifestStore(storage, prefix=prefix)
        self.files = FileStore(storage, prefix=prefix)

    def key(self, name: str) -> str:
        """Return a whole key for one below the prefix."""
        return f"{self.prefix}/{name}"

    @property
    def strange(self) -> frozenset[str]:
        """Keys that were listed in the folders of epochs, segments and manifests and are not names of any."""
        return self.epochs.strange | self.segments.strange | self.manifests.strange

    async def unknown_names(self) -> list[str]:
        """List the names below the prefix that are not folders of an installation; folders end with `/`."""
        prefix = self.key("")
        return [
            info.key.removeprefix(prefix)
            async for info in self.storage.list(prefix, delimiter="/")
            if not info.is_prefix or info.key.removeprefix(prefix).rstrip("/") not in FOLDERS
        ]


class Stores(StoredObjects):
    """Both stores; etcd is called `etcd_name` in messages, and has `etcd_timeout` for each request."""

    def __init__(
        self,
        kv: KeyValueStore,
        storage: ObjectStorage,
        *,
        prefix: str,
        etcd_timeout: timedelta,
        etcd_name: str = "etcd",
    ) -> None:
        super().__init__(storage, prefix=prefix)
        self.kv = kv
        self.etcd_name = etcd_name
        self.etcd_timeout = etcd_timeout
        self.log = Log(kv, prefix=prefix, timeout=etcd_timeout)
