"""How errors are collected and located, and the bounds of a configuration."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from sluiceway_common.runconfig.compile import MAX_PROBLEMS, check_document, load, load_source
from sluiceway_common.runconfig.documents import Document
from sluiceway_common.runconfig.files import MappingFiles
from tests.support.drivers import ABLE
from tests.support.run_configurations import BRANCH, RUNTIME, config, load_json, task


def test_all_faults_are_told_at_once_in_the_order_of_the_lines() -> None:
    document = config(task(dependss=[], depends=["b"]), task("b", depends=["a"], environment={"A": 1}), task("b"))
    lines = [e.line for e in load_json(document).errors]
    messages = {e.message for e in load_json(document).errors}
    assert lines == sorted(line for line in lines if line is not None)
    assert messages == {
        "unknown field `dependss`: did you mean `depends`?",
        'the tasks form a cycle: "a" -> "b" -> "a"',
        'must be a string, not a number; quote it: "1"',
        'duplicate task name "b": task number 2 has it already',
    }


def test_unreadable_name_hides_no_parent_that_it_may_be() -> None:
    document = config({"nme": "a", "runtime": RUNTIME}, task("b", depends=["a"]))
    messages = [e.message for e in load_json(document).errors]
    assert messages == ["`name` is required", "unknown field `nme`: did you mean `name`?"]


def test_same_faults_have_the_same_paths_in_every_syntax() -> None:
    document = config(task(dependss=[], approval=5))
    text = json.dumps(document, indent=1).encode()
    found = {
        name: [(e.path, e.message) for e in load_source(name, text, MappingFiles({}), BRANCH, drivers=ABLE).errors]
        for name in ("c.json", "c.yml")
    }
    assert found["c.json"]
    assert sorted(found["c.json"]) == sorted(found["c.yml"])


def test_yaml_fault_has_line_and_column() -> None:
    text = b"runs:\n  - name: r\n    tasks:\n      - name: a\n"
    text += b"        runtime: {containers: [{image: host}]}\n        nope: 1\n"
    errors = load_source("c.yml", text, MappingFiles({}), BRANCH, drivers=ABLE).errors
    assert [(e.path, e.line, e.column) for e in errors] == [("runs[0].tasks[0].nope", 6, 9)]


def test_flood_of_faults_is_cut() -> None:
    loaded = load_json({"runs": [5] * 1000 + [{"name": "r", "tasks": [5] * 2000}]})
    assert len(loaded.errors) <= MAX_PROBLEMS + 1
    many = load_json(config(task(environment={f"A{i}": i for i in range(5000)})))
    assert len(many.errors) == MAX_PROBLEMS + 1
    assert many.errors[-1].message == "there is more; only the first 500 are shown"


@pytest.mark.parametrize(
    ("tasks", "more", "message"),
    [
        pytest.param(41, {"steps": [{"clone": {}}] * 1_000}, "41,000 steps in all; at most 40,000", id="steps"),
        pytest.param(40, {"steps": [{"clone": {}}] * 1_000}, None, id="as many steps as may be"),
        pytest.param(
            51, {"depends": [f"t{n}" for n in range(2_000)]}, "102,000 parents in all; at most 100,000", id="parents"
        ),
    ],
)
def test_a_run_has_a_bound_over_all_its_tasks(tasks: int, more: dict[str, Any], message: str | None) -> None:
    document = config(*(task(f"t{n}", **more) for n in range(tasks)))

    # Not written down first: as text it would be larger than a file may be.
    errors = check_document(Document(document), drivers=ABLE).errors

    counted = [error.message for error in errors if error.path == "runs[0].tasks"]
    assert counted == ([] if message is None else [f"the tasks have {message} are allowed in a run"])


def test_missing_configuration_names_what_was_looked_for() -> None:
    loaded = load(MappingFiles({"README.md": "x"}), BRANCH)
    assert [e.message for e in loaded.errors] == [
        "there is no run configuration; looked for .sluice/config.jsonnet, .sluice/config.json, .sluice/config.yml,"
        " .agola/config.jsonnet, .agola/config.json, .agola/config.yml"
    ]


def test_loading_changes_nothing_in_the_document() -> None:
    document = config(task(depends=[], approval=True, steps=[{"run": "x"}]))
    before = copy.deepcopy(document)
    assert load_json(document).document == before
