"""The record types of secrets and variables: their columns and indexes.

The values of a secret are apart from it, one record for each version: a run that uses version 3 gets version 3, also
when somebody changes the secret while it runs.
"""

from __future__ import annotations

from typing import Any

from sluiceway.records.project.v1 import secrets_pb2 as pb
from sluiceway_server.datamanager.model import Column, RecordType, Under
from sluiceway_server.projects.names import key_of
from sluiceway_server.projects.records import UNDER_PARENT

__all__ = ["RECORD_TYPES", "SECRET", "SECRET_VERSION", "VARIABLE", "version_id"]

_UNDER_NODE = (*UNDER_PARENT, Under("project", "parent_id"))

SECRET: RecordType[pb.Secret] = RecordType(
    "secret",
    pb.Secret,
    columns=(
        Column("parent_id", lambda secret: secret.parent_id),
        Column("key", lambda secret: key_of(secret.name)),
    ),
    indexes=(("parent_id", "key"), ("key",)),
    under=_UNDER_NODE,
)
SECRET_VERSION: RecordType[pb.SecretVersion] = RecordType(
    "secret_version",
    pb.SecretVersion,
    columns=(Column("secret_id", lambda version: version.secret_id),),
    indexes=(("secret_id",),),
    under=(Under("secret", "secret_id"),),
)
VARIABLE: RecordType[pb.Variable] = RecordType(
    "variable",
    pb.Variable,
    columns=(
        Column("parent_id", lambda variable: variable.parent_id),
        Column("key", lambda variable: key_of(variable.name)),
    ),
    indexes=(("parent_id", "key"), ("key",)),
    under=_UNDER_NODE,
)

RECORD_TYPES: tuple[RecordType[Any], ...] = (SECRET, SECRET_VERSION, VARIABLE)


def version_id(secret_id: str, version: int) -> str:
    """Return the id of the record of a version. The versions of a secret sort by number."""
    return f"{secret_id}/{version:010d}"
