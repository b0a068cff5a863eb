"""Tasks that are held after a failed step, on real parts: a shell with a real terminal, and how the task continues."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sluiceway.api.run.v1 import hold_service_pb2 as pb
from sluiceway.client import SluicewayError, connect
from tests.support.installation import SLUICE, WAIT_SECONDS, Installation, config, installation, make_repository, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

STEP = {"type": "run", "name": "test", "command": 'echo "try $(cat tries 2>/dev/null)"; cat fixed'}
HELD = {"hold_on_failure": "10m"}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("holds")) as running:
        yield running


def create(here: Installation, name: str, *tasks: dict[str, Any], arguments: tuple[str, ...] = ()) -> str:
    make_repository(here.repositories / name, {".sluice/config.json": config(*tasks)})
    return here.create(here.repositories / name, *arguments)


def held(here: Installation, run_id: str, task: str = "t", number: int = 1) -> dict[str, Any]:
    def is_held() -> dict[str, Any] | None:
        found = here.tasks(run_id)[task]
        return found if found.get("hold", {}).get("number") == number else None

    found: dict[str, Any] = until(is_held, f"{task} is held")
    return found


class Terminal:
    """`sluice task shell` at a pseudo-terminal."""

    def __init__(self, here: Installation, *arguments: str) -> None:
        self.master, slave = pty.openpty()
        self.resize(30, 100)
        environment = {**os.environ, "SLUICE_SERVER": here.state["grpc"], "SLUICE_TOKEN": here.token, "TERM": "xterm"}
        command = [*SLUICE, "task", "shell", *arguments]
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def read_until(self, text: str, *, seconds: float = WAIT_SECONDS) -> str:
        """Read what is shown, up to `text`, which is taken away."""
        end = time.monotonic() + seconds
        wanted = text.encode()
        while wanted not in self.seen:
            ready, _, _ = select.select([self.master], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"not shown: {text!r}; shown: {self.seen!r}"
            try:
                self.seen += os.read(self.master, 4096)
            except OSError as error:
                raise AssertionError(f"ended before {text!r}; shown: {self.seen!r}") from error
        before, _, self.seen = self.seen.partition(wanted)
        return before.decode()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)


@contextmanager
def shell(here: Installation, *arguments: str) -> Iterator[Terminal]:
    terminal = Terminal(here, *arguments)
    try:
        yield terminal
    finally:
        terminal.close()


def test_failed_step_is_repaired_in_a_shell_and_continued(here: Installation) -> None:
    run_id = create(
        here,
        "repaired",
        {
            "name": "t",
            **HELD,
            "environment": {"COLOR": "grün"},
            "steps": [STEP, {"type": "run", "name": "after", "command": "echo done"}],
        },
        {"name": "deploy", "depends": ["t"], "steps": [{"run": "true"}]},
    )
    task = held(here, run_id)
    assert task["status"] == "TASK_STATUS_RUNNING"
    assert task["reason"]["message"].startswith("failed, held until ")
    assert here.tasks(run_id)["deploy"]["status"] == "TASK_STATUS_NOT_STARTED"
    assert "held (failed)" in here.sluice("run", "get", run_id).stdout
    assert "failed, held until" in here.sluice("run", "explain", run_id).stdout
    with shell(here, run_id, "t") as terminal:
        terminal.read_until('environment of step "test", secrets included; what it prints is not stored')
        terminal.type("pwd; echo $COLOR; stty size; test -t 0 && echo termi''nal\n")
        assert "/home/sluice/project\r\ngrün\r\n30 100\r\n" in terminal.read_until("terminal\r\n")
        terminal.resize(50, 132)
        terminal.process.send_signal(signal.SIGWINCH)
        terminal.type("while [ \"$(stty size)\" != '50 132' ]; do sleep 0.1; done; echo re''sized\n")
        terminal.read_until("resized\r\n")
        terminal.read_until("$ ")
        # One job: before it prints, the terminal is its own.
        terminal.type("sh -c \"echo sl''eeping; sleep 600\"\n")
        terminal.read_until("sleeping\r\n")
        terminal.type("\x03")
        terminal.read_until("$ ")
        terminal.type("echo af''ter $?\n")
        terminal.read_until("after 130\r\n")
        terminal.type("echo 2 > tries; touch fixed; exit 7\n")
        assert terminal.process.wait(30) == 7
    done = here.sluice("task", "continue", run_id, "t", "--wait", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    run = here.wait_for(run_id)
    assert run["result"] == "RUN_RESULT_SUCCESS"
    task = here.tasks(run_id)["t"]
    assert [step["phase"] for step in task["steps"]] == ["STEP_PHASE_SUCCESS"] * 2
    assert task["steps"][0]["reruns"] == 1
    assert [(each["action"], each["hold"]) for each in task["continuations"]] == [("HOLD_ACTION_RUN_FAILED_STEP", 1)]
    log = here.log(run_id, "t", 0).decode()
    assert log.index("try \n") < log.index("its pod is held") < log.index("run again") < log.index("try 2\n")
    records = here.sluice("audit", "list", "-o", "jsonl").stdout
    assert '"method":"OpenShell"' in records.replace(" ", "")
    assert "exit status 7" in records
    assert "HoldService" not in records


def test_next_step_is_run_and_the_task_stays_failed(here: Installation) -> None:
    steps = [
        {"type": "run", "name": "a", "command": "exit 3"},
        {"type": "run", "name": "b", "command": "echo here > f"},
        {"type": "run", "name": "c", "command": "cat f"},
    ]
    run_id = create(here, "next", {"name": "t", "steps": steps}, arguments=("--hold-on-failure", "10m"))
    held(here, run_id)
    behind = here.create(here.repositories / "next")
    assert 'task "t" of run' in here.sluice("run", "explain", behind).stdout
    here.sluice("run", "cancel", behind)
    done = here.sluice("task", "continue", run_id, "t", "--from", "next", "--wait", check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_FAILED"
    task = here.tasks(run_id)["t"]
    phases = [step["phase"].removeprefix("STEP_PHASE_") for step in task["steps"]]
    assert phases == ["FAILED", "SUCCESS", "SUCCESS"]
    assert "exited with 3" in task["reason"]["message"]
    refused = here.sluice("task", "continue", run_id, "t", check=False)
    assert (refused.returncode, "the pod of task" in refused.stderr) == (1, True)
    refused = here.sluice("task", "shell", run_id, "t", check=False)
    assert (refused.returncode, "is not running" in refused.stderr) == (1, True)


def test_release_and_stop_end_a_hold(here: Installation) -> None:
    steps = [{"run": "exit 3"}, {"type": "run", "name": "clean", "command": "echo cleaned", "always": True}]
    released = create(here, "released", {"name": "t", **HELD, "steps": steps})
    stopped = create(here, "stopped", {"name": "t", **HELD, "steps": steps})
    held(here, released)
    here.sluice("task", "release", released, "t")
    assert here.wait_for(released)["result"] == "RUN_RESULT_FAILED"
    assert here.log(released, "t", 1) == b"cleaned\n"
    held(here, stopped)
    here.sluice("run", "stop", stopped, "--wait")
    task = here.tasks(stopped)["t"]
    assert (task["status"], here.log(stopped, "t", 1)) == ("TASK_STATUS_FAILED", b"cleaned\n")


def test_limit_of_the_hold_fails_the_task(here: Installation) -> None:
    run_id = create(here, "expired", {"name": "t", "hold_on_failure": "1s", "steps": [{"run": "exit 3"}]})
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_FAILED"
    assert "hold" not in here.tasks(run_id)["t"] or not here.tasks(run_id)["t"]["hold"]


def test_lost_connection_ends_the_shell(here: Installation) -> None:
    run_id = create(here, "lost", {"name": "t", **HELD, "steps": [{"run": "exit 3"}]})
    held(here, run_id)
    with shell(here, run_id, "t") as terminal:
        terminal.read_until("is not stored")
        terminal.type("echo $$-x; sleep 4242\n")
        terminal.read_until("-x\r\n")
        terminal.process.kill()
    # Another shell sees the processes of the same pod. It waits there: a shell for each look takes half a second.
    with shell(here, run_id, "t") as terminal:
        terminal.read_until("is not stored")
        terminal.type("while pgrep -f '[s]leep 4242' > /dev/null; do sleep 0.2; done; echo go''ne\n")
        terminal.read_until("gone\r\n")
    here.sluice("task", "release", run_id, "t")
    here.wait_for(run_id)


def test_shell_ends_with_its_pod(here: Installation) -> None:
    run_id = create(here, "running", {"name": "t", "steps": [{"run": "until [ -e go ]; do sleep 0.1; done"}]})
    until(lambda: here.tasks(run_id)["t"]["steps"][0]["phase"] == "STEP_PHASE_RUNNING", "the step runs")
    with shell(here, run_id, "t") as terminal:
        terminal.read_until("is not stored")
        terminal.type("touch go\n")
        terminal.read_until("the pod of the task ended")
        assert terminal.process.wait(30) == 1
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"


def test_hold_is_asked_for_when_a_run_is_restarted(here: Installation) -> None:
    run_id = create(here, "restarted", {"name": "t", "steps": [{"run": "exit 3"}]})
    here.wait_for(run_id)
    new = here.sluice("run", "restart", run_id, "--hold-on-failure", "5m", "-o", "name").stdout.split()[0]
    task = held(here, new)
    assert task["hold"]["number"] == 1
    here.sluice("task", "release", new, "t")
    here.wait_for(new)


def test_people_without_rights_neither_enter_nor_continue(here: Installation) -> None:
    run_id = create(here, "foreign", {"name": "t", **HELD, "steps": [{"run": "exit 3"}]})
    task = held(here, run_id)
    here.sluice("user", "create", "eve")
    token = here.sluice("user", "create-token", "eve", "test").stdout.strip()
    reading = here.sluice("token", "create", "reader", "--operator", "--scope", "runs:read").stdout.split()[0]

    async def refusals(token: str) -> list[str]:
        async def requests() -> AsyncIterator[pb.OpenShellRequest]:
            yield pb.OpenShellRequest(run_id=run_id, task_id=task["id"])

        found = []
        async with connect(here.state["grpc"], token=token) as client:
            with pytest.raises(SluicewayError) as refused:
                async for _ in client.holds.shell(requests()):
                    pass
            found.append(refused.value.code.value)
            for call in (client.holds.continue_task, client.holds.release):
                with pytest.raises(SluicewayError) as refused:
                    await call(run_id, task["id"])
                found.append(refused.value.code.value)
        return found

    assert asyncio.run(refusals(token)) == ["NOT_FOUND"] * 3
    assert asyncio.run(refusals(reading)) == ["PERMISSION_DENIED"] * 3
    assert here.tasks(run_id)["t"]["hold"]["number"] == 1
    here.sluice("task", "release", run_id, "t")
    here.wait_for(run_id)


def test_hold_outlives_its_executor(here: Installation) -> None:
    run_id = create(here, "outlives", {"name": "t", **HELD, "steps": [STEP]})
    before = held(here, run_id)

    def seen() -> tuple[bool, str]:
        with here.http() as client:
            (executor,) = client.get("/api/v1/executors").json()["executors"]
        return executor["online"], executor["lastSeenTime"]

    before_kill = seen()
    os.kill(here.state["processes"]["executors"][0], signal.SIGKILL)
    until(lambda: seen() != before_kill and seen()[0], "the executor is connected again")
    with shell(here, run_id, "t") as terminal:
        terminal.read_until("what it prints is not stored")
        terminal.type("echo 2 > tries; touch fixed; exit 0\n")
        assert terminal.process.wait(60) == 0
    here.sluice("task", "continue", run_id, "t")
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
    task = here.tasks(run_id)["t"]
    assert (task["attempt"], task["steps"][0]["reruns"]) == (before["attempt"], 1)
    log = here.log(run_id, "t", 0).decode()
    assert (log.count("try \n"), log.count("try 2\n")) == (1, 1)
