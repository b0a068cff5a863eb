"""Verify: read every object of a database, check all checksums, and check that all of it fits together.

In this order, so that servers may write meanwhile and nothing is missed: etcd's marks, the epoch objects, the
manifests, the segments, the entries in etcd, the files of all manifests, and objects that nothing names. Before an
object is reported as missing it is read again: the garbage collector may have removed it, which keeps all that the
newest manifests need. A recovery meanwhile changes the history; then verify has to be run again.

Data files and index dumps are also compared record by record: bodies must be messages of their type, an index dump must
have the rows that the type's columns give for the records of its data file, and the newest manifest must be the one
before it with the changes of the log between them.

A fault is something missing or damaged, with the object and what to do. A note is something unusual and harmless: void
entries, files that no manifest names, objects with unknown names.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from sluiceway.records.storage.v1.storage_pb2 import LiveFile, Manifest
from sluiceway_common.foundation.errors import DataLoss, NotFound
from sluiceway_server.datamanager.admin.verify_context import Finding, Progress, VerifyContext, fault_of, note
from sluiceway_server.datamanager.admin.verify_log import LogVerifier
from sluiceway_server.datamanager.log.entries import Catalogue, from_sequence_proto
from sluiceway_server.datamanager.log.epochs import accepted_of
from sluiceway_server.datamanager.log.etcd_log import Log
from sluiceway_server.datamanager.log.walk import LogEnd, Piece, walk
from sluiceway_server.datamanager.model import Bodies, RecordType
from sluiceway_server.datamanager.recovery.diagnosis import Kind, diagnose, inspect, newest_epoch
from sluiceway_server.datamanager.tables.block import StoredRecord, StoredRow
from sluiceway_server.datamanager.tables.change_set import Changes
from sluiceway_server.datamanager.tables.checkpoint import files_of
from sluiceway_server.datamanager.tables.compaction import index_rows, merge_changes, records_of
from sluiceway_server.datamanager.tables.data_file import FileStore
from sluiceway_server.datamanager.tables.stores import StoredObjects
from sluiceway_server.objectstorage.layout import DATABASE_FOLDERS, Folder

_MOST_FAULTS = 5
_OTHER_COPY = (
    "Restore the object from a copy of the object storage; if that says the same, it is a fault of the software"
)


class Verifier:
    """One verify of a database; see the module. etcd is verified too if `stored` are both `Stores`."""

    def __init__(
        self,
        stored: StoredObjects,
        *,
        types: Sequence[RecordType[Any]],
        scratch: Path,
        now: Callable[[], datetime],
    ) -> None:
        self._context = VerifyContext(stored)
        self._log = LogVerifier(self._context)
        self._catalogue = Catalogue(types)
        self._scratch = scratch
        self._now = now

    async def run(self) -> AsyncGenerator[Finding | Progress, None]:
        """Verify; yield each finding as it is found, and the progress in between.

        Raises:
            Conflict: the database was recovered into a new epoch meanwhile. Run it again.
            NotFound: there is no database.
            Unavailable: etcd or the object storage stayed away. The findings so far are valid.
        """
        for part in (
            self._verify_diagnosis,
            self._verify_epochs,
            self._verify_manifests,
            self._log.segments,
            self._log.entries_of_etcd,
            self._verify_files,
            self._verify_replay,
            self._verify_rest,
        ):
            async for found in part():
                if isinstance(found, Finding) and found.is_fault:
                    await self._context.check_history()
                yield found
        yield self._context.progress

    # -- marks and epochs

    async def _verify_diagnosis(self) -> AsyncIterator[Finding | Progress]:
        context = self._context
        if context.stores is None:
            yield note("", "etcd was not asked: entries that only etcd has are not verified")
        else:
            try:
                diagnosis = diagnose(await inspect(context.stores), now=self._now())
            except DataLoss as error:
                yield fault_of(error, "")
            else:
                if diagnosis.kind is Kind.NEW:
                    raise NotFound(f"there is no database yet: {diagnosis.message}")
                if not diagnosis.is_healthy:
                    yield Finding("", diagnosis.message)
                context.head, context.flushed = diagnosis.holdings.head, diagnosis.holdings.flushed
                try:
                    await context.retry(context.stores.log.cleaned)
                except DataLoss as error:
                    yield fault_of(error, context.stores.log.cleaned_key)
                async for finding in self._verify_checkpoint(context.stores.log):
                    yield finding
        for folder in DATABASE_FOLDERS:
            async for info in context.stored.storage.list(context.stored.key(f"{folder}/")):
                context.sizes[info.key] = info.size_bytes
        context.progress = Progress(0, 0, len(context.sizes))
        if not context.sizes and context.head is None:
            raise NotFound("there is no database: the object storage holds none under this prefix")
        yield context.progress

    async def _verify_checkpoint(self, log: Log) -> AsyncIterator[Finding]:
        context = self._context
        named = await context.retry(log.checkpoint)
        if named is None or named in (known := await context.manifests_now()):
            return
        if named != await context.retry(log.checkpoint) or any(sequence > named for sequence in known):
            return  # another one was made meanwhile, and this one removed
        yield note(
            log.checkpoint_key,
            f"it names the manifest of {named}, which is not there. Servers find the newest by themselves; but somebody"
            " deleted it: restore it from a copy of the object storage, or let a server make another",
        )

    async def _verify_epochs(self) -> AsyncIterator[Finding | Progress]:
        context = self._context
        try:
            context.epochs = await context.retry(context.stored.epochs.all)
            firsts, manifests = await context.segments_now(), await context.manifests_now()
            present = newest_epoch(context.epochs, (*firsts, *manifests), context.head)
            context.lineage = context.stored.epochs.lineage_of(context.epochs, present)
        except DataLoss as error:
            yield fault_of(error, context.stored.key("epoch/"))
        ids = {epoch.database_id for epoch in context.epochs}
        if len(ids) > 1:
            yield Finding(
                context.stored.key("epoch/"),
                f"the epoch objects are of {len(ids)} databases ({', '.join(sorted(ids))}); move those away that do not"
                " belong here",
            )
        for epoch in context.epochs:
            key = context.stored.epochs.key(epoch.number)
            if (accepted := accepted_of(epoch)) is not None:
                context.mark(accepted, key, epoch.accepted_digest)
            if context.lineage is not None and epoch.number not in context.lineage.epochs:
                yield note(key, "it is void: this recovery was overtaken, and nothing continues from it")
            yield context.count(key)

    # -- manifests

    async def _verify_manifests(self) -> AsyncIterator[Finding | Progress]:
        context = self._context
        for sequence in await context.manifests_now():
            key = context.stored.manifests.key(sequence)
            try:
                manifest = await context.retry(partial(context.stored.manifests.read, sequence))
            except NotFound:
                continue  # removed since
            except DataLoss as error:
                yield fault_of(error, key)
                continue
            yield context.count(key)
            if manifest.database_id and context.epochs and manifest.database_id != context.epochs[0].database_id:
                yield Finding(key, f"it is of the database {manifest.database_id}, not of this one; move it away")
            elif context.lineage is not None and not context.lineage.contains(sequence):
                yield note(
                    key,
                    "it is void: a recovery went on without its last entry. No server uses it; it goes when it is"
                    " cleaned",
                )
            else:
                context.manifests[sequence] = manifest
                context.mark(sequence, key, manifest.digest)

    # -- data files

    async def _verify_files(self) -> AsyncIterator[Finding | Progress]:
        context = self._context
        seen: set[bytes] = set()
        for sequence, manifest in sorted(context.manifests.items(), reverse=True):
            for type_files in manifest.types:
                type_ = self._catalogue.known.get(type_files.type)
                for live in type_files.files:
                    identity = live.SerializeToString(deterministic=True)
                    if identity in seen:
                        continue
                    seen.add(identity)
                    try:
                        await context.retry(partial(context.stored.files.verify, live.data))
                        if live.HasField("index"):
                            await context.retry(partial(context.stored.files.verify, live.index))
                        for fault in await context.retry(
                            partial(_faults_of_records, context.stored.files, type_, live)
                        ):
                            yield Finding(context.stored.key(live.data.key), f"{fault}. {_OTHER_COPY}")
                    except NotFound as error:
                        if sequence in await context.manifests_now():
                            yield Finding(
                                context.stored.key(live.data.key),
                                f"{error.message}, and the manifest {context.stored.manifests.key(sequence)} names it."
                                " Restore this object from a copy of the object storage",
                            )
                    except DataLoss as error:
                        yield fault_of(error, context.stored.key(live.data.key))
                    yield context.count(context.stored.key(live.data.key))
                    if live.HasField("index"):
                        yield context.count(context.stored.key(live.index.key))

    async def _verify_replay(self) -> AsyncIterator[Finding | Progress]:
        """Check that the newest manifest is the one before it with the log between them, if all of that is there."""
        context = self._context
        if context.lineage is None or len(context.manifests) < 2:
            return
        *_, before, after = sorted(context.manifests)
        try:
            async with Changes.open(self._scratch) as changes:
                start = LogEnd.of_manifest(context.manifests[before], "")
                async for item in walk(context.stored.segments, context.lineage.until(after), start):
                    if not isinstance(item, Piece):
                        return  # removed, or reported as a gap
                    await changes.add(item.entries)
                faults = await _compare_manifests(
                    context.stored.files, context.manifests[before], changes, context.manifests[after]
                )
        except (NotFound, DataLoss):
            return  # reported already, or removed since
        for fault in faults:
            yield Finding(
                context.stored.manifests.key(after),
                f"{fault}. Delete this manifest to continue from the one before it and the segments, while those are"
                " kept (24 h), and report it: this is a fault of the software",
            )

    # -- objects that nothing names

    async def _verify_rest(self) -> AsyncIterator[Finding | Progress]:
        context = self._context
        # A checkpoint may have ended meanwhile: its manifest names files that were orphans a moment ago.
        named: set[str] = set()
        for sequence in await context.manifests_now():
            try:
                manifest = context.manifests.get(sequence) or await context.stored.manifests.read(sequence)
            except (NotFound, DataLoss):
                continue
            named.update(context.stored.key(ref.key) for ref in files_of(manifest))
        for name in await context.stored.unknown_names():
            yield note(context.stored.key(name), "nothing of an installation is called so; it is ignored. Move it away")
        for key in sorted(context.stored.strange):
            yield note(key, "no object of a database is called so; it is ignored. Move it away")
        prefixes = {folder: context.stored.key(f"{folder}/") for folder in (Folder.DATA, Folder.INDEX)}
        # In a thread: there may be a hundred thousand names.
        unnamed = await asyncio.to_thread(
            lambda: sorted(key for key in context.sizes.keys() - named if key.startswith(tuple(prefixes.values())))
        )
        for folder, prefix in prefixes.items():
            if orphans := [key for key in unnamed if key.startswith(prefix)]:
                size = sum(context.sizes[key] for key in orphans)
                yield note(
                    orphans[0],
                    f"{len(orphans)} objects in {folder}/ ({size} bytes) are named by no manifest, this one first: of a"
                    " checkpoint that is being made or did not end. They go when they are a day old",
                )


async def _faults_of_records(files: FileStore, type_: RecordType[Any] | None, live: LiveFile) -> list[str]:
    """Compare the records of a file with the rows of its index dump; return what is wrong, a few faults at most.

    With `type_` None, an unknown type, only ids and revisions are compared.

    Raises:
        NotFound, DataLoss: as `FileStore.records`.
    """
    if not live.HasField("index"):
        return [] if type_ is None else await _unreadable(files, type_, live)
    columns, version = await files.index_columns(live.index)
    if type_ is not None and (
        type_.bodies is not Bodies.REMOTE or (type_.column_names, type_.version) != (columns, version)
    ):
        type_ = None  # these columns are not used; the next checkpoint that touches the file writes others
    faults: list[str] = []
    async with aclosing(files.records(live.data)) as records, aclosing(files.rows(live.index)) as rows:
        async for some, beside in _side_by_side(records, rows):
            if len(some) != len(beside):
                faults.append(f"{live.index.key} does not have as many rows as {live.data.key} has records")
                break
            faults += await asyncio.to_thread(_compare_rows, type_, live, some, beside)
            if len(faults) >= _MOST_FAULTS:
                break
    return faults[:_MOST_FAULTS]


async def _unreadable(files: FileStore, type_: RecordType[Any], live: LiveFile) -> list[str]:
    async with aclosing(files.records(live.data)) as pieces:
        async for piece in pieces:
            try:
                await asyncio.to_thread(index_rows, type_, piece)
            except DataLoss as error:
                return [f"{live.data.key}: {error.message}"]
    return []


def _compare_rows(
    type_: RecordType[Any] | None, live: LiveFile, records: Sequence[StoredRecord], rows: Sequence[StoredRow]
) -> list[str]:
    expected: Sequence[StoredRow] = rows
    if type_ is not None:
        try:
            expected = index_rows(type_, records)
        except DataLoss as error:
            return [f"{live.data.key}: {error.message}"]
        if expected == list(rows):
            return []
    faults = []
    for at, (record, row) in enumerate(zip(records, rows, strict=True)):
        if (record.id, record.revision) != (row.id, row.revision):
            faults.append(
                f"{live.index.key} has {row.id!r} of {row.revision} where {live.data.key} has {record.id!r} of"
                f" {record.revision}"
            )
        elif row.body is not None and row.body != record.body:
            faults.append(f"{live.index.key} has another body of {row.id!r} than {live.data.key}")
        elif expected[at] != row:
            faults.append(f"{live.index.key} has other columns of {row.id!r} than its body in {live.data.key} gives")
        if len(faults) >= _MOST_FAULTS:
            break
    return faults


async def _compare_manifests(files: FileStore, before: Manifest, changes: Changes, after: Manifest) -> list[str]:
    """Return where a manifest is not an earlier one with all changes of the log between them.

    Raises:
        NotFound, DataLoss: as `FileStore.records`.
    """
    old = {item.type: item.files for item in before.types}
    new = {item.type: item.files for item in after.types}
    where = f"the manifest of {from_sequence_proto(after.sequence)}"
    for type_name in sorted({*old, *new, *await changes.types()}):
        pages = changes.pages(type_name)
        base, theirs = records_of(files, old.get(type_name, ())), records_of(files, new.get(type_name, ()))
        async with aclosing(pages), aclosing(base), aclosing(theirs), aclosing(merge_changes(base, pages)) as made:
            async for expected, found in _side_by_side(made, theirs):
                if list(expected) == list(found):
                    continue
                wanted = {record.id: record for record in expected}
                has = {record.id: record for record in found}
                for id_ in sorted({*wanted, *has}):
                    if wanted.get(id_) != has.get(id_):
                        return [f"{where} does not hold the {type_name} {id_!r} as the log before it left it"]
    return []


async def _side_by_side(
    left: AsyncIterator[Sequence[Any]], right: AsyncIterator[Sequence[Any]]
) -> AsyncIterator[tuple[Sequence[Any], Sequence[Any]]]:
    """Yield two streams in pieces of equal length; only the last pair may differ, when one stream is longer."""
    mine: Sequence[Any] | None = ()
    theirs: Sequence[Any] | None = ()
    while True:
        while mine is not None and not mine:
            mine = await anext(left, None)
        while theirs is not None and not theirs:
            theirs = await anext(right, None)
        if mine is None or theirs is None:
            if mine or theirs:
                yield mine or (), theirs or ()
            return
        length = min(len(mine), len(theirs))
        yield mine[:length], theirs[:length]
        mine, theirs = mine[length:], theirs[length:]
