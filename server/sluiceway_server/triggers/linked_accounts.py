"""The servicer of `LinkedAccountService`: accounts of users at git providers.

An access token is stored encrypted and never returned. Whose it is says the provider: its numeric id is what counts.
"""

from __future__ import annotations

from typing import Any

from sluiceway.api.project.v1 import linked_account_service_pb2 as api
from sluiceway.api.project.v1 import linked_account_service_pb2_grpc as api_grpc
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import AlreadyExists, InvalidInput, NotFound, Violation
from sluiceway_common.foundation.rpc.caller import CallerKind, answer_position, current_caller
from sluiceway_common.foundation.texts import line_fault, shown
from sluiceway_server.datamanager.model import Decision, Delete, Put, Query, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.forges.errors import TokenRefused
from sluiceway_server.projects.envelope import Envelope
from sluiceway_server.projects.tree import NodeType, resolve
from sluiceway_server.triggers.providers import Providers, sealed_token_name
from sluiceway_server.triggers.records import LINKED_ACCOUNT, account_id
from sluiceway_server.triggers.remote_sources import find_source

__all__ = ["LinkedAccountServicer"]

_ME = "me"
_MAX_ACCOUNTS = 1000


class LinkedAccountServicer(api_grpc.LinkedAccountServiceServicer):
    """Implements `LinkedAccountService`."""

    def __init__(
        self, database: Database, providers: Providers, envelope: Envelope, clock: Clock, *, ids: IdSource
    ) -> None:
        self._database = database
        self._providers = providers
        self._envelope = envelope
        self._clock = clock
        self._ids = ids

    async def CreateLinkedAccount(
        self, request: api.CreateLinkedAccountRequest, context: Any
    ) -> api.CreateLinkedAccountResponse:
        user_id = await self._user(request.user_id)
        wanted = request.linked_account
        fault = line_fault(wanted.access_token, most=4096)
        if fault is not None:
            raise InvalidInput([Violation("linked_account.access_token", fault)])
        source_id, source = await self._database.read(lambda view: find_source(view, wanted.remote_source_id))
        try:
            account = await self._providers.forge(source).user(wanted.access_token)
        except TokenRefused as refused:
            raise InvalidInput([Violation("linked_account.access_token", refused.message)]) from refused
        key = account_id(user_id, source_id)
        made = pb.LinkedAccountRecord(
            id=self._ids.new_id(),
            user_id=user_id,
            remote_source_id=source_id,
            remote_user_id=account.id,
            remote_name=shown(account.name, most=100),
            encrypted_access_token=self._envelope.seal(
                sealed_token_name(user_id, source_id), wanted.access_token.encode()
            ),
        )
        made.create_time.FromDatetime(self._clock.now())

        def link(view: View) -> Decision[pb.LinkedAccountRecord]:
            find_source(view, source_id)
            stored = view.get(LINKED_ACCOUNT, key)
            if stored is None:
                return Decision(made, [Put(LINKED_ACCOUNT, key, made)])
            if stored.remote_user_id != account.id:
                raise AlreadyExists(
                    f"the account {stored.remote_name} is linked at {source.source.name}, and the access token is of"
                    f" {made.remote_name}; remove that one first",
                    resource_type="linked account",
                    resource_name=stored.id,
                )
            renewed = pb.LinkedAccountRecord()
            renewed.CopyFrom(stored)
            renewed.remote_name, renewed.encrypted_access_token = made.remote_name, made.encrypted_access_token
            return Decision(renewed, [Put(LINKED_ACCOUNT, key, renewed)])

        committed = await self._database.transact(link)
        answer_position(str(committed.position))
        return api.CreateLinkedAccountResponse(linked_account=_shown(committed.value))

    async def ListLinkedAccounts(
        self, request: api.ListLinkedAccountsRequest, context: Any
    ) -> api.ListLinkedAccountsResponse:
        user_id = await self._user(request.user_id)
        query = Query(where={"user_id": user_id}, size=_MAX_ACCOUNTS)
        found = await self._database.read(lambda view: view.select(LINKED_ACCOUNT, query).records)
        return api.ListLinkedAccountsResponse(linked_accounts=[_shown(record) for _, record in found])

    async def DeleteLinkedAccount(
        self, request: api.DeleteLinkedAccountRequest, context: Any
    ) -> api.DeleteLinkedAccountResponse:
        user_id = await self._user(request.user_id)
        query = Query(where={"user_id": user_id}, size=_MAX_ACCOUNTS)

        def delete(view: View) -> Decision[None]:
            for key, record in view.select(LINKED_ACCOUNT, query).records:
                if record.id == request.linked_account_id:
                    return Decision(None, [Delete(LINKED_ACCOUNT, key)])
            raise NotFound(
                f"the user has no linked account {request.linked_account_id!r}",
                resource_type="linked account",
                resource_name=request.linked_account_id,
            )

        answer_position(str((await self._database.transact(delete)).position))
        return api.DeleteLinkedAccountResponse()

    async def _user(self, reference: str) -> str:
        """Return the id of the user whose accounts the caller may work with: itself; an operator, that of any user.

        Raises:
            NotFound: there is no such user, or the caller may not see it.
        """
        caller = current_caller()
        if reference in {_ME, caller.id}:
            return caller.id
        await self._database.linearize()
        user = await self._database.read(lambda view: resolve(view, reference, {NodeType.USER}))
        if user is None or (user.id != caller.id and caller.kind is not CallerKind.OPERATOR):
            raise NotFound(f"there is no user {reference!r}", resource_type="user", resource_name=reference)
        return user.id


def _shown(record: pb.LinkedAccountRecord) -> api.LinkedAccount:
    return api.LinkedAccount(
        id=record.id,
        remote_source_id=record.remote_source_id,
        remote_user_id=record.remote_user_id,
        remote_name=record.remote_name,
        create_time=record.create_time,
    )
