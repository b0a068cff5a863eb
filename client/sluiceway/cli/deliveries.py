"""`sluice project run|deliveries|redeliver|why`: what became of the events of a git provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sluiceway.cli.commands import ALL_FORMATS, Format, option, output_option, server_options
from sluiceway.cli.connecting import with_client
from sluiceway_common.foundation.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluiceway.api.project.v1 import delivery_service_pb2 as pb
    from sluiceway.cli.showing import Row
    from sluiceway.client import Client

_LOOK_SECONDS = 0.2
_NOT_SENT = "the provider sent no event; found in the list of its refs"
_FORMATS = tuple(each for each in ALL_FORMATS if each is not Format.WIDE)


@click.command()
@click.argument("project", metavar="PROJECT")
@option("--ref", default="", metavar="REF", help="A branch, or a full ref of a tag. Default: the default branch.")
@option("--commit", default="", metavar="SHA", help="A commit by all its digits. Default: the newest of the ref.")
@option("--pull-request", type=click.IntRange(min=1), metavar="NUMBER", help="The head of a pull or merge request.")
@option("--name", default="", metavar="RUN", help="Create only this run, whether its `when` matches or not.")
@option(
    "--var",
    "variables",
    multiple=True,
    metavar="NAME=VALUE",
    help="An environment variable of all tasks, which everybody who sees the run sees. May be repeated.",
)
@option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="A value for an input that the runs declare. No secrets: it is shown with the run. May be repeated.",
)
@option("--request-id", default="", metavar="ID", help="A repeated call with the same id creates no second run.")
@option("--watch", is_flag=True, help="Follow the runs until they are over. The exit code says how they ended.")
@output_option(*_FORMATS)
@server_options
def run(
    project: str,
    ref: str,
    commit: str,
    pull_request: int | None,
    name: str,
    variables: tuple[str, ...],
    inputs: tuple[str, ...],
    request_id: str,
    watch: bool,
    output: Format,
    server: str | None,
    token: str | None,
) -> int:
    """Create the runs of a branch, a tag or a pull request by hand, and print which, and why not others."""
    from sluiceway.cli.showing import plain, show
    from sluiceway.cli.values import parse_assignments

    chosen = parse_assignments("--var", variables)
    given = parse_assignments("--input", inputs)
    if pull_request is not None and (ref or commit):
        raise click.UsageError("--pull-request excludes --ref and --commit")

    async def conversation(client: Client) -> int:
        from sluiceway.cli.run_create import follow, print_pages

        made = await client.deliveries.run(
            project,
            ref=ref,
            commit_sha=commit,
            pull_request=pull_request,
            run_name=name,
            variables=chosen,
            inputs=given,
            request_id=request_id,
        )
        found = await worked(client, project, made)
        if output.is_for_people:
            _print_decisions(found)
            await print_pages(client, [each.run_id for each in found.decisions if each.run_id])
        else:
            show([plain(found)], output, single=True)
        if not watch:
            return 0
        runs = [await client.runs.get(each.run_id) for each in found.decisions if each.run_id]
        return await follow(client, runs, to_stderr=not output.is_for_people) if runs else 1

    return with_client(server, token, conversation)


@click.command()
@click.argument("project", metavar="PROJECT")
@option("--ref", default="", metavar="REF", help="Only those of this branch, tag or full ref.")
@option("--limit", type=click.IntRange(min=1), default=20, help="The number of deliveries.")
@output_option(*ALL_FORMATS)
@server_options
def deliveries(project: str, ref: str, limit: int, output: Format, server: str | None, token: str | None) -> None:
    """List the deliveries of a project's webhook, the newest first, with the runs that came of them."""
    from sluiceway.cli.showing import NO_LIMIT, Column, plain, show, table

    async def conversation(client: Client) -> Sequence[pb.Delivery]:
        return await _of_ref(client, project, ref, limit)

    found = with_client(server, token, conversation)
    if not output.is_for_people:
        show([plain(each) for each in found], output)
        return
    wide = output is Format.WIDE
    columns = (
        Column("ID"),
        Column("RECEIVED"),
        Column("EVENT", 8),
        Column("REF", 10),
        Column("COMMIT"),
        Column("STATE"),
        Column("DECISION", 12),
    )
    table(columns, [_row(each) for each in found], limit=NO_LIMIT if wide else None)


@click.command()
@click.argument("project", metavar="PROJECT")
@click.argument("delivery", metavar="DELIVERY")
@output_option(*_FORMATS)
@server_options
def redeliver(project: str, delivery: str, output: Format, server: str | None, token: str | None) -> None:
    """Work on a delivery once more. Runs that it made already are not made again."""
    from sluiceway.cli.showing import plain, show

    async def conversation(client: Client) -> pb.Delivery:
        return await client.deliveries.redeliver(project, delivery)

    found = with_client(server, token, conversation)
    if output.is_for_people:
        print(f"delivery {found.id} is worked on again")
    else:
        show([plain(found)], output, single=True)


@click.command()
@click.argument("project", metavar="PROJECT")
@click.argument("ref", metavar="REF")
@output_option(*_FORMATS)
@server_options
def why(project: str, ref: str, output: Format, server: str | None, token: str | None) -> None:
    """Explain which runs the newest event of REF made, and which rule decided against the others.

    REF is a branch, a tag, or a full ref such as refs/pull/7/head.
    """
    from sluiceway.cli.showing import plain, show

    async def conversation(client: Client) -> Sequence[pb.Delivery]:
        return await _of_ref(client, project, ref, 1)

    found = with_client(server, token, conversation)
    if not found:
        raise NotFound(
            f"project {project} has received no event of {ref}; look at the webhook's page at the"
            " provider: it lists what was sent",
            reason="NO_DELIVERY",
        )
    (newest,) = found
    if not output.is_for_people:
        show([plain(newest)], output, single=True)
        return
    _print_decisions(newest)


async def worked(client: Client, project: str, delivery: pb.Delivery) -> pb.Delivery:
    """Return a delivery when it was worked on, or when it has to wait for the provider."""
    import asyncio

    from sluiceway.api.project.v1 import delivery_service_pb2 as pb

    while delivery.phase == pb.DELIVERY_PHASE_PENDING and not delivery.sentence:
        await asyncio.sleep(_LOOK_SECONDS)
        delivery = await client.deliveries.get(project, delivery.id)
    return delivery


def _print_decisions(delivery: pb.Delivery) -> None:
    from sluiceway.cli.showing import Column, Row, details, table
    from sluiceway.cli.values import assignments

    details(
        f"{delivery.event} of {delivery.ref} at {delivery.commit_sha[:12] or 'its newest commit'}",
        {
            "delivery": delivery.id,
            "received": _moment(delivery),
            "origin": _NOT_SENT if delivery.event.endswith(" caught_up") else "",
            "state": _phase(delivery),
            "decision": delivery.sentence,
            "variables": assignments(delivery.variables),
            "inputs": assignments(delivery.inputs),
        },
    )
    if delivery.decisions:
        print()
        rows = [Row((each.run_name, each.run_id[:13], each.sentence)) for each in delivery.decisions]
        table((Column("NAME", 8), Column("RUN"), Column("WHY", 20)), rows)


async def _of_ref(client: Client, project: str, ref: str, limit: int) -> Sequence[pb.Delivery]:
    """List deliveries of a ref as people name it: of a branch, else of a tag; empty: of all."""
    names = [ref] if not ref or ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    for name in names:
        found = await client.deliveries.list(project, ref=name, limit=limit)
        if found:
            return found
    return ()


def _row(delivery: pb.Delivery) -> Row:
    from sluiceway.cli.showing import Row

    return Row(
        (
            delivery.id,
            _moment(delivery),
            delivery.event,
            delivery.ref.removeprefix("refs/heads/").removeprefix("refs/"),
            delivery.commit_sha[:12],
            _phase(delivery),
            delivery.sentence,
        )
    )


def _phase(delivery: Any) -> str:
    from sluiceway.api.project.v1 import delivery_service_pb2 as pb

    return pb.DeliveryPhase.Name(delivery.phase).removeprefix("DELIVERY_PHASE_").lower()


def _moment(delivery: Any) -> str:
    from sluiceway.cli.units import moment

    return moment(delivery.receive_time)
