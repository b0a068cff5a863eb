"""Durations as a configuration writes them: `"10s"`, `"1h30m"`, `"7d"`, or integer nanoseconds.

The value is an int of nanoseconds: exact, as in protobuf's Duration. Pure.
"""

from __future__ import annotations

import re
from typing import Final

SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

# Ten years: longer than any wait, and much less than the maximum of protobuf's Duration.
MAX_DURATION: Final = 3650 * DAY

_UNITS: Final = {
    "d": DAY,
    "h": HOUR,
    "m": MINUTE,
    "s": SECOND,
    "ms": 1_000_000,
    "us": 1_000,
    "µs": 1_000,
    "ns": 1,
}
_PART = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,18}))?(ms|us|µs|ns|d|h|m|s)")


def parse_duration(value: object) -> int:
    """Read a duration: nanoseconds, more than 0 and at most `MAX_DURATION`.

    Parts may come in any order and may have decimals (`"1.5h"`), as in Go.

    Raises:
        ValueError: what is wrong, for a person.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        # A ValueError like the others: pydantic and our callers treat it as a fault of the input.
        raise ValueError('must be a duration such as "10s", "1h30m" or "7d", or an integer of nanoseconds')  # noqa: TRY004 - see above
    total = value if isinstance(value, int) else _parse_text(value)
    if total <= 0:
        raise ValueError("a duration must be longer than 0")
    if total > MAX_DURATION:
        raise ValueError("a duration can be at most 3650d")
    return total


def _parse_text(text: str) -> int:
    total, position = 0, 0
    for part in _PART.finditer(text[:200]):
        if part.start() != position:
            break
        position = part.end()
        whole, fraction, unit = part.groups()
        scale = _UNITS[unit]
        total += int(whole) * scale
        if fraction:
            total += int(fraction) * scale // 10 ** len(fraction)
    if not text or position != len(text):
        raise ValueError('is not a duration: write for example "10s", "1h30m" or "7d"')
    return total


def format_duration(nanoseconds: int) -> str:
    """Write a duration in the fewest parts; `parse_duration` reads it back as it was."""
    parts, rest = "", nanoseconds
    for unit in ("d", "h", "m", "s", "ms", "us", "ns"):
        count, rest = divmod(rest, _UNITS[unit])
        if count:
            parts += f"{count}{unit}"
    return parts or "0s"
