"""`DatabaseService` through a real port, over a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from sluiceway.api.database.v1 import database_service_pb2 as pb
from sluiceway.api.database.v1 import database_service_pb2_grpc
from sluiceway.client import Client, connect
from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import Exhausted, FailedPrecondition, PermissionDenied
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind
from sluiceway_common.foundation.rpc.server import RpcServer
from sluiceway_server.app.database_service import DatabaseServicer
from sluiceway_server.datamanager.admin.export_file import ExportFile
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.port import ObjectInfo
from sluiceway_server.objectstorage.posix import PosixStorage
from sluiceway_server.projects.envelope import Envelope
from tests.support.conditions import eventually
from tests.support.databases import flushed, open_database, put

TOKENS = {
    "operator": Caller(CallerKind.OPERATOR, "admin", frozenset({"*"})),
    "user": Caller(CallerKind.USER, "somebody", frozenset({"*"})),
}


class Tokens:
    async def authenticate(self, token: str) -> Caller | None:
        return TOKENS.get(token)


class Gate(PosixStorage):
    """An object storage that holds lists while it is shut."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0

    async def list(
        self, prefix: str = "", *, start_after: str = "", delimiter: str = ""
    ) -> AsyncGenerator[ObjectInfo, None]:
        self.waiting += not self.gate.is_set()
        await self.gate.wait()
        async for info in super().list(prefix, start_after=start_after, delimiter=delimiter):
            yield info


class ServedDatabase:
    def __init__(self, database: DataManager, storage: Gate, prefix: str, port: int) -> None:
        self.database, self.storage, self.prefix, self.port = database, storage, prefix, port

    @asynccontextmanager
    async def client(self, token: str = "operator") -> AsyncIterator[Client]:
        async with connect(f"127.0.0.1:{self.port}", token=token) as client:
            yield client


@pytest.fixture
async def served(tmp_path: Path, etcd_endpoint: str, etcd_prefix: str) -> AsyncIterator[ServedDatabase]:
    kv, storage, prefix = EtcdStore([etcd_endpoint]), Gate(tmp_path / "objects"), etcd_prefix.strip("/")
    async with open_database(kv, PosixStorage(tmp_path / "objects"), tmp_path, prefix=prefix) as database:
        rpc = RpcServer(Tokens())
        rpc.add(
            database_service_pb2_grpc.add_DatabaseServiceServicer_to_server,
            DatabaseServicer(
                database,
                kv,
                storage,
                prefix=prefix,
                etcd_name="etcd",
                scratch=tmp_path,
                envelope=Envelope(None),
                clock=SystemClock(),
            ),
        )
        yield ServedDatabase(database, storage, prefix, await rpc.start("127.0.0.1:0"))
        await rpc.drain(timedelta(0))
    await storage.close()
    await kv.close()


async def test_status_returns_where_everything_is(served: ServedDatabase) -> None:
    for n in range(3):
        await served.database.commit([put(f"a{n}")])
    await flushed(served.database)
    async with served.client() as client:
        status = await client.database.status()
    end = str(served.database.position.sequence)
    assert (status.epoch, status.head, status.flushed, status.recoverable) == (1, end, end, end)
    assert status.position == str(served.database.position)
    assert (status.etcd_fault, status.storage_fault, list(status.findings)) == ("", "", [])
    assert status.etcd_size_bytes > 0
    assert [epoch.in_history for epoch in status.epochs] == [True]
    assert {item.kind: item.count > 0 for item in status.objects}["wal"]


async def test_checkpoint_is_made_when_something_has_changed(served: ServedDatabase) -> None:
    async with served.client() as client:
        with pytest.raises(FailedPrecondition, match="no entry"):
            await client.database.checkpoint()
        await served.database.commit([put("a")])
        first = await client.database.checkpoint()
        again = await client.database.checkpoint()
    assert (first.sequence, first.made) == (str(served.database.position.sequence), True)
    assert (again.sequence, again.made) == (first.sequence, False)


async def test_verify_streams_faults_notes_and_progress(served: ServedDatabase) -> None:
    await served.database.commit([put("a")])
    async with served.client() as client:
        await client.database.checkpoint()
        async with aclosing(client.database.verify()) as messages:
            found = [message async for message in messages]
        assert not any(message.fault for message in found)
        assert found[-1].objects == found[-1].all_objects > 2
        keys = [info.key async for info in served.storage.list(f"{served.prefix}/data/")]
        await served.storage.put(keys[0], b"nothing")
        async with aclosing(client.database.verify()) as messages:
            faults = [message.object async for message in messages if message.fault]
    assert keys[0].endswith(faults[0])


async def test_export_is_the_database_after_a_checkpoint(served: ServedDatabase, tmp_path: Path) -> None:
    for n in range(50):
        await served.database.commit([put(f"a{n:02}", text="x" * 5000)])
    path = tmp_path / "export"
    async with served.client() as client:
        pieces = [piece async for piece in client.database.export()]
    path.write_bytes(b"".join(pieces))
    info = ExportFile(path).check()
    assert (info.types["note"], info.sequence) == (50, served.database.position.sequence)
    assert max(map(len, pieces)) <= 64 * 1024


async def test_database_service_is_for_operators_only(served: ServedDatabase) -> None:
    async with served.client("user") as client:
        for call in (client.database.status, client.database.checkpoint):
            with pytest.raises(PermissionDenied):
                await call()
        for stream in (client.database.verify, client.database.export):
            with pytest.raises(PermissionDenied):
                async for _ in stream():
                    pass


async def test_too_many_reads_of_the_whole_database_are_refused(served: ServedDatabase) -> None:
    await served.database.commit([put("a")])
    served.storage.gate.clear()
    async with served.client() as client, asyncio.TaskGroup() as group:
        reading = [group.create_task(all_of(client)) for _ in range(2)]
        await eventually(lambda: answer(served.storage.waiting >= 2))
        with pytest.raises(Exhausted, match="wait for one to end"):
            await all_of(client)
        served.storage.gate.set()
        assert all([not any(message.fault for message in await task) for task in reading])


async def test_scratch_files_of_a_killed_verify_are_deleted(served: ServedDatabase, tmp_path: Path) -> None:
    for left in ("verify-0.sqlite", "verify-1.sqlite"):
        (tmp_path / left).write_bytes(b"torn")
    async with served.client() as client, asyncio.TaskGroup() as group:
        for _ in range(2):  # of the log between two manifests a scratch file is made
            await served.database.commit([put("a")])
            await client.database.checkpoint()
        served.storage.gate.clear()
        reading = [group.create_task(all_of(client)) for _ in range(2)]
        await eventually(lambda: answer(served.storage.waiting >= 2))
        served.storage.gate.set()
        assert all([not any(message.fault for message in await task) for task in reading])
    assert not list(tmp_path.glob("verify*"))


async def all_of(client: Client) -> list[pb.VerifyDatabaseResponse]:
    async with aclosing(client.database.verify()) as messages:
        return [message async for message in messages]


async def answer(value: bool) -> bool:
    return value
