"""Columns are computed by every server, also of records that a newer version wrote: none of them may fail."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.datamanager.checks import check_columns
from sluiceway_server.datamanager.model import RecordType

_UNKNOWN = 1000


def with_unknown_values(message: Message, depth: int = 4) -> Message:
    """Set each enum of a message, and of those in it, to a value that this version does not know."""
    for field in message.DESCRIPTOR.fields:
        if field.type == FieldDescriptor.TYPE_ENUM:
            if field.is_repeated:
                getattr(message, field.name).append(_UNKNOWN)
            else:
                setattr(message, field.name, _UNKNOWN)
        elif field.message_type is not None and depth and not field.message_type.GetOptions().map_entry:
            part = getattr(message, field.name).add() if field.is_repeated else getattr(message, field.name)
            if not field.is_repeated:
                part.SetInParent()
            with_unknown_values(part, depth - 1)
    return message


@pytest.mark.parametrize("type_", RECORD_TYPES, ids=lambda type_: type_.name)
def test_columns_of_a_newer_versions_records_can_be_computed(type_: RecordType[Any]) -> None:
    for message in (type_.message(), with_unknown_values(type_.message())):
        check_columns(type_, "id", message)
        if type_.settled is not None:
            assert type_.settled(message) in (True, False)
