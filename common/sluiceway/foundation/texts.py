"""What a text may hold that people read, or that is run. Pure.

A name with an escape sequence moves the cursor of a terminal; with a character that turns the direction of writing, it
shows something else than it says (CVE-2021-42574); with one that has no width, it looks like another name. The server
and the offline checks of configurations refuse the same texts: these.

Each `..._fault` answers what is wrong as the end of a sentence about the text ("must not be empty"); None: nothing is.
"""

from __future__ import annotations

import unicodedata

__all__ = ["MAX_NAME", "command_fault", "line_fault", "name_fault", "nul_fault", "shown", "unseen"]

MAX_NAME = 100

# Control, format (of direction, without width), surrogate, and what ends a line or a paragraph.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_OF_A_SCRIPT = frozenset("\t\n\r")
_TURNS_DIRECTION = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def unseen(text: str) -> str | None:
    """Find the first character that is not shown as itself in a line; None: there is none."""
    if text.isprintable() and text.isascii():
        return None
    return next((c for c in text if unicodedata.category(c) in _UNSEEN), None)


def name_fault(text: str, *, most: int = MAX_NAME) -> str | None:
    """Return why a text is no name: of a run, a task, a step, a label."""
    if not text.strip():
        return "must not be empty"
    if text != text.strip():
        return "must not begin or end with a space"
    if text in {".", ".."}:
        return "is not a name"
    return line_fault(text, most=most)


def line_fault(text: str, *, most: int) -> str | None:
    """Return why a text cannot be shown as it is in one line; an empty one can."""
    if len(text) > most:
        return f"can have at most {most} characters, not {len(text)}"
    found = unseen(text)
    return None if found is None else f"holds a control or invisible character ({_named(found)})"


def command_fault(text: str) -> str | None:
    """Return why a text cannot be run, or would not do what it shows."""
    if not text.strip():
        return "must not be empty"
    if text.isascii() and text.isprintable():
        return None
    for c in text:
        if c == "\0":
            return "must not hold a NUL character"
        if c in _TURNS_DIRECTION or (unicodedata.category(c) in {"Cc", "Cs"} and c not in _OF_A_SCRIPT):
            return f"holds a control character ({_named(c)}); write it as an escape of the shell"
    return None


def nul_fault(text: str) -> str | None:
    """Return why a text cannot be an argument or a variable of a process."""
    return "must not hold a NUL character" if "\0" in text else None


def shown(text: str, *, most: int) -> str:
    """Make a text fit to be shown, of several lines or one: what is not shown is replaced, what is too long is cut."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    if cut.isascii() and cut.isprintable():
        return cut
    return "".join(
        c if c in "\t\n" or unicodedata.category(c) not in _UNSEEN else "\N{REPLACEMENT CHARACTER}" for c in cut
    )


def _named(character: str) -> str:
    return f"U+{ord(character):04X}"
