"""The commands that are processes of the installation: standalone, server, gateway, executor.

Only here does the command line reach into server and executor, and lazily: a person's laptop needs neither.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sluiceway.foundation.errors import FailedPrecondition, InvalidInput

if TYPE_CHECKING:
    from sluiceway.foundation.lifecycle import Stop

__all__ = ["executor", "gateway", "server", "standalone"]

Etcd = Annotated[str | None, typer.Option("--etcd", metavar="URL,...", help="Endpoints of an etcd, with commas.")]
LocalRepositories = Annotated[
    Path | None, typer.Option("--local-repositories", help="Tasks may clone the repositories below this folder.")
]


def standalone(
    data_dir: Annotated[Path, typer.Option(help="Everything it keeps is below this folder.")],
    http: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Of the gateway; port 0 picks one.")
    ] = "127.0.0.1:8080",
    grpc: Annotated[str, typer.Option(metavar="HOST:PORT", help="Of the server; port 0 picks one.")] = "127.0.0.1:7070",
    etcd: Etcd = None,
    object_storage: Annotated[
        str | None, typer.Option(help="posix:DIR, or s3://BUCKET/PREFIX?endpoint=URL&region=REGION; a folder if none.")
    ] = None,
    executors: Annotated[int, typer.Option(min=0, max=100, help="How many executors.")] = 1,
    slots: Annotated[int, typer.Option(min=1, max=1000, help="Tasks at a time, of each executor.")] = 4,
    local_repositories: LocalRepositories = None,
) -> None:
    """Run everything on one machine: etcd, server, gateway and executors, until SIGTERM."""
    from sluiceway.app.standalone import StandaloneSettings, main

    settings = StandaloneSettings(
        data_dir=data_dir.absolute(),
        http=http,
        grpc=grpc,
        etcd=_names(etcd or ""),
        object_storage=object_storage or "",
        executors=executors,
        slots=slots,
        local_repositories=None if local_repositories is None else local_repositories.resolve(),
    )
    raise typer.Exit(main(settings))


def server(
    data_dir: Annotated[Path, typer.Option(help="Its read database and the first tokens.")],
    etcd: Annotated[str, typer.Option(metavar="URL,...", help="Endpoints of etcd, with commas.")],
    object_storage: Annotated[str, typer.Option(help="posix:DIR, or s3://BUCKET/PREFIX?endpoint=URL&region=REGION.")],
    grpc: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where it listens; port 0 picks one.")
    ] = "127.0.0.1:7070",
    executor_grpc: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="For executors; --grpc if none.")
    ] = None,
    operator_grpc: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="For operators; --grpc if none.")
    ] = None,
    peer_grpc: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="For other servers; --grpc if none.")
    ] = None,
    prefix: Annotated[str, typer.Option(help="Of all keys in etcd, and of all objects.")] = "sluiceway",
    api_url: Annotated[str, typer.Option(help="The gateway's URL, as tasks see it in SLUICE_API_URL.")] = "",
    own_etcd: Annotated[
        bool,
        typer.Option("--own-etcd", help="This server alone has this etcd: recover whatever is lost of it, unasked."),
    ] = False,
) -> None:
    """Run a server, until SIGTERM."""
    from sluiceway.app.server import ServerSettings, main

    settings = ServerSettings(
        data_dir=data_dir.absolute(),
        etcd=_names(etcd or ""),
        object_storage=object_storage,
        grpc=grpc,
        executor_grpc=executor_grpc,
        operator_grpc=operator_grpc,
        peer_grpc=peer_grpc,
        prefix=prefix,
        api_url=api_url,
        own_etcd=own_etcd,
    )
    raise typer.Exit(main(settings))


def gateway(
    http: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where it listens; port 0 picks one.")],
    server: Annotated[str, typer.Option(metavar="HOST:PORT", help="The server's gRPC address.")],
) -> None:
    """Run a gateway: gRPC as JSON over HTTP, until SIGTERM."""
    from sluiceway.app.gateway import GatewaySettings, main

    raise typer.Exit(main(GatewaySettings(http=http, server=server)))


def executor(
    server: Annotated[str, typer.Option(metavar="HOST:PORT", help="The gRPC address of a server.")],
    token_file: Annotated[Path, typer.Option(help="A file with a token of the executor group.")],
    work_dir: Annotated[Path, typer.Option(help="Where it keeps its journal, logs and workspaces.")],
    group: Annotated[
        str | None, typer.Option(help="Refuse a token of another group than this one; any group if not given.")
    ] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Its id in the group; the host name if not given.")] = None,
    driver: Annotated[
        str, typer.Option(help="sandbox or host, or both with a comma; the first one runs the tasks.")
    ] = "sandbox",
    slots: Annotated[int, typer.Option(min=1, max=1000, help="How many tasks run at the same time.")] = 2,
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="A label that tasks can require.")
    ] = None,
    archs: Annotated[
        str | None, typer.Option(metavar="ARCH,...", help="Architectures of tasks it takes; its own if not given.")
    ] = None,
    dynamic: Annotated[
        bool, typer.Option("--dynamic", help="It may vanish for good, and its siblings clean up after it.")
    ] = False,
    ca_file: Annotated[
        Path | None, typer.Option(help="Connect by TLS, and trust the certificates in this PEM file.")
    ] = None,
    local_repositories: LocalRepositories = None,
    network: Annotated[bool, typer.Option("--network/--no-network", help="Whether tasks can use the network.")] = True,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Of a task that sets none, such as 2Gi; a share of the machine if not given."
        ),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes and threads of a task.")] = 4096,
    spool_limit: Annotated[
        str, typer.Option(metavar="SIZE", help="Log on disk that is not stored yet; beyond it tasks are slowed.")
    ] = "4Gi",
    min_free_disk: Annotated[
        str, typer.Option(metavar="SIZE", help="With less free disk, the task that uses most of it is ended.")
    ] = "512Mi",
    setup_seconds: Annotated[float, typer.Option(min=1, help="How long a pod may take to start.")] = 600.0,
    always_seconds: Annotated[float, typer.Option(min=1, help="For all `always` steps of a task that failed.")] = 300.0,
) -> None:
    """Run an executor until SIGTERM: it takes no more tasks then, and ends when those that run are over."""
    import errno
    import socket

    from sluiceway.executor.app import ExecutorSettings, run_executor
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
        labels=_labels(label or []),
        archs=_names(archs or ""),
        dynamic=dynamic,
        ca_file=ca_file,
        local_repositories=None if local_repositories is None else local_repositories.resolve(),
        network=network,
        memory_bytes=0 if memory is None else _bytes("--memory", memory),
        processes=processes,
        spool_limit_bytes=_bytes("--spool-limit", spool_limit),
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
    raise typer.Exit(run_process(work))


def _names(text: str) -> tuple[str, ...]:
    """Split a list with commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _labels(texts: list[str]) -> dict[str, str]:
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
