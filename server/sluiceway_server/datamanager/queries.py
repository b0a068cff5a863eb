"""Lists: which ones an index serves, and the opaque tokens between their pages. Pure.

Every list is answered from an index (datamanager.md, "Read"), so a query that none serves is refused where it is made
and not when the table has grown. A token holds the place of the last record of a page, not a number of records, so
that a page never repeats or loses one because of what was written in between.

A filter that allows several values is several lists, each from one index, that are merged by their order.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_server.datamanager.model import Fields, Query, RecordType, Value, Where

__all__ = ["ListPlan", "Place", "check_indexes", "place_of", "plan_list", "token_of"]

MAX_PAGE_SIZE = 1000
MAX_MERGED = 32


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: the values of the ordering columns, then the id, of its last record."""

    values: tuple[Value, ...]
    id: str


@dataclass(frozen=True, slots=True)
class ListPlan:
    """A query that was checked.

    Attributes:
        wheres: the lists that are merged, at least one, and none has a record of another: each pairs of column and
            value.
        order: the ordering columns; the id comes after them.
        descending: the direction of all of them.
        size: of the page.
        after: where the page before ended.
        fingerprint: of type, filter and order; tokens carry it.
    """

    wheres: tuple[tuple[tuple[str, Value], ...], ...]
    order: tuple[str, ...]
    descending: bool
    size: int
    after: Place | None
    fingerprint: str

    def holds(self, fields: Fields) -> bool:
        """Whether a record is of the list, by its columns."""
        return any(all(fields[name] == value for name, value in where) for where in self.wheres)

    def token(self, place: Place) -> str:
        """Print the token of the page that begins after `place`."""
        return token_of(self.fingerprint, place)


def plan_list(type_: RecordType[Any], query: Query) -> ListPlan:
    """Check a query against the indexes of its type.

    Raises:
        InvalidInput: the size is not 1 to 1,000, a column does not exist, no index serves it, it allows too many
            values, or the token is damaged or of another query.
    """
    columns = {column.name for column in type_.columns}
    order = tuple(name.removeprefix("-") for name in query.order)
    descending = bool(query.order) and query.order[0].startswith("-")
    violations = []
    if not 1 <= query.size <= MAX_PAGE_SIZE:
        violations.append(Violation("page_size", f"must be 1 to {MAX_PAGE_SIZE}, not {query.size}"))
    for name in (*query.where, *order):
        if name not in columns:
            violations.append(Violation("filter", f"type {type_.name} has no column {name!r}"))
    if not violations and not _served(type_, query, order):
        violations.append(
            Violation("filter", f"no index of type {type_.name} serves {sorted(query.where)} ordered by {query.order}")
        )
    choices = [
        [(name, value) for value in dict.fromkeys(wanted if isinstance(wanted, tuple) else (wanted,))]
        for name, wanted in query.where.items()
    ]
    if not 1 <= (merged := prod(map(len, choices))) <= MAX_MERGED:
        violations.append(Violation("filter", f"allows {merged} combinations of values, not 1 to {MAX_MERGED}"))
    if violations:
        raise InvalidInput(violations)
    fingerprint = _fingerprint(type_.name, query.where, query.order)
    after = place_of(query.token, fingerprint, len(order)) if query.token else None
    return ListPlan(tuple(product(*choices)), order, descending, query.size, after, fingerprint)


def check_indexes(type_: RecordType[Any]) -> None:
    """Find faults of a declaration when the database is opened, and not at the first list. Raises `InvalidInput`."""
    for index in type_.indexes:
        filters = max((at + 1 for at, name in enumerate(index) if name in type_.sparse), default=0)
        plan_list(type_, Query(dict.fromkeys(index[:filters], ""), index[filters:]))


def _served(type_: RecordType[Any], query: Query, order: tuple[str, ...]) -> bool:
    if len({name.startswith("-") for name in query.order}) > 1:
        return False  # an index walks one way
    for name in type_.sparse:
        wanted = query.where.get(name, "")
        if name in order or None in (wanted if isinstance(wanted, tuple) else (wanted,)):
            return False  # its indexes do not have the records without a value
    if not query.where and not order:
        return True  # by id
    filters = len(query.where)
    return any(set(index[:filters]) == set(query.where) and index[filters:] == order for index in type_.indexes)


def _fingerprint(type_name: str, where: Where, order: tuple[str, ...]) -> str:
    text = json.dumps([type_name, sorted(where.items()), order])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def token_of(fingerprint: str, place: Place) -> str:
    """Print the token of the page that begins after a place, in the list that a fingerprint names."""
    text = json.dumps([fingerprint, *place.values, place.id], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def place_of(token: str, fingerprint: str, values: int) -> Place:
    """Read what `token_of` printed, with so many values besides the id. Raises `InvalidInput`."""
    try:
        content = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise _bad_token("is damaged") from error
    if not isinstance(content, list) or len(content) != values + 2 or not isinstance(content[-1], str):
        raise _bad_token("is damaged")
    if content[0] != fingerprint:
        raise _bad_token("was made for another list")
    place = content[1:-1]
    if not all(value is None or (isinstance(value, str | int) and not isinstance(value, bool)) for value in place):
        raise _bad_token("is damaged")
    return Place(tuple(place), content[-1])


def _bad_token(what: str) -> InvalidInput:
    return InvalidInput(
        [Violation("page_token", f"the token {what}; begin again without one")], reason="PAGE_TOKEN_INVALID"
    )
