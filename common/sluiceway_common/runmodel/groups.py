"""The paths in which runs queue, such as `/project/<id>/branch/feat%2Fx`.

A group is absolute, and each of its segments is percent-escaped (RFC 3986, 2.1), so that a branch `feat/x` is one
segment. There is one canonical spelling: unreserved characters stand for themselves, all others are escaped in UTF-8
with upper case hexadecimal. Groups are compared as strings, so what is stored is canonical.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_common.foundation.texts import foreign_fault

MAX_GROUP_LENGTH = 1_024
_HEX = frozenset("0123456789abcdefABCDEF")
_OWN = ("user", "me")
# A group of unreserved characters, as most are, is canonical and has no fault.
_PLAIN = re.compile(r"(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9_.~-]+)+")


def escape(segment: str) -> str:
    """Escape one segment: `feat/x` becomes `feat%2Fx`."""
    return quote(segment, safe="")


def unescape(segment: str) -> str:
    """Undo `escape`.

    Raises:
        InvalidInput: an escape is cut short, is not hexadecimal, or does not give UTF-8.
    """
    fault = _segment_fault(segment)
    if fault:
        raise InvalidInput([Violation("group", fault)])
    return unquote_to_bytes(segment).decode()


def join(*parts: str) -> str:
    """Make a group of plain segments: `join("project", id, "branch", "feat/x")`.

    Raises:
        InvalidInput: the result is not a group (no segment, or an empty one).
    """
    return canonical("/" + "/".join(escape(part) for part in parts))


def segments(group: str) -> tuple[str, ...]:
    """Return the unescaped segments of a group.

    Raises:
        InvalidInput: see `canonical`.
    """
    return tuple(unescape(part) if "%" in part else part for part in canonical(group)[1:].split("/"))


def canonical(group: str) -> str:
    """Check a group and return its canonical form.

    Raises:
        InvalidInput: it is empty, not absolute, too long, or has a segment that is empty, `.`, `..` or badly escaped.
    """
    found = faults(group)
    if found:
        raise InvalidInput([Violation("group", fault) for fault in found])
    if _PLAIN.fullmatch(group):
        return group
    return "/" + "/".join(escape(unquote_to_bytes(part).decode()) for part in group[1:].split("/"))


def faults(group: str) -> tuple[str, ...]:
    """Return what is wrong with a group, as sentences."""
    if len(group) <= MAX_GROUP_LENGTH and _PLAIN.fullmatch(group):
        return ()
    if not group:
        return ("it must not be empty",)
    if not group.startswith("/"):
        return (f'it must be absolute: "/{_shown(group)}"',)
    if len(group) > MAX_GROUP_LENGTH:
        return (f"it has {len(group)} characters; at most {MAX_GROUP_LENGTH} are allowed",)
    found = (_segment_fault(part) for part in group[1:].split("/"))
    return tuple(dict.fromkeys(fault for fault in found if fault))


def scope_of(group: str) -> str:
    """Return the first two segments of a canonical group, in which runs are numbered. All of it if it has fewer."""
    return "/".join(group.split("/")[:3])


def project_of(group: str) -> str:
    """Return the id of the project of a group, the second segment of `/project/<id>/...`; empty: it has none."""
    if faults(group):
        return ""
    first, *rest = segments(group)
    return rest[0] if first == "project" and rest else ""


def is_below(group: str, prefix: str) -> bool:
    """Return whether a canonical group is `prefix` or below it. `/user/evelyn` is not below `/user/eve`."""
    return group == prefix or group.startswith(f"{prefix}/")


def of_caller(group: str, user_id: str) -> str:
    """Replace `me` by the id of the caller in `/user/me` and below it; any other text is unchanged."""
    if faults(group):
        return group
    first, *rest = segments(group)
    return join("user", user_id, *rest[1:]) if (first, *rest[:1]) == _OWN else group


def _segment_fault(segment: str) -> str:
    if not segment:
        return "it has an empty segment: a slash at its end, or two in a row"
    rest = segment.split("%")[1:]
    if any(len(part) < 2 or part[0] not in _HEX or part[1] not in _HEX for part in rest):
        return f'segment "{_shown(segment)}": "%" must begin an escape such as %2F'
    try:
        plain = unquote_to_bytes(segment).decode()
    except UnicodeError:
        # Not UTF-8 after unescaping, or a lone surrogate before it.
        return "a segment is not valid UTF-8"
    if plain in (".", ".."):
        return f'"{plain}" cannot be a segment'
    fault = foreign_fault(plain)
    return "" if fault is None else f"a segment {fault}"


def _shown(text: str) -> str:
    return text if len(text) <= 100 else text[:97] + "..."
