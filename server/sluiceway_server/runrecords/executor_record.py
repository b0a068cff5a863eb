"""The state of an executor in its record: read, written, and advanced by events.

`executor_state` decides; this module is the only one that reads and writes the fields of `ExecutorRecord` that the
state consists of. The other fields (labels, slots, drivers and so on) are from the last hello of the executor.
"""

from __future__ import annotations

from datetime import datetime

from sluiceway.api.executor.v1.executor_service_pb2 import Clean
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.runmodel.executor_state import Drain, ExecutorEvent, ExecutorPhase, ExecutorState, Use, apply
from sluiceway_server.datamanager.model import Action, Delete, Emit, Put, Query, View
from sluiceway_server.runrecords import codec
from sluiceway_server.runrecords.types import ASSIGNMENT, EXECUTOR, executor_topic

KIND_FENCED = "executor_fenced"
"""A notice to an executor's topic: its session is fenced; the body is the session's id."""
KIND_CLEAN = "executor_clean"
"""A notice to an executor's topic: it is to clean up after a vanished session; the body is an encoded `Clean`."""

_USE_OF: dict[pb.ExecutorUse, Use] = {
    pb.EXECUTOR_USE_UNSPECIFIED: Use.RECORDED,
    pb.EXECUTOR_USE_NONE: Use.NONE,
    pb.EXECUTOR_USE_FIRST: Use.FIRST,
}
_STORED_USE = {use: stored for stored, use in _USE_OF.items()}


def phase_of(record: pb.ExecutorRecord) -> ExecutorPhase:
    """Return the phase of an executor. Cheaper than `read_state`."""
    if record.deleted:
        return ExecutorPhase.DELETED
    return ExecutorPhase.VANISHED if record.vanished else ExecutorPhase.ACTIVE


def drain_of(record: pb.ExecutorRecord) -> Drain | None:
    """Return the drain of an executor; None: it is not drained. Cheaper than `read_state`."""
    return Drain(_time(record, "drain_deadline")) if record.draining else None


def use_of(record: pb.ExecutorRecord) -> Use:
    """Return the use of an executor. Cheaper than `read_state`."""
    return _USE_OF.get(record.use, Use.RECORDED)


def read_state(record: pb.ExecutorRecord) -> ExecutorState:
    """Read the state of an executor."""
    return ExecutorState(
        group=record.group,
        session_id=record.session_id,
        secret_digest=record.secret_digest,
        journal_id=record.journal_id,
        phase=phase_of(record),
        dynamic=record.dynamic,
        settled_epoch=record.settled_epoch,
        drain=drain_of(record),
        use=use_of(record),
        session_time=_time(record, "session_time"),
        last_seen_time=_time(record, "last_seen_time"),
        missing_since=_time(record, "missing_since"),
        cleaners=frozenset(record.cleaners),
    )


def with_state(record: pb.ExecutorRecord | None, state: ExecutorState) -> pb.ExecutorRecord:
    """Return a copy of a record with this state; None: of an empty record."""
    stored = pb.ExecutorRecord()
    if record is not None:
        stored.CopyFrom(record)
    stored.group = state.group
    stored.session_id = state.session_id
    stored.secret_digest = state.secret_digest
    stored.journal_id = state.journal_id
    # Fenced either way: versions before this one, and the index, look at `vanished` alone.
    stored.vanished = state.is_fenced
    stored.deleted = state.phase is ExecutorPhase.DELETED
    stored.dynamic = state.dynamic
    stored.settled_epoch = state.settled_epoch
    stored.draining = state.drain is not None
    stored.use = _STORED_USE[state.use]
    _put(stored, "drain_deadline", None if state.drain is None else state.drain.deadline)
    _put(stored, "session_time", state.session_time)
    _put(stored, "last_seen_time", state.last_seen_time)
    _put(stored, "missing_since", state.missing_since)
    del stored.cleaners[:]
    stored.cleaners.extend(sorted(state.cleaners))
    return stored


def has_live_assignments(view: View, executor_id: str) -> bool:
    """Return whether an executor has assignments that are not final, of whichever session."""
    query = Query(where={"executor_id": executor_id, "live": 1}, size=1)
    return bool(view.select(ASSIGNMENT, query).records)


def transition(view: View, executor_id: str, event: ExecutorEvent, now: datetime) -> list[Action]:
    """Return the actions that store what an event changes of an executor; none when it changes nothing.

    Whoever holds the executor's stream is notified when the session is fenced by it, and whoever holds those of its
    cleaners.
    """
    record = view.get(EXECUTOR, executor_id)
    before = None if record is None else read_state(record)
    after = apply(before, event, now)
    if after == before:
        return []
    actions: list[Action] = [
        Delete(EXECUTOR, executor_id) if after is None else Put(EXECUTOR, executor_id, with_state(record, after))
    ]
    if before is not None and not before.is_fenced and (after is None or after.is_fenced):
        actions.append(Emit(KIND_FENCED, (executor_topic(executor_id),), before.session_id.encode()))
        cleaners = frozenset() if after is None else after.cleaners
        command = Clean(session_id=before.session_id, executor_id=executor_id).SerializeToString()
        actions += [Emit(KIND_CLEAN, (executor_topic(each),), command) for each in sorted(cleaners)]
    return actions


def vanished_sessions(view: View, cleaner: str) -> list[Clean]:
    """Return the vanished sessions that an executor is to clean up after, and has not reported."""
    found = view.select(EXECUTOR, Query(where={"vanished": 1}, size=1000)).records
    return [Clean(session_id=record.session_id, executor_id=id_) for id_, record in found if cleaner in record.cleaners]


def executor_with_vanished_session(view: View, session_id: str) -> str | None:
    """Return the executor whose vanished session this is; None: it is none any more."""
    found = view.select(EXECUTOR, Query(where={"vanished": 1}, size=1000)).records
    return next((id_ for id_, record in found if record.session_id == session_id), None)


def _time(record: pb.ExecutorRecord, field: str) -> datetime | None:
    return codec.read_time(getattr(record, field)) if record.HasField(field) else None


def _put(record: pb.ExecutorRecord, field: str, value: datetime | None) -> None:
    if value is None:
        record.ClearField(field)
    else:
        codec.put_time(getattr(record, field), value)
