"""`UserService` through a real port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from sluiceway.api.project.v1 import project_service_pb2 as project_pb
from sluiceway.api.project.v1 import project_service_pb2_grpc as project_pb_grpc
from sluiceway.api.project.v1 import user_service_pb2 as pb
from sluiceway.api.project.v1 import user_service_pb2_grpc as pb_grpc
from sluiceway.client import connect
from sluiceway_common.foundation.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    SluicewayError,
    Unauthenticated,
)
from sluiceway_common.foundation.rpc.caller import CallerKind
from sluiceway_server.projects.records import AUDIT_RECORD, TOKEN, USER
from sluiceway_server.projects.tokens import TokenSpec, make_token
from tests.support.project_services import IDS, ServedProjects, served_projects

STUB = pb_grpc.UserServiceStub


@pytest.fixture
async def served() -> AsyncIterator[ServedProjects]:
    async with served_projects() as running:
        yield running


async def _create(served: ServedProjects, name: str, **more: Any) -> pb.User:
    request = pb.CreateUserRequest(user=pb.User(name=name, **more))
    made: pb.CreateUserResponse = await served.call("operator", STUB, "CreateUser", request)
    return made.user


async def _as(served: ServedProjects, token: str, stub: Any, method: str, request: Any) -> Any:
    """Call a method with a token."""
    async with connect(served.address, token=token) as client:
        return await client.connection.call(getattr(stub(client.connection.channel), method), request)


async def _whoever(served: ServedProjects, token: str) -> Any:
    return await _as(served, token, STUB, "ListUsers", pb.ListUsersRequest(page_size=1))


async def test_user_is_created_by_an_operator_and_deleted(served: ServedProjects) -> None:
    made = await _create(served, "Zoe")
    assert (made.name, made.operator, len(made.id)) == ("Zoe", False, 36)
    for reference in (made.id, "zoe", "user/ZOE"):
        found = await served.call("stranger", STUB, "GetUser", pb.GetUserRequest(user_id=reference))
        assert found.user == made
    for caller in ("owner", "executor"):
        with pytest.raises(PermissionDenied):
            await served.call(caller, STUB, "CreateUser", pb.CreateUserRequest(user={"name": "another"}))
        with pytest.raises(PermissionDenied):
            await served.call(caller, STUB, "DeleteUser", pb.DeleteUserRequest(user_id=made.id))
    await served.call("operator", STUB, "DeleteUser", pb.DeleteUserRequest(user_id="zoe"))
    with pytest.raises(NotFound):
        await served.call("operator", STUB, "GetUser", pb.GetUserRequest(user_id=made.id))
    assert (await _create(served, "zoe")).id != made.id


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("OWNER", AlreadyExists),
        ("", InvalidInput),
        ("a/b", InvalidInput),
        ("a.b", InvalidInput),
        ("\u0430lice", InvalidInput),
        ("a" * 41, InvalidInput),
        (IDS["owner"], InvalidInput),
        ("me", InvalidInput),
        ("Me", InvalidInput),
    ],
)
async def test_name_of_a_user_is_checked(served: ServedProjects, name: str, error: type[SluicewayError]) -> None:
    with pytest.raises(error):
        await _create(served, name)
    request = pb.UpdateUserRequest(user={"id": "stranger", "name": name}, update_mask=FieldMask(paths=["name"]))
    with pytest.raises(error):
        await served.call("stranger", STUB, "UpdateUser", request)


async def test_user_gets_the_tokens_that_have_its_name(served: ServedProjects) -> None:
    spec = TokenSpec(CallerKind.USER, "old", user_id="eve", scopes=frozenset({"*"}))
    token = await make_token(served.database, spec)
    user = await _create(served, "eve")
    assert user.id == "eve"
    project = project_pb.CreateProjectRequest(project={"name": "own", "parent_id": "user/eve"})
    made = await _as(served, token, project_pb_grpc.ProjectServiceStub, "CreateProject", project)
    assert made.project.path == "user/eve/own"
    # The id stays taken when the name becomes free.
    rename = pb.UpdateUserRequest(user={"id": "eve", "name": "eva"})
    await served.call("operator", STUB, "UpdateUser", rename)
    with pytest.raises(AlreadyExists):
        await _create(served, "eve")


async def test_user_of_operators_tokens_must_be_an_operator(served: ServedProjects) -> None:
    with pytest.raises(InvalidInput, match="operators' tokens"):
        await _create(served, "admin")
    assert (await _create(served, "admin", operator=True)).id == "admin"


async def test_deleted_user_loses_tokens_projects_and_memberships(served: ServedProjects) -> None:
    await served.call("operator", STUB, "DeleteUser", pb.DeleteUserRequest(user_id="owner"))
    with pytest.raises(Unauthenticated):
        await _whoever(served, served.tokens["owner"])
    request = project_pb.GetProjectRequest(project_id=IDS["own-project"])
    with pytest.raises(NotFound):
        await served.call("operator", project_pb_grpc.ProjectServiceStub, "GetProject", request)
    users = await served.database.read(lambda view: {token.user_id for _, token in view.scan(TOKEN)})
    assert IDS["owner"] not in users


async def test_last_operator_is_neither_deleted_nor_demoted(served: ServedProjects) -> None:
    await _create(served, "admin", operator=True)
    demote = pb.UpdateUserRequest(user={"id": "admin"}, update_mask=FieldMask(paths=["operator"]))
    for method, request in (("DeleteUser", pb.DeleteUserRequest(user_id="admin")), ("UpdateUser", demote)):
        with pytest.raises(FailedPrecondition) as refused:
            await served.call("operator", STUB, method, request)
        assert refused.value.reason == "LAST_OPERATOR_TOKEN"
    other = await _create(served, "root", operator=True)
    token = pb.CreateUserTokenRequest(user_id=other.id, token_name="first")
    made = await served.call("operator", STUB, "CreateUserToken", token)
    await _as(served, made.token, STUB, "UpdateUser", demote)
    # The token of the former operator is that of a user now.
    with pytest.raises(PermissionDenied):
        await _create(served, "another")
    await _whoever(served, served.tokens["operator"])


async def test_only_operators_say_who_is_one(served: ServedProjects) -> None:
    promote = pb.UpdateUserRequest(user={"id": "stranger", "operator": True})
    with pytest.raises(PermissionDenied):
        await served.call("stranger", STUB, "UpdateUser", promote)
    with pytest.raises(PermissionDenied):
        await served.call("owner", STUB, "UpdateUser", promote)
    assert not (await served.database.get(USER, IDS["stranger"])).operator
    assert (await served.call("operator", STUB, "UpdateUser", promote)).user.operator


async def test_user_creates_and_revokes_own_tokens(served: ServedProjects) -> None:
    request = pb.CreateUserTokenRequest(user_id="stranger", token_name="laptop", scopes=["users:read"])
    made = await served.call("stranger", STUB, "CreateUserToken", request)
    await _whoever(served, made.token)
    with pytest.raises(PermissionDenied):
        await _as(served, made.token, STUB, "CreateUserToken", request)
    with pytest.raises(AlreadyExists):
        await served.call("stranger", STUB, "CreateUserToken", request)
    # Another user may have a token of this name.
    request.user_id = "owner"
    await served.call("owner", STUB, "CreateUserToken", request)
    with pytest.raises(PermissionDenied):
        await served.call("stranger", STUB, "CreateUserToken", request)
    revoke = pb.RevokeUserTokenRequest(user_id="stranger", token_name="laptop")
    await served.call("stranger", STUB, "RevokeUserToken", revoke)
    with pytest.raises(Unauthenticated):
        await _whoever(served, made.token)
    with pytest.raises(NotFound):
        await served.call("stranger", STUB, "RevokeUserToken", revoke)
    await served.call("owner", STUB, "RevokeUserToken", pb.RevokeUserTokenRequest(user_id="owner", token_name="laptop"))


async def test_user_is_named_me_in_calls_of_their_own(served: ServedProjects) -> None:
    for name in ("stranger", "owner"):
        me = (await served.call(name, STUB, "GetUser", pb.GetUserRequest(user_id="me"))).user
        assert me.name == name
        made = await served.call(name, STUB, "CreateUserToken", pb.CreateUserTokenRequest(user_id="me", token_name="x"))
        await _whoever(served, made.token)
        await served.call(name, STUB, "RevokeUserToken", pb.RevokeUserTokenRequest(user_id="me", token_name="x"))
        with pytest.raises(Unauthenticated):
            await _whoever(served, made.token)


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (pb.CreateUserTokenRequest(user_id="owner"), "token_name"),
        (pb.CreateUserTokenRequest(user_id="owner", token_name=" x"), "token_name"),
        (pb.CreateUserTokenRequest(user_id="owner", token_name="x", scopes=["runs:raed"]), "scopes[0]"),
        (pb.CreateUserTokenRequest(user_id="owner", token_name="x", expire_time={"seconds": 1}), "expire_time"),
    ],
)
async def test_invalid_token_of_a_user_is_refused(
    served: ServedProjects, request_: pb.CreateUserTokenRequest, path: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await served.call("owner", STUB, "CreateUserToken", request_)
    assert path in [violation.path for violation in refused.value.violations]


async def _log_in(served: ServedProjects, name: str, password: str, **more: Any) -> pb.LogInResponse:
    request = pb.LogInRequest(user_name=name, password=password, **more)
    response: pb.LogInResponse = await served.call("nobody", STUB, "LogIn", request)
    return response


async def test_password_opens_a_session(served: ServedProjects) -> None:
    password = "correct horse \u00e9"
    await served.call("owner", STUB, "SetUserPassword", pb.SetUserPasswordRequest(user_id="owner", password=password))
    stored = await served.database.get(USER, IDS["owner"])
    assert stored.password_hash.startswith("$argon2id$")
    session = await _log_in(served, "OWNER", "correct horse e\u0301")
    assert session.user.id == IDS["owner"]
    await _whoever(served, session.token)
    tokens = await served.database.read(lambda view: [token for _, token in view.scan(TOKEN)])
    (made,) = [token for token in tokens if token.name.startswith("login ")]
    lasts = made.expire_time.ToDatetime(tzinfo=UTC) - datetime.now(UTC)
    assert timedelta(hours=23) < lasts <= timedelta(days=1)
    for name, wrong in (("owner", "correct horse"), ("owner", ""), ("nobody", password), ("member", password)):
        with pytest.raises((Unauthenticated, InvalidInput)) as refused:
            await _log_in(served, name, wrong)
        if wrong:
            assert refused.value.message == "the name or the password is wrong"


async def test_password_is_changed_with_the_current_one(served: ServedProjects) -> None:
    def request(user: str, new: str, current: str = "") -> pb.SetUserPasswordRequest:
        return pb.SetUserPasswordRequest(user_id=user, password=new, current_password=current)

    await served.call("owner", STUB, "SetUserPassword", request("owner", "first password"))
    with pytest.raises(PermissionDenied) as refused:
        await served.call("owner", STUB, "SetUserPassword", request("owner", "second password", "wrong"))
    assert refused.value.reason == "PASSWORD_WRONG"
    with pytest.raises(PermissionDenied):
        await served.call("stranger", STUB, "SetUserPassword", request("owner", "second password", "first password"))
    with pytest.raises(InvalidInput, match="8 to 1024"):
        await served.call("owner", STUB, "SetUserPassword", request("owner", "short", "first password"))
    await served.call("owner", STUB, "SetUserPassword", request("owner", "second password", "first password"))
    await _log_in(served, "owner", "second password")
    await served.call("operator", STUB, "SetUserPassword", request("owner", "third password"))
    await _log_in(served, "owner", "third password")
    found = await served.database.read(lambda view: [record for _, record in view.scan(AUDIT_RECORD)])
    assert [(each.method, list(each.details)) for each in found if each.method == "SetUserPassword"] == [
        ("SetUserPassword", ["password"])
    ] * 3


async def test_session_has_a_longest_time(served: ServedProjects) -> None:
    for expire in (timedelta(days=31), timedelta(days=-1)):
        time = int((datetime.now(UTC) + expire).timestamp())
        with pytest.raises(InvalidInput):
            await _log_in(served, "owner", "any password", expire_time={"seconds": time})
