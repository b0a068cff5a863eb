"""`RotateMasterKey`: all values are under the newest master key afterwards, and were readable at any time."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sluiceway.api.database.v1 import database_service_pb2 as api
from sluiceway.api.database.v1 import database_service_pb2_grpc
from sluiceway.client import Client, connect
from sluiceway.records.project.v1 import sealed_pb2
from sluiceway.records.trigger.v1 import records_pb2 as trigger_pb
from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind
from sluiceway_common.foundation.rpc.server import RpcServer
from sluiceway_server.app.database_service import DatabaseServicer
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.datamanager.model import Put
from sluiceway_server.projects.envelope import Envelope, MasterKeys
from sluiceway_server.projects.master_key_rotation import encrypted_fields
from sluiceway_server.projects.master_key_source import MasterKeySource
from sluiceway_server.projects.secret_records import SECRET_VERSION, version_id
from sluiceway_server.projects.secret_values import open_values, put_version, seal_values
from sluiceway_server.triggers.records import REMOTE_SOURCE
from sluiceway_server.triggers.remote_sources import sealed_name
from tests.fakes.database import FakeDatabase
from tests.support.installation import SLUICE

OLD, NEW = os.urandom(32), os.urandom(32)
SECRETS = 250


class Tokens:
    async def authenticate(self, token: str) -> Caller | None:
        return Caller(CallerKind.OPERATOR, "admin", frozenset({"*"}))


@dataclass
class Served:
    database: FakeDatabase
    envelope: Envelope
    keys: Path
    address: str
    client: Client

    def write_keys(self, *keys: bytes) -> None:
        self.keys.write_bytes(b"\n".join(map(base64.b64encode, keys)))
        self.keys.chmod(0o600)

    async def put(self, secret_id: str, value: bytes) -> None:
        version = seal_values(self.envelope, secret_id, 1, {"key": value})
        await self.database.commit([put_version(secret_id, 1, version)])

    async def value(self, secret_id: str, envelope: Envelope | None = None) -> bytes:
        record = await self.database.get(SECRET_VERSION, version_id(secret_id, 1))
        return (await open_values(envelope or self.envelope, secret_id, 1, record))["key"]

    async def sluice(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*SLUICE, "db", "rotate-master-key", *arguments, "--server", self.address, "--token", "operator"]
        return await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
        )


def servicer_of(database: Any, envelope: Envelope, scratch: Path) -> DatabaseServicer:
    stores: Any = None  # rotations use the database only
    return DatabaseServicer(
        database, stores, stores, prefix="", etcd_name="", scratch=scratch, envelope=envelope, clock=SystemClock()
    )


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    database = FakeDatabase(RECORD_TYPES)
    keys = tmp_path / "keys"
    envelope = Envelope(MasterKeys([OLD]), read=MasterKeySource(keys).read)
    servicer = servicer_of(database, envelope, tmp_path)
    rpc = RpcServer(Tokens())
    rpc.add(database_service_pb2_grpc.add_DatabaseServiceServicer_to_server, servicer)
    address = f"127.0.0.1:{await rpc.start('127.0.0.1:0')}"
    async with connect(address, token="operator") as client:
        yield Served(database, envelope, keys, address, client)
    await rpc.drain(timedelta(0))


async def test_rotation_leaves_values_that_need_the_new_key_only(served: Served) -> None:
    for number in range(SECRETS):
        await served.put(f"s{number:03}", b"value %d" % number)
    sealed = served.envelope.seal(sealed_name("r"), b"client secret")
    source = trigger_pb.RemoteSourceRecord(encrypted_oauth2_client_secret=sealed)
    await served.database.commit([Put(REMOTE_SOURCE, "r", source)])
    served.write_keys(NEW, OLD)
    done = await served.client.database.rotate_master_key()
    new_id = MasterKeys([NEW]).ids[0]
    assert (done.master_key_id, done.rewrapped, done.unchanged, done.failed) == (new_id, SECRETS + 1, 0, 0)
    only_new = Envelope(MasterKeys([NEW]))
    for number in range(SECRETS):
        assert await served.value(f"s{number:03}", only_new) == b"value %d" % number
    stored = await served.database.get(REMOTE_SOURCE, "r")
    assert only_new.open_(sealed_name("r"), stored.encrypted_oauth2_client_secret) == b"client secret"
    again = await served.client.database.rotate_master_key()
    assert (again.rewrapped, again.unchanged) == (0, SECRETS + 1)


async def test_values_are_readable_and_writable_while_a_rotation_runs(served: Served) -> None:
    for number in range(SECRETS):
        await served.put(f"s{number:03}", b"value %d" % number)
    served.write_keys(NEW, OLD)
    rotation = asyncio.create_task(served.client.database.rotate_master_key())
    written = 0
    while not rotation.done():
        await served.put(f"new{written}", b"new value")
        written += 1
        assert await served.value("s000") == b"value 0"
        assert await served.value(f"s{SECRETS - 1}") == b"value %d" % (SECRETS - 1)
        await asyncio.sleep(0)
    assert (await rotation).failed == 0
    only_new = Envelope(MasterKeys([NEW]))
    for secret_id in ("s000", "s249"):
        assert (await served.value(secret_id, only_new)).startswith(b"value")


async def test_server_with_the_old_key_reads_the_new_one_on_demand(served: Served) -> None:
    other = Envelope(MasterKeys([OLD]), read=MasterKeySource(served.keys).read)
    await served.put("s", b"value")
    served.write_keys(NEW, OLD)
    await served.client.database.rotate_master_key()
    assert await served.value("s", other) == b"value"


async def test_value_that_cannot_be_opened_is_reported_and_kept(served: Served) -> None:
    await served.put("good", b"value")
    lost = seal_values(Envelope(MasterKeys([b"x" * 32])), "lost", 1, {"key": b"value"})
    damaged = seal_values(served.envelope, "damaged", 1, {"key": b"value"})
    message = sealed_pb2.SealedValue.FromString(damaged.encrypted_values)
    message.data_key = bytes(len(message.data_key))
    damaged.encrypted_values = message.SerializeToString()
    await served.database.commit([put_version("lost", 1, lost), put_version("damaged", 1, damaged)])
    served.write_keys(NEW, OLD)
    ended = await served.sluice("-o", "json")
    assert ended.returncode == 1, ended.stderr
    done = json.loads(ended.stdout)
    assert (done["rewrapped"], done["failed"]) == ("1", "2")
    assert [failure.partition(":")[0] for failure in done["failures"]] == [
        f"secret_version {version_id('damaged', 1)}",
        f"secret_version {version_id('lost', 1)}",
    ]
    assert (await served.database.get(SECRET_VERSION, version_id("lost", 1))) == lost


async def test_command_prints_what_it_did(served: Served) -> None:
    await served.put("s", b"value")
    served.write_keys(NEW, OLD)
    ended = await served.sluice()
    new_id = MasterKeys([NEW]).ids[0]
    assert ended.stdout == f"master key {new_id}: 1 values encrypted under it now, 0 before, 0 failed\n"
    assert ended.returncode == 0


async def test_unusable_master_keys_leave_those_in_use(served: Served) -> None:
    await served.put("s", b"value")
    served.write_keys(NEW, OLD)
    served.keys.chmod(0o644)
    with pytest.raises(InvalidInput, match="chmod 600"):
        await served.client.database.rotate_master_key()
    assert await served.value("s") == b"value"


async def test_server_without_a_master_key_cannot_rotate(tmp_path: Path) -> None:
    servicer = servicer_of(FakeDatabase(RECORD_TYPES), Envelope(None), tmp_path)
    with pytest.raises(FailedPrecondition) as raised:
        await servicer.RotateMasterKey(api.RotateMasterKeyRequest(), None)
    assert raised.value.reason == "MASTER_KEY_MISSING"


def test_every_encrypted_field_of_a_record_is_known() -> None:
    found = {f"{type_.name}.{name}" for type_ in RECORD_TYPES for name in encrypted_fields(type_)}
    assert found >= {
        "link.encrypted_deploy_key",
        "link.encrypted_webhook_secret",
        "linked_account.encrypted_access_token",
        "remote_source.encrypted_oauth2_client_secret",
        "secret_version.encrypted_values",
    }
