"""The log in etcd.

    <prefix>/db/head            the newest entry; compared by value when the next one is appended
    <prefix>/db/log/<sequence>  the entries that are not deleted yet
    <prefix>/db/flushed         the watermark of what the object storage has
    <prefix>/db/checkpoint      the newest manifest; a hint that saves listing
    <prefix>/db/cleaned         the watermark of garbage collection

Every response is checked: it must come from the etcd cluster of the epoch object, and etcd's revision never decreases.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from google.protobuf.message import DecodeError

from sluiceway.records.log.v1 import log_pb2
from sluiceway.records.storage.v1 import storage_pb2
from sluiceway_common.foundation.errors import DataLoss
from sluiceway_server.datamanager.log.entries import (
    GENESIS_DIGEST,
    LogEntry,
    decode_entries,
    decode_entry,
    from_sequence_proto,
    sequence_proto,
)
from sluiceway_server.datamanager.model import LogSequence, Position
from sluiceway_server.datamanager.port import DatabaseLost
from sluiceway_server.kv.port import (
    Compare,
    DeleteKey,
    DeleteRange,
    Get,
    KeyValue,
    KeyValueStore,
    PutKey,
    Range,
    Read,
    TxnResult,
    Write,
)

M = TypeVar("M", "HeadMark", "FlushMark")

_ENTRIES_AT_ONCE = 64
_DECODED_HERE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class HeadMark:
    """The value of `head`, encoded and decoded."""

    raw: bytes
    sequence: LogSequence
    batch_id: bytes
    writer: str
    total_bytes: int
    digest: bytes
    transactions: int

    @property
    def position(self) -> Position:
        return Position(self.sequence, max(self.transactions - 1, 0))

    @staticmethod
    def parse(raw: bytes) -> HeadMark:
        head = log_pb2.Head.FromString(raw)
        return HeadMark(
            raw=raw,
            sequence=from_sequence_proto(head.sequence),
            batch_id=head.batch_id,
            writer=head.writer,
            total_bytes=head.total_bytes,
            digest=head.digest,
            transactions=head.transactions,
        )

    @staticmethod
    def after(before: HeadMark, entry: LogEntry) -> HeadMark:
        return HeadMark.parse(
            log_pb2.Head(
                sequence=sequence_proto(entry.sequence),
                batch_id=entry.batch_id,
                writer=entry.writer,
                total_bytes=before.total_bytes + len(entry.raw),
                digest=entry.digest,
                transactions=entry.transactions,
            ).SerializeToString()
        )


@dataclass(frozen=True, slots=True)
class FlushMark:
    """The value of `flushed`, encoded and decoded."""

    raw: bytes
    sequence: LogSequence
    total_bytes: int
    digest: bytes
    first_kept: LogSequence
    database_id: str

    @staticmethod
    def parse(raw: bytes) -> FlushMark:
        mark = log_pb2.Flushed.FromString(raw)
        sequence = from_sequence_proto(mark.sequence)
        return FlushMark(
            raw=raw,
            sequence=sequence,
            total_bytes=mark.total_bytes,
            digest=mark.digest,
            first_kept=LogSequence(sequence.epoch, mark.first_kept_counter),
            database_id=mark.database_id,
        )


def first_marks(database_id: str, *, epoch: int = 1, digest: bytes = GENESIS_DIGEST) -> tuple[HeadMark, FlushMark]:
    """Return the head and `flushed` before the first entry of an epoch, which follows from the entry with a digest."""
    start = log_pb2.Sequence(epoch=epoch)
    head = log_pb2.Head(sequence=start, digest=digest)
    flushed = log_pb2.Flushed(sequence=start, digest=digest, first_kept_counter=1, database_id=database_id)
    return HeadMark.parse(head.SerializeToString()), FlushMark.parse(flushed.SerializeToString())


@dataclass(frozen=True, slots=True)
class ManifestMark:
    """The value of `cleaned` or `checkpoint`, which names a manifest, encoded and decoded. None: there is none."""

    raw: bytes | None
    sequence: LogSequence | None

    @staticmethod
    def parse(raw: bytes | None) -> ManifestMark:
        if raw is None:
            return ManifestMark(None, None)
        return ManifestMark(raw, from_sequence_proto(storage_pb2.Checkpoint.FromString(raw).sequence))


@dataclass(frozen=True, slots=True)
class LogLook:
    """A response of etcd.

    Attributes:
        succeeded: an append was applied; then only the revision is set.
        entries: some from the requested one on; they may begin later if entries were deleted.
    """

    succeeded: bool
    revision: int
    head: HeadMark | None = None
    flushed: FlushMark | None = None
    entries: tuple[LogEntry, ...] = ()


class Log:
    """The log. Raises what `KeyValueStore` raises, and `DatabaseLost` if etcd was wiped, restored or replaced."""

    def __init__(self, kv: KeyValueStore, *, prefix: str, timeout: timedelta) -> None:
        self._kv = kv
        self._timeout = timeout
        self._revision = 0
        self._cluster_id: int | None = None
        self.head_key = f"{prefix}/db/head"
        self.flushed_key = f"{prefix}/db/flushed"
        self.checkpoint_key = f"{prefix}/db/checkpoint"
        self.cleaned_key = f"{prefix}/db/cleaned"
        self._folder = f"{prefix}/db/log/"

    def expect_cluster(self, cluster_id: int) -> None:
        """Reject responses of any other etcd cluster from now on."""
        self._cluster_id = cluster_id

    async def identify(self) -> tuple[LogLook, int]:
        """Read head, flushed and the cluster id for the first time. One of the keys may be missing."""
        result = await self._txn(then=(self._marks(),))
        return await self._look(result), result.cluster_id

    async def entry(self, sequence: LogSequence) -> LogEntry | None:
        """Read one entry; None: it was deleted, or not written."""
        result = await self._txn(then=(Get(f"{self._folder}{sequence}"),))
        return decode_entry(result.reads[0][0].value) if result.reads[0] else None

    async def entries(self, first: LogSequence) -> AsyncIterator[LogEntry]:
        """Yield the entries of an epoch from one on, in order. Gaps are not detected."""
        while True:
            result = await self._txn(then=(self._entries(first),))
            found = await _decoded(result.reads[0])
            for entry in found:
                yield entry
            if len(found) < _ENTRIES_AT_ONCE:
                return
            first = found[-1].sequence.next()

    async def begin_epoch(
        self,
        known: HeadMark | None,
        entry: LogEntry,
        head: HeadMark,
        flushed: FlushMark,
        checkpoint: LogSequence | None,
        *,
        cleaned: ManifestMark,
    ) -> bool:
        """Begin an epoch with its first entry, if head and `cleaned` have not changed; return whether it was done.

        One transaction writes head, flushed, the entry and the checkpoint, and deletes all other entries. It succeeds
        at most once, so it may be sent again after an unknown outcome.
        """
        first = entry.sequence
        result = await self._txn(
            compare=(
                Compare(self.head_key, None if known is None else known.raw),
                Compare(self.cleaned_key, cleaned.raw),
            ),
            then=(
                DeleteRange(self._folder, f"{self._folder}{first}"),
                DeleteRange(f"{self._folder}{first.next()}", f"{self._folder[:-1]}0"),
                PutKey(f"{self._folder}{first}", entry.raw),
                PutKey(self.flushed_key, flushed.raw),
                DeleteKey(self.checkpoint_key) if checkpoint is None else self.put_checkpoint(checkpoint),
                PutKey(self.head_key, head.raw),
            ),
        )
        return result.succeeded

    async def begin(self, head: HeadMark, flushed: FlushMark) -> None:
        """Write the first head of a database, unless there is one."""
        await self._txn(compare=(Compare(self.head_key, None),), then=self.first_keys(head, flushed))

    def first_keys(self, head: HeadMark, flushed: FlushMark) -> tuple[Write, ...]:
        """Return the writes that begin a database. A `cleaned` that exists is of a database that was removed here."""
        return (
            PutKey(self.head_key, head.raw),
            PutKey(self.flushed_key, flushed.raw),
            DeleteKey(self.cleaned_key),
        )

    def put_checkpoint(self, sequence: LogSequence) -> PutKey:
        return PutKey(self.checkpoint_key, _encoded(sequence))

    async def look(self, first: LogSequence | None = None) -> LogLook:
        """Read head, flushed and (with `first`) some entries of its epoch from there on. Linearizable."""
        reads: list[Read] = [self._marks()]
        if first is not None:
            reads.append(self._entries(first))
        result = await self._txn(then=reads)
        return _both_or_neither(await self._look(result))

    async def append(self, known: HeadMark, entry: LogEntry, head: HeadMark) -> LogLook:
        """Append an entry if the head is still the known one; otherwise return what is newer."""
        result = await self._txn(
            compare=(Compare(self.head_key, known.raw),),
            then=(PutKey(f"{self._folder}{entry.sequence}", entry.raw), PutKey(self.head_key, head.raw)),
            otherwise=(self._marks(), self._entries(known.sequence.next())),
        )
        if result.succeeded:
            return LogLook(succeeded=True, revision=result.revision)
        return _both_or_neither(await self._look(result))

    async def advance_flushed(self, known: FlushMark, new: FlushMark) -> FlushMark:
        """Move `flushed`, if it is still the known one, and delete the entries before its `first_kept`.

        Returns:
            The value now.
        """
        writes: list[Write | Read] = [PutKey(self.flushed_key, new.raw)]
        if new.first_kept > known.first_kept:
            writes.append(DeleteRange(f"{self._folder}{known.first_kept}", f"{self._folder}{new.first_kept}"))
        result = await self._txn(
            compare=(Compare(self.flushed_key, known.raw),), then=writes, otherwise=(Get(self.flushed_key),)
        )
        if result.succeeded:
            return new
        if not result.reads[0]:
            raise DatabaseLost(
                f"etcd lost {self.flushed_key} while this server was running: it was wiped or restored",
                reason="ETCD_CHANGED",
            )
        return self.read_flushed(result.reads[0][0].value)

    def read_head(self, raw: bytes) -> HeadMark:
        """Decode the value of `head`. Raise `DataLoss` (`ETCD_DAMAGED`) if it is not valid."""
        return _checked(self.head_key, HeadMark.parse, raw)

    def read_flushed(self, raw: bytes) -> FlushMark:
        """Decode the value of `flushed`. Raise `DataLoss` (`ETCD_DAMAGED`) if it is not valid."""
        return _checked(self.flushed_key, FlushMark.parse, raw)

    async def checkpoint(self) -> LogSequence | None:
        """Read the sequence of the newest manifest: a hint, which may be behind, absent or outside the history."""
        return (await self._checkpoint()).sequence

    async def advance_checkpoint(self, sequence: LogSequence) -> LogSequence:
        """Move `checkpoint` to a manifest, unless it is newer already; return its value."""
        while True:
            known = await self._checkpoint()
            if known.sequence is not None and known.sequence >= sequence:
                return known.sequence
            compare = (Compare(self.checkpoint_key, known.raw),)
            if (await self._txn(compare=compare, then=(self.put_checkpoint(sequence),))).succeeded:
                return sequence

    async def _checkpoint(self) -> ManifestMark:
        raw = await self._get(self.checkpoint_key)
        try:
            return ManifestMark.parse(raw)
        except DecodeError:
            return ManifestMark(raw, None)  # an unknown value is no hint, and is overwritten

    async def cleaned(self) -> ManifestMark:
        """Read the watermark of garbage collection: objects older than this manifest may be deleted.

        Raises `DataLoss` if it cannot be decoded.
        """
        raw = await self._get(self.cleaned_key)
        try:
            return ManifestMark.parse(raw)
        except DecodeError as cause:
            raise DataLoss(
                f"the key {self.cleaned_key} in etcd is damaged: somebody else changed it. It says how far back the"
                " database can still be restored; delete the key when no server runs"
            ) from cause

    async def advance_cleaned(self, known: FlushMark, sequence: LogSequence) -> bool:
        """Move `cleaned` to a manifest, if `flushed` is still the known one; return whether it is there or after it.

        Each epoch begins with another `flushed`, so this fails in an epoch that the caller does not know.
        """
        mark = await self.cleaned()
        if mark.sequence is not None and mark.sequence >= sequence:
            return True
        result = await self._txn(
            compare=(Compare(self.flushed_key, known.raw), Compare(self.cleaned_key, mark.raw)),
            then=(PutKey(self.cleaned_key, _encoded(sequence)),),
        )
        return result.succeeded

    async def _get(self, key: str) -> bytes | None:
        (found,) = (await self._txn(then=(Get(key),))).reads
        return found[0].value if found else None

    async def _look(self, result: TxnResult) -> LogLook:
        marks, *more = result.reads
        values = {item.key: item.value for item in marks}
        head, flushed = values.get(self.head_key), values.get(self.flushed_key)
        return LogLook(
            succeeded=False,
            revision=result.revision,
            head=None if head is None else self.read_head(head),
            flushed=None if flushed is None else self.read_flushed(flushed),
            entries=tuple(await _decoded(more[0])) if more else (),
        )

    def _marks(self) -> Range:
        # Next to each other, so that one range reads both.
        return Range(self.flushed_key, f"{self.head_key}\0")

    def _entries(self, first: LogSequence) -> Range:
        return Range(f"{self._folder}{first}", f"{self._folder}{LogSequence(first.epoch + 1, 0)}", _ENTRIES_AT_ONCE)

    async def _txn(
        self,
        *,
        compare: Sequence[Compare] = (),
        then: Sequence[Write | Read] = (),
        otherwise: Sequence[Write | Read] = (),
    ) -> TxnResult:
        before = self._revision
        result = await self._kv.txn(compare=compare, then=then, otherwise=otherwise, timeout=self._timeout)
        if self._cluster_id is not None and result.cluster_id != self._cluster_id:
            raise DatabaseLost(
                f"etcd cluster {result.cluster_id:x} responded, and this database is in cluster {self._cluster_id:x}:"
                " an endpoint is wrong, or etcd was set up again",
                reason="ETCD_CHANGED",
            )
        # Responses may overtake each other, but none may be older than what was known at its request.
        if result.revision < before:
            raise DatabaseLost(
                f"etcd went back from revision {before} to {result.revision}: it was wiped or restored from a snapshot",
                reason="ETCD_CHANGED",
            )
        self._revision = max(self._revision, result.revision)
        return result


def _encoded(sequence: LogSequence) -> bytes:
    return storage_pb2.Checkpoint(sequence=sequence_proto(sequence)).SerializeToString()


async def _decoded(found: Sequence[KeyValue]) -> list[LogEntry]:
    raws = [item.value for item in found]
    # A hop to a thread costs more than decoding small entries.
    if sum(map(len, raws)) <= _DECODED_HERE_BYTES:
        return decode_entries(raws)
    return await asyncio.to_thread(decode_entries, raws)


def _checked(key: str, parse: Callable[[bytes], M], raw: bytes) -> M:
    cause: DecodeError | None = None
    try:
        mark = parse(raw)
        if mark.sequence.epoch > 0 and len(mark.digest) == len(GENESIS_DIGEST):
            return mark
    except DecodeError as error:
        cause = error
    raise DataLoss(
        f"the key {key} in etcd has a value that no server writes: somebody else changed it, or another program uses"
        " this prefix. Restore etcd from a snapshot; or stop the servers, delete the key, and run `sluice db recover`",
        reason="ETCD_DAMAGED",
    ) from cause


def _both_or_neither(look: LogLook) -> LogLook:
    if (look.head is None) != (look.flushed is None):
        raise DatabaseLost(
            "etcd has only one of the keys head and flushed of this database; somebody else changed them."
            " Restore etcd, or recover from the object storage with `sluice db recover`",
            reason="ETCD_CHANGED",
        )
    return look
