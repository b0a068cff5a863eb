"""Faults of a configuration, and their places.

A problem has a path in the document (`runs[0].tasks[2].depends[1]`), and a line and a column of the file. The output of
jsonnet has no lines of its own: if the source of a part of it is unknown, there is the path only. Pure.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

DocumentPath = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_SHOWN_CHARACTERS = 60
_ABBREVIATION_CHARACTERS = 3
_BOOLEAN_WORDS = {
    **dict.fromkeys(("y", "yes", "on", "true"), "true"),
    **dict.fromkeys(("n", "no", "off", "false"), "false"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault or one warning.

    `line` and `column` count from 1 and are None where they are not known. `path` is empty for the document as a whole.
    """

    path: str
    line: int | None
    column: int | None
    message: str

    def __str__(self) -> str:
        return self.in_file("")

    def in_file(self, file: str, kind: str = "") -> str:
        """Write it as one line with the name of the file, if there is one, and the kind of problem, if it is given."""
        place = ":".join(str(part) for part in (file, self.line, self.column) if part)
        return ": ".join(part for part in (place, kind, self.path, self.message) if part)


def format_path(path: DocumentPath) -> str:
    """Write a path as people read it; a key that is no plain word is quoted in brackets."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.match(part):
            text += f".{part}" if text else part
        else:
            text += f"[{quoted(part)}]"
    return text


def quoted(text: str) -> str:
    """Quote an untrusted string: cut, and with unprintable characters escaped."""
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    body = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)
    return '"' + body.replace('"', '\\"') + '"'


def describe_type(value: object) -> str:
    """Return the kind of a document's value in its own words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "a map"


def boolean_word(text: str) -> str | None:
    """Return the boolean that YAML 1.1 reads in a word that is a string in YAML 1.2; None for any other word."""
    return _BOOLEAN_WORDS.get(text.lower())


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return the end of a message that names the known word that was meant; empty if none is near enough."""
    # An untrusted word may be a megabyte long, and is then similar to none.
    if len(given) > 100:
        return ""
    words = list(known)
    near = difflib.get_close_matches(given, words, n=1, cutoff=0.6)
    if not near and len(given) >= _ABBREVIATION_CHARACTERS:
        near = [word for word in words if word.startswith(given)]
    return f": did you mean `{near[0]}`?" if len(near) == 1 else ""
