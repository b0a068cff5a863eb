"""What people list and download of a run."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import run_pb2
from sluiceway.api.run.v1 import run_service_pb2 as api
from sluiceway_common.foundation.errors import NotFound, OutOfRange
from sluiceway_common.runmodel.model import ArchiveKind
from sluiceway_server.archives.finding import artifacts_of
from sluiceway_server.archives.layout import run_object
from sluiceway_server.archives.store import ArchiveStore
from sluiceway_server.datamanager.port import Database


class Artifacts:
    """The artifacts of runs. The caller's right on the run was checked."""

    def __init__(self, database: Database, store: ArchiveStore) -> None:
        self._database = database
        self._store = store

    async def list(self, run_id: str) -> list[api.Artifact]:
        """Return the artifacts of a run, by task and name."""
        found = await self._database.read(lambda view: artifacts_of(view, run_id))
        return [_artifact(task, archive) for task, archive, _ in found]

    async def read(self, request: api.ReadArtifactRequest) -> AsyncIterator[api.ReadArtifactResponse]:
        """Yield an artifact, or a part of it; see `RunService.ReadArtifact`.

        Raises:
            NotFound, OutOfRange, Unavailable: see there.
        """
        found = await self._database.read(lambda view: artifacts_of(view, request.run_id))
        chosen = next(((a, run) for task, a, run in found if _id(task, a) == request.artifact_id), None)
        if chosen is None:
            raise NotFound(
                f"run {request.run_id} has no artifact {request.artifact_id!r}",
                resource_type="artifact",
                resource_name=request.artifact_id,
            )
        archive, run_id = chosen
        name = run_object(ArchiveKind.ARTIFACT, run_id, archive.sha256)
        if not await self._store.exists(name):
            raise NotFound(
                f'the artifact "{archive.name}" is not kept any more; restart the run to make it again',
                reason="ARTIFACT_EXPIRED",
                resource_type="artifact",
                resource_name=request.artifact_id,
            )
        size = archive.size_bytes
        offset = max(0, size - request.tail) if request.tail else request.offset
        if offset > size:
            raise OutOfRange(f"the artifact has {size} bytes; there is nothing at {offset}")
        if request.describe:
            yield api.ReadArtifactResponse(next_offset=offset, size=size, etag=archive.sha256)
        async for data in self._store.read(name, size, offset):
            offset += len(data)
            yield api.ReadArtifactResponse(next_offset=offset, data=data)


def _artifact(task: run_pb2.Task, archive: executor_api.Archive) -> api.Artifact:
    return api.Artifact(
        id=_id(task, archive),
        name=archive.name,
        task_id=task.id,
        task_name=task.name,
        step=archive.step,
        size_bytes=archive.size_bytes,
        file_count=archive.file_count,
        sha256=archive.sha256,
    )


def _id(task: run_pb2.Task, archive: executor_api.Archive) -> str:
    return f"{task.id}-{archive.step}"
