"""What the list of a repository's refs says, compared with what was seen before. Pure.

The first list of a project is what there is: nothing in it is new. From then on, a ref at a commit that it did not have
in the list before makes a delivery, unless the provider has sent one of the same ref and commit. Open pull requests are
refs with their head commits. What is stored about a ref that is gone stays for a while: lists are not atomic, so a ref
that moves may be missing in one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_server.datamanager.model import Action, Decision, Put, Query, View
from sluiceway_server.forges.port import Repository
from sluiceway_server.projects.records import PROJECT
from sluiceway_server.triggers import deliveries
from sluiceway_server.triggers.event_rules import caught_up_event
from sluiceway_server.triggers.records import DELIVERY, KNOWN_REFS, delivery_key

MAX_RECORD_BYTES = 768 * 1024
"""Of the refs of one project. A list of 10,000 refs has less, unless their names are long."""
_AT_ONCE = 100
_COMPARED_DELIVERIES = 100
_KEPT_BESIDES = 100
_PULL_REQUESTS_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class MovedRef:
    """A ref that was not at this commit when it was seen last. `before`: where it was; empty: it was not there."""

    ref: str
    before: str
    commit: str


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What a list of refs led to: the ids of new deliveries, and whether there is more to do than fits at once."""

    delivery_ids: tuple[str, ...] = ()
    is_partial: bool = False


def moved_refs(known: Mapping[str, bytes], found: Mapping[str, str]) -> Iterator[MovedRef]:
    """Yield the refs that are new or at another commit, by name."""
    for ref in sorted(found):
        before = known.get(ref, b"").hex()
        if before != found[ref]:
            yield MovedRef(ref, before, found[ref])


def catch_up(
    view: View,
    project_id: str,
    repository: Repository,
    found: Mapping[str, str],
    *,
    pull_requests: Mapping[str, pb.EventRecord] | None,
    now: datetime,
    new_id: Callable[[], str],
) -> Decision[CaughtUp]:
    """Store a list of refs, and a delivery for each commit for which no event arrived.

    Args:
        view: the database.
        project_id: whose repository it is.
        repository: as the provider describes it now.
        found: the commit of each branch, tag and open pull request.
        pull_requests: the events of those that `missing_pull_requests` returned, as far as they could be read; None:
            pull requests could not be listed.
        now: the time.
        new_id: makes ids of deliveries.
    """
    if view.fields(PROJECT, project_id) is None:
        return Decision(CaughtUp())
    stored = view.get(KNOWN_REFS, project_id)
    if stored is None:
        record = pb.KnownRefsRecord(project_id=project_id, has_pull_requests=pull_requests is not None)
        record.commits.update({ref: bytes.fromhex(commit) for ref, commit in found.items()})
        return Decision(CaughtUp(), [Put(KNOWN_REFS, project_id, record)])
    record = pb.KnownRefsRecord()
    record.CopyFrom(stored)
    if pull_requests is not None and not stored.has_pull_requests:
        record.has_pull_requests = True
        record.commits.update({ref: bytes.fromhex(found[ref]) for ref in found if _is_pull_request(ref)})
    events = pull_requests or {}
    # Of a pull request that could not be read, the next list decides.
    moved = [
        each
        for each in moved_refs(record.commits, found)
        if not _is_pull_request(each.ref) or each.ref in events or _was_delivered(view, project_id, each)
    ]
    if not moved and record == stored:
        return Decision(CaughtUp())
    actions: list[Action] = []
    made: list[str] = []
    for each in moved[:_AT_ONCE]:
        record.commits[each.ref] = bytes.fromhex(each.commit)
        if _was_delivered(view, project_id, each):
            continue
        delivery = deliveries.new_delivery(
            project_id,
            new_id(),
            provider_id="",
            provider_key="",
            event=events.get(each.ref) or caught_up_event(repository, each.ref, before=each.before, commit=each.commit),
            verdict=None,
            now=now,
        )
        delivery.order = f"{view.position}"
        made.append(delivery.delivery.id)
        actions.append(Put(DELIVERY, delivery_key(project_id, delivery.delivery.id), delivery))
    _forget(record, found)
    return Decision(CaughtUp(tuple(made), len(moved) > _AT_ONCE), [Put(KNOWN_REFS, project_id, record), *actions])


def missing_pull_requests(view: View, project_id: str, heads: Mapping[str, str]) -> tuple[MovedRef, ...]:
    """Return the open pull requests, some of them, of which no event arrived; none before the first list is stored."""
    stored = view.get(KNOWN_REFS, project_id)
    if stored is None or not stored.has_pull_requests:
        return ()
    moved = moved_refs(stored.commits, heads)
    return tuple(islice((each for each in moved if not _was_delivered(view, project_id, each)), _PULL_REQUESTS_AT_ONCE))


def number_of(ref: str) -> str:
    """Return the number of a pull request, from its ref."""
    return ref.split("/")[2]


def _is_pull_request(ref: str) -> bool:
    return ref.startswith(("refs/pull/", "refs/merge-requests/"))


def _was_delivered(view: View, project_id: str, moved: MovedRef) -> bool:
    """Return whether the provider has sent an event of this ref and commit. Runs by hand and schedules do not count."""
    query = Query(where={"project_id": project_id, "ref": moved.ref}, order=("-received",), size=_COMPARED_DELIVERIES)
    return any(
        moved.commit in (record.event.commit, record.event.after)
        and not record.event.requested_by
        and not record.event.schedule_id
        for _, record in view.select(DELIVERY, query).records
    )


def _forget(record: pb.KnownRefsRecord, found: Mapping[str, str]) -> None:
    """Forget refs that are gone, once there are too many."""
    gone = [ref for ref in record.commits if ref not in found]
    if len(gone) > len(found) + _KEPT_BESIDES:
        for ref in gone:
            del record.commits[ref]
