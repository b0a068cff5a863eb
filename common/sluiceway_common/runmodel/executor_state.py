"""The stored state of an executor, and all of its transitions. Pure.

An executor is registered by its first hello, and has one state from then on; `None` is the state of an executor that is
not registered. Five parts of the state change independently:

1. **The phase of its session.** A session is one life of an executor; the executor keeps its id and secret in its
   journal, so that it survives broken streams and restarts on both sides. An ACTIVE session may be continued. A
   VANISHED one was fenced by the failure detector, a DELETED one by an operator. A fenced session never becomes active
   again: every update names its session, so that an executor that was declared lost cannot change the task that another
   one runs now. Only a new session leaves VANISHED and DELETED.
2. **The epoch in which it settled**: in which it reported all that it holds, and all that follows from that was
   committed. In a new epoch nothing is assigned before each executor that may hold assignments has settled.
3. **Its drain**, which lasts until an operator ends it, through sessions and restarts.
4. **Its cleaners**: the siblings that were asked to remove the pods of its vanished session, and have not reported yet.
5. **Its use**: whether it may hold assignments. An executor that never had one is not waited for in a new epoch, and is
   removed, not kept, when it vanishes.

Whether a stream serves the session at present is not part of the state: etcd has that (a key on a lease). The loss
of that key is not an event here; it starts a timer (the server's `absence`), and when that expires, `Vanished` follows.

Transitions; "-" raises `InvariantBroken`, "=" changes nothing:

    event             not registered  ACTIVE        VANISHED          DELETED
    SessionBegan      ACTIVE          ACTIVE        ACTIVE            ACTIVE, not drained
    SessionContinued  -               ACTIVE        -                 -
    Settled           =               epoch stored  epoch stored      epoch stored
    Departed          =               last seen     last seen         last seen
    Vanished          =               VANISHED      =                 =
    PodsGone          =               =             a cleaner less    a cleaner less
    AssignmentsEnded  =               =             removed, or kept  removed
    Drained           -               drained       drained           -
    Undrained         -               not drained   not drained       -
    Deleted           -               DELETED       DELETED           DELETED
    AssignedFirst     =               use           use               use
    UseRecorded       =               use           use               use

Two rules apply to the whole table. An event of another session than the stored one changes nothing: it is late. And
where the table says removed or DELETED, an executor that still has live assignments is DELETED, one without is removed.

A hello is not an event by itself: `admit` decides whether it begins a session, continues one, or is refused. Session
ids are UUIDv7, so that of two the newer one is known. An executor that names an *older* session than the stored one was
replaced, and is refused. One that names a *newer* one has a session that the database lost: it begins a
new session and settles.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sluiceway_common.foundation.errors import AlreadyExists, FailedPrecondition, PermissionDenied
from sluiceway_common.runmodel.state import InvariantBroken


class SessionLives(AlreadyExists):
    """Another stream uses the session, and this hello did not prove that it owns it. Retry: the other one may end."""

    reason = "SESSION_LIVES"


class SessionFenced(FailedPrecondition):
    """The session was replaced, or its executor vanished or was deleted: remove all pods, begin without a session."""

    reason = "SESSION_FENCED"


class ExecutorPhase(StrEnum):
    """The phase of the session of an executor."""

    ACTIVE = "active"
    """It may be continued, and its executor may be given assignments while a stream serves it."""
    VANISHED = "vanished"
    """It is fenced: the executor was missing for too long."""
    DELETED = "deleted"
    """It is fenced: an operator deleted the executor. Its state is kept only until its assignments have ended."""


class Use(StrEnum):
    """Whether an executor may hold assignments, and whether the object storage knows that it may."""

    NONE = "none"
    """It never had an assignment."""
    FIRST = "first"
    """It was given its first one, which is sent to it only when this is in the object storage."""
    RECORDED = "recorded"
    """It may hold assignments, and the object storage says so."""


@dataclass(frozen=True, slots=True)
class Drain:
    """An executor is given no more assignments; what still runs at `deadline` is lost. None: there is no deadline."""

    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class ExecutorState:
    """The state of a registered executor. Only `apply` makes the next one.

    Attributes:
        group: the executor group of its token.
        session_id: of its last session.
        secret_digest: SHA-256 of that session's secret.
        journal_id: of the journal on the executor's disk at its last hello.
        dynamic: it may vanish without notice, and is removed when it has.
        settled_epoch: the epoch of the database in which it settled last; 0: in none with this session.
        session_time: when its session began.
        last_seen_time: when its last hello came, or its last stream ended.
        missing_since: when it vanished, while it has.
    """

    group: str
    session_id: str
    secret_digest: bytes
    journal_id: str
    phase: ExecutorPhase = ExecutorPhase.ACTIVE
    dynamic: bool = False
    settled_epoch: int = 0
    drain: Drain | None = None
    use: Use = Use.RECORDED
    session_time: datetime | None = None
    last_seen_time: datetime | None = None
    missing_since: datetime | None = None
    cleaners: frozenset[str] = frozenset()

    @property
    def is_fenced(self) -> bool:
        """Whether its session is fenced."""
        return self.phase is not ExecutorPhase.ACTIVE

    def is_waited_for(self, epoch: int) -> bool:
        """Return whether nothing may be assigned in a new epoch of the database before this executor has settled."""
        return not self.is_fenced and self.settled_epoch < epoch and self.use is not Use.NONE

    def is_proved_by(self, proof: Proof) -> bool:
        """Return whether a proof names this session and has its secret. The session may be fenced nevertheless."""
        return (
            bool(proof.session_id)
            and proof.session_id == self.session_id
            and hmac.compare_digest(secret_digest(proof.secret), self.secret_digest)
        )


@dataclass(frozen=True, slots=True)
class SessionBegan:
    """A hello was admitted without a session, or with one that the database does not know."""

    session_id: str
    secret_digest: bytes
    group: str
    journal_id: str
    dynamic: bool


@dataclass(frozen=True, slots=True)
class SessionContinued:
    """A hello proved the stored session; an older stream of it is to be closed."""

    session_id: str
    journal_id: str
    dynamic: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """The executor reported all that it holds, and all that follows from that is committed."""

    session_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Departed:
    """The stream of the session ended."""

    session_id: str


@dataclass(frozen=True, slots=True)
class Vanished:
    """The executor was missing for longer than it may. `cleaners`: the siblings that are to remove its pods."""

    session_id: str
    cleaners: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PodsGone:
    """A sibling reported that the pods of the vanished session are gone where it is, or that it cannot remove them."""

    session_id: str
    cleaner: str


@dataclass(frozen=True, slots=True)
class AssignmentsEnded:
    """What the fenced session ran has been ended as lost. `has_others`: the executor has other live assignments."""

    session_id: str
    has_others: bool


@dataclass(frozen=True, slots=True)
class Drained:
    """An operator drained the executor."""

    deadline: datetime | None


@dataclass(frozen=True, slots=True)
class Undrained:
    """An operator ended the drain."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """An operator deleted the executor. `has_assignments`: it has live ones."""

    has_assignments: bool


@dataclass(frozen=True, slots=True)
class AssignedFirst:
    """The executor was given an assignment."""


@dataclass(frozen=True, slots=True)
class UseRecorded:
    """The object storage has the record of an executor that was given an assignment."""


SessionEvent = Settled | Departed | Vanished | PodsGone | AssignmentsEnded
ExecutorEvent = (
    SessionBegan | SessionContinued | SessionEvent | Drained | Undrained | Deleted | AssignedFirst | UseRecorded
)


def apply(state: ExecutorState | None, event: ExecutorEvent, now: datetime) -> ExecutorState | None:
    """Return the state after an event; None: the executor is not registered any more.

    Late and repeated events change nothing.

    Raises:
        InvariantBroken: the event cannot happen in this phase; the caller must check the phase first.
    """
    if isinstance(event, SessionEvent) and state is not None and state.session_id != event.session_id:
        return state
    rule = TRANSITIONS[type(event)].get(None if state is None else state.phase)
    if rule is None:
        raise InvariantBroken(f"{event} cannot happen to an executor in the state {state}")
    return rule(state, event, now)


def _keep(state: ExecutorState | None, _event: Any, _now: datetime) -> ExecutorState | None:
    return state


def _begin(state: ExecutorState | None, event: SessionBegan, now: datetime) -> ExecutorState:
    # A drain outlives its session, but an executor that registers with the id of a deleted one is a new executor.
    keeps_drain = state is not None and state.phase is not ExecutorPhase.DELETED
    return ExecutorState(
        group=event.group,
        session_id=event.session_id,
        secret_digest=event.secret_digest,
        journal_id=event.journal_id,
        dynamic=event.dynamic,
        drain=state.drain if state is not None and keeps_drain else None,
        use=Use.NONE if state is None else state.use,
        session_time=now,
        last_seen_time=now,
    )


def _continue(state: ExecutorState, event: SessionContinued, now: datetime) -> ExecutorState:
    return replace(state, journal_id=event.journal_id, dynamic=event.dynamic, last_seen_time=now, missing_since=None)


def _settle(state: ExecutorState, event: Settled, _now: datetime) -> ExecutorState:
    return replace(state, settled_epoch=event.epoch)


def _depart(state: ExecutorState, _event: Departed, now: datetime) -> ExecutorState:
    return replace(state, last_seen_time=now)


def _vanish(state: ExecutorState, event: Vanished, now: datetime) -> ExecutorState:
    return replace(state, phase=ExecutorPhase.VANISHED, missing_since=now, cleaners=event.cleaners)


def _clean(state: ExecutorState, event: PodsGone, _now: datetime) -> ExecutorState:
    return replace(state, cleaners=state.cleaners - {event.cleaner})


def _forget(state: ExecutorState, event: AssignmentsEnded, now: datetime) -> ExecutorState | None:
    if state.phase is ExecutorPhase.DELETED or state.dynamic or state.use is Use.NONE:
        return _delete(state, Deleted(event.has_others), now)
    return state  # a static executor stays in the list: it may come back


def _drain(state: ExecutorState, event: Drained, _now: datetime) -> ExecutorState:
    return replace(state, drain=Drain(event.deadline))


def _undrain(state: ExecutorState, _event: Undrained, _now: datetime) -> ExecutorState:
    return replace(state, drain=None)


def _delete(state: ExecutorState, event: Deleted, _now: datetime) -> ExecutorState | None:
    return replace(state, phase=ExecutorPhase.DELETED) if event.has_assignments else None


def _assign_first(state: ExecutorState, _event: AssignedFirst, _now: datetime) -> ExecutorState:
    return replace(state, use=Use.FIRST) if state.use is Use.NONE else state


def _record_use(state: ExecutorState, _event: UseRecorded, _now: datetime) -> ExecutorState:
    return replace(state, use=Use.RECORDED)


_Rule = Callable[[Any, Any, datetime], ExecutorState | None]
_A, _V, _D = ExecutorPhase

TRANSITIONS: Mapping[type[ExecutorEvent], Mapping[ExecutorPhase | None, _Rule]] = {
    SessionBegan: {None: _begin, _A: _begin, _V: _begin, _D: _begin},
    SessionContinued: {_A: _continue},
    Settled: {None: _keep, _A: _settle, _V: _settle, _D: _settle},
    Departed: {None: _keep, _A: _depart, _V: _depart, _D: _depart},
    Vanished: {None: _keep, _A: _vanish, _V: _keep, _D: _keep},
    PodsGone: {None: _keep, _A: _keep, _V: _clean, _D: _clean},
    AssignmentsEnded: {None: _keep, _A: _keep, _V: _forget, _D: _forget},
    Drained: {_A: _drain, _V: _drain},
    Undrained: {_A: _undrain, _V: _undrain},
    Deleted: {_A: _delete, _V: _delete, _D: _delete},
    AssignedFirst: {None: _keep, _A: _assign_first, _V: _assign_first, _D: _assign_first},
    UseRecorded: {None: _keep, _A: _record_use, _V: _record_use, _D: _record_use},
}
"""The table above: by event and phase, None for an executor that is not registered. A missing cell is a "-"."""


@dataclass(frozen=True, slots=True)
class Proof:
    """The session that an executor names, and its secret; both empty: it names none."""

    session_id: str = ""
    secret: str = ""


@dataclass(frozen=True, slots=True)
class Hello:
    """The part of a hello that decides about its session; `group` is that of its token."""

    group: str
    proof: Proof
    journal_id: str
    dynamic: bool = False


def secret_digest(secret: str) -> bytes:
    """Return the digest of a session's secret that is stored. Secrets are random and long, so no salt is needed."""
    return hashlib.sha256(secret.encode()).digest()


def admit(
    executor_id: str,
    state: ExecutorState | None,
    hello: Hello,
    *,
    is_live: bool,
    new_session_id: str,
    new_secret_digest: bytes,
) -> SessionBegan | SessionContinued:
    """Return the event for a hello.

    Args:
        executor_id: of the hello.
        state: of that executor.
        hello: its fields.
        is_live: whether some server serves a stream of the stored session: etcd has its key.
        new_session_id: for a session that begins.
        new_secret_digest: as `new_session_id`.

    Raises:
        PermissionDenied: the id belongs to an executor of another group.
        SessionFenced: the hello names a session that was fenced or replaced.
        SessionLives: the hello has no valid proof, and the session is in use.
    """
    begins = SessionBegan(new_session_id, new_secret_digest, hello.group, hello.journal_id, hello.dynamic)
    if state is None:
        return begins
    if state.group != hello.group:
        raise PermissionDenied(
            f"the executor {executor_id} is of another group; choose another id for this one",
            reason="EXECUTOR_OF_ANOTHER_GROUP",
        )
    proof = hello.proof
    if state.is_proved_by(proof):
        if state.is_fenced:
            raise SessionFenced(
                f"the executor {executor_id} was declared vanished; remove its pods and begin without a session",
                subject=executor_id,
            )
        return SessionContinued(state.session_id, hello.journal_id, hello.dynamic)
    if proof.session_id and proof.session_id < state.session_id:
        raise SessionFenced(
            f"the session {proof.session_id} of the executor {executor_id} was replaced; remove its pods and begin "
            "without a session",
            subject=executor_id,
        )
    if is_live and not state.is_fenced:
        raise SessionLives(
            f"another executor is connected as {executor_id}, and this one did not prove that it is the same. Choose "
            "another id, or try again when the other one has disconnected",
            resource_type="executor",
            resource_name=executor_id,
        )
    return begins
