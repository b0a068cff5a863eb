"""`sluice run` and `sluice task` as processes, against the real `RunService`."""

from __future__ import annotations

import asyncio
import json
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from sluiceway.api.run.v1 import definition_pb2
from sluiceway.api.run.v1 import run_pb2 as api
from tests.support.commands import BYTES, ServedEngine, config_run, ended, repository
from tests.support.conditions import eventually
from tests.support.run_engine import definition, request


async def test_run_is_created_listed_and_shown_for_people_and_programs(served: ServedEngine, tmp_path: Path) -> None:
    repo = repository(tmp_path / "app", config_run("ci"))
    created = await served.sluice("run", "create", "--repo", repo, "-o", "name")
    assert (created.code, created.err) == (0, "")
    run_id = created.out.decode().strip()
    shown = json.loads((await served.sluice("run", "get", run_id, "-o", "json")).out)
    assert (shown["id"], shown["name"], shown["group"]) == (run_id, "ci", "/user/admin/app/main")
    listed = json.loads((await served.sluice("run", "list", "-o", "json")).out)
    assert [run["id"] for run in listed] == [run_id]
    table = (await served.sluice("run", "list", "--phase", "running")).out.decode()
    assert run_id[:13] in table
    assert run_id not in table
    assert "\x1b" not in table
    assert run_id in (await served.sluice("run", "list", "-o", "wide")).out.decode()
    people = (await served.sluice("run", "get", run_id)).out.decode()
    assert "refs/heads/main" in people
    assert "build" in people


FILTERS = {
    "strings are printed as they are": (("list", "--jq", ".[].name"), 0, "ci\n", ""),
    "a table": (("list", "--jq", ".[] | [.number, .phase] | @tsv"), 0, "1\tRUN_PHASE_RUNNING\n", ""),
    "one object": (
        ("get", "1", "--jq", "{number, tasks: (.tasks | length)}"),
        0,
        '{\n  "number": "1",\n  "tasks": 1\n}\n',
        "",
    ),
    "each of several": (("list", "-o", "jsonl", "--jq", ".number, .priority"), 0, "1\n0\n", ""),
    "nothing": (("list", "--jq", ".[] | select(false)"), 0, "", ""),
    "no filter": (("list", "--jq", ".["), 2, "", "Invalid value for '--jq': syntax error, unexpected end of file: .["),
    "another format": (
        ("list", "-o", "yaml", "--jq", "."),
        2,
        "",
        "--jq filters JSON; give -o json or jsonl, not -o yaml",
    ),
    "a filter that fails": (("list", "--jq", ".name"), 1, "", 'sluice: --jq: Cannot index array with string ("name")'),
}


@pytest.mark.parametrize(("arguments", "code", "out", "err"), FILTERS.values(), ids=FILTERS.keys())
async def test_json_output_is_filtered_by_jq(
    served: ServedEngine, arguments: tuple[str, ...], code: int, out: str, err: str
) -> None:
    await served.client.runs.create(request())
    result = await served.sluice("run", *arguments)
    assert (result.code, result.out.decode()) == (code, out)
    assert err in result.err


@pytest.mark.parametrize(
    ("options", "again"),
    [
        pytest.param((), {"build", "test"}, id="all"),
        pytest.param(("--failed",), {"test"}, id="what failed"),
        pytest.param(("--task", "build"), {"build", "test"}, id="a task and what depends on it"),
    ],
)
async def test_run_is_restarted(served: ServedEngine, options: tuple[str, ...], again: set[str]) -> None:
    run = await served.client.runs.create(request(definition("build"), definition("test", "build")))
    await served.world.finish(served.engine, run.id, "build")
    await served.world.finish(served.engine, run.id, "test", "failed")
    made = await served.sluice("run", "restart", "1", *options, "-o", "name")
    assert (made.code, made.err) == (0, "")
    before, after = await served.world.tasks(run.id), await served.world.tasks(made.out.decode().strip())
    assert {name for name in after if after[name].id != before[name].id} == again


async def test_run_that_runs_is_not_restarted(served: ServedEngine) -> None:
    await served.client.runs.create(request())
    refused = await served.sluice("run", "restart", "1")
    assert (refused.code, refused.out) == (1, b"")
    assert "cannot be restarted while it is running" in refused.err


async def test_watch_of_several_runs_exits_with_the_worst_code(served: ServedEngine, tmp_path: Path) -> None:
    repo = repository(tmp_path / "app", config_run("good"), config_run("bad"))
    watching = await served.start("run", "create", "--repo", repo, "--watch", "-o", "json")

    async def finish(name: str, phase: str) -> None:
        async def running() -> bool:
            runs = await served.client.runs.list(phase="RUN_PHASE_RUNNING")
            return [run.name for run in runs] == [name]

        await eventually(running)
        run = (await served.client.runs.list(phase="RUN_PHASE_RUNNING"))[0]
        await served.world.finish(served.engine, run.id, "build", phase)

    await finish("good", "success")
    await finish("bad", "failed")
    result = await ended(watching)
    assert result.code == 1
    assert [run["name"] for run in json.loads(result.out)] == ["good", "bad"]
    lines = [line.split() for line in result.err.splitlines()]
    assert all(line[:2] in (["1", "good"], ["2", "bad"]) for line in lines)
    assert ["1", "good", "-", "finished"] in [line[:4] for line in lines]


async def test_invalid_configuration_exits_with_3_and_its_errors(served: ServedEngine, tmp_path: Path) -> None:
    repo = repository(tmp_path / "app", {"name": "ci", "tasks": "none"})
    result = await served.sluice("run", "create", "--repo", repo, "--watch")
    assert result.code == 3
    assert b"tasks" in result.out
    (run,) = await served.client.runs.list()
    assert result.out.startswith(f"https://ci.example.org/runs/{run.id}\n".encode())


async def test_ctrl_c_ends_the_watch_with_130_but_not_the_run(served: ServedEngine) -> None:
    run = await served.client.runs.create(request())
    watching = await served.start("run", "watch", run.id)
    assert watching.stdout is not None
    async with asyncio.timeout(30):
        await watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    result = await ended(watching)
    assert (result.code, result.err) == (130, "sluice: interrupted\n")
    assert (await served.client.runs.get(run.id)).phase == api.RUN_PHASE_RUNNING


async def test_stop_cancel_approve_and_explain_act_on_a_run(served: ServedEngine) -> None:
    gate = definition("to the world", approval=definition_pb2.Approval())
    run = await served.client.runs.create(request(gate))
    queued = await served.client.runs.create(request())
    why = (await served.sluice("run", "explain", run.id)).out.decode()
    assert "to the world is not started" in why
    assert "approval" in why
    why = (await served.sluice("run", "explain", run.id, "to the world", "-o", "json")).out.decode()
    assert json.loads(why)["taskName"] == "to the world"
    assert b"run 2 (ci) is queued" in (await served.sluice("run", "explain", queued.id)).out
    cancelled = await served.sluice("run", "cancel", queued.id)
    assert (cancelled.code, cancelled.out) == (0, b"run 2 (ci) is cancelled\n")
    assert (await served.sluice("run", "watch", queued.id)).code == 2
    approved = await served.sluice("run", "approve", run.id, "to the world")
    assert (approved.code, approved.out) == (0, b"task to the world of run 1 (ci) is approved\n")
    assert (await served.world.statuses(run.id))["to the world"] == "running"
    why = (await served.sluice("run", "explain", run.id)).out.decode()
    assert "to the world is running\n  was given to executor e1" in why
    stopped = await served.sluice("run", "stop", run.id)
    assert (stopped.code, stopped.out) == (0, b"run 1 (ci) is stopping\n")
    await served.world.finish(served.engine, run.id, "to the world", "stopped")
    assert (await served.sluice("run", "watch", run.id)).code == 2


async def test_watch_of_a_waiting_run_says_what_it_waits_for(served: ServedEngine) -> None:
    run = await served.client.runs.create(request(definition("deploy", approval=definition_pb2.Approval())))
    watching = await served.start("run", "watch", run.id)
    assert watching.stdout is not None
    async with asyncio.timeout(30):
        lines = [(await watching.stdout.readline()).decode().strip() for _ in range(2)]
    assert lines[1].endswith(f"approve it with: sluice run approve {run.id[:13]} deploy")
    watching.send_signal(signal.SIGINT)
    await ended(watching)


REFERENCES = {
    "a number": "{run.number}",
    "a number of a group": "/user/me#{run.number}",
    "the beginning of an id": "{short}",
    "a whole id": "{run.id}",
    "the newest one": "@last",
}
BY_REFERENCE = {
    "get": ("run", "get"),
    "watch": ("run", "watch"),
    "logs": ("run", "logs"),
    "explain": ("run", "explain"),
    "task get": ("task", "get", "build"),
}


@pytest.mark.parametrize("command", BY_REFERENCE.values(), ids=BY_REFERENCE.keys())
async def test_run_is_named_by_any_reference(served: ServedEngine, command: tuple[str, ...]) -> None:
    await served.client.runs.create(request(group="/user/me/other/main"))
    served.world.clock.advance(timedelta(seconds=1))
    run = await served.client.runs.create(request())
    await served.end_build(run.id, len(BYTES))
    expected = None
    for reference in REFERENCES.values():
        named = reference.format(run=run, short=run.id[:13])
        result = await served.sluice(*command[:2], named, *command[2:])
        assert result.code == 0, result.err
        expected = expected or result.out
        assert result.out == expected


async def test_ambiguous_run_id_prefix_names_the_runs(served: ServedEngine) -> None:
    runs = [await served.client.runs.create(request()) for _ in range(2)]
    result = await served.sluice("run", "get", runs[0].id[:4])
    assert result.code == 1
    assert all(run.id in result.err for run in runs)


async def test_list_is_filtered_by_group_and_time(served: ServedEngine) -> None:
    now = datetime.now(UTC)
    served.world.clock.advance(now - timedelta(days=3) - served.world.clock.now())
    old = await served.client.runs.create(request(group="/user/me/app/main"))
    served.world.clock.advance(now - timedelta(hours=1) - served.world.clock.now())
    new = await served.client.runs.create(request(group="/user/me/app/topic"))
    other = await served.client.runs.create(request(group="/user/me/other/main"))

    async def listed(*arguments: str) -> list[str]:
        return (await served.sluice("run", "list", "-o", "name", *arguments)).out.decode().split()

    assert await listed("--group", "/user/me/app") == [new.id, old.id]
    assert await listed("--group", "/user/me/app/main") == [old.id]
    assert await listed("--since", "2h") == [other.id, new.id]
    assert await listed("--since", "4d", "--until", "2h") == [old.id]
    assert await listed("--since", (now - timedelta(days=1)).isoformat(), "--limit", "1") == [other.id]
    wrong = await served.sluice("run", "list", "--since", "yesterday")
    assert wrong.code == 2
    assert "2h" in wrong.err


async def test_watched_list_prints_runs_again_when_they_change(served: ServedEngine) -> None:
    run = await served.client.runs.create(request(group="/user/me/app/main"))
    watching = await served.start("run", "list", "--watch", "--group", "/user/me/app", "-o", "jsonl")
    assert watching.stdout is not None
    async with asyncio.timeout(30):
        assert json.loads(await watching.stdout.readline())["phase"] == "RUN_PHASE_RUNNING"
        stub = served.client.runs
        # The watch begins a moment after the list is printed: change runs until one is seen.
        reading = asyncio.create_task(watching.stdout.readline())
        while not reading.done():
            await stub.create(request(group="/user/me/other/main"))
            await stub.create(request(group="/user/me/app/main"))
            await asyncio.wait({reading}, timeout=0.2)
        changed = json.loads(reading.result())
    assert changed["group"] == "/user/admin/app/main"
    assert changed["id"] != run.id
    watching.send_signal(signal.SIGINT)
    assert (await ended(watching)).code == 130


async def test_watched_list_refuses_json_output(served: ServedEngine) -> None:
    result = await served.sluice("run", "list", "--watch", "-o", "json")
    assert result.code == 2
    assert "jsonl" in result.err


async def test_run_is_shown_with_its_tasks_steps_and_exit_codes(served: ServedEngine) -> None:
    run = await served.client.runs.create(request())
    await served.end_build(run.id, 5, "FAILED", 7)
    shown = json.loads((await served.sluice("run", "get", run.id, "-o", "json")).out)
    (task,) = shown["tasks"]
    assert (task["name"], task["executorId"], task["attempt"]) == ("build", "e1", 1)
    assert task["steps"][0]["exitStatus"] == 7
    assert task["attempts"][0]["steps"][0]["phase"] == "STEP_PHASE_FAILED"
    rows = [line.split() for line in (await served.sluice("run", "get", run.id)).out.decode().splitlines()]
    (row,) = [row for row in rows if row[:2] == ["build", "failed"]]
    assert row[-4:] == ["e1", "1", "1/1", "7"]
    task_shown = (await served.sluice("task", "get", run.id, "build")).out.decode()
    assert "executor: e1" in task_shown
    (step,) = [line.split() for line in task_shown.splitlines() if line.strip().startswith("0 ")]
    assert step[-4:] == ["failed", "7", "5", "bytes"]
    as_json = json.loads((await served.sluice("task", "get", run.id, "build", "-o", "json")).out)
    assert as_json == task
    assert yaml.safe_load((await served.sluice("task", "get", run.id, "build", "-o", "yaml")).out) == task
    assert (await served.sluice("task", "get", run.id, "build", "-o", "name")).out.decode().strip() == task["id"]
    served.log.data = b"one\n\x1b[31merror: \x1b[0mbroken\x1b]0;x\x07\nthree"
    why = (await served.sluice("run", "explain", run.id)).out.decode()
    assert "build is failed" in why
    lines = [
        '  step "true", the first error is in line 2:',
        "  1 | one",
        "  2 | error: broken\ufffd]0;x\ufffd",
        "  3 | three",
    ]
    assert why.splitlines()[-4:] == lines
    why_task = (await served.sluice("run", "explain", run.id, "build")).out.decode()
    assert why_task.splitlines()[-4:] == lines


async def test_created_run_is_shown_as_a_list_row(served: ServedEngine, tmp_path: Path) -> None:
    repo = repository(tmp_path / "app", config_run("ci"))
    created = (await served.sluice("run", "create", "--repo", repo)).out.decode().splitlines()
    listed = (await served.sluice("run", "list")).out.decode().splitlines()
    *created, page = created
    assert page.startswith("https://ci.example.org/runs/")
    assert len(created) == 2
    # Its age may differ by a second.
    assert [line.split()[:3] for line in created] == [line.split()[:3] for line in listed]
    watching = await served.start("run", "create", "--repo", repo, "--watch")
    assert watching.stdout is not None
    async with asyncio.timeout(30):
        page = (await watching.stdout.readline()).decode()
        first = (await watching.stdout.readline()).decode().split()
    assert page.startswith("https://ci.example.org/runs/")
    assert first[:4] == ["2", "ci", "-", "queued"]
    watching.send_signal(signal.SIGINT)
    await ended(watching)


async def test_stop_of_a_queued_run_cancels_it(served: ServedEngine) -> None:
    await served.client.runs.create(request())
    queued = await served.client.runs.create(request())
    result = await served.sluice("run", "stop", queued.id)
    assert (result.code, result.out) == (0, b"run 2 (ci) was queued, and is cancelled\n")
    assert await served.world.phase(queued.id) == "cancelled"
    again = await served.sluice("run", "stop", queued.id)
    assert (again.code, again.err) == (1, "sluice: run 2 (ci) is over: cancelled\n")


async def test_cancel_of_a_running_run_says_what_stops_it(served: ServedEngine) -> None:
    run = await served.client.runs.create(request())
    result = await served.sluice("run", "cancel", "1")
    assert result.code == 1
    assert result.err == f"sluice: run 1 (ci) is running already; stop it with: sluice run stop {run.id[:13]}\n"


async def test_stop_can_wait_for_the_end(served: ServedEngine) -> None:
    run = await served.client.runs.create(request())
    stopping = await served.start("run", "stop", run.id, "--wait")

    async def asked() -> bool:
        return (await served.world.run(run.id)).HasField("stop_request")

    await eventually(asked)
    await served.world.finish(served.engine, run.id, "build", "stopped")
    result = await ended(stopping)
    assert result.code == 0
    assert result.out.decode().splitlines()[1].startswith("run 1 (ci) is over: stopped")


async def test_wait_that_times_out_says_what_is_not_done(served: ServedEngine) -> None:
    run = await served.client.runs.create(request())
    result = await served.sluice("run", "stop", run.id, "--wait", "--timeout", "100ms")
    assert (result.code, result.err) == (1, "sluice: run 1 (ci) is still running\n")
    assert (await served.sluice("run", "stop", run.id, "--timeout", "1s")).code == 2


async def test_history_tells_the_story_of_a_run(served: ServedEngine) -> None:
    run = await served.client.runs.create(request(definition("build"), definition("test", "build")))
    told = (await served.sluice("run", "history", run.id)).out.decode().splitlines()
    assert told[0].startswith("run 1 (ci), created 2")
    assert told[1].split() == ["AFTER", "TASK", "WHAT"]
    assert told[2].split()[:3] == ["0.0s", "created", "by"]
    await served.client.runs.stop(run.id, force=True)
    told_later = (await served.sluice("run", "history", run.id)).out.decode()
    assert "was skipped\n    run stopped by" in told_later
    before = await served.sluice("run", "history", run.id, "--at", "2000-01-01T00:00:00Z")
    assert before.out.decode().startswith("run 1 (ci) was not created yet at 2000")
    entries = json.loads((await served.sluice("run", "history", run.id, "-o", "json")).out)
    assert entries[0]["phase"] == "RUN_PHASE_QUEUED"


async def test_reject_skips_the_task(served: ServedEngine) -> None:
    run = await served.client.runs.create(request(definition("deploy", approval=definition_pb2.Approval())))
    rejected = await served.sluice("run", "reject", run.id, "deploy", "--comment", "not today")
    assert (rejected.code, rejected.out) == (0, b"task deploy of run 1 (ci) is rejected\n")
    shown = await served.sluice("run", "explain", run.id)
    assert b"not today" in shown.out
    again = await served.sluice("run", "reject", run.id, "deploy")
    assert (again.code, "cannot be rejected" in again.err) == (1, True)


async def test_approve_can_wait_for_the_end_of_the_task(served: ServedEngine) -> None:
    run = await served.client.runs.create(request(definition("deploy", approval=definition_pb2.Approval())))
    approving = await served.start("run", "approve", run.id, "deploy", "--wait")

    async def running() -> bool:
        return (await served.world.statuses(run.id))["deploy"] == "running"

    await eventually(running)
    await served.world.finish(served.engine, run.id, "deploy", "failed")
    result = await ended(approving)
    assert result.code == 1
    assert result.out.decode().splitlines()[1].startswith("task deploy is over: failed")
