"""Commits what the stream of an executor changes of its record: a session begins or continues, settles, and departs.

`executor_state` decides; each method here is one transaction.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass, replace

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.records.run.v1 import records_pb2 as records
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import Exhausted, SluicewayError
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_common.runmodel.executor_state import (
    Departed,
    ExecutorEvent,
    ExecutorPhase,
    Hello,
    Proof,
    SessionContinued,
    Settled,
    Use,
    UseRecorded,
    admit,
    apply,
    secret_digest,
)
from sluiceway_common.runmodel.model import ExecutorId
from sluiceway_server.datamanager.model import Decision, Emit, Position, Put, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.executors.presence import Presence
from sluiceway_server.runrecords.executor_record import read_state, transition, with_state
from sluiceway_server.runrecords.types import EXECUTOR, executor_topic

KIND_CONNECTED = "executor_connected"
"""A notice to an executor's topic: a stream has begun; the body is its id. Other streams of the executor end."""


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """The session of a stream, after its hello was committed.

    Attributes:
        position: of that commit.
        same_journal: the executor has the journal that it had at its last hello in this session.
        is_settled: the session has settled in the present epoch of the database.
        use_is_recorded: the object storage knows that the executor may hold assignments.
        was_deleted: the executor was deleted, and registers again.
    """

    id: str
    secret: str
    position: Position
    same_journal: bool
    is_settled: bool
    use_is_recorded: bool
    was_deleted: bool


class SessionStore:
    """The sessions of executors in the database."""

    def __init__(self, database: Database, *, clock: Clock, ids: IdSource, max_executors: int) -> None:
        """Create the store; `max_executors` is the limit of one group."""
        self._database = database
        self._clock = clock
        self._ids = ids
        self._max_executors = max_executors

    async def open(self, group: str, hello: pb.Hello, *, stream_id: str, holder: Presence | None) -> OpenedSession:
        """Commit a hello, and notify every other stream of the executor.

        Args:
            group: of the executor's token.
            hello: the first message of the stream.
            stream_id: of the stream.
            holder: the value of the executor's key in etcd, read before; None: there is no key.

        Raises:
            PermissionDenied, SessionFenced, SessionLives: see `admit`.
            Exhausted: the group has too many executors.
        """
        session_id = self._ids.new_id()
        secret = secrets.token_urlsafe(32)
        now = self._clock.now()
        parsed = Hello(group, Proof(hello.session_id, hello.session_secret), hello.journal_id, hello.dynamic)

        def function(view: View) -> Decision[OpenedSession]:
            stored = view.get(EXECUTOR, hello.executor_id)
            before = None if stored is None else read_state(stored)
            event = admit(
                hello.executor_id,
                before,
                parsed,
                # The key is of the stored session, or of one that was fenced since.
                is_live=holder is not None and before is not None and holder.session == before.session_id,
                new_session_id=session_id,
                new_secret_digest=secret_digest(secret),
            )
            if before is None:
                self._check_limit(view, group)
            after = apply(before, event, now)
            assert after is not None  # noqa: S101 - a hello registers
            record = with_state(stored, after)
            _describe(record, hello)
            continues = isinstance(event, SessionContinued)
            opened = OpenedSession(
                id=after.session_id,
                secret=hello.session_secret if continues else secret,
                position=view.position,
                same_journal=continues and before is not None and before.journal_id == after.journal_id,
                is_settled=continues and after.settled_epoch == view.position.sequence.epoch,
                use_is_recorded=after.use is Use.RECORDED,
                was_deleted=before is not None and before.phase is ExecutorPhase.DELETED,
            )
            notice = Emit(KIND_CONNECTED, (executor_topic(hello.executor_id),), stream_id.encode())
            return Decision(opened, [Put(EXECUTOR, hello.executor_id, record), notice])

        committed = await self._database.transact(function)
        return replace(committed.value, position=committed.position)

    def _check_limit(self, view: View, group: str) -> None:
        most = self._max_executors
        if view.count(EXECUTOR, {"group": group}, limit=most) >= most:
            raise Exhausted(
                f'the group "{group}" has {most} executors, and may not have more; delete those that are gone for good:'
                " sluice executor delete ID",
                reason="GROUP_FULL",
                subject=group,
            )

    async def record_settled(self, executor_id: ExecutorId, session_id: str) -> None:
        """Commit that a session has settled in the present epoch of the database."""
        now = self._clock.now()

        def function(view: View) -> Decision[None]:
            return Decision(None, transition(view, executor_id, Settled(session_id, view.position.sequence.epoch), now))

        await self._database.transact(function)

    async def record_use(self, executor_id: ExecutorId) -> None:
        """Commit that the object storage knows that an executor may hold assignments."""
        await self._commit(executor_id, UseRecorded())

    async def record_departed(self, executor_id: ExecutorId, session_id: str) -> None:
        """Commit that the stream of a session ended. Only people read that: errors are ignored, after 2 s as well."""
        with suppress(SluicewayError, TimeoutError):
            async with time_limit(2):
                await self._commit(executor_id, Departed(session_id))

    async def _commit(self, executor_id: ExecutorId, event: ExecutorEvent) -> None:
        now = self._clock.now()
        await self._database.transact(lambda view: Decision(None, transition(view, executor_id, event, now)))


def _describe(record: records.ExecutorRecord, hello: pb.Hello) -> None:
    record.version = hello.version
    record.slots = hello.slots
    record.privileged_allowed = hello.privileged_allowed
    for name in ("archs", "labels", "drivers"):
        record.ClearField(name)
    record.archs.extend(hello.archs)
    record.labels.update(hello.labels)
    record.drivers.extend(hello.drivers)
