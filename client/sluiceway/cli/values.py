"""Values of options that more than one command takes."""

from __future__ import annotations

from datetime import timedelta

from sluiceway_common.foundation.errors import InvalidInput


def parse_span(option: str, text: str) -> timedelta:
    """Return a duration such as `90s` or `1h30m`.

    Raises:
        InvalidInput: it is not a duration; the message names the option.
    """
    from sluiceway_common.runconfig.durations import parse_duration

    try:
        return timedelta(microseconds=parse_duration(text) // 1000)
    except ValueError as error:
        raise InvalidInput(f'{option}: "{text}" {error}') from error


def parse_names(text: str) -> tuple[str, ...]:
    """Split a list with commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parse_size(option: str, text: str) -> int:
    """Return a number of bytes from a size such as `512Mi`.

    Raises:
        InvalidInput: it is not a size; the message names the option.
    """
    from sluiceway_common.runconfig.quantities import parse_bytes

    try:
        return parse_bytes(text)
    except ValueError as error:
        raise InvalidInput(f'{option}: "{text}" {error}') from error
