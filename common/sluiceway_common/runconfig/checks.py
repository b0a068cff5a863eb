"""Checks that span several fields: names that must differ, edges that must have a parent, graphs that can run.

Each check reports all that it finds in one run. They are almost linear in tasks and edges. Pure.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from sluiceway_common.foundation import graph
from sluiceway_common.runconfig.capabilities import DRIVERS, Capabilities, unsupported_parts, without_effect
from sluiceway_common.runconfig.inputs import variable_of
from sluiceway_common.runconfig.likely_mistakes import (
    carriage_return,
    never_applies,
    overwritten_variable,
    rule_that_never_matches,
    small_amount_of_memory,
    small_duration,
)
from sluiceway_common.runconfig.model import MAX_RUN_EDGES, MAX_RUN_STEPS
from sluiceway_common.runconfig.outline import EdgeOutline, RunOutline, TaskOutline
from sluiceway_common.runconfig.problems import DocumentPath, did_you_mean, quoted
from sluiceway_common.runmodel.conditions import Condition

Report = Callable[[DocumentPath, str], None]

_CLEAN_UP = frozenset({Condition.ALWAYS, Condition.ON_STOPPED})
# With thousands of names and thousands of wrong edges, the search for similar names would take minutes.
_MAX_SUGGESTION_NAMES = 200


def check_runs(
    runs: Sequence[RunOutline],
    error: Report,
    warning: Report,
    *,
    system: Collection[str] = frozenset(),
    drivers: Sequence[Capabilities] = DRIVERS,
) -> None:
    """Report all errors and warnings that span fields.

    Args:
        runs: to be checked.
        error: called with each error.
        warning: called with each warning.
        system: the names of the variables that the system sets.
        drivers: those that may run the tasks.
    """
    _check_names("run", ((r.name, r.path) for r in runs), error, warning)
    _check_inputs(runs, error)
    for run in runs:
        system = {*system, *(variable_of(name) for name in run.inputs)}
        _check_counts(run, error)
        _check_names("task", ((t.name, t.path) for t in run.tasks), error, warning)
        for task in run.tasks:
            _check_task(task, error, warning, system=system, drivers=drivers)
        edges = _check_edges(run, error)
        _check_cycles(run, edges, error, warning)


def _check_inputs(runs: Sequence[RunOutline], error: Report) -> None:
    """Check that `when` asks for inputs that there are, and that inputs of one name are one."""
    first: dict[str, tuple[object, str | None]] = {}
    for run in runs:
        for name, declared in run.inputs.items():
            known, owner = first.setdefault(name, (declared, run.name))
            if known != declared:
                message = (
                    f"run {quoted(owner or '')} declares an input {quoted(name)} too, and not alike: `ctx.inputs` has"
                    " one value for a name, so runs that share an input must declare it in the same way"
                )
                error((*run.path, "inputs", name), message)
        for name, path in run.wanted_inputs:
            if name not in run.inputs:
                error(path, f"the run declares no input {quoted(name)}{did_you_mean(name, run.inputs)}")


def _check_task(
    task: TaskOutline,
    error: Report,
    warning: Report,
    *,
    system: Collection[str],
    drivers: Sequence[Capabilities],
) -> None:
    for path in task.unnamed_scripts:
        error(path, "a command of several lines needs a `name`")
    for part, message in unsupported_parts(task.runtime, task.user, task.steps, drivers):
        error((*task.path, *part), message)
    idle = without_effect(task.runtime, task.user, drivers) if task.processors else None
    if idle is not None:
        for path in task.processors:
            warning(path, idle)
    if task.first_ready is not None:
        warning(task.first_ready, "this has no effect: only services are waited for, the containers after the first")
    for variable in task.variables:
        doubt = overwritten_variable(variable.name, variable.value, system=system, in_step=variable.in_step)
        if doubt is not None:
            warning(variable.path, doubt)


def check_values(document: Any, warning: Report) -> None:
    """Warn of values anywhere that are allowed but probably mistakes."""
    # Not recursive: a document may be nested deeper than the stack of the interpreter.
    waiting: list[tuple[DocumentPath, Any]] = [((), document)]
    while waiting:
        path, value = waiting.pop()
        doubt = _doubt_of(path, value)
        if doubt is not None:
            warning(path, doubt)
        if isinstance(value, dict):
            waiting += [((*path, key), child) for key, child in value.items()]
        elif isinstance(value, list):
            waiting += [((*path, index), child) for index, child in enumerate(value)]


def _doubt_of(path: DocumentPath, value: Any) -> str | None:
    field = path[-1] if path else ""
    if isinstance(value, str):
        doubt = carriage_return(value, is_command=field in {"command", "run", "ready"})
        return doubt or (rule_that_never_matches(value) if _is_ref_rule(path) else None)
    if isinstance(value, int) and not isinstance(value, bool):
        if field in {"task_timeout_interval", "timeout", "hold_on_failure"}:
            return small_duration(value)
        return small_amount_of_memory(value) if field in {"memory", "size"} else None
    if isinstance(value, dict) and field == "when" and never_applies(value):
        return "this never applies: rules that only exclude match nothing; add an `include`"
    return None


def _is_ref_rule(path: DocumentPath) -> bool:
    """Return whether a string is a rule: the value of `when.branch`, or an entry of it, `include` or `exclude`."""
    words = [part for part in path[-4:] if isinstance(part, str)]
    if words and words[-1] in {"include", "exclude"}:
        words.pop()
    return words[-2:-1] == ["when"] and words[-1] in {"branch", "tag", "ref"}


def _check_counts(run: RunOutline, error: Report) -> None:
    for what, count, most in (
        ("steps", sum(len(t.steps) for t in run.tasks), MAX_RUN_STEPS),
        ("parents", sum(len(t.edges) for t in run.tasks), MAX_RUN_EDGES),
    ):
        if count > most:
            error(
                (*run.path, "tasks"), f"the tasks have {count:,} {what} in all; at most {most:,} are allowed in a run"
            )


def _check_names(what: str, names: Iterable[tuple[str | None, DocumentPath]], error: Report, warning: Report) -> None:
    first: dict[str, int] = {}
    alike: dict[str, str] = {}
    for number, (name, path) in enumerate(names, start=1):
        if name is None:
            continue
        if name in first:
            error((*path, "name"), f"duplicate {what} name {quoted(name)}: {what} number {first[name]} has it already")
            continue
        first[name] = number
        folded = name.casefold() if name.isascii() else _skeleton(name)
        if _mixes_scripts(name):
            warning((*path, "name"), f"{quoted(name)} mixes letters of scripts that look alike")
        other = alike.setdefault(folded, name)
        if other != name:
            warning((*path, "name"), f"{quoted(name)} looks like the name of another {what}, {quoted(other)}")


# Letters of other scripts that look like Latin ones (the common part of Unicode's confusables, UTS 39).
_CONFUSABLES = str.maketrans("аеорсухіјѕһԁԛԝαορνϲ", "aeopcyxijshdqwaopvc")


def _skeleton(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().translate(_CONFUSABLES)


def _mixes_scripts(name: str) -> bool:
    if name.isascii():
        return False
    scripts = {unicodedata.name(c, "").split(" ", 1)[0] for c in name if c.isalpha()}
    return len(scripts & {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"}) > 1


Edges = list[dict[int, EdgeOutline]]
"""For each task, by the number of the parent."""


def _check_edges(run: RunOutline, error: Report) -> Edges:
    """Check each edge by itself; return the valid ones, in the order of the file."""
    by_name: dict[str, int] = {}
    for index, task in enumerate(run.tasks):
        if task.name is not None:
            by_name.setdefault(task.name, index)
    # If a name could not be read, an edge may mean that task; the error of the name is enough.
    all_named = all(t.name is not None for t in run.tasks)
    edges: Edges = []
    for task in run.tasks:
        right: dict[int, EdgeOutline] = {}
        seen: set[str] = set()
        for edge in task.edges:
            parent = by_name.get(edge.parent)
            if edge.parent in seen:
                error(edge.path, f"duplicate dependency on {quoted(edge.parent)}: give all conditions in one")
            elif edge.parent == task.name:
                error(edge.path, f"task {quoted(edge.parent)} depends on itself")
            elif parent is not None:
                right[parent] = edge
            elif all_named:
                hint = did_you_mean(edge.parent, by_name) if len(by_name) <= _MAX_SUGGESTION_NAMES else ""
                error(edge.path, f"there is no task {quoted(edge.parent)} in this run{hint}")
            seen.add(edge.parent)
            if len(set(edge.conditions)) != len(edge.conditions):
                error(edge.path, f"the same condition twice for {quoted(edge.parent)}")
        edges.append(right)
    return edges


def _check_cycles(run: RunOutline, edges: Edges, error: Report, warning: Report) -> None:
    found = graph.cycles([list(e) for e in edges])
    for cycle in found:
        names = [_called(run, t) for t in (*cycle, cycle[0])]
        shown = names if len(names) <= 20 else [*names[:10], f"({len(names) - 20} more)", *names[-10:]]
        error((*run.tasks[cycle[0]].path, "depends"), f"the tasks form a cycle: {' -> '.join(shown)}")
    if len(found) == graph.MAX_CYCLES:
        error((*run.path, "tasks"), f"there may be more cycles; {graph.MAX_CYCLES} are named")
    if not found:
        _warn_of_edges(run, edges, warning)


def _called(run: RunOutline, task: int) -> str:
    return quoted(run.tasks[task].name or "")


def _warn_of_edges(run: RunOutline, edges: Edges, warning: Report) -> None:
    on_success = [[p for p, e in its.items() if e.conditions == (Condition.ON_SUCCESS,)] for its in edges]
    needs_success_of = graph.ancestors(on_success)
    for task, its in enumerate(edges):
        implied = 0
        for parent in on_success[task]:
            implied |= needs_success_of[parent]
        for parent, edge in its.items():
            if implied >> parent & 1 and not {Condition.ON_SUCCESS, Condition.ALWAYS}.isdisjoint(edge.conditions):
                warning(edge.path, f"the dependency on {quoted(edge.parent)} is implied by another one already")
        where = (*run.tasks[task].path, "depends")
        _warn_of_impossible(run, where, its, needs_success_of, warning)
        always = any(Condition.ALWAYS in e.conditions for e in its.values())
        if always and any(_CLEAN_UP.isdisjoint(e.conditions) for e in its.values()):
            warning(where, "mixes `always` with plain edges: after a stop the task is skipped, `always` or not")


def _warn_of_impossible(
    run: RunOutline, where: DocumentPath, its: dict[int, EdgeOutline], needs_success_of: list[int], warning: Report
) -> None:
    """Warn where one edge wants a parent not to succeed, and another wants a task that is skipped then."""
    unsuccessful = 0
    for parent, edge in its.items():
        if {Condition.ON_SUCCESS, Condition.ALWAYS}.isdisjoint(edge.conditions):
            unsuccessful |= 1 << parent
    if not unsuccessful:
        return
    for parent, edge in its.items():
        clash = needs_success_of[parent] & unsuccessful
        if clash and {Condition.ON_SKIPPED, Condition.ALWAYS}.isdisjoint(edge.conditions):
            ancestor, skipped = _called(run, clash.bit_length() - 1), quoted(edge.parent)
            message = f"can never run: when {ancestor} does not succeed, {skipped} is skipped"
            warning(where, f"{message}; add `on_skipped` to the dependency on {skipped}")
            return
