"""From a delivery to runs, with the decision on each: the receiver and the worker."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sluiceway.api.project.v1 import delivery_service_pb2 as api
from sluiceway.api.run.v1 import run_pb2 as run_api
from sluiceway.records.project.v1 import records_pb2 as project_pb
from sluiceway_common.foundation.crashpoints import Crashed, crashing
from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput, NotFound, Unauthenticated
from sluiceway_common.foundation.rpc.caller import as_caller
from sluiceway_server.datamanager.model import Delete, Put
from sluiceway_server.forges.errors import ForgeUnavailable, TokenRefused
from sluiceway_server.projects.records import PROJECT, QUOTA
from sluiceway_server.runrecords.types import RUN
from sluiceway_server.triggers.deliveries import delete_old
from sluiceway_server.triggers.records import DELIVERY, LINK
from tests.fakes.forge_port import signed
from tests.service.triggers.conftest import COMMIT, EVE, OTHER_COMMIT, PROJECT_ID, TASK, Triggers, configuration
from tests.support.conditions import eventually

DONE, PENDING, FAILED = api.DELIVERY_PHASE_DONE, api.DELIVERY_PHASE_PENDING, api.DELIVERY_PHASE_FAILED
MAIN = "refs/heads/main"
OTHER_PROJECT = "01a22c3c-2f37-7681-b7d7-000000000000"


def reason(delivery: api.Delivery) -> str:
    return api.DecisionReason.Name(delivery.reason).removeprefix("DECISION_REASON_")


def reasons(delivery: api.Delivery) -> dict[str, str]:
    return {
        each.run_name: api.DecisionReason.Name(each.reason).removeprefix("DECISION_REASON_")
        for each in delivery.decisions
    }


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
    assert run.source.pull_request_id == "7"


async def test_skip_word_at_the_head_of_a_pull_request(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    triggers.forge.messages[COMMIT] = "Try it\n\n[skip ci]"
    response = await triggers.deliver(kind="pull_request", number=7, action="opened", commit=COMMIT)
    delivery = await triggers.worked(response.delivery_id)
    assert (delivery.phase, reason(delivery), await triggers.runs()) == (DONE, "SKIP_WORD", [])


# -- twice, late, forged


@pytest.mark.parametrize("second_id", ["d1", "d2"], ids=["same id", "other id"])
async def test_event_that_is_delivered_twice_makes_one_run(triggers: Triggers, second_id: str) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    first = await triggers.push(id="d1")
    second = await triggers.deliver(kind="push", ref=MAIN, after=COMMIT, id=second_id)
    delivery = await triggers.worked(second.delivery_id)
    (run,) = await triggers.runs()
    if second_id == "d1":
        assert second.delivery_id == first.id
        assert "delivered before" in second.sentence
    else:
        assert reasons(delivery) == {"test": "RUN_EXISTS"}
        assert delivery.decisions[0].run_id == run.id


async def test_deliveries_of_one_id_are_of_two_projects(triggers: Triggers) -> None:
    # GitHub gives two webhooks of one event the same id.
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    url, secret = await second_project(triggers)
    await triggers.push(id="d1")
    assert url.endswith(OTHER_PROJECT)
    headers, body = signed(secret, {"kind": "push", "ref": MAIN, "after": COMMIT, "id": "d1"})
    request = api.ReceiveDeliveryRequest(project_id=OTHER_PROJECT, headers=headers, body=body)
    await triggers.receiver.ReceiveDelivery(request, None)
    await triggers.worker.work()
    assert {run.group.split("/")[2] for run in await triggers.runs()} == {PROJECT_ID, OTHER_PROJECT}


async def second_project(triggers: Triggers) -> tuple[str, str]:
    """Link another project to the same repository; return the URL and the secret of its webhook."""
    user = {"user_id": EVE.id, "remote_source": "gitea", "repository_path": "eve/app"}
    linked = await triggers.links.install(OTHER_PROJECT, **user)
    project = await triggers.database.get(PROJECT, PROJECT_ID)
    await triggers.database.commit([Put(PROJECT, OTHER_PROJECT, project), *linked.actions])
    return triggers.forge.webhooks["101"]


@pytest.mark.parametrize("headers", [{}, {"x-fake-signature": ""}, {"x-fake-signature": "00"}], ids=str)
async def test_delivery_without_a_good_signature_is_refused(triggers: Triggers, headers: dict[str, str]) -> None:
    _, body = signed(triggers.secret, {"kind": "push", "ref": MAIN, "after": COMMIT})
    request = api.ReceiveDeliveryRequest(project_id=PROJECT_ID, headers=headers, body=body)
    with pytest.raises(Unauthenticated):
        await triggers.receiver.ReceiveDelivery(request, None)
    assert await triggers.database.read(lambda view: list(view.scan(DELIVERY))) == []


async def test_delivery_to_a_project_without_webhook_is_refused(triggers: Triggers) -> None:
    headers, body = signed(triggers.secret, {"kind": "push", "ref": MAIN, "after": COMMIT})
    request = api.ReceiveDeliveryRequest(project_id="unknown", headers=headers, body=body)
    with pytest.raises(Unauthenticated):
        await triggers.receiver.ReceiveDelivery(request, None)


async def test_event_of_a_deleted_project_has_no_effect(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    response = await triggers.deliver(kind="push", ref=MAIN, after=COMMIT)
    await triggers.database.commit([Delete(PROJECT, PROJECT_ID)])
    await triggers.worker.work()
    assert await triggers.runs() == []
    assert response.delivery_id
    late = await triggers.deliver(kind="push", ref=MAIN, after=OTHER_COMMIT)
    assert (late.delivery_id, late.sentence) == ("", "the project was deleted")


# -- what the provider is asked for


async def test_second_push_reads_only_the_configuration(triggers: Triggers) -> None:
    triggers.forge.files = {COMMIT: configuration({"name": "a"}), OTHER_COMMIT: configuration({"name": "b"})}
    await triggers.push(COMMIT)
    triggers.forge.calls.clear()
    await triggers.push(OTHER_COMMIT)
    assert sorted(triggers.forge.calls) == ["file", "folder"]
    assert [run.name for run in await triggers.runs()] == ["a", "b"]


async def test_configuration_is_found_where_it_is_now(triggers: Triggers) -> None:
    (content,) = (text for path, text in configuration({"name": "b"}).items() if path.endswith(".json"))
    triggers.forge.files = {COMMIT: configuration({"name": "a"}), OTHER_COMMIT: {".sluice/config.yml": content}}
    await triggers.push(COMMIT)
    await triggers.push(OTHER_COMMIT)
    assert [run.name for run in await triggers.runs()] == ["a", "b"]


async def test_configuration_that_was_deleted_is_a_setup_error(triggers: Triggers) -> None:
    triggers.forge.files = {COMMIT: configuration({"name": "a"}), OTHER_COMMIT: {"README": b"x"}}
    await triggers.push(COMMIT)
    assert reason(await triggers.push(OTHER_COMMIT)) == "SETUP_ERROR"


async def test_repository_that_was_renamed_is_read(triggers: Triggers) -> None:
    triggers.forge.files = {COMMIT: configuration({"name": "a"}), OTHER_COMMIT: configuration({"name": "b"})}
    await triggers.push(COMMIT)
    triggers.forge.repository_ = replace(triggers.forge.repository_, path="eve/renamed")
    delivery = await triggers.push(OTHER_COMMIT)
    assert reasons(delivery) == {"b": "RUN_CREATED"}


# -- the provider is away


async def test_delivery_waits_while_the_provider_is_away(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    triggers.forge.fault = ForgeUnavailable("the provider does not respond")
    delivery = await triggers.push()
    assert delivery.phase == PENDING
    assert delivery.sentence == "waits for another attempt: the provider does not respond"
    triggers.forge.fault = None
    assert (await triggers.worked(delivery.id)).phase == PENDING  # not yet
    triggers.clock.advance(timedelta(minutes=6))
    assert (await triggers.worked(delivery.id)).phase == DONE
    assert [run.name for run in await triggers.runs()] == ["test"]


async def test_events_of_one_ref_keep_their_order(triggers: Triggers) -> None:
    for commit in (COMMIT, OTHER_COMMIT):
        triggers.forge.files[commit] = configuration({"name": "test"})
    triggers.forge.fault = ForgeUnavailable("away")
    await triggers.push(COMMIT)
    triggers.forge.fault = None
    await triggers.push(OTHER_COMMIT)
    assert await triggers.runs() == []  # the second one waits for the first
    await triggers.push(OTHER_COMMIT, "refs/heads/other")  # and nobody else does
    triggers.clock.advance(timedelta(minutes=6))
    await triggers.worker.work()
    commits = [run.source.commit_sha for run in await triggers.runs() if run.source.branch == "main"]
    assert commits == [COMMIT, OTHER_COMMIT]


async def test_long_queue_of_a_ref_is_worked_on_in_order(triggers: Triggers) -> None:
    commits = [f"{number:040x}" for number in range(120)]
    for commit in commits:
        triggers.forge.files[commit] = configuration({"name": "test"})
        await triggers.deliver(kind="push", ref=MAIN, after=commit)
    await triggers.worker.work()
    assert [run.source.commit_sha for run in await triggers.runs()] == commits


async def test_slow_provider_delays_its_own_project_only(triggers: Triggers) -> None:
    triggers.forge.files = {COMMIT: configuration({"name": "slow"}), OTHER_COMMIT: configuration({"name": "test"})}
    held = triggers.forge.held[COMMIT] = asyncio.Event()
    for number in range(40):
        await triggers.deliver(kind="push", ref=f"refs/heads/{number}", after=COMMIT)
    _, secret = await second_project(triggers)
    headers, body = signed(secret, {"kind": "push", "ref": MAIN, "after": OTHER_COMMIT})
    working = asyncio.create_task(triggers.worker.run())
    try:
        await eventually(lambda: folders_asked_for(triggers, 1))
        request = api.ReceiveDeliveryRequest(project_id=OTHER_PROJECT, headers=headers, body=body)
        await triggers.receiver.ReceiveDelivery(request, None)
        await eventually(lambda: run_names(triggers, ["test"]))
        held.set()
        await eventually(lambda: run_names(triggers, ["slow"] * 40 + ["test"]))
    finally:
        held.set()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def folders_asked_for(triggers: Triggers, least: int) -> bool:
    return triggers.forge.calls.count("folder") >= least


async def run_names(triggers: Triggers, expected: list[str]) -> bool:
    return sorted(run.name for run in await triggers.runs()) == expected


async def test_provider_that_stays_away_ends_as_a_setup_error_run(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    triggers.forge.fault = ForgeUnavailable("the provider does not respond")
    waiting = await triggers.push()
    triggers.clock.advance(timedelta(hours=7))
    delivery = await triggers.worked(waiting.id)
    (run,) = await triggers.runs()
    assert (delivery.phase, reason(delivery)) == (FAILED, "FAILED")
    assert run.phase == run_api.RUN_PHASE_SETUP_ERROR
    assert "the provider does not respond" in run.setup_errors[0]


async def test_failed_delivery_can_be_delivered_again(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    triggers.forge.fault = TokenRefused("the token was revoked")
    failed = await triggers.push()
    assert failed.phase == FAILED
    triggers.forge.fault = None
    request = api.RedeliverDeliveryRequest(project_id=PROJECT_ID, delivery_id=failed.id)
    with as_caller(EVE):
        again = (await triggers.receiver.RedeliverDelivery(request, None)).delivery
    assert (again.phase, again.redeliveries) == (PENDING, 1)
    delivery = await triggers.worked(failed.id)
    assert (delivery.phase, reasons(delivery)) == (DONE, {"test": "RUN_CREATED"})
    assert [run.name for run in await triggers.runs()] == ["app", "test"]


async def test_delivery_for_nobody_cannot_be_delivered_again(triggers: Triggers) -> None:
    response = await triggers.deliver(kind="ping")
    request = api.RedeliverDeliveryRequest(project_id=PROJECT_ID, delivery_id=response.delivery_id)
    with as_caller(EVE), pytest.raises(FailedPrecondition, match="asks for no runs"):
        await triggers.receiver.RedeliverDelivery(request, None)
    request.delivery_id = "unknown"
    with as_caller(EVE), pytest.raises(NotFound):
        await triggers.receiver.RedeliverDelivery(request, None)


async def test_list_has_the_newest_first_and_can_be_of_one_ref(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    for ref in ("refs/heads/a", "refs/heads/b", "refs/heads/a"):
        triggers.clock.advance(timedelta(seconds=1))
        await triggers.push(ref=ref)
    with as_caller(EVE):
        every = await triggers.receiver.ListDeliveries(api.ListDeliveriesRequest(project_id=PROJECT_ID), None)
        of_b = await triggers.receiver.ListDeliveries(
            api.ListDeliveriesRequest(project_id=PROJECT_ID, ref="refs/heads/b"), None
        )
    assert [each.ref for each in every.deliveries] == ["refs/heads/a", "refs/heads/b", "refs/heads/a"]
    assert [each.ref for each in of_b.deliveries] == ["refs/heads/b"]


async def test_old_deliveries_are_deleted(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    await triggers.push()
    triggers.clock.advance(timedelta(days=1))
    kept = await triggers.push(OTHER_COMMIT)
    await delete_old(triggers.database, before=triggers.clock.now() - timedelta(hours=1))
    left = await triggers.database.read(lambda view: [record.delivery.id for _, record in view.scan(DELIVERY)])
    assert left == [kept.id]


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


async def run_project(triggers: Triggers, **fields: Any) -> api.Delivery:
    """Ask for runs by hand, work on them, and return the delivery."""
    with as_caller(EVE):
        request = api.RunProjectRequest(project_id=PROJECT_ID, **fields)
        response = await triggers.receiver.RunProject(request, None)
    return await triggers.worked(response.delivery.id)


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


# -- a server that dies


@pytest.mark.parametrize(
    "point", ["delivery.before-work", "delivery.before-run", "delivery.after-run", "delivery.before-done"]
)
async def test_server_that_dies_at_any_point_makes_each_run_once(triggers: Triggers, point: str) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "a"}, {"name": "b"})
    response = await triggers.deliver(kind="push", ref=MAIN, after=COMMIT)

    def die(name: str) -> None:
        raise Crashed(name)

    with crashing(die, point), pytest.raises(BaseExceptionGroup) as caught:
        await triggers.worker.work()
    assert caught.group_contains(Crashed)
    assert (await triggers.delivery(response.delivery_id)).phase == PENDING
    delivery = await triggers.worked(response.delivery_id)
    assert delivery.phase == DONE
    assert [run.name for run in await triggers.runs()] == ["a", "b"]
    assert [each.run_id for each in delivery.decisions] == [run.id for run in await triggers.runs()]


async def test_delivery_that_was_not_stored_makes_no_run(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "a"})

    def die(name: str) -> None:
        raise Crashed(name)

    with crashing(die, "delivery.before-stored"), pytest.raises(Crashed):
        await triggers.deliver(kind="push", ref=MAIN, after=COMMIT)
    await triggers.worker.work()
    assert await triggers.runs() == []


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
