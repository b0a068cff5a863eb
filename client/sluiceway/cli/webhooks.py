"""`sluice webhook`: notify other systems of runs."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import ALL_FORMATS, DurationType, Format, option, output_option, server_options
from sluiceway.cli.connecting import with_client
from sluiceway_common.foundation.errors import InvalidInput

if TYPE_CHECKING:
    from sluiceway.api.project.v1 import webhook_service_pb2 as pb

_FORMATS = tuple(each for each in ALL_FORMATS if each is not Format.WIDE)
_PATH = click.Path(path_type=Path)
_FILE_HELP = (
    "A file with the secret: whsec_ and 24 to 64 bytes in base64. -: stdin. Default: a new one, which is printed."
)
_SECRET_BYTES = 32


@click.command()
@click.argument("parent", metavar="PARENT")
@click.argument("url", metavar="URL")
@option("--event", "events", multiple=True, metavar="TYPE", help="Only this type, such as run.finished. Repeatable.")
@option("--secret-file", type=_PATH, metavar="FILE", help=_FILE_HELP)
@output_option(*_FORMATS)
@server_options
def create(
    parent: str,
    url: str,
    events: tuple[str, ...],
    secret_file: Path | None,
    output: Format,
    server: str | None,
    token: str | None,
) -> None:
    """Create a webhook: events of runs below PARENT are sent to URL.

    PARENT is the path or id of a project, a project group, an organization or a user.
    """
    secret = _secret(secret_file, output)
    made = with_client(
        server, token, lambda client: client.webhooks.create(parent, url, secret=secret, event_types=events)
    )
    _print(made, output, f"created webhook {made.id}")
    _print_new(secret, secret_file)


@click.command("list")
@click.argument("parent", metavar="PARENT")
@output_option(*ALL_FORMATS)
@server_options
def list_(parent: str, output: Format, server: str | None, token: str | None) -> None:
    """List the webhooks of a project, a project group, an organization or a user, the oldest first."""
    from sluiceway.cli.showing import NO_LIMIT, Column, Row, plain, show, table

    found = with_client(server, token, lambda client: client.webhooks.list(parent))
    if not output.is_for_people:
        show([plain(each) for each in found], output)
        return
    columns = (Column("ID"), Column("URL", 20), Column("EVENTS", 10), Column("STATE", 10))
    rows = [Row((each.id, each.url, _events(each), _state(each)), note=each.disabled_reason) for each in found]
    table(columns, rows, limit=NO_LIMIT if output is Format.WIDE else None)


@click.command()
@click.argument("webhook", metavar="WEBHOOK")
@output_option(*_FORMATS)
@server_options
def get(webhook: str, output: Format, server: str | None, token: str | None) -> None:
    """Show a webhook."""
    from sluiceway.cli.showing import details, plain, show
    from sluiceway.cli.units import moment

    found = with_client(server, token, lambda client: client.webhooks.get(webhook))
    if not output.is_for_people:
        show([plain(found)], output, single=True)
        return
    previous = found.previous_secret_expire_time
    details(
        f"webhook {found.id}",
        {
            "parent": found.parent_id,
            "url": found.url,
            "events": _events(found),
            "state": _state(found),
            "reason": found.disabled_reason,
            "created": f"{moment(found.create_time)} by {found.created_by}",
            "secret before": f"signs until {moment(previous)}" if previous.seconds else "",
        },
    )


@click.command()
@click.argument("webhook", metavar="WEBHOOK")
@option("--url", metavar="URL", help="Where events are sent.")
@option("--event", "events", multiple=True, metavar="TYPE", help="Only this type, such as run.finished. Repeatable.")
@option("--all-events", is_flag=True, help="Events of all types.")
@output_option(*_FORMATS)
@server_options
def update(
    webhook: str,
    url: str | None,
    events: tuple[str, ...],
    all_events: bool,
    output: Format,
    server: str | None,
    token: str | None,
) -> None:
    """Change where a webhook sends events, or which."""
    if all_events and events:
        raise click.UsageError("--all-events excludes --event")
    if url is None and not events and not all_events:
        raise click.UsageError("nothing to change: give --url, --event or --all-events")
    wanted = events if events or all_events else None
    changed = with_client(server, token, lambda client: client.webhooks.update(webhook, url=url, event_types=wanted))
    _print(changed, output, f"changed webhook {changed.id}")


@click.command()
@click.argument("webhook", metavar="WEBHOOK")
@output_option(*_FORMATS)
@server_options
def enable(webhook: str, output: Format, server: str | None, token: str | None) -> None:
    """Send events again, those that wait first."""
    changed = with_client(server, token, lambda client: client.webhooks.update(webhook, disabled=False))
    _print(changed, output, f"enabled webhook {changed.id}")


@click.command()
@click.argument("webhook", metavar="WEBHOOK")
@output_option(*_FORMATS)
@server_options
def disable(webhook: str, output: Format, server: str | None, token: str | None) -> None:
    """Send nothing until the webhook is enabled. Runs that are created meanwhile send no events."""
    changed = with_client(server, token, lambda client: client.webhooks.update(webhook, disabled=True))
    _print(changed, output, f"disabled webhook {changed.id}")


@click.command()
@click.argument("webhook", metavar="WEBHOOK")
@option("--secret-file", type=_PATH, metavar="FILE", help=_FILE_HELP)
@option("--keep-previous", type=DurationType(), metavar="TIME", help="How long the old one signs too. Default: 24h.")
@output_option(*_FORMATS)
@server_options
def rotate_secret(
    webhook: str,
    secret_file: Path | None,
    keep_previous: timedelta | None,
    output: Format,
    server: str | None,
    token: str | None,
) -> None:
    """Replace the secret. For some time, requests are signed with the old one as well."""
    secret = _secret(secret_file, output)
    changed = with_client(
        server, token, lambda client: client.webhooks.rotate_secret(webhook, secret, keep_previous=keep_previous)
    )
    _print(changed, output, f"rotated the secret of webhook {changed.id}")
    _print_new(secret, secret_file)


@click.command()
@click.argument("webhook", metavar="WEBHOOK")
@server_options
def delete(webhook: str, server: str | None, token: str | None) -> None:
    """Delete a webhook with its deliveries. What waits is not sent."""
    with_client(server, token, lambda client: client.webhooks.delete(webhook))
    print(f"deleted webhook {webhook}")


@click.command()
@click.argument("webhook", metavar="WEBHOOK")
@option("--limit", type=click.IntRange(min=1), default=20, help="The number of deliveries.")
@output_option(*ALL_FORMATS)
@server_options
def deliveries(webhook: str, limit: int, output: Format, server: str | None, token: str | None) -> None:
    """List the deliveries of a webhook, the newest first, with the responses of the receiver."""
    from sluiceway.cli.showing import NO_LIMIT, Column, Row, plain, show, table
    from sluiceway.cli.units import moment

    found = with_client(server, token, lambda client: client.webhooks.deliveries(webhook, limit=limit))
    if not output.is_for_people:
        show([plain(each) for each in found], output)
        return
    columns = (
        Column("ID"),
        Column("CREATED"),
        Column("EVENT"),
        Column("RUN"),
        Column("STATE"),
        Column("ATTEMPTS"),
        Column("RESPONSE"),
        Column("TOOK"),
    )
    rows = [
        Row(
            (
                each.id,
                moment(each.create_time),
                each.event_type,
                each.run_id[:13],
                _phase(each),
                str(each.attempts),
                str(each.response_status or ""),
                f"{each.response_duration.ToTimedelta().total_seconds():.2f}s" if each.attempts else "",
            ),
            note=each.sentence,
        )
        for each in found
    ]
    table(columns, rows, limit=NO_LIMIT if output is Format.WIDE else None)


@click.command()
@click.argument("webhook", metavar="WEBHOOK")
@click.argument("delivery", metavar="DELIVERY")
@output_option(*_FORMATS)
@server_options
def redeliver(webhook: str, delivery: str, output: Format, server: str | None, token: str | None) -> None:
    """Send a delivery once more, with the same id and body."""
    from sluiceway.cli.showing import plain, show

    found = with_client(server, token, lambda client: client.webhooks.redeliver(webhook, delivery))
    if output.is_for_people:
        print(f"delivery {found.id} is sent again")
    else:
        show([plain(found)], output, single=True)


def _secret(file: Path | None, output: Format) -> str:
    """Return the secret of a file, or a new one."""
    import base64
    import os

    if file is None:
        if not output.is_for_people:
            raise click.UsageError(f"with -o {output.value}, --secret-file is needed: a new secret could not be shown")
        return f"whsec_{base64.b64encode(os.urandom(_SECRET_BYTES)).decode()}"
    try:
        return (sys.stdin.read() if str(file) == "-" else file.read_text()).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"--secret-file {file} cannot be read: {error}") from error


def _print_new(secret: str, file: Path | None) -> None:
    if file is None:
        print(f"its secret, which is not shown again: {secret}")


def _events(webhook: pb.Webhook) -> str:
    return ", ".join(webhook.event_types) or "all"


def _state(webhook: pb.Webhook) -> str:
    from sluiceway.cli.units import moment

    if webhook.disabled:
        return f"disabled {moment(webhook.disable_time)}" if webhook.disable_time.seconds else "disabled"
    return f"fails since {moment(webhook.failing_since)}" if webhook.failing_since.seconds else "enabled"


def _phase(delivery: pb.WebhookDelivery) -> str:
    from sluiceway.api.project.v1 import webhook_service_pb2 as pb

    return pb.WebhookDeliveryPhase.Name(delivery.phase).removeprefix("WEBHOOK_DELIVERY_PHASE_").lower()


def _print(webhook: pb.Webhook, output: Format, sentence: str) -> None:
    from sluiceway.cli.showing import plain, show

    if output.is_for_people:
        print(sentence)
    else:
        show([plain(webhook)], output, single=True)
