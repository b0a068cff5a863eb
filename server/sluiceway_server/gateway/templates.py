"""Path templates of `google.api.http`, and the matching of paths. Pure.

A template is `/api/v1/runs/{run_id}/tasks/{task_id}:approve`: literal segments, variables that name a request field
(`{project.id}`), wildcards, and at the end perhaps a verb. A path is matched with its percent escapes:
it is split first and unescaped afterwards, so `org%2Facme` is one segment, and a colon in the last segment begins a
verb unless it was escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

from sluiceway_common.foundation.errors import InvalidInput, Violation

__all__ = ["PathTemplate", "RouteTable", "unescape"]

R = TypeVar("R")

_VARIABLE = re.compile(r"\{([a-zA-Z_][a-zA-Z0-9_.]*)(?:=([^{}]+))?\}")


@dataclass(frozen=True, slots=True)
class _Literal:
    text: str


@dataclass(frozen=True, slots=True)
class _One:
    variable: str | None


@dataclass(frozen=True, slots=True)
class _Rest:
    variable: str | None


_Segment = _Literal | _One | _Rest


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A parsed template.

    Attributes:
        text: as it was written.
        segments: in order; what takes any number of segments can only be the last.
        verb: without its colon; empty: no verb.
    """

    text: str
    segments: tuple[_Segment, ...]
    verb: str

    @staticmethod
    def parse(text: str) -> PathTemplate:
        """Parse a template.

        Variables match one segment (`{id}`, `{id=*}`) or all that are left (`{path=**}`); patterns with several
        segments inside a variable are not needed here, and refused.

        Raises:
            ValueError: it is not such a template.
        """
        if not text.startswith("/"):
            raise ValueError(f"a path template begins with a slash: {text!r}")
        body, verb = text, ""
        last = text.rfind("/")
        colon = text.find(":", max(last, text.rfind("}")))
        if colon >= 0:
            body, verb = text[:colon], text[colon + 1 :]
            if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_-]*", verb):
                raise ValueError(f"not a verb: {verb!r} in {text!r}")
        segments = tuple(_parse_segment(part, text) for part in body[1:].split("/"))
        if any(isinstance(segment, _Rest) for segment in segments[:-1]):
            raise ValueError(f"`**` can only be the last segment: {text!r}")
        variables = [segment.variable for segment in segments if not isinstance(segment, _Literal) and segment.variable]
        if len(set(variables)) < len(variables):
            raise ValueError(f"a variable stands there twice: {text!r}")
        return PathTemplate(text, segments, verb)

    @property
    def variables(self) -> tuple[str, ...]:
        """The fields that the path sets, as dotted paths."""
        return tuple(s.variable for s in self.segments if not isinstance(s, _Literal) and s.variable is not None)

    def match(self, path: str) -> Mapping[str, str] | None:
        """Match a path as it was sent; return the variables' values, unescaped, or None.

        Raises:
            InvalidInput: it matches, but an escape is not UTF-8.
        """
        parts, verb = _split(path)
        values = self.match_parts(parts) if verb == self.verb else None
        return None if values is None else unescape(values)

    def match_parts(self, parts: tuple[str, ...]) -> Mapping[str, str] | None:
        """Match the segments of a path whose verb has matched; return the variables' values, still escaped."""
        count = len(self.segments)
        rest = isinstance(self.segments[-1], _Rest)
        if len(parts) < count if rest else len(parts) != count:
            return None
        values: dict[str, str] = {}
        for segment, part in zip(self.segments, parts, strict=False):
            match segment:
                case _Literal():
                    if segment.text != part and segment.text.encode() != unquote_to_bytes(part):
                        return None
                case _One():
                    if not part:
                        return None
                    if segment.variable is not None:
                        values[segment.variable] = part
                case _Rest():
                    left = "/".join(parts[count - 1 :])
                    if segment.variable is not None:
                        values[segment.variable] = left
        return values

    def shape(self) -> str:
        """Print the template without the names of its variables: two of one shape match the same paths."""
        parts = ("**" if isinstance(s, _Rest) else "*" if isinstance(s, _One) else s.text for s in self.segments)
        return "/" + "/".join(parts) + (f":{self.verb}" if self.verb else "")

    def specificity(self) -> tuple[int, ...]:
        """Sort templates by it, so that the first one that matches is the most specific."""
        return tuple(0 if isinstance(s, _Literal) else 1 if isinstance(s, _One) else 2 for s in self.segments)


class RouteTable(Generic[R]):
    """A table of routes by method and template."""

    def __init__(self, routes: Iterable[tuple[str, PathTemplate, R]]) -> None:
        """Build the table.

        Raises:
            ValueError: two routes have one method and shape.
        """
        self._by_shape: dict[tuple[int, str], list[tuple[PathTemplate, str, R]]] = {}
        self._open_ended: list[tuple[PathTemplate, str, R]] = []
        seen: dict[tuple[str, str], str] = {}
        for method, template, leads_to in sorted(routes, key=lambda route: route[1].specificity()):
            shape = template.shape()
            if (method, shape) in seen:
                raise ValueError(f"two routes are {method} {shape}: {seen[method, shape]} and {template.text}")
            seen[method, shape] = template.text
            entry = (template, method, leads_to)
            if isinstance(template.segments[-1], _Rest):
                self._open_ended.append(entry)
            else:
                self._by_shape.setdefault((len(template.segments), template.verb), []).append(entry)

    def find(self, method: str, path: str) -> tuple[R, Mapping[str, str]] | frozenset[str]:
        """Find the route of a request.

        Returns:
            The target of the route with the values of its variables, for `unescape`; else the methods that the path
            has, none when there is no such path.
        """
        allowed: set[str] = set()
        for of_method, leads_to, values in self._matches(path):
            if of_method == method:
                return leads_to, values
            allowed.add(of_method)
        return frozenset(allowed)

    def methods(self, path: str) -> frozenset[str]:
        """Return the methods that a path has; none when there is no such path."""
        return frozenset(method for method, _, _ in self._matches(path))

    def _matches(self, path: str) -> Iterator[tuple[str, R, Mapping[str, str]]]:
        parts, verb = _split(path)
        for template, of_method, leads_to in (*self._by_shape.get((len(parts), verb), ()), *self._open_ended):
            if template.verb != verb:
                continue
            values = template.match_parts(parts)
            if values is not None:
                yield of_method, leads_to, values


def _parse_segment(part: str, text: str) -> _Segment:
    if part in {"*", "**"}:
        return _One(None) if part == "*" else _Rest(None)
    found = _VARIABLE.fullmatch(part)
    if found is not None:
        name, pattern = found.group(1), found.group(2) or "*"
        if pattern == "*":
            return _One(name)
        if pattern == "**":
            return _Rest(name)
        raise ValueError(f"the pattern of {name} is not supported: {text!r}")
    if not re.fullmatch(r"[a-zA-Z0-9._~-]+", part):
        raise ValueError(f"not a segment: {part!r} in {text!r}")
    return _Literal(part)


def _split(path: str) -> tuple[tuple[str, ...], str]:
    parts = path.removeprefix("/").split("/")
    parts[-1], _, verb = parts[-1].partition(":")
    return tuple(parts), verb


def unescape(values: Mapping[str, str]) -> Mapping[str, str]:
    """Undo the percent escapes of a path's values.

    Raises:
        InvalidInput: an escape is not UTF-8.
    """
    found: dict[str, str] = {}
    faults: list[Violation] = []
    for variable, text in values.items():
        try:
            found[variable] = unquote_to_bytes(text).decode() if "%" in text else text
        except UnicodeDecodeError:
            faults.append(Violation(variable, "the path's escapes are not UTF-8"))
    if faults:
        raise InvalidInput(faults)
    return found
