"""Checks that an executor's request is for an assignment that it holds, in its present epoch. Pure."""

from __future__ import annotations

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.records.run.v1 import records_pb2 as records
from sluiceway_common.foundation.errors import FailedPrecondition, NotFound

__all__ = ["StaleEpoch", "held_assignment"]


class StaleEpoch(FailedPrecondition):
    """The executor asks for another attempt than the one that is stored."""

    reason = "STALE_EPOCH"


def held_assignment(
    assignment: records.AssignmentRecord | None, request: pb.GetSpecificationRequest | pb.IssueIdTokenRequest
) -> records.AssignmentRecord:
    """Return the assignment that a request names; `assignment`: as it is stored, if it is.

    Raises:
        NotFound: the session of the request does not hold it.
        StaleEpoch: it has another epoch.
    """
    holder = (request.executor_id, request.session_id)
    if assignment is None or (assignment.executor_id, assignment.session_id) != holder:
        raise NotFound(
            f"the executor {request.executor_id} does not hold the assignment {request.assignment_id}",
            resource_type="assignment",
            resource_name=request.assignment_id,
        )
    if assignment.epoch != request.epoch:
        raise StaleEpoch(f"the assignment {assignment.id} has another epoch", subject=assignment.id)
    return assignment
