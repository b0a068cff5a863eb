"""The servicer of `DeliveryService`: receives deliveries from gateways, and shows what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from sluiceway.api.project.v1 import delivery_service_pb2 as api
from sluiceway.api.project.v1 import delivery_service_pb2_grpc as api_grpc
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.crashpoints import crash_point, declare_crash_points
from sluiceway_common.foundation.errors import (
    FailedPrecondition,
    InvalidInput,
    NotFound,
    SluicewayError,
    Violation,
)
from sluiceway_common.foundation.places import Places
from sluiceway_common.foundation.rpc.caller import current_caller, requested_position, set_response_position
from sluiceway_server.datamanager.model import Position, Query, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.forges.errors import NotAtForge, WebhookRefused
from sluiceway_server.forges.port import Event
from sluiceway_server.projects.envelope import Envelope
from sluiceway_server.projects.records import PROJECT
from sluiceway_server.projects.tree import NodeType, require
from sluiceway_server.triggers import deliveries
from sluiceway_server.triggers.event_reading import EventReader, ReadEvent
from sluiceway_server.triggers.event_rules import event_record, judge
from sluiceway_server.triggers.links import sealed_secret_name
from sluiceway_server.triggers.manual_runs import event_by_hand, run_faults
from sluiceway_server.triggers.providers import Providers
from sluiceway_server.triggers.records import DELIVERY, LINK, REMOTE_SOURCE, delivery_key, provider_key

__all__ = ["DeliveryServicer"]

declare_crash_points("delivery.before-stored")

_DEFAULT_PAGE = 100
# Reading a body of this size takes 1 ms.
_SMALL_BYTES = 64 * 1024
_READ_AT_A_TIME = 4
_WAITING = 256
_PROJECTS = frozenset({NodeType.PROJECT})

Expect = Callable[[pb.EventRecord, pb.LinkRecord], None]
"""Is called for the event of a delivery that is about to be stored (`DeliveryWorker.expect`)."""


def _ignore(event: pb.EventRecord, link: pb.LinkRecord) -> None:
    pass


class DeliveryServicer(api_grpc.DeliveryServiceServicer):
    """Implements `DeliveryService`."""

    def __init__(
        self,
        database: Database,
        providers: Providers,
        envelope: Envelope,
        clock: Clock,
        *,
        ids: IdSource,
        reader: EventReader,
        expect: Expect = _ignore,
    ) -> None:
        """Create the servicer.

        Args:
            database: of the installation.
            providers: where repositories are.
            envelope: decrypts the secrets of webhooks.
            clock: the time.
            ids: of deliveries.
            reader: reads configurations for those who ask for runs.
            expect: is called for each event that runs may be made of, before it is stored.
        """
        self._reader = reader
        self._database = database
        self._providers = providers
        self._envelope = envelope
        self._clock = clock
        self._ids = ids
        self._expect = expect
        self._places = Places(_READ_AT_A_TIME, waiting=_WAITING, what="deliveries")

    async def ReceiveDelivery(self, request: api.ReceiveDeliveryRequest, context: Any) -> api.ReceiveDeliveryResponse:
        project_id = request.project_id
        link, source, is_there = await self._link(project_id)
        event = await self._read(link, source, dict(request.headers), request.body)
        if not is_there and link.is_active:
            return api.ReceiveDeliveryResponse(sentence="the project was deleted")
        said = event_record(event)
        verdict = judge(said, repository_id=link.repository_id)
        key = provider_key(project_id, link.remote_source_id, event.delivery_id) if event.delivery_id else ""
        record = deliveries.new_delivery(
            project_id,
            self._ids.new_id(),
            provider_id=event.delivery_id,
            provider_key=key,
            event=said,
            verdict=verdict,
            now=self._clock.now(),
        )
        crash_point("delivery.before-stored")
        if verdict is None:
            self._expect(said, link)
        stored, is_new = (await deliveries.receive(self._database, record)).value
        if not is_new:
            sentence = "it was delivered before, and has no further effect"
        else:
            sentence = "it is stored, and will be worked on" if verdict is None else verdict.sentence
        return api.ReceiveDeliveryResponse(delivery_id=stored.delivery.id, sentence=sentence)

    async def GetDelivery(self, request: api.GetDeliveryRequest, context: Any) -> api.GetDeliveryResponse:
        project_id = await self._project(request.project_id)
        try:
            record = await self._database.get(DELIVERY, delivery_key(project_id, request.delivery_id))
        except NotFound as cause:
            raise deliveries.no_delivery(request.delivery_id) from cause
        set_response_position(str(self._database.position))
        return api.GetDeliveryResponse(delivery=record.delivery)

    async def ListDeliveries(self, request: api.ListDeliveriesRequest, context: Any) -> api.ListDeliveriesResponse:
        where = {"project_id": await self._project(request.project_id)}
        if request.ref:
            where["ref"] = request.ref
        query = Query(
            where=where, order=("-received",), size=request.page_size or _DEFAULT_PAGE, token=request.page_token
        )
        page = await self._database.list(DELIVERY, query)
        set_response_position(str(self._database.position))
        found = [record.delivery for _, record in page.records]
        return api.ListDeliveriesResponse(deliveries=found, next_page_token=page.next_token)

    async def RunProject(self, request: api.RunProjectRequest, context: Any) -> api.RunProjectResponse:
        found = list(run_faults(request))
        if found:
            raise InvalidInput(found)
        project_id = await self._project(request.project_id)
        user, new_id = current_caller().id, self._ids.new_id()
        key = provider_key(project_id, f"by/{user}", request.request_id) if request.request_id else ""
        known = await self._database.read(lambda view: deliveries.known_as(view, key)) if key else None
        if known is not None:
            return api.RunProjectResponse(delivery=known.delivery)
        link = await self._linked(project_id)
        linked = await self._providers.repository(link)
        event = await event_by_hand(request, linked, user=user, key=key or new_id)
        await self._check_inputs(event, link)
        record = deliveries.new_delivery(
            project_id, new_id, provider_id="", provider_key=key, event=event, verdict=None, now=self._clock.now()
        )
        committed = await deliveries.receive(self._database, record)
        set_response_position(str(committed.position))
        return api.RunProjectResponse(delivery=committed.value[0].delivery)

    async def ListConfiguredRuns(
        self, request: api.ListConfiguredRunsRequest, context: Any
    ) -> api.ListConfiguredRunsResponse:
        asked = api.RunProjectRequest(
            ref=request.ref, commit_sha=request.commit_sha, pull_request_id=request.pull_request_id
        )
        found = list(run_faults(asked))
        if found:
            raise InvalidInput(found)
        link = await self._linked(await self._project(request.project_id))
        linked = await self._providers.repository(link)
        event = await event_by_hand(asked, linked, user=current_caller().id, key="")
        read = await self._read_event(event, link)
        return api.ListConfiguredRunsResponse(
            runs=[api.ConfiguredRun.FromString(each) for each in read.plan.configured],
            commit_sha=read.event.commit,
            source_path=read.plan.source_path,
            errors=read.plan.errors,
        )

    async def RedeliverDelivery(
        self, request: api.RedeliverDeliveryRequest, context: Any
    ) -> api.RedeliverDeliveryResponse:
        project_id = await self._project(request.project_id)
        committed = await deliveries.redeliver(self._database, project_id, request.delivery_id)
        set_response_position(str(committed.position))
        return api.RedeliverDeliveryResponse(delivery=committed.value)

    async def _linked(self, project_id: str) -> pb.LinkRecord:
        """Return the link of a project to its repository.

        Raises:
            FailedPrecondition: it has none.
        """
        link = await self._database.read(lambda view: view.get(LINK, project_id))
        if link is None:
            raise FailedPrecondition(
                f"project {project_id} has no repository, so there is nothing to run", reason="PROJECT_NOT_LINKED"
            )
        return link

    async def _check_inputs(self, event: pb.EventRecord, link: pb.LinkRecord) -> None:
        """Check the values of inputs of runs that are asked for. Where nothing is to be checked, nothing is read.

        Raises:
            InvalidInput: with the fault of each value.
            SluicewayError: values were given, and the configuration cannot be read. Without values the work on the
                delivery says so.
        """
        if not event.inputs and not event.run_name:
            return
        try:
            read = await self._read_event(event, link)
        except SluicewayError:
            if event.inputs:
                raise
            return
        if read.plan.input_faults:
            raise InvalidInput([Violation(path, message) for path, message in read.plan.input_faults])

    async def _read_event(self, event: pb.EventRecord, link: pb.LinkRecord) -> ReadEvent:
        project_id = link.project_id
        project = await self._database.read(lambda view: view.get(PROJECT, project_id))
        name = project.name if project is not None else project_id
        try:
            read = await self._reader.read(event, link, project_name=name, attempt=0)
        except NotAtForge as cause:
            raise NotFound(
                f"the repository has no commit {event.commit or event.ref}",
                reason="NO_SUCH_REF",
                resource_type="ref",
                resource_name=event.ref,
            ) from cause
        # The message of a commit decides on what nobody asked for only.
        assert isinstance(read, ReadEvent)  # noqa: S101 - see above
        return read

    async def _link(self, project_id: str) -> tuple[pb.LinkRecord, pb.RemoteSourceRecord, bool]:
        """Return the link of a project, its provider, and whether the project is there.

        Raises:
            WebhookRefused: there is none. Said as of a wrong signature, so that ids of projects cannot be probed.
        """

        def read(view: View) -> tuple[pb.LinkRecord, pb.RemoteSourceRecord, bool] | None:
            link = view.get(LINK, project_id)
            # One that is read with git alone has no webhook.
            source_id = link.remote_source_id if link is not None else ""
            source = view.get(REMOTE_SOURCE, source_id) if source_id else None
            is_there = view.fields(PROJECT, project_id) is not None
            return None if link is None or source is None else (link, source, is_there)

        found = await self._database.read(read)
        if found is None:
            await self._database.linearize()  # the link may have been made through another server
            found = await self._database.read(read)
        if found is None:
            raise WebhookRefused("there is no such webhook, or the signature is not that of its secret")
        return found

    async def _read(
        self, link: pb.LinkRecord, source: pb.RemoteSourceRecord, headers: Mapping[str, str], body: bytes
    ) -> Event:
        """Verify and read a delivery; in a thread, if its body is large."""
        secret = self._envelope.open_(sealed_secret_name(link.project_id), link.encrypted_webhook_secret).decode()
        forge, now = self._providers.forge(source), self._clock.now()
        if len(body) <= _SMALL_BYTES:
            return forge.read_event(headers, body, secret=secret, now=now)
        async with self._places.take():
            return await asyncio.to_thread(forge.read_event, headers, body, secret=secret, now=now)

    async def _project(self, reference: str) -> str:
        """Return the id of a project; the caller's right on it was checked by the interceptor."""
        after = requested_position()
        position = Position.parse(after) if after else await self._database.linearize()
        return (await self._database.read(lambda view: require(view, reference, _PROJECTS), after=position)).id
