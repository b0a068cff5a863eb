"""Runs that are too large, or nearly: refused soon, and checked where they hold up nobody."""

from __future__ import annotations

import asyncio

import pytest

from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway_common.foundation.errors import InvalidInput, Unavailable
from sluiceway_common.runconfig import model as config_model
from sluiceway_common.runmodel import limits
from sluiceway_server.runs import create_request
from tests.fakes.objectstorage import FakeObjectStorage
from tests.support.event_loop import count_turns
from tests.support.run_engine import World, definition, request

LARGEST = limits.MAX_RUN_STEPS // limits.MAX_TASKS


def task_of(steps: int = 1, *parents: str, name: str = "a") -> definition_api.TaskDefinition:
    task = definition(name, *parents)
    step = task.steps[0]
    task.steps.extend(step for _ in range(steps - 1))
    return task


TOO_LARGE = [
    pytest.param([task_of()] * 2_001, "tasks: 2001 tasks; a run may have at most 2000", id="tasks"),
    pytest.param([task_of(1_000)] * 41, "tasks: 41000 steps in all tasks; .* at most 40000", id="steps"),
    pytest.param(
        [task_of(1, *(f"p{n}" for n in range(1_001)))] * 100,
        "100100 parents of all tasks; .* at most 100000",
        id="edges",
    ),
]


@pytest.mark.parametrize(("tasks", "words"), TOO_LARGE)
async def test_run_with_too_many_parts_is_refused_before_its_checks(
    tasks: list[definition_api.TaskDefinition], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = World().engine()
    monkeypatch.delattr(create_request, "check")

    with pytest.raises(InvalidInput, match=words):
        await engine.create_run(request(*tasks), created_by="admin")


async def test_the_largest_run_is_taken() -> None:
    world = World(bodies=FakeObjectStorage())
    engine = await world.placing_engine()
    tasks = [task_of(LARGEST, name=f"t{n}") for n in range(limits.MAX_TASKS)]

    made = await engine.create_run(request(*tasks), created_by="admin")

    assert made.value.run.phase == api.RUN_PHASE_RUNNING
    assert made.value.run.task_count == limits.MAX_TASKS


async def test_a_large_run_is_checked_off_the_event_loop() -> None:
    engine = World().engine()
    faulty = request(*(task_of(10, name="same") for n in range(1_000)))

    async def refused() -> InvalidInput:
        with pytest.raises(InvalidInput) as caught:
            await engine.create_run(faulty, created_by="admin")
        return caught.value

    error, turns = await count_turns(refused())

    assert len(error.violations) == 999
    assert turns > 50


async def test_only_some_large_runs_wait_to_be_checked() -> None:
    engine = World().engine()
    faulty = request(*(task_of(10, name="same") for n in range(200)))

    ends = await asyncio.gather(
        *(engine.create_run(faulty, created_by="admin") for _ in range(20)), return_exceptions=True
    )

    kinds = [type(end) for end in ends]
    assert kinds.count(InvalidInput) == 9
    assert kinds.count(Unavailable) == 11
    assert {end.reason for end in ends if isinstance(end, Unavailable)} == {"SERVER_BUSY"}


def test_configurations_and_runs_have_the_same_limits() -> None:
    names = ("MAX_TASKS", "MAX_RUN_STEPS", "MAX_RUN_EDGES", "MAX_ATTEMPTS")
    assert {name: getattr(config_model, name) for name in names} == {name: getattr(limits, name) for name in names}
    assert config_model.MAX_STEPS == create_request.MAX_STEPS
