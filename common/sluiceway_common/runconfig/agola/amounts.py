"""Durations and amounts of bytes as Agola reads them: those of Go's `time.ParseDuration` and of Kubernetes. Pure."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,  # the Greek letter, which Go takes beside the micro sign
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3_600 * 1_000_000_000,
}
_PART: Final = re.compile(r"(?=\.?[0-9])([0-9]{0,20})(?:\.([0-9]{0,20}))?(ns|us|µs|μs|ms|s|m|h)")
_MOST_CHARACTERS: Final = 100

_QUANTITY: Final = re.compile(
    r"([+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20}))(?:[eE]([+-]?[0-9]{1,3})|([a-zA-Z]{0,2}))\Z"
)
_SUFFIXES: Final = {
    "": Fraction(1),
    **{suffix: Fraction(1000) ** power for power, suffix in enumerate(("n", "u", "m"), start=-3)},
    **{suffix: Fraction(1000) ** power for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"), start=1)},
    **{f"{letter}i": Fraction(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}


def duration_of(text: str) -> int | None:
    """Return the nanoseconds of a duration of Go (`".5h"`, `"+1h30m"`, `"0"`); None if it is none."""
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in {"-", "+"} else text
    if rest == "0":
        return 0
    if not rest or len(rest) > _MOST_CHARACTERS:
        return None
    total, position = Fraction(0), 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None:
            return None
        whole, decimals, unit = part.groups()
        total += Fraction(f"{whole or 0}.{decimals or 0}") * _UNITS[unit]
        position = part.end()
    return sign * int(total)


def quantity_of(value: object) -> int | None:
    """Return the bytes of a quantity of Kubernetes (`"1.5Gi"`, `"1e9"`, `0`), rounded up; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    match = _QUANTITY.match(str(value).removesuffix(".0"))
    if match is None:
        return None
    number, exponent, suffix = match.groups()
    scale = _SUFFIXES.get(suffix) if exponent is None else Fraction(10) ** int(exponent)
    if scale is None:
        return None
    return -int(-Fraction(number) * scale // 1)
