"""Searches the lines of a log for a pattern while its bytes pass. Pure.

Memory is bounded: what is kept between two pieces is the lines of the context, and the last line. A line without an end
in 1 MiB is searched in parts; a match that is divided between two of them is not found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import re2

from sluiceway_common.foundation.errors import InvalidInput, Violation

PIECE_BYTES = 1024 * 1024
"""The size of pieces to feed, about."""

_MOST_LINE_BYTES = 1000
_MOST_CONTEXT_BYTES = 64 * 1024
# ECMA-48: control sequences, of which colours are some.
_SEQUENCE = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]")


@dataclass(frozen=True, slots=True)
class LineMatch:
    """A line that matches.

    Attributes:
        line: its number, from 1.
        text: the line, or the part of it with the match.
        before: the lines before it.
        after: the lines after it.
    """

    line: int
    text: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


class Pattern:
    """What is searched for. In linear time, whatever the pattern and the log (RE2)."""

    def __init__(self, pattern: str, *, regexp: bool = False, ignore_case: bool = False) -> None:
        """Compile a pattern.

        Raises:
            InvalidInput: it is empty, has a line end, or is not a regular expression of RE2.
        """
        if not pattern:
            raise InvalidInput([Violation("pattern", "it must not be empty")])
        if "\n" in pattern:
            raise InvalidInput([Violation("pattern", "it must not have a line end: each line is searched by itself")])
        options = re2.Options()
        options.never_nl = True
        options.case_sensitive = not ignore_case
        options.literal = not regexp
        options.log_errors = False
        options.never_capture = True
        # `^` and `$` are the ends of lines; a literal pattern has no flags.
        text = f"(?m:{pattern})" if regexp else pattern
        try:
            self._compiled = re2.compile(text.encode(), options)
        except re2.error as error:
            reason = error.args[0] if error.args else error
            said = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
            said = said.replace(text, pattern)
            raise InvalidInput([Violation("pattern", f"it is not a regular expression of RE2: {said}")]) from error

    def find(self, data: bytes, start: int, end: int) -> tuple[int, int] | None:
        """Return where the first match in a range begins and ends."""
        found = self._compiled.search(data, start, end)
        return None if found is None else found.span()


class LogSearch:
    """Searches one log from its beginning. Not thread-safe; `feed` takes milliseconds: call it in a thread."""

    def __init__(self, pattern: Pattern, *, context: int = 0, most: int = 1000) -> None:
        """Begin a search.

        Args:
            pattern: what is searched for.
            context: how many lines before and after each match are returned with it.
            most: the number of matches after which the search ends.
        """
        self._pattern = pattern
        self._context = context
        self._left = most
        self._data = b""
        # Lines before this offset of `_data` were searched; they are kept as context.
        self._searched = 0
        # How many lines end before `_searched`.
        self._lines = 0
        self._last_match = 0

    @property
    def is_over(self) -> bool:
        """Whether there were as many matches as were asked for."""
        return self._left <= 0

    def feed(self, data: bytes) -> list[LineMatch]:
        """Search the next bytes; return the matches whose context has passed."""
        self._data += data
        return self._search(self._complete_end())

    def finish(self) -> list[LineMatch]:
        """Search what is left at the end of the log."""
        return self._search(len(self._data))

    def _complete_end(self) -> int:
        """Return the end of the lines whose context after them is here."""
        end = self._data.rfind(b"\n") + 1
        for _ in range(self._context):
            if end <= self._searched:
                break
            end = self._data.rfind(b"\n", 0, end - 1) + 1
        if end <= self._searched and len(self._data) - self._searched >= PIECE_BYTES:
            return len(self._data)
        return max(end, self._searched)

    def _search(self, end: int) -> list[LineMatch]:
        found: list[LineMatch] = []
        data, at = self._data, self._searched
        # Text without escape sequences has other offsets and the same lines.
        region = data[at:end]
        text = _SEQUENCE.sub(b"", region) if b"\x1b" in region else region
        is_same = len(text) == len(region)
        position, lines, start = 0, self._lines, at
        counted = 0
        while self._left > 0 and position < len(text):
            span = self._pattern.find(text, position, len(text))
            if span is None or span[0] >= len(text):
                break
            newlines = text.count(b"\n", counted, span[0])
            counted = span[0]
            lines += newlines
            if is_same:
                start = at + text.rfind(b"\n", 0, span[0]) + 1
            else:
                for _ in range(newlines):
                    start = data.index(b"\n", start) + 1
            line_end = data.find(b"\n", start)
            line_end = len(data) if line_end < 0 else line_end
            # The rest of a long line that was searched in parts is not another line.
            if lines + 1 != self._last_match:
                self._last_match = lines + 1
                self._left -= 1
                inside = span[0] - (text.rfind(b"\n", 0, span[0]) + 1)
                found.append(self._match(lines + 1, start, line_end, inside))
            next_line = text.find(b"\n", span[0])
            position = len(text) if next_line < 0 else next_line + 1
        self._lines += data.count(b"\n", at, end)
        self._trim(end)
        return found

    def _match(self, line: int, start: int, end: int, inside: int) -> LineMatch:
        data = self._data
        begin = start
        if end - start > _MOST_LINE_BYTES:
            begin = start + min(max(0, inside - _MOST_LINE_BYTES // 4), end - start - _MOST_LINE_BYTES)
        before, after = [], []
        at = start
        for _ in range(self._context):
            if at == 0:
                break
            previous = data.rfind(b"\n", 0, at - 1) + 1
            before.append(_text(data[previous : at - 1]))
            at = previous
        at = end + 1
        for _ in range(self._context):
            if at >= len(data):
                break
            next_end = data.find(b"\n", at)
            next_end = len(data) if next_end < 0 else next_end
            after.append(_text(data[at:next_end]))
            at = next_end + 1
        return LineMatch(line, _text(data[begin:end]), tuple(reversed(before)), tuple(after))

    def _trim(self, end: int) -> None:
        """Drop what was searched, but for the lines of the context."""
        keep = end
        for _ in range(self._context):
            if keep == 0 or end - keep > _MOST_CONTEXT_BYTES:
                break
            keep = self._data.rfind(b"\n", 0, keep - 1) + 1
        if self._context and self._data[end - 1 : end] != b"\n":
            keep = self._data.rfind(b"\n", 0, keep) + 1
        keep = max(keep, end - _MOST_CONTEXT_BYTES)
        self._data = self._data[keep:]
        self._searched = end - keep


def _text(line: bytes) -> str:
    return line[:_MOST_LINE_BYTES].removesuffix(b"\r").decode("utf-8", "replace")
