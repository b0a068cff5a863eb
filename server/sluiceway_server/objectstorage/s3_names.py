"""From keys to the names of S3 objects and back, one to one, in the same order. Pure.

S3 promises any key of 1,024 bytes; many endpoints do not keep it. SeaweedFS takes `a//b` for `a/b`, refuses `..`, holds
segments of at most 255 bytes, cannot have an object that ends in `/`, and lists folder by folder, so that `a/b` comes
before `a-`; others stumble over control characters (docs/decisions/0100-names-in-s3.md). So names are made of
characters that every endpoint takes, and sort alike byte by byte and folder by folder:

    byte                code            such as
    0-9  a-y  _  -      itself
    below -             ! and two digits of hexadecimal, in capitals    "+" is !2B
    .                   -zz
    /                   .d/             wal/0001 is wal.d/0001
    between 9 and _     A and two digits                                "A" is A41
    `                   _zz
    z and above         z and two digits                                "z" is z7A

Each code sorts where its byte does: `-zz` comes after all that can follow a `-`, as no code begins with `zz`; the
folder mark `.d` comes after the codes of all bytes below `/`. After every 60 bytes of a segment there is a further `/`
(for each segment that long, also of exactly 60 bytes: so all keys that share these are together). A last segment, or
the rest of one, that is empty is `!`.
"""

from __future__ import annotations

import re

LONGEST_NAME_BYTES = 906
"""Of the longest key: 300 bytes of three characters each, five cuts, and an end that is empty."""

AFTER_ALL = "zy"
"""Put behind a `prefix_name`, sorts after every name with that prefix, and before the names of all later keys."""

_CUT_BYTES = 60
_EMPTY = "!"
_FOLDER = ".d/"
_PLAIN = frozenset(b"0123456789abcdefghijklmnopqrstuvwxy_-")


def _code(byte: int) -> str:
    if byte in _PLAIN:
        return chr(byte)
    if byte < ord("-"):
        return f"!{byte:02X}"
    if byte == ord("."):
        return "-zz"
    if byte == ord("/"):
        return _FOLDER
    if byte == ord("`"):
        return "_zz"
    return f"A{byte:02X}" if byte < ord("_") else f"z{byte:02X}"


_CODES = tuple(_code(byte) for byte in range(256))
_BYTES = {code: byte for byte, code in enumerate(_CODES)}
# The longer ones first: "-zz" is not a "-".
_ANY_CODE = re.compile(r"[!Az][0-9A-F]{2}|[-_]zz|\.d/|[0-9a-y_-]|/")


def name_of(key: bytes) -> str:
    """Return the name of the object of a key that is not empty."""
    name = prefix_name(key)
    return name + _EMPTY if key.endswith(b"/") or _ends_at_cut(key) else name


def prefix_name(prefix: bytes) -> str:
    """Return the common beginning of the names of all keys with this prefix. Other names may begin the same."""
    codes: list[str] = []
    length = 0
    for byte in prefix:
        if byte == ord("/"):
            # At a cut the rest of the segment is empty, and the folder mark is all of it.
            codes.append("/" + _FOLDER if length and length % _CUT_BYTES == 0 else _FOLDER)
            length = 0
            continue
        if length and length % _CUT_BYTES == 0:
            codes.append("/")
        codes.append(_CODES[byte])
        length += 1
    # The key that ends here has this cut, as do all keys that continue from here.
    return "".join(codes) + ("/" if _ends_at_cut(prefix) else "")


def key_of(name: str) -> bytes | None:
    """Read a name back. None for what `name_of` never makes: somebody else's object."""
    key = bytearray()
    place = 0
    body = name.removesuffix(_EMPTY)
    while place < len(body):
        found = _ANY_CODE.match(body, place)
        if found is None:
            return None
        code = found.group()
        if code != "/":
            byte = _BYTES.get(code)
            if byte is None:
                return None
            key.append(byte)
        place = found.end()
    # Cuts at other places, and an end that is not marked, are not ours.
    return bytes(key) if key and name_of(bytes(key)) == name else None


def _ends_at_cut(key: bytes) -> bool:
    length = len(key) - key.rfind(b"/") - 1
    return length > 0 and length % _CUT_BYTES == 0
