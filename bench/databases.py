"""A database on an own etcd and a folder, in the process of the benchmark."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.model import RecordType
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.support.etcd import etcd_process

__all__ = ["fresh_database"]


@asynccontextmanager
async def fresh_database(
    types: Sequence[RecordType[Any]],
) -> AsyncIterator[tuple[EtcdStore, PosixStorage, DataManager]]:
    """Yield an empty database with its stores, under the prefix `bench`."""
    with tempfile.TemporaryDirectory() as folder, etcd_process(Path(folder) / "etcd") as etcd:
        async with AsyncExitStack() as stack:
            kv = EtcdStore([etcd.endpoint])
            stack.push_async_callback(kv.close)
            storage = PosixStorage(Path(folder) / "objects")
            stack.push_async_callback(storage.close)
            opening = DataManager.open(kv=kv, storage=storage, prefix="bench", path=Path(folder) / "db", types=types)
            yield kv, storage, await stack.enter_async_context(opening)
