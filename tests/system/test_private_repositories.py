"""Private repositories: a push becomes a run that clones over SSH with the deploy key, which is found nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from sluiceway_executor.masking import forms_of
from tests.fakes.forge import Kind
from tests.fakes.forge.model import Repo
from tests.support.installation import Installation, installation, until
from tests.support.own_executor import own_executor
from tests.support.places import command_lines, environments, files_below, readable
from tests.support.running_forge import RunningForge, running_forge

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

# All unencrypted private keys of OpenSSH begin with these bytes, and their files with this text.
KEY_BYTES = b"openssh-key-v1\0\0\0\0\x04none"
KEY_TEXT = b"b3BlbnNzaC1rZXktdjEAAAAABG5vbmU"

LOOKS = """if env | grep -a KEY; then exit 1; fi
if grep -rla "b3BlbnNzaC1rZXktdjEAAAAABG5vbm[U]" "$HOME" "${TMPDIR:-/tmp}" "$PWD"; then exit 1; fi
[ -z "${SSH_AUTH_SOCK:-}" ]
git log -1 --format=%s
if [ -e holds ]; then echo holding; sleep 600; fi
"""


def task(name: str, *steps: dict[str, Any]) -> dict[str, Any]:
    # Pods of the sandbox reach the fake, which listens on the loopback, in the network of this machine only.
    return {"name": name, "runtime": {"network": "host", "containers": [{"image": "host"}]}, "steps": list(steps)}


BUILD = task("test", {"clone": {}}, {"type": "run", "name": "look", "command": LOOKS})
LATE = task("late", {"run": "true"}, {"clone": {}})
CONFIG = {
    "runs": [{"name": "build", "tasks": [BUILD]}, {"name": "late", "when": {"ref": "/^refs/pull/"}, "tasks": [LATE]}]
}
FILES = {".sluice/config.json": json.dumps(CONFIG).encode()}


@dataclass
class Private:
    """A project with a private repository."""

    here: Installation
    forge: RunningForge
    repo: Repo
    source: str
    project_id: str
    driver: str

    def push(self, files: Mapping[str, bytes | None]) -> str:
        async def push() -> str:
            return await self.forge.fake.commit(self.repo, self.forge.user, dict(files), message="Change it")

        return self.forge.do(push)

    def run_of(self, commit: str, name: str = "build") -> str:
        """Wait until a commit has a run; return its id."""

        def found() -> str | None:
            with self.here.http() as client:
                runs = client.get("/api/v1/runs", params={"groupPrefix": f"/project/{self.project_id}"}).json()["runs"]
            of_commit = {run["name"]: run for run in runs if run["source"]["commitSha"] == commit}
            assert "app" not in of_commit, of_commit["app"]
            return of_commit[name]["id"] if name in of_commit else None

        run_id: str = until(found, f"there is a run {name} of {commit}")
        return run_id

    def set_host_key(self, key: str) -> None:
        self.here.sluice("remote-source", "update", self.source, "--ssh-host-key", key)


@pytest.fixture(scope="module", params=["host", "sandbox"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def here(driver: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp(driver)
    options = ("--executors", "0", "--allow-private-addresses", "127.0.0.0/8", "--fork-groups", "default")
    with installation(folder, *options) as running, own_executor(running, folder / "executor", driver):
        yield running


@pytest.fixture(scope="module")
def private(here: Installation, driver: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Private]:
    folder = tmp_path_factory.mktemp("forge")
    with running_forge(Kind.GITEA, folder / "forge") as forge:
        repo = forge.repository("acme/app", FILES, is_private=True)
        create = ("remote-source", "create", "forge", "--type", "gitea", "--api-url", forge.fake.api_url)
        here.sluice(*create, "--ssh-host-key", f"[127.0.0.1]:22 {forge.fake.ssh.host_key} the forge")
        token = folder / "token"
        token.write_text(f"{forge.user.token}\n")
        here.sluice("linked-account", "create", "forge", "--access-token-file", str(token))
        options = ("--remote-source", "forge", "--repository", repo.path)
        project_id = here.sluice("project", "create", "user/admin/app", *options, "-o", "name").stdout.strip()
        yield Private(here, forge, repo, "forge", project_id, driver)


def test_private_repository_is_cloned(private: Private) -> None:
    commit = private.push({"a.txt": b"a"})
    run_id = private.run_of(commit)
    assert private.here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS", private.here.log(run_id, "test", 0)
    assert private.here.log(run_id, "test", 1) == b"Change it\n"
    (key,) = private.repo.keys
    assert key.read_only
    assert key.key in private.here.sluice("project", "get", private.project_id).stdout


def test_key_is_with_the_clone_step_only(private: Private) -> None:
    gate = private.forge.fake.ssh.gate

    async def close() -> None:
        gate.clear()

    async def open_() -> None:
        gate.set()

    private.forge.do(close)
    run_id = private.run_of(private.push({"holds": b""}))
    try:
        # The search finds what there is: the clone has the key.
        having = until(lambda: {place for place, text in environments().items() if KEY_TEXT in text}, "the clone runs")
        assert all(is_below_ssh_agent(place.split()[0]) for place in having), having
        assert_no_key(command_lines())
    finally:
        private.forge.do(open_)

    def holds() -> bool:
        steps = private.here.tasks(run_id)["test"]["steps"]
        assert private.here.run(run_id)["phase"] != "RUN_PHASE_FINISHED", private.here.log(run_id, "test", 1)
        return bool(steps[1]["phase"] == "STEP_PHASE_RUNNING" and b"holding" in private.here.log(run_id, "test", 1))

    until(holds, "the second step runs")
    until(lambda: not places_of_key(environments()), "no process has the key")
    assert_no_key(command_lines())
    private.here.sluice("run", "stop", run_id, "--force", "--wait")


def test_key_is_nowhere_in_stores_files_and_responses(private: Private, tmp_path: Path) -> None:
    private.here.wait_for(private.run_of(private.push({"holds": None, "b.txt": b"b"})))
    export = tmp_path / "export"
    private.here.sluice("db", "checkpoint")
    private.here.sluice("db", "export", str(export))
    contents = {str(path): readable(content) for path, content in files_below(private.here.data.parent)}
    contents["export"] = readable(export.read_bytes())
    # So that a search that finds nothing differs from one that does not work.
    for place in ("/etcd/", "/objects/", "/server/"):
        assert any(place in path and private.project_id.encode() in text for path, text in contents.items()), place
    assert_no_key(contents)
    with private.here.http() as client:
        project = f"/api/v1/projects/{private.project_id}"
        for path in (project, f"{project}/deliveries", "/api/v1/remoteSources", "/api/v1/runs"):
            answer = client.get(path)
            assert answer.status_code == 200, answer.text
            assert_no_key({path: answer.content})


def test_pull_request_of_a_fork_is_cloned_from_the_base(private: Private) -> None:
    if private.driver == "host":
        pytest.skip("the driver host takes no runs of forks")
    fake, user = private.forge.fake, private.forge.user

    async def open_it() -> str:
        fork = await fake.add_repository(user, "eve/app", content=private.repo.folder)
        commit = await fake.commit(fork, user, {**FILES, "c.txt": b"c"}, branch="change", message="From a fork")
        await fake.open_pull_request(private.repo, user, head_branch="change", fork=fork)
        return commit

    commit = private.forge.do(open_it)
    run_id = private.run_of(commit)
    assert private.here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
    assert private.here.log(run_id, "test", 1) == b"From a fork\n"
    # The code of the fork would run before the key is there, and could wait for it.
    late = private.run_of(commit, "late")
    assert private.here.wait_for(late)["result"] == "RUN_RESULT_FAILED"
    assert "put `clone` first" in private.here.tasks(late)["late"]["reason"]["message"]


def test_wrong_host_key_is_refused(private: Private) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    private.set_host_key(other)
    try:
        attempts = private.forge.fake.ssh.attempts
        run_id = private.run_of(private.push({"d.txt": b"d"}))
        assert private.here.wait_for(run_id)["result"] == "RUN_RESULT_FAILED"
        log = private.here.log(run_id, "test", 0).decode()
        assert "The git host has another SSH host key than is set for it" in log
        assert "sluice remote-source update NAME --ssh-host-key KEY" in log
        assert private.forge.fake.ssh.attempts == attempts
    finally:
        private.set_host_key(private.forge.fake.ssh.host_key)


def test_missing_host_key_is_said(private: Private) -> None:
    private.set_host_key("")
    try:
        run_id = private.run_of(private.push({"e.txt": b"e"}))
        assert private.here.wait_for(run_id)["result"] == "RUN_RESULT_FAILED"
        message = private.here.tasks(run_id)["test"]["reason"]["message"]
        assert "the remote source forge has no SSH host key" in message
        assert "sluice remote-source update forge --ssh-host-key KEY" in message
    finally:
        private.set_host_key(private.forge.fake.ssh.host_key)


def test_revoked_key_is_said(private: Private) -> None:
    keys = list(private.repo.keys)
    private.repo.keys.clear()
    try:
        run_id = private.run_of(private.push({"f.txt": b"f"}))
        assert private.here.wait_for(run_id)["result"] == "RUN_RESULT_FAILED"
        log = private.here.log(run_id, "test", 0).decode()
        assert "does not accept the deploy key of the project. Add it to the repository" in log
    finally:
        private.repo.keys.extend(keys)
    # Put back, as the sentence says.
    assert private.here.wait_for(private.run_of(private.push({"g.txt": b"g"})))["result"] == "RUN_RESULT_SUCCESS"


def is_below_ssh_agent(pid: str) -> bool:
    """Return whether a process is the shell of a clone, or its agent."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return True
    return words[0].endswith((b"sh", b"ssh-agent", b"ssh-add")) or words == [b""]


def places_of_key(contents: dict[str, bytes]) -> list[str]:
    forms = {KEY_BYTES, *forms_of(KEY_TEXT)}
    return [place for place, text in contents.items() if any(form in text for form in forms)]


def assert_no_key(contents: dict[str, bytes]) -> None:
    assert places_of_key(contents) == []
