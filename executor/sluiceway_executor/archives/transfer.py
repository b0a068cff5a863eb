"""Puts archives to a server, and gets them from it.

While the server or its object storage is away, calls are repeated with growing pauses: the time that a task has, or a
request to stop it, ends them.
"""

from __future__ import annotations

import asyncio
import hashlib
import random as _random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import IO, TypeVar

import grpc.aio

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.errors import DataLoss
from sluiceway_executor.journal import Journal
from sluiceway_executor.server_calls import repeat_call

T = TypeVar("T")

_CHUNK_BYTES = 512 * 1024
_FIND_SECONDS = 30.0


class ArchiveTransfer:
    """The archives of one executor at its servers."""

    def __init__(
        self,
        open_channel: Callable[[], grpc.aio.Channel],
        journal: Journal,
        *,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._open_channel = open_channel
        self._journal = journal
        self._random = random

    async def put(self, assignment_id: str, archive: pb.Archive, path: Path) -> bool:
        """Store an archive of a step; False: it is a cache whose key was taken.

        Raises:
            SluicewayError: the server refuses it; see `ExecutorService.PutArchive`.
        """

        async def call(stub: pb_grpc.ExecutorServiceAsyncStub) -> bool:
            executor, session, secret = self._session()
            first = pb.PutArchiveRequest(
                executor_id=executor,
                session_id=session,
                session_secret=secret,
                assignment_id=assignment_id,
                archive=archive,
            )
            stored = await stub.PutArchive(_messages(first, path))
            return bool(stored.stored)

        return await self._repeated("put an archive", call)

    async def find(self, assignment_id: str, step: int, keys: Sequence[str] = ()) -> pb.FindArchivesResponse:
        """Find what a step restores.

        Raises:
            SluicewayError: see `ExecutorService.FindArchives`.
        """

        async def call(stub: pb_grpc.ExecutorServiceAsyncStub) -> pb.FindArchivesResponse:
            executor, session, secret = self._session()
            request = pb.FindArchivesRequest(
                executor_id=executor,
                session_id=session,
                session_secret=secret,
                assignment_id=assignment_id,
                step=step,
                keys=keys,
            )
            return await stub.FindArchives(request, timeout=_FIND_SECONDS)

        return await self._repeated("find archives", call)

    async def get(self, assignment_id: str, step: int, archive: pb.Archive, path: Path) -> None:
        """Copy an archive to a file.

        Raises:
            DataLoss: the server has other bytes than it says.
            SluicewayError: see `ExecutorService.GetArchive`.
        """

        async def call(stub: pb_grpc.ExecutorServiceAsyncStub) -> None:
            executor, session, secret = self._session()
            request = pb.GetArchiveRequest(
                executor_id=executor,
                session_id=session,
                session_secret=secret,
                assignment_id=assignment_id,
                step=step,
                archive=archive,
            )
            digest = hashlib.sha256()
            file = await asyncio.to_thread(path.open, "wb")
            try:
                async for response in stub.GetArchive(request):
                    await asyncio.to_thread(_append, file, digest, response.data)
            finally:
                await asyncio.to_thread(file.close)
            if digest.hexdigest() != archive.sha256:
                raise DataLoss(
                    "the archive that the server sent has other bytes than were stored", reason="ARCHIVE_DAMAGED"
                )

        await self._repeated("get an archive", call)

    def _session(self) -> tuple[str, str, str]:
        return self._journal.executor_id, self._journal.session_id, self._journal.session_secret

    async def _repeated(self, what: str, call: Callable[[pb_grpc.ExecutorServiceAsyncStub], Awaitable[T]]) -> T:
        return await repeat_call(self._open_channel, what, call, random=self._random)


async def _messages(first: pb.PutArchiveRequest, path: Path) -> AsyncIterator[pb.PutArchiveRequest]:
    yield first
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while data := await asyncio.to_thread(file.read, _CHUNK_BYTES):
            yield pb.PutArchiveRequest(data=data)
    finally:
        file.close()


def _append(file: IO[bytes], digest: hashlib._Hash, data: bytes) -> None:
    file.write(data)
    digest.update(data)
