"""Lists: which queries an index serves, and the opaque tokens of pages. Pure.

Every list is read from an index, so a query without one is rejected where it is written, and not when the table has
grown. A token has the last row of a page, and not a number of rows: a page never repeats or omits a record because of
writes meanwhile. A filter with several values is several lists, each from one index, merged by their order.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_server.datamanager.model import Fields, M, Query, RecordType, Value, View, Where

MAX_PAGE_SIZE = 1000
MAX_MERGED = 32


@dataclass(frozen=True, slots=True)
class Place:
    """The last row of a page: the values of the ordering columns, and the id."""

    values: tuple[Value, ...]
    id: str


@dataclass(frozen=True, slots=True)
class ListPlan:
    """A query that was checked.

    Attributes:
        wheres: the disjoint lists to merge, at least one: each is pairs of column and value.
        order: the ordering columns; then the id.
        after: the end of the page before.
        type_name, query: what was checked.
    """

    wheres: tuple[tuple[tuple[str, Value], ...], ...]
    order: tuple[str, ...]
    descending: bool
    size: int
    after: Place | None
    type_name: str
    query: Query

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint of type, filter and order, a part of tokens. Most lists need none."""
        return _fingerprint(self.type_name, self.query)

    def holds(self, fields: Fields) -> bool:
        return any(all(fields[name] == value for name, value in where) for where in self.wheres)

    def token(self, place: Place) -> str:
        return token_of(self.fingerprint, place)


def walk_records(
    view: View, type_: RecordType[M], where: Where | None = None, *, order: tuple[str, ...] = ()
) -> Iterator[tuple[str, M]]:
    """Yield the ids and records of a whole list, which is read page by page."""
    query = Query(where=where or {}, order=order, size=MAX_PAGE_SIZE)
    while True:
        page = view.select(type_, query)
        yield from page.records
        if not page.next_token:
            return
        query = replace(query, token=page.next_token)


def walk_rows(
    view: View, type_: RecordType[Any], where: Where | None = None, *, order: tuple[str, ...] = ()
) -> Iterator[tuple[str, Fields]]:
    """Yield the ids and columns of a whole list, which is read page by page."""
    query = Query(where=where or {}, order=order, size=MAX_PAGE_SIZE)
    while True:
        page = view.rows(type_, query)
        yield from page.records
        if not page.next_token:
            return
        query = replace(query, token=page.next_token)


def plan_list(type_: RecordType[Any], query: Query) -> ListPlan:
    """Check a query against the indexes of its type.

    Raises:
        InvalidInput: the size is not 1 to 1,000, a column does not exist, no index serves it, it allows too many
            values, or the token is damaged or of another query.
    """
    order = tuple(name.removeprefix("-") for name in query.order)
    descending = bool(query.order) and query.order[0].startswith("-")
    violations = []
    if not 1 <= query.size <= MAX_PAGE_SIZE:
        violations.append(Violation("page_size", f"must be 1 to {MAX_PAGE_SIZE}, not {query.size}"))
    for name in (*query.where, *order):
        if name not in type_.column_names:
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
    after = place_of(query.token, _fingerprint(type_.name, query), len(order)) if query.token else None
    return ListPlan(tuple(product(*choices)), order, descending, query.size, after, type_.name, query)


def _fingerprint(type_name: str, query: Query) -> str:
    text = json.dumps([type_name, sorted(query.where.items()), query.order])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_indexes(type_: RecordType[Any]) -> None:
    """Raise `InvalidInput` for an index that serves no query."""
    for index in type_.indexes:
        filters = max((at + 1 for at, name in enumerate(index) if name in type_.sparse), default=0)
        plan_list(type_, Query(dict.fromkeys(index[:filters], ""), index[filters:]))


def _served(type_: RecordType[Any], query: Query, order: tuple[str, ...]) -> bool:
    if len({name.startswith("-") for name in query.order}) > 1:
        return False  # an index is read in one direction
    for name in type_.sparse:
        wanted = query.where.get(name, "")
        if name in order or None in (wanted if isinstance(wanted, tuple) else (wanted,)):
            return False  # its indexes omit records without a value
    if not query.where and not order:
        return True  # by id
    filters = len(query.where)
    return any(set(index[:filters]) == set(query.where) and index[filters:] == order for index in type_.indexes)


def token_of(fingerprint: str, place: Place) -> str:
    """Return the token of the page after a place, in the list with a fingerprint."""
    text = json.dumps([fingerprint, *place.values, place.id], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def place_of(token: str, fingerprint: str, values: int) -> Place:
    """Decode a token with so many values besides the id. Raises `InvalidInput`."""
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
        [Violation("page_token", f"the token {what}; start again without one")], reason="PAGE_TOKEN_INVALID"
    )
