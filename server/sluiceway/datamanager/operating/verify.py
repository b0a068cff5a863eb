"""Verify: reads every object of a database and checks every checksum, and whether all of it fits together.

In this order, so that servers may write meanwhile and nothing is missed: what etcd says, the epoch objects, the
manifests, the segments, the entries in etcd, the files of all manifests, what nobody names. Something that is not there
is looked for again before it is called missing: the cleaner may have been at work, and it removes nothing that the
newest manifests need. A recovery meanwhile changes what the history is; verify says so then, and has to be run again.

Faults are what is missing or damaged, each with the object and what to do. Notes are what is as it may be: void
entries, files that nobody names, objects of names that are not ours.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sluiceway.datamanager.checkpoints.changes import Changes
from sluiceway.datamanager.checkpoints.checkpointer import files_of
from sluiceway.datamanager.files.datafiles import FileStore
from sluiceway.datamanager.files.manifests import ManifestStore
from sluiceway.datamanager.log.entries import Catalogue, LogEntry, decode_batch
from sluiceway.datamanager.log.epochs import EpochInfo, Epochs
from sluiceway.datamanager.log.etcdlog import FlushMark, HeadMark, Log
from sluiceway.datamanager.log.lineage import Lineage
from sluiceway.datamanager.log.segments import Segment, SegmentStore
from sluiceway.datamanager.model import LogSequence, RecordType
from sluiceway.datamanager.operating.verify_files import compare_manifests, faults_of_records
from sluiceway.datamanager.operating.verify_log import Finding, Gap, LogCheck, Mark, findings_of_entries
from sluiceway.datamanager.recovery.standing import Kind, Stores, judge, look
from sluiceway.foundation.errors import Conflict, DataLoss, DeadlineExceeded, NotFound, SluicewayError, Unavailable
from sluiceway.kv.port import KeyValueStore
from sluiceway.objectstorage.port import ObjectStorage
from sluiceway.records.storage.v1.storage_pb2 import Manifest

__all__ = ["Finding", "Progress", "Verifier"]

_FOLDERS = ("epoch", "wal", "data", "index", "manifest")
_READ_AHEAD = 8
_ATTEMPTS = 4
_PAUSE = timedelta(milliseconds=200)
_EPOCH_NAME = re.compile("[0-9a-f]{8}")
_OTHER_COPY = (
    "Restore the object from a copy of the object storage; if that says the same, it is a fault of the software"
)

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: objects and bytes read, and how many objects there are, as far as is known."""

    objects: int
    bytes: int
    all_objects: int


@dataclass(slots=True)
class _State:
    """What was found out so far."""

    sizes: dict[str, int] = field(default_factory=dict)
    head: HeadMark | None = None
    flushed: FlushMark | None = None
    present: int = 0
    epochs: Sequence[EpochInfo] = ()
    lineage: Lineage | None = None
    marks: dict[LogSequence, list[Mark]] = field(default_factory=dict)
    manifests: dict[LogSequence, Manifest] = field(default_factory=dict)
    objects: int = 0
    bytes: int = 0
    all_objects: int = 0


class Verifier:
    """See the module. `run` once."""

    def __init__(
        self,
        kv: KeyValueStore | None,
        storage: ObjectStorage,
        *,
        prefix: str,
        types: Sequence[RecordType[Any]],
        scratch: Path,
        etcd_name: str,
        now: Callable[[], datetime],
        timeout: timedelta,
    ) -> None:
        """Begin nothing yet.

        Args:
            kv: etcd; None: only the object storage is verified.
            storage: the object storage.
            prefix: of all keys in both, without a slash at the end.
            types: all record types that are known here.
            scratch: where a temporary file may be.
            etcd_name: how messages name etcd.
            now: the wall time.
            timeout: of a question to etcd.
        """
        self._storage = storage
        self._prefix = prefix
        self._catalogue = Catalogue(types)
        self._scratch = scratch
        self._etcd_name = etcd_name
        self._now = now
        self._stores = None if kv is None else Stores.of(kv, storage, prefix=prefix, etcd_timeout=timeout)
        self._epochs = Epochs(storage, prefix=prefix)
        self._segments = SegmentStore(storage, prefix=prefix)
        self._manifests = ManifestStore(storage, prefix=prefix)
        self._files = FileStore(storage, prefix=prefix)
        self._state = _State()

    async def run(self) -> AsyncGenerator[Finding | Progress, None]:
        """Verify; gives what is found as it is found, and progress in between.

        Raises:
            Conflict: the database was recovered into a new epoch meanwhile. Run it again.
            NotFound: there is no database.
            Unavailable: etcd or the object storage stayed away. What was given so far holds.
        """
        for part in (
            self._verify_standing,
            self._verify_epochs,
            self._verify_manifests,
            self._verify_segments,
            self._verify_etcd,
            self._verify_files,
            self._verify_replay,
            self._verify_rest,
        ):
            async for found in part():
                yield found
        yield self._progress()

    def _progress(self) -> Progress:
        return Progress(self._state.objects, self._state.bytes, max(self._state.all_objects, self._state.objects))

    def _count(self, key: str) -> Progress:
        self._state.objects += 1
        self._state.bytes += self._state.sizes.get(key, 0)
        return self._progress()

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    # -- what there is

    async def _verify_standing(self) -> AsyncIterator[Finding | Progress]:
        state = self._state
        if self._stores is None:
            yield Finding("", "etcd was not asked: entries that only etcd has are not verified", is_fault=False)
        else:
            try:
                standing = judge(await look(self._stores, etcd_name=self._etcd_name), now=self._now())
            except DataLoss as error:
                yield _fault(error, "")
            else:
                if standing.kind is Kind.NEW:
                    raise NotFound(f"there is no database yet: {standing.message}")
                if not standing.is_healthy:
                    yield Finding("", standing.message)
                state.head, state.flushed = standing.holdings.head, standing.holdings.flushed
                try:
                    await self._again(self._stores.log.cleaned)
                except DataLoss as error:
                    yield _fault(error, self._stores.log.cleaned_key)
                async for finding in self._verify_checkpoint(self._stores.log):
                    yield finding
        for folder in _FOLDERS:
            async for info in self._storage.list(self._key(f"{folder}/")):
                state.sizes[info.key] = info.size_bytes
        state.all_objects = len(state.sizes)
        if not state.sizes and state.head is None:
            raise NotFound("there is no database: the object storage holds none under this prefix")
        yield self._progress()

    async def _verify_checkpoint(self, log: Log) -> AsyncIterator[Finding]:
        named = await self._again(log.checkpoint)
        if named is None or named in (known := await self._sequences()):
            return
        if named != await self._again(log.checkpoint) or any(sequence > named for sequence in known):
            return  # another one was made meanwhile, and this one cleaned
        yield Finding(
            log.checkpoint_key,
            f"it names the manifest of {named}, which is not there. Servers find the newest by themselves; but somebody"
            " deleted it: restore it from a copy of the object storage, or let a server make another",
            is_fault=False,
        )

    async def _verify_epochs(self) -> AsyncIterator[Finding | Progress]:
        state = self._state
        try:
            state.epochs = await self._again(self._epochs.all)
            firsts, manifests = await self._firsts(), await self._sequences()
            stored = max((sequence.epoch for sequence in (*firsts, *manifests)), default=0)
            in_etcd = state.head.sequence.epoch if state.head is not None else 0
            state.present = max(stored, in_etcd) or (state.epochs[0].number if state.epochs else 0)
            state.lineage = self._epochs.lineage_of(state.epochs, state.present)
        except DataLoss as error:
            yield _fault(error, self._key("epoch/"))
        ids = {epoch.database_id for epoch in state.epochs}
        if len(ids) > 1:
            yield Finding(
                self._key("epoch/"),
                f"the epoch objects are of {len(ids)} databases ({', '.join(sorted(ids))}); move those away that do not"
                " belong here",
            )
        for epoch in state.epochs:
            key = self._epochs.key(epoch.number)
            if epoch.accepted is not None and epoch.accepted.counter > 0:
                self._mark(epoch.accepted, key, epoch.accepted_digest)
            if state.lineage is not None and epoch.number not in state.lineage.epochs:
                yield Finding(
                    key, "it is void: this recovery was overtaken, and nothing goes on from it", is_fault=False
                )
            yield self._count(key)

    def _mark(self, sequence: LogSequence, name: str, digest: bytes) -> None:
        self._state.marks.setdefault(sequence, []).append(Mark(name, digest))

    # -- manifests, by name and content

    async def _verify_manifests(self) -> AsyncIterator[Finding | Progress]:
        state = self._state
        for sequence in await self._sequences():
            key = self._manifests.key(sequence)
            try:
                manifest = await self._again(partial(self._manifests.read, sequence))
            except NotFound:
                continue  # cleaned since
            except DataLoss as error:
                yield _fault(error, key)
                continue
            yield self._count(key)
            if manifest.database_id and state.epochs and manifest.database_id != state.epochs[0].database_id:
                yield Finding(key, f"it is of the database {manifest.database_id}, not of this one; move it away")
            elif state.lineage is not None and not state.lineage.contains(sequence):
                yield Finding(
                    key,
                    "it is void: a recovery went on without its last entry. No server uses it; it goes when it is"
                    " cleaned",
                    is_fault=False,
                )
            else:
                state.manifests[sequence] = manifest
                if sequence.counter > 0:
                    self._mark(sequence, key, manifest.digest)

    # -- the log in the object storage

    async def _verify_segments(self) -> AsyncIterator[Finding | Progress]:
        state = self._state
        if state.lineage is None:
            yield Finding(
                self._key("wal/"),
                "without whole epoch objects nobody can tell whether the segments make one log; each was checked by"
                " itself",
                is_fault=False,
            )
        if state.flushed is not None and state.flushed.sequence.counter > 0:
            self._mark(state.flushed.sequence, f"flushed of etcd at {self._etcd_name}", state.flushed.digest)
        if state.head is not None and state.head.sequence.counter > 0:
            self._mark(state.head.sequence, f"head of etcd at {self._etcd_name}", state.head.digest)
        check = self._log_check()
        async for first, segment in self._read_segments(await self._firsts()):
            key = self._segments.key(first)
            if isinstance(segment, DataLoss):
                yield _fault(segment, key)
            elif segment is not None:
                if check is not None:
                    for found in check.take(key, segment):
                        if isinstance(found, Finding):
                            yield await self._confirmed(found)
                        elif await self._still_missing(found):
                            yield await self._confirmed(found.finding())
                yield self._count(key)
        if check is not None:
            # What etcd still has of the same entries must be the same.
            for sequence, digest in check.kept.items():
                self._mark(sequence, self._key("wal/"), digest)
            async for found in self._verify_end(check):
                yield found

    def _log_check(self) -> LogCheck | None:
        state = self._state
        if state.lineage is None:
            return None
        oldest = min(state.manifests, default=None)
        return LogCheck(
            state.lineage,
            state.marks,
            database_id=state.epochs[0].database_id if state.epochs else "",
            floor=None if oldest is None else (oldest, self._manifests.key(oldest)),
            keep_from=None if state.flushed is None else state.flushed.first_kept,
        )

    async def _read_segments(
        self, firsts: Sequence[LogSequence]
    ) -> AsyncIterator[tuple[LogSequence, Segment | DataLoss | None]]:
        """Read segments in order; None: it is gone, and nobody needs it any more."""

        async def read(first: LogSequence) -> Segment | DataLoss | None:
            try:
                segment = await self._again(lambda: self._segments.read(first))
                await asyncio.to_thread(_read_batches, segment.entries)
            except NotFound:
                return None  # cleaned since; a gap that this leaves is looked at
            except DataLoss as error:
                return error
            return segment

        async for first, segment in _ahead(firsts, read):
            yield first, segment

    async def _verify_end(self, check: LogCheck) -> AsyncIterator[Finding]:
        """Check that the segments reach from the oldest manifest, and up to what is flushed."""
        state = self._state
        lineage, newest, oldest = check.lineage, max(state.manifests, default=None), min(state.manifests, default=None)
        end = check.end or oldest or LogSequence(lineage.epochs[0], 0)
        if newest is not None and end < newest:
            gap = Gap(end, check.end_in or self._manifests.key(end), newest, self._manifests.key(newest))
            if newest != oldest and await self._still_missing(gap):
                yield await self._confirmed(gap.finding())
            end = newest
        flushed = state.flushed
        if flushed is not None and end < flushed.sequence and lineage.contains(flushed.sequence):
            yield await self._confirmed(
                Finding(
                    self._key("wal/"),
                    f"etcd says that the object storage has the log up to {flushed.sequence}, and it ends at {end}:"
                    " segments are missing; restore them from a copy of the object storage",
                )
            )

    async def _still_missing(self, gap: Gap) -> bool:
        """Whether a gap matters: the cleaner removes what lies before the oldest manifest that is kept."""
        lineage = self._state.lineage
        if lineage is None:
            return False
        kept = [sequence for sequence in await self._sequences() if lineage.contains(sequence)]
        if kept and lineage.following(min(kept)) >= gap.after:
            return False
        filled = [first for first in await self._firsts() if gap.before < first < gap.after]
        return not filled

    async def _confirmed(self, finding: Finding) -> Finding:
        """Give a fault of the log, if the history is still the one that it was found in."""
        if finding.is_fault and self._state.lineage is not None:
            epochs = await self._again(self._epochs.all)
            if [epoch.number for epoch in epochs] != [epoch.number for epoch in self._state.epochs]:
                raise Conflict(
                    "the database was recovered into a new epoch while it was verified; run it again",
                    reason="RECOVERED_MEANWHILE",
                )
        return finding

    # -- the log in etcd

    async def _verify_etcd(self) -> AsyncIterator[Finding | Progress]:
        state = self._state
        if self._stores is None or state.head is None or state.flushed is None or state.lineage is None:
            return
        log, head = self._stores.log, state.head
        if head.sequence.counter == 0 or not state.lineage.contains(head.sequence):
            return
        first = LogSequence(head.sequence.epoch, max(state.flushed.first_kept.counter, 1))
        try:
            entries = [entry async for entry in log.entries(first) if entry.sequence <= head.sequence]
            fresh = (await self._again(log.look)).flushed
        except DataLoss as error:
            yield await self._confirmed(_fault(error, log.head_key))
            return
        flushed = max(state.flushed.sequence, fresh.sequence if fresh is not None else state.flushed.sequence)
        folder = f"{log.head_key.removesuffix('head')}log/"
        for finding in findings_of_entries(folder, entries, head=head, flushed=flushed, known=state.marks):
            yield await self._confirmed(finding)

    # -- data files

    async def _verify_files(self) -> AsyncIterator[Finding | Progress]:
        state = self._state
        seen: set[bytes] = set()
        for sequence, manifest in sorted(state.manifests.items(), reverse=True):
            for type_files in manifest.types:
                type_ = self._catalogue.known.get(type_files.type)
                for live in type_files.files:
                    identity = live.SerializeToString(deterministic=True)
                    if identity in seen:
                        continue
                    seen.add(identity)
                    try:
                        await self._again(partial(self._files.verify, live.data))
                        if live.HasField("index"):
                            await self._again(partial(self._files.verify, live.index))
                        for fault in await self._again(partial(faults_of_records, self._files, type_, live)):
                            yield Finding(self._key(live.data.key), f"{fault}. {_OTHER_COPY}")
                    except NotFound as error:
                        if sequence in await self._sequences():
                            yield Finding(
                                self._key(live.data.key),
                                f"{error.message}, and the manifest {self._manifests.key(sequence)} names it."
                                " Restore this object from a copy of the object storage",
                            )
                    except DataLoss as error:
                        yield _fault(error, self._key(live.data.key))
                    yield self._count(self._key(live.data.key))
                    if live.HasField("index"):
                        yield self._count(self._key(live.index.key))

    async def _verify_replay(self) -> AsyncIterator[Finding | Progress]:
        """Check that the newest manifest is what the log makes of the one before it, where all of that is there."""
        state = self._state
        if state.lineage is None or len(state.manifests) < 2:
            return
        *_, before, after = sorted(state.manifests)
        try:
            async with Changes.open(self._scratch) as changes:
                at = before
                async for segment in self._segments.after(before, state.lineage):
                    entries = [entry for entry in segment.entries if entry.sequence <= after]
                    if not entries:
                        break
                    await changes.add(entries)
                    at = entries[-1].sequence
                if at != after:
                    return  # cleaned, or told already as a gap
                faults = await compare_manifests(self._files, state.manifests[before], changes, state.manifests[after])
        except (NotFound, DataLoss):
            return  # told already, or cleaned since
        for fault in faults:
            yield Finding(
                self._manifests.key(after),
                f"{fault}. Delete this manifest to go on from the one before it and the segments, while those are kept"
                f" (24 h), and report it: this is a fault of the software",
            )

    # -- what nobody names

    async def _verify_rest(self) -> AsyncIterator[Finding | Progress]:
        state = self._state
        # A checkpoint may have ended meanwhile: its manifest names files that were orphans a moment ago.
        named: set[str] = set()
        for sequence in await self._sequences():
            try:
                manifest = state.manifests.get(sequence) or await self._manifests.read(sequence)
            except (NotFound, DataLoss):
                continue
            named.update(self._key(ref.key) for ref in files_of(manifest))
        for key in sorted(state.sizes):
            folder, _, name = key.removeprefix(self._key("")).partition("/")
            if not _is_name(folder, name):
                yield Finding(key, "no object of a database is called so; it is ignored. Move it away", is_fault=False)
        for folder in ("data", "index"):
            start = self._key(f"{folder}/")
            orphans = sorted({key for key in state.sizes if key.startswith(start)} - named)
            if orphans:
                size = sum(state.sizes[key] for key in orphans)
                yield Finding(
                    orphans[0],
                    f"{len(orphans)} objects in {folder}/ ({size} bytes) are named by no manifest, this one first: of a"
                    " checkpoint that is being made or did not end. They go when they are a day old",
                    is_fault=False,
                )

    # -- asking

    async def _firsts(self) -> list[LogSequence]:
        return await self._again(self._segments.firsts)

    async def _sequences(self) -> list[LogSequence]:
        return await self._again(self._manifests.sequences)

    async def _again(self, ask: Callable[[], Awaitable[R]]) -> R:
        """Ask, and again when a store is away for a moment: a verify of hours must not end with one lost answer."""
        for attempt in range(1, _ATTEMPTS):
            try:
                return await ask()
            except (Unavailable, DeadlineExceeded):
                await asyncio.sleep(_PAUSE.total_seconds() * attempt)
        return await ask()


def _fault(error: SluicewayError, key: str) -> Finding:
    return Finding(error.metadata.get("object", key), error.message)


def _is_name(folder: str, name: str) -> bool:
    if folder in {"data", "index"}:
        return True  # those that no manifest names are told together
    if folder == "epoch":
        return _EPOCH_NAME.fullmatch(name) is not None
    try:
        return str(LogSequence.parse(name)) == name
    except ValueError:
        return False


def _read_batches(entries: Iterable[LogEntry]) -> None:
    for entry in entries:
        decode_batch(entry)


async def _ahead(items: Iterable[T], read: Callable[[T], Awaitable[R]]) -> AsyncIterator[tuple[T, R]]:
    """Do something for each item, some at a time, and give the answers in order."""
    waiting: deque[tuple[T, asyncio.Task[R]]] = deque()
    try:
        for item in items:
            waiting.append((item, asyncio.ensure_future(_run(read, item))))
            if len(waiting) >= _READ_AHEAD:
                first, task = waiting.popleft()
                yield first, await task
        while waiting:
            first, task = waiting.popleft()
            yield first, await task
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)


async def _run(read: Callable[[T], Awaitable[R]], item: T) -> R:
    return await read(item)
