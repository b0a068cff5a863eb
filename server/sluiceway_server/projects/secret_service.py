"""The servicer of `SecretService`. Values come in, are encrypted at once, and never go out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluiceway.api.project.v1 import secret_service_pb2 as api
from sluiceway.api.project.v1 import secret_service_pb2_grpc as api_grpc
from sluiceway.records.project.v1 import secrets_pb2 as pb
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import Conflict, InvalidInput, Violation
from sluiceway_common.foundation.rpc.caller import current_caller, set_response_position
from sluiceway_server.datamanager.model import Action, Delete, Position, Put, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.projects.auditing import Subject
from sluiceway_server.projects.changes import Change, Changes, check_etag, etag_of
from sluiceway_server.projects.envelope import Envelope
from sluiceway_server.projects.fields import changed_fields, check_fields
from sluiceway_server.projects.node_resources import ResourceKind
from sluiceway_server.projects.pages import requested
from sluiceway_server.projects.quotas import check_one_more
from sluiceway_server.projects.secret_records import SECRET, SECRET_VERSION, version_id
from sluiceway_server.projects.secret_values import (
    amount_faults,
    open_values,
    put_version,
    replace_version,
    seal_values,
    value_faults,
    versions_of,
)

__all__ = ["SECRETS", "SecretServicer"]

SECRETS: ResourceKind[pb.Secret] = ResourceKind("secret", SECRET)

_CHANGEABLE = ("name", "values")
_FIRST_VERSION = 1


@dataclass(frozen=True, slots=True)
class _NewValues:
    """The values of a new version, encrypted, and the version that they were computed from."""

    before: int
    keys: tuple[str, ...]
    record: pb.SecretVersion


class SecretServicer(api_grpc.SecretServiceServicer):
    """Implements `SecretService`."""

    def __init__(self, database: Database, envelope: Envelope, *, clock: Clock, ids: IdSource) -> None:
        self._database = database
        self._envelope = envelope
        self._changes = Changes(database, clock=clock, ids=ids)

    async def CreateSecret(self, request: api.CreateSecretRequest, context: Any) -> api.CreateSecretResponse:
        wanted, caller, values = request.secret, current_caller(), dict(request.secret.values)
        faults = [*value_faults("secret.values", values), *amount_faults("secret.values", values)]
        check_fields("secret", of_value=True, name=wanted.name, others=faults)

        def create(view: View, now: datetime, id_: str) -> Change[str]:
            parent = SECRETS.parent(view, caller, wanted.parent_id)
            SECRETS.check_name_is_free(view, parent.id, wanted.name)
            check_one_more(view, parent, "secrets", SECRET)
            secret = pb.Secret(name=wanted.name, parent_id=parent.id, keys=sorted(values), version=_FIRST_VERSION)
            secret.create_time.FromDatetime(now)
            version = seal_values(self._envelope, id_, _FIRST_VERSION, values)
            subject = _subject(view, id_, secret, f"keys: {', '.join(secret.keys)}")
            return Change(id_, subject, [Put(SECRET, id_, secret), put_version(id_, _FIRST_VERSION, version)])

        created = await self._changes.create(_without_values(request), request.request_id, create)
        secret = await self._read(created.value, created.position)
        await self._check_values_of_first_call(created.value, values)
        return api.CreateSecretResponse(secret=secret)

    async def GetSecret(self, request: api.GetSecretRequest, context: Any) -> api.GetSecretResponse:
        position = requested() or await self._database.linearize()
        return api.GetSecretResponse(secret=await self._read(request.secret_id, position))

    async def ListSecrets(self, request: api.ListSecretsRequest, context: Any) -> api.ListSecretsResponse:
        secrets, token = await SECRETS.list(self._database, request, _shown)
        return api.ListSecretsResponse(secrets=secrets, next_page_token=token)

    async def UpdateSecret(self, request: api.UpdateSecretRequest, context: Any) -> api.UpdateSecretResponse:
        wanted, caller = request.secret, current_caller()
        fields = _checked_fields(request)
        id_, new = await self._new_values(request, fields)

        def update(view: View, now: datetime) -> Change[None]:
            _, stored = SECRETS.find(view, caller, id_)
            check_etag(view, SECRET, id_, wanted.etag)
            changed = pb.Secret()
            changed.CopyFrom(stored)
            details: list[str] = []
            actions: list[Action] = []
            if not fields and new is None:
                return Change(None)
            if "name" in fields:
                SECRETS.check_name_is_free(view, stored.parent_id, wanted.name, except_id=id_)
                changed.name = wanted.name
                details.append(f"name: {wanted.name}")
            if new is not None:
                if stored.version != new.before:
                    raise Conflict("the secret was changed at the same time; read it again, then repeat the change")
                changed.version = new.before + 1
                del changed.keys[:]
                changed.keys.extend(new.keys)
                actions += replace_version(view, id_, new.before, now=now)
                actions.append(put_version(id_, changed.version, new.record))
                details += [f"version: {changed.version}", f"keys: {', '.join(new.keys)}"]
            subject = _subject(view, id_, stored, *details)
            return Change(None, subject, [*actions, Put(SECRET, id_, changed)])

        changed = await self._changes.commit("UpdateSecret", update)
        return api.UpdateSecretResponse(secret=await self._read(id_, changed.position))

    async def DeleteSecret(self, request: api.DeleteSecretRequest, context: Any) -> api.DeleteSecretResponse:
        caller = current_caller()

        def delete(view: View, now: datetime) -> Change[None]:
            id_, stored = SECRETS.find(view, caller, request.secret_id)
            check_etag(view, SECRET, id_, request.etag)
            versions = [Delete(SECRET_VERSION, version) for version, _ in versions_of(view, id_)]
            subject = _subject(view, id_, stored)
            return Change(None, subject, [Delete(SECRET, id_), *versions])

        await self._changes.commit("DeleteSecret", delete)
        return api.DeleteSecretResponse()

    async def _new_values(
        self, request: api.UpdateSecretRequest, fields: frozenset[str]
    ) -> tuple[str, _NewValues | None]:
        """Return the id of the secret to update, and its new values if any of them change."""
        caller, wanted = current_caller(), request.secret
        added, deleted = dict(request.set_values), frozenset(request.delete_keys)

        def read(view: View) -> tuple[str, pb.Secret, pb.SecretVersion | None]:
            id_, stored = SECRETS.find(view, caller, wanted.id)
            return id_, stored, view.get(SECRET_VERSION, version_id(id_, stored.version))

        id_, stored, present = await self._database.read(read, after=await self._database.linearize())
        if "values" in fields:
            values = dict(wanted.values)
        elif not added and not deleted:
            return id_, None
        else:
            values = added
            if present is not None and set(stored.keys) - added.keys() - deleted:
                kept = await open_values(self._envelope, id_, stored.version, present)
                values = {**{key: value for key, value in kept.items() if key not in deleted}, **added}
        if faults := list(amount_faults("secret.values", values)):
            raise InvalidInput(faults)
        record = seal_values(self._envelope, id_, stored.version + 1, values)
        return id_, _NewValues(stored.version, tuple(sorted(values)), record)

    async def _check_values_of_first_call(self, id_: str, values: Mapping[str, bytes]) -> None:
        """Check that a repeated creation has the values of the first call, while those are stored."""
        first = await self._database.read(lambda view: view.get(SECRET_VERSION, version_id(id_, _FIRST_VERSION)))
        if first is not None and await open_values(self._envelope, id_, _FIRST_VERSION, first) != values:
            raise InvalidInput(
                [Violation("request_id", "it was used for another request; choose another one")],
                reason="REQUEST_ID_REUSED",
            )

    async def _read(self, reference: str, after: Position) -> api.Secret:
        caller = current_caller()
        found = await self._database.read(
            lambda view: _shown(view, *SECRETS.find(view, caller, reference)), after=after
        )
        set_response_position(str(self._database.position))
        return found


def _without_values(request: api.CreateSecretRequest) -> api.CreateSecretRequest:
    """Return a creation with the keys of its values only.

    A digest of it is stored. With one of the values, who can read the database could try out values until it fits.
    """
    bare = api.CreateSecretRequest()
    bare.CopyFrom(request)
    for key in request.secret.values:
        bare.secret.values[key] = b""
    return bare


def _checked_fields(request: api.UpdateSecretRequest) -> frozenset[str]:
    """Check an update, and return the fields of the secret that it changes. Raises with every fault."""
    wanted = request.secret
    fields = changed_fields(wanted, request.update_mask, _CHANGEABLE)
    changes_some = bool(request.set_values or request.delete_keys)
    faults = list(value_faults("set_values", request.set_values))
    if "values" in fields:
        faults += value_faults("secret.values", wanted.values)
        if changes_some:
            faults.append(Violation("set_values", "exclude `secret.values`, which are all values of the secret"))
    check_fields("secret", of_value=True, name=wanted.name if "name" in fields else None, others=faults)
    return fields


def _subject(view: View, id_: str, secret: pb.Secret, *details: str) -> Subject:
    return Subject("secret", id_, SECRETS.path_of(view, secret), details, parent_id=secret.parent_id)


def _shown(view: View, id_: str, secret: pb.Secret) -> api.Secret:
    return api.Secret(
        id=id_,
        name=secret.name,
        etag=etag_of(view, SECRET, id_),
        create_time=secret.create_time,
        parent_id=secret.parent_id,
        keys=secret.keys,
        version=secret.version,
    )
