"""Retention with real processes: old runs and logs go from the API and from the object storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.installation import Installation, config, installation, make_repository, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def objects_of(here: Installation, run_id: str) -> list[Path]:
    return [path for path in (here.data / "objects").rglob("*") if path.is_file() and run_id in str(path)]


def response_json(here: Installation, path: str) -> tuple[int, Any]:
    with here.http() as client:
        answer = client.get(path)
    return answer.status_code, answer.json() if answer.status_code >= 400 else None


def reason_of(here: Installation, path: str) -> str | None:
    """Return the reason of the error that a request gets; None if it gets none."""
    try:
        status, body = response_json(here, path)
    except httpx.RemoteProtocolError:
        return None  # the log was deleted while it was sent
    return None if status < 400 else body["error"]["details"][0]["reason"]


def test_retention_deletes_old_logs_then_old_runs(tmp_path: Path) -> None:
    repository = tmp_path / "repositories" / "app"
    make_repository(
        repository,
        {
            ".sluice/config.json": config(
                {"name": "build", "steps": [{"run": "echo built"}]},
                {"name": "deploy", "steps": [{"run": "echo deployed"}], "depends": ["build"], "approval": True},
            )
        },
    )
    # Longer than it takes to read a log after its run.
    with installation(tmp_path, "--log-retention", "5s") as here:
        old, waiting = (here.create(repository, "--group", f"/user/admin/{name}") for name in ("old", "waiting"))
        until(lambda: "endTime" in here.tasks(old)["build"], "the task is over")
        until(lambda: "endTime" in here.tasks(waiting)["build"], "the other task is over")
        assert here.log(old, "build", 0) == b"built\n"
        here.sluice("run", "stop", old)
        here.wait_for(old)
        log = f"/api/v1/runs/{old}/tasks/{here.tasks(old)['build']['id']}/log?step=0"
        assert objects_of(here, old)
        until(lambda: reason_of(here, log) == "LOG_DELETED", "the log is deleted")
        until(lambda: not objects_of(here, old), "the objects of the log are deleted")
        assert here.run(old)["phase"] == "RUN_PHASE_FINISHED"
        assert here.log(waiting, "build", 0) == b"built\n"
        assert here.stop() == 0
    with installation(tmp_path, "--log-retention", "5s", "--run-retention", "1s") as here:
        until(lambda: response_json(here, f"/api/v1/runs/{old}")[0] == 404, "the run is deleted")
        for path in (f"/api/v1/runs/{old}/tasks", f"/api/v1/runs/{old}:watch", log):
            assert response_json(here, path)[0] == 404, path
        refused = here.sluice("run", "get", old, check=False)
        assert (refused.returncode, "there is no run" in refused.stderr) == (1, True)
        with here.http() as client:
            assert [run["id"] for run in client.get("/api/v1/runs").json()["runs"]] == [waiting]
        assert here.log(waiting, "build", 0) == b"built\n"
        # Numbers are not given again.
        assert here.run(here.create(repository, "--group", "/user/admin/new"))["number"] == "3"
        assert "no faults" in here.sluice("db", "verify").stdout


KEEPER = {
    "name": "build",
    "steps": [
        {"run": "echo built | tee out.txt"},
        {"save_artifacts": {"name": "out", "paths": ["out.txt"]}},
        {"save_cache": {"key": "deps", "contents": [{"paths": ["out.txt"]}]}},
    ],
}


def test_projects_keep_things_shorter_or_longer(tmp_path: Path) -> None:
    repository = tmp_path / "repositories" / "app"
    make_repository(repository, {".sluice/config.json": config(KEEPER)})
    with installation(tmp_path, "--log-retention", "45s") as here:
        ids = {}
        for name in ("short", "long"):
            here.sluice("project", "create", f"user/admin/{name}")
            with here.http() as client:
                ids[name] = client.get(f"/api/v1/projects/user%2Fadmin%2F{name}").json()["id"]
        update = ("project", "update", "user/admin/short", "--artifact-retention", "2s", "--cache-retention", "2s")
        here.sluice(*update, "--log-retention", "5s")
        here.sluice("project", "update", "user/admin/long", "--log-retention", "1h")
        shown = here.sluice("project", "get", "user/admin/short").stdout
        assert "logs 5s (set here), artifacts 2s (set here), caches 2s (set here), runs for ever" in shown

        def run_in(name: str) -> str:
            run_id = here.create(repository, "--group", f"/project/{ids[name]}/branch/main")
            here.wait_for(run_id)
            assert here.tasks(run_id)["build"]["status"] == "TASK_STATUS_SUCCESS"
            return run_id

        def caches() -> int:
            return len(
                [path for path in (here.data / "objects").rglob("*") if path.is_file() and "/caches+/" in str(path)]
            )

        long, plain = run_in("long"), here.create(repository)
        here.wait_for(plain)
        kept = caches()
        assert kept == 2
        short = run_in("short")
        # Its artifact, its cache and its log go; the default and the longer time still hold for the others.
        until(lambda: not objects_of(here, short) and caches() == kept, "all of the run of `short` is deleted")
        task = here.tasks(short)["build"]["id"]
        assert reason_of(here, f"/api/v1/runs/{short}/tasks/{task}/log?step=0") == "LOG_DELETED"
        # Deleted by the time of its project, and not by that of the installation, which is older here.
        assert any("/logs+/" in str(each) for each in objects_of(here, plain))
        until(lambda: all("/artifacts+/" in str(each) for each in objects_of(here, plain)), "the default has passed")
        assert objects_of(here, plain)
        assert here.log(long, "build", 0) == b"built\n"
        # The times of runs take all that is left with them.
        here.sluice("project", "update", "user/admin/long", "--run-retention", "1s")
        until(lambda: response_json(here, f"/api/v1/runs/{long}")[0] == 404, "the run is deleted")
        until(lambda: not objects_of(here, long), "its log and its artifact are deleted")
        assert "no faults" in here.sluice("db", "verify").stdout
