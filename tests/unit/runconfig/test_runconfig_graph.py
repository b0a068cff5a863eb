"""Levels, ancestors and cycles, as properties of any graph; and how graphs are drawn."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.runconfig.compile import check_document
from sluiceway.runconfig.documents import Document
from sluiceway.runconfig.graph import MAX_CYCLES, ancestors, cycles, levels, topological_order
from sluiceway.runconfig.graphs import GraphFormat, render_graph
from sluiceway.runconfig.model import Config

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
def test_acyclic_graph_has_an_order_no_cycles_and_its_ancestors(parents: Graph) -> None:
    order = topological_order(parents)
    assert sorted(order) == list(range(len(parents)))
    assert all(order.index(p) < order.index(t) for t, ps in enumerate(parents) for p in ps)
    assert cycles(parents) == []
    for task, bits in enumerate(ancestors(parents)):
        assert {i for i in range(len(parents)) if bits >> i & 1} == reaches(parents, task)


@given(graphs())
def test_cycles_are_cycles_and_cover_every_edge_that_lies_on_one(parents: Graph) -> None:
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
def test_whether_there_is_a_cycle_does_not_depend_on_the_order_of_edges(parents: Graph) -> None:
    assert bool(cycles(parents)) == bool(cycles([list(reversed(p)) for p in parents]))


NASTY = "a\"b\\<script>`x`&'|]"


def nasty_config() -> Config:
    runtime = {"containers": [{"image": "i"}]}
    tasks = [
        {"name": NASTY, "runtime": runtime},
        {"name": "b", "runtime": runtime, "depends": [{NASTY: ["on_failure", "on_skipped"]}], "approval": True},
    ]
    loaded = check_document(Document({"runs": [{"name": NASTY, "tasks": tasks}]}))
    assert loaded.config is not None
    return loaded.config


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (
            GraphFormat.TEXT,
            [
                f"{NASTY} (2 tasks)",
                "  level 0",
                f"    {NASTY}",
                "  level 1",
                f"    b  <- {NASTY} (on_failure, on_skipped)  [approval]",
            ],
        ),
        (
            GraphFormat.MERMAID,
            [
                "flowchart LR",
                '  t0["a#quot;b#92;#lt;script#gt;#96;x#96;#amp;\'|]"]',
                '  t1["b<br>approval"]',
                "  t0 -->|on_failure, on_skipped| t1",
            ],
        ),
        (
            GraphFormat.DOT,
            [
                'digraph "a\\"b\\\\<script>`x`&\'|]" {',
                "  rankdir=LR;",
                "  node [shape=box];",
                '  t0 [label="a\\"b\\\\<script>`x`&\'|]"];',
                '  t1 [label="b\\napproval"];',
                '  t0 -> t1 [label="on_failure, on_skipped"];',
                "}",
            ],
        ),
    ],
    ids=["text", "mermaid", "dot"],
)
def test_graph_is_drawn_and_no_name_becomes_markup(form: GraphFormat, expected: list[str]) -> None:
    assert render_graph(nasty_config().runs, form).splitlines() == expected
