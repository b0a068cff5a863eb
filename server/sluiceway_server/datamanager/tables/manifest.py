"""Manifests: the files of the database at one sequence, `manifest/<sequence>`; what a checkpoint writes last.

An object is a magic with the format's version, the SHA-256 of what follows, and a `Manifest`. It is put if absent: two
servers that checkpoint at one sequence describe the same database, and the files of the second are garbage. A manifest
is checked completely when it is read.

An object whose name is not that of a manifest (a copy, what a file manager leaves) is ignored and logged. An object
that has the name of a manifest and is not one is an error for every reader (decision 0165).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from itertools import pairwise

import structlog
from google.protobuf.message import DecodeError

from sluiceway.records.storage.v1.storage_pb2 import FileRef, Manifest, TypeFiles
from sluiceway_common.foundation.errors import DataLoss, NotFound
from sluiceway_server.datamanager.log.entries import from_sequence_proto
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.objectstorage.layout import Folder
from sluiceway_server.objectstorage.port import ObjectStorage

log = structlog.get_logger(__name__)

_MAGIC = b"SLMAN\x00\x00\x01"
_DIGEST_END = len(_MAGIC) + 32
_ATTEMPTS = 5


class ManifestDamaged(DataLoss):
    """A manifest is not what was written."""

    reason = "MANIFEST_DAMAGED"

    def __init__(self, key: str, why: str) -> None:
        super().__init__(
            f"the manifest {key} is damaged: {why}. Restore this object from a copy of the object storage, or delete it"
            " to continue from the manifest before it and the segments; `sluice db verify` looks for others",
            metadata={"object": key},
        )


def encode_manifest(manifest: Manifest) -> bytes:
    """Encode a manifest. Raises ValueError, with all faults, for one that is not valid."""
    if faults := list(faults_of(manifest)):
        raise ValueError(f"the manifest is not valid: {'; '.join(faults)}")
    content = manifest.SerializeToString(deterministic=True)
    return b"".join((_MAGIC, hashlib.sha256(content).digest(), content))


def decode_manifest(key: str, body: bytes) -> Manifest:
    """Decode and check a manifest. Raises `ManifestDamaged`."""
    if body[: len(_MAGIC)] != _MAGIC:
        if body[: len(_MAGIC) - 1] == _MAGIC[:-1] and len(body) >= len(_MAGIC):
            raise ManifestDamaged(
                key, f"it is of the format version {body[len(_MAGIC) - 1]}, and this server reads {_MAGIC[-1]} only"
            )
        raise ManifestDamaged(key, "it does not begin as a manifest")
    if hashlib.sha256(memoryview(body)[_DIGEST_END:]).digest() != body[len(_MAGIC) : _DIGEST_END]:
        raise ManifestDamaged(key, "its checksum does not hold")
    try:
        manifest = Manifest.FromString(body[_DIGEST_END:])
    except DecodeError as cause:
        raise ManifestDamaged(key, "it cannot be read") from cause
    for fault in faults_of(manifest):
        raise ManifestDamaged(key, fault)
    return manifest


def faults_of(manifest: Manifest) -> Iterator[str]:
    """Yield what is wrong with a manifest."""
    if manifest.sequence.epoch < 1:
        yield "it names no sequence"
    names = [files.type for files in manifest.types]
    if any(one >= other for one, other in pairwise(names)):
        yield "its record types are out of order"
    for files in manifest.types:
        yield from _faults_of_type(files)


def _faults_of_type(files: TypeFiles) -> Iterator[str]:
    if not files.type.isidentifier():
        yield f"{files.type!r} cannot name a record type"
    if not files.files:
        yield f"the type {files.type} has no files"
    last: str | None = None
    for file in files.files:
        yield from _faults_of_file(file.data, f"{Folder.DATA}/{files.type}/")
        if file.HasField("index"):
            yield from _faults_of_file(file.index, f"{Folder.INDEX}/{files.type}/")
        if last is not None and file.data.first <= last:
            yield f"{file.data.key} is out of order, or overlaps the file before it"
        last = file.data.last
        same = (file.index.first, file.index.last, file.index.records)
        if file.HasField("index") and same != (file.data.first, file.data.last, file.data.records):
            yield f"{file.index.key} is not of the records of {file.data.key}"


def _faults_of_file(ref: FileRef, folder: str) -> Iterator[str]:
    name = ref.key.removeprefix(folder)
    if not ref.key.startswith(folder) or not name or "/" in name:
        yield f"the file {ref.key!r} is not in the folder {folder}"
    if len(ref.digest) != hashlib.sha256().digest_size or not 0 < ref.footer_offset < ref.size:
        yield f"it does not say what {ref.key} is"
    if ref.records < 1 or ref.first > ref.last:
        yield f"it does not say which records are in {ref.key}"


class ManifestStore:
    """The manifests of one database in its object storage."""

    def __init__(self, storage: ObjectStorage, *, prefix: str) -> None:
        self._storage = storage
        self._folder = f"{prefix}/{Folder.MANIFEST}/"
        self.strange: frozenset[str] = frozenset()  # keys in the folder that are not names of manifests

    def key(self, sequence: LogSequence) -> str:
        return f"{self._folder}{sequence}"

    async def put(self, manifest: Manifest) -> bool:
        """Store a manifest unless there is one of its sequence; return whether it was stored.

        Raises:
            ValueError: it is not valid.
        """
        body = await asyncio.to_thread(encode_manifest, manifest)
        return await self._storage.put_if_absent(self.key(from_sequence_proto(manifest.sequence)), body)

    async def read(self, sequence: LogSequence) -> Manifest:
        key = self.key(sequence)
        # In a thread: the manifest of a large database has thousands of files.
        manifest = await asyncio.to_thread(decode_manifest, key, await self._storage.get(key))
        if from_sequence_proto(manifest.sequence) != sequence:
            raise ManifestDamaged(key, f"it is the manifest of {from_sequence_proto(manifest.sequence)}")
        return manifest

    async def sequences(self) -> list[LogSequence]:
        """List the sequences of all manifests, oldest first. Objects with other names are logged once."""
        found = []
        async for info in self._storage.list(self._folder):
            try:
                found.append(LogSequence.parse(info.key.removeprefix(self._folder)))
            except ValueError:
                if info.key not in self.strange:
                    self.strange |= {info.key}
                    log.warning("no_manifest", key=info.key, do="move it away; it is ignored")
        return found

    async def newest(self, lineage: Lineage) -> Manifest | None:
        """Read the newest manifest of the history; None when there is none.

        Raises:
            ManifestDamaged: it is damaged. An older manifest is not used instead: that would hide the damage.
        """
        for _ in range(_ATTEMPTS):
            known = [sequence for sequence in await self.sequences() if lineage.contains(sequence)]
            if not known:
                return None
            try:
                return await self.read(known[-1])
            except NotFound:
                # Garbage collection deleted it between the two calls, so there is a newer one now.
                continue
        raise DataLoss(
            f"the object storage lists manifests in {self._folder} that cannot be found when they are read; is it"
            " consistent after writes?",
            reason="STORAGE_INCONSISTENT",
        )
