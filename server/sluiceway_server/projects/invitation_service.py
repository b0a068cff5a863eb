"""The servicer of `InvitationService`.

The interceptor has checked the caller's right on the organization that a request names (`guard.py`). Whose an
invitation is, is checked here: to everybody else it does not exist.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from sluiceway.api.project.v1 import invitation_service_pb2 as pb
from sluiceway.api.project.v1 import invitation_service_pb2_grpc as pb_grpc
from sluiceway.api.project.v1 import organization_service_pb2 as organization_pb
from sluiceway.records.project.v1 import records_pb2 as records
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import (
    AlreadyExists,
    Exhausted,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    Violation,
)
from sluiceway_common.foundation.rpc.caller import Caller, current_caller, set_response_position
from sluiceway_server.datamanager.model import Action, Delete, Put, Query, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.projects.auditing import Subject
from sluiceway_server.projects.changes import Change, Changes
from sluiceway_server.projects.invitation_rules import expiry, greater_role, is_valid, new_code, of_code
from sluiceway_server.projects.organization_service import organization_of, role_word
from sluiceway_server.projects.pages import requested
from sluiceway_server.projects.records import INVITATION, ORGANIZATION_MEMBER, member_id
from sluiceway_server.projects.tree import Node, NodeType, find, not_found, require, resolve

MAX_INVITATIONS = 100
_MAX_RECEIVED = 1000
_ORGANIZATIONS = frozenset({NodeType.ORGANIZATION})
_USERS = frozenset({NodeType.USER})


class InvitationServicer(pb_grpc.InvitationServiceServicer):
    """Implements `InvitationService`."""

    def __init__(self, database: Database, *, clock: Clock, ids: IdSource) -> None:
        """Offer invitations.

        Args:
            database: where they are stored.
            clock: for their expiry.
            ids: for new ones.
        """
        self._database = database
        self._clock = clock
        self._ids = ids
        self._changes = Changes(database, clock=clock, ids=ids)

    async def CreateInvitation(self, request: pb.CreateInvitationRequest, context: Any) -> pb.CreateInvitationResponse:
        wanted, caller, id_ = request.invitation, current_caller(), self._ids.new_id()
        if wanted.role not in organization_pb.OrganizationRole.values() or not wanted.role:
            raise InvalidInput([Violation("invitation.role", "must be owner, member or reader")])
        expire = expiry(wanted.expire_time if wanted.HasField("expire_time") else None, self._clock.now())
        code, digest = ("", "") if wanted.user_id else new_code(id_)

        def create(view: View, now: datetime) -> Change[pb.Invitation]:
            node = require(view, request.organization_id, _ORGANIZATIONS)
            _check_is_user(view, caller)
            _check_number(view, node)
            made = records.Invitation(
                organization_id=node.id, role=wanted.role, code_digest=digest, created_by=caller.id
            )
            if wanted.user_id:
                made.user_id = _invited_user(view, node, wanted.user_id, now).id
            made.create_time.FromDatetime(now)
            made.expire_time.FromDatetime(expire)
            shown = _shown(view, id_, made)
            whom = f"user {shown.user_name} ({shown.user_id})" if made.user_id else "whoever has the code"
            subject = _subject(node, id_, whom, f"role: {role_word(made.role)}")
            return Change(shown, subject, [Put(INVITATION, id_, made)])

        created = await self._changes.commit("CreateInvitation", create)
        return pb.CreateInvitationResponse(invitation=created.value, code=code)

    async def ListInvitations(self, request: pb.ListInvitationsRequest, context: Any) -> pb.ListInvitationsResponse:
        def read(view: View) -> list[pb.Invitation]:
            node = require(view, request.organization_id, _ORGANIZATIONS)
            return self._valid(view, {"organization_id": node.id}, MAX_INVITATIONS)

        found = await self._database.read(read, after=requested())
        set_response_position(str(self._database.position))
        return pb.ListInvitationsResponse(invitations=found)

    async def DeleteInvitation(self, request: pb.DeleteInvitationRequest, context: Any) -> pb.DeleteInvitationResponse:
        def delete(view: View, now: datetime) -> Change[None]:
            node = require(view, request.organization_id, _ORGANIZATIONS)
            stored = view.get(INVITATION, request.invitation_id)
            if stored is None or stored.organization_id != node.id:
                raise _no_invitation()
            subject = _subject(node, request.invitation_id, f"role: {role_word(stored.role)}")
            return Change(None, subject, [Delete(INVITATION, request.invitation_id)])

        await self._changes.commit("DeleteInvitation", delete)
        return pb.DeleteInvitationResponse()

    async def ListReceivedInvitations(
        self, request: pb.ListReceivedInvitationsRequest, context: Any
    ) -> pb.ListReceivedInvitationsResponse:
        caller = current_caller()
        found = await self._database.read(
            lambda view: self._valid(view, {"user_id": caller.id}, _MAX_RECEIVED) if caller.id else [],
            after=requested(),
        )
        set_response_position(str(self._database.position))
        shown = [each for each in found if caller.organization in {None, each.organization_id}]
        return pb.ListReceivedInvitationsResponse(invitations=shown)

    async def AcceptInvitation(self, request: pb.AcceptInvitationRequest, context: Any) -> pb.AcceptInvitationResponse:
        _check_named_once(request)
        caller = current_caller()

        def accept(view: View, now: datetime) -> Change[tuple[str, organization_pb.OrganizationRole]]:
            id_, stored, node = _received(view, caller, request, now)
            _check_is_user(view, caller)
            key = member_id(node.id, caller.id)
            before = view.get(ORGANIZATION_MEMBER, key)
            member = records.OrganizationMember(organization_id=node.id, user_id=caller.id, role=stored.role)
            if before is None:
                member.create_time.FromDatetime(now)
            else:
                member.CopyFrom(before)
                member.role = greater_role(before.role, stored.role)
            actions: list[Action] = [Delete(INVITATION, id_), Put(ORGANIZATION_MEMBER, key, member)]
            subject = _subject(node, id_, f"role: {role_word(member.role)}")
            return Change((node.id, member.role), subject, actions)

        accepted = await self._changes.commit("AcceptInvitation", accept)
        organization_id, role = accepted.value
        shown = await self._database.read(
            lambda view: organization_of(view, require(view, organization_id, _ORGANIZATIONS)), after=accepted.position
        )
        return pb.AcceptInvitationResponse(organization=shown, role=role)

    async def DeclineInvitation(
        self, request: pb.DeclineInvitationRequest, context: Any
    ) -> pb.DeclineInvitationResponse:
        _check_named_once(request)
        caller = current_caller()

        def decline(view: View, now: datetime) -> Change[None]:
            id_, _, node = _received(view, caller, request, now)
            return Change(None, _subject(node, id_), [Delete(INVITATION, id_)])

        await self._changes.commit("DeclineInvitation", decline)
        return pb.DeclineInvitationResponse()

    def _valid(self, view: View, where: dict[str, str], size: int) -> list[pb.Invitation]:
        page, now = view.select(INVITATION, Query(where=dict(where), size=size)), self._clock.now()
        return [_shown(view, id_, stored) for id_, stored in page.records if is_valid(view, stored, now)]


def _check_named_once(request: pb.AcceptInvitationRequest | pb.DeclineInvitationRequest) -> None:
    if bool(request.invitation_id) == bool(request.code):
        raise InvalidInput([Violation("code", "give either the id of an invitation to you, or a code")])


def _received(
    view: View, caller: Caller, request: pb.AcceptInvitationRequest | pb.DeclineInvitationRequest, now: datetime
) -> tuple[str, records.Invitation, Node]:
    """Return the invitation that a request names, with its id and organization.

    Raises:
        NotFound: there is none for the caller, or it has ended.
        PermissionDenied: `TOKEN_CONFINED`.
    """
    id_ = of_code(view, request.code) if request.code else request.invitation_id
    stored = view.get(INVITATION, id_) if id_ else None
    is_theirs = stored is not None and (bool(request.code) or stored.user_id == caller.id != "")
    if stored is None or not is_theirs or not is_valid(view, stored, now):
        raise _no_invitation()
    if caller.organization not in {None, stored.organization_id}:
        raise PermissionDenied("your token reaches one organization only", reason="TOKEN_CONFINED")
    return id_, stored, require(view, stored.organization_id, _ORGANIZATIONS)


def _invited_user(view: View, node: Node, reference: str, now: datetime) -> Node:
    user = resolve(view, reference, _USERS)
    if user is None:
        raise not_found(reference, _USERS)
    others = view.select(INVITATION, Query(where={"user_id": user.id}, size=_MAX_RECEIVED)).records
    is_member = view.get(ORGANIZATION_MEMBER, member_id(node.id, user.id)) is not None
    if is_member or any(each.organization_id == node.id and is_valid(view, each, now) for _, each in others):
        raise AlreadyExists(
            f"user {user.name!r} is {'a member' if is_member else 'invited'} already",
            resource_type="organization member" if is_member else "invitation",
            resource_name=user.name,
        )
    return user


def _check_is_user(view: View, caller: Caller) -> None:
    if find(view, caller.id, _USERS) is None:
        raise FailedPrecondition(
            f"your token is of {caller.id!r}, who is no user; an operator can create one of this name",
            reason="NO_USER",
            subject=caller.id,
        )


def _check_number(view: View, node: Node) -> None:
    if view.count(INVITATION, {"organization_id": node.id}, limit=MAX_INVITATIONS) >= MAX_INVITATIONS:
        raise Exhausted(
            f"organization {node.name!r} has {MAX_INVITATIONS} invitations, which is the most; delete some",
            reason="TOO_MANY_INVITATIONS",
            subject=node.id,
        )


def _no_invitation() -> NotFound:
    return NotFound(
        "there is no such invitation for you, or it has ended; ask an owner of the organization for another one",
        resource_type="invitation",
    )


def _subject(node: Node, id_: str, *details: str) -> Subject:
    return Subject("invitation", id_, f"org/{node.name}", details, parent_id=node.id)


def _shown(view: View, id_: str, stored: records.Invitation) -> pb.Invitation:
    organization, user, by = (find(view, each) for each in (stored.organization_id, stored.user_id, stored.created_by))
    return pb.Invitation(
        id=id_,
        organization_id=stored.organization_id,
        organization_name="" if organization is None else organization.name,
        role=cast(Any, stored.role),
        user_id=stored.user_id,
        user_name="" if user is None else user.name,
        created_by=stored.created_by if by is None else by.name,
        create_time=stored.create_time,
        expire_time=stored.expire_time,
    )
