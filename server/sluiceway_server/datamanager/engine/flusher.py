"""Flush: copy the log from etcd into segments in the object storage.

One step puts a segment of contiguous entries, if there is none that begins there; then one etcd transaction moves
`flushed` and deletes the entries from etcd that nobody needs there any more. A crash between the two leaves a segment
that the next flusher finds; two flushers find each other's segments. The server that wrote the newest entry flushes;
any other does when two intervals have passed without it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from sluiceway.records.log.v1 import log_pb2
from sluiceway_common.foundation.crashpoints import crash_points, declare_effects
from sluiceway_common.foundation.errors import DataLoss, DeadlineExceeded, NotFound, PermissionDenied, Unavailable
from sluiceway_server.datamanager.engine.log_tip import Diverged, LogTip
from sluiceway_server.datamanager.log.entries import LogEntry, decode_entries, from_sequence_proto, sequence_proto
from sluiceway_server.datamanager.log.etcd_log import FlushMark
from sluiceway_server.datamanager.log.walk import Gap, LogEnd
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.port import DatabaseLost
from sluiceway_server.datamanager.recovery.diagnosis import stored_end
from sluiceway_server.datamanager.replica.readers import Readers
from sluiceway_server.datamanager.waiting import Backoff, Unchanged, in_time, jittered

log = structlog.get_logger(__name__)

_LOOK_AHEAD_SECONDS = 30.0

declare_effects("flush.segment", "flush.advance")


class Flusher:
    """See the module. `run` is its loop."""

    def __init__(self, tip: LogTip, readers: Readers) -> None:
        self._tip = tip
        self._readers = readers
        self._lock = asyncio.Lock()
        self._checked = LogSequence(0, 0)  # the storage is known to have the log up to here
        self._newest: LogSequence | None = None
        self._looked_ahead = -_LOOK_AHEAD_SECONDS

    async def run(self) -> None:
        """Flush whenever it is due and this server's turn. Retries while the storage is away or refuses access."""
        tip = self._tip
        interval = tip.settings.flush_interval.total_seconds()
        backoff = Backoff()
        behind = Unchanged()
        while True:
            await in_time(interval, tip.flush_due.wait())
            tip.flush_due.clear()
            is_behind = tip.applied.value.sequence > tip.flushed.sequence
            waited = behind.seconds((tip.flushed.sequence, is_behind), tip.clock.monotonic())
            patience = 1.5 * interval + jittered(interval)
            if not is_behind or (tip.head.writer != tip.settings.server_id and waited < patience):
                continue
            try:
                while await self.flush_once():
                    pass
                tip.flush_error = ""
                backoff.reset()
            # Credentials expire, rights are revoked, a disk is remounted read-only: an operator repairs that.
            except (Unavailable, DeadlineExceeded, PermissionDenied) as error:
                tip.flush_error = str(error)
                log.warning("flush_waits", unflushed_bytes=tip.unflushed_bytes, error=str(error))
                await backoff.wait()

    async def flush_all(self) -> None:
        while self._tip.applied.value.sequence > self._tip.flushed.sequence and await self.flush_once():
            pass

    async def flush_once(self) -> bool:
        """Flush one segment; return whether a full one, or more, still waits.

        Raises:
            Unavailable: the object storage or etcd is away. Nothing is lost; retry.
            DataLoss: the storage holds a segment that is damaged or of another history.
            DatabaseLost: etcd, or the end of the log in the storage, is not what it was.
        """
        async with self._lock:
            known = self._tip.flushed
            entries = await self._entries_after(known)
            if not entries:
                return False
            await self._check_storage(known)
            mark = await self._store(known, entries)
            with crash_points("flush.advance"):
                now = await self._tip.log.advance_flushed(known, mark)
            self._tip.note_flushed(now)
            if now.raw == mark.raw:
                self._checked, self._newest = mark.sequence, entries[0].sequence
            log.debug("flushed", first=str(entries[0].sequence), last=str(mark.sequence), bytes=mark.total_bytes)
            settings = self._tip.settings
            size = mark.total_bytes - known.total_bytes
            return size >= settings.flush_bytes // 2 or len(entries) >= settings.flush_entries

    async def _entries_after(self, known: FlushMark) -> list[LogEntry]:
        settings = self._tip.settings
        entries = await self._readers.raw(
            lambda database: decode_entries(
                database.entries_after(known.sequence, limit=settings.flush_entries, max_bytes=settings.flush_bytes)
            )
        )
        if not entries:
            return []
        if entries[0].sequence != known.sequence.next():
            raise DataLoss(
                f"this server's read database lacks the log entry {known.sequence.next()}; delete it and start again"
            )
        if entries[0].previous_digest != known.digest:
            raise Diverged(f"the log entry {entries[0].sequence} does not follow from what the object storage has")
        return entries

    async def _check_storage(self, known: FlushMark) -> None:
        """Check that the storage ends where `flushed` says: the next segment has to follow from what is there.

        The check reads the newest segment, so it is made when another server has flushed. In between, it is enough that
        this server's own last segment exists: the storage was not exchanged and did not go back.
        """
        tip = self._tip
        await self._check_epoch()
        if self._newest is not None and self._checked == known.sequence and await tip.segments.exists(self._newest):
            return
        newest = None
        with suppress(NotFound):
            newest = await tip.segments.last(tip.lineage)  # lists new segments only
        if newest is None or newest.last != known.sequence or newest.digest != known.digest:
            await self._check_whole(known)
        self._checked, self._newest = known.sequence, None

    async def _check_whole(self, known: FlushMark) -> None:
        """Check all segments and manifests: `flushed` may be behind, or a manifest be newer than the segments.

        That is rare, and has to be: listing the segments of a day takes a hundred requests with S3.
        """
        tip = self._tip
        end = await stored_end(tip.stores, tip.lineage)
        end = end or LogEnd.beginning(tip.lineage)
        if end.sequence == known.sequence and end.digest != known.digest:
            raise Diverged(
                f"the object storage has another entry {end.sequence} than etcd; nothing is flushed any more"
            )
        if end.sequence < known.sequence and known.sequence.counter > 0:
            gap = Gap(end.sequence, end.where, tip.lineage.following(end.sequence), known.sequence, "etcd")
            raise DatabaseLost(f"segments are gone, or it is another folder or bucket: {gap}", reason="LOG_GAP")

    async def _check_epoch(self) -> None:
        """Check now and then that nobody recovered the database with another etcd; this server's etcd does not know."""
        tip = self._tip
        now = tip.clock.monotonic()
        if now - self._looked_ahead < _LOOK_AHEAD_SECONDS:
            return
        if newer := await tip.segments.newer(LogSequence(tip.lineage.present + 1, 0)):
            raise DatabaseLost(
                f"the object storage has entries of epoch {newer[-1].epoch}, and etcd is in epoch"
                f" {tip.lineage.present}: somebody recovered the database, with another etcd",
                reason="EPOCH_CHANGED",
            )
        self._looked_ahead = now

    async def _store(self, known: FlushMark, entries: list[LogEntry]) -> FlushMark:
        tip = self._tip
        first, last = entries[0].sequence, entries[-1]
        total = known.total_bytes + sum(len(entry.raw) for entry in entries)
        with crash_points("flush.segment"):
            stored = await tip.segments.put_entries(
                entries, total_bytes=total, writer=tip.settings.server_id, database_id=tip.database_id
            )
        if stored:
            return self._mark(known, last.sequence, total, last.digest)
        try:
            found = await tip.segments.read(first)
        except NotFound as cause:
            raise Unavailable(f"the segment {tip.segments.key(first)} was there a moment ago") from cause
        header = found.header
        mine = {entry.sequence: entry.digest for entry in entries}
        theirs = found.entries[-1]
        if header.previous_digest != known.digest or mine.get(theirs.sequence, theirs.digest) != theirs.digest:
            raise Diverged(
                f"the object storage has another segment {tip.segments.key(first)} than this log: two databases use"
                " one folder, or etcd was restored; nothing is flushed any more"
            )
        return self._mark(known, from_sequence_proto(header.last), header.total_bytes, header.digest)

    def _mark(self, known: FlushMark, last: LogSequence, total: int, digest: bytes) -> FlushMark:
        keep_from = max(last.counter - self._tip.settings.keep_log_entries + 1, known.first_kept.counter)
        mark = log_pb2.Flushed(
            sequence=sequence_proto(last),
            total_bytes=total,
            digest=digest,
            first_kept_counter=keep_from,
            database_id=self._tip.database_id,
        )
        return FlushMark.parse(mark.SerializeToString())
