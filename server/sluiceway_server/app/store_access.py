"""The two stores of a database, as `sluice db` opens them without a server."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.datamanager.recovery.diagnosis import StoreDiagnosis, diagnose, inspect
from sluiceway_server.datamanager.recovery.history import Inventory, read_inventory
from sluiceway_server.datamanager.tables.stores import StoredObjects, Stores
from sluiceway_server.kv.access import EtcdAccess
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.kv.port import KeyValueStore
from sluiceway_server.objectstorage.locate import open_storage
from sluiceway_server.objectstorage.port import ObjectStorage

ETCD_TIMEOUT = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where a database is.

    Attributes:
        etcd: endpoints; empty: it is not used (export and verify only).
        object_storage: `posix:DIR` or `s3://...`.
        prefix: of all keys in both.
        etcd_access: how etcd lets us in.
    """

    etcd: tuple[str, ...]
    object_storage: str
    prefix: str = "sluiceway"
    etcd_access: EtcdAccess = field(default_factory=EtcdAccess)

    @property
    def etcd_name(self) -> str:
        """How messages name etcd."""
        return ", ".join(self.etcd)


@dataclass(frozen=True, slots=True)
class Opened:
    """Both stores, open; `kv` is None when no etcd was named. `scratch` is a folder for temporary files."""

    settings: StoreSettings
    kv: KeyValueStore | None
    storage: ObjectStorage
    scratch: Path

    @property
    def prefix(self) -> str:
        """Of all keys in both, without slashes around it."""
        return self.settings.prefix.strip("/")

    @property
    def needed_kv(self) -> KeyValueStore:
        """Return etcd. Raises `InvalidInput` when none was named."""
        if self.kv is None:
            raise InvalidInput("this needs etcd; name its endpoints with --etcd")
        return self.kv

    def stores(self) -> Stores:
        """Create new ports of the database for both. New ones each time, because they cache what they have checked."""
        return Stores(
            self.needed_kv,
            self.storage,
            prefix=self.prefix,
            etcd_timeout=ETCD_TIMEOUT,
            etcd_name=self.settings.etcd_name,
        )

    def stored(self) -> StoredObjects:
        """Return both stores, or the object storage alone when no etcd was named."""
        return StoredObjects(self.storage, prefix=self.prefix) if self.kv is None else self.stores()


@asynccontextmanager
async def opened(settings: StoreSettings, *, only_reads: bool = False) -> AsyncIterator[Opened]:
    """Open both stores until the block ends.

    Args:
        settings: where they are.
        only_reads: nothing is written, so the right to write is not needed (decision 0168).
    """
    kv = EtcdStore(settings.etcd, access=settings.etcd_access) if settings.etcd else None
    try:
        storage = await open_storage(settings.object_storage, only_reads=only_reads)
        try:
            with tempfile.TemporaryDirectory(prefix="sluice-db-") as scratch:
                yield Opened(settings, kv, storage, Path(scratch))
        finally:
            await storage.close()
    finally:
        if kv is not None:
            await kv.close()


def operator_name() -> str:
    """Return the name of this process, for epoch objects and manifests."""
    return f"sluice db, process {os.getpid()} at {socket.gethostname()}"


async def survey(opened: Opened) -> tuple[StoreDiagnosis, Inventory]:
    """Return the diagnosis of both stores and their part of the log. Raises what `inspect` and `read_inventory` do."""
    diagnosis = diagnose(await inspect(opened.stores()), now=SystemClock().now())
    return diagnosis, await read_inventory(opened.stores())
