"""The variables and secrets of projects, for runs: what a variable stands for, and what a secret contains."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

from sluiceway.api.project.v1 import variable_service_pb2 as api
from sluiceway.records.project.v1 import records_pb2 as project_pb
from sluiceway.records.project.v1 import secrets_pb2 as pb
from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.runconfig.when import Context, Rules, When
from sluiceway_server.datamanager.model import View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.datamanager.queries import walk_records
from sluiceway_server.projects.envelope import Envelope
from sluiceway_server.projects.names import key_of
from sluiceway_server.projects.secret_records import SECRET, SECRET_VERSION, VARIABLE, version_id
from sluiceway_server.projects.secret_values import open_values
from sluiceway_server.projects.tree import NodeType, find, lineage, path_of
from sluiceway_server.projects.variables import (
    Level,
    SecretState,
    SecretValue,
    Unset,
    VariableChoice,
    resolve_variables,
)

__all__ = ["ProjectValues", "SecretNotAvailable"]

R = TypeVar("R", pb.Secret, pb.Variable)


class SecretNotAvailable(FailedPrecondition):
    """A task needs a value of a secret that was deleted."""

    reason = "SECRET_NOT_AVAILABLE"


class ProjectValues:
    """Reads variables and secrets. Nothing of a value is kept."""

    def __init__(self, database: Database, envelope: Envelope) -> None:
        self._database = database
        self._envelope = envelope

    async def variables(
        self, project_id: str, names: Collection[str], context: Context, *, from_fork: bool
    ) -> dict[str, SecretValue | Unset]:
        """Return what variables stand for in a new run of a project.

        Args:
            project_id: of the run; empty or unknown: no variable is set.
            names: of the variables.
            context: what the run is made for.
            from_fork: the run is of a fork's request. It gets variables only if its project says so.
        """
        position = await self._database.linearize()
        return await self._database.read(
            lambda view: _variables(view, project_id, names, context, from_fork=from_fork), after=position
        )

    async def texts(self, values: Mapping[SecretValue, str]) -> dict[SecretValue, str]:
        """Return values of secrets as text.

        Args:
            values: which ones, each with the name of what needs it, for people.

        Raises:
            SecretNotAvailable: a secret, or the version of it, was deleted.
            FailedPrecondition: `MASTER_KEY_MISSING` or `MASTER_KEY_UNKNOWN`.
            DataLoss: `SEALED_VALUE_DAMAGED`.
        """
        if not values:
            return {}
        versions = {(value.secret_id, value.version) for value in values}

        def read(view: View) -> dict[tuple[str, int], pb.SecretVersion | None]:
            return {version: view.get(SECRET_VERSION, version_id(*version)) for version in versions}

        stored = await self._database.read(read)
        if None in stored.values():
            # This server may be behind.
            stored = await self._database.read(read, after=await self._database.linearize())
        opened: dict[tuple[str, int], dict[str, bytes]] = {}
        for (secret_id, version), record in stored.items():
            if record is None:
                names = sorted(name for value, name in values.items() if value.secret_id == secret_id)
                raise SecretNotAvailable(
                    f"{', '.join(names[:5])}: version {version} of the secret {secret_id} was deleted; create the run"
                    " again, with the present one"
                )
            opened[secret_id, version] = await open_values(self._envelope, secret_id, version, record)
        return {value: opened[value.secret_id, value.version][value.key].decode() for value in values}


def _variables(
    view: View, project_id: str, names: Collection[str], context: Context, *, from_fork: bool
) -> dict[str, SecretValue | Unset]:
    project = find(view, project_id, {NodeType.PROJECT})
    if project is None or not isinstance(project.record, project_pb.Project):
        return dict.fromkeys(names, Unset("is not set, because the run belongs to no project"))
    if from_fork and not project.record.pass_variables_to_forks:
        return dict.fromkeys(names, Unset("is not passed to runs of forks"))
    levels = [
        Level(
            path_of(view, node),
            variables={
                key_of(variable.name): [_choice(value) for value in variable.values]
                for _, variable in walk_records(view, VARIABLE, {"parent_id": node.id}, order=("key",))
            },
            secrets={
                key_of(secret.name): SecretState(id_, secret.version, frozenset(secret.keys))
                for id_, secret in walk_records(view, SECRET, {"parent_id": node.id}, order=("key",))
            },
        )
        for node in lineage(view, project)
    ]
    return resolve_variables(levels, names, context)


def _choice(value: api.VariableValue) -> VariableChoice:
    return VariableChoice(value.secret_name, value.key, _when(value.when) if value.HasField("when") else None)


def _when(when: api.VariableWhen) -> When:
    def rules(name: str) -> Rules | None:
        if not when.HasField(name):
            return None
        rule: api.WhenRule = getattr(when, name)
        return Rules(tuple(rule.include), tuple(rule.exclude))

    return When(branch=rules("branch"), tag=rules("tag"), ref=rules("ref"))
