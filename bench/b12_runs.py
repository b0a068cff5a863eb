"""B12: real runs of one step (`true`) in the sandbox, through `sluice standalone` with 8 slots (goal: 40 runs/s).

    python -m bench.b12_runs [--runs N]

Everything is real: etcd, server, gateway, executor, and a sandbox with a network of its own for each run. Beside it, in
the same minute: bare `bwrap` starts, 8 at a time, of a root that shows what a pod sees, which are the measure of the
machine (n/a where bubblewrap is not installed); and builds of one `true` step by Buildbot, which does not isolate them
at all. The processor time of each process of the installation is shown for each run, and that of the pods: of the
launcher, of what it has started (slirp4netns, too), and of all that ran in the pods.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path

from bench.buildbot_peer import NoBuildbot, builds_per_second
from bench.served import one_task
from sluiceway.api.run.v1 import run_pb2
from sluiceway.client import connect
from tests.support.installation import Installation, installation

SLOTS = 8
IN_FLIGHT = 16
WARM = 16
GOAL = 40.0
LIMIT_SECONDS = 600.0
POD_UID = 209_999
BWRAP = "/usr/bin/bwrap"


def bare_bwrap(count: int) -> float | None:
    """Start `count` sandboxes of `true`, 8 at a time; return how many started each second; None without bubblewrap."""
    if not os.access(BWRAP, os.X_OK):
        return None
    command = [BWRAP, "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net"]
    command += ["--uid", "1000", "--gid", "1000", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib"]
    command += ["--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin", "--proc", "/proc", "--dev", "/dev"]
    command += ["--tmpfs", "/tmp", "--die-with-parent", "/usr/bin/true"]
    user = POD_UID if os.geteuid() == 0 else None
    began = time.perf_counter()
    with ThreadPoolExecutor(SLOTS) as pool:
        list(pool.map(lambda _: subprocess.run(command, check=True, user=user, extra_groups=None), range(count)))
    return count / (time.perf_counter() - began)


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pods_seconds(executor: int) -> float:
    """What the launcher of an executor and all that it has started and that has ended have used so far."""
    total = 0
    for launcher in Path(f"/proc/{executor}/task/{executor}/children").read_text().split():
        fields = Path(f"/proc/{launcher}/stat").read_text().rsplit(")", 1)[1].split()
        total += sum(map(int, fields[11:15]))
    return total / os.sysconf("SC_CLK_TCK")


def processes(here: Installation) -> dict[str, int]:
    """Return the processes of an installation by name."""
    state = here.state["processes"]
    return {name: state[name] for name in ("etcd", "server", "gateway")} | {"executor": state["executors"][0]}


async def runs(here: Installation, count: int) -> float:
    """Create runs, `IN_FLIGHT` at a time, each in a group of its own; return how many ended each second."""
    ended: dict[str, str] = {}
    changed = asyncio.Event()
    listening = asyncio.Event()

    async with connect(here.state["grpc"], token=here.token) as client:

        async def listen() -> None:
            async with aclosing(client.runs.watch_all()) as messages:
                async for message in messages:
                    listening.set()
                    for event in message.events:
                        if event.kind == run_pb2.RUN_EVENT_KIND_RESULT:
                            ended[event.run_id] = event.new_value
                            changed.set()

        async def work(number: int, left: list[int]) -> None:
            while left:
                left.pop()
                request = one_task(f"/bench/steps/{number}")
                request.tasks[0].runtime.containers[0].image = "host"
                run = await client.runs.create(request)
                while run.id not in ended:
                    changed.clear()
                    await changed.wait()

        watching = asyncio.create_task(listen())
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await listening.wait()
                began = time.perf_counter()
                left = list(range(count))
                await asyncio.gather(*(work(number, left) for number in range(IN_FLIGHT)))
                seconds = time.perf_counter() - began
        finally:
            watching.cancel()
    failed = [run for run, result in ended.items() if result != "RUN_RESULT_SUCCESS"]
    if failed:
        raise RuntimeError(f"{len(failed)} runs did not succeed, {failed[0]} among them")
    return count / seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--no-buildbot", action="store_true", help="do not measure Buildbot beside it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, installation(Path(folder), "--slots", str(SLOTS)) as here:
        asyncio.run(runs(here, WARM))
        bare = bare_bwrap(arguments.runs)
        parts = processes(here)

        def used_so_far() -> dict[str, float]:
            each = {name: processor_seconds(pid) for name, pid in parts.items()}
            return each | {"pods": pods_seconds(parts["executor"])}

        before = used_so_far()
        rate = asyncio.run(runs(here, arguments.runs))
        used = {name: seconds - before[name] for name, seconds in used_so_far().items()}
    print(f"B12: runs of one step in the sandbox, standalone, {SLOTS} slots, {os.cpu_count()} cores")
    print(f"{'runs/s':>8}{'bare bwrap/s':>14}{'ratio':>7}   processor ms a run")
    each = "  ".join(f"{name} {1000 * seconds / arguments.runs:.1f}" for name, seconds in used.items())
    measure = f"{'n/a':>14}{'n/a':>7}" if bare is None else f"{bare:>14.1f}{rate / bare:>7.2f}"
    print(f"{rate:>8.1f}{measure}   {each}")
    if not arguments.no_buildbot:
        try:
            peer = builds_per_second(min(100, arguments.runs), slots=SLOTS)
            print(f"Buildbot: {peer:.1f} builds/s, so {rate / peer:.1f} times as many runs")
        except NoBuildbot as why:
            print(f"Buildbot: not measured: {why}")
    print(f"goal: {rate:.0f} runs/s of at least {GOAL:.0f}: {'met' if rate >= GOAL else 'NOT met'}")
    return 0 if rate >= GOAL else 1


if __name__ == "__main__":
    raise SystemExit(main())
