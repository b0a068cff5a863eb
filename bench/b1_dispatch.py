"""B1: dispatch, from CreateRun called until the executor holds the assignment, on an idle system.

    python -m bench.b1_dispatch [--runs N] [--quick]

One run at a time, each of one task; the next begins when the one before is finished and a raw put was made. The unit is
the median of those puts, made in turns with the runs by one client: one etcd commit, as a client sees it. Server and
etcd are processes of their own; the executor's driver does nothing. Goals: p50 at most 4 commits, p99 at most 20. How
it grows: with finished runs behind it, at three sizes.
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

from bench.served import RAW_BYTES, NullExecutor, Served, check_finished, one_task, serve

GOALS = {"p50": 4.0, "p99": 20.0}
WARM = 30
LIMIT_SECONDS = 30.0


@dataclass(frozen=True)
class Measured:
    """Seconds, and the runs that were finished before the first of them."""

    finished: int
    raw: list[float]
    answered: list[float]
    dispatched: list[float]


class Dispatches:
    """Records when runs were assigned to the executor and when they were finished."""

    def __init__(self) -> None:
        self.assigned: dict[str, float] = {}
        self._over: dict[str, asyncio.Future[float]] = {}

    def on_assigned(self, run_id: str, at: float) -> None:
        self.assigned[run_id] = at

    def on_finished(self, run_id: str, at: float) -> None:
        self._future(run_id).set_result(at)

    async def over(self, run_id: str) -> None:
        await asyncio.wait_for(self._future(run_id), LIMIT_SECONDS)
        del self._over[run_id]

    def _future(self, run_id: str) -> asyncio.Future[float]:
        return self._over.setdefault(run_id, asyncio.get_running_loop().create_future())


async def measure(served: Served, seen: Dispatches, count: int, finished: int) -> Measured:
    result = Measured(finished, [], [], [])
    value = os.urandom(RAW_BYTES)
    gc.collect()
    for number in range(count):
        result.raw.append(await served.raw_put(value, number))
        began = time.perf_counter()
        answer = await served.runs.CreateRun(one_task(f"/bench/dispatch/{number % 100}"))
        result.answered.append(time.perf_counter() - began)
        await seen.over(answer.run.id)
        result.dispatched.append(seen.assigned.pop(answer.run.id) - began)
    return result


async def run(count: int) -> list[Measured]:
    results: list[Measured] = []
    seen = Dispatches()
    with tempfile.TemporaryDirectory() as folder:
        async with serve(Path(folder)) as served, asyncio.TaskGroup() as tasks:
            executor = NullExecutor(
                served.executor_channel, slots=4, assigned=seen.on_assigned, finished=seen.on_finished
            )
            working = tasks.create_task(executor.run())
            await asyncio.wait_for(executor.welcomed.wait(), LIMIT_SECONDS)
            await measure(served, seen, WARM, 0)
            finished = WARM
            for size in (count, 2 * count, 4 * count):
                results.append(await measure(served, seen, size, finished))
                finished += size
            await check_finished(served, finished)
            working.cancel()
    if executor.refusals:
        raise RuntimeError(f"the server refused updates: {executor.refusals[0]}")
    return results


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[-1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="of the smallest size; then twice and four times it")
    parser.add_argument("--quick", action="store_true", help="150 runs")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    busy = os.getloadavg()[0]
    results = uvloop.run(run(150 if arguments.quick else arguments.runs))
    print("B1: dispatch, milliseconds; in raw etcd commits (median of the same round)")
    print(f"load average of the machine before it began: {busy:.1f}, of {os.cpu_count()} cores")
    print("runs before    runs  raw p50  answer p50  dispatch p50  commits     p99  commits")
    for item in results:
        raw, answered = statistics.median(item.raw), statistics.median(item.answered)
        middle, high = statistics.median(item.dispatched), p99(item.dispatched)
        print(
            f"{item.finished:>11} {len(item.raw):>7} {1000 * raw:>8.2f} {1000 * answered:>11.2f}"
            f" {1000 * middle:>13.2f} {middle / raw:>8.1f} {1000 * high:>7.2f} {high / raw:>8.1f}"
        )
    first, last = results[0], results[-1]
    growth = math.log(statistics.median(last.dispatched) / statistics.median(first.dispatched))
    exponent = growth / math.log(last.finished / first.finished)
    print(f"dispatch grows with finished runs to the power of {exponent:.2f}")
    raw = statistics.median(put for item in results for put in item.raw)
    dispatched = [each for item in results for each in item.dispatched]
    ratios = {"p50": statistics.median(dispatched) / raw, "p99": p99(dispatched) / raw}
    met = all(ratios[name] <= goal for name, goal in GOALS.items())
    shown = ", ".join(f"{name} {ratios[name]:.1f} of at most {goal:.0f} commits" for name, goal in GOALS.items())
    print(f"goals, all rounds together: {shown}: {'met' if met else 'NOT met'}")
    record(results, ratios, exponent=exponent, busy=busy)
    return 0 if met else 1


def record(results: list[Measured], ratios: dict[str, float], *, exponent: float, busy: float) -> None:
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    content = {
        "benchmark": "b1",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load_average_before": round(busy, 1),
        "exponent": round(exponent, 3),
        "commits": {name: round(ratio, 2) for name, ratio in ratios.items()},
        "sizes": {
            item.finished: {
                "raw_ms": round(1000 * statistics.median(item.raw), 3),
                "dispatch_p50_ms": round(1000 * statistics.median(item.dispatched), 2),
                "dispatch_p99_ms": round(1000 * p99(item.dispatched), 2),
            }
            for item in results
        },
    }
    (folder / "b1.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
