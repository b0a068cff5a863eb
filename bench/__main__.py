"""All figures of docs/design/quality.md that are measured so far.

`make bench` measures small, `make bench-full` at the stated size. Each figure is a module of its own and runs in a
process of its own, one after the other: two at a time would measure each other. What is printed goes to
`bench/results/` too, with date, commit and machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Figure:
    module: str
    small: tuple[str, ...] = ()
    full: tuple[str, ...] = ()


FIGURES = (
    Figure("b1_dispatch", ("--quick",)),
    Figure("b2_runs", ("--quick",)),
    Figure("b3_commits", ("--quick",)),
    Figure("b4_finished", ("--quick",)),
    Figure("b5_logs", ("--megabytes", "64"), ("--megabytes", "1024")),
    Figure("b7_executors", ("--real", "100", "250", "--simulated", "500", "1000", "--seconds", "10")),
    Figure("b8_pass"),
    Figure("b9_start", ("--repeat", "3"), ("--repeat", "10")),
    Figure("b9_commands", ("--repeat", "5"), ("--repeat", "21")),
    Figure("b10_config"),
    Figure("b11_servers", ("--quick",)),
    Figure("b12_runs", ("--runs", "200"), ("--runs", "1000")),
    Figure("b12_idle", ("--seconds", "60"), ("--seconds", "300")),
    Figure("b13_push", ("--quick",)),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="at the stated size")
    parser.add_argument("figures", nargs="*", help="only these, such as b3 b9")
    options = parser.parse_args()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    now = datetime.now(UTC)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    output = [f"{now:%Y-%m-%d %H:%M} UTC, commit {commit.stdout.strip()}, {machine}"]
    print(output[0], flush=True)
    failed = []
    for figure in FIGURES:
        if options.figures and figure.module.split("_")[0] not in options.figures:
            continue
        began = time.monotonic()
        arguments = figure.full if options.full else figure.small
        done = subprocess.run(
            [sys.executable, "-m", f"bench.{figure.module}", *arguments],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=None,
            check=False,
        )
        text = f"\n{done.stdout.rstrip()}\n({figure.module}: {time.monotonic() - began:.0f} s)"
        print(text, flush=True)
        output.append(text)
        # A goal that is not met is a figure, printed as such; a benchmark that cannot measure is a fault.
        if done.returncode not in {0, 1} or not done.stdout.strip():
            failed.append(figure.module)
    if not options.figures:
        (ROOT / "bench" / "results").mkdir(exist_ok=True)
        name = f"{'full' if options.full else 'small'}.txt"
        (ROOT / "bench" / "results" / name).write_text("\n".join(output) + "\n")
    if failed:
        print(f"could not be measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
