"""`sluice standalone`, `server` and `gateway`. The modules that they run are imported when they run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sluiceway.cli.commands import option
from sluiceway.cli.values import parse_names, parse_size, parse_span
from sluiceway_server.cli.etcd_options import etcd_access, etcd_access_arguments, etcd_access_options
from sluiceway_server.cli.gateway_options import GATEWAY_LIMITS, gateway_limits_options

if TYPE_CHECKING:
    from sluiceway_server.projects.master_key_source import MasterKeySource
    from sluiceway_server.runs.executor_times import ExecutorTimes
    from sluiceway_server.runs.retention_rules import RetentionSettings
    from sluiceway_server.triggers.settings import TriggerSettings

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


def fork_options(command: C) -> C:
    """Add the option that names the groups of executors for runs of forks."""
    return option(
        "--fork-groups",
        default="",
        metavar="GROUP,...",
        help="The groups of executors that take runs of pull requests from forks. Default: none.",
    )(command)


def people_options(command: C) -> C:
    """Add the option that says how organizations get members."""
    return option(
        "--members-by-invitation",
        is_flag=True,
        help="Only operators add members to an organization; its owners invite them.",
    )(command)


def trigger_options(command: C) -> C:
    """Add the options that `_triggers` reads."""
    url = option(
        "--public-url",
        default="",
        metavar="URL",
        help="The URL of the gateway for git providers and people: in webhooks and commit statuses.",
    )
    addresses = option(
        "--allow-private-addresses",
        default="",
        metavar="CIDR,...",
        help="Private, link-local and loopback networks in which git providers may be. Default: none.",
    )
    interval = option(
        "--catch-up-interval",
        default="5m",
        metavar="TIME",
        help="How often the refs of each repository are listed, to find pushes for which no webhook arrived. 0: never.",
    )
    return url(addresses(interval(command)))


def master_key_options(command: C) -> C:
    """Add the options that `_master_keys` reads."""
    file = option(
        "--master-key-file",
        type=PATH,
        metavar="FILE",
        help="The master keys of secrets, in base64, one on each line; the first one encrypts. Mode 600.",
    )
    from_command = option(
        "--master-key-command", default="", metavar="COMMAND", help="A command that prints the master keys."
    )
    return file(from_command(command))


@click.command(short_help="Run etcd, server, gateway and executors on this machine.")
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
@option("--driver", default="sandbox", help="The drivers of the executors: sandbox, host or docker, or several.")
@option("--docker-host", default="", metavar="URL", help="The address of Docker or Podman, for the driver docker.")
@option("--local-repositories", type=PATH, help="Tasks may clone the repositories below this folder. Default: none.")
@master_key_options
@trigger_options
@fork_options
@people_options
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
    driver: str,
    docker_host: str,
    local_repositories: Path | None,
    master_key_file: Path | None,
    master_key_command: str,
    public_url: str,
    catch_up_interval: str,
    allow_private_addresses: str,
    fork_groups: str,
    members_by_invitation: bool,
    log_retention: str,
    run_retention: str,
    **executor_times: str,
) -> int:
    """Run etcd, a server, a gateway and executors on this machine, until SIGTERM."""
    from sluiceway_server.app.standalone import StandaloneSettings, main

    etcd_arguments = etcd_access_arguments()
    if etcd_arguments and not etcd:
        raise click.UsageError(f"{etcd_arguments[0]} goes with --etcd: the etcd of its own asks for nothing")
    etcd_access()  # so that a fault is reported here, and not in the log of the server
    settings = StandaloneSettings(
        data_dir=data_dir.absolute(),
        http=http,
        grpc=grpc,
        etcd=parse_names(etcd or ""),
        etcd_arguments=etcd_arguments,
        object_storage=object_storage or "",
        executors=executors,
        slots=slots,
        drivers=parse_names(driver),
        docker_host=docker_host,
        local_repositories=None if local_repositories is None else local_repositories.resolve(),
        executor_times=_executor_times(executor_times),
        retention=_retention(log_retention, run_retention),
        master_keys=_master_keys(master_key_file, master_key_command),
        triggers=_triggers(public_url, allow_private_addresses, catch_up_interval),
        fork_groups=frozenset(parse_names(fork_groups)),
        members_by_invitation=members_by_invitation,
    )
    return main(settings)


@click.command(short_help="Run a server.")
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
@option(
    "--peer-address",
    metavar="HOST:PORT",
    help="How other servers reach this one. Default: --peer-grpc or --grpc, by this machine's name if for any address.",
)
@option(
    "--peer-ca-file",
    type=PATH,
    help="With TLS: the certificate authorities of the other servers, in PEM form. Default: those of this machine.",
)
@option("--tls-cert-file", type=PATH, help="Serve gRPC with TLS, with the certificates in this PEM file.")
@option("--tls-key-file", type=PATH, help="The private key of --tls-cert-file, in PEM form.")
@option("--prefix", default="sluiceway", help="The prefix of all keys in etcd and of all objects.")
@option("--api-url", default="", help="The URL of the gateway, which tasks get in SLUICE_API_URL.")
@option("--port-is-held", is_flag=True, hidden=True)
@option(
    "--own-etcd",
    is_flag=True,
    help="No other server uses this etcd: if it loses data, recover the database without asking.",
)
@master_key_options
@trigger_options
@fork_options
@people_options
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
    peer_address: str | None,
    peer_ca_file: Path | None,
    tls_cert_file: Path | None,
    tls_key_file: Path | None,
    prefix: str,
    api_url: str,
    port_is_held: bool,
    own_etcd: bool,
    master_key_file: Path | None,
    master_key_command: str,
    public_url: str,
    catch_up_interval: str,
    allow_private_addresses: str,
    fork_groups: str,
    members_by_invitation: bool,
    log_retention: str,
    run_retention: str,
    **executor_times: str,
) -> int:
    """Run a server, until SIGTERM.

    The times of executors must be the same on all servers of an installation.
    """
    from sluiceway_server.app.server import ServerSettings, main

    if (tls_cert_file is None) != (tls_key_file is None):
        raise click.UsageError("--tls-cert-file and --tls-key-file go together")
    settings = ServerSettings(
        data_dir=data_dir.absolute(),
        etcd=parse_names(etcd or ""),
        etcd_access=etcd_access(),
        object_storage=object_storage,
        grpc=grpc,
        executor_grpc=executor_grpc,
        operator_grpc=operator_grpc,
        peer_grpc=peer_grpc,
        peer_address=peer_address,
        peer_ca_file=peer_ca_file,
        tls_files=None if tls_cert_file is None or tls_key_file is None else (tls_cert_file, tls_key_file),
        prefix=prefix,
        api_url=api_url,
        port_is_held=port_is_held,
        own_etcd=own_etcd,
        executor_times=_executor_times(executor_times),
        retention=_retention(log_retention, run_retention),
        master_keys=_master_keys(master_key_file, master_key_command),
        triggers=_triggers(public_url, allow_private_addresses, catch_up_interval),
        fork_groups=frozenset(parse_names(fork_groups)),
        members_by_invitation=members_by_invitation,
    )
    return main(settings)


@click.command(short_help="Run an HTTP gateway.")
@option(
    "--http",
    required=True,
    metavar="HOST:PORT",
    help="The address to listen on. Port 0: any free port; fd:N: an inherited listening socket.",
)
@option(
    "--server",
    required=True,
    metavar="HOST:PORT",
    help="The gRPC address of the server; with TLS: https://HOST:PORT.",
)
@option("--ca-file", type=PATH, help="Connect to the server with TLS, and trust the certificates in this PEM file.")
@option("--insecure", is_flag=True, help="Send tokens over a plain connection to a server on another machine.")
@option(
    "--cors-origin",
    multiple=True,
    metavar="ORIGIN",
    help="An origin whose pages may call the gateway, such as https://ci.example.org. May be repeated. Default: none.",
)
@option(
    "--session-key-file",
    type=PATH,
    help="The key of the sessions of browsers; made if it is missing. The same on all gateways of an installation."
    " Default: none, and a restart ends all sessions.",
)
@gateway_limits_options
def gateway(
    http: str,
    server: str,
    ca_file: Path | None,
    insecure: bool,
    cors_origin: tuple[str, ...],
    session_key_file: Path | None,
    **limits: Any,
) -> int:
    """Run a gateway, which serves the API as JSON over HTTP, until SIGTERM."""
    from sluiceway_server.app.gateway import GatewaySettings, main

    readers: dict[str, Callable[[str, Any], Any]] = {
        "SIZE": parse_size,
        "DURATION": parse_span,
        "COUNT": lambda _, count: count,
    }
    values: dict[str, Any] = {}
    for name, (metavar, _, _) in GATEWAY_LIMITS.items():
        field = name.removeprefix("--").replace("-", "_")
        values[field] = readers[metavar](name, limits[field])
    settings = GatewaySettings(cors_origins=frozenset(cors_origin), **values)
    settings.check()
    return main(http, server, settings, ca_file=ca_file, insecure=insecure, session_key_file=session_key_file)


def _executor_times(texts: dict[str, str]) -> ExecutorTimes:
    from sluiceway_server.runs.executor_times import ExecutorTimes

    spans = {name: parse_span(f"--{name.replace('_', '-')}", text) for name, text in texts.items()}
    times = ExecutorTimes(**{name.removeprefix("executor_"): span for name, span in spans.items()})
    times.check()
    return times


def _master_keys(file: Path | None, command: str) -> MasterKeySource:
    from sluiceway_server.projects.master_key_source import MasterKeySource

    source = MasterKeySource(None if file is None else file.absolute(), command)
    source.check()
    return source


def _triggers(public_url: str, private_addresses: str, catch_up_interval: str) -> TriggerSettings:
    from sluiceway_server.forges.addresses import parse_networks
    from sluiceway_server.triggers.settings import TriggerSettings, parse_public_url

    return TriggerSettings(
        public_url=parse_public_url(public_url),
        private_networks=parse_networks([private_addresses]),
        catch_up_interval=_span_or_never("--catch-up-interval", catch_up_interval) or timedelta(0),
    )


def _retention(logs: str, runs: str) -> RetentionSettings:
    from sluiceway_server.runs.retention_rules import settings_for

    return settings_for(logs=_span_or_never("--log-retention", logs), runs=_span_or_never("--run-retention", runs))


def _span_or_never(option: str, text: str) -> timedelta | None:
    return None if text == "0" else parse_span(option, text)
