"""Which layer of a task's environment wins (run-config.md, "What a task's environment holds")."""

from __future__ import annotations

from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_server.runs.ports import EngineSettings
from sluiceway_server.runs.specification import specify
from tests.support.run_engine import definition


def values(**named: str) -> dict[str, definition_api.EnvironmentValue]:
    return {name: definition_api.EnvironmentValue(value=value) for name, value in named.items()}


def environment(
    *,
    task: dict[str, str],
    static: dict[str, str],
    environment: dict[str, str],
    api_url: str = "http://sluice",
    **inputs: str,
) -> dict[str, str]:
    config = pb.RunConfig(
        tasks=[definition("a", environment=values(**task))],
        static_environment=values(**static),
        environment=values(**environment),
        source=definition_api.Source(repository="u", ref="refs/heads/main", branch="main", commit_sha="c" * 40),
    )
    given = [definition_api.Input(name=name, value=text) for name, text in inputs.items()]
    run = pb.RunRecord(run=api.Run(id="run", number=7, inputs=given))
    record = pb.TaskRecord(task=api.Task(id="task", name="a"))
    return dict(specify(run, config, record, EngineSettings(server_id="s", api_url=api_url), {}).environment)


def test_later_layers_win() -> None:
    names = ("A", "B", "C", "SLUICE_GIT_TAG", "SLUICE_RUN_ID")
    found = environment(
        task=dict.fromkeys(names, "task"),
        static=dict.fromkeys(names[1:], "static"),
        environment=dict.fromkeys(names[2:], "environment"),
    )
    assert [found[name] for name in names] == ["task", "static", "environment", "environment", "run"]


def test_source_and_task_are_named() -> None:
    assert environment(task={}, static={}, environment={}) == {
        "CI": "true",
        "SLUICE_REPOSITORY_URL": "u",
        "SLUICE_GIT_REF_TYPE": "",
        "SLUICE_GIT_REF": "refs/heads/main",
        "SLUICE_GIT_BRANCH": "main",
        "SLUICE_GIT_TAG": "",
        "SLUICE_GIT_COMMIT_SHA": "c" * 40,
        "SLUICE_PULL_REQUEST_ID": "",
        "SLUICE_RUN_ID": "run",
        "SLUICE_RUN_NUMBER": "7",
        "SLUICE_TASK_NAME": "a",
        "SLUICE_API_URL": "http://sluice",
    }


def test_ci_of_a_task_holds_only_without_the_static_one() -> None:
    assert environment(task={"CI": "no"}, static={}, environment={})["CI"] == "no"
    assert environment(task={"CI": "no"}, static={"CI": "true"}, environment={})["CI"] == "true"


def test_agola_names_are_set_if_the_static_environment_has_one() -> None:
    found = environment(task={}, static={"AGOLA_GIT_REF": "r"}, environment={}, api_url="")
    assert (found["AGOLA_RUN_ID"], found["AGOLA_GIT_REF"], found["AGOLA_GIT_BRANCH"]) == ("run", "r", "main")
    assert "SLUICE_API_URL" not in found


def test_inputs_are_variables_that_win_over_others() -> None:
    other = {"SLUICE_INPUT_DRY_RUN": "other", "SLUICE_INPUT_X": "kept"}
    found = environment(task=other, static=other, environment=other, dry_run="true")
    assert (found["SLUICE_INPUT_DRY_RUN"], found["SLUICE_INPUT_X"]) == ("true", "kept")
