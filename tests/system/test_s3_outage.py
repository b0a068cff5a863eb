"""`sluice standalone` with its objects on a real S3 server that is killed while runs run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.installation import config, installation, make_repository, until
from tests.support.s3_servers import OWNER, Seaweed, started

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

PATIENCE = 180.0
TICKS = "env; i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); sleep 0.1; done"
TICKED = b"".join(b"line %d\n" % i for i in range(100))


def test_runs_continue_after_the_s3_server_is_killed(tmp_path: Path, s3_owner: None) -> None:
    secret = OWNER["AWS_SECRET_ACCESS_KEY"].encode()
    with started(Seaweed(tmp_path / "s3")) as storage:
        url = storage.url()
        with installation(tmp_path / "here", "--object-storage", url) as here:
            for name, script in (("ticks", TICKS), ("echo", "echo said")):
                files = {".sluice/config.json": config({"name": "task", "steps": [{"run": script}]})}
                make_repository(here.repositories / name, files)
            running = here.create(here.repositories / "ticks")
            until(lambda: b"line 3\n" in here.log(running, "task", 0), "it prints", seconds=PATIENCE)

            storage.kill()
            # What is committed is in etcd; the objects follow when they can.
            meanwhile = here.create(here.repositories / "echo")
            assert here.run(meanwhile)["id"] == meanwhile
            until(lambda: b"line 60\n" in here.log(running, "task", 0), "it goes on printing", seconds=PATIENCE)
            storage.start()

            for run_id in (running, meanwhile):
                assert here.wait_for(run_id, seconds=PATIENCE)["result"] == "RUN_RESULT_SUCCESS"
            log = here.log(running, "task", 0)
            assert log.endswith(TICKED)
            environment = log.removesuffix(TICKED)
            assert b"PATH=" in environment
            assert b"AWS_" not in environment
            assert here.log(meanwhile, "task", 0) == b"said\n"
            assert here.sluice("db", "checkpoint").returncode == 0
            assert json.loads(here.sluice("db", "verify", "-o", "json").stdout)["faults"] == []

            processes = here.state["processes"]
            assert secret in Path(f"/proc/{processes['server']}/environ").read_bytes()
            for pid in (processes["gateway"], *processes["executors"]):
                assert b"AWS_" not in Path(f"/proc/{pid}/environ").read_bytes()
            told = {path.name: path.read_bytes() for path in (here.data / "logs").iterdir()}
            assert told["server.log"]
            assert [name for name, text in told.items() if secret in text] == []
        with installation(tmp_path / "here", "--object-storage", url) as again:
            assert again.log(running, "task", 0) == log
