"""`SecretService` through a real port: who may do what, and that no value comes out again."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from google.protobuf.field_mask_pb2 import FieldMask

from sluiceway.api.project.v1 import project_service_pb2, project_service_pb2_grpc
from sluiceway.api.project.v1 import secret_service_pb2 as api
from sluiceway.api.project.v1 import secret_service_pb2_grpc as api_grpc
from sluiceway.client.secrets import Secrets
from sluiceway_common.foundation.errors import (
    AlreadyExists,
    Conflict,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    SluicewayError,
)
from sluiceway_server.datamanager.model import Put
from sluiceway_server.projects import secret_service
from sluiceway_server.projects.envelope import Envelope
from sluiceway_server.projects.records import AUDIT_RECORD
from sluiceway_server.projects.secret_records import SECRET, SECRET_VERSION, version_id
from sluiceway_server.projects.secret_values import MAX_KEYS
from tests.support.project_services import IDS, ServedProjects, served_projects

STUB = api_grpc.SecretServiceStub
VALUE, OTHER = b"correct horse battery", b"staple and more"
PARENT = "org/acme/public-group/public-project"


@pytest.fixture
async def served() -> AsyncIterator[ServedProjects]:
    async with served_projects() as running:
        yield running


def secrets(served: ServedProjects, caller: str = "member") -> Secrets:
    return served.clients[caller].secrets


def stored_bytes(served: ServedProjects) -> bytes:
    """Return everything that the database was ever given."""
    return b"\n".join(
        action.id.encode() + action.message.SerializeToString() if isinstance(action, Put) else repr(action).encode()
        for applied, _, _ in served.database.history
        for action in applied.actions
    )


async def test_secret_is_created_shown_and_listed_without_values(served: ServedProjects) -> None:
    made = await secrets(served).create("npm", PARENT, {"token": VALUE, "user": OTHER})
    assert (made.name, made.parent_id, list(made.keys), made.version) == (
        "npm",
        IDS["public-project"],
        ["token", "user"],
        1,
    )
    assert made.HasField("create_time")
    assert not made.values
    assert await secrets(served).get(made.id) == made
    assert await secrets(served).get(f"{PARENT}/NPM") == made
    assert list(await secrets(served).list()) == [made]
    assert list(await secrets(served).list(parent=PARENT)) == [made]
    assert list(await secrets(served).list(parent="org/acme")) == []
    everything = stored_bytes(served)
    assert b"npm" in everything
    for value in (VALUE, OTHER):
        assert value not in everything
        assert base64.b64encode(value)[:-4] not in everything


async def test_values_are_added_replaced_and_deleted(served: ServedProjects) -> None:
    made = await secrets(served).create("npm", PARENT, {"a": VALUE, "b": VALUE})
    changed = await secrets(served).update(made.id, set_values={"b": OTHER, "c": OTHER}, delete_keys=["a", "unknown"])
    assert (list(changed.keys), changed.version) == (["b", "c"], 2)
    assert changed.etag != made.etag
    replaced = await secrets(served).replace(made.id, {"z": VALUE}, etag=changed.etag)
    assert (list(replaced.keys), replaced.version) == (["z"], 3)
    renamed = await secrets(served).update(made.id, name="npmjs")
    assert (renamed.name, renamed.version) == ("npmjs", 3)
    assert OTHER not in stored_bytes(served)


async def test_a_deleted_value_may_be_set_in_the_same_call(served: ServedProjects) -> None:
    made = await secrets(served).create("npm", PARENT, {"a": VALUE})
    changed = await secrets(served).update(made.id, set_values={"a": OTHER}, delete_keys=["a"])
    assert list(changed.keys) == ["a"]


async def test_last_value_cannot_be_deleted(served: ServedProjects) -> None:
    made = await secrets(served).create("npm", PARENT, {"a": VALUE})
    with pytest.raises(InvalidInput, match="at least one value"):
        await secrets(served).update(made.id, delete_keys=["a"])


async def test_deleted_secret_is_gone_with_its_versions(served: ServedProjects) -> None:
    made = await secrets(served).create("npm", PARENT, {"a": VALUE})
    await secrets(served).update(made.id, set_values={"a": OTHER})
    await secrets(served).delete(made.id)
    with pytest.raises(NotFound):
        await secrets(served).get(made.id)
    with pytest.raises(NotFound):
        await secrets(served).delete(made.id)
    assert await served.database.read(lambda view: list(view.scan(SECRET_VERSION))) == []


async def test_secrets_of_a_deleted_project_are_gone(served: ServedProjects) -> None:
    made = await secrets(served).create("npm", PARENT, {"a": VALUE})
    request = project_service_pb2.DeleteProjectRequest(project_id=PARENT)
    await served.call("owner", project_service_pb2_grpc.ProjectServiceStub, "DeleteProject", request)

    def left(view: Any) -> tuple[Any, Any]:
        return view.get(SECRET, made.id), view.get(SECRET_VERSION, version_id(made.id, 1))

    assert await served.database.read(left) == (None, None)


@pytest.mark.parametrize(
    ("caller", "error"),
    [
        ("operator", None),
        ("owner", None),
        ("member", None),
        ("reader", PermissionDenied),
        ("stranger", PermissionDenied),
        ("executor", PermissionDenied),
    ],
)
async def test_who_may_create_a_secret(served: ServedProjects, caller: str, error: type[SluicewayError] | None) -> None:
    if error is None:
        assert (await secrets(served, caller).create("npm", PARENT, {"a": VALUE})).name == "npm"
        return
    with pytest.raises(error):
        await secrets(served, caller).create("npm", PARENT, {"a": VALUE})


@pytest.mark.parametrize("caller", ["reader", "stranger"])
async def test_secret_of_others_does_not_exist(served: ServedProjects, caller: str) -> None:
    made = await secrets(served).create("npm", PARENT, {"a": VALUE})
    theirs = secrets(served, caller)
    for reference in (made.id, f"{PARENT}/npm"):
        for call in (
            theirs.get(reference),
            theirs.update(reference, set_values={"a": OTHER}),
            theirs.delete(reference),
        ):
            with pytest.raises(NotFound, match=f"there is no secret '{reference}'"):
                await call
    assert list(await theirs.list()) == []
    with pytest.raises(PermissionDenied):
        await theirs.list(parent=PARENT)
    with pytest.raises(NotFound):
        await theirs.list(parent="org/hidden")
    assert (await secrets(served).get(made.id)).version == 1


async def test_parents_may_be_of_every_kind(served: ServedProjects) -> None:
    for parent in ("org/acme", "org/acme/public-group", PARENT, "user/owner", "user/owner/own-project"):
        assert (await secrets(served, "owner").create("npm", parent, {"a": VALUE})).name == "npm"
    names = [each.parent_id for each in await secrets(served, "owner").list()]
    assert len(names) == 5
    # The secrets of the user's own tree are not those of a member of the organization.
    assert len(await secrets(served, "member").list()) == 3


async def test_name_is_taken_at_one_place_in_any_case(served: ServedProjects) -> None:
    made = await secrets(served).create("npm", PARENT, {"a": VALUE})
    with pytest.raises(AlreadyExists, match="update it"):
        await secrets(served).create("NPM", PARENT, {"a": VALUE})
    other = await secrets(served).create("npm", "org/acme", {"a": VALUE})
    assert other.id != made.id
    third = await secrets(served).create("third", PARENT, {"a": VALUE})
    with pytest.raises(AlreadyExists):
        await secrets(served).update(third.id, name="Npm")
    assert (await secrets(served).update(made.id, name="NPM")).name == "NPM"


BAD = {
    "too short": ({"a": b"abc"}, "shorter than 4 bytes"),
    "empty": ({"a": b""}, "shorter than 4 bytes"),
    "NUL": ({"a": b"some\0thing"}, "NUL byte"),
    "not UTF-8": ({"a": b"\xff\xfe\xfd\xfc"}, "not UTF-8"),
    "too long": ({"a": b"x" * (48 * 1024 + 1)}, "at most 49152"),
    "too long together": ({f"k{n}": b"x" * 40_000 for n in range(4)}, "together they have at most 131072"),
    "too many": ({f"k{n}": VALUE for n in range(MAX_KEYS + 1)}, "at most 100"),
    "none": ({}, "at least one value"),
    "key with a space": ({"a b": VALUE}, "a key is 1 to 100 letters"),
    "key with a control character": ({"a\x1b": VALUE}, "a key is 1 to 100 letters"),
    "empty key": ({"": VALUE}, "a key is 1 to 100 letters"),
    "long key": ({"k" * 101: VALUE}, "a key is 1 to 100 letters"),
}


@pytest.mark.parametrize(("values", "why"), BAD.values(), ids=BAD)
async def test_bad_values_are_refused_without_showing_them(
    served: ServedProjects, values: dict[str, bytes], why: str
) -> None:
    with pytest.raises(InvalidInput, match=why) as raised:
        await secrets(served).create("npm", PARENT, values)
    for value in values.values():
        assert len(value) < 4 or value.decode("latin-1") not in raised.value.message
    made = await secrets(served).create("npm", PARENT, {"a": VALUE})
    with pytest.raises(InvalidInput, match=why):
        await secrets(served).replace(made.id, values)


@pytest.mark.parametrize("name", ["", "a b", "1a", "-a", "a--b", "ä", "x" * 41, IDS["acme"], "a__b"])
async def test_bad_names_are_refused(served: ServedProjects, name: str) -> None:
    with pytest.raises(InvalidInput, match=r"secret\.name"):
        await secrets(served).create(name, PARENT, {"a": VALUE})


async def test_update_says_what_it_cannot_change(served: ServedProjects) -> None:
    made = await secrets(served).create("npm", PARENT, {"a": VALUE})

    async def update(**fields: Any) -> Any:
        secret = api.Secret(id=made.id, **fields.pop("secret", {}))
        return await served.call("member", STUB, "UpdateSecret", api.UpdateSecretRequest(secret=secret, **fields))

    for refused, why in (
        ({"update_mask": FieldMask(paths=["parent_id"])}, "parent_id"),
        ({"update_mask": FieldMask(paths=["keys"])}, "keys"),
        ({"update_mask": FieldMask(paths=["values"])}, "at least one value"),
        ({"secret": {"values": {"a": VALUE}}, "set_values": {"b": VALUE}}, "exclude"),
    ):
        with pytest.raises(InvalidInput, match=why):
            await update(**refused)


async def test_update_without_fields_changes_nothing(served: ServedProjects) -> None:
    made = await secrets(served).create("npm", PARENT, {"a": VALUE})
    assert await secrets(served).update(made.id) == made


async def test_stale_etag_is_refused(served: ServedProjects) -> None:
    made = await secrets(served).create("npm", PARENT, {"a": VALUE})
    await secrets(served).update(made.id, set_values={"a": OTHER})
    for call in (
        secrets(served).update(made.id, set_values={"a": VALUE}, etag=made.etag),
        secrets(served).delete(made.id, etag=made.etag),
    ):
        with pytest.raises(Conflict) as raised:
            await call
        assert raised.value.reason == "ETAG_MISMATCH"


async def test_repeated_creation_returns_the_first_secret(served: ServedProjects) -> None:
    secret = api.Secret(name="npm", parent_id=PARENT, values={"a": VALUE})

    async def create(**changed: Any) -> api.Secret:
        again = api.Secret()
        again.CopyFrom(secret)
        again.MergeFrom(api.Secret(**changed))
        request = api.CreateSecretRequest(secret=again, request_id="once")
        made: api.CreateSecretResponse = await served.call("member", STUB, "CreateSecret", request)
        return made.secret

    first = await create()
    assert (await create()).id == first.id
    for changed in ({"name": "other"}, {"values": {"b": VALUE}}, {"values": {"a": OTHER}}):
        with pytest.raises(InvalidInput) as raised:
            await create(**changed)
        assert raised.value.reason == "REQUEST_ID_REUSED"
    assert len(await secrets(served).list()) == 1


async def test_server_without_a_master_key_says_what_to_do() -> None:
    async with served_projects(envelope=Envelope(None)) as served:
        with pytest.raises(FailedPrecondition, match="--master-key-file FILE") as raised:
            await secrets(served).create("npm", PARENT, {"a": VALUE})
        assert raised.value.reason == "MASTER_KEY_MISSING"
        assert list(await secrets(served).list()) == []


async def test_changes_are_audited_without_values(served: ServedProjects) -> None:
    made = await secrets(served).create("npm", PARENT, {"a": VALUE})
    await secrets(served).update(made.id, set_values={"b": OTHER}, name="npmjs")
    await secrets(served).delete(made.id)
    records = await served.database.read(lambda view: [record for _, record in view.scan(AUDIT_RECORD)])
    assert [(each.method, each.resource_path, list(each.details)) for each in records] == [
        ("CreateSecret", f"{PARENT}/npm", ["keys: a"]),
        ("UpdateSecret", f"{PARENT}/npm", ["name: npmjs", "version: 2", "keys: a, b"]),
        ("DeleteSecret", f"{PARENT}/npmjs", []),
    ]
    assert {each.caller_id for each in records} == {IDS["member"]}


async def test_internal_error_does_not_log_values(
    served: ServedProjects, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(secret_service, "seal_values", broken)
    with (
        structlog.testing.capture_logs() as logs,
        caplog.at_level(logging.DEBUG),
        pytest.raises(SluicewayError) as raised,
    ):
        await secrets(served).create("npm", PARENT, {"a": VALUE})
    text = json.dumps([{key: repr(value) for key, value in each.items()} for each in logs]) + caplog.text
    assert "rpc_failed" in text
    for form in (VALUE.decode(), base64.b64encode(VALUE).decode()):
        assert form not in text
        assert form not in raised.value.message
