"""The queue of outgoing webhooks: which runs are followed, which deliveries wait, and how they are settled.

For each webhook and run at most one delivery waits, so the events of a run are sent in order. The next one is made in
the transaction that settles the one before. Each function here is one transaction, or one read, and may be repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

from sluiceway.api.project.v1 import webhook_service_pb2 as api
from sluiceway.records.notification.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import IdSource
from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.foundation.texts import shown
from sluiceway_common.runmodel import groups
from sluiceway_common.runmodel.model import Run
from sluiceway_server.datamanager.model import Action, Decision, Delete, Put, Query, Value, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.datamanager.queries import walk_records, walk_rows
from sluiceway_server.notifications import events, retry_rules
from sluiceway_server.notifications.records import FOLLOWED_RUN, WEBHOOK, WEBHOOK_DELIVERY, delivery_id, followed_id
from sluiceway_server.notifications.retry_rules import Attempt
from sluiceway_server.projects import tree
from sluiceway_server.runrecords.types import RUN

MOST_OF_A_PARENT = 20
_MADE_AT_ONCE = 25
"""A transaction function has 5 ms."""
_DELETED_AT_ONCE = 200
_MAX_SENTENCE = 500


def follow_new_run(view: View, run: Run) -> tuple[Put, ...]:
    """Return what makes the webhooks of a run's project, and of what is above it, follow a new run."""
    return tuple(
        Put(FOLLOWED_RUN, followed_id(webhook_id, run.id), pb.FollowedRunRecord(webhook_id=webhook_id, run_id=run.id))
        for webhook_id in _webhooks_of(view, run.group)
    )


def _webhooks_of(view: View, group: str) -> Iterator[str]:
    project = tree.find(view, groups.project_of(group), {tree.NodeType.PROJECT})
    if project is None:
        return
    try:
        nodes = tree.lineage(view, project)
    except NotFound:
        return  # it is being deleted
    for node in nodes:
        page = view.rows(WEBHOOK, Query(where={"parent_id": node.id}, order=("created",), size=MOST_OF_A_PARENT))
        yield from (webhook_id for webhook_id, fields in page.records if fields["enabled"])


async def make_deliveries(database: Database, *, ids: IdSource, public_url: str, now: datetime) -> bool:
    """Make the deliveries of events that have happened to followed runs. Return whether there may be more."""

    def with_news(view: View) -> list[str]:
        news = (
            key
            for key, followed in walk_records(view, FOLLOWED_RUN, {"idle": 1})
            if _next_of(view, key, followed, ids=ids, public_url=public_url, now=now)
        )
        return list(islice(news, _MADE_AT_ONCE))

    keys = await database.read(with_news)
    if not keys:
        return False

    def make(view: View) -> Decision[None]:
        actions: list[Action] = []
        for key in keys:
            followed = view.get(FOLLOWED_RUN, key)
            if followed is not None and not followed.delivery_id:
                actions += _next_of(view, key, followed, ids=ids, public_url=public_url, now=now)
        return Decision(None, actions)

    await database.transact(make)
    return len(keys) >= _MADE_AT_ONCE


def _next_of(
    view: View, key: str, followed: pb.FollowedRunRecord, *, ids: IdSource, public_url: str, now: datetime
) -> list[Action]:
    """Return what makes the next delivery of a followed run, or ends its following."""
    run = view.get(RUN, followed.run_id)
    webhook = view.get(WEBHOOK, followed.webhook_id)
    if run is None or webhook is None:
        return [Delete(FOLLOWED_RUN, key)]
    changed = pb.FollowedRunRecord()
    changed.CopyFrom(followed)
    changed.delivery_id = ""
    wanted = webhook.webhook.event_types
    while (event := events.next_event(run.run, changed.settled)) is not None and wanted and event not in wanted:
        changed.settled.append(event)
    if event is None:
        if events.is_over(run.run, changed.settled):
            return [Delete(FOLLOWED_RUN, key)]
        return [Put(FOLLOWED_RUN, key, changed)] if changed != followed else []
    made = api.WebhookDelivery(
        id=ids.new_id(),
        webhook_id=followed.webhook_id,
        event_type=event,
        run_id=followed.run_id,
        phase=api.WEBHOOK_DELIVERY_PHASE_PENDING,
        body=events.body_of(event, run.run, parent=_project_of(view, run.run.group), public_url=public_url),
    )
    made.create_time.FromDatetime(now)
    made.retry_time.FromDatetime(now)
    changed.delivery_id = made.id
    return [
        Put(WEBHOOK_DELIVERY, delivery_id(made.webhook_id, made.id), pb.WebhookDeliveryRecord(delivery=made)),
        Put(FOLLOWED_RUN, key, changed),
    ]


def _project_of(view: View, group: str) -> tuple[str, str]:
    project = tree.find(view, groups.project_of(group), {tree.NodeType.PROJECT})
    if project is None:
        return "", ""
    try:
        return project.id, tree.path_of(view, project)
    except NotFound:
        return project.id, ""


def waiting(
    view: View, now: datetime, *, most: int, page_size: int = 1000
) -> tuple[list[tuple[str, str]], datetime | None]:
    """Return the deliveries of enabled webhooks that are due, and when the next one is; None: none waits.

    Args:
        view: of the database.
        now: the time.
        most: of each webhook, so that none takes the places of the others.
        page_size: if more wait, those of each webhook are looked for.

    Returns:
        Pairs of the webhook's id and the key of the delivery, those that are due for the longest time first.
    """
    milliseconds = int(now.timestamp() * 1000)
    page = view.rows(WEBHOOK_DELIVERY, Query(where={"pending": 1}, order=("due",), size=page_size))
    rows: list[tuple[str, str, Value]] = [
        (str(fields["webhook_id"]), key, fields["due"]) for key, fields in page.records
    ]
    if page.next_token:
        rows = list(_first_of_each(view, most))
    due: list[tuple[str, str]] = []
    counts: dict[str, int] = {}
    following: int | None = None
    enabled: dict[str, bool] = {}
    for webhook_id, key, at in rows:
        if webhook_id not in enabled:
            fields = view.fields(WEBHOOK, webhook_id)
            enabled[webhook_id] = fields is not None and bool(fields["enabled"])
        if not enabled[webhook_id] or not isinstance(at, int):
            continue
        if at > milliseconds:
            following = at if following is None else min(following, at)
        elif counts.get(webhook_id, 0) < most:
            counts[webhook_id] = counts.get(webhook_id, 0) + 1
            due.append((webhook_id, key))
    return due, None if following is None else datetime.fromtimestamp(following / 1000, UTC)


def _first_of_each(view: View, most: int) -> Iterator[tuple[str, str, Value]]:
    """Yield the first deliveries of each enabled webhook: of a receiver that is away, thousands may wait."""
    for webhook_id, _ in walk_rows(view, WEBHOOK, {"enabled": 1}):
        query = Query(where={"webhook_id": webhook_id, "pending": 1}, order=("due",), size=most)
        for key, fields in view.rows(WEBHOOK_DELIVERY, query).records:
            yield webhook_id, key, fields["due"]


async def settle(
    database: Database, key: str, attempt: Attempt, *, ids: IdSource, public_url: str, now: datetime
) -> str:
    """Store how an attempt ended, and make the next delivery of the run if this one is settled.

    Returns why the webhook was disabled; empty: it was not.
    """

    def end(view: View) -> Decision[str]:
        stored = view.get(WEBHOOK_DELIVERY, key)
        if stored is None or stored.delivery.phase != api.WEBHOOK_DELIVERY_PHASE_PENDING:
            return Decision("")
        webhook = view.get(WEBHOOK, stored.delivery.webhook_id)
        if webhook is None:
            return Decision("")
        first = stored.first_attempt_time.ToDatetime(UTC) if stored.HasField("first_attempt_time") else now
        hook = webhook.webhook
        failing = hook.failing_since.ToDatetime(UTC) if hook.HasField("failing_since") else None
        following = retry_rules.after_attempt(
            attempt, failures=stored.failures, first=first, failing_since=failing, now=now
        )
        changed = pb.WebhookDeliveryRecord()
        changed.CopyFrom(stored)
        _store_attempt(changed, attempt, following, first, now)
        actions: list[Action] = [Put(WEBHOOK_DELIVERY, key, changed)]
        if following.retry is None:
            actions += _after(view, changed.delivery, ids=ids, public_url=public_url, now=now)
        changed_hook = _with_state(webhook, attempt, following.disable, now)
        if changed_hook != webhook:
            actions.append(Put(WEBHOOK, hook.id, changed_hook))
        return Decision(following.disable, actions)

    return (await database.transact(end)).value


def _store_attempt(
    record: pb.WebhookDeliveryRecord, attempt: Attempt, following: retry_rules.Next, first: datetime, now: datetime
) -> None:
    delivery = record.delivery
    delivery.attempts += 1
    delivery.attempt_time.FromDatetime(now)
    delivery.response_status = attempt.status
    delivery.response_duration.FromTimedelta(attempt.duration)
    delivery.sentence = shown(attempt.fault, most=_MAX_SENTENCE)
    record.first_attempt_time.FromDatetime(first)
    record.failures += 1 if attempt.fault else 0
    if following.retry is not None:
        delivery.retry_time.FromDatetime(following.retry)
        return
    delivery.ClearField("retry_time")
    delivery.phase = (
        api.WEBHOOK_DELIVERY_PHASE_DELIVERED if following.is_delivered else api.WEBHOOK_DELIVERY_PHASE_FAILED
    )


def _after(view: View, delivery: api.WebhookDelivery, *, ids: IdSource, public_url: str, now: datetime) -> list[Action]:
    key = followed_id(delivery.webhook_id, delivery.run_id)
    followed = view.get(FOLLOWED_RUN, key)
    if followed is None or followed.delivery_id != delivery.id:
        return []  # it was sent again by hand
    settled = pb.FollowedRunRecord()
    settled.CopyFrom(followed)
    settled.settled.append(delivery.event_type)
    settled.delivery_id = ""
    return _next_of(view, key, settled, ids=ids, public_url=public_url, now=now) or [Put(FOLLOWED_RUN, key, settled)]


def _with_state(webhook: pb.WebhookRecord, attempt: Attempt, disable: str, now: datetime) -> pb.WebhookRecord:
    changed = pb.WebhookRecord()
    changed.CopyFrom(webhook)
    hook = changed.webhook
    if not attempt.fault:
        hook.ClearField("failing_since")
    elif not hook.HasField("failing_since"):
        hook.failing_since.FromDatetime(now)
    if disable:
        hook.disabled, hook.disabled_reason = True, shown(disable, most=_MAX_SENTENCE)
        hook.disable_time.FromDatetime(now)
    return changed


async def delete_old(database: Database, *, before: datetime) -> bool:
    """Delete some of the deliveries that were created before a time. Return whether there may be more."""
    milliseconds = int(before.timestamp() * 1000)

    def old(view: View) -> list[Action]:
        page = view.rows(WEBHOOK_DELIVERY, Query(order=("created",), size=_DELETED_AT_ONCE))
        found: list[Action] = []
        for key, fields in page.records:
            created = fields["created"]
            if not isinstance(created, int) or created >= milliseconds:
                break
            found.append(Delete(WEBHOOK_DELIVERY, key))
            record = view.get(WEBHOOK_DELIVERY, key)
            if record is not None and fields["pending"]:
                followed = followed_id(record.delivery.webhook_id, record.delivery.run_id)
                found.append(Delete(FOLLOWED_RUN, followed))
        return found

    if not await database.read(old):
        return False

    def delete(view: View) -> Decision[bool]:
        actions = old(view)
        return Decision(len(actions) >= _DELETED_AT_ONCE, actions)

    return (await database.transact(delete)).value
