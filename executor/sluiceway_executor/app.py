"""Composes the executor: `run_executor` runs it with its settings until it is asked to end.

The first request to end drains it: it takes no more assignments, and completes and reports those that run. A second one
cancels it: pods are removed at once, and the next process of this executor reports their assignments as lost. If it is
killed, its tasks continue, and the next process takes them over.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import grpc
import grpc.aio
import structlog

from sluiceway_common.foundation.clock import Clock, SystemClock
from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput, Violation
from sluiceway_common.foundation.file_lock import lock_file
from sluiceway_common.foundation.rpc.address import secure_target
from sluiceway_common.foundation.rpc.channel import open_channel
from sluiceway_common.foundation.tasks import errors_in
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_common.foundation.version import VERSION
from sluiceway_executor.archives.steps import ArchiveSteps
from sluiceway_executor.archives.transfer import ArchiveTransfer
from sluiceway_executor.assignments import Assignments
from sluiceway_executor.disk import DiskGuard
from sluiceway_executor.drivers.docker_request import Owner
from sluiceway_executor.drivers.host import HostDriver
from sluiceway_executor.drivers.machine import ARCHS, default_memory_bytes
from sluiceway_executor.drivers.port import Driver, Limits, Network, Pod
from sluiceway_executor.drivers.sandbox import SandboxDriver, SandboxSettings, overlap
from sluiceway_executor.id_tokens import ServerIdTokens
from sluiceway_executor.journal import Journal
from sluiceway_executor.log_pusher import LogPusher, PushTimes
from sluiceway_executor.outbox import Outbox
from sluiceway_executor.progress import ProgressFiles
from sluiceway_executor.session import Identity, Session, SessionTimes
from sluiceway_executor.shells import Shells
from sluiceway_executor.specification_source import SpecificationSource
from sluiceway_executor.spool import Spools
from sluiceway_executor.worker import WorkerSettings

__all__ = ["ClusterSettings", "ExecutorSettings", "Network", "StopRequest", "run_executor"]

_DRIVERS = ("sandbox", "host", "docker", "kubernetes")

log = structlog.get_logger(__name__)

_REPORT_SECONDS = 15.0
_LOCK_SECONDS = 5.0
_LOCK_PAUSE_SECONDS = 0.05
_WITHDRAW_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Where the driver `kubernetes` has its pods, and what they are like.

    Attributes:
        pod_image: the image of Sluiceway, of this version, from which nodes get the first process of each pod.
        namespace: of the pods; empty: the executor's own, or that of the context.
        kubeconfig: None: the service account of the executor's pod, or else the file that `kubectl` uses.
        context: of the kubeconfig; empty: the current one.
        pod_template: a file with a manifest of a pod, which is added to each; None: none.
        pull: when nodes pull images: `always`, `missing` or `never`.
    """

    pod_image: str = ""
    namespace: str = ""
    kubeconfig: Path | None = None
    context: str = ""
    pod_template: Path | None = None
    pull: str = "missing"


@dataclass(frozen=True, slots=True)
class ExecutorSettings:
    """The settings of an executor.

    Attributes:
        server: `host:port` or `https://host:port` of a server, or a gRPC target of several.
        group: that the token must be of; None: any.
        work_dir: its own folder, with the journal, logs that are not stored yet, and pods. For one process at a time.
        token_file: a file with the token of its group, read at each connection. None: no token.
        ca_file: connect with TLS, and verify the server's certificate with those in this file.
        insecure: send the token over a plain connection to another machine.
        executor_id: its id in its group; empty: chosen once, and kept in `work_dir`.
        drivers: `sandbox`, `host`, `docker`; the first one that supports a task runs it. Or `kubernetes` alone.
        slots: tasks at a time.
        local_repositories: the folder below which repositories of this machine may be cloned; None: no such clones.
        archs: that it reports; empty: those of its driver.
        labels: that tasks may require.
        dynamic: it may vanish without notice.
        network: the most access that tasks get; a task may ask for less.
        image_dir: the folder below which folders may be images; None: none may.
        docker_host: the address of the engine of the driver `docker`; empty: as the command `docker` finds it.
        docker_pull: when that driver pulls images: `always`, `missing` or `never`.
        kubernetes: where the driver `kubernetes` has its pods.
        allow_privileged: tasks may have privileged containers.
        memory_bytes: the limit of a task that sets none; 0: its share of four fifths of the machine.
        processes: the limit of a task. More only for tasks that really have so many threads.
        spool_limit_bytes: of log that is not stored yet; beyond it output waits.
        disk_bytes: the limit of a task; 0: none.
        min_free_disk_bytes: with less free disk, the task that uses most is ended.
        fence_after: seconds that a pod lives without an acknowledged heartbeat; None: as the server says. Tests scale
            it down.
        always_seconds: the time limit of the `always` steps of a task that did not succeed.
        setup_seconds: the time limit for the start of a pod.
        store_logs_seconds: how long the report of an end waits for the logs to be stored.
        session_times: when a stream is given up. Tests scale them down.
        push_times: the same of the stream of logs.
        sandbox_uids: the first uid of the pods of a root executor, and how many there are.
    """

    server: str
    work_dir: Path
    group: str | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    insecure: bool = False
    executor_id: str = ""
    drivers: Sequence[str] = ("sandbox",)
    slots: int = 2
    local_repositories: Path | None = None
    archs: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    dynamic: bool = False
    network: Network = Network.ISOLATED
    image_dir: Path | None = None
    docker_host: str = ""
    docker_pull: str = "missing"
    kubernetes: ClusterSettings = field(default_factory=ClusterSettings)
    allow_privileged: bool = False
    memory_bytes: int = 0
    processes: int = 4096
    spool_limit_bytes: int = 4 << 30
    disk_bytes: int = 0
    min_free_disk_bytes: int = 512 << 20
    fence_after: float | None = None
    always_seconds: float = 300.0
    setup_seconds: float = 600.0
    store_logs_seconds: float = 60.0
    session_times: SessionTimes = field(default_factory=SessionTimes)
    push_times: PushTimes = field(default_factory=PushTimes)
    sandbox_uids: tuple[int, int] = (210_000, 1_000)


class StopRequest(Protocol):
    """The request that the executor ends (`foundation.lifecycle.Stop`)."""

    async def wait(self) -> None:
        """Wait until the executor is asked to end."""
        ...


async def run_executor(
    settings: ExecutorSettings, stop: StopRequest, *, clock: Clock | None = None, connected: asyncio.Event | None = None
) -> None:
    """Run an executor until `stop` is requested and its tasks are over.

    When cancelled, it removes its pods and ends. `connected`, if given, is set after the first welcome.

    Raises:
        InvalidInput: the settings are invalid.
        Unauthenticated, PermissionDenied: the first server that responded refuses the token, or it is not of `group`.
        FailedPrecondition: the work folder cannot be used or another process uses it, or a driver does not work on this
            machine.
        DataLoss: the journal in the work folder is damaged.
    """
    clock = clock or SystemClock()
    _check(settings)
    async with AsyncExitStack() as resources:
        resources.enter_context(_lock(settings.work_dir))
        journal = await Journal.open(settings.work_dir / "journal.json", executor_id=settings.executor_id)
        unfinished = [held.assignment_id for held in journal.held.values() if not held.final]
        drivers, pods = await _open_drivers(settings, journal, resources, unfinished)
        spools = Spools(settings.work_dir / "spool", limit_bytes=settings.spool_limit_bytes)
        resources.callback(spools.close)
        await spools.load(continued=unfinished)
        for assignment_id in {spool.name.assignment_id for spool in spools} - set(journal.held):
            await spools.remove(assignment_id)
        outbox = Outbox(journal.next_number)
        connect = _connector(settings)
        archives = ArchiveSteps(ArchiveTransfer(connect, journal), settings.work_dir, clock)
        assignments = Assignments(
            drivers,
            journal,
            outbox=outbox,
            spools=spools,
            slots=settings.slots,
            archives=archives,
            settings=_worker_settings(settings),
            files=ProgressFiles(settings.work_dir / "tasks"),
            specifications=SpecificationSource(connect, journal),
            id_tokens=ServerIdTokens(connect, journal),
            clock=clock,
            fence_seconds=settings.fence_after or 720.0,
            fence_fixed=settings.fence_after is not None,
        )
        resources.push_async_callback(journal.flush)
        resources.push_async_callback(assignments.close)
        await assignments.recover(pods)
        shells = Shells(assignments, journal, open_channel=connect)
        resources.push_async_callback(shells.close)
        session = Session(
            connect,
            assignments,
            identity=_identity(settings, drivers),
            journal=journal,
            outbox=outbox,
            clock=clock,
            shells=shells,
            times=settings.session_times,
        )
        pusher = LogPusher(
            connect, spools, journal, connected=session.connected, clock=clock, times=settings.push_times
        )
        guard = DiskGuard(
            settings.work_dir,
            assignments,
            min_free_bytes=settings.min_free_disk_bytes,
            task_bytes=settings.disk_bytes,
        )
        log.info("executor_starts", executor=journal.executor_id, server=settings.server, slots=settings.slots)
        async with _background(session.run(), pusher.run(), spools.run(), journal.run(), guard.run()):
            if connected is not None:
                await _first_of(session.connected.wait(), stop.wait())
                connected.set()
            await stop.wait()
            if session.connected.is_set() or not assignments.is_idle:
                # Until the server knows, assignments are still accepted: a refused one is a lost task.
                await session.withdraw(_WITHDRAW_SECONDS)
            assignments.draining.set()
            log.info("executor_drains", running=len(assignments.running()))
            await assignments.wait_idle()
            await _wait_reported(outbox, spools)
        log.info("executor_ends", executor=journal.executor_id)


def _check(settings: ExecutorSettings) -> None:
    violations = []
    if settings.slots < 1:
        violations.append(Violation("slots", "at least 1"))
    if not settings.drivers:
        violations.append(Violation("drivers", "at least one"))
    violations += [
        Violation("drivers", f'"{name}" is unknown: there are sandbox, host, docker and kubernetes')
        for name in settings.drivers
        if name not in _DRIVERS
    ]
    if "kubernetes" in settings.drivers:
        if len(settings.drivers) > 1:
            violations.append(Violation("drivers", "kubernetes cannot be combined with others: use two executors"))
        if not settings.kubernetes.pod_image:
            violations.append(
                Violation("pod_image", "the driver kubernetes needs the image of Sluiceway: --pod-image IMAGE")
            )
    if settings.image_dir is not None and not settings.image_dir.is_dir():
        violations.append(Violation("image_dir", f"{settings.image_dir} is not a folder"))
    elif settings.image_dir is not None and overlap(settings.image_dir, settings.work_dir):
        violations.append(Violation("image_dir", f"{settings.image_dir} overlaps the work folder {settings.work_dir}"))
    if settings.local_repositories is not None and not settings.local_repositories.is_dir():
        violations.append(Violation("local_repositories", f"{settings.local_repositories} is not a folder"))
    if settings.token_file is not None and not settings.token_file.is_file():
        violations.append(Violation("token_file", f"{settings.token_file} is not a file"))
    elif settings.token_file is not None and (fault := _token_fault(settings.token_file)):
        violations.append(Violation("token_file", f"{settings.token_file} {fault}"))
    try:
        _target(settings)
    except InvalidInput as error:
        if not error.violations:
            raise
        violations += error.violations
    violations += [
        Violation("archs", f'"{name}" is unknown: there are {", ".join(ARCHS)}')
        for name in settings.archs
        if name not in ARCHS
    ]
    if violations:
        raise InvalidInput(violations)


def _token_fault(file: Path) -> str:
    try:
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}"
    if not token:
        return "is empty"
    # gRPC allows no other bytes in a header, and would fail at every connection.
    return "" if token.isascii() and token.isprintable() else "has characters that no token has; copy it again"


def _target(settings: ExecutorSettings) -> tuple[str, grpc.ChannelCredentials | None]:
    return secure_target(
        settings.server,
        ca_file=settings.ca_file,
        insecure=settings.insecure,
        sends_token=settings.token_file is not None,
    )


@contextlib.contextmanager
def _lock(work_dir: Path) -> Iterator[None]:
    """Lock the work folder: two processes with one journal would be one executor twice."""
    try:
        work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        work_dir.chmod(0o700)
        # What an executor that was killed has left may be just being removed (`orphaned_pods`).
        until = time.monotonic() + _LOCK_SECONDS
        while (lock := lock_file(work_dir / "lock")) is None and time.monotonic() < until:
            time.sleep(_LOCK_PAUSE_SECONDS)
    except OSError as error:
        raise FailedPrecondition(
            f"the work folder {work_dir} cannot be used: {error.strerror}", reason="WORK_DIR_UNUSABLE"
        ) from error
    if lock is None:
        raise FailedPrecondition(f"another executor uses {work_dir}", reason="WORK_DIR_IN_USE")
    with lock:
        yield


async def _open_drivers(
    settings: ExecutorSettings, journal: Journal, resources: AsyncExitStack, unfinished: Collection[str]
) -> tuple[list[Driver], Mapping[str, Pod]]:
    """Open the drivers, and take over the pods of the assignments that are not finished."""
    drivers: list[Driver] = []
    pods: dict[str, Pod] = {}
    for name in settings.drivers:
        driver = _driver(name, settings, journal)
        resources.push_async_callback(driver.close)
        pods.update(await driver.take_over(unfinished))
        await driver.sweep()
        await driver.probe()
        drivers.append(driver)
    return drivers, pods


def _driver(name: str, settings: ExecutorSettings, journal: Journal) -> Driver:
    if name == "sandbox":
        first, count = settings.sandbox_uids
        sandbox = SandboxSettings(
            first_uid=first, uid_count=count, network=settings.network, image_dir=settings.image_dir
        )
        return SandboxDriver(settings.work_dir / "sandbox", sandbox, outlives=True)
    if name == "docker":
        # It needs packages that the others do not.
        from sluiceway_executor.drivers.docker import DockerDriver, DockerSettings, PullPolicy  # noqa: PLC0415 - as above

        docker = DockerSettings(
            url=settings.docker_host,
            pull=PullPolicy(settings.docker_pull),
            network=settings.network,
            allow_privileged=settings.allow_privileged,
            owner=_owner(settings, journal),
        )
        return DockerDriver(settings.work_dir / "docker", docker, outlives=True)
    if name == "kubernetes":
        return _kubernetes(settings, journal)
    return HostDriver(settings.work_dir / "host", outlives=True)


def _kubernetes(settings: ExecutorSettings, journal: Journal) -> Driver:
    # Its client of the API takes a second to import.
    from sluiceway_executor.drivers.kubernetes import KubernetesDriver, KubernetesSettings  # noqa: PLC0415 - as above
    from sluiceway_executor.drivers.kubernetes_template import PodTemplate, load_template  # noqa: PLC0415 - as above

    cluster = settings.kubernetes
    return KubernetesDriver(
        KubernetesSettings(
            image=cluster.pod_image,
            namespace=cluster.namespace,
            kubeconfig=cluster.kubeconfig,
            context=cluster.context,
            pull=cluster.pull,
            template=PodTemplate() if cluster.pod_template is None else load_template(cluster.pod_template),
            archs=settings.archs,
            network=settings.network,
            allow_privileged=settings.allow_privileged,
            disk_bytes=settings.disk_bytes,
            # Before the worker's own limit, because it knows what the pod waited for.
            start_seconds=settings.setup_seconds * 0.95,
            pull_seconds=min(120.0, settings.setup_seconds * 0.2),
            owner=_owner(settings, journal),
        )
    )


def _owner(settings: ExecutorSettings, journal: Journal) -> Owner:
    return Owner(
        journal_id=journal.journal_id,
        process_id="",
        executor_id=journal.executor_id,
        group=settings.group or "",
        server=settings.server,
        secret=journal.pod_secret,
    )


def _worker_settings(settings: ExecutorSettings) -> WorkerSettings:
    # In a cluster, tasks do not share this machine: what they may use by default is up to the pod template.
    share = 0 if "kubernetes" in settings.drivers else default_memory_bytes(settings.slots)
    memory = settings.memory_bytes or share
    return WorkerSettings(
        limits=Limits(processes=settings.processes, memory_bytes=memory),
        local_repositories=settings.local_repositories,
        setup_seconds=settings.setup_seconds,
        always_seconds=settings.always_seconds,
        store_logs_seconds=settings.store_logs_seconds,
    )


def _identity(settings: ExecutorSettings, drivers: Sequence[Driver]) -> Identity:
    return Identity(
        version=VERSION,
        slots=settings.slots,
        work_dir=settings.work_dir,
        archs=tuple(settings.archs) or tuple(drivers[0].archs),
        drivers=tuple(settings.drivers),
        labels=settings.labels,
        privileged_allowed=settings.allow_privileged,
        dynamic=settings.dynamic,
        expected_group=settings.group,
    )


def _connector(settings: ExecutorSettings) -> Callable[[], grpc.aio.Channel]:
    def connect() -> grpc.aio.Channel:
        token = settings.token_file.read_text().strip() if settings.token_file is not None else None
        target, tls = _target(settings)
        return open_channel(target, token=token, tls=tls)

    return connect


@asynccontextmanager
async def _background(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run coroutines beside the body. If one fails, the body is cancelled, and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
            yield
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as errors:
        raise errors_in(errors)[0] from errors


async def _first_of(*waits: Coroutine[Any, Any, Any]) -> None:
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _wait_reported(outbox: Outbox, spools: Spools) -> None:
    """Wait until the last reports and logs are acknowledged, for some time; the journal keeps the others."""
    with contextlib.suppress(TimeoutError):
        async with time_limit(_REPORT_SECONDS):
            while len(outbox) or any(not spool.complete for spool in spools):  # noqa: ASYNC110 - of two owners, once
                await asyncio.sleep(0.05)
