"""Parse requests, after bounding their size and the number of their parts.

A request of some MiB may have millions of empty messages. Parsing them takes up to a hundred times its size in memory,
and holds the interpreter's lock; checking them takes seconds. So the parts of a large request are counted in its
encoding first, in a thread, and it is refused if there are too many. The caller has been authenticated by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from sluiceway_common.foundation.errors import Exhausted, InvalidInput
from sluiceway_common.foundation.places import Places

MAX_REQUEST_BYTES = 256 * 1024
"""Of one message of a request, where `REQUEST_BYTES` does not say otherwise."""

REQUEST_BYTES: Mapping[str, int] = MappingProxyType(
    {
        # A configuration expands to 4 MiB of characters at most, and the first line of a command is its name too.
        "/sluiceway.api.run.v1.RunService/CreateRun": 8 * 1024 * 1024,
        # The service itself limits files to 1 MiB.
        "/sluiceway.api.config.v1.ConfigService/CheckRunConfig": 2 * 1024 * 1024,
        "/sluiceway.api.config.v1.ConfigService/RenderRunConfig": 2 * 1024 * 1024,
        "/sluiceway.api.config.v1.ConfigService/GraphRunConfig": 2 * 1024 * 1024,
        # A body of 4 MiB, and its headers.
        "/sluiceway.api.project.v1.DeliveryService/ReceiveDelivery": 4 * 1024 * 1024 + 128 * 1024,
        # A hello names every assignment that the executor holds: 10,000 at most.
        "/sluiceway.api.executor.v1.ExecutorService/Connect": 2 * 1024 * 1024,
    }
)

MAX_PARTS = 250_000
"""Of one message: its fields, and those of all messages in it. A run of 40,000 steps with names has 160,000."""

# A message of this size is parsed in at most 5 ms, however many parts it has. A chunk of a log is smaller.
_SMALL_BYTES = 128 * 1024
_MOST_WAITING = 8

# https://protobuf.dev/programming-guides/encoding/#structure
_VARINT, _FIXED64, _LENGTH_DELIMITED, _START_GROUP, _END_GROUP, _FIXED32 = range(6)
_VARINT_BITS = 70
_SKIPPED = {_FIXED64: 8, _FIXED32: 4, _START_GROUP: 0, _END_GROUP: 0}


class RequestReader:
    """Parses the requests of one server. Large ones are parsed one at a time."""

    def __init__(self) -> None:
        self._places = Places(1, waiting=_MOST_WAITING, what="large requests")

    async def message(self, method: str, type_: type[Message], data: bytes) -> Message:
        """Parse the message of a unary call, or the next one of a stream.

        Raises:
            Exhausted: reason `REQUEST_TOO_LARGE`: it has too many bytes or parts.
            InvalidInput: reason `MALFORMED_REQUEST`: it is not an encoding of that message.
            Unavailable: too many large requests wait already.
        """
        limit = REQUEST_BYTES.get(method, MAX_REQUEST_BYTES)
        if len(data) > limit:
            raise _too_large(f"it has {len(data)} bytes; {_name_of(method)} takes at most {limit}")
        if len(data) <= _SMALL_BYTES:
            return _parsed(type_, data)
        async with self._places.take():
            return await asyncio.to_thread(_measured, type_, data)

    def messages(self, method: str, type_: type[Message], stream: AsyncIterator[bytes]) -> AsyncIterator[Message]:
        """Parse the messages of a stream of requests, each as `message` does."""
        return _Messages(self, method, type_, stream)


class _Messages:
    """An iterator and not a generator: closing a generator fails while another task waits in it."""

    def __init__(self, reader: RequestReader, method: str, type_: type[Message], stream: AsyncIterator[bytes]) -> None:
        self._reader = reader
        self._method = method
        self._type = type_
        self._stream = aiter(stream)

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        return await self._reader.message(self._method, self._type, await anext(self._stream))


def count_parts(type_: type[Message], data: bytes, *, most: int = MAX_PARTS) -> int:
    """Count the fields in the encoding of a message and of all messages in it; stops above `most`.

    A packed field counts one for each byte. An invalid encoding is counted as far as it can be read: `FromString`
    reports what is wrong.
    """
    parts = 0
    descriptor: Any = type_.DESCRIPTOR
    ends: list[tuple[int, _Fields]] = [(len(data), _fields_of(descriptor))]
    position = 0
    while ends and parts <= most:
        end, fields = ends[-1]
        if position >= end:
            ends.pop()
            continue
        parts += 1
        try:
            key, position = _varint(data, position)
            kind = key & 7
            if kind == _VARINT:
                _, position = _varint(data, position)
            elif kind == _LENGTH_DELIMITED:
                size, position = _varint(data, position)
                inner = fields.messages.get(key >> 3)
                if inner is not None:
                    ends.append((min(position + size, end), _fields_of(inner)))
                    continue
                if key >> 3 in fields.packed:
                    parts += size
                position += size
            else:
                position += _SKIPPED[kind]
        except (IndexError, KeyError):
            break
    return parts


@dataclass(frozen=True, slots=True)
class _Fields:
    """The fields of a message that the count needs, by number.

    Attributes:
        messages: the types of those that hold messages; a map holds its entries.
        packed: those that may hold many numbers in one field.
    """

    messages: Mapping[int, Descriptor]
    packed: frozenset[int]


@cache
def _fields_of(descriptor: Descriptor) -> _Fields:
    fields: Any = descriptor.fields
    return _Fields(
        messages={field.number: field.message_type for field in fields if field.message_type is not None},
        packed=frozenset(field.number for field in fields if field.is_repeated and field.type not in _NEVER_PACKED),
    )


_NEVER_PACKED = frozenset(
    {
        FieldDescriptor.TYPE_STRING,
        FieldDescriptor.TYPE_BYTES,
        FieldDescriptor.TYPE_MESSAGE,
        FieldDescriptor.TYPE_GROUP,
    }
)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    byte = data[position]
    position += 1
    if byte < 0x80:
        return byte, position
    value, shift = byte & 0x7F, 7
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift >= _VARINT_BITS:
            raise IndexError("a varint has ten bytes at most")


def _measured(type_: type[Message], data: bytes) -> Message:
    parts = count_parts(type_, data)
    if parts > MAX_PARTS:
        raise _too_large(f"it has more than {MAX_PARTS} fields; send less at a time")
    return _parsed(type_, data)


def _parsed(type_: type[Message], data: bytes) -> Message:
    try:
        return type_.FromString(data)
    except DecodeError as cause:
        raise InvalidInput(f"the request is not a {type_.DESCRIPTOR.full_name}", reason="MALFORMED_REQUEST") from cause


def _too_large(why: str) -> Exhausted:
    return Exhausted(f"the request is too large: {why}", reason="REQUEST_TOO_LARGE", subject="request")


def _name_of(method: str) -> str:
    service, _, name = method[1:].partition("/")
    return f"{service.rpartition('.')[2]}.{name}"
