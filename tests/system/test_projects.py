"""Users, an organization and its projects through the command line and the gateway, with runs, until all is deleted."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from tests.support.installation import (
    Installation,
    config,
    gateway_client,
    installation,
    make_repository,
    run_sluice,
    sentence_of,
)

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

    # With the organization, all of it goes, and its run is stopped.
    alice.sluice("org", "delete", "acme", "--yes")
    with alice.http() as client:
        for path in (f"/api/v1/projects/{project['id']}", f"/api/v1/runs/{run_id}", "/api/v1/organizations/acme"):
            assert client.get(path).status_code == 404
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_STOPPED"
    here.sluice("user", "delete", "alice", "--yes")
    assert "not known" in sentence_of(alice.sluice("org", "list", code=1))


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
