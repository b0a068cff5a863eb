"""Levels, ancestors, components and cycles, as properties of any graph."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from sluiceway_common.foundation.graph import MAX_CYCLES, ancestors, cycles, knots, levels, topological_order

Graph = list[list[int]]


@st.composite
def graphs(draw: st.DrawFn, *, acyclic: bool = False) -> Graph:
    size = draw(st.integers(1, 12))
    order = draw(st.permutations(range(size)))
    parents: Graph = [[] for _ in range(size)]
    for position, task in enumerate(order):
        allowed = order[:position] if acyclic else [t for t in order if t != task]
        if allowed:
            parents[task] = draw(st.lists(st.sampled_from(allowed), max_size=4, unique=True))
    return parents


def reaches(parents: Graph, task: int) -> set[int]:
    found: set[int] = set()
    waiting = list(parents[task])
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += parents[current]
    return found


@given(graphs(acyclic=True))
def test_level_is_one_more_than_the_highest_parent(parents: Graph) -> None:
    found = levels(parents)
    for task, its_parents in enumerate(parents):
        assert found[task] == max((found[p] + 1 for p in its_parents), default=0)


@given(graphs(acyclic=True))
def test_acyclic_graph_has_an_order_and_no_cycles(parents: Graph) -> None:
    order = topological_order(parents)
    assert sorted(order) == list(range(len(parents)))
    assert all(order.index(p) < order.index(t) for t, ps in enumerate(parents) for p in ps)
    assert cycles(parents) == []
    for task, bits in enumerate(ancestors(parents)):
        assert {i for i in range(len(parents)) if bits >> i & 1} == reaches(parents, task)


@given(graphs())
def test_cycles_cover_every_edge_on_a_cycle(parents: Graph) -> None:
    found = cycles(parents)
    covered = set()
    for cycle in found:
        assert len(set(cycle)) == len(cycle)
        assert cycle[0] == min(cycle)
        for parent, child in itertools.pairwise([*cycle, cycle[0]]):
            assert parent in parents[child]
            covered.add((parent, child))
    on_cycles = {(p, t) for t, ps in enumerate(parents) for p in ps if t in reaches(parents, p) | {p}}
    if len(found) < MAX_CYCLES:
        assert covered == on_cycles
    assert bool(found) == bool(on_cycles)


@given(graphs())
def test_cycle_is_found_in_any_order_of_edges(parents: Graph) -> None:
    assert bool(cycles(parents)) == bool(cycles([list(reversed(p)) for p in parents]))


@given(graphs())
def test_component_is_all_tasks_that_reach_each_other(parents: Graph) -> None:
    reached = [reaches(parents, task) for task in range(len(parents))]
    together = {
        tuple(sorted(other for other in reached[task] if task in reached[other]))
        for task in range(len(parents))
        if task in reached[task]
    }
    assert knots(parents) == [list(knot) for knot in sorted(together)]
