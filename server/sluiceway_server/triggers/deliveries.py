"""Deliveries as records: stored when they are received, changed by the worker, and listed.

Each change is one transaction that decides on the stored state, so a delivery that comes twice, or a worker that was
replaced meanwhile, has no effect.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sluiceway.api.project.v1 import delivery_service_pb2 as api
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import FailedPrecondition, NotFound
from sluiceway_common.foundation.texts import shown
from sluiceway_server.datamanager.model import Action, Applied, Decision, Delete, Put, Query, View
from sluiceway_server.datamanager.port import Committed, Database
from sluiceway_server.datamanager.queries import walk_rows
from sluiceway_server.triggers.event_rules import Verdict, describe
from sluiceway_server.triggers.records import DELIVERY, LINK, delivery_key

__all__ = [
    "MAX_STORED_MESSAGE",
    "MOST_OF_A_REF",
    "Ref",
    "RefQueue",
    "delete_old",
    "due_time",
    "ending",
    "finish",
    "known_as",
    "new_delivery",
    "pending",
    "pending_in",
    "postpone",
    "queues_of",
    "receive",
    "redeliver",
]

MAX_STORED_MESSAGE = 1_000
_MAX_SENTENCE = 1_000
_MAX_DECISIONS = 1_000
_DELETED_AT_ONCE = 500
MOST_OF_A_REF = 50
"""How many deliveries of a ref are looked at together."""

Ref = tuple[str, str]
"""The id of a project, and a ref as deliveries show it: cut, if it is very long."""


@dataclass(frozen=True, slots=True)
class RefQueue:
    """Pending deliveries of a ref.

    Attributes:
        keys: of the first ones, in the order of their receipt.
        due: when the first one is to be worked on (Unix time).
        link: of the project; one without a host, if it has none any more.
    """

    keys: tuple[str, ...]
    due: float
    link: pb.LinkRecord


def new_delivery(
    project_id: str,
    delivery_id: str,
    *,
    provider_id: str,
    provider_key: str,
    event: pb.EventRecord,
    verdict: Verdict | None,
    now: datetime,
) -> pb.DeliveryRecord:
    """Make the record of a delivery.

    Args:
        project_id: whose it is.
        delivery_id: our own.
        provider_id: the provider's; empty: it gave none.
        provider_key: what is unique at the provider; empty: nothing.
        event: what it says.
        verdict: why there is nothing to work on; None: it is to be worked on.
        now: the time of the receipt.
    """
    delivery = api.Delivery(
        id=delivery_id,
        project_id=project_id,
        provider_id=shown(provider_id, most=100),
        event=shown(describe(event), most=100),
        ref=shown(event.ref, most=1024),
        commit_sha=event.commit or event.after,
        pull_request_id=event.pull_request,
        from_fork=event.from_fork,
        message=shown(event.message, most=MAX_STORED_MESSAGE),
        phase=api.DELIVERY_PHASE_PENDING,
        variables=event.variables,
        inputs=event.inputs,
    )
    delivery.receive_time.FromDatetime(now)
    if verdict is not None:
        _settle(delivery, api.DELIVERY_PHASE_DONE, verdict, (), now)
    return pb.DeliveryRecord(delivery=delivery, event=event, provider_key=provider_key)


def known_as(view: View, provider_key: str) -> pb.DeliveryRecord | None:
    """Return the delivery that was stored with a key before."""
    found = view.select(DELIVERY, Query(where={"provider_key": provider_key}, size=1)).records
    return found[0][1] if found else None


async def receive(database: Database, record: pb.DeliveryRecord) -> Committed[tuple[pb.DeliveryRecord, bool]]:
    """Store a delivery unless the provider has sent it before. Returns what is stored, and whether it is new.

    Raises:
        Unavailable: nothing was stored.
    """

    def store(view: View) -> Decision[tuple[pb.DeliveryRecord, bool]]:
        if record.provider_key:
            known = known_as(view, record.provider_key)
            if known is not None:
                return Decision((known, False))
        placed = pb.DeliveryRecord()
        placed.CopyFrom(record)
        placed.order = str(view.position)
        key = delivery_key(record.delivery.project_id, record.delivery.id)
        return Decision((placed, True), [Put(DELIVERY, key, placed)])

    return await database.transact(store)


async def finish(
    database: Database,
    key: str,
    phase: api.DeliveryPhase,
    verdict: Verdict,
    decisions: Sequence[api.RunDecision],
    *,
    now: datetime,
) -> None:
    """Store how work on a delivery ended, unless that is stored already."""
    await database.transact(lambda view: Decision(None, ending(view, key, phase, verdict, decisions, now=now)))


def ending(
    view: View,
    key: str,
    phase: api.DeliveryPhase,
    verdict: Verdict,
    decisions: Sequence[api.RunDecision],
    *,
    now: datetime,
) -> list[Action]:
    """Return what stores how work on a delivery ended; nothing, if that is stored already."""
    changed = pending(view, key)
    if changed is None:
        return []
    _settle(changed.delivery, phase, verdict, decisions, now)
    changed.failures = 0
    changed.ClearField("retry_time")
    return [Put(DELIVERY, key, changed)]


async def postpone(database: Database, key: str, sentence: str, *, until: datetime) -> None:
    """Store that work on a delivery failed, and is tried again later."""

    def wait(view: View) -> Decision[None]:
        changed = pending(view, key)
        if changed is None:
            return Decision(None)
        changed.delivery.sentence = shown(sentence, most=_MAX_SENTENCE)
        changed.failures += 1
        changed.retry_time.FromDatetime(until)
        return Decision(None, [Put(DELIVERY, key, changed)])

    await database.transact(wait)


async def redeliver(database: Database, project_id: str, delivery_id: str) -> Committed[api.Delivery]:
    """Make the worker work on a delivery again.

    Raises:
        NotFound: there is no such delivery.
        FailedPrecondition: `DELIVERY_NOT_FOR_US`: it asks for no runs, whoever delivers it.
    """
    key = delivery_key(project_id, delivery_id)

    def again(view: View) -> Decision[api.Delivery]:
        stored = view.get(DELIVERY, key)
        if stored is None:
            raise no_delivery(delivery_id)
        delivery = stored.delivery
        if delivery.phase == api.DELIVERY_PHASE_PENDING:
            return Decision(delivery)
        if delivery.phase == api.DELIVERY_PHASE_DONE and not delivery.decisions:
            raise FailedPrecondition(
                f"delivery {delivery_id} asks for no runs: {delivery.sentence}",
                reason="DELIVERY_NOT_FOR_US",
                subject=delivery_id,
            )
        changed = pb.DeliveryRecord()
        changed.CopyFrom(stored)
        changed.failures = 0
        changed.order = str(view.position)
        changed.ClearField("retry_time")
        changed.delivery.phase = api.DELIVERY_PHASE_PENDING
        changed.delivery.redeliveries += 1
        changed.delivery.reason = api.DECISION_REASON_UNSPECIFIED
        changed.delivery.sentence = ""
        changed.delivery.ClearField("done_time")
        del changed.delivery.decisions[:]
        return Decision(changed.delivery, [Put(DELIVERY, key, changed)])

    return await database.transact(again)


def queues_of(view: View, busy: Collection[Ref]) -> Mapping[Ref, RefQueue]:
    """Return the queues of all refs that have pending deliveries, except those that are worked on already."""
    keys: dict[Ref, list[str]] = {}
    for key, fields in walk_rows(view, DELIVERY, {"pending": 1}, order=("order",)):
        ref = (str(fields["project_id"]), str(fields["ref"]))
        found = keys.setdefault(ref, [])
        if len(found) < MOST_OF_A_REF and ref not in busy:
            found.append(key)
    queues: dict[Ref, RefQueue] = {}
    for ref, found in keys.items():
        first = view.get(DELIVERY, found[0]) if found else None
        if first is not None:
            queues[ref] = RefQueue(tuple(found), due_time(first), view.get(LINK, ref[0]) or pb.LinkRecord())
    return queues


def pending_in(change: Applied) -> frozenset[Ref]:
    """Return the refs of the deliveries that a transaction stores as pending."""
    stored = (action.message for action in change.actions if isinstance(action, Put))
    return frozenset(
        (message.delivery.project_id, message.delivery.ref)
        for message in stored
        if isinstance(message, pb.DeliveryRecord) and message.delivery.phase == api.DELIVERY_PHASE_PENDING
    )


def due_time(record: pb.DeliveryRecord) -> float:
    """Return when a pending delivery is to be worked on (Unix time); 0: at once."""
    return record.retry_time.ToDatetime(tzinfo=UTC).timestamp() if record.HasField("retry_time") else 0.0


async def delete_old(database: Database, *, before: datetime) -> bool:
    """Delete some of the deliveries that were received before a time and are over. Return whether there may be more."""
    milliseconds = int(before.timestamp() * 1000)

    def delete(view: View) -> Decision[bool]:
        actions: list[Action] = []
        page = view.rows(DELIVERY, Query(order=("received",), size=_DELETED_AT_ONCE))
        for key, fields in page.records:
            received = fields["received"]
            if not isinstance(received, int) or received >= milliseconds:
                return Decision(False, actions)
            if fields["pending"] is None:
                actions.append(Delete(DELIVERY, key))
        return Decision(bool(actions and page.next_token), actions)

    # Looked at first, since a transaction costs etcd a turn.
    if not await database.read(lambda view: bool(delete(view).actions)):
        return False
    return (await database.transact(delete)).value


def no_delivery(delivery_id: str) -> NotFound:
    """Return the error for an id that no delivery of the project has."""
    return NotFound(f"the project has no delivery {delivery_id!r}", resource_type="delivery", resource_name=delivery_id)


def pending(view: View, key: str) -> pb.DeliveryRecord | None:
    """Return a copy of a delivery that is pending."""
    stored = view.get(DELIVERY, key)
    if stored is None or stored.delivery.phase != api.DELIVERY_PHASE_PENDING:
        return None
    changed = pb.DeliveryRecord()
    changed.CopyFrom(stored)
    return changed


def _settle(
    delivery: api.Delivery,
    phase: api.DeliveryPhase,
    verdict: Verdict,
    decisions: Sequence[api.RunDecision],
    now: datetime,
) -> None:
    delivery.phase = phase
    delivery.reason = verdict.reason
    delivery.sentence = shown(verdict.sentence, most=_MAX_SENTENCE)
    del delivery.decisions[:]
    delivery.decisions.extend(decisions[:_MAX_DECISIONS])
    delivery.done_time.FromDatetime(now)
