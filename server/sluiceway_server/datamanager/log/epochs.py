r"""Epoch objects: where each epoch of the log begins, and which entries are the history of the database.

`epoch/<n>` is put, if absent, before anything else of epoch n. It ties the database to one etcd cluster, and names the
last entry of an earlier epoch that counts. So the history, the `Lineage`, is found from its end: from the present epoch
back through the entries that were accepted. Everything else is *void*: entries of an epoch after the accepted one, and
epochs that no later one continues from (a recovery that crashed or was overtaken). A void entry is reported and never
applied, and a manifest that ends at one is not used.

    epoch 1   1 2 3 4 5 6 7
                      |  \_ void: 5 6 7
    epoch 2           4 -> 1 2 3
                               |
    epoch 4                    3 -> 1 2 ...         (epoch 3 was begun and abandoned)
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import structlog
from google.protobuf.message import DecodeError

from sluiceway.records.log.v1.log_pb2 import Epoch
from sluiceway_common.foundation.errors import DataLoss
from sluiceway_server.datamanager.log.entries import from_sequence_proto
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.objectstorage.layout import Folder
from sluiceway_server.objectstorage.port import ObjectStorage

log = structlog.get_logger(__name__)

_NAME = re.compile("[0-9a-f]{8}")
_MAGIC = b"SLEPO\x00\x00\x01"


@dataclass(frozen=True, slots=True)
class Lineage:
    """The history.

    Attributes:
        epochs: its epochs, oldest first; the last one is the present one.
        ends: the last entry of each but the present epoch (and of that, after `until`). Counter 0: none.
    """

    epochs: tuple[int, ...]
    ends: Mapping[int, LogSequence]

    @staticmethod
    def of(accepted: Mapping[int, LogSequence | None], present: int) -> Lineage:
        """Walk back from the present epoch.

        Args:
            accepted: for each epoch object, the entry that it continues from; None: it began empty.
            present: the epoch of etcd's head.

        Raises:
            KeyError: an epoch of the history has no epoch object; its number is the argument.
            ValueError: an epoch continues from itself or from a later one.
        """
        epochs, ends = [present], {}
        at = present
        while (end := accepted[at]) is not None:
            if end.epoch >= at:
                raise ValueError(f"epoch {at} continues from {end}, which is not before it")
            ends[end.epoch] = end
            at = end.epoch
            epochs.append(at)
        return Lineage(tuple(reversed(epochs)), ends)

    @property
    def present(self) -> int:
        return self.epochs[-1]

    def contains(self, sequence: LogSequence) -> bool:
        """Return whether an entry is part of the history. Counter 0 is the state before an epoch's first entry."""
        if sequence.epoch not in self.epochs:
            return False
        end = self.ends.get(sequence.epoch)
        return end is None or sequence <= end

    def following(self, sequence: LogSequence) -> LogSequence:
        """Return the sequence of the next entry, in this epoch or the next. Raises ValueError outside the history."""
        if not self.contains(sequence):
            raise ValueError(f"{sequence} is not part of this history")
        if sequence == self.ends.get(sequence.epoch) and sequence.epoch != self.present:
            later = self.epochs[self.epochs.index(sequence.epoch) + 1]
            return LogSequence(later, 1)
        return sequence.next()

    def until(self, sequence: LogSequence) -> Lineage:
        """Return the history up to one of its entries. Raises ValueError outside the history."""
        if not self.contains(sequence):
            raise ValueError(f"{sequence} is not part of this history")
        epochs = self.epochs[: self.epochs.index(sequence.epoch) + 1]
        ends = {epoch: end for epoch, end in self.ends.items() if epoch < sequence.epoch}
        return Lineage(epochs, {**ends, sequence.epoch: sequence})

    def between(self, after: LogSequence, last: LogSequence) -> Iterator[tuple[LogSequence, LogSequence]]:
        """Yield the first and last entry in each epoch, after one entry of the history and up to another."""
        while after < last:
            first = self.following(after)
            after = min(self.ends.get(first.epoch, last), last)
            if first <= after:
                yield first, after

    def count(self, after: LogSequence, last: LogSequence) -> int:
        """Count the entries after one of the history and up to another. Raises ValueError outside the history."""
        if not (self.contains(after) and self.contains(last)):
            raise ValueError(f"{after} or {last} is not part of this history")
        return sum(end.counter - first.counter + 1 for first, end in self.between(after, last))


def accepted_of(epoch: Epoch) -> LogSequence | None:
    """Return the entry of an earlier epoch from which an epoch continues; None: it began empty."""
    return from_sequence_proto(epoch.accepted) if epoch.HasField("accepted") else None


class Epochs:
    """The epoch objects of one database."""

    def __init__(self, storage: ObjectStorage, *, prefix: str) -> None:
        self._storage = storage
        self._folder = f"{prefix}/{Folder.EPOCH}/"
        self.strange: frozenset[str] = frozenset()  # keys in the folder that are not names of epoch objects

    async def all(self) -> list[Epoch]:
        """Read all epoch objects, oldest first; one for each recovery. Raises `DataLoss`."""
        found = []
        async for info in self._storage.list(self._folder):
            name = info.key.removeprefix(self._folder)
            if not _NAME.fullmatch(name):
                log.warning("no_epoch_object", key=info.key, do="move it away; it is ignored")
                self.strange |= {info.key}
                continue
            epoch = _decode(info.key, await self._storage.get(info.key))
            if epoch.number != int(name, 16):
                raise _damaged(info.key, f"it is the object of epoch {epoch.number}")
            found.append(epoch)
        return found

    async def newest(self) -> Epoch | None:
        """Read the newest epoch object, which may have no meaning; None when there is none."""
        found = await self.all()
        return found[-1] if found else None

    async def lineage(self, present: int) -> Lineage:
        """Return the history of the present epoch. Raises `DataLoss` if an epoch object is missing or damaged."""
        return self.lineage_of(await self.all(), present)

    def lineage_of(self, epochs: Sequence[Epoch], present: int) -> Lineage:
        """Return the history of the present epoch, with epoch objects that were read already."""
        try:
            return Lineage.of({epoch.number: accepted_of(epoch) for epoch in epochs}, present)
        except KeyError as cause:
            raise DataLoss(
                f"the epoch object {self.key(cause.args[0])} is missing: without it the history of this database is not"
                " known; restore it from a copy of the object storage",
                reason="EPOCH_MISSING",
            ) from cause
        except ValueError as cause:
            raise DataLoss(f"the epoch objects in {self._folder} make no history: {cause}") from cause

    def key(self, number: int) -> str:
        return f"{self._folder}{number:08x}"

    async def put(self, epoch: Epoch) -> bool:
        """Store an epoch object unless there is one of this number; return whether it was stored."""
        content = epoch.SerializeToString()
        body = b"".join((_MAGIC, hashlib.sha256(content).digest(), content))
        return await self._storage.put_if_absent(self.key(epoch.number), body)


def _decode(key: str, body: bytes) -> Epoch:
    start = len(_MAGIC) + 32
    if body[: len(_MAGIC)] != _MAGIC:
        raise _damaged(key, "it does not begin as an epoch object that this version can read")
    if hashlib.sha256(body[start:]).digest() != body[len(_MAGIC) : start]:
        raise _damaged(key, "its checksum does not hold")
    try:
        return Epoch.FromString(body[start:])
    except DecodeError as cause:
        raise _damaged(key, "this version cannot read it") from cause


def _damaged(key: str, why: str) -> DataLoss:
    return DataLoss(
        f"the epoch object {key} is damaged: {why}. Restore it from a copy of the object storage",
        reason="EPOCH_DAMAGED",
    )
