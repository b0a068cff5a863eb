"""`sluice standalone` whose own etcd is lost, and a pipeline with the objects on an S3 server."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.installation import Installation, config, installation, make_repository

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def run_of(here: Installation, name: str, script: str) -> str:
    path = here.repositories / name
    make_repository(path, {".sluice/config.json": config({"name": "task", "steps": [{"run": script}]})})
    run_id = here.create(path)
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
    return run_id


def epoch_of(here: Installation) -> int:
    return int(json.loads(here.sluice("db", "status", "-o", "json").stdout)["epoch"])


def test_standalone_recovers_its_embedded_etcd_at_its_start(tmp_path: Path) -> None:
    with installation(tmp_path) as first:
        run_id = run_of(first, "before", "echo before")
        # As by a power cut: what is flushed, or in the server's own read database, is all that there is.
        first.process.kill()
        first.process.wait()
    shutil.rmtree(tmp_path / "data" / "etcd")
    with installation(tmp_path) as second:
        assert epoch_of(second) == 2
        assert second.run(run_id)["result"] == "RUN_RESULT_SUCCESS"
        assert second.log(run_id, "task", 0) == b"before\n"
        after = run_of(second, "after", "echo after")
        assert int(second.run(after)["number"]) == int(second.run(run_id)["number"]) + 1
        # Nobody is asked anything: the tokens are those of before.
        assert second.sluice("db", "verify").returncode == 0


def test_pipeline_runs_with_objects_on_an_s3_server(tmp_path: Path, s3_url: str) -> None:
    with installation(tmp_path, "--object-storage", s3_url) as here:
        run_id = run_of(here, "on-s3", "seq 1 200000")
        assert here.log(run_id, "task", 0) == b"".join(b"%d\n" % n for n in range(1, 200001))
        assert here.sluice("db", "checkpoint").returncode == 0
        found = json.loads(here.sluice("db", "verify", "-o", "json").stdout)
        assert (found["faults"], found["objects"] > 3) == ([], True)
        exported = tmp_path / "export"
        here.sluice("db", "export", str(exported))
        with here.http(Accept="text/plain") as client:
            answer = client.post("/api/v1/database:export", json={})
        assert answer.status_code == 200
        assert answer.content[:5] == exported.read_bytes()[:5] == b"SLEXP"
    with installation(tmp_path, "--object-storage", s3_url) as again:
        assert again.run(run_id)["result"] == "RUN_RESULT_SUCCESS"
