"""Many webhooks at once, while the object storage is away and a server is killed: each makes its run, once, in order.

    python -m tests.support.webhook_burst [--count N] [--away SECONDS]

etcd, two servers, a gateway in front of both, and an S3 server are real processes. A fake provider sends the pushes of
many branches: those of one branch one after the other, as a provider does, those of all branches at the same time; one
in ten is sent twice. The server that works on them is killed when half of them are answered, and started again.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import httpx

from tests.fakes.forge import Kind, git, payloads
from tests.fakes.forge.deliveries import SECONDS
from tests.fakes.forge.model import Delivery, Repo
from tests.support.installation import SLUICE, config, gateway_client, until
from tests.support.ports import free_ports
from tests.support.running_forge import RunningForge, running_forge
from tests.support.s3_servers import OWNER, S3Server, Seaweed, started
from tests.support.several_servers import Process, Servers, several_servers

__all__ = ["Burst", "Outcome", "burst", "check"]

PUSHES_OF_A_BRANCH = 10
TWICE_EVERY = 10
# A busy machine may be slower than a provider's patience: nothing is lost by that here, and it is reported.
SENDER_SECONDS = 300.0
WORK_SECONDS = 1800.0


@dataclass
class Answer:
    """Of one request: the status (0: none) and the seconds until it came."""

    status: int
    seconds: float
    text: str


@dataclass
class Outcome:
    """What became of a burst.

    Attributes:
        sent: the commits of each branch, in the order in which they were sent.
        answers: to all requests.
        made: the commits of the runs of each branch, in the order of their creation.
        answered_seconds: until all were answered.
        worked_seconds: until all were worked on, from the begin.
    """

    sent: dict[str, list[str]]
    answers: list[Answer] = field(default_factory=list)
    made: dict[str, list[str]] = field(default_factory=dict)
    answered_seconds: float = 0.0
    worked_seconds: float = 0.0

    @property
    def longest(self) -> float:
        """Return the seconds until the slowest response."""
        return max(answer.seconds for answer in self.answers)


def check(outcome: Outcome) -> None:
    """Check that no push was refused, lost, or worked on twice or out of order.

    Raises:
        AssertionError: one was.
    """
    statuses = Counter(answer.status for answer in outcome.answers)
    assert set(statuses) == {200}, (statuses, next(each for each in outcome.answers if each.status != 200))
    wrong = {branch: (sent, outcome.made.get(branch)) for branch, sent in outcome.sent.items()}
    wrong = {branch: both for branch, both in wrong.items() if both[0] != both[1]}
    assert not wrong, f"{len(wrong)} of {len(outcome.sent)} branches have not the runs of their pushes: {wrong}"
    assert set(outcome.made) == set(outcome.sent)


@dataclass
class Burst:
    """The running parts, with a linked project."""

    here: Servers
    gateway: Process
    url: str
    storage: S3Server
    forge: RunningForge
    repo: Repo
    project_id: str

    def client(self) -> Any:
        """Return a client of the gateway in front of both servers."""
        return gateway_client(self.url.removeprefix("http://"), self.here.token, {}, seconds=60)

    def run(self, count: int, *, away: float) -> Outcome:
        """Send `count` pushes while the storage is away for so many seconds at least; wait for their runs."""
        prepared = self.forge.do(lambda: self._prepare(count))
        outcome = Outcome({branch: [commit for commit, _ in pushes] for branch, pushes in prepared.items()})
        self.storage.kill()
        began = time.monotonic()
        is_killed = asyncio.Event()

        def on_answer(answer: Answer) -> None:
            outcome.answers.append(answer)
            if len(outcome.answers) > count // 2 and not is_killed.is_set():
                is_killed.set()
                self.here.servers[0].kill()
                self.here.servers[0].start()

        asyncio.run(_send_all(list(prepared.values()), on_answer))
        outcome.answered_seconds = time.monotonic() - began
        time.sleep(max(0.0, began + away - time.monotonic()))
        self.storage.start()
        until(lambda: not self._pending(), "all deliveries are worked on", seconds=WORK_SECONDS)
        outcome.worked_seconds = time.monotonic() - began
        outcome.made = self._made()
        return outcome

    async def _prepare(self, count: int) -> dict[str, list[tuple[str, Delivery]]]:
        """Make the commits of `PUSHES_OF_A_BRANCH` pushes; return those of each branch, with their deliveries."""
        fake, (hook,) = self.forge.fake, self.repo.hooks
        commits = (await git.git(self.repo.folder, "rev-list", "--reverse", "main")).decode().split()
        templates = [
            await payloads.push(fake, self.repo, self.forge.user, "refs/heads/main", before, after)
            for before, after in itertools.pairwise([git.ZERO, *commits])
        ]
        found: dict[str, list[tuple[str, Delivery]]] = defaultdict(list)
        for number in range(count):
            branch, place = f"branch-{number // len(commits)}", number % len(commits)
            event = replace(templates[place], body={**templates[place].body, "ref": f"refs/heads/{branch}"})
            delivery = fake.deliveries.delivery(hook, event, f"{number}")
            found[branch].append((commits[place], delivery))
        return found

    def _pending(self) -> int:
        return sum(1 for each in self._pages("deliveries") if each["phase"] == "DELIVERY_PHASE_PENDING")

    def _made(self) -> dict[str, list[str]]:
        made: dict[str, list[str]] = defaultdict(list)
        runs = [run for run in self._pages("runs") if run["source"]["branch"] != "main"]
        for run in sorted(runs, key=lambda run: str(run["id"])):
            made[run["source"]["branch"]].append(run["source"]["commitSha"])
        return made

    def _pages(self, what: str) -> Iterator[dict[str, Any]]:
        path = "/api/v1/runs" if what == "runs" else f"/api/v1/projects/{self.project_id}/deliveries"
        parameters = {"pageSize": "1000"} | ({"groupPrefix": f"/project/{self.project_id}"} if what == "runs" else {})
        with self.client() as client:
            while True:
                answer = client.get(path, params=parameters)
                assert answer.status_code == 200, answer.text
                yield from answer.json()[what]
                if not (token := answer.json()["nextPageToken"]):
                    return
                parameters["pageToken"] = token


async def _send_all(branches: Sequence[Sequence[tuple[str, Delivery]]], on_answer: Callable[[Answer], None]) -> None:
    numbers = itertools.count()
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=SENDER_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as group:

        async def send(delivery: Delivery) -> None:
            began = time.monotonic()
            try:
                async with session.post(delivery.url, data=delivery.body, headers=delivery.headers) as response:
                    status, text = response.status, await response.text()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                status, text = 0, repr(error)
            on_answer(Answer(status, time.monotonic() - began, text))

        async def send_branch(pushes: Sequence[tuple[str, Delivery]]) -> None:
            for _, delivery in pushes:
                await send(delivery)
                if next(numbers) % TWICE_EVERY == 0:
                    await send(delivery)

        for pushes in branches:
            group.create_task(send_branch(pushes))


@contextmanager
def burst(folder: Path) -> Iterator[Burst]:
    """Run all parts below a folder for the block. The environment has the credentials of `OWNER`."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    key = folder / "master.key"
    key.touch(mode=0o600)
    key.write_text(base64.b64encode(os.urandom(32)).decode() + "\n")
    options = ("--public-url", url, "--allow-private-addresses", "127.0.0.0/8", "--master-key-file", str(key))
    with (
        started(Seaweed(folder / "s3")) as storage,
        several_servers(folder / "here", executors=False, storage=storage.url(), options=options) as here,
        running_forge(Kind.GITEA, folder / "forge") as forge,
    ):
        ports = ",".join(here.grpc)
        command = [*SLUICE, "gateway", "--http", f"127.0.0.1:{port}", "--server", f"ipv4:{ports}"]
        gateway = Process("gateway", command, folder / "gateway.log")
        gateway.start()
        try:
            repo = forge.repository("acme/app", {".sluice/config.json": config({"name": "task", "steps": []}).encode()})
            for number in range(1, PUSHES_OF_A_BRANCH):
                commit = {"number": str(number).encode()}
                forge.do(lambda commit=commit: forge.fake.commit(repo, forge.user, commit))  # type: ignore[misc]
            made = Burst(here, gateway, url, storage, forge, repo, "")
            until(lambda: _is_up(made), "the gateway is ready")
            made.project_id = _link(made)
            yield made
        finally:
            gateway.end()


def _is_up(made: Burst) -> bool:
    try:
        with made.client() as client:
            return bool(client.get("/readyz").status_code == 200)
    except httpx.TransportError:
        return False


def _link(made: Burst) -> str:
    fake = made.forge.fake
    source = {"name": "forge", "type": fake.kind.product, "apiUrl": fake.api_url}
    account = {"remoteSourceId": "forge", "accessToken": made.forge.user.token}
    project = {"name": "app", "parentId": "user/admin", "remoteSourceId": "forge", "repositoryPath": made.repo.path}
    calls = (
        ("/api/v1/remoteSources", {"remoteSource": source}),
        ("/api/v1/users/me/linkedAccounts", {"linkedAccount": account}),
        ("/api/v1/projects", {"project": project}),
    )
    answer: Any = None
    with made.client() as client:
        for path, body in calls:
            answer = client.post(path, json=body)
            assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.webhook_burst", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--away", type=float, default=60.0, help="seconds")
    arguments = parser.parse_args()
    os.environ.update(OWNER)
    with tempfile.TemporaryDirectory(prefix="webhook-burst-") as folder, burst(Path(folder)) as parts:
        outcome = parts.run(arguments.count, away=arguments.away)
    patience = SECONDS[Kind.GITHUB]
    late = sum(1 for answer in outcome.answers if answer.seconds > patience)
    times = sorted(answer.seconds for answer in outcome.answers)
    print(
        f"{len(times)} requests of {len(outcome.sent)} senders, {arguments.count} pushes: answered within"
        f" {outcome.answered_seconds:.1f} s; each after {times[len(times) // 2]:.2f} s (p50),"
        f" {times[len(times) * 99 // 100]:.2f} s (p99), {outcome.longest:.2f} s (longest);"
        f" {late} later than {patience} s; runs after {outcome.worked_seconds:.0f} s"
    )
    check(outcome)
    print("none lost, none twice, none out of order")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
