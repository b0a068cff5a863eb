"""The record types of users, organizations, projects and tokens: their columns and indexes.

The tree of projects is stored as the id of each node's parent: `tree.py` reads it. A node is deleted together with all
below it by a tombstone (`datamanager.replica.deleted_subtrees`), so each type names what it is under.
"""

from __future__ import annotations

from typing import Any

from sluiceway.records.project.v1 import records_pb2 as pb
from sluiceway_server.datamanager.model import Column, RecordType, Under
from sluiceway_server.projects.names import key_of

__all__ = [
    "AUDIT_RECORD",
    "CREATION_REQUEST",
    "FIRST_TOKENS",
    "FIRST_TOKENS_ID",
    "IDENTITY_KEY",
    "ORGANIZATION",
    "ORGANIZATION_MEMBER",
    "PROJECT",
    "PROJECT_GROUP",
    "RECORD_TYPES",
    "TOKEN",
    "UNDER_PARENT",
    "USED_AUTHORIZATION",
    "USER",
    "member_id",
    "repository_key",
]


def _kind(token: pb.Token) -> str:
    # A newer version may know more kinds; what a column is made of must never stop a server.
    return pb.TokenKind.Name(token.kind) if token.kind in pb.TokenKind.values() else str(int(token.kind))


TOKEN: RecordType[pb.Token] = RecordType(
    name="token",
    message=pb.Token,
    columns=(
        Column("kind", _kind),
        Column("user_id", lambda token: token.user_id or None),
        Column("group", lambda token: token.group or None),
        Column("name", lambda token: token.name),
        Column("session", lambda token: 1 if token.is_session else None),
        # When a session ends: it is deleted some time after that.
        Column("end", lambda token: token.expire_time.seconds),
    ),
    indexes=(("kind", "name"), ("user_id", "name"), ("group", "name"), ("session", "end")),
    sparse=("session",),
    under=(Under("user", "user_id"),),
)

FIRST_TOKENS: RecordType[pb.FirstTokens] = RecordType("first_tokens", pb.FirstTokens)
FIRST_TOKENS_ID = "first"

USER: RecordType[pb.User] = RecordType(
    "user",
    pb.User,
    columns=(
        Column("key", lambda user: key_of(user.name)),
        # Whether somebody can log in with a password is asked before each login: one row answers.
        Column("has_password", lambda user: 1 if user.password_hash and not user.disabled else None),
    ),
    indexes=(("key",), ("has_password",)),
    sparse=("has_password",),
)
ORGANIZATION: RecordType[pb.Organization] = RecordType(
    "organization",
    pb.Organization,
    columns=(Column("key", lambda organization: key_of(organization.name)),),
    indexes=(("key",),),
)
ORGANIZATION_MEMBER: RecordType[pb.OrganizationMember] = RecordType(
    "organization_member",
    pb.OrganizationMember,
    columns=(
        Column("organization_id", lambda member: member.organization_id),
        Column("user_id", lambda member: member.user_id),
        Column("role", lambda member: int(member.role)),
    ),
    indexes=(("organization_id", "role"), ("user_id",)),
    under=(Under("organization", "organization_id"), Under("user", "user_id")),
)

INVITATION: RecordType[pb.Invitation] = RecordType(
    "invitation",
    pb.Invitation,
    columns=(
        Column("organization_id", lambda invitation: invitation.organization_id),
        Column("user_id", lambda invitation: invitation.user_id),
        Column("end", lambda invitation: invitation.expire_time.seconds),
    ),
    indexes=(("organization_id",), ("user_id",), ("end",)),
    under=(Under("organization", "organization_id"), Under("user", "user_id")),
)

UNDER_PARENT = (
    Under("user", "parent_id"),
    Under("organization", "parent_id"),
    Under("project_group", "parent_id"),
)
"""What a record is under whose column `parent_id` has the id of a user, an organization or a project group."""

PROJECT_GROUP: RecordType[pb.ProjectGroup] = RecordType(
    "project_group",
    pb.ProjectGroup,
    columns=(
        Column("parent_id", lambda group: group.parent_id),
        Column("key", lambda group: key_of(group.name)),
    ),
    indexes=(("parent_id", "key"), ("key",)),
    under=UNDER_PARENT,
)
PROJECT: RecordType[pb.Project] = RecordType(
    "project",
    pb.Project,
    columns=(
        Column("parent_id", lambda project: project.parent_id),
        Column("key", lambda project: key_of(project.name)),
        # Webhooks find their projects by it. Two projects may have one repository.
        Column("repository", lambda project: repository_key(project.remote_source_id, project.repository_id)),
        Column("remote_source_id", lambda project: project.remote_source_id or None),
        # The sweep of the retention reads these only.
        Column("has_retention", lambda project: 1 if project.HasField("retention") else None),
    ),
    indexes=(("parent_id", "key"), ("key",), ("repository",), ("remote_source_id",), ("has_retention",)),
    sparse=("repository", "remote_source_id", "has_retention"),
    under=UNDER_PARENT,
)


QUOTA: RecordType[pb.Quota] = RecordType(
    "quota",
    pb.Quota,
    columns=(Column("parent_id", lambda quota: quota.parent_id),),
    indexes=(("parent_id",),),
    under=(*UNDER_PARENT, Under("project", "parent_id")),
)
CREATION_REQUEST: RecordType[pb.CreationRequest] = RecordType(
    "creation_request",
    pb.CreationRequest,
    columns=(Column("time", lambda request: request.time.seconds),),
    indexes=(("time",),),
)
AUDIT_RECORD: RecordType[pb.AuditRecord] = RecordType(
    "audit_record",
    pb.AuditRecord,
    columns=(
        Column("time", lambda record: record.time.seconds),
        Column("caller_id", lambda record: record.caller_id),
        Column("resource_id", lambda record: record.resource_id),
        # Records of earlier versions have none.
        Column("root_id", lambda record: record.root_id),
        Column("resource_type", lambda record: record.resource_type),
        Column("method", lambda record: record.method),
    ),
    indexes=(("time",), ("caller_id", "time"), ("resource_id", "time"), ("root_id", "time")),
)
"""Its id is a UUIDv7."""

USED_AUTHORIZATION: RecordType[pb.UsedAuthorization] = RecordType(
    "used_authorization",
    pb.UsedAuthorization,
    columns=(Column("time", lambda used: used.time.seconds),),
    indexes=(("time",),),
)

DEVICE_LOGIN: RecordType[pb.DeviceLogin] = RecordType(
    "device_login",
    pb.DeviceLogin,
    columns=(
        Column("time", lambda login: login.time.seconds),
        Column("user_code", lambda login: login.user_code),
    ),
    indexes=(("time",), ("user_code",)),
)

IDENTITY_KEY: RecordType[pb.IdentityKey] = RecordType("identity_key", pb.IdentityKey)
"""Its id is the key's thumbprint (RFC 7638). There are three at most, but for rotations by hand."""


def member_id(organization_id: str, user_id: str) -> str:
    """Return the id of the record of a member."""
    return f"{organization_id}/{user_id}"


def repository_key(remote_source_id: str, repository_id: str) -> str | None:
    """Return the value of the column `repository`; None: the project has no remote repository."""
    return f"{remote_source_id}/{repository_id}" if remote_source_id and repository_id else None


RECORD_TYPES: tuple[RecordType[Any], ...] = (
    TOKEN,
    FIRST_TOKENS,
    USER,
    ORGANIZATION,
    ORGANIZATION_MEMBER,
    INVITATION,
    PROJECT_GROUP,
    PROJECT,
    QUOTA,
    CREATION_REQUEST,
    AUDIT_RECORD,
    USED_AUTHORIZATION,
    DEVICE_LOGIN,
    IDENTITY_KEY,
)
