"""The configurations of runs: in their record, or, if large, in the object storage under their digest.

A large one is stored before the run is committed, so a run never names an object that is not there. Objects are named
by what they hold, so storing one twice is harmless, and restarts share it.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import DataLoss, Exhausted, Unavailable
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.datamanager.caches import WEIGHT_OF_KEY, Lru, weight_of_message
from sluiceway_server.datamanager.port import Database
from sluiceway_server.runrecords.types import RUN_CONFIG
from sluiceway_server.runs.config_objects import config_folder
from sluiceway_server.runs.ports import ObjectBodies

_YOUNG = timedelta(hours=12)
"""Half of what a configuration is kept for when no run has it."""

STORAGE_TIMEOUT = timedelta(seconds=30)
KEPT_BYTES = 12 * 1024 * 1024
"""Of memory, not of encodings. A configuration of 2,000 tasks takes 1.5 MB."""


class RunConfigs:
    """Stores and reads configurations; caches the large ones."""

    def __init__(
        self, db: Database, bodies: ObjectBodies | None, clock: Clock, *, inline_bytes: int, prefix: str = ""
    ) -> None:
        self._db = db
        self._clock = clock
        self._folder = config_folder(prefix)
        self._bodies = bodies
        self._inline_bytes = inline_bytes
        self._kept: Lru[str, pb.RunConfig] = Lru(KEPT_BYTES)

    @property
    def kept_weight(self) -> int:
        """The memory that cached configurations take, estimated."""
        return self._kept.weight

    async def prepare(self, config: bytes, digest: str) -> pb.RunConfigRecord:
        """Make the record of an encoded configuration; a large one is in the object storage when this returns.

        Raises:
            Exhausted: it is large, and this server has no object storage for it.
            Unavailable: the object storage did not respond in time.
        """
        if len(config) <= self._inline_bytes:
            record = pb.RunConfigRecord(digest=digest)
            record.config.MergeFromString(config)
            return record
        if self._bodies is None:
            raise Exhausted(
                f"the run's configuration has {len(config)} bytes; "
                f"without an object storage at most {self._inline_bytes}",
                reason="RUN_TOO_LARGE",
            )
        try:
            async with time_limit(STORAGE_TIMEOUT.total_seconds()):
                if not await self._bodies.put_if_absent(self._key(digest), config):
                    await self._keep_young(digest, config)
        except TimeoutError as cause:
            raise Unavailable("the object storage does not respond; the run was not created") from cause
        return pb.RunConfigRecord(digest=digest, stored_apart=True)

    async def confirm(self, config: bytes, record: pb.RunConfigRecord) -> None:
        """Make sure that a configuration is still stored after the run with it was committed.

        No other run may have had it before, and it may have been deleted for that between `prepare` and the commit
        (`config_objects`). May be repeated.

        Raises:
            Unavailable: the object storage did not respond in time.
        """
        if not record.stored_apart or self._bodies is None:
            return
        try:
            async with time_limit(STORAGE_TIMEOUT.total_seconds()):
                if await self._bodies.head(self._key(record.digest)) is None:
                    await self._bodies.put_if_absent(self._key(record.digest), config)
        except TimeoutError as cause:
            raise Unavailable("the object storage does not respond") from cause

    async def _keep_young(self, digest: str, body: bytes) -> None:
        """Store an object again that is so old that it may be deleted soon."""
        assert self._bodies is not None  # noqa: S101 - the caller looked
        info = await self._bodies.head(self._key(digest))
        if info is None or info.modified is None or self._clock.now() - info.modified > _YOUNG:
            await self._bodies.put(self._key(digest), body)

    async def of_run(self, run_id: str, record: pb.RunConfigRecord | None = None) -> pb.RunConfig:
        """Read the configuration of a run, from its record if that was read already. Shared: not to be changed.

        Raises:
            NotFound: there is no such run.
            DataLoss: the object is not what was stored.
            Unavailable: the object storage did not respond in time.
        """
        found = self._kept.get(run_id)
        if found is not None:
            return found
        if record is None:
            record = await self._db.get(RUN_CONFIG, run_id)
        if not record.stored_apart:
            return record.config  # the database keeps what was read lately
        config = await self._fetch(record.digest)
        self._kept.put(run_id, config, WEIGHT_OF_KEY + weight_of_message(config.ByteSize()))
        return config

    async def _fetch(self, digest: str) -> pb.RunConfig:
        if self._bodies is None:
            raise Unavailable("the run's configuration is in the object storage, and this server has none")
        try:
            async with time_limit(STORAGE_TIMEOUT.total_seconds()):
                body = await self._bodies.get(self._key(digest))
        except TimeoutError as cause:
            raise Unavailable("the object storage does not respond") from cause
        if hashlib.sha256(body).hexdigest() != digest:
            raise DataLoss(f"object {self._key(digest)} is not what was stored; restore it, or cancel the run")
        return pb.RunConfig.FromString(body)

    def _key(self, digest: str) -> str:
        return self._folder + digest
