"""Recovery: begin a new epoch that continues from the end of the history, or from a chosen entry (restore).

One attempt, in this order; a crash after any step is safe:

    1  read etcd's head and find the end of the history (`recovery/history`); a gap ends the attempt
    2  put what only etcd has of the history into segments
    3  put `epoch/<n+1>` with the accepted end, if absent: the server that wins recovers
    4  start over if a segment was stored meanwhile: a server may have rescued entries
    5  in one etcd transaction, if the head is still that of step 1 and no garbage collector may delete more than then:
       delete the old log, put the first entry of the new epoch, head and flushed
    6  put that entry into a segment, so that the epoch is known even if etcd is lost

An attempt that crashes or is overtaken leaves an epoch object that no later epoch continues. The next attempt takes a
new number. A server that finds a newer epoch of another recovery joins it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
import zstandard

from sluiceway.records.log.v1 import log_pb2
from sluiceway.records.log.v1.log_pb2 import Epoch
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.crashpoints import crash_points, declare_effects
from sluiceway_common.foundation.errors import (
    Conflict,
    DataLoss,
    FailedPrecondition,
    NotFound,
    SluicewayError,
    Unavailable,
)
from sluiceway_server.datamanager.log.entries import LogEntry, encode_entry, micros, sequence_proto
from sluiceway_server.datamanager.log.etcd_log import HeadMark, first_marks
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.recovery.diagnosis import diagnose, inspect
from sluiceway_server.datamanager.recovery.history import (
    HistoryEnd,
    Inventory,
    OrphanedEntries,
    find_end,
    read_inventory,
    unreachable,
)
from sluiceway_server.datamanager.recovery.storage_in_use import InUse, Reply
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.tables.stores import Stores
from sluiceway_server.datamanager.waiting import Backoff
from sluiceway_server.kv.port import OutcomeUnknown

log = structlog.get_logger(__name__)

_ATTEMPTS = 20

declare_effects("recover.tail", "recover.epoch", "recover.head", "recover.segment")


@dataclass(frozen=True, slots=True)
class Recovered:
    """The outcome of a recovery.

    Attributes:
        epoch: the present one.
        accepted: the entry that it continues from; None: another server recovered.
        won: False: another server recovered the database meanwhile; the rest is not known here.
        void: entries that are given up: they are not part of the history any more.
    """

    epoch: int
    accepted: LogSequence | None
    won: bool
    void: tuple[OrphanedEntries, ...] = ()


class _StartOver(Exception):
    """Another server was faster: begin again."""


class Recovery:
    """One recovery or restore; `stores` must not have been used before."""

    def __init__(
        self,
        stores: Stores,
        *,
        settings: DataManagerSettings,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._stores = stores
        self._in_use = InUse(stores.storage, prefix=stores.prefix)
        self._settings = settings
        self._clock = clock
        self._sleep = sleep

    async def recover(self, *, cause: str, leaving: int | None = None, quiet: timedelta = timedelta(0)) -> Recovered:
        """Begin a new epoch that continues from the end of the history.

        Args:
            cause: written into the epoch object, for people.
            leaving: recover although etcd and storage fit together, if they are in this epoch: the caller knows that
                etcd went back. None: refuse a healthy database.
            quiet: wait until nothing has been stored for so long: other servers may be rescuing entries. A server that
                still writes after ten times as long, or replies that the storage is in use, works with another etcd.

        Raises:
            DataLoss: there is a gap, or damage; the message names the objects and what to do.
            FailedPrecondition: nothing to recover (reason `NOTHING_TO_RECOVER`), not this database
                (`OTHER_DATABASE`), or a server still writes (`STORAGE_IN_USE`).
            Conflict: others write again and again; nothing was changed.
            Unavailable: etcd or the object storage is away. A new epoch may have begun; retry.
        """
        diagnosis = diagnose(await inspect(self._stores), now=self._clock.now())
        if diagnosis.is_healthy and diagnosis.holdings.present != leaving:
            if leaving is not None and diagnosis.holdings.present > leaving:
                return Recovered(diagnosis.holdings.present, None, won=False)
            raise FailedPrecondition(f"nothing to recover: {diagnosis.message}", reason="NOTHING_TO_RECOVER")
        if quiet:
            seconds = max(quiet.total_seconds(), self._span(None))
            await self._watch(seconds, limit=10 * seconds)
        known = diagnosis.holdings.epochs
        return await self._attempts(None, cause, known_epochs=known[-1].number if known else 0)

    async def restore(self, to: LogSequence, *, cause: str) -> Recovered:
        """Begin a new epoch that continues from an entry of the present history; all after it becomes void.

        Counter 0 is one only where an import began.

        Raises:
            FailedPrecondition: the entry is not part of the history (reason `SEQUENCE_UNKNOWN`), or cannot be reached
                any more (`SEQUENCE_UNREACHABLE`); nothing was changed.
            Conflict: others write again and again, or another recovery came first.
            DataLoss, Unavailable: as `recover`.
        """
        return await self._attempts(to, cause)

    async def refuse_if_in_use(self, *, span: timedelta | None = None) -> None:
        """Probe whether the storage is in use, and watch the segments meanwhile.

        Args:
            span: how long; None: four intervals at which servers look for probes, and at least three flush intervals.

        Raises:
            FailedPrecondition: reason `STORAGE_IN_USE`: a server replied, or put a segment; the message names it.
        """
        await self._watch(self._span(span), limit=0)

    def _span(self, span: timedelta | None) -> float:
        if span is not None:
            return span.total_seconds()
        return max(4 * self._settings.in_use_interval, 3 * self._settings.flush_interval).total_seconds()

    async def _is_of_this_etcd(self, raw: bytes) -> bool:
        """Return whether the server that replied works with this etcd: then it follows the recovery by itself.

        It may not have seen the entries that etcd lost when it went back, or have recovered the database meanwhile.
        """
        reply = Reply.parse(raw)
        if reply is None:
            return False
        head = (await self._stores.log.identify())[0].head
        if head is None or head.sequence < reply.head:
            return False
        if head.sequence.epoch > reply.head.epoch:
            return True
        if head.sequence == reply.head:
            return head.digest.hex() == reply.digest
        entry = await self._stores.log.entry(reply.head)
        return entry is not None and entry.digest.hex() == reply.digest

    async def _watch(self, seconds: float, *, limit: float) -> None:
        """Wait until no segment has appeared for so many seconds.

        Raises:
            FailedPrecondition: reason `STORAGE_IN_USE`: a server with another etcd replied, or segments still appear
                after `limit` seconds.
        """
        known = await self._stores.segments.firsts()
        last = known[-1] if known else LogSequence(0, 0)
        before = await self._in_use.replied()
        await self._in_use.probe(os.urandom(16).hex())
        began = still_since = self._clock.monotonic()
        while self._clock.monotonic() - still_since < seconds:
            await self._sleep(min(seconds / 10, 0.5))
            if (reply := await self._in_use.replied()) != before and not await self._is_of_this_etcd(reply):
                raise _in_use(str(Reply.parse(reply) or "a server of another version works on it"))
            before = reply
            if newer := await self._stores.segments.newer(last):
                last, still_since = newer[-1], self._clock.monotonic()
                if still_since - began >= limit:
                    writer = (await self._stores.segments.read(last)).header.writer
                    raise _in_use(f"{writer} put {self._stores.segments.key(last)} just now")

    async def _attempts(self, to: LogSequence | None, cause: str, *, known_epochs: int | None = None) -> Recovered:
        backoff = Backoff()
        for _ in range(_ATTEMPTS):
            inventory = await read_inventory(self._stores)
            known_epochs = inventory.newest_epoch if known_epochs is None else known_epochs
            if inventory.head is not None and inventory.head.sequence.epoch > known_epochs:
                if to is not None:
                    raise Conflict(
                        f"another recovery began epoch {inventory.head.sequence.epoch} meanwhile; look at `sluice db"
                        " status`, then decide again",
                        reason="RECOVERED_MEANWHILE",
                    )
                log.info("recovery_joined", epoch=inventory.head.sequence.epoch)
                return Recovered(inventory.head.sequence.epoch, None, won=False)
            try:
                return await self._attempt(inventory, to, cause)
            except _StartOver as why:
                log.info("recovery_starts_over", why=str(why))
            await backoff.wait()
        raise Conflict(
            f"{_ATTEMPTS} attempts to recover were overtaken by other writers; stop the servers that write, then do it"
            " again",
            reason="STORAGE_IN_USE",
        )

    async def _attempt(self, inventory: Inventory, to: LogSequence | None, cause: str) -> Recovered:
        stores = self._stores
        stores.log.expect_cluster(inventory.cluster_id)
        void = () if to is None else await self._given_up(inventory, to)
        try:
            end = await find_end(stores, inventory, to=to)
        except Unavailable as error:
            if error.reason != "CLEANED_MEANWHILE":
                raise
            raise _StartOver(error.message) from error
        cleaned = inventory.cleaned.sequence
        if to is not None and (end.last.sequence != to or (cleaned is not None and to < cleaned)):
            if await stores.log.cleaned() != inventory.cleaned:
                raise _StartOver("a cleaner began to delete")  # this is the cause, and not a missing object
            raise unreachable(inventory, end, to)
        if to is None and end.gap is not None:
            if (await stores.log.identify())[0].head != inventory.head:
                raise _StartOver("the head moved meanwhile")  # and the entries before it were deleted
            raise end.gap.error()
        await self._store_tail(inventory, end)
        number = inventory.newest_epoch + 1
        epoch = Epoch(
            number=number,
            cluster_id=inventory.cluster_id,
            writer=self._settings.server_id,
            time_us=micros(self._clock.now()),
            database_id=inventory.database_id,
            accepted=sequence_proto(end.last.sequence),
            accepted_digest=end.last.digest,
            cause=cause,
        )
        with crash_points("recover.epoch"):
            won = await stores.epochs.put(epoch)
        if not won:
            await self._wait_for_head(number)
            raise _StartOver(f"another recoverer has epoch {number}")
        unknown = set(await stores.segments.newer(end.last.sequence)) - set(inventory.firsts)
        lineage = inventory.lineage
        if to is None and any(lineage.contains(first) or first.epoch > lineage.present for first in unknown):
            raise _StartOver("another server saved entries meanwhile")
        entry = self._first_entry(number, end)
        await self._move_head(inventory, to, entry, end)
        await self._store_first(inventory, entry)
        given_up = (*void, *end.void)
        for item in given_up:
            log.warning("entries_void", first=str(item.first), last=str(item.last), entries=item.entries)
        log.warning("recovered", epoch=number, accepted=str(end.last.sequence), from_etcd=len(end.tail), cause=cause)
        return Recovered(number, end.last.sequence, won=True, void=given_up)

    async def _given_up(self, inventory: Inventory, to: LogSequence) -> tuple[OrphanedEntries, ...]:
        """Return the entries that a restore makes void, as far as they are known."""
        lineage = inventory.lineage
        # Counter 0 is the state before the first entry: of an import, which began with a manifest.
        if not lineage.contains(to) or (to.counter == 0 and to not in inventory.manifests):
            raise FailedPrecondition(
                f"{to} is not part of the present history, which is that of the epochs"
                f" {', '.join(str(epoch) for epoch in lineage.epochs)}; `sluice db status` shows it",
                reason="SEQUENCE_UNKNOWN",
            )
        known = [first for first in inventory.firsts if lineage.contains(first)]
        last = known[-1] if known else to
        try:
            segment = await self._stores.segments.last(lineage)
            last = segment.last if segment is not None else last
        except NotFound as error:
            raise _StartOver(f"the storage was cleaned meanwhile: {error.message}") from error
        except DataLoss as error:
            log.warning("segment_damaged", error=str(error))  # what is given up may be damaged
        if inventory.head is not None and lineage.contains(inventory.head.sequence):
            last = max(last, inventory.head.sequence)
        return tuple(
            OrphanedEntries(first, end, end.counter - first.counter + 1)
            for first, end in lineage.between(to, max(last, to))
        )

    async def _store_tail(self, inventory: Inventory, end: HistoryEnd) -> None:
        """Put the entries that only etcd has into segments."""
        total = end.last.total_bytes - sum(len(entry.raw) for entry in end.tail)
        for part in _parts(end.tail, self._settings.flush_bytes):
            total += sum(len(entry.raw) for entry in part)
            with crash_points("recover.tail"):
                if not await self._put_segment(part, total, inventory):
                    raise _StartOver("another server flushed meanwhile")

    async def _put_segment(self, entries: Sequence[LogEntry], total_bytes: int, inventory: Inventory) -> bool:
        writer, database_id = self._settings.server_id, inventory.database_id
        return await self._stores.segments.put_entries(
            entries, total_bytes=total_bytes, writer=writer, database_id=database_id
        )

    def _first_entry(self, number: int, end: HistoryEnd) -> LogEntry:
        return encode_entry(
            log_pb2.Batch(),
            sequence=LogSequence(number, 1),
            batch_id=os.urandom(16),
            writer=self._settings.server_id,
            time_us=max(micros(self._clock.now()), end.last.time_us),
            previous_digest=end.last.digest,
            compressor=zstandard.ZstdCompressor(level=1),
        )

    async def _move_head(self, inventory: Inventory, to: LogSequence | None, entry: LogEntry, end: HistoryEnd) -> None:
        zero, flushed = first_marks(inventory.database_id, epoch=entry.sequence.epoch, digest=end.last.digest)
        head = HeadMark.after(zero, entry)
        known = inventory.head
        if to is not None:
            # The end is chosen, so entries that came meanwhile are given up too.
            known = (await self._stores.log.identify())[0].head
            if _epoch(known) != _epoch(inventory.head):
                raise _StartOver("the head is in another epoch now")
        backoff = Backoff()
        limit = self._clock.monotonic() + self._settings.recovery_wait.total_seconds()
        while True:
            try:
                with crash_points("recover.head"):
                    done = await self._stores.log.begin_epoch(
                        known, entry, head, flushed, end.checkpoint, cleaned=inventory.cleaned
                    )
                # Although refused now, it may have been applied when it was sent before. Only this server writes this
                # epoch's head.
                if done or _epoch((await self._stores.log.identify())[0].head) == entry.sequence.epoch:
                    return
            except (OutcomeUnknown, Unavailable) as error:
                # Send the same transaction again: it compares the head, so it is applied at most once.
                if self._clock.monotonic() > limit:
                    raise Unavailable(
                        f"etcd does not respond; epoch {entry.sequence.epoch} may have begun. Retry: {error}"
                    ) from error
                log.warning("recovery_in_doubt", error=str(error))
            else:
                raise _StartOver("the head moved meanwhile, or a cleaner began to delete")
            await backoff.wait()

    async def _store_first(self, inventory: Inventory, entry: LogEntry) -> None:
        try:
            with crash_points("recover.segment"):
                await self._put_segment([entry], len(entry.raw), inventory)
        except SluicewayError as error:
            log.warning("first_entry_not_stored", error=str(error))  # the flusher stores it

    async def _wait_for_head(self, number: int) -> None:
        """Wait until the epoch of another server has its head, at most `recovery_wait`: it may have crashed."""
        limit = self._clock.monotonic() + self._settings.recovery_wait.total_seconds()
        backoff = Backoff()
        while self._clock.monotonic() < limit:
            in_etcd, _ = await self._stores.log.identify()
            if in_etcd.head is not None and in_etcd.head.sequence.epoch >= number:
                return
            await backoff.wait()


def _in_use(by: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"the object storage is in use: {by}. Is this the right etcd? End that server first, or force this",
        reason="STORAGE_IN_USE",
    )


def _epoch(head: HeadMark | None) -> int:
    return 0 if head is None else head.sequence.epoch


def _parts(entries: Sequence[LogEntry], limit: int) -> list[list[LogEntry]]:
    """Split entries of one epoch into pieces of about `limit` bytes."""
    parts: list[list[LogEntry]] = []
    size = 0
    for entry in entries:
        size += len(entry.raw)
        if not parts or size > limit:
            parts.append([])
            size = len(entry.raw)
        parts[-1].append(entry)
    return parts
