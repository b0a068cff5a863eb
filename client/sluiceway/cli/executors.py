"""`sluice executor ...`: run an executor, and list, drain and delete those of a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from sluiceway.cli import processes
from sluiceway.cli.connecting import ServerOption, TokenOption, with_client
from sluiceway.cli.showing import Format

if TYPE_CHECKING:
    from sluiceway.api.executor.v1 import executor_admin_service_pb2 as pb
    from sluiceway.client import Client

__all__ = ["app"]


class ExecutorCommands(TyperGroup):
    """The group's commands. Options in front of them are those of `run`, as in `sluice executor --server ...`.

    That was how an executor was started before there was `run`. With another command behind them they are refused: it
    would ignore them, and ask the server that the environment names.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take `sluice executor --server ...` for `sluice executor run --server ...`."""
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            command = next((word for word in args if word in self.commands and word != "run"), None)
            if command is not None:
                ctx.fail(f"options stand behind the command: sluice executor {command} [OPTIONS]")
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=ExecutorCommands, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)

ExecutorId = Annotated[str, typer.Argument(metavar="EXECUTOR", help="The executor's id.")]

app.command("run")(processes.executor)


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
