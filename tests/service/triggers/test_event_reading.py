"""What is read of a provider for an event, when, and how often."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sluiceway.api.project.v1 import delivery_service_pb2 as api
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.crashpoints import crashing
from sluiceway_common.runconfig.files import MAX_NAMES
from sluiceway_server.forges.errors import ForgeUnavailable
from sluiceway_server.triggers.config_files import KnownContents, blob_id
from sluiceway_server.triggers.event_plans import EventPlan, KnownFiles, Need, PlanRequest, make_plan
from sluiceway_server.triggers.event_reading import EventReader, ReadEvent
from sluiceway_server.triggers.records import LINK
from sluiceway_server.triggers.service import DeliveryServicer
from tests.service.triggers.conftest import COMMIT, OTHER_COMMIT, PROJECT_ID, InThreads, Triggers, configuration
from tests.support.conditions import eventually

THIRD = "3" * 40
MAIN = "refs/heads/main"


def event(commit: str) -> pb.EventRecord:
    return pb.EventRecord(kind="push", ref=MAIN, after=commit, commit=commit, message="a commit")


@pytest.fixture
def reader(triggers: Triggers) -> EventReader:
    same = configuration({"name": "a"})
    triggers.forge.files = {COMMIT: same, OTHER_COMMIT: same, THIRD: configuration({"name": "b"})}
    return EventReader(triggers.providers, InThreads())


async def names(reader: EventReader, commit: str, link: pb.LinkRecord) -> list[str]:
    read = await reader.read(event(commit), link, project_name="app", attempt=0)
    assert isinstance(read, ReadEvent)
    return [run.name for run in read.plan.planned()]


async def test_configuration_that_did_not_change_is_not_read_again(triggers: Triggers, reader: EventReader) -> None:
    link = await triggers.database.get(LINK, PROJECT_ID)
    assert await names(reader, COMMIT, link) == ["a"]
    for commit, calls, found in ((OTHER_COMMIT, ["folder"], "a"), (THIRD, ["folder", "file"], "b")):
        triggers.forge.calls.clear()
        assert await names(reader, commit, link) == [found]
        assert triggers.forge.calls == calls


async def test_contents_are_kept_by_project_and_digest() -> None:
    known = KnownContents()
    known.keep("one", "a", blob_id(b"x"), b"x")
    known.keep("one", "b", blob_id(b"x"), b"another")
    known.keep("one", "c", "", b"x")
    assert known.content("one", "a", blob_id(b"x")) == b"x"
    assert known.content("one", "a", blob_id(b"y")) is None
    assert known.content("two", "a", blob_id(b"x")) is None
    assert not known.has("one", "b")
    assert not known.has("one", "c")
    # As `git hash-object` returns it.
    assert blob_id(b"x") == "c1b0730e0133447badcfd47fd144e254807b06e1"
    assert len(blob_id(b"x", like="0" * 64)) == 64


async def test_files_are_read_while_a_delivery_is_stored(triggers: Triggers, reader: EventReader) -> None:
    link = await triggers.database.get(LINK, PROJECT_ID)
    assert not reader.can_read_ahead(event(OTHER_COMMIT), link), "nobody knows which file"
    await names(reader, COMMIT, link)
    triggers.forge.calls.clear()
    ahead = asyncio.create_task(reader.read_ahead(event(OTHER_COMMIT), link))
    await eventually(lambda: _is(triggers.forge.calls == ["folder"]))
    assert not reader.can_read_ahead(event(OTHER_COMMIT), link), "it is being read"
    assert await names(reader, OTHER_COMMIT, link) == ["a"]
    assert triggers.forge.calls == ["folder"]
    await asyncio.wait_for(ahead, 10)


async def test_provider_that_fails_ahead_is_asked_again(triggers: Triggers, reader: EventReader) -> None:
    link = await triggers.database.get(LINK, PROJECT_ID)
    await names(reader, COMMIT, link)
    triggers.forge.fault = ForgeUnavailable("away")
    ahead = asyncio.create_task(reader.read_ahead(event(OTHER_COMMIT), link))
    await eventually(lambda: _is(not reader.can_read_ahead(event(OTHER_COMMIT), link)))
    with pytest.raises(ForgeUnavailable):
        await names(reader, OTHER_COMMIT, link)
    await asyncio.wait_for(ahead, 10)
    triggers.forge.fault = None
    assert await names(reader, OTHER_COMMIT, link) == ["a"]


async def test_worker_reads_ahead_what_is_received(triggers: Triggers) -> None:
    triggers.forge.files = {COMMIT: configuration({"name": "a"}), OTHER_COMMIT: configuration({"name": "a"})}
    working = asyncio.create_task(triggers.worker.run())
    stored = asyncio.Event()
    expected: list[str] = []

    def expect(said: pb.EventRecord, link: pb.LinkRecord) -> None:
        expected.append(said.commit)
        assert not stored.is_set()
        triggers.worker.expect(said, link)

    triggers.receiver = DeliveryServicer(
        triggers.database,
        triggers.providers,
        triggers.envelope,
        triggers.clock,
        ids=triggers.world.ids,
        reader=triggers.worker._reader,
        expect=expect,
    )
    try:
        for commit, calls in ((COMMIT, {"folder", "file"}), (OTHER_COMMIT, {"folder"})):
            triggers.forge.calls.clear()
            stored.clear()
            response = await triggers.deliver(kind="push", ref=MAIN, after=commit)
            stored.set()
            await eventually(lambda id_=response.delivery_id: _is_done(triggers, id_))  # type: ignore[misc]
            assert set(triggers.forge.calls) - {"repository_by_id"} == calls
        ignored = await triggers.deliver(kind="push", ref=MAIN, after=THIRD, message="a [skip ci]")
        assert ignored.delivery_id
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert expected == [COMMIT, OTHER_COMMIT]


async def test_delivery_that_comes_while_its_ref_is_busy_follows(triggers: Triggers) -> None:
    triggers.forge.files = {COMMIT: configuration({"name": "a"}), OTHER_COMMIT: configuration({"name": "b"})}
    held = triggers.forge.held[COMMIT] = asyncio.Event()
    working = asyncio.create_task(triggers.worker.run())
    try:
        await triggers.deliver(kind="push", ref=MAIN, after=COMMIT)
        await eventually(lambda: _is("folder" in triggers.forge.calls))
        response = await triggers.deliver(kind="push", ref=MAIN, after=OTHER_COMMIT)
        held.set()
        await eventually(lambda: _is_done(triggers, response.delivery_id))
    finally:
        held.set()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert [run.name for run in await triggers.runs()] == ["a", "b"]


async def test_last_run_is_stored_with_the_end_of_the_work(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "a"}, {"name": "b", "when": {"branch": "none"}})
    response = await triggers.deliver(kind="push", ref=MAIN, after=COMMIT)

    def die(name: str) -> None:
        raise RuntimeError(name)

    with crashing(die, "delivery.after-run"), pytest.raises(BaseExceptionGroup):
        await triggers.worker.work()
    delivery = await triggers.delivery(response.delivery_id)
    (run,) = await triggers.runs()
    assert delivery.phase == api.DELIVERY_PHASE_DONE
    assert [each.run_id for each in delivery.decisions] == [run.id, ""]
    assert delivery.sentence.startswith("1 of 2 runs")


def test_file_that_its_folder_does_not_list_is_not_there() -> None:
    files = configuration({"name": "a"})
    path = next(iter(files))
    request = PlanRequest(event(COMMIT).SerializeToString(), KnownFiles(files), PROJECT_ID, "app", 0)
    assert make_plan(request) == Need(file=".sluice/config.jsonnet")
    listed = {".sluice": ("config.json",)}
    made = make_plan(replace(request, known=KnownFiles({path: files[path]}, folders=listed)))
    assert isinstance(made, EventPlan)
    cut = {".sluice": ("config.json", *map(str, range(MAX_NAMES - 1)))}
    again = make_plan(replace(request, known=KnownFiles({path: files[path]}, folders=cut)))
    assert again == Need(file=".sluice/config.jsonnet")


async def _is(value: bool) -> bool:
    return value


async def _is_done(triggers: Triggers, delivery_id: str) -> bool:
    return (await triggers.delivery(delivery_id)).phase == api.DELIVERY_PHASE_DONE
