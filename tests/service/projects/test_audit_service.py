"""`AuditService` through a real port: who sees which records, filters, pages, and that no record has a secret."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.api.project.v1 import audit_service_pb2 as pb
from sluiceway.client import connect
from sluiceway.records.project.v1 import records_pb2 as records
from sluiceway_common.foundation.errors import InvalidInput, NotFound, PermissionDenied, SluicewayError
from sluiceway_common.foundation.rpc.caller import CallerKind
from sluiceway_server.datamanager.model import Put
from sluiceway_server.projects.records import AUDIT_RECORD
from sluiceway_server.projects.tokens import TokenSpec, make_token
from tests.support.project_services import IDS, ServedProjects, served_projects

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
VALUE = "a value that no record has"


@pytest.fixture
async def served() -> AsyncIterator[ServedProjects]:
    async with served_projects() as running:
        yield running


def _stored(number: int, **fields: Any) -> Put:
    record = records.AuditRecord(caller_kind="user", caller_id=IDS["owner"], method="Method", root_id=IDS["acme"])
    record.time.FromDatetime(NOON + timedelta(seconds=number))
    record.MergeFrom(records.AuditRecord(**fields))
    return Put(AUDIT_RECORD, f"01a22c3c-0000-7000-8000-{number:012d}", record)


async def test_change_is_listed_for_owner_and_operator(served: ServedProjects) -> None:
    owner, operator = served.clients["owner"], served.clients["operator"]
    project = await owner.projects.create("new", "org/acme")
    for client in (owner, operator):
        (record,) = await client.audit.list(parent="org/acme")
        assert (record.method, record.resource_type, record.resource_id) == ("CreateProject", "project", project.id)
        assert (record.resource_path, record.caller_id) == ("org/acme/new", IDS["owner"])
        assert (record.caller_name, record.parent_id) == ("owner", IDS["acme"])
        # From where somebody called is for operators.
        assert bool(record.peer) == (client is operator)
    assert await operator.audit.list() == await operator.audit.list(parent="org/acme")


@pytest.mark.parametrize(
    ("caller", "parent", "error"),
    [
        ("stranger", "", PermissionDenied),
        ("owner", "", PermissionDenied),
        ("stranger", "org/acme", PermissionDenied),
        ("reader", "org/acme", PermissionDenied),
        ("member", "org/acme", PermissionDenied),
        ("owner", "org/hidden", NotFound),
        ("owner", IDS["hidden"], NotFound),
        ("member", "user/owner", PermissionDenied),
        ("owner", "org/acme/public-group", NotFound),
        ("owner", "org/acme", None),
        ("owner", "user/owner", None),
        ("operator", "", None),
        ("operator", "org/hidden", None),
    ],
)
async def test_records_are_for_who_may_manage(
    served: ServedProjects, caller: str, parent: str, error: type[SluicewayError] | None
) -> None:
    if error is None:
        await served.clients[caller].audit.list(parent=parent)
    else:
        with pytest.raises(error):
            await served.clients[caller].audit.list(parent=parent)


async def test_confined_operator_sees_no_other_tree(served: ServedProjects) -> None:
    await served.database.commit([_stored(1), _stored(2, root_id=IDS["hidden"])])
    spec = TokenSpec(CallerKind.OPERATOR, "x", user_id="a", scopes=frozenset({"*"}), organization=IDS["acme"])
    async with connect(served.address, token=await make_token(served.database, spec)) as client:
        with pytest.raises(PermissionDenied):
            await client.audit.list()
        with pytest.raises(NotFound):
            await client.audit.list(parent="org/hidden")
        assert [each.parent_id for each in await client.audit.list(parent="org/acme")] == [IDS["acme"]]


async def test_filters_are_combined(served: ServedProjects) -> None:
    await served.database.commit(
        [
            _stored(1, resource_id="a", resource_type="project", method="CreateProject"),
            _stored(2, resource_id="b", resource_type="secret", method="CreateSecret", caller_id=IDS["member"]),
            _stored(3, resource_id="a", resource_type="project", method="DeleteProject", caller_id=IDS["member"]),
            _stored(4, resource_id="a", resource_type="project", method="DeleteProject", root_id=IDS["hidden"]),
        ]
    )

    async def seconds(caller: str = "operator", **filters: Any) -> list[int]:
        found = await served.clients[caller].audit.list(**filters)
        return [int((each.time.ToDatetime(tzinfo=UTC) - NOON).total_seconds()) for each in found]

    assert await seconds() == [4, 3, 2, 1]
    assert await seconds(parent="org/acme") == [3, 2, 1]
    assert await seconds("owner", parent="org/acme", resource="a") == [3, 1]
    assert await seconds(caller="operator") == [4, 3, 2, 1]
    assert await seconds("operator", resource_type="secret") == [2]
    assert await seconds(method="DeleteProject", parent="org/acme") == [3]
    assert await seconds(since=NOON + timedelta(seconds=2), until=NOON + timedelta(seconds=4)) == [3, 2]
    assert await seconds(until=NOON) == []
    found = await served.clients["operator"].audit.list(caller="member")
    assert [each.resource_id for each in found] == ["a", "b"]
    assert await served.clients["operator"].audit.list(caller="nobody") == []


async def test_resource_is_named_by_its_path(served: ServedProjects) -> None:
    owner = served.clients["owner"]
    await owner.projects.create("other", "org/acme")
    await owner.projects.update("org/acme/public-group/public-project", concurrency=3)
    (record,) = await owner.audit.list(parent="org/acme", resource="org/acme/public-group/public-project")
    assert (record.method, list(record.details)) == ("UpdateProject", ["concurrency: 3"])


async def test_pages_have_each_record_once(served: ServedProjects) -> None:
    # All in one second, so that only the id orders them; every third one matches.
    actions = [
        Put(AUDIT_RECORD, put.id, put.message)
        for number in range(1500)
        for put in [_stored(number, method="Wanted" if number % 3 == 0 else "Other")]
    ]
    for put in actions:
        put.message.time.FromDatetime(NOON)  # type: ignore[attr-defined]  # an AuditRecord
    await served.database.commit(actions)
    client = served.clients["operator"]
    found = await client.audit.list(method="Wanted", limit=10_000)
    assert [each.id for each in found] == sorted((put.id for put in actions[::3]), reverse=True)
    stub = client.audit._stub
    ids, token = [], ""
    while True:
        request = pb.ListAuditRecordsRequest(method="Wanted", page_size=7, page_token=token)
        page = await client.connection.call(stub.ListAuditRecords, request)
        ids += [each.id for each in page.audit_records]
        token = page.next_page_token
        if not token:
            break
    assert ids == [each.id for each in found]


async def test_page_token_is_of_one_caller_and_list(served: ServedProjects) -> None:
    await served.database.commit([_stored(number) for number in range(3)])
    operator, owner = served.clients["operator"], served.clients["owner"]
    request = pb.ListAuditRecordsRequest(parent_id="org/acme", page_size=1)
    token = (await operator.connection.call(operator.audit._stub.ListAuditRecords, request)).next_page_token
    for client, parent, method in ((owner, "org/acme", ""), (operator, "org/acme", "Method"), (operator, "", "")):
        wrong = pb.ListAuditRecordsRequest(parent_id=parent, method=method, page_size=1, page_token=token)
        with pytest.raises(InvalidInput):
            await client.connection.call(client.audit._stub.ListAuditRecords, wrong)


async def test_times_that_are_none_are_refused(served: ServedProjects) -> None:
    client = served.clients["operator"]
    time = Timestamp(seconds=1 << 62)
    for request in (pb.ListAuditRecordsRequest(since=time), pb.ListAuditRecordsRequest(until=time)):
        with pytest.raises(InvalidInput):
            await client.connection.call(client.audit._stub.ListAuditRecords, request)


async def test_records_outlive_what_they_are_about(served: ServedProjects) -> None:
    owner, operator = served.clients["owner"], served.clients["operator"]
    await owner.projects.create("new", "org/acme")
    await owner.organizations.delete("acme")
    with pytest.raises(NotFound):
        await owner.audit.list(parent=IDS["acme"])
    found = await operator.audit.list()
    assert [each.method for each in found] == ["DeleteOrganization", "CreateProject"]
    assert {each.parent_id for each in found} == {IDS["acme"]}


async def test_token_needs_the_scope(served: ServedProjects) -> None:
    owner = served.clients["owner"]
    text = await owner.users.create_token("owner", "narrow", scopes=["projects:read"])
    async with connect(served.address, token=text) as client:
        with pytest.raises(PermissionDenied) as refused:
            await client.audit.list(parent="org/acme")
    assert refused.value.metadata == {"scope": "audit:read"}


async def test_no_record_has_a_secret_or_a_token(served: ServedProjects) -> None:
    owner, operator = served.clients["owner"], served.clients["operator"]
    await owner.secrets.create("npm", "org/acme", {"token": VALUE.encode()})
    await owner.secrets.update("org/acme/npm", set_values={"other": VALUE.encode()})
    await owner.users.set_password("owner", VALUE)
    text = await owner.users.create_token("owner", "laptop")
    _, session = await served.clients["nobody"].users.log_in("owner", VALUE)
    await owner.organizations.set_member("acme", "stranger", "reader")
    found = await operator.audit.list()
    assert {each.method for each in found} == {
        "CreateSecret", "UpdateSecret", "SetUserPassword", "CreateUserToken", "LogIn", "SetOrganizationMember",
    }  # fmt: skip
    everything = b"".join(each.SerializeToString() for each in found)
    for hidden in (VALUE, text, session):
        assert hidden.encode() not in everything
