"""The database as a dictionary: what the log means, as simply as possible."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sluiceway_server.datamanager.model import Page, Position, Query
from tests.properties.history import Fact

__all__ = ["Model"]


@dataclass
class Model:
    """A `View` over dictionaries. `records`: (type, id) -> (value, revision)."""

    records: dict[tuple[str, str], tuple[Any, Position]] = field(default_factory=dict)
    groups: dict[str, Position] = field(default_factory=dict)
    _tombstones: dict[str, tuple[str, str]] = field(default_factory=dict)

    def apply(self, fact: Fact) -> None:
        """Apply a transaction of the log."""
        for step in fact.steps:
            if step[0] == "put":
                self.records[step[1], step[2]] = (step[3], fact.position)
                if step[1] == "tombstone":
                    self._tombstones[step[2]] = step[3][1:]
            elif step[0] == "delete":
                self.records.pop((step[1], step[2]), None)
                if step[1] == "tombstone":
                    self._tombstones.pop(step[2], None)
        for name in fact.groups:
            self.groups[name] = fact.position

    # -- what is buried

    def buried(self, type_: str, id_: str) -> bool:
        """Return whether a record has a tombstone."""
        return (type_, id_) in self._tombstones.values()

    def hides(self, type_: str, id_: str, value: Any) -> bool:
        """Return whether a record can be neither seen nor written: it or its parent has a tombstone."""
        return self.buried(type_, id_) or (type_ == "leaf" and self.buried("note", value[1]))

    def sweeps(self, fact: Fact) -> bool:
        """Return whether a transaction only removes records that are hidden, and tombstones with nothing below them."""
        gone = {step[1:3] for step in fact.steps if step[0] == "delete"}
        for step in fact.steps:
            there = self.records.get((step[1], step[2])) if step[0] == "delete" else None
            if step[0] != "delete" or there is None:
                return False
            if step[1] != "tombstone":
                if not self.hides(step[1], step[2], there[0]):
                    return False
                continue
            below = [
                ("leaf", id_)
                for (name, id_), (value, _) in self.records.items()
                if name == "leaf" and there[0][1:] == ("note", value[1])
            ]
            if set(below) - gone:
                return False
        return True

    @property
    def visible(self) -> dict[tuple[str, str], tuple[Any, Position]]:
        """Return the records that are not hidden."""
        return {
            key: found
            for key, found in self.records.items()
            if key[0] != "tombstone" and not self.hides(*key, found[0])
        }

    # -- the view

    def get(self, type_: Any, id_: str) -> Any:
        found = self.visible.get((type_.name, id_))
        return None if found is None else _message(found[0])

    def revision(self, type_: Any, id_: str) -> Position | None:
        found = self.visible.get((type_.name, id_))
        return None if found is None else found[1]

    def group(self, name: str) -> Position | None:
        return self.groups.get(name)

    def scan(self, type_: Any, prefix: str = "", *, after: str = "") -> Iterator[tuple[str, Any]]:
        for id_ in self._ids(type_):
            if id_.startswith(prefix) and id_ > after:
                yield id_, self.get(type_, id_)

    def select(self, type_: Any, query: Query) -> Page[Any]:
        found = [(id_, self.get(type_, id_)) for id_ in self._ids(type_)]
        found = [item for item in found if self._matches(item[1], query.where)]
        if query.order:
            descending = query.order[0].startswith("-")
            found.sort(key=lambda item: (item[1].number, item[0]), reverse=descending)
        start = int(query.token or 0)
        end = start + query.size
        return Page(tuple(found[start:end]), str(end) if end < len(found) else "")

    def count(self, type_: Any, where: Any, *, limit: int) -> int:
        found = [id_ for id_ in self._ids(type_) if self._matches(self.get(type_, id_), where)]
        return min(len(found), limit)

    @property
    def position(self) -> Position:
        raise NotImplementedError("a model is not at one position")

    def _ids(self, type_: Any) -> list[str]:
        # By code point, which is the order of Python's strings.
        return sorted(id_ for name, id_ in self.visible if name == type_.name)

    @staticmethod
    def _matches(message: Any, where: Any) -> bool:
        return bool((message.writer or None) == where["colour"])


class _Message(NamedTuple):
    # Has the fields that the workload reads, and is the value itself.
    database_id: str
    writer: str
    number: int


def _message(value: Any) -> _Message:
    return _Message(*value)
