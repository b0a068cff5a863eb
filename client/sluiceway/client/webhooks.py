"""Outgoing webhooks, which notify other systems of runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from sluiceway.api.project.v1 import webhook_service_pb2 as pb
from sluiceway.api.project.v1 import webhook_service_pb2_grpc as pb_grpc
from sluiceway.client.connection import Connection


class Webhooks:
    """The `WebhookService`. Every method raises the errors that the comments of the proto list."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = pb_grpc.WebhookServiceStub(connection.channel)

    async def create(
        self, parent: str, url: str, *, secret: str, event_types: Iterable[str] = (), request_id: str = ""
    ) -> pb.Webhook:
        """Create a webhook.

        Args:
            parent: the id or path of a project, a project group, an organization or a user.
            url: where events are sent.
            secret: requests are signed with it: `whsec_` and 24 to 64 bytes in base64.
            event_types: such as `run.finished`; none: all.
            request_id: a repeated call with the same id has no further effect.
        """
        webhook = self._connection.request(
            pb.Webhook, parent_id=parent, url=url, secret=secret, event_types=list(event_types)
        )
        request = self._connection.request(pb.CreateWebhookRequest, webhook=webhook, request_id=request_id)
        return (await self._connection.call(self._stub.CreateWebhook, request)).webhook

    async def get(self, webhook: str) -> pb.Webhook:
        """Return a webhook."""
        request = self._connection.request(pb.GetWebhookRequest, webhook_id=webhook)
        return (await self._connection.call(self._stub.GetWebhook, request)).webhook

    async def list(self, parent: str) -> Sequence[pb.Webhook]:
        """List the webhooks of a parent, the oldest first."""
        request = self._connection.request(pb.ListWebhooksRequest, parent_id=parent)
        return (await self._connection.call(self._stub.ListWebhooks, request)).webhooks

    async def update(
        self,
        webhook: str,
        *,
        url: str | None = None,
        event_types: Iterable[str] | None = None,
        disabled: bool | None = None,
    ) -> pb.Webhook:
        """Change what is not None."""
        types = None if event_types is None else list(event_types)
        wanted = {"url": url, "event_types": types, "disabled": disabled}
        changes = {name: value for name, value in wanted.items() if value is not None}
        changed = self._connection.request(pb.Webhook, id=webhook, **changes)  # type: ignore[arg-type]  # by name
        request = self._connection.request(
            pb.UpdateWebhookRequest, webhook=changed, update_mask=FieldMask(paths=list(changes))
        )
        return (await self._connection.call(self._stub.UpdateWebhook, request)).webhook

    async def rotate_secret(self, webhook: str, secret: str, *, keep_previous: timedelta | None = None) -> pb.Webhook:
        """Replace the secret. The one before signs as well for `keep_previous`; None: for a day."""
        kept = None
        if keep_previous is not None:
            kept = Duration()
            kept.FromTimedelta(keep_previous)
        request = self._connection.request(
            pb.RotateWebhookSecretRequest, webhook_id=webhook, secret=secret, keep_previous=kept
        )
        return (await self._connection.call(self._stub.RotateWebhookSecret, request)).webhook

    async def delete(self, webhook: str) -> None:
        """Delete a webhook with its deliveries."""
        request = self._connection.request(pb.DeleteWebhookRequest, webhook_id=webhook)
        await self._connection.call(self._stub.DeleteWebhook, request)

    async def deliveries(self, webhook: str, *, limit: int = 100) -> Sequence[pb.WebhookDelivery]:
        """List deliveries of a webhook, the newest first."""
        request = self._connection.request(pb.ListWebhookDeliveriesRequest, webhook_id=webhook)
        return await self._connection.list_all(self._stub.ListWebhookDeliveries, request, "deliveries", limit=limit)

    async def redeliver(self, webhook: str, delivery: str) -> pb.WebhookDelivery:
        """Make the server send a delivery once more."""
        request = self._connection.request(pb.RedeliverWebhookDeliveryRequest, webhook_id=webhook, delivery_id=delivery)
        return (await self._connection.call(self._stub.RedeliverWebhookDelivery, request)).delivery
