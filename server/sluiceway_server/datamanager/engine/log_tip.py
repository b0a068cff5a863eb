"""The tip of the log, as this server knows it; shared by committer, follower, flusher and readers.

Three positions, each behind or at the one before:

    newest    the last entry that is known to be committed; subscribers see up to here, the next batch follows it
    applied   the last one in the replica
    flushed   the last one in the object storage

`newest` moves only under `lock`, by a commit of this server or by catching up with other servers. Both put the entry
into the state's inbox, and one loop writes what is there into SQLite: at once when a read waits for it (every read
waits for the entry that was the newest), else a little later, so that many small entries share a SQLite transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import DataLoss, Unavailable
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.datamanager.engine.write_state import Batch, State, decode
from sluiceway_server.datamanager.engine.writer_fairness import WriterFairness
from sluiceway_server.datamanager.log.entries import LogEntry, from_micros, micros
from sluiceway_server.datamanager.log.etcd_log import FlushMark, HeadMark, LogLook
from sluiceway_server.datamanager.log.walk import Gap
from sluiceway_server.datamanager.model import LogSequence, Position
from sluiceway_server.datamanager.port import DatabaseLost, Seen
from sluiceway_server.datamanager.recovery.diagnosis import OpenPoint
from sluiceway_server.datamanager.replica.readers import Readers
from sluiceway_server.datamanager.replica.rebuild import ReplicaFile
from sluiceway_server.datamanager.replica.replica import AppliedUpTo
from sluiceway_server.datamanager.replica.subscriptions import Subscriptions
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.tables.stores import Stores
from sluiceway_server.datamanager.waiting import Mark, in_time

log = structlog.get_logger(__name__)

_INBOX_LIMIT = 64
_APPLY_WITHIN_SECONDS = 0.02


class Diverged(DataLoss):
    """What this server has applied is not a beginning of the log."""

    reason = "LOG_DIVERGED"


class LogTip:
    """See the module. Used by the event loop's thread; `in_writer` runs functions in the one thread of `state`."""

    def __init__(
        self,
        *,
        stores: Stores,
        open_point: OpenPoint,
        state: State,
        file: ReplicaFile,
        readers: Readers,
        settings: DataManagerSettings,
        clock: Clock,
        applied: AppliedUpTo,
    ) -> None:
        self.stores = stores
        self.log = stores.log
        self.segments = stores.segments
        self.lineage = open_point.lineage
        self.database_id = open_point.epoch.database_id
        self.state = state
        self.settings = settings
        self.clock = clock
        self.in_writer = file.in_writer
        self.catalogue = file.tables.catalogue
        self.subscriptions = Subscriptions(
            readers,
            self.catalogue,
            segments=stores.segments,
            lineage=self.lineage,
            position=applied.position,
            wait_applied=self.wait_applied,
            ring_bytes=settings.ring_bytes,
            subscriber_bytes=settings.subscriber_bytes,
        )
        # Moved under `lock`: by commits of this server, and by `catch_up`.
        self.lock = asyncio.Lock()
        self.newest = applied
        self.newest_sequence: Mark[LogSequence] = Mark(applied.position.sequence)
        self.head = open_point.head
        self.fairness = WriterFairness(settings.server_id)
        # Moved by `note_flushed`: for the flusher, and when another server has flushed.
        self.flushed = open_point.flushed
        self.flushed_up_to: Mark[LogSequence] = Mark(open_point.flushed.sequence)
        self._flushed_at = clock.monotonic()
        state.flushed = open_point.flushed.sequence
        # Moved by `apply_once`.
        self.applied: Mark[Position] = Mark(applied.position)
        self._apply_due = asyncio.Event()
        self._apply_now = asyncio.Event()
        self._applying = asyncio.Lock()
        # Between the flusher and the committer: that a flush is due, and why this server's last one failed.
        self.flush_due = asyncio.Event()
        self.flush_error = ""
        # The last response of etcd; for the follower, which asks when there was none for a while.
        self.last_heard = clock.monotonic()
        self._lost: DatabaseLost | DataLoss | None = None
        self._is_lost = asyncio.Event()

    @property
    def unflushed_bytes(self) -> int:
        """Bytes of the log that the object storage does not have."""
        return max(self.head.total_bytes - self.flushed.total_bytes, 0)

    @property
    def next_sequence(self) -> LogSequence:
        """The sequence of the entry after the tip."""
        return self.lineage.following(self.newest.position.sequence)

    @property
    def seen(self) -> Seen:
        """The newest entry that this server knows to be committed."""
        return Seen(self.newest.position.sequence, self.newest.digest)

    def end(self) -> None:
        """Fail everything that waits for an entry of this database."""
        ended = Unavailable("this server stops, or lost its database; ask again, or another server", reason="STOPPING")
        self.applied.end(ended)
        self.flushed_up_to.end(ended)
        self.newest_sequence.end(ended)

    def lose(self, error: DatabaseLost | DataLoss) -> None:
        """End this database with an error: it cannot continue."""
        self._lost = self._lost or error
        self._is_lost.set()

    async def until_lost(self) -> None:
        """Wait for `lose`, and raise its error."""
        await self._is_lost.wait()
        if self._lost is not None:
            raise self._lost

    # -- moving `newest`; all of these need `lock`

    def append(self, batch: Batch, head: HeadMark) -> None:
        """Move the tip to a batch of this server that is in the log now."""
        self._take(batch)
        self.head = head
        self._check_backlog()

    async def catch_up(self, look: LogLook | None = None) -> LogLook:
        """Take in what other servers wrote, up to a head that was read after this was called.

        Args:
            look: what etcd has after the newest entry, if it was read already.

        Raises:
            DatabaseLost: etcd is not in the state it was in; reason `ETCD_CHANGED` or `EPOCH_CHANGED`.
            Diverged: an entry does not follow from the ones applied here.
            DataLoss: entries are missing.
            Unavailable: etcd or the object storage is away.
        """
        while True:
            if look is None:
                look = await self.log.look(self.next_sequence)
            head = self._checked_head(look)
            if look.flushed is not None:
                self.note_flushed(look.flushed)
            if head.sequence > self.newest.position.sequence:
                following = [entry for entry in look.entries if entry.sequence > self.newest.position.sequence]
                if following and following[0].sequence == self.next_sequence:
                    await self._accept(following)
                else:
                    await self._accept_segments(head)
            if head.sequence == self.newest.position.sequence:
                if head.digest != self.newest.digest:
                    raise Diverged(f"this server has another entry {head.sequence} than etcd")
                self.head = head
                self._check_backlog()
                return look
            look = None

    def _checked_head(self, look: LogLook) -> HeadMark:
        tip = self.newest.position.sequence
        if look.head is None:
            raise DatabaseLost(
                "etcd lost the head of this database while this server was running: it was wiped or restored",
                reason="ETCD_CHANGED",
            )
        self._check_epoch(look.head.sequence)
        if look.head.sequence < tip:
            raise DatabaseLost(
                f"etcd's log ends at {look.head.sequence}, and this server has seen {tip}: etcd went back",
                reason="ETCD_CHANGED",
            )
        return look.head

    def _check_epoch(self, sequence: LogSequence) -> None:
        own = self.lineage.present
        if sequence.epoch != own:
            raise DatabaseLost(
                f"the database is in epoch {sequence.epoch} now, and this server in {own}; start again",
                reason="EPOCH_CHANGED",
            )

    async def _accept(self, entries: Sequence[LogEntry]) -> None:
        expected, digest = self.next_sequence, self.newest.digest
        for entry in entries:
            if entry.sequence != expected:
                raise self._gap(entry.sequence)
            if entry.previous_digest != digest:
                raise Diverged(f"the log entry {entry.sequence} does not follow from what this server has applied")
            expected, digest = self.lineage.following(entry.sequence), entry.digest
        for batch in await self.in_writer(lambda: decode(entries, self.catalogue)):
            self._take(batch)
        if len(self.state.inbox) >= _INBOX_LIMIT:
            await self.apply_once()  # bounds memory when a whole database is read

    async def _accept_segments(self, head: HeadMark) -> None:
        before = self.newest.position.sequence
        async for segment in self.segments.after(before, self.lineage):
            await self._accept(segment.entries)
        if self.newest.position.sequence == before:
            # The log may have been trimmed after it was read and before the segment was looked for, not the reverse.
            raise self._gap(head.sequence)

    def _gap(self, after: LogSequence) -> DataLoss:
        return Gap(
            self.newest.position.sequence, "this server's read database", self.next_sequence, after, "etcd"
        ).error()

    def _take(self, batch: Batch) -> None:
        entry = batch.entry
        self.state.inbox.append(batch)
        self.newest = self.newest.plus(entry)
        self.fairness.wrote(entry.writer, self.clock.monotonic())
        self.newest_sequence.move(entry.sequence)
        self.subscriptions.publish(batch.transactions)
        self._apply_due.set()
        if len(self.state.inbox) >= _INBOX_LIMIT:
            self._apply_now.set()

    # -- the rest

    def note_flushed(self, mark: FlushMark) -> None:
        """Move `flushed`.

        Raises:
            DatabaseLost: it is of another epoch, so that this server's entries may be void.
        """
        self.last_heard = self.clock.monotonic()
        self._check_epoch(mark.sequence)
        if mark.sequence > self.flushed.sequence:
            self._flushed_at = self.last_heard
            self.flushed = mark
            self.state.flushed = mark.sequence
            self.flushed_up_to.move(mark.sequence)

    def _check_backlog(self) -> None:
        self.last_heard = self.clock.monotonic()
        if self.unflushed_bytes >= self.settings.flush_bytes:
            self.flush_due.set()

    def flush_soon(self) -> None:
        """Flush what is applied now, unless something was flushed within the interval.

        So a caller that waits for the object storage waits for one put and not for the interval, and there are no more
        segments than otherwise.
        """
        if self.clock.monotonic() - self._flushed_at >= self.settings.flush_interval.total_seconds():
            self.flush_due.set()

    async def apply_once(self) -> None:
        """Write what is committed into the replica."""
        self.state.now_us = micros(self.clock.now())
        self.state.keep_after_us = self.state.now_us - int(self.settings.history.total_seconds() * 1e6)
        async with self._applying:
            self.applied.move(await self.in_writer(self.state.apply))

    async def apply_forever(self) -> None:
        """Apply when a read waits, and otherwise soon after something is committed."""
        while True:
            await self._apply_due.wait()
            await in_time(_APPLY_WITHIN_SECONDS, self._apply_now.wait())
            self._apply_due.clear()
            self._apply_now.clear()
            await self.apply_once()

    async def wait_applied(self, position: Position) -> None:
        """Wait until reads see a position. Raises `Unavailable` after `position_wait`."""
        if self.applied.value >= position:
            return
        self._apply_now.set()
        limit = self.settings.position_wait.total_seconds()
        try:
            async with time_limit(limit):
                await self.applied.reach(position)
        except TimeoutError as cause:
            raise Unavailable(
                f"this server has not applied {position} within {limit:g} s; it is at {self.applied.value},"
                f" of {from_micros(self.newest.time_us):%Y-%m-%dT%H:%M:%SZ}",
                reason="POSITION_NOT_REACHED",
            ) from cause
