"""The server's composition root: settings, the two stores, and the database, which is opened again when it was lost.

A process has one set of ports and, one after the other, *terms*: a database that is open, with the services on it
(`serving.py`). Between two terms the ports stay open and every call fails with the error that is the reason:
a server whose etcd is empty reports that until it is fixed, and continues by itself after `sluice db recover`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import grpc
import structlog

from sluiceway_common.foundation.backoff import backoff_seconds
from sluiceway_common.foundation.clock import Clock, IdSource, UuidSource
from sluiceway_common.foundation.errors import (
    InvalidInput,
    PermissionDenied,
    SluicewayError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from sluiceway_common.foundation.lifecycle import Stop, run_process
from sluiceway_common.foundation.logging import set_up_logging
from sluiceway_common.foundation.rpc.caller import CallerKind
from sluiceway_common.foundation.rpc.server import RpcServer
from sluiceway_common.foundation.steady_clock import SteadyClock
from sluiceway_common.foundation.tasks import one_error
from sluiceway_server.app.data_folder import PRIVATE_UMASK, prepare_data_folder
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.app.serving import ServerDependencies, services
from sluiceway_server.app.tls import server_credentials
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.engine.opening import (
    RecoverAlways,
    RecoverIfRolledBack,
    RecoverManually,
    RecoverPolicy,
)
from sluiceway_server.datamanager.port import DatabaseLost
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.kv.access import EtcdAccess
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.kv.port import KeyValueStore, StoreStatus
from sluiceway_server.kv.versions import UPGRADE, fault_of_version
from sluiceway_server.logs.peers import Peer
from sluiceway_server.objectstorage.locate import open_storage
from sluiceway_server.objectstorage.port import ObjectStorage
from sluiceway_server.projects.envelope import Envelope
from sluiceway_server.projects.first_tokens import ADMIN_TOKEN_FILE, ensure_first_tokens
from sluiceway_server.projects.master_key_source import MasterKeySource
from sluiceway_server.runs.executor_times import ExecutorTimes
from sluiceway_server.runs.retention_rules import RetentionSettings
from sluiceway_server.triggers.settings import TriggerSettings

log = structlog.get_logger(__name__)

T = TypeVar("T")

# The event loop waits so long for the interpreter's lock while a thread of ours computes. Python's default is 5 ms, and
# an RPC needs the lock several times: 50 to 100 ms, measured, while a run of 40,000 steps was created.
_SWITCH_SECONDS = 0.001
_GRACE = timedelta(seconds=5)
_ETCD_WITHIN = timedelta(seconds=15)
_ETCD_ONCE = timedelta(seconds=2)
_ETCD_PAUSE = timedelta(milliseconds=50)
# Between two attempts to open the database: short at first, since a lost database is often back at once.
_LOOK_FIRST_SECONDS = 0.5
_LOOK_LIMIT_SECONDS = 5.0
# After a term of this length, the back-off starts from the beginning.
_HEALTHY_AFTER = timedelta(seconds=60)
_SAY_AGAIN_AFTER = timedelta(minutes=10)
_ANY_HOST = frozenset({"", "0.0.0.0", "::", "[::]", "*"})  # noqa: S104 - compared with, not listened on
_PORTS: Mapping[str, CallerKind] = MappingProxyType(
    {"executor_grpc": CallerKind.EXECUTOR, "operator_grpc": CallerKind.OPERATOR, "peer_grpc": CallerKind.PEER}
)
# Errors of the settings, for which a retry is useless.
_WRONG_SETTINGS = (InvalidInput, PermissionDenied, Unauthenticated, Unimplemented)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The settings of `sluice server`.

    Attributes:
        data_dir: its read database, and the files of the first tokens.
        etcd: endpoints.
        etcd_access: how etcd lets us in.
        object_storage: `posix:DIR` or `s3://...`.
        grpc: `HOST:PORT`; port 0 picks one.
        executor_grpc: the same for executors; None: on `grpc`.
        operator_grpc: the same for operators; None: on `grpc`.
        peer_grpc: the same for other servers; None: on `grpc`.
        peer_address: how other servers reach this one; None: by the address that it listens on for them.
        peer_ca_file: the certificate authorities of the other servers; None: those of this machine.
        tls_files: the files of the certificate and of its key, for all ports; None: no TLS.
        prefix: of all keys in etcd and of all objects.
        api_url: the gateway's, as tasks see it; empty: they do not.
        port_is_held: the parent holds the port of `grpc` without listening (`standalone`), and this process shares it.
        own_etcd: no other server uses this etcd (`standalone`): a lost database is recovered without being asked.
        executor_times: the intervals of heartbeats, and after which an executor is lost; the same on all servers.
        retention: how long logs and runs are kept; that of the elected server counts.
        master_keys: where the keys are under which secrets are encrypted; the same on all servers.
        triggers: how git providers are spoken to; the same on all servers.
        fork_groups: the groups of executors that take runs of forks; the same on all servers.
        members_by_invitation: only operators add members to organizations; owners invite them.
    """

    data_dir: Path
    etcd: tuple[str, ...]
    object_storage: str
    grpc: str
    executor_grpc: str | None = None
    operator_grpc: str | None = None
    peer_grpc: str | None = None
    peer_address: str | None = None
    peer_ca_file: Path | None = None
    tls_files: tuple[Path, Path] | None = None
    prefix: str = "sluiceway"
    api_url: str = ""
    own_etcd: bool = False
    port_is_held: bool = False
    executor_times: ExecutorTimes = field(default_factory=ExecutorTimes)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    etcd_access: EtcdAccess = field(default_factory=EtcdAccess)
    master_keys: MasterKeySource = field(default_factory=MasterKeySource)
    triggers: TriggerSettings = field(default_factory=TriggerSettings)
    fork_groups: frozenset[str] = frozenset()
    members_by_invitation: bool = False


def main(settings: ServerSettings) -> int:
    """Run until SIGTERM or SIGINT, with a private umask; returns the exit code of the process."""
    set_up_logging()
    os.umask(PRIVATE_UMASK)
    sys.setswitchinterval(_SWITCH_SECONDS)

    async def work(stop: Stop) -> None:
        await _serve(settings, stop)

    return run_process(work)


async def _serve(settings: ServerSettings, stop: Stop) -> None:
    if not settings.etcd:
        raise InvalidInput("--etcd names no endpoint")
    settings.executor_times.check()
    tls = None if settings.tls_files is None else server_credentials(*settings.tls_files)
    authorities = None if settings.peer_ca_file is None else settings.peer_ca_file.read_bytes()
    peer_tls = None if tls is None else grpc.ssl_channel_credentials(root_certificates=authorities)
    prepare_data_folder(settings.data_dir)
    envelope = Envelope(await settings.master_keys.read(), read=settings.master_keys.read)
    clock = SteadyClock()
    ids = UuidSource(clock)
    async with AsyncExitStack() as stack:
        kv = EtcdStore(settings.etcd, access=settings.etcd_access)
        stack.push_async_callback(kv.close)

        async def reach_both() -> ObjectStorage:
            # Before waiting for etcd, so that a wrong setting is reported at once.
            storage = await open_storage(settings.object_storage)
            stack.push_async_callback(storage.close)
            status = await reach_etcd(kv, settings.etcd)
            if not settings.own_etcd:
                _warn_of_version(status.version)
            return storage

        storage = await _unless_stopped(stop, reach_both())
        if storage is None:
            return
        await _Server(settings, kv, storage, envelope, clock=clock, ids=ids, tls=tls, peer_tls=peer_tls).run(stop)


async def _unless_stopped(stop: Stop, work: Coroutine[Any, Any, T]) -> T | None:
    """Await something; return None if a stop is requested first."""
    doing, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({doing, stopped}, return_when=asyncio.FIRST_COMPLETED)
        return await doing if doing.done() else None
    finally:
        for task in (doing, stopped):
            task.cancel()
        await asyncio.wait({doing, stopped})


class _Server:
    """Terms, one after the other, behind the same ports."""

    def __init__(
        self,
        settings: ServerSettings,
        kv: KeyValueStore,
        storage: ObjectStorage,
        envelope: Envelope,
        *,
        clock: Clock,
        ids: IdSource,
        tls: grpc.ServerCredentials | None,
        peer_tls: grpc.ChannelCredentials | None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._ground = ServerDependencies(
            kv=kv,
            storage=storage,
            prefix=settings.prefix.strip("/"),
            server_id=f"server-{ids.new_id()}",
            own=Peer.new(_peer_address(settings)),
            peer_tls=peer_tls,
            etcd_name=", ".join(settings.etcd),
            scratch=settings.data_dir / "server",
            api_url=settings.api_url,
            executor_times=settings.executor_times,
            retention=settings.retention,
            envelope=envelope,
            master_keys=settings.master_keys,
            triggers=settings.triggers,
            fork_groups=settings.fork_groups,
            members_by_invitation=settings.members_by_invitation,
            clock=clock,
            ids=ids,
        )
        self._rpc = RpcServer(ids=ids, tls=tls)
        self._listening = False
        self._serving = False
        self._said: tuple[str, float] | None = None
        self._policy: RecoverPolicy = RecoverAlways() if settings.own_etcd else RecoverManually()

    async def run(self, stop: Stop) -> None:
        """Serve until `stop`. Raises errors that a retry cannot fix: a wrong setting, a port that is taken, a bug."""
        stopped = asyncio.create_task(stop.wait(), name="server-stop")
        failures = 0
        try:
            while not stopped.done():
                began = self._clock.monotonic()
                error = await self._term(stop, stopped)
                if error is None:
                    return
                failures = 1 if self._clock.monotonic() - began > _HEALTHY_AFTER.total_seconds() else failures + 1
                await self._refuse(error)
                pause = backoff_seconds(failures, first=_LOOK_FIRST_SECONDS, limit=_LOOK_LIMIT_SECONDS)
                await asyncio.wait({stopped}, timeout=pause)
        finally:
            stopped.cancel()
            await self._rpc.drain(timedelta(0) if stop.is_now else _GRACE)

    async def _term(self, stop: Stop, stopped: asyncio.Task[None]) -> SluicewayError | None:
        """Open the database and serve. Return the error that ended it before `stop` did."""
        self._serving = False
        term = asyncio.create_task(self._open_and_serve(stop), name="server-term")
        try:
            # While the database is being opened, there is nothing to drain.
            await asyncio.wait({term, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not self._serving and not term.done():
                term.cancel()
                await asyncio.wait({term})
                return None
            await term
        except SluicewayError as error:
            if not self._listening and isinstance(error, _WRONG_SETTINGS):
                raise
            if error.reason == "ADDRESS_IN_USE":
                raise
            if isinstance(error, DatabaseLost) and error.seen is not None and not self._settings.own_etcd:
                self._policy = RecoverIfRolledBack(error.seen)
            return error
        finally:
            if not term.done():
                term.cancel()
                await asyncio.wait({term})
        return None

    async def _open_and_serve(self, stop: Stop) -> None:
        settings, ground = self._settings, self._ground
        with one_error():
            async with DataManager.open(
                kv=ground.kv,
                storage=ground.storage,
                prefix=ground.prefix,
                path=settings.data_dir / "server",
                types=RECORD_TYPES,
                clock=ground.clock,
                ids=ground.ids,
                settings=DataManagerSettings(server_id=ground.server_id, etcd_name=ground.etcd_name),
                recover=self._policy,
            ) as database:
                await self._first_tokens(database)
                async with services(ground, database) as offer:
                    await self._rpc.serve(offer)
                    self._said = None
                    try:
                        await self._listen()
                        self._serving = True
                        log.info("server_ready", epoch=database.epoch, position=str(database.position))
                        await stop.wait()
                        # First, while the database that the calls use is still open.
                        await self._rpc.drain(timedelta(0) if stop.is_now else _GRACE)
                    finally:
                        if not stop.is_requested:
                            lost = "this server lost its database and opens it again; call again"
                            await self._rpc.refuse(Unavailable(lost, reason="DATABASE_LOST"))

    async def _first_tokens(self, database: DataManager) -> None:
        settings = self._settings
        tokens = await ensure_first_tokens(database, settings.data_dir, clock=self._clock, replace=settings.own_etcd)
        if tokens.admin is None:
            log.info(
                "no_operator_token_here",
                first_tokens=tokens.place,
                advice="an operator creates tokens with `sluice token create`; who has none resets them with"
                " `sluice db reset-operator-token`",
            )
        if tokens.admin_is_new and tokens.admin is not None:
            log.info("first_operator_token_made", file=str(self._settings.data_dir / ADMIN_TOKEN_FILE))
            # Once, and to the terminal only; the file has it too.
            if sys.stderr.isatty():
                print(tokens.admin, file=sys.stderr, flush=True)

    async def _refuse(self, error: SluicewayError) -> None:
        """Fail every call with an error, and log it once, then rarely."""
        why = Unavailable(
            f"this server is not ready: {error.message}",
            reason=error.reason,
            retry_after=timedelta(seconds=_LOOK_LIMIT_SECONDS),
            metadata=error.metadata,
        )
        await self._rpc.refuse(why)
        await self._listen()
        now = self._clock.monotonic()
        # The message may contain an age, which differs each time; the reason is the same.
        if (
            self._said is None
            or self._said[0] != error.reason
            or now - self._said[1] > _SAY_AGAIN_AFTER.total_seconds()
        ):
            self._said = (error.reason, now)
            log.error("server_not_ready", reason=error.reason, error=error.message)

    async def _listen(self) -> None:
        if self._listening:
            return
        self._listening = True
        settings = self._settings
        own = {address: kind for name, kind in _PORTS.items() if (address := getattr(settings, name)) is not None}
        rest = frozenset(CallerKind) - frozenset(own.values())
        await self._rpc.start(settings.grpc, offered_to=rest if own else None, shares_port=settings.port_is_held)
        for address, kind in own.items():
            await self._rpc.start(address, offered_to={kind})


def _peer_address(settings: ServerSettings) -> str:
    """Return the address at which other servers reach this one; empty: there are no others, or it is not known."""
    if settings.own_etcd:
        return ""
    if settings.peer_address is not None:
        return settings.peer_address
    host, _, port = (settings.peer_grpc or settings.grpc).rpartition(":")
    if port == "0":
        return ""
    return f"{socket.gethostname() if host in _ANY_HOST else host}:{port}"


def _warn_of_version(version: str) -> None:
    fault = fault_of_version(version)
    if fault is not None:
        log.warning("etcd_version_unsafe", version=version, why=fault, advice=UPGRADE)


async def reach_etcd(kv: EtcdStore, endpoints: tuple[str, ...], *, within: timedelta = _ETCD_WITHIN) -> StoreStatus:
    """Wait for etcd, which may be starting as well. Raises `Unavailable` if it does not respond `within`."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within.total_seconds()
    while True:
        try:
            return await kv.status(timeout=_ETCD_ONCE)
        except Unavailable as error:
            if loop.time() > end:
                where = ", ".join(endpoints)
                raise Unavailable(f"{error.message}; is etcd running, and is it at {where} (--etcd)?") from error
            await asyncio.sleep(_ETCD_PAUSE.total_seconds())
