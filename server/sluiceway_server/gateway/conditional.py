"""Entity tags and byte ranges (RFC 9110, 8.8.3, 13 and 14). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["ByteRange", "parse_range", "tag_is_listed"]

_TAG = re.compile(r'(W/)?("[^"]*")')
_RANGE = re.compile(r"bytes[ \t]*=[ \t,]*([0-9]*)-([0-9]*)[ \t,]*", re.IGNORECASE)
# More than any file has, and less than protobuf's int64.
_MOST = 10**18


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A range as it was asked for.

    Attributes:
        first: the offset of the first byte; None: the range is the last `last` bytes.
        last: the offset of the last byte; None: to the end.
    """

    first: int | None
    last: int | None

    def within(self, size: int) -> range | None:
        """Return the offsets in a file of `size` bytes; None: the range is not satisfiable (14.1.1)."""
        if self.first is None:
            return range(max(0, size - (self.last or 0)), size) if self.last else None
        if self.first >= size:
            return None
        return range(self.first, size if self.last is None else min(self.last + 1, size))


def parse_range(header: str) -> ByteRange | None:
    """Parse a Range header; None when it has to be or may be ignored (14.2).

    That is: another unit than bytes, what is not valid, and more than one range.
    """
    found = _RANGE.fullmatch(header.strip())
    if found is None or not (found.group(1) or found.group(2)):
        return None
    first, last = (_number(text) for text in found.groups())
    if first is not None and last is not None and last < first:
        return None
    return ByteRange(first, last)


def tag_is_listed(tag: str, header: str, *, weak: bool) -> bool:
    """Return whether If-Match or If-None-Match lists a strong entity tag, or is `*` (13.1.1, 13.1.2).

    Args:
        tag: with its quotes.
        header: all of its values, with commas.
        weak: whether a weak tag counts, as it does for If-None-Match.
    """
    if header.strip() == "*":
        return True
    return any(listed == tag and (weak or not mark) for mark, listed in _TAG.findall(header))


def _number(text: str) -> int | None:
    if not text:
        return None
    digits = text.lstrip("0")
    return _MOST if len(digits) > len(str(_MOST)) - 1 else int(digits or "0")
