"""How a request becomes a run, a run with setup errors, or is refused; and the paths of groups."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_common.foundation.texts import foreign_fault
from sluiceway_common.runmodel import groups
from sluiceway_common.runmodel.creation import Created, create
from sluiceway_common.runmodel.definitions import DependsOn, TaskDefinition
from sluiceway_common.runmodel.invariants import check
from sluiceway_common.runmodel.model import ApprovalNeed, Retry, TaskStatus
from sluiceway_common.runmodel.reasons import ReasonCode
from sluiceway_common.runmodel.state import EventKind, RunState
from tests.fakes.run_simulator import START, STEPS, creation_request, graph


def created(text: str, **facts: object) -> Created:
    return create(creation_request(graph(text), **facts))  # type: ignore[arg-type]


def test_a_run_is_queued_with_its_tasks_levels_and_edges() -> None:
    made = created("c: a b; a; b: a; d~: c")
    assert (made.run.phase, made.run.result, made.run.enqueue_time) == ("queued", "unset", START)
    assert [(t.name, t.level, t.status) for t in made.tasks] == [
        ("c", 2, "not_started"),
        ("a", 0, "not_started"),
        ("b", 1, "not_started"),
        ("d", 3, "skipped"),
    ]
    assert [edge.parent for edge in made.tasks[0].depends] == ["run-1/a", "run-1/b"]
    check(RunState.of(made.run, made.tasks))


def test_task_whose_when_does_not_match_is_created_skipped() -> None:
    made = created("a~; b")
    reason = made.tasks[0].reason
    assert reason is not None
    assert reason.code == ReasonCode.WHEN_NOT_MATCHED
    assert [(e.kind, e.task_id, e.old, e.new) for e in made.events] == [
        (EventKind.PHASE, "", "", "queued"),
        (EventKind.TASK_STATUS, "run-1/a", "", "skipped"),
    ]


ERRORS = [
    ("unknown-parent", "a; b: builds; build", [
        'task "b" depends on "builds", which is not there; did you mean "build"?']),
    ("unknown-parent-like-nothing", "a: zzzz", ['task "a" depends on "zzzz", which is not there']),
    ("itself", "a: a", ['task "a" depends on itself']),
    ("cycle", "c: b; b: a; a: c", ['tasks depend on each other in a circle: "a" -> "c" -> "b" -> "a"']),
    ("two-cycles", "a: b; b: a; x; c: d x; d: c", [
        'tasks depend on each other in a circle: "a" -> "b" -> "a"',
        'tasks depend on each other in a circle: "c" -> "d" -> "c"']),
    ("all-at-once", "a: a; b: nothing", [
        'task "b" depends on "nothing", which is not there', 'task "a" depends on itself']),
]  # fmt: skip


@pytest.mark.parametrize(("text", "errors"), [pytest.param(*row[1:], id=row[0]) for row in ERRORS])
def test_a_broken_graph_makes_a_run_that_says_why(text: str, errors: list[str]) -> None:
    made = created(text)
    assert list(made.setup_errors) == errors
    assert (made.run.phase, made.tasks, made.run.end_time, made.run.enqueue_time) == ("setup_error", (), START, None)
    assert [(e.kind, e.new) for e in made.events] == [(EventKind.PHASE, "setup_error")]
    check(RunState.of(made.run, made.tasks))


def test_setup_errors_come_first_and_tasks_may_be_missing() -> None:
    made = created("", setup_errors=("line 3: bad", "line 3: bad"))
    assert (made.run.phase, made.setup_errors) == ("setup_error", ("line 3: bad",))
    assert created("a: a", setup_errors=("bad",)).setup_errors == ("bad", 'task "a" depends on itself')


def test_a_cycle_through_two_thousand_tasks_is_found() -> None:
    tasks = [TaskDefinition(f"t{n:04}", STEPS, depends=(DependsOn(f"t{(n + 1) % 2000:04}"),)) for n in range(2000)]
    made = create(creation_request(tasks))
    assert len(made.setup_errors) == 1
    assert made.setup_errors[0].count("->") == 2000


def one(**facts: object) -> tuple[TaskDefinition, ...]:
    return (replace(TaskDefinition("a", STEPS), **facts),)  # type: ignore[arg-type]


VIOLATIONS = [
    ("no-group", {"group": ""}, None, ["run.group: it must not be empty"]),
    ("relative-group", {"group": "project/p"}, None, ['run.group: it must be absolute: "/project/p"']),
    ("no-name", {"name": ""}, None, ["run.name: must not be empty"]),
    ("long-name", {"name": "x" * 101}, None, ["run.name: can have at most 100 characters, not 101"]),
    ("priority", {"priority": 11}, None, ["run.priority: it must be from -10 to 10"]),
    ("timeout", {"timeout": timedelta()}, None, ["run.timeout: it must be longer than nothing"]),
    ("no-tasks", {}, (), ["tasks: there must be at least one task, or a setup error"]),
    ("too-many", {}, tuple(TaskDefinition(f"t{n}", STEPS) for n in range(2001)),
     ["tasks: 2001 tasks; a run may have at most 2000"]),
    ("same-name", {}, one() + one(), ['tasks[1].name: "a" is the name of tasks[0] too']),
    ("task-name", {}, one(name="a\n"), ["tasks[0].name: must not begin or end with a space"]),
    ("task-priority", {}, one(priority=-11), ["tasks[0].priority: it must be from -10 to 10"]),
    ("no-attempt", {}, one(retry=Retry(0)), ["tasks[0].retry.max_attempts: it must be from 1 to 10"]),
    ("attempts", {}, one(retry=Retry(11)), ["tasks[0].retry.max_attempts: it must be from 1 to 10"]),
    ("task-timeout", {}, one(timeout=timedelta(-1)), ["tasks[0].timeout: it must be longer than nothing"]),
    ("approval", {}, one(approval=ApprovalNeed(timedelta())),
     ["tasks[0].approval.timeout: it must be longer than nothing"]),
    ("no-conditions", {}, one(depends=(DependsOn("b", frozenset()),)),
     ["tasks[0].depends[0].conditions: there must be at least one"]),
    ("same-parent", {}, one(depends=(DependsOn("b"), DependsOn("b"))),
     ['tasks[0].depends[1]: "b" is named twice; put its conditions together']),
    ("all-at-once", {"group": "", "priority": 99}, (),
     ["run.group: it must not be empty", "run.priority: it must be from -10 to 10",
      "tasks: there must be at least one task, or a setup error"]),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "tasks", "found"), [pytest.param(*row[1:], id=row[0]) for row in VIOLATIONS])
def test_what_can_never_work_is_refused_with_every_violation(
    facts: dict[str, object], tasks: tuple[TaskDefinition, ...] | None, found: list[str]
) -> None:
    request = creation_request(one() if tasks is None else tasks)
    with pytest.raises(InvalidInput) as caught:
        create(replace(request, **facts))  # type: ignore[arg-type]
    assert [f"{v.path}: {v.message}" for v in caught.value.violations] == found


def test_priority_is_of_the_task_then_the_run_and_0_in_a_fork() -> None:
    made = created("a; b ^-3", priority=4)
    assert [task.priority for task in made.tasks] == [4, -3]
    fork = created("a; b ^-3", priority=4, from_fork=True)
    assert (fork.run.priority, [task.priority for task in fork.tasks]) == (0, [0, 0])


def test_ids_that_are_too_few_are_our_mistake() -> None:
    with pytest.raises(ValueError, match="2 tasks, but 1 ids"):
        create(replace(creation_request(graph("a; b")), task_ids=["one"]))


def test_every_created_task_is_new() -> None:
    made = created("a *2; b: a")
    assert all(t.status is TaskStatus.NOT_STARTED and t.attempt == 1 and not t.was_attempted for t in made.tasks)


# --- groups


@pytest.mark.parametrize(
    ("given_group", "stored", "scope"),
    [
        pytest.param("/project/p1/branch/feat%2fx", "/project/p1/branch/feat%2Fx", "/project/p1", id="upper-case"),
        pytest.param("/a/b c/ü", "/a/b%20c/%C3%BC", "/a/b%20c", id="escaped"),
        pytest.param("/a/%7Eb", "/a/~b", "/a/~b", id="unreserved-stand-for-themselves"),
        pytest.param("/a/.../..b", "/a/.../..b", "/a/...", id="dots-in-names"),
        pytest.param("/a", "/a", "/a", id="one-segment"),
        pytest.param("/a/b", "/a/b", "/a/b", id="two-segments"),
    ],
)
def test_a_group_has_one_spelling_and_a_scope(given_group: str, stored: str, scope: str) -> None:
    made = created("a", group=given_group)
    assert (made.run.group, made.run.scope) == (stored, scope)
    assert groups.canonical(stored) == stored


@pytest.mark.parametrize(
    ("group", "fault"),
    [
        pytest.param("", "must not be empty", id="empty"),
        pytest.param("a/b", "must be absolute", id="relative"),
        pytest.param("/", "empty segment", id="root"),
        pytest.param("/a/", "empty segment", id="slash-at-the-end"),
        pytest.param("/a//b", "empty segment", id="two-slashes"),
        pytest.param("/a/..", "cannot be a segment", id="parent"),
        pytest.param("/../b", "cannot be a segment", id="parent-at-the-begin"),
        pytest.param("/a/%2e", "cannot be a segment", id="escaped-dot"),
        pytest.param("/a/%2", "must begin an escape", id="cut-escape"),
        pytest.param("/a/%zz", "must begin an escape", id="no-hexadecimal"),
        pytest.param("/a/%ff", "not valid UTF-8", id="no-utf-8"),
        pytest.param("/a/\ud800", "not valid UTF-8", id="lone-surrogate"),
        pytest.param("/a/b%00", "a segment must not hold a NUL character", id="nul"),
        pytest.param("/a/b\n", "control character", id="newline"),
        pytest.param("/" + "x" * 1024, "at most 1024", id="too-long"),
    ],
)
def test_what_is_not_a_group_is_refused(group: str, fault: str) -> None:
    with pytest.raises(InvalidInput, match=fault):
        groups.canonical(group)


plain = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20).filter(
    lambda s: s not in (".", "..") and foreign_fault(s) is None
)


@given(st.lists(plain, min_size=1, max_size=4))
def test_join_and_segments_are_each_others_opposite(parts: list[str]) -> None:
    group = groups.join(*parts)
    assert groups.segments(group) == tuple(parts)
    assert groups.canonical(group) == group
    assert len(groups.scope_of(group).split("/")) - 1 == min(2, len(parts))
