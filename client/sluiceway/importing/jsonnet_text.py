"""Writes a document as jsonnet, in the form that `jsonnetfmt` gives it."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from sluiceway.importing.document import KEYWORDS, Document, Expression, Noted, Run, Task

T = TypeVar("T", bound=Run | Task)

_WIDTH: Final = 100
_COMMENT_WIDTH: Final = 110


def document_text(document: Document) -> str:
    """Return the text of a file."""
    lines = [*comments(document.notes, "")]
    if document.uses_context:
        lines.append("function(ctx)")
    for run in document.runs:
        for task in run.tasks:
            if task.matrix is not None:
                lines += _local_lines(task, _lines(Noted(task.made(), task.notes), "  "))
        if run.matrix is not None:
            lines += _local_lines(run, _run_lines(run, "  "))
    lines.append("{")
    lines += _sum_lines("runs", document.runs, "  ", _run_lines)
    return "\n".join([*lines, "}", ""])


def comments(notes: Iterable[str], indent: str) -> list[str]:
    """Return notes as lines of comments."""
    width = _COMMENT_WIDTH - len(indent)
    wrapped = (line for note in notes for line in textwrap.wrap(_printable(note), width, break_long_words=False))
    return [f"{indent}// {line}" for line in wrapped]


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def _local_lines(made: Run | Task, lines: list[str]) -> list[str]:
    """Return the lines of the variable with what a matrix makes: one for each combination."""
    combinations = [f"    {value_text(each)}," for each in made.matrix or []]
    return [f"local {made.local} = [", *lines, "  for m in [", *combinations, "  ]", "];"]


def _run_lines(run: Run, indent: str) -> list[str]:
    inner = f"{indent}  "
    lines = [f"{indent}{{", *comments(run.notes, inner), f"{inner}name: {value_text(run.name)},"]
    if run.when:
        lines += _ended(_lines(run.when, inner, "when: "), ",")
    if run.inputs:
        lines += _ended(_lines(run.inputs, inner, "inputs: "), ",")
    return [*lines, *_sum_lines("tasks", run.tasks, inner, _task_lines), f"{indent}}}"]


def _task_lines(task: Task, indent: str) -> list[str]:
    return _lines(Noted(task.made(), task.notes), indent)


def _sum_lines(key: str, parts: Sequence[T], indent: str, lines_of: Callable[[T, str], list[str]]) -> list[str]:
    """Return the lines of a field with runs or tasks: lists of single ones, and variables with those of matrices."""
    groups: list[list[str]] = []
    for part in parts:
        if part.matrix is not None:
            groups.append([str(part.local)])
            continue
        if not groups or groups[-1][0] != "[":
            groups.append(["[", f"{indent}]"])
        groups[-1][-1:-1] = _ended(lines_of(part, f"{indent}  "), ",")
    joined = groups[0] if groups else ["[]"]
    for group in groups[1:]:
        joined = [*joined[:-1], f"{joined[-1]} + {group[0]}", *group[1:]]
    return _ended([f"{indent}{key}: {joined[0]}", *joined[1:]], ",")


def _lines(value: Any, indent: str, before: str = "") -> list[str]:
    """Return the lines of a value, the first with something before it; no comma at the end."""
    if isinstance(value, Noted):
        if isinstance(value.value, dict) and not before:
            made = _lines(value.value, indent)
            if not value.notes:
                return made
            if len(made) == 1:
                return [*comments(value.notes, indent), *made]
            return [made[0], *comments(value.notes, indent + "  "), *made[1:]]
        return [*comments(value.notes, indent), *_lines(value.value, indent, before)]
    short = _one_line(value)
    if short is not None and len(indent) + len(before) + len(short) <= _WIDTH:
        return [f"{indent}{before}{short}"]
    match value:
        case dict():
            inner = [
                line
                for key, each in value.items()
                for line in _ended(_lines(each, indent + "  ", f"{_key(key)}: "), ",")
            ]
            return [f"{indent}{before}{{", *inner, f"{indent}}}"]
        case list():
            inner = [line for each in value for line in _ended(_lines(each, indent + "  "), ",")]
            return [f"{indent}{before}[", *inner, f"{indent}]"]
        case str() if _is_block(value):
            text = [f"{indent}  {line}".rstrip() for line in value.removesuffix("\n").split("\n")]
            mark = "|||" if value.endswith("\n") else "|||-"
            return [f"{indent}{before}{mark}", *text, f"{indent}|||"]
    return [f"{indent}{before}{value_text(value)}"]


def _ended(lines: list[str], end: str) -> list[str]:
    return [*lines[:-1], lines[-1] + end]


def _one_line(value: Any) -> str | None:
    """Return a value in one line; None if it has notes or blocks in it."""
    if _needs_lines(value):
        return None
    return value_text(value)


def _needs_lines(value: Any) -> bool:
    match value:
        case Noted():
            return True
        case dict():
            return any(map(_needs_lines, value.values())) or (len(value) > 1 and "name" in value)
        case list():
            return any(map(_needs_lines, value)) or len([each for each in value if isinstance(each, dict)]) > 1
        case str():
            return _is_block(value)
    return False


def _is_block(text: str) -> bool:
    # A block begins with a line that is neither empty nor indented: its indentation is taken from it.
    lines = text.removesuffix("\n").split("\n")
    return len(lines) > 1 and bool(lines[0].strip()) and not lines[0][0].isspace() and "\r" not in text


def value_text(value: Any) -> str:
    """Return a value in one line."""
    match value:
        case Expression():
            return value.source
        case Noted():
            return value_text(value.value)
        case dict():
            inner = ", ".join(f"{_key(key)}: {value_text(each)}" for key, each in value.items())
            return f"{{ {inner} }}" if inner else "{}"
        case list():
            return f"[{', '.join(value_text(each) for each in value)}]"
        case str():
            return _quoted(value)
        case None | bool() | int() | float():
            return json.dumps(value)
    raise TypeError(f"{type(value).__name__} cannot be written")


def _quoted(text: str) -> str:
    if "'" in text and '"' not in text:
        return json.dumps(text, ensure_ascii=False)
    return "'" + json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name not in KEYWORDS else _quoted(name)
