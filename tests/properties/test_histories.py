"""Random histories of several servers have no problems: those of the first seeds; `make chaos-db` runs ten thousand.

Needs no real etcd and no S3: the fakes keep the same promises (tests/contract).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sluiceway_server.datamanager.settings import DataManagerSettings
from tests.properties.execute import execute
from tests.properties.network import Chances
from tests.properties.plan import Plan, PlannedStep, draw_plan
from tests.properties.run import describe, fast_folder, run_plan, run_seed, shrunk
from tests.properties.workload import Transaction, Write

HISTORIES = 60
"""More are for `make chaos-db`, where a find holds nobody up: the same seeds find a new fault only after a change."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = fast_folder()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.timeout(600)
def test_random_histories_have_no_problems(folder: Path) -> None:
    for seed in range(1, HISTORIES + 1):
        failure = run_seed(seed, folder)
        if failure is not None:
            pytest.fail(describe(shrunk(failure, folder)))


def test_history_is_determined_by_its_seed(folder: Path) -> None:
    for seed in range(1, 6):
        plan = draw_plan(seed)
        one, other = execute(plan, folder / "one"), execute(plan, folder / "other")
        assert [entry.digest for entry in one.entries] == [entry.digest for entry in other.entries]
        assert one.moment == other.moment
        assert [(attempt.outcome, attempt.position) for attempt in one.attempts] == [
            (attempt.outcome, attempt.position) for attempt in other.attempts
        ]


@pytest.mark.parametrize("seed", range(5))
def test_servers_agree_after_etcd_went_back_by_one_entry(seed: int, folder: Path) -> None:
    """Etcd goes back by one entry, as a restored machine does, and a server that had not seen that entry writes on.

    The other server has seen it. It was away meanwhile, and writes as soon as it is back.
    """

    def add(id_: str) -> dict[str, Any]:
        return {"transaction": Transaction(writes=(Write("add", id=id_),))}

    settings = DataManagerSettings(
        etcd_name="the simulated etcd", flush_interval=timedelta(seconds=8), etcd_timeout=timedelta(seconds=1)
    )
    steps = (
        PlannedStep("transact", 0.3, 0, add("a")),
        PlannedStep("transact", 0.1, 1, add("b")),
        PlannedStep("snapshot", 0.1),
        PlannedStep("cut_off", 0.0, 1, {"seconds": 1.0}),
        PlannedStep("transact", 0.05, 0, add("c")),
        PlannedStep("cut_off", 0.1, 0, {"seconds": 4.0}),
        PlannedStep("loss", 0.1, -1, {"how": "restored", "cluster": "same", "recover_after": 30.0}),
        PlannedStep("transact", 1.5, 1, add("d")),
        *(PlannedStep("transact", 2.0 + seed / 5 if number == 0 else 0.01, 0, add("e")) for number in range(6)),
        PlannedStep("wait", 3.0),
    )
    assert run_plan(Plan(seed, 2, False, settings, Chances(), steps), folder) == ()
