"""Parse JSON into a document.

The standard library parses it; duplicate keys, NaN and too much depth are refused. The places of nodes are found by a
second, slower pass, which is done only if there is something to report. Pure.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from sluiceway_common.runconfig.documents import (
    MAX_DEPTH,
    MAX_NUMBER_CHARACTERS,
    Document,
    DocumentError,
    Mark,
    decode_source,
    fail,
)
from sluiceway_common.runconfig.problems import DocumentPath, Problem, format_path, quoted

# A string is matched possessively, ended or not: a retry from each of its quotes would be quadratic.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_STRING_OR_ATOM = re.compile(r'"(?:[^"\\]|\\.)*+"?|[-+.0-9A-Za-z]+', re.DOTALL)
_JSON_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]|\n', re.DOTALL)


def parse_json(source: bytes) -> Document:
    """Read one JSON document (RFC 8259).

    Raises:
        DocumentError: it is not one, has a duplicate key, NaN or Infinity, or exceeds a limit.
    """
    text = decode_source(source)
    value = parse_json_text(text, with_lines=True)
    return Document(value, lambda: _JsonMarks(text).root)


def parse_json_text(text: str, *, with_lines: bool) -> Any:
    """Read the value of a JSON text; `with_lines` is whether its lines are those that a person wrote.

    Raises:
        DocumentError: as `parse_json`.
    """
    _check_json_depth(text, with_lines=with_lines)
    duplicates: list[str] = []

    def make_map(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            duplicates.append("")
        return made

    def refuse(constant: str) -> NoReturn:
        raise _AtomError(constant, f"there is no {constant}")

    try:
        value = json.loads(
            text,
            object_pairs_hook=make_map,
            parse_constant=refuse,
            parse_int=_json_integer,
            parse_float=_json_float,
        )
    except json.JSONDecodeError as cause:
        line, column = (cause.lineno, cause.colno) if with_lines else (None, None)
        raise DocumentError([Problem("", line, column, _syntax_message(text, cause))]) from cause
    except _AtomError as cause:
        line, column = _place_of_atom(text, cause.atom) if with_lines else (None, None)
        raise DocumentError([Problem("", line, column, f"not JSON: {cause}")]) from cause
    if _SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as cause:
            raise DocumentError([Problem("", None, None, "a string holds half of a surrogate pair")]) from cause
    if duplicates:
        raise DocumentError(_JsonMarks(text).duplicates)
    return value


class _AtomError(ValueError):
    """A number or a constant that is refused."""

    def __init__(self, atom: str, message: str) -> None:
        super().__init__(message)
        self.atom = atom


def _json_integer(digits: str) -> int:
    if len(digits) > MAX_NUMBER_CHARACTERS:
        raise _AtomError(digits, f"a number of {len(digits)} digits is too long; quote it if it is text")
    return int(digits)


def _json_float(text: str) -> float:
    if len(text) > MAX_NUMBER_CHARACTERS:
        raise _AtomError(text, f"a number of {len(text)} characters is too long; quote it if it is text")
    number = float(text)
    if math.isinf(number):
        raise _AtomError(text, f"the number {text} is too large; quote it if it is text")
    return number


def _place_of_atom(text: str, atom: str) -> tuple[int, int]:
    """Find where a number or constant stands: outside of strings, as a whole."""
    for token in _STRING_OR_ATOM.finditer(text):
        if token[0] == atom:
            start = token.start()
            return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)
    raise AssertionError("what was read is in the text")


def _syntax_message(text: str, cause: json.JSONDecodeError) -> str:
    if not text.strip():
        return "the file is empty"
    found = text[cause.pos : cause.pos + 2]
    if found[:1] in ("}", "]") and text[: cause.pos].rstrip()[-1:] == ",":
        return "not JSON: a comma after the last entry"
    if found[:1] == "#" or found in ("//", "/*"):
        return "not JSON: it has no comments; jsonnet and YAML do"
    if found[:1] == "'":
        return "not JSON: strings are in double quotes"
    if cause.msg.startswith("Invalid control character"):
        return "not JSON: a string with a line break, a tab or another control character; write it as an escape"
    return f"not JSON: {cause.msg[:1].lower()}{cause.msg[1:]}"


def _check_json_depth(text: str, *, with_lines: bool) -> None:
    depth, line = 0, 1
    for token in _JSON_STRUCTURE.finditer(text):
        first = text[token.start()]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                fail(f"nested deeper than {MAX_DEPTH} levels", line if with_lines else None)
        elif first in "]}":
            depth -= 1
        elif first == "\n":
            line += 1


class _JsonMarks:
    """Finds where each node of a JSON text begins. The text is known to be JSON of bounded depth."""

    _SPACE = re.compile(r"[ \t\n\r]*")
    _ATOM = re.compile(r"[-+.0-9A-Za-z]+")

    def __init__(self, text: str) -> None:
        self.duplicates: list[Problem] = []
        self._text = text
        self._line_starts = [0, *(m.end() for m in re.finditer("\n", text))]
        self._line = 0
        self.root = self._value(self._skip(0), ())[0]

    def _skip(self, position: int) -> int:
        match = self._SPACE.match(self._text, position)
        return match.end() if match else position

    def _mark(self, position: int) -> Mark:
        # Positions only grow, so the line is found by walking on.
        while self._line + 1 < len(self._line_starts) and self._line_starts[self._line + 1] <= position:
            self._line += 1
        return Mark(self._line + 1, position - self._line_starts[self._line] + 1)

    def _value(self, position: int, path: DocumentPath) -> tuple[Mark, int]:
        mark = self._mark(position)
        first = self._text[position]
        if first == "{":
            return mark, self._map(mark, position, path)
        if first == "[":
            return mark, self._list(mark, position, path)
        if first == '"':
            return mark, json.decoder.scanstring(self._text, position + 1)[1]  # type: ignore[attr-defined]  # not in the stubs
        match = self._ATOM.match(self._text, position)
        if match is None:
            return mark, position + 1
        mark.written = match[0]
        return mark, match.end()

    def _map(self, mark: Mark, position: int, path: DocumentPath) -> int:
        children: dict[str, Mark] = {}
        mark.children = children
        position = self._skip(position + 1)
        while self._text[position] != "}":
            key_mark = self._mark(position)
            key, position = json.decoder.scanstring(self._text, position + 1)  # type: ignore[attr-defined]  # not in the stubs
            value_mark, position = self._value(self._skip(self._skip(position) + 1), (*path, key))
            if key in children:
                message = f"duplicate key {quoted(key)}, given on line {children[key].line} already"
                self.duplicates.append(Problem(format_path((*path, key)), key_mark.line, key_mark.column, message))
            else:
                children[key] = value_mark.at(key_mark.line, key_mark.column)
            position = self._next(position)
        return position + 1

    def _list(self, mark: Mark, position: int, path: DocumentPath) -> int:
        children: list[Mark] = []
        mark.children = children
        position = self._skip(position + 1)
        while self._text[position] != "]":
            child, position = self._value(position, (*path, len(children)))
            children.append(child)
            position = self._next(position)
        return position + 1

    def _next(self, position: int) -> int:
        position = self._skip(position)
        return self._skip(position + 1) if self._text[position] == "," else position
