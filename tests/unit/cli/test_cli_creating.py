"""From a commit to the requests that create its runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sluiceway.cli.creating import requests_for
from sluiceway.cli.repository import Checkout
from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.runconfig.files import MappingFiles
from sluiceway_common.runconfig.when import Context

SHA = "0123456789" * 4
TASK = {"name": "build", "runtime": {"containers": [{"image": "host"}]}, "steps": [{"run": "true"}]}


def run(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "tasks": [TASK], **more}


def checkout(
    *runs: dict[str, Any], branch: str = "main", message: str = "first", name: str = "app", text: str | None = None
) -> Checkout:
    context = Context(
        ref_type="branch" if branch else "",
        ref=f"refs/heads/{branch}" if branch else SHA,
        branch=branch,
        commit_sha=SHA,
    )
    config = json.dumps({"runs": list(runs)}) if text is None else text
    files = MappingFiles({".sluice/config.json": config})
    return Checkout(f"/srv/{name}", name, context, message, files)  # type: ignore[arg-type]  # read as files of git are


def test_each_run_whose_when_matches_is_created() -> None:
    made = requests_for(
        checkout(run("one"), run("two"), run("other", when={"branch": "release"})),
        name=None,
        group=None,
        request_id=None,
    )
    assert [request.run.name for request in made] == ["one", "two"]
    assert all([task.name for task in request.tasks] == ["build"] for request in made)
    assert len({request.request_id for request in made}) == 2


def test_named_run_is_created_whatever_its_when() -> None:
    commit = checkout(run("one"), run("other", when={"branch": "release"}))
    made = requests_for(commit, name="other", group=None, request_id=None)
    assert [request.run.name for request in made] == ["other"]


def test_unknown_run_name_is_not_found() -> None:
    with pytest.raises(NotFound, match="nobody"):
        requests_for(checkout(run("one")), name="nobody", group=None, request_id=None)


def test_commit_to_which_no_run_applies_says_what_to_do() -> None:
    with pytest.raises(NotFound, match="--name") as caught:
        requests_for(checkout(run("one", when={"branch": "release"})), name=None, group=None, request_id=None)
    assert caught.value.reason == "NO_RUN_APPLIES"


@pytest.mark.parametrize(
    ("name", "expected"), [(None, "app"), ("ci", "ci")], ids=["after the repository", "as it was named"]
)
def test_invalid_configuration_creates_one_run_with_its_errors(name: str | None, expected: str) -> None:
    broken = checkout({"name": "one", "tasks": [{"name": "a"}, {"name": "b"}], "odd": 1})
    (made,) = requests_for(broken, name=name, group=None, request_id="x")
    assert (made.run.name, len(made.tasks), made.request_id) == (expected, 0, "x")
    assert len(made.setup_errors) > 1


def test_errors_and_warnings_name_the_file_and_the_place() -> None:
    text = '{"runs": [\n{"name": "one", "tasks": 5}]}'
    (broken,) = requests_for(checkout(text=text), name=None, group=None, request_id=None)
    assert list(broken.setup_errors) == [".sluice/config.json:2:17: runs[0].tasks: must be a list, not a number"]
    alike = checkout({"name": "one", "tasks": [TASK, {**TASK, "name": "Build"}]})
    (made,) = requests_for(alike, name=None, group=None, request_id=None)
    (warning,) = made.warnings
    assert warning.startswith(".sluice/config.json:1:")
    (missing,) = requests_for(checkout(text=""), name=None, group=None, request_id=None)
    assert list(missing.setup_errors) == [".sluice/config.json:1:1: the file is empty"]


def test_uncommitted_configuration_is_named(tmp_path: Path) -> None:
    (tmp_path / ".sluice").mkdir()
    commit = replace(checkout(), repository=str(tmp_path), files=MappingFiles({}))  # type: ignore[arg-type]
    (without,) = requests_for(commit, name=None, group=None, request_id=None)
    assert len(without.setup_errors) == 1
    (tmp_path / ".sluice" / "config.yml").write_text("runs: []\n")
    (made,) = requests_for(commit, name=None, group=None, request_id=None)
    assert made.setup_errors[0].startswith("there is no run configuration; looked for .sluice/config.jsonnet")
    assert made.setup_errors[1:] == [
        ".sluice/config.yml is in the working tree, and not in commit 012345678901; commit it"
    ]


def test_errors_of_a_configuration_always_fit_a_request() -> None:
    broken = checkout({"name": "one", "tasks": [{"name": "a", "environment": {f"A{i}": i for i in range(5000)}}]})
    (made,) = requests_for(broken, name=None, group=None, request_id=None)
    assert 500 <= len(made.setup_errors) <= 1000


def test_long_repository_name_is_cut_to_a_valid_run_name() -> None:
    (made,) = requests_for(checkout(text="{", name="n" * 200), name=None, group=None, request_id=None)
    assert made.run.name == "n" * 100


GROUPS = {
    "a branch": ("main", None, "/user/me/app/main"),
    "a branch with a slash": ("feature/x", None, "/user/me/app/feature%2Fx"),
    "no branch": ("", None, f"/user/me/app/{SHA}"),
    "as it was named": ("main", "/user/me/nightly", "/user/me/nightly"),
}


@pytest.mark.parametrize(("branch", "group", "expected"), GROUPS.values(), ids=GROUPS.keys())
def test_group_defaults_to_repository_and_ref(branch: str, group: str | None, expected: str) -> None:
    (made,) = requests_for(checkout(run("one"), branch=branch), name=None, group=group, request_id=None)
    assert made.run.group == expected


def test_request_id_of_one_run_is_as_it_was_given() -> None:
    (made,) = requests_for(checkout(run("one")), name=None, group=None, request_id="once")
    assert made.request_id == "once"


@pytest.mark.parametrize("given", ["once", "o" * 100], ids=["short", "as long as it may be"])
def test_request_ids_of_several_runs_differ_and_repeat(given: str) -> None:
    commit = checkout(run("one"), run("two"))
    first, again = (
        [r.request_id for r in requests_for(commit, name=None, group=None, request_id=given)] for _ in range(2)
    )
    assert first == again
    assert len(set(first)) == 2
    assert all(len(request_id) <= 100 for request_id in first)


def test_run_has_its_origin_which_its_tasks_see() -> None:
    (made,) = requests_for(checkout(run("one")), name=None, group=None, request_id=None)
    source = made.source
    assert (source.repository, source.ref, source.branch, source.commit_sha, source.message) == (
        "/srv/app",
        "refs/heads/main",
        "main",
        SHA,
        "first",
    )
    assert made.static_environment["SLUICE_GIT_COMMIT_SHA"].value == SHA
    assert made.static_environment["CI"].value == "true"


def test_commit_that_asks_for_no_run_is_run_with_a_warning() -> None:
    (made,) = requests_for(checkout(run("one"), message="typo [ci skip]"), name=None, group=None, request_id=None)
    assert any("asks for no run" in warning for warning in made.warnings)


def test_request_has_the_priority_and_timeout_of_the_run() -> None:
    (made,) = requests_for(checkout(run("one", priority=3, timeout="90m")), name=None, group=None, request_id=None)
    assert (made.run.priority, made.run.timeout.seconds) == (3, 5400)
