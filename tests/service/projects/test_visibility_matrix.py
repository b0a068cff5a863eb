"""Every method of the project side, for every caller and every resource: who sees it, and who may change it.

The calls are made from the descriptors, so a new method is in the table by itself.
"""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.message_factory import GetMessageClass

from sluiceway.api.options.v1 import options_pb2
from sluiceway_common.foundation.errors import Code, SluicewayError
from tests.support.project_services import IDS, ServedProjects, served_projects

ACCESS: Any = options_pb2.access
PACKAGE = "sluiceway.api.project.v1"
SERVICES = ("ProjectService", "OrganizationService", "InvitationService", "QuotaService", "UserService")

# N: not found, R: READ, C: CONFIGURE, M: MANAGE.
ROLES = ("stranger", "reader", "member", "owner", "operator")
RIGHTS = {
    #                   stranger reader member owner operator
    "acme":             "R R C M M",
    "hidden":           "N N N N M",
    "public-group":     "R R C M M",
    "private-group":    "N R C M M",
    "public-project":   "R R C M M",
    "private-project":  "N R C M M",
    "below-private":    "N R C M M",
    "own-project":      "N N N M M",
    "hidden-project":   "N N N N M",
    "owner":            "R R R M M",
    "unknown":          "N N N N N",
}  # fmt: skip
NEEDED = {options_pb2.RIGHT_READ: "RCM", options_pb2.RIGHT_CONFIGURE: "CM", options_pb2.RIGHT_MANAGE: "M"}
IDS_OF = {**IDS, "unknown": "01a22c3c-2f37-7681-b7d7-ffffffffffff"}
RESOURCES = {
    "project": [name for name in RIGHTS if "project" in name or name in {"below-private", "unknown"}],
    "project_group": ["public-group", "private-group", "unknown"],
    "organization": ["acme", "hidden", "unknown"],
    "user": ["owner", "unknown"],
    "node": list(RIGHTS),
    "parent": ["acme", "hidden", "public-group", "private-group", "owner", "unknown"],
}


def _methods() -> list[tuple[str, str, str, int]]:
    """Return the methods that name a resource and are for users: service, method, field, right."""
    found = []
    for service in SERVICES:
        for method in descriptor_pool.Default().FindServiceByName(f"{PACKAGE}.{service}").methods:
            declared = method.GetOptions().Extensions[ACCESS]
            if declared.resource_field:
                assert declared.right in NEEDED, f"{method.full_name} declares no right"
                found.append((service, method.name, declared.resource_field, declared.right, declared.caller))
    return [row[:4] for row in found if row[4] == options_pb2.CALLER_USER]


METHODS = _methods()
# What those who were admitted are told of another resource: the user or token of the request is none. Who is a member
# is for members, also of a public organization.
ADMITTED = {
    "RemoveOrganizationMember": (Code.NOT_FOUND,),
    "RevokeUserToken": (Code.NOT_FOUND,),
    "DeleteInvitation": (Code.NOT_FOUND,),
    "ListOrganizationMembers": (Code.PERMISSION_DENIED,),
}


def _request(service: str, method: str, field: str, id_: str) -> Any:
    """Make a request with the required fields, none of which is valid except the resource: nothing is changed."""
    descriptor = descriptor_pool.Default().FindServiceByName(f"{PACKAGE}.{service}").FindMethodByName(method)
    request: Any = GetMessageClass(descriptor.input_type)()
    target = request
    *messages, name = field.split(".")
    for message in messages:
        target = getattr(target, message)
    setattr(target, name, id_)
    if messages and method.startswith("Create"):
        target.name = "not a name"
    for other in ("user_id", "token_name", "password", "invitation_id"):
        if hasattr(request, other) and not getattr(request, other):
            setattr(request, other, " x")
    if hasattr(request, "role"):
        request.role = 9
    if hasattr(request, "invitation"):
        request.invitation.role = 9
    if hasattr(request, "update_mask"):
        request.update_mask.paths.append("nothing")
    if hasattr(request, "etag"):
        request.etag = "another"
    return request


async def _code(served: ServedProjects, caller: str, service: str, method: str, request: Any) -> tuple[str, str]:
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in service).lstrip("_")
    stub = getattr(importlib.import_module(f"{PACKAGE}.{snake}_pb2_grpc"), f"{service}Stub")
    try:
        await served.call(caller, stub, method, request)
    except SluicewayError as error:
        return error.code, error.reason
    return "OK", ""


def test_matrix_has_all_methods_with_a_resource() -> None:
    assert len(METHODS) == 24
    assert {field for _, _, field, _ in METHODS} == {
        "project.parent_id", "project_id", "project.id", "project_group.parent_id", "project_group_id",
        "project_group.id", "organization_id", "node_id", "organization.id", "user_id", "user.id",
    }  # fmt: skip


@pytest.mark.parametrize(("service", "method", "field", "right"), METHODS, ids=[row[1] for row in METHODS])
async def test_method_is_for_who_has_the_right_on_the_resource(
    service: str, method: str, field: str, right: int
) -> None:
    kind = field.split(".", maxsplit=1)[0] if field.endswith(".id") else field.rpartition(".")[2].removesuffix("_id")
    wrong = []
    async with served_projects() as served:
        before = len(served.database.history)
        for resource in RESOURCES[kind]:
            request = _request(service, method, field, IDS_OF[resource])
            for caller, has in zip(ROLES, RIGHTS[resource].split(), strict=True):
                code, reason = await _code(served, caller, service, method, request)
                if has == "N":
                    as_expected = code == Code.NOT_FOUND
                elif has not in NEEDED[right]:  # type: ignore[index]  # a number of the enum
                    as_expected = code == Code.PERMISSION_DENIED and reason == "ROLE_MISSING"
                else:
                    # Admitted: refused for a fault that only who was admitted is told, or it is a read.
                    as_expected = code in {"OK", Code.INVALID_ARGUMENT, Code.ABORTED, *ADMITTED.get(method, ())}
                if not as_expected:
                    wrong.append((resource, caller, has, code, reason))
            for caller, code in (("nobody", Code.UNAUTHENTICATED), ("executor", Code.PERMISSION_DENIED)):
                if (found := (await _code(served, caller, service, method, request))[0]) != code:
                    wrong.append((resource, caller, "", found, ""))
        assert not wrong
        assert len(served.database.history) == before, "a call changed something"
