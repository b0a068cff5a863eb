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
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence, Set
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sluiceway_common.foundation.errors import DataLoss, NotFound
from sluiceway_server.datamanager.admin.findings import Finding, Progress, fault_of
from sluiceway_server.datamanager.admin.verify_context import VerifyContext
from sluiceway_server.datamanager.admin.verify_files import compare_manifests, faults_of_records
from sluiceway_server.datamanager.admin.verify_history import History
from sluiceway_server.datamanager.log.entries import Catalogue
from sluiceway_server.datamanager.log.etcd_log import Log
from sluiceway_server.datamanager.model import LogSequence, RecordType
from sluiceway_server.datamanager.recovery.diagnosis import Kind, diagnose, inspect
from sluiceway_server.datamanager.tables.change_set import Changes
from sluiceway_server.datamanager.tables.checkpoint import files_of
from sluiceway_server.kv.port import KeyValueStore
from sluiceway_server.objectstorage.layout import DATABASE_FOLDERS, FOLDERS, Folder
from sluiceway_server.objectstorage.port import ObjectStorage

__all__ = ["Verifier"]

_EPOCH_NAME = re.compile("[0-9a-f]{8}")
_OTHER_COPY = (
    "Restore the object from a copy of the object storage; if that says the same, it is a fault of the software"
)


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
        self._evidence = VerifyContext(kv, storage, prefix=prefix, timeout=timeout)
        self._history = History(self._evidence, etcd_name=etcd_name)
        self._catalogue = Catalogue(types)
        self._scratch = scratch
        self._etcd_name = etcd_name
        self._now = now

    async def run(self) -> AsyncGenerator[Finding | Progress, None]:
        """Verify; gives what is found as it is found, and progress in between.

        Raises:
            Conflict: the database was recovered into a new epoch meanwhile. Run it again.
            NotFound: there is no database.
            Unavailable: etcd or the object storage stayed away. What was given so far holds.
        """
        for part in (
            self._verify_diagnosis,
            self._verify_epochs,
            self._verify_manifests,
            self._history.segments,
            self._history.entries_of_etcd,
            self._verify_files,
            self._verify_replay,
            self._verify_rest,
        ):
            async for found in part():
                yield found
        yield self._evidence.progress

    # -- what there is

    async def _verify_diagnosis(self) -> AsyncIterator[Finding | Progress]:
        evidence = self._evidence
        if evidence.stores is None:
            yield Finding("", "etcd was not asked: entries that only etcd has are not verified", is_fault=False)
        else:
            try:
                diagnosis = diagnose(await inspect(evidence.stores, etcd_name=self._etcd_name), now=self._now())
            except DataLoss as error:
                yield fault_of(error, "")
            else:
                if diagnosis.kind is Kind.NEW:
                    raise NotFound(f"there is no database yet: {diagnosis.message}")
                if not diagnosis.is_healthy:
                    yield Finding("", diagnosis.message)
                evidence.head, evidence.flushed = diagnosis.holdings.head, diagnosis.holdings.flushed
                try:
                    await evidence.again(evidence.stores.log.cleaned)
                except DataLoss as error:
                    yield fault_of(error, evidence.stores.log.cleaned_key)
                async for finding in self._verify_checkpoint(evidence.stores.log):
                    yield finding
        for folder in DATABASE_FOLDERS:
            async for info in evidence.storage.list(evidence.key(f"{folder}/")):
                evidence.sizes[info.key] = info.size_bytes
        evidence.all_objects = len(evidence.sizes)
        if not evidence.sizes and evidence.head is None:
            raise NotFound("there is no database: the object storage holds none under this prefix")
        yield evidence.progress

    async def _verify_checkpoint(self, log: Log) -> AsyncIterator[Finding]:
        evidence = self._evidence
        named = await evidence.again(log.checkpoint)
        if named is None or named in (known := await evidence.manifests_now()):
            return
        if named != await evidence.again(log.checkpoint) or any(sequence > named for sequence in known):
            return  # another one was made meanwhile, and this one cleaned
        yield Finding(
            log.checkpoint_key,
            f"it names the manifest of {named}, which is not there. Servers find the newest by themselves; but somebody"
            " deleted it: restore it from a copy of the object storage, or let a server make another",
            is_fault=False,
        )

    async def _verify_epochs(self) -> AsyncIterator[Finding | Progress]:
        evidence = self._evidence
        try:
            evidence.epochs = await evidence.again(evidence.epoch_store.all)
            firsts, manifests = await evidence.segments_now(), await evidence.manifests_now()
            stored = max((sequence.epoch for sequence in (*firsts, *manifests)), default=0)
            in_etcd = evidence.head.sequence.epoch if evidence.head is not None else 0
            evidence.present = max(stored, in_etcd) or (evidence.epochs[0].number if evidence.epochs else 0)
            evidence.lineage = evidence.epoch_store.lineage_of(evidence.epochs, evidence.present)
        except DataLoss as error:
            yield fault_of(error, evidence.key("epoch/"))
        ids = {epoch.database_id for epoch in evidence.epochs}
        if len(ids) > 1:
            yield Finding(
                evidence.key("epoch/"),
                f"the epoch objects are of {len(ids)} databases ({', '.join(sorted(ids))}); move those away that do not"
                " belong here",
            )
        for epoch in evidence.epochs:
            key = evidence.epoch_store.key(epoch.number)
            if epoch.accepted is not None and epoch.accepted.counter > 0:
                evidence.mark(epoch.accepted, key, epoch.accepted_digest)
            if evidence.lineage is not None and epoch.number not in evidence.lineage.epochs:
                yield Finding(
                    key, "it is void: this recovery was overtaken, and nothing goes on from it", is_fault=False
                )
            yield evidence.count(key)

    # -- manifests, by name and content

    async def _verify_manifests(self) -> AsyncIterator[Finding | Progress]:
        evidence = self._evidence
        for sequence in await evidence.manifests_now():
            key = evidence.manifest_store.key(sequence)
            try:
                manifest = await evidence.again(partial(evidence.manifest_store.read, sequence))
            except NotFound:
                continue  # cleaned since
            except DataLoss as error:
                yield fault_of(error, key)
                continue
            yield evidence.count(key)
            if manifest.database_id and evidence.epochs and manifest.database_id != evidence.epochs[0].database_id:
                yield Finding(key, f"it is of the database {manifest.database_id}, not of this one; move it away")
            elif evidence.lineage is not None and not evidence.lineage.contains(sequence):
                yield Finding(
                    key,
                    "it is void: a recovery went on without its last entry. No server uses it; it goes when it is"
                    " cleaned",
                    is_fault=False,
                )
            else:
                evidence.manifests[sequence] = manifest
                if sequence.counter > 0:
                    evidence.mark(sequence, key, manifest.digest)

    # -- data files

    async def _verify_files(self) -> AsyncIterator[Finding | Progress]:
        evidence = self._evidence
        seen: set[bytes] = set()
        for sequence, manifest in sorted(evidence.manifests.items(), reverse=True):
            for type_files in manifest.types:
                type_ = self._catalogue.known.get(type_files.type)
                for live in type_files.files:
                    identity = live.SerializeToString(deterministic=True)
                    if identity in seen:
                        continue
                    seen.add(identity)
                    try:
                        await evidence.again(partial(evidence.file_store.verify, live.data))
                        if live.HasField("index"):
                            await evidence.again(partial(evidence.file_store.verify, live.index))
                        for fault in await evidence.again(partial(faults_of_records, evidence.file_store, type_, live)):
                            yield Finding(evidence.key(live.data.key), f"{fault}. {_OTHER_COPY}")
                    except NotFound as error:
                        if sequence in await evidence.manifests_now():
                            yield Finding(
                                evidence.key(live.data.key),
                                f"{error.message}, and the manifest {evidence.manifest_store.key(sequence)} names it."
                                " Restore this object from a copy of the object storage",
                            )
                    except DataLoss as error:
                        yield fault_of(error, evidence.key(live.data.key))
                    yield evidence.count(evidence.key(live.data.key))
                    if live.HasField("index"):
                        yield evidence.count(evidence.key(live.index.key))

    async def _verify_replay(self) -> AsyncIterator[Finding | Progress]:
        """Check that the newest manifest is what the log makes of the one before it, where all of that is there."""
        evidence = self._evidence
        if evidence.lineage is None or len(evidence.manifests) < 2:
            return
        *_, before, after = sorted(evidence.manifests)
        try:
            async with Changes.open(self._scratch) as changes:
                at = before
                async for segment in evidence.segment_store.after(before, evidence.lineage):
                    entries = [entry for entry in segment.entries if entry.sequence <= after]
                    if not entries:
                        break
                    await changes.add(entries)
                    at = entries[-1].sequence
                if at != after:
                    return  # cleaned, or told already as a gap
                faults = await compare_manifests(
                    evidence.file_store, evidence.manifests[before], changes, evidence.manifests[after]
                )
        except (NotFound, DataLoss):
            return  # told already, or cleaned since
        for fault in faults:
            yield Finding(
                evidence.manifest_store.key(after),
                f"{fault}. Delete this manifest to go on from the one before it and the segments, while those are kept"
                f" (24 h), and report it: this is a fault of the software",
            )

    # -- what nobody names

    async def _verify_rest(self) -> AsyncIterator[Finding | Progress]:
        evidence = self._evidence
        # A checkpoint may have ended meanwhile: its manifest names files that were orphans a moment ago.
        named: set[str] = set()
        for sequence in await evidence.manifests_now():
            try:
                manifest = evidence.manifests.get(sequence) or await evidence.manifest_store.read(sequence)
            except (NotFound, DataLoss):
                continue
            named.update(evidence.key(ref.key) for ref in files_of(manifest))
        async for info in evidence.storage.list(evidence.key(""), delimiter="/"):
            name = info.key.removeprefix(evidence.key(""))
            if not info.is_prefix or name.rstrip("/") not in FOLDERS:
                yield Finding(info.key, "nothing of an installation is called so; it is ignored. Move it away", False)
        # A day of segments is a hundred thousand names; a server has others to answer meanwhile.
        for key in await asyncio.to_thread(_strange, evidence.sizes, evidence.key("")):
            yield Finding(key, "no object of a database is called so; it is ignored. Move it away", is_fault=False)
        for folder in (Folder.DATA, Folder.INDEX):
            orphans = await asyncio.to_thread(_orphans, evidence.sizes, evidence.key(f"{folder}/"), named)
            if orphans:
                size = sum(evidence.sizes[key] for key in orphans)
                yield Finding(
                    orphans[0],
                    f"{len(orphans)} objects in {folder}/ ({size} bytes) are named by no manifest, this one first: of a"
                    " checkpoint that is being made or did not end. They go when they are a day old",
                    is_fault=False,
                )


def _strange(keys: Iterable[str], prefix: str) -> list[str]:
    """List the keys that are not called as a database's objects are, in order."""
    return sorted(key for key in keys if not _is_name(*key.removeprefix(prefix).split("/", 1)))


def _orphans(keys: Iterable[str], folder: str, named: Set[str]) -> list[str]:
    """List the keys of a folder that nobody names, in order."""
    return sorted(key for key in keys if key.startswith(folder) and key not in named)


def _is_name(folder: str, name: str) -> bool:
    if folder in {Folder.DATA, Folder.INDEX}:
        return True  # those that no manifest names are told together
    if folder == Folder.EPOCH:
        return _EPOCH_NAME.fullmatch(name) is not None
    try:
        return str(LogSequence.parse(name)) == name
    except ValueError:
        return False
