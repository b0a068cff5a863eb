"""`sluice executor run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import option
from sluiceway.cli.values import parse_names, parse_size
from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput

if TYPE_CHECKING:
    from sluiceway_common.foundation.lifecycle import Stop

__all__ = ["executor"]

PATH = click.Path(path_type=Path)


@click.command("run", short_help="Run an executor.")
@option(
    "--server",
    required=True,
    metavar="HOST:PORT",
    help="The gRPC address of a server; with TLS: https://HOST:PORT.",
)
@option("--token-file", type=PATH, required=True, help="A file with a token of the executor group.")
@option("--work-dir", type=PATH, required=True, help="The folder for its journal, logs and workspaces.")
@option("--group", help="The group that the token must be of. Default: any.")
@option("--id", "id_", help="The id of the executor in its group. Default: the host name.")
@option(
    "--driver",
    default="sandbox",
    help="sandbox, host or docker, or several separated by commas: the first one that supports a task runs it. Or "
    "kubernetes.",
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
@option("--insecure", is_flag=True, help="Send the token over a plain connection to another machine.")
@option("--local-repositories", type=PATH, help="Tasks may clone the repositories below this folder. Default: none.")
@option(
    "--network",
    type=click.Choice(["isolated", "none", "host"]),
    default="isolated",
    help="What tasks may reach at most: other machines but not this one, nothing, or the network of this machine.",
)
@option(
    "--image-dir",
    type=PATH,
    help="Tasks may use the folders and OCI image layouts below this folder as images. Default: none.",
)
@option(
    "--docker-host",
    default="",
    metavar="URL",
    help="The address of Docker or Podman, such as unix:///run/docker.sock. Default: as the command docker finds it.",
)
@option(
    "--docker-pull",
    type=click.Choice(["always", "missing", "never"]),
    default="missing",
    help="When the driver docker pulls the image of a container.",
)
@option(
    "--pod-image",
    default="",
    metavar="IMAGE",
    help="The container image of Sluiceway, of this version, from which the driver kubernetes copies the first process "
    "of each pod.",
)
@option(
    "--namespace",
    default="",
    help="The namespace of the pods of tasks. Default: that of the executor's own pod, or of the context.",
)
@option(
    "--kubeconfig",
    type=PATH,
    help="How to reach the cluster. Default: the service account of the executor's pod, or else as kubectl.",
)
@option("--context", default="", help="The context of the kubeconfig. Default: the current one.")
@option(
    "--pod-template",
    type=PATH,
    metavar="FILE",
    help="A manifest of a pod that is added to the pods of tasks: tolerations, resources, a service account, volumes.",
)
@option(
    "--pod-pull",
    type=click.Choice(["always", "missing", "never"]),
    default="missing",
    help="When nodes pull the images of the containers of pods.",
)
@option(
    "--allow-privileged", is_flag=True, help="Tasks may have privileged containers, which are root on this machine."
)
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
    insecure: bool,
    local_repositories: Path | None,
    network: str,
    image_dir: Path | None,
    docker_host: str,
    docker_pull: str,
    pod_image: str,
    namespace: str,
    kubeconfig: Path | None,
    context: str,
    pod_template: Path | None,
    pod_pull: str,
    allow_privileged: bool,
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

    from sluiceway_common.foundation.lifecycle import run_process
    from sluiceway_common.foundation.logging import set_up_logging
    from sluiceway_executor.app import ClusterSettings, ExecutorSettings, Network, run_executor

    settings = ExecutorSettings(
        server=server,
        token_file=token_file,
        group=group,
        executor_id=id_ or socket.gethostname(),
        drivers=parse_names(driver),
        slots=slots,
        work_dir=work_dir.absolute(),
        labels=_labels(label),
        archs=parse_names(archs or ""),
        dynamic=dynamic,
        ca_file=ca_file,
        insecure=insecure,
        local_repositories=None if local_repositories is None else local_repositories.resolve(),
        network=Network(network),
        image_dir=None if image_dir is None else image_dir.resolve(),
        docker_host=docker_host,
        docker_pull=docker_pull,
        kubernetes=ClusterSettings(
            pod_image=pod_image,
            namespace=namespace,
            kubeconfig=kubeconfig,
            context=context,
            pod_template=pod_template,
            pull=pod_pull,
        ),
        allow_privileged=allow_privileged,
        memory_bytes=0 if memory is None else parse_size("--memory", memory),
        processes=processes,
        spool_limit_bytes=parse_size("--spool-limit", spool_limit),
        disk_bytes=0 if disk is None else parse_size("--disk", disk),
        min_free_disk_bytes=parse_size("--min-free-disk", min_free_disk),
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


def _labels(texts: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for text, (key, equals, _) in zip(texts, pairs, strict=True):
        if not key or not equals:
            raise InvalidInput(f'--label takes KEY=VALUE, not "{text}"')
    return {key: value for key, _, value in pairs}
