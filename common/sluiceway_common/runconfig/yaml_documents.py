"""Parse YAML 1.2 into a document; `agola.yaml_1_1` overrides the rules that differ in YAML 1.1.

PyYAML's loaders follow YAML 1.1, in which `on` is true and `010` is 8, and accept duplicate keys. So only
the events of its C parser are used, and the nodes are composed and resolved here: the core schema of YAML 1.2, string
keys, duplicate keys refused, no foreign tags, no merge keys, one document. `yaml_characters` hides from the parser the
characters that it treats as line breaks and YAML 1.2 does not. What an alias would expand to is counted (nodes
and characters), so that "a billion laughs" costs nothing. Aliased nodes are shared objects: never change one. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from sluiceway_common.runconfig.documents import (
    MAX_DEPTH,
    MAX_NUMBER_CHARACTERS,
    Document,
    DocumentError,
    Mark,
    decode_source,
    fail,
)
from sluiceway_common.runconfig.problems import DocumentPath, Problem, describe_type, format_path, quoted
from sluiceway_common.runconfig.yaml_characters import Masked, find_control, mask, position_at

# The limit of what aliases may add: far above that of any real configuration (2,000 tasks of 20 steps).
MAX_ALIAS_NODES: Final = 100_000
MAX_ALIAS_CHARACTERS: Final = 4 << 20
_TAG: Final = "tag:yaml.org,2002:"


def parse_yaml(source: bytes, composer_of: Callable[[Masked], YamlComposer] | None = None) -> Document:
    """Read one YAML document, by the rules of YAML 1.2 or those of another composer.

    Raises:
        DocumentError: it is not one, or exceeds a limit. All duplicate keys are named; any other fault ends it.
    """
    text = decode_source(source)
    control = find_control(text)
    if control is not None:
        code = ord(text[control])
        fail(
            f'a control character (U+{code:04X}); write "\\x{code:02X}" in double quotes',
            *position_at(text, control),
        )
    masked = mask(text)
    composer = (composer_of or YamlComposer)(masked)
    try:
        node = composer.compose(yaml.parse(masked.text, Loader=yaml.CSafeLoader))
    except yaml.MarkedYAMLError as cause:
        raise _syntax_error(cause, text) from cause
    stray = masked.find_stray(composer.quoted_spans)
    if stray is not None:
        composer.problems.append(_stray_character(text, stray))
    if composer.problems:
        raise DocumentError(composer.problems)
    mark_tree = node.mark
    return Document(node.value, lambda: mark_tree, warnings=tuple(composer.warnings))


def _stray_character(text: str, index: int) -> Problem:
    line, column = position_at(text, index)
    code = ord(text[index])
    what = "a byte order mark" if code == 0xFEFF else "a character that cannot be seen"
    message = f'{what} (U+{code:04X}) outside of quotes; remove it, or write "\\u{code:04X}" in double quotes'
    return Problem("", line, column, message)


def _syntax_error(cause: yaml.MarkedYAMLError, text: str) -> DocumentError:
    mark = cause.problem_mark or cause.context_mark
    message = " ".join(filter(None, (cause.context, cause.problem)))
    if mark is None:
        return DocumentError([Problem("", None, None, f"not YAML: {message}")])
    found = text[mark.index : mark.index + 1]
    if cause.problem == "found character that cannot start any token":
        if found == "\t":
            message = "a tab where only spaces may stand; YAML is indented with spaces"
        else:
            message = f"a text cannot begin with {quoted(found)}; quote it"
    elif cause.problem == "found incompatible YAML document":
        message = "this version of YAML is not known; the rules of YAML 1.2 hold here"
    return DocumentError([Problem("", mark.line + 1, mark.column + 1, f"not YAML: {message}")])


@dataclass(slots=True)
class Node:
    """A composed node: its value, its place, and what an alias of it would expand to."""

    value: Any
    mark: Mark
    nodes: int = 1
    characters: int = 0
    height: int = 0


class YamlComposer:
    """Composes and resolves the nodes of a document from the events of the parser, by the rules of YAML 1.2.

    Attributes:
        problems: what is wrong with the document; the first other fault is raised.
        warnings: about the text.
        quoted_spans: where quoted scalars stand in the text, as indexes.
    """

    def __init__(self, masked: Masked) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.quoted_spans: list[tuple[int, int]] = []
        self._masked = masked
        self._anchors: dict[str, Node | None] = {}
        self._alias_nodes = 0
        self._alias_characters = 0

    def compose(self, events: Iterator[Any]) -> Node:
        root: Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self.second_document(*_place(event))
                    break
                if event.version == (1, 1):
                    message = "this is read by the rules of YAML 1.2: `yes` and `on` are strings, `0644` is decimal"
                    self.warnings.append(Problem("", *_place(event), message))
            elif isinstance(event, yaml.NodeEvent):
                root = self._node(event, events, ())
        if root is None:
            fail("the file is empty")
        return root

    def _node(self, event: Any, events: Iterator[Any], path: DocumentPath) -> Node:
        line, column = _place(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path, line, column)
        if len(path) >= MAX_DEPTH and not isinstance(event, yaml.ScalarEvent):
            fail(f"nested deeper than {MAX_DEPTH} levels", line, column)
        anchor: str | None = event.anchor
        if anchor is not None:
            # Known but unfinished: an alias to it from inside would be infinite.
            self._anchors[anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, path)
            written = None if isinstance(value, str) else event.value
            node = Node(value, Mark(line, column, written=written), characters=len(event.value))
        elif isinstance(event, yaml.SequenceStartEvent):
            self.check_tag(event.tag, "seq", line, column)
            node = self._sequence(events, path, Mark(line, column))
        else:
            self.check_tag(event.tag, "map", line, column)
            node = self._mapping(events, path, Mark(line, column))
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _alias(self, event: Any, path: DocumentPath, line: int, column: int) -> Node:
        name: str = event.anchor
        if name not in self._anchors:
            fail(f"the alias *{name} has no anchor &{name} before it", line, column, path)
        node = self._anchors[name]
        if node is None:
            fail(f"the alias *{name} stands inside of what it names", line, column, path)
        self._alias_nodes += node.nodes
        self._alias_characters += node.characters
        if self._alias_nodes > MAX_ALIAS_NODES or self._alias_characters > MAX_ALIAS_CHARACTERS:
            fail(
                f"aliases expand to more than {MAX_ALIAS_NODES} nodes or {MAX_ALIAS_CHARACTERS} characters",
                line,
                column,
            )
        if len(path) + node.height > MAX_DEPTH:
            fail(f"nested deeper than {MAX_DEPTH} levels", line, column)
        return node

    def _sequence(self, events: Iterator[Any], path: DocumentPath, mark: Mark) -> Node:
        values: list[Any] = []
        marks: list[Mark] = []
        node = Node(values, mark, height=1)
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            child = self._node(event, events, (*path, len(values)))
            values.append(child.value)
            marks.append(child.mark.at(*_place(event)))
            _grow(node, child)
        mark.children = marks
        return node

    def _mapping(self, events: Iterator[Any], path: DocumentPath, mark: Mark) -> Node:
        values: dict[str, Any] = {}
        marks: dict[str, Mark] = {}
        node = Node(values, mark, height=1)
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            line, column = _place(event)
            if _is_merge_key(event):
                self.merge_key(line, column, path)
                child = self._node(next(events), events, path)
                self.merge(node, marks, child, path)
                _grow(node, child)
                continue
            key = self._key(event, path, line, column)
            value_event = next(events)
            child = self._node(value_event, events, (*path, key))
            if key in values and not self.replaces(key, marks[key], path, line, column):
                continue
            values[key] = child.value
            marks[key] = child.mark.at(line, column)
            _grow(node, child)
            node.characters += len(key)
        mark.children = marks
        return node

    def _key(self, event: Any, path: DocumentPath, line: int, column: int) -> str:
        if isinstance(event, yaml.AliasEvent):
            node = self._alias(event, path, line, column)
            key, written = node.value, node.mark.written
        elif isinstance(event, yaml.ScalarEvent):
            key, written = self._scalar(event, path), event.value
            if event.anchor is not None:
                self._anchors[event.anchor] = Node(key, Mark(line, column), characters=len(event.value))
        else:
            fail("a key must be a string, not a list or a map", line, column, path)
        return key if isinstance(key, str) else self.key_text(key, written, path, line, column)

    def _scalar(self, event: Any, path: DocumentPath) -> Any:
        line, column = _place(event)
        text = self._masked.restored(event.value)
        if event.style in ("'", '"'):
            self.quoted_spans.append((event.start_mark.index, event.end_mark.index))
        tag: str | None = event.tag
        if tag is None or tag == "!":
            # Plain scalars are resolved; quoted, block and `!` ones are strings.
            return self.resolve(text, line, column, path) if tag is None and event.implicit[0] else text
        if not self.check_scalar_tag(tag, line, column):
            return text
        kind = tag.removeprefix(_TAG)
        if kind == "str":
            return text
        value = self.resolve(text, line, column, path)
        if kind == "float" and type(value) is int:
            value = float(value)
        wanted: dict[str, type] = {"null": type(None), "bool": bool, "int": int, "float": float}
        if type(value) is not wanted[kind]:
            fail(f"{quoted(text)} is not what its tag !!{kind} says", line, column, path)
        return value

    # The rules that another version of YAML may override.

    def second_document(self, line: int, column: int) -> None:
        """Handle the start of a second document; if this returns, the rest of the file is not read."""
        fail("the file has more than one YAML document", line, column)

    def replaces(self, key: str, first: Mark, path: DocumentPath, line: int, column: int) -> bool:
        """Handle a key that a map has already at `first`: return whether the later value replaces that one."""
        message = f"duplicate key {quoted(key)}, given on line {first.line} already"
        self.problems.append(Problem(format_path((*path, key)), line, column, message))
        return False

    def merge_key(self, line: int, column: int, path: DocumentPath) -> None:
        """Handle a merge key (`<<`); if this returns, `merge` gets its value."""
        fail("merge keys (`<<`) are not YAML 1.2; use jsonnet to share parts", line, column, path)

    def merge(self, node: Node, marks: dict[str, Mark], source: Node, path: DocumentPath) -> None:
        """Merge the value of a merge key into a map."""
        raise NotImplementedError

    def key_text(self, key: Any, written: str | None, path: DocumentPath, line: int, column: int) -> str:
        """Return the text of a key that is not a string."""
        hint = f"; quote it: {quoted(written)}" if written is not None else f", not {describe_type(key)}"
        fail(f"a key must be a string{hint}", line, column, path)

    def check_tag(self, tag: str | None, kind: str, line: int, column: int) -> None:
        """Check the tag of a list or a map; `kind` is the one that it may have."""
        if tag not in {None, "!"} and tag != f"{_TAG}{kind}":
            fail(f"the tag {quoted(str(tag))} is not allowed here", line, column)

    def check_scalar_tag(self, tag: str, line: int, column: int) -> bool:
        """Check the tag of a scalar; return whether it is resolved by it, or else is a string."""
        if tag.removeprefix(_TAG) not in {"str", "null", "bool", "int", "float"} or not tag.startswith(_TAG):
            fail(f"the tag {quoted(tag)} is not allowed here", line, column)
        return True

    def resolve(self, text: str, line: int, column: int, path: DocumentPath) -> Any:
        """Return the value of a plain scalar."""
        return resolve_plain(text, line, column, path)


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _grow(node: Node, child: Node) -> None:
    node.nodes += child.nodes
    node.characters += child.characters
    node.height = max(node.height, child.height + 1)


def _is_merge_key(event: Any) -> bool:
    return isinstance(event, yaml.ScalarEvent) and event.value == "<<" and bool(event.implicit[0])


_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS: Final = {t: v for v, ts in ((True, "true True TRUE"), (False, "false False FALSE")) for t in ts.split()}
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_OCTAL_OR_HEX = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")


def resolve_plain(text: str, line: int, column: int, path: DocumentPath) -> Any:
    """Resolve a plain scalar by the core schema of YAML 1.2.2, section 10.3.2."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    # Most scalars are words: return early.
    if text[0] not in "0123456789+-.":
        return text
    if _NOT_FINITE.match(text):
        fail(
            f"{text} is not a number that a configuration can hold; quote it if it is text",
            line,
            column,
            path,
        )
    is_integer, is_based = _INTEGER.match(text), _OCTAL_OR_HEX.match(text)
    if not (is_integer or is_based or _FLOAT.match(text)):
        return text
    if len(text) > MAX_NUMBER_CHARACTERS:
        fail(f"a number of {len(text)} characters is too long; quote it if it is text", line, column, path)
    if is_integer:
        return int(text)
    if is_based:
        return int(text, 0)
    number = float(text)
    if number in (float("inf"), float("-inf")):
        fail(f"the number {text} is too large; quote it if it is text", line, column, path)
    return number
