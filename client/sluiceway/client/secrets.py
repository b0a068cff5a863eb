"""Secrets and variables: what runs of projects get, and nobody can read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from sluiceway.api.project.v1 import secret_service_pb2 as secret_pb
from sluiceway.api.project.v1 import secret_service_pb2_grpc as secret_grpc
from sluiceway.api.project.v1 import variable_service_pb2 as variable_pb
from sluiceway.api.project.v1 import variable_service_pb2_grpc as variable_grpc
from sluiceway.client.connection import Connection
from sluiceway_common.foundation.errors import InvalidInput

__all__ = ["Secrets", "Values", "Variables"]

Values: TypeAlias = Mapping[str, bytes | str]
"""The values of a secret by key; text is sent in UTF-8."""


class Secrets:
    """The `SecretService`. A secret is named by its id, or by the path of its parent and its name (`org/acme/npm`).

    Every method raises the errors that the comments of the proto list. None returns a value.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = secret_grpc.SecretServiceStub(connection.channel)

    async def create(self, name: str, parent: str, values: Values) -> secret_pb.Secret:
        """Create a secret of a user, organization, project group or project, with values by key."""
        secret = self._connection.request(secret_pb.Secret, name=name, parent_id=parent, values=_bytes(values))
        request = secret_pb.CreateSecretRequest(secret=secret)
        return (await self._connection.call(self._stub.CreateSecret, request)).secret

    async def get(self, secret: str) -> secret_pb.Secret:
        """Return a secret: the keys of its values, and its version."""
        request = self._connection.request(secret_pb.GetSecretRequest, secret_id=secret)
        return (await self._connection.call(self._stub.GetSecret, request)).secret

    async def list(self, *, parent: str = "") -> Sequence[secret_pb.Secret]:
        """List the secrets that you may see, by name; with `parent` those that belong to it."""
        request = self._connection.request(secret_pb.ListSecretsRequest, parent_id=parent)
        return await self._connection.list_all(self._stub.ListSecrets, request, "secrets")

    async def update(
        self,
        secret: str,
        *,
        set_values: Values | None = None,
        delete_keys: Iterable[str] = (),
        name: str = "",
        etag: str = "",
    ) -> secret_pb.Secret:
        """Add, replace and delete values of a secret, and rename it; other values stay.

        An `etag` must be the stored one.
        """
        changed = self._connection.request(secret_pb.Secret, id=secret, name=name, etag=etag)
        request = self._connection.request(
            secret_pb.UpdateSecretRequest,
            secret=changed,
            set_values=_bytes(set_values or {}),
            delete_keys=list(delete_keys),
        )
        return (await self._connection.call(self._stub.UpdateSecret, request)).secret

    async def replace(self, secret: str, values: Values, *, etag: str = "") -> secret_pb.Secret:
        """Replace all values of a secret. An `etag` must be the stored one."""
        changed = self._connection.request(secret_pb.Secret, id=secret, etag=etag, values=_bytes(values))
        request = secret_pb.UpdateSecretRequest(secret=changed)
        request.update_mask.paths.append("values")
        return (await self._connection.call(self._stub.UpdateSecret, request)).secret

    async def delete(self, secret: str, *, etag: str = "") -> None:
        """Delete a secret, with all versions of its values."""
        request = self._connection.request(secret_pb.DeleteSecretRequest, secret_id=secret, etag=etag)
        await self._connection.call(self._stub.DeleteSecret, request)


class Variables:
    """The `VariableService`. A variable is named by its id, or by the path of its parent and its name."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = variable_grpc.VariableServiceStub(connection.channel)

    async def create(self, name: str, parent: str, values: Iterable[variable_pb.VariableValue]) -> variable_pb.Variable:
        """Create a variable of a user, organization, project group or project."""
        variable = self._connection.request(variable_pb.Variable, name=name, parent_id=parent, values=list(values))
        request = variable_pb.CreateVariableRequest(variable=variable)
        return (await self._connection.call(self._stub.CreateVariable, request)).variable

    async def get(self, variable: str) -> variable_pb.Variable:
        """Return a variable."""
        request = self._connection.request(variable_pb.GetVariableRequest, variable_id=variable)
        return (await self._connection.call(self._stub.GetVariable, request)).variable

    async def list(self, *, parent: str = "") -> Sequence[variable_pb.Variable]:
        """List the variables that you may see, by name; with `parent` those that belong to it."""
        request = self._connection.request(variable_pb.ListVariablesRequest, parent_id=parent)
        return await self._connection.list_all(self._stub.ListVariables, request, "variables")

    async def update(
        self,
        variable: str,
        *,
        values: Iterable[variable_pb.VariableValue] | None = None,
        name: str = "",
        etag: str = "",
    ) -> variable_pb.Variable:
        """Replace the values of a variable, and rename it. An `etag` must be the stored one."""
        changed = self._connection.request(variable_pb.Variable, id=variable, name=name, etag=etag)
        request = variable_pb.UpdateVariableRequest(variable=changed)
        if name:
            request.update_mask.paths.append("name")
        if values is not None:
            request.variable.values.extend(values)
            request.update_mask.paths.append("values")
        return (await self._connection.call(self._stub.UpdateVariable, request)).variable

    async def delete(self, variable: str, *, etag: str = "") -> None:
        """Delete a variable."""
        request = self._connection.request(variable_pb.DeleteVariableRequest, variable_id=variable, etag=etag)
        await self._connection.call(self._stub.DeleteVariable, request)


def _bytes(values: Mapping[Any, Any]) -> dict[str, bytes]:
    """Return values as bytes. The error of protobuf would contain a value that is neither bytes nor text."""
    for key, value in values.items():
        if not isinstance(key, str) or not isinstance(value, bytes | str):
            raise InvalidInput("the values of a secret are bytes or text, by keys that are text")
    return {key: value.encode() if isinstance(value, str) else value for key, value in values.items()}
