"""The values of secrets: what a value may be, and how the values of a version are stored.

The values of a version are one message that is encrypted for the record of that version. They are opened in two places
only: for the specification of a task, and when some of them are replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from sluiceway.records.project.v1 import secrets_pb2 as pb
from sluiceway_common.foundation.errors import DataLoss, Violation
from sluiceway_common.foundation.texts import shown
from sluiceway_server.datamanager.model import Action, Delete, Put, View
from sluiceway_server.projects.envelope import Envelope
from sluiceway_server.projects.secret_records import SECRET_VERSION, version_id

__all__ = [
    "MINIMUM_BYTES",
    "amount_faults",
    "key_fault",
    "open_values",
    "put_version",
    "replace_version",
    "seal_values",
    "sealed_name",
    "value_faults",
    "versions_of",
]

MINIMUM_BYTES = 4
"""Shorter values occur in ordinary text, so they could not be masked in logs."""
MAX_VALUE_BYTES = 48 * 1024
MAX_VALUES_BYTES = 128 * 1024
MAX_KEYS = 100
_MAX_KEY_LENGTH = 100
_KEY = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)

# A run uses the versions that it was created with. Runs seldom take longer.
_KEPT = timedelta(days=30)
MAX_OLD_VERSIONS = 100


def sealed_name(version_record_id: str) -> str:
    """Return the name under which the values of a version are encrypted."""
    return f"secret_version/{version_record_id}"


def key_fault(key: str) -> str | None:
    """Return what is wrong with the key of a value; None: nothing."""
    if len(key) > _MAX_KEY_LENGTH or _KEY.fullmatch(key) is None:
        return f"a key is 1 to {_MAX_KEY_LENGTH} letters, digits and `_`, `.` or `-`"
    return None


def value_faults(path: str, values: Mapping[str, bytes]) -> Iterator[Violation]:
    """List what is wrong with values, by key. No message contains a value."""
    for key in sorted(values):
        where = f'{path}["{shown(key, most=_MAX_KEY_LENGTH)}"]'
        if fault := key_fault(key):
            yield Violation(where, fault)
        if fault := _value_fault(values[key]):
            yield Violation(where, fault)


def amount_faults(path: str, values: Mapping[str, bytes]) -> Iterator[Violation]:
    """List what is wrong with the number and size of all values of a secret."""
    if not values:
        yield Violation(path, "there must be at least one value")
    if len(values) > MAX_KEYS:
        yield Violation(path, f"{len(values)} values; a secret has at most {MAX_KEYS}")
    size = sum(map(len, values.values()))
    if size > MAX_VALUES_BYTES:
        yield Violation(path, f"the values have {size} bytes; together they have at most {MAX_VALUES_BYTES}")


def _value_fault(value: bytes) -> str | None:
    if len(value) < MINIMUM_BYTES:
        return f"is shorter than {MINIMUM_BYTES} bytes, so it could not be masked in logs"
    if len(value) > MAX_VALUE_BYTES:
        return f"has {len(value)} bytes; at most {MAX_VALUE_BYTES} are allowed"
    if b"\0" in value:
        return "contains a NUL byte, which no environment variable can hold; encode it in base64"
    try:
        value.decode()
    except UnicodeDecodeError:
        return "is not UTF-8, which an environment variable must be; encode it in base64"
    return None


def seal_values(envelope: Envelope, secret_id: str, version: int, values: Mapping[str, bytes]) -> pb.SecretVersion:
    """Make the record of a version.

    Raises:
        FailedPrecondition: `MASTER_KEY_MISSING`.
    """
    plain = pb.SecretValues(values=values).SerializeToString(deterministic=True)
    sealed = envelope.seal(sealed_name(version_id(secret_id, version)), plain)
    return pb.SecretVersion(secret_id=secret_id, encrypted_values=sealed)


async def open_values(envelope: Envelope, secret_id: str, version: int, record: pb.SecretVersion) -> dict[str, bytes]:
    """Decrypt the values of a version, by key.

    Raises:
        FailedPrecondition: `MASTER_KEY_MISSING` or `MASTER_KEY_UNKNOWN`.
        DataLoss: `SEALED_VALUE_DAMAGED`.
    """
    plain = await envelope.opened(sealed_name(version_id(secret_id, version)), record.encrypted_values)
    return dict(pb.SecretValues.FromString(plain).values)


def put_version(secret_id: str, version: int, record: pb.SecretVersion) -> Put:
    """Return the action that stores a version."""
    return Put(SECRET_VERSION, version_id(secret_id, version), record)


def replace_version(view: View, secret_id: str, version: int, *, now: datetime) -> Iterator[Action]:
    """Yield the actions that mark a version as replaced, and delete older ones that no run needs any more.

    A version is kept for 30 days after it was replaced, and of more than 100 the newest.
    """
    stored = view.get(SECRET_VERSION, version_id(secret_id, version))
    if stored is None:
        raise DataLoss(f"version {version} of the secret {secret_id} is not stored; set all of its values again")
    replaced = pb.SecretVersion()
    replaced.CopyFrom(stored)
    replaced.replace_time.FromDatetime(now)
    yield put_version(secret_id, version, replaced)
    old = [each for each in versions_of(view, secret_id) if each[0] != version_id(secret_id, version)]
    for index, (id_, record) in enumerate(old):
        expired = now - record.replace_time.ToDatetime(tzinfo=UTC) > _KEPT
        if expired or index < len(old) - MAX_OLD_VERSIONS + 1:
            yield Delete(SECRET_VERSION, id_)


def versions_of(view: View, secret_id: str) -> list[tuple[str, pb.SecretVersion]]:
    """Return the stored versions of a secret, oldest first, with the ids of their records."""
    return list(view.scan(SECRET_VERSION, f"{secret_id}/"))
