"""Lists of runs: what `ListRunsRequest` asks for, checked, and its pages. Pure, over one view.

Every list follows an index that has its runs, the newest first, and reads columns only. No index has the runs below a
path of more than two segments, or of one: such a list follows the index of the scope (or of all runs) and skips
the others, at most `MAX_SCANNED` rows for one page.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_common.runmodel import groups
from sluiceway_common.runmodel.limits import MAX_TASKS
from sluiceway_server.datamanager.model import Query, Value, View
from sluiceway_server.datamanager.queries import Place, place_of, plan_list, token_of
from sluiceway_server.runrecords.types import RUN, outcomes, run_of_row
from sluiceway_server.runs.waits import put_waits

DEFAULT_PAGE = 100
MAX_PAGE = 1_000
MAX_SCANNED = 5_000


@dataclass(frozen=True, slots=True)
class RunList:
    """A list that was checked, and where a page of it begins.

    Attributes:
        query: follows an index; its size and token are set for each read.
        size: of the page.
        prefix: only groups below it; empty: all that the query gives.
        since: only runs created at this time or later, in milliseconds since 1970.
        after: the place before the first run of the page; None: the page begins with the newest run.
        fingerprint: of the filter; tokens carry it.
    """

    query: Query
    size: int
    prefix: str
    since: int
    after: Place | None
    fingerprint: str

    def read(self, view: View, visible: Callable[[str], bool]) -> pb.ListRunsResponse:
        """Read the page, without the runs of scopes that the caller may not see.

        A page of which too many rows were skipped ends between two times of creation: its token names no run.
        """
        found: list[tuple[Place, api.Run]] = []
        scanned, last = 0, self.after
        while True:
            token = plan_list(RUN, self.query).token(last) if last is not None else ""
            size = MAX_PAGE if self.prefix or scanned else min(MAX_PAGE, self.size + 1)
            page = view.rows(RUN, replace(self.query, size=size, token=token))
            for run_id, fields in page.records:
                created = fields["created"]
                assert isinstance(created, int)  # noqa: S101 - the column is one of numbers
                if created < self.since:
                    return self._response(view, found)
                if scanned >= MAX_SCANNED and last is not None and last.values != (created,):
                    return self._response(view, found, Place(last.values, ""))
                scanned += 1
                last = Place((created,), run_id)
                is_wanted = not self.prefix or groups.is_below(str(fields["group"]), self.prefix)
                if is_wanted and visible(str(fields["scope"])):
                    found.append((last, run_of_row(run_id, fields)))
                    if len(found) > self.size:
                        return self._response(view, found[: self.size], found[self.size - 1][0])
            if not page.next_token:
                return self._response(view, found)

    def _response(
        self, view: View, found: list[tuple[Place, api.Run]], next_after: Place | None = None
    ) -> pb.ListRunsResponse:
        token = token_of(self.fingerprint, next_after) if next_after is not None else ""
        runs = [run for _, run in found]
        put_waits(view, runs, tasks_looked_at=MAX_TASKS)
        return pb.ListRunsResponse(runs=runs, next_page_token=token)


def check_list(request: pb.ListRunsRequest, *, user_id: str) -> RunList:
    """Check a request.

    Raises:
        InvalidInput: with every fault.
    """
    found: list[Violation] = []
    group, prefix = group_filter(request.group, request.group_prefix, user_id=user_id, found=found)
    if request.phase not in api.RunPhase.values():
        found.append(Violation("phase", f"{request.phase} is not known"))
    if request.result not in api.RunResult.values():
        found.append(Violation("result", f"{request.result} is not known"))
    since = _bound(request, "created_since", found)
    until = _bound(request, "created_until", found)
    if since is not None and until is not None and until <= since:
        found.append(Violation("created_until", "it must be later than created_since"))
    found += page_faults(request.page_size, MAX_PAGE)
    if found:
        raise InvalidInput(found)
    where: dict[str, Value | tuple[Value, ...]] = {}
    scope = groups.scope_of(prefix) if prefix.count("/") > 1 else ""
    if group:
        where["group"] = group
    elif scope:
        where["scope"] = scope
    if where or request.phase or request.result:
        where["outcome"] = outcomes(phases=(request.phase,) if request.phase else (), result=request.result)
    text = "\0".join(map(str, (user_id, group, prefix, request.phase, request.result, since, until)))
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
    after = Place((until,), "") if until is not None else None
    if request.page_token:
        after = place_of(request.page_token, fingerprint, 1)
    return RunList(
        query=Query(where, ("-created",)),
        size=request.page_size or DEFAULT_PAGE,
        prefix="" if prefix == scope else prefix,
        since=since if since is not None else 0,
        after=after,
        fingerprint=fingerprint,
    )


def group_filter(group: str, prefix: str, *, user_id: str, found: list[Violation]) -> tuple[str, str]:
    """Check a group and a prefix of groups of which one may be given; return both as they are stored, or empty."""
    if group and prefix:
        found.append(Violation("group_prefix", "give either group or group_prefix"))
    checked = []
    for name, given in (("group", group), ("group_prefix", prefix)):
        faults = groups.faults(given) if given else ()
        found += [Violation(name, fault) for fault in faults]
        checked.append(groups.canonical(groups.of_caller(given, user_id)) if given and not faults else "")
    return checked[0], checked[1]


def page_faults(size: int, limit: int) -> list[Violation]:
    """Return what is wrong with the size of a page: at most one fault."""
    if 0 <= size <= limit:
        return []
    return [Violation("page_size", f"it must be 1 to {limit}, or 0 for the default, not {size}")]


def _bound(request: pb.ListRunsRequest, name: str, found: list[Violation]) -> int | None:
    if not request.HasField(name):
        return None
    stamp: Timestamp = getattr(request, name)
    try:
        stamp.ToDatetime()
    except ValueError:
        found.append(Violation(name, "it must be a time in the years 1 to 9999"))
        return None
    return stamp.seconds * 1000 + stamp.nanos // 1_000_000
