"""The graph of a run's tasks: levels, strongly connected components and cycles, and redundant edges.

A task is its index; a set of tasks is an integer used as a bit set, which is fast for 2,000 tasks. Nothing here
recurses, because a chain may be as long as the limit. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

Parents = Sequence[Sequence[int]]

MAX_CYCLES: Final = 50


def topological_order(parents: Parents) -> list[int]:
    """List the tasks so that parents come first; those in a cycle, or below one, are left out."""
    children: list[list[int]] = [[] for _ in parents]
    missing = [len(p) for p in parents]
    for task, its_parents in enumerate(parents):
        for parent in its_parents:
            children[parent].append(task)
    order = [task for task, count in enumerate(missing) if count == 0]
    for task in order:
        for child in children[task]:
            missing[child] -= 1
            if missing[child] == 0:
                order.append(child)
    return order


def levels(parents: Parents) -> list[int]:
    """Return each task's level: 0 without parents, else 1 + the highest parent's. The graph must have no cycle."""
    result = [0] * len(parents)
    for task in topological_order(parents):
        result[task] = max((result[p] + 1 for p in parents[task]), default=0)
    return result


def ancestors(parents: Parents) -> list[int]:
    """Return each task's ancestors as bits. The graph must have no cycle."""
    result = [0] * len(parents)
    for task in topological_order(parents):
        bits = 0
        for parent in parents[task]:
            bits |= result[parent] | 1 << parent
        result[task] = bits
    return result


def cycles(parents: Parents) -> list[list[int]]:
    """List cycles such that each edge that lies on any cycle lies on one of them; at most `MAX_CYCLES`.

    A graph may hold more cycles than anyone can read (their number is exponential). Each of these is a shortest one
    through one of its edges. A cycle is in the order parent, child, and so on, from its first task in the file.
    """
    found: list[list[int]] = []
    for knot in knots(parents):
        inside = set(knot)
        covered: set[tuple[int, int]] = set()
        for task in knot:
            for parent in parents[task]:
                if len(found) == MAX_CYCLES:
                    return found
                if parent in inside and (parent, task) not in covered:
                    cycle = _shortest_way(task, parent, inside, parents)
                    covered.update(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
                    first = cycle.index(min(cycle))
                    found.append(cycle[first:] + cycle[:first])
    return found


def knots(parents: Parents) -> list[list[int]]:
    """Find the strongly connected components that hold a cycle (Tarjan 1972, without recursion), each in order."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    found: list[list[int]] = []
    for root in range(len(parents)):
        if root in index:
            continue
        work = [(root, iter(parents[root]))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            task, rest = work[-1]
            for parent in rest:
                if parent not in index:
                    index[parent] = low[parent] = len(index)
                    stack.append(parent)
                    on_stack.add(parent)
                    work.append((parent, iter(parents[parent])))
                    break
                if parent in on_stack:
                    low[task] = min(low[task], index[parent])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[task])
                if low[task] == index[task]:
                    knot: list[int] = []
                    while not knot or knot[-1] != task:
                        knot.append(stack.pop())
                    on_stack.difference_update(knot)
                    if len(knot) > 1 or task in parents[task]:
                        found.append(sorted(knot))
    return sorted(found)


def _shortest_way(ancestor: int, task: int, knot: set[int], parents: Parents) -> list[int]:
    """Walk from `task` up to `ancestor`, breadth first; return the path down, both ends included."""
    child_of: dict[int, int] = {}
    queue = [task]
    for current in queue:
        if current == ancestor:
            way = [current]
            while way[-1] != task:
                way.append(child_of[way[-1]])
            return way
        for parent in parents[current]:
            if parent in knot and parent not in child_of and parent != task:
                child_of[parent] = current
                queue.append(parent)
    raise AssertionError("the tasks of a knot all reach each other")
