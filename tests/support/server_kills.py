"""Runs on three servers that are killed one after the other: each ends right, no group overlaps, no task runs twice.

    python -m tests.support.server_kills [--runs N] [--seed N] [--folder PATH]

etcd, three servers with a gateway each, three executors that connect to any of them, and an S3 server are real
processes. Tasks run with the driver `host` and append a line to a file when they start and when they end: what ran, and
in which order, is known without asking the servers.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from tests.support.installation import gateway_client, until
from tests.support.s3_servers import OWNER, Seaweed, started
from tests.support.several_servers import Servers, definitions, online, several_servers

__all__ = ["TASKS", "Installation", "Outcome", "check", "installation"]

SERVERS: Final = 3
SLOTS: Final = 6
GROUPS: Final = 20
CREATORS: Final = 3
CALL_SECONDS: Final = 180.0
WORK_SECONDS: Final = 3600.0

CONCURRENCY: Final[Mapping[str, int]] = {"p0": 1, "p1": 2, "p2": 3, "p3": 0}
"""The projects, and how many runs of each may run at the same time; 0: no limit."""

LOCKED: Final = "e"
RETRIED: Final = "d"

TASKS: Final = dict.fromkeys("abcdefgi", "success") | {"h": "skipped", "j": "success"}
"""The tasks of each run, and how they end: a first, j last, h only if b fails. The first attempt of d fails."""

ATTEMPTS: Final[Mapping[str, int]] = dict.fromkeys(TASKS, 1) | {RETRIED: 2, "h": 0}


def _tasks(marks: Path) -> list[Any]:
    mark = f'echo "$SLUICE_RUN_ID $SLUICE_TASK_NAME {{}}" >> {marks}/marks'
    script = f"{mark.format('start')}; sleep 0.05; {mark.format('end')}"
    # The first attempt makes the folder and fails; the second finds it.
    fails_once = f"{mark.format('start')}; {mark.format('end')}; ! mkdir {marks}/$SLUICE_RUN_ID 2>/dev/null"
    parents: dict[str, list[Any]] = {
        **{name: ["a"] for name in "bcd"},
        **{name: ["b", "c"] for name in "ef"},
        "g": ["d"],
        "h": [{"task": "b", "conditions": ["on_failure"]}],
        "i": ["e", "f", "g"],
        "j": [{"task": name, "conditions": ["always"]} for name in "hi"],
    }
    tasks = []
    for name in TASKS:
        task: dict[str, Any] = {"name": name, "steps": [{"run": script}], "depends": parents.get(name, [])}
        if name == RETRIED:
            task |= {"steps": [{"run": fails_once}], "retry": {"max_attempts": 2}}
        if name == LOCKED:
            task["lock"] = "deploy"
        tasks.append(task)
    return definitions(*tasks)


@dataclass
class Outcome:
    """What became of the runs.

    Attributes:
        runs: as a server shows them in the end, with their tasks by name in `tasks`.
        created: the ids that the creations returned, by request id.
        marks: the run, the task and "start" or "end", in the order in which they happened.
        kills: how many servers were killed.
        take_overs: seconds from the kill of a scheduler until a server was elected, the killed one or another.
        swept: runs that only the sweep of a scheduler advanced.
        seconds: until all runs had ended.
    """

    runs: list[dict[str, Any]] = field(default_factory=list)
    created: dict[str, str] = field(default_factory=dict)
    marks: list[tuple[str, str, str]] = field(default_factory=list)
    kills: int = 0
    take_overs: list[float] = field(default_factory=list)
    swept: list[Any] = field(default_factory=list)
    seconds: float = 0.0


def check(outcome: Outcome) -> None:
    """Check what must hold for all runs.

    Raises:
        AssertionError: something does not; the message lists the first few.
    """
    faults = [
        *_wrong_ends(outcome),
        *_wrong_numbers(outcome),
        *_wrong_marks(outcome),
        *_overlapping_runs(outcome),
        *_overlapping_locks(outcome),
    ]
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:20])


def _wrong_ends(outcome: Outcome) -> Iterator[str]:
    if Counter(run["id"] for run in outcome.runs) != Counter(outcome.created.values()):
        yield f"{len(outcome.created)} runs were created, {len(outcome.runs)} are listed"
    for run in outcome.runs:
        if (run["phase"], run["result"]) != ("RUN_PHASE_FINISHED", "RUN_RESULT_SUCCESS"):
            yield f"run {run['id']} is {run['phase']}, {run['result']}"
        for name, status in TASKS.items():
            task = run["tasks"][name]
            found = (task["status"], task["attempt"])
            if found != (f"TASK_STATUS_{status.upper()}", ATTEMPTS[name]):
                yield f"task {name} of run {run['id']} is {found}"


def _wrong_numbers(outcome: Outcome) -> Iterator[str]:
    numbers = defaultdict(list)
    for run in sorted(outcome.runs, key=lambda run: str(run["id"])):
        numbers[_project(run)].append(int(run["number"]))
    for project, found in numbers.items():
        if sorted(found) != list(range(1, len(found) + 1)):
            yield f"the runs of {project} have the numbers {sorted(found)}"


def _wrong_marks(outcome: Outcome) -> Iterator[str]:
    counted = Counter(outcome.marks)
    expected = {
        (run["id"], name, what): attempts
        for run in outcome.runs
        for name, attempts in ATTEMPTS.items()
        if attempts
        for what in ("start", "end")
    }
    for mark in counted.keys() | expected.keys():
        if counted[mark] != expected.get(mark, 0):
            yield f"{' '.join(mark)}: {counted[mark]} times, not {expected.get(mark, 0)}"


def _overlapping_runs(outcome: Outcome) -> Iterator[str]:
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for place, (run_id, _, _) in enumerate(outcome.marks):
        first.setdefault(run_id, place)
        last[run_id] = place
    groups, projects = defaultdict(list), defaultdict(list)
    for run in outcome.runs:
        groups[run["group"]].append((first.get(run["id"], 0), last.get(run["id"], 0), run["id"]))
        projects[_project(run)].append((_time(run["startTime"]), _time(run["endTime"])))
    for group, spans in groups.items():
        for (_, end, earlier), (start, _, later) in itertools.pairwise(sorted(spans)):
            if start < end:
                yield f"runs {earlier} and {later} of {group} overlap"
    for project, times in projects.items():
        limit = CONCURRENCY[project]
        most = max(sum(start <= moment < end for start, end in times) for moment, _ in times)
        if limit and most > limit:
            yield f"{most} runs of {project} ran at the same time; its concurrency is {limit}"


def _overlapping_locks(outcome: Outcome) -> Iterator[str]:
    project_of = {run["id"]: _project(run) for run in outcome.runs}
    holders: dict[str, str] = {}
    for run_id, name, what in outcome.marks:
        if name != LOCKED:
            continue
        project = project_of.get(run_id, "?")
        if what == "end":
            holders.pop(project, None)
        elif project in holders:
            yield f"runs {holders[project]} and {run_id} of {project} both held its lock"
        else:
            holders[project] = run_id


def _project(run: Mapping[str, Any]) -> str:
    return str(run["requestedProject"])


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


@dataclass
class Installation:
    """The running parts, with the projects of `CONCURRENCY`."""

    here: Servers
    marks: Path
    projects: dict[str, str]

    def run(self, count: int, *, seed: int, down_seconds: float = 10.0, up_seconds: float = 4.0) -> Outcome:
        """Create runs and kill servers, one at a time, until all runs have ended.

        Args:
            count: how many runs.
            seed: of what is chosen by chance.
            down_seconds: the longest time for which a server is down.
            up_seconds: the longest time for which all servers are up.
        """
        outcome = Outcome()
        chance = random.Random(seed)
        tasks = _tasks(self.marks)
        began = time.monotonic()
        done = threading.Event()
        killed: list[tuple[float, int]] = []
        with ThreadPoolExecutor(CREATORS + 1) as pool:
            killing = pool.submit(self._kill, done, chance, killed, down_seconds, up_seconds)
            try:
                for request_id, run_id in pool.map(partial(self._create, tasks), range(count)):
                    outcome.created[request_id] = run_id
                ids = set(outcome.created.values())
                until(lambda: self._ended() >= ids, "all runs have ended", seconds=WORK_SECONDS)
                outcome.seconds = time.monotonic() - began
            finally:
                done.set()
            killing.result()
        for run in self._runs():
            answer = self._call("GET", f"/api/v1/runs/{run['id']}/tasks", params={"pageSize": "1000"})
            names = {project_id: name for name, project_id in self.projects.items()}
            run["requestedProject"] = names[run["group"].split("/")[2]]
            run["tasks"] = {task["name"]: task for task in answer["tasks"]}
            outcome.runs.append(run)
        lines = (self.marks / "marks").read_text().splitlines()
        outcome.marks = [(run, task, what) for run, task, what in (line.split(" ") for line in lines)]
        outcome.kills = len(killed)
        outcome.take_overs = list(self._take_overs(killed))
        outcome.swept = [
            event
            for server in self.here.servers
            for event in self.here.log_of(server)
            if event["event"] == "sweep_moved_runs"
        ]
        return outcome

    def _create(self, tasks: Sequence[Any], number: int) -> tuple[str, str]:
        project = list(self.projects.values())[number % len(self.projects)]
        group = f"/project/{project}/group-{number % GROUPS}"
        body = {"run": {"name": "run", "group": group}, "tasks": tasks, "requestId": f"run-{number}"}
        return f"run-{number}", str(self._call("POST", "/api/v1/runs", first=number, json=body)["id"])

    def _call(self, method: str, path: str, *, first: int = 0, **how: Any) -> Any:
        """Call one gateway after the other until one responds; the call may have been done before."""
        limit, number = time.monotonic() + CALL_SECONDS, first
        while True:
            try:
                with gateway_client(self.here.http[number % SERVERS], self.here.token, {}, seconds=60) as client:
                    answer = client.request(method, path, **how)
            except httpx.TransportError as error:
                text = repr(error)
            else:
                if answer.is_success:
                    return answer.json()
                text = f"{answer.status_code}: {answer.text}"
                assert answer.status_code in {409, 503, 504}, text
            assert time.monotonic() < limit, f"{method} {path}: {text}"
            time.sleep(0.1)
            number += 1

    def _runs(self, **more: str) -> Iterator[dict[str, Any]]:
        parameters = {"pageSize": "1000", **more}
        while True:
            answer = self._call("GET", "/api/v1/runs", params=parameters)
            yield from answer["runs"]
            if not (token := answer["nextPageToken"]):
                return
            parameters["pageToken"] = token

    def _ended(self) -> set[str]:
        return {run["id"] for run in self._runs() if run["phase"] not in {"RUN_PHASE_QUEUED", "RUN_PHASE_RUNNING"}}

    def _kill(
        self,
        done: threading.Event,
        chance: random.Random,
        killed: list[tuple[float, int]],
        down_seconds: float,
        up_seconds: float,
    ) -> None:
        here = self.here
        while not done.wait(chance.uniform(0.5, up_seconds)):
            # Every second time the scheduler, which matters most.
            number = chance.randrange(SERVERS)
            if len(killed) % 2 == 0:
                number = max(self._elections())[1]
            killed.append((time.time(), number))
            here.servers[number].kill()
            done.wait(chance.uniform(0, down_seconds))
            here.servers[number].start()
            until(partial(here.is_ready, number), f"server {number} is ready again", seconds=120)

    def _elections(self) -> list[tuple[float, int]]:
        return [
            (_time(event["timestamp"]).timestamp(), number)
            for number, server in enumerate(self.here.servers)
            for event in self.here.log_of(server)
            if event["event"] == "scheduler_elected"
        ]

    def _take_overs(self, killed: Sequence[tuple[float, int]]) -> Iterator[float]:
        elections = sorted(self._elections())
        for moment, number in killed:
            before = [each for each in elections if each[0] <= moment]
            after = [each for each in elections if each[0] > moment]
            if before and before[-1][1] == number and after:
                yield after[0][0] - moment


@contextmanager
def installation(folder: Path) -> Iterator[Installation]:
    """Run all parts below a folder for the block. The environment has the credentials of `OWNER`."""
    marks = folder / "marks"
    marks.mkdir()
    with (
        started(Seaweed(folder / "s3")) as storage,
        several_servers(folder / "here", count=SERVERS, slots=SLOTS, executors=False, storage=storage.url()) as here,
        ExitStack() as stack,
    ):
        target = f"ipv4:{','.join(here.grpc)}"
        for executor in here.executors:
            executor.command[executor.command.index("--server") + 1] = target
            executor.command += ["--driver", "host"]
            executor.start()
            stack.callback(executor.end)
        until(lambda: len(online(here)) == SERVERS, "the executors are online")
        projects = {}
        with here.client() as client:
            for name, concurrency in CONCURRENCY.items():
                project = {"name": name, "parentId": "user/admin", "concurrency": concurrency}
                answer = client.post("/api/v1/projects", json={"project": project})
                assert answer.status_code == 201, answer.text
                projects[name] = str(answer.json()["id"])
        yield Installation(here, marks, projects)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.server_kills", description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep all data and logs in this new folder")
    arguments = parser.parse_args()
    os.environ.update(OWNER)
    with ExitStack() as stack:
        folder = arguments.folder
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="server-kills-")))
        else:
            folder.mkdir()
        parts = stack.enter_context(installation(folder))
        outcome = parts.run(arguments.runs, seed=arguments.seed)
    times = sorted(outcome.take_overs)
    print(
        f"{len(outcome.runs)} runs of {len(TASKS)} tasks in {outcome.seconds:.0f} s, {outcome.kills} servers killed;"
        f" a scheduler after {times[len(times) // 2]:.1f} s (p50), {times[-1]:.1f} s (longest) of {len(times)};"
        f" {len(outcome.swept)} sweeps moved runs"
    )
    check(outcome)
    print("all ended right, no group overlapped, no task ran twice, and no number is missing")
    return 0


if __name__ == "__main__":
    sys.exit(main())
