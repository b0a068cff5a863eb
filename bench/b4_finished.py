"""B4: many finished runs: dumps, the start of a new server, lists, old runs, memory, and what a checkpoint writes.

    python -m bench.b4_finished [--quick] [--sizes N ...]

At each of three sizes, an etcd and a folder are filled by the real import with runs of one task as the engine leaves
them (`bench.finished_runs`); then a server with an empty data folder starts on them. *Dumps*: bytes of all index dumps,
and the seconds that it takes to make them anew from the data files. *Ready*: until the server answers a call. *Page*:
the first 50 runs of a group in a phase, as a user's client sees it; beside it the same call for a group that has none,
which is what a call costs. *Old run*: `GetRun` and `ListTasks` of any run, whose bodies are in the data files. Then
some runs go through the server, and a checkpoint is made: bytes that it writes for each byte that changed.

Goals, at a million: dumps of 150 MB, ready in 30 s, a page in 10 ms (p99), 400 MB resident. Not worse than linear.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
import uvloop

from bench.finished_runs import GROUPS, FinishedRuns, write_export
from bench.served import NullExecutor, Served, one_task, serve_on
from sluiceway.api.database.v1 import database_service_pb2, database_service_pb2_grpc
from sluiceway.api.run.v1 import run_pb2, run_service_pb2
from sluiceway.records.storage.v1.storage_pb2 import Manifest
from sluiceway_common.foundation.clock import UuidSource
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.datamanager.admin.import_ import Importer
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.tables.compaction import write_index
from sluiceway_server.datamanager.tables.data_file import FileStore
from sluiceway_server.datamanager.tables.manifest import ManifestStore
from sluiceway_server.datamanager.tables.stores import Stores
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.support.etcd import etcd_process

FULL = (100_000, 300_000, 1_000_000)
QUICK = (5_000, 15_000, 45_000)
MILLION = 1_000_000
PREFIX = "sluiceway"
CALLS = 300
NEW_RUNS = 500
READY_SECONDS = 600.0
LIMIT_SECONDS = 300.0
DUMP_MEGABYTES = 150.0
START_SECONDS = 30.0
PAGE_MS = 10.0
RESIDENT_MEGABYTES = 400.0
EXPONENT = 1.1


@dataclass(frozen=True)
class Measured:
    """One size. Latencies in milliseconds."""

    runs: int
    import_seconds: float
    data_megabytes: float
    dump_megabytes: float
    dump_seconds: float
    ready_seconds: float
    read_database_megabytes: float
    peak_megabytes: float
    resident_megabytes: float
    call_p50: float
    call_p99: float
    page_p50: float
    page_p99: float
    old_p50: float
    old_p99: float
    changed_megabytes: float
    written_for_changed: float


async def fill(runs: FinishedRuns, folder: Path, endpoint: str) -> float:
    """Import; return the seconds."""
    export = folder / "export"
    await asyncio.to_thread(write_export, runs, export)
    kv, storage = EtcdStore([endpoint]), PosixStorage(folder / "objects")
    try:
        began = time.perf_counter()
        await Importer(
            Stores(kv, storage, prefix=PREFIX, etcd_timeout=timedelta(seconds=5), etcd_name=endpoint),
            export,
            types=RECORD_TYPES,
            writer="bench",
            now=lambda: datetime.now(UTC),
            new_id=UuidSource().new_id,
            file_bytes=DataManagerSettings().file_bytes,
        ).run()
        return time.perf_counter() - began
    finally:
        export.unlink()
        await storage.close()
        await kv.close()


async def manifest_at(folder: Path, sequence: LogSequence) -> Manifest:
    storage = PosixStorage(folder / "objects")
    try:
        return await ManifestStore(storage, prefix=PREFIX).read(sequence)
    finally:
        await storage.close()


async def dumps(folder: Path, manifest: Manifest) -> float:
    """Make all index dumps again; return the seconds."""
    storage = PosixStorage(folder / "objects")
    files = FileStore(storage, prefix=PREFIX)
    types = {type_.name: type_ for type_ in RECORD_TYPES}
    try:
        seconds = 0.0
        for type_files in manifest.types:
            for live in type_files.files:
                if live.HasField("index"):
                    began = time.perf_counter()
                    made = await write_index(files, types[type_files.type], live, name="bench")
                    seconds += time.perf_counter() - began
                    await storage.delete(f"{PREFIX}/{made.key}")
        return seconds
    finally:
        await storage.close()


async def timed(calls: int, call: Callable[[], Awaitable[object]]) -> list[float]:
    """Call one after the other; return the milliseconds of each."""
    took = []
    for _ in range(calls):
        began = time.perf_counter()
        await call()
        took.append(1000 * (time.perf_counter() - began))
    return took


async def look(served: Served, runs: FinishedRuns) -> tuple[list[float], list[float], list[float]]:
    """Read as users do; return the milliseconds of bare calls, pages, and old runs with their tasks."""
    choice = random.Random(runs.count)
    expected = min(50, runs.count // GROUPS)

    async def list_runs(group: str) -> int:
        page = await served.runs.ListRuns(
            run_service_pb2.ListRunsRequest(group=group, phase=run_pb2.RUN_PHASE_FINISHED, page_size=50)
        )
        return len(page.runs)

    async def page() -> None:
        found = await list_runs(FinishedRuns.group(choice.randrange(runs.count)))
        if found < expected:
            raise RuntimeError(f"a page has {found} runs, not {expected}")

    async def old_run() -> None:
        id_ = runs.run_id(choice.randrange(runs.count))
        answer = await served.runs.GetRun(run_service_pb2.GetRunRequest(run_id=id_))
        tasks = await served.runs.ListTasks(run_service_pb2.ListTasksRequest(run_id=id_))
        if answer.run.id != id_ or [task.run_id for task in tasks.tasks] != [id_]:
            raise RuntimeError(f"the run {id_} did not come back")

    await timed(20, page)
    await timed(5, lambda: list_runs("/project/none/branch/none"))
    return (
        await timed(CALLS, lambda: list_runs("/project/none/branch/none")),
        await timed(CALLS, page),
        await timed(CALLS, old_run),
    )


async def run_some(served: Served, count: int) -> None:
    """Run new runs from their creation to their end."""
    ended = asyncio.Event()
    left = count

    def finished(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            ended.set()

    executor = NullExecutor(served.executor_channel, slots=64, assigned=lambda *_: None, finished=finished)
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(executor.run())
        await asyncio.wait_for(executor.welcomed.wait(), LIMIT_SECONDS)
        for number in range(count):
            await served.runs.CreateRun(one_task(f"/bench/runs/{number % 64}"))
        await asyncio.wait_for(ended.wait(), LIMIT_SECONDS)
        working.cancel()


async def checkpoint(served: Served, folder: Path) -> Manifest:
    """Make and return a checkpoint."""
    stub: database_service_pb2_grpc.DatabaseServiceAsyncStub = database_service_pb2_grpc.DatabaseServiceStub(
        served.admin_channel
    )
    answer = await stub.CheckpointDatabase(database_service_pb2.CheckpointDatabaseRequest(), timeout=LIMIT_SECONDS)
    return await manifest_at(folder, LogSequence.parse(answer.sequence))


async def measure(count: int) -> Measured:
    runs = await asyncio.to_thread(FinishedRuns, count)
    with tempfile.TemporaryDirectory() as name, etcd_process(Path(name) / "etcd") as etcd:
        folder = Path(name)
        import_seconds = await fill(runs, folder, etcd.endpoint)
        first = await manifest_at(folder, LogSequence(1, 0))
        files = [live for type_ in first.types for live in type_.files]
        dump_seconds = await dumps(folder, first)
        began = time.perf_counter()
        async with serve_on(folder, etcd.endpoint, ready_seconds=READY_SECONDS) as served:
            ready_seconds = time.perf_counter() - began
            peak = served.server_peak_megabytes()
            bare, pages, old = await look(served, runs)
            await checkpoint(served, folder)  # of what the start itself wrote
            await run_some(served, NEW_RUNS)
            made = await checkpoint(served, folder)
            return Measured(
                runs=count,
                import_seconds=import_seconds,
                data_megabytes=sum(live.data.size for live in files) / 1e6,
                dump_megabytes=sum(live.index.size for live in files) / 1e6,
                dump_seconds=dump_seconds,
                ready_seconds=ready_seconds,
                read_database_megabytes=sum(
                    path.stat().st_size for path in (folder / "server").rglob("*") if path.is_file()
                )
                / 1e6,
                peak_megabytes=max(peak, served.server_peak_megabytes()),
                resident_megabytes=served.server_megabytes(),
                call_p50=statistics.median(bare),
                call_p99=statistics.quantiles(bare, n=100)[-1],
                page_p50=statistics.median(pages),
                page_p99=statistics.quantiles(pages, n=100)[-1],
                old_p50=statistics.median(old),
                old_p99=statistics.quantiles(old, n=100)[-1],
                changed_megabytes=made.changed_bytes / 1e6,
                written_for_changed=made.written_bytes / max(made.changed_bytes, 1),
            )


def exponent(results: list[Measured], of: Callable[[Measured], float]) -> float:
    """Return how a figure grows between the smallest and the largest size."""
    first, last = results[0], results[-1]
    return math.log(of(last) / of(first)) / math.log(last.runs / first.runs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(FULL))
    parser.add_argument("--quick", action="store_true", help=f"at {', '.join(map(str, QUICK))}")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    busy = os.getloadavg()[0]
    results = [uvloop.run(measure(size)) for size in (QUICK if arguments.quick else sorted(arguments.sizes))]
    print("B4: finished runs of one task; megabytes of 10^6 bytes, milliseconds as a client sees them")
    print(f"load average of the machine before it began: {busy:.1f}, of {os.cpu_count()} cores")
    print(
        "     runs  import s  data MB  dumps MB  dumps s  ready s  SQLite MB  peak MB  resident MB"
        "  call p50  call p99  page p50  page p99  old run p50  old run p99  changed MB  written/changed"
    )
    for item in results:
        print(
            f"{item.runs:>9} {item.import_seconds:>9.1f} {item.data_megabytes:>8.1f} {item.dump_megabytes:>9.2f}"
            f" {item.dump_seconds:>8.1f} {item.ready_seconds:>8.1f} {item.read_database_megabytes:>10.0f}"
            f" {item.peak_megabytes:>8.0f} {item.resident_megabytes:>12.0f} {item.call_p50:>9.2f} {item.call_p99:>9.2f}"
            f" {item.page_p50:>9.2f}"
            f" {item.page_p99:>9.2f} {item.old_p50:>12.2f} {item.old_p99:>12.2f} {item.changed_megabytes:>11.2f}"
            f" {item.written_for_changed:>16.2f}"
        )
    growth = {
        "bytes of dumps": exponent(results, lambda item: item.dump_megabytes),
        "start": exponent(results, lambda item: item.ready_seconds),
        "page p99": exponent(results, lambda item: item.page_p99),
        "resident memory": exponent(results, lambda item: item.resident_megabytes),
    }
    for name, power in growth.items():
        print(f"{name} grows with the number of runs to the power of {power:.2f}")
    largest = results[-1]
    # At a smaller size the goals for a million say little: bytes and time then count in proportion.
    share = min(largest.runs / MILLION, 1.0)
    goals = {
        f"dumps {largest.dump_megabytes:.1f} MB of at most {DUMP_MEGABYTES * share:.1f}": (
            largest.dump_megabytes <= DUMP_MEGABYTES * share
        ),
        f"ready in {largest.ready_seconds:.1f} s of at most {START_SECONDS:.0f}": (
            largest.ready_seconds <= START_SECONDS
        ),
        f"page p99 {largest.page_p99:.1f} ms of at most {PAGE_MS:.0f}": largest.page_p99 <= PAGE_MS,
        f"resident {largest.resident_megabytes:.0f} MB of at most {RESIDENT_MEGABYTES:.0f}": (
            largest.resident_megabytes <= RESIDENT_MEGABYTES
        ),
        f"largest exponent {max(growth.values()):.2f} of at most {EXPONENT}": max(growth.values()) <= EXPONENT,
    }
    for goal, met in goals.items():
        print(f"goal, at {largest.runs} runs: {goal}: {'met' if met else 'NOT met'}")
    record(results, growth, busy)
    return 0 if all(goals.values()) else 1


def record(results: list[Measured], growth: dict[str, float], busy: float) -> None:
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    content = {
        "benchmark": "b4",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load_average_before": round(busy, 1),
        "exponents": {name: round(power, 3) for name, power in growth.items()},
        "sizes": [{name: round(value, 3) for name, value in asdict(item).items()} for item in results],
    }
    (folder / "b4.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
