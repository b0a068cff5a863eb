from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.runmodel.executor_state import Drain, ExecutorPhase, ExecutorState, Use
from sluiceway_server.runrecords.executor_record import drain_of, phase_of, read_state, with_state

_TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - made UTC
_STATES = st.builds(
    ExecutorState,
    group=st.text(max_size=5),
    session_id=st.text(max_size=5),
    secret_digest=st.binary(max_size=5),
    journal_id=st.text(max_size=5),
    phase=st.sampled_from(ExecutorPhase),
    dynamic=st.booleans(),
    settled_epoch=st.integers(0, 2**40),
    drain=st.none() | st.builds(Drain, st.none() | _TIMES),
    use=st.sampled_from(Use),
    session_time=st.none() | _TIMES,
    last_seen_time=st.none() | _TIMES,
    missing_since=st.none() | _TIMES,
)


@given(_STATES, _STATES)
def test_stored_state_is_read_again(before: ExecutorState, state: ExecutorState) -> None:
    record = with_state(with_state(pb.ExecutorRecord(version="1", slots=4), before), state)
    assert read_state(record) == state
    assert (phase_of(record), drain_of(record)) == (state.phase, state.drain)
    assert (record.version, record.slots) == ("1", 4)


@pytest.mark.parametrize(
    ("vanished", "deleted", "phase"),
    [
        (False, False, ExecutorPhase.ACTIVE),
        (True, False, ExecutorPhase.VANISHED),
        (True, True, ExecutorPhase.DELETED),
        (False, True, ExecutorPhase.DELETED),
    ],
)
def test_phase_is_read_of_two_fields(vanished: bool, deleted: bool, phase: ExecutorPhase) -> None:
    assert phase_of(pb.ExecutorRecord(vanished=vanished, deleted=deleted)) is phase


def test_record_of_an_earlier_version_may_hold_assignments() -> None:
    assert read_state(pb.ExecutorRecord(group="g")).use is Use.RECORDED


def test_record_is_copied_and_not_changed() -> None:
    record = pb.ExecutorRecord(group="g", session_id="s")
    state = read_state(record)
    with_state(record, ExecutorState("g", "t", b"", "j", drain=Drain(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(1))))
    assert read_state(record) == state
