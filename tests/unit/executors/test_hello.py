from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sluiceway_common.foundation.errors import PermissionDenied, SluicewayError
from sluiceway_common.runmodel.model import Assignment, AssignmentPhase, Epoch
from sluiceway_server.executors.sessions import (
    Admission,
    Begin,
    Continue,
    Held,
    Proof,
    Refuse,
    SessionFenced,
    SessionLives,
    StoredSession,
    Verdict,
    admit,
    check_proof,
    secret_digest,
    settle,
)

STORED = StoredSession("g", "session-5", secret_digest("secret"), "journal")
FENCED = StoredSession("g", "session-5", secret_digest("secret"), "journal", is_fenced=True)
NOTHING = Proof()
GOOD = Proof("session-5", "secret")
WRONG = Proof("session-5", "guess")
OLDER = Proof("session-4", "secret of then")
NEWER = Proof("session-6", "secret of then")


@pytest.mark.parametrize(
    ("stored", "proof", "journal", "is_live", "expected"),
    [
        pytest.param(None, NOTHING, "j", False, Begin(), id="the first hello begins"),
        pytest.param(None, GOOD, "j", False, Begin(), id="a session nobody knows begins anew"),
        pytest.param(STORED, GOOD, "journal", False, Continue("session-5", True), id="proof goes on after an outage"),
        pytest.param(STORED, GOOD, "journal", True, Continue("session-5", True), id="proof takes over a live session"),
        pytest.param(STORED, GOOD, "other", True, Continue("session-5", False), id="another journal is told apart"),
        pytest.param(
            STORED, NOTHING, "journal", True, SessionLives, id="without proof it waits while the session lives"
        ),
        pytest.param(STORED, WRONG, "journal", True, SessionLives, id="a wrong secret is no proof"),
        pytest.param(STORED, NOTHING, "journal", False, Begin(), id="without proof it begins once the session is dead"),
        pytest.param(STORED, WRONG, "journal", False, Begin(), id="a wrong secret begins once the session is dead"),
        pytest.param(STORED, OLDER, "journal", False, SessionFenced, id="a session that was replaced is fenced"),
        pytest.param(STORED, OLDER, "journal", True, SessionFenced, id="a replaced session is fenced, alive or not"),
        pytest.param(STORED, NEWER, "journal", False, Begin(), id="a session that the database lost begins anew"),
        pytest.param(FENCED, GOOD, "journal", False, SessionFenced, id="one that vanished is fenced"),
        pytest.param(FENCED, NOTHING, "journal", False, Begin(), id="one that vanished begins anew without a session"),
        pytest.param(FENCED, NOTHING, "journal", True, Begin(), id="a fenced session does not block the next one"),
    ],
)
def test_hello(
    stored: StoredSession | None, proof: Proof, journal: str, is_live: bool, expected: Admission | type[SluicewayError]
) -> None:
    got = admit("e", "g", stored, proof, journal_id=journal, is_live=is_live)
    if isinstance(expected, type):
        assert isinstance(got, Refuse)
        assert type(got.error) is expected
    else:
        assert got == expected


def test_id_of_another_group_is_refused_even_with_its_secret() -> None:
    got = admit("e", "intruders", STORED, GOOD, journal_id="journal", is_live=False)
    assert isinstance(got, Refuse)
    assert isinstance(got.error, PermissionDenied)


@pytest.mark.parametrize(
    ("stored", "group", "proof", "is_good"),
    [
        pytest.param(STORED, "g", GOOD, True, id="the present session"),
        pytest.param(STORED, "g", WRONG, False, id="a wrong secret"),
        pytest.param(STORED, "g", OLDER, False, id="an older session"),
        pytest.param(STORED, "g", NOTHING, False, id="no session"),
        pytest.param(STORED, "h", GOOD, False, id="another group"),
        pytest.param(FENCED, "g", GOOD, False, id="a fenced session"),
        pytest.param(None, "g", GOOD, False, id="an executor that nobody knows"),
    ],
)
def test_calls_beside_the_stream_need_the_present_session(
    stored: StoredSession | None, group: str, proof: Proof, is_good: bool
) -> None:
    assert (check_proof("e", group, stored, proof) is None) is is_good


NOW = Epoch(2, 1)
A = AssignmentPhase


def _stored(phase: AssignmentPhase, *, epoch: Epoch = NOW, session: str = "s") -> Assignment:
    return Assignment("a", "run", "task", epoch, "e", session, datetime(2026, 1, 1, tzinfo=UTC), phase)


def _held(phase: AssignmentPhase, *, epoch: Epoch = NOW) -> Held:
    return Held("a", epoch, phase)


@pytest.mark.parametrize(
    ("stored", "held", "same_journal", "verdict"),
    [
        pytest.param(_stored(A.RUNNING), _held(A.RUNNING), True, Verdict.GO_ON, id="both have it"),
        pytest.param(_stored(A.ASSIGNED), _held(A.ACCEPTED), True, Verdict.GO_ON, id="accepted, not yet heard of"),
        pytest.param(_stored(A.RUNNING), _held(A.SUCCESS), True, Verdict.GO_ON, id="its end is yet to be reported"),
        pytest.param(_stored(A.RUNNING), _held(A.RUNNING), False, Verdict.GO_ON, id="held, whatever the journal"),
        pytest.param(_stored(A.LOST), _held(A.RUNNING), True, Verdict.REMOVE, id="final here, runs there"),
        pytest.param(_stored(A.SUCCESS), _held(A.SUCCESS), True, Verdict.RELEASE, id="final on both sides"),
        pytest.param(
            _stored(A.RUNNING, epoch=Epoch(2, 2)), _held(A.RUNNING), True, Verdict.REMOVE, id="another attempt"
        ),
        pytest.param(
            _stored(A.RUNNING, session="old"), _held(A.RUNNING), True, Verdict.REMOVE_AND_LOSE, id="fenced session"
        ),
        pytest.param(None, _held(A.RUNNING, epoch=Epoch(1, 1)), True, Verdict.ADOPT, id="the database lost it"),
        pytest.param(None, _held(A.RUNNING), True, Verdict.REMOVE, id="unknown in the same epoch"),
        pytest.param(_stored(A.ASSIGNED), None, True, Verdict.SEND_AGAIN, id="never came, same journal"),
        pytest.param(_stored(A.ASSIGNED), None, False, Verdict.LOSE, id="may have come, another journal"),
        pytest.param(_stored(A.ASSIGNED, session="old"), None, True, Verdict.LOSE, id="assigned to a fenced session"),
        pytest.param(_stored(A.ACCEPTED), None, True, Verdict.LOSE, id="accepted and forgotten"),
        pytest.param(_stored(A.RUNNING), None, True, Verdict.LOSE, id="ran and is forgotten"),
        pytest.param(_stored(A.SUCCESS), None, True, None, id="final and forgotten"),
    ],
)
def test_settling(stored: Assignment | None, held: Held | None, same_journal: bool, verdict: Verdict | None) -> None:
    got = settle(
        [] if stored is None else [stored],
        [] if held is None else [held],
        session_id="s",
        same_journal=same_journal,
        database_epoch=2,
    )
    assert [s.verdict for s in got] == ([] if verdict is None else [verdict])
    assert all(s.assignment_id == "a" for s in got)


def test_the_settlement_names_the_epoch_that_the_executor_has() -> None:
    (row,) = settle(
        [_stored(A.RUNNING, epoch=Epoch(2, 2))],
        [_held(A.RUNNING)],
        session_id="s",
        same_journal=True,
        database_epoch=2,
    )
    assert row.epoch == NOW
