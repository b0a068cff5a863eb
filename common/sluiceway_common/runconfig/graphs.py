"""A run's graph for people and tools: as text, as Mermaid, as Graphviz' dot. Pure.

Names are untrusted: each format quotes them by its own rules, so that no name can become markup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum

from sluiceway_common.foundation import graph
from sluiceway_common.runconfig.model import Depend, Run, Task
from sluiceway_common.runmodel.conditions import Condition


class GraphFormat(StrEnum):
    """How a graph is written."""

    TEXT = "text"
    MERMAID = "mermaid"
    DOT = "dot"


def levels_of_run(run: Run) -> list[int]:
    """Return the level of each task of a checked run, in the order of the file."""
    return graph.levels(_parents(run))


def render_graph(runs: Sequence[Run], form: GraphFormat) -> str:
    """Write the graphs of checked runs, as one text of lines."""
    return "".join(line + "\n" for line in _RENDERERS[form](runs))


def _parents(run: Run) -> list[list[int]]:
    index = {t.name: i for i, t in enumerate(run.tasks)}
    return [[index[d.task] for d in t.depends] for t in run.tasks]


def _conditions(edge: Depend) -> str:
    return "" if edge.conditions == [Condition.ON_SUCCESS] else ", ".join(edge.conditions)


def _notes(task: Task) -> list[str]:
    notes = {
        "approval": task.approval is not None,
        "failure ignored": task.ignore_failure,
        "conditional": task.when is not None,
        f"lock {task.lock}": task.lock is not None,
        f"up to {task.retry.max_attempts if task.retry else 1} attempts": bool(
            task.retry and task.retry.max_attempts > 1
        ),
    }
    return [note for note, holds in notes.items() if holds]


def _text(runs: Sequence[Run]) -> Iterator[str]:
    for position, run in enumerate(runs):
        if position:
            yield ""
        yield f"{run.name} ({len(run.tasks)} {'task' if len(run.tasks) == 1 else 'tasks'})"
        by_level: dict[int, list[Task]] = {}
        for level, task in zip(levels_of_run(run), run.tasks, strict=True):
            by_level.setdefault(level, []).append(task)
        for level, tasks in sorted(by_level.items()):
            yield f"  level {level}"
            for task in tasks:
                edges = [d.task + (f" ({_conditions(d)})" if _conditions(d) else "") for d in task.depends]
                after = f"  <- {', '.join(edges)}" if edges else ""
                notes = f"  [{', '.join(_notes(task))}]" if _notes(task) else ""
                yield f"    {task.name}{after}{notes}"


def _mermaid(runs: Sequence[Run]) -> Iterator[str]:
    yield "flowchart LR"
    for position, run in enumerate(runs):
        prefix = f"r{position}t" if len(runs) > 1 else "t"
        if len(runs) > 1:
            yield f'  subgraph r{position}["{_mermaid_text(run.name)}"]'
        index = {t.name: i for i, t in enumerate(run.tasks)}
        for number, task in enumerate(run.tasks):
            label = "<br>".join(_mermaid_text(part) for part in (task.name, *_notes(task)))
            yield f'  {prefix}{number}["{label}"]'
        for number, task in enumerate(run.tasks):
            for edge in task.depends:
                label = f"|{_conditions(edge)}|" if _conditions(edge) else ""
                yield f"  {prefix}{index[edge.task]} -->{label} {prefix}{number}"
        if len(runs) > 1:
            yield "  end"


# Mermaid reads entities with # in place of &; a backtick would begin Markdown.
_MERMAID_ENTITIES = str.maketrans(
    {"#": "#35;", "&": "#amp;", "<": "#lt;", ">": "#gt;", '"': "#quot;", "`": "#96;", "\\": "#92;"}
)


def _mermaid_text(text: str) -> str:
    return text.translate(_MERMAID_ENTITIES)


def _dot(runs: Sequence[Run]) -> Iterator[str]:
    for run in runs:
        yield from _dot_of_run(run)


def _dot_of_run(run: Run) -> Iterator[str]:
    index = {t.name: i for i, t in enumerate(run.tasks)}
    yield f"digraph {_dot_text(run.name)} {{"
    yield "  rankdir=LR;"
    yield "  node [shape=box];"
    for number, task in enumerate(run.tasks):
        label = "\\n".join(_dot_text(part)[1:-1] for part in (task.name, *_notes(task)))
        yield f'  t{number} [label="{label}"];'
    for number, task in enumerate(run.tasks):
        for edge in task.depends:
            label = f" [label={_dot_text(_conditions(edge))}]" if _conditions(edge) else ""
            yield f"  t{index[edge.task]} -> t{number}{label};"
    yield "}"


def _dot_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_RENDERERS: dict[GraphFormat, Callable[[Sequence[Run]], Iterator[str]]] = {
    GraphFormat.TEXT: _text,
    GraphFormat.MERMAID: _mermaid,
    GraphFormat.DOT: _dot,
}
