"""What an operator does to the executor of a standalone installation, on real parts: drain, undrain, delete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import Installation, config, installation, make_repository, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

EXECUTOR = "executor-1"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("operated")) as running:
        make_repository(
            running.repositories / "app",
            {".sluice/config.json": config({"name": "ok", "steps": [{"run": "true"}]})},
        )
        yield running


def repository(here: Installation) -> Path:
    return here.repositories / "app"


def executors(here: Installation) -> list[dict[str, Any]]:
    with here.http() as client:
        listed: list[dict[str, Any]] = client.get("/api/v1/executors").json().get("executors", [])
    return listed


def act(here: Installation, method: str, path: str) -> None:
    with here.http() as client:
        answer = client.request(method, path, json={} if method == "POST" else None)
    assert answer.status_code == 204, answer.text


def test_drained_executor_stays_and_works_again_when_it_is_undrained(here: Installation) -> None:
    processes = here.state["processes"]["executors"]
    act(here, "POST", f"/api/v1/executors/{EXECUTOR}:drain")
    run_id = here.create(repository(here))
    here.wait_for(run_id, "RUN_PHASE_RUNNING")
    (shown,) = executors(here)
    assert (shown["online"], shown["draining"], shown["drained"]) == (True, True, True)
    assert here.run(run_id)["waiting"]["code"] == "WAITS_FOR_EXECUTOR"
    act(here, "POST", f"/api/v1/executors/{EXECUTOR}:undrain")
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
    assert here.state["processes"]["executors"] == processes


def test_deleted_executor_that_still_runs_comes_back_with_a_new_session(here: Installation) -> None:
    (before,) = executors(here)
    act(here, "DELETE", f"/api/v1/executors/{EXECUTOR}")

    def is_back() -> bool:
        return any(each.get("online") and each["sessionTime"] > before["sessionTime"] for each in executors(here))

    until(is_back, "the executor said hello again")
    run_id = here.create(repository(here))
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
