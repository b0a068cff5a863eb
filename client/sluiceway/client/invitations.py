"""Invitations to organizations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sluiceway.api.project.v1 import invitation_service_pb2 as pb
from sluiceway.api.project.v1 import invitation_service_pb2_grpc as pb_grpc
from sluiceway.api.project.v1 import organization_service_pb2 as organization_pb
from sluiceway.client.connection import Connection


class Invitations:
    """The `InvitationService`. Every method raises the errors that the comments of the proto list."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = pb_grpc.InvitationServiceStub(connection.channel)

    async def create(
        self, organization: str, role: str, *, user: str = "", expire: datetime | None = None
    ) -> tuple[pb.Invitation, str]:
        """Invite a user, or whoever has the code that is returned: empty if it is for a user.

        Args:
            organization: its id, name or path.
            role: `owner`, `member` or `reader`.
            user: an id or a name; empty: whoever has the code.
            expire: when it expires; None: in 7 days.
        """
        invitation = self._connection.request(
            pb.Invitation, role=f"ORGANIZATION_ROLE_{role.upper()}", user_id=user, expire_time=expire
        )
        request = pb.CreateInvitationRequest(organization_id=organization, invitation=invitation)
        response = await self._connection.call(self._stub.CreateInvitation, request)
        return response.invitation, response.code

    async def list(self, organization: str) -> Sequence[pb.Invitation]:
        """List the invitations to an organization, the oldest first."""
        request = self._connection.request(pb.ListInvitationsRequest, organization_id=organization)
        return (await self._connection.call(self._stub.ListInvitations, request)).invitations

    async def received(self) -> Sequence[pb.Invitation]:
        """List the invitations of the caller, the oldest first."""
        response = await self._connection.call(self._stub.ListReceivedInvitations, pb.ListReceivedInvitationsRequest())
        return response.invitations

    async def delete(self, organization: str, invitation: str) -> None:
        """Delete an invitation. Its code is worthless at once."""
        request = self._connection.request(
            pb.DeleteInvitationRequest, organization_id=organization, invitation_id=invitation
        )
        await self._connection.call(self._stub.DeleteInvitation, request)

    async def accept(
        self, *, invitation: str = "", code: str = ""
    ) -> tuple[organization_pb.Organization, organization_pb.OrganizationRole]:
        """Accept an invitation by its id, or by a code; return the organization, and the role there."""
        request = self._connection.request(pb.AcceptInvitationRequest, invitation_id=invitation, code=code)
        response = await self._connection.call(self._stub.AcceptInvitation, request)
        return response.organization, response.role

    async def decline(self, *, invitation: str = "", code: str = "") -> None:
        """Decline an invitation by its id, or by a code. It ends."""
        request = self._connection.request(pb.DeclineInvitationRequest, invitation_id=invitation, code=code)
        await self._connection.call(self._stub.DeclineInvitation, request)
