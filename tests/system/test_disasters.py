"""An installation of three servers whose etcd is lost or set back, with real processes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.etcd import etcd_process
from tests.support.installation import SLUICE, until
from tests.support.ports import free_ports
from tests.support.several_servers import Process, Servers, online, several_servers

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

COUNT = 3
PATIENCE = 180.0
TICKS = "i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); sleep 0.2; done"
TICKED = b"".join(b"line %d\n" % i for i in range(100))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with several_servers(tmp_path_factory.mktemp("disasters"), count=COUNT) as running:
        yield running


@pytest.fixture(autouse=True)
def all_is_well(here: Servers) -> None:
    """Start each test with everything up."""
    for process in (here.etcd, *here.servers, *here.gateways, *here.executors):
        if process.running is None:
            process.start()
    all_ready(here)


def all_ready(here: Servers) -> None:
    for number in range(COUNT):
        until(partial(here.is_ready, number), f"server {number} is ready", seconds=PATIENCE)
    until(lambda: len(online(here)) == COUNT, "the executors are online", seconds=PATIENCE)


def status_of(here: Servers, server: int = 0) -> dict[str, Any]:
    status: dict[str, Any] = here.get("/api/v1/database:status", server)
    return status


def has_grown(here: Servers, epoch: int) -> bool:
    try:
        return int(status_of(here)["epoch"]) > epoch
    except (AssertionError, httpx.TransportError):
        return False  # it has no database at the moment


def start_ticking(here: Servers, group: str) -> list[str]:
    """Start a run through each server, and wait until each has printed something."""
    runs = [here.create({"name": "ticks", "steps": [{"run": TICKS}]}, server=n, group=group + str(n)) for n in range(3)]
    for run_id in runs:
        until(lambda run_id=run_id: here.log(run_id, "ticks"), f"{run_id} counts", seconds=PATIENCE)  # type: ignore[misc]  # mypy does not infer the default
    return runs


def assert_all_is_there(here: Servers, running: list[str], before: set[str]) -> None:
    """Check that every acknowledged run exists, and that running ones end normally."""
    for run_id in running:
        assert here.wait_for(run_id, seconds=PATIENCE)["result"] == "RUN_RESULT_SUCCESS"
        for server in range(COUNT):
            (task,) = here.tasks(run_id, server).values()
            assert (task["status"], task["attempt"]) == ("TASK_STATUS_SUCCESS", 1)
        assert here.log(run_id, "ticks") == TICKED
    for server in range(COUNT):
        assert before <= {run["id"] for run in here.get("/api/v1/runs", server, pageSize=1000)["runs"]}
    found = here.db("verify", "-o", "json")
    assert found.returncode == 0
    assert json.loads(found.stdout)["faults"] == []


def all_runs(here: Servers) -> set[str]:
    return {run["id"] for run in here.get("/api/v1/runs", pageSize=1000)["runs"]}


def is_refused_with(here: Servers, number: int, reason: str) -> bool:
    details = here.refusal(number).get("details", [])
    return any(detail.get("reason") == reason for detail in details)


def test_wiped_etcd_is_recovered_with_all_acknowledged_data(here: Servers) -> None:
    epoch = int(status_of(here)["epoch"])
    running = start_ticking(here, "/user/me/wiped")
    ended = here.create({"name": "a", "steps": [{"run": "true"}]}, server=1, group="/user/me/ended")
    here.wait_for(ended, server=1)
    # The last thing before the loss; acknowledged, and perhaps in etcd only.
    last = here.create({"name": "a", "approval": True, "steps": [{"run": "true"}]}, server=2, group="/user/me/last")
    before = all_runs(here)
    here.wipe_etcd()
    for number in range(COUNT):
        until(partial(is_refused_with, here, number, "ETCD_EMPTY"), f"server {number} says why", seconds=PATIENCE)
        assert not here.is_ready(number)
        message = here.refusal(number)["message"]
        assert re.search(rf"etcd at {here.etcd_endpoint} is empty, storage holds epoch {epoch}, last written", message)
        assert "sluice db recover" in message
    # A server that is started now stays up too.
    here.servers[1].kill()
    here.servers[1].start()
    until(partial(is_refused_with, here, 1, "ETCD_EMPTY"), "a new process says it too", seconds=PATIENCE)
    done = here.db("recover", "--yes")
    assert done.returncode == 0
    assert f"epoch {epoch + 1}" in done.stdout
    all_ready(here)
    assert int(status_of(here)["epoch"]) == epoch + 1
    assert_all_is_there(here, running, before)
    assert here.run(last)["phase"] == "RUN_PHASE_RUNNING"
    said = [event for event in here.log_of(here.servers[0]) if event["event"] == "server_not_ready"]
    assert sum(event["reason"] == "ETCD_EMPTY" for event in said) == 1, "it is said once"


def test_servers_recover_an_etcd_that_was_set_back(here: Servers) -> None:
    epoch = int(status_of(here)["epoch"])
    here.create({"name": "a", "steps": [{"run": "true"}]}, group="/user/me/before-copy")
    here.copy_etcd()
    all_ready(here)
    running = start_ticking(here, "/user/me/back")
    before = all_runs(here)
    here.set_back_etcd()
    until(lambda: has_grown(here, epoch), "the epoch has grown", seconds=PATIENCE)
    all_ready(here)
    assert_all_is_there(here, running, before)
    for server in range(COUNT):
        assert status_of(here, server).get("findings", []) == []


def test_server_with_a_wrong_etcd_does_not_fork_the_database(here: Servers, tmp_path: Path) -> None:
    before = status_of(here)
    grpc, http = (f"127.0.0.1:{port}" for port in free_ports(2))
    with etcd_process(tmp_path / "etcd") as other:
        command = ["server", "--data-dir", str(tmp_path / "data"), "--etcd", other.endpoint, "--grpc", grpc]
        server = Process("x", [*SLUICE, *command, "--object-storage", here.storage], tmp_path / "server.log")
        gateway = Process("y", [*SLUICE, "gateway", "--http", http, "--server", grpc], tmp_path / "gateway.log")
        server.start()
        gateway.start()
        here.http.append(http)
        try:
            until(partial(is_refused_with, here, COUNT, "ETCD_EMPTY"), "it says why", seconds=PATIENCE)
            assert f"etcd at {other.endpoint} is empty" in here.refusal(COUNT)["message"]
            assert not here.is_ready(COUNT)
            assert server.running is not None
            assert server.running.poll() is None
            # And nobody recovers by mistake what is being written.
            with ThreadPoolExecutor(1) as aside:
                recovering = aside.submit(here.db, "recover", "--yes", etcd=other.endpoint)
                while not recovering.done():
                    here.create({"name": "a", "steps": [{"run": "true"}]}, group="/user/me/meanwhile")
            refused = recovering.result()
            assert refused.returncode == 1
            assert "the object storage is in use" in refused.stderr
        finally:
            here.http.pop()
            gateway.end()
            assert server.end() == 0
    after = status_of(here)
    assert (after["epoch"], after["databaseId"]) == (before["epoch"], before["databaseId"])


def test_missing_segment_stops_a_recovery(here: Servers) -> None:
    wal = here.folder / "storage" / "sluiceway+" / "wal+"

    def stored() -> set[str]:
        return {path.name for path in wal.iterdir()} if wal.exists() else set()

    for n in range(5):
        known = stored()
        run_id = here.create({"name": "a", "steps": [{"run": "true"}]}, group=f"/user/me/gap-{n}")
        here.wait_for(run_id)
        if n < 4:
            until(lambda known=known: stored() - known, "a segment is stored", seconds=PATIENCE)  # type: ignore[misc]  # mypy does not infer the default
    before = all_runs(here)
    for process in here.servers:
        process.kill()
    here.wipe_etcd()
    status = json.loads(here.db("status", "-o", "json").stdout)
    manifest = status.get("newestManifest", {}).get("sequence", "")
    segments = sorted(path for path in wal.iterdir() if path.name > manifest)
    assert len(segments) > 3
    hidden = segments[1].rename(here.folder / "hidden-segment")
    # What was acknowledged last may be in the read database of a server only: it is saved when that one starts.
    for process in here.servers:
        process.start()
    for number in range(COUNT):
        until(partial(is_refused_with, here, number, "ETCD_EMPTY"), f"server {number} says why", seconds=PATIENCE)
    done = here.db("recover", "--yes", "--force")
    assert done.returncode == 1
    assert segments[0].name in done.stderr
    assert segments[2].name in done.stderr
    assert "Restore the missing" in done.stderr
    hidden.rename(segments[1])
    assert here.db("recover", "--yes", "--force").returncode == 0
    all_ready(here)
    assert before <= all_runs(here)
