"""The services of the project side on a fake database, with a small tree and callers of each role."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from argon2 import PasswordHasher

from sluiceway.api.project.v1 import (
    audit_service_pb2_grpc,
    invitation_service_pb2_grpc,
    organization_service_pb2,
    organization_service_pb2_grpc,
    project_service_pb2_grpc,
    quota_service_pb2_grpc,
    secret_service_pb2_grpc,
    token_service_pb2_grpc,
    user_service_pb2_grpc,
    variable_service_pb2_grpc,
)
from sluiceway.api.project.v1.visibility_pb2 import VISIBILITY_PRIVATE, VISIBILITY_PUBLIC
from sluiceway.client import Client, connect
from sluiceway.records.project.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import SystemClock, UuidSource
from sluiceway_common.foundation.rpc.caller import CallerKind
from sluiceway_common.foundation.rpc.offer import ServiceSet
from sluiceway_common.foundation.rpc.server import RpcServer
from sluiceway_server.app.quota_service import QuotaServicer
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.datamanager.model import Action, Put
from sluiceway_server.projects.audit_service import AuditServicer
from sluiceway_server.projects.envelope import KEY_BYTES, Envelope, MasterKeys
from sluiceway_server.projects.guard import TREE_RESOURCES, Guard
from sluiceway_server.projects.invitation_service import InvitationServicer
from sluiceway_server.projects.organization_service import OrganizationServicer
from sluiceway_server.projects.passwords import Passwords
from sluiceway_server.projects.project_service import ProjectServicer
from sluiceway_server.projects.records import (
    ORGANIZATION,
    ORGANIZATION_MEMBER,
    PROJECT,
    PROJECT_GROUP,
    USER,
    member_id,
)
from sluiceway_server.projects.secret_service import SecretServicer
from sluiceway_server.projects.token_service import TokenServicer
from sluiceway_server.projects.tokens import TokenAuthenticator, TokenSpec, make_token
from sluiceway_server.projects.user_service import UserServicer
from sluiceway_server.projects.variable_service import VariableServicer
from tests.fakes.database import FakeDatabase

__all__ = ["CALLERS", "IDS", "ServedProjects", "served_projects", "tree_actions"]


def _uuid(number: int) -> str:
    return f"01a22c3c-2f37-7681-b7d7-{number:012x}"


IDS: Mapping[str, str] = {
    name: _uuid(number)
    for number, name in enumerate(
        (
            "owner", "member", "reader", "stranger", "acme", "hidden", "public-group", "private-group",
            "public-project", "private-project", "below-private", "own-project", "hidden-project", "outsider",
        ),
        start=1,
    )
}  # fmt: skip
"""The ids of the tree, by name. `acme` is public with a public and a private group; `hidden` is private, and nobody of
the callers but the operator may see it."""

CALLERS = ("nobody", "stranger", "reader", "member", "owner", "operator", "executor")


def tree_actions() -> list[Action]:
    """Make the tree."""
    ids, roles = IDS, organization_service_pb2
    people = ("owner", "member", "reader", "stranger", "outsider")
    actions: list[Action] = [Put(USER, ids[name], pb.User(name=name)) for name in people]
    actions += [
        Put(ORGANIZATION, ids["acme"], pb.Organization(name="acme", visibility=VISIBILITY_PUBLIC)),
        Put(ORGANIZATION, ids["hidden"], pb.Organization(name="hidden", visibility=VISIBILITY_PRIVATE)),
    ]
    for name, role, organization in (
        ("owner", roles.ORGANIZATION_ROLE_OWNER, "acme"),
        ("member", roles.ORGANIZATION_ROLE_MEMBER, "acme"),
        ("reader", roles.ORGANIZATION_ROLE_READER, "acme"),
        ("outsider", roles.ORGANIZATION_ROLE_OWNER, "hidden"),
    ):
        member = pb.OrganizationMember(organization_id=ids[organization], user_id=ids[name], role=role)
        actions.append(Put(ORGANIZATION_MEMBER, member_id(ids[organization], ids[name]), member))
    for name, parent, visibility in (
        ("public-group", "acme", VISIBILITY_PUBLIC),
        ("private-group", "acme", VISIBILITY_PRIVATE),
    ):
        group = pb.ProjectGroup(name=name, parent_id=ids[parent], visibility=visibility)
        actions.append(Put(PROJECT_GROUP, ids[name], group))
    for name, parent, visibility in (
        ("public-project", "public-group", VISIBILITY_PUBLIC),
        ("private-project", "public-group", VISIBILITY_PRIVATE),
        ("below-private", "private-group", VISIBILITY_PUBLIC),
        ("own-project", "owner", VISIBILITY_PRIVATE),
        ("hidden-project", "hidden", VISIBILITY_PUBLIC),
    ):
        project = pb.Project(name=name, parent_id=ids[parent], visibility=visibility)
        actions.append(Put(PROJECT, ids[name], project))
    return actions


@dataclass
class ServedProjects:
    """The services, and a client for each caller.

    Attributes:
        database: below them.
        address: of their port.
        clients: by caller.
        tokens: by caller; `nobody` has none.
    """

    database: FakeDatabase
    address: str
    clients: Mapping[str, Client]
    tokens: Mapping[str, str]

    async def call(self, caller: str, stub: Any, method: str, request: Any) -> Any:
        """Call a method of a stub as a caller."""
        connection = self.clients[caller].connection
        return await connection.call(getattr(stub(connection.channel), method), request)


@asynccontextmanager
async def served_projects(
    actions: list[Action] | None = None, envelope: Envelope | None = None, *, members_by_invitation: bool = False
) -> AsyncIterator[ServedProjects]:
    """Serve the project side on a new database with the tree, and secrets under a master key of tests."""
    database, clock, ids = FakeDatabase(RECORD_TYPES), SystemClock(), UuidSource()
    await database.commit(tree_actions() if actions is None else actions)
    tokens: dict[str, str] = {}
    for name in CALLERS:
        kind = {"operator": CallerKind.OPERATOR, "executor": CallerKind.EXECUTOR}.get(name, CallerKind.USER)
        group = "default" if kind is CallerKind.EXECUTOR else ""
        user_id = "" if group else IDS.get(name, "admin")
        if name != "nobody":
            spec = TokenSpec(kind, name, user_id=user_id, group=group, scopes=frozenset({"*"}))
            tokens[name] = await make_token(database, spec)
    offer = ServiceSet(TokenAuthenticator(database), Guard(database, TREE_RESOURCES))
    offer.add(
        token_service_pb2_grpc.add_TokenServiceServicer_to_server,
        TokenServicer(database, clock=clock, ids=UuidSource(), scopes=lambda: offer.scopes),
    )
    offer.add(
        organization_service_pb2_grpc.add_OrganizationServiceServicer_to_server,
        OrganizationServicer(database, clock=clock, ids=ids, members_by_invitation=members_by_invitation),
    )
    offer.add(quota_service_pb2_grpc.add_QuotaServiceServicer_to_server, QuotaServicer(database, clock=clock, ids=ids))
    offer.add(
        invitation_service_pb2_grpc.add_InvitationServiceServicer_to_server,
        InvitationServicer(database, clock=clock, ids=ids),
    )
    offer.add(
        user_service_pb2_grpc.add_UserServiceServicer_to_server,
        UserServicer(
            database,
            clock=clock,
            ids=ids,
            passwords=Passwords(clock, hasher=PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)),
            scopes=lambda: offer.scopes,
        ),
    )
    offer.add(
        project_service_pb2_grpc.add_ProjectServiceServicer_to_server,
        ProjectServicer(database, clock=clock, ids=ids),
    )
    offer.add(audit_service_pb2_grpc.add_AuditServiceServicer_to_server, AuditServicer(database))
    offer.add(
        secret_service_pb2_grpc.add_SecretServiceServicer_to_server,
        SecretServicer(database, envelope or Envelope(MasterKeys([bytes(KEY_BYTES)])), clock=clock, ids=ids),
    )
    offer.add(
        variable_service_pb2_grpc.add_VariableServiceServicer_to_server,
        VariableServicer(database, clock=clock, ids=ids),
    )
    rpc = RpcServer()
    await rpc.serve(offer)
    address = f"127.0.0.1:{await rpc.start('127.0.0.1:0')}"
    async with AsyncExitStack() as stack:
        stack.push_async_callback(rpc.drain, timedelta(0))
        clients = {name: await stack.enter_async_context(connect(address, token=tokens.get(name))) for name in CALLERS}
        yield ServedProjects(database, address, clients, tokens)
