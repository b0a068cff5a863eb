"""The servicer of `VariableService`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sluiceway.api.project.v1 import variable_service_pb2 as api
from sluiceway.api.project.v1 import variable_service_pb2_grpc as api_grpc
from sluiceway.records.project.v1 import secrets_pb2 as pb
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import Violation
from sluiceway_common.foundation.rpc.caller import current_caller, set_response_position
from sluiceway_common.foundation.texts import foreign_fault
from sluiceway_common.runconfig.when import check_expression
from sluiceway_server.datamanager.model import Delete, Position, Put, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.projects.auditing import Subject
from sluiceway_server.projects.changes import Change, Changes, check_etag, etag_of
from sluiceway_server.projects.fields import changed_fields, check_fields
from sluiceway_server.projects.names import name_fault
from sluiceway_server.projects.node_resources import ResourceKind
from sluiceway_server.projects.pages import requested
from sluiceway_server.projects.quotas import check_one_more
from sluiceway_server.projects.secret_records import VARIABLE
from sluiceway_server.projects.secret_values import key_fault

__all__ = ["VARIABLES", "VariableServicer"]

VARIABLES: ResourceKind[pb.Variable] = ResourceKind("variable", VARIABLE)

_CHANGEABLE = ("name", "values")
_MAX_RULES = 100
_MAX_RULE = 1000


class VariableServicer(api_grpc.VariableServiceServicer):
    """Implements `VariableService`."""

    def __init__(self, database: Database, *, clock: Clock, ids: IdSource) -> None:
        self._database = database
        self._changes = Changes(database, clock=clock, ids=ids)

    async def CreateVariable(self, request: api.CreateVariableRequest, context: Any) -> api.CreateVariableResponse:
        wanted, caller = request.variable, current_caller()
        check_fields("variable", of_value=True, name=wanted.name, others=list(_values_faults(wanted)))

        def create(view: View, now: datetime, id_: str) -> Change[str]:
            parent = VARIABLES.parent(view, caller, wanted.parent_id)
            VARIABLES.check_name_is_free(view, parent.id, wanted.name)
            check_one_more(view, parent, "variables", VARIABLE)
            variable = pb.Variable(name=wanted.name, parent_id=parent.id, values=wanted.values)
            variable.create_time.FromDatetime(now)
            subject = _subject(view, id_, variable, _details(variable))
            return Change(id_, subject, [Put(VARIABLE, id_, variable)])

        created = await self._changes.create(request, request.request_id, create)
        return api.CreateVariableResponse(variable=await self._read(created.value, created.position))

    async def GetVariable(self, request: api.GetVariableRequest, context: Any) -> api.GetVariableResponse:
        position = requested() or await self._database.linearize()
        return api.GetVariableResponse(variable=await self._read(request.variable_id, position))

    async def ListVariables(self, request: api.ListVariablesRequest, context: Any) -> api.ListVariablesResponse:
        variables, token = await VARIABLES.list(self._database, request, _shown)
        return api.ListVariablesResponse(variables=variables, next_page_token=token)

    async def UpdateVariable(self, request: api.UpdateVariableRequest, context: Any) -> api.UpdateVariableResponse:
        wanted, caller = request.variable, current_caller()
        fields = _checked_fields(request)

        def update(view: View, now: datetime) -> Change[str]:
            id_, stored = VARIABLES.find(view, caller, wanted.id)
            check_etag(view, VARIABLE, id_, wanted.etag)
            changed = pb.Variable()
            changed.CopyFrom(stored)
            details: list[str] = []
            if not fields:
                return Change(id_)
            if "name" in fields:
                VARIABLES.check_name_is_free(view, stored.parent_id, wanted.name, except_id=id_)
                changed.name = wanted.name
                details.append(f"name: {wanted.name}")
            if "values" in fields:
                del changed.values[:]
                changed.values.extend(wanted.values)
                details += _details(changed)
            subject = _subject(view, id_, stored, details)
            return Change(id_, subject, [Put(VARIABLE, id_, changed)])

        changed = await self._changes.commit("UpdateVariable", update)
        return api.UpdateVariableResponse(variable=await self._read(changed.value, changed.position))

    async def DeleteVariable(self, request: api.DeleteVariableRequest, context: Any) -> api.DeleteVariableResponse:
        caller = current_caller()

        def delete(view: View, now: datetime) -> Change[None]:
            id_, stored = VARIABLES.find(view, caller, request.variable_id)
            check_etag(view, VARIABLE, id_, request.etag)
            subject = _subject(view, id_, stored)
            return Change(None, subject, [Delete(VARIABLE, id_)])

        await self._changes.commit("DeleteVariable", delete)
        return api.DeleteVariableResponse()

    async def _read(self, reference: str, after: Position) -> api.Variable:
        caller = current_caller()
        found = await self._database.read(
            lambda view: _shown(view, *VARIABLES.find(view, caller, reference)), after=after
        )
        set_response_position(str(self._database.position))
        return found


def _subject(view: View, id_: str, variable: pb.Variable, details: Sequence[str] = ()) -> Subject:
    return Subject("variable", id_, VARIABLES.path_of(view, variable), details, parent_id=variable.parent_id)


def _details(variable: pb.Variable) -> list[str]:
    return [f"value: {value.secret_name}.{value.key}" for value in variable.values]


def _checked_fields(request: api.UpdateVariableRequest) -> frozenset[str]:
    """Check an update, and return the fields that it changes. Raises with every fault."""
    wanted = request.variable
    fields = changed_fields(wanted, request.update_mask, _CHANGEABLE)
    faults = list(_values_faults(wanted)) if "values" in fields else []
    check_fields("variable", of_value=True, name=wanted.name if "name" in fields else None, others=faults)
    return fields


def _values_faults(variable: api.Variable) -> Iterator[Violation]:
    for index, value in enumerate(variable.values):
        where = f"variable.values[{index}]"
        if fault := name_fault(value.secret_name):
            yield Violation(f"{where}.secret_name", fault)
        if fault := key_fault(value.key):
            yield Violation(f"{where}.key", fault)
        for name in ("branch", "tag", "ref"):
            rule: api.WhenRule = getattr(value.when, name)
            for side in ("include", "exclude"):
                yield from _rule_faults(f"{where}.when.{name}.{side}", getattr(rule, side))


def _rule_faults(path: str, rules: Sequence[str]) -> Iterator[Violation]:
    if len(rules) > _MAX_RULES:
        yield Violation(path, f"{len(rules)} rules; at most {_MAX_RULES} are allowed")
        return
    for index, rule in enumerate(rules):
        fault = foreign_fault(rule, most=_MAX_RULE) if rule else "must not be empty"
        if fault is None:
            try:
                check_expression(rule)
            except ValueError as error:
                fault = str(error)
        if fault is not None:
            yield Violation(f"{path}[{index}]", fault)


def _shown(view: View, id_: str, variable: pb.Variable) -> api.Variable:
    return api.Variable(
        id=id_,
        name=variable.name,
        etag=etag_of(view, VARIABLE, id_),
        create_time=variable.create_time,
        parent_id=variable.parent_id,
        values=variable.values,
    )
