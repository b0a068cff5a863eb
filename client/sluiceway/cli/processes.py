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
        etcd=_endpoints(etcd),
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
        etcd=_endpoints(etcd),
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
    *,
    server: str,
    token_file: Path,
    group: str | None,
    id_: str | None,
    drivers: str,
    slots: int,
    work_dir: Path,
    labels: list[str],
    local_repositories: Path | None,
) -> None:
    """Run an executor, until SIGTERM drains it."""
    import errno
    import socket

    from sluiceway.executor.app import ExecutorSettings, run_executor
    from sluiceway.foundation.lifecycle import run_process
    from sluiceway.foundation.logging import set_up_logging

    pairs = [label.partition("=") for label in labels]
    wrong = [key for key, equals, _ in pairs if not key or not equals]
    if wrong:
        raise InvalidInput(f'--label takes KEY=VALUE, not "{wrong[0]}"')
    settings = ExecutorSettings(
        server=server,
        token_file=token_file,
        group=group,
        executor_id=id_ or socket.gethostname(),
        drivers=tuple(name.strip() for name in drivers.split(",") if name.strip()),
        slots=slots,
        work_dir=work_dir.absolute(),
        labels={key: value for key, _, value in pairs},
        local_repositories=None if local_repositories is None else local_repositories.resolve(),
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


def _endpoints(etcd: str | None) -> tuple[str, ...]:
    return tuple(endpoint.strip() for endpoint in (etcd or "").split(",") if endpoint.strip())
