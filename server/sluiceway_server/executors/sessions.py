"""Decides about hellos: who gets which session, and how both sides settle what they hold. Pure.

A *session* is one life of an executor as the server counts it; its secret is in the executor's journal. Whoever proves
the session that is stored goes on with it, on any server, and the older stream is closed. Whoever proves nothing waits
until the session is dead, and gets a new one; the commit that stores it fences the old one, because every update names
its session.

Session ids are UUIDv7. So of two that differ the later one is known: an executor that proves an *older* session than
the stored one was replaced; one that names a *newer* one remembers what the database lost (the last second before all
of etcd went). The first is fenced, the second begins anew and settles.

Settling follows one table (executors.md, "The stream"), a row at a time, in `settle`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sluiceway_common.foundation.errors import AlreadyExists, FailedPrecondition, PermissionDenied, SluicewayError
from sluiceway_common.runmodel.model import Assignment, AssignmentId, AssignmentPhase, Epoch, Reason, ReasonCode

__all__ = [
    "Admission",
    "Begin",
    "Continue",
    "Held",
    "Proof",
    "Refuse",
    "SessionFenced",
    "SessionLives",
    "Settlement",
    "StoredSession",
    "Verdict",
    "admit",
    "check_proof",
    "secret_digest",
    "settle",
    "why_deleted",
]


class SessionLives(AlreadyExists):
    """Another stream holds the session, and this one proved nothing. Try again: it may be about to end."""

    reason = "SESSION_LIVES"


class SessionFenced(FailedPrecondition):
    """The session was replaced, or its executor was declared vanished: remove all pods and begin without a session."""

    reason = "SESSION_FENCED"


@dataclass(frozen=True, slots=True)
class StoredSession:
    """What the records say of an executor.

    Attributes:
        is_fenced: the session's executor was declared vanished, or deleted.
    """

    group: str
    session_id: str
    secret_digest: bytes
    journal_id: str
    is_fenced: bool = False


@dataclass(frozen=True, slots=True)
class Proof:
    """What an executor says to prove its session; both empty: nothing."""

    session_id: str = ""
    secret: str = ""


@dataclass(frozen=True, slots=True)
class Continue:
    """The session goes on; an older stream of it is to be closed. `same_journal`: and so does the journal."""

    session_id: str
    same_journal: bool


@dataclass(frozen=True, slots=True)
class Begin:
    """A new session replaces the stored one, if there was one."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """No session now; `error` says why."""

    error: SluicewayError


Admission = Continue | Begin | Refuse


def secret_digest(secret: str) -> bytes:
    """Digest a session secret for the records. Secrets are random and long, so that no salt is needed."""
    return hashlib.sha256(secret.encode()).digest()


def _proves(stored: StoredSession, proof: Proof) -> bool:
    return (
        bool(proof.session_id)
        and proof.session_id == stored.session_id
        and hmac.compare_digest(secret_digest(proof.secret), stored.secret_digest)
    )


def check_proof(executor_id: str, group: str, stored: StoredSession | None, proof: Proof) -> SluicewayError | None:
    """Tell why a call beside the stream (logs, specifications) does not prove the present session; None: it does."""
    if stored is None or stored.group != group or not _proves(stored, proof) or stored.is_fenced:
        return SessionFenced(f"this is not the present session of the executor {executor_id}", subject=executor_id)
    return None


def admit(
    executor_id: str, group: str, stored: StoredSession | None, proof: Proof, *, journal_id: str, is_live: bool
) -> Admission:
    """Decide about a hello.

    Args:
        executor_id: who says it.
        group: of its token.
        stored: what the records say of this id; None: nothing.
        proof: what the hello brings.
        journal_id: of the hello.
        is_live: whether a server holds the key of this executor in etcd: some stream serves it.
    """
    if stored is None:
        return Begin()
    if stored.group != group:
        return Refuse(
            PermissionDenied(
                f"the executor {executor_id} is of another group; choose another id for this one",
                reason="EXECUTOR_OF_ANOTHER_GROUP",
            )
        )
    if _proves(stored, proof):
        if stored.is_fenced:
            return Refuse(
                SessionFenced(
                    f"the executor {executor_id} was declared vanished; remove its pods and begin without a session",
                    subject=executor_id,
                )
            )
        return Continue(stored.session_id, same_journal=journal_id == stored.journal_id)
    if proof.session_id and proof.session_id < stored.session_id:
        return Refuse(
            SessionFenced(
                f"the session {proof.session_id} of the executor {executor_id} was replaced; remove its pods and begin "
                "without a session",
                subject=executor_id,
            )
        )
    if is_live and not stored.is_fenced:
        return Refuse(
            SessionLives(
                f"another executor is connected as {executor_id}; this one did not prove that it is the same. Choose "
                "another id, or try again when the other one has gone",
                resource_type="executor",
                resource_name=executor_id,
            )
        )
    return Begin()


class Verdict(StrEnum):
    """What settling decides about one assignment."""

    GO_ON = "go_on"
    """Both have it: nothing happens."""
    REMOVE = "remove"
    """The executor stops it, if it runs, and removes it; nobody wants its outcome."""
    RELEASE = "release"
    """Both know that it is over: local data may go."""
    ADOPT = "adopt"
    """The database may have lost it with its last moments: it is stored again as the executor has it, if its task has
    not gone on since. If it has: as REMOVE."""
    SEND_AGAIN = "send_again"
    """The executor never got it: sent again, with the same epoch."""
    LOSE = "lose"
    """Its fate is unknown: it is lost."""
    REMOVE_AND_LOSE = "remove_and_lose"
    """It belongs to a session that was fenced: the executor removes it, and it is lost."""


@dataclass(frozen=True, slots=True)
class Held:
    """An assignment as the executor has it."""

    id: AssignmentId
    epoch: Epoch
    phase: AssignmentPhase


@dataclass(frozen=True, slots=True)
class Settlement:
    """A row of the table, applied."""

    assignment_id: AssignmentId
    epoch: Epoch
    verdict: Verdict


def settle(
    stored: Sequence[Assignment], held: Sequence[Held], *, session_id: str, same_journal: bool, database_epoch: int
) -> tuple[Settlement, ...]:
    """Compare what the server has with what the executor has.

    Args:
        stored: the executor's assignments that are not final, and every one that `held` names and that exists.
        held: what its hello says.
        session_id: the session from now on.
        same_journal: whether the executor's journal is the one that it had at its last hello.
        database_epoch: the present one.

    Returns:
        One settlement for each assignment that either side has, but those that are final and that the executor no
        longer has; those of the executor first, in their order.
    """
    known = {assignment.id: assignment for assignment in stored}
    settlements = [
        Settlement(item.id, item.epoch, _settle_held(known.get(item.id), item, session_id, database_epoch))
        for item in held
    ]
    named = {item.id for item in held}
    for assignment in stored:
        if assignment.id in named or assignment.phase.is_final:
            continue
        never_came = assignment.phase is AssignmentPhase.ASSIGNED and same_journal and assignment.session == session_id
        settlements.append(
            Settlement(assignment.id, assignment.epoch, Verdict.SEND_AGAIN if never_came else Verdict.LOSE)
        )
    return tuple(settlements)


def _settle_held(known: Assignment | None, item: Held, session_id: str, database_epoch: int) -> Verdict:
    if known is None:
        return Verdict.ADOPT if item.epoch.database < database_epoch else Verdict.REMOVE
    if known.epoch != item.epoch:
        return Verdict.REMOVE
    if known.phase.is_final:
        return Verdict.RELEASE if item.phase.is_final else Verdict.REMOVE
    if known.session != session_id:
        return Verdict.REMOVE_AND_LOSE
    return Verdict.GO_ON


def why_deleted(executor_id: str) -> Reason:
    """Why an attempt is lost whose executor an operator deleted (R16)."""
    return Reason(ReasonCode.OPERATOR, f"an operator deleted the executor {executor_id} while it ran this")
