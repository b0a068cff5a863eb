"""Changes that people make: each is one transaction, with its audit record.

A change is decided by a pure function of the view. Rights that the interceptor has checked before are not checked
again; what depends on a second resource, such as the parent of a move, is checked by the function.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from sluiceway.records.project.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import Conflict, InvalidInput, Violation
from sluiceway_common.foundation.rpc.caller import current_caller, set_response_position
from sluiceway_server.datamanager.model import Action, Decision, Put, RecordType, View
from sluiceway_server.datamanager.port import Committed, Database
from sluiceway_server.projects.auditing import Auditor, Subject
from sluiceway_server.projects.records import CREATION_REQUEST

__all__ = ["Change", "Changes", "check_etag", "etag_of"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """A decision of a transaction function.

    Attributes:
        value: returned when it is committed.
        subject: what it is about; None: nothing changes.
        actions: the writes.
    """

    value: T
    subject: Subject | None = None
    actions: Sequence[Action] = field(default_factory=tuple)


class Changes:
    """Commits changes for the caller of the RPC that is being served."""

    def __init__(self, database: Database, *, clock: Clock, ids: IdSource) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids

    async def commit(self, method: str, decide: Callable[[View, datetime], Change[T]]) -> Committed[T]:
        """Commit what `decide` decides at a time, with an audit record that names the method.

        Raises:
            SluicewayError: that of `decide`; nothing was written.
            Unavailable: nothing was written.
            Conflict: `OUTCOME_UNKNOWN`: it may have been applied.
        """
        auditor = Auditor.of_call(self._ids.new_id(), method)

        def transaction(view: View) -> Decision[T]:
            now = self._clock.now()
            change = decide(view, now)
            actions = list(change.actions)
            if change.subject is not None:
                actions.append(auditor.record(view, change.subject, now))
            return Decision(change.value, actions)

        committed = await self._database.transact(transaction)
        set_response_position(str(committed.position))
        return committed

    async def is_known(self, request: Message, request_id: str) -> bool:
        """Return whether `create` would return the resource of an earlier call, or refuse the request id."""
        key = _creation_key(request, request_id)
        known = await self._database.read(lambda view: view.fields(CREATION_REQUEST, key))
        return bool(request_id) and known is not None

    async def create(
        self,
        request: Message,
        request_id: str,
        decide: Callable[[View, datetime, str], Change[str]],
        *,
        id_: str | None = None,
    ) -> Committed[str]:
        """Commit a creation, and return the id of the resource; with a `request_id`, once in 30 days.

        Args:
            request: of the method `Create...`.
            request_id: that of the request; empty: none.
            decide: gets the view, the time, and an id for the resource. Returns the id that it has.
            id_: this id; None: a new one.

        Raises:
            InvalidInput: `REQUEST_ID_REUSED`: the `request_id` was used with another content.
            SluicewayError: as `commit`.
        """
        method = _method_of(request)
        digest = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
        new_id = id_ or self._ids.new_id()
        key = _creation_key(request, request_id)

        def once(view: View, now: datetime) -> Change[str]:
            known = view.get(CREATION_REQUEST, key) if request_id else None
            if known is not None:
                if known.digest != digest:
                    raise InvalidInput(
                        [Violation("request_id", "it was used for another request; choose another one")],
                        reason="REQUEST_ID_REUSED",
                    )
                return Change(known.resource_id)
            change = decide(view, now, new_id)
            if not request_id:
                return change
            record = pb.CreationRequest(digest=digest, resource_id=change.value)
            record.time.FromDatetime(now)
            return Change(change.value, change.subject, [*change.actions, Put(CREATION_REQUEST, key, record)])

        return await self.commit(method, once)


def _method_of(request: Message) -> str:
    return type(request).__name__.removesuffix("Request")


def _creation_key(request: Message, request_id: str) -> str:
    caller = current_caller()
    parts = (_method_of(request), caller.kind, caller.id, request_id)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def etag_of(view: View, type_: RecordType[Any], id_: str) -> str:
    """Return the version of a record, for clients."""
    return str(view.revision(type_, id_) or "")


def check_etag(view: View, type_: RecordType[Any], id_: str, etag: str) -> None:
    """Check that a record has the version that the caller has seen; empty: any.

    Raises:
        Conflict: `ETAG_MISMATCH`.
    """
    if etag and etag != etag_of(view, type_, id_):
        raise Conflict(
            "somebody changed it since you read it; read it again, and repeat your change",
            reason="ETAG_MISMATCH",
        )
