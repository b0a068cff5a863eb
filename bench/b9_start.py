"""B9: `sluice standalone` to ready (goal 3 s); `sluice version` (goal 150 ms). The other commands: `b9_commands`.

    python -m bench.b9_start [--repeat N]

Ratios are against the start of a bare interpreter (`python -c pass`) in the same run. The first start makes a new
installation, the others go on with it; both are shown.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SLUICE = (sys.executable, "-m", "sluiceway.cli.entry")
READY_SECONDS = 60


def timed(*command: str) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def start_standalone(data: Path) -> float:
    state = data / "standalone.json"
    begun = time.perf_counter()
    process = subprocess.Popen(
        [*SLUICE, "standalone", "--data-dir", str(data), "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not state.exists():
            if process.poll() is not None or time.perf_counter() - begun > READY_SECONDS:
                raise SystemExit("standalone did not become ready")
            time.sleep(0.005)
        return time.perf_counter() - begun
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    bare = statistics.median(timed(sys.executable, "-c", "pass") for _ in range(5 * repeat))
    version = statistics.median(timed(*SLUICE, "version") for _ in range(5 * repeat))
    with tempfile.TemporaryDirectory() as folder:
        first, *others = [start_standalone(Path(folder)) for _ in range(1 + repeat)]
    again = statistics.median(others)
    print("B9: start, milliseconds (median)")
    print(f"{'what':<28}{'ms':>8}{'bare interpreters':>20}{'goal':>8}{'met':>6}")
    for name, seconds, goal in (
        ("bare interpreter", bare, None),
        ("version", version, 0.15),
        ("standalone, new", first, 3.0),
        ("standalone, again", again, 3.0),
    ):
        met = "" if goal is None else "yes" if seconds <= goal else "no"
        shown = "" if goal is None else f"{goal * 1000:.0f}"
        print(f"{name:<28}{seconds * 1000:>8.0f}{seconds / bare:>20.1f}{shown:>8}{met:>6}")


if __name__ == "__main__":
    main()
