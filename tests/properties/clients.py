"""The clients of a history: their calls, and what servers return."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

from sluiceway_common.foundation.crashpoints import Crashed
from sluiceway_common.foundation.errors import (
    AlreadyExists,
    Conflict,
    DeadlineExceeded,
    Exhausted,
    FailedPrecondition,
    NotFound,
    OutOfRange,
    SluicewayError,
    Unavailable,
)
from sluiceway_server.datamanager.checks import check_preconditions
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.model import (
    Decision,
    GroupRevision,
    Position,
    Precondition,
    RecordAbsent,
    RecordRevision,
    View,
)
from sluiceway_server.datamanager.port import DatabaseLost
from tests.properties.cluster import Cluster, Server
from tests.properties.history import Attempt, Delivery, Evaluation, Fact, GetRecord, Outcome, ReadRecord
from tests.properties.plan import PlannedStep
from tests.properties.simulation import Process
from tests.properties.workload import NOTE, Look, look, perform, type_named, value_of

__all__ = ["Clients"]


class Clients:
    """Takes the steps of clients. Each is a client of its own, which waits until its server serves."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._history = cluster.history

    def transact(self, step: PlannedStep) -> None:
        name = f"t{len(self._history.attempts)}"
        server = self._cluster.servers[step.server]
        attempt = Attempt(name, step.arguments["transaction"], server.name, self._history.now())
        self._history.attempts.append(attempt)
        durable = bool(step.arguments.get("durable"))
        self._cluster.begin_client(self._transact(server, attempt, durable=durable))

    async def _transact(self, server: Server, attempt: Attempt, *, durable: bool) -> None:
        try:
            await self._try(server, attempt, durable=durable)
        except (AlreadyExists, Conflict) as error:
            unknown = error.reason == "OUTCOME_UNKNOWN"
            attempt.outcome = Outcome.UNKNOWN if unknown else Outcome.REFUSED
            attempt.error = str(error)
        except FailedPrecondition as error:
            attempt.error = str(error)
            if error.reason == "BEING_DELETED":
                attempt.outcome = Outcome.REFUSED
                attempt.evaluations[-1] = replace(attempt.evaluations[-1], refused=True)
            else:
                attempt.outcome = Outcome.UNKNOWN
                if not self._history.losses:
                    self._cluster.problem(f"{attempt.name} was told {error!r}")
        except (Unavailable, Exhausted) as error:
            attempt.outcome, attempt.error = Outcome.NOTHING_WRITTEN, str(error)
        except (Crashed, asyncio.CancelledError):
            attempt.outcome = Outcome.UNKNOWN
        except SluicewayError as error:
            attempt.outcome, attempt.error = Outcome.UNKNOWN, str(error)
            self._cluster.problem(f"{attempt.name} was told {error!r}")
        attempt.ended = self._history.now()

    async def _try(self, server: Server, attempt: Attempt, *, durable: bool) -> None:
        process, database = await server.opened()
        attempt.began = self._history.now()
        transaction = attempt.transaction
        preconditions: list[Precondition] = []
        if transaction.guards:
            attempt.guards = await process.call(database.read(_revisions(transaction.guards)))
            preconditions = [_precondition(name, revision) for name, revision in attempt.guards]

        def function(view: View) -> Decision[tuple[Any, ...]]:
            try:
                check_preconditions(view, preconditions)
                seen, actions = perform(view, transaction, attempt.name)
            except (Conflict, AlreadyExists):
                attempt.evaluations.append(Evaluation(view.position, (), refused=True))
                raise
            attempt.evaluations.append(Evaluation(view.position, seen, refused=False))
            return Decision(seen, actions, transaction.groups if actions else ())

        try:
            answer = await process.call(database.transact(function, durable=durable))
        except DeadlineExceeded as error:
            if "position" not in error.metadata:
                raise
            attempt.outcome, attempt.position = Outcome.DONE, Position.parse(error.metadata["position"])
            return
        attempt.outcome, attempt.position = Outcome.DONE, answer.position
        if transaction.writes:
            self._cluster.newest = (
                answer.position if self._cluster.newest is None else max(self._cluster.newest, answer.position)
            )
        if answer.value != attempt.evaluations[-1].seen:
            self._cluster.problem(
                f"{attempt.name} was answered {answer.value}, and saw {attempt.evaluations[-1].seen} last"
            )
        if durable and transaction.writes and not self._is_saved(answer.position):
            self._cluster.problem(
                f"{attempt.name} is said to be durable at {answer.position}, and is not in the storage"
            )

    def _is_saved(self, position: Position) -> bool:
        return any(
            entry.digest in self._history.saved
            for entry in self._history.entries
            if entry.sequence == position.sequence
        )

    def read(self, step: PlannedStep) -> None:
        server = self._cluster.servers[step.server]
        self._cluster.begin_client(self._read(server, **step.arguments))

    async def _read(self, server: Server, *, looks: tuple[Look, ...], linear: bool, after: bool) -> None:
        with suppress(Unavailable, DeadlineExceeded, DatabaseLost, Crashed, asyncio.CancelledError):
            process, database = await server.opened()
            began = self._history.now()
            wanted = self._cluster.newest if after else None
            if linear:
                await process.call(database.linearize())
            position, seen = await process.call(database.read(_looking(looks), after=wanted))
            self._history.reads.append(
                ReadRecord(server.name, looks, began, self._history.now(), linear, position, seen, wanted)
            )

    def get(self, step: PlannedStep) -> None:
        self._cluster.begin_client(
            self._get(self._cluster.servers[step.server], step.arguments["type"], step.arguments["id"])
        )

    async def _get(self, server: Server, type_: str, id_: str) -> None:
        with suppress(Unavailable, DeadlineExceeded, DatabaseLost, Crashed, asyncio.CancelledError):
            process, database = await server.opened()
            record = GetRecord(server.name, type_, id_, self._history.now(), 0, None)
            with suppress(NotFound):
                record.value = value_of(await process.call(database.get(type_named(type_), id_)))
            record.ended = self._history.now()
            self._history.gets.append(record)

    async def subscribe(self, delivery: Delivery, number: int) -> None:
        """Follow the log through one server after another, each from where the last one ended."""
        rng = random.Random(self._cluster.plan.seed + 3 + number)
        at: Position | None = None
        while True:
            server = rng.choice(self._cluster.servers)
            if server.database is None:
                await asyncio.sleep(0.05)
                continue
            process, database = await server.opened()
            try:
                if at is None:
                    at = await process.call(database.read(lambda view: view.position))
                    delivery.starts.append((len(delivery.facts), at))
                slow = 0.0 if self._cluster.is_ending or rng.random() < 0.7 else 0.2
                await process.call(self._follow(process, database, delivery, at, slow))
            except OutOfRange:
                at = None
                continue
            except Exhausted as error:
                last = Position.parse(error.metadata["position"])
                if delivery.facts and delivery.facts[-1].position > last:
                    self._cluster.problem(f"a subscriber was cut after {last}, and has {delivery.facts[-1].position}")
            except (Unavailable, DeadlineExceeded, DatabaseLost, Crashed):
                await asyncio.sleep(0.02)
            if delivery.facts and len(delivery.facts) > delivery.starts[-1][0]:
                at = delivery.facts[-1].position

    async def _follow(
        self, process: Process, database: DataManager, delivery: Delivery, at: Position, slow: float
    ) -> None:
        topics = (delivery.topic,) if delivery.topic else ()
        async with aclosing(database.subscribe(after=at, topics=topics)) as applied:
            async for item in applied:
                if process.dead:
                    return
                delivery.facts.append(Fact.of(item))
                if slow and not self._cluster.is_ending:
                    await asyncio.sleep(slow)


def _looking(looks: tuple[Look, ...]) -> Callable[[View], tuple[Position, tuple[Any, ...]]]:
    return lambda view: (view.position, tuple(look(view, what) for what in looks))


def _revisions(names: tuple[str, ...]) -> Callable[[View], tuple[tuple[str, Position | None], ...]]:
    def read(view: View) -> tuple[tuple[str, Position | None], ...]:
        return tuple(
            (name, view.group(name[1:]) if name.startswith("#") else view.revision(NOTE, name)) for name in names
        )

    return read


def _precondition(name: str, revision: Position | None) -> Precondition:
    if name.startswith("#"):
        return GroupRevision(name[1:], revision)
    return RecordAbsent(NOTE, name) if revision is None else RecordRevision(NOTE, name, revision)
