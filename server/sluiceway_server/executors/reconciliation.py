"""Makes an executor and the database agree about assignments after a hello: reads both sides, acts on each verdict."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.records.run.v1 import records_pb2 as records
from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.runmodel.model import AssignmentPhase, Epoch
from sluiceway_server.datamanager.model import Position
from sluiceway_server.executors.delivery import Deliverer
from sluiceway_server.executors.sessions import OpenedSession
from sluiceway_server.executors.settlement import (
    ReportedAssignment,
    Verdict,
    reason_deleted,
    reason_forgotten,
    settle,
)
from sluiceway_server.runrecords import codec
from sluiceway_server.runrecords.enums import ASSIGNMENT_PHASE_OF
from sluiceway_server.runs.engine import Engine

log = structlog.get_logger(__name__)


async def read_assignments(engine: Engine, hello: pb.Hello, position: Position) -> tuple[records.AssignmentRecord, ...]:
    """Return the assignments of an executor that are not final, and those that its hello names, as of `position`."""
    live = await engine.live_assignments(hello.executor_id, after=position)
    live_ids = {assignment.id for assignment in live}
    found = list(live)
    for assignment_id in dict.fromkeys(item.assignment_id for item in hello.held):
        if assignment_id not in live_ids:
            try:
                assignment = await engine.assignment(assignment_id, after=position)
            except NotFound:
                continue
            # Those of other executors are as unknown, so that their ids cannot be probed.
            if assignment.executor_id == hello.executor_id:
                found.append(assignment)
    return tuple(found)


async def reconcile(
    engine: Engine,
    deliverer: Deliverer,
    hello: pb.Hello,
    session: OpenedSession,
    stored: Sequence[records.AssignmentRecord],
) -> None:
    """Settle: issue the commands and commit the losses that follow from a hello.

    Args:
        engine: commits.
        deliverer: issues commands to this executor.
        hello: what the executor holds.
        session: that the hello opened.
        stored: from `read_assignments`, at the position of the hello.
    """
    held = {item.assignment_id: item for item in hello.held}
    by_id = {record.id: record for record in stored}
    settlements = settle(
        [codec.decode_assignment(record) for record in stored],
        [_reported(item) for item in held.values()],
        session_id=session.id,
        same_journal=session.same_journal,
        database_epoch=session.position.sequence.epoch,
    )
    lost: list[str] = []
    for row in settlements:
        epoch = pb.Epoch(database=row.epoch.database, attempt=row.epoch.attempt)
        match row.verdict:
            case Verdict.CONTINUE:
                if by_id[row.assignment_id].HasField("stop_requested"):
                    deliverer.stop(by_id[row.assignment_id])
                if by_id[row.assignment_id].HasField("hold_order"):
                    deliverer.end_hold(by_id[row.assignment_id])
            case Verdict.DISCARD:
                deliverer.discard(row.assignment_id, epoch)
            case Verdict.RELEASE:
                deliverer.release(row.assignment_id)
            case Verdict.ADOPT:
                if not await engine.adopt(hello.executor_id, session.id, held[row.assignment_id]):
                    deliverer.discard(row.assignment_id, epoch)
            case Verdict.SEND_AGAIN:
                await deliverer.assign(by_id[row.assignment_id], session.position)
            case Verdict.LOSE:
                lost.append(row.assignment_id)
            case Verdict.DISCARD_AND_LOSE:
                deliverer.discard(row.assignment_id, epoch)
                lost.append(row.assignment_id)
    if lost:
        log.warning("assignments_lost_by_executor", assignments=lost)
        reason = reason_deleted if session.was_deleted else reason_forgotten
        await engine.mark_lost(lost, reason(hello.executor_id))


def _reported(item: pb.HeldAssignment) -> ReportedAssignment:
    # A phase that this version does not know: the executor has the assignment, and more is not known.
    phase = ASSIGNMENT_PHASE_OF.get(item.phase, AssignmentPhase.ACCEPTED)
    return ReportedAssignment(item.assignment_id, Epoch(item.epoch.database, item.epoch.attempt), phase)
