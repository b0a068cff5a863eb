"""Pages of lists from which what the caller may not see is left out.

A page token holds the last entry that the caller was shown, and nothing of what was skipped. It is of one caller and
one list; others refuse it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_common.foundation.rpc.caller import Caller, current_caller, requested_position, set_response_position
from sluiceway_server.datamanager.model import Position, Query, RecordType, Value, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.datamanager.queries import Place, place_of, plan_list, token_of

__all__ = ["PageRequest", "fingerprint_of", "page_of_visible", "requested"]

T = TypeVar("T")

DEFAULT_PAGE = 100
_ROWS_AT_ONCE = 200
"""Each is looked at with its ancestors; a read must not hold up the others for long."""


class PageRequest(Protocol):
    """A request of a list."""

    page_size: int
    """At most; 0: 100."""
    page_token: str
    """Of the page before; empty: the first page."""


def requested() -> Position | None:
    """Return the position that the caller has seen.

    Raises:
        InvalidInput: it is none.
    """
    text = requested_position()
    try:
        return Position.parse(text.partition(":")[0]) if text else None
    except ValueError as cause:
        raise InvalidInput([Violation("sluice-position", f"{text!r} is not a position")]) from cause


def fingerprint_of(caller: Caller, *parts: object) -> str:
    """Return what the page tokens of one caller's list have in common."""
    text = "\0".join(map(str, (caller.kind, caller.id, caller.organization or "", *parts)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


async def page_of_visible(
    database: Database,
    type_: RecordType[Any],
    where: Mapping[str, Value],
    request: PageRequest,
    visible: Callable[[View, str], T | None],
) -> tuple[list[T], str]:
    """Return a page of the records that the caller may see, by their column `key`, and the token of the next page.

    Args:
        database: where the records are.
        type_: of the records; an index of it has `where` and `key`.
        where: columns that must equal a value.
        request: for the page.
        visible: makes what is returned for a record of an id; None: the caller may not see it. A pure read.

    Raises:
        InvalidInput: the token is of another list or caller.
    """
    fingerprint = fingerprint_of(current_caller(), type_.name, sorted(where.items()))
    wanted = request.page_size or DEFAULT_PAGE
    query = Query(where=where, order=("key",), size=_ROWS_AT_ONCE)
    if request.page_token:
        after = place_of(request.page_token, fingerprint, 1)
        query = Query(where=where, order=("key",), size=_ROWS_AT_ONCE, token=plan_list(type_, query).token(after))
    found: list[T] = []
    last: Place | None = None

    def step(view: View) -> tuple[list[tuple[Place, T]], str]:
        page = view.rows(type_, query)
        shown: list[tuple[Place, T]] = []
        for id_, fields in page.records:
            item = visible(view, id_)
            if item is not None:
                shown.append((Place((fields["key"],), id_), item))
                if len(found) + len(shown) > wanted:
                    break
        return shown, page.next_token

    position = requested()
    while True:
        shown, next_token = await database.read(step, after=position)
        set_response_position(str(database.position))
        for place, item in shown:
            if len(found) == wanted and last is not None:
                return found, token_of(fingerprint, last)
            found.append(item)
            last = place
        if not next_token:
            return found, ""
        query = Query(where=where, order=("key",), size=_ROWS_AT_ONCE, token=next_token)
