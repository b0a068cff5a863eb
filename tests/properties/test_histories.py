"""Random histories of several servers are right: a slice in bounded time. `make chaos-db` runs ten thousand.

Needs no real etcd and no S3: the fakes keep the same promises (tests/contract). Kept failures come first; then the
histories of the first seeds begin, as long as there is time: the same ones each time, as many as the machine can.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.properties.plan import draw_plan
from tests.properties.regressions import REGRESSIONS
from tests.properties.run import describe, fast_folder, run_plan, run_seed, shrunk
from tests.properties.world import happen

SECONDS = float(os.environ.get("SLUICE_HISTORIES_SECONDS", "40"))
FEWEST = 20
"""So many happen, however slow the machine is."""
MOST = 500
"""And no more than so many, however fast it is: what is beyond is for `make chaos-db`, where a find holds nobody up."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = fast_folder()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.parametrize("name", REGRESSIONS)
def test_a_history_that_failed_once_is_right(name: str, folder: Path) -> None:
    assert run_plan(REGRESSIONS[name], folder) == ()


@pytest.mark.timeout(600)
def test_random_histories_are_right(folder: Path) -> None:
    ends = time.monotonic() + SECONDS
    number = 0
    while number < FEWEST or (number < MOST and time.monotonic() < ends):
        number += 1
        failure = run_seed(number, folder)
        if failure is not None:
            pytest.fail(describe(shrunk(failure, folder)))
    print(f"{number} histories")


def test_one_seed_gives_one_history(folder: Path) -> None:
    for seed in range(1, 6):
        plan = draw_plan(seed)
        one, other = happen(plan, folder / "one"), happen(plan, folder / "other")
        assert [entry.digest for entry in one.entries] == [entry.digest for entry in other.entries]
        assert one.moment == other.moment
        assert [(attempt.outcome, attempt.position) for attempt in one.attempts] == [
            (attempt.outcome, attempt.position) for attempt in other.attempts
        ]
