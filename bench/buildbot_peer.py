"""Buildbot for comparison: a master and a worker in a temporary environment, builds of one `true` step.

Buildbot is installed from PyPI for the measurement; without the network there is no figure, and the reason is given.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from sluiceway_server.kv.embedded import free_ports

PACKAGES = ("buildbot==4.3.0", "buildbot-worker==4.3.0", "buildbot-www==4.3.0", "setuptools<81")
READY_SECONDS = 120.0
LIMIT_SECONDS = 120.0

MASTER = """
from buildbot.plugins import *
slots = {slots}
c = BuildmasterConfig = {{}}
c["protocols"] = {{"pb": {{"port": "tcp:{worker_port}:interface=127.0.0.1"}}}}
c["workers"] = [worker.Worker("w", "secret", max_builds=slots)]
c["builders"] = [util.BuilderConfig(
    name="b", workernames=["w"], collapseRequests=False,
    factory=util.BuildFactory([steps.ShellCommand(command=["true"])]))]
c["schedulers"] = [schedulers.ForceScheduler(name="force", builderNames=["b"])]
c["www"] = {{"port": "tcp:{http_port}:interface=127.0.0.1", "plugins": {{}}}}
c["buildbotURL"] = "http://127.0.0.1:{http_port}/"
c["db"] = {{"db_url": "sqlite:///state.sqlite"}}
c["buildbotNetUsageData"] = None
"""


class NoBuildbot(Exception):
    """Buildbot cannot be measured here; the text says why."""


def builds_per_second(count: int, *, slots: int) -> float:
    """Force `count` builds at once and return how many ended each second.

    Raises:
        NoBuildbot: it cannot be installed or does not start.
    """
    with tempfile.TemporaryDirectory() as folder, _buildbot(Path(folder), slots) as url:
        began = time.perf_counter()
        for _ in range(count):
            _post(f"{url}/api/v2/forceschedulers/force", {"builderid": 1})
        end = time.monotonic() + LIMIT_SECONDS
        while _complete(url) < count:
            if time.monotonic() > end:
                raise NoBuildbot(f"{count} builds did not end within {LIMIT_SECONDS:.0f} s")
            time.sleep(0.1)
        return count / (time.perf_counter() - began)


@contextlib.contextmanager
def _buildbot(folder: Path, slots: int) -> Iterator[str]:
    programs = folder / "venv/bin"
    _run(sys.executable, "-m", "venv", str(folder / "venv"))
    _run(str(programs / "pip"), "install", "--quiet", "--disable-pip-version-check", *PACKAGES)
    http_port, worker_port = free_ports(2)
    master, worker = folder / "master", folder / "worker"
    _run(str(programs / "buildbot"), "create-master", str(master))
    config = MASTER.format(slots=slots, http_port=http_port, worker_port=worker_port)
    (master / "master.cfg").write_text(config)
    connect = (f"127.0.0.1:{worker_port}", "w", "secret")
    _run(str(programs / "buildbot-worker"), "create-worker", str(worker), *connect)
    url = f"http://127.0.0.1:{http_port}"
    with contextlib.ExitStack() as stack:
        for program, where in (("buildbot", master), ("buildbot-worker", worker)):
            log = stack.enter_context((folder / f"{program}.log").open("wb"))
            process = subprocess.Popen(
                [str(programs / program), "start", "--nodaemon", str(where)], stdout=log, stderr=log
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
        end = time.monotonic() + READY_SECONDS
        while not _worker_is_there(url):
            if time.monotonic() > end:
                raise NoBuildbot(f"it did not start: {(folder / 'buildbot.log').read_text()[-500:]}")
            time.sleep(0.2)
        yield url


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoBuildbot(f"{Path(command[0]).name} failed: {done.stderr.strip()[-300:]}")


def _post(url: str, parameters: dict[str, int]) -> None:
    body = json.dumps({"id": 1, "jsonrpc": "2.0", "method": "force", "params": parameters}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        answer.read()


def _get(url: str) -> dict[str, object]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        found: dict[str, object] = json.loads(answer.read())
    return found


def _complete(url: str) -> int:
    builds = _get(f"{url}/api/v2/builds?complete=true")["builds"]
    return len(builds) if isinstance(builds, list) else 0


def _worker_is_there(url: str) -> bool:
    try:
        workers = _get(f"{url}/api/v2/workers")["workers"]
    except (OSError, urllib.error.URLError, ValueError):
        return False
    return isinstance(workers, list) and any(each["connected_to"] for each in workers)
