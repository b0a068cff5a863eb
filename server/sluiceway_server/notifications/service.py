"""The servicer of `WebhookService`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from sluiceway.api.project.v1 import webhook_service_pb2 as api
from sluiceway.api.project.v1 import webhook_service_pb2_grpc as api_grpc
from sluiceway.records.notification.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput, NotFound, Violation
from sluiceway_common.foundation.locations import link_fault
from sluiceway_common.foundation.rpc.access import Right
from sluiceway_common.foundation.rpc.caller import Caller, current_caller, set_response_position
from sluiceway_common.foundation.texts import shown
from sluiceway_server.datamanager.model import Position, Put, Query, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.datamanager.replica.deleted_subtrees import delete_subtree
from sluiceway_server.notifications.events import EVENT_TYPES
from sluiceway_server.notifications.queue import MOST_OF_A_PARENT
from sluiceway_server.notifications.records import WEBHOOK, WEBHOOK_DELIVERY, delivery_id
from sluiceway_server.notifications.signing import secret_fault
from sluiceway_server.notifications.worker import sealed_name
from sluiceway_server.projects import tree
from sluiceway_server.projects.auditing import Subject
from sluiceway_server.projects.changes import Change, Changes, check_etag, etag_of
from sluiceway_server.projects.envelope import Envelope
from sluiceway_server.projects.fields import changed_fields
from sluiceway_server.projects.pages import requested
from sluiceway_server.projects.rights import has_right, require_right

_CHANGEABLE = ("url", "event_types", "disabled")
_NODES = frozenset(tree.NodeType)
_DEFAULT_PAGE = 100
_KEPT_BY_DEFAULT = timedelta(days=1)
_KEPT_AT_MOST = timedelta(days=30)


class WebhookServicer(api_grpc.WebhookServiceServicer):
    """Implements `WebhookService`."""

    def __init__(self, database: Database, envelope: Envelope, *, clock: Clock, ids: IdSource) -> None:
        self._database = database
        self._envelope = envelope
        self._clock = clock
        self._changes = Changes(database, clock=clock, ids=ids)

    async def CreateWebhook(self, request: api.CreateWebhookRequest, context: Any) -> api.CreateWebhookResponse:
        wanted, caller = request.webhook, current_caller()
        faults = [*_faults(wanted, _CHANGEABLE)]
        if fault := secret_fault(wanted.secret):
            faults.append(Violation("webhook.secret", fault))
        if faults:
            raise InvalidInput(faults)

        def create(view: View, now: datetime, id_: str) -> Change[str]:
            parent = require_right(view, caller, wanted.parent_id, _NODES, Right.CONFIGURE)
            if view.count(WEBHOOK, {"parent_id": parent.id}, limit=MOST_OF_A_PARENT) >= MOST_OF_A_PARENT:
                raise FailedPrecondition(
                    f"{parent.type} {parent.name!r} has {MOST_OF_A_PARENT} webhooks, which is the most; delete one",
                    reason="TOO_MANY_WEBHOOKS",
                    subject=parent.id,
                )
            made = api.Webhook(
                id=id_,
                parent_id=parent.id,
                url=wanted.url,
                event_types=wanted.event_types,
                disabled=wanted.disabled,
                created_by=caller.id,
            )
            made.create_time.FromDatetime(now)
            record = pb.WebhookRecord(webhook=made, encrypted_secret=self._sealed(id_, wanted.secret))
            return Change(id_, _subject(view, made, _details(made)), [Put(WEBHOOK, id_, record)])

        created = await self._changes.create(request, request.request_id, create)
        return api.CreateWebhookResponse(webhook=await self._read(created.value, created.position))

    async def GetWebhook(self, request: api.GetWebhookRequest, context: Any) -> api.GetWebhookResponse:
        return api.GetWebhookResponse(webhook=await self._read(request.webhook_id, await self._after()))

    async def ListWebhooks(self, request: api.ListWebhooksRequest, context: Any) -> api.ListWebhooksResponse:
        caller = current_caller()

        def read(view: View) -> list[api.Webhook]:
            parent = require_right(view, caller, request.parent_id, _NODES, Right.CONFIGURE)
            query = Query(where={"parent_id": parent.id}, order=("created",), size=MOST_OF_A_PARENT)
            return [_shown(view, id_, record) for id_, record in view.select(WEBHOOK, query).records]

        found = await self._database.read(read, after=await self._after())
        set_response_position(str(self._database.position))
        return api.ListWebhooksResponse(webhooks=found)

    async def UpdateWebhook(self, request: api.UpdateWebhookRequest, context: Any) -> api.UpdateWebhookResponse:
        wanted, caller = request.webhook, current_caller()
        fields = changed_fields(wanted, request.update_mask, _CHANGEABLE)
        if faults := list(_faults(wanted, fields)):
            raise InvalidInput(faults)

        def update(view: View, now: datetime) -> Change[str]:
            stored = _found(view, caller, wanted.id)
            check_etag(view, WEBHOOK, wanted.id, wanted.etag)
            changed = pb.WebhookRecord()
            changed.CopyFrom(stored)
            hook = changed.webhook
            if "url" in fields:
                hook.url = wanted.url
            if "event_types" in fields:
                del hook.event_types[:]
                hook.event_types.extend(wanted.event_types)
            if "disabled" in fields:
                hook.disabled = wanted.disabled
                for name in ("disabled_reason", "disable_time", "failing_since"):
                    hook.ClearField(name)
            if changed == stored:
                return Change(wanted.id)
            return Change(wanted.id, _subject(view, hook, _details(hook)), [Put(WEBHOOK, wanted.id, changed)])

        changed = await self._changes.commit("UpdateWebhook", update)
        return api.UpdateWebhookResponse(webhook=await self._read(changed.value, changed.position))

    async def RotateWebhookSecret(
        self, request: api.RotateWebhookSecretRequest, context: Any
    ) -> api.RotateWebhookSecretResponse:
        caller, id_ = current_caller(), request.webhook_id
        keep = request.keep_previous.ToTimedelta() if request.HasField("keep_previous") else _KEPT_BY_DEFAULT
        faults = []
        if fault := secret_fault(request.secret):
            faults.append(Violation("secret", fault))
        if not timedelta(0) <= keep <= _KEPT_AT_MOST:
            faults.append(Violation("keep_previous", f"must be 0 to {_KEPT_AT_MOST.days} days"))
        if faults:
            raise InvalidInput(faults)

        def rotate(view: View, now: datetime) -> Change[None]:
            stored = _found(view, caller, id_)
            changed = pb.WebhookRecord()
            changed.CopyFrom(stored)
            changed.encrypted_secret = self._sealed(id_, request.secret)
            changed.encrypted_previous_secret = stored.encrypted_secret if keep else b""
            if keep:
                changed.webhook.previous_secret_expire_time.FromDatetime(now + keep)
            else:
                changed.webhook.ClearField("previous_secret_expire_time")
            return Change(None, _subject(view, changed.webhook, ["secret"]), [Put(WEBHOOK, id_, changed)])

        changed = await self._changes.commit("RotateWebhookSecret", rotate)
        return api.RotateWebhookSecretResponse(webhook=await self._read(id_, changed.position))

    async def DeleteWebhook(self, request: api.DeleteWebhookRequest, context: Any) -> api.DeleteWebhookResponse:
        caller, id_ = current_caller(), request.webhook_id

        def delete(view: View, now: datetime) -> Change[None]:
            stored = _found(view, caller, id_)
            check_etag(view, WEBHOOK, id_, request.etag)
            return Change(None, _subject(view, stored.webhook), delete_subtree(WEBHOOK, id_, now=now))

        await self._changes.commit("DeleteWebhook", delete)
        return api.DeleteWebhookResponse()

    async def ListWebhookDeliveries(
        self, request: api.ListWebhookDeliveriesRequest, context: Any
    ) -> api.ListWebhookDeliveriesResponse:
        caller, id_ = current_caller(), request.webhook_id
        await self._database.read(lambda view: _found(view, caller, id_), after=await self._after())
        query = Query(
            where={"webhook_id": id_},
            order=("-created",),
            size=request.page_size or _DEFAULT_PAGE,
            token=request.page_token,
        )
        page = await self._database.list(WEBHOOK_DELIVERY, query)
        set_response_position(str(self._database.position))
        found = [record.delivery for _, record in page.records]
        return api.ListWebhookDeliveriesResponse(deliveries=found, next_page_token=page.next_token)

    async def RedeliverWebhookDelivery(
        self, request: api.RedeliverWebhookDeliveryRequest, context: Any
    ) -> api.RedeliverWebhookDeliveryResponse:
        caller, id_ = current_caller(), request.webhook_id
        key = delivery_id(id_, request.delivery_id)

        def again(view: View, now: datetime) -> Change[api.WebhookDelivery]:
            webhook, stored = _found(view, caller, id_), view.get(WEBHOOK_DELIVERY, key)
            if stored is None:
                raise NotFound(
                    f"the webhook has no delivery {request.delivery_id!r}",
                    resource_type="delivery",
                    resource_name=request.delivery_id,
                )
            if webhook.webhook.disabled:
                raise FailedPrecondition(
                    f"webhook {id_} is disabled; enable it with: sluice webhook enable {id_}",
                    reason="WEBHOOK_DISABLED",
                    subject=id_,
                )
            changed = pb.WebhookDeliveryRecord(delivery=stored.delivery)
            changed.delivery.phase = api.WEBHOOK_DELIVERY_PHASE_PENDING
            changed.delivery.retry_time.FromDatetime(now)
            subject = _subject(view, webhook.webhook, [f"delivery: {request.delivery_id}"])
            return Change(changed.delivery, subject, [Put(WEBHOOK_DELIVERY, key, changed)])

        committed = await self._changes.commit("RedeliverWebhookDelivery", again)
        return api.RedeliverWebhookDeliveryResponse(delivery=committed.value)

    def _sealed(self, webhook_id: str, secret: str) -> bytes:
        return self._envelope.seal(sealed_name(webhook_id), secret.encode())

    async def _after(self) -> Position:
        return requested() or await self._database.linearize()

    async def _read(self, id_: str, after: Position) -> api.Webhook:
        caller = current_caller()
        found = await self._database.read(lambda view: _shown(view, id_, _found(view, caller, id_)), after=after)
        set_response_position(str(self._database.position))
        return found


def _found(view: View, caller: Caller, id_: str) -> pb.WebhookRecord:
    """Return a webhook that the caller may see.

    Raises:
        NotFound: there is none, or the caller may not see it: both look the same.
    """
    record = view.get(WEBHOOK, id_) if id_ else None
    node = None if record is None else tree.find(view, record.webhook.parent_id)
    if record is None or node is None or not has_right(view, caller, node, Right.CONFIGURE):
        raise NotFound(f"there is no webhook {id_!r}", resource_type="webhook", resource_name=id_)
    return record


def _faults(webhook: api.Webhook, fields: Sequence[str] | frozenset[str]) -> Iterator[Violation]:
    if "url" in fields:
        fault = link_fault(webhook.url) if webhook.url else "must not be empty"
        if fault is None and "#" in webhook.url:
            fault = "must have no fragment"
        if fault is not None:
            yield Violation("webhook.url", fault)
    if "event_types" in fields:
        for index, name in enumerate(webhook.event_types):
            if name not in EVENT_TYPES:
                known = ", ".join(EVENT_TYPES)
                yield Violation(f"webhook.event_types[{index}]", f"{shown(name, most=100)!r} is not one of: {known}")


def _subject(view: View, webhook: api.Webhook, details: Sequence[str] = ()) -> Subject:
    node = tree.find(view, webhook.parent_id)
    return Subject("webhook", webhook.id, webhook.id if node is None else tree.path_of(view, node), details)


def _details(webhook: api.Webhook) -> list[str]:
    # A query may have a token of the receiver.
    return [f"url: {webhook.url.partition('?')[0]}", f"disabled: {'yes' if webhook.disabled else 'no'}"]


def _shown(view: View, id_: str, record: pb.WebhookRecord) -> api.Webhook:
    found = api.Webhook()
    found.CopyFrom(record.webhook)
    found.etag = etag_of(view, WEBHOOK, id_)
    return found
