"""What a running run waits for while none of its tasks runs. Derived on each read. Pure, over one view.

A run is `running` from the moment that it holds its group, even if no executor takes any of its tasks. People call
a run running if it has a live assignment; for the others this module returns what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_server.datamanager.model import Query, View
from sluiceway_server.datamanager.queries import Place, plan_list
from sluiceway_server.runrecords import codec
from sluiceway_server.runrecords.types import ASSIGNMENT, TASK, task_id
from sluiceway_server.runs import recovery_hold as holding

_PAGE = 100
_SENTENCES = {
    ReasonCode.WAITS_FOR_EXECUTOR: "none of its tasks runs: no executor can take one now",
    ReasonCode.WAITS_FOR_LOCK: "none of its tasks runs: the next one waits for a lock",
    ReasonCode.WAITS_FOR_QUOTA: "none of its tasks runs: as many run elsewhere as a quota allows",
    ReasonCode.WAITS_FOR_PLACEMENT: "none of its tasks runs yet: the next one is about to be given to an executor",
}


def put_waits(view: View, runs: Iterable[api.Run], *, tasks_looked_at: int) -> None:
    """Fill in `waiting` of those runs that run and of which no task runs.

    Args:
        view: the database.
        runs: changed in place.
        tasks_looked_at: how many tasks of all the runs may be read to distinguish a lock from an executor.
    """
    left = tasks_looked_at
    for run in runs:
        if run.phase != api.RUN_PHASE_RUNNING:
            continue
        if run.HasField("approval_wait_since"):
            since = codec.read_time(run.approval_wait_since)
            sentence = f"it waits for nothing but an approval, since {since:%Y-%m-%d %H:%M:%SZ}"
            run.waiting.CopyFrom(codec.encode_reason(Reason(ReasonCode.WAITS_FOR_APPROVAL, sentence)))
            continue
        if view.count(ASSIGNMENT, {"run_id": run.id, "live": 1}, limit=1):
            continue
        reason, looked_at = _why(view, run.id, left)
        left -= looked_at
        run.waiting.CopyFrom(codec.encode_reason(reason))


def _why(view: View, run_id: str, most: int) -> tuple[Reason, int]:
    """Return what the first task that could run waits for, and how many tasks were read."""
    held = holding.why_held(view)
    if held is not None:
        return held, 0
    code = ReasonCode.WAITS_FOR_EXECUTOR
    looked_at = 0
    # By their columns: the bodies of tasks that ended may be in the object storage.
    last = Place((), f"{run_id}/")
    while looked_at < most:
        query = Query(size=_PAGE)
        rows = view.rows(TASK, Query(size=_PAGE, token=plan_list(TASK, query).token(last))).records
        for key, fields in rows:
            if not key.startswith(f"{run_id}/"):
                return _reason(code), looked_at
            looked_at += 1
            if fields["state"] is not None:
                return _reason(_stored_code(view, run_id, key.removeprefix(f"{run_id}/"))), looked_at
        if len(rows) < _PAGE:
            break
        last = Place((), rows[-1][0])
    return _reason(code), looked_at


def _stored_code(view: View, run_id: str, task: str) -> ReasonCode:
    record = view.get(TASK, task_id(run_id, task))
    if record is None or not record.task.HasField("reason"):
        return ReasonCode.WAITS_FOR_PLACEMENT
    code = codec.decode_reason(record.task.reason).code
    return ReasonCode(code) if code in _SENTENCES else ReasonCode.WAITS_FOR_EXECUTOR


def _reason(code: ReasonCode) -> Reason:
    return Reason(code, _SENTENCES[code])
