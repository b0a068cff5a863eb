"""This version opens all data of earlier ones; see `tests/fixtures/data_ea2348d` and `data_e7baa4ed`."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.etcd import etcd_process
from tests.support.installation import SLUICE, Installation, copy_example, installation

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

FIXTURES = Path(__file__).parents[1] / "fixtures"
COMMITS = ("ea2348d", "e7baa4ed")
# Else they would be deleted 30 days after the fixture was made.
KEEP_LOGS = ("--log-retention", "0")
OVER = ("RUN_PHASE_FINISHED", "RUN_PHASE_SETUP_ERROR")


@dataclass(frozen=True)
class Old:
    """The folder of an installation with data of an earlier commit, and what that commit returned for it."""

    folder: Path
    expected: dict[str, Any]


@pytest.fixture(params=COMMITS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Old:
    fixture = FIXTURES / f"data_{request.param}"
    with tarfile.open(fixture / "data.tar.xz") as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # since Python 3.11.4
        archive.extractall(tmp_path / "data")
    return Old(tmp_path, json.loads((fixture / "expected.json").read_text()))


def runs_of(old: Old) -> list[dict[str, Any]]:
    """Return all runs with their tasks and logs, the newest first. One of them is in etcd only."""
    runs: list[dict[str, Any]] = old.expected["runs"]
    assert [each["isFlushed"] for each in runs] == [False] + 6 * [True]
    return runs


def assert_unchanged(here: Installation, old: Old, runs: list[dict[str, Any]]) -> None:
    """Runs, their tasks and logs are what the earlier version returned. This version may return more fields."""
    with here.http() as client:
        executors = client.get("/api/v1/executors").json()["executors"]
        assert [each["group"] for each in executors] == [each["group"] for each in old.expected["executors"]]
        for each in runs:
            run = each["run"]
            assert_contains(here.run(run["id"]), run, run["name"])
            tasks = client.get(f"/api/v1/runs/{run['id']}/tasks").json().get("tasks", [])
            assert_contains(tasks, each["tasks"], run["name"])
            for path, log in each["logs"].items():
                answer = client.get(f"/api/v1/runs/{run['id']}/tasks/{path}", headers={"Accept": "text/plain"})
                assert answer.content == log.encode("latin-1"), f"{path}: {answer.text}"


def ids_of_runs(here: Installation) -> list[str]:
    with here.http() as client:
        return [run["id"] for run in client.get("/api/v1/runs").json()["runs"]]


def assert_contains(found: Any, wanted: Any, where: str) -> None:
    if isinstance(wanted, dict):
        assert isinstance(found, dict), where
        for name, value in wanted.items():
            assert_contains(found.get(name), value, f"{where}.{name}")
    elif isinstance(wanted, list):
        assert isinstance(found, list), where
        assert len(found) == len(wanted), where
        for number, value in enumerate(wanted):
            assert_contains(found[number], value, f"{where}[{number}]")
    else:
        assert found == wanted, where


def assert_goes_on(here: Installation, runs: list[dict[str, Any]]) -> None:
    """What was waiting can be finished, new runs and a checkpoint can be made, and `db verify` finds nothing."""
    assert verified(here) == []
    *queued, waiting = (each["run"]["id"] for each in runs if each["run"]["phase"] not in OVER)
    here.sluice("run", "approve", waiting, "deploy")
    copy_example("small", here.repositories / "small")
    new = here.create(here.repositories / "small")
    for run_id in (waiting, *queued, new):
        assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS", here.sluice("run", "explain", run_id).stdout
    assert here.log(waiting, "deploy", 0) == b"deployed 30000\n"
    here.sluice("db", "checkpoint")
    assert verified(here) == []


def verified(here: Installation) -> list[Any]:
    found = json.loads(here.sluice("db", "verify", "-o", "json").stdout)
    return [*found["faults"], *found["notes"]]


def test_installation_opens_data_of_an_earlier_version(old: Old) -> None:
    runs, folder = runs_of(old), old.folder
    with installation(folder, *KEEP_LOGS) as here:
        assert ids_of_runs(here) == [each["run"]["id"] for each in runs]
        assert_unchanged(here, old, runs)
        assert_goes_on(here, runs)
    shutil.rmtree(folder / "data" / "server")
    with installation(folder, *KEEP_LOGS) as again:
        assert_unchanged(again, old, [each for each in runs if each["run"]["phase"] in OVER])


def test_earlier_data_are_recovered_from_object_storage(old: Old) -> None:
    folder = old.folder
    runs = [each for each in runs_of(old) if each["isFlushed"]]
    for lost in ("etcd", "server"):
        shutil.rmtree(folder / "data" / lost)
    with etcd_process(folder / "etcd") as etcd:
        stores = ("--etcd", etcd.endpoint, "--object-storage", f"posix:{folder / 'data' / 'objects'}")
        recover = [*SLUICE, "db", "recover", *stores, "--yes"]
        done = subprocess.run(recover, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        with installation(folder, "--etcd", etcd.endpoint, *KEEP_LOGS) as here:
            assert ids_of_runs(here) == [each["run"]["id"] for each in runs]
            assert_unchanged(here, old, runs)
            assert_goes_on(here, runs)
