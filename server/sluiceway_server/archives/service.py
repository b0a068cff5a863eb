"""What executors put, find and get: `ExecutorService.PutArchive`, `FindArchives` and `GetArchive`.

The caller has proved its session. An archive is only taken and given for a step of an assignment of that session that
is not over, and whose kind of step saves or restores.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sluiceway.api.executor.v1 import executor_service_pb2 as api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import Exhausted, FailedPrecondition, InvalidInput, NotFound, Violation
from sluiceway_common.foundation.texts import line_fault, name_fault
from sluiceway_common.runmodel.model import ArchiveKind
from sluiceway_server.archives.finding import cache_id, cache_scopes, find_cache, workspace_of
from sluiceway_server.archives.layout import cache_object, is_digest, run_object
from sluiceway_server.archives.store import ArchiveStore
from sluiceway_server.datamanager.model import Decision, Put, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.runrecords.enums import ARCHIVE_KIND_OF, FINAL_PHASES
from sluiceway_server.runrecords.types import ASSIGNMENT, CACHE, RUN, TASK, task_id

MAX_ARCHIVE_BYTES = 10 << 30
MAX_REPORT_BYTES = 32 << 20
_MAX_KEY = 512
_MAX_KEYS = 20
_USED_AGAIN = timedelta(hours=1)
_OF_CACHES = frozenset({"save_cache", "restore_cache"})
_SAVES = {
    "save_to_workspace": ArchiveKind.WORKSPACE,
    "save_cache": ArchiveKind.CACHE,
    "save_artifacts": ArchiveKind.ARTIFACT,
    "save_reports": ArchiveKind.REPORT,
}


@dataclass(frozen=True, slots=True)
class _Step:
    run: pb.RunRecord
    task_id: str
    kind: str
    cache_scopes: tuple[str, ...]


class ExecutorArchives:
    """The archives of executors."""

    def __init__(
        self,
        database: Database,
        store: ArchiveStore,
        clock: Clock,
        *,
        ids: IdSource,
        config_of: Callable[[str], Awaitable[pb.RunConfig]],
        most_bytes: int = MAX_ARCHIVE_BYTES,
    ) -> None:
        """Make one; `config_of` reads the configuration of a run, `most_bytes` is the limit of one archive."""
        self._database = database
        self._store = store
        self._clock = clock
        self._ids = ids
        self._config_of = config_of
        self._most_bytes = most_bytes

    async def put(self, first: api.PutArchiveRequest, chunks: AsyncIterator[bytes]) -> bool:
        """Store an archive; False: it is a cache whose key is taken.

        Raises:
            InvalidInput, NotFound, FailedPrecondition, Exhausted, Unavailable: see `ExecutorService.PutArchive`.
        """
        archive = first.archive
        _check(archive, self._most_bytes)
        step = await self._step(first.executor_id, first.session_id, first.assignment_id, archive.step)
        kind = ARCHIVE_KIND_OF.get(archive.kind)
        if kind is None or _SAVES.get(step.kind) is not kind:
            raise FailedPrecondition(f"a step {step.kind} saves no such archive", reason="STEP_UNSUPPORTED")
        if kind is ArchiveKind.CACHE:
            return await self._put_cache(step, archive, chunks)
        name = run_object(kind, step.run.run.id, archive.sha256)
        await self._store.put(name, chunks, sha256=archive.sha256, size=archive.size_bytes)
        return True

    async def _put_cache(self, step: _Step, archive: api.Archive, chunks: AsyncIterator[bytes]) -> bool:
        scope = step.cache_scopes[0]
        id_ = cache_id(scope, archive.name)
        if await self._database.read(lambda view: view.get(CACHE, id_)) is not None:
            return False
        name = cache_object(self._ids.new_id())
        await self._store.put(name, chunks, sha256=archive.sha256, size=archive.size_bytes)
        record = pb.CacheRecord(
            scope=scope,
            key=archive.name,
            object=name,
            digest=archive.sha256,
            size=archive.size_bytes,
            files=archive.file_count,
            run_id=step.run.run.id,
        )
        record.create_time.FromDatetime(self._clock.now())
        record.use_time.CopyFrom(record.create_time)

        def store(view: View) -> Decision[bool]:
            if view.get(CACHE, id_) is not None:
                return Decision(False)
            return Decision(True, [Put(CACHE, id_, record)])

        stored = (await self._database.transact(store)).value
        if not stored:
            await self._store.delete(name)
        return stored

    async def find(self, request: api.FindArchivesRequest) -> api.FindArchivesResponse:
        """Find what a step restores.

        Raises:
            InvalidInput, NotFound, FailedPrecondition: see `ExecutorService.FindArchives`.
        """
        step = await self._step(request.executor_id, request.session_id, request.assignment_id, request.step)
        run_id = step.run.run.id
        if step.kind == "restore_workspace":
            found = await self._database.read(lambda view: workspace_of(view, run_id, step.task_id))
            return api.FindArchivesResponse(archives=[item for _, item in found])
        if step.kind not in {"restore_cache", "save_cache"}:
            raise FailedPrecondition(f"a step {step.kind} restores nothing", reason="STEP_UNSUPPORTED")
        _check_keys(request.keys)
        keys = tuple(request.keys)
        cache, nearest = await self._database.read(lambda view: find_cache(view, step.cache_scopes, keys))
        if cache is None:
            return api.FindArchivesResponse(nearest_key=nearest)
        if step.kind == "restore_cache":
            await self._use(cache.id)
        return api.FindArchivesResponse(archives=[api.FoundArchive(archive=_archive_of(cache.record, request.step))])

    async def get(self, request: api.GetArchiveRequest) -> AsyncIterator[bytes]:
        """Yield the bytes of an archive that `find` has found.

        Raises:
            NotFound, FailedPrecondition, Unavailable: see `ExecutorService.GetArchive`.
        """
        step = await self._step(request.executor_id, request.session_id, request.assignment_id, request.step)
        wanted = request.archive

        def locate(view: View) -> str | None:
            if step.kind == "restore_workspace":
                found = workspace_of(view, step.run.run.id, step.task_id)
                in_run = next((run for run, item in found if item.archive.sha256 == wanted.sha256), None)
                return None if in_run is None else run_object(ArchiveKind.WORKSPACE, in_run, wanted.sha256)
            for scope in step.cache_scopes if step.kind == "restore_cache" else ():
                record = view.get(CACHE, cache_id(scope, wanted.name))
                if record is not None and record.digest == wanted.sha256:
                    return record.object
            return None

        name = await self._database.read(locate)
        if name is None:
            raise NotFound("the archive is not kept any more", reason="ARCHIVE_GONE")
        async for data in self._store.read(name, wanted.size_bytes):
            yield data

    async def _use(self, id_: str) -> None:
        """Note that a cache was restored; not more than once an hour."""
        now = self._clock.now()

        def use(view: View) -> Decision[None]:
            record = view.get(CACHE, id_)
            if record is None or record.use_time.ToDatetime(tzinfo=now.tzinfo) + _USED_AGAIN > now:
                return Decision(None)
            used = pb.CacheRecord()
            used.CopyFrom(record)
            used.use_time.FromDatetime(now)
            return Decision(None, [Put(CACHE, id_, used)])

        await self._database.transact(use)

    async def _step(self, executor_id: str, session_id: str, assignment_id: str, step: int) -> _Step:
        assignment = await self._database.get(ASSIGNMENT, assignment_id)
        if (assignment.executor_id, assignment.session_id) != (executor_id, session_id):
            raise NotFound(
                f"the executor {executor_id} does not hold the assignment {assignment_id}",
                resource_type="assignment",
                resource_name=assignment_id,
            )
        if assignment.phase in FINAL_PHASES:
            raise FailedPrecondition(f"the assignment {assignment_id} is over", reason="ASSIGNMENT_FINAL")
        run_id = assignment.run_id
        run = await self._database.get(RUN, run_id)
        task = (await self._database.get(TASK, task_id(run_id, assignment.task_id))).task
        if not 0 <= step < len(task.steps):
            raise NotFound(f"the task {task.name} has no step {step}", reason="STEP_UNKNOWN")
        kind = task.steps[step].type
        scopes = cache_scopes(run, await self._config_of(run_id)) if kind in _OF_CACHES else ()
        return _Step(run, assignment.task_id, kind, tuple(scopes))


def _check(archive: api.Archive, most_bytes: int) -> None:
    violations = []
    if not is_digest(archive.sha256):
        violations.append(Violation("archive.sha256", "64 of 0-9 a-f"))
    if archive.size_bytes < 0 or archive.file_count < 0:
        violations.append(Violation("archive.size_bytes", "must not be negative"))
    if archive.kind == api.ARCHIVE_KIND_ARTIFACT and (fault := name_fault(archive.name)) is not None:
        violations.append(Violation("archive.name", fault))
    if violations:
        raise InvalidInput(violations)
    if archive.kind == api.ARCHIVE_KIND_CACHE:
        _check_keys([archive.name])
    if archive.kind == api.ARCHIVE_KIND_REPORT:
        most_bytes = min(most_bytes, MAX_REPORT_BYTES)
    if archive.size_bytes > most_bytes:
        raise Exhausted(
            f"the archive has {archive.size_bytes:,} bytes; at most {most_bytes:,} are taken",
            reason="ARCHIVE_TOO_LARGE",
        )


def _check_keys(keys: Sequence[str]) -> None:
    violations = []
    if not keys or len(keys) > _MAX_KEYS:
        violations.append(Violation("keys", f"1 to {_MAX_KEYS}, not {len(keys)}"))
    for at, key in enumerate(keys[:_MAX_KEYS]):
        fault = "must not be empty" if not key.strip() else line_fault(key, most=_MAX_KEY)
        if fault is not None:
            violations.append(Violation(f"keys[{at}]", fault))
    if violations:
        raise InvalidInput(violations)


def _archive_of(record: pb.CacheRecord, step: int) -> api.Archive:
    return api.Archive(
        step=step,
        kind=api.ARCHIVE_KIND_CACHE,
        name=record.key,
        sha256=record.digest,
        size_bytes=record.size,
        file_count=record.files,
    )
