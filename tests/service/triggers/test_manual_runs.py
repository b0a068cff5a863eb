"""Runs by hand: of pull requests, and with variables."""

from __future__ import annotations

from typing import Any

import pytest

from sluiceway.api.project.v1 import delivery_service_pb2 as api
from sluiceway_common.foundation.errors import InvalidInput, NotFound
from sluiceway_common.foundation.rpc.caller import as_caller
from sluiceway_common.runmodel.model import RestartKind
from sluiceway_server.runrecords.types import RUN, RUN_CONFIG
from tests.service.triggers.conftest import COMMIT, EVE, OTHER_COMMIT, PROJECT_ID, TASK, Triggers, configuration


async def run_project(triggers: Triggers, **fields: Any) -> api.Delivery:
    """Ask for runs by hand, work on them, and return the delivery."""
    with as_caller(EVE):
        request = api.RunProjectRequest(project_id=PROJECT_ID, **fields)
        response = await triggers.receiver.RunProject(request, None)
    return await triggers.worked(response.delivery.id)


def reasons(delivery: api.Delivery) -> dict[str, str]:
    return {
        each.run_name: api.DecisionReason.Name(each.reason).removeprefix("DECISION_REASON_")
        for each in delivery.decisions
    }


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
