"""The write path: transactions wait in a queue; each pass takes all that wait and commits them as one log entry.

While an entry is on its way to etcd, the next batch gathers by itself; there is no timer. The response of etcd decides:

    applied          the callers get their results; SQLite follows while the next batch is prepared
    head moved       the entries of other servers are applied, and the same transactions are prepared again
    outcome unknown  the *same* entry is sent again until some entry stands at its place; then its batch id decides

Errors of transaction functions, and values of those that write nothing, are returned only when etcd has confirmed that
the head they were computed against was the newest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeVar

import structlog

from sluiceway_common.foundation.crashpoints import crash_points, declare_effects
from sluiceway_common.foundation.errors import Conflict, DeadlineExceeded, Exhausted, InvalidInput, Unavailable
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.datamanager.caches import READS_OF_OLD_RECORDS
from sluiceway_server.datamanager.engine.batch import BatchBuilder, Call, Outcome
from sluiceway_server.datamanager.engine.etcd_capacity import EtcdCapacityMonitor
from sluiceway_server.datamanager.engine.log_tip import LogTip
from sluiceway_server.datamanager.engine.write_state import Batch
from sluiceway_server.datamanager.log.entries import LogEntry, micros
from sluiceway_server.datamanager.log.etcd_log import HeadMark, LogLook
from sluiceway_server.datamanager.model import TransactionFunction
from sluiceway_server.datamanager.port import Committed
from sluiceway_server.datamanager.replica.cold_bodies import NO_BODIES, BodiesNotLoaded, ColdBodyStore, FetchedBodies
from sluiceway_server.datamanager.waiting import Backoff, in_time
from sluiceway_server.kv.port import OutcomeUnknown

log = structlog.get_logger(__name__)

declare_effects("commit.append")

T = TypeVar("T")

_LONGEST_SLOWDOWN_SECONDS = 1.0
_STORE_FULL = "STORE_FULL"


@dataclass(slots=True, kw_only=True)
class _Request(Call):
    """A call of `transact`; `deadline` is in monotonic seconds."""

    result: asyncio.Future[Committed[Any]]
    deadline: float

    def resolve(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self.fail(outcome.error)
        elif not self.result.done():
            self.result.set_result(Committed(outcome.value, outcome.position))

    def fail(self, error: BaseException) -> None:
        if not self.result.done():
            self.result.set_exception(error)


class _Fate(Enum):
    """What became of a batch that was sent."""

    COMMITTED = auto()
    OVERTAKEN = auto()
    """Another entry is at its place, and was taken in here."""
    UNKNOWN = auto()
    """The entry at its place is trimmed everywhere."""


class Committer:
    """See the module. `run` is its loop; `transact` may be called from any task."""

    def __init__(self, tip: LogTip, capacity: EtcdCapacityMonitor, bodies: ColdBodyStore) -> None:
        self._tip = tip
        self._builder = BatchBuilder(
            tip.state, tip.catalogue, writer=tip.settings.server_id, max_batch_bytes=tip.settings.max_batch_bytes
        )
        self._capacity = capacity
        self._bodies = bodies
        self._set_aside: dict[asyncio.Task[None], _Request] = {}
        self._fetch_slots = asyncio.Semaphore(READS_OF_OLD_RECORDS)
        self._queue: deque[_Request] = deque()
        self._wake = asyncio.Event()
        self._taken: list[_Request] = []
        self._in_doubt = False  # whether an entry with those taken may be in the log
        self._most_at_once: int | None = None
        self._closed = False

    async def transact(self, function: TransactionFunction[T], *, durable: bool) -> Committed[T]:
        tip = self._tip
        if self._closed:
            raise _stopping()
        if tip.unflushed_bytes >= tip.settings.refuse_at_bytes:
            fault = tip.flush_error and f". The last flush failed: {tip.flush_error}"
            raise Unavailable(
                f"{tip.unflushed_bytes // 1024} KiB of the log wait for the object storage, which is away or slow;"
                f" nothing was written (limit {tip.settings.refuse_at_bytes // 1024} KiB){fault}",
                reason="NOT_FLUSHED",
            )
        deadline = tip.clock.monotonic() + tip.settings.commit_patience.total_seconds()
        request = _Request(function, result=asyncio.get_running_loop().create_future(), deadline=deadline)
        self._queue.append(request)
        self._wake.set()
        committed: Committed[T] = await request.result
        if durable:
            await self._wait_durable(committed)
        return committed

    async def _wait_durable(self, committed: Committed[Any]) -> None:
        limit = self._tip.settings.durable_wait.total_seconds()
        try:
            async with time_limit(limit):
                with suppress(Unavailable):
                    await self._tip.wait_applied(committed.position)
                self._tip.flush_soon()
                await self._tip.flushed_up_to.reach(committed.position.sequence)
        except Unavailable as cause:
            raise _unknown(
                f"it was committed at {committed.position}, and the server stopped, or lost its database, before the"
                " object storage was known to have it"
            ) from cause
        except TimeoutError as cause:
            raise DeadlineExceeded(
                f"the transaction is committed at {committed.position}, and the object storage does not have it after"
                f" {limit:g} s",
                reason="NOT_FLUSHED",
                metadata={"position": str(committed.position)},
            ) from cause

    async def drain(self) -> None:
        """Refuse new transactions and wait until those in the queue have ended."""
        self._closed = True
        everybody = (*self._queue, *self._taken, *self._set_aside.values())
        waiting = {request.result for request in everybody if not request.result.done()}
        if waiting:
            await asyncio.wait(waiting)

    async def run(self) -> None:
        """Commit until cancelled. However it ends, all requests that wait fail with what is known of them."""
        backoff = Backoff()
        try:
            while True:
                await self._wake.wait()
                await self._slow_down()
                await self._capacity.slow_down()
                await self._yield_turn()
                self._wake.clear()
                async with self._tip.lock:
                    committed = await self._commit_once()
                if committed:
                    backoff.reset()
                else:
                    await backoff.wait()
                # Let callers that have their result send their next transaction: it belongs into the next batch.
                await asyncio.sleep(0)
                if self._queue:
                    self._wake.set()
        finally:
            self._closed = True
            for task in self._set_aside:
                task.cancel()
            for request in self._taken:
                request.fail(_unknown("the server stopped before etcd responded") if self._in_doubt else _stopping())
            for request in (*self._queue, *self._set_aside.values()):
                request.fail(_stopping())
            self._taken = []
            self._queue.clear()

    async def _slow_down(self) -> None:
        tip = self._tip
        excess = tip.unflushed_bytes - tip.settings.slow_at_bytes
        if excess < 0:
            return
        span = max(tip.settings.refuse_at_bytes - tip.settings.slow_at_bytes, 1)
        tip.flush_due.set()
        seconds = _LONGEST_SLOWDOWN_SECONDS * min(excess / span, 1.0)
        await in_time(seconds, tip.flushed_up_to.reach(tip.newest.position.sequence))

    async def _yield_turn(self) -> None:
        """Wait so that servers that lost several times write first."""
        tip = self._tip
        seconds = tip.fairness.pause(tip.clock.monotonic())
        if seconds and not await in_time(seconds, tip.newest_sequence.reach(tip.next_sequence)):
            tip.fairness.waited()

    async def _commit_once(self) -> bool:
        """Commit one batch: prepare, send, decide, resolve. Return False when etcd is away; then wait."""
        tip = self._tip
        calls = self._taken = self._take_requests()
        self._in_doubt = False
        if not calls:
            return True
        last, now = tip.newest, micros(tip.clock.now())
        outcomes, batch = await tip.in_writer(lambda: self._builder.prepare(calls, last=last, time_us=now))
        self._queue.extendleft(reversed(calls[len(outcomes) :]))  # they did not fit
        decided: list[tuple[_Request, Outcome]] = []
        for request, outcome in zip(calls, outcomes, strict=False):
            if isinstance(outcome.error, BodiesNotLoaded):
                self._fetch_for(request, outcome.error)
            else:
                decided.append((request, outcome))
        requests = self._taken = [request for request, _ in decided]
        if not requests:
            return True
        try:
            fate = await (self._confirm() if batch is None else self._append(batch))
        except Unavailable as error:
            self._taken = []
            self._put_back(requests, error)
            return False
        except InvalidInput as error:
            self._taken = []
            self._split(requests, error)
            return True
        # After any other error, `run` fails those that are taken.
        self._taken, self._most_at_once = [], None
        match fate:
            case _Fate.COMMITTED:
                for request, outcome in decided:
                    request.resolve(outcome)
            case _Fate.OVERTAKEN:
                self._queue.extendleft(reversed(requests))
            case _Fate.UNKNOWN:
                for request in requests:
                    request.fail(_unknown("the entry at its place is trimmed everywhere"))
                # Finds out what is missing, and ends this server if it cannot continue.
                await tip.catch_up()
        return True

    def _take_requests(self) -> list[_Request]:
        requests = [request for request in self._queue if not request.result.done()]
        self._queue.clear()
        if self._most_at_once is not None:
            self._queue.extend(requests[self._most_at_once :])
            requests = requests[: self._most_at_once]
        return requests

    def _fetch_for(self, request: _Request, needed: BodiesNotLoaded) -> None:
        """Set a request aside until the old records that it needs are here; the others continue."""
        task = asyncio.create_task(self._fetch(request, needed), name="datamanager-fetch-bodies")
        self._set_aside[task] = request
        task.add_done_callback(lambda done: self._set_aside.pop(done, None))

    async def _fetch(self, request: _Request, needed: BodiesNotLoaded) -> None:
        tip = self._tip
        fetched = FetchedBodies() if request.fetched is NO_BODIES else request.fetched
        try:
            async with time_limit(request.deadline - tip.clock.monotonic()), self._fetch_slots:
                await self._bodies.fetch(needed, fetched)
        except TimeoutError:
            patience = tip.settings.commit_patience.total_seconds()
            request.fail(
                Unavailable(
                    f"nothing was written: the old records that it needs did not come within {patience:g} s",
                    reason="OLD_RECORDS_UNAVAILABLE",
                )
            )
        except Exception as error:
            request.fail(error)
        else:
            request.fetched = fetched
            self._queue.append(request)
            self._wake.set()

    def _put_back(self, requests: list[_Request], error: Unavailable) -> None:
        """Queue requests again while they may wait. With a full etcd they fail: an operator has to act."""
        if error.reason == _STORE_FULL:
            self._capacity.note_refusal()
            for request in requests:
                request.fail(self._capacity.refusal or error)
            return
        late = Unavailable(f"nothing was written: {error}", reason=error.reason)
        self._queue.extendleft(reversed(self._fail_late(requests, late)))
        log.warning("commit_waits_for_etcd", waiting=len(self._queue), error=str(error))

    def _refuse_late(self) -> None:
        """Fail requests that waited too long behind an entry in doubt: nothing of theirs was sent."""
        settings = self._tip.settings
        late = Unavailable(
            f"nothing was written: an entry before it is in doubt, since etcd at {settings.etcd_name} or the"
            f" object storage has not responded for {settings.commit_patience.total_seconds():g} s; try again",
            reason="COMMIT_IN_DOUBT",
        )
        self._queue = deque(self._fail_late(self._queue, late))

    def _fail_late(self, requests: Iterable[_Request], error: Unavailable) -> list[_Request]:
        """Fail the requests whose deadline has passed; return those that still wait."""
        now = self._tip.clock.monotonic()
        for request in requests:
            if request.deadline <= now:
                request.fail(error)
        return [request for request in requests if not request.result.done()]

    def _split(self, requests: list[_Request], error: InvalidInput) -> None:
        """Try the first half alone: etcd takes less than expected (its limits are settings)."""
        if len(requests) == 1:
            requests[0].fail(Exhausted(f"etcd does not take this transaction: {error}", reason="TRANSACTION_TOO_LARGE"))
            return
        self._most_at_once = len(requests) // 2
        self._queue.extendleft(reversed(requests))

    async def _confirm(self) -> _Fate:
        """Check that a batch which writes nothing was computed against the newest head. If not, catch up."""
        look = await self._look_past(self._tip.head)
        if look is None:
            return _Fate.COMMITTED
        await self._tip.catch_up(look)
        return _Fate.OVERTAKEN

    async def _append(self, batch: Batch) -> _Fate:
        """Put a batch into the log and find out what stands at its place.

        Raises:
            Unavailable, InvalidInput: it is certainly not in the log.
        """
        if (refusal := self._capacity.refusal) is not None:
            raise refusal
        tip, entry = self._tip, batch.entry
        head = HeadMark.after(tip.head, entry)
        look = await self._send_entry(tip.head, entry, head)
        # In doubt, it may be there although etcd refused it now; the entry at its place decides.
        occupant = entry.batch_id if look.succeeded else await self._occupant(entry, look)
        if occupant == entry.batch_id:
            # Others may have written since; the next look finds it.
            tip.append(batch, head)
            return _Fate.COMMITTED
        if occupant is None:
            return _Fate.UNKNOWN
        self._in_doubt = False
        await tip.catch_up(look)
        return _Fate.OVERTAKEN

    async def _send_entry(self, known: HeadMark, entry: LogEntry, head: HeadMark) -> LogLook:
        """Send an entry until etcd responds; the same one each time, so that it cannot be there twice."""
        backoff = Backoff()
        sent = False
        while True:
            try:
                self._in_doubt = True
                with crash_points("commit.append"):
                    return await self._tip.log.append(known, entry, head)
            except OutcomeUnknown as error:
                sent = True
                log.warning("commit_in_doubt", sequence=str(entry.sequence), error=str(error))
            except (Unavailable, InvalidInput) as error:
                if not sent:
                    self._in_doubt = False
                    raise
                if error.reason == _STORE_FULL:
                    # Nothing is applied any more; what was sent before is there, or it waits for room.
                    with suppress(Unavailable):
                        if (look := await self._look_past(known)) is not None:
                            return look
            self._refuse_late()
            await backoff.wait()

    async def _look_past(self, known: HeadMark) -> LogLook | None:
        """Read the log; return None when its head is still the known one."""
        look = await self._tip.log.look(known.sequence.next())
        return None if look.head is not None and look.head.raw == known.raw else look

    async def _occupant(self, entry: LogEntry, look: LogLook) -> bytes | None:
        """Return the batch id of the entry at this place of the log; None when it is trimmed everywhere."""
        if look.head is None or look.head.sequence < entry.sequence:
            await self._tip.catch_up(look)  # raises: etcd went back
            return b""
        if look.head.sequence == entry.sequence:
            return look.head.batch_id
        backoff = Backoff()
        while True:
            try:
                if look.entries and look.entries[0].sequence == entry.sequence:
                    return look.entries[0].batch_id
                async for segment in self._tip.segments.after(self._tip.newest.position.sequence, self._tip.lineage):
                    found = [other.batch_id for other in segment.entries if other.sequence == entry.sequence]
                    return found[0] if found else None
            except Unavailable as error:
                log.warning("commit_in_doubt", sequence=str(entry.sequence), error=str(error))
                self._refuse_late()
                await backoff.wait()
            else:
                return None


def _stopping() -> Unavailable:
    return Unavailable("this server stops; nothing was written", reason="STOPPING")


def _unknown(why: str) -> Conflict:
    return Conflict(
        f"it is not known whether the transaction was applied: {why}. Read, then decide",
        reason="OUTCOME_UNKNOWN",
    )
