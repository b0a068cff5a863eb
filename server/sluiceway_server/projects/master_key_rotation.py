"""Encrypts all values of the database under the newest master key, while everything else continues.

Only the data keys change. Each batch is one transaction, which decides on what is stored then: a value that somebody
sets at the same time is encrypted under the newest key anyway. A rotation that was interrupted is started again, and
finds what is left.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from sluiceway_common.foundation.errors import DataLoss
from sluiceway_server.datamanager.model import Action, Decision, Put, RecordType, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.projects.envelope import Envelope, MasterKeyUnknown

__all__ = ["Rotation", "encrypted_fields", "rotate_master_key"]

_PREFIX = "encrypted_"
_AT_ONCE = 100
_MAX_FAILURES = 100


@dataclass(slots=True)
class Rotation:
    """What a rotation did.

    Attributes:
        rewrapped: the number of values that are under the newest key since.
        unchanged: of those that were before.
        failed: of those that could not be opened.
        failures: why, for the first hundred of them.
    """

    rewrapped: int = 0
    unchanged: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Rotation) -> None:
        """Add what was done in a part of it."""
        self.rewrapped += other.rewrapped
        self.unchanged += other.unchanged
        self.failed += other.failed
        self.failures = [*self.failures, *other.failures][:_MAX_FAILURES]


def encrypted_fields(type_: RecordType[Any]) -> tuple[str, ...]:
    """Return the fields of a type whose values are encrypted (`SealedValue`)."""
    return tuple(
        each.name
        for each in type_.message.DESCRIPTOR.fields
        if each.name.startswith(_PREFIX) and each.type == FieldDescriptor.TYPE_BYTES and not each.is_repeated
    )


async def rotate_master_key(database: Database, envelope: Envelope, types: Iterable[RecordType[Any]]) -> Rotation:
    """Encrypt all values under the newest master key. May be repeated.

    Raises:
        FailedPrecondition: `MASTER_KEY_MISSING`.
        Unavailable: the database is away; what was done is kept.
    """
    total = Rotation()
    for type_ in types:
        if not encrypted_fields(type_):
            continue
        after = ""
        while ids := await database.read(partial(_next_ids, type_=type_, after=after)):
            done = await database.transact(partial(_rewrap, envelope=envelope, type_=type_, ids=ids))
            total.add(done.value)
            after = ids[-1]
    return total


def _next_ids(view: View, *, type_: RecordType[Any], after: str) -> tuple[str, ...]:
    return tuple(id_ for id_, _ in islice(view.scan(type_, after=after), _AT_ONCE))


def _rewrap(view: View, *, envelope: Envelope, type_: RecordType[Any], ids: Iterable[str]) -> Decision[Rotation]:
    done = Rotation()
    actions: list[Action] = []
    for id_ in ids:
        stored = view.get(type_, id_)
        if stored is None:
            continue
        changed = type_.message()
        changed.CopyFrom(stored)
        before = done.rewrapped
        for name in encrypted_fields(type_):
            sealed: bytes = getattr(stored, name)
            if not sealed:
                continue
            try:
                rewrapped = envelope.rewrap(sealed)
            except (MasterKeyUnknown, DataLoss) as error:
                done.failed += 1
                done.failures.append(f"{type_.name} {id_}: {error.message}")
                continue
            if rewrapped is None:
                done.unchanged += 1
            else:
                done.rewrapped += 1
                setattr(changed, name, rewrapped)
        if done.rewrapped > before:
            actions.append(Put(type_, id_, changed))
    return Decision(done, actions)
