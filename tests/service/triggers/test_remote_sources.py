"""`RemoteSourceService` through a real port, and the commands of `sluice remote-source`."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from sluiceway.api.project.v1 import remote_source_service_pb2 as pb
from sluiceway.api.project.v1 import remote_source_service_pb2_grpc as pb_grpc
from sluiceway.client import Client, connect
from sluiceway.records.trigger.v1 import records_pb2 as records
from sluiceway_common.foundation.clock import SystemClock, UuidSource
from sluiceway_common.foundation.errors import (
    AlreadyExists,
    Conflict,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
)
from sluiceway_common.foundation.rpc.caller import CallerKind
from sluiceway_common.foundation.rpc.offer import ServiceSet
from sluiceway_common.foundation.rpc.server import RpcServer
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.datamanager.model import Put
from sluiceway_server.projects.envelope import Envelope, MasterKeys
from sluiceway_server.projects.tokens import TokenAuthenticator, TokenSpec, make_token
from sluiceway_server.triggers.records import LINK, LINKED_ACCOUNT, REMOTE_SOURCE
from sluiceway_server.triggers.remote_sources import RemoteSourceServicer, sealed_name
from tests.fakes.database import FakeDatabase
from tests.support.installation import SLUICE

URL = "https://git.example.org/api/v1"


@dataclass
class Served:
    database: FakeDatabase
    envelope: Envelope
    address: str
    token: str
    client: Client

    async def sluice(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [*SLUICE, *arguments, "--server", self.address, "--token", self.token]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
        )
        assert not check or done.returncode == 0, done.stderr
        return done


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    database, clock = FakeDatabase(RECORD_TYPES), SystemClock()
    token = await make_token(database, TokenSpec(CallerKind.OPERATOR, "first", user_id="admin", scopes=frozenset("*")))
    offer = ServiceSet(TokenAuthenticator(database))
    envelope = Envelope(MasterKeys([b"k" * 32]))
    servicer = RemoteSourceServicer(database, envelope, clock, ids=UuidSource(clock))
    offer.add(pb_grpc.add_RemoteSourceServiceServicer_to_server, servicer)
    rpc = RpcServer()
    await rpc.serve(offer)
    address = f"127.0.0.1:{await rpc.start('127.0.0.1:0')}"
    async with connect(address, token=token) as client:
        yield Served(database, envelope, address, token, client)
    await rpc.drain(timedelta(0))


HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDZWaukDkteUi588+wP3NHj182Js2bB+DdPFxKLsBOSK"


async def test_remote_source_is_created_read_and_listed(served: Served) -> None:
    sources = served.client.remote_sources
    made = await sources.create("gitea", "gitea", URL, ssh_host_key=f"git.example.org {HOST_KEY}")
    assert (made.name, made.type, made.api_url) == ("gitea", "gitea", URL)
    assert await sources.get("gitea") == made
    assert await sources.get(made.id) == made
    await sources.create("another", "github", "https://api.github.com")
    assert [each.name for each in await sources.list()] == ["another", "gitea"]


async def test_client_secret_is_stored_encrypted_and_never_shown(served: Served) -> None:
    made = await served.client.remote_sources.create("gitea", "gitea", URL, oauth2_client_secret="kept quiet")
    assert made.oauth2_client_secret == ""
    stored = await served.database.get(REMOTE_SOURCE, made.id)
    assert b"kept quiet" not in stored.SerializeToString()
    sealed = stored.encrypted_oauth2_client_secret
    assert served.envelope.open_(sealed_name(made.id), sealed) == b"kept quiet"
    await served.client.remote_sources.update("gitea", oauth2_client_secret="")
    assert (await served.database.get(REMOTE_SOURCE, made.id)).encrypted_oauth2_client_secret == b""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "a/b"),
        ("name", "01a22c3c-2f37-7681-b7d7-e57c899c707e"),
        ("type", "subversion"),
        ("type", ""),
        ("api_url", "file:///etc/passwd"),
        ("api_url", "https://user:secret@git.example.org"),
        ("api_url", "git.example.org"),
        ("ssh_host_key", "line\nline"),
        ("ssh_host_key", "git.example.org"),
        ("ssh_host_key", "git.example.org ssh-ed25519 AAAA"),
    ],
)
async def test_field_that_cannot_be_used_is_refused_by_name(served: Served, field: str, value: str) -> None:
    fields = {"name": "gitea", "type": "gitea", "api_url": URL, field: value}
    request = pb.CreateRemoteSourceRequest(remote_source=pb.RemoteSource(**fields))  # type: ignore[arg-type]
    stub = pb_grpc.RemoteSourceServiceStub(served.client.connection.channel)
    with pytest.raises(InvalidInput) as caught:
        await served.client.connection.call(stub.CreateRemoteSource, request)
    assert [violation.path for violation in caught.value.violations] == [f"remote_source.{field}"]


async def test_creation_with_the_same_request_id_is_one(served: Served) -> None:
    stub = pb_grpc.RemoteSourceServiceStub(served.client.connection.channel)
    request = pb.CreateRemoteSourceRequest(
        remote_source=pb.RemoteSource(name="gitea", type="gitea", api_url=URL), request_id="once"
    )
    first = await served.client.connection.call(stub.CreateRemoteSource, request)
    assert await served.client.connection.call(stub.CreateRemoteSource, request) == first
    with pytest.raises(AlreadyExists):
        await served.client.remote_sources.create("gitea", "gitea", URL)


async def test_update_changes_what_it_names_and_checks_the_etag(served: Served) -> None:
    sources = served.client.remote_sources
    made = await sources.create("gitea", "gitea", URL, oauth2_client_id="client")
    changed = await sources.update("gitea", etag=made.etag, oauth2_client_id="", name="forgejo")
    assert (changed.id, changed.name, changed.oauth2_client_id, changed.api_url) == (made.id, "forgejo", "", URL)
    with pytest.raises(Conflict):
        await sources.update(made.id, etag=made.etag, name="gitea")
    await sources.create("other", "gitea", URL)
    with pytest.raises(AlreadyExists):
        await sources.update(made.id, name="other")


async def test_remote_source_of_a_project_keeps_its_url(served: Served) -> None:
    sources = served.client.remote_sources
    made = await sources.create("gitea", "gitea", URL)
    await served.database.commit([Put(LINK, "project", records.LinkRecord(remote_source_id=made.id))])
    for change in (sources.update("gitea", api_url="https://other.example.org"), sources.delete("gitea")):
        with pytest.raises(FailedPrecondition, match="projects have their repository"):
            await change


async def test_deletion_takes_linked_accounts_along(served: Served) -> None:
    made = await served.client.remote_sources.create("gitea", "gitea", URL)
    account = records.LinkedAccountRecord(user_id="eve", remote_source_id=made.id)
    await served.database.commit([Put(LINKED_ACCOUNT, f"eve/{made.id}", account)])
    await served.client.remote_sources.delete("gitea")
    assert await served.database.read(lambda view: list(view.scan(LINKED_ACCOUNT))) == []
    with pytest.raises(NotFound):
        await served.client.remote_sources.delete("gitea")


async def test_only_an_operator_changes_remote_sources(served: Served) -> None:
    spec = TokenSpec(CallerKind.USER, "user", user_id="eve", scopes=frozenset("*"))
    token = await make_token(served.database, spec)
    await served.client.remote_sources.create("gitea", "gitea", URL)
    async with connect(served.address, token=token) as client:
        assert [each.name for each in await client.remote_sources.list()] == ["gitea"]
        for change in (client.remote_sources.create("b", "gitea", URL), client.remote_sources.delete("gitea")):
            with pytest.raises(PermissionDenied):
                await change


async def test_commands_create_show_change_and_delete(served: Served) -> None:
    await served.sluice("remote-source", "create", "gitea", "--type", "gitea", "--api-url", URL)
    assert URL in (await served.sluice("remote-source", "list")).stdout
    await served.sluice("remote-source", "update", "gitea", "--name", "forge")
    shown = json.loads((await served.sluice("remote-source", "get", "forge", "-o", "json")).stdout)
    assert (shown["name"], shown["type"], shown["oauth2ClientSecret"]) == ("forge", "gitea", "")
    await served.sluice("remote-source", "delete", "forge")
    assert (await served.sluice("remote-source", "list", "-o", "jsonl")).stdout == ""
