"""Find the place in a jsonnet text from which a part of its output comes.

The output has no lines. But a configuration is mostly literal objects and lists, with locals, functions of one object
and comprehensions between them, and through these a path of the output can be followed to a place in the text without
evaluation. At anything else (an `if`, an import, a function of the standard library), that expression is the nearest
known place. The place may be missing or inexact, so callers show it in addition to the path. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Final

from sluiceway_common.runconfig.jsonnet_tokens import Kind, Token, Tokens

# A longer chain of locals and calls is a loop, or not a real configuration.
_MAX_STEPS: Final = 200
_MAX_OPERANDS: Final = 200
_CONSTANTS: Final = frozenset({"true", "false", "null"})
_REACHING: Final = frozenset({"if", "function", "error", "local", "assert", "import", "importstr", "importbin", "in"})


@dataclass(slots=True, eq=False)
class _Scope:
    """The names in the scope of an expression; None: bound to something that cannot be followed."""

    parent: _Scope | None = None
    names: dict[str, _Bound | None] = field(default_factory=dict)

    def find(self, name: str) -> _Bound | None:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return None

    def hiding(self, names: Sequence[str]) -> _Scope:
        return _Scope(self, dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class _Span:
    """An expression: the tokens from `start` up to `end`, and the names in its scope."""

    start: int
    end: int
    scope: _Scope


@dataclass(frozen=True, slots=True)
class _Bound:
    """What a `local` binds; `parameters` is None for a plain value."""

    span: _Span
    parameters: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Member:
    """A field of a literal object: the token of its name, and its value; an empty one if it is unknown."""

    at: int
    value: _Span


def place_of_output(text: str) -> JsonnetPlace | None:
    """Find where the whole output is written; None for a text without tokens."""
    tokens = Tokens(text)
    if not tokens.all:
        return None
    return JsonnetPlace(_Reader(tokens), 0, _Span(0, len(tokens), _Scope()))


def find_fields(text: str) -> dict[str, list[tuple[int, int]]]:
    """List line and column of each field of a text by its name, whatever object it is in."""
    tokens = Tokens(text)
    found: dict[str, list[tuple[int, int]]] = {}
    for index, token in enumerate(tokens.all):
        if token.text is not None and token.kind in {Kind.WORD, Kind.STRING}:
            following = tokens.after(index + 1) if tokens.is_symbol(index + 1, "(") else index + 1
            if following < len(tokens) and _is_separator(tokens.all[following]):
                found.setdefault(token.text, []).append(tokens.place(index))
    return found


class JsonnetPlace:
    """The place of a value of the output; see `documents.Place`."""

    def __init__(self, reader: _Reader, at: int, span: _Span) -> None:
        self._reader = reader
        self._span = span
        self.line, self.column = reader.tokens.place(at)

    @property
    def written(self) -> str | None:
        """The text of a literal number, boolean or null."""
        return self._reader.constant(self._span)

    def field(self, name: str) -> JsonnetPlace | None:
        """Find where a field of this object is written: its name; None if it is unknown."""
        member = self._fields.get(name)
        return JsonnetPlace(self._reader, member.at, member.value) if member is not None else None

    def element(self, index: int, length: int) -> JsonnetPlace | None:
        """Find where an element of this list of `length` elements is written; None if it is unknown."""
        if self._elements is None:
            return None
        before, unknown, after = self._elements
        if index < len(before):
            span: _Span | None = before[index]
        else:
            span = after[index - length] if index >= length - len(after) else unknown
        return JsonnetPlace(self._reader, span.start, span) if span is not None else None

    @cached_property
    def _fields(self) -> Mapping[str, _Member]:
        return self._reader.fields(self._span)

    @cached_property
    def _elements(self) -> tuple[list[_Span], _Span | None, list[_Span]] | None:
        return self._reader.elements(self._span)


class _Reader:
    """Follows expressions in the tokens of one text."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self._split = cache(self._split_uncached)

    # -- what an expression is ------------------------------------------------------------------------------------

    def constant(self, span: _Span) -> str | None:
        found = self._resolve(span)
        if found is None:
            return None
        length = found.end - found.start
        token = self.tokens.all[found.start]
        if length == 1 and (token.kind is Kind.NUMBER or (token.kind is Kind.WORD and token.text in _CONSTANTS)):
            return token.text
        if length == 2 and token.text == "-" and self.tokens.all[found.start + 1].kind is Kind.NUMBER:
            return f"-{self.tokens.all[found.start + 1].text}"
        return None

    def fields(self, span: _Span) -> Mapping[str, _Member]:
        """Read the fields of an object, or of a sum of them, as far as they are known."""
        found: dict[str, _Member] = {}
        # Of objects that are added, the last one that has a field wins; one that we cannot read may have any.
        for operand in reversed(self._operands(span)):
            members = self._members(operand) if self._is_whole(operand, "{") else None
            if members is None:
                break
            for name, member in members.items():
                found.setdefault(name, member)
        return found

    def elements(self, span: _Span) -> tuple[list[_Span], _Span | None, list[_Span]] | None:
        """Read a sum of lists: what stands before the one whose length is not written, that one, and what follows.

        None where there are two of those, or what is no list.
        """
        before: list[_Span] = []
        after: list[_Span] = []
        unknown: _Span | None = None
        for operand in self._operands(span):
            written, repeated = self._written_elements(operand)
            if written is not None:
                (before if unknown is None else after).extend(written)
            elif unknown is not None or operand.start >= operand.end:
                return None
            else:
                unknown = repeated or operand
        return before, unknown, after

    def _is_whole(self, span: _Span, opening: str) -> bool:
        return (
            span.start < span.end
            and self.tokens.is_symbol(span.start, opening)
            and self.tokens.closing[span.start] == span.end - 1
        )

    def _resolve(self, span: _Span) -> _Span | None:
        """Follow locals, parentheses, names and calls to the expression behind them."""
        tokens = self.tokens
        for _ in range(_MAX_STEPS):
            if span.start >= span.end:
                return None
            token = tokens.all[span.start]
            if tokens.is_word(span.start, "local"):
                span = self._without_locals(span)
            elif tokens.is_word(span.start, "assert"):
                span = _Span(self._after_semicolon(span.start + 1, span.end), span.end, span.scope)
            elif tokens.is_word(span.start, "function") and tokens.is_symbol(span.start + 1, "("):
                # Only the whole file can be a function here: it is called with `ctx`.
                names = self._parameters(span.start + 1)
                span = _Span(tokens.after(span.start + 1), span.end, span.scope.hiding(names))
            elif self._is_whole(span, "("):
                span = _Span(span.start + 1, span.end - 1, span.scope)
            elif token.kind is Kind.WORD and token.text not in _CONSTANTS:
                bound = span.scope.find(token.text or "")
                if bound is None:
                    return span
                arguments = span.start + 1
                if arguments == span.end and bound.parameters is None:
                    span = bound.span
                elif bound.parameters is not None and self._is_whole(_Span(arguments, span.end, span.scope), "("):
                    span = self._called(bound, arguments, span.scope)
                else:
                    return span
            else:
                return span
        return None

    def _operands(self, span: _Span) -> list[_Span]:
        """Return the operands of a sum, or of `base {...}`, which is one too; anything else is one operand."""
        operands: list[_Span] = []
        # The last one first, so that what is put back comes next.
        waiting = [span]
        while waiting:
            part = waiting.pop()
            found = self._resolve(part)
            terms = self._terms(found) if found is not None else []
            if len(terms) > 1:
                waiting += reversed(terms)
            else:
                operands.append(found or part)
            if len(operands) + len(waiting) > _MAX_OPERANDS:
                return [_Span(span.start, span.start, span.scope)]
        return operands

    def _terms(self, span: _Span) -> list[_Span]:
        tokens, terms, start, index = self.tokens, [], span.start, span.start
        while index < span.end:
            token = tokens.all[index]
            if tokens.is_symbol(index, "+"):
                terms.append(_Span(start, index, span.scope))
                start = index + 1
            elif tokens.is_symbol(index, "{") and index > start:
                terms.append(_Span(start, index, span.scope))
                start = index
            elif (token.kind is Kind.SYMBOL and token.text not in {".", "{", "[", "("}) or (
                token.kind is Kind.WORD and token.text in _REACHING
            ):
                # Another operator, or a word whose expression reaches to the end: no sum.
                return [span]
            index = tokens.after(index)
        return [*terms, _Span(start, span.end, span.scope)]

    # -- names ----------------------------------------------------------------------------------------------------

    def _without_locals(self, span: _Span) -> _Span:
        end = self._after_semicolon(span.start + 1, span.end)
        scope = _Scope(span.scope)
        for start, stop in self._split(span.start + 1, end - 1):
            self._bind(start, stop, scope)
        return _Span(end, span.end, scope)

    def _bind(self, start: int, end: int, scope: _Scope) -> None:
        tokens = self.tokens
        if start >= end or tokens.all[start].kind is not Kind.WORD:
            return
        name = tokens.all[start].text or ""
        parameters: tuple[str, ...] | None = None
        index = start + 1
        if tokens.is_symbol(index, "("):
            parameters = self._parameters(index)
            index = tokens.after(index)
        if not tokens.is_symbol(index, "=") or index + 1 >= end:
            scope.names[name] = None
            return
        index += 1
        if parameters is None and tokens.is_word(index, "function") and tokens.is_symbol(index + 1, "("):
            parameters = self._parameters(index + 1)
            index = tokens.after(index + 1)
        scope.names[name] = _Bound(_Span(index, end, scope), parameters)

    def _parameters(self, opening: int) -> tuple[str, ...]:
        parts = self._split(opening + 1, min(self.tokens.closing[opening], len(self.tokens)))
        return tuple(self.tokens.all[start].text or "" for start, end in parts if start < end)

    def _called(self, bound: _Bound, opening: int, scope: _Scope) -> _Span:
        """Return the body of a function with its parameters bound to the arguments of a call."""
        parameters = bound.parameters or ()
        inner = bound.span.scope.hiding(parameters)
        for number, (start, end) in enumerate(self._split(opening + 1, self.tokens.closing[opening])):
            if self.tokens.is_symbol(start + 1, "=") and not self.tokens.is_symbol(start + 2, "="):
                name, value = self.tokens.all[start].text or "", _Span(start + 2, end, scope)
            else:
                name, value = parameters[number] if number < len(parameters) else "", _Span(start, end, scope)
            if name in parameters and value.start < value.end:
                inner.names[name] = _Bound(value)
        return _Span(bound.span.start, bound.span.end, inner)

    # -- objects and lists ----------------------------------------------------------------------------------------

    def _members(self, span: _Span) -> Mapping[str, _Member] | None:
        """Read the fields of a literal object; None for an object comprehension. Computed names are left out."""
        tokens = self.tokens
        inner = _Scope(span.scope)
        members: dict[str, _Member] = {}
        for start, end in self._split(span.start + 1, span.end - 1, members=True):
            if self._find_word(start, end, "for") is not None:
                return None
            if tokens.is_word(start, "local"):
                self._bind(start + 1, end, inner)
                continue
            if start >= end or tokens.is_word(start, "assert") or tokens.is_symbol(start, "["):
                continue
            separator = start + 1
            is_method = tokens.is_symbol(separator, "(")
            if is_method:
                separator = tokens.after(separator)
            name = tokens.all[start].text
            if name is None or separator >= end or not _is_separator(tokens.all[separator]):
                continue
            # The value of a method is no output, and what `+:` adds to is not known here.
            is_plain = not is_method and not (tokens.all[separator].text or "").startswith("+")
            members[name] = _Member(start, _Span(separator + 1 if is_plain else end, end, inner))
        return members

    def _written_elements(self, span: _Span) -> tuple[list[_Span] | None, _Span | None]:
        """Read the elements of a literal list; else None, and for a comprehension what gives each of its elements."""
        if not self._is_whole(span, "["):
            return None, None
        parts = self._split(span.start + 1, span.end - 1)
        if len(parts) == 1:
            start, end = parts[0]
            loop = self._find_word(start, end, "for")
            if loop is not None:
                return None, _Span(start, loop, span.scope.hiding(self._loop_variables(loop, end)))
        return [_Span(start, end, span.scope) for start, end in parts if start < end], None

    def _loop_variables(self, start: int, end: int) -> list[str]:
        words = [i for i in range(start, end - 1) if self.tokens.is_word(i, "for")]
        return [self.tokens.all[i + 1].text or "" for i in words]

    # -- splitting ------------------------------------------------------------------------------------------------

    def _split_uncached(self, start: int, end: int, *, members: bool = False) -> tuple[tuple[int, int], ...]:
        """Split at the commas that belong to no inner bracket and no inner `local`."""
        parts, begin = [], start
        for index in self._top_level(start, end, members=members):
            if self.tokens.is_symbol(index, ","):
                parts.append((begin, index))
                begin = index + 1
        if begin < end:
            parts.append((begin, end))
        return tuple(parts)

    def _find_word(self, start: int, end: int, word: str) -> int | None:
        return next((i for i in self._top_level(start, end) if self.tokens.is_word(i, word)), None)

    def _top_level(self, start: int, end: int, *, members: bool = False) -> Iterator[int]:
        """Walk over the tokens that are in no inner bracket, nor among the bindings of an inner `local`."""
        index, begins = start, True
        while index < end:
            # A `local` that is a member of an object has no semicolon, and ends as any member does.
            if self.tokens.is_word(index, "local") and not (members and begins):
                index, begins = self._after_semicolon(index + 1, end), False
                continue
            begins = self.tokens.is_symbol(index, ",")
            yield index
            index = self.tokens.after(index)

    def _after_semicolon(self, start: int, end: int) -> int:
        """Find the end of the bindings of a `local` or the condition of an `assert`; inner ones have their own."""
        wanted, index = 1, start
        while index < end:
            if self.tokens.is_word(index, "local") or self.tokens.is_word(index, "assert"):
                wanted += 1
            elif self.tokens.is_symbol(index, ";"):
                wanted -= 1
                if not wanted:
                    return index + 1
            index = self.tokens.after(index)
        return end


def _is_separator(token: Token) -> bool:
    return token.kind is Kind.SYMBOL and (token.text or "").strip("+") in {":", "::", ":::"}
