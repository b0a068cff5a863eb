"""The engine through its own face, on a database in memory: creation, execution, requests of people, R15."""

from __future__ import annotations

import asyncio

import pytest

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway_common.foundation.errors import Conflict, FailedPrecondition, InvalidInput, NotFound
from sluiceway_common.runmodel.reasons import Reason
from sluiceway_server.datamanager.model import Emit
from sluiceway_server.runrecords.types import LOCK, QUEUE, RUN_CONFIG, lock_id
from sluiceway_server.runs.create_request import RunTooLarge
from sluiceway_server.runs.ports import AssignmentNotice
from tests.fakes.executor_directory import executor
from tests.fakes.objectstorage import FakeObjectStorage
from tests.support.run_engine import GROUP, World, definition, request


async def test_run_of_one_task_goes_from_creation_to_success() -> None:
    world = World()
    engine = await world.placing_engine()
    run_id = (await engine.create_run(request(), created_by="admin")).value.run.id
    assert await world.phase(run_id) == "running"
    assert await world.statuses(run_id) == {"build": "running"}
    assignment = await world.assignment_of(run_id)
    assert (assignment.executor_id, assignment.epoch.attempt, assignment.epoch.database) == ("e1", 1, 1)
    await world.finish(engine, run_id)
    run = await world.run(run_id)
    assert (await world.phase(run_id), await world.result(run_id)) == ("finished", "success")
    assert (run.number, run.created_by, run.task_count) == (1, "admin", 1)
    assert run.HasField("start_time")
    assert run.HasField("end_time")
    assert (await world.tasks(run_id))["build"].setup_step.type == "setup"
    assert await world.db.read(lambda view: view.get(QUEUE, GROUP)) is None


async def test_events_are_the_differences_of_stored_values() -> None:
    world = World()
    engine = await world.placing_engine()
    run_id = (await engine.create_run(request(), created_by="admin")).value.run.id
    await world.finish(engine, run_id)
    assert world.told(run_id) == [
        "run: >QUEUED",
        "build: >e1",
        "build: NOT_STARTED>RUNNING",
        "run: QUEUED>RUNNING",
        "build: RUNNING>SUCCESS",
        "run: UNSPECIFIED>SUCCESS",
        "run: RUNNING>FINISHED",
    ]


async def test_graph_continues_as_its_conditions_say() -> None:
    world = World()
    engine = await world.placing_engine()
    tasks = [
        definition("a"),
        definition("b", "a"),
        definition("c", "a:on_failure"),
        definition("d", "b:on_skipped", "c"),
    ]
    run_id = (await engine.create_run(request(*tasks), created_by="admin")).value.run.id
    await world.finish(engine, run_id, "a", "failed")
    assert await world.statuses(run_id) == {"a": "failed", "b": "skipped", "c": "running", "d": "not_started"}
    assert await world.result(run_id) == "failed"
    await world.finish(engine, run_id, "c")
    await world.finish(engine, run_id, "d")
    assert (await world.phase(run_id), await world.result(run_id)) == ("finished", "failed")


async def test_setup_errors_make_a_run_that_says_why() -> None:
    world = World()
    engine = await world.placing_engine()
    faulty = request(definition("a", "b"), definition("b", "a"))
    run_id = (await engine.create_run(faulty, created_by="admin")).value.run.id
    run = await world.run(run_id)
    assert await world.phase(run_id) == "setup_error"
    assert run.setup_errors[0].startswith("tasks depend on each other in a circle")
    assert await world.tasks(run_id) == {}
    assert world.told(run_id) == ["run: >SETUP_ERROR"]


async def test_creation_names_every_fault_with_its_path() -> None:
    world = World()
    engine = world.engine()
    faulty = request(definition("a"), definition("a"), group="no/slash")
    faulty.run.priority = 99
    faulty.request_id = "x" * 101
    faulty.tasks[0].runtime.arch = "z80"
    faulty.tasks[1].steps.add(name="nothing")
    with pytest.raises(InvalidInput) as caught:
        await engine.create_run(faulty, created_by="admin")
    assert [violation.path for violation in caught.value.violations] == [
        "request_id",
        "run.priority",
        "tasks[0].runtime.arch",
        "tasks[1].steps[1]",
        "run.group",
        "tasks[1].name",
    ]


async def test_request_id_returns_the_first_run_or_refuses_a_change() -> None:
    world = World()
    engine = await world.placing_engine()
    first = await engine.create_run(request(request_id="r1"), created_by="admin")
    again = await engine.create_run(request(request_id="r1"), created_by="admin")
    assert again.value.run.id == first.value.run.id
    other_caller = await engine.create_run(request(request_id="r1"), created_by="eve")
    assert other_caller.value.run.id != first.value.run.id
    with pytest.raises(InvalidInput, match="used for run") as caught:
        await engine.create_run(request(request_id="r1", name="other"), created_by="admin")
    assert caught.value.reason == "REQUEST_ID_REUSED"


async def test_request_id_is_forgotten_after_thirty_days() -> None:
    world = World()
    engine = await world.placing_engine()
    first = await engine.create_run(request(request_id="r1"), created_by="admin")
    world.later(days=30)
    second = await engine.create_run(request(request_id="r1"), created_by="admin")
    assert second.value.run.id != first.value.run.id


async def test_numbers_have_no_gap_and_no_repeat_under_concurrency() -> None:
    world = World()
    engines = [await world.placing_engine("s1"), world.engine("s2")]
    groups = ["/user/admin/a", "/user/admin/b", "/user/eve/a"]
    made = await asyncio.gather(
        *(engines[n % 2].create_run(request(group=groups[n % 3]), created_by="admin") for n in range(30)),
        *(engines[0].create_run(request(group="nowhere"), created_by="admin") for _ in range(3)),
        return_exceptions=True,
    )
    numbers: dict[str, list[int]] = {}
    for each in made:
        if not isinstance(each, BaseException):
            scope = "/".join(each.value.run.group.split("/")[:3])
            numbers.setdefault(scope, []).append(each.value.run.number)
    assert sorted(numbers["/user/admin"]) == list(range(1, 21))
    assert sorted(numbers["/user/eve"]) == list(range(1, 11))


async def test_creation_is_refused_when_a_change_group_has_moved() -> None:
    world = World()
    engine = await world.placing_engine()
    await engine.create_run(request(change_groups={"mine": ""}), created_by="admin")
    with pytest.raises(Conflict, match="change group 'caller/mine'") as caught:
        await engine.create_run(request(change_groups={"mine": ""}), created_by="admin")
    known = caught.value.metadata["revision"]
    await engine.create_run(request(change_groups={"mine": known}), created_by="admin")


async def test_runs_of_one_group_never_overlap_and_of_two_groups_do() -> None:
    world = World()
    engine = await world.placing_engine()
    ids = [(await engine.create_run(request(), created_by="a")).value.run.id for _ in range(3)]
    other = (await engine.create_run(request(group="/user/admin/repo/dev"), created_by="a")).value.run.id
    assert [await world.phase(i) for i in (*ids, other)] == ["running", "queued", "queued", "running"]
    await world.finish(engine, ids[0])
    assert [await world.phase(i) for i in ids] == ["finished", "running", "queued"]
    await world.finish(engine, ids[1], phase="failed")
    assert [await world.phase(i) for i in ids] == ["finished", "finished", "running"]


async def test_run_with_a_result_holds_its_group_until_its_tasks_end() -> None:
    world = World()
    engine = await world.placing_engine()
    first = (await engine.create_run(request(definition("a"), definition("b")), created_by="a")).value.run.id
    second = (await engine.create_run(request(), created_by="a")).value.run.id
    await world.finish(engine, first, "a", "failed")
    assert await world.result(first) == "failed"
    assert await world.phase(second) == "queued"
    await world.finish(engine, first, "b")
    assert await world.phase(second) == "running"


async def test_stop_stops_running_tasks_and_ends_the_run_as_stopped() -> None:
    world = World()
    engine = await world.placing_engine()
    run_id = (await engine.create_run(request(definition("a"), definition("b", "a")), created_by="a")).value.run.id
    await engine.stop_run(run_id, by="eve")
    assignment = await world.assignment_of(run_id, "a")
    assert assignment.HasField("stop_requested")
    notices = [
        action.kind
        for applied, _, _ in world.db.history
        for action in applied.actions
        if isinstance(action, Emit) and "executor/e1" in action.topics
    ]
    assert notices == [AssignmentNotice.ASSIGNED, AssignmentNotice.STOP]
    assert await world.result(run_id) == "stopped"
    await world.finish(engine, run_id, "a", "stopped")
    assert await world.statuses(run_id) == {"a": "stopped", "b": "skipped"}
    assert await world.phase(run_id) == "finished"
    with pytest.raises(FailedPrecondition, match="its phase is finished"):
        await engine.stop_run(run_id, by="eve")


async def test_cancel_takes_a_queued_run_and_no_other() -> None:
    world = World()
    engine = await world.placing_engine()
    running = (await engine.create_run(request(), created_by="a")).value.run.id
    queued = (await engine.create_run(request(), created_by="a")).value.run.id
    with pytest.raises(FailedPrecondition, match="running"):
        await engine.cancel_run(running, by="a")
    with pytest.raises(FailedPrecondition, match="queued"):
        await engine.stop_run(queued, by="a")
    await engine.cancel_run(queued, by="a")
    assert await world.phase(queued) == "cancelled"
    assert await world.statuses(queued) == {"build": "cancelled"}
    with pytest.raises(FailedPrecondition, match="cancelled"):
        await engine.cancel_run(queued, by="a")
    with pytest.raises(NotFound):
        await engine.stop_run("nobody", by="a")


async def test_approval_is_given_once_and_starts_the_task() -> None:
    world = World()
    engine = await world.placing_engine()
    needs = definition("deploy", approval=definition_api.Approval())
    run_id = (await engine.create_run(request(needs), created_by="a")).value.run.id
    task_id = await world.task_id(run_id, "deploy")
    assert await world.statuses(run_id) == {"deploy": "not_started"}
    assert (await world.run(run_id)).HasField("approval_wait_since")
    with pytest.raises(FailedPrecondition, match="commit"):
        await engine.approve_task(run_id, task_id, by="eve", is_owner=False, commit_sha="0" * 40)
    await engine.approve_task(run_id, task_id, by="eve", is_owner=False)
    assert await world.statuses(run_id) == {"deploy": "running"}
    with pytest.raises(FailedPrecondition):
        await engine.approve_task(run_id, task_id, by="eve", is_owner=False)
    task = (await world.tasks(run_id))["deploy"]
    assert (task.approval.approved_by, task.approval.HasField("approve_time")) == ("eve", True)
    assert "deploy: waiting>approved" in world.told(run_id)


async def test_repeated_update_is_acknowledged_without_effect() -> None:
    world = World()
    engine = await world.placing_engine()
    run_id = (await engine.create_run(request(), created_by="a")).value.run.id
    assignment = await world.assignment_of(run_id)
    await world.report(engine, assignment, "accepted", "running")
    before = len(world.db.history)
    outcomes = await world.report(engine, assignment, "running", "accepted")
    assert [outcome.refused for outcome in outcomes] == [None, None]
    assert len(world.db.history) == before
    await world.report(engine, assignment, "success")
    before = len(world.db.history)
    outcomes = await world.report(engine, assignment, "success", "running")
    assert [outcome.refused for outcome in outcomes] == [None, None]
    assert len(world.db.history) == before


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param("epoch", "stale_epoch", id="an older attempt is refused"),
        pytest.param("session", "stale_session", id="another session is refused"),
        pytest.param("executor", "unknown_assignment", id="another executor learns nothing"),
        pytest.param("id", "unknown_assignment", id="an unknown assignment is refused"),
        pytest.param("end", "attempt_ended_otherwise", id="another end is refused"),
    ],
)
async def test_refused_update_does_not_affect_the_rest_of_its_batch(change: str, code: str) -> None:
    world = World()
    engine = await world.placing_engine()
    run_id = (await engine.create_run(request(), created_by="a")).value.run.id
    other = (await engine.create_run(request(group="/user/b/x"), created_by="a")).value.run.id
    assignment, good = await world.assignment_of(run_id), await world.assignment_of(other)
    executor_id, session = assignment.executor_id, assignment.session_id
    bad = world.update(assignment, "success")
    match change:
        case "epoch":
            bad.epoch.attempt = 7
        case "session":
            session = "another"
        case "executor":
            executor_id = "e2"
        case "id":
            bad.assignment_id = "nobody"
        case "end":
            await world.report(engine, assignment, "failed")
    batch = [bad] if change in ("session", "executor") else [bad, world.update(good, "running")]
    outcomes = await engine.report(executor_id, session, batch)
    assert outcomes[0].refused is not None
    assert outcomes[0].refused.code == code
    assert all(outcome.refused is None for outcome in outcomes[1:])
    assert await world.result(run_id) == ("failed" if change == "end" else "unspecified")
    if len(batch) > 1:
        assert (await world.assignment_of(other)).phase == executor_api.ASSIGNMENT_PHASE_RUNNING


async def test_lost_assignment_is_retried_if_the_configuration_says_so() -> None:
    world = World()
    engine = await world.placing_engine()
    retry = definition_api.Retry(max_attempts=2, on=[definition_api.RETRY_CAUSE_LOST])
    run_id = (await engine.create_run(request(definition("a", retry=retry)), created_by="a")).value.run.id
    first = await world.assignment_of(run_id, "a")
    await engine.mark_lost([first.id, "nobody"], Reason("executor_vanished", "it is gone"))
    second = await world.assignment_of(run_id, "a")
    assert (second.id != first.id, second.epoch.attempt) == (True, 2)
    outcome = await world.report(engine, first, "success")
    assert outcome[0].refused is not None
    await engine.mark_lost([second.id], Reason("executor_vanished", "it is gone"))
    assert await world.statuses(run_id) == {"a": "lost"}
    assert (await world.phase(run_id), await world.result(run_id)) == ("finished", "failed")


async def test_lock_has_one_holder_over_all_groups_of_a_project() -> None:
    world = World()
    engine = await world.placing_engine()
    first = (await engine.create_run(request(definition(lock="prod")), created_by="a")).value.run.id
    other = request(definition(lock="prod"), group="/user/admin/repo/dev")
    second = (await engine.create_run(other, created_by="a")).value.run.id
    assert await world.statuses(second) == {"build": "not_started"}
    assert (await world.tasks(second))["build"].reason.code == "WAITS_FOR_LOCK"
    assert (await world.db.get(LOCK, lock_id("/user/admin", "prod"))).run_id == first
    await world.finish(engine, first)
    assert await world.statuses(second) == {"build": "running"}
    await world.finish(engine, second)
    assert await world.db.read(lambda view: view.get(LOCK, lock_id("/user/admin", "prod"))) is None


async def test_environment_of_a_specification_follows_its_precedence() -> None:
    world = World()
    engine = await world.placing_engine()
    value = definition_api.EnvironmentValue
    made = request(
        definition(
            environment={"A": value(value="task"), "B": value(value="task"), "SLUICE_RUN_NUMBER": value(value="9")}
        ),
        static_environment={"A": value(value="static"), "B": value(value="static")},
        environment={"B": value(value="dynamic")},
        source=definition_api.Source(repository="https://git/x", branch="main", commit_sha="a" * 40),
    )
    run_id = (await engine.create_run(made, created_by="a")).value.run.id
    specification = await engine.specifications.build((await world.assignment_of(run_id)).id)
    environment = dict(specification.environment)
    assert environment["A"] == "static"
    assert environment["B"] == "dynamic"
    assert environment["CI"] == "true"
    assert environment["SLUICE_RUN_NUMBER"] == "1"
    assert environment["SLUICE_GIT_BRANCH"] == "main"
    assert environment["SLUICE_API_URL"] == "http://sluice"
    assert (specification.working_dir, specification.shell) == ("~/project", "/bin/sh -e")
    assert specification.timeout.seconds == 3600
    assert specification.steps[0].definition.run.command == "true"


async def test_secret_is_refused_clearly_when_a_run_is_created() -> None:
    engine = await World().placing_engine()
    secret = definition_api.EnvironmentValue(secret=definition_api.SecretReference(id="s", key="k", version=1))
    task = definition(environment={"TOKEN": secret})
    task.docker_registries_auth["r"].type = "encodedauth"
    task.docker_registries_auth["r"].auth.CopyFrom(secret)
    with pytest.raises(InvalidInput) as caught:
        await engine.create_run(request(task), created_by="a")
    assert [(v.path, v.message) for v in caught.value.violations] == [
        ('tasks[0].environment["TOKEN"]', "only variables refer to secrets; give the name of a variable"),
        ('tasks[0].docker_registries_auth["r"].auth', "only variables refer to secrets; give the name of a variable"),
    ]


async def test_engines_on_one_database_cannot_disagree() -> None:
    world = World()
    scheduler, other = await world.placing_engine("s1", slots=0), world.engine("s2")
    await world.executors.connect(executor(slots=100))
    ids = [
        (await (scheduler, other)[n % 2].create_run(request(group=f"/user/u{n}/x"), created_by="a")).value.run.id
        for n in range(10)
    ]
    await scheduler.scheduler.place_now()
    for run_id in ids:
        # `run` follows the changes of the other one; here they are passed to it directly.
        await scheduler.sweep()
        assert await world.statuses(run_id) == {"build": "running"}
    assignments = [await world.assignment_of(run_id) for run_id in ids]
    await asyncio.gather(
        *(
            world.report(engine, assignment, phase)
            for assignment in assignments
            for engine, phase in ((scheduler, "success"), (other, "failed"))
        )
    )
    for run_id in ids:
        status = (await world.statuses(run_id))["build"]
        ends = [line for line in world.told(run_id) if line.startswith("build: RUNNING>")]
        assert ends == [f"build: RUNNING>{status.upper()}"]
        assert await world.result(run_id) == status


async def test_run_of_two_thousand_tasks_can_be_made_and_stopped() -> None:
    world = World(bodies=FakeObjectStorage())
    engine = await world.placing_engine()
    names = [f"a task with a name that says a little about what it does {n:04}" for n in range(2000)]
    chains = [[names[n - 1]] if n % 20 else [] for n in range(2000)]
    tasks = [definition(name, *parents) for name, parents in zip(names, chains, strict=True)]
    run = (await engine.create_run(request(*tasks), created_by="a")).value.run
    assert run.task_count == 2000
    config = await world.db.get(RUN_CONFIG, run.id)
    assert (config.stored_apart, config.HasField("config")) == (True, False)
    specification = await engine.specifications.build((await world.assignment_of(run.id, names[0])).id)
    assert specification.task_name == names[0]
    await engine.stop_run(run.id, by="a")
    for task in [task for task in (await world.tasks(run.id)).values() if task.assignment_id]:
        await world.finish(engine, run.id, task.name, "stopped")
    assert (await world.phase(run.id), await world.result(run.id)) == ("finished", "stopped")


async def test_run_that_could_not_be_changed_as_a_whole_is_refused() -> None:
    world = World(bodies=FakeObjectStorage())
    engine = await world.placing_engine()
    names = [f"{n:0100}" for n in range(2000)]
    tasks = [definition(name, *names[max(0, n - 10) : n]) for n, name in enumerate(names)]
    with pytest.raises(RunTooLarge, match="2000 tasks"):
        await engine.create_run(request(*tasks), created_by="a")
    assert await world.db.read(lambda view: next(view.scan(RUN_CONFIG), None)) is None
