"""Projects, project groups, organizations and users: the tree of an installation, and who may do what in it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sluiceway.api.project.v1 import badge_service_pb2 as badge_pb
from sluiceway.api.project.v1 import badge_service_pb2_grpc as badge_grpc
from sluiceway.api.project.v1 import organization_service_pb2 as organization_pb
from sluiceway.api.project.v1 import organization_service_pb2_grpc as organization_grpc
from sluiceway.api.project.v1 import project_service_pb2 as pb
from sluiceway.api.project.v1 import project_service_pb2_grpc as pb_grpc
from sluiceway.api.project.v1 import user_service_pb2 as user_pb
from sluiceway.api.project.v1 import user_service_pb2_grpc as user_grpc
from sluiceway.client.connection import Connection

__all__ = ["Organizations", "ProjectGroups", "Projects", "Users"]


class Projects:
    """The projects of `ProjectService`. A project is named by its id, or its path such as `org/acme/backend/api`.

    Every method raises the errors that the comments of the proto list.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = pb_grpc.ProjectServiceStub(connection.channel)
        self._badges = badge_grpc.BadgeServiceStub(connection.channel)

    async def create(self, name: str, parent: str, *, visibility: str = "", **settings: Any) -> pb.Project:
        """Create a project below a user, an organization or a project group.

        `visibility` is `public` or `private`; empty: as the parent. `settings` are other fields, such as `concurrency`.
        """
        project = self._connection.request(
            pb.Project, name=name, parent_id=parent, **_visibility(visibility), **settings
        )
        return (await self._connection.call(self._stub.CreateProject, pb.CreateProjectRequest(project=project))).project

    async def get(self, project: str) -> pb.Project:
        """Return a project."""
        request = self._connection.request(pb.GetProjectRequest, project_id=project)
        return (await self._connection.call(self._stub.GetProject, request)).project

    async def list(self, *, parent: str = "") -> Sequence[pb.Project]:
        """List the projects that the caller may see, or the children of a parent among them, by name."""
        request = self._connection.request(pb.ListProjectsRequest, parent_id=parent)
        return await self._connection.list_all(self._stub.ListProjects, request, "projects")

    async def update(self, project: str, *, etag: str = "", visibility: str = "", **fields: Any) -> pb.Project:
        """Change fields of a project, such as `name`. Another `parent_id` moves it. `etag`: must be stored."""
        changes = _visibility(visibility) | fields
        changed = self._connection.request(pb.Project, id=project, etag=etag, **changes)
        request = pb.UpdateProjectRequest(project=changed, update_mask={"paths": list(changes)})
        return (await self._connection.call(self._stub.UpdateProject, request)).project

    async def delete(self, project: str, *, etag: str = "") -> None:
        """Delete a project with everything below it; its runs are stopped."""
        request = self._connection.request(pb.DeleteProjectRequest, project_id=project, etag=etag)
        await self._connection.call(self._stub.DeleteProject, request)

    async def create_badge_token(self, project: str) -> str:
        """Return a new token with which everybody may see the badges of a private project."""
        request = self._connection.request(badge_pb.CreateBadgeTokenRequest, project_id=project)
        return (await self._connection.call(self._badges.CreateBadgeToken, request)).token

    async def delete_badge_token(self, project: str) -> None:
        """Delete the token of a project's badges."""
        request = self._connection.request(badge_pb.DeleteBadgeTokenRequest, project_id=project)
        await self._connection.call(self._badges.DeleteBadgeToken, request)


class ProjectGroups:
    """The project groups of `ProjectService`. A group is named by its id, or its path such as `org/acme/backend`.

    Every method raises the errors that the comments of the proto list.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = pb_grpc.ProjectServiceStub(connection.channel)

    async def create(self, name: str, parent: str, *, visibility: str = "") -> pb.ProjectGroup:
        """Create a group below a user, an organization or a project group. `visibility` is as that of a project."""
        group = self._connection.request(pb.ProjectGroup, name=name, parent_id=parent, **_visibility(visibility))
        request = pb.CreateProjectGroupRequest(project_group=group)
        return (await self._connection.call(self._stub.CreateProjectGroup, request)).project_group

    async def get(self, group: str) -> pb.ProjectGroup:
        """Return a group."""
        request = self._connection.request(pb.GetProjectGroupRequest, project_group_id=group)
        return (await self._connection.call(self._stub.GetProjectGroup, request)).project_group

    async def list(self, *, parent: str = "") -> Sequence[pb.ProjectGroup]:
        """List the groups that the caller may see, or the children of a parent among them, by name."""
        request = self._connection.request(pb.ListProjectGroupsRequest, parent_id=parent)
        return await self._connection.list_all(self._stub.ListProjectGroups, request, "project_groups")

    async def update(self, group: str, *, etag: str = "", visibility: str = "", **fields: Any) -> pb.ProjectGroup:
        """Change fields of a group, such as `name`. Another `parent_id` moves it with all below it."""
        changes = _visibility(visibility) | fields
        changed = self._connection.request(pb.ProjectGroup, id=group, etag=etag, **changes)
        request = pb.UpdateProjectGroupRequest(project_group=changed, update_mask={"paths": list(changes)})
        return (await self._connection.call(self._stub.UpdateProjectGroup, request)).project_group

    async def delete(self, group: str, *, etag: str = "") -> None:
        """Delete a group with everything below it; the runs there are stopped."""
        request = self._connection.request(pb.DeleteProjectGroupRequest, project_group_id=group, etag=etag)
        await self._connection.call(self._stub.DeleteProjectGroup, request)


class Organizations:
    """The `OrganizationService`. An organization is named by its id, its name, or its path `org/NAME`.

    Every method raises the errors that the comments of the proto list.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = organization_grpc.OrganizationServiceStub(connection.channel)

    async def create(self, name: str, *, visibility: str = "") -> organization_pb.Organization:
        """Create an organization, which the caller owns. `visibility` is `public` or `private`; empty: private."""
        wanted = self._connection.request(organization_pb.Organization, name=name, **_visibility(visibility))
        request = organization_pb.CreateOrganizationRequest(organization=wanted)
        return (await self._connection.call(self._stub.CreateOrganization, request)).organization

    async def get(self, organization: str) -> organization_pb.Organization:
        """Return an organization."""
        request = self._connection.request(organization_pb.GetOrganizationRequest, organization_id=organization)
        return (await self._connection.call(self._stub.GetOrganization, request)).organization

    async def list(self) -> Sequence[organization_pb.Organization]:
        """List the organizations that the caller may see, by name."""
        request = self._connection.request(organization_pb.ListOrganizationsRequest)
        return await self._connection.list_all(self._stub.ListOrganizations, request, "organizations")

    async def update(
        self, organization: str, *, etag: str = "", visibility: str = "", **fields: Any
    ) -> organization_pb.Organization:
        """Change the name or the visibility of an organization. An `etag` must be the stored one."""
        changes = _visibility(visibility) | fields
        changed = self._connection.request(organization_pb.Organization, id=organization, etag=etag, **changes)
        request = organization_pb.UpdateOrganizationRequest(organization=changed, update_mask={"paths": list(changes)})
        return (await self._connection.call(self._stub.UpdateOrganization, request)).organization

    async def delete(self, organization: str, *, etag: str = "") -> None:
        """Delete an organization with everything below it; the runs there are stopped."""
        request = self._connection.request(
            organization_pb.DeleteOrganizationRequest, organization_id=organization, etag=etag
        )
        await self._connection.call(self._stub.DeleteOrganization, request)

    async def members(self, organization: str) -> Sequence[organization_pb.OrganizationMember]:
        """List the members, by name."""
        request = self._connection.request(organization_pb.ListOrganizationMembersRequest, organization_id=organization)
        return await self._connection.list_all(self._stub.ListOrganizationMembers, request, "members")

    async def set_member(self, organization: str, user: str, role: str) -> None:
        """Set the role of a user: `owner`, `member` or `reader`."""
        request = self._connection.request(
            organization_pb.SetOrganizationMemberRequest,
            organization_id=organization,
            user_id=user,
            role=f"ORGANIZATION_ROLE_{role.upper()}",
        )
        await self._connection.call(self._stub.SetOrganizationMember, request)

    async def remove_member(self, organization: str, user: str) -> None:
        """Remove a user from an organization."""
        request = self._connection.request(
            organization_pb.RemoveOrganizationMemberRequest, organization_id=organization, user_id=user
        )
        await self._connection.call(self._stub.RemoveOrganizationMember, request)


class Users:
    """The `UserService`. A user is named by id or name. Every method raises the errors that the proto lists."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = user_grpc.UserServiceStub(connection.channel)

    async def create(self, name: str, *, operator: bool = False) -> user_pb.User:
        """Create a user: for operators."""
        request = user_pb.CreateUserRequest(user=self._connection.request(user_pb.User, name=name, operator=operator))
        return (await self._connection.call(self._stub.CreateUser, request)).user

    async def get(self, user: str) -> user_pb.User:
        """Return a user."""
        request = self._connection.request(user_pb.GetUserRequest, user_id=user)
        return (await self._connection.call(self._stub.GetUser, request)).user

    async def list(self) -> Sequence[user_pb.User]:
        """List the users, by name."""
        request = self._connection.request(user_pb.ListUsersRequest)
        return await self._connection.list_all(self._stub.ListUsers, request, "users")

    async def update(self, user: str, *, etag: str = "", **fields: Any) -> user_pb.User:
        """Change `name`, or as an operator `operator` and `disabled`. An `etag` must be the stored one."""
        changed = self._connection.request(user_pb.User, id=user, etag=etag, **fields)
        request = user_pb.UpdateUserRequest(user=changed, update_mask={"paths": list(fields)})
        return (await self._connection.call(self._stub.UpdateUser, request)).user

    async def delete(self, user: str, *, etag: str = "") -> None:
        """Delete a user with tokens and projects: for operators."""
        request = self._connection.request(user_pb.DeleteUserRequest, user_id=user, etag=etag)
        await self._connection.call(self._stub.DeleteUser, request)

    async def set_password(self, user: str, password: str, *, current: str = "", keep_tokens: bool = False) -> None:
        """Set the password of a user. Users give the current one, if there is one; operators need not.

        If there was one, all sessions of the user end, and without `keep_tokens` all tokens too, but that of the call.
        """
        request = self._connection.request(
            user_pb.SetUserPasswordRequest,
            user_id=user,
            password=password,
            current_password=current,
            keep_tokens=keep_tokens,
        )
        await self._connection.call(self._stub.SetUserPassword, request)

    async def log_in(self, name: str, password: str, *, expire: datetime | None = None) -> tuple[user_pb.User, str]:
        """Return a user and a new token of it, for the right password. The client needs no token for this."""
        request = self._connection.request(user_pb.LogInRequest, user_name=name, password=password, expire_time=expire)
        response = await self._connection.call(self._stub.LogIn, request)
        return response.user, response.token

    async def begin_session(self, *, expire: datetime | None = None) -> tuple[str, datetime]:
        """Return a new token that is valid while that of the client is, a day by default, and when it expires."""
        request = self._connection.request(user_pb.BeginSessionRequest, expire_time=expire)
        response = await self._connection.call(self._stub.BeginSession, request)
        return response.token, response.expire_time.ToDatetime(tzinfo=UTC)

    async def tokens(self, user: str) -> Sequence[user_pb.UserToken]:
        """List the valid tokens of a user with the sessions, by name."""
        found: list[user_pb.UserToken] = []
        token = ""
        while True:
            request = self._connection.request(user_pb.ListUserTokensRequest, user_id=user, page_token=token)
            page = await self._connection.call(self._stub.ListUserTokens, request)
            found.extend(page.tokens)
            token = page.next_page_token
            if not token:
                return found

    async def create_token(
        self, user: str, name: str, *, scopes: Sequence[str] = (), expire: datetime | None = None
    ) -> str:
        """Create a token of a user and return its text, which cannot be read again. No scopes: those of the caller."""
        request = self._connection.request(
            user_pb.CreateUserTokenRequest, user_id=user, token_name=name, scopes=scopes, expire_time=expire
        )
        return (await self._connection.call(self._stub.CreateUserToken, request)).token

    async def revoke_token(self, user: str, name: str) -> None:
        """Revoke a token of a user at once."""
        request = self._connection.request(user_pb.RevokeUserTokenRequest, user_id=user, token_name=name)
        await self._connection.call(self._stub.RevokeUserToken, request)


def _visibility(word: str) -> dict[str, Any]:
    return {"visibility": f"VISIBILITY_{word.upper()}"} if word else {}
