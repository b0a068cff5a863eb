"""The checks of every transaction, for the committer and for the fake. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.message import Message

from sluiceway_common.foundation.errors import Conflict, Exhausted, InvalidInput
from sluiceway_server.datamanager.model import (
    Action,
    Decision,
    Delete,
    Emit,
    GroupRevision,
    Precondition,
    Put,
    RecordAbsent,
    RecordType,
    TransactionFunction,
    View,
)

MAX_ACTIONS = 10_000
MAX_BYTES = 4 * 1024 * 1024
"""Before compression: a stop of a run of 2,000 tasks changes each of them, with an event each (decision 0063)."""

MAX_NAME_BYTES = 1024
"""Of an id or the name of a change group, in UTF-8: the footer of a file has the first and last id of each block."""

_LEAST, _MOST = -(2**63), 2**63 - 1


def check_actions(actions: Sequence[Action], groups: Sequence[str], types: Mapping[str, RecordType[Any]]) -> None:
    """Check what a transaction changes, but for its size.

    Args:
        actions: of the transaction.
        groups: names of the change groups whose revision changes.
        types: those that the database was opened with, by name.

    Raises:
        Exhausted: there are too many actions.
        InvalidInput: an id or the name of a group is too long or not valid Unicode, a type is unknown, or a message is
            not of its type; also as `check_columns`.
    """
    _check_limit(len(actions), MAX_ACTIONS, "actions")
    for name in groups:
        _check_name(name, "the name of a change group")
    for action in actions:
        if isinstance(action, Put | Delete):
            _check_name(action.id, f"the id of a {action.type.name}")
            known = types.get(action.type.name)
            if known is None:
                raise InvalidInput(f"the database was opened without the record type {action.type.name!r}")
            if isinstance(action, Put):
                if not isinstance(action.message, known.message):
                    raise InvalidInput(
                        f"a {known.name} is a {known.message.DESCRIPTOR.full_name},"
                        f" not a {action.message.DESCRIPTOR.full_name}"
                    )
                check_columns(known, action.id, action.message)


def check_size(size: int) -> None:
    """Raise `Exhausted` for a transaction of more bytes than one may have."""
    _check_limit(size, MAX_BYTES, "bytes")


def _check_limit(count: int, limit: int, unit: str) -> None:
    if count > limit:
        raise Exhausted(
            f"a transaction has at most {limit} {unit}, this one has {count}: split it", reason="TRANSACTION_TOO_LARGE"
        )


def _check_name(name: str, what: str) -> None:
    try:
        size = len(name) if name.isascii() else len(name.encode())
    except UnicodeEncodeError as cause:
        raise InvalidInput(f"{what} is not valid Unicode: {cause}") from cause
    if size > MAX_NAME_BYTES:
        raise InvalidInput(f"{what} has {size} bytes, at most {MAX_NAME_BYTES} are possible: {name[:80]!r}...")


def check_columns(type_: RecordType[Any], id_: str, message: Message) -> None:
    """Raise for a record whose columns cannot be stored in a replica, before it is in the log.

    Raises:
        InvalidInput: the value of a column is a number of more than 64 bits.
        Exception: the column's function raised it.
    """
    for column in type_.columns:
        value = column.of(message)
        if isinstance(value, int) and not _LEAST <= value <= _MOST:
            raise InvalidInput(
                f"the column {column.name!r} of the {type_.name} {id_!r} would be {value}, which has more than 64 bits"
            )


def check_preconditions(view: View, preconditions: Sequence[Precondition]) -> None:
    """Raise `Conflict` for the first that is false, with the actual revision."""
    for wanted in preconditions:
        if isinstance(wanted, GroupRevision):
            what, have = f"change group {wanted.name!r}", view.group(wanted.name)
        else:
            what, have = f"{wanted.type.name} {wanted.id!r}", view.revision(wanted.type, wanted.id)
        revision = None if isinstance(wanted, RecordAbsent) else wanted.revision
        if have != revision:
            has = f"is at {have}" if have else "does not exist"
            should = f"at {revision}" if revision else "absent"
            raise Conflict(
                f"{what} {has}, and should be {should}: read it again and retry",
                metadata={"subject": what, "revision": str(have or "")},
            )


def plain_transaction(
    actions: Sequence[Action], preconditions: Sequence[Precondition], groups: Sequence[str]
) -> TransactionFunction[None]:
    """Return the transaction function of `Database.commit`. Raises `InvalidInput` without actions."""
    if not actions:
        raise InvalidInput("a transaction needs at least one action")

    def function(view: View) -> Decision[None]:
        check_preconditions(view, preconditions)
        return Decision(None, actions, groups)

    return function


def topics_of(actions: Sequence[Action]) -> frozenset[str]:
    """Return the topics of a transaction."""
    topics: set[str] = set()
    for action in actions:
        match action:
            case Put() | Delete():
                topics.add(f"type:{action.type.name}")
            case Emit():
                topics.update(action.topics)
    return frozenset(topics)
