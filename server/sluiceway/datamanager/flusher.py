"""Flush: the log goes from etcd into segments in the object storage.

One step puts a segment of contiguous entries, if there is none that begins there; then one etcd transaction moves
`flushed` and deletes the entries from etcd that nobody needs there any more. A crash between the two leaves a segment
that the next flusher finds; two flushers find each other's segments. The duty is of the server that wrote the newest
entry; any other takes it when two intervals have passed without it.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import structlog

from sluiceway.datamanager.core import Core, Diverged
from sluiceway.datamanager.entries import LogEntry, decode_entry, from_sequence_proto, sequence_proto
from sluiceway.datamanager.log import FlushMark
from sluiceway.datamanager.model import LogSequence
from sluiceway.datamanager.readers import Readers
from sluiceway.datamanager.segments import encode_segment
from sluiceway.datamanager.waiting import Backoff
from sluiceway.foundation.errors import DataLoss, DeadlineExceeded, NotFound, Unavailable
from sluiceway.records.log.v1 import log_pb2

__all__ = ["Flusher"]

log = structlog.get_logger(__name__)


class Flusher:
    """See the module. `run` is its loop."""

    def __init__(self, core: Core, readers: Readers) -> None:
        self._core = core
        self._readers = readers
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Flush whenever it is due and ours to do. An object storage that is away is asked again and again."""
        core = self._core
        interval = core.settings.flush_interval.total_seconds()
        backoff = Backoff()
        behind_since: tuple[LogSequence, float] | None = None
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await core.flush_due.wait()
            core.flush_due.clear()
            if core.applied.value.sequence <= core.flushed.sequence:
                behind_since = None
                continue
            now = core.clock.monotonic()
            if behind_since is None or behind_since[0] != core.flushed.sequence:
                behind_since = (core.flushed.sequence, now)
            patience = interval * (2 + random.random())  # noqa: S311 - jitter, not a secret
            if core.head.writer != core.settings.server_id and now - behind_since[1] < patience:
                continue
            try:
                while await self.flush_once():
                    pass
                backoff.reset()
            except (Unavailable, DeadlineExceeded) as error:
                log.warning("flush_waits", unflushed_bytes=core.unflushed_bytes, error=str(error))
                await backoff.wait()

    async def flush_all(self) -> None:
        """Flush all that is applied."""
        while self._core.applied.value.sequence > self._core.flushed.sequence and await self.flush_once():
            pass

    async def flush_once(self) -> bool:
        """Flush one segment; tells whether a full one, or more, waits still.

        Raises:
            Unavailable: the object storage or etcd is away. Nothing is lost; do it again.
            DataLoss: the storage holds a segment that is damaged or of another history.
        """
        async with self._lock:
            known = self._core.flushed
            entries = await self._entries_after(known)
            if not entries:
                return False
            mark = await self._store(known, entries)
            self._core.note_flushed(await self._core.log.advance_flushed(known, mark))
            log.debug("flushed", first=str(entries[0].sequence), last=str(mark.sequence), bytes=mark.total_bytes)
            settings = self._core.settings
            size = mark.total_bytes - known.total_bytes
            return size >= settings.flush_bytes // 2 or len(entries) >= settings.flush_entries

    async def _entries_after(self, known: FlushMark) -> list[LogEntry]:
        settings = self._core.settings
        entries = await self._readers.raw(
            lambda database: [
                decode_entry(raw)
                for raw in database.entries_after(
                    known.sequence, limit=settings.flush_entries, max_bytes=settings.flush_bytes
                )
            ]
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

    async def _store(self, known: FlushMark, entries: list[LogEntry]) -> FlushMark:
        core = self._core
        first, last = entries[0].sequence, entries[-1]
        total = known.total_bytes + sum(len(entry.raw) for entry in entries)
        writer = core.settings.server_id
        body = await asyncio.to_thread(encode_segment, entries, total_bytes=total, writer=writer)
        if await core.segments.put(first, body):
            return self._mark(known, last.sequence, total, last.digest)
        try:
            found = await core.segments.read(first)
        except NotFound as cause:
            raise Unavailable(f"the segment {core.segments.key(first)} was there a moment ago") from cause
        header = found.header
        mine = {entry.sequence: entry.digest for entry in entries}
        theirs = found.entries[-1]
        if header.previous_digest != known.digest or mine.get(theirs.sequence, theirs.digest) != theirs.digest:
            raise Diverged(
                f"the object storage has another segment {core.segments.key(first)} than this log: two databases use"
                " one folder, or etcd was restored; nothing is flushed any more"
            )
        return self._mark(known, from_sequence_proto(header.last), header.total_bytes, header.digest)

    def _mark(self, known: FlushMark, last: LogSequence, total: int, digest: bytes) -> FlushMark:
        keep_from = max(last.counter - self._core.settings.keep_log_entries + 1, known.first_kept.counter)
        mark = log_pb2.Flushed(
            sequence=sequence_proto(last), total_bytes=total, digest=digest, first_kept_counter=keep_from
        )
        return FlushMark.parse(mark.SerializeToString())
