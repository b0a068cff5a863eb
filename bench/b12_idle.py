"""B12, idle: what an installation with an executor writes while nothing happens (goal: at most one object a minute).

    python -m bench.b12_idle [--seconds N]

Everything is real: etcd, and `sluice standalone` with one executor and a folder as its object storage. etcd's writes
are the growth of its revision; renewals of leases and reads do not move it.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from sluiceway_server.kv.etcd import EtcdStore
from tests.support.etcd import etcd_process

SLUICE = (sys.executable, "-m", "sluiceway.cli.entry")
READY_SECONDS = 60
# The entries of the start are flushed by then.
SETTLED_SECONDS = 10
GOAL_A_MINUTE = 1.0


@contextmanager
def standalone(data: Path, endpoint: str) -> Iterator[None]:
    """Run an installation for the block, ready and with its executor online."""
    command = [*SLUICE, "standalone", "--data-dir", str(data), "--etcd", endpoint]
    process = subprocess.Popen(
        [*command, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + READY_SECONDS
        while not (data / "standalone.json").exists():
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit("standalone did not become ready")
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def objects(folder: Path) -> dict[str, tuple[int, int]]:
    """Return all objects, each with a value that changes with every put."""
    found = {}
    for path in folder.rglob("*"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        if path.is_file() and ".tmp" not in path.parts:
            found[str(path.relative_to(folder))] = (status.st_ino, status.st_mtime_ns)
    return found


async def revision(endpoint: str) -> int:
    """Return the revision of etcd."""
    kv = EtcdStore([endpoint])
    try:
        _, now = await kv.get("bench/none", timeout=timedelta(seconds=10))
    finally:
        await kv.close()
    return now


def measure(seconds: int) -> tuple[Counter[str], float]:
    """Return how many objects were written, by folder, and how often etcd was, in some idle seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with etcd_process(folder / "etcd") as etcd, standalone(folder / "data", etcd.endpoint):
            time.sleep(SETTLED_SECONDS)
            written: Counter[str] = Counter()
            began = asyncio.run(revision(etcd.endpoint))
            before = objects(folder / "data" / "objects")
            for _ in range(seconds):
                time.sleep(1)
                now = objects(folder / "data" / "objects")
                written.update("/".join(key.split("/")[:2]) for key in now if now[key] != before.get(key))
                before = now
            return written, asyncio.run(revision(etcd.endpoint)) - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=300)
    seconds = parser.parse_args().seconds
    written, etcd_writes = measure(seconds)
    minutes = seconds / 60
    a_minute = written.total() / minutes
    print(f"B12: an idle installation, {seconds} s, one executor")
    print(f"{'what':<28}{'a minute':>10}{'goal':>8}{'met':>6}")
    met = "yes" if a_minute <= GOAL_A_MINUTE else "no"
    print(f"{'objects written':<28}{a_minute:>10.2f}{GOAL_A_MINUTE:>8.2f}{met:>6}")
    for folder, count in written.most_common():
        print(f"  {folder:<26}{count / minutes:>10.2f}")
    print(f"{'writes to etcd':<28}{etcd_writes / minutes:>10.2f}")


if __name__ == "__main__":
    main()
