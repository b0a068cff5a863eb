"""The first line of a log that looks like an error: where a failed step is shown. Pure.

The rule: the first line that has a word which tools use for errors, the name of an exception, or one of a few marks of
test tools. Colours are ignored. Counts of none ("0 failed", "no errors"), names of files (`error.log`) and parts of
longer words (`http-errors`) are not meant. Of a large log, its last 16 MiB are looked at (`SEARCHED_BYTES`): a step
ends soon after its error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import re2

from sluiceway_server.logs.layout import LINE_BLOCK

SEARCHED_BYTES = 16 * 1024 * 1024
"""How many of the last bytes of a log are looked at."""

_MOST_LINE_BYTES = 64 * 1024
"""A longer line is looked at in parts."""
_MOST_LINE_CHARACTERS = 1000

# ECMA-48: control sequences, of which colours are some.
_SEQUENCE = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]")
_WORDS = (
    r"(?i:errors?|fatal|panic|panicked|failed|failures?|exception|traceback|segmentation fault|command not found)"
    r"|FAIL|ERR!"
)
_CLASSES = r"(?:\w+\.)*[A-Z]\w*(?:Error|Exception)"
_MARKS = r"^not ok\b|^E   |^--- FAIL|: not found$"
_OPTIONS = re2.Options()
_OPTIONS.encoding = re2.Options.Encoding.LATIN1  # bytes, whether they are UTF-8 or not
# In linear time, whatever the log has. There is nothing to look behind with, so what is before a word is matched.
_ERROR = re2.compile(
    rf"(?m)(?:^|[^\w./-])({_WORDS}|{_CLASSES})(?:$|[^\w/.-]|[.-](?:$|\W))|{_MARKS}".encode(),
    _OPTIONS,
)
_NONE = re.compile(rb"\b(?:0|no|without|any) \Z", re.IGNORECASE)
_LONGEST_NONE = len(b" without ")
_MOST_NONES = 1000
"""The rest of a piece with more of them is not looked at."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a log.

    Attributes:
        offset: of its first byte.
        line: its number, from 0, in the bytes that were looked at.
    """

    offset: int
    line: int


def search_start(size: int) -> int:
    """Return the offset from which a log of a size is looked at: 0, or where the index counts lines."""
    return max(0, size - SEARCHED_BYTES) // LINE_BLOCK * LINE_BLOCK


class FirstError:
    """Finds the line while the bytes of a log pass, in pieces of any size. Feed large ones in a thread."""

    def __init__(self, offset: int = 0) -> None:
        """Begin at an offset of the log."""
        self.found: Place | None = None
        self.lines = 0
        self._offset = offset
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Read the next bytes. Nothing happens after a line was found."""
        if self.found is not None:
            return
        whole = self._rest + data
        end = whole.rfind(b"\n") + 1
        if end == 0 and len(whole) > _MOST_LINE_BYTES:
            end = len(whole)
        self._look(whole[:end])
        self._rest = whole[end:]

    def finish(self) -> None:
        """Read what follows the last line end."""
        if self.found is None:
            self._look(self._rest)
            self._rest = b""

    def _look(self, data: bytes) -> None:
        text = _SEQUENCE.sub(b"", data)
        at = _first_error(text)
        if at is None:
            self.lines += data.count(b"\n")
            self._offset += len(data)
            return
        # Sequences have no line ends, so that lines are the same with them and without.
        line = text.count(b"\n", 0, at)
        begin = 0
        for _ in range(line):
            begin = data.index(b"\n", begin) + 1
        self.found = Place(self._offset + begin, self.lines + line)


def _first_error(text: bytes) -> int | None:
    """Return where the word of the first error is."""
    begin = 0
    # Bounded: a log may have nothing but "0 failed", and each of them takes microseconds.
    for _ in range(_MOST_NONES):
        match = _ERROR.search(text, begin)
        if match is None:
            return None
        start: int = match.start()
        at: int = match.start(1)
        if at == -1:
            return start
        if _NONE.search(text, max(0, at - _LONGEST_NONE), at) is None:
            return at
        begin = at + 1
    return None


def excerpt_lines(data: bytes, most: int, *, is_begin: bool) -> list[str]:
    """Return the first lines of bytes, or with `is_begin` false the last ones, as text; long ones are cut."""
    lines = data.removesuffix(b"\n").split(b"\n") if data else []
    chosen = lines[:most] if is_begin else lines[-most:]
    return [each.decode(errors="replace")[:_MOST_LINE_CHARACTERS] for each in chosen]
