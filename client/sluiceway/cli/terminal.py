"""What reaches a terminal: text of users without control characters, colour and progress only where a person looks.

Names, reasons and messages come from repositories and from other people; an escape sequence in one of them must not
move the cursor, set a title or answer a query of the terminal. Logs are the exception: they are printed as they are.
"""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TextIO

__all__ = ["clean", "clean_lines", "paint", "progress", "says_colour", "waiting", "width"]

_COLOURS: Final[Mapping[str, str]] = {
    "success": "32",
    "failed": "31",
    "lost": "31",
    "setup error": "31",
    "running": "36",
    "stopped": "33",
    "cancelled": "33",
    "waits for approval": "1;33",
    "skipped": "2",
    "not started": "2",
}


def clean(text: str) -> str:
    """Give text as one line that only shows; what a terminal would obey, or would show backwards, is replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.splitlines()))


def clean_lines(text: str) -> str:
    """Give text of several lines as `clean` does."""
    return "\n".join(clean(line) for line in text.split("\n"))


def width(text: str) -> int:
    """Count the columns that clean text takes."""
    return sum(_columns(c) for c in text)


def _columns(character: str) -> int:
    if character.isascii():
        return 1
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def says_colour(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether colour is wanted: at a terminal, unless `NO_COLOR` (no-color.org) or `TERM=dumb` says no."""
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def paint(text: str, word: str, *, colour: bool) -> str:
    """Give text the colour of a status, phase or result; `failed (ignored)` has that of `failed`."""
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

    Gives the function that changes how far it is.
    """
    stream = sys.stderr
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda _: None
        return

    def show(text: str) -> None:
        columns = shutil.get_terminal_size().columns
        stream.write(f"\r\x1b[K{clean(text)[: columns - 1]}")
        stream.flush()

    show(f"{what} ...")
    try:
        yield lambda text: show(f"{what}: {text}")
    finally:
        stream.write("\r\x1b[K")
        stream.flush()
