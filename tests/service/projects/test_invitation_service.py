"""`InvitationService` through a real port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from sluiceway.api.project.v1 import invitation_service_pb2 as pb
from sluiceway.api.project.v1 import organization_service_pb2 as organization_pb
from sluiceway.client import connect
from sluiceway.records.project.v1 import records_pb2 as records
from sluiceway_common.foundation.errors import (
    AlreadyExists,
    Exhausted,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
)
from sluiceway_common.foundation.rpc.caller import CallerKind
from sluiceway_server.datamanager.model import Put
from sluiceway_server.projects.invitation_service import MAX_INVITATIONS
from sluiceway_server.projects.records import AUDIT_RECORD, INVITATION, ORGANIZATION_MEMBER
from sluiceway_server.projects.tokens import TokenSpec, make_token
from tests.support.project_services import IDS, ServedProjects, served_projects

MEMBER, READER = organization_pb.ORGANIZATION_ROLE_MEMBER, organization_pb.ORGANIZATION_ROLE_READER


@pytest.fixture
async def served() -> AsyncIterator[ServedProjects]:
    async with served_projects() as running:
        yield running


async def _roles(served: ServedProjects) -> dict[str, str]:
    found = await served.clients["operator"].organizations.members("acme")
    names = organization_pb.OrganizationRole
    return {each.user_name: names.Name(each.role).removeprefix("ORGANIZATION_ROLE_").lower() for each in found}


async def _stored(served: ServedProjects) -> list[str]:
    return await served.database.read(lambda view: [id_ for id_, _ in view.scan(INVITATION)])


async def test_invited_user_accepts(served: ServedProjects) -> None:
    owner, stranger = served.clients["owner"], served.clients["stranger"]
    made, code = await owner.invitations.create("acme", "reader", user="stranger")
    assert (code, made.user_name, made.organization_name, made.created_by) == ("", "stranger", "acme", "owner")
    lasts = made.expire_time.ToDatetime(tzinfo=UTC) - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < lasts <= timedelta(days=7)
    assert list(await owner.invitations.list("acme")) == [made]
    assert list(await stranger.invitations.received()) == [made]
    assert list(await served.clients["member"].invitations.received()) == []
    assert "stranger" not in await _roles(served)
    organization, role = await stranger.invitations.accept(invitation=made.id)
    assert (organization.name, role) == ("acme", READER)
    assert (await _roles(served))["stranger"] == "reader"
    assert await _stored(served) == []
    with pytest.raises(NotFound):
        await stranger.invitations.accept(invitation=made.id)


async def test_code_makes_one_user_a_member(served: ServedProjects) -> None:
    owner = served.clients["owner"]
    made, code = await owner.invitations.create("acme", "member")
    assert code.startswith(f"{made.id}.")
    _, role = await served.clients["stranger"].invitations.accept(code=code)
    assert role == MEMBER
    with pytest.raises(NotFound):
        await served.clients["reader"].invitations.accept(code=code)
    assert (await _roles(served))["reader"] == "reader"


async def test_code_is_stored_as_a_digest(served: ServedProjects) -> None:
    made, code = await served.clients["owner"].invitations.create("acme", "owner")
    stored = await served.database.get(INVITATION, made.id)
    audit = await served.database.read(lambda view: [record for _, record in view.scan(AUDIT_RECORD)])
    secret = code.partition(".")[2]
    assert len(stored.code_digest) == 64
    for record in (stored, *audit, *(await served.clients["owner"].invitations.list("acme"))):
        assert secret.encode() not in record.SerializeToString()


@pytest.mark.parametrize(
    "text", ["", ".", "x", "x.y", "{id}", "{id}.", "{id}.wrong", ".{secret}", "x.{secret}", "{id}.{secret}x"]
)
async def test_wrong_code_is_refused(served: ServedProjects, text: str) -> None:
    made, code = await served.clients["owner"].invitations.create("acme", "member")
    wrong = text.format(id=made.id, secret=code.partition(".")[2])
    with pytest.raises((NotFound, InvalidInput)):
        await served.clients["stranger"].invitations.accept(code=wrong)
    assert await _stored(served) == [made.id]


async def test_id_of_a_code_is_no_invitation(served: ServedProjects) -> None:
    made, _ = await served.clients["owner"].invitations.create("acme", "member")
    for caller in ("stranger", "operator"):
        with pytest.raises(NotFound):
            await served.clients[caller].invitations.accept(invitation=made.id)


async def test_invitation_of_somebody_else_does_not_exist(served: ServedProjects) -> None:
    made, _ = await served.clients["owner"].invitations.create("acme", "member", user="stranger")
    stored = records.Invitation(
        organization_id=IDS["hidden"], user_id=IDS["member"], created_by=IDS["outsider"], role=MEMBER
    )
    stored.expire_time.FromDatetime(datetime.now(UTC) + timedelta(days=1))
    await served.database.commit([Put(INVITATION, "hidden", stored)])
    for caller, id_ in (("reader", made.id), ("stranger", "hidden"), ("owner", "hidden"), ("stranger", "nothing")):
        client = served.clients[caller]
        for call in (client.invitations.accept(invitation=id_), client.invitations.decline(invitation=id_)):
            with pytest.raises(NotFound):
                await call
    # The invitation of another organization is not deleted through one's own.
    with pytest.raises(NotFound):
        await served.clients["owner"].invitations.delete("acme", "hidden")
    with pytest.raises(NotFound):
        await served.clients["owner"].invitations.delete("hidden", "hidden")
    assert len(await _stored(served)) == 2


@pytest.mark.parametrize("by_code", [False, True])
async def test_invitation_is_declined_and_deleted(served: ServedProjects, by_code: bool) -> None:
    owner, stranger = served.clients["owner"], served.clients["stranger"]
    user = "" if by_code else "stranger"
    for ends in ("decline", "delete"):
        made, code = await owner.invitations.create("acme", "member", user=user)
        named = {"code": code} if by_code else {"invitation": made.id}
        if ends == "decline":
            await stranger.invitations.decline(**named)
        else:
            await owner.invitations.delete("acme", made.id)
        with pytest.raises(NotFound):
            await stranger.invitations.accept(**named)
        assert await _stored(served) == []


async def test_invitation_expires(served: ServedProjects) -> None:
    owner, stranger = served.clients["owner"], served.clients["stranger"]
    made, code = await owner.invitations.create("acme", "member")
    late = records.Invitation()
    late.CopyFrom(await served.database.get(INVITATION, made.id))
    late.expire_time.FromDatetime(datetime.now(UTC) - timedelta(seconds=1))
    await served.database.commit([Put(INVITATION, made.id, late)])
    with pytest.raises(NotFound):
        await stranger.invitations.accept(code=code)
    assert list(await owner.invitations.list("acme")) == []


@pytest.mark.parametrize("days", [-1, 0, 91])
async def test_expiry_is_checked(served: ServedProjects, days: int) -> None:
    with pytest.raises(InvalidInput, match=r"invitation\.expire_time"):
        await served.clients["owner"].invitations.create(
            "acme", "member", expire=datetime.now(UTC) + timedelta(days=days)
        )


async def test_invitation_ends_with_the_right_of_who_made_it(served: ServedProjects) -> None:
    owner, operator = served.clients["owner"], served.clients["operator"]
    _, code = await owner.invitations.create("acme", "owner")
    await operator.organizations.set_member("acme", "member", "owner")
    await operator.organizations.set_member("acme", "owner", "member")
    # Who is no owner any more does not come back by an own code.
    for caller in ("owner", "stranger"):
        with pytest.raises(NotFound):
            await served.clients[caller].invitations.accept(code=code)
    assert list(await operator.invitations.list("acme")) == []
    await operator.organizations.set_member("acme", "owner", "owner")
    await operator.users.update("owner", disabled=True)
    with pytest.raises(NotFound):
        await served.clients["stranger"].invitations.accept(code=code)


async def test_member_keeps_a_greater_role(served: ServedProjects) -> None:
    owner = served.clients["owner"]
    for role, expected in (("reader", "member"), ("owner", "owner")):
        _, code = await owner.invitations.create("acme", role)
        await served.clients["member"].invitations.accept(code=code)
        assert (await _roles(served))["member"] == expected


async def test_who_is_a_member_or_invited_is_not_invited(served: ServedProjects) -> None:
    owner = served.clients["owner"]
    await owner.invitations.create("acme", "member", user="stranger")
    for user in ("stranger", IDS["stranger"], "member"):
        with pytest.raises(AlreadyExists):
            await owner.invitations.create("acme", "member", user=user)
    with pytest.raises(NotFound):
        await owner.invitations.create("acme", "member", user="nobody")
    request = pb.CreateInvitationRequest(organization_id="acme", invitation={"user_id": "stranger"})
    with pytest.raises(InvalidInput):
        await owner.connection.call(owner.invitations._stub.CreateInvitation, request)


async def test_accept_names_one_invitation(served: ServedProjects) -> None:
    stranger = served.clients["stranger"]
    for named in ({}, {"invitation": "a", "code": "a.b"}):
        with pytest.raises(InvalidInput):
            await stranger.invitations.accept(**named)
        with pytest.raises(InvalidInput):
            await stranger.invitations.decline(**named)


async def test_number_of_invitations_is_limited(served: ServedProjects) -> None:
    owner = served.clients["owner"]
    for number in range(MAX_INVITATIONS):
        record = records.Invitation(organization_id=IDS["acme"], created_by=IDS["owner"], role=MEMBER)
        record.expire_time.FromDatetime(datetime.now(UTC) + timedelta(days=1))
        await served.database.commit([Put(INVITATION, f"{number}", record)])
    with pytest.raises(Exhausted) as refused:
        await owner.invitations.create("acme", "member")
    assert refused.value.reason == "TOO_MANY_INVITATIONS"
    await owner.invitations.delete("acme", "7")
    await owner.invitations.create("acme", "member")


async def test_invitations_go_with_organization_and_user(served: ServedProjects) -> None:
    owner, operator = served.clients["owner"], served.clients["operator"]
    await owner.invitations.create("acme", "member", user="stranger")
    await operator.users.delete("stranger")
    assert list(await owner.invitations.list("acme")) == []
    _, code = await owner.invitations.create("acme", "member")
    await owner.organizations.delete("acme")
    with pytest.raises(NotFound):
        await served.clients["reader"].invitations.accept(code=code)


async def test_token_of_another_organization_accepts_none(served: ServedProjects) -> None:
    made, code = await served.clients["owner"].invitations.create("acme", "member")
    spec = TokenSpec(CallerKind.USER, "x", user_id=IDS["stranger"], scopes=frozenset({"*"}), organization=IDS["hidden"])
    async with connect(served.address, token=await make_token(served.database, spec)) as client:
        with pytest.raises(PermissionDenied) as refused:
            await client.invitations.accept(code=code)
        assert refused.value.reason == "TOKEN_CONFINED"
        assert list(await client.invitations.received()) == []
    assert await _stored(served) == [made.id]


async def test_token_of_no_user_accepts_and_invites_nobody(served: ServedProjects) -> None:
    _, code = await served.clients["owner"].invitations.create("acme", "member")
    operator = served.clients["operator"]  # of `admin`, who is no user here
    for call in (operator.invitations.accept(code=code), operator.invitations.create("acme", "member")):
        with pytest.raises(FailedPrecondition) as refused:
            await call
        assert refused.value.reason == "NO_USER"


async def test_changes_of_invitations_are_audited(served: ServedProjects) -> None:
    owner, stranger = served.clients["owner"], served.clients["stranger"]
    made, _ = await owner.invitations.create("acme", "reader", user="stranger")
    await stranger.invitations.accept(invitation=made.id)
    found = await owner.audit.list(parent="org/acme", resource=made.id)
    assert [(each.method, each.caller_name) for each in found] == [
        ("AcceptInvitation", "stranger"),
        ("CreateInvitation", "owner"),
    ]


@pytest.mark.parametrize("by_invitation", [False, True])
async def test_members_are_added_directly_unless_told_otherwise(by_invitation: bool) -> None:
    async with served_projects(members_by_invitation=by_invitation) as served:
        owner, operator = served.clients["owner"], served.clients["operator"]
        if by_invitation:
            with pytest.raises(PermissionDenied) as refused:
                await owner.organizations.set_member("acme", "stranger", "reader")
            assert refused.value.reason == "INVITATION_NEEDED"
            await operator.organizations.set_member("acme", "stranger", "reader")
        else:
            await owner.organizations.set_member("acme", "stranger", "reader")
        # The role of a member is the owners' in both cases.
        await owner.organizations.set_member("acme", "stranger", "member")
        stored = await served.database.get(ORGANIZATION_MEMBER, f"{IDS['acme']}/{IDS['stranger']}")
        assert stored.role == MEMBER
