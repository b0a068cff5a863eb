"""The commands that are processes of the installation: standalone, server, gateway, executor.

Only here does the command line reach into server and executor, and lazily: a person's laptop needs neither.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sluiceway.cli.commands import option
from sluiceway.cli.etcd_options import etcd_access, etcd_access_arguments, etcd_access_options
from sluiceway.cli.gateway_options import GATEWAY_LIMITS, gateway_limits_options
from sluiceway.foundation.errors import FailedPrecondition, InvalidInput

if TYPE_CHECKING:
    from sluiceway.foundation.lifecycle import Stop
    from sluiceway.runservice.executor_times import ExecutorTimes
    from sluiceway.runservice.retention_rules import RetentionSettings

__all__ = ["executor", "gateway", "server", "standalone"]

C = TypeVar("C", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)
EXECUTOR_TIMES = {
    "--heartbeat-interval": ("5s", "The time between two heartbeats of an executor."),
    "--executor-lease": ("15s", "How long executors count as connected after their server has died."),
    "--fence-after": ("12m", "How long an executor may be unreachable before its pods end themselves."),
    "--vanish-after": ("2m", "How long a dynamic executor may be away before its tasks are lost."),
    "--lost-after": ("15m", "How long any other executor may be away before its tasks are lost."),
}


def executor_times_options(command: C) -> C:
    """Add the options that `_executor_times` reads."""
    for name, (default, text) in reversed(EXECUTOR_TIMES.items()):
        command = option(name, default=default, metavar="DURATION", help=text)(command)
    return command


def retention_options(command: C) -> C:
    """Add the options that `_retention` reads."""
    runs = option(
        "--run-retention", default="0", metavar="DURATION", help="Delete runs so long after their end; 0 keeps them."
    )
    logs = option(
        "--log-retention", default="30d", metavar="DURATION", help="Delete logs so long after their run; 0 keeps them."
    )
    return logs(runs(command))


@click.command()
@option("--data-dir", type=PATH, required=True, help="The folder for all data.")
@option(
    "--http", default="127.0.0.1:8080", metavar="HOST:PORT", help="The address of the gateway. Port 0: any free port."
)
@option(
    "--grpc", default="127.0.0.1:7070", metavar="HOST:PORT", help="The address of the server. Port 0: any free port."
)
@option("--etcd", metavar="URL,...", help="The endpoints of an existing etcd. Default: an own etcd.")
@etcd_access_options
@option(
    "--object-storage",
    help="posix:DIR, or s3://BUCKET/PREFIX?endpoint=URL&region=REGION. Default: a folder below --data-dir.",
)
@option("--executors", type=click.IntRange(min=0, max=100), default=1, help="The number of executors.")
@option(
    "--slots",
    type=click.IntRange(min=1, max=1000),
    default=4,
    help="The number of tasks that each executor runs at the same time.",
)
@option("--local-repositories", type=PATH, help="Tasks may clone the repositories below this folder. Default: none.")
@retention_options
@executor_times_options
def standalone(
    data_dir: Path,
    http: str,
    grpc: str,
    etcd: str | None,
    object_storage: str | None,
    executors: int,
    slots: int,
    local_repositories: Path | None,
    log_retention: str,
    run_retention: str,
    **executor_times: str,
) -> int:
    """Run etcd, a server, a gateway and executors on this machine, until SIGTERM."""
    from sluiceway.app.standalone import StandaloneSettings, main

    etcd_arguments = etcd_access_arguments()
    if etcd_arguments and not etcd:
        raise click.UsageError(f"{etcd_arguments[0]} goes with --etcd: the etcd of its own asks for nothing")
    etcd_access()  # so that a fault is told here, and not in the log of the server
    settings = StandaloneSettings(
        data_dir=data_dir.absolute(),
        http=http,
        grpc=grpc,
        etcd=_names(etcd or ""),
        etcd_arguments=etcd_arguments,
        object_storage=object_storage or "",
        executors=executors,
        slots=slots,
        local_repositories=None if local_repositories is None else local_repositories.resolve(),
        executor_times=_executor_times(executor_times),
        retention=_retention(log_retention, run_retention),
    )
    return main(settings)


@click.command()
@option("--data-dir", type=PATH, required=True, help="The folder for its read database and the first tokens.")
@option("--etcd", required=True, metavar="URL,...", help="The endpoints of etcd, separated by commas.")
@etcd_access_options
@option("--object-storage", required=True, help="posix:DIR, or s3://BUCKET/PREFIX?endpoint=URL&region=REGION.")
@option(
    "--grpc",
    default="127.0.0.1:7070",
    metavar="HOST:PORT",
    help="The address to listen on. Port 0: any free port.",
)
@option("--executor-grpc", metavar="HOST:PORT", help="Another address for executors. Default: --grpc.")
@option("--operator-grpc", metavar="HOST:PORT", help="Another address for operators. Default: --grpc.")
@option("--peer-grpc", metavar="HOST:PORT", help="Another address for other servers. Default: --grpc.")
@option("--prefix", default="sluiceway", help="The prefix of all keys in etcd and of all objects.")
@option("--api-url", default="", help="The URL of the gateway, which tasks get in SLUICE_API_URL.")
@option("--port-is-held", is_flag=True, hidden=True)
@option(
    "--own-etcd",
    is_flag=True,
    help="No other server uses this etcd: if it loses data, recover the database without asking.",
)
@retention_options
@executor_times_options
def server(
    data_dir: Path,
    etcd: str,
    object_storage: str,
    grpc: str,
    executor_grpc: str | None,
    operator_grpc: str | None,
    peer_grpc: str | None,
    prefix: str,
    api_url: str,
    port_is_held: bool,
    own_etcd: bool,
    log_retention: str,
    run_retention: str,
    **executor_times: str,
) -> int:
    """Run a server, until SIGTERM.

    The times of executors must be the same on all servers of an installation.
    """
    from sluiceway.app.server import ServerSettings, main

    settings = ServerSettings(
        data_dir=data_dir.absolute(),
        etcd=_names(etcd or ""),
        etcd_access=etcd_access(),
        object_storage=object_storage,
        grpc=grpc,
        executor_grpc=executor_grpc,
        operator_grpc=operator_grpc,
        peer_grpc=peer_grpc,
        prefix=prefix,
        api_url=api_url,
        port_is_held=port_is_held,
        own_etcd=own_etcd,
        executor_times=_executor_times(executor_times),
        retention=_retention(log_retention, run_retention),
    )
    return main(settings)


@click.command()
@option(
    "--http",
    required=True,
    metavar="HOST:PORT",
    help="The address to listen on. Port 0: any free port; fd:N: an inherited listening socket.",
)
@option("--server", required=True, metavar="HOST:PORT", help="The gRPC address of the server.")
@option(
    "--cors-origin",
    multiple=True,
    metavar="ORIGIN",
    help="An origin whose pages may call the gateway, such as https://ci.example.org. May be repeated. Default: none.",
)
@gateway_limits_options
def gateway(http: str, server: str, cors_origin: tuple[str, ...], **limits: Any) -> int:
    """Run a gateway, which serves the API as JSON over HTTP, until SIGTERM."""
    from sluiceway.app.gateway import GatewaySettings, main

    readers: dict[str, Callable[[str, Any], Any]] = {
        "SIZE": _bytes,
        "DURATION": _duration,
        "COUNT": lambda _, count: count,
    }
    values: dict[str, Any] = {}
    for name, (metavar, _, _) in GATEWAY_LIMITS.items():
        field = name.removeprefix("--").replace("-", "_")
        values[field] = readers[metavar](name, limits[field])
    settings = GatewaySettings(cors_origins=frozenset(cors_origin), **values)
    settings.check()
    return main(http, server, settings)


@click.command()
@option("--server", required=True, metavar="HOST:PORT", help="The gRPC address of a server.")
@option("--token-file", type=PATH, required=True, help="A file with a token of the executor group.")
@option("--work-dir", type=PATH, required=True, help="The folder for its journal, logs and workspaces.")
@option("--group", help="The group that the token must be of. Default: any.")
@option("--id", "id_", help="The id of the executor in its group. Default: the host name.")
@option(
    "--driver",
    default="sandbox",
    help="sandbox or host, or both separated by a comma. The first one runs the tasks.",
)
@option(
    "--slots",
    type=click.IntRange(min=1, max=1000),
    default=2,
    help="The number of tasks to run at the same time.",
)
@option("--label", multiple=True, metavar="KEY=VALUE", help="A label that tasks can require. May be repeated.")
@option(
    "--archs", metavar="ARCH,...", help="The architectures of the tasks that it takes. Default: those of this machine."
)
@option("--dynamic", is_flag=True, help="It may vanish without notice; other executors of its group clean up after it.")
@option("--ca-file", type=PATH, help="Connect with TLS, and trust the certificates in this PEM file.")
@option("--local-repositories", type=PATH, help="Tasks may clone the repositories below this folder. Default: none.")
@option(
    "--network",
    type=click.Choice(["isolated", "none", "host"]),
    default="isolated",
    help="What tasks may reach at most: other machines but not this one, nothing, or the network of this machine.",
)
@option("--image-dir", type=PATH, help="Tasks may use the folders below this folder as images. Default: none.")
@option(
    "--memory",
    metavar="SIZE",
    help="The memory limit of a task that sets none, such as 2Gi. Default: a share of the machine's memory.",
)
@option("--processes", type=click.IntRange(min=1), default=4096, help="The limit of processes and threads of a task.")
@option(
    "--spool-limit",
    default="4Gi",
    metavar="SIZE",
    help="The limit of log on disk that the server has not stored yet. Beyond it, tasks are slowed down.",
)
@option("--disk", metavar="SIZE", help="The disk limit of a task, such as 10Gi. Default: no limit.")
@option(
    "--min-free-disk",
    default="512Mi",
    metavar="SIZE",
    help="With less free disk than this, the task that uses most disk is ended.",
)
@option(
    "--setup-seconds",
    type=click.FloatRange(min=1),
    default=600.0,
    help="The time limit for the start of a pod.",
)
@option(
    "--always-seconds",
    type=click.FloatRange(min=1),
    default=300.0,
    help="The time limit for the `always` steps of a task that failed.",
)
def executor(
    server: str,
    token_file: Path,
    work_dir: Path,
    group: str | None,
    id_: str | None,
    driver: str,
    slots: int,
    label: tuple[str, ...],
    archs: str | None,
    dynamic: bool,
    ca_file: Path | None,
    local_repositories: Path | None,
    network: str,
    image_dir: Path | None,
    memory: str | None,
    processes: int,
    spool_limit: str,
    disk: str | None,
    min_free_disk: str,
    setup_seconds: float,
    always_seconds: float,
) -> int:
    """Run an executor until SIGTERM. Then it takes no more tasks, and exits when its tasks are over."""
    import errno
    import socket

    from sluiceway.executor.app import ExecutorSettings, Network, run_executor
    from sluiceway.foundation.lifecycle import run_process
    from sluiceway.foundation.logging import set_up_logging

    settings = ExecutorSettings(
        server=server,
        token_file=token_file,
        group=group,
        executor_id=id_ or socket.gethostname(),
        drivers=_names(driver),
        slots=slots,
        work_dir=work_dir.absolute(),
        labels=_labels(label),
        archs=_names(archs or ""),
        dynamic=dynamic,
        ca_file=ca_file,
        local_repositories=None if local_repositories is None else local_repositories.resolve(),
        network=Network(network),
        image_dir=None if image_dir is None else image_dir.resolve(),
        memory_bytes=0 if memory is None else _bytes("--memory", memory),
        processes=processes,
        spool_limit_bytes=_bytes("--spool-limit", spool_limit),
        disk_bytes=0 if disk is None else _bytes("--disk", disk),
        min_free_disk_bytes=_bytes("--min-free-disk", min_free_disk),
        setup_seconds=setup_seconds,
        always_seconds=always_seconds,
    )

    async def work(stop: Stop) -> None:
        try:
            await run_executor(settings, stop)
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
                raise
            raise FailedPrecondition(
                f"the disk of the work folder {settings.work_dir} takes nothing more: {error.strerror}"
            ) from error

    set_up_logging()
    return run_process(work)


def _executor_times(texts: dict[str, str]) -> ExecutorTimes:
    from sluiceway.runservice.executor_times import ExecutorTimes

    spans = {name: _duration(f"--{name.replace('_', '-')}", text) for name, text in texts.items()}
    times = ExecutorTimes(**{name.removeprefix("executor_"): span for name, span in spans.items()})
    times.check()
    return times


def _retention(logs: str, runs: str) -> RetentionSettings:
    from sluiceway.runservice.retention_rules import settings_for

    def span(option: str, text: str) -> timedelta | None:
        return None if text == "0" else _duration(option, text)

    return settings_for(logs=span("--log-retention", logs), runs=span("--run-retention", runs))


def _duration(option: str, text: str) -> timedelta:
    from sluiceway.runconfig.durations import parse_duration

    try:
        return timedelta(microseconds=parse_duration(text) // 1000)
    except ValueError as error:
        raise InvalidInput(f'{option}: "{text}" {error}') from error


def _names(text: str) -> tuple[str, ...]:
    """Split a list with commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _labels(texts: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for text, (key, equals, _) in zip(texts, pairs, strict=True):
        if not key or not equals:
            raise InvalidInput(f'--label takes KEY=VALUE, not "{text}"')
    return {key: value for key, _, value in pairs}


def _bytes(option: str, text: str) -> int:
    from sluiceway.runconfig.quantities import parse_bytes

    try:
        return parse_bytes(text)
    except ValueError as error:
        raise InvalidInput(f'{option}: "{text}" {error}') from error
