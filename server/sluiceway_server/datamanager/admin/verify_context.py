"""What the parts of a verify share: findings, what is known so far of the database, and calls with retries.

Each part adds to the context and reads what parts before it added. A call to a store is retried a few times: a verify
of hours must not end with one lost response.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from sluiceway.records.log.v1.log_pb2 import Epoch
from sluiceway.records.storage.v1.storage_pb2 import Manifest
from sluiceway_common.foundation.errors import Conflict, DeadlineExceeded, SluicewayError, Unavailable
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.log.etcd_log import FlushMark, HeadMark
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.tables.stores import StoredObjects, Stores

_ATTEMPTS = 4
_PAUSE = timedelta(milliseconds=200)

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault, or a note about something harmless: what it is, and what to do.

    Attributes:
        object: the key that it is about; empty: both stores.
    """

    object: str
    message: str
    is_fault: bool = True


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: objects and bytes read, and how many objects there are, as far as is known."""

    objects: int
    bytes: int
    all_objects: int


def note(key: str, message: str) -> Finding:
    """Return a finding that is not a fault."""
    return Finding(key, message, is_fault=False)


def fault_of(error: SluicewayError, key: str) -> Finding:
    """Return an error as a fault; `key` is the object if the error names none."""
    return Finding(error.metadata.get("object", key), error.message)


@dataclass(frozen=True, slots=True)
class Mark:
    """The digest of an entry according to a manifest, an epoch object, or a key of etcd."""

    name: str
    digest: bytes


class VerifyContext:
    """See the module. etcd is asked if `stored` are both `Stores`."""

    def __init__(self, stored: StoredObjects) -> None:
        self.stored = stored
        self.stores = stored if isinstance(stored, Stores) else None
        self.sizes: dict[str, int] = {}
        """Of all objects, in bytes, as they were listed first."""
        self.head: HeadMark | None = None
        """Of etcd, as it was read first; None: etcd was not asked, or it cannot be read; so `flushed`."""
        self.flushed: FlushMark | None = None
        self.epochs: Sequence[Epoch] = ()
        self.lineage: Lineage | None = None
        """The history; None: the epoch objects do not define one."""
        self.marks: dict[LogSequence, list[Mark]] = {}
        self.manifests: dict[LogSequence, Manifest] = {}
        """Those of the history that are whole."""
        self.progress = Progress(0, 0, 0)

    def mark(self, sequence: LogSequence, name: str, digest: bytes) -> None:
        """Note the digest that something names for an entry; nothing for counter 0, which is none."""
        if sequence.counter > 0:
            self.marks.setdefault(sequence, []).append(Mark(name, digest))

    def count(self, key: str) -> Progress:
        """Count an object as read."""
        read = self.progress.objects + 1
        self.progress = Progress(read, self.progress.bytes + self.sizes.get(key, 0), max(len(self.sizes), read))
        return self.progress

    async def segments_now(self) -> list[LogSequence]:
        """List the segments that there are now, by their first entries, in order."""
        return await self.retry(self.stored.segments.firsts)

    async def manifests_now(self) -> list[LogSequence]:
        """List the manifests that there are now, in order."""
        return await self.retry(self.stored.manifests.sequences)

    async def check_history(self) -> None:
        """Raise `Conflict` if the database was recovered into a new epoch since the epoch objects were read."""
        if self.lineage is None:
            return
        epochs = await self.retry(self.stored.epochs.all)
        if [epoch.number for epoch in epochs] != [epoch.number for epoch in self.epochs]:
            raise Conflict(
                "the database was recovered into a new epoch while it was verified; run it again",
                reason="RECOVERED_MEANWHILE",
            )

    async def retry(self, ask: Callable[[], Awaitable[R]]) -> R:
        """Call, and retry while a store is away. Raises what the last attempt raised."""
        for attempt in range(1, _ATTEMPTS):
            try:
                return await ask()
            except (Unavailable, DeadlineExceeded):
                await asyncio.sleep(_PAUSE.total_seconds() * attempt)
        return await ask()
