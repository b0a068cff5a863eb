"""A repository without a git provider: a push is found, becomes a run, and is cloned with the key of the project."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes.forge import Kind
from tests.fakes.forge.model import Key
from tests.support.installation import Installation, installation, until
from tests.support.own_executor import own_executor
from tests.support.running_forge import RunningForge, running_forge
from tests.system.test_private_repositories import assert_no_key

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

TASK = {
    "name": "test",
    "runtime": {"containers": [{"image": "host"}]},
    "steps": [{"clone": {}}, {"run": "git log -1 --format=%s"}],
}
FILES = {".sluice/config.json": json.dumps({"runs": [{"name": "build", "tasks": [TASK]}]}).encode()}
OPTIONS = ("--executors", "0", "--allow-private-addresses", "127.0.0.0/8", "--catch-up-interval", "0")


def test_push_to_a_plain_repository_becomes_a_run(tmp_path: Path) -> None:
    with running_forge(Kind.GITEA, tmp_path / "forge") as forge, installation(tmp_path / "here", *OPTIONS) as here:
        refuses_what_it_does_not_read(here, forge)
        repo = forge.repository("acme/app", FILES, is_private=True)
        url = forge.fake.ssh_url(repo)
        create = ("project", "create", "user/admin/app", "--git-url", url, "--poll-interval", "10s")
        made = here.sluice(*create, "--ssh-host-key", forge.fake.ssh.host_key).stdout
        key = made.partition("with read access: ")[2].strip()
        assert key.startswith("ssh-ed25519 ")
        shown = json.loads(here.sluice("project", "get", "user/admin/app", "-o", "json").stdout)
        assert (shown["git"]["url"], shown["deployKey"]) == (url, key)
        refused = here.sluice("project", "run", "user/admin/app", check=False)
        assert "does not accept the deploy key" in refused.stderr

        repo.keys.append(Key(1, "sluiceway", key, read_only=True))
        listed = forge.fake.ssh.attempts
        # A list begins when the one before was stored.
        until(lambda: forge.fake.ssh.attempts > listed + 1, "the refs are listed twice")
        here.sluice("project", "run", "user/admin/app")

        async def push() -> str:
            return await forge.fake.commit(repo, forge.user, {"a.txt": b"a"}, message="Change it")

        commit = forge.do(push)

        def run_of_commit() -> str:
            with here.http() as client:
                group = f"/project/{shown['id']}/branch/main"
                runs = client.get("/api/v1/runs", params={"group": group}).json()["runs"]
            return next((run["id"] for run in runs if run["source"]["commitSha"] == commit), "")

        run_id = until(run_of_commit, "the commit has a run")
        with own_executor(here, tmp_path / "executor", "host"):
            assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS", here.log(run_id, "test", 0)
        assert here.log(run_id, "test", 1) == b"Change it\n"
        assert here.sluice("project", "why", "user/admin/app", "main").stdout.startswith("push caught_up of ")
        moves_to_another_url(here, forge, shown["id"], key)
        with here.http() as client:
            assert_no_key({"project": client.get(f"/api/v1/projects/{shown['id']}").content})
            assert client.post(f"/webhooks/{shown['id']}", content=b"{}").status_code == 401
            assert client.delete(f"/api/v1/projects/{shown['id']}").status_code == 204


def moves_to_another_url(here: Installation, forge: RunningForge, project_id: str, key: str) -> None:
    """Change the URL of a project: what is pushed there from then on makes runs, and what was there does not."""
    update = ("project", "update", "user/admin/app")
    assert here.sluice(*update, "--git-url", f"{forge.fake.url}/acme/none.git", check=False).returncode != 0
    assert "project.git.password" in here.sluice(*update, "--git-username", "ann", check=False).stderr
    repo = forge.repository("acme/moved", FILES, is_private=True)
    repo.keys.append(Key(2, "sluiceway", key, read_only=True))
    url = forge.fake.ssh_url(repo)
    assert key in here.sluice(*update, "--git-url", url).stdout
    shown = json.loads(here.sluice("project", "get", "user/admin/app", "-o", "json").stdout)
    assert (shown["git"]["url"], shown["git"]["pollInterval"], shown["deployKey"]) == (url, "10s", key)
    listed = forge.fake.ssh.attempts
    until(lambda: forge.fake.ssh.attempts > listed + 2, "the refs of the other repository are listed")

    async def push() -> str:
        return await forge.fake.commit(repo, forge.user, {"a.txt": b"a"}, message="Change it")

    commits = {forge.do(push)}

    def commits_with_runs() -> set[str]:
        with here.http() as client:
            runs = client.get("/api/v1/runs", params={"groupPrefix": f"/project/{project_id}"}).json()["runs"]
        return {run["source"]["commitSha"] for run in runs} & commits

    assert until(commits_with_runs, "the commit has a run") == commits


def refuses_what_it_does_not_read(here: Installation, forge: RunningForge) -> None:
    with here.http() as client:
        for url in ("ext::sh -c 'touch /tmp/x'", "file:///etc", "--upload-pack=x", "https://user:pw@h/app", "/srv/app"):
            git = {"url": url}
            project = {"name": "bad", "parentId": "user/admin", "git": git}
            answer = client.post("/api/v1/projects", json={"project": project})
            assert answer.status_code == 400, answer.text
            assert "project.git.url" in answer.text
        secret = {"url": "http://git.example.org/app", "username": "ann", "password": "in-clear-text"}
        answer = client.post(
            "/api/v1/projects", json={"project": {"name": "bad", "parentId": "user/admin", "git": secret}}
        )
        assert answer.status_code == 400
        assert "over https only" in answer.text
        assert "in-clear-text" not in answer.text
        nothing = {"url": f"{forge.fake.url}/acme/none.git"}
        answer = client.post(
            "/api/v1/projects", json={"project": {"name": "bad", "parentId": "user/admin", "git": nothing}}
        )
        assert answer.status_code in {400, 404}, answer.text
        assert client.get("/api/v1/projects").json()["projects"] == []
