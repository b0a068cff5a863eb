"""The server's composition root: which class is behind which port, and in which order all begins and ends."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import structlog

from sluiceway.api.config.v1 import config_service_pb2_grpc, version_service_pb2_grpc
from sluiceway.api.executor.v1 import executor_admin_service_pb2_grpc, executor_service_pb2_grpc
from sluiceway.api.run.v1 import run_service_pb2_grpc
from sluiceway.datamanager.database import DataManager
from sluiceway.datamanager.settings import DataManagerSettings
from sluiceway.foundation.clock import SystemClock, UuidSource
from sluiceway.foundation.errors import FailedPrecondition, InvalidInput, Unavailable
from sluiceway.foundation.lifecycle import Stop, run_process
from sluiceway.foundation.logging import set_up_logging
from sluiceway.foundation.rpc.caller import CallerKind
from sluiceway.foundation.rpc.server import RpcServer
from sluiceway.kv.etcd import EtcdStore
from sluiceway.objectstorage.locate import open_storage
from sluiceway.projects import records as project_records
from sluiceway.projects.tokens import ADMIN_TOKEN_FILE, TokenAuthenticator, ensure_first_tokens
from sluiceway.runservice import records as run_records
from sluiceway.runservice.config_service import ConfigServicer, VersionServicer
from sluiceway.runservice.connection import StreamSettings
from sluiceway.runservice.delivery import DurableBarrier
from sluiceway.runservice.engine import Engine
from sluiceway.runservice.executor_admin import ExecutorAdminServicer
from sluiceway.runservice.executor_service import ExecutorServicer
from sluiceway.runservice.executor_stream import ExecutorStreams
from sluiceway.runservice.explaining import Explainer
from sluiceway.runservice.groups import GroupDirectory, GroupKeys, GroupSettings
from sluiceway.runservice.live_logs import LiveLogs
from sluiceway.runservice.log_reader import LogReader, StoredLogStates
from sluiceway.runservice.log_service import LogReceiver, StoredLogOwners
from sluiceway.runservice.log_store import LogStore
from sluiceway.runservice.lost_executors import LostExecutors
from sluiceway.runservice.ports import EngineSettings
from sluiceway.runservice.service import RunServicer

__all__ = ["ServerSettings", "main"]

log = structlog.get_logger(__name__)

_GRACE = timedelta(seconds=5)
_ETCD_WITHIN = timedelta(seconds=15)
_ETCD_ONCE = timedelta(seconds=2)
_ETCD_PAUSE = timedelta(milliseconds=50)
_PORTS: Mapping[str, CallerKind] = MappingProxyType(
    {"executor_grpc": CallerKind.EXECUTOR, "operator_grpc": CallerKind.OPERATOR, "peer_grpc": CallerKind.PEER}
)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What `sluice server` was told.

    Attributes:
        data_dir: its read database, and the files of the first tokens.
        etcd: endpoints.
        object_storage: `posix:DIR`.
        grpc: `HOST:PORT`; port 0 picks one.
        executor_grpc: the same for executors; None: on `grpc`.
        operator_grpc: the same for operators; None: on `grpc`.
        peer_grpc: the same for other servers; None: on `grpc`.
        prefix: of all keys in etcd and of all objects.
        api_url: the gateway's, as tasks see it; empty: they do not.
    """

    data_dir: Path
    etcd: tuple[str, ...]
    object_storage: str
    grpc: str
    executor_grpc: str | None = None
    operator_grpc: str | None = None
    peer_grpc: str | None = None
    prefix: str = "sluiceway"
    api_url: str = ""


def main(settings: ServerSettings) -> int:
    """Run until SIGTERM or SIGINT; answers the exit code of the process."""
    set_up_logging()

    async def work(stop: Stop) -> None:
        await _serve(settings, stop)

    return run_process(work)


async def _serve(settings: ServerSettings, stop: Stop) -> None:
    if not settings.etcd:
        raise InvalidInput("--etcd names no endpoint")
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FailedPrecondition(f"the data folder {settings.data_dir} cannot be used: {error.strerror}") from error
    clock, ids = SystemClock(), UuidSource()
    server_id = f"server-{ids.new_id()}"
    async with AsyncExitStack() as stack:
        kv = EtcdStore(settings.etcd)
        stack.push_async_callback(kv.close)
        # Before etcd is waited for: a setting that is wrong is told at once.
        storage = await asyncio.to_thread(open_storage, settings.object_storage)
        stack.push_async_callback(storage.close)
        await _reach(kv, settings.etcd)
        database = await stack.enter_async_context(
            DataManager.open(
                kv=kv,
                storage=storage,
                prefix=settings.prefix,
                path=settings.data_dir / "server",
                types=(*run_records.RECORD_TYPES, *project_records.RECORD_TYPES),
                clock=clock,
                ids=ids,
                settings=DataManagerSettings(server_id=server_id, etcd_name=", ".join(settings.etcd)),
            )
        )
        tokens = await ensure_first_tokens(database, settings.data_dir, clock=clock)
        if tokens.admin_is_new:
            # Once, and to the terminal only; the file is what stays.
            where = settings.data_dir / ADMIN_TOKEN_FILE
            print(f"the first operator's token is in {where}", file=sys.stderr, flush=True)
            if sys.stderr.isatty():
                print(tokens.admin, file=sys.stderr, flush=True)

        groups = GroupSettings(prefix=settings.prefix, server_id=server_id)
        keys = GroupKeys(kv, clock, settings=groups)
        directory = GroupDirectory(kv, clock, settings=groups)
        engine = Engine(
            database,
            clock,
            ids=ids,
            settings=EngineSettings(server_id=server_id, api_url=settings.api_url),
            executors=directory,
            bodies=storage,
        )
        store = LogStore(storage, clock)
        live = await stack.enter_async_context(LiveLogs(store, clock))
        barrier = DurableBarrier(database)
        streams = ExecutorStreams(
            database,
            engine,
            keys=keys,
            directory=directory,
            barrier=barrier,
            clock=clock,
            ids=ids,
            settings=StreamSettings(server_id=server_id),
        )
        lost = LostExecutors(database, engine, directory=directory, clock=clock)
        # Innermost, so that they end while database and etcd are still there: the placer resigns, leases are revoked.
        async with _background(
            keys.run(), directory.run(), barrier.run(), engine.run(), store.keep_swept(), lost.run()
        ):
            await directory.ready()

            rpc = RpcServer(TokenAuthenticator(database, clock=clock), ids=ids)
            reader = LogReader(store, live, StoredLogStates(database))
            rpc.add(
                run_service_pb2_grpc.add_RunServiceServicer_to_server,
                RunServicer(database, engine, explainer=Explainer(directory, clock), logs=reader),
            )
            rpc.add(
                executor_service_pb2_grpc.add_ExecutorServiceServicer_to_server,
                ExecutorServicer(database, engine, streams=streams, logs=LogReceiver(live, StoredLogOwners(database))),
            )
            rpc.add(
                executor_admin_service_pb2_grpc.add_ExecutorAdminServiceServicer_to_server,
                ExecutorAdminServicer(database, directory),
            )
            rpc.add(config_service_pb2_grpc.add_ConfigServiceServicer_to_server, ConfigServicer())
            rpc.add(version_service_pb2_grpc.add_VersionServiceServicer_to_server, VersionServicer())
            try:
                await _listen(rpc, settings)
                await stop.wait()
            finally:
                await rpc.drain(timedelta(0) if stop.is_now else _GRACE)


@asynccontextmanager
async def _background(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run work beside the body: cancelled at its end, and waited for; when one fails, the body is cancelled."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def _reach(kv: EtcdStore, endpoints: tuple[str, ...]) -> None:
    """Wait for etcd: it may be starting beside us."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _ETCD_WITHIN.total_seconds()
    while True:
        try:
            await kv.status(timeout=_ETCD_ONCE)
        except Unavailable as error:
            if loop.time() > end:
                where = ", ".join(endpoints)
                raise Unavailable(f"{error.message}; is etcd running, and is it at {where} (--etcd)?") from error
            await asyncio.sleep(_ETCD_PAUSE.total_seconds())
        else:
            return


async def _listen(rpc: RpcServer, settings: ServerSettings) -> None:
    own = {address: kind for name, kind in _PORTS.items() if (address := getattr(settings, name)) is not None}
    rest = frozenset(CallerKind) - frozenset(own.values())
    await rpc.start(settings.grpc, offered_to=rest if own else None)
    for address, kind in own.items():
        await rpc.start(address, offered_to={kind})
