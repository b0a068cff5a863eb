from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sluiceway_common.runmodel.model import Assignment, AssignmentPhase, Epoch
from sluiceway_server.executors.settlement import ReportedAssignment, Verdict, settle

NOW = Epoch(2, 1)
A = AssignmentPhase


def _stored(phase: AssignmentPhase, *, epoch: Epoch = NOW, session: str = "s") -> Assignment:
    return Assignment("a", "run", "task", epoch, "e", session, datetime(2026, 1, 1, tzinfo=UTC), phase)


def _reported(phase: AssignmentPhase, *, epoch: Epoch = NOW) -> ReportedAssignment:
    return ReportedAssignment("a", epoch, phase)


@pytest.mark.parametrize(
    ("stored", "reported", "same_journal", "verdict"),
    [
        pytest.param(_stored(A.RUNNING), _reported(A.RUNNING), True, Verdict.CONTINUE, id="both have it"),
        pytest.param(
            _stored(A.ASSIGNED), _reported(A.ACCEPTED), True, Verdict.CONTINUE, id="accepted, not yet heard of"
        ),
        pytest.param(
            _stored(A.RUNNING), _reported(A.SUCCESS), True, Verdict.CONTINUE, id="its end is yet to be reported"
        ),
        pytest.param(
            _stored(A.RUNNING), _reported(A.RUNNING), False, Verdict.CONTINUE, id="held, whatever the journal"
        ),
        pytest.param(_stored(A.LOST), _reported(A.RUNNING), True, Verdict.DISCARD, id="final here, runs there"),
        pytest.param(_stored(A.SUCCESS), _reported(A.SUCCESS), True, Verdict.RELEASE, id="final on both sides"),
        pytest.param(
            _stored(A.RUNNING, epoch=Epoch(2, 2)), _reported(A.RUNNING), True, Verdict.DISCARD, id="another attempt"
        ),
        pytest.param(
            _stored(A.RUNNING, session="old"), _reported(A.RUNNING), True, Verdict.DISCARD_AND_LOSE, id="fenced session"
        ),
        pytest.param(None, _reported(A.RUNNING, epoch=Epoch(1, 1)), True, Verdict.ADOPT, id="the database lost it"),
        pytest.param(None, _reported(A.RUNNING), True, Verdict.DISCARD, id="unknown in the same epoch"),
        pytest.param(_stored(A.ASSIGNED), None, True, Verdict.SEND_AGAIN, id="never came, same journal"),
        pytest.param(_stored(A.ASSIGNED), None, False, Verdict.LOSE, id="may have come, another journal"),
        pytest.param(_stored(A.ASSIGNED, session="old"), None, True, Verdict.LOSE, id="assigned to a fenced session"),
        pytest.param(_stored(A.ACCEPTED), None, True, Verdict.LOSE, id="accepted and forgotten"),
        pytest.param(_stored(A.RUNNING), None, True, Verdict.LOSE, id="ran and is forgotten"),
        pytest.param(_stored(A.SUCCESS), None, True, None, id="final and forgotten"),
    ],
)
def test_assignment_is_settled_by_what_both_sides_have(
    stored: Assignment | None, reported: ReportedAssignment | None, same_journal: bool, verdict: Verdict | None
) -> None:
    got = settle(
        [] if stored is None else [stored],
        [] if reported is None else [reported],
        session_id="s",
        same_journal=same_journal,
        database_epoch=2,
    )
    assert [s.verdict for s in got] == ([] if verdict is None else [verdict])
    assert all(s.assignment_id == "a" for s in got)


def test_settlement_names_the_epoch_that_the_executor_has() -> None:
    (row,) = settle(
        [_stored(A.RUNNING, epoch=Epoch(2, 2))],
        [_reported(A.RUNNING)],
        session_id="s",
        same_journal=True,
        database_epoch=2,
    )
    assert row.epoch == NOW
