"""The characters that YAML 1.2 and libyaml, which follows YAML 1.1, disagree about.

libyaml treats U+0085, U+2028 and U+2029 as line breaks; in YAML 1.2 they are content everywhere (section 5.4). It
refuses DEL, the C1 controls and two noncharacters, and skips a byte order mark at the beginning of any line; YAML 1.2
accepts all of these as content of quoted scalars, and nowhere else in a document (sections 5.1 and 5.2).

So each of them is replaced, one for one, by a character that is not in the text, raw or escaped, before libyaml parses
it: positions do not change. `Masked.restored` puts them back into what was read. A parser in Python (ruamel.yaml) takes
26 times as long, and ends a comment at U+0085, too. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_QUOTED_ONLY: Final = "\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff"
_DISPUTED = re.compile(f"[{_QUOTED_ONLY}\x85\u2028\u2029]")
_IN_QUOTES = re.compile(f"[{_QUOTED_ONLY}]")
_BREAK = re.compile(r"\r\n?|\n")
_ESCAPED = re.compile(r"u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Masked:
    """A text for libyaml, and the way back.

    Attributes:
        text: of the same length as the original.
        quoted_only: the positions of those characters that only a quoted scalar may hold.
    """

    text: str
    quoted_only: tuple[int, ...] = ()
    _originals: dict[int, str] | None = None

    def restored(self, value: str) -> str:
        """Put the original characters back into a part of the text."""
        return value if self._originals is None else value.translate(self._originals)

    def find_stray(self, quoted: Iterable[tuple[int, int]]) -> int | None:
        """Find the first of `quoted_only` in none of the spans of quoted scalars, which come in the text's order."""
        spans = iter(quoted)
        start, end = next(spans, (0, 0))
        for position in self.quoted_only:
            while end <= position:
                following = next(spans, None)
                if following is None:
                    return position
                start, end = following
            if position < start:
                return position
        return None


def mask(text: str) -> Masked:
    """Replace the disputed characters. Linear; almost always the text comes back as it is."""
    found = sorted(set(_DISPUTED.findall(text)))
    if not found:
        return Masked(text)
    stand_ins = dict(zip(found, _unused(text), strict=False))
    return Masked(
        text.translate(str.maketrans(stand_ins)),
        tuple(match.start() for match in _IN_QUOTES.finditer(text)),
        {ord(stand_in): original for original, stand_in in stand_ins.items()},
    )


def _unused(text: str) -> Iterator[str]:
    """Yield characters that no value of the text holds, raw or escaped. There are more of them than a text can hold."""
    used = set(map(ord, set(text)))
    used.update(int(match[match.lastindex or 0], 16) for match in _ESCAPED.finditer(text))
    # Private use first, then whatever libyaml takes as content beyond the basic plane.
    for codes in (range(0xE000, 0xF900), range(0x10000, 0x110000)):
        yield from (chr(code) for code in codes if code not in used)


def find_control(text: str) -> int | None:
    """Find the first control character that YAML allows nowhere."""
    match = _CONTROL.search(text)
    return match.start() if match else None


def position_at(text: str, index: int) -> tuple[int, int]:
    """Return line and column of a character, counted from 1, by YAML's line breaks: LF, CR, CR LF."""
    line, start = 1, 0
    for match in _BREAK.finditer(text, 0, index):
        line, start = line + 1, match.end()
    return line, index - start + 1
