"""Access rules of RPCs: denied by default, and declared by every RPC."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pool

from sluiceway_common.foundation.errors import Code
from sluiceway_common.foundation.rpc.access import Access, access_of_services, check_access
from sluiceway_common.foundation.rpc.caller import PUBLIC, Caller, CallerKind
from sluiceway_common.foundation.rpc.channel import API_SERVICES

PROTO = Path(__file__).parents[3] / "proto"


def all_methods() -> list[str]:
    """Find every RPC by the proto files, so that none is left out."""
    methods = []
    for path in sorted(PROTO.rglob("sluiceway/api/**/*_pb2.py")):
        module = importlib.import_module(".".join(path.relative_to(PROTO).with_suffix("").parts))
        for service in module.DESCRIPTOR.services_by_name.values():
            methods += [f"/{service.full_name}/{method.name}" for method in service.methods]
    return methods


@pytest.mark.parametrize("method", all_methods())
def test_every_rpc_declares_who_may_call_it(method: str) -> None:
    service = method[1:].partition("/")[0]
    assert method in access_of_services([service]), f"{method} has no option `access`"


def test_every_user_rpc_but_the_public_ones_names_a_scope() -> None:
    access = access_of_services(API_SERVICES)
    lacking = [path for path, one in access.items() if one.kind in ("user", "operator") and not one.scope]
    # It gives a token with the scopes of that of the call.
    assert lacking == ["/sluiceway.api.project.v1.UserService/BeginSession"]


def test_access_list_has_every_service() -> None:
    assert {method[1:].partition("/")[0] for method in all_methods()} == set(API_SERVICES)


def test_resource_field_is_a_field_of_the_request() -> None:
    for path, access in access_of_services(API_SERVICES).items():
        if not access.resource_field:
            continue
        service, _, name = path[1:].partition("/")
        at: Any = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name].input_type
        for part in access.resource_field.split("."):
            assert at is not None, path
            assert part in at.fields_by_name, f"{path}: {access.resource_field}"
            at = at.fields_by_name[part].message_type


USER = Caller(CallerKind.USER, "u", frozenset({"runs:read"}))
ADMIN = Caller(CallerKind.OPERATOR, "a", frozenset({"*"}))
LIMITED_ADMIN = Caller(CallerKind.OPERATOR, "a", frozenset({"database:read"}))
EXECUTOR = Caller(CallerKind.EXECUTOR, "e", group="g")
PEER = Caller(CallerKind.PEER, "p")
READ = Access(CallerKind.USER, "runs:read")
WRITE = Access(CallerKind.USER, "runs:write")
OPERATE = Access(CallerKind.OPERATOR, "database:write")
EXECUTE = Access(CallerKind.EXECUTOR)
OPEN = Access(CallerKind.PUBLIC)


@pytest.mark.parametrize(
    ("access", "caller", "refusal"),
    [
        pytest.param(None, ADMIN, Code.PERMISSION_DENIED, id="what declares nothing is for nobody"),
        pytest.param(OPEN, PUBLIC, None, id="what is public is for anybody"),
        pytest.param(OPEN, EXECUTOR, None, id="what is public is for executors too"),
        pytest.param(READ, PUBLIC, Code.UNAUTHENTICATED, id="a user's method needs a token"),
        pytest.param(READ, USER, None, id="a user with the scope may"),
        pytest.param(WRITE, USER, Code.PERMISSION_DENIED, id="a user without the scope may not"),
        pytest.param(WRITE, ADMIN, None, id="an operator may do what users may"),
        pytest.param(WRITE, LIMITED_ADMIN, Code.PERMISSION_DENIED, id="an operator's token has scopes too"),
        pytest.param(OPERATE, USER, Code.PERMISSION_DENIED, id="a user is no operator"),
        pytest.param(OPERATE, ADMIN, None, id="an operator is"),
        pytest.param(EXECUTE, EXECUTOR, None, id="an executor may execute"),
        pytest.param(EXECUTE, ADMIN, Code.PERMISSION_DENIED, id="an operator is no executor"),
        pytest.param(EXECUTE, PEER, Code.PERMISSION_DENIED, id="a peer is no executor"),
        pytest.param(READ, EXECUTOR, Code.PERMISSION_DENIED, id="an executor is no user"),
    ],
)
def test_caller_is_allowed_or_denied(access: Access | None, caller: Caller, refusal: Code | None) -> None:
    found = check_access(access, caller, method="/a.B/C")
    assert (None if found is None else found.code) == refusal


def test_port_serves_only_its_kinds_of_callers() -> None:
    only = frozenset({CallerKind.EXECUTOR})
    assert check_access(EXECUTE, EXECUTOR, method="m", offered_to=only) is None
    assert check_access(OPEN, PUBLIC, method="m", offered_to=only) is None
    refused = check_access(READ, ADMIN, method="m", offered_to=only)
    assert refused is not None
    assert refused.reason == "WRONG_PORT"
