"""Configurations of other systems as jsonnet: files with their features, conditions one by one, and bad input."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluiceway.importing.building import exact_or_expression
from sluiceway.importing.document import Unsupported
from sluiceway.importing.github_conditions import when_of
from sluiceway.importing.gitlab_jobs import duration_of
from sluiceway.importing.gitlab_rules import when_of_rules
from sluiceway.importing.importers import System, comments_in, convert
from sluiceway.importing.yaml_values import MAX_BYTES, read_yaml
from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_common.runconfig.compile import LoadResult, load_source
from sluiceway_common.runconfig.files import FolderFiles
from sluiceway_common.runconfig.when import Context

FILES = Path(__file__).parents[2] / "fixtures" / "imports"
CONFIGURATIONS = sorted(path for path in FILES.rglob("*") if path.suffix in {".yml", ".yaml"})
BOMB = b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in b"bcdefgh")
PULLS = "#^refs/(pull|merge-requests)/#"


def loaded(text: str, folder: Path) -> LoadResult:
    context = Context("branch", "refs/heads/main", "main")
    return load_source(".sluice/config.jsonnet", text.encode(), FolderFiles(folder), context)


def converted(system: System, text: str, name: str = "ci.yml") -> str:
    return convert(system, [(name, text.encode())])


def rendered(system: System, text: str, folder: Path) -> dict[str, Any]:
    """Return the document that a configuration becomes."""
    found = loaded(converted(system, text), folder)
    assert not found.errors, found.errors
    assert isinstance(found.document, dict)
    return found.document


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: f"{path.parent.name} {path.name}")
def test_result_is_as_stored_and_has_no_errors(path: Path, tmp_path: Path) -> None:
    made = convert(System(path.parent.name), [(path.name, path.read_bytes())])
    assert made == path.with_name(f"{path.stem.lstrip('.')}.jsonnet").read_text()
    assert not loaded(made, tmp_path).errors
    assert comments_in(made) > 0 or path.name == "graph.yaml"


def test_files_become_runs_with_names_of_their_own(tmp_path: Path) -> None:
    job = "name: Same\non: push\njobs:\n  test:\n    strategy: {matrix: {a: ['1', '2']}}\n    steps: [{run: ls}]\n"
    made = convert(System.GITHUB_ACTIONS, [("a.yml", job.encode()), ("b.yml", job.encode())])
    document = loaded(made, tmp_path).document
    assert isinstance(document, dict)
    assert [run["name"] for run in document["runs"]] == ["Same", "Same 2"]
    assert [[task["name"] for task in run["tasks"]] for run in document["runs"]] == [["test 1", "test 2"]] * 2


@pytest.mark.parametrize(
    ("condition", "when"),
    [
        ("github.ref == 'refs/heads/main'", {"branch": "main"}),
        ("github.ref == 'refs/tags/v1'", {"ref": "refs/tags/v1"}),
        ("github.ref_name == 'x'", {"branch": "x", "tag": "x"}),
        ("startsWith(github.ref, 'refs/tags/')", {"tag": "/.*/"}),
        ("startsWith(github.ref, 'refs/heads/rel-')", {"branch": "#^rel\\-#"}),
        ("github.event_name == 'push'", {"branch": "/.*/", "tag": "/.*/"}),
        ("github.event_name == 'pull_request'", {"ref": PULLS}),
        ("github.event_name == 'push' && github.ref == 'refs/heads/main'", {"branch": "main"}),
        ("success() && github.ref_type == 'tag'", {"tag": "/.*/"}),
    ],
)
def test_condition_of_github_is_a_rule(condition: str, when: dict[str, Any]) -> None:
    assert when_of(condition) == when


@pytest.mark.parametrize(
    "condition",
    [
        "github.actor == 'bob'",
        "github.ref == 'refs/heads/main' || true",
        "github.ref != 'refs/heads/main'",
        "github.ref == 'refs/heads/a' && github.ref == 'refs/heads/b'",
        "github.event_name == 'pull_request' && github.ref == 'refs/heads/a'",
        "!startsWith(github.ref, 'refs/tags/')",
    ],
)
def test_other_condition_of_github_needs_a_person(condition: str, tmp_path: Path) -> None:
    with pytest.raises(Unsupported):
        when_of(condition)
    workflow = json.dumps({"on": "push", "jobs": {"a": {"if": condition, "steps": [{"run": "ls"}]}}})
    (task,) = rendered(System.GITHUB_ACTIONS, workflow, tmp_path)["runs"][0]["tasks"]
    assert task["approval"] is True
    assert condition in converted(System.GITHUB_ACTIONS, workflow).replace("\n", "")


@pytest.mark.parametrize(
    ("on", "when"),
    [
        ("push", {"branch": "/.*/", "tag": "/.*/"}),
        (["push", "pull_request"], None),
        ("pull_request", {"ref": PULLS}),
        ({"push": {"branches": ["main"]}}, {"branch": "main"}),
        ({"push": {"tags": ["v*"]}, "pull_request": None}, {"tag": "#^v[^/]*$#", "ref": PULLS}),
        ({"push": {"branches-ignore": ["x"]}}, {"branch": {"include": ["/.*/"], "exclude": ["x"]}}),
        ({"push": {"paths": ["src/**"]}}, {"branch": "/.*/", "tag": "/.*/", "paths": "src/**"}),
        ("workflow_dispatch", None),
    ],
)
def test_events_of_github_are_rules_of_the_run(on: Any, when: dict[str, Any] | None, tmp_path: Path) -> None:
    workflow = json.dumps({"on": on, "jobs": {"a": {"steps": [{"run": "ls"}]}}})
    (run,) = rendered(System.GITHUB_ACTIONS, workflow, tmp_path)["runs"]
    assert run.get("when") == when


@pytest.mark.parametrize(
    ("on", "inputs"),
    [
        ("workflow_dispatch", {"by_hand": {"type": "choice", "options": ["yes"], "required": True}}),
        (
            {"workflow_dispatch": {"inputs": {"A-b": {"required": True, "description": "it"}}}},
            {"a_b": {"type": "string", "required": True, "description": "it"}},
        ),
        ({"push": None, "workflow_dispatch": {"inputs": {"a": {"required": True}}}}, {"a": {"type": "string"}}),
        ("push", None),
    ],
)
def test_inputs_of_github_are_those_of_the_run(on: Any, inputs: dict[str, Any] | None, tmp_path: Path) -> None:
    workflow = json.dumps({"on": on, "jobs": {"a": {"steps": [{"run": "ls"}]}}})
    (run,) = rendered(System.GITHUB_ACTIONS, workflow, tmp_path)["runs"]
    assert run.get("inputs") == inputs


@pytest.mark.parametrize(
    ("rules", "when"),
    [
        ([{"if": "$CI_COMMIT_TAG"}], {"tag": "/.*/"}),
        ([{"if": '$CI_COMMIT_BRANCH == "x"'}], {"branch": "x"}),
        ([{"if": "$CI_COMMIT_BRANCH =~ /^rel-/"}], {"branch": "/^rel-/"}),
        ([{"if": '$CI_PIPELINE_SOURCE == "merge_request_event"'}], {"ref": PULLS}),
        ([{"if": "$CI_COMMIT_TAG || $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"}], {"tag": "/.*/", "branch": "main"}),
        (
            [{"if": "$CI_COMMIT_TAG", "when": "never"}, {"when": "always"}],
            {"branch": "/.*/", "tag": {"include": ["/.*/"], "exclude": ["/.*/"]}, "ref": PULLS},
        ),
        ([{"changes": ["a/*"]}], {"paths": ["a/*"]}),
        ([{"when": "on_success"}], {}),
        ([{"when": "never"}], {"branch": {"include": [], "exclude": ["/.*/"]}}),
    ],
)  # fmt: skip
def test_rules_of_gitlab_are_rules_of_when(rules: list[dict[str, Any]], when: dict[str, Any]) -> None:
    assert when_of_rules(rules, []) == when


@pytest.mark.parametrize(
    "rule", [{"exists": ["a"]}, {"if": "$X"}, {"if": '$CI_COMMIT_BRANCH != "x"'}, {"changes": ["a"], "when": "never"}]
)
def test_other_rule_of_gitlab_is_not_guessed(rule: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        when_of_rules([rule], [])


def test_skipped_job_keeps_none_from_running_at_gitlab(tmp_path: Path) -> None:
    pipeline = {
        "stages": ["a", "b"],
        "one": {"stage": "a", "script": "ls", "rules": [{"if": "$CI_COMMIT_TAG"}]},
        "two": {"stage": "a", "script": "ls", "allow_failure": True},
        "three": {"stage": "a", "script": "ls", "when": "manual"},
        "four": {"stage": "b", "script": "ls"},
    }
    tasks = {t["name"]: t for t in rendered(System.GITLAB, json.dumps(pipeline), tmp_path)["runs"][0]["tasks"]}
    assert tasks["four"]["depends"] == [
        {"task": "one", "conditions": ["on_success", "on_skipped"]},
        {"task": "two", "conditions": ["on_success", "on_failure"]},
    ]
    assert tasks["three"]["approval"] is True


@pytest.mark.parametrize(
    ("said", "meant"),
    [("1h 30m", "90m"), ("90 minutes", "90m"), ("2 days", "2880m"), ("10s", "10s"), ("soon", ""), ("1 month", "")],
)
def test_duration_of_gitlab(said: str, meant: str) -> None:
    assert duration_of(said) == meant


@pytest.mark.parametrize(
    ("pattern", "rule"),
    [
        ("main", "main"),
        ("/odd/", "/^/odd/$/"),
        ("v*", "#^v[^/]*$#"),
        ("releases/**", "#^releases/.*$#"),
        ("**/x", "#^(.*/)?x$#"),
        ("v[0-9]+.x", "#^v[0-9]+\\.x$#"),
        ("{a,b}/c", "#^(a|b)/c$#"),
    ],
)
def test_pattern_for_refs(pattern: str, rule: str) -> None:
    assert exact_or_expression(pattern) == rule


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"a: [", "ci.yml:[12]:"),
        (b"- a", "no mapping"),
        (b"", "no mapping"),
        (b"\xff\xfe", "not UTF-8"),
        (b"? [a]\n: b", "a key is no text"),
        (b"a: &a [*a]", "nested too deeply"),
        (b"a: &a [x,x,x,x,x,x,x,x,x]\n" + BOMB, "expand to too much"),
        (b"x" * (MAX_BYTES + 1), "1 MiB"),
        (b"a: " + b"[" * 500 + b"]" * 500, "nested too deeply"),
    ],
    ids=["syntax", "list", "empty", "encoding", "key", "cycle", "bomb", "size", "depth"],
)  # fmt: skip
def test_file_that_cannot_be_read(source: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_yaml(source, "ci.yml")


def test_matrix_that_is_too_large_is_refused() -> None:
    axes = {f"axis{number}": list("abcdefghij") for number in range(9)}
    workflow = json.dumps({"on": "push", "jobs": {"a": {"strategy": {"matrix": axes}, "steps": []}}})
    pipeline = json.dumps({"a": {"script": "ls", "parallel": {"matrix": [axes]}}})
    graph = json.dumps({"matrix": axes, "steps": []})
    for system, text in zip(System, (workflow, pipeline, graph), strict=True):
        with pytest.raises(InvalidInput, match="more than 1000 combinations"):
            converted(system, text)


OTHERS: list[Any] = [
    None,
    True,
    "",
    "x",
    "${{ matrix.x }}",
    "$CI_X",
    "a\nb'\"|||\\\u202e",
    [],
    ["y", {"z": []}],
    {},
    {"k": None},
]


def replaced(value: Any, choose: random.Random) -> Any:
    """Return a value in which something was replaced by something else."""
    if not isinstance(value, dict | list) or not value or choose.random() < 0.1:
        return choose.choice(OTHERS)
    if isinstance(value, list):
        index = choose.randrange(len(value))
        return [replaced(each, choose) if at == index else each for at, each in enumerate(value)]
    key = choose.choice(sorted(value))
    return {name: replaced(each, choose) if name == key else each for name, each in value.items()}


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: f"{path.parent.name} {path.name}")
def test_file_with_strange_values_becomes_valid_jsonnet(path: Path, tmp_path: Path) -> None:
    good = yaml.load(path.read_bytes().replace(b"!reference", b""), Loader=yaml.BaseLoader)
    choose = random.Random(path.name)
    for number in range(120):
        text = yaml.safe_dump(replaced(good, choose), allow_unicode=True)
        try:
            made = converted(System(path.parent.name), text)
        except InvalidInput:
            continue
        if number % 24 == 0:
            found = loaded(made, tmp_path)
            assert found.document is not None, (text, made, [str(each) for each in found.errors])
