"""Amounts of memory and of processors, as Kubernetes writes them: `"512Mi"`, `"1G"`, `"500m"`, `2`. Pure."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

_SUFFIXES: Final = {
    "": 1,
    "k": 10**3,
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}
_BYTES = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)(Ki|Mi|Gi|Ti|k|K|M|G|T|)B?\Z")
_CPU = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(m?)\Z")
_MAX_BYTES: Final = 2**50
_MAX_CPU_MILLIS: Final = 1_000_000


def parse_bytes(value: object) -> int:
    """Read an amount of memory, in bytes.

    Raises:
        ValueError: what is wrong, for a person.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        amount = value
    elif isinstance(value, str) and (match := _BYTES.match(value)):
        amount = int(Fraction(match[1]) * _SUFFIXES[match[2]])
    else:
        raise ValueError('must be an amount such as "512Mi" or "1G", or an integer of bytes')
    if not 0 < amount <= _MAX_BYTES:
        raise ValueError("an amount of memory must be more than 0 and at most 1024Ti")
    return amount


def parse_cpu_millis(value: object) -> int:
    """Read an amount of processors, in thousandths of one.

    Raises:
        ValueError: what is wrong, for a person.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 10**9:
        amount = int(Fraction(str(value)) * 1000)
    elif isinstance(value, str) and (match := _CPU.match(value)):
        amount = int(Fraction(match[1]) * (1 if match[2] else 1000))
    else:
        raise ValueError('must be an amount of processors such as "500m", 0.5 or 2')
    if not 0 < amount <= _MAX_CPU_MILLIS:
        raise ValueError("an amount of processors must be at least 0.001 and at most 1000")
    return amount
