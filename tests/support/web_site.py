"""An installation and a browser, for tests of the web UI."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.fakes.forge.model import Repo
from tests.support.browser import CHROMIUM, BrowserPage
from tests.support.installation import Installation, make_repository, until
from tests.support.running_forge import RunningForge

_BUILT = Path(__file__).resolve().parents[2] / "server" / "sluiceway_server" / "gateway" / "web" / "index.html"

NEEDS_BROWSER = [
    pytest.mark.system,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium; `make browser` installs it"),
    pytest.mark.skipif(not _BUILT.exists(), reason="the web UI is not built; `make web` builds it"),
]


@dataclass(frozen=True)
class Site:
    """An installation and a browser."""

    installation: Installation
    browser: Browser

    @property
    def base(self) -> str:
        """The address of the gateway."""
        return f"http://{self.installation.state['http']}"

    def create(self, name: str, text: str) -> str:
        """Create a run of a new repository with a configuration."""
        repository = self.installation.repositories / name
        make_repository(repository, {".sluice/config.json": text})
        return self.installation.create(repository)

    def path_of(self, run_id: str, task: str) -> str:
        """Return the path of the page of a task."""
        return f"/runs/{run_id}/tasks/{self.installation.tasks(run_id)[task]['id']}"

    def post(self, path: str, body: dict[str, Any], *, status: int = 201) -> Any:
        """Call the API as the first operator; return what it responds."""
        with self.installation.http() as client:
            response = client.post(f"/api/v1/{path}", json=body)
        assert response.status_code == status, response.text
        return response.json() if response.content else None

    def get(self, path: str) -> Any:
        """Read from the API as the first operator."""
        with self.installation.http() as client:
            response = client.get(f"/api/v1/{path}")
        assert response.status_code == 200, response.text
        return response.json()


def log_in(page: BrowserPage, token: str, path: str) -> None:
    """Open a page, and log in with a token."""
    page.open(path)
    page.page.get_by_role("button", name="Log in", exact=True).wait_for()
    ways = page.page.get_by_role("group", name="Log in with")
    if ways.count():  # The installation has users with a password, which is the first choice then.
        ways.get_by_role("button", name="Token").click()
    page.page.fill("input[name=token]", token)
    page.page.click("text=Log in >> nth=-1")
    page.page.wait_for_url(f"**{path}")


@dataclass(frozen=True)
class LinkedProject:
    """A project with a repository of a fake provider."""

    site: Site
    forge: RunningForge
    repo: Repo
    id: str
    path: str

    def push(self, folder: Path, files: dict[str, bytes], message: str, *, branch: str = "main") -> str:
        """Push a commit as its owner; return the commit when its delivery was worked on."""
        commit = self.forge.checkout(self.repo, folder).push(files, message, ref=f"HEAD:refs/heads/{branch}")

        def is_done() -> bool:
            found = self.site.get(f"projects/{self.id}/deliveries")["deliveries"]
            return any((each["commitSha"], each["phase"]) == (commit, "DELIVERY_PHASE_DONE") for each in found)

        until(is_done, f"the delivery of {commit} is worked on")
        return commit


def linked_project(site: Site, forge: RunningForge, name: str, files: dict[str, bytes]) -> LinkedProject:
    """Make a repository of a fake provider, and a project of it, through the API."""
    repo = forge.repository(f"acme/{name}", files)
    source = {"name": name, "type": forge.fake.kind.product, "apiUrl": forge.fake.api_url}
    source_id = site.post("remoteSources", {"remoteSource": source})["id"]
    account = {"remoteSourceId": source_id, "accessToken": forge.user.token}
    site.post("users/me/linkedAccounts", {"linkedAccount": account})
    project = {"name": name, "parentId": "user/admin", "remoteSourceId": source_id, "repositoryPath": repo.path}
    made = site.post("projects", {"project": project})
    return LinkedProject(site, forge, repo, made["id"], made["path"])
