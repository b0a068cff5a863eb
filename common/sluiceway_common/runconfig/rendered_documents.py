"""The output of jsonnet as a document, with places in the text that it was made of, as far as they are known. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sluiceway_common.runconfig.documents import Document
from sluiceway_common.runconfig.json_documents import parse_json_text
from sluiceway_common.runconfig.jsonnet_places import JsonnetPlace, find_fields, place_of_output
from sluiceway_common.runconfig.problems import DocumentPath


def parse_rendered(output: str, source: str = "", imported: Mapping[str, str] | None = None) -> RenderedDocument:
    """Read the output of jsonnet.

    Args:
        output: its JSON.
        source: the text of the configuration's own file.
        imported: the texts that it imported, by path.

    Raises:
        DocumentError: as `parse_json`, without lines.
    """
    return RenderedDocument(parse_json_text(output, with_lines=False), source=source, imported=imported or {})


@dataclass(slots=True)
class RenderedDocument(Document):
    """A document whose places are those of the jsonnet that it was made of."""

    source: str = ""
    imported: Mapping[str, str] = field(default_factory=dict)
    _fields: dict[str, dict[str, list[tuple[int, int]]]] | None = None
    _places: dict[DocumentPath, JsonnetPlace | None] = field(default_factory=dict)

    def position(self, path: DocumentPath) -> tuple[int, int] | None:
        """Return where a node is written, or the expression that makes it; None if it is unknown.

        A field that the text does not lead to is found by its name, when only one field of all files has it.
        """
        place, steps = self._walk(path)
        if steps < len(path):
            named = self._field_of_one_file(path)
            if named is not None and named[0] == "":
                return named[1], named[2]
        return (place.line, place.column) if place is not None and steps else None

    def elsewhere(self, path: DocumentPath) -> str:
        """Return where a field is that only an imported file has, as `FILE:LINE:COLUMN`; empty if there is none."""
        _, steps = self._walk(path)
        named = self._field_of_one_file(path) if steps < len(path) else None
        return f"{named[0]}:{named[1]}:{named[2]}" if named is not None and named[0] else ""

    def written(self, path: DocumentPath) -> str | None:
        """Return the text of a literal number, boolean or null; None where that is not known."""
        place, steps = self._walk(path)
        return place.written if place is not None and steps == len(path) else None

    def _walk(self, path: DocumentPath) -> tuple[JsonnetPlace | None, int]:
        """Follow a path as far as the text leads: the last place, and how many parts of the path led there."""
        if () not in self._places:
            self._places[()] = place_of_output(self.source)
        place, value = self._places[()], self.value
        for steps, part in enumerate(path):
            prefix = path[: steps + 1]
            if place is not None and prefix not in self._places:
                self._places[prefix] = _child(place, part, value)
            following = self._places.get(prefix)
            if following is None:
                return place, steps
            place, value = following, value[part]
        return place, len(path)

    def _field_of_one_file(self, path: DocumentPath) -> tuple[str, int, int] | None:
        """Find the field at the end of a path by its name; None unless it is there, and the only one of that name."""
        node: Any = self.value
        for part in path:
            is_there = part in node if isinstance(node, dict) else isinstance(node, list) and part in range(len(node))
            if not is_there:
                return None
            node = node[part]
        name = path[-1] if path else None
        if not isinstance(name, str):
            return None
        if self._fields is None:
            files = {"": self.source, **self.imported}
            self._fields = {file: find_fields(text) for file, text in files.items()}
        found = [(file, *place) for file, fields in self._fields.items() for place in fields.get(name, ())]
        return found[0] if len(found) == 1 else None


def _child(place: JsonnetPlace, part: str | int, value: Any) -> JsonnetPlace | None:
    """Find the place of a part of a value that is there."""
    if isinstance(value, dict) and isinstance(part, str) and part in value:
        return place.field(part)
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return place.element(part, len(value))
    return None
