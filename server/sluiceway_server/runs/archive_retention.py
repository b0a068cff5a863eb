"""The retention of archives, as a part of each sweep of `retention`.

Those of a run go some time after its end: first what other tasks restore, later what people download. What belongs to a
run that is not in the database goes when it is old enough not to be of a run that is being created. A cache goes some
time after it was last used.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from sluiceway_common.runmodel.model import ArchiveKind
from sluiceway_server.archives.layout import kind_folder, run_folder
from sluiceway_server.archives.store import ArchiveStore
from sluiceway_server.datamanager.model import Decision, Delete, Query, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.runrecords.types import CACHE, RUN, run_of_row
from sluiceway_server.runs.retention_rules import RetentionSettings, created_by_id, is_due

log = structlog.get_logger(__name__)

_CACHES_AT_ONCE = 500


class ArchiveRetention:
    """Deletes archives that are not kept any more."""

    def __init__(self, database: Database, store: ArchiveStore, *, settings: RetentionSettings) -> None:
        self._database = database
        self._store = store
        self._settings = settings

    async def sweep(self, time: datetime) -> bool:
        """Delete some of what is due at `time`; tells whether there is more.

        Raises:
            Unavailable: the database or the object storage is away.
        """
        settings = self._settings
        more = await self._sweep_runs(ArchiveKind.WORKSPACE, settings.workspaces, time)
        more = await self._sweep_runs(ArchiveKind.ARTIFACT, settings.artifacts, time) or more
        return await self._sweep_caches(time - settings.caches) or more

    async def _sweep_runs(self, kind: ArchiveKind, kept_for: timedelta, time: datetime) -> bool:
        after, done, settings = "", 0, self._settings
        while names := await self._store.folders(kind_folder(kind), after=after, limit=settings.at_once):
            after = names[-1]
            rows = await self._database.read(lambda view, names=names: [view.fields(RUN, name) for name in names])  # type: ignore[misc]
            for name, fields in zip(names, rows, strict=True):
                created = created_by_id(name)
                if fields is None:
                    is_over = created is not None and created + settings.orphans <= time
                else:
                    is_over = is_due(run_of_row(name, fields), kept_for, time)
                if is_over:
                    done += 1
                    objects = await self._store.delete_folder(run_folder(kind, name))
                    log.info("archives_deleted", run=name, kind=kind.value, objects=objects)
            if done >= settings.at_once:
                return True
            newest = created_by_id(after)
            if newest is not None and newest + min(kept_for, settings.orphans) > time:
                return False
        return False

    async def _sweep_caches(self, before: datetime) -> bool:
        milliseconds = int(before.timestamp() * 1000)
        page = await self._database.list(CACHE, Query(order=("used",), size=_CACHES_AT_ONCE))
        due = [(id_, record) for id_, record in page.records if _used(record.use_time.ToMilliseconds(), milliseconds)]
        for id_, record in due:

            def forget(view: View, id_: str = id_) -> Decision[bool]:
                found = view.get(CACHE, id_)
                if found is None or not _used(found.use_time.ToMilliseconds(), milliseconds):
                    return Decision(False)
                return Decision(True, [Delete(CACHE, id_)])

            # The record first: a reader that finds it finds the object.
            if (await self._database.transact(forget)).value:
                await self._store.delete(record.object)
        return len(due) == _CACHES_AT_ONCE


def _used(last: int, before: int) -> bool:
    return last < before
