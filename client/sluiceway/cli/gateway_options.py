"""The options that set the limits of a gateway: one for each field of its settings, with the same name and default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from sluiceway.cli.commands import option

__all__ = ["GATEWAY_LIMITS", "gateway_limits_options"]

C = TypeVar("C", bound=Callable[..., Any])

# By option: what it takes (SIZE, DURATION or COUNT), its default, and its help text.
GATEWAY_LIMITS = {
    "--max-body-bytes": ("SIZE", "8Mi", "Of a request; larger ones are answered with 413. At most 16Mi."),
    "--max-header-bytes": ("SIZE", "32Ki", "Of a request's line and headers together; larger ones get 431."),
    "--max-large-bodies": ("COUNT", "16", "Bodies of more than 64Ki that are read at a time; others wait."),
    "--max-workers": ("COUNT", "2", "Processes that translate large messages; up to 1Gi of memory each."),
    "--max-calls": ("COUNT", "1024", "Calls at a time; more get 429."),
    "--max-streams": ("COUNT", "4096", "Open streams at a time; more get 429."),
    "--max-connections": (
        "COUNT",
        "8192",
        "Connections at a time, as far as file descriptors allow; more get 503.",
    ),
    "--deadline": ("DURATION", "30s", "Of a call that asks for none."),
    "--max-deadline": ("DURATION", "10m", "The most that a call may ask for with `sluice-timeout`."),
    "--read-timeout": ("DURATION", "30s", "For the headers of a request, and again for its body."),
    "--keep-alive-timeout": ("DURATION", "75s", "How long a connection stays open without a request."),
    "--linger-timeout": ("DURATION", "30s", "How long a client may go on sending a request that was answered."),
    "--linger-bytes": ("SIZE", "256Mi", "How much it may send of it; what comes is thrown away."),
    "--comment-interval": ("DURATION", "15s", "How often a quiet stream of events is sent a comment."),
    "--stall-timeout": ("DURATION", "60s", "How long a reader of a stream may take nothing of it."),
    "--first-message-timeout": ("DURATION", "2s", "How long the answer of a stream waits to know whether it fails."),
}


def gateway_limits_options(command: C) -> C:
    """Add these options."""
    for name, (metavar, default, text) in reversed(GATEWAY_LIMITS.items()):
        kind = click.IntRange(min=1) if metavar == "COUNT" else None
        command = option(name, type=kind, default=default, metavar=metavar, help=text)(command)
    return command
