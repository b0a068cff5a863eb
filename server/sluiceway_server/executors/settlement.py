"""Compares the assignments that a server has of an executor with those that the executor has, after a hello. Pure.

The rows of the table in docs/design/executors.md, "The stream", are the branches of `settle`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sluiceway_common.runmodel.model import Assignment, AssignmentId, AssignmentPhase, Epoch
from sluiceway_common.runmodel.reasons import Reason, ReasonCode


class Verdict(StrEnum):
    """What becomes of one assignment."""

    CONTINUE = "continue"
    """Both have it: nothing happens."""
    DISCARD = "discard"
    """The executor stops it, if it runs, and removes it; its outcome is not used."""
    RELEASE = "release"
    """Both know that it is over: the executor may delete its local data."""
    ADOPT = "adopt"
    """The database may have lost it with its last moments: it is stored again as the executor has it, if its task has
    not continued since. If it has: as DISCARD."""
    SEND_AGAIN = "send_again"
    """The executor never got it: it is sent again, with the same epoch."""
    LOSE = "lose"
    """Its fate is unknown: it is lost."""
    DISCARD_AND_LOSE = "discard_and_lose"
    """It belongs to a session that was fenced: the executor removes it, and it is lost."""


@dataclass(frozen=True, slots=True)
class ReportedAssignment:
    """An assignment as the executor has it."""

    id: AssignmentId
    epoch: Epoch
    phase: AssignmentPhase


@dataclass(frozen=True, slots=True)
class Settlement:
    """The verdict on one assignment."""

    assignment_id: AssignmentId
    epoch: Epoch
    verdict: Verdict


def settle(
    stored: Sequence[Assignment],
    reported: Sequence[ReportedAssignment],
    *,
    session_id: str,
    same_journal: bool,
    database_epoch: int,
) -> tuple[Settlement, ...]:
    """Return the verdict on each assignment that either side has.

    Args:
        stored: the executor's assignments that are not final, and every one that `reported` names and that exists.
        reported: those that the executor's hello names.
        session_id: the session from now on.
        same_journal: whether the executor's journal is the one that it had at its last hello.
        database_epoch: the present one.

    Returns:
        Those of the executor first, in their order. Final ones that the executor no longer has are left out.
    """
    known = {assignment.id: assignment for assignment in stored}
    settlements = [
        Settlement(item.id, item.epoch, _settle_reported(known.get(item.id), item, session_id, database_epoch))
        for item in reported
    ]
    reported_ids = {item.id for item in reported}
    for assignment in stored:
        if assignment.id in reported_ids or assignment.phase.is_final:
            continue
        never_came = assignment.phase is AssignmentPhase.ASSIGNED and same_journal and assignment.session == session_id
        settlements.append(
            Settlement(assignment.id, assignment.epoch, Verdict.SEND_AGAIN if never_came else Verdict.LOSE)
        )
    return tuple(settlements)


def _settle_reported(
    known: Assignment | None, item: ReportedAssignment, session_id: str, database_epoch: int
) -> Verdict:
    if known is None:
        return Verdict.ADOPT if item.epoch.database < database_epoch else Verdict.DISCARD
    if known.epoch != item.epoch:
        return Verdict.DISCARD
    if known.phase.is_final:
        return Verdict.RELEASE if item.phase.is_final else Verdict.DISCARD
    if known.session != session_id:
        return Verdict.DISCARD_AND_LOSE
    return Verdict.CONTINUE


def reason_deleted(executor_id: str) -> Reason:
    """Return why an attempt is lost whose executor an operator deleted (R16)."""
    return Reason(ReasonCode.OPERATOR, f"an operator deleted the executor {executor_id} while it ran this")


def reason_forgotten(executor_id: str) -> Reason:
    """Return why an attempt is lost that its executor does not report any more (R13)."""
    return Reason(
        ReasonCode.NOT_KNOWN_TO_EXECUTOR,
        f"the executor {executor_id} no longer has it: it was restarted with an empty data folder, or reinstalled",
    )
