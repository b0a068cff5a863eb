"""The retention: deletes old logs, and old runs with all that belongs to them (`retention_rules`).

The scheduler sweeps. Two servers at once would do no harm: each decision is made in a transaction, and deletions may be
repeated. A sweep that was interrupted continues from what it finds:

- Logs: the folders of runs in the object storage, in the order of their ids, which is that of their creation. A run
  whose logs are due is marked first, then its objects are deleted. Logs of a run that is not in the database (it was
  deleted, or lost by a recovery or a restore) are deleted when they are older than `orphans`. Earlier versions stored
  logs in folders of tasks: these are deleted with the run of the task.
- Runs, if they have a retention: from the oldest on. The records are deleted first; logs and archives are then those
  of a run that is not in the database.
- What projects keep for less time (`projects.retention`): by the runs of each of them that are over.
- Archives (`archive_retention`).
- Configurations in the object storage that no run has, and younger logs of no run: once a day.

Nothing of an unfinished run is deleted, however old it is, nor of one with an assignment whose end is not reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_server.datamanager.model import Action, Decision, Put, Query, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.logs.store import LogStore
from sluiceway_server.runrecords import codec
from sluiceway_server.runrecords.types import (
    RETENTION,
    RETENTION_ID,
    RUN,
    TASK,
    run_group,
    run_of_row,
    task_id,
)
from sluiceway_server.runs.archive_retention import ArchiveRetention
from sluiceway_server.runs.config_objects import ConfigObjects
from sluiceway_server.runs.project_retention import Retentions, due_runs, read_retentions
from sluiceway_server.runs.retention_rules import RetentionSettings, created_by_id, is_due, next_time
from sluiceway_server.runs.run_deletion import delete_run_records, is_live

log = structlog.get_logger(__name__)

_PAUSE = timedelta(seconds=1)
_ORPHANS_EVERY = timedelta(days=1)
_CREATION_MS = 32
"""Between the times of a run and of its tasks; a query has at most so many values."""


class Retention:
    """The sweep of the retention; `run` is its loop."""

    def __init__(
        self,
        database: Database,
        store: LogStore,
        configs: ConfigObjects,
        archives: ArchiveRetention,
        clock: Clock,
        *,
        settings: RetentionSettings,
        is_elected: Callable[[], bool],
    ) -> None:
        self._database = database
        self._store = store
        self._configs = configs
        self._archives = archives
        self._clock = clock
        self._settings = settings
        self._is_elected = is_elected
        self._swept_at: float | None = None
        # Runs whose logs were deleted before those of others: their folders are not listed in each sweep.
        self._done: set[str] = set()
        self._orphans_at: float | None = None

    async def run(self) -> None:
        """Sweep now and then, until cancelled."""
        settings = self._settings
        pause = settings.first
        while True:
            await asyncio.sleep(pause.total_seconds())
            pause = settings.interval
            if not self._is_elected():
                self._swept_at = None
                continue
            try:
                if await self.sweep():
                    pause = min(_PAUSE, settings.interval)
            except SluicewayError as error:
                log.warning("retention_waits", error=str(error), code=error.code)

    async def sweep(self) -> bool:
        """Delete some of what is due; return whether there is more.

        Raises:
            Unavailable: the database or the object storage is away.
        """
        await self._database.linearize()
        settings, time = self._settings, await self._move_time()
        retentions = await self._database.read(lambda view: read_retentions(view, settings.kept))
        more = settings.logs is not None and await self._sweep_logs(time, settings.logs, retentions)
        more = await self._sweep_projects(time, retentions) or more
        more = await self._sweep_runs(time, retentions) or more
        more = await self._archives.sweep(retentions, time) or more
        monotonic = self._clock.monotonic()
        if more or (self._orphans_at is not None and monotonic - self._orphans_at < _ORPHANS_EVERY.total_seconds()):
            return more
        self._done.clear()
        self._archives.forget_done()
        more = await self._sweep_logs(time, settings.orphans, retentions)
        deleted = await self._configs.delete_unused(before=time - settings.orphans)
        if deleted:
            log.info("run_configs_deleted", objects=deleted)
        self._orphans_at = None if more else monotonic
        return more

    async def _move_time(self) -> datetime:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        passed = self._settings.interval if self._swept_at is None else timedelta(seconds=monotonic - self._swept_at)

        def move(view: View) -> Decision[datetime]:
            record = view.get(RETENTION, RETENTION_ID)
            stored = None if record is None else codec.read_time(record.time)
            time = next_time(stored, now, passed)
            moved = pb.RetentionRecord()
            codec.put_time(moved.time, time)
            return Decision(time, [Put(RETENTION, RETENTION_ID, moved)] if time != stored else [])

        time = (await self._database.transact(move)).value
        self._swept_at = monotonic
        if now - time > self._settings.interval:
            log.warning(
                "retention_lags_behind_the_clock",
                seconds=round((now - time).total_seconds()),
                why="no server was up, or this clock is wrong; ages are measured by a time that follows slowly",
            )
        return time

    # -- logs

    async def _sweep_logs(self, time: datetime, kept_for: timedelta, retentions: Retentions) -> bool:
        """Check the logs of the runs that were created in a span of time."""
        settings = self._settings
        after, done = "", 0
        while folders := await self._store.folders(after=after, limit=settings.at_once):
            after = folders[-1]
            runs = await self._database.read(lambda view, names=tuple(folders): _runs(view, names))  # type: ignore[misc]
            due = {run.id for run, scope in filter(None, runs.values()) if is_due(run, retentions.of(scope).logs, time)}
            marked = await self._mark(sorted(due), time, retentions)
            for folder, found in runs.items():
                if await self._is_orphan(folder, time) if found is None else found[0].id in marked:
                    done += 1
                    objects = await self._store.delete_all(folder)
                    log.info(
                        "logs_deleted", folder=folder, objects=objects, why="retention" if found else "no such run"
                    )
            if done >= settings.at_once:
                return True
            # All that follow were created later still.
            newest = created_by_id(after)
            if newest is not None and newest + kept_for > time:
                return False
        return False

    async def _sweep_projects(self, time: datetime, retentions: Retentions) -> bool:
        """Delete the logs of runs whose projects keep them for less time than the installation."""
        for project_id, kept_for in retentions.shorter(lambda kept: kept.logs):
            runs = await self._database.read(
                lambda view, project=project_id, span=kept_for: due_runs(view, project, span, time)  # type: ignore[misc]
            )
            due = [run.id for run in runs if run.id not in self._done]
            for run_id in sorted(await self._mark(due[: self._settings.at_once], time, retentions)):
                objects = await self._store.delete_all(run_id)
                log.info("logs_deleted", folder=run_id, objects=objects, why="retention of the project")
                self._done.add(run_id)
            if len(due) > self._settings.at_once:
                return True
        return False

    async def _is_orphan(self, folder: str, time: datetime) -> bool:
        """Return whether logs whose run was not found are old enough to go."""
        created = created_by_id(folder)
        # A name that is no id is somebody else's.
        if created is None or created + self._settings.orphans > time:
            return False
        if not await self._store.is_of_earlier_version(folder):
            return True
        # The run of a task may be there and not be found.
        kept_for = self._settings.logs or self._settings.runs
        return kept_for is not None and created + kept_for <= time

    async def _mark(self, run_ids: Sequence[str], time: datetime, retentions: Retentions) -> frozenset[str]:
        """Note that the logs of some runs are deleted; returns those of which it is noted now."""

        def mark(view: View) -> Decision[frozenset[str]]:
            marked: set[str] = set()
            actions: list[Action] = []
            for id_ in run_ids:
                record = view.get(RUN, id_)
                if record is None or not is_due(record.run, retentions.of(record.scope).logs, time):
                    continue
                if is_live(view, id_):
                    continue
                marked.add(id_)
                if not record.run.HasField("logs_delete_time"):
                    changed = pb.RunRecord()
                    changed.CopyFrom(record)
                    codec.put_time(changed.run.logs_delete_time, self._clock.now())
                    actions.append(Put(RUN, id_, changed))
            return Decision(frozenset(marked), actions, [run_group(id_) for id_ in marked] if actions else [])

        return (await self._database.transact(mark)).value if run_ids else frozenset()

    # -- runs

    async def _sweep_runs(self, time: datetime, retentions: Retentions) -> bool:
        kept_for = retentions.installation.runs
        if kept_for is not None and await self._sweep_all_runs(time, kept_for, retentions):
            return True
        done = 0
        for project_id, span in retentions.shorter(lambda kept: kept.runs):
            runs = await self._database.read(
                lambda view, project=project_id, span=span: due_runs(view, project, span, time)  # type: ignore[misc]
            )
            for run in runs:
                done += await self._delete_run(run, span, time)
                if done >= self._settings.at_once:
                    return True
        return False

    async def _sweep_all_runs(self, time: datetime, kept_for: timedelta, retentions: Retentions) -> bool:
        done, token = 0, ""
        while True:
            query = Query(order=("created",), size=self._settings.at_once, token=token)
            page = await self._database.read(lambda view, query=query: view.rows(RUN, query))  # type: ignore[misc]
            for id_, fields in page.records:
                run = run_of_row(id_, fields)
                if codec.read_time(run.create_time) + kept_for > time:
                    return False
                own = retentions.of(str(fields["scope"])).runs
                if own is not None and is_due(run, own, time):
                    done += await self._delete_run(run, own, time)
            if done >= self._settings.at_once:
                return True
            token = page.next_token
            if not token:
                return False

    async def _delete_run(self, run: api.Run, kept_for: timedelta, time: datetime) -> bool:
        if not await delete_run_records(self._database, run.id, if_=lambda run: is_due(run, kept_for, time)):
            return False
        objects = await self._store.delete_all(run.id) + await self._archives.delete_run(run.id)
        log.info("run_deleted", run=run.id, group=run.group, number=run.number, objects=objects)
        return True


def _runs(view: View, folders: Sequence[str]) -> dict[str, tuple[api.Run, str] | None]:
    """Read what lists show of the runs whose logs are in some folders, and their scopes; None: it is not found."""
    found: dict[str, tuple[api.Run, str] | None] = {}
    for folder in folders:
        fields = view.fields(RUN, folder)
        found[folder] = (
            _run_of_task(view, folder) if fields is None else (run_of_row(folder, fields), str(fields["scope"]))
        )
    return found


def _run_of_task(view: View, task: str) -> tuple[api.Run, str] | None:
    """Find the run of a task by the time in its id: they were created within milliseconds."""
    created = created_by_id(task)
    if created is None:
        return None
    milliseconds = int(created.timestamp() * 1000)
    query = Query(where={"created": tuple(range(milliseconds, milliseconds - _CREATION_MS, -1))})
    for id_, fields in view.rows(RUN, query).records:
        if view.fields(TASK, task_id(id_, task)) is not None:
            return run_of_row(id_, fields), str(fields["scope"])
    return None
