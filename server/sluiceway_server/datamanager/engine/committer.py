"""The write path: transactions wait in a queue; each pass takes all that wait and commits them as one log entry.

While an entry is on its way to etcd, the next batch gathers by itself; there is no timer. What etcd answers decides:

    applied          the callers are answered; SQLite follows while the next batch is prepared
    head moved       somebody else's entries are applied, and the same transactions are prepared again
    nothing certain  the *same* entry is sent again until some entry stands at its place; then its batch id decides

Errors of transaction functions, and values of those that write nothing, are answered only when etcd has confirmed that
the head they were computed against was the newest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from sluiceway_common.foundation.crashpoints import crash_point, declare_crash_points
from sluiceway_common.foundation.errors import Conflict, DeadlineExceeded, Exhausted, InvalidInput, Unavailable
from sluiceway_server.datamanager.caches import READS_OF_OLD_RECORDS
from sluiceway_server.datamanager.engine.batch import BatchBuilder
from sluiceway_server.datamanager.engine.batch_changes import Call, Outcome, Prepared
from sluiceway_server.datamanager.engine.etcd_capacity import EtcdCapacityMonitor
from sluiceway_server.datamanager.engine.log_tip import LogTip
from sluiceway_server.datamanager.log.entries import LogEntry, micros
from sluiceway_server.datamanager.log.etcd_log import HeadMark, LogLook
from sluiceway_server.datamanager.model import TransactionFunction
from sluiceway_server.datamanager.port import Committed
from sluiceway_server.datamanager.replica.cold_bodies import NO_BODIES, BodiesNotLoaded, ColdBodyStore, FetchedBodies
from sluiceway_server.datamanager.waiting import Backoff
from sluiceway_server.kv.port import OutcomeUnknown

__all__ = ["Committer"]

log = structlog.get_logger(__name__)

declare_crash_points("commit.before-append", "commit.after-append")

T = TypeVar("T")

_LONGEST_SLOWDOWN_SECONDS = 1.0
_STORE_FULL = "STORE_FULL"


@dataclass(slots=True)
class _Request:
    function: TransactionFunction[Any]
    answer: asyncio.Future[Committed[Any]]
    deadline: float
    fetched: FetchedBodies = NO_BODIES

    def succeed(self, outcome: Outcome) -> None:
        if not self.answer.done():
            self.answer.set_result(Committed(outcome.value, outcome.position))

    def fail(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Committer:
    """See the module. `run` is its loop; `transact` may be called from any task."""

    def __init__(self, core: LogTip, preparer: BatchBuilder, store: EtcdCapacityMonitor, bodies: ColdBodyStore) -> None:
        self._core = core
        self._preparer = preparer
        self._store = store
        self._bodies = bodies
        self._set_aside: dict[asyncio.Task[None], _Request] = {}
        self._turns = asyncio.Semaphore(READS_OF_OLD_RECORDS)
        self._queue: deque[_Request] = deque()
        self._wake = asyncio.Event()
        self._taken: list[_Request] = []
        self._in_doubt = False  # whether an entry with those taken may be in the log
        self._most_at_once: int | None = None
        self._closed = False
        self.in_flight: bytes | None = None

    async def transact(self, function: TransactionFunction[T], *, durable: bool) -> Committed[T]:
        core = self._core
        self._check_open()
        if core.unflushed_bytes >= core.settings.refuse_at_bytes:
            fault = core.flush_fault and f". The last flush failed: {core.flush_fault}"
            raise Unavailable(
                f"{core.unflushed_bytes // 1024} KiB of the log wait for the object storage, which is away or slow;"
                f" nothing was written (limit {core.settings.refuse_at_bytes // 1024} KiB){fault}",
                reason="NOT_FLUSHED",
            )
        deadline = core.clock.monotonic() + core.settings.commit_patience.total_seconds()
        request = _Request(function, asyncio.get_running_loop().create_future(), deadline)
        self._queue.append(request)
        self._wake.set()
        committed: Committed[T] = await request.answer
        if durable:
            await self._wait_durable(committed)
        return committed

    async def _wait_durable(self, committed: Committed[Any]) -> None:
        limit = self._core.settings.durable_wait.total_seconds()
        try:
            async with asyncio.timeout(limit):
                with suppress(Unavailable):
                    await self._core.wait_applied(committed.position)
                self._core.flush_soon()
                await self._core.flushed_up_to.reach(committed.position.sequence)
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

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("this server stops; nothing was written", reason="STOPPING")

    async def drain(self) -> None:
        """Refuse new transactions and wait until those that wait are answered."""
        self._closed = True
        everybody = (*self._queue, *self._taken, *self._set_aside.values())
        waiting = {request.answer for request in everybody if not request.answer.done()}
        if waiting:
            await asyncio.wait(waiting)

    async def run(self) -> None:
        """Commit for ever. When it ends, whatever the reason, everybody who waits is told what is known."""
        backoff = Backoff()
        try:
            while True:
                await self._wake.wait()
                await self._slow_down()
                await self._store.slow_down()
                await self._leave_turn()
                self._wake.clear()
                async with self._core.advance:
                    committed = await self._commit_once()
                if committed:
                    backoff.reset()
                else:
                    await backoff.wait()
                # Let those who were answered ask again: what they ask belongs into the next batch.
                await asyncio.sleep(0)
                if self._queue:
                    self._wake.set()
        finally:
            self._closed = True
            for task in self._set_aside:
                task.cancel()
            self._fail_everybody()

    def _fail_everybody(self) -> None:
        stopping = Unavailable("this server stops; nothing was written", reason="STOPPING")
        for request in self._taken:
            request.fail(_unknown("the server stopped before etcd had answered") if self._in_doubt else stopping)
        for request in (*self._queue, *self._set_aside.values()):
            request.fail(stopping)
        self._taken = []
        self._queue.clear()

    async def _slow_down(self) -> None:
        core = self._core
        excess = core.unflushed_bytes - core.settings.slow_at_bytes
        if excess < 0:
            return
        span = max(core.settings.refuse_at_bytes - core.settings.slow_at_bytes, 1)
        core.flush_due.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_SLOWDOWN_SECONDS * min(excess / span, 1.0)):
                await core.flushed_up_to.reach(core.tip.position.sequence)

    async def _leave_turn(self) -> None:
        """Let servers that have lost several times write before this one goes on."""
        core = self._core
        seconds = core.turns.pause(core.clock.monotonic())
        if seconds:
            try:
                async with asyncio.timeout(seconds):
                    await core.tip_at.reach(core.following)
            except TimeoutError:
                core.turns.waited()

    async def _commit_once(self) -> bool:
        """Commit one batch. False: etcd is away, and the caller should wait a little."""
        core = self._core
        requests = [request for request in self._queue if not request.answer.done()]
        self._queue.clear()
        if self._most_at_once is not None:
            self._queue.extend(requests[self._most_at_once :])
            requests = requests[: self._most_at_once]
        if not requests:
            return True
        self._taken, self._in_doubt = requests, False
        last, now = core.tip, micros(core.clock.now())
        calls = [Call(request.function, request.fetched) for request in requests]
        prepared = await core.in_writer(lambda: self._preparer.prepare(calls, last=last, time_us=now))
        self._queue.extendleft(reversed(requests[len(prepared.outcomes) :]))
        settled: list[_Request] = []
        outcomes: list[Outcome] = []
        for request, outcome in zip(requests, prepared.outcomes, strict=False):
            if outcome.needed is not None:
                self._fetch_for(request, outcome.needed)
            else:
                settled.append(request)
                outcomes.append(outcome)
        self._taken = settled
        if not settled:
            return True
        confirmed: bool | None
        try:
            if prepared.entry is None:
                confirmed = await self._confirm()
            elif (refusal := self._store.refusal) is not None:
                raise refusal
            else:
                confirmed = await self._append(prepared, prepared.entry)
        except Unavailable as error:
            if error.reason == _STORE_FULL:
                # Patience does not help: an operator has to act.
                refusal = self._store.refused()
                for request in settled:
                    request.fail(refusal)
            else:
                self._put_back(settled, error)
            self._taken = []
            return False
        except InvalidInput as error:
            self._split(settled, error)
            self._taken = []
            return True
        self._taken, self._most_at_once = [], None
        if confirmed is None:
            for request in settled:
                request.fail(_unknown(f"the entry {last.position.sequence.next()} is trimmed everywhere"))
            # Finds out what is missing, and ends this server if it cannot go on.
            await core.catch_up()
        elif confirmed:
            for request, outcome in zip(settled, outcomes, strict=True):
                if outcome.error is not None:
                    request.fail(outcome.error)
                else:
                    request.succeed(outcome)
        else:
            self._queue.extendleft(reversed(settled))
        return True

    def _fetch_for(self, request: _Request, needed: BodiesNotLoaded) -> None:
        """Set a request aside until the old records that it needs are here; the others go on."""
        task = asyncio.create_task(self._fetch(request, needed), name="datamanager-fetch-bodies")
        self._set_aside[task] = request
        task.add_done_callback(lambda done: self._set_aside.pop(done, None))

    async def _fetch(self, request: _Request, needed: BodiesNotLoaded) -> None:
        core = self._core
        fetched = FetchedBodies() if request.fetched is NO_BODIES else request.fetched
        try:
            async with asyncio.timeout(request.deadline - core.clock.monotonic()), self._turns:
                await self._bodies.fetch(needed, fetched)
                if fetched.after is not None:
                    await core.wait_applied(fetched.after)
        except TimeoutError:
            patience = core.settings.commit_patience.total_seconds()
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
        now = self._core.clock.monotonic()
        for request in reversed(requests):
            if request.deadline <= now:
                request.fail(Unavailable(f"nothing was written: {error}", reason=error.reason))
            else:
                self._queue.appendleft(request)
        log.warning("commit_waits_for_etcd", waiting=len(self._queue), error=str(error))

    def _refuse_late(self) -> None:
        """Refuse who has waited too long behind an entry in doubt: nothing of theirs was sent."""
        now, settings = self._core.clock.monotonic(), self._core.settings
        waiting = [request for request in self._queue if not request.answer.done()]
        self._queue.clear()
        for request in waiting:
            if request.deadline > now:
                self._queue.append(request)
                continue
            request.fail(
                Unavailable(
                    f"nothing was written: an entry before it is in doubt, since etcd at {settings.etcd_name} or the"
                    f" object storage has not answered for {settings.commit_patience.total_seconds():g} s; try again",
                    reason="COMMIT_IN_DOUBT",
                )
            )

    def _split(self, requests: list[_Request], error: InvalidInput) -> None:
        """Etcd takes less than we thought (its limits are settings): try the first half alone."""
        if len(requests) == 1:
            requests[0].fail(Exhausted(f"etcd does not take this transaction: {error}", reason="TRANSACTION_TOO_LARGE"))
            return
        self._most_at_once = len(requests) // 2
        self._queue.extendleft(reversed(requests))

    async def _confirm(self) -> bool:
        """Whether the head that a batch was computed against is the newest. If not, catch up."""
        look = await self._core.log.look(self._core.following)
        if look.head is not None and look.head.raw == self._core.head.raw:
            return True
        await self._core.catch_up(look)
        return False

    async def _append(self, prepared: Prepared, entry: LogEntry) -> bool | None:
        """Put an entry into the log.

        True: it is there. False: another one is at its place, and is applied here now. None: nobody can say.
        Raises `Unavailable` and `InvalidInput` only when it is certainly not there and never will be.
        """
        core = self._core
        head = HeadMark.after(core.head, entry)
        self.in_flight = entry.batch_id
        try:
            look = await self._send(core.head, entry, head)
            # In doubt, it may be there though this answer says that it is not; what stands at its place tells.
            occupant = entry.batch_id if look.succeeded else await self._occupant(entry, look)
            if occupant == entry.batch_id:
                # Others may have written since; the next look finds it.
                core.committed(prepared, head)
                return True
            if occupant is None:
                return None
            self._in_doubt = False
            await core.catch_up(look)
            return False
        finally:
            self.in_flight = None

    async def _send(self, known: HeadMark, entry: LogEntry, head: HeadMark) -> LogLook:
        """Send an entry until etcd answers; the same one each time, so that it cannot be there twice."""
        backoff = Backoff()
        sent = False
        while True:
            try:
                self._in_doubt = True
                crash_point("commit.before-append")
                answer = await self._core.log.append(known, entry, head)
            except OutcomeUnknown as error:
                sent = True
                log.warning("commit_in_doubt", sequence=str(entry.sequence), error=str(error))
            except (Unavailable, InvalidInput) as error:
                if not sent:
                    self._in_doubt = False
                    raise
                if error.reason == _STORE_FULL:
                    # Nothing is applied any more; what was sent before is there, or it waits for room.
                    look = await self._look_past(known)
                    if look is not None:
                        return look
            else:
                crash_point("commit.after-append")
                return answer
            self._refuse_late()
            await backoff.wait()

    async def _look_past(self, known: HeadMark) -> LogLook | None:
        """Look at the log; None when its head is still the known one, or cannot be read."""
        try:
            look = await self._core.log.look(known.sequence.next())
        except Unavailable:
            return None
        return None if look.head is not None and look.head.raw == known.raw else look

    async def _occupant(self, entry: LogEntry, look: LogLook) -> bytes | None:
        """Tell the batch id of what stands in the log at an entry's place; None when it is trimmed everywhere."""
        if look.head is None or look.head.sequence < entry.sequence:
            await self._core.catch_up(look)  # raises: etcd went back
            return b""
        if look.head.sequence == entry.sequence:
            return look.head.batch_id
        backoff = Backoff()
        while True:
            try:
                if look.entries and look.entries[0].sequence == entry.sequence:
                    return look.entries[0].batch_id
                async for segment in self._core.segments.after(self._core.tip.position.sequence, self._core.lineage):
                    found = [other.batch_id for other in segment.entries if other.sequence == entry.sequence]
                    return found[0] if found else None
            except Unavailable as error:
                log.warning("commit_in_doubt", sequence=str(entry.sequence), error=str(error))
                self._refuse_late()
                await backoff.wait()
            else:
                return None


def _unknown(why: str) -> Conflict:
    return Conflict(
        f"it is not known whether the transaction was applied: {why}. Read, then decide",
        reason="OUTCOME_UNKNOWN",
    )
