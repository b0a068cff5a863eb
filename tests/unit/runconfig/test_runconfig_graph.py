"""How graphs are drawn."""

from __future__ import annotations

import pytest

from sluiceway_common.runconfig.compile import check_document
from sluiceway_common.runconfig.documents import Document
from sluiceway_common.runconfig.graphs import GraphFormat, render_graph
from sluiceway_common.runconfig.model import Config

NASTY = "a\"b\\<script>`x`&'|]"


def nasty_config() -> Config:
    runtime = {"containers": [{"image": "host"}]}
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
