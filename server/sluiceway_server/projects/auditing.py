"""Audit records: who changed what. Each is written in the transaction of its change.

Services of the tree make them through `Changes`, the engine of runs with an `Auditor`, and all others by an
`AuditedDatabase`, which makes them from the actions.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, TypeVar

from google.protobuf.message import Message

from sluiceway.records.project.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind, Origin, current_caller, current_origin
from sluiceway_server.datamanager.model import (
    Action,
    Applied,
    Decision,
    Delete,
    Emit,
    Page,
    Position,
    Precondition,
    Put,
    Query,
    RecordType,
    TransactionFunction,
    View,
)
from sluiceway_server.datamanager.port import Committed, Database
from sluiceway_server.projects.records import AUDIT_RECORD, ORGANIZATION, USER
from sluiceway_server.projects.tree import find, lineage

M = TypeVar("M", bound=Message)
T = TypeVar("T")

_MAX_FORWARDED = 200
_MAX_RECORDS = 100
_PEOPLE = frozenset({CallerKind.USER, CallerKind.OPERATOR})
_ROOT_TYPES = frozenset({USER.name, ORGANIZATION.name})


@dataclass(frozen=True, slots=True)
class Subject:
    """What a change is about.

    Attributes:
        type: such as `project`.
        id: of the record.
        path: its path or name before the change, or after it if it was created.
        details: what was changed, such as `visibility: public`. Never a secret.
        parent_id: the node of the tree to which it belongs, before the change; empty: it is a node of the tree itself,
            or belongs to none.
    """

    type: str
    id: str
    path: str
    details: Sequence[str] = ()
    parent_id: str = ""


@dataclass(frozen=True, slots=True)
class Auditor:
    """Makes the audit record of one call. Create it in the call, and use it in the transaction function.

    Attributes:
        method: that is called, such as `DeleteProject`.
        id: of the record.
        caller: who calls.
        origin: from where.
    """

    method: str
    id: str
    caller: Caller
    origin: Origin

    @staticmethod
    def of_call(id_: str, method: str = "") -> Auditor:
        """Return the auditor of the RPC that is being served; `id_` is new. `method`: empty: that of the RPC."""
        origin = current_origin()
        return Auditor(method or origin.method, id_, current_caller(), origin)

    def record(self, view: View, subject: Subject, now: datetime) -> Put:
        """Return the write that records a change. A pure read of the view."""
        record = pb.AuditRecord(
            caller_kind=self.caller.kind.value,
            caller_id=self.caller.id,
            peer=self.origin.peer,
            forwarded_for=self.origin.forwarded_for[:_MAX_FORWARDED],
            method=self.method,
            resource_type=subject.type,
            resource_id=subject.id,
            resource_path=subject.path,
            details=subject.details,
            root_id=_root_of(view, subject),
        )
        record.time.FromDatetime(now)
        return Put(AUDIT_RECORD, self.id, record)


def _root_of(view: View, subject: Subject) -> str:
    node = find(view, subject.parent_id or subject.id)
    if node is None:
        # A new root is not in the view yet.
        return subject.id if subject.type in _ROOT_TYPES else ""
    try:
        return lineage(view, node)[-1].id
    except NotFound:
        return ""


SubjectOf: TypeAlias = Callable[[View, Put | Delete], Subject]
"""Describes the subject of an action. A pure read of the view before the action."""


class AuditedDatabase(Database):
    """A database that records what people change, from the actions of their calls.

    Transactions of executors, of webhooks and of the server itself are not recorded. Of a transaction with records of
    several types, those of the type of the first action are what was changed.
    """

    def __init__(
        self, database: Database, clock: Clock, *, ids: IdSource, subjects: Mapping[str, SubjectOf] | None = None
    ) -> None:
        """Wrap a database. `subjects`, by the name of the record type; others are named by their id."""
        self._database = database
        self._clock = clock
        self._ids = ids
        self._subjects = dict(subjects or {})

    async def transact(self, function: TransactionFunction[T], *, durable: bool = False) -> Committed[T]:
        if current_caller().kind not in _PEOPLE:
            return await self._database.transact(function, durable=durable)
        call, ids = Auditor.of_call(""), [self._ids.new_id() for _ in range(_MAX_RECORDS)]

        def audited(view: View) -> Decision[T]:
            decision, now = function(view), self._clock.now()
            subjects = self._subjects_of(view, decision.actions)
            records = [
                Auditor(call.method, id_, call.caller, call.origin).record(view, subject, now)
                for id_, subject in zip(ids, subjects, strict=False)
            ]
            return Decision(decision.value, [*decision.actions, *records], decision.groups)

        return await self._database.transact(audited, durable=durable)

    def _subjects_of(self, view: View, actions: Sequence[Action]) -> list[Subject]:
        changed = [action for action in actions if not isinstance(action, Emit)]
        return [self._subject(view, action) for action in changed if action.type.name == changed[0].type.name]

    def _subject(self, view: View, action: Put | Delete) -> Subject:
        describe = self._subjects.get(action.type.name)
        return Subject(action.type.name, action.id, "") if describe is None else describe(view, action)

    async def commit(
        self, actions: Sequence[Action], preconditions: Sequence[Precondition] = (), groups: Sequence[str] = ()
    ) -> Committed[None]:
        return await self._database.commit(actions, preconditions, groups)

    async def read(self, function: Callable[[View], T], *, after: Position | None = None) -> T:
        return await self._database.read(function, after=after)

    async def get(self, type_: RecordType[M], id_: str, *, after: Position | None = None) -> M:
        return await self._database.get(type_, id_, after=after)

    async def list(self, type_: RecordType[M], query: Query, *, after: Position | None = None) -> Page[M]:
        return await self._database.list(type_, query, after=after)

    async def linearize(self) -> Position:
        return await self._database.linearize()

    def subscribe(
        self, *, after: Position, topics: Sequence[str] = (), on_live: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncGenerator[Applied, None]:
        return self._database.subscribe(after=after, topics=topics, on_live=on_live)

    @property
    def position(self) -> Position:
        return self._database.position

    @property
    def epoch(self) -> int:
        return self._database.epoch
