"""Masks secrets in a stream of bytes, before it leaves the executor. Pure.

A *form* is a way in which a secret may be written: plain, in base64 at each alignment, escaped for a URL, for JSON, for
a shell. Every byte that belongs to an occurrence of any form is covered, overlapping occurrences included, and each run
of covered bytes becomes `***`. The output depends on the whole stream only, and not on how it is cut into writes.
Base64 is also found when its lines were wrapped.

To decide on a byte, the masker must know what follows it; so it holds back the end of its input for as long as that
could be the beginning of a form.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

__all__ = ["MASK", "MINIMUM_BYTES", "Masker", "forms_of"]

MASK = b"***"
MINIMUM_BYTES = 4
"""Shorter secrets are refused when they are set: they would occur in ordinary text."""

_LINE_MINIMUM_BYTES = 12
_WRAPPED_MINIMUM_BYTES = 8
_KEY_BYTES = 4
_NEWLINES = b"\r\n"


def forms_of(secret: bytes) -> frozenset[bytes]:
    """Return all forms of a secret, itself included; none for one that is shorter than `MINIMUM_BYTES`.

    Of a secret with several lines, each line of some length counts as well, because tools indent or prefix lines.
    """
    if len(secret) < MINIMUM_BYTES:
        return frozenset()
    plain = {secret, secret.rstrip(_NEWLINES)}
    for line in secret.splitlines():
        stripped = line.strip()
        if len(stripped) >= _LINE_MINIMUM_BYTES and not stripped.startswith(b"-----"):
            plain.add(stripped)
    forms: set[bytes] = set()
    for value in plain:
        if len(value) >= MINIMUM_BYTES:
            forms |= {value, value.replace(b"\n", b"\r\n")}
            forms |= set(_base64_forms(value))
            forms |= set(_url_forms(value))
            forms |= set(_json_forms(value))
            forms |= set(_shell_forms(value))
    return frozenset(form for form in forms if len(form) >= MINIMUM_BYTES)


class Masker:
    """Masks a stream. Call `feed` in order, then `finish`; another stream may follow."""

    def __init__(self, secrets: Iterable[bytes], *, covered: int = 0, in_run: bool = False) -> None:
        """Take the secrets; and, to continue a stream at the first byte that another masker held back, its state."""
        self._secrets = [secret for secret in secrets if len(secret) >= MINIMUM_BYTES]
        self._find()
        self._held = b""
        # How much of what is held back is covered already, and whether the last byte of the output was.
        self._covered = covered
        self._in_run = in_run

    def _find(self) -> None:
        values = self._secrets
        plain = {form for secret in values for form in forms_of(secret)}
        wrapped = {
            form
            for secret in values
            for value in (secret, secret.rstrip(_NEWLINES))
            for form in _base64_forms(value)
            if len(form) >= _WRAPPED_MINIMUM_BYTES
        }
        self._plain = _Finder(plain)
        self._wrapped = _Finder(wrapped)

    @property
    def held(self) -> int:
        """How many bytes are held back."""
        return len(self._held)

    @property
    def state(self) -> tuple[int, bool]:
        """How many of the bytes held back are covered, and whether the last byte of the output was."""
        return self._covered, self._in_run

    def feed(self, data: bytes) -> bytes:
        """Add the next bytes; return those that are decided, which may be none, and may be of earlier calls."""
        if not self._plain.forms:
            return data
        return self._decide(self._held + data, final=False)

    def finish(self) -> bytes:
        """Return what was held back, at the end of the stream."""
        output = self._decide(self._held, final=True)
        self._in_run = False
        return output

    def add(self, secrets: Iterable[bytes]) -> None:
        """Mask more secrets in what follows, and in what is held back."""
        self._secrets += [secret for secret in secrets if len(secret) >= MINIMUM_BYTES]
        self._find()

    def once(self, text: bytes) -> bytes:
        """Return a whole text masked, which is not part of the stream. Only between `finish` and the next `feed`."""
        return self.feed(text) + self.finish()

    def _decide(self, text: bytes, *, final: bool) -> bytes:
        covered = [(0, self._covered)] if self._covered else []
        covered += self._plain.find(text)
        hold = len(text) if final else self._plain.hold(text)
        if self._wrapped.forms:
            newlines = [match.start() for match in re.finditer(rb"[\r\n]", text)]
            joined = text.translate(None, _NEWLINES) if newlines else text
            positions = _Positions(newlines)
            if newlines:
                for start, end in self._wrapped.find(joined):
                    covered.append((positions.original(start), positions.original(end - 1) + 1))
            if not final:
                held = self._wrapped.hold(joined)
                if held < len(joined):
                    hold = min(hold, positions.original(held))
        output, reach = self._render(text, covered, hold)
        self._held = text[hold:]
        self._covered = max(0, reach - hold)
        return output

    def _render(self, text: bytes, covered: list[tuple[int, int]], hold: int) -> tuple[bytes, int]:
        """Return the masked text before `hold`, and the end of the last occurrence that begins there."""
        parts: list[bytes] = []
        position = 0
        reach = self._covered
        for start, end in sorted(covered):
            if start >= hold:
                break
            if start > position:
                parts.append(text[position:start])
                self._in_run = False
            if not self._in_run:
                parts.append(MASK)
                self._in_run = True
            position = max(position, end)
            reach = max(reach, end)
        if position < hold:
            parts.append(text[position:hold])
            self._in_run = False
        return b"".join(parts), reach


class _Positions:
    """Maps positions in the text without newlines to positions in the text with them."""

    def __init__(self, newlines: list[int]) -> None:
        # The n-th newline stands before the joined position newlines[n] - n.
        self._joined = [newline - count for count, newline in enumerate(newlines)]

    def original(self, joined: int) -> int:
        return joined + bisect_right(self._joined, joined)


class _Finder:
    """Finds occurrences of forms in a text, and where an incomplete one may begin."""

    def __init__(self, forms: Iterable[bytes]) -> None:
        self.forms = sorted(set(forms))
        self._longest = max((len(form) for form in self.forms), default=0)
        self._by_key: dict[bytes, list[bytes]] = {}
        for form in self.forms:
            self._by_key.setdefault(form[:_KEY_BYTES], []).append(form)

    def find(self, text: bytes) -> Iterator[tuple[int, int]]:
        for form in self.forms:
            start = text.find(form)
            while start >= 0:
                yield start, start + len(form)
                start = text.find(form, start + 1)

    def hold(self, text: bytes) -> int:
        """Return the first position from which the text is the beginning, not all, of a form; else its end."""
        end = len(text)
        for start in range(max(0, end - self._longest + 1), end):
            key = text[start : start + _KEY_BYTES]
            if len(key) == _KEY_BYTES:
                candidates = self._by_key.get(key, [])
                if not candidates:
                    continue
            else:
                candidates = [form for begin, forms in self._by_key.items() if begin.startswith(key) for form in forms]
            rest = text[start:]
            if any(len(form) > len(rest) and form.startswith(rest) for form in candidates):
                return start
        return end


def _base64_forms(value: bytes) -> Iterator[bytes]:
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + value)
        # Only the characters that consist of bits of the secret: their neighbours depend on the bytes around it.
        core = encoded[-(-shift * 8 // 6) : (shift + len(value)) * 8 // 6]
        if len(core) >= MINIMUM_BYTES:
            yield core
            yield core.translate(bytes.maketrans(b"+/", b"-_"))


def _url_forms(value: bytes) -> Iterator[bytes]:
    for safe in ("", "/", "!'()*~", "/!'()*~"):
        for text in (quote(value, safe=safe), quote_plus(value, safe=safe)):
            yield text.encode()
            yield re.sub(r"%[0-9A-F]{2}", lambda match: match.group().lower(), text).encode()


def _json_forms(value: bytes) -> Iterator[bytes]:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return
    for ascii_only in (True, False):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        for form in (escaped, escaped.replace("/", "\\/"), _html_safe(escaped)):
            yield form.encode()
            # JSON in JSON, as in logs of logs.
            yield json.dumps(form, ensure_ascii=ascii_only)[1:-1].encode()
    yield re.sub(r"\\u[0-9a-f]{4}", lambda match: "\\u" + match.group()[2:].upper(), json.dumps(text)[1:-1]).encode()


def _html_safe(escaped: str) -> str:
    # What Go's encoder writes.
    for character in "<>&":
        escaped = escaped.replace(character, f"\\u{ord(character):04x}")
    return escaped


def _shell_forms(value: bytes) -> Iterator[bytes]:
    text = value.decode("utf-8", "surrogateescape")
    forms = [shlex.quote(text)]
    forms.append("'" + text.replace("'", "'\\''") + "'")
    forms.append('"' + re.sub(r'([\\"$`])', r"\\\1", text) + '"')
    # The dollar form of bash and zsh, with which `set -x` and `printf %q` write what is not printable.
    table = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\a": "\\a", "\b": "\\b", "\x1b": "\\E"}
    forms.append("".join(table.get(character, character) for character in text))
    forms.append(re.sub(r"([^A-Za-z0-9_@%+=:,./\-\n])", r"\\\1", text))
    forms.append(re.sub(r"([^A-Za-z0-9_@%+=:./\-\n])", r"\\\1", text))
    for form in forms:
        inner = form[1:-1] if form[:1] in {"'", '"'} and form[-1:] == form[:1] and len(form) > 2 else form
        yield inner.encode("utf-8", "surrogateescape")
