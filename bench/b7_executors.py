"""B7: executors that are connected and idle to one server (goal: 15 % of a core, 100 KiB each, no lease lost).

    python -m bench.b7_executors [--real N ...] [--simulated N ...] [--seconds N]

The server is real: `sluice standalone` with its etcd. A *real* stream has a connection of its own, as that of an
executor; *simulated* ones share connections, 100 each. Both send a hello and heartbeats, and read what the server
sends; the ones who send them are this process, whose cost does not count. The share of a core is that of the server's
process over the time given, the memory the growth of its resident set from no executor to all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_service_pb2_grpc as pb_grpc
from sluiceway.client import connect
from tests.support.installation import Installation, installation

GOAL_SHARE, GOAL_KIB = 0.15, 100.0
REAL, SIMULATED = (250, 500, 1000), (1250, 2500, 5000)
GROUP_SIZE, ON_A_CONNECTION, AT_ONCE = 1000, 100, 50
# Siblings, keys and intervals of heartbeats have settled by then.
SETTLE_SECONDS = 30.0


@dataclass
class Figures:
    """What one number of executors costs."""

    executors: int
    share: float
    kib_each: float
    lost: int
    interval: float


@dataclass
class Fleet:
    """The streams of executors. `ended`: those that did not last; `seconds`: between heartbeats, once welcomed."""

    ended: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    async def connect(self, channel: grpc.aio.Channel, executor_id: str, token: str) -> None:
        """Stay connected until cancelled."""
        interval: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def messages() -> AsyncIterator[pb.ConnectRequest]:
            yield pb.ConnectRequest(
                hello=pb.Hello(
                    executor_id=executor_id,
                    journal_id=f"journal-{executor_id}",
                    version="1",
                    archs=["amd64"],
                    slots=1,
                    drivers=["sandbox"],
                )
            )
            await interval
            number = 0
            while True:
                number += 1
                yield pb.ConnectRequest(heartbeat=pb.Heartbeat(number=number, load=0.1, free_disk_bytes=1 << 30))
                await asyncio.sleep(self.seconds[executor_id])

        call = pb_grpc.ExecutorServiceStub(channel).Connect(messages(), metadata=[("authorization", f"Bearer {token}")])
        async for response in call:
            if response.HasField("welcome"):
                self.seconds[executor_id] = response.welcome.heartbeat_interval.ToTimedelta().total_seconds()
                interval.set_result(None)
            elif response.heartbeat_acknowledgement.HasField("heartbeat_interval"):
                longer = response.heartbeat_acknowledgement.heartbeat_interval.ToTimedelta()
                self.seconds[executor_id] = longer.total_seconds()
        self.ended += 1


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


async def measure(here: Installation, number: int, *, on_a_connection: int, seconds: float) -> Figures:
    """Connect so many executors, and measure the server while they are idle."""
    server = here.state["processes"]["server"]
    async with connect(here.state["grpc"], token=here.token) as client:
        tokens = [
            (await client.tokens.create(f"t{number}-{group}", "executor", group=f"g{number}-{group}"))[1]
            for group in range(math.ceil(number / GROUP_SIZE))
        ]
    before, fleet = _resident_kib(server), Fleet()
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        channels = [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(here.state["grpc"], options=[("grpc.use_local_subchannel_pool", 1)])
            )
            for _ in range(math.ceil(number / on_a_connection))
        ]
        streams = []
        for at in range(number):
            channel, token = channels[at // on_a_connection], tokens[at // GROUP_SIZE]
            streams.append(tasks.create_task(fleet.connect(channel, f"e{number}-{at}", token)))
            while at - len(fleet.seconds) >= AT_ONCE:  # noqa: ASYNC110 - of many streams
                await asyncio.sleep(0.01)
        while len(fleet.seconds) < number:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)
        await asyncio.sleep(SETTLE_SECONDS)
        used, began = _processor_seconds(server), time.monotonic()
        await asyncio.sleep(seconds)
        share = (_processor_seconds(server) - used) / (time.monotonic() - began)
        kib = (_resident_kib(server) - before) / number
        for stream in streams:
            stream.cancel()
    return Figures(number, share, kib, fleet.ended, sum(fleet.seconds.values()) / number)


def _exponent(first: Figures, last: Figures) -> float:
    return math.log(last.share / first.share) / math.log(last.executors / first.executors)


async def report(kind: str, sizes: list[int], *, on_a_connection: int, seconds: float) -> bool:
    """Measure three sizes, each with a server of its own; print them, and return whether the largest meets the goal."""
    found = []
    print(f"{kind:<10} {'executors':>9} {'core':>7} {'KiB each':>9} {'interval':>9} {'ended':>6}", flush=True)
    for number in sizes:
        with tempfile.TemporaryDirectory() as folder, installation(Path(folder), "--executors", "0") as here:
            figures = await measure(here, number, on_a_connection=on_a_connection, seconds=seconds)
            log = "".join(each.read_text(errors="replace") for each in here.data.parent.rglob("*.log"))
        lost = log.count("lease_expired") + log.count("lease_not_renewed")
        print(
            f"{'':<10} {number:>9} {figures.share:>7.1%} {figures.kib_each:>9.1f} {figures.interval:>8.1f}s"
            f" {figures.lost:>6}   leases lost: {lost}",
            flush=True,
        )
        figures.lost += lost
        found.append(figures)
    last = found[-1]
    if len(found) > 1:
        print(f"{'':<10} the share grows with the power {_exponent(found[0], last):.2f} of their number")
    is_good = last.share <= GOAL_SHARE and last.kib_each <= GOAL_KIB and not last.lost
    print(
        f"{'':<10} {last.share / GOAL_SHARE:.2f} of the goal for the core, {last.kib_each / GOAL_KIB:.2f} for memory"
        f"{'' if is_good else ': NOT MET'}"
    )
    return is_good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=int, nargs="*", default=list(REAL))
    parser.add_argument("--simulated", type=int, nargs="*", default=list(SIMULATED))
    parser.add_argument("--seconds", type=float, default=30.0)
    arguments = parser.parse_args()
    results = []
    for kind, sizes, shared in (("real", arguments.real, 1), ("simulated", arguments.simulated, ON_A_CONNECTION)):
        if sizes:
            results.append(asyncio.run(report(kind, sizes, on_a_connection=shared, seconds=arguments.seconds)))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
