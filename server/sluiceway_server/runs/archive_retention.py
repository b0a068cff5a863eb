"""The retention of archives, as a part of each sweep of `retention`.

Those of a run go some time after its end: first what other tasks restore, later what people download. What belongs to a
run that is not in the database goes when it is old enough not to be of a run that is being created. A cache goes some
time after it was last used. A project may have times of its own (`projects.retention`).
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.runmodel.model import ArchiveKind
from sluiceway_server.archives.layout import kind_folder, run_folder
from sluiceway_server.archives.store import ArchiveStore
from sluiceway_server.datamanager.model import Decision, Delete, Query, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.projects.retention import Kept
from sluiceway_server.runrecords.types import CACHE, RUN, run_of_row
from sluiceway_server.runs.project_retention import Retentions, due_runs
from sluiceway_server.runs.retention_rules import RetentionSettings, created_by_id, is_due

log = structlog.get_logger(__name__)

_CACHES_AT_ONCE = 500


class ArchiveRetention:
    """Deletes archives that are not kept any more."""

    def __init__(self, database: Database, store: ArchiveStore, *, settings: RetentionSettings) -> None:
        self._database = database
        self._store = store
        self._settings = settings
        # Whose archives were deleted before those of others: their folders are not listed in each sweep.
        self._done: set[tuple[ArchiveKind, str]] = set()

    async def sweep(self, retentions: Retentions, time: datetime) -> bool:
        """Delete some of what is due at `time`; return whether there is more.

        Raises:
            Unavailable: the database or the object storage is away.
        """
        more = False
        for kind in (ArchiveKind.WORKSPACE, ArchiveKind.ARTIFACT):
            more = await self._sweep_runs(kind, retentions, time) or more
            more = await self._sweep_projects(kind, retentions, time) or more
        return await self._sweep_caches(retentions, time) or more

    def forget_done(self) -> None:
        """Look again at the archives of runs that were deleted: once a day, in case others were stored since."""
        self._done.clear()

    async def delete_run(self, run_id: str) -> int:
        """Delete the archives of a run whose records were deleted; return how many objects there were."""
        folders = [run_folder(kind, run_id) for kind in (ArchiveKind.WORKSPACE, ArchiveKind.ARTIFACT)]
        return sum([await self._store.delete_folder(folder) for folder in folders])

    def _kept_for(self, kind: ArchiveKind, kept: Kept) -> timedelta | None:
        if kind is ArchiveKind.ARTIFACT:
            return kept.artifacts
        return self._settings.workspaces if kept.artifacts is None else min(self._settings.workspaces, kept.artifacts)

    async def _sweep_runs(self, kind: ArchiveKind, retentions: Retentions, time: datetime) -> bool:
        """Check the archives of the runs that are as old as the installation keeps them."""
        after, done, settings = "", 0, self._settings
        kept_for = self._kept_for(kind, retentions.installation)
        while names := await self._store.folders(kind_folder(kind), after=after, limit=settings.at_once):
            after = names[-1]
            rows = await self._database.read(lambda view, names=names: [view.fields(RUN, name) for name in names])  # type: ignore[misc]
            for name, fields in zip(names, rows, strict=True):
                created = created_by_id(name)
                if fields is None:
                    is_over = created is not None and created + settings.orphans <= time
                else:
                    own = self._kept_for(kind, retentions.of(str(fields["scope"])))
                    is_over = is_due(run_of_row(name, fields), own, time)
                if is_over:
                    done += 1
                    await self._delete(kind, name)
            if done >= settings.at_once:
                return True
            newest = created_by_id(after)
            spans = [settings.orphans, *([] if kept_for is None else [kept_for])]
            if newest is not None and newest + min(spans) > time:
                return False
        return False

    async def _sweep_projects(self, kind: ArchiveKind, retentions: Retentions, time: datetime) -> bool:
        """Delete the archives of runs whose projects keep them for less time."""
        done = 0
        for project_id, kept_for in retentions.shorter(lambda kept: self._kept_for(kind, kept)):
            runs = await self._database.read(
                lambda view, project=project_id, span=kept_for: due_runs(view, project, span, time)  # type: ignore[misc]
            )
            for run in runs:
                if (kind, run.id) in self._done:
                    continue
                if done == self._settings.at_once:
                    return True
                done += 1
                await self._delete(kind, run.id)
                self._done.add((kind, run.id))
        return False

    async def _delete(self, kind: ArchiveKind, run_id: str) -> None:
        objects = await self._store.delete_folder(run_folder(kind, run_id))
        if objects:
            log.info("archives_deleted", run=run_id, kind=kind.value, objects=objects)

    async def _sweep_caches(self, retentions: Retentions, time: datetime) -> bool:
        shortest = retentions.shortest(lambda kept: kept.caches)
        if shortest is None:
            return False

        def is_unused(record: pb.CacheRecord) -> bool:
            span = retentions.of(record.scope).caches
            return span is not None and _is_before(record, time - span)

        done, token = 0, ""
        while True:
            page = await self._database.list(CACHE, Query(order=("used",), size=_CACHES_AT_ONCE, token=token))
            for id_, record in page.records:
                if not _is_before(record, time - shortest):
                    return False
                if not is_unused(record):
                    continue
                done += 1

                def forget(view: View, id_: str = id_) -> Decision[bool]:
                    found = view.get(CACHE, id_)
                    if found is None or not is_unused(found):
                        return Decision(False)
                    return Decision(True, [Delete(CACHE, id_)])

                # The record first: a reader that finds it finds the object.
                if (await self._database.transact(forget)).value:
                    await self._store.delete(record.object)
            token = page.next_token
            if not token or done >= _CACHES_AT_ONCE:
                return bool(token)


def _is_before(record: pb.CacheRecord, before: datetime) -> bool:
    return record.use_time.ToMilliseconds() < int(before.timestamp() * 1000)
