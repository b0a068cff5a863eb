"""The servicer of `AuditService`: lists audit records.

A list is read from the index of its most selective filter; the other filters are applied to its rows, of which a call
reads a bounded number: a page may be short, or empty, and still not be the last one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from typing import Any, cast

from sluiceway.api.project.v1 import audit_service_pb2 as pb
from sluiceway.api.project.v1 import audit_service_pb2_grpc as pb_grpc
from sluiceway.records.project.v1 import records_pb2 as records
from sluiceway_common.foundation.errors import InvalidInput, PermissionDenied, Violation
from sluiceway_common.foundation.rpc.access import Right
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind, current_caller, set_response_position
from sluiceway_server.datamanager.model import Fields, Query, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.datamanager.queries import Place, place_of, plan_list, token_of
from sluiceway_server.projects.pages import DEFAULT_PAGE, fingerprint_of, requested
from sluiceway_server.projects.records import AUDIT_RECORD
from sluiceway_server.projects.rights import require_right
from sluiceway_server.projects.tree import ROOTS, NodeType, find, resolve

_USERS = frozenset({NodeType.USER})
_ROWS_AT_ONCE = 500
_MOST_READS = 20
# The most selective first.
_INDEXED = ("resource_id", "caller_id", "root_id")


@dataclass(frozen=True, slots=True)
class _Filter:
    """Which records are listed.

    Attributes:
        where: columns that must equal a value.
        since: in seconds; earlier records are not listed.
        until: in seconds; None: no limit. Records at this time or later are not listed.
    """

    where: Mapping[str, str]
    since: int
    until: int | None

    @property
    def indexed(self) -> dict[str, str]:
        """The part that the index serves."""
        name = next((name for name in _INDEXED if name in self.where), None)
        return {} if name is None else {name: self.where[name]}

    def matches(self, fields: Fields) -> bool:
        """Return whether a row is listed, apart from its time."""
        return all(fields[name] == value for name, value in self.where.items())


class AuditServicer(pb_grpc.AuditServiceServicer):
    """Implements `AuditService`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ListAuditRecords(self, request: pb.ListAuditRecordsRequest, context: Any) -> pb.ListAuditRecordsResponse:
        caller = current_caller()
        wanted = await self._database.read(lambda view: _filter(view, caller, request), after=requested())
        fingerprint = fingerprint_of(caller, "audit", sorted(wanted.where.items()), wanted.since, wanted.until)
        size = request.page_size or DEFAULT_PAGE
        after = place_of(request.page_token, fingerprint, 1) if request.page_token else None
        if after is None and wanted.until is not None:
            after = Place((wanted.until,), "")
        found: list[pb.AuditRecord] = []
        for _ in range(_MOST_READS):
            read = partial(_page, caller=caller, wanted=wanted, after=after, size=size - len(found))
            page, after = await self._database.read(read)
            found += page
            if after is None or len(found) == size:
                break
        set_response_position(str(self._database.position))
        token = "" if after is None else token_of(fingerprint, after)
        return pb.ListAuditRecordsResponse(audit_records=found, next_page_token=token)


def _filter(view: View, caller: Caller, request: pb.ListAuditRecordsRequest) -> _Filter:
    """Check what the caller may list.

    Raises:
        InvalidInput: a time is not valid.
        NotFound, PermissionDenied: as the proto says.
    """
    where: dict[str, str] = {}
    if request.parent_id:
        where["root_id"] = require_right(view, caller, request.parent_id, ROOTS, Right.MANAGE).id
    elif caller.kind is not CallerKind.OPERATOR or caller.organization is not None:
        raise PermissionDenied(
            "only operators see the records of everybody; name an organization that you own, or yourself",
            reason="ROLE_MISSING",
        )
    if request.caller_id:
        user = resolve(view, request.caller_id, _USERS)
        where["caller_id"] = request.caller_id if user is None else user.id
    if request.resource_id:
        node = resolve(view, request.resource_id) if "/" in request.resource_id else None
        where["resource_id"] = request.resource_id if node is None else node.id
    for name in ("resource_type", "method"):
        if value := getattr(request, name):
            where[name] = value
    return _Filter(where, _seconds(request, "since") or 0, _seconds(request, "until"))


def _seconds(request: pb.ListAuditRecordsRequest, name: str) -> int | None:
    if not request.HasField(cast(Any, name)):
        return None
    try:
        return int(getattr(request, name).ToDatetime(tzinfo=UTC).timestamp())
    except (ValueError, OverflowError) as error:
        raise InvalidInput([Violation(name, "is not a valid time")]) from error


def _page(
    view: View, *, caller: Caller, wanted: _Filter, after: Place | None, size: int
) -> tuple[list[pb.AuditRecord], Place | None]:
    """Return the records of some rows after a place, and the place of the last row; None: there are no more."""
    query = Query(where=wanted.indexed, order=("-time",), size=_ROWS_AT_ONCE)
    if after is not None:
        token = plan_list(AUDIT_RECORD, query).token(after)
        query = Query(where=wanted.indexed, order=("-time",), size=_ROWS_AT_ONCE, token=token)
    rows = view.rows(AUDIT_RECORD, query)
    found: list[pb.AuditRecord] = []
    place: Place | None = None
    for id_, fields in rows.records:
        time = fields["time"]
        if isinstance(time, int) and time < wanted.since:
            return found, None
        place = Place((time,), id_)
        record = view.get(AUDIT_RECORD, id_) if wanted.matches(fields) else None
        if record is not None:
            found.append(_shown(view, id_, record, for_operator=caller.kind is CallerKind.OPERATOR))
            if len(found) == size:
                is_last = id_ == rows.records[-1][0] and not rows.next_token
                return found, None if is_last else place
    return found, place if rows.next_token else None


def _shown(view: View, id_: str, record: records.AuditRecord, *, for_operator: bool) -> pb.AuditRecord:
    user = find(view, record.caller_id, _USERS)
    shown = pb.AuditRecord(
        id=id_,
        time=record.time,
        caller_kind=record.caller_kind,
        caller_id=record.caller_id,
        caller_name="" if user is None else user.name,
        method=record.method,
        resource_type=record.resource_type,
        resource_id=record.resource_id,
        resource_path=record.resource_path,
        parent_id=record.root_id,
        details=record.details,
    )
    if for_operator:
        shown.peer, shown.forwarded_for = record.peer, record.forwarded_for
    return shown
