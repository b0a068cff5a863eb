"""Wrappers around real stores whose calls fail on demand."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

from sluiceway_common.foundation.errors import PermissionDenied, Unavailable
from sluiceway_server.kv.port import Compare, KeyValueStore, OutcomeUnknown, PutKey, Read, TxnResult, WatchBatch, Write
from sluiceway_server.objectstorage.port import ObjectStorage

__all__ = ["FaultyKeyValueStore", "FaultyStorage"]


class FaultyKeyValueStore:
    """A key-value store whose next writes of log entries end as `plan` says.

    `lost_answer`: applied, and nobody is told. `lost_request`: not applied, nobody is told. `late`: nobody is told, and
    it is applied 200 ms later, or when `apply_late` is set. `away`: certainly not sent. `full`: refused for want of
    space. `well`: as usual.
    """

    def __init__(self, store: KeyValueStore) -> None:
        self._store = store
        self._late: set[asyncio.Task[Any]] = set()
        self.plan: deque[str] = deque()
        self.watch_from: deque[int] = deque()
        self.watches = 0
        self.hold: asyncio.Event | None = None
        self.apply_late: asyncio.Event | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def txn(
        self,
        *,
        compare: Sequence[Compare] = (),
        then: Sequence[Write | Read] = (),
        otherwise: Sequence[Write | Read] = (),
        timeout: timedelta,
    ) -> TxnResult:
        def send() -> Awaitable[TxnResult]:
            return self._store.txn(compare=compare, then=then, otherwise=otherwise, timeout=timeout)

        if not any(isinstance(item, PutKey) and "/db/log/" in item.key for item in then):
            return await send()
        if self.hold is not None:
            await self.hold.wait()
        fate = self.plan.popleft() if self.plan else "well"
        if fate == "well":
            return await send()
        if fate == "away":
            raise Unavailable("etcd is away")
        if fate == "full":
            raise Unavailable("etcd is full", reason="STORE_FULL")
        if fate == "lost_answer":
            await send()
        elif fate == "late":
            task = asyncio.create_task(self._apply_late(send))
            self._late.add(task)
        raise OutcomeUnknown("etcd did not answer in time")

    async def _apply_late(self, send: Callable[[], Awaitable[TxnResult]]) -> None:
        if self.apply_late is not None:
            await self.apply_late.wait()
        else:
            await asyncio.sleep(0.2)
        await send()

    async def late_ones_ended(self) -> None:
        if self._late:
            await asyncio.gather(*self._late)

    async def watch(self, prefix: str, *, start_revision: int) -> AsyncGenerator[WatchBatch, None]:
        self.watches += 1
        start = self.watch_from.popleft() if self.watch_from else start_revision
        async for batch in self._store.watch(prefix, start_revision=start):
            yield batch


class FaultyStorage:
    """An object storage that can be unavailable, deny access, or lose the response of a put."""

    def __init__(self, storage: ObjectStorage) -> None:
        self._storage = storage
        self.away = False
        self.refuses = False
        self.lose_answers = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def put_if_absent(self, key: str, body: bytes) -> bool:
        if self.away:
            raise Unavailable("the object storage is away")
        if self.refuses:
            raise PermissionDenied("the object storage: the credentials have expired")
        stored = await self._storage.put_if_absent(key, body)
        if self.lose_answers and "/wal/" in key:
            self.lose_answers -= 1
            raise Unavailable("the object storage did not answer")
        return stored
