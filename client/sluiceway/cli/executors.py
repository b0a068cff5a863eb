"""`sluice executor`: run one (`sluice executor --server ...`), or see and steer those of a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sluiceway.cli import processes
from sluiceway.cli.connecting import ServerOption, TokenOption, with_client
from sluiceway.cli.showing import Format

if TYPE_CHECKING:
    from sluiceway.api.executor.v1 import executor_admin_service_pb2 as pb
    from sluiceway.client import Client

__all__ = ["app"]

app = typer.Typer(invoke_without_command=True, pretty_exceptions_enable=False, rich_markup_mode=None)

ExecutorId = Annotated[str, typer.Argument(metavar="EXECUTOR", help="The executor's id.")]


@app.callback()
def executor(
    context: typer.Context,
    server: Annotated[str | None, typer.Option(help="The server's gRPC address, HOST:PORT.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="A file that holds a token of the group.")] = None,
    group: Annotated[
        str | None, typer.Option(help="The group that its token should be of; another one is refused.")
    ] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Its id in the group; the host's name if none.")] = None,
    driver: Annotated[str, typer.Option(help="Drivers, the default first: sandbox, host.")] = "sandbox",
    slots: Annotated[int, typer.Option(min=1, max=1000, help="Tasks at a time.")] = 2,
    work_dir: Annotated[Path | None, typer.Option(help="Where it keeps its journal, logs and workspaces.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="KEY=VALUE; what tasks may ask for.")] = None,
    local_repositories: Annotated[
        Path | None, typer.Option(help="Tasks may clone the repositories below this folder.")
    ] = None,
) -> None:
    """Run an executor, until SIGTERM drains it."""
    if context.invoked_subcommand is not None:
        return
    if server is None or token_file is None or work_dir is None:
        missing = [
            name
            for name, value in (("--server", server), ("--token-file", token_file), ("--work-dir", work_dir))
            if value is None
        ]
        raise typer.BadParameter(f"to run an executor, give {', '.join(missing)}; `--help` lists the other commands")
    processes.executor(
        server=server,
        token_file=token_file,
        group=group,
        id_=id_,
        drivers=driver,
        slots=slots,
        work_dir=work_dir,
        labels=label or [],
        local_repositories=local_repositories,
    )


@app.command("list")
def list_(
    group: Annotated[str, typer.Option(help="Only of this group.")] = "",
    output: Annotated[Format, typer.Option("--output", "-o", help="For people, or for programs.")] = Format.TABLE,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """List executors, by group and id."""
    from sluiceway.cli.showing import show_messages, table

    async def conversation(client: Client) -> Sequence[pb.Executor]:
        return await client.executors.list(group=group)

    executors = with_client(server, token, conversation)
    if output is not Format.TABLE:
        show_messages(executors, output)
        return
    rows = [
        (
            e.id,
            e.group,
            "draining" if e.draining and e.online else "online" if e.online else "offline",
            f"{e.slots_used} of {e.slots}",
            ",".join(e.archs),
            ",".join(e.drivers),
            e.version,
        )
        for e in executors
    ]
    table(("ID", "GROUP", "STATE", "SLOTS", "ARCHS", "DRIVERS", "VERSION"), rows)


@app.command()
def drain(executor_id: ExecutorId, server: ServerOption = None, token: TokenOption = None) -> None:
    """Give an executor no more work."""
    with_client(server, token, lambda client: client.executors.drain(executor_id))


@app.command()
def delete(executor_id: ExecutorId, server: ServerOption = None, token: TokenOption = None) -> None:
    """Take an executor from the list; what it still runs is lost."""
    with_client(server, token, lambda client: client.executors.delete(executor_id))
