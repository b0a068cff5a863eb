"""Values of options that more than one command takes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path

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


def parse_assignments(option: str, texts: Iterable[str]) -> dict[str, str]:
    """Return the values of an option `NAME=VALUE` that may be repeated; values may have further `=`.

    Raises:
        InvalidInput: a text has no `=`, or a name is given twice; the message names the option.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise InvalidInput(f'{option}: "{text}" is not NAME=VALUE')
        if name in found:
            raise InvalidInput(f'{option}: "{name}" is given twice')
        found[name] = value
    return found


def assignments(values: Mapping[str, str]) -> str:
    """Return values as `NAME=VALUE`, by name, for people."""
    return ", ".join(f"{name}={values[name]}" for name in sorted(values))


def text_of(file: Path | None) -> str:
    """Read a secret, without the line break at its end."""
    if file is None:
        return ""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}") from error
    return text.strip()
