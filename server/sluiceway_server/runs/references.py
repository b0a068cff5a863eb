"""References to runs: from what a person writes to the id of the run. Pure, over one view.

A number never begins with 0 and an id does until the year 2527 (the first 48 bits of a UUIDv7 are milliseconds), so no
text is both a number and the beginning of an id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput, NotFound, Violation
from sluiceway_common.runmodel import groups
from sluiceway_server.datamanager.model import Fields, Query, View
from sluiceway_server.datamanager.queries import Place, plan_list
from sluiceway_server.runrecords.types import RUN, RUN_NUMBER, run_of_row
from sluiceway_server.runs.names import Names, group_named

LAST = "@last"
SHORTEST_PREFIX = 4
MOST_NAMED = 5
_ROWS_AT_ONCE = 100
_NUMBER = re.compile(r"(?:(?P<group>[^#]+)?#)?(?P<number>[1-9][0-9]{0,17})")
_ID = re.compile(rf"[0-9a-fA-F-]{{{SHORTEST_PREFIX},36}}")


class RunReferenceAmbiguous(FailedPrecondition):
    """Several runs match; the message names the first of them."""

    reason = "RUN_REFERENCE_AMBIGUOUS"


def resolve(view: View, reference: str, *, user_id: str, visible: Callable[[str], bool]) -> str:
    """Find the id of the run that a reference names, among those that the caller may see.

    Args:
        view: the database.
        reference: a number, `GROUP#NUMBER`, the beginning of an id, or `@last`.
        user_id: the caller's, whose own runs a number means first.
        visible: whether the caller may see the runs of a scope.

    Raises:
        InvalidInput: it has none of these forms.
        NotFound: there is no such run.
        RunReferenceAmbiguous: there are several.
    """
    if reference == LAST:
        newest = next((id_ for id_, scope in _newest_first(view) if visible(scope)), None)
        if newest is None:
            raise _not_found(reference, "there is no run yet")
        return newest
    number = _NUMBER.fullmatch(reference)
    if number is not None:
        return _by_number(
            view, reference, int(number["number"]), number["group"] or "", user_id=user_id, visible=visible
        )
    if _ID.fullmatch(reference):
        return _by_prefix(view, reference.lower(), visible)
    forms = f"a number, GROUP#NUMBER, the first {SHORTEST_PREFIX} or more characters of an id, or {LAST}"
    raise InvalidInput([Violation("reference", f"{reference[:100]!r} names no run: a run is named by {forms}")])


def _newest_first(view: View) -> Iterator[tuple[str, str]]:
    """Yield the ids and scopes of all runs."""
    token, size = "", 1
    while True:
        page = view.rows(RUN, Query(order=("-created",), size=size, token=token))
        yield from ((id_, str(fields["scope"])) for id_, fields in page.records)
        token, size = page.next_token, _ROWS_AT_ONCE
        if not token:
            return


def _by_number(
    view: View, reference: str, number: int, group: str, *, user_id: str, visible: Callable[[str], bool]
) -> str:
    if group:
        group = group_named(view, group, visible=visible)
        faults = groups.faults(group)
        if faults:
            raise InvalidInput([Violation("reference", fault) for fault in faults])
        scope = groups.scope_of(groups.canonical(groups.of_caller(group, user_id)))
        found = _numbered(view, scope, number) if visible(scope) else None
        if found is None:
            raise _not_found(reference, f"there is no run {number} in {Names(view).group(scope)}")
        return found
    own = _numbered(view, groups.join("user", user_id), number)
    if own is not None:
        return own
    every = [match for _, match in zip(range(MOST_NAMED + 1), _in_scopes(view, number, visible), strict=False)]
    if not every:
        raise _not_found(reference, f"there is no run with the number {number}")
    if len(every) > 1:
        shown = Names(view)
        names = _names([f"{shown.group(scope)}#{number}" for scope, _ in every])
        raise RunReferenceAmbiguous(f"several runs have the number {number}: {names}. Say which one you mean")
    return every[0][1]


def _in_scopes(view: View, number: int, visible: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    for scope, record in view.scan(RUN_NUMBER):
        if record.last >= number and visible(scope) and (found := _numbered(view, scope, number)) is not None:
            yield scope, found


def _numbered(view: View, scope: str, number: int) -> str | None:
    rows = view.rows(RUN, Query({"scope": scope, "number": number}, size=1)).records
    return rows[0][0] if rows else None


def _by_prefix(view: View, prefix: str, visible: Callable[[str], bool]) -> str:
    exact = view.fields(RUN, prefix)
    if exact is not None and visible(str(exact["scope"])):
        return prefix
    rows = list(islice((row for row in _beginning_with(view, prefix) if visible(str(row[1]["scope"]))), MOST_NAMED + 1))
    if not rows:
        raise _not_found(prefix, f'there is no run with an id that begins with "{prefix}"')
    if len(rows) > 1:
        names = _names([f"{run.id} ({run.name})" for run in (run_of_row(*row) for row in rows)])
        raise RunReferenceAmbiguous(f'several runs have an id that begins with "{prefix}": {names}. Write more of it')
    return rows[0][0]


def _beginning_with(view: View, prefix: str) -> Iterator[tuple[str, Fields]]:
    query = Query(size=_ROWS_AT_ONCE)
    token = plan_list(RUN, query).token(Place((), prefix))
    while token:
        page = view.rows(RUN, replace(query, token=token))
        for row in page.records:
            if not row[0].startswith(prefix):
                return
            yield row
        token = page.next_token


def _names(names: list[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (" and more" if len(names) > MOST_NAMED else "")


def _not_found(reference: str, sentence: str) -> NotFound:
    return NotFound(sentence, resource_type="run", resource_name=reference)
