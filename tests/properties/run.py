"""Executes many random histories of the database: `python -m tests.properties.run --count 10000`.

Each seed is one history. One that fails is made short, and printed with its seed, its problems and its steps.
`--show SEED` prints what happens in one history.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, MutableMapping
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from sluiceway_common.foundation.crashpoints import CRASH_POINTS
from tests.properties.checker import check
from tests.properties.cluster import HONEST, Stores
from tests.properties.execute import execute
from tests.properties.plan import Plan, draw_plan
from tests.properties.shrinking import shrink

__all__ = ["Failure", "describe", "fast_folder", "quiet", "run_plan", "run_seed", "shrunk"]

_SHARED_MEMORY = Path("/dev/shm")
"""Memory, where SQLite's files cost nothing."""


@dataclass(frozen=True)
class Failure:
    """A history with problems."""

    plan: Plan
    problems: tuple[str, ...]


def fast_folder() -> Path:
    """Make a folder for read databases, in memory if possible."""
    where = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() and os.access(_SHARED_MEMORY, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="sluice-histories-", dir=where))


def quiet() -> None:
    """Turn the logs of servers off."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


def run_plan(plan: Plan, folder: Path, reached: set[str] | None = None, stores: Stores = HONEST) -> tuple[str, ...]:
    """Execute a plan, and return what is wrong with the history."""
    return tuple(check(execute(plan, folder / f"{plan.seed}", reached, stores)))


def run_seed(seed: int, folder: Path, reached: set[str] | None = None) -> Failure | None:
    """Execute the history of a seed, and return what is wrong with it."""
    plan = draw_plan(seed)
    problems = run_plan(plan, folder, reached)
    return Failure(plan, problems) if problems else None


def shrunk(failure: Failure, folder: Path) -> Failure:
    """Return a shorter plan that fails in the same way."""
    plan = shrink(failure.plan, failure.problems, lambda candidate: run_plan(candidate, folder))
    return Failure(plan, run_plan(plan, folder) or failure.problems)


def describe(failure: Failure) -> str:
    """Format a failure for people."""
    lines = [f"seed {failure.plan.seed}, {failure.plan.servers} servers, {len(failure.plan.steps)} steps:"]
    lines += [f"  {number:3} {step}" for number, step in enumerate(failure.plan.steps)]
    lines += [f"  -> {problem[:2000]}" for problem in failure.problems[:8]]
    return "\n".join(lines)


# -- many


def _work(seeds: range) -> tuple[list[Failure], set[str], int, float]:
    quiet()
    folder, reached, began = fast_folder(), set[str](), time.process_time()
    try:
        failures = [failure for seed in seeds if (failure := run_seed(seed, folder, reached)) is not None]
        gc.collect()
        return failures, reached, len(seeds), time.process_time() - began
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _pieces(start: int, count: int) -> Iterator[range]:
    for first in range(start, start + count, 20):
        yield range(first, min(first + 20, start + count))


def main() -> int:
    parser = argparse.ArgumentParser(description="Random histories of the database, checked against a dictionary.")
    parser.add_argument("--count", type=int, default=10_000, help="how many histories")
    parser.add_argument("--start", type=int, default=1, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--shrink", type=int, default=3, help="how many failures are made short")
    parser.add_argument("--show", type=int, help="show one history")
    options = parser.parse_args()
    # An exception, so that the pool ends its processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of a set of texts must not differ from one process to the next.
        os.execve(
            sys.executable, [sys.executable, "-m", __spec__.name, *sys.argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"}
        )
    if options.show is not None:
        return _show(options.show)
    failures, reached = _run_many(options.start, options.count, options.jobs)
    _report(failures, options.shrink)
    if CRASH_POINTS - reached:
        print(f"no history came to: {', '.join(sorted(CRASH_POINTS - reached))}")
    return 1 if failures else 0


def _run_many(start: int, count: int, jobs: int) -> tuple[list[Failure], set[str]]:
    failures: list[Failure] = []
    reached: set[str] = set()
    began, done, spent = time.monotonic(), 0, 0.0
    pieces = deque(_pieces(start, count))
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=50) as pool:
        running = {pool.submit(_work, pieces.popleft()) for _ in range(min(2 * jobs, len(pieces)))}
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                found, points, number, seconds = future.result()
                done, spent = done + number, spent + seconds
                reached |= points
                failures += found
                for failure in found:
                    print(f"\nseed {failure.plan.seed} failed: {failure.problems[0][:300]}", flush=True)
                if pieces:
                    running.add(pool.submit(_work, pieces.popleft()))
            pace = f"{done / (time.monotonic() - began):.1f} a second, {spent / done * 1000:.0f} ms each"
            print(f"\r{done} of {count} histories, {pace}, {len(failures)} failed ", end="", flush=True)
    print()
    return failures, reached


def _report(failures: list[Failure], most: int) -> None:
    quiet()
    folder = fast_folder()
    for failure in failures[:most]:
        print(describe(shrunk(failure, folder)), flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    if failures:
        print(f"failed: {' '.join(str(failure.plan.seed) for failure in failures)}")


def _show(seed: int) -> int:
    from tests.properties.simulation import CURRENT, virtual_time

    def say(_logger: object, _name: str, event: MutableMapping[str, Any]) -> str:
        process = CURRENT.get()
        return f"{virtual_time():9.4f} {process.name if process else '-':5} {event}"

    structlog.configure(processors=[say], wrapper_class=structlog.make_filtering_bound_logger(10))
    folder = fast_folder()
    try:
        failure = run_seed(seed, folder)
        quiet()
        if failure is not None:
            print(describe(shrunk(failure, folder)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if failure is None else 1


if __name__ == "__main__":
    sys.exit(main())
