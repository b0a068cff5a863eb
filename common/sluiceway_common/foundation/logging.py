"""The log: structlog events as JSON lines, or as short lines for a person at a terminal, to stderr.

Standard output is for the output of commands. What libraries log through the standard library has the same form.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog

# structlog would print every local variable of every frame, tokens and secrets among them; at a terminal too.
_EXCEPTIONS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))

_FOR_PROGRAMS: tuple[structlog.typing.Processor, ...] = (
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)
# Short, so that a line fits: at a terminal, the day and the program are known.
_FOR_PEOPLE: tuple[structlog.typing.Processor, ...] = (structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),)


def set_up_logging(*, level: str = "info", json: bool | None = None, stream: TextIO | None = None) -> None:
    """Configure the log, before anything else in the process. May be called again; the last call counts.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        json: JSON lines; None: unless `stream` is a terminal.
        stream: where to; default stderr.
    """
    out = stream or sys.stderr
    as_json = not out.isatty() if json is None else json
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.StackInfoRenderer(),
        *(_FOR_PROGRAMS if as_json else _FOR_PEOPLE),
    ]
    last: list[structlog.typing.Processor] = (
        [_EXCEPTIONS, structlog.processors.JSONRenderer(default=str)] if as_json else [_console(out, os.environ)]
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[_drop_bookkeeping, *last])
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    # One line for each HTTP request and each query is for debugging only.
    for chatty in ("uvicorn.access", "httpx", "httpcore", "botocore", "aiobotocore", "urllib3"):
        logging.getLogger(chatty).setLevel(max(number, logging.WARNING))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=False,
    )


def _console(out: TextIO, environment: Mapping[str, str]) -> structlog.dev.ConsoleRenderer:
    """Return the renderer for a terminal; without colour if there is `NO_COLOR` (no-color.org) or `TERM=dumb`."""
    colour = out.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
    return structlog.dev.ConsoleRenderer(
        colors=colour, pad_event_to=0, pad_level=False, exception_formatter=structlog.dev.plain_traceback
    )


def _drop_bookkeeping(logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.pop("_record", None)
    event.pop("_from_structlog", None)
    return event
