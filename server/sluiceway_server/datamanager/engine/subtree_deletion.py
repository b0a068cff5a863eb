"""Deletes the records below tombstones, in small transactions (`replica/deleted_subtrees`).

Any server sweeps, and two at once only share the work: every step is a transaction function that reads the exact state.
A step takes some tombstones, of the type that has the fewest levels below it, and at most 500 records below them.
Leaves are deleted; a record that may have others below it is deleted and gets a tombstone of its own. So there are
never many tombstones at once. A tombstone with nothing below it is deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import structlog

from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.crashpoints import crash_point, declare_crash_points
from sluiceway_common.foundation.errors import Conflict, DeadlineExceeded, Exhausted, Unavailable
from sluiceway_server.datamanager.model import Action, Decision, Delete, Query, RecordType, Under, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.datamanager.queries import Place, plan_list
from sluiceway_server.datamanager.replica.deleted_subtrees import (
    TOMBSTONE,
    delete_subtree,
    parent_types,
    tombstone_id,
    tombstone_target,
    unfiltered,
)
from sluiceway_server.datamanager.replica.schema import RecordKey
from sluiceway_server.datamanager.waiting import Backoff, jittered

log = structlog.get_logger(__name__)

_AT_ONCE = 500
_TOMBSTONES_AT_ONCE = 100
"""Each asks an index or two, and a transaction function has 5 ms."""

declare_crash_points("sweep.before-step", "sweep.after-step")


class SubtreeSweeper:
    """The loop that deletes what is below tombstones."""

    def __init__(self, database: Database, types: Mapping[str, RecordType[Any]], *, clock: Clock) -> None:
        self._database = database
        self._types = types
        self._clock = clock
        self._inner = parent_types(types.values())
        self._depth = _depths(types)

    async def run(self, interval: float) -> None:
        """Sweep until cancelled, every `interval` seconds with jitter."""
        backoff = Backoff()
        while True:
            await asyncio.sleep(jittered(interval))
            try:
                while await self.step():
                    backoff.reset()
            except (Unavailable, DeadlineExceeded, Conflict, Exhausted) as error:
                log.warning("sweep_waits", error=str(error))
                await backoff.wait()

    async def step(self) -> bool:
        """Delete some records; return whether there was anything to delete."""
        # The nearest ids will do to see whether there is work; what is done is decided at its place in the log.
        if not await self._database.read(lambda view: bool(_tombstones(view))):
            return False
        crash_point("sweep.before-step")
        done = await self._database.transact(self._sweep)
        crash_point("sweep.after-step")
        return bool(done.value)

    def _sweep(self, view: View) -> Decision[bool]:
        tombstones = _tombstones(view)
        if not tombstones:
            return Decision(False)
        # Those with the least below them first, and nothing above them before they are gone, so that tombstones do not
        # become many.
        least = min(self._depth.get(type_name, 0) for type_name, _ in tombstones)
        actions: list[Action] = []
        for deleted in [one for one in tombstones if self._depth.get(one[0], 0) == least][:_TOMBSTONES_AT_ONCE]:
            for type_, id_ in self._below(unfiltered(view), deleted):
                if len(actions) >= _AT_ONCE:
                    return Decision(True, actions)
                if type_.name in self._inner:
                    actions += delete_subtree(type_, id_, now=self._clock.now())
                else:
                    actions.append(Delete(type_, id_))
            actions.append(Delete(TOMBSTONE, tombstone_id(deleted)))
        return Decision(True, actions)

    def _below(self, view: View, deleted: RecordKey) -> Iterator[tuple[RecordType[Any], str]]:
        """Yield the records directly below one, at most as many as fit a transaction of each type."""
        type_name, id_ = deleted
        for type_ in self._types.values():
            for up in type_.under:
                if up.type == type_name:
                    yield from ((type_, child) for child in _children(view, type_, up, id_))


def _tombstones(view: View) -> list[RecordKey]:
    return [tombstone_target(id_) for id_, _ in unfiltered(view).rows(TOMBSTONE, Query(size=1000)).records]


def _children(view: View, type_: RecordType[Any], up: Under, id_: str) -> list[str]:
    if not up.path:
        query = Query(where={up.column: id_}, order=_order_after(type_, up), size=_AT_ONCE + 1)
        return [child for child, _ in view.rows(type_, query).records]
    found: list[str] = []
    query = Query(order=(up.column,), size=_AT_ONCE + 1)
    # The path itself, and all that begins with it and a slash: two ranges of an index of that column alone.
    for first, is_path in ((id_, True), (f"{id_}/", False)):
        start = plan_list(type_, query).token(Place((first,), ""))
        for child, fields in view.rows(type_, replace(query, token=start)).records:
            path = str(fields[up.column])
            if path != first if is_path else not path.startswith(first):
                break
            found.append(child)
    return found


def _order_after(type_: RecordType[Any], up: Under) -> tuple[str, ...]:
    """Return the rest of any index that begins with the column."""
    return next(index[1:] for index in type_.indexes if index[0] == up.column)


def _depths(types: Mapping[str, RecordType[Any]]) -> dict[str, int]:
    """Return how many levels of types are below each type."""
    depths = dict.fromkeys(types, 0)
    for _ in types:
        for type_ in types.values():
            for up in type_.under:
                if up.type in depths and up.type != type_.name:
                    depths[up.type] = max(depths[up.type], depths[type_.name] + 1)
    return depths
