from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_common.foundation.errors import PermissionDenied, SluicewayError
from sluiceway_common.runmodel import executor_state as module
from sluiceway_common.runmodel.executor_state import (
    TRANSITIONS,
    AssignedFirst,
    AssignmentsEnded,
    Deleted,
    Departed,
    Drain,
    Drained,
    ExecutorEvent,
    ExecutorPhase,
    ExecutorState,
    Hello,
    PodsGone,
    Proof,
    SessionBegan,
    SessionContinued,
    SessionFenced,
    SessionLives,
    Settled,
    Undrained,
    Use,
    UseRecorded,
    Vanished,
    admit,
    apply,
    secret_digest,
)
from sluiceway_common.runmodel.state import InvariantBroken

T0, T1 = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
ACTIVE = ExecutorState("g", "session-5", secret_digest("secret"), "journal", session_time=T0, last_seen_time=T0)
VANISHED = replace(ACTIVE, phase=ExecutorPhase.VANISHED, missing_since=T0)
DELETED = replace(ACTIVE, phase=ExecutorPhase.DELETED)
DRAINED = replace(ACTIVE, drain=Drain(T1))
S = "session-5"
BEGAN = SessionBegan("session-6", b"digest", "g", "journal-2", dynamic=True)
NEW = ExecutorState("g", "session-6", b"digest", "journal-2", dynamic=True, session_time=T1, last_seen_time=T1)


def _row(name: str, before: ExecutorState | None, event: ExecutorEvent, after: ExecutorState | None) -> object:
    return pytest.param(before, event, after, id=name)


@pytest.mark.parametrize(
    ("before", "event", "after"),
    [
        _row("a first hello registers", None, BEGAN, replace(NEW, use=Use.NONE)),
        _row("a new session replaces an active one", replace(ACTIVE, settled_epoch=3), BEGAN, NEW),
        _row("a new session ends the fence of one that vanished", VANISHED, BEGAN, NEW),
        _row("a new session registers a deleted one again", DELETED, BEGAN, NEW),
        _row("a drain outlives its session", DRAINED, BEGAN, replace(NEW, drain=Drain(T1))),
        _row(
            "a drain outlives that its executor vanished",
            replace(VANISHED, drain=Drain()),
            BEGAN,
            replace(NEW, drain=Drain()),
        ),
        _row("a drain ends when its executor is deleted", replace(DELETED, drain=Drain()), BEGAN, NEW),
        _row("a new session keeps the use", replace(ACTIVE, use=Use.FIRST), BEGAN, replace(NEW, use=Use.FIRST)),
        _row(
            "a session continues with another journal",
            ACTIVE,
            SessionContinued(S, "journal-2", dynamic=False),
            replace(ACTIVE, journal_id="journal-2", last_seen_time=T1),
        ),
        _row(
            "a session that continues stays settled",
            replace(ACTIVE, settled_epoch=3),
            SessionContinued(S, "journal", dynamic=False),
            replace(ACTIVE, settled_epoch=3, last_seen_time=T1),
        ),
        _row("a session settles", ACTIVE, Settled(S, 3), replace(ACTIVE, settled_epoch=3)),
        _row("a session that vanished settles late", VANISHED, Settled(S, 3), replace(VANISHED, settled_epoch=3)),
        _row("an older session settles late", ACTIVE, Settled("session-4", 3), ACTIVE),
        _row("a stream ends", ACTIVE, Departed(S), replace(ACTIVE, last_seen_time=T1)),
        _row("a stream of an older session ends late", ACTIVE, Departed("session-4"), ACTIVE),
        _row("a stream ends when its executor was removed", None, Departed(S), None),
        _row("an active one vanishes", ACTIVE, Vanished(S), replace(VANISHED, missing_since=T1)),
        _row(
            "one that vanishes is cleaned up after",
            ACTIVE,
            Vanished(S, frozenset({"e2", "e3"})),
            replace(VANISHED, missing_since=T1, cleaners=frozenset({"e2", "e3"})),
        ),
        _row(
            "a sibling has removed its pods",
            replace(VANISHED, cleaners=frozenset({"e2", "e3"})),
            PodsGone(S, "e2"),
            replace(VANISHED, cleaners=frozenset({"e3"})),
        ),
        _row(
            "another executor says so",
            replace(VANISHED, cleaners=frozenset({"e2"})),
            PodsGone(S, "e4"),
            replace(VANISHED, cleaners=frozenset({"e2"})),
        ),
        _row("a sibling says so late", ACTIVE, PodsGone(S, "e2"), ACTIVE),
        _row("a new session has no cleaners", replace(VANISHED, cleaners=frozenset({"e2"})), BEGAN, NEW),
        _row("an executor that came back does not vanish", ACTIVE, Vanished("session-4"), ACTIVE),
        _row("one that vanished does not vanish again", VANISHED, Vanished(S), VANISHED),
        _row("a deleted one does not vanish", DELETED, Vanished(S), DELETED),
        _row("a static one that vanished stays", VANISHED, AssignmentsEnded(S, has_others=False), VANISHED),
        _row(
            "a dynamic one that vanished is removed",
            replace(VANISHED, dynamic=True),
            AssignmentsEnded(S, has_others=False),
            None,
        ),
        _row(
            "one that vanished unused is removed",
            replace(VANISHED, use=Use.NONE),
            AssignmentsEnded(S, has_others=False),
            None,
        ),
        _row(
            "one to be removed waits for other assignments",
            replace(VANISHED, dynamic=True),
            AssignmentsEnded(S, has_others=True),
            replace(VANISHED, dynamic=True, phase=ExecutorPhase.DELETED),
        ),
        _row("a deleted one is removed", DELETED, AssignmentsEnded(S, has_others=False), None),
        _row(
            "an executor that came back is not removed",
            replace(ACTIVE, dynamic=True),
            AssignmentsEnded(S, has_others=False),
            replace(ACTIVE, dynamic=True),
        ),
        _row("an operator drains it", ACTIVE, Drained(T1), DRAINED),
        _row("an operator drains one that vanished", VANISHED, Drained(None), replace(VANISHED, drain=Drain())),
        _row("an operator takes the deadline from a drain", DRAINED, Drained(None), replace(ACTIVE, drain=Drain())),
        _row("an operator undrains it", DRAINED, Undrained(), ACTIVE),
        _row("an operator deletes an idle one", ACTIVE, Deleted(has_assignments=False), None),
        _row("an operator deletes a busy one", ACTIVE, Deleted(has_assignments=True), DELETED),
        _row(
            "an operator deletes one that vanished",
            VANISHED,
            Deleted(has_assignments=True),
            replace(DELETED, missing_since=T0),
        ),
        _row(
            "its first assignment is noted",
            replace(ACTIVE, use=Use.NONE),
            AssignedFirst(),
            replace(ACTIVE, use=Use.FIRST),
        ),
        _row("a later assignment changes nothing", ACTIVE, AssignedFirst(), ACTIVE),
        _row("its first assignment is in the object storage", replace(ACTIVE, use=Use.FIRST), UseRecorded(), ACTIVE),
    ],
)
def test_event_changes_the_state(
    before: ExecutorState | None, event: ExecutorEvent, after: ExecutorState | None
) -> None:
    assert apply(before, event, T1) == after


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (None, SessionContinued(S, "journal", dynamic=False)),
        (VANISHED, SessionContinued(S, "journal", dynamic=False)),
        (DELETED, SessionContinued(S, "journal", dynamic=False)),
        (None, Drained(None)),
        (DELETED, Drained(None)),
        (None, Undrained()),
        (DELETED, Undrained()),
        (None, Deleted(has_assignments=False)),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, ExecutorState) else value.phase,
)
def test_event_that_cannot_happen_is_an_error(state: ExecutorState | None, event: ExecutorEvent) -> None:
    with pytest.raises(InvariantBroken):
        apply(state, event, T1)


def test_essay_has_a_row_for_every_event() -> None:
    essay = module.__doc__ or ""
    rows = {line.split()[0]: line for line in essay.splitlines() if line.startswith("    ")}
    assert set(rows) - {"event"} == {event.__name__ for event in TRANSITIONS}
    for event, row in TRANSITIONS.items():
        cells = [cell.strip() for cell in _cells(rows[event.__name__], rows["event"])]
        assert [cell != "-" for cell in cells] == [phase in row for phase in (None, *ExecutorPhase)], event


def _cells(row: str, header: str) -> list[str]:
    starts = [header.index(name) for name in ("not registered", "ACTIVE", "VANISHED", "DELETED")]
    return [row[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]


_SESSIONS = st.sampled_from(["session-1", "session-2", "session-3"])
_EVENTS: st.SearchStrategy[ExecutorEvent] = st.one_of(
    st.builds(SessionBegan, _SESSIONS, st.just(b"d"), st.just("g"), st.sampled_from("jk"), st.booleans()),
    st.builds(SessionContinued, _SESSIONS, st.sampled_from("jk"), st.booleans()),
    st.builds(Settled, _SESSIONS, st.integers(1, 3)),
    st.builds(Departed, _SESSIONS),
    st.builds(Vanished, _SESSIONS),
    st.builds(AssignmentsEnded, _SESSIONS, st.booleans()),
    st.builds(Drained, st.sampled_from([None, T1])),
    st.just(Undrained()),
    st.builds(Deleted, st.booleans()),
    st.just(AssignedFirst()),
    st.just(UseRecorded()),
)


def _can_happen(state: ExecutorState | None, event: ExecutorEvent) -> bool:
    if isinstance(event, SessionContinued) and state is not None and state.session_id != event.session_id:
        return False  # `admit` compares the sessions
    return (None if state is None else state.phase) in TRANSITIONS[type(event)]


@given(st.lists(_EVENTS, max_size=30))
def test_rules_hold_after_every_order_of_events(events: list[ExecutorEvent]) -> None:
    state: ExecutorState | None = None
    now = T0
    for event in events:
        if not _can_happen(state, event):
            continue
        now += timedelta(seconds=1)
        before, state = state, apply(state, event, now)
        if state is not None and not isinstance(event, Deleted | AssignmentsEnded):
            assert apply(state, event, now) == state, "the same event twice equals once"
        if before is None:
            assert state is None or isinstance(event, SessionBegan)
            continue
        if state is None:
            assert isinstance(event, Deleted | AssignmentsEnded)
            continue
        began = isinstance(event, SessionBegan)
        assert began or state.session_id == before.session_id
        assert began or not before.is_fenced or state.is_fenced, "a fenced session does not become active again"
        assert began or before.phase is not ExecutorPhase.DELETED or state.phase is ExecutorPhase.DELETED
        assert (before.use, state.use) in _USES
        assert state.drain == before.drain or isinstance(event, Drained | Undrained | SessionBegan)
        named = getattr(event, "session_id", before.session_id)
        assert began or named == before.session_id or state == before, "an event of another session changes nothing"


_USES = {(use, use) for use in Use} | {
    (Use.NONE, Use.FIRST),
    (Use.FIRST, Use.RECORDED),
    (Use.NONE, Use.RECORDED),
}


@pytest.mark.parametrize(
    ("state", "is_waited_for"),
    [
        pytest.param(ACTIVE, True, id="one that never settled"),
        pytest.param(replace(ACTIVE, settled_epoch=2), True, id="one that settled in an earlier epoch"),
        pytest.param(replace(ACTIVE, settled_epoch=3), False, id="one that settled in this epoch"),
        pytest.param(replace(ACTIVE, use=Use.FIRST), True, id="one that was given its first assignment"),
        pytest.param(replace(ACTIVE, use=Use.NONE), False, id="one that never had an assignment"),
        pytest.param(VANISHED, False, id="one that vanished"),
        pytest.param(DELETED, False, id="one that was deleted"),
    ],
)
def test_executors_that_a_new_epoch_waits_for(state: ExecutorState, is_waited_for: bool) -> None:
    assert state.is_waited_for(3) is is_waited_for


NOTHING = Proof()
GOOD = Proof(S, "secret")
WRONG = Proof(S, "guess")
OLDER = Proof("session-4", "secret of then")
NEWER = Proof("session-6", "secret of then")
BEGINS = SessionBegan("new", b"digest", "g", "journal", dynamic=False)
CONTINUES = SessionContinued(S, "journal", dynamic=False)


@pytest.mark.parametrize(
    ("state", "proof", "is_live", "expected"),
    [
        pytest.param(None, NOTHING, False, BEGINS, id="the first hello begins"),
        pytest.param(None, GOOD, False, BEGINS, id="an unknown session begins"),
        pytest.param(ACTIVE, GOOD, False, CONTINUES, id="a proved session continues after an outage"),
        pytest.param(ACTIVE, GOOD, True, CONTINUES, id="a proved session is taken over from its old stream"),
        pytest.param(ACTIVE, NOTHING, True, SessionLives, id="without proof it waits while the session is in use"),
        pytest.param(ACTIVE, WRONG, True, SessionLives, id="a wrong secret is no proof"),
        pytest.param(ACTIVE, NOTHING, False, BEGINS, id="without proof it begins when the session is not in use"),
        pytest.param(ACTIVE, WRONG, False, BEGINS, id="a wrong secret begins when the session is not in use"),
        pytest.param(ACTIVE, OLDER, False, SessionFenced, id="a replaced session is refused"),
        pytest.param(ACTIVE, OLDER, True, SessionFenced, id="a replaced session is refused while another is in use"),
        pytest.param(ACTIVE, NEWER, False, BEGINS, id="a session that the database lost begins"),
        pytest.param(VANISHED, GOOD, False, SessionFenced, id="one that vanished is refused"),
        pytest.param(DELETED, GOOD, False, SessionFenced, id="one that was deleted is refused"),
        pytest.param(VANISHED, NOTHING, False, BEGINS, id="one that vanished begins without a session"),
        pytest.param(VANISHED, NOTHING, True, BEGINS, id="a fenced session does not block the next one"),
    ],
)
def test_hello_is_admitted_or_refused(
    state: ExecutorState | None, proof: Proof, is_live: bool, expected: ExecutorEvent | type[SluicewayError]
) -> None:
    def decide() -> ExecutorEvent:
        hello = Hello("g", proof, "journal")
        return admit("e", state, hello, is_live=is_live, new_session_id="new", new_secret_digest=b"digest")

    if isinstance(expected, type):
        with pytest.raises(expected):
            decide()
    else:
        assert decide() == expected


def test_id_of_another_group_is_refused_even_with_its_secret() -> None:
    with pytest.raises(PermissionDenied):
        admit(
            "e", ACTIVE, Hello("intruders", GOOD, "journal"), is_live=False, new_session_id="n", new_secret_digest=b""
        )


@pytest.mark.parametrize(
    ("proof", "is_proved"),
    [
        pytest.param(GOOD, True, id="the stored session"),
        pytest.param(WRONG, False, id="a wrong secret"),
        pytest.param(OLDER, False, id="an older session"),
        pytest.param(NOTHING, False, id="no session"),
    ],
)
def test_session_is_proved_by_its_id_and_secret(proof: Proof, is_proved: bool) -> None:
    assert ACTIVE.is_proved_by(proof) is is_proved
