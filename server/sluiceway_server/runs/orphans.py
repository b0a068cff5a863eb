"""Stops the runs of projects and users that were deleted, and deletes them when they are over.

A deletion is one write, however many projects are below what is deleted; their runs are found afterwards. The scheduler
checks the unfinished runs when it is elected, when something of the tree was deleted, and every minute; it stops
those that run, and cancels those that are queued. Runs that are over are found by the record with the last number of
their scope, which is there while one of its runs is; they are deleted with their logs. May be repeated, and interrupted
anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Protocol

import structlog

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway_common.foundation.errors import FailedPrecondition, NotFound, OutOfRange, SluicewayError
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_common.runmodel import groups
from sluiceway_server.datamanager.model import Applied, Decision, Delete, Position, Query, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.projects.names import is_uuid
from sluiceway_server.projects.records import ORGANIZATION, PROJECT, PROJECT_GROUP, USER
from sluiceway_server.runrecords.types import RUN, RUN_NUMBER, TERMINAL_PHASES, outcomes, run_of_row
from sluiceway_server.runs.access import PROJECT_SCOPE, USER_SCOPE
from sluiceway_server.runs.run_deletion import delete_run_records, is_live

log = structlog.get_logger(__name__)

_TYPES = frozenset({USER.name, ORGANIZATION.name, PROJECT_GROUP.name, PROJECT.name})
_INTERVAL = timedelta(minutes=1)
_FOLLOW_AGAIN_SECONDS = 1.0
_ROWS_AT_ONCE = 500
_BY = "sluiceway"
_UNFINISHED = (api.RUN_PHASE_QUEUED, api.RUN_PHASE_RUNNING)


class _Stops(Protocol):
    """What stops runs (`Engine`)."""

    async def stop_run(self, run_id: str, *, by: str) -> Position: ...

    async def cancel_run(self, run_id: str, *, by: str) -> Position: ...


class _Logs(Protocol):
    """What deletes logs (`LogStore`)."""

    async def delete_all(self, run_id: str) -> int: ...


class OrphanedRuns:
    """The loop that stops runs without a project or user."""

    def __init__(
        self,
        database: Database,
        engine: _Stops,
        logs: _Logs,
        *,
        is_elected: Callable[[], bool],
        interval: timedelta = _INTERVAL,
    ) -> None:
        """Make one.

        Args:
            database: where runs and projects are.
            engine: stops runs.
            logs: deletes their logs.
            is_elected: whether this server is the scheduler.
            interval: between two passes without a deletion.
        """
        self._database = database
        self._engine = engine
        self._logs = logs
        self._is_elected = is_elected
        self._interval = interval
        self._deleted = asyncio.Event()
        self._deleted_users: set[str] = set()
        self._seen = database.position

    async def run(self) -> None:
        """Stop runs until cancelled. Call it once."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(), name="orphans-follow")
            while True:
                self._deleted.clear()
                try:
                    if self._is_elected():
                        await self.stop_all()
                        await self.delete_all()
                except SluicewayError as error:
                    log.warning("orphaned_runs_wait", error=str(error), code=error.code)
                try:
                    async with time_limit(self._interval.total_seconds()):
                        await self._deleted.wait()
                except TimeoutError:
                    pass

    async def stop_all(self) -> int:
        """Stop the runs that have no project or user any more; return how many.

        Raises:
            Unavailable: the database is away.
        """
        stopped = 0
        await self._database.linearize()
        for run_id, is_queued in await self._orphans():
            try:
                if is_queued:
                    await self._engine.cancel_run(run_id, by=_BY)
                else:
                    await self._engine.stop_run(run_id, by=_BY)
            except (FailedPrecondition, NotFound):
                # It started, ended or was deleted meanwhile; the next pass sees what is left.
                continue
            stopped += 1
            log.info("run_of_deleted_project_stopped", run=run_id)
        return stopped

    async def delete_all(self) -> int:
        """Delete the runs that are over and have no project or user any more, with their logs; return how many.

        Raises:
            Unavailable: the database or the object storage is away; what was not deleted is found again.
        """

        def gone(view: View) -> list[str]:
            return [scope for scope, _ in view.scan(RUN_NUMBER) if self._is_gone(view, scope)]

        deleted = 0
        for scope in await self._database.read(gone):
            deleted += await self._delete_runs_of(scope)
        return deleted

    async def _delete_runs_of(self, scope: str) -> int:
        deleted, query = 0, Query(where={"scope": scope}, order=("number",), size=_ROWS_AT_ONCE)
        while True:
            page = await self._database.read(lambda view, query=query: view.rows(RUN, query))  # type: ignore[misc]
            for run_id, fields in page.records:
                # The logs first: they are found by the run.
                if not _is_over(run_of_row(run_id, fields)):
                    continue
                if await self._database.read(partial(is_live, run_id=run_id)):
                    continue
                objects = await self._logs.delete_all(run_id)
                if await delete_run_records(self._database, run_id, if_=_is_over):
                    deleted += 1
                    log.info("run_of_deleted_project_deleted", run=run_id, objects=objects)
            if not page.next_token:
                break
            query = replace(query, token=page.next_token)

        def end(view: View) -> Decision[None]:
            is_empty = not view.rows(RUN, Query(where={"scope": scope}, order=("number",), size=1)).records
            return Decision(None, [Delete(RUN_NUMBER, scope)] if is_empty and self._is_gone(view, scope) else [])

        await self._database.transact(end)
        return deleted

    async def _orphans(self) -> list[tuple[str, bool]]:
        """Find them: ids, and whether each is queued."""
        found: list[tuple[str, bool]] = []
        known: dict[str, bool] = {}
        query = Query(where={"outcome": outcomes(phases=_UNFINISHED)}, order=("created",), size=_ROWS_AT_ONCE)

        def step(view: View) -> str:
            page = view.rows(RUN, query)
            for run_id, fields in page.records:
                scope = str(fields["scope"])
                if scope not in known:
                    known[scope] = self._is_gone(view, scope)
                run = run_of_row(run_id, fields)
                if known[scope] and not run.HasField("stop_request"):
                    found.append((run_id, run.phase == api.RUN_PHASE_QUEUED))
            return page.next_token

        while True:
            token = await self._database.read(step)
            if not token:
                return found
            query = Query(where=query.where, order=query.order, size=query.size, token=token)

    def _is_gone(self, view: View, scope: str) -> bool:
        kind, *ids = groups.segments(scope)
        if len(ids) != 1:
            return False
        if kind == PROJECT_SCOPE:
            return view.fields(PROJECT, ids[0]) is None
        # Tokens may be of a name that is no user: only of a UUID it is known that there was one.
        was_there = is_uuid(ids[0]) or ids[0] in self._deleted_users
        return kind == USER_SCOPE and was_there and view.fields(USER, ids[0]) is None

    async def _follow(self) -> None:
        """Note deletions in the tree, until cancelled."""
        topics = [f"type:{name}" for name in sorted(_TYPES)]
        while True:
            try:
                changes = self._database.subscribe(after=self._seen, topics=topics)
                async with aclosing(changes):
                    async for applied in changes:
                        self._note(applied)
                        self._seen = applied.position
            except SluicewayError as error:
                if isinstance(error, OutOfRange):
                    self._seen = self._database.position
                log.info("deletions_not_followed", error=str(error))
            self._deleted.set()
            await asyncio.sleep(_FOLLOW_AGAIN_SECONDS)

    def _note(self, applied: Applied) -> None:
        for action in applied.actions:
            if isinstance(action, Delete) and action.type.name in _TYPES:
                if action.type.name == USER.name:
                    self._deleted_users.add(action.id)
                self._deleted.set()


def _is_over(run: api.Run) -> bool:
    return run.phase in TERMINAL_PHASES
