"""The story of a run: each entry, and that it says of every moment what was true then."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluiceway_common.runmodel import history
from sluiceway_common.runmodel.definitions import TaskDefinition
from sluiceway_common.runmodel.model import Assignment, RunPhase, TaskStatus
from tests.fakes.run_simulator import START, Simulator
from tests.unit.runmodel.test_run_properties import act, graphs


def attempts_of(run: Simulator) -> dict[str, list[Assignment]]:
    found: dict[str, list[Assignment]] = {}
    for assignment in sorted((*run.final.values(), *run.state.assignments.values()), key=lambda each: each.id):
        found.setdefault(assignment.task_id, []).append(assignment)
    return found


def told(run: Simulator) -> list[str]:
    """Return the story in lines: seconds since the creation, the task, what happened."""
    entries = history.story(run.state.run, run.state.tasks, attempts_of(run))
    return [
        f"{(entry.time - START).total_seconds():.0f} {run.state.tasks[entry.task_id].name if entry.task_id else '-'}:"
        f" {entry.sentence}"
        for entry in entries
    ]


STORIES = [
    (
        "a-success-that-waited-for-an-executor",
        "a; b: a",
        "wait 9s; assign a; wait 1s; a runs; wait 60s; a succeeds; b succeeds",
        [
            "0 -: created",
            "0 -: started",
            "0 a: waits for an executor",
            "9 a: assigned to e1 after 9s",
            "10 a: runs on e1",
            "70 a: succeeded",
            "70 b: assigned to e1",
            "70 b: succeeded",
            "70 -: ended: success",
        ],
    ),
    (
        "a-retry-and-what-it-skips",
        "a *2; b: a",
        "a exits 2; wait 5s; a exits 3",
        [
            "0 -: created",
            "0 -: started",
            "0 a: assigned to e1",
            '0 a: attempt 1 failed, and is followed by another: step "build" failed with exit status 2',
            "0 a: waits for an executor",
            "5 a: attempt 2 assigned to e1 after 5s",
            '5 a: failed: step "build" failed with exit status 3',
            '5 b: was skipped: it runs only if "a" succeeds, and "a" failed',
            "5 -: ended: failed",
        ],
    ),
    (
        "an-approval",
        "a?; b?; c?",
        "wait 1h; approve a; reject b; a succeeds; wait 8d",
        [
            "0 -: created",
            "0 -: started",
            "0 a: waits for approval",
            "0 b: waits for approval",
            "0 c: waits for approval",
            "3600 a: approved by ann after 1h",
            "3600 a: assigned to e1",
            "3600 a: succeeded",
            "3600 b: was skipped: rejected by ann",
            "694800 c: was skipped: nobody approved it within 7d",
            '694800 -: ended: success: approval of "c" expired; approval of "b" rejected',
        ],
    ),
    (
        "a-stop",
        "a; b",
        "assign a; wait 3s; stop; wait 2s; a is_stopped",
        [
            "0 -: created",
            "0 -: started",
            "0 a: assigned to e1",
            "3 a: ordered to stop: run stopped by ann",
            "3 b: was skipped: run stopped by ann, before this task started",
            "3 -: ann asked it to stop",
            "5 a: was stopped: run stopped by ann",
            "5 -: ended: stopped",
        ],
    ),
    (
        "nobody-took-it",
        "a +10m",
        "wait 10m",
        ["0 -: created", "0 -: started", "600 a: failed: no executor took it within 10m", "600 -: ended: failed"],
    ),
]


@pytest.mark.parametrize(("text", "story", "lines"), [pytest.param(*row[1:], id=row[0]) for row in STORIES])
def test_story_says_what_happened_and_when(text: str, story: str, lines: list[str]) -> None:
    assert told(Simulator(text).does(story)) == lines


def test_story_of_a_queued_run_says_how_long_it_waited() -> None:
    run = Simulator("a", start=False, created_by="ann")
    assert told(run) == ["0 -: created by ann"]
    run.now += timedelta(minutes=5)
    run.does("start")
    assert told(run)[:2] == ["0 -: created by ann", "300 -: started after 5m in the queue of its group"]


def test_moment_says_what_each_task_waited_for() -> None:
    run = Simulator("a; b: a; c?: b").does("wait 9s; assign a; wait 9s; a succeeds; b succeeds")
    entries = history.story(run.state.run, run.state.tasks, attempts_of(run))

    def at(seconds: int) -> dict[str, str]:
        stood = history.moment(run.state.run, run.state.tasks, entries, START + timedelta(seconds=seconds))
        return {run.state.tasks[key].name: f"{status} {why}" for key, (status, why) in stood.tasks.items()}

    assert at(-1) == {}
    assert at(8) == {
        "a": "not_started waits for an executor",
        "b": 'not_started waits for "a"',
        "c": 'not_started waits for "b"',
    }
    assert at(9)["a"] == "running assigned to e1 after 9s"
    assert at(18) == {"a": "success succeeded", "b": "success succeeded", "c": "not_started waits for approval"}


@settings(max_examples=100, deadline=None)
@given(graphs(), st.integers(0, 2**32), st.none() | st.just(timedelta(hours=5)))
def test_every_moment_is_as_it_was(tasks: tuple[TaskDefinition, ...], seed: int, timeout: timedelta | None) -> None:
    run, rng = Simulator(tasks, timeout=timeout), random.Random(seed)
    seen: dict[datetime, tuple[RunPhase, dict[str, TaskStatus]]] = {}
    for _ in range(60):
        # The last state of each time: a story has no order within one.
        seen[run.now] = (run.state.run.phase, {key: task.status for key, task in run.state.tasks.items()})
        if run.state.run.phase.is_terminal:
            break
        act(run, rng)
    entries = history.story(run.state.run, run.state.tasks, attempts_of(run))
    seen[run.now] = (run.state.run.phase, {key: task.status for key, task in run.state.tasks.items()})
    assert [entry.time for entry in entries] == sorted(entry.time for entry in entries)
    # A retry that a stop or its wait timeout ended has the time of its last attempt, and is shown as ended since then.
    retried = {key for key, task in run.state.tasks.items() if task.retry.max_attempts > 1}
    for time, (phase, statuses) in seen.items():
        stood = history.moment(run.state.run, run.state.tasks, entries, time)
        assert stood.phase is phase
        for key, status in statuses.items():
            if key not in retried or run.state.tasks[key].status is TaskStatus.SUCCESS:
                assert stood.tasks[key][0] is status, (time, run.state.tasks[key].name)
