"""The options that set the limits of a gateway: one for each field of its settings, with the same name and default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from sluiceway.cli.commands import option

C = TypeVar("C", bound=Callable[..., Any])

# By option: what it takes (SIZE, DURATION or COUNT), its default, and its help text.
GATEWAY_LIMITS = {
    "--max-body-bytes": ("SIZE", "8Mi", "The largest body of a request; at most 16Mi. Larger ones get 413."),
    "--max-header-bytes": ("SIZE", "32Ki", "The largest request line and headers together. Larger ones get 431."),
    "--max-large-bodies": (
        "COUNT",
        "16",
        "The number of bodies of more than 64Ki that are read at the same time. Others wait.",
    ),
    "--max-workers": (
        "COUNT",
        "2",
        "The number of processes that translate large messages, each with up to 1Gi of memory.",
    ),
    "--max-calls": ("COUNT", "1024", "The number of simultaneous calls. More get 429."),
    "--max-streams": ("COUNT", "4096", "The number of open streams. More get 429."),
    "--max-connections": (
        "COUNT",
        "8192",
        "The number of connections, as far as file descriptors allow. More get 503.",
    ),
    "--deadline": ("DURATION", "30s", "The deadline of a call without `sluice-timeout`."),
    "--max-deadline": ("DURATION", "10m", "The longest deadline that a call may set with `sluice-timeout`."),
    "--read-timeout": ("DURATION", "30s", "The time limit for the headers of a request, and for its body."),
    "--keep-alive-timeout": ("DURATION", "75s", "How long a connection stays open without a request."),
    "--linger-timeout": ("DURATION", "30s", "How long the rest of a request is read after it was answered."),
    "--linger-bytes": ("SIZE", "256Mi", "How much of such a rest is read and discarded."),
    "--comment-interval": ("DURATION", "15s", "How often an idle stream of events gets a comment."),
    "--stall-timeout": ("DURATION", "60s", "How long the reader of a stream may stall."),
    "--first-message-timeout": (
        "DURATION",
        "2s",
        "How long the response to a stream waits for the first message or error.",
    ),
}


def gateway_limits_options(command: C) -> C:
    """Add these options."""
    for name, (metavar, default, text) in reversed(GATEWAY_LIMITS.items()):
        kind = click.IntRange(min=1) if metavar == "COUNT" else None
        command = option(name, type=kind, default=default, metavar=metavar, help=text)(command)
    return command
