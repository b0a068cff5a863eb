"""Tasks that run while executors and the server are killed, paused and restarted: none is lost, and logs are exact.

`make chaos-executors` runs it with more tasks (`TASKS`) for longer (`ROUNDS`).
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import Installation, config, installation, make_repository, until

TASKS = int(os.environ.get("TASKS", "8"))
ROUNDS = int(os.environ.get("ROUNDS", "4"))
SEED = int(os.environ.get("SEED", "1"))
EXECUTORS = 2
LINES = 250 * ROUNDS
LONGEST_PAUSE_SECONDS = 1.5

pytestmark = [pytest.mark.system, pytest.mark.timeout(300 + 3 * TASKS + 60 * ROUNDS)]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    slots = -(-TASKS // EXECUTORS)
    with installation(
        tmp_path_factory.mktemp("chaos"), "--executors", str(EXECUTORS), "--slots", str(slots)
    ) as running:
        yield running


def disturb(here: Installation, chance: random.Random) -> None:
    """Kill or pause one executor, or kill the server."""
    processes = here.state["processes"]
    what = chance.choice(("kill", "kill", "pause", "server"))
    if what == "server":
        server = processes["server"]
        os.kill(server, signal.SIGKILL)
        until(lambda: here.state["processes"]["server"] not in {server, None}, "the server is restarted")
        return
    executor = chance.choice(processes["executors"])
    if what == "pause":
        os.kill(executor, signal.SIGSTOP)
        time.sleep(chance.uniform(0, LONGEST_PAUSE_SECONDS))
        os.kill(executor, signal.SIGCONT)
        return
    os.kill(executor, signal.SIGKILL)
    until(
        lambda: executor not in (now := here.state["processes"]["executors"]) and len(now) == EXECUTORS,
        "the executor is restarted",
    )


def left_of_pods(here: Installation) -> list[Path]:
    """List what is left of pods: their folders, and processes that see them."""
    folders = list(here.data.glob("**/sandbox/pods/*"))
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and b"CHAOS=here" in (entry / "environ").read_bytes().split(b"\0"):
                folders.append(entry)
    return folders


def test_disturbed_tasks_run_once_with_exact_logs(here: Installation) -> None:
    chance = random.Random(SEED)
    count = f"i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo line $i; sleep 0.01; done"
    names = [f"task{number}" for number in range(TASKS)]
    counting = {"type": "run", "command": count, "environment": {"CHAOS": "here"}}
    steps = [{"run": "echo first"}, counting, {"run": "echo last"}]
    path = here.repositories / "chaos"
    make_repository(path, {".sluice/config.json": config(*({"name": name, "steps": steps} for name in names))})
    run_id = here.create(path)
    assert not here.run(run_id).get("setupErrors")
    until(lambda: set(names) <= set(here.tasks(run_id)), "the tasks are there")
    until(
        lambda: all(b"line 1\n" in here.log(run_id, name, 1) for name in names),
        "all tasks run",
        seconds=120 + 3 * TASKS,
    )
    for _ in range(ROUNDS):
        disturb(here, chance)
    run = here.wait_for(run_id, seconds=240)
    tasks = here.tasks(run_id)
    assert run["result"] == "RUN_RESULT_SUCCESS", {name: task.get("reason") for name, task in tasks.items()}
    assert [tasks[name]["attempt"] for name in names] == [1] * TASKS
    expected = b"".join(b"line %d\n" % number for number in range(1, LINES + 1))
    for name in names:
        assert [here.log(run_id, name, step) for step in range(3)] == [b"first\n", expected, b"last\n"], name
    until(lambda: not left_of_pods(here), "nothing is left of their pods", seconds=10)


LEASE_SECONDS = 1.0
SHORT = f"--executors 1 --heartbeat-interval 250ms --executor-lease {LEASE_SECONDS:g}s --fence-after 60s"


def test_executor_stopped_for_ten_leases_loses_nothing(tmp_path: Path) -> None:
    lines = 1200
    count = f"i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo line $i; sleep 0.01; done"
    with installation(tmp_path, *SHORT.split()) as here:
        path = here.repositories / "stopped"
        steps = [{"type": "run", "command": count, "environment": {"CHAOS": "here"}}, {"run": "echo last"}]
        make_repository(path, {".sluice/config.json": config({"name": "a", "steps": steps})})
        run_id = here.create(path)
        until(lambda: b"line 1\n" in here.log(run_id, "a", 0), "the step writes")
        (executor,) = here.state["processes"]["executors"]
        (name,) = here.sluice("executor", "list", "-o", "name").stdout.split()
        os.kill(executor, signal.SIGSTOP)
        try:
            # The time is what is tested: nothing tells that so many leases have passed.
            time.sleep(10 * LEASE_SECONDS)
            assert "offline" in here.sluice("executor", "get", name).stdout
        finally:
            os.kill(executor, signal.SIGCONT)
        until(lambda: "online" in here.sluice("executor", "get", name).stdout, "it is back")
        assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
        assert here.tasks(run_id)["a"]["attempt"] == 1
        expected = b"".join(b"line %d\n" % number for number in range(1, lines + 1))
        assert [here.log(run_id, "a", step) for step in range(2)] == [expected, b"last\n"]
        until(lambda: not left_of_pods(here), "nothing is left of its pod", seconds=10)
