"""The servicer of `OrganizationService`: organizations and their members.

The interceptor has checked the caller's right on the organization that a request names (`guard.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, cast

from sluiceway.api.project.v1 import organization_service_pb2 as pb
from sluiceway.api.project.v1 import organization_service_pb2_grpc as pb_grpc
from sluiceway.api.project.v1 import visibility_pb2
from sluiceway.records.project.v1 import records_pb2 as records
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    Violation,
)
from sluiceway_common.foundation.rpc.access import Right
from sluiceway_common.foundation.rpc.caller import CallerKind, current_caller, set_response_position
from sluiceway_server.datamanager.model import Action, Delete, Put, View
from sluiceway_server.datamanager.port import Committed, Database
from sluiceway_server.datamanager.queries import Place, place_of, token_of, walk_records
from sluiceway_server.datamanager.replica.deleted_subtrees import delete_subtree
from sluiceway_server.projects.auditing import Subject
from sluiceway_server.projects.changes import Change, Changes, check_etag, etag_of
from sluiceway_server.projects.fields import changed_fields, check_fields
from sluiceway_server.projects.names import key_of
from sluiceway_server.projects.pages import DEFAULT_PAGE, fingerprint_of, page_of_visible, requested
from sluiceway_server.projects.records import ORGANIZATION, ORGANIZATION_MEMBER, member_id
from sluiceway_server.projects.rights import has_right, is_member, require_right
from sluiceway_server.projects.tree import Node, NodeType, find, not_found, require, resolve

__all__ = ["OrganizationServicer"]

_ORGANIZATIONS = frozenset({NodeType.ORGANIZATION})
_USERS = frozenset({NodeType.USER})
_FIELDS = frozenset({"name", "visibility"})
_OWNER = pb.ORGANIZATION_ROLE_OWNER


class OrganizationServicer(pb_grpc.OrganizationServiceServicer):
    """Implements `OrganizationService`."""

    def __init__(self, database: Database, *, clock: Clock, ids: IdSource, members_by_invitation: bool = False) -> None:
        """Offer organizations.

        Args:
            database: where organizations are stored.
            clock: for times of creation.
            ids: for new organizations.
            members_by_invitation: only operators may add members without an invitation.
        """
        self._members_by_invitation = members_by_invitation
        self._database = database
        self._changes = Changes(database, clock=clock, ids=ids)

    async def CreateOrganization(
        self, request: pb.CreateOrganizationRequest, context: Any
    ) -> pb.CreateOrganizationResponse:
        wanted, caller = request.organization, current_caller()
        check_fields("organization", name=wanted.name, visibility=wanted.visibility)
        if caller.organization is not None:
            raise PermissionDenied("your token reaches one organization only", reason="TOKEN_CONFINED")

        def create(view: View, now: datetime, id_: str) -> Change[str]:
            _check_name_is_free(view, wanted.name)
            record = records.Organization(
                name=wanted.name, visibility=wanted.visibility or visibility_pb2.VISIBILITY_PRIVATE
            )
            record.create_time.FromDatetime(now)
            actions: list[Action] = [Put(ORGANIZATION, id_, record)]
            if find(view, caller.id, _USERS) is not None:
                actions.append(_member(id_, caller.id, _OWNER, now))
            elif caller.kind is not CallerKind.OPERATOR:
                raise FailedPrecondition(
                    f"your token is of {caller.id!r}, who is no user; an operator can create one of this name",
                    reason="NO_USER",
                    subject=caller.id,
                )
            return Change(id_, Subject("organization", id_, f"org/{wanted.name}"), actions)

        made = await self._changes.create(request, request.request_id, create)
        return pb.CreateOrganizationResponse(organization=await self._shown(made))

    async def GetOrganization(self, request: pb.GetOrganizationRequest, context: Any) -> pb.GetOrganizationResponse:
        caller = current_caller()

        def read(view: View) -> pb.Organization:
            return organization_of(view, require_right(view, caller, request.organization_id, _ORGANIZATIONS))

        organization = await self._database.read(read, after=requested())
        set_response_position(str(self._database.position))
        return pb.GetOrganizationResponse(organization=organization)

    async def ListOrganizations(
        self, request: pb.ListOrganizationsRequest, context: Any
    ) -> pb.ListOrganizationsResponse:
        caller = current_caller()

        def visible(view: View, id_: str) -> pb.Organization | None:
            node = find(view, id_, _ORGANIZATIONS)
            return organization_of(view, node) if node and has_right(view, caller, node, Right.READ) else None

        found, token = await page_of_visible(self._database, ORGANIZATION, {}, request, visible)
        return pb.ListOrganizationsResponse(organizations=found, next_page_token=token)

    async def UpdateOrganization(
        self, request: pb.UpdateOrganizationRequest, context: Any
    ) -> pb.UpdateOrganizationResponse:
        wanted = request.organization
        fields = changed_fields(wanted, request.update_mask, _FIELDS)
        check_fields("organization", name=wanted.name if "name" in fields else None, visibility=wanted.visibility)
        if "visibility" in fields and not wanted.visibility:
            raise InvalidInput([Violation("organization.visibility", "must be public or private")])

        def update(view: View, now: datetime) -> Change[str]:
            node = require(view, wanted.id, _ORGANIZATIONS)
            check_etag(view, ORGANIZATION, node.id, wanted.etag)
            before = cast(records.Organization, node.record)
            after = records.Organization()
            after.CopyFrom(before)
            for name in fields:
                setattr(after, name, getattr(wanted, name))
            if after.name != before.name:
                _check_name_is_free(view, after.name, except_id=node.id)
            if after == before:
                return Change(node.id)
            details = [f"name: {after.name}"] * (after.name != before.name)
            details += [
                f"visibility: {visibility_pb2.Visibility.Name(after.visibility).removeprefix('VISIBILITY_').lower()}"
            ] * (after.visibility != before.visibility)
            subject = Subject("organization", node.id, f"org/{before.name}", details)
            return Change(node.id, subject, [Put(ORGANIZATION, node.id, after)])

        changed = await self._changes.commit("UpdateOrganization", update)
        return pb.UpdateOrganizationResponse(organization=await self._shown(changed))

    async def DeleteOrganization(
        self, request: pb.DeleteOrganizationRequest, context: Any
    ) -> pb.DeleteOrganizationResponse:
        def delete(view: View, now: datetime) -> Change[None]:
            node = require(view, request.organization_id, _ORGANIZATIONS)
            check_etag(view, ORGANIZATION, node.id, request.etag)
            subject = Subject("organization", node.id, f"org/{node.name}")
            return Change(None, subject, delete_subtree(ORGANIZATION, node.id, now=now))

        await self._changes.commit("DeleteOrganization", delete)
        return pb.DeleteOrganizationResponse()

    # -- members

    async def SetOrganizationMember(
        self, request: pb.SetOrganizationMemberRequest, context: Any
    ) -> pb.SetOrganizationMemberResponse:
        role, caller = request.role, current_caller()
        if role not in pb.OrganizationRole.values() or not role:
            raise InvalidInput([Violation("role", "must be owner, member or reader")])

        def put(view: View, now: datetime) -> Change[None]:
            node = require(view, request.organization_id, _ORGANIZATIONS)
            user = _require_user(view, request.user_id)
            stored = view.get(ORGANIZATION_MEMBER, member_id(node.id, user.id))
            if stored is not None and stored.role == role:
                return Change(None)
            if stored is not None:
                _check_not_last_owner(view, node, stored)
            elif self._members_by_invitation and caller.kind is not CallerKind.OPERATOR:
                raise PermissionDenied(
                    f"members are added by invitation here: sluice org invite {node.name} --user {user.name}",
                    reason="INVITATION_NEEDED",
                )
            subject = _subject(node, user, f"role: {role_word(role)}")
            return Change(None, subject, [_member(node.id, user.id, role, now)])

        await self._changes.commit("SetOrganizationMember", put)
        return pb.SetOrganizationMemberResponse()

    async def RemoveOrganizationMember(
        self, request: pb.RemoveOrganizationMemberRequest, context: Any
    ) -> pb.RemoveOrganizationMemberResponse:
        def remove(view: View, now: datetime) -> Change[None]:
            node = require(view, request.organization_id, _ORGANIZATIONS)
            user = _require_user(view, request.user_id)
            stored = view.get(ORGANIZATION_MEMBER, member_id(node.id, user.id))
            if stored is None:
                raise NotFound(
                    f"user {user.name!r} is not a member of organization {node.name!r}",
                    resource_type="organization member",
                    resource_name=user.name,
                )
            _check_not_last_owner(view, node, stored)
            return Change(
                None, _subject(node, user, "removed"), [Delete(ORGANIZATION_MEMBER, member_id(node.id, user.id))]
            )

        await self._changes.commit("RemoveOrganizationMember", remove)
        return pb.RemoveOrganizationMemberResponse()

    async def ListOrganizationMembers(
        self, request: pb.ListOrganizationMembersRequest, context: Any
    ) -> pb.ListOrganizationMembersResponse:
        caller, size = current_caller(), request.page_size or DEFAULT_PAGE

        def read(view: View) -> pb.ListOrganizationMembersResponse:
            node = require_right(view, caller, request.organization_id, _ORGANIZATIONS)
            if not is_member(view, caller, node):
                raise PermissionDenied("only members may see who they are", reason="ROLE_MISSING")
            fingerprint = fingerprint_of(caller, "members", node.id)
            after = place_of(request.page_token, fingerprint, 1) if request.page_token else None
            # All of them for each page: they are ordered by a name that is in another record.
            members = sorted(_members(view, node.id), key=lambda each: (key_of(each.user_name), each.user_id))
            if after is not None:
                members = [
                    each for each in members if (key_of(each.user_name), each.user_id) > (*after.values, after.id)
                ]
            page = members[:size]
            more = len(members) > size
            token = token_of(fingerprint, Place((key_of(page[-1].user_name),), page[-1].user_id)) if more else ""
            return pb.ListOrganizationMembersResponse(members=page, next_page_token=token)

        response = await self._database.read(read, after=requested())
        set_response_position(str(self._database.position))
        return response

    async def _shown(self, written: Committed[str]) -> pb.Organization:
        return await self._database.read(
            lambda view: organization_of(view, require(view, written.value, _ORGANIZATIONS)), after=written.position
        )


def _require_user(view: View, reference: str) -> Node:
    user = resolve(view, reference, _USERS)
    if user is None:
        raise not_found(reference, _USERS)
    return user


def _check_name_is_free(view: View, name: str, *, except_id: str = "") -> None:
    same = resolve(view, f"org/{name}", _ORGANIZATIONS)
    if same is not None and same.id != except_id:
        raise AlreadyExists(
            f"the name {name!r} is taken; choose another one", resource_type="organization", resource_name=name
        )


def _check_not_last_owner(view: View, node: Node, member: records.OrganizationMember) -> None:
    if member.role != _OWNER:
        return
    if view.count(ORGANIZATION_MEMBER, {"organization_id": node.id, "role": int(_OWNER)}, limit=2) < 2:
        raise FailedPrecondition(
            f"organization {node.name!r} has no other owner; make somebody else one first",
            reason="LAST_OWNER",
            subject=node.id,
        )


def _member(organization_id: str, user_id: str, role: pb.OrganizationRole, now: datetime) -> Put:
    member = records.OrganizationMember(organization_id=organization_id, user_id=user_id, role=role)
    member.create_time.FromDatetime(now)
    return Put(ORGANIZATION_MEMBER, member_id(organization_id, user_id), member)


def _members(view: View, organization_id: str) -> Iterator[pb.OrganizationMember]:
    for _, member in walk_records(view, ORGANIZATION_MEMBER, {"organization_id": organization_id}, order=("role",)):
        user = find(view, member.user_id, _USERS)
        if user is not None:
            yield pb.OrganizationMember(user_id=user.id, user_name=user.name, role=member.role)


def _subject(node: Node, user: Node, what: str) -> Subject:
    return Subject("organization", node.id, f"org/{node.name}", [f"member {user.name} ({user.id})", what])


def role_word(role: pb.OrganizationRole) -> str:
    """Return a role as people call it."""
    return pb.OrganizationRole.Name(role).removeprefix("ORGANIZATION_ROLE_").lower()


def organization_of(view: View, node: Node) -> pb.Organization:
    """Return an organization as clients see it."""
    record = cast(records.Organization, node.record)
    return pb.Organization(
        id=node.id,
        name=record.name,
        etag=etag_of(view, ORGANIZATION, node.id),
        create_time=record.create_time,
        visibility=record.visibility,
    )
