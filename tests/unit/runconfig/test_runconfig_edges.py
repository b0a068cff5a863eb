"""Edges and names of tasks: cycles, and what is doubtful."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.run_configurations import config, load_json, task


def edge_case(*edges: tuple[str, list[Any]]) -> dict[str, Any]:
    return config(*[task(name, depends=depends) for name, depends in edges])


WARNINGS = [
    (
        "implied-edge",
        edge_case(("a", []), ("b", ["a"]), ("c", ["a", "b"])),
        "runs[0].tasks[2].depends[0]",
        'the dependency on "a" is implied by another one already',
    ),
    (
        "implied-over-a-chain",
        edge_case(("a", []), ("b", ["a"]), ("c", ["b"]), ("d", ["a", "c"])),
        "runs[0].tasks[3].depends[0]",
        'the dependency on "a" is implied by another one already',
    ),
    (
        "both-must-fail",
        edge_case(("a", []), ("b", ["a"]), ("c", [{"a": ["on_failure"]}, {"b": ["on_failure"]}])),
        "runs[0].tasks[2].depends",
        'can never run: when "a" does not succeed, "b" is skipped; add `on_skipped` to the dependency on "b"',
    ),
    (
        "always-with-plain",
        edge_case(("a", []), ("b", []), ("c", ["a", {"b": ["always"]}])),
        "runs[0].tasks[2].depends",
        "mixes `always` with plain edges: after a stop the task is skipped, `always` or not",
    ),
    (
        "names-alike-by-case",
        edge_case(("build", []), ("Build", [])),
        "runs[0].tasks[1].name",
        '"Build" looks like the name of another task, "build"',
    ),
    (
        "names-alike-by-script",
        edge_case(("pay", []), ("рау", [])),
        "runs[0].tasks[1].name",
        '"рау" looks like the name of another task, "pay"',
    ),
    (
        "scripts-mixed",
        edge_case(("pаy", [])),
        "runs[0].tasks[0].name",
        '"pаy" mixes letters of scripts that look alike',
    ),
]


@pytest.mark.parametrize(("document", "path", "message"), [pytest.param(*w[1:], id=w[0]) for w in WARNINGS])
def test_doubtful_thing_is_warned_of_and_allowed(document: Any, path: str, message: str) -> None:
    loaded = load_json(document)
    assert loaded.errors == ()
    assert loaded.config is not None
    assert [(w.path, w.message) for w in loaded.warnings] == [(path, message)]


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(edge_case(("a", []), ("b", ["a"]), ("c", [{"a": ["on_failure"]}, {"b": ["on_skipped"]}])),
                     id="skipped-after-a-failure"),
        pytest.param(edge_case(("a", []), ("b", [{"a": ["on_failure"]}]), ("c", [{"a": ["on_failure"]}, "b"])),
                     id="edge-not-implied-by-success"),
        pytest.param(edge_case(("a", []), ("b", []), ("c", [{"a": ["always"]}, {"b": ["on_stopped"]}])),
                     id="all-edges-clean-up"),
    ],
)  # fmt: skip
def test_graph_that_can_run_is_not_warned_of(document: Any) -> None:
    loaded = load_json(document)
    assert (loaded.errors, loaded.warnings) == ((), ())


def test_every_cycle_is_named() -> None:
    graph = {"a": ["b"], "b": ["a"], "c": ["d"], "d": ["e"], "e": ["c"], "f": ["e"]}
    messages = [e.message for e in load_json(edge_case(*graph.items())).errors]
    assert messages == [
        'the tasks form a cycle: "a" -> "b" -> "a"',
        'the tasks form a cycle: "c" -> "e" -> "d" -> "c"',
    ]


def test_graph_of_many_tasks_in_one_knot_is_bounded() -> None:
    names = [f"t{i}" for i in range(300)]
    document = config(*[task(n, depends=[m for m in names if m != n][:40]) for n in names])
    messages = [e.message for e in load_json(document).errors]
    assert len([m for m in messages if m.startswith("the tasks form a cycle")]) == 50
    assert "there may be more cycles; 50 are named" in messages


def test_chain_as_long_as_the_limit_is_an_honest_graph() -> None:
    loaded = load_json(config(*[task(f"t{i}", depends=[f"t{i - 1}"] if i else []) for i in range(2000)]))
    assert (loaded.errors, loaded.warnings) == ((), ())
