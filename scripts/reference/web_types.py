"""The types of responses for the web UI (`web/src/api/types.ts`), from the descriptors.

They are of the JSON that the gateway sends: lists, maps, numbers, strings and booleans are always there, enums and
messages if they are set, 64-bit integers are strings, and times RFC 3339.
"""

from __future__ import annotations

from typing import cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from sluiceway.api.executor.v1 import executor_admin_service_pb2
from sluiceway.api.project.v1 import (
    audit_service_pb2,
    delivery_service_pb2,
    invitation_service_pb2,
    linked_account_service_pb2,
    login_service_pb2,
    organization_service_pb2,
    project_service_pb2,
    quota_service_pb2,
    remote_source_service_pb2,
    schedule_service_pb2,
    secret_service_pb2,
    token_service_pb2,
    user_service_pb2,
    variable_service_pb2,
    webhook_service_pb2,
)
from sluiceway.api.run.v1 import run_service_pb2
from sluiceway_server.gateway.descriptions import description_of, json_name

__all__ = ["web_types"]

_HEAD = """\
// Generated from the protos by `make generate`. Do not edit.
//
// The JSON of responses: lists, maps, numbers, strings and booleans are always there, enums and messages if they are
// set. 64-bit integers are strings; times are RFC 3339, and durations seconds such as "1.5s".
"""
# With all that they consist of.
_ROOTS = (
    audit_service_pb2.ListAuditRecordsResponse,
    delivery_service_pb2.ListDeliveriesResponse,
    executor_admin_service_pb2.ListExecutorGroupsResponse,
    executor_admin_service_pb2.ListExecutorsResponse,
    invitation_service_pb2.AcceptInvitationResponse,
    invitation_service_pb2.CreateInvitationResponse,
    invitation_service_pb2.ListInvitationsResponse,
    invitation_service_pb2.ListReceivedInvitationsResponse,
    linked_account_service_pb2.ListLinkedAccountsResponse,
    login_service_pb2.GetDeviceLoginResponse,
    login_service_pb2.ListLoginSourcesResponse,
    organization_service_pb2.ListOrganizationMembersResponse,
    organization_service_pb2.ListOrganizationsResponse,
    project_service_pb2.ListProjectGroupsResponse,
    project_service_pb2.ListProjectsResponse,
    quota_service_pb2.GetQuotaResponse,
    remote_source_service_pb2.ListRemoteSourcesResponse,
    run_service_pb2.FindLogErrorResponse,
    run_service_pb2.GetLogIndexResponse,
    run_service_pb2.ListArtifactsResponse,
    run_service_pb2.ListRunsResponse,
    run_service_pb2.ListTasksResponse,
    run_service_pb2.ListTestsResponse,
    run_service_pb2.RunExplanation,
    run_service_pb2.SearchLogsResponse,
    run_service_pb2.WatchRunResponse,
    run_service_pb2.WatchRunsResponse,
    delivery_service_pb2.ListConfiguredRunsResponse,
    schedule_service_pb2.ListSchedulesResponse,
    secret_service_pb2.ListSecretsResponse,
    token_service_pb2.CreateTokenResponse,
    token_service_pb2.ListTokensResponse,
    user_service_pb2.ListUserTokensResponse,
    user_service_pb2.ListUsersResponse,
    variable_service_pb2.ListVariablesResponse,
    webhook_service_pb2.ListWebhookDeliveriesResponse,
    webhook_service_pb2.ListWebhooksResponse,
)
_STRINGS = frozenset(
    {
        FieldDescriptor.TYPE_STRING,
        FieldDescriptor.TYPE_BYTES,
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT64,
    }
)


def web_types() -> str:
    """Return the file."""
    found: dict[str, Descriptor | EnumDescriptor] = {}
    for root in _ROOTS:
        _collect(cast("Descriptor", root.DESCRIPTOR), found)
    return "\n".join([_HEAD, *(_declaration(each) for _, each in sorted(found.items()))])


def _collect(message: Descriptor, found: dict[str, Descriptor | EnumDescriptor]) -> None:
    if message.full_name.startswith("google.protobuf.") or message.name in found:
        return
    if not message.GetOptions().map_entry:
        found[message.name] = message
    for field in message.fields:
        if field.message_type is not None:
            _collect(field.message_type, found)
        elif field.enum_type is not None:
            found[field.enum_type.name] = field.enum_type


def _declaration(declared: Descriptor | EnumDescriptor) -> str:
    if isinstance(declared, EnumDescriptor):
        names = [f'  | "{value.name}"' for value in declared.values if value.number]
        return f"{_comment(declared)}export type {declared.name} =\n" + "\n".join(names) + ";\n"
    lines = [f"{_comment(declared)}export interface {declared.name} {{"]
    for field in declared.fields:
        mark = "" if _is_always_there(field) else "?"
        lines.append(f"{_comment(field, indent='  ')}  {json_name(field.name)}{mark}: {_type(field)};")
    return "\n".join([*lines, "}", ""])


def _is_always_there(field: FieldDescriptor) -> bool:
    return field.is_repeated or not (field.has_presence or field.enum_type is not None)


def _type(field: FieldDescriptor) -> str:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        return f"Record<string, {_single(entry.fields_by_name['value'])}>"
    return f"{_single(field)}[]" if field.is_repeated else _single(field)


def _single(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        return "string" if field.message_type.full_name.startswith("google.protobuf.") else field.message_type.name
    if field.enum_type is not None:
        return str(field.enum_type.name)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return "boolean"
    return "string" if field.type in _STRINGS else "number"


def _comment(described: Descriptor | EnumDescriptor | FieldDescriptor, *, indent: str = "") -> str:
    text = description_of(described).split("\n\n")[0].replace("\n", " ")
    return f"{indent}/** {text} */\n" if text else ""
