"""What people change about providers, deliveries and schedules has audit records; what webhooks do has none."""

from __future__ import annotations

from typing import Any

from sluiceway.api.project.v1 import delivery_service_pb2 as api
from sluiceway.api.project.v1 import remote_source_service_pb2 as source_api
from sluiceway.api.project.v1 import schedule_service_pb2 as schedule_api
from sluiceway_common.foundation.rpc.caller import Caller, Origin, as_caller
from sluiceway_server.projects.records import AUDIT_RECORD
from tests.service.triggers.conftest import COMMIT, EVE, OPERATOR, PROJECT_ID, Triggers, configuration

SECRET = "client secret that no record has"


async def _records(triggers: Triggers) -> list[tuple[Any, ...]]:
    found = await triggers.database.read(lambda view: [record for _, record in view.scan(AUDIT_RECORD)])
    assert not any(SECRET.encode() in each.SerializeToString() for each in found)
    assert not any(triggers.forge.token.encode() in each.SerializeToString() for each in found)
    return [
        (each.caller_id, each.method, each.resource_type, each.resource_path, each.root_id, list(each.details))
        for each in found
    ]


async def _call(caller: Caller, method: Any, request: Any) -> Any:
    with as_caller(caller, origin=Origin(method=method.__name__)):
        return await method(request, None)


async def test_each_change_of_a_person_has_a_record(triggers: Triggers) -> None:
    before = len(await _records(triggers))
    triggers.forge.files[COMMIT] = configuration({"name": "build"})
    triggers.forge.refs_["refs/heads/main"] = COMMIT
    pushed = await triggers.push()
    assert len(await _records(triggers)) == before
    redeliver = api.RedeliverDeliveryRequest(project_id=PROJECT_ID, delivery_id=pushed.id)
    await _call(EVE, triggers.receiver.RedeliverDelivery, redeliver)
    await triggers.worked(pushed.id)
    await _call(EVE, triggers.receiver.RunProject, api.RunProjectRequest(project_id=PROJECT_ID))
    schedule = schedule_api.CreateScheduleRequest(project_id=PROJECT_ID, schedule={"cron": "0 * * * *"})
    made = (await _call(EVE, triggers.schedules.CreateSchedule, schedule)).schedule
    delete = schedule_api.DeleteScheduleRequest(project_id=PROJECT_ID, schedule_id=made.id)
    await _call(EVE, triggers.schedules.DeleteSchedule, delete)
    source = source_api.RemoteSource(
        name="other", type="github", api_url="https://github.example.org", oauth2_client_secret=SECRET
    )
    create = source_api.CreateRemoteSourceRequest(remote_source=source)
    await _call(OPERATOR, triggers.sources.CreateRemoteSource, create)
    about_commit = ["ref: refs/heads/main", f"commit: {COMMIT}"]
    path, tree = "user/eve/app", EVE.id
    assert (await _records(triggers))[before:] == [
        (EVE.id, "RedeliverDelivery", "delivery", path, tree, about_commit),
        (EVE.id, "RunProject", "delivery", path, tree, about_commit),
        (EVE.id, "CreateSchedule", "schedule", path, tree, ["cron: 0 * * * *", "ref: refs/heads/main"]),
        (EVE.id, "DeleteSchedule", "schedule", path, tree, []),
        ("admin", "CreateRemoteSource", "remote_source", "other", "", []),
    ]


async def test_linked_account_is_recorded_without_its_token(triggers: Triggers) -> None:
    kinds = [(by, what, path, details) for by, _, what, path, _, details in await _records(triggers)]
    linked = (EVE.id, "linked_account", "eve", ["remote source: gitea"])
    assert kinds == [("admin", "remote_source", "gitea", []), linked]


async def test_call_that_changes_nothing_has_no_record(triggers: Triggers) -> None:
    before = await _records(triggers)
    triggers.forge.files[COMMIT] = configuration({"name": "build"})
    response = await triggers.deliver(kind="push", ref="refs/heads/main", after=COMMIT)
    pending = api.RedeliverDeliveryRequest(project_id=PROJECT_ID, delivery_id=response.delivery_id)
    await _call(EVE, triggers.receiver.RedeliverDelivery, pending)
    assert await _records(triggers) == before
