"""Output of commands: tables for people; JSON, YAML and names for programs."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sluiceway.cli.commands import Format
from sluiceway.cli.filtering import filtered
from sluiceway.cli.terminal import clean, clean_lines, columns_of, cut, paint, says_colour, width

if TYPE_CHECKING:
    from google.protobuf.message import Message

NO_LIMIT = 100_000
"""The width of `-o wide`: nothing is cut."""

_GAP = 2
_NARROW = 6
_PAINTED = frozenset({"STATUS", "STATE"})


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: its heading.
        least: to so many characters its cells are cut where a terminal is too narrow, and to fewer, down to 6, where
            that is not enough; 0: never.
    """

    title: str
    least: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table, and what is said about it on lines of its own below it."""

    cells: tuple[str, ...]
    note: str = ""


class Table:
    """A table with aligned columns and no frame, states in colour at a terminal.

    Args:
        columns: in order.
        limit: its width; None: that of the terminal, or none in a pipe.
    """

    def __init__(self, columns: Sequence[Column], *, limit: int | None = None) -> None:
        self._columns = columns
        self._limit = columns_of(sys.stdout) if limit is None else limit
        self._colour = says_colour(sys.stdout)
        self._painted = {i for i, column in enumerate(columns) if column.title in _PAINTED}
        self._widths = [width(column.title) for column in columns]

    def print(self, rows: Iterable[Row], *, heading: bool = True) -> None:
        """Print rows, below a heading. Later rows, without one, keep the widths of the columns where they fit."""
        shown = [Row(tuple(clean(cell) for cell in row.cells), row.note) for row in rows]
        self._widen(shown)
        if heading:
            self._print(Row(tuple(column.title for column in self._columns)), painted=False)
        for row in shown:
            self._print(row)
        sys.stdout.flush()

    def _print(self, row: Row, *, painted: bool = True) -> None:
        last = max((i for i, cell in enumerate(row.cells) if cell), default=-1)
        cells = []
        for i, whole in enumerate(row.cells[: last + 1]):
            cell = cut(whole, self._widths[i])
            shown = paint(cell, whole, colour=self._colour) if painted and i in self._painted else cell
            cells.append(shown + " " * (0 if i == last else self._widths[i] - width(cell)))
        print((" " * _GAP).join(cells))
        for line in _wrapped(row.note, self._limit):
            print(f"    {line}")

    def _widen(self, rows: Sequence[Row]) -> None:
        widths = [max([known, *(width(row.cells[i]) for row in rows)]) for i, known in enumerate(self._widths)]
        over = 0 if self._limit is None else sum(widths) + _GAP * (len(widths) - 1) - self._limit
        for bounds in ([each.least for each in self._columns], [min(each.least, _NARROW) for each in self._columns]):
            while over > 0:
                # Cut the widest column first, so that no column loses all of its text.
                room = {i: widths[i] for i, bound in enumerate(bounds) if bound and widths[i] > bound}
                if not room:
                    break
                widths[max(room, key=room.__getitem__)] -= 1
                over -= 1
        self._widths = widths


def table(columns: Sequence[Column], rows: Iterable[Row], *, limit: int | None = None) -> None:
    """Print a table at once; see `Table`."""
    Table(columns, limit=limit).print(rows)


def _wrapped(note: str, limit: int | None) -> list[str]:
    if not note:
        return []
    text = clean(note)
    return [text] if limit is None else textwrap.wrap(text, max(20, limit - 4), break_on_hyphens=False)


def details(title: str, values: Mapping[str, str]) -> None:
    """Print a title, and below it what has a value: one line each, names in a column."""
    print(clean(title))
    known = {name: value for name, value in values.items() if value}
    room = max((len(name) for name in known), default=0) + 1
    for name, value in known.items():
        print(f"  {(name + ':').ljust(room)} {clean(value)}")


def plain(message: Message) -> dict[str, Any]:
    """Return a message as HTTP responses have it: in protobuf's JSON mapping, with fields at their default."""
    from sluiceway_common.foundation.rpc.json_mapping import json_of

    made: dict[str, Any] = json_of(message)
    return made


def show(items: Sequence[Mapping[str, Any]], output: Format, *, single: bool = False) -> None:
    """Print objects for programs.

    Args:
        items: in the mapping of `plain`.
        output: not a table. JSON and YAML are a list, or the object if it is `single`; JSON lines are one object a
            line; names are the ids.
        single: there is one object, and a list was not asked for.
    """
    whole: Any = items[0] if single else list(items)
    match output:
        case Format.NAME:
            for item in items:
                print(clean(str(item.get("id") or item.get("name") or item.get("taskId") or item.get("runId") or "")))
        case Format.JSONL:
            for item in items:
                _print_json(item, indent=None)
        case Format.YAML:
            print(_yaml(whole), end="")
        case _:
            _print_json(whole, indent=2)


def _print_json(value: Any, *, indent: int | None) -> None:
    """Print a value, or what the filter of `--jq` makes of it: strings as they are, one a line."""
    made = filtered(value)
    if made is None:
        print(_json(value, indent=indent))
        return
    for each in made:
        print("\t".join(map(clean_lines, each.split("\t"))) if isinstance(each, str) else _json(each, indent=indent))


def _yaml(value: Any) -> str:
    import yaml

    text: str = yaml.safe_dump(value, allow_unicode=_is_unicode(), sort_keys=False)
    # YAML lets characters stand that a terminal obeys, such as those that change the direction of the text.
    return text if text.replace("\n", "").isprintable() else str(yaml.safe_dump(value, sort_keys=False))


def _json(value: Any, *, indent: int | None) -> str:
    text = json.dumps(value, indent=indent, ensure_ascii=not _is_unicode())
    # JSON itself escapes the controls of ASCII only; a terminal obeys others as well.
    return re.sub(r"[^\n -~]", lambda found: _escaped(found.group()), text)


def _escaped(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]


def _is_unicode() -> bool:
    """Return whether standard output can show all characters. What it cannot is escaped by JSON's own rules."""
    return (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "").startswith("utf")
