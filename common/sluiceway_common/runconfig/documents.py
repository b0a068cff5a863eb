"""A document: plain data, and the place of each node in the text.

Its value is dict, list, str, int, float, bool or None. `yaml_documents` and `json_documents` make them. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from sluiceway_common.runconfig.problems import DocumentPath, Problem, format_path

MAX_SOURCE_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 100
MAX_NUMBER_CHARACTERS: Final = 100


class DocumentError(ValueError):
    """The text is not a document. Has every problem that was found."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)


@dataclass(slots=True)
class Mark:
    """The place of a node, counted from 1, and of its children; the place of a child of a map is that of its key.

    `written` is the text of a scalar other than a string, as in the file (`3.10`); None for other nodes.
    """

    line: int
    column: int
    children: dict[str, Mark] | list[Mark] | None = None
    written: str | None = None

    def at(self, line: int, column: int) -> Mark:
        """Return the same node at another place: of its key, or of an alias."""
        return Mark(line, column, self.children, self.written)

    def child(self, part: str | int) -> Mark | None:
        """Find where the node at a key or index begins; None when there is none."""
        if isinstance(self.children, dict):
            return self.children.get(part) if isinstance(part, str) else None
        if isinstance(self.children, list) and isinstance(part, int) and part < len(self.children):
            return self.children[part]
        return None


@dataclass(slots=True)
class Document:
    """The value of a document, the places of its nodes, and warnings about the text itself."""

    value: Any
    _find_marks: Callable[[], Mark | None] = field(default=lambda: None)
    _marks: Mark | None = None
    _looked: bool = False
    warnings: tuple[Problem, ...] = ()

    def position(self, path: DocumentPath) -> tuple[int, int] | None:
        """Return line and column of the node at `path`, or of the nearest one above it; None without lines."""
        mark = self._root()
        if mark is None:
            return None
        for part in path:
            child = mark.child(part)
            if child is None:
                break
            mark = child
        return mark.line, mark.column

    def written_path(self, path: DocumentPath) -> DocumentPath:
        """Return the path of the node at `path` as the file has it: a changed document has other keys and indexes."""
        return path

    def elsewhere(self, path: DocumentPath) -> str:
        """Return the place of the node at `path` in another file, as `FILE:LINE:COLUMN`; empty for one in this file."""
        del path
        return ""

    def written(self, path: DocumentPath) -> str | None:
        """Return the text of the number, boolean or null at `path` as the file has it; None where that is not known."""
        mark = self._root()
        for part in path:
            mark = mark.child(part) if mark is not None else None
        return mark.written if mark is not None else None

    def _root(self) -> Mark | None:
        if not self._looked:
            self._marks, self._looked = self._find_marks(), True
        return self._marks


def fail(message: str, line: int | None = None, column: int | None = None, path: DocumentPath = ()) -> NoReturn:
    """Raise a `DocumentError` of one problem."""
    raise DocumentError([Problem(format_path(path), line, column, message)])


def decode_source(source: bytes) -> str:
    """Read a file's bytes as text: UTF-8, with or without a byte order mark.

    Raises:
        DocumentError: it is too large, not UTF-8, or holds a NUL.
    """
    if len(source) > MAX_SOURCE_BYTES:
        fail(f"the file has {len(source)} bytes; at most {MAX_SOURCE_BYTES} are read")
    if source.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in source[:4]:
        fail("the file is not in UTF-8 (it looks like UTF-16); save it as UTF-8")
    if b"\x00" in source:
        line = source.count(b"\n", 0, source.index(b"\x00")) + 1
        fail("the file holds a NUL byte", line)
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        line = source.count(b"\n", 0, cause.start) + 1
        raise DocumentError([Problem("", line, None, "the file is not in UTF-8; save it as UTF-8")]) from cause
