"""From a configuration to the tasks that the API takes."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration

from sluiceway.api.run.v1 import definition_pb2
from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.runconfig.compile import check_document
from sluiceway_common.runconfig.documents import Document
from sluiceway_common.runconfig.environment import has_agola_names, run_environment, skips_ci, static_environment
from sluiceway_common.runconfig.model import Config
from sluiceway_common.runconfig.runs import runs_that_apply, variables_of_run
from sluiceway_common.runconfig.tasks import project_variables, tasks_of_run
from sluiceway_common.runconfig.when import Context
from sluiceway_server.runs.environment_values import values_of_task
from tests.support.drivers import ABLE

RUNTIME = {"containers": [{"image": "host"}]}
MAIN = Context(ref_type="branch", ref="refs/heads/main", branch="main", commit_sha="c" * 40)


def load(document: Any) -> Config:
    loaded = check_document(Document(document), drivers=ABLE)
    assert loaded.errors == ()
    assert loaded.config is not None
    return loaded.config


def only_task(task: dict[str, Any], **top: Any) -> dict[str, Any]:
    config = load({"runs": [{"name": "r", "tasks": [{"name": "a", "runtime": RUNTIME, **task}]}], **top})
    return as_json(tasks_of_run(config, "r", MAIN).tasks[0])


def as_json(task: definition_pb2.TaskDefinition) -> dict[str, Any]:
    return json_format.MessageToDict(task)


EVERYTHING: dict[str, Any] = {
    "docker_registries_auth": {"top.io": {"username": "u", "password": {"from_variable": "PASSWORD"}}},
    "task_timeout_interval": "3h",
    "runs": [
        {
            "name": "r",
            "timeout": "1d",
            "priority": 3,
            "when": {"branch": "main"},
            "docker_registries_auth": {"run.io": {"type": "encodedauth", "auth": "x"}},
            "task_timeout_interval": "2h",
            "tasks": [
                {"name": "first", "runtime": RUNTIME, "when": {"tag": "/./"}},
                {
                    "name": "second",
                    "runtime": {
                        "type": "pod",
                        "arch": "arm64",
                        "containers": [
                            {
                                "image": "python",
                                "environment": {"A": "1"},
                                "user": "1000",
                                "privileged": True,
                                "entrypoint": "sleep inf",
                                "volumes": [{"path": "/t", "tmpfs": {"size": "1Gi"}}, {"path": "/u", "tmpfs": {}}],
                                "resources": {"cpu": 0.5, "memory": "512Mi"},
                            },
                            {"image": "postgres", "ready": 5432},
                            {"image": "redis", "ready": {"command": "redis-cli ping"}},
                        ],
                    },
                    "environment": {"B": {"from_variable": "TOKEN"}, "C": {"from_variable": "UNSET"}},
                    "working_dir": "~/w",
                    "shell": "/bin/bash -e",
                    "user": "root",
                    "steps": [
                        {"clone": None},
                        {"type": "clone", "depth": 1, "recurse_submodules": True},
                        {"run": "make"},
                        {"run": {"name": "n", "command": "a\nb", "environment": {"D": "x"}, "working_dir": "/",
                                 "shell": "sh", "tty": True, "always": True, "when": {"branch": "other"}}},
                        {"save_to_workspace":
                            {"contents": [{"source_dir": ".", "dest_dir": "/bin/", "paths": ["**"]}]}},
                        {"restore_workspace": {"dest_dir": "d"}},
                        {"save_cache": {"key": "k-{{ arch }}", "contents": [{"source_dir": "/c"}]}},
                        {"restore_cache": {"keys": ["k-", "k"], "dest_dir": "/c"}},
                        {"save_artifacts": {"name": "logs", "paths": ["*.log"]}},
                        {"save_reports": {"paths": ["r/*.xml"]}},
                    ],
                    "depends": ["first", ],
                    "ignore_failure": True,
                    "approval": {"timeout": "1h30m"},
                    "lock": "deploy",
                    "docker_registries_auth": {"top.io": {"username": "other", "password": "p"}},
                    "task_timeout_interval": "90s",
                    "retry": {"max_attempts": 3, "on": ["lost", "failed"]},
                    "labels": {"gpu": "yes"},
                    "priority": -2,
                    "resources": {"memory": 1024},
                },
                {"name": "third", "runtime": RUNTIME, "depends": [{"second": ["on_failure", "on_skipped"]}]},
            ],
        },
        {"name": "on tags", "when": {"tag": "/./"}, "tasks": [{"name": "a", "runtime": RUNTIME}]},
    ],
}  # fmt: skip

REGISTRIES = {
    "top.io": {"type": "basic", "username": {"value": "u"}, "password": {"value": "p1"}},
    "run.io": {"type": "encodedauth", "auth": {"value": "x"}},
}


def test_variables_of_a_project_are_left_to_the_server() -> None:
    config = load(EVERYTHING)
    made = tasks_of_run(config, "r", MAIN, variables=project_variables(config, "r"))
    assert made.warnings == ()
    names = {value.variable for task in made.tasks for _, value in values_of_task(task) if value.HasField("variable")}
    assert names == {"TOKEN", "UNSET", "PASSWORD"}


def test_every_field_reaches_the_api() -> None:
    secret = {"secret": {"id": "s", "key": "k", "version": "4"}}
    token = json_format.ParseDict(secret, definition_pb2.EnvironmentValue())
    made = tasks_of_run(load(EVERYTHING), "r", MAIN, variables={"TOKEN": token, "PASSWORD": "p1"})
    assert (made.name, made.applies, made.priority, made.timeout) == ("r", True, 3, Duration(seconds=86400))
    assert made.warnings == ('variable "UNSET" is not set; task "second" gets an empty string',)
    first, second, third = map(as_json, made.tasks)
    assert first == {
        "name": "first",
        "runtime": {"type": "pod", "containers": [{"image": "host"}]},
        "skip": True,
        "dockerRegistriesAuth": REGISTRIES,
        "taskTimeoutInterval": "7200s",
    }
    assert third["depends"] == [
        {"task": "second", "conditions": ["DEPEND_CONDITION_ON_FAILURE", "DEPEND_CONDITION_ON_SKIPPED"]}
    ]
    assert second == {
        "name": "second",
        "runtime": {
            "type": "pod",
            "arch": "arm64",
            "containers": [
                {
                    "image": "python",
                    "environment": {"A": {"value": "1"}},
                    "user": "1000",
                    "privileged": True,
                    "entrypoint": "sleep inf",
                    "volumes": [{"path": "/t", "tmpfs": {"sizeBytes": str(1 << 30)}}, {"path": "/u", "tmpfs": {}}],
                    "resources": {"cpuMillis": "500", "memoryBytes": str(512 << 20)},
                },
                {"image": "postgres", "ready": {"port": 5432}},
                {"image": "redis", "ready": {"command": "redis-cli ping"}},
            ],
        },
        "environment": {"B": secret, "C": {"value": ""}},
        "workingDir": "~/w",
        "shell": "/bin/bash -e",
        "user": "root",
        "steps": [
            {"name": "clone", "clone": {}},
            {"name": "clone", "clone": {"depth": 1, "recurseSubmodules": True}},
            {"name": "make", "run": {"command": "make"}},
            {
                "name": "n",
                "always": True,
                "skip": True,
                "run": {
                    "command": "a\nb",
                    "environment": {"D": {"value": "x"}},
                    "workingDir": "/",
                    "shell": "sh",
                    "tty": True,
                },
            },
            {
                "name": "save to workspace",
                "saveToWorkspace": {"contents": [{"sourceDir": ".", "destDir": "/bin/", "paths": ["**"]}]},
            },
            {"name": "restore workspace", "restoreWorkspace": {"destDir": "d"}},
            {"name": "save cache", "saveCache": {"key": "k-{{ arch }}", "contents": [{"sourceDir": "/c"}]}},
            {"name": "restore cache", "restoreCache": {"keys": ["k-", "k"], "destDir": "/c"}},
            {"name": "logs", "saveArtifacts": {"artifactName": "logs", "paths": ["*.log"]}},
            {"name": "save reports", "saveReports": {"paths": ["r/*.xml"]}},
        ],
        "depends": [{"task": "first", "conditions": ["DEPEND_CONDITION_ON_SUCCESS"]}],
        "ignoreFailure": True,
        "approval": {"timeout": "5400s"},
        "lock": "deploy",
        "dockerRegistriesAuth": {
            **REGISTRIES,
            "top.io": {"type": "basic", "username": {"value": "other"}, "password": {"value": "p"}},
        },
        "taskTimeoutInterval": "90s",
        "retry": {"maxAttempts": 3, "on": ["RETRY_CAUSE_LOST", "RETRY_CAUSE_FAILED"]},
        "labels": {"gpu": "yes"},
        "priority": -2,
        "resources": {"memoryBytes": "1024"},
    }


@pytest.mark.parametrize(
    ("task", "run", "top", "expected"),
    [
        pytest.param("10s", "20s", "30s", "10s", id="task-over-run"),
        pytest.param(None, "20s", "30s", "20s", id="run-over-top"),
        pytest.param(None, None, "30s", "30s", id="top"),
        pytest.param(None, None, None, "3600s", id="one-hour-otherwise"),
    ],
)
def test_task_timeout_is_the_nearest(task: str | None, run: str | None, top: str | None, expected: str) -> None:
    document = {
        "task_timeout_interval": top,
        "runs": [
            {
                "name": "r",
                "task_timeout_interval": run,
                "tasks": [{"name": "a", "runtime": RUNTIME, "task_timeout_interval": task}],
            }
        ],
    }
    assert tasks_of_run(load(document), "r", MAIN).tasks[0].task_timeout_interval.ToJsonString() == expected


def test_id_tokens_have_each_audience_once() -> None:
    tokens = {"A": {"aud": "a"}, "B": {"aud": ["b", "a", "b"]}}
    assert only_task({"id_tokens": tokens})["idTokens"] == {"A": {"audiences": ["a"]}, "B": {"audiences": ["b", "a"]}}


@pytest.mark.parametrize(
    ("approval", "expected"),
    [
        (True, {"timeout": "604800s"}),
        ({}, {"timeout": "604800s"}),
        ({"timeout": "1h"}, {"timeout": "3600s"}),
        (False, None),
    ],
)
def test_approval_waits_seven_days_unless_set(approval: Any, expected: Any) -> None:
    assert only_task({"approval": approval}).get("approval") == expected


def test_retry_has_its_causes_spelled_out() -> None:
    retry = only_task({"retry": {"max_attempts": 2}})["retry"]
    assert retry == {"maxAttempts": 2, "on": ["RETRY_CAUSE_FAILED", "RETRY_CAUSE_TIMEOUT", "RETRY_CAUSE_SETUP"]}


def test_run_of_a_fork_has_no_priority() -> None:
    made = tasks_of_run(load(EVERYTHING), "r", MAIN, from_fork=True)
    assert made.priority == 0
    assert all(task.priority == 0 for task in made.tasks)


def test_depend_forms_mean_the_same() -> None:
    forms = ["first", {"first": ["on_success"]}, {"first": "on_success"}, {"task": "first"},
             {"task": "first", "conditions": ["on_success"]}]  # fmt: skip
    made = []
    for form in forms:
        tasks = [{"name": "first", "runtime": RUNTIME}, {"name": "b", "runtime": RUNTIME, "depends": [form]}]
        made.append(tasks_of_run(load({"runs": [{"name": "r", "tasks": tasks}]}), "r", MAIN).tasks[1].depends)
    assert all(m == made[0] for m in made)


def test_variables_of_a_run_are_those_that_it_uses() -> None:
    assert variables_of_run(load(EVERYTHING), "r") == ("PASSWORD", "TOKEN", "UNSET")


def test_runs_that_apply_follow_their_when() -> None:
    config = load(EVERYTHING)
    assert runs_that_apply(config, MAIN) == ("r",)
    assert runs_that_apply(config, Context(ref_type="tag", ref="refs/tags/v1", tag="v1")) == ("on tags",)


def test_unknown_run_is_not_found_with_a_hint() -> None:
    with pytest.raises(NotFound, match='has no run "on tag": did you mean `on tags`'):
        tasks_of_run(load(EVERYTHING), "on tag", MAIN)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("make test", "make test"),
        ("x" * 40, "x" * 40),
        ("x" * 41, "x" * 39 + "…"),
        ("df -h /mnt/x; ls -la / /mnt; cat /etc/mtab", "df -h /mnt/x; ls -la / /mnt; cat /etc/m…"),
        ("python3 -m unittest discover --verbosed -s tests", "python3 -m unittest discover --verbosed…"),
        ("\n  make\n", "make"),
        ("printf '\u200b[1m'", "printf '[1m'"),
        ("echo ü 日本語", "echo ü 日本語"),
    ],
)
def test_unnamed_step_is_named_after_its_command(command: str, name: str) -> None:
    assert only_task({"steps": [{"run": command}]})["steps"][0]["name"] == name


# The environment


def test_static_environment_says_where_a_run_came_from() -> None:
    assert static_environment(MAIN, repository_url="https://git.example/r.git") == {
        "CI": "true",
        "SLUICE_REPOSITORY_URL": "https://git.example/r.git",
        "SLUICE_GIT_REF_TYPE": "branch",
        "SLUICE_GIT_REF": "refs/heads/main",
        "SLUICE_GIT_BRANCH": "main",
        "SLUICE_GIT_TAG": "",
        "SLUICE_GIT_COMMIT_SHA": "c" * 40,
        "SLUICE_PULL_REQUEST_ID": "",
    }


@pytest.mark.parametrize("agola", [False, True])
def test_agola_names_are_there_for_its_folder_only(agola: bool) -> None:
    static = static_environment(MAIN, repository_url="u", agola=agola)
    run = run_environment(run_id="i", run_number=7, task_name="t", api_url="http://x", agola=has_agola_names(static))
    ours = {"SLUICE_RUN_ID": "i", "SLUICE_RUN_NUMBER": "7", "SLUICE_TASK_NAME": "t", "SLUICE_API_URL": "http://x"}
    theirs = {name.replace("SLUICE_", "AGOLA_"): value for name, value in ours.items()} | {"AGOLA_RUN_COUNTER": "7"}
    assert run == ({**ours, **theirs} if agola else ours)
    assert ("AGOLA_GIT_BRANCH" in static) is agola


@pytest.mark.parametrize(
    ("message", "skips"),
    [
        ("fix [ci skip]", True),
        ("a\n\nb [skip ci] c", True),
        ("[CI SKIP]", True),
        ("ci skip", False),
        ("[skipci]", False),
    ],
)
def test_commit_message_may_ask_for_no_run(message: str, skips: bool) -> None:
    assert skips_ci(message) is skips
