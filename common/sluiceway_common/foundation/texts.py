"""The characters that a text may have that is shown to people, or run. Pure.

A name with an escape sequence moves the cursor of a terminal; with a character that changes the direction of writing,
it shows something else than it contains (CVE-2021-42574); with one that has no width, it looks like another name. The
server and the offline checks of configurations refuse the same texts: these.

Names that are chosen in Sluiceway (of runs, tasks, steps) have no invisible characters. Names from elsewhere (refs,
paths, images) may have joiners without width, as scripts and emoji do, but no control characters and none that change
the direction.

Each `..._fault` returns what is wrong, as the end of a sentence about the text ("must not be empty"), or None.
"""

from __future__ import annotations

import re
import unicodedata

MAX_NAME = 100
MAX_VARIABLE_NAME = 255
MAX_AUDIENCE = 500
MAX_TEXT = 4_096
"""Characters of a path, an image, a shell: as long as a path may be on Linux."""

# Control, format (of direction, without width), surrogate, and what ends a line or a paragraph.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_ID_TOKEN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,79}")
_RESERVED_VARIABLES = frozenset({"CI", "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "IFS", "PWD"})
_NUL = "must not hold a NUL character"
_CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Also U+0085, a control character that YAML accepts as content.
_OF_A_SCRIPT = frozenset("\t\n\r\x85")
_TURNS_DIRECTION = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def unseen(text: str) -> str | None:
    """Return the first character that is not shown as itself in a line, or None."""
    if text.isprintable() and text.isascii():
        return None
    return next((c for c in text if unicodedata.category(c) in _UNSEEN), None)


def name_fault(text: str, *, most: int = MAX_NAME) -> str | None:
    """Return why a text is not a name of a run, a task, a step or a label."""
    if not text.strip():
        return "must not be empty"
    if text != text.strip():
        return "must not begin or end with a space"
    if text in {".", ".."}:
        return "is not a name"
    return line_fault(text, most=most)


def line_fault(text: str, *, most: int) -> str | None:
    """Return why a text cannot be shown as it is in one line; an empty one is allowed."""
    if len(text) > most:
        return f"can have at most {most} characters, not {len(text)}"
    found = unseen(text)
    return None if found is None else f"holds a control or invisible character ({_named(found)})"


def foreign_fault(text: str, *, most: int = MAX_TEXT) -> str | None:
    """Return why a name from elsewhere is refused in one line; an empty one is allowed."""
    if len(text) > most:
        return f"can have at most {most} characters, not {len(text)}"
    if text.isascii() and text.isprintable():
        return None
    found = next((c for c in text if c in _TURNS_DIRECTION or unicodedata.category(c) in _CONTROLS), None)
    if found is None:
        return None
    return _NUL if found == "\0" else f"holds a control character ({_named(found)})"


def command_fault(text: str) -> str | None:
    """Return why a command is refused: it cannot be run, or does something else than it shows."""
    if not text.strip():
        return "must not be empty"
    fault = lines_fault(text)
    return fault if fault in (None, _NUL) else f"{fault}; write it as an escape of the shell"


def lines_fault(text: str) -> str | None:
    """Return why a text of several lines is refused: it contains something else than it shows."""
    if text.isascii() and text.isprintable():
        return None
    for c in text:
        if c == "\0":
            return _NUL
        if c in _TURNS_DIRECTION or (c not in _OF_A_SCRIPT and unicodedata.category(c) in {"Cc", "Cs"}):
            return f"holds a control character ({_named(c)})"
    return None


def nul_fault(text: str) -> str | None:
    """Return why a text cannot be an argument or a variable of a process."""
    return _NUL if "\0" in text else None


def variable_name_fault(text: str) -> str | None:
    """Return why a text cannot be the name of a variable of a process."""
    if not text or "=" in text:
        return "is not the name of an environment variable"
    return foreign_fault(text, most=MAX_VARIABLE_NAME)


def id_token_name_fault(text: str) -> str | None:
    """Return why a text cannot be the name of an id token: of a variable, and of a file."""
    if _ID_TOKEN_NAME.fullmatch(text) is None:
        return "is not the name of an id token: letters, digits and _, at most 80, no digit first"
    if text in _RESERVED_VARIABLES or text.startswith(("SLUICE_", "AGOLA_")):
        return "is a variable of the system"
    return None


def audience_fault(text: str) -> str | None:
    """Return why a text cannot be the audience of an id token."""
    if not text.strip():
        return "must not be empty"
    return line_fault(text, most=MAX_AUDIENCE)


def shown(text: str, *, most: int) -> str:
    """Return a text of one or several lines that is safe to show.

    Characters that control a terminal or change the direction are replaced; what is too long is cut.
    """
    cut = text if len(text) <= most else text[: most - 1] + "…"
    if cut.isascii() and cut.isprintable():
        return cut
    return "".join(
        c
        if c in "\t\n" or (c not in _TURNS_DIRECTION and unicodedata.category(c) not in _CONTROLS)
        else "\N{REPLACEMENT CHARACTER}"
        for c in cut
    )


def as_name(text: str, *, otherwise: str) -> str:
    """Return a valid name made from a text, such as the name of a folder: invisible characters are left out."""
    name = "".join(c for c in text if unicodedata.category(c) not in _UNSEEN).strip()[:MAX_NAME].strip()
    return name if name_fault(name) is None else otherwise


def _named(character: str) -> str:
    return f"U+{ord(character):04X}"
