"""Two servers on one etcd and one object storage, each with a gateway and an executor of its own."""

from __future__ import annotations

import base64
import hashlib
import json
import signal
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import until
from tests.support.several_servers import Process, Servers, definitions, online, several_servers

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

TICKS = "i=0; while [ $i -lt 30 ]; do echo line $i; i=$((i+1)); sleep 0.1; done"
TICKED = b"".join(b"line %d\n" % i for i in range(30))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with several_servers(tmp_path_factory.mktemp("servers")) as running:
        yield running


def sees_both(here: Servers, number: int) -> bool:
    return len(online(here, number)) == 2


def is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())


@pytest.fixture(autouse=True)
def both_are_there(here: Servers) -> None:
    """Start each test with both servers up."""
    for process in (here.etcd, *here.servers, *here.gateways, *here.executors):
        if process.running is None:
            process.start()
    for number in range(2):
        until(partial(here.is_ready, number), f"server {number} is ready")
        until(partial(sees_both, here, number), f"server {number} sees both executors")


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


def scheduler(here: Servers) -> int:
    """Return the server that was elected last."""
    elected = [
        (event["timestamp"], number)
        for number, server in enumerate(here.servers)
        for event in here.log_of(server)
        if event["event"] == "scheduler_elected"
    ]
    return max(elected)[1]


def assert_all_went_well(here: Servers, run_ids: list[str], server: int) -> None:
    for run_id in run_ids:
        assert here.wait_for(run_id, server=server)["result"] == "RUN_RESULT_SUCCESS"
        for task in here.tasks(run_id, server).values():
            assert (task["status"], task["attempt"]) == ("TASK_STATUS_SUCCESS", 1), task


def test_write_through_one_server_is_read_through_the_other(here: Servers) -> None:
    for number in range(6):
        writer, reader = number % 2, 1 - number % 2
        body = {
            "run": {"name": "run", "group": f"/user/me/reads-{number}"},
            "tasks": definitions({"name": "a", "approval": True, "steps": [{"run": "true"}]}),
        }
        with here.client(writer) as client:
            made = client.post("/api/v1/runs", json=body)
            assert made.status_code == 201, made.text
        run_id = made.json()["id"]
        with here.client(reader, **{"sluice-position": made.headers["sluice-position"]}) as client:
            for path in ("", "/tasks", ":explain"):
                assert client.get(f"/api/v1/runs/{run_id}{path}").status_code == 200, path
            listed = client.get("/api/v1/runs", params={"group": f"/user/admin/reads-{number}"}).json()["runs"]
            assert [run["id"] for run in listed] == [run_id]


def test_log_is_followed_through_the_other_server(here: Servers) -> None:
    run_id = here.create({"name": "counts", "steps": [{"run": TICKS}]}, group="/user/me/follow")
    here.wait_for(run_id, "RUN_PHASE_RUNNING")
    with ThreadPoolExecutor(2) as pool:
        followers = [pool.submit(here.log, run_id, "counts", server, follow=True) for server in range(2)]
        assert [follower.result(60) for follower in followers] == [TICKED, TICKED]
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"


def test_live_log_reaches_the_other_server_before_the_storage(here: Servers) -> None:
    # Less than five seconds, after which the first segment of a log is stored.
    script = "i=0; while [ $i -lt 40 ]; do echo $i; i=$((i+1)); sleep 0.1; done"
    run_id = here.create({"name": "counts", "steps": [{"run": script}]}, group="/user/me/live")
    here.wait_for(run_id, "RUN_PHASE_RUNNING")

    def follow(server: int) -> list[bytes]:
        path = f"/api/v1/runs/{run_id}/tasks/{here.tasks(run_id, server)['counts']['id']}/log"
        with (
            here.client(server, Accept="application/x-ndjson") as client,
            client.stream("GET", path, params={"step": 0, "follow": True}, timeout=60) as response,
        ):
            return [base64.b64decode(json.loads(line)["data"]) for line in response.iter_lines() if "data" in line]

    with ThreadPoolExecutor(2) as pool:
        followed = list(pool.map(follow, range(2)))
    for pieces in followed:
        assert b"".join(pieces) == b"".join(b"%d\n" % number for number in range(40))
        # From the storage it would be one or two.
        assert len(pieces) >= 5


def chain() -> list[dict[str, Any]]:
    return [
        {"name": "a", "steps": [{"run": "sleep 2; echo once"}]},
        {"name": "b", "depends": ["a"], "steps": [{"run": "echo once"}]},
    ]


def test_another_server_schedules_when_the_scheduler_is_killed(here: Servers) -> None:
    killed = scheduler(here)
    other = 1 - killed
    run_ids = [here.create(*chain(), server=n % 2, group=f"/user/me/killed-{n}") for n in range(6)]
    here.servers[killed].kill()
    late = here.create({"name": "a", "steps": [{"run": "true"}]}, server=other, group="/user/me/killed-late")
    here.wait_for(late, server=other)
    here.servers[killed].start()
    assert_all_went_well(here, [*run_ids, late], other)
    assert {here.log(run_id, task, other) for run_id in run_ids for task in "ab"} == {b"once\n"}


def test_paused_scheduler_decides_nothing_when_resumed(here: Servers) -> None:
    paused = scheduler(here)
    other = 1 - paused
    run_ids = [here.create(*chain(), server=n % 2, group=f"/user/me/paused-{n}") for n in range(4)]
    here.servers[paused].send(signal.SIGSTOP)
    try:
        run_ids += [here.create(*chain(), server=other, group=f"/user/me/meanwhile-{n}") for n in range(4)]
        until(lambda: scheduler(here) == other, "the other server was elected")
    finally:
        here.servers[paused].send(signal.SIGCONT)
    run_ids += [here.create(*chain(), server=paused, group=f"/user/me/awake-{n}") for n in range(2)]
    assert_all_went_well(here, run_ids, other)
    assert {here.log(run_id, task, paused) for run_id in run_ids for task in "ab"} == {b"once\n"}
    assert not [event for event in here.log_of(here.servers[paused]) if event["event"] == "sweep_moved_runs"]


def test_tasks_continue_after_both_servers_restart(here: Servers) -> None:
    run_ids = [here.create({"name": "counts", "steps": [{"run": TICKS}]}, group=f"/user/me/both-{n}") for n in range(4)]
    until(lambda: all(here.log(run_id, "counts") for run_id in run_ids), "all of them count")
    for server in here.servers:
        server.kill()
    for server in here.servers:
        server.start()
    until(lambda: here.is_ready(1), "the second server is ready")
    assert_all_went_well(here, run_ids, 1)
    assert {here.log(run_id, "counts", 1) for run_id in run_ids} == {TICKED}


def test_no_log_byte_is_lost_when_a_server_is_paused(here: Servers) -> None:
    script = (
        "i=0; while [ $i -lt 25 ]; do head -c 150000 /dev/urandom | base64 | tee -a /tmp/all; i=$((i+1)); sleep 0.2"
    )
    script += "; done; sha256sum < /tmp/all | cut -c1-64"
    # One for each executor: the lowest load is chosen first.
    tasks = [{"name": name, "steps": [{"run": script}]} for name in ("one", "two")]
    run_id = here.create(*tasks, group="/user/me/standing")
    until(lambda: all(here.log(run_id, name) for name in ("one", "two")), "both print")
    here.servers[0].send(signal.SIGSTOP)
    try:
        other = "two" if here.tasks(run_id, 1)["two"]["executorId"] == "two" else "one"
        until(lambda: here.tasks(run_id, 1)[other]["status"] == "TASK_STATUS_SUCCESS", "the other one ends")
    finally:
        here.servers[0].send(signal.SIGCONT)
    assert_all_went_well(here, [run_id], 1)
    for name in ("one", "two"):
        for server in range(2):
            body, digest = (log := here.log(run_id, name, server))[:-65], log[-65:].strip().decode()
            assert len(body) > 5_000_000
            assert hashlib.sha256(body).hexdigest() == digest


def test_runs_of_a_group_are_numbered_and_never_overlap(here: Servers) -> None:
    tasks = definitions(
        *({"name": f"t{n}", "depends": [f"t{n - 1}"] if n else [], "steps": [{"run": "true"}]} for n in range(2))
    )
    before = {run["id"] for run in here.get("/api/v1/runs", pageSize=1000)["runs"]}
    with here.client(0) as first, here.client(1) as second:

        def create(number: int) -> str:
            body = {"run": {"name": "run", "group": f"/user/me/many-{number % 8}"}, "tasks": tasks}
            answer = (first, second)[number % 2].post("/api/v1/runs", json=body)
            assert answer.status_code == 201, answer.text
            return str(answer.json()["id"])

        with ThreadPoolExecutor(8) as pool:
            made = set(pool.map(create, range(40)))

    def all_runs() -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = here.get("/api/v1/runs", 1, pageSize=1000)["runs"]
        return runs

    until(lambda: all(r["phase"] == "RUN_PHASE_FINISHED" for r in all_runs() if r["id"] in made), "all have ended")
    runs = all_runs()
    assert {run["id"] for run in runs} == before | made
    assert sorted(int(run["number"]) for run in runs) == list(range(1, len(runs) + 1))
    groups = defaultdict(list)
    for run in runs:
        if run["id"] in made:
            assert run["result"] == "RUN_RESULT_SUCCESS"
            groups[run["group"]].append((time_of(run["startTime"]), time_of(run["endTime"])))
    for times in groups.values():
        assert len(times) == 5
        times.sort()
        assert all(start >= end for (_, end), (start, _) in pairwise(times))
    for number in range(2):
        work = here.folder / f"executor-{number}"
        until(partial(is_empty, work / "sandbox" / "pods"), "no pod is left")
        until(partial(is_empty, work / "spool"), "no spooled log is left")
    assert str(here.folder) not in Path("/proc/mounts").read_text()


def test_paused_executor_continues_its_tasks_when_resumed(here: Servers) -> None:
    run_id = here.create(*({"name": f"t{n}", "steps": [{"run": TICKS}]} for n in range(4)), group="/user/me/still")
    until(lambda: all(here.log(run_id, f"t{n}") for n in range(4)), "all of them count")
    here.executors[1].send(signal.SIGSTOP)
    try:
        until(lambda: online(here) == ["one"], "it is missed")
    finally:
        here.executors[1].send(signal.SIGCONT)
    assert_all_went_well(here, [run_id], 0)
    assert {here.log(run_id, f"t{n}", n % 2) for n in range(4)} == {TICKED}


def test_second_executor_with_the_same_id_waits(here: Servers, tmp_path: Path) -> None:
    own = str(here.folder / "executor-0")
    command = [str(tmp_path / "work") if word == own else word for word in here.executors[0].command]
    twin = Process("twin", command, tmp_path / "twin.log")
    twin.start()
    try:
        until(lambda: [e for e in here.log_of(twin) if e["event"] == "executor_id_in_use"], "it is refused")
        run_id = here.create({"name": "a", "steps": [{"run": "true"}]}, group="/user/me/twin")
        assert_all_went_well(here, [run_id], 1)
        assert not [e for e in here.log_of(twin) if e["event"] in {"executor_connected", "task_accepted"}]
    finally:
        twin.end()
