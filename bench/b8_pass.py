"""B8: one scheduling pass over 2,000 tasks (goal 20 ms), and after one task's update (goal 1 ms).

    python -m bench.b8_pass [--repeat N]

The graph is layered: each task has up to three parents of the level above, in ten levels. Three passes are measured:

- *full*: the first pass of a run whose roots' `when` did not match, over a state that remembers nothing: each task is
  looked at, and each is skipped, level by level.
- *start*: the first pass of a run that can start: each task is looked at, the roots become runnable.
- *update*: half of the run is done, one more task ends; the update and its pass, from one stored state to the next.

Times are medians. The ratio is to a changed copy of each of the 2,000 tasks, which a full pass cannot do without; what
limits it are the decisions in Python, a few microseconds for each task. The exponent is the slope of log(time) over
log(tasks) between the smallest and the largest size.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice

from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway_common.runmodel import creation, requests, rules, updates
from sluiceway_common.runmodel.definitions import DependsOn, TaskDefinition
from sluiceway_common.runmodel.model import AssignmentPhase
from sluiceway_common.runmodel.state import RunState, fast_replace
from sluiceway_server.runrecords.steps import EncodedSteps

SIZES = (500, 1000, 2000)
LEVELS = 10
GOALS = {"full": 20.0, "start": 20.0, "update": 1.0}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = EncodedSteps.of_definitions(definition_api.StepDefinition(name=name) for name in ("clone", "build", "test"))


def layered(size: int, *, skip_roots: bool) -> RunState:
    rng, width = random.Random(size), size // LEVELS
    tasks = []
    for index in range(size):
        level = index // width
        above = rng.sample(range((level - 1) * width, level * width), min(3, width)) if level else []
        tasks.append(
            TaskDefinition(
                name=f"t{index:05}",
                depends=tuple(DependsOn(f"t{parent:05}") for parent in above),
                skip=skip_roots and not above,
                steps=STEPS,
            )
        )
    created = creation.create(
        creation.CreationRequest(
            id="run",
            number=1,
            name="b8",
            group="/project/p",
            tasks=tuple(tasks),
            task_ids=[f"id-{t.name}" for t in tasks],
            now=NOW,
        )
    )
    return RunState.of(created.run, created.tasks)


def first_pass(size: int, *, skip_roots: bool) -> Callable[[], float]:
    change = requests.start_run(layered(size, skip_roots=skip_roots), NOW)

    def once() -> float:
        began = time.perf_counter()
        after = rules.settle(change, NOW)
        took = time.perf_counter() - began
        assert after.frees_group is skip_roots
        return took

    return once


def one_update(size: int) -> Callable[[], float]:
    after = rules.settle(requests.start_run(layered(size, skip_roots=False), NOW), NOW)
    state = next(islice(_work(after), size, None)).state
    live = next(iter(state.assignments.values()))
    told = updates.Report(live.id, live.epoch, live.session, AssignmentPhase.SUCCESS)

    def once() -> float:
        began = time.perf_counter()
        settled = rules.settle(updates.report(state, live, told, NOW).change, NOW)
        took = time.perf_counter() - began
        assert settled.tasks
        return took

    return once


def _work(after: rules.Advanced) -> Iterator[rules.Advanced]:
    """Assign and end tasks, always with 16 in flight: two steps for each task."""
    number = 0
    while after.runnable or after.state.assignments:
        state = after.state
        if after.runnable and len(state.assignments) < 16:
            number += 1
            change = updates.assign(
                state,
                after.runnable[0],
                assignment_id=f"a{number:05}",
                executor="e",
                session="s",
                database_epoch=1,
                now=NOW,
            )
        else:
            live = next(iter(state.assignments.values()))
            told = updates.Report(live.id, live.epoch, live.session, AssignmentPhase.SUCCESS)
            change = updates.report(state, live, told, NOW).change
        after = rules.settle(change, NOW)
        yield after


def copies(size: int) -> Callable[[], float]:
    """Return a function that makes a changed copy of each task of a run, and measures it: the unit of the ratios."""
    tasks = list(layered(size, skip_roots=False).tasks.values())

    def once() -> float:
        began = time.perf_counter()
        for task in tasks:
            fast_replace(task, runnable_since=NOW)
        return time.perf_counter() - began

    return once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=30)
    repeat = parser.parse_args().repeat
    measured: dict[str, dict[int, float]] = {name: {} for name in GOALS}
    copied = copies(SIZES[-1])
    for size in SIZES:
        for name, once in (
            ("full", first_pass(size, skip_roots=True)),
            ("start", first_pass(size, skip_roots=False)),
            ("update", one_update(size)),
        ):
            measured[name][size] = 1000 * statistics.median(once() for _ in range(repeat))
    unit = 1000 * statistics.median(copied() for _ in range(repeat))
    print("B8: one scheduling pass, milliseconds (median); ratio: to a copy of each of the largest size's tasks")
    print(
        f"{'pass':<8}" + "".join(f"{size:>10}" for size in SIZES) + f"{'ratio':>8}{'exponent':>10}{'goal':>8}{'met':>6}"
    )
    for name, times in measured.items():
        exponent = math.log(times[SIZES[-1]] / times[SIZES[0]]) / math.log(SIZES[-1] / SIZES[0])
        met = "yes" if times[SIZES[-1]] <= GOALS[name] else "no"
        row = "".join(f"{times[size]:>10.3f}" for size in SIZES)
        print(f"{name:<8}{row}{times[SIZES[-1]] / unit:>8.2f}{exponent:>10.2f}{GOALS[name]:>8.0f}{met:>6}")


if __name__ == "__main__":
    main()
