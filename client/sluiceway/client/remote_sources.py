"""Remote sources and linked accounts: the git providers of an installation, and who is who there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sluiceway.api.project.v1 import linked_account_service_pb2 as account_pb
from sluiceway.api.project.v1 import linked_account_service_pb2_grpc as account_grpc
from sluiceway.api.project.v1 import remote_source_service_pb2 as pb
from sluiceway.api.project.v1 import remote_source_service_pb2_grpc as pb_grpc
from sluiceway.client.connection import Connection

__all__ = ["LinkedAccounts", "RemoteSources"]


class RemoteSources:
    """The `RemoteSourceService`. Every method raises the errors that the comments of the proto list."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = pb_grpc.RemoteSourceServiceStub(connection.channel)

    async def create(
        self,
        name: str,
        type_: str,
        api_url: str,
        *,
        oauth2_client_id: str = "",
        oauth2_client_secret: str = "",
        ssh_host_key: str = "",
        login_allowed: bool = False,
        registration_allowed: bool = False,
    ) -> pb.RemoteSource:
        """Create a remote source. `type_` is `gitea`, `github` or `gitlab`."""
        source = self._connection.request(
            pb.RemoteSource,
            name=name,
            type=type_,
            api_url=api_url,
            oauth2_client_id=oauth2_client_id,
            oauth2_client_secret=oauth2_client_secret,
            ssh_host_key=ssh_host_key,
            login_allowed=login_allowed,
            registration_allowed=registration_allowed,
        )
        request = pb.CreateRemoteSourceRequest(remote_source=source)
        return (await self._connection.call(self._stub.CreateRemoteSource, request)).remote_source

    async def get(self, remote_source: str) -> pb.RemoteSource:
        """Return a remote source by its id or its name."""
        request = self._connection.request(pb.GetRemoteSourceRequest, remote_source_id=remote_source)
        return (await self._connection.call(self._stub.GetRemoteSource, request)).remote_source

    async def list(self) -> Sequence[pb.RemoteSource]:
        """List the remote sources, by name."""
        request = self._connection.request(pb.ListRemoteSourcesRequest)
        return await self._connection.list_all(self._stub.ListRemoteSources, request, "remote_sources")

    async def update(self, remote_source: str, *, etag: str = "", **fields: Any) -> pb.RemoteSource:
        """Change fields of a remote source, such as `api_url`; empty texts too. An `etag` must be the stored one."""
        changed = self._connection.request(pb.RemoteSource, id=remote_source, etag=etag, **fields)
        request = pb.UpdateRemoteSourceRequest(remote_source=changed)
        request.update_mask.paths.extend(fields)
        return (await self._connection.call(self._stub.UpdateRemoteSource, request)).remote_source

    async def delete(self, remote_source: str, *, etag: str = "") -> None:
        """Delete a remote source, by its id or its name."""
        request = self._connection.request(pb.DeleteRemoteSourceRequest, remote_source_id=remote_source, etag=etag)
        await self._connection.call(self._stub.DeleteRemoteSource, request)


class LinkedAccounts:
    """The `LinkedAccountService`. A user is an id, a name, or `me`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = account_grpc.LinkedAccountServiceStub(connection.channel)

    async def create(self, remote_source: str, access_token: str, *, user: str = "me") -> account_pb.LinkedAccount:
        """Link an account at a remote source, whose access token it is."""
        account = self._connection.request(
            account_pb.LinkedAccount, remote_source_id=remote_source, access_token=access_token
        )
        request = account_pb.CreateLinkedAccountRequest(user_id=user, linked_account=account)
        return (await self._connection.call(self._stub.CreateLinkedAccount, request)).linked_account

    async def list(self, *, user: str = "me") -> Sequence[account_pb.LinkedAccount]:
        """List the linked accounts of a user."""
        request = self._connection.request(account_pb.ListLinkedAccountsRequest, user_id=user)
        return (await self._connection.call(self._stub.ListLinkedAccounts, request)).linked_accounts

    async def delete(self, linked_account: str, *, user: str = "me") -> None:
        """Remove a linked account, by its id."""
        request = self._connection.request(
            account_pb.DeleteLinkedAccountRequest, user_id=user, linked_account_id=linked_account
        )
        await self._connection.call(self._stub.DeleteLinkedAccount, request)
