"""Executor groups: their settings, what counts of them, and their deletion.

A group is named by the tokens of its executors. It exists while it has settings, an executor or a valid token.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sluiceway.api.executor.v1 import executor_admin_service_pb2 as pb
from sluiceway.api.project.v1 import organization_service_pb2 as organization_api
from sluiceway.records.project.v1 import records_pb2 as project_records
from sluiceway.records.run.v1 import records_pb2 as records
from sluiceway_common.foundation.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    SluicewayError,
    Violation,
)
from sluiceway_common.foundation.rpc.access import Right
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind
from sluiceway_common.runmodel.executor_state import Deleted, ExecutorPhase
from sluiceway_server.datamanager.model import Action, Delete, Emit, Put, Query, View
from sluiceway_server.executors.presence import GroupDirectory
from sluiceway_server.projects.names import name_fault
from sluiceway_server.projects.records import ORGANIZATION_MEMBER, TOKEN
from sluiceway_server.projects.rights import has_right
from sluiceway_server.projects.tokens import is_good, kind_name, revoked
from sluiceway_server.projects.tree import NodeType, find, path_of, require
from sluiceway_server.runrecords.executor_record import drain_of, has_live_assignments, phase_of, transition
from sluiceway_server.runrecords.types import ASSIGNMENT, EXECUTOR, EXECUTOR_GROUP, TOPIC_PLACEMENT
from sluiceway_server.runs.transaction import KIND_PLACEMENT

CHANGEABLE = frozenset({"serves", "serves_all", "takes_forks"})
_MAX_COUNTED = 1000


def group_names(view: View, now: datetime) -> list[str]:
    """Return the names of all groups, sorted."""
    names = {name for name, _ in view.scan(EXECUTOR_GROUP)}
    names |= {record.group for _, record in view.scan(EXECUTOR) if phase_of(record) is not ExecutorPhase.DELETED}
    names |= {token.group for _, token in _executor_tokens(view) if is_good(token, now)}
    return sorted(names)


def exists(view: View, name: str, now: datetime) -> bool:
    """Return whether there is a group."""
    return (
        view.get(EXECUTOR_GROUP, name) is not None
        or any(_members(view, name))
        or any(is_good(token, now) for _, token in _tokens_of(view, name))
    )


def no_group(name: str) -> NotFound:
    """Make the error for a group that does not exist."""
    return NotFound(f"there is no executor group {name!r}", resource_type="executor_group", resource_name=name)


def show_groups(
    view: View, names: Sequence[str], directory: GroupDirectory, *, caller: Caller, now: datetime
) -> list[pb.ExecutorGroup]:
    """Return groups as `caller` sees them: nodes of the tree that are hidden from the caller are left out."""
    members: defaultdict[str, dict[str, records.ExecutorRecord]] = defaultdict(dict)
    for id_, record in view.scan(EXECUTOR):
        if phase_of(record) is not ExecutorPhase.DELETED:
            members[record.group][id_] = record
    groups = [_counts(view, name, members[name], live=directory.members(name)) for name in names]
    for group in groups:
        group.tokens = sum(is_good(token, now) for _, token in _tokens_of(view, group.name))
        stored = view.get(EXECUTOR_GROUP, group.name)
        if stored is None:
            group.serves_all, group.takes_forks = True, directory.takes_forks(group.name)
            continue
        group.serves.extend(sorted(_paths(view, stored.serves, caller)))
        group.serves_all, group.takes_forks = stored.serves_all, stored.takes_forks
        group.create_time.CopyFrom(stored.create_time)
    return groups


def _counts(
    view: View, name: str, members: Mapping[str, records.ExecutorRecord], *, live: Sequence[str]
) -> pb.ExecutorGroup:
    usable = [record for id_, record in members.items() if id_ in live and drain_of(record) is None]
    used = [view.count(ASSIGNMENT, {"executor_id": id_, "live": 1}, limit=_MAX_COUNTED) for id_ in members]
    return pb.ExecutorGroup(
        name=name,
        executor_ids=live,
        executors=len(members),
        slots=sum(record.slots for record in usable),
        slots_used=sum(used),
    )


def _paths(view: View, ids: Collection[str], caller: Caller) -> Iterator[str]:
    for id_ in ids:
        node = find(view, id_)
        try:
            if node is not None and has_right(view, caller, node, Right.READ):
                yield path_of(view, node)
        except NotFound:
            continue  # an organization that is being deleted


def create_group(view: View, wanted: pb.ExecutorGroup, caller: Caller, now: datetime) -> list[Action]:
    """Return the actions that create a group.

    Raises:
        InvalidInput: every fault of its fields.
        NotFound: it is to serve what does not exist.
        AlreadyExists: there is such a group.
    """
    faults = [] if (fault := name_fault(wanted.name)) is None else [Violation("executor_group.name", fault)]
    if faults := [*faults, *_faults(wanted)]:
        raise InvalidInput(faults)
    if exists(view, wanted.name, now):
        raise AlreadyExists(
            f'there is an executor group "{wanted.name}"; change its settings with: '
            f"sluice executor group update {wanted.name}",
            resource_type="executor_group",
            resource_name=wanted.name,
        )
    serves = _nodes(view, wanted.serves)
    if not serves and not wanted.serves_all:
        serves = _own_nodes(view, caller)
    record = records.ExecutorGroupRecord(serves=serves, serves_all=wanted.serves_all, takes_forks=wanted.takes_forks)
    record.create_time.FromDatetime(now)
    return [Put(EXECUTOR_GROUP, wanted.name, record)]


def update_group(
    view: View, wanted: pb.ExecutorGroup, fields: Collection[str], *, takes_forks: bool, now: datetime
) -> list[Action]:
    """Return the actions that change settings of a group; none if nothing changes.

    Args:
        view: the database.
        wanted: the new values.
        fields: that are changed.
        takes_forks: whether a group without settings takes runs of forks.
        now: the time.

    Raises:
        InvalidInput: every fault of its fields.
        NotFound: there is no such group, or it is to serve what does not exist.
    """
    if faults := _faults(wanted):
        raise InvalidInput(faults)
    before = view.get(EXECUTOR_GROUP, wanted.name)
    if before is None and not exists(view, wanted.name, now):
        raise no_group(wanted.name)
    changed = records.ExecutorGroupRecord()
    if before is None:
        changed.serves_all, changed.takes_forks = True, takes_forks
        changed.create_time.FromDatetime(now)
    else:
        changed.CopyFrom(before)
    if "serves" in fields:
        del changed.serves[:]
        changed.serves.extend(_nodes(view, wanted.serves))
        changed.serves_all = False
    if "serves_all" in fields and wanted.serves_all != changed.serves_all:
        changed.serves_all = wanted.serves_all
        if wanted.serves_all:
            del changed.serves[:]
    if "takes_forks" in fields:
        changed.takes_forks = wanted.takes_forks
    if changed == before:
        return []
    # What no group served before may be placed now.
    notice = records.PlacementNotice(executors_changed=True)
    return [
        Put(EXECUTOR_GROUP, wanted.name, changed),
        Emit(KIND_PLACEMENT, (TOPIC_PLACEMENT,), notice.SerializeToString()),
    ]


@dataclass(frozen=True, slots=True)
class DeletedGroup:
    """What the deletion of a group does: `actions`, and the executors whose tasks are to be lost."""

    actions: Sequence[Action]
    executor_ids: Sequence[str]


def delete_group(view: View, name: str, *, force: bool, now: datetime) -> DeletedGroup:
    """Return what deletes a group, its executors, and its tokens.

    Raises:
        NotFound: there is no such group.
        FailedPrecondition: `EXECUTORS_BUSY`.
    """
    if not exists(view, name, now):
        raise no_group(name)
    members = list(_members(view, name))
    busy = [id_ for id_ in members if has_live_assignments(view, id_)]
    if busy and not force:
        raise FailedPrecondition(
            f'executors of the group "{name}" run tasks: {", ".join(busy[:10])}; wait for them with '
            f"`sluice executor drain --group {name} --wait`, or delete the group with force: then those tasks are lost",
            reason="EXECUTORS_BUSY",
            subject=name,
        )
    actions: list[Action] = []
    if view.get(EXECUTOR_GROUP, name) is not None:
        actions.append(Delete(EXECUTOR_GROUP, name))
    for id_, token in _tokens_of(view, name):
        if not token.HasField("revoke_time"):
            actions.append(Put(TOKEN, id_, revoked(view, id_, now, keep_an_operator=False)))
    for id_ in members:
        actions += transition(view, id_, Deleted(has_assignments=id_ in busy), now)
    return DeletedGroup(actions, members)


def _faults(wanted: pb.ExecutorGroup) -> list[Violation]:
    if wanted.serves and wanted.serves_all:
        return [Violation("executor_group.serves_all", "excludes a list of what it serves")]
    return []


def _nodes(view: View, references: Sequence[str]) -> list[str]:
    faults, found = [], set()
    for at, reference in enumerate(references):
        try:
            found.add(require(view, reference).id)
        except SluicewayError as error:
            faults.append(Violation(f"executor_group.serves[{at}]", str(error)))
    if faults:
        raise NotFound("; ".join(each.message for each in faults), resource_type="node", resource_name=references[0])
    return sorted(found)


def _own_nodes(view: View, caller: Caller) -> list[str]:
    """Return the caller's own node of the tree, and the organizations that the caller owns."""
    found = {caller.id} if find(view, caller.id, {NodeType.USER}) is not None else set()
    page = view.select(ORGANIZATION_MEMBER, Query(where={"user_id": caller.id}, size=_MAX_COUNTED))
    owner = organization_api.ORGANIZATION_ROLE_OWNER
    return sorted(found | {member.organization_id for _, member in page.records if member.role == owner})


def _members(view: View, name: str) -> Iterator[str]:
    query = Query(where={"group": name}, size=_MAX_COUNTED)
    for id_, record in view.select(EXECUTOR, query).records:
        if phase_of(record) is not ExecutorPhase.DELETED:
            yield id_


def _tokens_of(view: View, name: str) -> Iterator[tuple[str, project_records.Token]]:
    return _all_pages(view, Query(where={"group": name}, order=("name",), size=_MAX_COUNTED))


def _executor_tokens(view: View) -> Iterator[tuple[str, project_records.Token]]:
    return _all_pages(view, Query(where={"kind": kind_name(CallerKind.EXECUTOR)}, order=("name",), size=_MAX_COUNTED))


def _all_pages(view: View, query: Query) -> Iterator[tuple[str, project_records.Token]]:
    while True:
        page = view.select(TOKEN, query)
        yield from page.records
        if not page.next_token:
            return
        query = replace(query, token=page.next_token)
