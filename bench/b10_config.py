"""B10: rendering a jsonnet matrix of 100 runs, child process included; checking 2,000 tasks (quality.md).

The rendering is a ratio against the bare start of a Python process, measured in turns with it; the checking against
the standard library reading the same JSON. `python -m bench.b10_config [SCALE]` from the root prints the table.
"""

from __future__ import annotations

import asyncio
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from sluiceway_common.runconfig.compile import load_source
from sluiceway_common.runconfig.evaluation import evaluate
from sluiceway_common.runconfig.files import MappingFiles
from sluiceway_common.runconfig.when import Context

CONTEXT = Context(ref_type="branch", ref="refs/heads/main", branch="main")
NOTHING = MappingFiles({})
REPEATS = 7


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure: median milliseconds, and how often the thing beside it fits into them."""

    figure: str
    size: int
    milliseconds: float
    against: str
    ratio: float
    goal_milliseconds: float | None


def matrix(runs: int, *, formatted: bool) -> str:
    """Write a jsonnet matrix of `runs` runs with five tasks each.

    Names are joined by `+`, or made by `%`: jsonnet's `std.format` is itself written in jsonnet, and takes about a
    millisecond a call.
    """
    run, part = ("'run %d' % number", "'test %d' % part") if formatted else ("'run ' + number", "'test ' + part")
    return f"""
        local task(name, depends) = {{
          name: name, depends: depends,
          runtime: {{ arch: 'amd64', containers: [{{ image: 'host' }}] }},
          environment: {{ CI_PART: name }},
          steps: [{{ clone: {{}} }}, {{ run: {{ name: name, command: 'make ' + name }} }}],
        }};
        function(ctx) {{
          runs: [
            {{
              name: {run},
              tasks: [task('build', [])]
                     + [task({part}, ['build']) for part in std.range(1, 3)]
                     + [task('publish', [{part} for part in std.range(1, 3)])],
            }}
            for number in std.range(1, {runs})
          ],
        }}
    """


def tasks(count: int) -> bytes:
    """Write a run of `count` tasks in layers of ten, each below three of the layer before, as JSON."""
    runtime = {"containers": [{"image": "host"}]}
    made = []
    for number in range(count):
        layer = number - number % 10
        parents = sorted({layer - 10 + (number + step) % 10 for step in (0, 3, 7)}) if layer else []
        made.append(
            {
                "name": f"task {number}",
                "runtime": runtime,
                "environment": {"PART": str(number)},
                "steps": [{"clone": {}}, {"run": {"name": "make", "command": f"make part-{number}"}}],
                "depends": [f"task {p}" for p in parents],
            }
        )
    return json.dumps({"runs": [{"name": "large", "tasks": made}]}).encode()


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def _compare(work: Callable[[], object], beside: Callable[[], object]) -> tuple[float, float]:
    """Measure both in turns, so that load on the machine affects both; return the medians."""
    work()
    beside()
    pairs = [(_timed(work), _timed(beside)) for _ in range(REPEATS)]
    return statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)


def _render(runs: int) -> Row:
    row = _render_matrix(runs, formatted=False)
    return replace(row, goal_milliseconds=300.0 if runs == 100 else None)


def _render_formatted(runs: int) -> Row:
    row = replace(_render_matrix(runs, formatted=True), figure="the same, names made by `%`")
    return replace(row, goal_milliseconds=300.0 if runs == 100 else None)


def _render_matrix(runs: int, *, formatted: bool) -> Row:
    text = matrix(runs, formatted=formatted)
    mine, bare = _compare(
        lambda: evaluate(".sluice/config.jsonnet", text, NOTHING, CONTEXT),
        lambda: subprocess.run([sys.executable, "-I", "-c", "pass"], check=True),
    )
    return Row("render a jsonnet matrix of runs", runs, mine, "a bare `python -I -c pass`", mine / bare, None)


def _check(count: int) -> Row:
    source = tasks(count)

    def work() -> None:
        loaded = load_source("config.json", source, NOTHING, CONTEXT)
        if loaded.errors or loaded.warnings:
            raise RuntimeError(f"the benchmark's own configuration has faults: {(*loaded.errors, *loaded.warnings)[0]}")

    mine, bare = _compare(work, lambda: json.loads(source))
    return Row("check tasks", count, mine, "`json.loads` of it", mine / bare, 500.0 if count == 2000 else None)


async def measure(scale: float = 1.0) -> list[Row]:
    """Measure at the stated sizes times `scale`, and at half and a quarter of them."""
    rows: list[Row] = []
    for make, stated in ((_render, 100), (_render_formatted, 100), (_check, 2000)):
        for part in (0.25, 0.5, 1.0):
            size = max(1, round(stated * part * min(scale, 1.0)))
            rows.append(await asyncio.to_thread(make, size))
    return rows


def exponent(rows: list[Row]) -> float:
    """Return how cost grows from the smallest to the largest size: 1 is linear."""
    first, last = rows[0], rows[-1]
    if last.size == first.size:
        return 0.0
    return math.log(last.milliseconds / first.milliseconds) / math.log(last.size / first.size)


def main() -> None:
    """Print the table; exit code 1 when a goal is missed."""
    rows = asyncio.run(measure(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))
    print(f"{'B10':34} {'size':>6} {'median':>10} {'goal':>8}  ratio")
    for row in rows:
        goal = f"{row.goal_milliseconds:.0f} ms" if row.goal_milliseconds else "-"
        print(f"{row.figure:34} {row.size:6} {row.milliseconds:7.1f} ms {goal:>8}  {row.ratio:.1f} x {row.against}")
    for figure in dict.fromkeys(row.figure for row in rows):
        print(
            f"{figure}: cost grows with the power {exponent([r for r in rows if r.figure == figure]):.2f} of the size"
        )
    missed = [r for r in rows if r.goal_milliseconds and r.milliseconds > r.goal_milliseconds]
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
