"""`sluice executor list|get|drain|undrain|delete`: the executors of a server. `run` is in `processes`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import ALL_FORMATS, DurationType, Format, option, output_option, server_options
from sluiceway.cli.connecting import with_client
from sluiceway.cli.terminal import say
from sluiceway.cli.waiting import check_wait, wait_options, within
from sluiceway_common.foundation.errors import NotFound

if TYPE_CHECKING:
    from sluiceway.api.executor.v1 import executor_admin_service_pb2 as pb
    from sluiceway.cli.showing import Row
    from sluiceway.client import Client

_POLL_SECONDS = 0.5


@click.command("list")
@option("--group", default="", metavar="NAME", help="Only executors of this group.")
@output_option(*ALL_FORMATS)
@server_options
def list_(group: str, output: Format, server: str | None, token: str | None) -> None:
    """List executors, by group and id."""
    from sluiceway.cli.showing import NO_LIMIT, Column, plain, show, table

    async def conversation(client: Client) -> Sequence[pb.Executor]:
        return await client.executors.list(group=group)

    executors = with_client(server, token, conversation)
    if not output.is_for_people:
        show([plain(each) for each in executors], output)
        return
    wide = output is Format.WIDE
    columns = [
        Column("ID", 10),
        Column("GROUP", 7),
        Column("STATE"),
        Column("SLOTS"),
        Column("SEEN"),
        Column("DYNAMIC"),
        Column("ARCHS", 5),
        Column("LABELS", 6),
    ]
    if wide:
        columns += [Column("DRIVERS"), Column("VERSION")]
    table(columns, [_row(each, wide=wide) for each in executors], limit=NO_LIMIT if wide else None)


def _row(executor: pb.Executor, *, wide: bool) -> Row:
    from sluiceway.cli.showing import Row
    from sluiceway.cli.units import age

    seen = age(executor.last_seen_time)
    cells = (
        executor.id,
        executor.group,
        _state(executor),
        f"{executor.slots_used}/{executor.slots}",
        "now" if executor.online else f"{seen} ago" if seen else "never",
        "yes" if executor.dynamic else "no",
        ",".join(executor.archs),
        _labels(executor),
    )
    return Row((*cells, ",".join(executor.drivers), executor.version) if wide else cells)


def _state(executor: pb.Executor) -> str:
    if executor.vanished:
        return "vanished"
    if not executor.online:
        return "offline"
    return "drained" if executor.drained else "draining" if executor.draining else "online"


def _labels(executor: pb.Executor) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(executor.labels.items()))


@click.command()
@click.argument("executor")
@output_option(*(each for each in ALL_FORMATS if each is not Format.WIDE))
@server_options
def get(executor: str, output: Format, server: str | None, token: str | None) -> None:
    """Show EXECUTOR, which is an id, and the tasks that it has."""
    from sluiceway.cli.showing import Column, Row, details, plain, show, table
    from sluiceway.cli.units import age, moment

    found = with_client(server, token, lambda client: client.executors.get(executor))
    if not output.is_for_people:
        show([plain(found)], output, single=True)
        return
    seen = f"{moment(found.last_seen_time)} ({age(found.last_seen_time)} ago)" if found.last_seen_time.seconds else ""
    details(
        f"executor {found.id}",
        {
            "group": found.group,
            "state": _state(found),
            "slots": f"{found.slots_used} of {found.slots} in use",
            "archs": ", ".join(found.archs),
            "labels": _labels(found).replace(",", ", "),
            "drivers": ", ".join(found.drivers),
            "dynamic": "yes" if found.dynamic else "no",
            "privileged": "allowed" if found.privileged_allowed else "not allowed",
            "drain deadline": moment(found.drain_deadline),
            "connected" if found.online else "disconnected": seen,
            "siblings": ", ".join(found.siblings),
            "version": found.version,
        },
    )
    if found.assignments:
        say("")
        table(
            [
                Column("RUN"),
                Column("GROUP", 10),
                Column("TASK", 8),
                Column("ATTEMPT"),
                Column("SINCE"),
                Column("ASSIGNMENT"),
            ],
            [
                Row(
                    (
                        str(each.run_number),
                        each.group,
                        each.task_name,
                        str(each.attempt),
                        f"{age(each.start_time if each.HasField('start_time') else each.assign_time)} ago",
                        each.id,
                    )
                )
                for each in found.assignments
            ],
        )


@click.command()
@click.argument("executors", metavar="[EXECUTOR]...", nargs=-1)
@option("--group", default="", metavar="NAME", help="All executors of this group.")
@option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="All executors with this label.")
@option(
    "--deadline",
    type=DurationType(),
    metavar="DURATION",
    help="How long running tasks may continue, such as 30m; then they are lost. Default: no limit.",
)
@wait_options("no task runs on them")
@server_options
def drain(
    executors: tuple[str, ...],
    group: str,
    labels: tuple[str, ...],
    deadline: timedelta | None,
    wait: bool,
    timeout: timedelta | None,
    server: str | None,
    token: str | None,
) -> None:
    """Assign no more tasks to executors until they are undrained. Running tasks continue."""
    check_wait(wait, timeout)
    selected = _selected(executors, group, labels)

    async def conversation(client: Client) -> None:
        if selected is None:
            for each in executors:
                await client.executors.drain(each, timeout=deadline)
            drained: Sequence[str] = executors
        else:
            drained = await client.executors.drain_matching(group=group, labels=selected, timeout=deadline)
        await _say_drained(client, drained)
        if wait:
            await within(timeout, _until_drained(client, drained), "tasks still run on executors that are draining")

    with_client(server, token, conversation)


@click.command()
@click.argument("executors", metavar="[EXECUTOR]...", nargs=-1)
@option("--group", default="", metavar="NAME", help="All executors of this group.")
@option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="All executors with this label.")
@server_options
def undrain(
    executors: tuple[str, ...], group: str, labels: tuple[str, ...], server: str | None, token: str | None
) -> None:
    """Assign tasks to executors again."""
    selected = _selected(executors, group, labels)

    async def conversation(client: Client) -> None:
        if selected is None:
            for each in executors:
                await client.executors.undrain(each)
            undrained: Sequence[str] = executors
        else:
            undrained = await client.executors.undrain_matching(group=group, labels=selected)
        for each in undrained:
            say(f"executor {each} gets tasks again")
        if not undrained:
            say("no executor matches")

    with_client(server, token, conversation)


@click.command()
@click.argument("executor")
@wait_options("it is gone, or has registered as a new executor")
@server_options
def delete(executor: str, wait: bool, timeout: timedelta | None, server: str | None, token: str | None) -> None:
    """Delete EXECUTOR. The tasks that it runs are lost at once.

    If its process still runs, it removes its pods and registers as a new executor. To take it out of service, drain it
    first and stop its process.
    """
    check_wait(wait, timeout)

    async def conversation(client: Client) -> None:
        found = await client.executors.get(executor)
        await client.executors.delete(executor)
        lost = f"; {_tasks(found.slots_used)} that it ran {_are(found.slots_used)} lost" if found.slots_used else ""
        say(f"executor {executor} is deleted{lost}")
        if wait:
            await within(timeout, _until_gone(client, found), f"executor {executor} is still listed as before")

    with_client(server, token, conversation)


async def _until_gone(client: Client, before: pb.Executor) -> None:
    import asyncio

    while True:
        try:
            found = await client.executors.get(before.id)
        except NotFound:
            say(f"executor {before.id} is gone")
            return
        if found.session_time != before.session_time:
            say(f"executor {before.id} has registered again: its process still runs")
            return
        await asyncio.sleep(_POLL_SECONDS)


def _tasks(count: int) -> str:
    return f"{count} task" if count == 1 else f"{count} tasks"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _selected(executors: Sequence[str], group: str, labels: Sequence[str]) -> dict[str, str] | None:
    """Return the labels of a selector; None if executors are named instead.

    Raises:
        click.UsageError: both or neither are given, or a label has no value.
    """
    if bool(executors) == bool(group or labels):
        raise click.UsageError("name executors, or select them with --group or --label")
    if executors:
        return None
    pairs = [label.partition("=") for label in labels]
    for key, equals, _ in pairs:
        if not key or not equals:
            raise click.UsageError(f'--label takes KEY=VALUE, not "{key}"')
    return {key: value for key, _, value in pairs}


async def _say_drained(client: Client, executors: Sequence[str]) -> None:
    for each in executors:
        used = (await client.executors.get(each)).slots_used
        left = f"{_tasks(used)} {_are(used)} still running" if used else "no task is running"
        say(f"executor {each} gets no more tasks; {left} on it")
    if not executors:
        say("no executor matches")


async def _until_drained(client: Client, executors: Sequence[str]) -> None:
    import asyncio

    for each in executors:
        while not (await client.executors.get(each)).drained:  # noqa: ASYNC110 - there is no watch of executors
            await asyncio.sleep(_POLL_SECONDS)
        say(f"executor {each} is drained")
