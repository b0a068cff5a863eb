"""Configurations that take all they can, in real worker processes, while other projects go on."""

from __future__ import annotations

import asyncio

import pytest

from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_server.runs.config_workers import ConfigProcesses
from sluiceway_server.triggers.event_plans import EventPlan
from sluiceway_server.triggers.event_reading import EventReader, ReadEvent
from sluiceway_server.triggers.records import LINK
from tests.service.triggers.conftest import COMMIT, OTHER_COMMIT, PROJECT_ID, Triggers, configuration

# Doubles for each level: no machine comes to its end within the limits of jsonnet.
BOMB = b"local f(n) = if n == 0 then 0 else f(n - 1) + f(n - 1); { runs: [{ name: std.toString(f(60)) }] }"
NESTED = b"[" * 500_000


@pytest.fixture
def reader(triggers: Triggers) -> EventReader:
    return EventReader(triggers.providers, ConfigProcesses(2, waiting=100))


def event(commit: str) -> pb.EventRecord:
    return pb.EventRecord(kind="push", ref="refs/heads/main", after=commit, commit=commit, message="a commit")


async def plan(reader: EventReader, commit: str, link: pb.LinkRecord) -> EventPlan:
    async with asyncio.timeout(200):
        read = await reader.read(event(commit), link, project_name="app", attempt=0)
    assert isinstance(read, ReadEvent)
    return read.plan


async def test_bomb_of_a_project_delays_no_other(triggers: Triggers, reader: EventReader) -> None:
    triggers.forge.files[COMMIT] = {".sluice/config.jsonnet": BOMB}
    triggers.forge.files[OTHER_COMMIT] = configuration({"name": "test"})
    link = await triggers.database.get(LINK, PROJECT_ID)
    other = pb.LinkRecord()
    other.CopyFrom(link)
    other.project_id = "another"
    # Three of them, for two processes.
    bombs = [asyncio.create_task(plan(reader, COMMIT, link)) for _ in range(3)]
    for _ in range(3):
        good = await plan(reader, OTHER_COMMIT, other)
        assert good.is_usable
        assert [run.name for run in good.planned()] == ["test"]
        assert not any(bomb.done() for bomb in bombs), "nobody waited for them"
    for bomb in bombs:
        bomb.cancel()
    await asyncio.gather(*bombs, return_exceptions=True)


@pytest.mark.parametrize(
    "files",
    [
        {".sluice/config.json": NESTED},
        {".sluice/config.yml": NESTED},
        {".sluice/config.jsonnet": NESTED},
        {".sluice/config.jsonnet": b"{ a: import 'b.jsonnet' }", ".sluice/b.jsonnet": b"import 'config.jsonnet'"},
        {".sluice/config.jsonnet": b"import '/etc/passwd'"},
    ],
    ids=["nested JSON", "nested YAML", "nested jsonnet", "circle of imports", "import from outside"],
)
async def test_hostile_file_is_a_setup_error(triggers: Triggers, reader: EventReader, files: dict[str, bytes]) -> None:
    triggers.forge.files[COMMIT] = files
    made = await plan(reader, COMMIT, await triggers.database.get(LINK, PROJECT_ID))
    assert not made.is_usable
    (run,) = made.planned()
    assert run.request is not None
    assert len(run.request.setup_errors) == 1


async def test_imports_and_changed_files_are_asked_for(triggers: Triggers, reader: EventReader) -> None:
    triggers.forge.files[COMMIT] = {
        ".sluice/config.jsonnet": (
            b"{ runs: [import 'lib/docs.jsonnet', { name: 'all', tasks: (import 'lib/t.jsonnet') }] }"
        ),
        ".sluice/lib/docs.jsonnet": b"{ name: 'docs', when: { paths: 'docs/**' }, tasks: (import 't.jsonnet') }",
        ".sluice/lib/t.jsonnet": (
            b"[{ name: 't', runtime: { containers: [{ image: 'host' }] }, steps: [{ run: 'true' }] }]"
        ),
    }
    triggers.forge.changed = ("src/a.py",)
    link = await triggers.database.get(LINK, PROJECT_ID)
    pushed = event(COMMIT)
    pushed.before = OTHER_COMMIT
    for _ in range(2):
        read = await reader.read(pushed, link, project_name="app", attempt=0)
        assert isinstance(read, ReadEvent)
        assert [(run.name, run.request is not None) for run in read.plan.planned()] == [("docs", False), ("all", True)]
