"""From keys to paths and back, one to one, for any key. Pure.

A key is cut at `/` into segments. All but the last are folders, whose names end in `+`; so `a` (a file) and `a/b` (a
file in the folder `a+`) can both be there. Bytes outside `a-z 0-9 . _ -` are written `%XX`, also a leading dot, so that
no name is `.`, `..`, hidden, or equal to another where case does not count. The empty file name is `%`.

A file name holds 255 bytes, a segment up to 1,024. A segment of 80 bytes or more begins with its first 80 as a folder
whose name ends in `^`, and continues inside. Every segment that long does, even one of exactly 80 bytes: so all keys
that share these 80 bytes are together, and a walk that sorts each folder by what its names stand for meets keys in byte
order.

    a              a
    a/b            a+/b
    a//..          a+/+/%2E.
    A/             %41+/%
    <80 × x>y/z    xxx…x^/y+/z
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_CHUNK_BYTES = 80
_FOLDER, _CONTINUED, _EMPTY_FILE = "+", "^", "%"
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789._-")
_ESCAPED = tuple(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in range(256))
_VALID = re.compile(r"(?:[a-z0-9_-]|%[0-9A-F]{2})(?:[a-z0-9._-]|%[0-9A-F]{2})*")
_ESCAPE = re.compile(rb"%([0-9A-F]{2})")


class EntryKind(StrEnum):
    """What a name in a folder stands for."""

    OBJECT = "OBJECT"
    FOLDER = "FOLDER"
    CONTINUED = "CONTINUED"


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A name and the part of the key that it stands for, with the `/` of a folder. Sorts as the keys below it do."""

    key_part: bytes
    kind: EntryKind
    name: str


def path_of(key: bytes) -> tuple[str, ...]:
    """Return the folders and, last, the file of a key that is not empty."""
    *folders, last = key.split(b"/")
    names: list[str] = []
    for segment in folders:
        rest = _cut(segment, names)
        names.append(_escape(rest) + _FOLDER)
    rest = _cut(last, names)
    names.append(_escape(rest) or _EMPTY_FILE)
    return tuple(names)


def parse_name(name: str, *, is_folder: bool) -> Entry | None:
    """Read a name back. None for what `path_of` never makes: somebody else's file."""
    if is_folder:
        stem, mark = name[:-1], name[-1:]
        part = _unescape(stem)
        if part is None or mark not in (_FOLDER, _CONTINUED):
            return None
        # What this module would have named otherwise is not ours either.
        if mark == _CONTINUED:
            return Entry(part, EntryKind.CONTINUED, name) if len(part) == _CHUNK_BYTES else None
        return Entry(part + b"/", EntryKind.FOLDER, name) if len(part) < _CHUNK_BYTES else None
    part = b"" if name == _EMPTY_FILE else _unescape(name)
    if part is None or not name or len(part) >= _CHUNK_BYTES:
        return None
    return Entry(part, EntryKind.OBJECT, name)


def _cut(segment: bytes, names: list[str]) -> bytes:
    while len(segment) >= _CHUNK_BYTES:
        names.append(_escape(segment[:_CHUNK_BYTES]) + _CONTINUED)
        segment = segment[_CHUNK_BYTES:]
    return segment


def _escape(part: bytes) -> str:
    name = "".join(_ESCAPED[byte] for byte in part)
    return f"%2E{name[1:]}" if name.startswith(".") else name


def _unescape(name: str) -> bytes | None:
    if not name:
        return b""
    if not _VALID.fullmatch(name):
        return None
    part = _ESCAPE.sub(lambda found: bytes([int(found.group(1), 16)]), name.encode())
    return part if _escape(part) == name else None
