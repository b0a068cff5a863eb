"""The network between simulated servers and the two stores, with its faults.

Every call takes a random time each way. A request that was sent arrives even if its sender has died meanwhile; a
response reaches only a process that lives. Faults are drawn from the seed of the history: a request or response that is
lost, a write that is applied long after its deadline, a store that is not available, a watch that breaks.

The network also reports what happens in the stores: each entry when it is appended to the log, each object when it is
stored, and what no server may do.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from sluiceway_common.foundation.errors import SluicewayError, Unavailable
from sluiceway_server.kv.port import (
    Compare,
    Get,
    KeyValue,
    LeaseId,
    OutcomeUnknown,
    PutKey,
    Range,
    Read,
    StoreStatus,
    TxnResult,
    WatchBatch,
    Write,
)
from sluiceway_server.objectstorage.port import ObjectInfo, ObjectUpload
from tests.fakes.kv import FakeKeyValueStore
from tests.fakes.objectstorage import FakeObjectStorage
from tests.properties.simulation import Process

__all__ = ["Chances", "KvWire", "Network", "StorageWire"]

T = TypeVar("T")


@dataclass(frozen=True)
class Chances:
    """How likely each fault is, for one call."""

    kv_lost_answer: float = 0.0
    kv_lost_request: float = 0.0
    kv_late: float = 0.0
    kv_refused: float = 0.0
    watch_breaks: float = 0.0
    storage_failed: float = 0.0
    storage_failed_applied: float = 0.0
    storage_failed_late: float = 0.0
    storage_slow: float = 0.0


@dataclass
class Network:
    """The stores, and the faults on the way to them.

    Attributes:
        on_entry: called with the bytes of each entry when it is appended to the log.
        on_object: called with key and body of each object when it is stored.
        plans: fates of the next writes of log entries of a process, by its name, before those that are drawn.
        cut_off: names of processes that reach neither store.
        violations: what a server did to a store that none may ever do.
    """

    store: FakeKeyValueStore
    storage: FakeObjectStorage
    rng: random.Random
    chances: Chances = field(default_factory=Chances)
    on_entry: Callable[[bytes], None] = lambda _raw: None
    on_object: Callable[[str, bytes], None] = lambda _key, _body: None
    plans: dict[str, list[str]] = field(default_factory=dict)
    kv_away: bool = False
    storage_away: bool = False
    storage_full: bool = False
    cut_off: set[str] = field(default_factory=set)

    violations: list[str] = field(default_factory=list)

    def heal(self) -> None:
        """End all faults. What is on its way still arrives."""
        self.chances = Chances()
        self.plans.clear()
        self.kv_away = self.storage_away = self.storage_full = False
        self.cut_off.clear()

    def latency(self) -> float:
        """Draw the seconds that a message takes."""
        draw = self.rng.random()
        if draw < 0.9:
            return 0.0002 + 0.002 * self.rng.random()
        return float(0.003 * (1 / (1.0005 - self.rng.random())) ** 0.6)

    def reaches_kv(self, process: Process) -> bool:
        return not self.kv_away and process.name not in self.cut_off

    def reaches_storage(self, process: Process) -> bool:
        return not self.storage_away and process.name not in self.cut_off

    def kv_fate(self, process: Process, *, appends: bool) -> str:
        """Draw the fate of a call."""
        plan = self.plans.get(process.name)
        if appends and plan:
            return plan.pop(0)
        draw = self.rng.random()
        for fate, chance in (
            ("lost_answer", self.chances.kv_lost_answer),
            ("lost_request", self.chances.kv_lost_request),
            ("late", self.chances.kv_late),
            ("refused", self.chances.kv_refused),
        ):
            if draw < chance:
                return fate
            draw -= chance
        return "well"

    def storage_fate(self, *, writes: bool) -> str:
        draw = self.rng.random()
        for fate, chance in (
            ("failed", self.chances.storage_failed),
            ("failed_applied", self.chances.storage_failed_applied if writes else 0.0),
            ("failed_late", self.chances.storage_failed_late if writes else 0.0),
            ("slow", self.chances.storage_slow),
        ):
            if draw < chance:
                return fate
            draw -= chance
        return "well"

    def apply(
        self, compare: Sequence[Compare], then: Sequence[Write | Read], otherwise: Sequence[Write | Read]
    ) -> TxnResult:
        """Apply a transaction to the store now."""
        entries = [item for item in then if isinstance(item, PutKey) and "/db/log/" in item.key]
        taken = {item.key for item in entries if self.store.peek(item.key) is not None}
        result = self.store.txn_now(compare=compare, then=then, otherwise=otherwise)
        if result.succeeded:
            for item in entries:
                if item.key in taken:
                    self.violations.append(f"the log entry {item.key} was written over")
                self.on_entry(item.value)
        return result


class KvWire:
    """The `KeyValueStore` of one process."""

    def __init__(self, network: Network, process: Process) -> None:
        self._network = network
        self._process = process

    async def txn(
        self,
        *,
        compare: Sequence[Compare] = (),
        then: Sequence[Write | Read] = (),
        otherwise: Sequence[Write | Read] = (),
        timeout: timedelta,
    ) -> TxnResult:
        compare, then, otherwise = tuple(compare), tuple(then), tuple(otherwise)
        writes = not all(isinstance(item, Get | Range) for item in (*then, *otherwise))
        appends = any(isinstance(item, PutKey) and "/db/log/" in item.key for item in then)
        network, loop = self._network, asyncio.get_running_loop()
        await self._process.gate()
        fate = network.kv_fate(self._process, appends=appends)
        if fate == "refused" or not network.reaches_kv(self._process):
            await asyncio.sleep(network.latency())
            raise Unavailable("the store is away; the call was not sent")
        answer: asyncio.Future[TxnResult] = loop.create_future()

        def no_answer() -> None:
            if not answer.done():
                error = OutcomeUnknown("the store did not answer in time") if writes else Unavailable("no answer")
                answer.set_exception(error)

        def hand_over(result: TxnResult) -> None:
            if answer.done():
                return
            if network.reaches_kv(self._process):
                answer.set_result(result)
            else:
                no_answer()

        def arrive() -> None:
            if fate != "late" and not network.reaches_kv(self._process):
                no_answer()
                return
            try:
                result = network.apply(compare, then, otherwise)
            except Exception as error:
                if not answer.done():
                    answer.set_exception(error)
                return
            if fate in ("well", "late"):
                loop.call_later(network.latency(), hand_over, result)

        limit = timeout.total_seconds()
        if fate == "well":
            loop.call_later(network.latency(), arrive)
        else:
            # Half of those whose response is lost fail at once, by a broken connection, the others by their timeout.
            limit = min(limit, network.latency() if network.rng.random() < 0.5 else limit)
            if fate == "lost_answer":
                loop.call_later(network.latency(), arrive)
            elif fate == "late":
                loop.call_later(limit + network.rng.random() ** 3 * 20, arrive)
        expiry = loop.call_later(limit, no_answer)
        try:
            result = await answer
        finally:
            expiry.cancel()
        await self._process.gate()
        return result

    async def get(self, key: str, *, timeout: timedelta) -> tuple[KeyValue | None, int]:
        result = await self.txn(then=(Get(key),), timeout=timeout)
        return (result.reads[0][0] if result.reads[0] else None), result.revision

    async def range(self, read: Range, *, timeout: timedelta) -> tuple[tuple[KeyValue, ...], int]:
        result = await self.txn(then=(read,), timeout=timeout)
        return result.reads[0], result.revision

    async def put(self, key: str, value: bytes, *, lease: LeaseId = 0, timeout: timedelta) -> int:
        return (await self.txn(then=(PutKey(key, value, lease),), timeout=timeout)).revision

    async def list_prefix(self, prefix: str, *, timeout: timedelta) -> tuple[tuple[KeyValue, ...], int]:
        return await self._simply(lambda: self._network.store.list_prefix(prefix, timeout=timeout))

    async def grant_lease(self, ttl: timedelta, *, timeout: timedelta) -> LeaseId:
        return await self._simply(lambda: self._network.store.grant_lease(ttl, timeout=timeout))

    async def renew_lease(self, lease: LeaseId, *, timeout: timedelta) -> timedelta:
        return await self._simply(lambda: self._network.store.renew_lease(lease, timeout=timeout))

    async def revoke_lease(self, lease: LeaseId, *, timeout: timedelta) -> None:
        await self._simply(lambda: self._network.store.revoke_lease(lease, timeout=timeout))

    async def compact(self, revision: int, *, timeout: timedelta) -> None:
        await self._simply(lambda: self._network.store.compact(revision, timeout=timeout))

    async def keeps(self, revision: int, *, timeout: timedelta) -> bool:
        return await self._simply(lambda: self._network.store.keeps(revision, timeout=timeout))

    async def status(self, *, timeout: timedelta) -> StoreStatus:
        return await self._simply(lambda: self._network.store.status(timeout=timeout))

    async def watch(self, prefix: str, *, start_revision: int) -> AsyncGenerator[WatchBatch, None]:
        network = self._network
        await self._check_reach()
        async with aclosing(network.store.watch(prefix, start_revision=start_revision)) as batches:
            async for batch in batches:
                await asyncio.sleep(network.latency())
                await self._check_reach()
                if network.rng.random() < network.chances.watch_breaks:
                    raise Unavailable("the watch broke")
                yield batch

    async def close(self) -> None:
        pass

    async def _simply(self, call: Callable[[], Awaitable[T]]) -> T:
        await self._check_reach()
        await asyncio.sleep(self._network.latency())
        await self._check_reach()
        return await call()

    async def _check_reach(self) -> None:
        await self._process.gate()
        if not self._network.reaches_kv(self._process):
            await asyncio.sleep(self._network.latency())
            raise Unavailable("the store is away")


class StorageWire:
    """The `ObjectStorage` of one process."""

    def __init__(self, network: Network, process: Process) -> None:
        self._network = network
        self._process = process

    async def put(self, key: str, body: bytes) -> None:
        async def send() -> None:
            await self._network.storage.put(key, body)
            self._network.on_object(key, body)

        await self._write(key, send)

    async def put_if_absent(self, key: str, body: bytes) -> bool:
        async def send() -> bool:
            stored = await self._network.storage.put_if_absent(key, body)
            if stored:
                self._network.on_object(key, body)
            return stored

        return await self._write(key, send)

    async def delete(self, key: str) -> None:
        await self._write(key, lambda: self._network.storage.delete(key), grows=False)

    async def get(self, key: str) -> bytes:
        return await self._read(lambda: self._network.storage.get(key))

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        return await self._read(lambda: self._network.storage.get_range(key, start, length))

    async def head(self, key: str) -> ObjectInfo | None:
        return await self._read(lambda: self._network.storage.head(key))

    async def list(self, prefix: str = "", *, start_after: str = "", delimiter: str = "") -> AsyncIterator[ObjectInfo]:
        async def collect() -> list[ObjectInfo]:
            found = self._network.storage.list(prefix, start_after=start_after, delimiter=delimiter)
            return [info async for info in found]

        for info in await self._read(collect):
            yield info

    async def upload(self, key: str) -> ObjectUpload:
        await self._read(lambda: asyncio.sleep(0))
        return _Upload(self, key)

    async def close(self) -> None:
        pass

    async def _read(self, call: Callable[[], Awaitable[T]]) -> T:
        network = self._network
        await self._process.gate()
        fate = network.storage_fate(writes=False)
        await asyncio.sleep(network.rng.random() * 10 if fate == "slow" else network.latency())
        if fate == "failed" or not network.reaches_storage(self._process):
            raise Unavailable("the object storage is away")
        result = await call()
        await self._process.gate()
        return result

    async def _write(self, key: str, call: Callable[[], Coroutine[Any, Any, T]], *, grows: bool = True) -> T:
        network = self._network
        await self._process.gate()
        fate = network.storage_fate(writes=True)
        if fate == "failed" or not network.reaches_storage(self._process):
            await asyncio.sleep(network.latency())
            raise Unavailable(f"the object storage is away; {key} was not stored")
        if grows and network.storage_full:
            raise Unavailable(f"no space left for {key}", reason="STORAGE_FULL")
        seconds = network.latency()
        if fate == "slow":
            seconds = network.rng.random() * 10
        elif fate == "failed_late":
            seconds = network.rng.random() * 30

        async def arrive() -> T:
            await asyncio.sleep(seconds)
            return await call()

        # It arrives, whatever becomes of its sender.
        arriving = asyncio.get_running_loop().create_task(arrive(), context=_NOBODY.copy())
        arriving.add_done_callback(_forget)
        if fate == "failed_late":
            await asyncio.sleep(network.latency())
            raise Unavailable(f"the object storage did not answer for {key}")
        result = await asyncio.shield(arriving)
        await self._process.gate()
        if fate == "failed_applied" or not network.reaches_storage(self._process):
            raise Unavailable(f"the object storage did not answer for {key}")
        return result


class _Upload:
    def __init__(self, wire: StorageWire, key: str) -> None:
        self._wire = wire
        self._key = key
        self._chunks: list[bytes] | None = []

    async def write(self, chunk: bytes) -> None:
        await self._wire._read(lambda: asyncio.sleep(0))
        assert self._chunks is not None
        self._chunks.append(bytes(chunk))

    async def complete(self) -> None:
        chunks, self._chunks = self._chunks, None
        assert chunks is not None
        await self._wire.put(self._key, b"".join(chunks))

    async def abort(self) -> None:
        self._chunks = None


def _forget(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        error = task.exception()
        if error is not None and not isinstance(error, SluicewayError):
            asyncio.get_running_loop().call_exception_handler({"message": "network", "exception": error})


def _nobody() -> Any:
    import contextvars

    return contextvars.Context()


_NOBODY = _nobody()
