"""Runs by hand: of branches, tags, commits and pull requests, with variables and with values of inputs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluiceway.api.project.v1 import delivery_service_pb2 as api
from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput, NotFound
from sluiceway_common.foundation.rpc.caller import as_caller
from sluiceway_common.runmodel.model import RestartKind
from sluiceway_server.datamanager.model import Delete
from sluiceway_server.runrecords.types import RUN, RUN_CONFIG
from sluiceway_server.triggers.records import LINK
from tests.service.triggers.conftest import (
    COMMIT,
    EVE,
    OTHER_COMMIT,
    PROJECT_ID,
    TASK,
    Triggers,
    configuration,
    reasons,
    run_project,
)


@pytest.mark.parametrize("from_fork", [False, True], ids=["own", "fork"])
async def test_pull_request_is_run_at_its_head(triggers: Triggers, from_fork: bool) -> None:
    task = {**TASK, "environment": {"TOKEN": {"from_variable": "token"}}}
    triggers.forge.files[COMMIT] = configuration(
        {"name": "docs", "when": {"paths": "docs/**"}}, {"name": "test", "tasks": [task]}
    )
    triggers.forge.changed = ("src/a.py",)
    fork = {"head_repository_id": "99"} if from_fork else {}
    triggers.forge.pull_requests["7"] = {"commit": COMMIT, "base_commit": OTHER_COMMIT, **fork}
    delivery = await run_project(triggers, pull_request_id="7")
    assert (delivery.event, delivery.pull_request_id, delivery.from_fork) == ("manual", "7", from_fork)
    assert reasons(delivery) == {"docs": "PATHS", "test": "RUN_CREATED"}
    (run,) = await triggers.runs()
    assert (run.group, run.source.commit_sha) == (f"/project/{PROJECT_ID}/pull_request/7", COMMIT)
    assert (run.source.ref, run.source.pull_request_id) == ("refs/pull/7/head", "7")
    stored = await triggers.database.get(RUN, run.id)
    assert stored.from_fork == from_fork
    assert ("fork" in run.warnings[0]) == from_fork


async def test_variables_are_of_all_tasks_and_shown(triggers: Triggers) -> None:
    own = {**TASK, "environment": {"TARGET": "staging"}}
    triggers.forge.files[COMMIT] = configuration({"name": "deploy", "tasks": [own]})
    variables = {"TARGET": "production", "TEXT": "a=b\nc"}
    delivery = await run_project(triggers, ref="main", commit_sha=COMMIT, variables=variables)
    assert dict(delivery.variables) == variables
    (run,) = await triggers.runs()
    assert dict(run.variables) == variables
    config = (await triggers.database.get(RUN_CONFIG, run.id)).config
    assert {name: value.value for name, value in config.environment.items()} == variables


async def test_restart_keeps_variables(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "deploy"})
    await run_project(triggers, ref="main", commit_sha=COMMIT, variables={"TARGET": "production"})
    (run,) = await triggers.runs()
    await triggers.world.finish(triggers.engine, run.id, "build", "failed")
    again = (await triggers.engine.restart_run(run.id, RestartKind.FROM_START, by=EVE.id)).value.run
    assert dict(again.variables) == {"TARGET": "production"}
    config = (await triggers.database.get(RUN_CONFIG, again.id)).config
    assert config.environment["TARGET"].value == "production"


SECRET = {"from_variable": "token"}
TASKS_WITH_A_SECRET = {
    "of the task": {**TASK, "environment": {"TOKEN": SECRET}},
    "of a container": {**TASK, "runtime": {"containers": [{"image": "host", "environment": {"TOKEN": SECRET}}]}},
    "of a step": {**TASK, "steps": [{"run": {"command": "true", "environment": {"TOKEN": SECRET}}}]},
    "of a task that is skipped": {**TASK, "environment": {"TOKEN": SECRET}, "when": {"branch": "none"}},
}


@pytest.mark.parametrize("task", TASKS_WITH_A_SECRET.values(), ids=TASKS_WITH_A_SECRET)
async def test_variable_does_not_replace_a_secret(triggers: Triggers, task: dict[str, Any]) -> None:
    triggers.forge.files[COMMIT] = configuration(
        {"name": "deploy", "tasks": [{**TASK, "name": "other"}, task]}, {"name": "test"}
    )
    delivery = await run_project(triggers, ref="main", commit_sha=COMMIT, variables={"TOKEN": "mine"})
    assert reasons(delivery) == {"deploy": "VARIABLE_REFUSED", "test": "RUN_CREATED"}
    assert "take TOKEN from secrets" in delivery.decisions[0].sentence
    assert [run.name for run in await triggers.runs()] == ["test"]


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        pytest.param({"pull_request_id": "0"}, "pull_request_id", "not the number", id="zero"),
        pytest.param({"pull_request_id": "7/../8"}, "pull_request_id", "not the number", id="a path"),
        pytest.param({"pull_request_id": "٧"}, "pull_request_id", "not the number", id="another script"),
        pytest.param({"pull_request_id": "7", "ref": "main"}, "ref", "not together", id="with a ref"),
        pytest.param({"pull_request_id": "7", "commit_sha": COMMIT}, "commit_sha", "not together", id="with a commit"),
        pytest.param({"variables": {"": "x"}}, 'variables[""]', "is not the name", id="no name"),
        pytest.param({"variables": {"A=B": "x"}}, 'variables["A=B"]', "is not the name", id="equals sign"),
        pytest.param({"variables": {"A": "x\0"}}, 'variables["A"]', "NUL", id="NUL"),
        pytest.param({"variables": {"CI": "no"}}, 'variables["CI"]', "the system sets", id="CI"),
        pytest.param({"variables": {"SLUICE_GIT_REF": "x"}}, 'variables["SLUICE_GIT_REF"]', "the system", id="a ref"),
        pytest.param({"variables": {"SLUICE_POD": "x"}}, 'variables["SLUICE_POD"]', "the system sets", id="the pod"),
        pytest.param({"variables": {"A": "x" * 16_384}}, "variables", "at most 16384", id="too large"),
    ],
)
async def test_wrong_run_by_hand_is_refused(triggers: Triggers, fields: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await run_project(triggers, **fields)
    assert [violation.path for violation in caught.value.violations] == [path]
    assert words in caught.value.violations[0].message
    assert await triggers.runs() == []


async def test_pull_request_that_is_not_there_is_not_run(triggers: Triggers) -> None:
    with pytest.raises(NotFound, match="eve/app has no pull request 8") as caught:
        await run_project(triggers, pull_request_id="8")
    assert caught.value.reason == "NO_SUCH_PULL_REQUEST"


@pytest.mark.parametrize(
    ("ref", "group"),
    [("", "branch/main"), ("main", "branch/main"), ("refs/heads/main", "branch/main"), ("refs/tags/v1", "tag/v1")],
    ids=["default branch", "name of a branch", "full name", "tag"],
)
async def test_run_by_hand_is_of_the_newest_commit_of_its_ref(triggers: Triggers, ref: str, group: str) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"}, {"name": "other", "when": {"branch": "none"}})
    triggers.forge.refs_.update({"refs/heads/main": COMMIT, "refs/tags/v1": COMMIT})
    await triggers.push()
    delivery = await run_project(triggers, ref=ref)
    runs = await triggers.runs()
    assert len(runs) == 2, "the commit has a run already, and gets another one"
    assert (runs[1].group, runs[1].created_by) == (f"/project/{PROJECT_ID}/{group}", EVE.id)
    assert runs[1].source.commit_sha == COMMIT
    assert delivery.event == "manual"
    assert reasons(delivery) == {"test": "RUN_CREATED", "other": "WHEN"}


async def test_run_that_is_asked_for_by_name_needs_no_match(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"}, {"name": "deploy", "when": {"branch": "none"}})
    delivery = await run_project(triggers, ref="main", commit_sha=COMMIT, run_name="deploy")
    assert reasons(delivery) == {"deploy": "ASKED_FOR"}
    assert [run.name for run in await triggers.runs()] == ["deploy"]
    delivery = await run_project(triggers, ref="main", commit_sha=COMMIT, run_name="deplyo")
    assert reasons(delivery) == {"deplyo": "RUN_UNKNOWN"}
    assert "it has: test, deploy" in delivery.decisions[0].sentence


async def test_run_by_hand_with_one_request_id_is_made_once(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    for _ in range(2):
        await run_project(triggers, ref="main", commit_sha=COMMIT, request_id="once")
    await run_project(triggers, ref="main", commit_sha=COMMIT)
    assert len(await triggers.runs()) == 2


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        pytest.param({"ref": "no-such"}, NotFound, "has no refs/heads/no-such", id="no such branch"),
        pytest.param({"ref": "-x"}, InvalidInput, "ref", id="an option"),
        pytest.param({"ref": "refs/pull/1/head"}, InvalidInput, "no branch and no tag", id="a pull request"),
        pytest.param({"commit_sha": "abc"}, InvalidInput, "not the id of a commit", id="a short commit"),
    ],
)
async def test_run_by_hand_of_nothing_is_refused(
    triggers: Triggers, fields: dict[str, str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        await run_project(triggers, **fields)


async def test_project_without_a_repository_is_not_run(triggers: Triggers) -> None:
    await triggers.database.commit([Delete(LINK, PROJECT_ID)])
    with pytest.raises(FailedPrecondition, match="has no repository"):
        await run_project(triggers)


# Inputs

INPUTS = {
    "version": {"required": True, "pattern": "v[0-9]+"},
    "env": {"type": "choice", "options": ["dev", "prod"], "description": "where"},
}
DEPLOY = {"name": "deploy", "inputs": INPUTS}


def input_values(run: Any) -> dict[str, str]:
    return {each.name: each.value for each in run.inputs}


async def test_push_does_not_start_a_run_that_needs_a_value(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration(DEPLOY, {"name": "test", "inputs": {"level": {"type": "number"}}})
    delivery = await triggers.push()
    assert reasons(delivery) == {"deploy": "INPUTS", "test": "RUN_CREATED"}
    assert delivery.decisions[0].sentence.startswith("it needs a value of version: run it by hand")
    (run,) = await triggers.runs()
    assert input_values(run) == {"level": "0"}


async def test_values_of_a_run_by_hand_are_kept_with_it(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration(DEPLOY, {"name": "test"})
    given = {"version": "v7", "env": "prod"}
    delivery = await run_project(triggers, ref="main", commit_sha=COMMIT, inputs=given)
    assert dict(delivery.inputs) == given
    assert reasons(delivery) == {"deploy": "RUN_CREATED", "test": "RUN_CREATED"}
    deploy, test = await triggers.runs()
    assert (input_values(deploy), input_values(test)) == (given, {})
    assert [(each.name, each.description) for each in deploy.inputs] == [("version", ""), ("env", "where")]


async def test_jsonnet_is_evaluated_with_the_values(triggers: Triggers) -> None:
    text = (
        "function(ctx) {runs: [{name: 'deploy', inputs: {parts: {type: 'number', default: 1}}, tasks: ["
        + json.dumps(TASK)
        + " + {name: 'part ' + n} for n in std.range(1, ctx.inputs.parts)]}]}"
    )
    triggers.forge.files[COMMIT] = {".sluice/config.jsonnet": text.encode()}
    await run_project(triggers, ref="main", commit_sha=COMMIT, inputs={"parts": "3"})
    (run,) = await triggers.runs()
    assert (run.task_count, run.inputs_make_tasks) == (3, True)
    await triggers.push()
    assert [each.task_count for each in await triggers.runs()] == [3, 1]


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        pytest.param({"run_name": "deploy"}, {"version": "a value is required"}, id="missing"),
        pytest.param(
            {"inputs": {"version": "7", "env": "prd", "evn": "x"}},
            {"env": "must be one of", "evn": "did you mean `env`?", "version": "must match the pattern"},
            id="each",
        ),
        pytest.param(
            {"run_name": "test", "inputs": {"env": "dev"}}, {"env": "declares no inputs"}, id="of another run"
        ),
        pytest.param({"inputs": {"Env": "x"}}, {"Env": "no name of an input"}, id="name"),
        pytest.param({"inputs": {"env": "x" * 5000}}, {"env": "at most 4096"}, id="too long"),
        pytest.param({"inputs": {"env": "\x1b[1m"}}, {"env": "control character"}, id="control character"),
    ],
)
async def test_wrong_value_of_an_input_is_refused(
    triggers: Triggers, fields: dict[str, Any], found: dict[str, str]
) -> None:
    triggers.forge.files[COMMIT] = configuration(DEPLOY, {"name": "test"})
    with pytest.raises(InvalidInput) as caught:
        await run_project(triggers, ref="main", commit_sha=COMMIT, **fields)
    said = {violation.path: violation.message for violation in caught.value.violations}
    assert said.keys() == {f'inputs["{name}"]' for name in found}
    assert all(words in said[f'inputs["{name}"]'] for name, words in found.items()), said
    assert await triggers.runs() == []


async def test_inputs_that_a_configuration_declares_are_listed(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration(DEPLOY, {"name": "test", "when": {"branch": "none"}})
    triggers.forge.refs_["refs/heads/main"] = COMMIT
    with as_caller(EVE):
        request = api.ListConfiguredRunsRequest(project_id=PROJECT_ID)
        found = await triggers.receiver.ListConfiguredRuns(request, None)
    assert [(run.name, run.applies) for run in found.runs] == [("deploy", True), ("test", False)]
    assert (found.commit_sha, found.source_path, list(found.errors)) == (COMMIT, ".sluice/config.json", [])
    version, env = found.runs[0].inputs
    assert (version.name, version.required, version.pattern) == ("version", True, "v[0-9]+")
    assert (list(env.options), env.HasField("value")) == (["dev", "prod"], False)
    assert await triggers.runs() == []


async def test_list_of_a_broken_configuration_has_its_errors(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "a", "inputs": {"x": {"type": "strng"}}})
    with as_caller(EVE):
        request = api.ListConfiguredRunsRequest(project_id=PROJECT_ID, ref="main", commit_sha=COMMIT)
        found = await triggers.receiver.ListConfiguredRuns(request, None)
        assert (list(found.runs), len(found.errors)) == ([], 1)
        assert "runs[0].inputs.x.type" in found.errors[0]
        with pytest.raises(InvalidInput):
            await triggers.receiver.ListConfiguredRuns(
                api.ListConfiguredRunsRequest(project_id=PROJECT_ID, ref="main", pull_request_id="7"), None
            )


async def test_variable_of_an_input_is_no_variable_of_a_run(triggers: Triggers) -> None:
    with pytest.raises(InvalidInput, match="the system sets this variable"):
        await run_project(triggers, variables={"SLUICE_INPUT_ENV": "prod"})


RESTARTS = {
    "another value": ({"env": "prod"}, {"version": "v1", "env": "prod"}),
    "no values": ({}, {"version": "v1", "env": "dev"}),
}


@pytest.mark.parametrize(("changed", "expected"), RESTARTS.values(), ids=RESTARTS)
async def test_restart_changes_the_inputs_it_names(
    triggers: Triggers, changed: dict[str, str], expected: dict[str, str]
) -> None:
    triggers.forge.files[COMMIT] = configuration(DEPLOY)
    await run_project(triggers, ref="main", commit_sha=COMMIT, inputs={"version": "v1"})
    (run,) = await triggers.runs()
    await triggers.world.finish(triggers.engine, run.id, "build", "failed")
    again = await triggers.engine.restart_run(run.id, RestartKind.FROM_START, by=EVE.id, inputs=changed)
    assert input_values(again.value.run) == expected
    assert input_values((await triggers.runs())[0]) == {"version": "v1", "env": "dev"}


async def test_restart_with_wrong_inputs_is_refused(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration(DEPLOY)
    await run_project(triggers, ref="main", commit_sha=COMMIT, inputs={"version": "v1"})
    (run,) = await triggers.runs()
    await triggers.world.finish(triggers.engine, run.id, "build", "failed")
    for kind, inputs, words in (
        (RestartKind.FROM_START, {"env": "prd"}, "must be one of"),
        (RestartKind.FROM_START, {"evn": "prod"}, "no such input"),
        (RestartKind.FROM_START, {"version": ""}, "must match the pattern"),
        (RestartKind.FROM_FAILED, {"env": "prod"}, "only when all tasks run again"),
    ):
        with pytest.raises(InvalidInput, match=words):
            await triggers.engine.restart_run(run.id, kind, by=EVE.id, inputs=inputs)
    assert len(await triggers.runs()) == 1


async def test_restart_does_not_change_what_made_the_tasks(triggers: Triggers) -> None:
    task = {**TASK, "when": {"inputs": {"env": "prod"}}}
    triggers.forge.files[COMMIT] = configuration({**DEPLOY, "tasks": [TASK, {**task, "name": "only prod"}]})
    await run_project(triggers, ref="main", commit_sha=COMMIT, inputs={"version": "v1"})
    (run,) = await triggers.runs()
    await triggers.world.finish(triggers.engine, run.id, "build", "failed")
    with pytest.raises(FailedPrecondition, match="run the commit again") as caught:
        await triggers.engine.restart_run(run.id, RestartKind.FROM_START, by=EVE.id, inputs={"env": "prod"})
    assert caught.value.reason == "INPUTS_MAKE_TASKS"
    same = await triggers.engine.restart_run(run.id, RestartKind.FROM_START, by=EVE.id, inputs={"env": "dev"})
    assert input_values(same.value.run) == {"version": "v1", "env": "dev"}
