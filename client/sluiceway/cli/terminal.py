"""Output to terminals: text of users without control characters, and colour and progress at a terminal only.

Names, reasons and messages come from repositories and from other people; an escape sequence in one of them must not
move the cursor, set a title or answer a query of the terminal. The same holds for logs at a terminal, except for
colours (`log_text`). A pipe gets logs byte for byte.
"""

from __future__ import annotations

import codecs
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TextIO

_COLOURS: Final[Mapping[str, str]] = {
    "success": "32",
    "failed": "31",
    "lost": "31",
    "setup error": "31",
    "running": "36",
    "stopping": "33",
    "stopped": "33",
    "cancelled": "33",
    "waiting": "33",
    "held": "1;33",
    "waits for approval": "1;33",
    "draining": "33",
    "drained": "33",
    "offline": "31",
    "skipped": "2",
    "not started": "2",
}
# What we print ourselves and ASCII has not.
_INSTEAD: Final = {"\N{REPLACEMENT CHARACTER}": "?", "\N{HORIZONTAL ELLIPSIS}": "...", "\N{EM DASH}": "-"}


def show_what_can_be_shown(*streams: TextIO) -> None:
    r"""Make streams replace what their encoding has not, where Python would raise UnicodeEncodeError.

    A terminal or pipe in ASCII gets `\u6771` for a character that it cannot show.
    """
    codecs.register_error("sluice", _replaced)
    for stream in streams:
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="sluice")


def _replaced(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    instead = _INSTEAD.get(error.object[error.start])
    return (instead, error.start + 1) if instead is not None else codecs.backslashreplace_errors(error)


def clean(text: str) -> str:
    """Return text as one line without anything that a terminal would obey, or would show backwards."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.splitlines()))


def clean_lines(text: str) -> str:
    """Return text of several lines as `clean` does."""
    return "\n".join(clean(line) for line in text.split("\n"))


def say(text: str) -> None:
    """Print a line about what a command did."""
    print(clean(text), flush=True)


def width(text: str) -> int:
    """Count the columns that clean text takes."""
    return len(text) if text.isascii() else sum(_columns(c) for c in text)


def _columns(character: str) -> int:
    if character.isascii():
        return 1
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def cut(text: str, columns: int) -> str:
    """Shorten clean text to a number of columns; what was cut off is an ellipsis."""
    if width(text) <= columns:
        return text
    kept, used = [], 0
    for character in text:
        used += _columns(character)
        if used > columns - 1:
            break
        kept.append(character)
    return "".join(kept).rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def columns_of(stream: TextIO) -> int | None:
    """Return how many columns a terminal has; None for what is no terminal, which takes lines of any length."""
    if not stream.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def says_colour(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether to print in colour: at a terminal, unless `NO_COLOR` (no-color.org) or `TERM=dumb` is set."""
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def paint(text: str, word: str, *, colour: bool) -> str:
    """Return text in the colour of a status, phase or result; `failed (ignored)` has that of `failed`."""
    code = _COLOURS.get(word.removeprefix("result ").split(" (", 1)[0])
    return f"\x1b[{code}m{text}\x1b[0m" if colour and code else text


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show a person that something takes time, on stderr; programs see nothing."""
    with progress(what):
        yield


@contextmanager
def progress(what: str) -> Iterator[Callable[[str], None]]:
    """Show what is done and how far it is, on one line of stderr that goes away; programs see nothing.

    Yields the function that changes the progress.
    """
    stream = sys.stderr
    columns = columns_of(stream)
    if columns is None or os.environ.get("TERM") == "dumb":
        yield lambda _: None
        return

    def show(text: str) -> None:
        stream.write(f"\r\x1b[K{cut(clean(text), columns - 1)}")
        stream.flush()

    show(f"{what} ...")
    try:
        yield lambda text: show(f"{what}: {text}")
    finally:
        stream.write("\r\x1b[K")
        stream.flush()
