"""B13: push, from a webhook sent until the start of its run's first step is committed, on an idle system.

    python -m bench.b13_push [--pushes N] [--quick]

One push at a time; the next begins when the one before is over. Gateway, server and etcd are processes of their own;
the executor's driver does nothing, so that "started" is not a figure of the sandbox (B12). The provider is a fake of
Gitea with real git. Units, measured in turns with the pushes: a raw put to etcd, and one fetch of the configuration
from the provider. Goal: p50 at most 15 puts and one fetch. How it grows: with finished runs behind it, at three sizes.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import itertools
import json
import logging
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import structlog
import uvloop

from bench.served import RAW_BYTES, SLUICE, NullExecutor, Served, check_finished, serve
from sluiceway_server.kv.embedded import free_ports
from tests.fakes.forge import Kind
from tests.fakes.forge.model import Repo
from tests.support.running_forge import RunningForge, running_forge

GOAL_COMMITS = 15.0
WARM = 10
LIMIT_SECONDS = 60.0
CONFIG = """runs:
- name: build
  tasks:
  - name: test
    runtime: {containers: [{image: host}]}
    steps: [{run: make}]
"""
PATH = ".sluice/config.yml"


@dataclass
class Measured:
    """Seconds, and the runs that were finished before the first of them.

    Attributes:
        raw: of the puts.
        fetched: of the fetches.
        answered: until the webhook was answered.
        assigned: until the executor had the assignment.
        started: until the start of the step was committed.
        calls: of the provider's API until then, by push.
    """

    finished: int
    raw: list[float] = field(default_factory=list)
    fetched: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    assigned: list[float] = field(default_factory=list)
    started: list[float] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)

    @property
    def fetch(self) -> float:
        """Return the median of the fetches."""
        return statistics.median(self.fetched)

    def commits(self, seconds: float) -> float:
        """Return how many puts a time is, beside one fetch."""
        return (seconds - self.fetch) / statistics.median(self.raw)


class Starts:
    """When runs were assigned to the executor, and when their first step had started, in their order."""

    def __init__(self) -> None:
        self.assigned: asyncio.Queue[float] = asyncio.Queue()
        self.started: asyncio.Queue[float] = asyncio.Queue()

    async def next(self) -> tuple[float, float]:
        async with asyncio.timeout(LIMIT_SECONDS):
            return await self.assigned.get(), await self.started.get()


@dataclass(frozen=True)
class Linked:
    """A server with a gateway, and a project of the fake provider."""

    served: Served
    forge: RunningForge
    repo: Repo
    session: aiohttp.ClientSession

    async def fetch(self) -> float:
        """Fetch the configuration once; return the seconds."""
        url = f"{self.forge.fake.api_url}/repos/{self.repo.path}/contents/{PATH}"
        began = time.perf_counter()
        async with self.session.get(url, headers={"Authorization": f"token {self.forge.user.token}"}) as response:
            await response.read()
            response.raise_for_status()
        return time.perf_counter() - began


@asynccontextmanager
async def linked(folder: Path) -> AsyncIterator[Linked]:
    """Run all parts below a folder for the block."""
    (port,) = free_ports(1)
    key = folder / "master.key"
    key.touch(mode=0o600)
    key.write_text(base64.b64encode(os.urandom(32)).decode() + "\n")
    options = ["--public-url", f"http://127.0.0.1:{port}", "--master-key-file", str(key)]
    options += ["--allow-private-addresses", "127.0.0.0/8"]
    with running_forge(Kind.GITEA, folder / "forge") as forge:
        repo = await asyncio.to_thread(forge.repository, "acme/app", {PATH: CONFIG.encode()})
        async with serve(folder, options=options) as served, aiohttp.ClientSession() as session:
            command = [*SLUICE, "gateway", "--http", f"127.0.0.1:{port}", "--server", served.address]
            with (folder / "gateway.log").open("wb") as log:
                gateway = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: ASYNC220 - it takes a millisecond
            try:
                here = Linked(served, forge, repo, session)
                await link(here, f"http://127.0.0.1:{port}")
                yield here
            finally:
                gateway.terminate()
                await asyncio.to_thread(gateway.wait)


async def link(here: Linked, url: str) -> None:
    """Make a remote source, a linked account and a project."""
    fake = here.forge.fake
    source = {"name": "forge", "type": fake.kind.product, "apiUrl": fake.api_url}
    account = {"remoteSourceId": "forge", "accessToken": here.forge.user.token}
    project = {"name": "app", "parentId": "user/admin", "remoteSourceId": "forge", "repositoryPath": here.repo.path}
    headers = {"Authorization": f"Bearer {here.served.admin_token}"}
    async with asyncio.timeout(LIMIT_SECONDS):
        while not await is_ready(here.session, url):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.1)
    for path, body in (
        ("remoteSources", {"remoteSource": source}),
        ("users/me/linkedAccounts", {"linkedAccount": account}),
        ("projects", {"project": project}),
    ):
        async with here.session.post(f"{url}/api/v1/{path}", json=body, headers=headers) as response:
            if response.status != 201:
                raise RuntimeError(await response.text())


async def is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/readyz") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


async def measure(here: Linked, starts: Starts, count: int, finished: int) -> Measured:
    result = Measured(finished)
    value = os.urandom(RAW_BYTES)
    fake = here.forge.fake
    gc.collect()
    for number in range(count):
        result.raw.append(await here.served.raw_put(value, number))
        result.fetched.append(await here.fetch())
        calls, sent = len(fake.calls), len(fake.deliveries.sent)
        files: dict[str, bytes | None] = {"number": str(finished + number).encode()}
        await asyncio.to_thread(
            here.forge.do,
            lambda files=files: fake.commit(here.repo, here.forge.user, files),
        )
        assigned, started = await starts.next()
        delivery = fake.deliveries.sent[sent]
        result.calls.append(sum(1 for call in fake.calls[calls:] if call.method == "GET"))
        result.answered.append(delivery.ended - delivery.began)
        result.assigned.append(assigned - delivery.began)
        result.started.append(started - delivery.began)
        await statuses_settled(here, delivery.body)
    return result


async def statuses_settled(here: Linked, body: bytes) -> None:
    """Wait until the status of a push is posted, which is work for the server that would be measured next."""
    commit = json.loads(body)["after"]
    async with asyncio.timeout(LIMIT_SECONDS):
        while not is_success(here.repo, commit):  # noqa: ASYNC110 - of another thread
            await asyncio.sleep(0.01)


def is_success(repo: Repo, commit: str) -> bool:
    last = repo.last_status(commit, "sluiceway/build")
    return last is not None and last.state == "success"


async def run(count: int) -> list[Measured]:
    results: list[Measured] = []
    starts = Starts()
    with tempfile.TemporaryDirectory() as folder:
        async with linked(Path(folder)) as here, asyncio.TaskGroup() as tasks:
            executor = NullExecutor(
                here.served.executor_channel,
                slots=4,
                assigned=lambda _, at: starts.assigned.put_nowait(at),
                finished=lambda _, at: starts.started.put_nowait(at),
            )
            working = tasks.create_task(executor.run())
            await asyncio.wait_for(executor.welcomed.wait(), LIMIT_SECONDS)
            sizes = (WARM, count, 2 * count, 4 * count)
            for size, finished in zip(sizes, itertools.accumulate(sizes, initial=0), strict=False):
                results.append(await measure(here, starts, size, finished))
            await check_finished(here.served, sum(sizes))
            working.cancel()
    if executor.refusals:
        raise RuntimeError(f"the server refused updates: {executor.refusals[0]}")
    return results[1:]


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[-1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pushes", type=int, default=200, help="of the smallest size; then twice and four times it")
    parser.add_argument("--quick", action="store_true", help="25 pushes")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    busy = os.getloadavg()[0]
    results = uvloop.run(run(25 if arguments.quick else arguments.pushes))
    print("B13: push to the first step started, milliseconds; in raw etcd commits beside one fetch from the provider")
    print(f"load average of the machine before it began: {busy:.1f}, of {os.cpu_count()} cores")
    print("                      raw  fetch          answer  assigned  started              p99")
    print("runs before  pushes   p50    p50  calls      p50       p50      p50  commits  started  commits")
    for item in results:
        middle, high = statistics.median(item.started), p99(item.started)
        raw, answered, assigned = (statistics.median(each) for each in (item.raw, item.answered, item.assigned))
        print(
            f"{item.finished:>11} {len(item.raw):>7} {1000 * raw:>5.2f} {1000 * item.fetch:>6.2f}"
            f" {statistics.mean(item.calls):>6.1f} {1000 * answered:>8.2f} {1000 * assigned:>9.2f}"
            f" {1000 * middle:>8.2f} {item.commits(middle):>8.1f} {1000 * high:>8.2f} {item.commits(high):>8.1f}"
        )
    first, last = results[0], results[-1]
    growth = math.log(statistics.median(last.started) / statistics.median(first.started))
    exponent = growth / math.log(last.finished / first.finished)
    print(f"it grows with finished runs to the power of {exponent:.2f}")
    raws, fetches, started = (
        [each for item in results for each in getattr(item, name)] for name in ("raw", "fetched", "started")
    )
    together = Measured(first.finished, raws, fetches)
    ratios = {"p50": together.commits(statistics.median(started)), "p99": together.commits(p99(started))}
    met = ratios["p50"] <= GOAL_COMMITS
    print(
        f"goal, all rounds together: p50 {ratios['p50']:.1f} of at most {GOAL_COMMITS:.0f} commits and one fetch:"
        f" {'met' if met else 'NOT met'}; p99 {ratios['p99']:.1f}"
    )
    record(results, ratios, exponent=exponent, busy=busy)
    return 0 if met else 1


def record(results: list[Measured], ratios: dict[str, float], *, exponent: float, busy: float) -> None:
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    content = {
        "benchmark": "b13",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load_average_before": round(busy, 1),
        "exponent": round(exponent, 3),
        "commits_beside_one_fetch": {name: round(ratio, 2) for name, ratio in ratios.items()},
        "sizes": {
            item.finished: {
                "raw_ms": round(1000 * statistics.median(item.raw), 3),
                "fetch_ms": round(1000 * item.fetch, 2),
                "started_p50_ms": round(1000 * statistics.median(item.started), 2),
                "started_p99_ms": round(1000 * p99(item.started), 2),
            }
            for item in results
        },
    }
    (folder / "b13.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
