"""Where the processor time of a run goes: samples of server and executor while real runs of one step end (as in B12).

    python -m bench.run_profile [--runs N]

`py-spy` looks 250 times a second which thread has the interpreter, and at its stack. Each sample is counted twice: for
the package whose code was at work, and for the folder of ours for which it was. C code counts for the function that
called it. What the kernel and threads of gRPC do without the interpreter is in the processor time, and in no sample.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path

from bench.b12_runs import SLOTS, WARM, processes, processor_seconds, runs
from tests.support.installation import installation

RATE = 250
SHOWN = 14
_FRAME = re.compile(r"(?P<function>.+?) \((?P<file>[^:()]+)(?::\d+)?\)$")
_OURS = re.compile(r"sluiceway(?:_(?:server|common|executor))?/(?P<part>[a-z_]+(?:/[a-z_]+)?)")
_LIBRARY = re.compile(r"site-packages/(?P<name>[A-Za-z0-9_]+)")
_STANDARD = re.compile(r"lib/python3\.\d+/(?P<name>[a-z_0-9]+)|^(?P<top>[a-z_]+)(?:/|\.py)")


def place_of(file: str) -> tuple[str, str]:
    """Return the package that a file is of, and the folder of ours, or an empty text."""
    if found := _LIBRARY.search(file):
        return found["name"], ""
    if found := _OURS.search(file):
        return "ours", found["part"]
    if found := _STANDARD.search(file):
        return found["name"] or found["top"], ""
    return file, ""


def count(stacks: Iterable[str]) -> tuple[Counter[str], Counter[str]]:
    """Count samples (`frame;frame;... N`, the outermost first) by package and by folder of ours."""
    packages: Counter[str] = Counter()
    parts: Counter[str] = Counter()
    for line in stacks:
        stack, _, samples = line.rpartition(" ")
        frames = [found for frame in stack.split(";") if (found := _FRAME.match(frame))]
        if not frames:
            continue
        places = [place_of(frame["file"]) for frame in frames]
        packages[places[-1][0]] += int(samples)
        parts[next((part for _, part in reversed(places) if part), "no code of ours")] += int(samples)
    return packages, parts


def shares(counted: Counter[str]) -> list[str]:
    """Return lines with the share of the samples that each name has."""
    total = sum(counted.values()) or 1
    return [f"{100 * samples / total:>5.1f} %  {name}" for name, samples in counted.most_common(SHOWN)]


def sample(pid: int, output: Path) -> subprocess.Popen[bytes]:
    """Start to sample a process; SIGINT ends that."""
    command = [str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid), "--gil", "--nonblocking"]
    command += ["--format", "raw", "--rate", str(RATE), "--duration", "unlimited", "--output", str(output)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, installation(Path(name), "--slots", str(SLOTS)) as here:
        folder = Path(name)
        asyncio.run(runs(here, WARM))
        pids = {part: pid for part, pid in processes(here).items() if part in {"server", "executor"}}
        before = {part: processor_seconds(pid) for part, pid in pids.items()}
        sampling = {part: sample(pid, folder / part) for part, pid in pids.items()}
        rate = asyncio.run(runs(here, arguments.runs))
        used = {part: 1000 * (processor_seconds(pid) - before[part]) / arguments.runs for part, pid in pids.items()}
        for process in sampling.values():
            process.send_signal(signal.SIGINT)
        for part, process in sampling.items():
            _, errors = process.communicate(timeout=60)
            if not (folder / part).exists():
                raise RuntimeError(f"py-spy did not sample the {part}: {errors.decode(errors='replace')}")
        print(f"{arguments.runs} runs of one step, {rate:.1f} a second while sampled")
        for part in pids:
            packages, parts = count((folder / part).read_text().splitlines())
            print(f"\n{part}: {used[part]:.1f} ms of processor time a run")
            print(f"  {'by the package at work':<38}by the folder of ours")
            for left, right in zip_longest(shares(packages), shares(parts), fillvalue=""):
                print(f"  {left:<38}{right}".rstrip())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
