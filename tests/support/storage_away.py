"""An outage of the object storage under load: how writes behave, and whether anything is lost.

Used by a test, with small limits, so that it takes seconds, and by `python -m bench.storage_away`, with the real ones.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sluiceway_common.foundation.errors import SluicewayError, Unavailable
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.model import Decision, Put, View
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.kv.port import KeyValueStore
from sluiceway_server.objectstorage.port import ObjectInfo, ObjectStorage
from tests.support.databases import NOTE, note, open_database

__all__ = ["Outage", "SwitchedStorage", "storage_away"]


class SwitchedStorage:
    """An object storage that refuses every call while `away`."""

    def __init__(self, storage: ObjectStorage) -> None:
        self._storage = storage
        self.away = False

    def _check(self) -> None:
        if self.away:
            raise Unavailable("the object storage is away")

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._storage, name)

        async def call(*args: Any, **more: Any) -> Any:
            self._check()
            return await method(*args, **more)

        return call

    async def list(self, *args: Any, **more: Any) -> AsyncIterator[ObjectInfo]:
        self._check()
        async for info in self._storage.list(*args, **more):
            yield info


@dataclass
class Outage:
    """The figures of one outage.

    Attributes:
        acknowledged: the number of the last write of each writer that was answered.
        answered: writes, by phase: `before`, `away`, `after`.
        refused: how often, by reason.
        slow_after, refused_after: seconds from the beginning of the outage; None: never.
        longest: seconds that any write took.
        most_unflushed: bytes of the log that waited for the storage at the most.
        most_in_etcd: bytes in use in etcd at the most.
        back_after: seconds from the end of the outage until all was in the storage.
    """

    acknowledged: dict[str, int] = field(default_factory=dict)
    answered: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    slow_after: float | None = None
    refused_after: float | None = None
    longest: float = 0.0
    most_unflushed: int = 0
    most_in_etcd: int = 0
    back_after: float = 0.0


async def storage_away(
    kv: KeyValueStore,
    storage: ObjectStorage,
    folder: Path,
    *,
    prefix: str,
    settings: DataManagerSettings,
    away: float,
    around: float,
    writers: int = 8,
    body_bytes: int = 1000,
    pause: float = 0.0,
    until_refused: bool = False,
) -> Outage:
    """Write without a pause before, during and after an outage; then compare with another server.

    Args:
        kv, storage, folder, prefix, settings: of the database.
        away: seconds.
        around: seconds before and after it.
        writers: at a time; each waits for its answer.
        body_bytes: of one write, incompressible.
        pause: seconds between two writes of a writer.
        until_refused: end the outage when a write was refused, and not after `away` seconds, which then are a limit.

    Raises:
        AssertionError: something that was answered is not there.
    """
    switched, outage = SwitchedStorage(storage), Outage()
    loop = asyncio.get_running_loop()
    phase, began = "before", loop.time()
    ending = asyncio.Event()
    was_refused = asyncio.Event()

    def look(database: DataManager) -> None:
        unflushed = database.engine.tip.unflushed_bytes
        outage.most_unflushed = max(outage.most_unflushed, unflushed)
        if phase == "away" and unflushed >= settings.slow_at_bytes and outage.slow_after is None:
            outage.slow_after = loop.time() - began

    async def write(database: DataManager, name: str) -> None:
        number = 0
        while not ending.is_set():
            number += 1

            def function(view: View, number: int = number) -> Decision[None]:
                return Decision(None, [Put(NOTE, name, note("w", number, os.urandom(body_bytes // 2).hex()))])

            start = loop.time()
            try:
                await database.transact(function)
            except SluicewayError as error:
                # Not only in `watch`: the storage may be back before it looks again.
                look(database)
                outage.refused[error.reason] += 1
                if outage.refused_after is None:
                    outage.refused_after = loop.time() - began
                was_refused.set()
                await asyncio.sleep(0.05)
            else:
                outage.acknowledged[name] = number
                outage.answered[phase] += 1
                look(database)
            outage.longest = max(outage.longest, loop.time() - start)
            await asyncio.sleep(pause)

    async def watch(database: DataManager) -> None:
        while True:
            look(database)
            status = await kv.status(timeout=timedelta(seconds=10))
            outage.most_in_etcd = max(outage.most_in_etcd, status.in_use_bytes)
            await asyncio.sleep(0.05)

    async with open_database(kv, switched, folder, prefix=prefix, settings=settings) as database:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch(database))
            writing = [group.create_task(write(database, f"writer-{number}")) for number in range(writers)]
            await asyncio.sleep(around)
            phase, began, switched.away = "away", loop.time(), True
            if until_refused:
                await asyncio.wait_for(was_refused.wait(), away)
            else:
                await asyncio.sleep(away)
            phase, began, switched.away = "after", loop.time(), False
            async with asyncio.timeout(600):
                while database.engine.tip.unflushed_bytes >= settings.slow_at_bytes // 2:  # noqa: ASYNC110 - no event says so
                    await asyncio.sleep(0.02)
                # By itself, and for good: everybody writes again.
                known = dict(outage.acknowledged)
                while any(outage.acknowledged.get(name, 0) <= at for name, at in known.items()):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            outage.back_after = loop.time() - began
            await asyncio.sleep(around)
            ending.set()
            await asyncio.gather(*writing)
            watching.cancel()
        await database.transact(lambda view: Decision(None), durable=True)
    async with open_database(
        kv, storage, folder, prefix=prefix, server_id="anew", settings=replace(settings, server_id="anew")
    ) as other:
        found = await other.read(lambda view: {id_: message.number for id_, message in view.scan(NOTE)})
    lost = {name: (at, found.get(name, 0)) for name, at in outage.acknowledged.items() if found.get(name, 0) < at}
    assert not lost, f"acknowledged and not there: {lost}"
    return outage
