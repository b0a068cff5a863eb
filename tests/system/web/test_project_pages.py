"""The deliveries of a project, and runs by hand, in Chromium, with a fake git provider."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.forge import Kind
from tests.support.browser import BrowserPage, running_chromium
from tests.support.installation import HOST_TASK, installation, until
from tests.support.running_forge import running_forge
from tests.support.web_site import NEEDS_BROWSER, LinkedProject, Site, linked_project

pytestmark = [*NEEDS_BROWSER, pytest.mark.timeout(300)]

TASKS = [{"name": "test", "runtime": HOST_TASK, "steps": [{"run": {"command": "echo it says $SAYS"}}]}]
BREAK = {"run": {"name": "break", "command": "seq 50; echo error: it is broken; seq 50; exit 7"}}
CONFIG = {
    "runs": [
        {"name": "build", "when": {"branch": ["main", "feature"]}, "tasks": TASKS},
        {"name": "release", "when": {"tag": "/^v/"}, "tasks": TASKS},
        {
            "name": "broken",
            "when": {"branch": "broken"},
            "tasks": [{"name": "fail", "runtime": HOST_TASK, "steps": [BREAK]}],
        },
    ]
}
FILES = {".sluice/config.json": json.dumps(CONFIG).encode()}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An installation that may call loopback addresses."""
    folder = tmp_path_factory.mktemp("project")
    with installation(folder, "--allow-private-addresses", "127.0.0.0/8") as running, running_chromium() as browser:
        yield Site(running, browser)


@pytest.fixture(scope="module")
def project(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinkedProject]:
    with running_forge(Kind.GITEA, tmp_path_factory.mktemp("forge")) as forge:
        yield linked_project(site, forge, "app", FILES)


def test_deliveries_say_which_rule_decided(project: LinkedProject, page: BrowserPage, tmp_path: Path) -> None:
    made = project.push(tmp_path / "one", {"a.txt": b"a"}, "Add a")
    skipped = project.push(tmp_path / "two", {"b.txt": b"b"}, "Add b [ci skip]", branch="feature")
    project.push(tmp_path / "three", {"c.txt": b"c"}, "Add c", branch="other")
    page.page.set_viewport_size({"width": 360, "height": 740})
    page.open(f"/projects/{project.path}")
    page.page.get_by_role("link", name="Deliveries").click()
    page.page.wait_for_url("**/deliveries")
    deliveries = page.page.get_by_role("list", name="Deliveries").locator("details")
    page.page.locator("summary", has_text=f"push of main at {made[:12]}").click()
    one = deliveries.filter(has_text=made[:12])
    one.get_by_role("link", name="build").wait_for()
    one.locator("li", has_text="release").get_by_text("no run").wait_for()
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.check_accessibility()
    # Why did a ref start nothing.
    page.page.fill("input[name=ref]", "feature")
    page.page.press("input[name=ref]", "Enter")
    page.page.wait_for_url("**/deliveries?ref=feature")
    page.wait_for("document.querySelectorAll('details').length === 1")
    deliveries.filter(has_text=skipped[:12]).get_by_text("message has [ci skip]").wait_for()
    page.page.fill("input[name=ref]", "nothing")
    page.page.get_by_role("button", name="Why did it start nothing?").click()
    page.wait_for_text("[role=status]", "received no event of nothing")
    # The address is that of what is shown.
    page.open(f"/projects/{project.path}/deliveries?ref=refs/heads/other")
    deliveries.first.get_by_text("no run").first.wait_for()
    page.wait_for("document.querySelector('details').open")


def test_failed_commit_status_leads_to_the_error(project: LinkedProject, page: BrowserPage, tmp_path: Path) -> None:
    commit = project.push(tmp_path / "broken", {"broken.txt": b"b"}, "Break it", branch="broken")

    def status() -> Any:
        last = project.repo.last_status(commit, "sluiceway/broken")
        return last if last is not None and last.state == "failure" else None

    target = until(status, "the commit has its status").target_url
    page.page.goto(target)
    failure = page.page.get_by_role("article", name="Failure of fail")
    failure.get_by_text("exit code 7").wait_for()
    failure.locator(".row.error", has_text="error: it is broken").wait_for()
    failure.get_by_role("link", name="51", exact=True).click()
    page.page.locator(".log-row.marked:visible", has_text="error: it is broken").wait_for()


def test_delivery_is_delivered_again(project: LinkedProject, page: BrowserPage, tmp_path: Path) -> None:
    commit = project.push(tmp_path / "again", {"again.txt": b"a"}, "Add again")
    page.open(f"/projects/{project.path}/deliveries?ref=main")
    delivery = page.page.locator("details", has_text=commit[:12])
    delivery.get_by_role("button", name="Redeliver").click()
    delivery.get_by_text("delivered again 1 time").wait_for()
    delivery.get_by_text("run exists").wait_for()
    runs = project.site.get(f"runs?groupPrefix=/project/{project.id}")["runs"]
    assert [run["source"]["commitSha"] for run in runs].count(commit) == 1


def test_branch_is_run_by_hand_with_a_variable(project: LinkedProject, page: BrowserPage) -> None:
    page.page.set_viewport_size({"width": 360, "height": 740})
    page.open(f"/projects/{project.path}/run")
    page.page.get_by_role("button", name="Add a variable").click()
    page.page.fill("input[name=variable-name]", "SAYS")
    page.page.fill("input[name=variable-value]", "hello")
    page.page.fill("input[name=branch]", "main")
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.check_accessibility()
    page.page.get_by_role("button", name="Run", exact=True).click()
    page.page.get_by_role("button", name="Start", exact=True).click()
    page.page.get_by_label("What came of it").get_by_role("link", name="build").click()
    page.page.get_by_role("link", name="test: success").wait_for()
    run_id = page.page.url.rpartition("/")[2]
    assert project.site.installation.log(run_id, "test", 0) == b"it says hello\n"


def test_inputs_of_a_run_are_asked_for_and_shown(project: LinkedProject, page: BrowserPage, tmp_path: Path) -> None:
    declared = {
        "environment": {"type": "choice", "options": ["staging", "production"], "description": "Where it goes."},
        "version": {"pattern": "v[0-9]+", "required": True},
        "dry_run": {"type": "boolean", "default": True},
    }
    command = 'echo "$SLUICE_INPUT_VERSION to $SLUICE_INPUT_ENVIRONMENT, dry $SLUICE_INPUT_DRY_RUN"'
    task = {"name": "say", "runtime": HOST_TASK, "steps": [{"run": command}]}
    config = {"runs": [{"name": "deploy", "inputs": declared, "tasks": [task]}]}
    files = {".sluice/config.json": json.dumps(config).encode()}
    project.push(tmp_path / "inputs", files, "Deploy", branch="deploys")
    page.page.set_viewport_size({"width": 360, "height": 740})
    page.open(f"/projects/{project.path}/run")
    page.page.fill("input[name=branch]", "deploys")
    page.page.locator("input[name=branch]").press("Tab")
    page.page.get_by_text("Where it goes.").wait_for()
    page.page.get_by_role("button", name="Run", exact=True).click()
    # The browser wants the value that is required.
    page.wait_for("document.activeElement.name === 'input-version'")
    page.page.fill("input[name=input-version]", "7")
    page.page.select_option("select[name=input-environment]", "production")
    page.page.get_by_label("dry_run").uncheck()
    page.check_accessibility()
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.page.get_by_role("button", name="Run", exact=True).click()
    question = page.page.get_by_role("group", name="Before it starts")
    question.get_by_text("Start all runs that apply of branch deploys").wait_for()
    page.expected.append("400 (Bad Request)")
    question.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_text("[role=alert]", "must match the pattern")
    page.page.fill("input[name=input-version]", "v7")
    page.page.get_by_role("button", name="Run", exact=True).click()
    page.check_accessibility()
    question.get_by_role("button", name="Start", exact=True).click()
    page.page.get_by_label("What came of it").get_by_role("link", name="deploy").click()
    page.page.get_by_role("link", name="say: success").wait_for()
    page.wait_for_text(".facts", "Input environment")
    page.wait_for_text(".facts", "production")
    run_id = page.page.url.rpartition("/")[2]
    assert project.site.installation.log(run_id, "say", 0) == b"v7 to production, dry false\n"


def test_run_by_hand_that_is_refused_says_why(project: LinkedProject, page: BrowserPage) -> None:
    page.open(f"/projects/{project.path}/run")
    page.page.get_by_label("tag", exact=True).check()
    # The form needs a tag.
    page.page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for("document.activeElement.name === 'tag'")
    page.page.fill("input[name=tag]", "v404")
    page.expected += ["404 (Not Found)", "400 (Bad Request)"]
    page.page.get_by_role("button", name="Run", exact=True).click()
    page.page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_text("[role=alert]", "v404")
    # A run that the configuration does not have is a decision of the delivery.
    page.page.get_by_label("branch", exact=True).check()
    page.page.fill("input[name=run]", "nobody")
    page.page.get_by_role("button", name="Run", exact=True).click()
    page.page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_text("[aria-label='What came of it']", "nobody")


def test_project_that_is_named_as_a_tab_is_shown(site: Site, page: BrowserPage) -> None:
    group = {"name": "tools", "parentId": "user/admin"}
    site.post("projectGroups", {"projectGroup": group})
    site.post("projects", {"project": {"name": "settings", "parentId": "user/admin/tools"}})
    page.expected.append("404 (Not Found)")
    page.open("/projects/user/admin/tools/settings")
    page.wait_for_text("h1", "user/admin/tools/settings")
    page.wait_for_text("p", "The project has no runs")
    page.page.get_by_role("link", name="Run by hand").click()
    page.wait_for_text("p", "has no repository")
    page.page.get_by_role("link", name="Deliveries").click()
    page.wait_for_text("[role=status]", "no repository at a provider")
