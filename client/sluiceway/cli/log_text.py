"""Logs on their way to standard output: byte for byte into a pipe, and readable at a terminal.

At a terminal control characters are written out as `cat -v` does (`^[` for escape), so that a log cannot move the
cursor, change the title or query the terminal. Colours and tabs stay. A carriage return begins a new line, so
that what it would overwrite is shown.
"""

from __future__ import annotations

import codecs
import re
from datetime import UTC, datetime
from typing import TextIO

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
# What may continue in the next chunk: the beginning of a colour, or a carriage return before a line feed.
_UNFINISHED = re.compile(r"(\x1b(\[[0-9;:]{0,64})?|\r)\Z")
_MOST_OF_A_LINE = 64 * 1024


class LogText:
    """The bytes of one log as text for a terminal; they may be cut anywhere between two calls."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._held = ""
        self._coloured = False

    def feed(self, data: bytes, *, last: bool = False) -> str:
        """Return what can be shown now.

        Args:
            data: the next bytes.
            last: there are no more; colours are reset.
        """
        text = self._held + self._decoder.decode(data, last)
        held = None if last else _UNFINISHED.search(text)
        self._held = held.group() if held else ""
        parts, end = [], 0
        text = text[: len(text) - len(self._held)].replace("\r\n", "\n")
        for found in _COLOUR.finditer(text):
            parts += [_written_out(text[end : found.start()]), found.group()]
            end = found.end()
            self._coloured = True
        parts.append(_written_out(text[end:]))
        if last and self._coloured:
            parts.append("\x1b[0m")
        return "".join(parts)


def _written_out(text: str) -> str:
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable() or character in "\t\n":
        return character
    if character == "\r":
        return "\n"
    code = ord(character)
    if code < 0x20 or code == 0x7F:
        return f"^{chr(code ^ 0x40)}"
    return character.encode("ascii", "backslashreplace").decode()


class LogOutput:
    """One log that is written to a stream.

    Args:
        stream: of text, over a stream of bytes.
        raw: write the bytes as they are.
        prefix: begins each line; it distinguishes the lines of several logs, and a line is written when it is complete.
        timestamps: begin each line with the time at which it was written; then, too, it is written when it is complete.
    """

    def __init__(self, stream: TextIO, *, raw: bool, prefix: str = "", timestamps: bool = False) -> None:
        self._stream = stream
        self._raw = raw
        self._prefix = prefix
        self._timestamps = timestamps
        self._text = LogText()
        self._line = bytearray()
        # When the line that is not complete began.
        self._began: datetime | None = None

    def write(self, data: bytes, time: datetime | None = None) -> None:
        """Write the next bytes of the log, which were written at a time."""
        if not self._is_by_line:
            self._put(data)
            return
        began = self._began if self._line else time
        self._line += data
        *lines, rest = bytes(self._line).split(b"\n")
        while len(rest) > _MOST_OF_A_LINE:
            lines.append(rest[:_MOST_OF_A_LINE])
            rest = rest[_MOST_OF_A_LINE:]
        self._line = bytearray(rest)
        self._put_lines(lines[:1], began)
        self._put_lines(lines[1:], time)
        self._began = time if lines else began

    def finish(self) -> None:
        """Write what is left of the log."""
        if not self._is_by_line:
            self._put(b"", last=True)
        elif self._line:
            self._put_lines([bytes(self._line)], self._began)
            self._line.clear()

    @property
    def _is_by_line(self) -> bool:
        return bool(self._prefix) or self._timestamps

    def _put(self, data: bytes, *, last: bool = False) -> None:
        if self._raw:
            self._stream.buffer.write(data)
        else:
            self._stream.write(self._text.feed(data, last=last))
        self._stream.flush()

    def _put_lines(self, lines: list[bytes], time: datetime | None) -> None:
        prefix = self._prefix
        if self._timestamps:
            prefix += f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z " if time else ""
        for line in lines:
            self._stream.write(prefix)
            if self._raw:
                self._stream.flush()
                self._stream.buffer.write(line + b"\n")
            else:
                self._stream.write(LogText().feed(line, last=True) + "\n")
        self._stream.flush()
