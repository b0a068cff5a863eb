"""The rules of YAML as Agola's parser (go-yaml 2, behind ghodss/yaml) has them.

Merge keys, words such as `yes` as booleans, leading zeros as octal numbers, underscores in numbers, tags of one's own,
the last of duplicate keys, the first of several documents. Each of them that decides something is a warning. Pure.
"""

from __future__ import annotations

import re
from math import copysign, inf, isinf
from struct import pack, unpack
from typing import Any, Final

from sluiceway_common.runconfig.documents import MAX_NUMBER_CHARACTERS, Mark, fail
from sluiceway_common.runconfig.problems import DocumentPath, Problem, boolean_word, format_path, quoted
from sluiceway_common.runconfig.yaml_characters import Masked
from sluiceway_common.runconfig.yaml_documents import Node, YamlComposer, resolve_plain

_DIGIT: Final = re.compile(r"[-+.]?[0-9]")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_BASED: Final = re.compile(r"([-+]?)0(?:([xX])([0-9a-fA-F]+)|([bB])([01]+)|[oO]?([0-7]+))\Z")
_BASES: Final = {"x": 16, "b": 2}
# Go's `strconv.ParseInt` of 64 bits, and `ParseUint`; a longer one is a float.
_LEAST, _MOST = -(1 << 63), (1 << 64) - 1


class AgolaComposer(YamlComposer):
    """Composes a document by the rules of go-yaml 2."""

    def __init__(self, masked: Masked) -> None:
        super().__init__(masked)
        # The places of what merge keys gave, by identity: a key after the merge key is to replace those.
        self._merged: dict[int, Mark] = {}

    def second_document(self, line: int, column: int) -> None:
        """Warn that only the first document is read."""
        self._warn("only the first YAML document of the file is read, as in Agola", line, column)

    def replaces(self, key: str, first: Mark, path: DocumentPath, line: int, column: int) -> bool:
        """Keep the last of duplicate keys. Warn, unless the first one came from a merge key."""
        if id(first) in self._merged:
            return True
        message = f"duplicate key {quoted(key)}, given on line {first.line} already; the last one counts, as in Agola"
        self._warn(message, line, column, (*path, key))
        return True

    def merge_key(self, line: int, column: int, path: DocumentPath) -> None:
        """Take merge keys."""

    def merge(self, node: Node, marks: dict[str, Mark], source: Node, path: DocumentPath) -> None:
        """Merge a map, or the maps of a list of which the first that has a key counts.

        What stands before the merge key is replaced, as in go-yaml 2; what stands after it replaces what was merged.
        """
        sources = source.value if isinstance(source.value, list) else [source.value]
        places = source.mark.children if isinstance(source.value, list) else [source.mark]
        for value, place in reversed(list(zip(sources, places or (), strict=False))):
            if not isinstance(value, dict):
                fail("a merge key (`<<`) needs a map or a list of maps", place.line, place.column, path)
            children = place.children if isinstance(place.children, dict) else {}
            for key, merged in value.items():
                if key in node.value and node.value[key] != merged and id(marks[key]) not in self._merged:
                    message = f"the merge key replaces {quoted(key)} of line {marks[key].line}, as in Agola"
                    self._warn(message, source.mark.line, source.mark.column, (*path, key))
                node.value[key] = merged
                found = children.get(key, place)
                marks[key] = found.at(found.line, found.column)
                self._merged[id(marks[key])] = marks[key]

    def key_text(self, key: Any, written: str | None, path: DocumentPath, line: int, column: int) -> str:
        """Return a number or a boolean as text; a null is refused."""
        text = text_of(key)
        return super().key_text(key, written, path, line, column) if text is None else text

    def check_tag(self, tag: str | None, kind: str, line: int, column: int) -> None:
        """Pass over any tag, with a warning."""
        if tag not in {None, "!", f"tag:yaml.org,2002:{kind}"}:
            self._warn(f"the tag {quoted(str(tag))} is passed over, as in Agola", line, column)

    def check_scalar_tag(self, tag: str, line: int, column: int) -> bool:
        """Take the tags of YAML; what has a tag of one's own is a string."""
        kind = tag.removeprefix("tag:yaml.org,2002:")
        is_known = kind != tag and kind in {"str", "null", "bool", "int", "float"}
        if not is_known:
            self._warn(f"the tag {quoted(tag)} is passed over, and the value is text, as in Agola", line, column)
        return is_known

    def resolve(self, text: str, line: int, column: int, path: DocumentPath) -> Any:
        """Return the value of a plain scalar by go-yaml 2's `resolve`."""
        word = boolean_word(text) if text in {text.lower(), text.upper(), text.capitalize()} else None
        if word is not None:
            if text.lower() != word:
                self._warn(
                    f"`{text}` is {word}, as in Agola; write {word}, or quote it if it is text", line, column, path
                )
            return word == "true"
        if not _DIGIT.match(text):
            return resolve_plain(text, line, column, path)
        if len(text) > MAX_NUMBER_CHARACTERS:
            fail(f"a number of {len(text)} characters is too long; quote it if it is text", line, column, path)
        number = _number(text.replace("_", ""))
        return text if number is None else number

    def _warn(self, message: str, line: int, column: int, path: DocumentPath = ()) -> None:
        self.warnings.append(Problem(format_path(path), line, column, message))


def _number(plain: str) -> int | float | None:
    based = _BASED.match(plain)
    if based is not None:
        sign, x, hexadecimal, b, binary, octal = based.groups()
        whole = int(hexadecimal or binary or octal, _BASES[(x or b).lower()] if x or b else 8)
        return -whole if sign == "-" else whole
    if re.fullmatch(r"[-+]?(?:0|[1-9][0-9]*)", plain) and _LEAST <= int(plain) <= _MOST:
        return int(plain)
    if not _FLOAT.match(plain):
        return None
    number = float(plain)
    return None if number in (float("inf"), float("-inf")) else number


def text_of(value: object) -> str | None:
    """Return the text that Agola's parser makes of a number or a boolean where a string is wanted; None of others.

    A float is written as Go's `strconv.FormatFloat(value, 'g', -1, 32)` does: the shortest digits of 32 bits.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return _shortest(value) if isinstance(value, float) else None


def _shortest(value: float) -> str:
    wanted = _in_32_bits(value)
    if isinf(wanted):
        return "-Inf" if value < 0 else "+Inf"
    digits = next(text for most in range(17) if _in_32_bits(float(text := f"{wanted:.{most}e}")) == wanted)
    mantissa, _, exponent = digits.partition("e")
    power = int(exponent)
    if -4 <= power < 6:
        decimals = len(mantissa.lstrip("-").replace(".", "")) - 1 - power
        return f"{float(digits):.{max(0, decimals)}f}"
    return f"{mantissa}e{'-' if power < 0 else '+'}{abs(power):02}"


def _in_32_bits(value: float) -> float:
    try:
        return float(unpack("<f", pack("<f", value))[0])
    except OverflowError:
        return copysign(inf, value)
