"""Bodies that are only in the object storage, and how synchronous functions read them.

Reads and transaction functions do no I/O. So a view that finds a row without its body raises `BodiesNotLoaded` with all
missing bodies that it can name. The caller of the function fetches them into `FetchedBodies`, and calls the function
again on a fresh snapshot. A function always sees one snapshot: a body is used only for the row's revision.

If the fetched revision differs from the row's, the manifest is an old one, or the record changed meanwhile: then the
function is called again with the newest manifest, on a snapshot that includes it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sluiceway.records.storage.v1.storage_pb2 import Manifest
from sluiceway_common.foundation.errors import DataLoss, Exhausted, NotFound, PermissionDenied, Unavailable
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.datamanager.caches import AT_HAND_BYTES, WEIGHT_OF_KEY
from sluiceway_server.datamanager.log.entries import from_sequence_proto
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.model import LogSequence, Position, RecordType
from sluiceway_server.datamanager.replica.replica import AppliedUpTo
from sluiceway_server.datamanager.tables.block import StoredRecord
from sluiceway_server.datamanager.tables.data_file import FileStore
from sluiceway_server.datamanager.tables.manifest import ManifestStore

MOST_AT_ONCE = 1000
"""Missing bodies in one `BodiesNotLoaded`."""
_TRIES = 4
"""For one revision of one record: the second is with the newest manifest, the others for changes meanwhile."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A row without its body."""

    type: RecordType[Any]
    id: str
    revision: Position

    def __str__(self) -> str:
        return f"{self.type.name} {self.id!r}"


class BodiesNotLoaded(BaseException):
    """A function read rows without bodies. Not an `Exception`, so that no function catches it by accident."""

    def __init__(self, missing: Iterable[Missing]) -> None:
        self.missing = tuple(missing)
        super().__init__(f"{len(self.missing)} bodies are in the object storage")


class FetchedBodies:
    """The bodies fetched for one function; `ColdBodyStore.fetch` adds to them between two calls."""

    def __init__(self) -> None:
        self._bodies: dict[tuple[str, str], tuple[Position, bytes]] = {}
        self.tries: Counter[tuple[str, str, Position]] = Counter()  # to fetch a body, by type, id and revision
        self._weight = 0

    def __len__(self) -> int:
        return len(self._bodies)

    def find(self, type_name: str, id_: str, revision: Position) -> bytes | None:
        """Return the body of exactly this revision, if it was fetched."""
        found = self._bodies.get((type_name, id_))
        return found[1] if found is not None and found[0] == revision else None

    def look_ahead(self) -> int:
        """Return how many missing bodies to request at once: few at first, as the function may not need more."""
        return min(MOST_AT_ONCE, 64 + 2 * len(self._bodies))

    def add(self, type_name: str, record: StoredRecord) -> None:
        """Add a body. Raises `Exhausted` if the function needs too much."""
        old = self._bodies.get((type_name, record.id))
        self._weight += len(record.body) - len(old[1]) if old else len(record.body) + WEIGHT_OF_KEY
        self._bodies[type_name, record.id] = (record.revision, record.body)
        if self._weight > AT_HAND_BYTES:
            raise Exhausted(
                f"one read needs more than {AT_HAND_BYTES // 1024} KiB of old records from the object storage: ask for"
                " a smaller page",
                reason="TOO_MANY_OLD_RECORDS",
            )


NO_BODIES = FetchedBodies()
"""For a first call."""


class ColdBodyStore:
    """Fetches bodies from the files of the newest manifest that this server knows.

    Attributes:
        manifest: that one; None: there is none yet. `use` and `refresh` replace it.
    """

    def __init__(
        self,
        files: FileStore,
        manifests: ManifestStore,
        lineage: Lineage,
        *,
        wait_applied: Callable[[Position], Awaitable[None]],
        timeout: timedelta,
    ) -> None:
        self._files = files
        self._manifests = manifests
        self._lineage = lineage
        self._wait_applied = wait_applied
        self._timeout = timeout.total_seconds()
        self.manifest: Manifest | None = None
        self._loading = asyncio.Lock()

    @property
    def covered(self) -> LogSequence | None:
        """The last entry in the files of the manifest; None: there is no manifest yet."""
        return None if self.manifest is None else from_sequence_proto(self.manifest.sequence)

    def use(self, manifest: Manifest) -> None:
        """Use a manifest of the present history from now on, if it is newer."""
        covered = self.covered
        if covered is None or from_sequence_proto(manifest.sequence) > covered:
            self.manifest = manifest

    async def refresh(self) -> bool:
        """Read the newest manifest; return whether it was a newer one. Raises `Unavailable`, `DataLoss`."""
        known = self.covered
        async with self._loading:
            if self.covered != known:
                return True  # another task read it meanwhile
            found = await self._manifests.newest(self._lineage)
            if found is not None:
                self.use(found)
        return self.covered != known

    async def fetch(self, needed: BodiesNotLoaded, fetched: FetchedBodies) -> None:
        """Fetch missing bodies, after which the function can be called again.

        A body whose revision is not in the files is skipped: then the replica has another revision when this returns.

        Raises:
            Unavailable: the object storage is away, or refuses this server; reason `OLD_RECORDS_UNAVAILABLE`.
            Exhausted: too much for one function.
            DataLoss: a wanted revision is neither in the files nor superseded.
        """
        wanted = list(needed.missing)
        try:
            async with time_limit(self._timeout):
                absent = await self._fetch(wanted, fetched)
                if absent and await self.refresh():
                    absent = await self._fetch(absent, fetched)
        except (TimeoutError, Unavailable, PermissionDenied) as cause:  # denied to this server, and not to the caller
            why = str(cause) or f"no response within {self._timeout:g} s"
            raise Unavailable(
                f"{wanted[0]} is in the object storage, which cannot be read ({why}); newer records can be read",
                reason="OLD_RECORDS_UNAVAILABLE",
            ) from cause
        for missing in absent:
            key = (missing.type.name, missing.id, missing.revision)
            fetched.tries[key] += 1
            if fetched.tries[key] >= _TRIES:
                raise DataLoss(
                    f"the body of {missing} at the revision {missing.revision} is not in the files of the"
                    f" manifest {self.covered}: run `sluice db verify`",
                    reason="BODY_MISSING",
                    metadata={"record": str(missing), "manifest": str(self.covered)},
                )
        if absent and self.manifest is not None:
            await self._wait_applied(AppliedUpTo.of_manifest(self.manifest).position)

    async def _fetch(self, wanted: list[Missing], fetched: FetchedBodies) -> list[Missing]:
        """Fetch what is in the files of the manifest; return what is not."""
        while True:
            if self.manifest is None:
                await self.refresh()
            if self.manifest is None:
                return wanted
            before = self.covered
            try:
                return await self._find(self.manifest, wanted, fetched)
            except NotFound as cause:
                # The file was garbage collected: then there is a newer manifest.
                if not await self.refresh() and self.covered == before:
                    raise file_missing(before, cause) from cause

    async def _find(self, manifest: Manifest, wanted: list[Missing], fetched: FetchedBodies) -> list[Missing]:
        by_type: dict[str, list[Missing]] = {}
        for missing in wanted:
            by_type.setdefault(missing.type.name, []).append(missing)
        absent: list[Missing] = []
        for name, group in by_type.items():
            files = [file for type_ in manifest.types if type_.type == name for file in type_.files]
            found = await self._files.find(files, [each.id for each in group])
            for missing in group:
                record = found.get(missing.id)
                if record is not None and record.revision == missing.revision:
                    fetched.add(name, record)
                else:
                    absent.append(missing)
        return absent


def file_missing(manifest: LogSequence | None, cause: NotFound) -> DataLoss:
    """Return the error for a manifest that is the newest one, and of which a file does not exist."""
    return DataLoss(
        f"the manifest {manifest} refers to a file that is gone: {cause}. Restore it from a copy of the object storage;"
        " `sluice db verify` looks for others",
        reason="FILE_MISSING",
        metadata={"manifest": str(manifest)},
    )
