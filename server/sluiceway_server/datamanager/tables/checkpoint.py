"""Checkpoint: merge the log since the newest manifest into data files, and store a new manifest.

    1  read the newest manifest of the history, and the segments after it up to `flushed`, contiguous across epochs
    2  collect the last change of each record in a scratch file
    3  for each type, write the files that changes touch again, and keep the others by reference
    4  check that each file of the new manifest exists, and that the manifest of step 1 is still the newest
    5  put the manifest if there is none of that sequence: the commit point
    6  put `checkpoint` in etcd, which notifies others

Any number of servers may do this at once, and be paused or die anywhere. File names are unique; of two manifests of one
sequence one is stored; the slower server deletes its files, and those of a crashed one are garbage. Step 4 protects
against garbage collection: the files of the newest manifest are never deleted, and a checkpoint on top of an older one
fails.

One case is left: a process that is paused for days between 4 and 5 stores a manifest whose files may be gone. It is not
the newest, so nobody starts from it; the process checks again when it continues, and deletes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from sluiceway.records.storage.v1.storage_pb2 import FileRef, Manifest
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.crashpoints import crash_point, crash_points, declare_crash_points, declare_effects
from sluiceway_common.foundation.errors import Conflict, DataLoss, DeadlineExceeded, NotFound, SluicewayError
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.datamanager.log.entries import Catalogue, LogEntry, from_sequence_proto, micros, sequence_proto
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.log.etcd_log import FlushMark
from sluiceway_server.datamanager.log.walk import LogEnd, Piece, walk
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.tables.change_set import Changes
from sluiceway_server.datamanager.tables.compaction import Compaction
from sluiceway_server.datamanager.tables.data_file import together
from sluiceway_server.datamanager.tables.stores import Stores

log = structlog.get_logger(__name__)

declare_effects("checkpoint.scratch", "checkpoint.manifest", "checkpoint.key", "checkpoint.removal")
declare_crash_points("checkpoint.before-look")

_SCRATCH = "checkpoint.sqlite"
_LOOKS_AT_ONCE = 16
_REMOVAL_WITHIN = timedelta(seconds=30)
_LOOK_HOLDS = timedelta(minutes=10)


class Overtaken(Conflict):
    """Another server made a newer manifest meanwhile. Nothing is lost: start again from that one, if it is due."""

    reason = "CHECKPOINT_OVERTAKEN"


def files_of(manifest: Manifest) -> list[FileRef]:
    """Return all data files and index dumps of a manifest."""
    found = []
    for type_ in manifest.types:
        for live in type_.files:
            found.append(live.data)
            if live.HasField("index"):
                found.append(live.index)
    return found


@dataclass(slots=True)
class _Checkpoint:
    """The state of one checkpoint, on top of the manifest `base`.

    Attributes:
        began: by both clocks: the monotonic one stops while a machine is suspended, the other one may be set.
        total_bytes: of all entries of the epoch of the last entry up to it.
        put: the manifest may have been stored: from then on its files are not deleted.
    """

    base: Manifest | None
    began: tuple[float, datetime]
    last: LogEntry | None = None
    total_bytes: int = 0
    compaction: Compaction | None = None
    put: bool = False

    @property
    def base_sequence(self) -> LogSequence | None:
        return None if self.base is None else from_sequence_proto(self.base.sequence)

    @property
    def made(self) -> Sequence[FileRef]:
        return () if self.compaction is None else self.compaction.made


class Checkpointer:
    """Makes checkpoints, one at a time."""

    def __init__(
        self,
        stores: Stores,
        *,
        catalogue: Catalogue,
        database_id: str,
        folder: Path,
        settings: DataManagerSettings,
        clock: Clock,
    ) -> None:
        # The scratch file is in a folder that no other checkpointer uses.
        self._stores = stores
        self._catalogue = catalogue
        self._database_id = database_id
        self._scratch = folder / _SCRATCH
        self._settings = settings
        self._clock = clock
        self._alone = asyncio.Lock()
        self._known_dumps: set[str] = set()

    async def run(self, flushed: FlushMark, lineage: Lineage) -> Manifest | None:
        """Make a manifest of everything in the object storage up to `flushed`.

        May be repeated, and cancelled: its files are garbage then. `flushed` is part of the history.

        Returns:
            The new manifest; the newest one if nothing follows it; None if the database has no entry.

        Raises:
            Overtaken: another server was faster. The sequence of its manifest may be before `flushed`.
            DataLoss: the log has a gap, or an object is damaged or missing. Nothing was changed.
            DeadlineExceeded: it took longer than `checkpoint_gives_up`.
            Unavailable: the object storage, etcd or the scratch file cannot be used now.
        """
        limit = self._settings.checkpoint_gives_up
        async with self._alone:
            work = _Checkpoint(
                await self._stores.manifests.newest(lineage), (self._clock.monotonic(), self._clock.now())
            )
            try:
                async with time_limit(limit.total_seconds()):
                    return await self._run(work, flushed, lineage)
            except TimeoutError as cause:
                await self._remove(work)
                raise self._too_old() from cause
            except (DataLoss, NotFound) as error:
                await self._remove(work)
                # The object may have been garbage collected after another server's checkpoint.
                await self._check_newest(work, lineage)
                if isinstance(error, DataLoss):
                    raise
                raise DataLoss(
                    f"{error}, and the newest manifest refers to it. Restore this object from a copy of the object"
                    " storage; `sluice db verify` looks for others",
                    reason="FILE_MISSING",
                    metadata=error.metadata,
                ) from error
            except SluicewayError:
                await self._remove(work)
                raise

    async def _run(self, work: _Checkpoint, flushed: FlushMark, lineage: Lineage) -> Manifest | None:
        if work.base_sequence is not None and work.base_sequence >= flushed.sequence:
            return work.base
        crash_point("checkpoint.before-scratch")
        async with Changes.open(self._scratch) as changes:
            crash_point("checkpoint.after-scratch")
            await self._collect(work, changes, flushed, lineage)
            if work.last is None:
                return work.base
            manifest = self._begin_manifest(work, work.last)
            manifest.changed_bytes = await changes.changed_bytes()
            work.compaction = Compaction(
                self._stores.files,
                self._catalogue,
                sequence=work.last.sequence,
                file_bytes=self._settings.file_bytes,
                known_dumps=self._known_dumps,
                still_wanted=lambda: self._check_age(work),
            )
            manifest.types.extend(
                await work.compaction.write(work.base.types if work.base is not None else (), changes)
            )
        manifest.written_bytes = sum(ref.size for ref in work.made)
        await self._put(work, manifest, lineage)
        log.info(
            "checkpoint_made",
            sequence=str(work.last.sequence),
            files=len(work.made),
            written_bytes=manifest.written_bytes,
            changed_bytes=manifest.changed_bytes,
            seconds=round(self._clock.monotonic() - work.began[0], 3),
        )
        await self._notify(work.last.sequence)
        return manifest

    async def _collect(self, work: _Checkpoint, changes: Changes, flushed: FlushMark, lineage: Lineage) -> None:
        end = LogEnd.start(lineage, work.base, self._stores.manifests.key)
        async with aclosing(walk(self._stores.segments, lineage.until(flushed.sequence), end)) as found:
            async for item in found:
                self._check_age(work)
                if not isinstance(item, Piece):
                    raise item.error()
                await changes.add(item.entries)
                work.last, end = item.entries[-1], item.end
        work.total_bytes = end.total_bytes
        if end.sequence == flushed.sequence and end.digest != flushed.digest:
            raise DataLoss(
                f"etcd and the object storage have different entries {end.sequence}; `sluice db verify` says more",
                reason="LOG_DIVERGED",
            )

    def _begin_manifest(self, work: _Checkpoint, last: LogEntry) -> Manifest:
        return Manifest(
            sequence=sequence_proto(last.sequence),
            transactions=last.transactions,
            digest=last.digest,
            total_bytes=work.total_bytes,
            time_us=last.time_us,
            database_id=self._database_id,
            writer=self._settings.server_id,
            made_us=micros(self._clock.now()),
            base=None if work.base is None else work.base.sequence,
        )

    async def _put(self, work: _Checkpoint, manifest: Manifest, lineage: Lineage) -> None:
        self._check_age(work)
        crash_point("checkpoint.before-look")
        looked = (self._clock.monotonic(), self._clock.now())
        missing = await self._missing(manifest)
        # After the files were seen: while the base is the newest manifest, its files are not deleted; and new files
        # are not deleted before they are a day old.
        await self._check_newest(work, lineage)
        if missing is not None:
            raise DataLoss(
                f"{self._stores.key(missing.key)} is not in the object storage with its {missing.size} bytes: the"
                " checkpoint cannot refer to it. Restore this object from a copy of the object storage; `sluice db"
                " verify` looks for others",
                reason="FILE_MISSING",
                metadata={"object": missing.key},
            )
        self._check_age(work)
        work.put = True
        with crash_points("checkpoint.manifest"):
            stored = await self._stores.manifests.put(manifest)
        if not stored:
            await self._concede(work, manifest)
        if (slept := self._since(looked)) > _LOOK_HOLDS and await self._missing(manifest) is not None:
            sequence = from_sequence_proto(manifest.sequence)
            with crash_points("checkpoint.removal"):
                await self._stores.storage.delete(self._stores.manifests.key(sequence))
            raise DeadlineExceeded(
                f"this server was suspended for {slept} while it made the manifest {sequence}, and files of it were"
                " deleted meanwhile: the manifest was deleted again",
                reason="CHECKPOINT_TOO_OLD",
            )

    async def _missing(self, manifest: Manifest) -> FileRef | None:
        """Return a file of a manifest that does not exist with its size, if there is one."""
        waiting = files_of(manifest)
        for at in range(0, len(waiting), _LOOKS_AT_ONCE):
            some = waiting[at : at + _LOOKS_AT_ONCE]
            looks = await together([self._stores.files.present(ref) for ref in some])
            if (missing := next((ref for ref, look in zip(some, looks, strict=True) if not look), None)) is not None:
                return missing
        return None

    async def _check_newest(self, work: _Checkpoint, lineage: Lineage) -> None:
        # One of a later epoch counts too: then this server was left behind.
        known = [
            sequence
            for sequence in await self._stores.manifests.sequences()
            if lineage.contains(sequence) or sequence.epoch > lineage.present
        ]
        newest = known[-1] if known else None
        if newest != work.base_sequence:
            raise Overtaken(f"another server made the manifest {newest} while this one was at work on the next one")

    async def _concede(self, work: _Checkpoint, manifest: Manifest) -> None:
        """Raise `Overtaken`, unless the stored manifest is our own: a response was lost, and the put was retried."""
        sequence = from_sequence_proto(manifest.sequence)
        with suppress(NotFound):
            theirs = await self._stores.manifests.read(sequence)
            if theirs == manifest:
                return
            if theirs.digest != manifest.digest:
                work.put = False
                raise DataLoss(
                    f"the manifest {self._stores.manifests.key(sequence)} is of another history than the segments: two"
                    " databases use one folder, or etcd was restored; `sluice db verify` says more",
                    reason="LOG_DIVERGED",
                )
        work.put = False
        raise Overtaken(f"another server made the manifest {sequence} too, and was faster")

    async def _notify(self, sequence: LogSequence) -> None:
        with crash_points("checkpoint.key"):
            try:
                await self._stores.log.advance_checkpoint(sequence)
            except SluicewayError as error:
                # The key is a hint: the next server that lists the manifests finds this one, and sets it.
                log.warning("checkpoint_key_waits", sequence=str(sequence), error=str(error))

    def _check_age(self, work: _Checkpoint) -> None:
        if self._since(work.began) > self._settings.checkpoint_gives_up:
            raise self._too_old()

    def _since(self, moment: tuple[float, datetime]) -> timedelta:
        monotonic, wall = moment
        return max(timedelta(seconds=self._clock.monotonic() - monotonic), self._clock.now() - wall)

    def _too_old(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"a checkpoint took longer than {self._settings.checkpoint_gives_up} and gave up; the next one begins"
            " again. Is the object storage slow?",
            reason="CHECKPOINT_TOO_OLD",
        )

    async def _remove(self, work: _Checkpoint) -> None:
        """Delete the files that were made, as far as the storage is available; the rest is garbage collected."""
        if work.put:
            return
        with crash_points("checkpoint.removal"), suppress(SluicewayError, TimeoutError):
            async with time_limit(_REMOVAL_WITHIN.total_seconds()):
                for ref in work.made:
                    await self._stores.storage.delete(self._stores.key(ref.key))
