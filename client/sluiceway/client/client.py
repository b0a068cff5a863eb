"""`connect`, and the client that it yields."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from sluiceway.api.config.v1 import version_service_pb2, version_service_pb2_grpc
from sluiceway.client.configs import Configs
from sluiceway.client.connection import DEFAULT_PATIENCE, DEFAULT_TIMEOUT, Connection
from sluiceway.client.database import Database
from sluiceway.client.deliveries import Deliveries
from sluiceway.client.executors import Executors
from sluiceway.client.projects import Organizations, ProjectGroups, Projects, Users
from sluiceway.client.remote_sources import LinkedAccounts, RemoteSources
from sluiceway.client.runs import Runs
from sluiceway.client.schedules import Schedules
from sluiceway.client.secrets import Secrets, Variables
from sluiceway.client.tokens import Tokens
from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_common.foundation.rpc.address import secure_target
from sluiceway_common.foundation.rpc.channel import open_channel

__all__ = ["Client", "Duration", "connect"]

Duration = timedelta | float
"""A duration; a number is seconds."""


class Client:
    """The API of a server, by area.

    Attributes:
        runs: runs, their tasks and logs.
        executors: executors and their groups.
        configs: run configurations.
        database: the database, for operators.
        projects: projects.
        project_groups: project groups.
        organizations: organizations and their members.
        users: users, their passwords and tokens.
        tokens: the tokens of the installation, for operators.
        remote_sources: the git providers of the installation.
        linked_accounts: accounts of users at git providers.
        deliveries: deliveries of webhooks, and what became of them.
        schedules: the runs of projects at times of a calendar.
        secrets: the secrets of projects and what is above them, without their values.
        variables: the variables of projects and what is above them.
        connection: the connection that all of them use.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.runs = Runs(connection)
        self.executors = Executors(connection)
        self.configs = Configs(connection)
        self.database = Database(connection)
        self.projects = Projects(connection)
        self.project_groups = ProjectGroups(connection)
        self.organizations = Organizations(connection)
        self.users = Users(connection)
        self.tokens = Tokens(connection)
        self.remote_sources = RemoteSources(connection)
        self.linked_accounts = LinkedAccounts(connection)
        self.deliveries = Deliveries(connection)
        self.schedules = Schedules(connection)
        self.secrets = Secrets(connection)
        self.variables = Variables(connection)

    async def version(self) -> str:
        """Return the version of the server."""
        stub = version_service_pb2_grpc.VersionServiceStub(self.connection.channel)
        response = await self.connection.call(stub.GetVersion, version_service_pb2.GetVersionRequest())
        return response.version


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
