"""`connect`, and the client that it yields."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sluiceway.api.config.v1 import version_service_pb2, version_service_pb2_grpc
from sluiceway.client.connection import DEFAULT_PATIENCE, DEFAULT_TIMEOUT, Connection
from sluiceway.client.runs import Runs
from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_common.foundation.rpc.address import secure_target
from sluiceway_common.foundation.rpc.channel import open_channel

if TYPE_CHECKING:
    from sluiceway.client.audit import Audit
    from sluiceway.client.configs import Configs
    from sluiceway.client.database import Database
    from sluiceway.client.deliveries import Deliveries
    from sluiceway.client.executors import Executors
    from sluiceway.client.holds import Holds
    from sluiceway.client.identity import Identity
    from sluiceway.client.invitations import Invitations
    from sluiceway.client.logins import Logins
    from sluiceway.client.projects import Organizations, ProjectGroups, Projects, Users
    from sluiceway.client.quotas import Quotas
    from sluiceway.client.remote_sources import LinkedAccounts, RemoteSources
    from sluiceway.client.schedules import Schedules
    from sluiceway.client.secrets import Secrets, Variables
    from sluiceway.client.tokens import Tokens
    from sluiceway.client.webhooks import Webhooks

__all__ = ["Client", "Duration", "connect"]

Duration = timedelta | float
"""A duration; a number is seconds."""


class Client:
    """The API of a server, by area.

    Attributes:
        runs: runs, their tasks and logs.
        holds: tasks whose pod is held after a failed step, and shells in the pods of tasks.
        executors: executors and their groups.
        configs: run configurations.
        database: the database, for operators.
        projects: projects.
        project_groups: project groups.
        organizations: organizations and their members.
        invitations: invitations to organizations.
        identity: what verifies the id tokens of tasks.
        quotas: what users, organizations and projects may have.
        users: users, their passwords and tokens.
        tokens: the tokens of the installation, for operators.
        remote_sources: the git providers of the installation.
        linked_accounts: accounts of users at git providers.
        logins: logins with the account at a git provider.
        deliveries: deliveries of webhooks, and what became of them.
        schedules: the runs of projects at times of a calendar.
        audit: who changed what, and when.
        webhooks: outgoing webhooks of projects and what is above them.
        secrets: the secrets of projects and what is above them, without their values.
        variables: the variables of projects and what is above them.
        connection: the connection that all of them use.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.runs = Runs(connection)

    # Imported when they are used: a command uses one or two, and all together take 40 ms.

    @cached_property
    def executors(self) -> Executors:
        from sluiceway.client.executors import Executors

        return Executors(self.connection)

    @cached_property
    def configs(self) -> Configs:
        from sluiceway.client.configs import Configs

        return Configs(self.connection)

    @cached_property
    def database(self) -> Database:
        from sluiceway.client.database import Database

        return Database(self.connection)

    @cached_property
    def projects(self) -> Projects:
        from sluiceway.client.projects import Projects

        return Projects(self.connection)

    @cached_property
    def project_groups(self) -> ProjectGroups:
        from sluiceway.client.projects import ProjectGroups

        return ProjectGroups(self.connection)

    @cached_property
    def organizations(self) -> Organizations:
        from sluiceway.client.projects import Organizations

        return Organizations(self.connection)

    @cached_property
    def invitations(self) -> Invitations:
        from sluiceway.client.invitations import Invitations

        return Invitations(self.connection)

    @cached_property
    def identity(self) -> Identity:
        from sluiceway.client.identity import Identity

        return Identity(self.connection)

    @cached_property
    def quotas(self) -> Quotas:
        from sluiceway.client.quotas import Quotas

        return Quotas(self.connection)

    @cached_property
    def users(self) -> Users:
        from sluiceway.client.projects import Users

        return Users(self.connection)

    @cached_property
    def tokens(self) -> Tokens:
        from sluiceway.client.tokens import Tokens

        return Tokens(self.connection)

    @cached_property
    def remote_sources(self) -> RemoteSources:
        from sluiceway.client.remote_sources import RemoteSources

        return RemoteSources(self.connection)

    @cached_property
    def linked_accounts(self) -> LinkedAccounts:
        from sluiceway.client.remote_sources import LinkedAccounts

        return LinkedAccounts(self.connection)

    @cached_property
    def logins(self) -> Logins:
        from sluiceway.client.logins import Logins

        return Logins(self.connection)

    @cached_property
    def deliveries(self) -> Deliveries:
        from sluiceway.client.deliveries import Deliveries

        return Deliveries(self.connection)

    @cached_property
    def schedules(self) -> Schedules:
        from sluiceway.client.schedules import Schedules

        return Schedules(self.connection)

    @cached_property
    def holds(self) -> Holds:
        from sluiceway.client.holds import Holds

        return Holds(self.connection)

    @cached_property
    def audit(self) -> Audit:
        from sluiceway.client.audit import Audit

        return Audit(self.connection)

    @cached_property
    def webhooks(self) -> Webhooks:
        from sluiceway.client.webhooks import Webhooks

        return Webhooks(self.connection)

    @cached_property
    def secrets(self) -> Secrets:
        from sluiceway.client.secrets import Secrets

        return Secrets(self.connection)

    @cached_property
    def variables(self) -> Variables:
        from sluiceway.client.secrets import Variables

        return Variables(self.connection)

    async def version(self) -> str:
        """Return the version of the server."""
        return (await self._described()).version

    async def public_url(self) -> str:
        """Return the URL of the gateway as people see it, without a slash at its end; empty: it is not known."""
        return (await self._described()).public_url

    async def _described(self) -> version_service_pb2.GetVersionResponse:
        stub = version_service_pb2_grpc.VersionServiceStub(self.connection.channel)
        return await self.connection.call(stub.GetVersion, version_service_pb2.GetVersionRequest())


@asynccontextmanager
async def connect(
    server: str,
    *,
    token: str | None = None,
    tls: bool = False,
    ca_file: str | Path | None = None,
    insecure: bool = False,
    timeout: Duration = DEFAULT_TIMEOUT,
    patience: Duration = DEFAULT_PATIENCE,
) -> AsyncIterator[Client]:
    """Connect to the gRPC port of a server.

    The connection is made by the first call: that one raises `Unavailable` if the server cannot be reached.

    Args:
        server: `HOST:PORT`; `https://HOST[:PORT]`, which has TLS and 443 as its default port; or a target of gRPC, such
            as `dns:///sluice.example.org:7070` or `unix:/run/sluice.sock`.
        token: of a user; spaces and line breaks around it are ignored. None: only public methods can be called.
        tls: use TLS, and trust the authorities that gRPC trusts.
        ca_file: use TLS, and trust the authorities in this PEM file instead.
        insecure: send the token over a plain connection to another machine.
        timeout: of each unary call.
        patience: how long a stream that broke tries to resume before it raises the error.

    Raises:
        InvalidInput: an argument is invalid; or, with reason `TOKEN_IN_CLEAR`, the token would be sent in clear to
            another machine.
    """
    known = None if token is None else _checked_token(token)
    target, credentials = secure_target(
        server,
        tls=tls,
        ca_file=ca_file,
        insecure=insecure,
        sends_token=known is not None,
        otherwise="insecure=True",
    )
    connection = Connection(
        open_channel(target, token=known, tls=credentials),
        timeout=_checked_duration("timeout", timeout, at_least=timedelta(milliseconds=1)),
        patience=_checked_duration("patience", patience, at_least=timedelta(0)),
    )
    try:
        yield Client(connection)
    finally:
        await connection.close()


def _checked_token(token: str) -> str:
    text = token.strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        message = "it is empty, or has characters that no token has; copy it again"
        raise InvalidInput([Violation("token", message)])
    return text


def _checked_duration(name: str, value: Duration, *, at_least: timedelta) -> timedelta:
    try:
        duration = value if isinstance(value, timedelta) else timedelta(seconds=value)
    except (TypeError, ValueError, OverflowError) as error:
        message = f"it must be a timedelta, or a number of seconds, not {value!r}"
        raise InvalidInput([Violation(name, message)]) from error
    if duration < at_least:
        raise InvalidInput([Violation(name, f"it must be at least {at_least.total_seconds():g} s, not {value!r}")])
    return duration
