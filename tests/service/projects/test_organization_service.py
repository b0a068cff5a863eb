"""`OrganizationService` through a real port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from sluiceway.api.project.v1 import organization_service_pb2 as pb
from sluiceway.api.project.v1 import organization_service_pb2_grpc as pb_grpc
from sluiceway.api.project.v1 import project_service_pb2 as project_pb
from sluiceway.api.project.v1 import project_service_pb2_grpc as project_pb_grpc
from sluiceway.api.project.v1.visibility_pb2 import VISIBILITY_PRIVATE, VISIBILITY_PUBLIC
from sluiceway.client import connect
from sluiceway_common.foundation.errors import (
    AlreadyExists,
    Conflict,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
)
from sluiceway_common.foundation.rpc.caller import CallerKind
from sluiceway_server.projects.tokens import TokenSpec, make_token
from tests.support.project_services import IDS, ServedProjects, served_projects

STUB = pb_grpc.OrganizationServiceStub
OWNER, MEMBER, READER = pb.ORGANIZATION_ROLE_OWNER, pb.ORGANIZATION_ROLE_MEMBER, pb.ORGANIZATION_ROLE_READER


@pytest.fixture
async def served() -> AsyncIterator[ServedProjects]:
    async with served_projects() as running:
        yield running


async def _create(served: ServedProjects, name: str, caller: str = "stranger", **more: Any) -> pb.Organization:
    request = pb.CreateOrganizationRequest(organization=pb.Organization(name=name, **more))
    made: pb.CreateOrganizationResponse = await served.call(caller, STUB, "CreateOrganization", request)
    return made.organization


async def _set(served: ServedProjects, organization: str, user: str, role: int, caller: str = "owner") -> None:
    request = pb.SetOrganizationMemberRequest(organization_id=organization, user_id=user, role=role)  # type: ignore[arg-type]  # also numbers that are no role
    await served.call(caller, STUB, "SetOrganizationMember", request)


async def _members(served: ServedProjects, organization: str, caller: str, size: int = 0) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    token = ""
    while True:
        request = pb.ListOrganizationMembersRequest(organization_id=organization, page_size=size, page_token=token)
        page = await served.call(caller, STUB, "ListOrganizationMembers", request)
        found += [(member.user_name, member.role) for member in page.members]
        token = page.next_page_token
        if not token:
            return found


async def test_organization_is_created_changed_and_deleted(served: ServedProjects) -> None:
    made = await _create(served, "Initech")
    assert made.visibility == VISIBILITY_PRIVATE
    assert await _members(served, made.id, "stranger") == [("stranger", OWNER)]
    for reference in (made.id, "org/initech", "INITECH"):
        request = pb.GetOrganizationRequest(organization_id=reference)
        assert (await served.call("stranger", STUB, "GetOrganization", request)).organization == made
        with pytest.raises(NotFound):
            await served.call("owner", STUB, "GetOrganization", request)
    change = pb.UpdateOrganizationRequest(
        organization={"id": made.id, "name": "initrode", "visibility": VISIBILITY_PUBLIC, "etag": made.etag}
    )
    changed = (await served.call("stranger", STUB, "UpdateOrganization", change)).organization
    assert (changed.name, changed.visibility) == ("initrode", VISIBILITY_PUBLIC)
    with pytest.raises(Conflict):
        await served.call("stranger", STUB, "UpdateOrganization", change)
    with pytest.raises(PermissionDenied):
        await served.call("owner", STUB, "DeleteOrganization", pb.DeleteOrganizationRequest(organization_id=made.id))
    await served.call("stranger", STUB, "DeleteOrganization", pb.DeleteOrganizationRequest(organization_id="initrode"))
    with pytest.raises(NotFound):
        await served.call("stranger", STUB, "GetOrganization", pb.GetOrganizationRequest(organization_id=made.id))


async def test_name_of_an_organization_is_unique_in_any_case(served: ServedProjects) -> None:
    for name in ("acme", "ACME", "hidden"):
        with pytest.raises(AlreadyExists):
            await _create(served, name)
    for name in ("a/b", "..", "a" * 41, IDS["acme"], "acm\u0435"):
        with pytest.raises(InvalidInput):
            await _create(served, name)
    # A user of this name is another thing.
    await _create(served, "stranger")


async def test_delete_takes_projects_groups_and_members_along(served: ServedProjects) -> None:
    await served.call("owner", STUB, "DeleteOrganization", pb.DeleteOrganizationRequest(organization_id="acme"))
    listed = await served.call(
        "operator", project_pb_grpc.ProjectServiceStub, "ListProjects", project_pb.ListProjectsRequest()
    )
    assert [project.name for project in listed.projects] == ["hidden-project", "own-project"]
    groups = await served.call(
        "operator", project_pb_grpc.ProjectServiceStub, "ListProjectGroups", project_pb.ListProjectGroupsRequest()
    )
    assert not groups.project_groups
    again = await _create(served, "acme", caller="reader")
    assert await _members(served, again.id, "reader") == [("reader", OWNER)]


@pytest.mark.parametrize(
    ("caller", "names"),
    [
        ("stranger", ["acme"]),
        ("reader", ["acme"]),
        ("operator", ["acme", "hidden"]),
    ],
)
async def test_list_has_organizations_that_the_caller_sees(
    served: ServedProjects, caller: str, names: list[str]
) -> None:
    listed = await served.call(caller, STUB, "ListOrganizations", pb.ListOrganizationsRequest())
    assert [organization.name for organization in listed.organizations] == names


@pytest.mark.parametrize("size", [1, 2, 100])
async def test_members_are_listed_by_name_for_members(served: ServedProjects, size: int) -> None:
    expected = [("member", MEMBER), ("owner", OWNER), ("reader", READER)]
    for caller in ("owner", "member", "reader", "operator"):
        assert await _members(served, "acme", caller, size) == expected
    with pytest.raises(PermissionDenied):
        await _members(served, "acme", "stranger", size)
    with pytest.raises(NotFound):
        await _members(served, "hidden", "owner", size)


async def test_role_counts_at_once(served: ServedProjects) -> None:
    request = project_pb.GetProjectRequest(project_id=IDS["private-project"])
    stub = project_pb_grpc.ProjectServiceStub
    with pytest.raises(NotFound):
        await served.call("stranger", stub, "GetProject", request)
    await _set(served, "acme", "stranger", READER)
    await served.call("stranger", stub, "GetProject", request)
    remove = pb.RemoveOrganizationMemberRequest(organization_id="acme", user_id=IDS["stranger"])
    await served.call("owner", STUB, "RemoveOrganizationMember", remove)
    with pytest.raises(NotFound):
        await served.call("stranger", stub, "GetProject", request)
    with pytest.raises(NotFound, match="not a member"):
        await served.call("owner", STUB, "RemoveOrganizationMember", remove)


async def test_members_are_changed_by_owners_only(served: ServedProjects) -> None:
    for caller in ("member", "reader", "stranger"):
        with pytest.raises(PermissionDenied):
            await _set(served, "acme", caller, OWNER, caller=caller)
    with pytest.raises(NotFound):
        await _set(served, "hidden", "owner", OWNER)
    with pytest.raises(NotFound):
        await _set(served, "acme", "none", READER)
    for role in (0, 9):
        with pytest.raises(InvalidInput):
            await _set(served, "acme", "reader", role)


async def test_last_owner_stays(served: ServedProjects) -> None:
    remove = pb.RemoveOrganizationMemberRequest(organization_id="acme", user_id="owner")
    with pytest.raises(FailedPrecondition, match="no other owner"):
        await served.call("owner", STUB, "RemoveOrganizationMember", remove)
    with pytest.raises(FailedPrecondition, match="no other owner"):
        await _set(served, "acme", "owner", MEMBER)
    await _set(served, "acme", "member", OWNER)
    await served.call("owner", STUB, "RemoveOrganizationMember", remove)
    assert await _members(served, "acme", "member") == [("member", OWNER), ("reader", READER)]


async def test_organization_has_an_owner_who_is_a_user(served: ServedProjects) -> None:
    spec = TokenSpec(CallerKind.USER, "x", user_id="nobody-yet", scopes=frozenset({"*"}))
    async with connect(served.address, token=await make_token(served.database, spec)) as client:
        call = STUB(client.connection.channel).CreateOrganization
        with pytest.raises(FailedPrecondition, match="no user"):
            await client.connection.call(call, pb.CreateOrganizationRequest(organization={"name": "new"}))
    # An operator needs none.
    made = await _create(served, "new", caller="operator")
    assert await _members(served, made.id, "operator") == []
