"""B2: runs of one task with a null driver, created to finished: one server, one etcd, one executor.

    python -m bench.b2_runs [--runs N] [--in-flight N] [--quick]

*Idle*: one run at a time. *Loaded*: `--in-flight` at a time, each in a group of its own, at three sizes of load one
after the other on the same server, so that a later one has more finished runs behind it. A run counts when its end is
committed; at the end the list of runs is asked whether it knows all of them. Transactions are counted by etcd's own
revision, everything in the background included (the scheduler's sign of life, leases, checkpoints). Beside it, in
turns: raw puts by one client. Server, etcd and load generator (with the executor) are three processes; on two cores
they share them, so the processor time of each is shown.

Goals: at least 250 runs/s; at most 4 etcd transactions a run when idle, under 1 when loaded; not worse than linear.
Buildbot side by side is not measured.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
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
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
import uvloop

from bench.served import NullExecutor, Served, check_finished, one_task, serve

RUNS_PER_SECOND = 250.0
IDLE_TRANSACTIONS = 4.0
LOADED_TRANSACTIONS = 1.0
EXPONENT = 1.1
"""Of the time over the number of runs; a tenth above linear is noise."""
WARM = 200
LIMIT_SECONDS = 60.0


@dataclass(frozen=True)
class Measured:
    """One load. Processor times are of the whole load, in seconds."""

    runs: int
    in_flight: int
    seconds: float
    raw_puts_per_second: float
    transactions: int
    latency: list[float]
    server_cpu: float
    generator_cpu: float
    server_megabytes: float

    @property
    def rate(self) -> float:
        return self.runs / self.seconds

    @property
    def transactions_per_run(self) -> float:
        return self.transactions / self.runs


class Ends:
    """Records when runs were finished. That may come before the response to the creation."""

    def __init__(self) -> None:
        self._over: dict[str, asyncio.Future[float]] = {}

    def on_finished(self, run_id: str, at: float) -> None:
        self._future(run_id).set_result(at)

    async def of(self, run_id: str) -> float:
        at = await asyncio.wait_for(self._future(run_id), LIMIT_SECONDS)
        del self._over[run_id]
        return at

    def _future(self, run_id: str) -> asyncio.Future[float]:
        return self._over.setdefault(run_id, asyncio.get_running_loop().create_future())


async def load(served: Served, ends: Ends, runs: int, in_flight: int, *, raw_seconds: float) -> Measured:
    raw = await served.raw_puts(raw_seconds)
    latency: list[float] = []
    left = runs

    async def work(worker: int) -> None:
        nonlocal left
        while left:
            left -= 1
            began = time.perf_counter()
            answer = await served.runs.CreateRun(one_task(f"/bench/runs/{worker}"))
            latency.append(await ends.of(answer.run.id) - began)

    gc.collect()
    revision, server_cpu, own_cpu = await served.revision(), served.server_cpu_seconds(), time.process_time()
    began = time.perf_counter()
    async with asyncio.TaskGroup() as workers:
        for worker in range(in_flight):
            workers.create_task(work(worker))
    seconds = time.perf_counter() - began
    return Measured(
        runs=runs,
        in_flight=in_flight,
        seconds=seconds,
        raw_puts_per_second=len(raw) / sum(raw),
        transactions=await served.revision() - revision,
        latency=latency,
        server_cpu=served.server_cpu_seconds() - server_cpu,
        generator_cpu=time.process_time() - own_cpu,
        server_megabytes=served.server_megabytes(),
    )


async def run(smallest: int, in_flight: int) -> list[Measured]:
    results: list[Measured] = []
    ends = Ends()
    with tempfile.TemporaryDirectory() as folder:
        async with serve(Path(folder)) as served, asyncio.TaskGroup() as tasks:
            executor = NullExecutor(
                served.executor_channel, slots=in_flight, assigned=lambda *_: None, finished=ends.on_finished
            )
            working = tasks.create_task(executor.run())
            await asyncio.wait_for(executor.welcomed.wait(), LIMIT_SECONDS)
            await load(served, ends, WARM, in_flight, raw_seconds=0.5)
            results.append(await load(served, ends, min(smallest, 300), 1, raw_seconds=1))
            for runs in (smallest, 2 * smallest, 4 * smallest):
                results.append(await load(served, ends, runs, in_flight, raw_seconds=1))
            await check_finished(served, WARM + sum(item.runs for item in results))
            working.cancel()
    if executor.refusals:
        raise RuntimeError(f"the server refused updates: {executor.refusals[0]}")
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4000, help="of the smallest load; then twice and four times it")
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--quick", action="store_true", help="600 runs")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    busy = os.getloadavg()[0]
    results = uvloop.run(run(600 if arguments.quick else arguments.runs, arguments.in_flight))
    print("B2: runs of one task, null driver, created to finished; ratio: runs/s to raw puts/s")
    print(f"load average of the machine before it began: {busy:.1f}, of {os.cpu_count()} cores")
    print(
        "  runs  at a time  runs/s  raw puts/s  ratio  etcd txns/run  p50 ms  p99 ms"
        "  server cpu ms/run  generator cpu ms/run  server MB"
    )
    for item in results:
        print(
            f"{item.runs:>6} {item.in_flight:>10} {item.rate:>7.0f} {item.raw_puts_per_second:>11.0f}"
            f" {item.rate / item.raw_puts_per_second:>6.2f} {item.transactions_per_run:>14.2f}"
            f" {1000 * statistics.median(item.latency):>7.1f}"
            f" {1000 * statistics.quantiles(item.latency, n=100)[-1]:>7.1f}"
            f" {1000 * item.server_cpu / item.runs:>18.2f} {1000 * item.generator_cpu / item.runs:>21.2f}"
            f" {item.server_megabytes:>10.0f}"
        )
    idle, *loaded = results
    exponent = math.log(loaded[-1].seconds / loaded[0].seconds) / math.log(loaded[-1].runs / loaded[0].runs)
    print(f"time grows with the number of runs to the power of {exponent:.2f}")
    print("Buildbot side by side: not measured")
    largest = loaded[-1]
    goals = {
        f"{largest.rate:.0f} runs/s of at least {RUNS_PER_SECOND:.0f}": largest.rate >= RUNS_PER_SECOND,
        f"idle {idle.transactions_per_run:.2f} transactions a run of at most {IDLE_TRANSACTIONS:.0f}": (
            idle.transactions_per_run <= IDLE_TRANSACTIONS
        ),
        f"loaded {largest.transactions_per_run:.2f} of under {LOADED_TRANSACTIONS:.0f}": (
            largest.transactions_per_run < LOADED_TRANSACTIONS
        ),
        f"exponent {exponent:.2f} of at most {EXPONENT}": exponent <= EXPONENT,
    }
    for goal, met in goals.items():
        print(f"goal: {goal}: {'met' if met else 'NOT met'}")
    record(results, exponent=exponent, busy=busy)
    return 0 if all(goals.values()) else 1


def record(results: list[Measured], *, exponent: float, busy: float) -> None:
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    content = {
        "benchmark": "b2",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load_average_before": round(busy, 1),
        "exponent": round(exponent, 3),
        "loads": [
            {
                "runs": item.runs,
                "at_a_time": item.in_flight,
                "runs_per_s": round(item.rate, 1),
                "raw_puts_per_s": round(item.raw_puts_per_second),
                "etcd_transactions_per_run": round(item.transactions_per_run, 3),
                "p50_ms": round(1000 * statistics.median(item.latency), 1),
                "p99_ms": round(1000 * statistics.quantiles(item.latency, n=100)[-1], 1),
                "server_cpu_ms_per_run": round(1000 * item.server_cpu / item.runs, 2),
                "generator_cpu_ms_per_run": round(1000 * item.generator_cpu / item.runs, 2),
                "server_mb": round(item.server_megabytes),
            }
            for item in results
        ],
        "buildbot": "not measured",
    }
    (folder / "b2.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
