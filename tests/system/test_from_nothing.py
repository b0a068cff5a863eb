"""From an empty installation to a page that shows why a push failed, and back to nothing: as a person does it.

With each provider: log in, link an account, make a project, set a secret, push, follow the link of the commit status to
the page of the run, get a pull request of a fork, delete the project and the account.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from sluiceway_server.datamanager.admin.export_file import ExportFile
from tests.fakes.forge import Kind
from tests.fakes.forge.model import Repo
from tests.support.browser import browser_page, running_chromium
from tests.support.installation import SLUICE, Installation, installation, until
from tests.support.own_executor import own_executor
from tests.support.running_forge import RunningForge, running_forge
from tests.support.web_site import NEEDS_BROWSER

pytestmark = [*NEEDS_BROWSER, pytest.mark.timeout(600)]

SECRET = "sk-live-of-the-registry"
PASSWORD = "correct horse battery"
SCRIPT = """echo "branch $SLUICE_GIT_BRANCH, token of ${#TOKEN} characters: $TOKEN"
git log -1 --format=%s
if [ -e broken ]; then seq 1 100; echo "error: it is broken"; exit 3; fi
"""
TASK = {
    "name": "test",
    # Pods of the sandbox reach the fake, which listens on the loopback, in the network of this machine only.
    "runtime": {"network": "host", "containers": [{"image": "host"}]},
    "environment": {"TOKEN": {"from_variable": "REGISTRY_TOKEN"}},
    "steps": [{"clone": {}}, {"type": "run", "name": "check", "command": SCRIPT}],
}
FILES = {".sluice/config.json": json.dumps({"runs": [{"name": "build", "tasks": [TASK]}]}).encode()}
# Who deleted it, that it is deleted, and its runs, which operators see (docs/limits.md).
KEPT = {"audit_record", "tombstone", "run", "task", "assignment", "run_config", "run_request", "run_number"}
KEPT |= {"creation_request", "change_group"}
OPTIONS = ("--executors", "0", "--allow-private-addresses", "127.0.0.0/8", "--fork-groups", "default")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("nothing")
    with installation(folder, *OPTIONS) as running, own_executor(running, folder / "executor", "sandbox"):
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture(
    params=[Kind.GITEA, pytest.param(Kind.FORGEJO, marks=pytest.mark.long), Kind.GITHUB, Kind.GITLAB], ids=str
)
def forge(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningForge]:
    with running_forge(request.param, tmp_path / "forge") as running:
        yield running


@dataclass
class Person:
    """A user of the installation at the command line."""

    here: Installation
    name: str
    token: str = ""

    def sluice(self, *arguments: str, given: str = "") -> str:
        """Run a command; return what it prints."""
        environment = {**os.environ, "SLUICE_SERVER": self.here.state["grpc"], "SLUICE_TOKEN": self.token}
        command = [*SLUICE, *arguments]
        done = subprocess.run(
            command, env=environment, input=given, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.sluice(*arguments, "-o", "json"))


def log_in(here: Installation, name: str) -> Person:
    """Have an operator create a user; log in with the password."""
    here.sluice("user", "create", name)
    with here.http() as client:
        assert client.post(f"/api/v1/users/{name}:setPassword", json={"password": PASSWORD}).status_code == 204
        answer = client.post("/api/v1/users:logIn", json={"userName": name, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return Person(here, name, answer.json()["token"])


def link(person: Person, forge: RunningForge, repo: Repo, folder: Path) -> str:
    """Link the repository as the page about git providers says; return the id of the project."""
    source = f"forge-{forge.fake.kind}"
    create = ("remote-source", "create", source, "--type", forge.fake.kind.product, "--api-url", forge.fake.api_url)
    person.here.sluice(*create, "--ssh-host-key", f"127.0.0.1 {forge.fake.ssh.host_key}")
    token = folder / "token"
    token.write_text(f"{forge.user.token}\n")
    person.sluice("linked-account", "create", source, "--access-token-file", str(token))
    path = f"user/{person.name}/app"
    options = ("--remote-source", source, "--repository", repo.path)
    project_id = person.sluice("project", "create", path, *options, "-o", "name").strip()
    person.sluice("secret", "set", f"{path}/registry", "token", given=SECRET + "\n")
    person.sluice("variable", "set", f"{path}/REGISTRY_TOKEN", "registry", "token")
    return project_id


@dataclass
class Linked:
    """A project of a person, and its repository."""

    person: Person
    forge: RunningForge
    repo: Repo
    project_id: str

    def do(self, work: Callable[[], Any]) -> Any:
        return self.forge.do(work)

    def run_of(self, commit: str, *, from_fork: bool = False) -> dict[str, Any]:
        """Wait until a run of a commit is over; return it."""
        prefix = f"/project/{self.project_id}/{'pull_request' if from_fork else 'branch'}"

        def found() -> Any:
            runs = self.person.json("run", "list", "--group", prefix)
            over = [run for run in runs if run["phase"] == "RUN_PHASE_FINISHED"]
            return next((run for run in over if run["source"]["commitSha"] == commit), None)

        run: dict[str, Any] = until(found, f"the run of {commit} is over")
        return run

    def status_of(self, commit: str, *states: str) -> str:
        """Wait for the commit status; return its link."""

        def found() -> str:
            last = self.repo.last_status(commit, "sluiceway/build")
            return last.target_url if last is not None and last.state in states else ""

        url: str = until(found, f"the status of {commit} is one of {states}")
        return url


def test_life_of_a_project(here: Installation, browser: Browser, forge: RunningForge, tmp_path: Path) -> None:
    person = log_in(here, f"ann-{forge.fake.kind}")
    repo = forge.repository("acme/app", FILES, is_private=True)
    linked = Linked(person, forge, repo, link(person, forge, repo, tmp_path))
    (hook,), (key,) = repo.hooks, repo.keys
    assert (hook.is_active, key.read_only) == (True, True)

    checkout = forge.checkout(repo, tmp_path / "clone")
    commit = checkout.push({"a": b"a"}, "Add a")
    run = linked.run_of(commit)
    assert run["result"] == "RUN_RESULT_SUCCESS", person.sluice("run", "logs", run["id"], "test")
    assert here.log(run["id"], "test", 1) == f"branch main, token of {len(SECRET)} characters: ***\nAdd a\n".encode()
    shows_the_run(linked, browser, linked.status_of(commit, "success"), run)

    broken = checkout.push({"broken": b""}, "Break it")
    failed = linked.run_of(broken)
    assert failed["result"] == "RUN_RESULT_FAILED"
    shows_the_failure(linked, browser, linked.status_of(broken, "failure", "failed"))

    fork_has_no_variables(linked)

    person.sluice("project", "delete", f"user/{person.name}/app", "--yes")
    until(lambda: not repo.hooks and not repo.keys, "webhook and deploy key are gone")
    person.sluice("linked-account", "delete", f"forge-{forge.fake.kind}")
    here.sluice("user", "delete", person.name, "--yes")
    nothing_is_left(linked, tmp_path)


def shows_the_run(linked: Linked, browser: Browser, url: str, run: dict[str, Any]) -> None:
    """Follow the link of a commit status: log in, and look at the graph and the log."""
    base, path = f"http://{linked.person.here.state['http']}", urlsplit(url).path
    assert url == f"{base}/runs/{run['id']}"
    with browser_page(browser, base) as page:
        page.open(path)
        page.page.wait_for_url("**/login?next=*")
        page.page.get_by_role("button", name="Password").click()
        page.page.fill("input[name=user]", linked.person.name)
        page.page.fill("input[name=password]", PASSWORD)
        page.page.press("input[name=password]", "Enter")
        page.page.wait_for_url(f"**{path}")
        page.page.locator("svg a[data-name=test]").click()
        page.page.wait_for_url(f"**{path}/tasks/**")
        page.page.locator(".log-row:visible", has_text="characters: ***").first.wait_for()


def shows_the_failure(linked: Linked, browser: Browser, url: str) -> None:
    """Follow the link of a failed commit status: the first line with an error is on that page."""
    base = f"http://{linked.person.here.state['http']}"
    with browser_page(browser, base) as page:
        page.open("/login")
        page.page.get_by_role("button", name="Token").click()
        page.page.fill("input[name=token]", linked.person.token)
        page.page.click("text=Log in >> nth=-1")
        page.page.wait_for_url(lambda address: "/login" not in address)
        page.open(urlsplit(url).path)
        failure = page.page.get_by_role("article", name="Failure of test")
        failure.locator(".row.error", has_text="error: it is broken").wait_for()


def fork_has_no_variables(linked: Linked) -> None:
    fake = linked.forge.fake

    async def open_it() -> str:
        eve = fake.add_user("eve")
        linked.repo.readers.add(eve.id)
        fork = await fake.add_repository(eve, "eve/app", content=linked.repo.folder)
        commit = await fake.commit(fork, eve, {**FILES, "broken": None}, branch="change", message="From a fork")
        await fake.open_pull_request(linked.repo, eve, head_branch="change", fork=fork)
        return commit

    commit = linked.do(open_it)
    run = linked.run_of(commit, from_fork=True)
    log = linked.person.here.log(run["id"], "test", 1)
    assert (run["result"], log) == ("RUN_RESULT_SUCCESS", b"branch , token of 0 characters: \nFrom a fork\n")
    linked.status_of(commit, "success")


def nothing_is_left(linked: Linked, folder: Path) -> None:
    """Check that no record names the project, but for those that are kept."""
    here = linked.person.here

    def types() -> set[str]:
        export = folder / "export"
        export.unlink(missing_ok=True)
        here.sluice("db", "export", str(export))
        mention = linked.project_id.encode()
        blocks = ExportFile(export).blocks()
        return {name for name, records in blocks for each in records if mention in each.id.encode() + each.body}

    until(lambda: not types() - KEPT, "the records of the project are deleted")
    assert "audit_record" in types()
    with here.http() as client:
        assert client.get(f"/api/v1/projects/{linked.project_id}").status_code == 404
