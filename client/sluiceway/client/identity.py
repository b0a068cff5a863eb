"""The installation as an identity provider for its tasks."""

from __future__ import annotations

from sluiceway.api.project.v1 import identity_service_pb2 as pb
from sluiceway.api.project.v1 import identity_service_pb2_grpc as pb_grpc
from sluiceway.client.connection import Connection


class Identity:
    """The `IdentityService`. Every method raises the errors that the proto lists."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = pb_grpc.IdentityServiceStub(connection.channel)

    async def get_provider(self) -> pb.GetIdentityProviderResponse:
        """Return the issuer of id tokens, and the public keys that verify them."""
        request = self._connection.request(pb.GetIdentityProviderRequest)
        return await self._connection.call(self._stub.GetIdentityProvider, request)

    async def get_project(self, project: str) -> pb.GetProjectIdentityResponse:
        """Return what id tokens say of a project, which is named by its id or path."""
        request = self._connection.request(pb.GetProjectIdentityRequest, project_id=project)
        return await self._connection.call(self._stub.GetProjectIdentity, request)

    async def rotate_keys(self, *, revoke: bool = False) -> pb.RotateIdentityKeysResponse:
        """Rotate the key that signs id tokens; with `revoke`, tokens that older keys signed become invalid."""
        request = self._connection.request(pb.RotateIdentityKeysRequest, revoke=revoke)
        return await self._connection.call(self._stub.RotateIdentityKeys, request)
