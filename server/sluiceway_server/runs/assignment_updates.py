"""Applies the updates of executors about their assignments to a transaction."""

from __future__ import annotations

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway_common.runmodel import updates
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_server.runrecords import definitions
from sluiceway_server.runrecords.executor_messages import update_fault
from sluiceway_server.runs.ports import UpdateOutcome
from sluiceway_server.runs.transaction import RunTransaction


def take_update(
    transaction: RunTransaction, executor_id: str, session_id: str, update: executor_api.AssignmentUpdate
) -> UpdateOutcome:
    """Apply an update of an executor to a transaction, and return its outcome (R15).

    An update that is invalid, or not of an assignment of this executor, is refused and changes nothing.
    """
    fault = update_fault(update)
    if fault is not None:
        return UpdateOutcome(update.number, Reason("invalid_update", fault))
    stored = transaction.assignment(update.assignment_id)
    state = transaction.run(stored.run_id) if stored is not None else None
    if stored is None or state is None or stored.executor != executor_id:
        # Same error for "unknown" and "not yours", so that ids of other executors cannot be probed.
        sentence = f"assignment {update.assignment_id} is not known here"
        return UpdateOutcome(update.number, Reason(ReasonCode.UNKNOWN_ASSIGNMENT, sentence))
    report = definitions.decode_report(update, session=session_id, steps=state.tasks[stored.task_id].steps)
    if report is None:
        return UpdateOutcome(update.number, Reason("not_understood", "a phase of it is unknown to this version"))
    reported = updates.report(state, stored, report, transaction.now)
    if reported.outcome is updates.ReportOutcome.APPLIED:
        transaction.apply(reported.change)
    return UpdateOutcome(update.number, reported.reason)
