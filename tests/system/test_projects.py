"""Users, an organization and its projects through the command line and the gateway, with runs, until all is deleted."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Collection, Iterator
from contextlib import closing

import httpx
import pytest

from sluiceway_server.objectstorage.layout import FOLDERS, Owner
from tests.support.installation import (
    Installation,
    config,
    gateway_client,
    installation,
    make_repository,
    run_sluice,
    sentence_of,
    until,
)
from tests.support.places import files_below, readable

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("projects")) as running:
        make_repository(
            running.repositories / "app",
            {".sluice/config.json": config({"name": "long", "steps": [{"run": "sleep 1000"}]})},
        )
        yield running


class Person:
    """A user of the installation, at the command line and at the gateway."""

    def __init__(self, here: Installation, name: str) -> None:
        self._here = here
        here.sluice("user", "create", name)
        self.token = here.sluice("user", "create-token", name, "test").stdout.strip()

    def sluice(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = run_sluice(*arguments, seconds=120, SLUICE_SERVER=self._here.state["grpc"], SLUICE_TOKEN=self.token)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def http(self) -> httpx.Client:
        return gateway_client(self._here.state["http"], self.token, {})


def test_tree_rights_and_runs_through_command_line_and_gateway(here: Installation) -> None:
    alice, bob = Person(here, "alice"), Person(here, "bob")
    alice.sluice("org", "create", "acme")
    alice.sluice("group", "create", "org/acme/backend")
    made = alice.sluice("project", "create", "org/acme/backend/api", "-o", "json")
    project = json.loads(made.stdout)
    assert project["path"] == "org/acme/backend/api"

    # A path is one segment of a URL when its slashes are escaped.
    with alice.http() as client:
        shown = client.get("/api/v1/projects/org%2Facme%2Fbackend%2Fapi")
        assert (shown.status_code, shown.json()["id"]) == (200, project["id"])
        assert client.get(f"/api/v1/projects/{project['id']}").json() == shown.json()
        another = client.post("/api/v1/projects", json={"project": {"name": "api", "parentId": "org/acme/backend"}})
        assert another.status_code == 409

    group = f"/project/{project['id']}/branch/main"
    create = ("run", "create", "--repo", str(here.repositories / "app"), "--group", group, "-o", "name")
    run_id = alice.sluice(*create).stdout.split()[0]
    here.wait_for(run_id, "RUN_PHASE_RUNNING")

    # Nobody else sees any of it.
    refused = bob.sluice("project", "get", "org/acme/backend/api", code=1)
    assert sentence_of(refused) == "there is no project 'org/acme/backend/api'"
    assert bob.sluice("project", "list", "--jq", ".[].path").stdout == ""
    assert bob.sluice("run", "list", "--jq", ".[].id").stdout == ""
    bob.sluice(*create, code=1)
    with bob.http() as client:
        for path in (f"/api/v1/runs/{run_id}", f"/api/v1/runs/{run_id}/tasks", f"/api/v1/projects/{project['id']}"):
            assert client.get(path).status_code == 404
        assert client.post(f"/api/v1/runs/{run_id}:stop", json={}).status_code == 404
        assert client.post("/api/v1/users", json={"user": {"name": "eve"}}).status_code == 403

    # A reader sees it, and changes nothing.
    alice.sluice("org", "set-member", "acme", "bob", "--role", "reader")
    assert bob.sluice("project", "list", "--jq", ".[].path").stdout == "org/acme/backend/api\n"
    assert bob.sluice("run", "list", "--jq", ".[].id").stdout == f"{run_id}\n"
    with bob.http() as client:
        assert client.get(f"/api/v1/runs/{run_id}").status_code == 200
        assert client.post(f"/api/v1/runs/{run_id}:stop", json={}).status_code == 403
        assert client.delete(f"/api/v1/projects/{project['id']}").status_code == 403
    bob.sluice(*create, code=1)

    # With the organization, all of it goes; its run is stopped, and deleted when it is over.
    alice.sluice("org", "delete", "acme", "--yes")
    with alice.http() as client:
        for path in (f"/api/v1/projects/{project['id']}", f"/api/v1/runs/{run_id}", "/api/v1/organizations/acme"):
            assert client.get(path).status_code == 404
    _wait_until_run_is_gone(here, run_id)
    here.sluice("user", "delete", "alice", "--yes")
    assert "not known" in sentence_of(alice.sluice("org", "list", code=1))


# Who changed what, and answers to repeated requests, are kept for a time.
KEPT = {"audit_record", "creation_request", "run_request"}


def _wait_until_run_is_gone(here: Installation, run_id: str) -> None:
    with here.http() as client:
        until(lambda: client.get(f"/api/v1/runs/{run_id}").status_code == 404, f"run {run_id} is gone", seconds=200)


def _types_with(here: Installation, ids: Collection[str]) -> set[str]:
    """Return the record types of the read database of which a record has one of some ids, in any column."""
    with closing(sqlite3.connect(f"file:{here.data}/server/read.sqlite?mode=ro", uri=True, timeout=60)) as database:
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            table.removeprefix("r_")
            for table in names
            if table.startswith("r_")
            for row in database.execute(f'SELECT * FROM "{table}"')
            for value in row
            if any(id_.encode() in (value if isinstance(value, bytes) else str(value).encode()) for id_ in ids)
        }


def _folders_with(here: Installation, ids: Collection[str]) -> set[str]:
    """Return the folders of the object storage with an object whose content names one of some ids."""
    found = set()
    for path, content in files_below(here.data / "objects"):
        text = readable(content)
        if any(id_.encode() in text for id_ in ids):
            found.add(next(part for part in path.parts if part in FOLDERS))
    return found


def test_deleted_tree_leaves_no_record_and_no_object(here: Installation) -> None:
    dora = Person(here, "dora")
    dora.sluice("org", "create", "gone")
    dora.sluice("group", "create", "org/gone/inner")
    project = json.loads(dora.sluice("project", "create", "org/gone/inner/app", "-o", "json").stdout)["id"]
    other = json.loads(dora.sluice("project", "create", "user/dora/own", "-o", "json").stdout)["id"]
    organization = json.loads(dora.sluice("org", "get", "gone", "-o", "json").stdout)["id"]
    inner = json.loads(dora.sluice("group", "get", "org/gone/inner", "-o", "json").stdout)["id"]
    here.sluice("quota", "set", "org/gone", "--projects", "9")
    dora.sluice("org", "invite", "gone", "--role", "reader")
    with dora.http() as client:
        secret = {"secret": {"name": "key", "parentId": project, "values": {"value": "aGlkZGVu"}}}
        assert client.post("/api/v1/secrets", json=secret).status_code == 201
        values = {"variable": {"name": "KEY", "parentId": project, "values": [{"secretName": "key", "key": "value"}]}}
        assert client.post("/api/v1/variables", json=values).status_code == 201
    create = ("run", "create", "--repo", str(here.repositories / "app"), "-o", "name", "--group")
    runs = [dora.sluice(*create, f"/project/{project}/branch/{name}").stdout.split()[0] for name in ("a", "b")]
    for run_id in runs:
        here.wait_for(run_id, "RUN_PHASE_RUNNING")
    dora.sluice("run", "stop", runs[0])
    here.wait_for(runs[0])
    ids = {organization, inner, project, *runs}
    there = {"organization", "project_group", "project", "secret", "variable", "run", "task", "quota", "invitation"}
    assert there <= _types_with(here, ids)

    # One run is over and the other one runs.
    dora.sluice("org", "delete", "gone", "--yes")
    with dora.http() as client:
        for path in (f"organizations/{organization}", f"projectGroups/{inner}", f"projects/{project}"):
            assert client.get(f"/api/v1/{path}").status_code == 404
        for run_id in runs:
            assert client.get(f"/api/v1/runs/{run_id}").status_code == 404
    for run_id in runs:
        _wait_until_run_is_gone(here, run_id)
    until(lambda: not _types_with(here, ids) - KEPT, "no record is left")
    names = [str(path) for path in (here.data / "objects").rglob("*")]
    assert not any(run_id in name for name in names for run_id in runs)
    # The history of the database names them for as long as it is kept (docs/projects.md): the log, and what checkpoints
    # make of it. No log of a step, no configuration and no archive does.
    here.sluice("db", "checkpoint")
    left = _folders_with(here, ids)
    assert left
    assert left <= {folder for folder, owner in FOLDERS.items() if owner is Owner.DATABASE}
    assert _types_with(here, {other})


def test_password_opens_a_session_at_the_gateway(here: Installation) -> None:
    here.sluice("user", "create", "carol")
    with here.http() as client:
        answer = client.post("/api/v1/users/carol:setPassword", json={"password": "a long password"})
        assert answer.status_code == 204, answer.text
    with httpx.Client(base_url=f"http://{here.state['http']}", trust_env=False, timeout=60) as client:
        wrong = client.post("/api/v1/users:logIn", json={"userName": "carol", "password": "another password"})
        assert wrong.status_code == 401
        right = client.post("/api/v1/users:logIn", json={"userName": "carol", "password": "a long password"})
        assert (right.status_code, right.json()["user"]["name"]) == (200, "carol")
    with gateway_client(here.state["http"], right.json()["token"], {}) as client:
        assert client.get("/api/v1/users/carol").status_code == 200
