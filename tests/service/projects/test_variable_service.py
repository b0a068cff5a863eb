"""`VariableService` through a real port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from sluiceway.api.project.v1 import variable_service_pb2 as api
from sluiceway.api.project.v1 import variable_service_pb2_grpc as api_grpc
from sluiceway.client.secrets import Variables
from sluiceway_common.foundation.errors import AlreadyExists, Conflict, InvalidInput, NotFound, PermissionDenied
from sluiceway_server.projects.records import AUDIT_RECORD
from tests.support.project_services import IDS, ServedProjects, served_projects

STUB = api_grpc.VariableServiceStub
PARENT = "org/acme/public-group/public-project"


@pytest.fixture
async def served() -> AsyncIterator[ServedProjects]:
    async with served_projects() as running:
        yield running


def variables(served: ServedProjects, caller: str = "member") -> Variables:
    return served.clients[caller].variables


def value(secret: str = "npm", key: str = "token", **when: Any) -> api.VariableValue:
    made = api.VariableValue(secret_name=secret, key=key)
    for name, include in when.items():
        getattr(made.when, name).include.extend(include)
    return made


async def test_variable_is_created_read_changed_and_deleted(served: ServedProjects) -> None:
    values = [value(branch=["main"]), value(key="other")]
    made = await variables(served).create("NPM_TOKEN", PARENT, values)
    assert (made.name, made.parent_id, list(made.values)) == ("NPM_TOKEN", IDS["public-project"], values)
    assert await variables(served).get(made.id) == made
    assert await variables(served).get(f"{PARENT}/npm_token") == made
    assert list(await variables(served).list()) == [made]
    assert list(await variables(served).list(parent=PARENT)) == [made]
    assert list(await variables(served).list(parent="org/acme")) == []
    changed = await variables(served).update(made.id, values=[value("other")], etag=made.etag)
    assert (changed.name, [each.secret_name for each in changed.values]) == ("NPM_TOKEN", ["other"])
    assert (await variables(served).update(made.id, name="token")).name == "token"
    assert list((await variables(served).update(made.id, values=[])).values) == []
    await variables(served).delete(f"{PARENT}/token")
    with pytest.raises(NotFound):
        await variables(served).get(made.id)


@pytest.mark.parametrize("caller", ["reader", "stranger"])
async def test_variable_of_others_does_not_exist(served: ServedProjects, caller: str) -> None:
    made = await variables(served).create("token", PARENT, [value()])
    theirs = variables(served, caller)
    for call in (theirs.get(made.id), theirs.update(made.id, name="x"), theirs.delete(f"{PARENT}/token")):
        with pytest.raises(NotFound, match="there is no variable"):
            await call
    with pytest.raises(PermissionDenied):
        await theirs.create("other", PARENT, [value()])
    assert list(await theirs.list()) == []


async def test_name_of_a_variable_is_taken_in_any_case(served: ServedProjects) -> None:
    await variables(served).create("token", PARENT, [value()])
    with pytest.raises(AlreadyExists):
        await variables(served).create("TOKEN", PARENT, [value()])
    assert (await variables(served).create("token", "org/acme", [value()])).name == "token"


BAD = {
    "secret name": (value("a b"), r"values\[0\]\.secret_name"),
    "no secret name": (value(""), r"values\[0\]\.secret_name"),
    "key": (value(key="a b"), r"values\[0\]\.key"),
    "no key": (value(key=""), r"values\[0\]\.key"),
    "bad expression": (value(branch=["/(/"]), r"values\[0\]\.when\.branch\.include\[0\]: is not a regular expression"),
    "look-around": (value(ref=["/(?=x)/"]), "look-around"),
    "empty rule": (value(tag=[""]), r"values\[0\]\.when\.tag\.include\[0\]: must not be empty"),
    "control character": (value(ref=["a\x1b"]), r"U\+001B"),
    "many rules": (value(branch=["x"] * 101), "101 rules"),
}


@pytest.mark.parametrize(("wrong", "why"), BAD.values(), ids=BAD)
async def test_bad_values_of_variables_are_refused(served: ServedProjects, wrong: api.VariableValue, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        await variables(served).create("token", PARENT, [wrong])
    made = await variables(served).create("token", PARENT, [value()])
    with pytest.raises(InvalidInput, match=why):
        await variables(served).update(made.id, values=[wrong])


async def test_update_of_a_variable_says_what_it_cannot_change(served: ServedProjects) -> None:
    made = await variables(served).create("token", PARENT, [value()])
    request = api.UpdateVariableRequest(variable=api.Variable(id=made.id), update_mask=FieldMask(paths=["parent_id"]))
    with pytest.raises(InvalidInput, match="parent_id"):
        await served.call("member", STUB, "UpdateVariable", request)
    assert await variables(served).update(made.id) == made
    with pytest.raises(Conflict):
        await variables(served).update(made.id, name="x", etag="1")


async def test_repeated_creation_returns_the_first_variable(served: ServedProjects) -> None:
    request = api.CreateVariableRequest(
        variable=api.Variable(name="token", parent_id=PARENT, values=[value()]), request_id="once"
    )
    first, again = [await served.call("member", STUB, "CreateVariable", request) for _ in range(2)]
    assert first == again
    request.variable.values[0].key = "other"
    with pytest.raises(InvalidInput) as raised:
        await served.call("member", STUB, "CreateVariable", request)
    assert raised.value.reason == "REQUEST_ID_REUSED"


async def test_changes_of_variables_are_audited(served: ServedProjects) -> None:
    made = await variables(served).create("token", PARENT, [value()])
    await variables(served).update(made.id, values=[value("other", "key")])
    await variables(served).delete(made.id)
    records = await served.database.read(lambda view: [record for _, record in view.scan(AUDIT_RECORD)])
    assert [(each.method, list(each.details)) for each in records] == [
        ("CreateVariable", ["value: npm.token"]),
        ("UpdateVariable", ["value: other.key"]),
        ("DeleteVariable", []),
    ]
