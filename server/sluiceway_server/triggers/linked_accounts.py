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
from sluiceway_common.foundation.rpc.access import Right
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind, current_caller, set_response_position
from sluiceway_common.foundation.texts import line_fault, shown
from sluiceway_server.datamanager.model import Decision, Delete, Put, Query, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.forges.errors import TokenRefused
from sluiceway_server.forges.oauth2 import TokenGrant
from sluiceway_server.projects.envelope import Envelope
from sluiceway_server.projects.rights import has_right
from sluiceway_server.projects.tree import NodeType, find, path_of, resolve
from sluiceway_server.triggers.grants import problem_of, put_grant
from sluiceway_server.triggers.providers import Providers
from sluiceway_server.triggers.records import LINK, LINKED_ACCOUNT, REMOTE_SOURCE, account_id
from sluiceway_server.triggers.remote_sources import find_source

__all__ = ["LinkedAccountServicer", "linked_once_more", "shown_account"]

_ME = "me"
_MAX_ACCOUNTS = 1000
_MAX_PROJECTS = 1000
_SHOWN_PROJECTS = 100


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
        )
        now = self._clock.now()
        made.create_time.FromDatetime(now)
        put_grant(made, TokenGrant(wanted.access_token), self._envelope, now)

        def link(view: View) -> Decision[pb.LinkedAccountRecord]:
            find_source(view, source_id)
            linked = linked_once_more(view.get(LINKED_ACCOUNT, key), made, source.source.name)
            return Decision(linked, [Put(LINKED_ACCOUNT, key, linked)])

        committed = await self._database.transact(link)
        set_response_position(str(committed.position))
        return api.CreateLinkedAccountResponse(linked_account=shown_account(committed.value, source.source.name))

    async def ListLinkedAccounts(
        self, request: api.ListLinkedAccountsRequest, context: Any
    ) -> api.ListLinkedAccountsResponse:
        user_id = await self._user(request.user_id)
        query = Query(where={"user_id": user_id}, size=_MAX_ACCOUNTS)
        caller = current_caller()

        def read(view: View) -> list[api.LinkedAccount]:
            shown = []
            for _, record in view.select(LINKED_ACCOUNT, query).records:
                account = shown_account(record, _source_name(view, record.remote_source_id))
                _add_projects(view, caller, record, account)
                shown.append(account)
            return shown

        return api.ListLinkedAccountsResponse(linked_accounts=await self._database.read(read))

    async def DeleteLinkedAccount(
        self, request: api.DeleteLinkedAccountRequest, context: Any
    ) -> api.DeleteLinkedAccountResponse:
        user_id = await self._user(request.user_id)
        query = Query(where={"user_id": user_id}, size=_MAX_ACCOUNTS)

        def delete(view: View) -> Decision[None]:
            for key, record in view.select(LINKED_ACCOUNT, query).records:
                source = view.get(REMOTE_SOURCE, record.remote_source_id)
                # A user has one account at each source.
                names = {record.id, record.remote_source_id, source.source.name if source is not None else ""}
                if request.linked_account_id in names:
                    return Decision(None, [Delete(LINKED_ACCOUNT, key)])
            raise NotFound(
                f"the user has no linked account {request.linked_account_id!r}",
                resource_type="linked account",
                resource_name=request.linked_account_id,
            )

        set_response_position(str((await self._database.transact(delete)).position))
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


def linked_once_more(
    stored: pb.LinkedAccountRecord | None, made: pb.LinkedAccountRecord, source_name: str
) -> pb.LinkedAccountRecord:
    """Return the record of an account that is linked, perhaps once more: then with its id, and the new tokens. Pure.

    Raises:
        AlreadyExists: another account of the provider is linked.
    """
    if stored is None:
        return made
    if stored.remote_user_id != made.remote_user_id:
        raise AlreadyExists(
            f"the account {stored.remote_name} is linked at {source_name}, and this authorization is of"
            f" {made.remote_name}; remove that one first",
            resource_type="linked account",
            resource_name=stored.id,
        )
    linked = pb.LinkedAccountRecord()
    linked.CopyFrom(made)
    linked.id = stored.id
    linked.create_time.CopyFrom(stored.create_time)
    return linked


def shown_account(record: pb.LinkedAccountRecord, source_name: str) -> api.LinkedAccount:
    """Return a linked account as clients see it."""
    return api.LinkedAccount(
        id=record.id,
        remote_source_id=record.remote_source_id,
        remote_user_id=record.remote_user_id,
        remote_name=record.remote_name,
        create_time=record.create_time,
        problem=problem_of(record, source_name),
        authorized=record.authorized,
    )


def _add_projects(view: View, caller: Caller, record: pb.LinkedAccountRecord, account: api.LinkedAccount) -> None:
    where = {"user_id": record.user_id, "remote_source_id": record.remote_source_id}
    seen, others = [], 0
    for project_id, link in view.select(LINK, Query(where=where, size=_MAX_PROJECTS)).records:
        node = find(view, project_id, {NodeType.PROJECT}) if link.is_active else None
        if node is None:
            continue
        try:
            if has_right(view, caller, node, Right.READ):
                seen.append(path_of(view, node))
            else:
                others += 1
        except NotFound:  # What it is in is being deleted.
            continue
    account.project_paths.extend(sorted(seen)[:_SHOWN_PROJECTS])
    account.other_projects = others + len(seen) - len(account.project_paths)


def _source_name(view: View, source_id: str) -> str:
    source = view.get(REMOTE_SOURCE, source_id)
    return source_id if source is None else source.source.name
