"""Deletes the records of a run: of one that is old, or whose project is gone."""

from __future__ import annotations

from collections.abc import Callable

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway_server.datamanager.model import Action, Decision, Delete, Query, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.runrecords.types import ASSIGNMENT, RUN, RUN_CONFIG, TASK, run_group

_TASKS_AT_ONCE = 200
"""Each has an assignment or a few, and a transaction has at most 10,000 actions."""

_MOST_ATTEMPTS = 1000


async def delete_run_records(database: Database, run_id: str, *, if_: Callable[[api.Run], bool]) -> bool:
    """Delete the records of a run with those of its tasks and attempts. May be repeated.

    Its logs are then those of a run that is not there.

    Args:
        database: where they are.
        run_id: of the run.
        if_: whether a run may be deleted: one that is over. A pure function.

    Returns:
        Whether it was deleted now. Not one with an attempt whose end was not reported.

    Raises:
        Unavailable: the database is away.
    """

    def delete(view: View) -> Decision[bool | None]:
        record = view.get(RUN, run_id)
        if record is None or not if_(record.run) or is_live(view, run_id):
            return Decision(False)
        actions: list[Action] = []
        for count, (id_, task) in enumerate(view.scan(TASK, f"{run_id}/")):
            if count == _TASKS_AT_ONCE:
                return Decision(None, actions, [run_group(run_id)])
            actions.append(Delete(TASK, id_))
            if task.task.assignment_id:
                actions.append(Delete(ASSIGNMENT, task.task.assignment_id))
            # A task that a restart kept ran in another run.
            if not task.kept_from:
                query = Query(where={"bad_end_of": task.task.id}, order=("bad_attempt",), size=_MOST_ATTEMPTS)
                actions.extend(Delete(ASSIGNMENT, ended) for ended, _ in view.rows(ASSIGNMENT, query).records)
        actions += [Delete(RUN_CONFIG, run_id), Delete(RUN, run_id)]
        return Decision(True, actions, [run_group(run_id)])

    while True:
        done = (await database.transact(delete)).value
        if done is not None:
            return done


def is_live(view: View, run_id: str) -> bool:
    """Return whether a run has an attempt whose end was not reported."""
    return view.count(ASSIGNMENT, {"run_id": run_id, "live": 1}, limit=1) > 0
