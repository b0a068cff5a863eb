"""Remote sources: the git providers of an installation, and the servicer of `RemoteSourceService`.

Operators make them, every user may see them. The client secret (OAuth 2) is stored encrypted and never returned.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sluiceway.api.project.v1 import remote_source_service_pb2 as api
from sluiceway.api.project.v1 import remote_source_service_pb2_grpc as api_grpc
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import (
    AlreadyExists,
    Conflict,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    Violation,
)
from sluiceway_common.foundation.locations import link_fault
from sluiceway_common.foundation.rpc.caller import current_caller, requested_position, set_response_position
from sluiceway_common.foundation.texts import line_fault
from sluiceway_server.datamanager.model import Action, Decision, Delete, Position, Put, Query, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.projects.envelope import Envelope
from sluiceway_server.projects.names import name_fault
from sluiceway_server.triggers.host_keys import host_key_fault
from sluiceway_server.triggers.records import LINK, LINKED_ACCOUNT, REMOTE_SOURCE

__all__ = ["RemoteSourceServicer", "find_source", "sealed_name"]

FORGE_TYPES = frozenset({"gitea", "github", "gitlab"})

_DEFAULT_PAGE = 100
_MAX_HOST_KEY = 4096
_MAX_ACCOUNTS = 1000
_CHANGEABLE = (
    "name",
    "type",
    "api_url",
    "oauth2_client_id",
    "oauth2_client_secret",
    "ssh_host_key",
    "login_allowed",
    "registration_allowed",
)


def sealed_name(source_id: str) -> str:
    """Return the name under which the client secret of a remote source is encrypted."""
    return f"remote_source/{source_id}"


def find_source(view: View, reference: str) -> tuple[str, pb.RemoteSourceRecord]:
    """Return a remote source by its id or its name, with its id.

    Raises:
        NotFound: there is none.
    """
    stored = view.get(REMOTE_SOURCE, reference) if reference else None
    if stored is not None:
        return reference, stored
    for id_, named in view.select(REMOTE_SOURCE, Query(where={"name": reference}, size=1)).records:
        return id_, named
    raise NotFound(f"there is no remote source {reference!r}", resource_type="remote source", resource_name=reference)


class RemoteSourceServicer(api_grpc.RemoteSourceServiceServicer):
    """Implements `RemoteSourceService`."""

    def __init__(self, database: Database, envelope: Envelope, clock: Clock, *, ids: IdSource) -> None:
        self._database = database
        self._envelope = envelope
        self._clock = clock
        self._ids = ids

    async def CreateRemoteSource(
        self, request: api.CreateRemoteSourceRequest, context: Any
    ) -> api.CreateRemoteSourceResponse:
        wanted = request.remote_source
        _check(wanted, _CHANGEABLE)
        id_, now = self._ids.new_id(), self._clock.now()
        key = f"{current_caller().id}/{request.request_id}" if request.request_id else ""
        made = pb.RemoteSourceRecord(request=key)
        _put(made, wanted, _CHANGEABLE, sealed_secret=self._sealed(id_, wanted))
        made.source.create_time.FromDatetime(now)
        _check_logins(made.source)

        def create(view: View) -> Decision[str]:
            for known_id, known in view.select(REMOTE_SOURCE, Query(where={"name": wanted.name}, size=1)).records:
                if key and known.request == key:
                    return Decision(known_id)
                raise _name_taken(wanted.name)
            return Decision(id_, [Put(REMOTE_SOURCE, id_, made)])

        committed = await self._database.transact(create)
        return api.CreateRemoteSourceResponse(remote_source=await self._read(committed.value, committed.position))

    async def GetRemoteSource(self, request: api.GetRemoteSourceRequest, context: Any) -> api.GetRemoteSourceResponse:
        after = requested_position()
        position = Position.parse(after) if after else await self._database.linearize()
        return api.GetRemoteSourceResponse(remote_source=await self._read(request.remote_source_id, position))

    async def ListRemoteSources(
        self, request: api.ListRemoteSourcesRequest, context: Any
    ) -> api.ListRemoteSourcesResponse:
        query = Query(order=("name",), size=request.page_size or _DEFAULT_PAGE, token=request.page_token)
        after = requested_position()

        def read(view: View) -> api.ListRemoteSourcesResponse:
            page = view.select(REMOTE_SOURCE, query)
            sources = [_shown(view, id_, record) for id_, record in page.records]
            return api.ListRemoteSourcesResponse(remote_sources=sources, next_page_token=page.next_token)

        return await self._database.read(read, after=Position.parse(after) if after else None)

    async def UpdateRemoteSource(
        self, request: api.UpdateRemoteSourceRequest, context: Any
    ) -> api.UpdateRemoteSourceResponse:
        wanted = request.remote_source
        named = tuple(request.update_mask.paths)
        fields = named or tuple(name for name in _CHANGEABLE if getattr(wanted, name))
        if unknown := sorted(set(fields) - set(_CHANGEABLE)):
            raise InvalidInput([Violation("update_mask", f"{unknown[0]!r} cannot be changed")])
        _check(wanted, fields)
        await self._database.linearize()
        id_, _ = await self._database.read(lambda view: find_source(view, wanted.id))
        sealed_secret = self._sealed(id_, wanted)

        def update(view: View) -> Decision[str]:
            _, stored = find_source(view, id_)
            _check_etag(view, id_, wanted.etag)
            named = view.rows(REMOTE_SOURCE, Query(where={"name": wanted.name}, size=1)).records
            if "name" in fields and any(other != id_ for other, _ in named):
                raise _name_taken(wanted.name)
            if _is_used(view, id_) and {"type", "api_url"} & set(fields):
                raise FailedPrecondition(
                    f"projects have their repository at {stored.source.name}: its type and URL cannot change; create"
                    " another remote source",
                    reason="REMOTE_SOURCE_IN_USE",
                    subject=id_,
                )
            changed = pb.RemoteSourceRecord()
            changed.CopyFrom(stored)
            _put(changed, wanted, fields, sealed_secret=sealed_secret)
            _check_logins(changed.source)
            return Decision(id_, [Put(REMOTE_SOURCE, id_, changed)])

        committed = await self._database.transact(update)
        return api.UpdateRemoteSourceResponse(remote_source=await self._read(committed.value, committed.position))

    async def DeleteRemoteSource(
        self, request: api.DeleteRemoteSourceRequest, context: Any
    ) -> api.DeleteRemoteSourceResponse:
        def delete(view: View) -> Decision[None]:
            id_, stored = find_source(view, request.remote_source_id)
            _check_etag(view, id_, request.etag)
            if _is_used(view, id_):
                raise FailedPrecondition(
                    f"projects have their repository at {stored.source.name}; delete them first",
                    reason="REMOTE_SOURCE_IN_USE",
                    subject=id_,
                )
            query = Query(where={"remote_source_id": id_}, size=_MAX_ACCOUNTS)
            accounts: list[Action] = [
                Delete(LINKED_ACCOUNT, key) for key, _ in view.rows(LINKED_ACCOUNT, query).records
            ]
            return Decision(None, [*accounts, Delete(REMOTE_SOURCE, id_)])

        set_response_position(str((await self._database.transact(delete)).position))
        return api.DeleteRemoteSourceResponse()

    def _sealed(self, id_: str, wanted: api.RemoteSource) -> bytes:
        secret = wanted.oauth2_client_secret
        return self._envelope.seal(sealed_name(id_), secret.encode()) if secret else b""

    async def _read(self, reference: str, after: Position) -> api.RemoteSource:
        def read(view: View) -> api.RemoteSource:
            return _shown(view, *find_source(view, reference))

        found = await self._database.read(read, after=after)
        set_response_position(str(self._database.position))
        return found


def _check(wanted: api.RemoteSource, fields: Iterable[str]) -> None:
    """Check fields of a remote source. Raises `InvalidInput` with every fault."""
    found: list[Violation] = []

    def fault(name: str, text: str | None) -> None:
        if text is not None and name in fields:
            found.append(Violation(f"remote_source.{name}", text))

    fault("name", name_fault(wanted.name))
    fault("type", None if wanted.type in FORGE_TYPES else f"must be one of {', '.join(sorted(FORGE_TYPES))}")
    fault("api_url", link_fault(wanted.api_url))
    for name in ("oauth2_client_id", "oauth2_client_secret"):
        fault(name, line_fault(getattr(wanted, name), most=1000))
    fault("ssh_host_key", line_fault(wanted.ssh_host_key, most=_MAX_HOST_KEY) or host_key_fault(wanted.ssh_host_key))
    if found:
        raise InvalidInput(found)


def _check_logins(source: api.RemoteSource) -> None:
    """Check that the settings of logins fit together. Raises `InvalidInput` with every fault."""
    found: list[Violation] = []
    if source.login_allowed and not source.oauth2_client_id:
        found.append(Violation("remote_source.login_allowed", "needs oauth2_client_id"))
    if source.registration_allowed and not source.login_allowed:
        found.append(Violation("remote_source.registration_allowed", "needs login_allowed"))
    if found:
        raise InvalidInput(found)


def _put(
    record: pb.RemoteSourceRecord, wanted: api.RemoteSource, fields: Iterable[str], *, sealed_secret: bytes
) -> None:
    """Store fields of a remote source; its client secret is encrypted."""
    for name in fields:
        if name == "oauth2_client_secret":
            record.encrypted_oauth2_client_secret = sealed_secret
        else:
            setattr(record.source, name, getattr(wanted, name))


def _is_used(view: View, source_id: str) -> bool:
    return view.count(LINK, {"remote_source_id": source_id}, limit=1) > 0


def _check_etag(view: View, id_: str, etag: str) -> None:
    if etag and etag != str(view.revision(REMOTE_SOURCE, id_)):
        raise Conflict("the remote source was changed since you read it; read it again")


def _name_taken(name: str) -> AlreadyExists:
    return AlreadyExists(
        f"there is a remote source {name!r} already; choose another name",
        resource_type="remote source",
        resource_name=name,
    )


def _shown(view: View, id_: str, record: pb.RemoteSourceRecord) -> api.RemoteSource:
    shown = api.RemoteSource()
    shown.CopyFrom(record.source)
    shown.id = id_
    shown.etag = str(view.revision(REMOTE_SOURCE, id_))
    return shown
