"""`sluice standalone`: a whole installation in one command, as the parent of its processes.

The children are etcd (unless an external one is named), server, gateway and executors. A child that dies is restarted
on the same port. When the parent dies, all children end; started again with the same folder, it continues. When
everything is ready, `standalone.json` in the data folder says where (api.md, "Fixed names"); it is written again
whenever a process id changes.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import structlog

from sluiceway_common.foundation.clock import Clock, SystemClock
from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput, Unavailable
from sluiceway_common.foundation.file_lock import lock_file
from sluiceway_common.foundation.lifecycle import Stop, run_process
from sluiceway_common.foundation.logging import set_up_logging
from sluiceway_common.foundation.tasks import one_error
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_common.foundation.version import VERSION
from sluiceway_common.runmodel.wording import duration
from sluiceway_server.app.addresses import hold_address, listen_at
from sluiceway_server.app.data_folder import PRIVATE_UMASK, prepare_data_folder
from sluiceway_server.app.disk_reserve import DiskReserve
from sluiceway_server.app.probing import get, refusal, responds_on_socket
from sluiceway_server.app.supervision import Child, ChildSpec, StopPlan
from sluiceway_server.kv.embedded import ETCD_SOCKETS, etcd_environment, etcd_socket_arguments, find_etcd
from sluiceway_server.kv.etcd import unix_endpoint
from sluiceway_server.projects.first_tokens import ADMIN_TOKEN_FILE, EXECUTOR_TOKEN_FILE, read_token
from sluiceway_server.projects.master_key_source import MASTER_KEY_FILE, MasterKeySource, ensure_master_key_file
from sluiceway_server.runs.executor_times import ExecutorTimes
from sluiceway_server.runs.retention_rules import RetentionSettings
from sluiceway_server.triggers.settings import TriggerSettings

log = structlog.get_logger(__name__)

_READY_WITHIN = timedelta(seconds=60)
_PROBE_BYTES = 1 << 20
_DISK_SECONDS = 2.0
_POLL = timedelta(milliseconds=50)
# TERM drains an executor; a second one stops what still runs.
_EXECUTOR_STOP = StopPlan(((signal.SIGTERM, timedelta(seconds=5)), (signal.SIGTERM, timedelta(seconds=15))))


@dataclass(frozen=True, slots=True)
class StandaloneSettings:
    """The options of `sluice standalone`.

    Attributes:
        data_dir: everything it keeps is below it.
        http: `HOST:PORT` of the gateway; port 0 picks one.
        grpc: `HOST:PORT` of the server; port 0 picks one.
        etcd: endpoints of an external etcd; empty: one of its own, below the data folder.
        etcd_arguments: options of `sluice server` that say how the external etcd lets it in.
        object_storage: `posix:DIR` or `s3://...`; empty: a folder below the data folder.
        executors: how many.
        slots: tasks at a time, of each executor.
        drivers: of the executors.
        docker_host: of the executors; empty: as the command `docker` finds it.
        local_repositories: tasks may clone repositories below this folder. None: no local repositories.
        executor_times: of the server.
        retention: of the server.
        fork_groups: of the server.
        members_by_invitation: of the server.
        triggers: of the server. Without a public URL, it is that of the gateway on this machine.
        master_keys: of the server. Names none: with an own etcd, a file that is made in the data folder.
    """

    data_dir: Path
    http: str
    grpc: str
    etcd: tuple[str, ...] = ()
    etcd_arguments: tuple[str, ...] = ()
    object_storage: str = ""
    executors: int = 1
    slots: int = 4
    drivers: tuple[str, ...] = ("sandbox",)
    docker_host: str = ""
    local_repositories: Path | None = None
    executor_times: ExecutorTimes = field(default_factory=ExecutorTimes)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    master_keys: MasterKeySource = field(default_factory=MasterKeySource)
    triggers: TriggerSettings = field(default_factory=TriggerSettings)
    fork_groups: frozenset[str] = frozenset()
    members_by_invitation: bool = False


async def run_standalone(
    settings: StandaloneSettings, stop: Stop, *, clock: Clock | None = None, ready: Callable[[], None]
) -> None:
    """Run everything until `stop` is set, then end it in order.

    Args:
        settings: see there.
        stop: ends it.
        clock: for back-off.
        ready: called once, when `standalone.json` is written.

    Raises:
        InvalidInput: an address or a folder of the settings is invalid.
        FailedPrecondition: a port is taken, or the folder is in use by another one.
        Unavailable: a child could not be started, or was not ready in time; the message has the end of its output.
    """
    repositories = settings.local_repositories
    if repositories is not None and not repositories.is_dir():
        raise InvalidInput(f"--local-repositories {repositories} is no folder; make it, or leave the option out")
    settings.executor_times.check()
    with _folder(settings.data_dir):
        settings = replace(settings, master_keys=_master_keys(settings))
        await settings.master_keys.read()  # so that a fault is reported here, and not in the log of the server
        await _Standalone(settings, clock or SystemClock()).run(stop, ready)


class _Standalone:
    def __init__(self, settings: StandaloneSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._data = settings.data_dir
        self._held = (listen_at(settings.http, "--http"), hold_address(settings.grpc, "--grpc"))
        self._http, self._grpc = (each.text for each in self._held)
        self._ready = False
        self._unwritten = False
        self._reserve = DiskReserve(self._data / "reserve")
        self._children: dict[str, Child] = {}

    async def run(self, stop: Stop, ready: Callable[[], None]) -> None:
        (self._data / "standalone.json").unlink(missing_ok=True)
        try:
            with one_error():
                await self._run(stop, ready)
        finally:
            (self._data / "standalone.json").unlink(missing_ok=True)
            for each in self._held:
                each.close()

    async def _run(self, stop: Stop, ready: Callable[[], None]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                stopped = group.create_task(stop.wait())
                work = group.create_task(self._work(group, ready))
                await stopped
                work.cancel()
                await self._stop()
        except BaseExceptionGroup:
            await self._stop()
            raise

    async def _work(self, group: asyncio.TaskGroup, ready: Callable[[], None]) -> None:
        endpoints = self._settings.etcd
        try:
            async with time_limit(_READY_WITHIN.total_seconds()):
                # Each waits for the one before it by itself, so they load at the same time.
                if not endpoints:
                    endpoints = (unix_endpoint(self._sockets / ETCD_SOCKETS[0]),)
                    self._start(group, self._etcd())
                self._start(group, self._server(endpoints))
                self._start(group, self._gateway())
                await _until(self._is_ready)
                _need_tokens(self._data)
                for number in range(1, self._settings.executors + 1):
                    self._start(group, self._executor(number))
                await _until(self._executors_are_online)
        except TimeoutError:
            why = await asyncio.to_thread(refusal, self._http)
            raise Unavailable(
                why
                or f"not everything was ready within {_READY_WITHIN.total_seconds():.0f} s;"
                f" the logs are in {self._data / 'logs'}"
            ) from None
        for child in self._children.values():
            child.settle()
        self._ready = True
        self._write_state()
        log.info("standalone_ready", http=self._http, grpc=self._grpc)
        ready()
        await self._keep_disk()

    def _start(self, group: asyncio.TaskGroup, spec: ChildSpec) -> None:
        child = Child(spec, clock=self._clock, on_start=self._write_state)
        self._children[spec.name] = child
        group.create_task(child.run(), name=f"child-{spec.name}")

    async def _stop(self) -> None:
        # Executors first, so that the server still receives their reports; etcd last, so that these are stored.
        executors = [child for name, child in self._children.items() if name.startswith("executor")]
        await asyncio.gather(*(child.stop() for child in executors))
        for name in ("gateway", "server", "etcd"):
            if name in self._children:
                await self._children[name].stop()

    def _write_state(self) -> None:
        if not self._ready:
            return
        pids = {name: child.pid for name, child in self._children.items()}
        state = {
            "http": self._http,
            "grpc": self._grpc,
            "version": VERSION,
            "pid": os.getpid(),
            "processes": {
                "etcd": pids.get("etcd"),
                "server": pids.get("server"),
                "gateway": pids.get("gateway"),
                "executors": [pid for name, pid in pids.items() if name.startswith("executor") and pid],
            },
        }
        path = self._data / "standalone.json"
        temporary = path.with_suffix(".json.new")
        try:
            temporary.write_text(json.dumps(state, indent=2) + "\n")
            temporary.replace(path)
        except OSError as error:
            # On a full disk the children matter more than what this file says of them.
            log.warning("state_not_written", path=str(path), error=error.strerror)
            self._unwritten = True
        else:
            self._unwritten = False

    async def _keep_disk(self) -> None:
        """Watch the disk, and retry writes that failed, until cancelled."""
        while True:
            await asyncio.sleep(_DISK_SECONDS)
            await asyncio.to_thread(self._reserve.look)
            if self._unwritten:
                self._write_state()

    @property
    def _sockets(self) -> Path:
        """The folder of etcd's unix sockets. Access to it is full access to the installation."""
        return self._data / "sockets"

    def _etcd(self) -> ChildSpec:
        self._sockets.mkdir(mode=0o700, exist_ok=True)
        sockets = [self._sockets / name for name in ETCD_SOCKETS]
        return ChildSpec(
            "etcd",
            etcd_socket_arguments(find_etcd(), self._data / "etcd"),
            self._log_path("etcd"),
            environment=etcd_environment(os.environ),
            folder=self._sockets,
            left_over=sockets,
            probe=lambda: responds_on_socket(sockets[0]),
        )

    def _server(self, endpoints: tuple[str, ...]) -> ChildSpec:
        storage = self._settings.object_storage or f"posix:{self._data / 'objects'}"
        command = [
            "server",
            "--grpc",
            self._grpc,
            "--port-is-held",
            "--data-dir",
            str(self._data),
            "--etcd",
            ",".join(endpoints),
            *self._settings.etcd_arguments,
        ]
        if not self._settings.etcd:
            command.append("--own-etcd")  # recover it without being asked: no other installation uses it
        times = self._settings.executor_times
        for option, value in (
            ("--heartbeat-interval", times.heartbeat_interval),
            ("--executor-lease", times.lease),
            ("--fence-after", times.fence_after),
            ("--vanish-after", times.vanish_after),
            ("--lost-after", times.lost_after),
        ):
            command += [option, duration(value)]
        kept = self._settings.retention
        for option, span in (("--log-retention", kept.logs), ("--run-retention", kept.runs)):
            command += [option, "0" if span is None else f"{span // timedelta(milliseconds=1)}ms"]
        keys = self._settings.master_keys
        if keys.file is not None:
            command += ["--master-key-file", str(keys.file)]
        elif keys.command:
            command += ["--master-key-command", keys.command]
        triggers = self._settings.triggers
        command += ["--public-url", triggers.public_url or f"http://{self._http}"]
        if self._settings.members_by_invitation:
            command.append("--members-by-invitation")
        if self._settings.fork_groups:
            command += ["--fork-groups", ",".join(sorted(self._settings.fork_groups))]
        seconds = triggers.catch_up_interval.total_seconds()
        command += ["--catch-up-interval", f"{seconds:g}s" if seconds else "0"]
        if triggers.private_networks:
            command += ["--allow-private-addresses", ",".join(map(str, triggers.private_networks))]
        return self._spec("server", _sluice(*command, "--object-storage", storage))

    def _gateway(self) -> ChildSpec:
        listening = self._held[0].socket.fileno()
        key = str(self._data / "session.key")
        command = ["gateway", "--http", f"fd:{listening}", *self._to_server(), "--session-key-file", key]
        spec = self._spec("gateway", _sluice(*command))
        return replace(spec, descriptors=[listening])

    def _executor(self, number: int) -> ChildSpec:
        id_ = f"executor-{number}"
        work = self._data / "executors" / id_
        command = ["executor", "run", *self._to_server(), "--token-file", str(self._data / "executor.token")]
        command += ["--id", id_, "--group", "default", "--slots", str(self._settings.slots)]
        command += ["--driver", ",".join(self._settings.drivers)]
        if self._settings.docker_host:
            command += ["--docker-host", self._settings.docker_host]
        command += ["--work-dir", str(work)]
        if self._settings.local_repositories is not None:
            command += ["--local-repositories", str(self._settings.local_repositories)]
        return replace(self._spec(id_, _sluice(*command)), stop=_EXECUTOR_STOP)

    def _to_server(self) -> Sequence[str]:
        # The address may be one that other machines reach this one by.
        return ("--server", self._grpc, "--insecure")

    def _spec(self, name: str, argv: Sequence[str]) -> ChildSpec:
        # Only the server speaks to the two stores: what runs tasks does not hold their credentials.
        secret = ("AWS_", "SLUICE_ETCD_")
        kept = {each: value for each, value in os.environ.items() if name == "server" or not each.startswith(secret)}
        environment = {**kept, "GRPC_ENABLE_FORK_SUPPORT": "0"}
        return ChildSpec(name, argv, self._log_path(name), environment=environment)

    def _log_path(self, name: str) -> Path:
        return self._data / "logs" / f"{name}.log"

    async def _is_ready(self) -> bool:
        return await asyncio.to_thread(get, self._http, "/readyz") is not None

    async def _executors_are_online(self) -> bool:
        token = (self._data / "admin.token").read_text().strip()
        body = await asyncio.to_thread(get, self._http, "/api/v1/executors", token)
        if body is None:
            return False
        online = [e for e in json.loads(body).get("executors", []) if e.get("online")]
        return len(online) >= self._settings.executors


def _sluice(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sluiceway.cli.entry", *arguments]


@contextmanager
def _folder(data_dir: Path) -> Iterator[None]:
    """Make the data folder and lock it: two parents must not use the same etcd."""
    data_dir = prepare_data_folder(data_dir)
    try:
        for name in ("logs", "executors"):
            (data_dir / name).mkdir(exist_ok=True)
        # On a full disk the children could not even log what is wrong.
        with tempfile.TemporaryFile(dir=data_dir) as probe:
            probe.write(b"\0" * _PROBE_BYTES)
        lock = lock_file(data_dir / "standalone.lock")
    except OSError as error:
        raise FailedPrecondition(f"the data folder {data_dir} cannot be used: {error.strerror}") from error
    if lock is None:
        raise FailedPrecondition(
            f"the data folder {data_dir} is in use by another `sluice standalone`; stop it, or name another folder"
        )
    with lock:
        yield


def _master_keys(settings: StandaloneSettings) -> MasterKeySource:
    """Return where the master keys are; make a file with one in the data folder if no option names any."""
    source = settings.master_keys
    # The database of another etcd has other servers, which would not have the key of this folder.
    if source != MasterKeySource() or settings.etcd:
        return source
    path = settings.data_dir / MASTER_KEY_FILE
    try:
        ensure_master_key_file(path)
    except OSError as error:
        raise FailedPrecondition(f"{path} cannot be written: {error.strerror}") from error
    return MasterKeySource(path)


def _need_tokens(data_dir: Path) -> None:
    """Refuse a folder without tokens: the database at an external etcd had its first ones made by another server."""
    for name, how in (
        (ADMIN_TOKEN_FILE, "sluice token create NAME --operator"),
        (EXECUTOR_TOKEN_FILE, "sluice token create NAME --executor-group default"),
    ):
        if read_token(data_dir / name) is None:
            raise FailedPrecondition(
                f"{data_dir / name} holds no token, and this database has its first tokens already; put one there:"
                f" `{how}` on its other server prints it, and `sluice db reset-operator-token` helps who has none",
                reason="TOKEN_MISSING",
            )


async def _until(condition: Callable[[], object]) -> None:
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return
        await asyncio.sleep(_POLL.total_seconds())


def main(settings: StandaloneSettings) -> int:
    """Run until SIGTERM or SIGINT; return the exit code of the process."""
    set_up_logging()
    os.umask(PRIVATE_UMASK)

    async def work(stop: Stop) -> None:
        def say() -> None:
            state = json.loads((settings.data_dir / "standalone.json").read_text())
            print(f"ready: http://{state['http']} and gRPC at {state['grpc']}", flush=True)
            print(f"the admin token is in {settings.data_dir / 'admin.token'}", flush=True)

        await run_standalone(settings, stop, ready=say)

    return run_process(work)
