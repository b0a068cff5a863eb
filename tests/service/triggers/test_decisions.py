"""From an event to runs, with the decision on each."""

from __future__ import annotations

from typing import Any

import pytest

from sluiceway.api.project.v1 import delivery_service_pb2 as api
from sluiceway.api.run.v1 import run_pb2 as run_api
from sluiceway.records.project.v1 import records_pb2 as project_pb
from sluiceway_common.foundation.rpc.caller import as_caller
from sluiceway_server.datamanager.model import Put
from sluiceway_server.projects.records import QUOTA
from sluiceway_server.runrecords.types import RUN
from tests.service.triggers.conftest import (
    COMMIT,
    DONE,
    EVE,
    MAIN,
    OTHER_COMMIT,
    PROJECT_ID,
    TASK,
    Triggers,
    configuration,
    reason,
    reasons,
)


async def test_push_makes_the_run_of_its_commit(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    delivery = await triggers.push(message="Add a thing", before=OTHER_COMMIT)
    (run,) = await triggers.runs()
    assert (run.name, run.group) == ("test", f"/project/{PROJECT_ID}/branch/main")
    assert run.source.repository == "https://git.example.org/eve/app.git"
    assert (run.source.branch, run.source.commit_sha, run.source.message) == ("main", COMMIT, "Add a thing")
    assert (delivery.phase, reason(delivery)) == (DONE, "CONFIGURATION_READ")
    assert [(each.run_name, each.run_id) for each in delivery.decisions] == [("test", run.id)]


@pytest.mark.parametrize(
    ("event", "group"),
    [
        ({"kind": "push", "ref": "refs/heads/feat/x", "after": COMMIT}, "branch/feat%2Fx"),
        ({"kind": "push", "ref": "refs/tags/v1", "after": COMMIT}, "tag/v1"),
        ({"kind": "pull_request", "number": 7, "action": "opened", "commit": COMMIT}, "pull_request/7"),
    ],
    ids=["branch", "tag", "pull request"],
)
async def test_runs_queue_in_the_group_of_their_ref(triggers: Triggers, event: dict[str, Any], group: str) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    await triggers.deliver(**event)
    await triggers.worker.work()
    (run,) = await triggers.runs()
    assert run.group == f"/project/{PROJECT_ID}/{group}"


async def test_each_run_has_the_rule_that_decided(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration(
        {"name": "always"},
        {"name": "release", "when": {"tag": "/^v/"}},
        {"name": "docs", "when": {"paths": "docs/**"}},
        {"name": "code", "when": {"paths": "src/**"}},
    )
    triggers.forge.changed = ("src/a.py", "README")
    delivery = await triggers.push(before=OTHER_COMMIT)
    assert reasons(delivery) == {
        "always": "RUN_CREATED",
        "release": "WHEN",
        "docs": "PATHS",
        "code": "RUN_CREATED",
    }
    sentences = {each.run_name: each.sentence for each in delivery.decisions}
    assert sentences["release"] == "its `when` does not match branch main"
    assert sentences["docs"] == "its `paths` match none of the 2 changed files"
    assert sorted(run.name for run in await triggers.runs()) == ["always", "code"]


async def test_paths_apply_where_the_changes_are_not_known(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "docs", "when": {"paths": "docs/**"}})
    triggers.forge.changed = ("src/a.py",)
    delivery = await triggers.push()  # a new branch
    assert reasons(delivery) == {"docs": "RUN_CREATED"}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"kind": "push", "ref": MAIN, "after": None, "before": COMMIT, "commit": None}, "REF_DELETED"),
        ({"kind": "push", "ref": MAIN, "after": COMMIT, "message": "Fix [ci skip]"}, "SKIP_WORD"),
        ({"kind": "push", "ref": MAIN, "after": COMMIT, "repository_id": "8"}, "OTHER_REPOSITORY"),
        ({"kind": "ping"}, "EVENT_IGNORED"),
        ({"kind": "issue_comment"}, "EVENT_IGNORED"),
    ],
    ids=["deleted", "skip word", "other repository", "ping", "comment"],
)
async def test_event_that_asks_for_no_run_is_kept_with_its_rule(
    triggers: Triggers, event: dict[str, Any], expected: str
) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    calls = len(triggers.forge.calls)
    response = await triggers.deliver(**event)
    delivery = await triggers.worked(response.delivery_id)
    assert (delivery.phase, reason(delivery)) == (DONE, expected)
    assert delivery.sentence == response.sentence
    assert await triggers.runs() == []
    assert len(triggers.forge.calls) == calls


async def test_commit_that_is_gone_makes_no_run(triggers: Triggers) -> None:
    delivery = await triggers.push()
    assert (delivery.phase, reason(delivery)) == (DONE, "COMMIT_GONE")
    assert await triggers.runs() == []


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"README": b"x"}, "there is no run configuration"),
        ({".sluice/config.json": b'{"runs": [{"name": "a", "taskss": []}]}'}, "did you mean `tasks`"),
        ({".sluice/config.json": b"{"}, ".sluice/config.json:1"),
    ],
    ids=["missing", "wrong", "broken"],
)
async def test_unusable_configuration_makes_a_setup_error_run(
    triggers: Triggers, files: dict[str, bytes], said: str
) -> None:
    triggers.forge.files[COMMIT] = files
    delivery = await triggers.push()
    (run,) = await triggers.runs()
    assert (run.name, run.phase) == ("app", run_api.RUN_PHASE_SETUP_ERROR)
    assert any(said in each for each in run.setup_errors)
    assert (delivery.phase, reason(delivery), reasons(delivery)) == (DONE, "SETUP_ERROR", {"app": "SETUP_ERROR"})


async def test_jsonnet_imports_files_of_the_commit(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = {
        ".sluice/config.jsonnet": b'function(ctx) {runs: [{name: ctx.branch, tasks: [import "lib/task.libsonnet"]}]}',
        ".sluice/lib/task.libsonnet": b'{name: "t", runtime: {containers: [{image: "host"}]}, steps: [{run: "true"}]}',
    }
    await triggers.push()
    (run,) = await triggers.runs()
    assert (run.name, run.phase) == ("main", run_api.RUN_PHASE_RUNNING)


async def test_annotated_tag_runs_the_commit_that_it_names(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    triggers.forge.refs_["refs/tags/v1"] = COMMIT
    delivery = await triggers.push("c" * 40, "refs/tags/v1", commit=None)
    (run,) = await triggers.runs()
    assert (run.source.tag, run.source.commit_sha) == ("v1", COMMIT)
    assert delivery.phase == DONE


async def test_run_of_a_fork_is_marked(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test", "priority": 5})
    event = {"kind": "pull_request", "number": 7, "action": "opened", "commit": COMMIT, "head_repository_id": "99"}
    response = await triggers.deliver(**event)
    delivery = await triggers.worked(response.delivery_id)
    (run,) = await triggers.runs()
    record = await triggers.database.get(RUN, run.id)
    assert (record.from_fork, run.priority, delivery.from_fork) == (True, 0, True)
    assert record.event == "pull_request"
    assert run.source.pull_request_id == "7"


async def test_skip_word_at_the_head_of_a_pull_request(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    triggers.forge.messages[COMMIT] = "Try it\n\n[skip ci]"
    response = await triggers.deliver(kind="pull_request", number=7, action="opened", commit=COMMIT)
    delivery = await triggers.worked(response.delivery_id)
    assert (delivery.phase, reason(delivery), await triggers.runs()) == (DONE, "SKIP_WORD", [])


@pytest.mark.parametrize("from_fork", [False, True], ids=["own", "fork"])
async def test_variables_of_the_project_are_not_for_forks(triggers: Triggers, from_fork: bool) -> None:
    task = {**TASK, "environment": {"TOKEN": {"from_variable": "token"}}}
    triggers.forge.files[COMMIT] = configuration({"name": "test", "tasks": [task]})
    fork = {"head_repository_id": "99"} if from_fork else {}
    response = await triggers.deliver(kind="pull_request", number=7, action="opened", commit=COMMIT, **fork)
    await triggers.worked(response.delivery_id)
    (run,) = await triggers.runs()
    assert len(run.warnings) == 1
    assert ("fork" in run.warnings[0]) == from_fork, run.warnings


async def test_event_over_quota_says_so_and_runs_when_delivered_again(triggers: Triggers) -> None:
    await triggers.database.commit([Put(QUOTA, EVE.id, project_pb.Quota(parent_id=EVE.id, queued_runs=1))])
    third = "c" * 40
    for commit in (COMMIT, OTHER_COMMIT, third):
        triggers.forge.files[commit] = configuration({"name": "build"})
    # A group runs one run at a time, so the second one waits.
    for commit in (COMMIT, OTHER_COMMIT):
        assert (await triggers.push(after=commit)).decisions[0].run_id
    delivery = await triggers.push(after=third)
    (decision,) = delivery.decisions
    assert decision.run_id == ""
    assert decision.reason == api.DECISION_REASON_QUOTA
    assert "project 'app' may have 1 queued runs at most, by the quota of user 'eve'" in decision.sentence
    queued = [run.id for run in await triggers.runs() if run.phase == run_api.RUN_PHASE_QUEUED]
    assert len(queued) == 1
    await triggers.engine.cancel_run(queued[0], by="eve")
    with as_caller(EVE):
        request = api.RedeliverDeliveryRequest(project_id=PROJECT_ID, delivery_id=delivery.id)
        await triggers.receiver.RedeliverDelivery(request, None)
    again = await triggers.worked(delivery.id)
    assert again.decisions[0].run_id
