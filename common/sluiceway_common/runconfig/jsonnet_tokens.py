"""The tokens of a jsonnet text, with their places: as much of the language as places need.

Follows the lexing rules of jsonnet's specification, and accepts any text: what is not a token is skipped. Pure.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


class Kind(Enum):
    """The kind of a token."""

    WORD = auto()
    NUMBER = auto()
    STRING = auto()
    SYMBOL = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """One token. `text` is as written; of a string it is the value, and None where that needs more than we decode."""

    kind: Kind
    text: str | None
    start: int


_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+|//[^\n]*|\#[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<block>\|\|\|-?[ \t\r]*\n)
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<number>[0-9][0-9_]*(?:\.[0-9_]+)?(?:[eE][-+]?[0-9_]+)?)
    |(?P<verbatim>@"(?:[^"]|"")*+"|@'(?:[^']|'')*+')
    |(?P<string>"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+')
    |(?P<symbol>\+?:{1,3}|.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPED: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_OPENING: Final = {"(": ")", "[": "]", "{": "}"}


class Tokens:
    """The tokens of a text, their matching brackets, and their places."""

    def __init__(self, text: str) -> None:
        self.all = tokenize(text)
        self._line_starts = [0, *(m.end() for m in re.finditer("\n", text))]
        # For each opening bracket the index of its closing one; an unclosed one reaches to the end.
        self.closing: dict[int, int] = {}
        opened: list[int] = []
        for index, token in enumerate(self.all):
            if token.kind is not Kind.SYMBOL:
                continue
            if token.text in _OPENING:
                opened.append(index)
            elif opened and token.text == _OPENING[self.all[opened[-1]].text or ""]:
                self.closing[opened.pop()] = index
        for index in opened:
            self.closing[index] = len(self.all)

    def __len__(self) -> int:
        return len(self.all)

    def is_symbol(self, index: int, text: str) -> bool:
        """Return whether there is this symbol at an index."""
        return self._is(index, Kind.SYMBOL, text)

    def is_word(self, index: int, text: str) -> bool:
        """Return whether there is this keyword or name at an index."""
        return self._is(index, Kind.WORD, text)

    def _is(self, index: int, kind: Kind, text: str) -> bool:
        return index < len(self.all) and self.all[index].kind is kind and self.all[index].text == text

    def after(self, index: int) -> int:
        """Step over a token, or over all that a bracket holds."""
        return self.closing.get(index, index) + 1

    def place(self, index: int) -> tuple[int, int]:
        """Return line and column of a token, counted from 1."""
        start = self.all[index].start
        line = bisect_right(self._line_starts, start)
        return line, start - self._line_starts[line - 1] + 1


def tokenize(text: str) -> list[Token]:
    """Split a text into tokens. Linear in its length."""
    tokens: list[Token] = []
    position = 0
    while match := _TOKEN.match(text, position):
        start, position = position, match.end()
        found = match[0]
        match match.lastgroup:
            case "word":
                tokens.append(Token(Kind.WORD, found, start))
            case "number":
                tokens.append(Token(Kind.NUMBER, found, start))
            case "string":
                tokens.append(Token(Kind.STRING, _unescaped(found[1:-1]), start))
            case "verbatim":
                quote = found[1]
                tokens.append(Token(Kind.STRING, found[2:-1].replace(quote * 2, quote), start))
            case "block":
                position = _end_of_block(text, position)
                tokens.append(Token(Kind.STRING, None, start))
            case "symbol":
                tokens.append(Token(Kind.SYMBOL, found, start))
            case _:
                pass
    return tokens


def _unescaped(body: str) -> str:
    def character(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPED.get(code, code)

    if "\\" not in body:
        return body
    # What JSON writes as a pair of surrogates is one character.
    return _ESCAPE.sub(character, body).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _end_of_block(text: str, position: int) -> int:
    """Find the end of a text block whose first line begins at `position`.

    The indentation of its first line that is not empty belongs to each line; the first with less ends it.
    """
    indentation: str | None = None
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        line = text[position:end]
        if line.strip("\r"):
            if indentation is None:
                indentation = line[: len(line) - len(line.lstrip(" \t"))]
            if not indentation or not line.startswith(indentation):
                closing = re.match(r"[ \t]*\|\|\|", line)
                return position + closing.end() if closing else end
        position = end + 1
    return len(text)
