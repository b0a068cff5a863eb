"""A real installation for system tests: `sluice standalone` with its children, repositories, and the command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
SLUICE = [sys.executable, "-m", "sluiceway.cli.entry"]
WAIT_SECONDS = 120.0
HOST_TASK = {"containers": [{"image": "host"}]}


def until(condition: Callable[[], Any], what: str, *, seconds: float = WAIT_SECONDS) -> Any:
    """Wait for a condition of another process; return its value."""
    begun = time.monotonic()
    while True:
        value = condition()
        if value:
            return value
        waited = time.monotonic() - begun
        if waited > seconds:
            raise AssertionError(f"not within {seconds} s: {what}")
        # A question costs an installation 8 ms of processor time: what takes long is asked for less often.
        time.sleep(min(max(0.05, waited / 10), 0.25))


def is_alive(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def make_repository(path: Path, files: Mapping[str, str]) -> str:
    """Make a git repository with one commit; return the commit."""
    path.mkdir(parents=True)
    for name, text in files.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(path), *command], check=True)
    done = subprocess.run(["git", "-C", str(path), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def config(*tasks: Mapping[str, Any], name: str = "run", **fields: Any) -> str:
    """Write a configuration with one run; each task gets the sandbox's runtime."""
    return json.dumps({"runs": [{"name": name, "tasks": [{"runtime": HOST_TASK, **task} for task in tasks], **fields}]})


def gateway_client(address: str, token: str, headers: Mapping[str, str], *, seconds: float = 30) -> httpx.Client:
    """Return an HTTP client of a gateway, with a token and further headers."""
    return httpx.Client(
        base_url=f"http://{address}",
        headers={"Authorization": f"Bearer {token}", **headers},
        timeout=seconds,
        trust_env=False,
        verify=False,
    )


def run_sluice(*arguments: str | Path, seconds: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself, and soon."""
    return subprocess.run(
        [*SLUICE, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def sentence_of(done: subprocess.CompletedProcess[str], *, code: int = 1) -> str:
    """Return the one sentence that a failed command prints."""
    everything = done.stdout + done.stderr
    assert done.returncode == code, everything
    for mark in ("Traceback", "exc_type", "this should not have happened", "[Errno", 'File "/'):
        assert mark not in everything, everything
    said = [line for line in done.stderr.splitlines() if line.startswith(("error: ", "sluice: "))]
    assert len(said) == 1, everything
    return said[0].split(": ", 1)[1]


@dataclass
class Installation:
    """A running installation, and its clients."""

    data: Path
    repositories: Path
    process: subprocess.Popen[bytes]

    @property
    def state(self) -> dict[str, Any]:
        """Return the contents of `standalone.json`."""
        state: dict[str, Any] = json.loads((self.data / "standalone.json").read_text())
        return state

    @property
    def token(self) -> str:
        """Return the token of the first operator."""
        return (self.data / "admin.token").read_text().strip()

    @property
    def executor_token(self) -> str:
        """Return the token of executors."""
        return (self.data / "executor.token").read_text().strip()

    def sluice(self, *arguments: str, check: bool = True, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command of the command line against this installation."""
        environment = {**os.environ, "SLUICE_SERVER": self.state["grpc"], "SLUICE_TOKEN": self.token}
        done = subprocess.run(
            [*SLUICE, *arguments], env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"sluice {' '.join(arguments)} ended with {done.returncode}: {done.stdout}{done.stderr}"
            )
        return done

    def http(self, **headers: str) -> httpx.Client:
        """Yield a client of the gateway, as the first operator."""
        return gateway_client(self.state["http"], self.token, headers)

    def create(self, repository: Path, *arguments: str) -> str:
        """Create a run with the command line; return its id."""
        return self.sluice("run", "create", "--repo", str(repository), "-o", "name", *arguments).stdout.split()[0]

    def run(self, run_id: str) -> dict[str, Any]:
        """Return a run as the gateway shows it."""
        with self.http() as client:
            answer = client.get(f"/api/v1/runs/{run_id}")
        assert answer.status_code == 200, answer.text
        run: dict[str, Any] = answer.json()
        return run

    def tasks(self, run_id: str) -> dict[str, dict[str, Any]]:
        """Return the tasks of a run by name, as the gateway shows them."""
        with self.http() as client:
            answer = client.get(f"/api/v1/runs/{run_id}/tasks")
        assert answer.status_code == 200, answer.text
        return {task["name"]: task for task in answer.json()["tasks"]}

    def log(self, run_id: str, task: str, step: int | None) -> bytes:
        """Return the stored log of a step, or that of the setup, as the gateway shows it."""
        task_id = self.tasks(run_id)[task]["id"]
        of_what = {"setup": "true"} if step is None else {"step": str(step)}
        with self.http(Accept="text/plain") as client:
            answer = client.get(f"/api/v1/runs/{run_id}/tasks/{task_id}/log", params=of_what)
        assert answer.status_code == 200, answer.text
        return answer.content

    def wait_for(
        self, run_id: str, phase: str = "RUN_PHASE_FINISHED", *, seconds: float = WAIT_SECONDS
    ) -> dict[str, Any]:
        """Wait until a run is in a phase."""

        def reached() -> dict[str, Any] | None:
            try:
                run = self.run(run_id)
            except (httpx.TransportError, AssertionError):
                return None  # the gateway or the server is being restarted
            return run if run["phase"] == phase else None

        run: dict[str, Any] = until(reached, f"run {run_id} is in {phase}", seconds=seconds)
        return run

    def stop(self) -> int:
        """Stop it by SIGTERM; return the parent's exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def installation(folder: Path, *arguments: str) -> Iterator[Installation]:
    """Run an installation below a folder for the block; one that is there is started again."""
    data, repositories = folder / "data", folder / "repositories"
    repositories.mkdir(parents=True, exist_ok=True)
    data.mkdir(exist_ok=True)
    places = ("--local-repositories", str(repositories), *arguments)
    with (folder / "standalone.log").open("ab") as log:
        process = subprocess.Popen(
            [*SLUICE, "standalone", "--data-dir", str(data), "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", *places],
            stdout=log,
            stderr=log,
        )
    try:

        def ready() -> bool:
            if process.poll() is not None:
                raise AssertionError((folder / "standalone.log").read_text())
            # The file of a parent that was killed is still there until the new one has removed it.
            state = data / "standalone.json"
            return state.exists() and json.loads(state.read_text())["pid"] == process.pid

        until(ready, "standalone is ready")
        yield Installation(data, repositories, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def copy_example(name: str, target: Path, changes: Mapping[str, str] | None = None) -> str:
    """Make a git repository of an example, with some texts of its files replaced."""
    source = ROOT / "examples" / name
    files = {str(p.relative_to(source)): p.read_text() for p in source.rglob("*") if p.is_file()}
    for old, new in (changes or {}).items():
        files = {path: text.replace(old, new) for path, text in files.items()}
    shutil.rmtree(target, ignore_errors=True)
    return make_repository(target, files)
