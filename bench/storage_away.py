"""Fault: the object storage is unavailable for ten minutes under load, with the default limits.

    python -m bench.storage_away [--minutes 10] [--writers 8] [--rate 25]

Starts an etcd of its own. Writers write without a break; the storage goes away and comes back. Printed is when writes
became slow and when they were refused, with which reason, what waited at the most, how large etcd became, and how long
after its return all was well again. It fails when something that was answered is not there in the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import structlog

from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.support.etcd import etcd_process
from tests.support.storage_away import Outage, storage_away


async def run(minutes: float, writers: int, rate: float, body: int) -> Outage:
    with tempfile.TemporaryDirectory() as folder, etcd_process(Path(folder) / "etcd", quota_bytes=8 * 1024**3) as etcd:
        store, storage = EtcdStore([etcd.endpoint]), PosixStorage(Path(folder) / "objects")
        try:
            return await storage_away(
                store,
                storage,
                Path(folder),
                prefix="p",
                settings=DataManagerSettings(server_id="one"),
                away=minutes * 60,
                around=min(30.0, minutes * 6),
                writers=writers,
                body_bytes=body,
                pause=1 / rate,
            )
        finally:
            await storage.close()
            await store.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--rate", type=float, default=25.0, help="writes a second of each writer, at the most")
    parser.add_argument("--bytes", type=int, default=1000, help="of one write, before compression")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    outage = asyncio.run(run(options.minutes, options.writers, options.rate, options.bytes))
    slow = f"{outage.slow_after:.0f} s" if outage.slow_after is not None else "never"
    refused = f"{outage.refused_after:.0f} s" if outage.refused_after is not None else "never"
    print(f"storage away for {options.minutes:g} minutes, {options.writers} writers of {options.bytes} bytes")
    print(f"answered: {dict(outage.answered)}; refused: {dict(outage.refused)}")
    print(f"slow after {slow}, refused after {refused}; the longest write took {outage.longest:.1f} s")
    print(
        f"at the most {outage.most_unflushed / 2**20:.0f} MiB unflushed, {outage.most_in_etcd / 2**20:.0f} MiB in etcd"
    )
    print(f"well again {outage.back_after:.1f} s after it came back; nothing that was answered is missing")
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    content = {
        "fault": "storage away",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "minutes": options.minutes,
        "answered": dict(outage.answered),
        "refused": dict(outage.refused),
        "slow_after_s": outage.slow_after,
        "refused_after_s": outage.refused_after,
        "longest_s": round(outage.longest, 2),
        "most_unflushed_bytes": outage.most_unflushed,
        "most_in_etcd_bytes": outage.most_in_etcd,
        "well_after_s": round(outage.back_after, 2),
    }
    (folder / "storage_away.json").write_text(json.dumps(content, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
