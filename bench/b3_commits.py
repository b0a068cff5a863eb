"""B3: commits of the datamanager against raw sequential etcd puts.

    python -m bench.b3_commits [--seconds N] [--quick]

Starts an etcd of its own. In each round it measures, one after the other, raw puts of the same bytes by one client,
commits by one writer, and commits by 256 writers; the ratios are those of one round, and the table shows the median of
the rounds. Goals: at least 0.8 with one writer, at least 12 with 256.
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
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
import uvloop

from bench.databases import fresh_database
from sluiceway.records.log.v1 import log_pb2
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.model import Column, Decision, Put, RecordType, TransactionFunction, View
from sluiceway_server.kv.etcd import EtcdStore

RECORD = RecordType(
    "record",
    log_pb2.Put,
    columns=(Column("owner", lambda message: message.type),),
    indexes=(("owner",),),
)
WRITERS = 256
SIZES = (256, 1024, 4096)
GOALS = {"one": 0.8, "many": 12.0}


@dataclass(frozen=True)
class Round:
    raw: float
    one: float
    many: float
    entries_per_commit: float


async def rate(seconds: float, writers: int, step: Callable[[int, int], Awaitable[object]]) -> float:
    """Repeat a step with several writers for a while; return steps per second."""
    end = time.perf_counter() + seconds
    counts = [0] * writers

    async def write(writer: int) -> None:
        while time.perf_counter() < end:
            await step(writer, counts[writer])
            counts[writer] += 1

    begun = time.perf_counter()
    await asyncio.gather(*(write(writer) for writer in range(writers)))
    return sum(counts) / (time.perf_counter() - begun)


def change(writer: int, body: bytes) -> TransactionFunction[int]:
    """Read and write one record, as an update of a task does."""

    def function(view: View) -> Decision[int]:
        id_ = f"record-{writer:04}"
        old = view.get(RECORD, id_)
        number = int(old.id) + 1 if old else 0
        return Decision(number, [Put(RECORD, id_, log_pb2.Put(type=f"w{writer}", id=str(number), body=body))])

    return function


async def measure(store: EtcdStore, database: DataManager, size: int, seconds: float) -> Round:
    # Random, and different for each writer: nothing that compression could gain from.
    bodies = [os.urandom(size) for _ in range(WRITERS)]
    timeout = timedelta(seconds=10)

    async def raw(writer: int, number: int) -> object:
        return await store.put(f"raw/{number % 1000}", bodies[writer], timeout=timeout)

    async def commit(writer: int, number: int) -> object:
        return await database.transact(change(writer, bodies[writer]))

    gc.collect()
    raw_rate = await rate(seconds, 1, raw)
    one = await rate(seconds, 1, commit)
    before = database.position.sequence.counter
    many = await rate(seconds, WRITERS, commit)
    entries = database.position.sequence.counter - before
    return Round(raw_rate, one, many, entries / max(many * seconds, 1))


async def run(seconds: float, rounds: int) -> list[tuple[int, Round]]:
    results: list[tuple[int, Round]] = []
    async with fresh_database([RECORD]) as (store, _, database):
        await rate(min(seconds, 1), 16, lambda w, _: database.transact(change(w, b"warm")))
        for size in SIZES:
            measured = [await measure(store, database, size, seconds) for _ in range(rounds)]
            measured.sort(key=lambda item: item.many / item.raw)
            results.append((size, median(measured)))
    return results


def median(rounds: list[Round]) -> Round:
    raw = statistics.median(item.raw for item in rounds)
    return Round(
        raw,
        raw * statistics.median(item.one / item.raw for item in rounds),
        raw * statistics.median(item.many / item.raw for item in rounds),
        statistics.median(item.entries_per_commit for item in rounds),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of one second")
    arguments = parser.parse_args()
    seconds, rounds = (1.0, 1) if arguments.quick else (arguments.seconds, arguments.rounds)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    results = uvloop.run(run(seconds, rounds))
    print(" bytes  raw puts/s  1 writer/s  ratio     256/s  ratio  entries/commit")
    for size, item in results:
        print(
            f"{size:>6} {item.raw:>11.0f} {item.one:>11.0f} {item.one / item.raw:>6.2f} {item.many:>9.0f}"
            f" {item.many / item.raw:>6.1f} {item.entries_per_commit:>15.4f}"
        )
    (small, first), (large, last) = results[0], results[-1]
    exponent = math.log(first.many / last.many) / math.log(large / small)
    print(f"cost of a commit of 256 writers grows with size to the power of {exponent:.2f}")
    _, shown = results[0]
    met = shown.one / shown.raw >= GOALS["one"] and shown.many / shown.raw >= GOALS["many"]
    print(f"goals (one {GOALS['one']}, 256 {GOALS['many']}), at {results[0][0]} bytes: {'met' if met else 'NOT met'}")
    record(results, exponent)
    return 0 if met else 1


def record(results: list[tuple[int, Round]], exponent: float) -> None:
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    content = {
        "benchmark": "b3",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "exponent": round(exponent, 3),
        "sizes": {
            size: {
                "raw_puts_per_s": round(item.raw),
                "one_ratio": round(item.one / item.raw, 3),
                "many_ratio": round(item.many / item.raw, 2),
            }
            for size, item in results
        },
    }
    (folder / "b3.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
