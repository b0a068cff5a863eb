"""The `View` over the replica, with an overlay for what is newer than it.

Readers have one over a snapshot, with a cache of decoded messages. The writer has one over what is committed and over
the batch that is being prepared (`engine.write_state`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar, cast

from google.protobuf.message import Message

from sluiceway_server.datamanager.model import Fields, Page, Position, Query, RecordType, Where
from sluiceway_server.datamanager.replica.cold_bodies import BodiesNotLoaded, FetchedBodies, Missing
from sluiceway_server.datamanager.replica.replica import Replica, Row
from sluiceway_server.datamanager.replica.schema import RecordKey, Version

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Known:
    """The current state of a record. `version` None: it does not exist."""

    version: Version | None


class Overlay:
    """What is newer than the replica, or cached from it. This one is empty."""

    def find(self, key: RecordKey) -> Known | None:
        """Return the current state of a record; None: the replica has it."""
        return None

    def message(self, key: RecordKey, revision: Position) -> Message | None:
        """Return the message of a record at exactly this revision, if it is in memory."""
        return None

    def keep(self, key: RecordKey, version: Version | None) -> None:
        """Store what was read from the replica in a cache."""

    def group(self, replica: Replica, name: str) -> Position | None:
        """Return the revision of a change group."""
        return replica.group(name)

    def write_to_replica(self, type_: RecordType[Any]) -> None:
        """Write what is newer of a type into the replica, because SQLite is about to list its records."""


class ReplicaView:
    """A `View` at one position. Raises `BodiesNotLoaded` for a record whose body is in the object storage."""

    def __init__(self, replica: Replica, overlay: Overlay, *, position: Position, fetched: FetchedBodies) -> None:
        self._replica = replica
        self._overlay = overlay
        self._position = position
        self._fetched = fetched

    @property
    def position(self) -> Position:
        return self._position

    def get(self, type_: RecordType[M], id_: str) -> M | None:
        key = (type_.name, id_)
        known = self._overlay.find(key)
        if known is not None:
            return None if known.version is None else cast(M, known.version.message)
        row = self._replica.find(type_, id_)
        if row is None:
            self._overlay.keep(key, None)
            return None
        (message,) = self._messages(type_, (row,))
        return message

    def fields(self, type_: RecordType[Any], id_: str) -> Fields | None:
        known = self._overlay.find((type_.name, id_))
        if known is None:
            return self._replica.fields(type_, id_)
        if known.version is None:
            return None
        return dict(zip(type_.column_names, type_.values(known.version.message), strict=True))

    def revision(self, type_: RecordType[Any], id_: str) -> Position | None:
        known = self._overlay.find((type_.name, id_))
        if known is None:
            return self._replica.revision(type_, id_)
        return None if known.version is None else known.version.revision

    def group(self, name: str) -> Position | None:
        return self._overlay.group(self._replica, name)

    def scan(self, type_: RecordType[M], prefix: str = "", *, after: str = "") -> Iterator[tuple[str, M]]:
        self._overlay.write_to_replica(type_)
        rows = self._replica.scan(type_, prefix, after)
        for row in rows:
            message = self._message(type_, row)
            if message is None:
                ahead = (row, *islice(rows, self._fetched.look_ahead() - 1))
                raise self._not_loaded(type_, ahead)
            yield row.id, message

    def select(self, type_: RecordType[M], query: Query) -> Page[M]:
        self._overlay.write_to_replica(type_)
        rows, token = self._replica.select(type_, query)
        return Page(tuple(zip((row.id for row in rows), self._messages(type_, rows), strict=True)), token)

    def rows(self, type_: RecordType[Any], query: Query) -> Page[Fields]:
        self._overlay.write_to_replica(type_)
        rows, token = self._replica.select_rows(type_, query)
        return Page(tuple(rows), token)

    def count(self, type_: RecordType[Any], where: Where, *, limit: int) -> int:
        self._overlay.write_to_replica(type_)
        return self._replica.count(type_, Query(where=where, size=limit))

    def _messages(self, type_: RecordType[M], rows: Sequence[Row]) -> list[M]:
        found = [self._message(type_, row) for row in rows]
        if any(message is None for message in found):
            raise self._not_loaded(type_, rows)
        return cast(list[M], found)

    def _message(self, type_: RecordType[M], row: Row) -> M | None:
        key = (type_.name, row.id)
        found = self._overlay.message(key, row.revision)
        if found is not None:
            return cast(M, found)
        body = self._body(type_, row)
        if body is None:
            return None
        message = type_.message.FromString(body)
        self._overlay.keep(key, Version(row.revision, message, body))
        return message

    def _body(self, type_: RecordType[Any], row: Row) -> bytes | None:
        return row.body if row.body is not None else self._fetched.find(type_.name, row.id, row.revision)

    def _not_loaded(self, type_: RecordType[Any], rows: Sequence[Row]) -> BodiesNotLoaded:
        # Includes cached messages: they may be evicted before the retry.
        return BodiesNotLoaded(Missing(type_, row.id, row.revision) for row in rows if self._body(type_, row) is None)
